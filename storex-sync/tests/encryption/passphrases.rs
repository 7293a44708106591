//! How devices come by the keys.

use std::sync::Arc;

use storex_sync::{
    Access, EncryptedSharedLog, KeyRing, MemorySharedLog, PassphraseCost, SEALED_KEY_LIMIT,
    SealedKeyName, SharedSyncLog, SyncError,
};

use super::{FIRST, SECOND, by, create, items, open, passphrase, runtime, with_ring};
use crate::support::{Device, assert_in_step, settle, shared_log};

#[tokio::test]
async fn a_wrong_passphrase_is_told_before_anything_is_sent() {
    let log = shared_log();
    create(&log, 11).await;
    for wrong in ["", "correct horse battery stapl", "Correct horse battery staple"] {
        let error = open(&log, wrong, 12).await.unwrap_err();
        assert!(matches!(error, SyncError::WrongPassphrase), "{error}");
    }
    assert!(log.is_empty() && log.members().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_log_without_keys_is_told_from_one_with_another_passphrase() {
    let log = shared_log();
    let error = open(&log, FIRST, 12).await.unwrap_err();
    assert!(matches!(error, SyncError::NoKeys), "{error}");
    create(&log, 11).await;
    let second = EncryptedSharedLog::create(log.clone(), &by(SECOND), runtime(12)).await;
    assert!(matches!(second.unwrap_err(), SyncError::HasKeys));
    open(&log, FIRST, 12).await.unwrap();
}

#[tokio::test]
async fn keys_that_were_kept_need_no_passphrase() {
    let log = shared_log();
    let on_a = create(&log, 11).await;
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    a.note("1", "Hello").await;
    a.sync(&on_a).await;
    let kept = on_a.key_ring().to_bytes();
    let again = KeyRing::from_bytes(&kept).unwrap();
    b.sync(&with_ring(&log, &again, 12)).await;
    assert_in_step(&[&a, &b]).await;
    for cut in 0..kept.len() {
        assert!(KeyRing::from_bytes(&kept[..cut]).is_err());
    }
}

/// Both ask whether there are keys before either has left its own.
async fn two_at_once() -> (Arc<EncryptedSharedLog>, Arc<EncryptedSharedLog>, Arc<MemorySharedLog>) {
    let (log, other) = (shared_log(), shared_log());
    let on_b = create(&other, 12).await;
    let on_a = create(&log, 11).await;
    for (n, item) in (0..).zip(items(&other).await) {
        log.keys().unwrap().put(SealedKeyName([n; 16]), &item).await.unwrap();
    }
    (on_a, with_ring(&log, &on_b.key_ring(), 13), log)
}

#[tokio::test]
async fn first_keys_that_were_made_at_once_are_both_good() {
    let (on_a, on_b, log) = two_at_once().await;
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    a.note("1", "from A").await;
    b.note("2", "from B").await;
    a.sync(&on_a).await;
    let error = b.join(&on_b).await.sync_once().await.unwrap_err();
    assert!(matches!(error, SyncError::UnknownKey { .. }), "{error}");
    on_a.unlock(&passphrase(FIRST)).await.unwrap();
    on_b.unlock(&passphrase(FIRST)).await.unwrap();
    for _ in 0..2 {
        a.sync(&on_a).await;
        b.sync(&on_b).await;
    }
    assert_in_step(&[&a, &b]).await;
    // A third one has both, and all three go on with the same one.
    let on_c = open(&log, FIRST, 14).await.unwrap();
    let c = Device::new(3).await;
    settle(&[&c], &on_c).await;
    assert_in_step(&[&a, &b, &c]).await;
    let current = |log: &EncryptedSharedLog| log.key_ring().to_bytes()[1..34].to_vec();
    assert_eq!(current(&on_a), current(&on_b));
    assert_eq!(current(&on_a), current(&on_c));
}

#[tokio::test]
async fn another_passphrase_may_be_granted() {
    let log = shared_log();
    let on_a = create(&log, 11).await;
    on_a.grant(&by(SECOND)).await.unwrap();
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    a.note("1", "Hello").await;
    a.sync(&on_a).await;
    open(&log, FIRST, 12).await.unwrap();
    b.sync(&open(&log, SECOND, 13).await.unwrap()).await;
    assert_in_step(&[&a, &b]).await;
}

/// What a log of somebody else's may hold, at worst.
#[tokio::test]
async fn items_that_are_none_are_passed_over() {
    let log = shared_log();
    let keys = log.keys().unwrap();
    let on_a = create(&log, 11).await;
    let real = items(&log).await.remove(0);
    let mut rubbish = vec![Vec::new(), b"stxk".to_vec(), vec![0; SEALED_KEY_LIMIT + 1]];
    rubbish.extend((0..real.len()).step_by(7).map(|cut| real[..cut].to_vec()));
    // More memory, and more passes, than anybody should take: the salt has 16 bytes, and 64 and 1 follow it.
    let at = 4 + 1 + 16 + 1 + 1 + 1 + 16;
    assert_eq!(real[at..at + 2], [64, 1]);
    for cost in [
        &[0xff, 0xff, 0xff, 0xff, 0x0f, 1][..],
        &[64, 0xff, 0xff, 0xff, 0xff, 0x0f],
        &[7, 1],
        &[64, 0],
    ] {
        rubbish.push([&real[..at], cost, &real[at + 2..]].concat());
    }
    for (n, bytes) in (1..).zip(&rubbish) {
        keys.put(SealedKeyName([n; 16]), bytes).await.unwrap();
    }
    let on_b = open(&log, FIRST, 12).await.unwrap();
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    a.note("1", "Hello").await;
    settle(&[&a, &b], &on_b).await;
    b.note("2", "and back").await;
    b.sync(&on_b).await;
    a.sync(&on_a).await;
    assert_in_step(&[&a, &b]).await;
}

#[tokio::test]
async fn a_cost_that_nobody_may_ask_for_is_refused() {
    let log = shared_log();
    let cost = PassphraseCost { memory: 1 << 20, passes: 1 };
    let access = Access::by(passphrase(FIRST)).cost(cost);
    let created = EncryptedSharedLog::create(log.clone(), &access, runtime(1)).await;
    assert!(matches!(created.unwrap_err(), SyncError::Corrupt { .. }));
    assert!(items(&log).await.is_empty());
}

/// The default is what people get who choose nothing.
#[tokio::test]
async fn with_the_default_cost() {
    let log = shared_log();
    let access = Access::by(passphrase(FIRST));
    EncryptedSharedLog::create(log.clone(), &access, runtime(1)).await.unwrap();
    assert!(open(&log, SECOND, 2).await.is_err());
    open(&log, FIRST, 2).await.unwrap();
}
