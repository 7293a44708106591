//! The sealed keys that a log keeps.

use std::sync::Arc;

use futures_util::future::join;
use storex_core::ErrorKind;
use storex_sync::{SEALED_KEY_LIMIT, SealedKeyName, SealedKeys, SharedSyncLog, SyncError};

use super::{LogHarness, append_each, catch_up, device, give_up_after};

/// The log; `None` when it keeps no keys, and says so.
async fn keeping(harness: &LogHarness) -> Option<Arc<dyn SharedSyncLog>> {
    let log = harness.log().await;
    assert_eq!(log.keys().is_some(), harness.keeps_keys());
    harness.keeps_keys().then_some(log)
}

fn of(log: &Arc<dyn SharedSyncLog>) -> &dyn SealedKeys {
    log.keys().expect("a log that keeps keys")
}

fn name(n: u8) -> SealedKeyName {
    SealedKeyName([n; 16])
}

async fn put(log: &Arc<dyn SharedSyncLog>, n: u8, bytes: &[u8]) {
    of(log).put(name(n), bytes).await.expect("an item is kept");
}

async fn get(log: &Arc<dyn SharedSyncLog>, n: u8) -> Option<Vec<u8>> {
    of(log).get(name(n)).await.expect("an item is read")
}

pub async fn there_are_none_at_first(harness: LogHarness) {
    let Some(log) = keeping(&harness).await else { return };
    append_each(&*log, device(1), 1..=2).await;
    assert_eq!(of(&log).names().await.unwrap(), []);
    assert_eq!(get(&log, 1).await, None);
}

pub async fn they_are_read_as_they_were_written(harness: LogHarness) {
    let Some(log) = keeping(&harness).await else { return };
    let contents = [Vec::new(), (0..=255).collect::<Vec<u8>>(), vec![0xa5; SEALED_KEY_LIMIT]];
    for (n, bytes) in (0..).zip(&contents) {
        put(&log, n, bytes).await;
    }
    for (n, bytes) in (0..).zip(contents) {
        assert_eq!(get(&log, n).await, Some(bytes));
    }
    assert_eq!(get(&log, 9).await, None);
}

pub async fn they_are_listed_in_ascending_order(harness: LogHarness) {
    let Some(log) = keeping(&harness).await else { return };
    for n in [7, 0, 255, 128] {
        put(&log, n, &[n]).await;
    }
    assert_eq!(of(&log).names().await.unwrap(), [0, 7, 128, 255].map(name));
}

pub async fn the_same_again_changes_nothing(harness: LogHarness) {
    let Some(log) = keeping(&harness).await else { return };
    for _ in 0..2 {
        put(&log, 1, b"a key").await;
    }
    assert_eq!(of(&log).names().await.unwrap(), [name(1)]);
    assert_eq!(get(&log, 1).await.as_deref(), Some(&b"a key"[..]));
}

pub async fn other_contents_under_a_name_are_refused(harness: LogHarness) {
    let Some(log) = keeping(&harness).await else { return };
    put(&log, 1, b"a key").await;
    for other in [&b"another"[..], b"a ke", b""] {
        let error = of(&log).put(name(1), other).await.unwrap_err();
        assert!(matches!(error, SyncError::KeyExists { name: it } if it == name(1)), "{error}");
        assert_eq!(error.kind(), ErrorKind::Conflict);
    }
    assert_eq!(get(&log, 1).await.as_deref(), Some(&b"a key"[..]));
}

pub async fn they_outlive_the_value_of_the_log(harness: LogHarness) {
    let Some(log) = keeping(&harness).await else { return };
    put(&log, 1, b"a key").await;
    drop(log);
    let log = harness.log().await;
    assert_eq!(get(&log, 1).await.as_deref(), Some(&b"a key"[..]));
    assert!(of(&log).put(name(1), b"another").await.is_err());
}

pub async fn they_are_of_one_log(harness: LogHarness) {
    let Some(log) = keeping(&harness).await else { return };
    put(&log, 1, b"a key").await;
    let other = harness.another_log().await;
    assert_eq!(of(&other).names().await.unwrap(), []);
    assert_eq!(get(&other, 1).await, None);
    put(&other, 1, b"another").await;
    assert_eq!(get(&log, 1).await.as_deref(), Some(&b"a key"[..]));
}

pub async fn trimming_and_another_identity_leave_them_alone(harness: LogHarness) {
    let Some(log) = keeping(&harness).await else { return };
    let id = log.register(device(2)).await.unwrap();
    put(&log, 1, b"a key").await;
    append_each(&*log, device(1), 1..=5).await;
    catch_up(&*log, device(2)).await;
    assert!(log.trim().await.unwrap().transactions > 0);
    assert_ne!(log.reidentify(id).await.unwrap(), id);
    assert_eq!(get(&log, 1).await.as_deref(), Some(&b"a key"[..]));
}

pub async fn two_devices_at_once(harness: LogHarness) {
    let Some(log) = keeping(&harness).await else { return };
    let other = harness.log().await;
    for n in 0..10 {
        let (mine, theirs) = ([n, 1], [n + 100, 2]);
        join(put(&log, n, &mine), put(&other, n + 100, &theirs)).await;
        join(put(&log, n, &mine), put(&other, n, &mine)).await;
    }
    assert_eq!(of(&log).names().await.unwrap().len(), 20);
    for n in 0..10 {
        assert_eq!(get(&log, n + 100).await.as_deref(), Some(&[n + 100, 2][..]));
    }
}

pub async fn putting_may_be_given_up_and_repeated(harness: LogHarness) {
    let Some(log) = keeping(&harness).await else { return };
    for n in 0..12 {
        give_up_after(n.into(), async { drop(of(&log).put(name(n), &[n]).await) }).await;
        put(&log, n, &[n]).await;
        assert_eq!(get(&log, n).await.as_deref(), Some(&[n][..]));
    }
    assert_eq!(of(&log).names().await.unwrap().len(), 12);
}
