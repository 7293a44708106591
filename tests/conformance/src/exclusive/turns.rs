//! Who has it, and who comes next.

use std::cell::RefCell;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{join, join_all};
use storex_core::ErrorKind;
use storex_sync::SyncError;

use super::{ExclusiveHarness, SOON, get};

pub async fn one_has_it_at_a_time(h: ExclusiveHarness) {
    let (one, other) = (h.instance().await, h.instance().await);
    let guard = get(&one).await.expect("nobody has it");
    for _ in 0..10 {
        assert!(get(&other).await.is_none());
        h.sleep(5).await;
    }
    guard.release().await.unwrap();
    let guard = get(&other).await.expect("at once");
    assert!(get(&one).await.is_none());
    guard.release().await.unwrap();
}

pub async fn of_many_with_the_same_settings_one_gets_it(h: ExclusiveHarness) {
    let mut instances = Vec::new();
    for _ in 0..8 {
        instances.push(h.instance().await);
    }
    let guards = join_all(instances.iter().map(get)).await;
    assert_eq!(guards.iter().flatten().count(), 1);
}

pub async fn who_waits_gets_it_when_it_is_released(h: ExclusiveHarness) {
    let (one, other) = (h.instance().await, h.instance().await);
    let guard = get(&one).await.unwrap();
    let released = async {
        h.sleep(150).await;
        assert!(!guard.is_lost());
        guard.release().await.unwrap();
    };
    let (acquired, ()) = join(other.acquire(SOON), released).await;
    assert!(acquired.is_ok(), "{acquired:?}");
}

pub async fn who_waits_gives_up_at_the_limit(h: ExclusiveHarness) {
    let (one, other) = (h.instance().await, h.instance().await);
    let guard = get(&one).await.unwrap();
    let error = other.acquire(Duration::from_millis(150)).await.unwrap_err();
    assert!(matches!(error, SyncError::HeldElsewhere), "{error}");
    assert_eq!(error.kind(), ErrorKind::Busy);
    assert!(error.is_retryable());
    guard.release().await.unwrap();
    assert!(get(&other).await.is_some(), "what was given up holds nothing");
}

pub async fn each_of_three_gets_a_turn(h: ExclusiveHarness) {
    let turns = RefCell::new(Vec::new());
    let inside = RefCell::new(0);
    let instances = [h.instance().await, h.instance().await, h.instance().await];
    let tasks = instances.iter().enumerate().map(async |(name, exclusive)| {
        for _ in 0..3 {
            let guard = exclusive.acquire(SOON).await.unwrap();
            assert_eq!(inside.replace(1), 0, "two at once");
            turns.borrow_mut().push(name);
            h.sleep(70).await;
            inside.replace(0);
            guard.release().await.unwrap();
            h.sleep(60).await;
        }
    });
    join_all(tasks).await;
    let turns = turns.into_inner();
    assert_eq!(turns.len(), 9);
    for name in 0..3 {
        assert_eq!(turns.iter().filter(|turn| **turn == name).count(), 3);
    }
}

pub async fn another_database_is_another_matter(h: ExclusiveHarness) {
    let (one, other) = (h.instance().await, h.of_another_database().await);
    let first = get(&one).await.unwrap();
    let second = get(&other).await.expect("it is of another database");
    first.release().await.unwrap();
    assert!(!second.is_lost());
    second.release().await.unwrap();
}

pub async fn one_that_was_given_up_while_it_was_asked_for_is_free(h: ExclusiveHarness) {
    let (one, other) = (h.instance().await, h.instance().await);
    // Begun, and dropped before it could end.
    assert!(one.try_acquire().now_or_never().is_none_or(|guard| guard.unwrap().is_some()));
    drop(one);
    let acquired = other.acquire(SOON).await;
    assert!(acquired.is_ok(), "{acquired:?}");
}
