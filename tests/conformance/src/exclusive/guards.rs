//! What a guard does for as long as it lives.

use super::{ExclusiveHarness, SOON, get};

pub async fn are_counted(h: ExclusiveHarness) {
    let (one, other) = (h.instance().await, h.instance().await);
    let first = get(&one).await.unwrap();
    let again = get(&one).await.expect("who has it gets another guard");
    assert_eq!(first.token(), again.token());
    let third = first.clone();
    drop(first);
    third.release().await.unwrap();
    h.sleep(50).await;
    assert!(get(&other).await.is_none(), "one guard is left");
    again.release().await.unwrap();
    assert!(get(&other).await.is_some());
}

pub async fn that_are_dropped_release_it(h: ExclusiveHarness) {
    let (one, other) = (h.instance().await, h.instance().await);
    drop(get(&one).await.unwrap());
    other.acquire(SOON).await.unwrap();
}

pub async fn outlive_the_instance(h: ExclusiveHarness) {
    let (one, other) = (h.instance().await, h.instance().await);
    let guard = get(&one).await.unwrap();
    drop(one);
    h.sleep(50).await;
    assert!(get(&other).await.is_none());
    guard.release().await.unwrap();
    assert!(get(&other).await.is_some());
}

pub async fn have_a_token_that_grows(h: ExclusiveHarness) {
    let (one, other) = (h.instance().await, h.instance().await);
    let mut last = 0;
    for _ in 0..3 {
        for exclusive in [&one, &other] {
            let guard = get(exclusive).await.unwrap();
            let token = guard.token().expect("others share the database");
            assert!(token > last, "{token} after {last}");
            last = token;
            guard.release().await.unwrap();
        }
    }
}

pub async fn tell_once_whether_somebody_else_had_it(h: ExclusiveHarness) {
    let (one, other) = (h.instance().await, h.instance().await);
    for _ in 0..2 {
        let guard = get(&one).await.unwrap();
        assert!(!guard.is_dirty(), "nobody else has had it");
        guard.release().await.unwrap();
    }
    get(&other).await.unwrap().release().await.unwrap();
    let guard = get(&one).await.unwrap();
    assert!(guard.is_dirty());
    guard.clear_dirty();
    guard.release().await.unwrap();
    assert!(!get(&one).await.unwrap().is_dirty());
}
