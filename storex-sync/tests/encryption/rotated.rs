//! Rotations that fail, are repeated, or happen while somebody looks.

use std::sync::Arc;

use storex_sync::{
    Access, Device as DeviceId, DeviceKey, EncryptedSharedLog, SealedTransaction, SharedSyncLog,
    SyncError,
};

use super::wrapped::{Put, Wrapped};
use super::{SECOND, by, create, current, items, open, runtime, with_ring};
use crate::support::{Device, assert_in_step, shared_log};

const THIRD: &str = "seven green boats";

fn transaction(sequence: u64) -> SealedTransaction {
    let device = DeviceId { id: [1; 16], incarnation: 0 };
    SealedTransaction { device, sequence, payload: b"for the others only".to_vec() }
}

#[tokio::test]
async fn whether_it_has_arrived_or_not_it_is_repeated_with_the_same_passphrase() {
    for put in [Put::Fail, Put::DropAnswer] {
        let log = shared_log();
        let flaky = Wrapped::new(&log);
        let laptop = create(&flaky, 11).await;
        flaky.on_put(put);
        let error = laptop.rotate(&by(SECOND)).await.unwrap_err();
        assert!(matches!(error, SyncError::Transport { .. }), "{error}");
        laptop.rotate(&by(SECOND)).await.unwrap();
        assert_eq!(items(&log).await.len(), 2, "no key too many");
        let error = laptop.rotate(&by(SECOND)).await.unwrap_err();
        assert!(matches!(error, SyncError::FormerPassphrase), "it has happened: {error}");
        let (a, b) = (Device::new(1).await, Device::new(2).await);
        a.note("1", "after").await;
        a.sync(&laptop).await;
        let tablet = open(&log, SECOND, 12).await.unwrap();
        assert_eq!(current(&tablet), current(&laptop));
        b.sync(&tablet).await;
        assert_in_step(&[&a, &b]).await;
    }
}

#[tokio::test]
async fn another_passphrase_after_a_lost_answer_makes_another_key() {
    for put in [Put::Fail, Put::DropAnswer] {
        let log = shared_log();
        let flaky = Wrapped::new(&log);
        let laptop = create(&flaky, 11).await;
        flaky.on_put(put);
        laptop.rotate(&by(SECOND)).await.unwrap_err();
        laptop.rotate(&by(THIRD)).await.unwrap();
        assert_eq!(current(&open(&log, THIRD, 12).await.unwrap()), current(&laptop));
        laptop.append(&[transaction(1)]).await.unwrap();
    }
}

#[tokio::test]
async fn a_device_that_was_restarted_after_a_lost_answer_has_the_key() {
    let log = shared_log();
    let flaky = Wrapped::new(&log);
    let key = DeviceKey::generate(&*runtime(31));
    let created = EncryptedSharedLog::create(flaky.clone(), &by("first"), runtime(11)).await;
    let laptop = created.unwrap().device(key.clone());
    let (revoked, kept) = (with_ring(&log, &laptop.key_ring(), 12), laptop.key_ring());
    flaky.on_put(Put::DropAnswer);
    let phone = DeviceKey::generate(&*runtime(32)).public();
    laptop.rotate(&Access::of_devices([phone])).await.unwrap_err();
    let again = EncryptedSharedLog::new(log.clone(), kept, runtime(13)).device(key);
    let a = Device::new(1).await;
    a.note("1", "after").await;
    a.sync(&Arc::new(again)).await;
    let error = Device::new(3).await.join(&revoked).await.sync_once().await.unwrap_err();
    assert!(matches!(error, SyncError::UnknownKey { .. }), "{error}");
}

/// Its own key, which nobody has, is not the latest.
#[tokio::test]
async fn who_was_left_out_and_failed_to_rotate_sends_nothing() {
    let log = shared_log();
    let laptop = create(&log, 11).await;
    let flaky = Wrapped::new(&log);
    let tablet = with_ring(&flaky, &laptop.key_ring(), 12);
    flaky.on_put(Put::Fail);
    tablet.rotate(&by(THIRD)).await.unwrap_err();
    laptop.rotate(&by(SECOND)).await.unwrap();
    let b = Device::new(2).await;
    b.note("1", "for the others only").await;
    let error = b.join(&tablet).await.sync_once().await.unwrap_err();
    assert!(matches!(error, SyncError::UnknownKey { .. }), "{error}");
    assert!(log.is_empty());
}

#[tokio::test]
async fn each_passphrase_that_was_granted_is_refused() {
    let log = shared_log();
    let laptop = create(&log, 11).await;
    let granted: Vec<_> = (0..20).map(|n| format!("of guest {n}")).collect();
    for passphrase in &granted {
        laptop.grant(&by(passphrase)).await.unwrap();
    }
    for passphrase in &granted {
        let refused = laptop.rotate(&by(passphrase)).await;
        assert!(matches!(refused, Err(SyncError::FormerPassphrase)), "{passphrase}: {refused:?}");
    }
    laptop.rotate(&by(SECOND)).await.unwrap();
}

#[tokio::test]
async fn where_there_are_too_many_to_try_it_says_so() {
    let log = shared_log();
    let laptop = create(&log, 11).await;
    for n in 0..256 {
        laptop.grant(&by(&format!("of guest {n}"))).await.unwrap();
    }
    let before = current(&laptop);
    let error = laptop.rotate(&by(SECOND)).await.unwrap_err();
    assert!(matches!(error, SyncError::Corrupt { .. }), "{error}");
    assert_eq!(current(&laptop), before);
}

/// One that enters the log while another part of the program looks for keys.
#[tokio::test]
async fn a_rotation_behind_the_look_is_seen_by_the_next() {
    let log = shared_log();
    let laptop = create(&log, 11).await;
    let slow = Wrapped::new(&log);
    let tablet = with_ring(&slow, &laptop.key_ring(), 12);
    let enters = Arc::clone(&tablet);
    slow.after_names(async move {
        laptop.rotate(&by(SECOND)).await.unwrap();
        enters.register(transaction(1).device).await.unwrap();
    });
    tablet.append(&[transaction(1)]).await.unwrap();
    let error = tablet.append(&[transaction(2)]).await.unwrap_err();
    assert!(matches!(error, SyncError::UnknownKey { .. }), "{error}");
    assert_eq!(log.len(), 1);
}
