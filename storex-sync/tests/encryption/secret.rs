//! Two devices in step, and a log that learns nothing.

use std::time::Duration;

use serde_json::json;
use storex_sync::{
    Compaction, ContinuousSync, Cursor, Device as DeviceId, EncryptedSharedLog, MemorySharedLog,
    SharedSyncLog, SyncError,
};

use super::{FIRST, create, items, open, with_ring};
use crate::support::{Device, assert_in_step, parked_count, shared_log};

/// All that the log holds.
async fn bytes(log: &MemorySharedLog) -> Vec<u8> {
    let page = log.read(DeviceId::NOBODY, &Cursor::default(), usize::MAX).await.unwrap();
    assert!(!page.more);
    let mut all: Vec<Vec<u8>> = page.transactions.into_iter().map(|it| it.payload).collect();
    all.extend(items(log).await);
    let snapshots = log.snapshots().unwrap();
    if let Some(snapshot) = snapshots.published().await.unwrap() {
        for page in 0..snapshot.pages {
            all.push(snapshots.page(snapshot.id, page).await.unwrap().unwrap());
        }
    }
    all.concat()
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[tokio::test]
async fn two_devices_get_in_step_and_the_log_learns_no_word() {
    let words = ["note", "title", "stars", "a-key-of-a-note", "Buy milk", "Buy bread"];
    let (plain, log) = (shared_log(), shared_log());
    let (on_a, on_b) = (create(&log, 11).await, open(&log, FIRST, 12).await.unwrap());
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    a.create("note", json!({"id": "a-key-of-a-note", "title": "Buy milk", "stars": 3})).await;
    let twin = a.copied(3).await;
    a.sync(&on_a).await;
    b.sync(&on_b).await;
    b.retitle("a-key-of-a-note", "Buy bread").await;
    b.sync(&on_b).await;
    let everything = Compaction { least: 0, most_behind: None };
    let sync = a.join(&on_a).await.compaction(everything);
    sync.sync_once().await.unwrap();
    assert!(sync.compact().await.unwrap().snapshot.is_some());
    assert_in_step(&[&a, &b]).await;
    assert_eq!(a.title("a-key-of-a-note").await.as_deref(), Some("Buy bread"));

    twin.sync(&plain).await;
    let (clear, sealed) = (bytes(&plain).await, bytes(&log).await);
    for word in &words[..5] {
        assert!(holds(&clear, word), "without encryption {word} is there to be found");
    }
    for word in words {
        assert!(!holds(&sealed, word), "{word}");
    }
    for secret in [on_a.key_ring().to_bytes()[2..].to_vec(), FIRST.as_bytes().to_vec()] {
        assert!(!sealed.windows(secret.len()).any(|window| window == secret));
        let shown = format!("{on_a:?} {:?}", on_a.key_ring());
        assert!(!shown.contains(&format!("{secret:?}")) && !shown.contains(FIRST));
    }
}

#[tokio::test]
async fn sizes_tell_little() {
    let log = shared_log();
    let on_a = create(&log, 11).await;
    let a = Device::new(1).await;
    for n in 0..60 {
        a.note(&n.to_string(), &"x".repeat(n)).await;
    }
    a.sync(&on_a).await;
    let page = log.read(DeviceId::NOBODY, &Cursor::default(), usize::MAX).await.unwrap();
    let lengths: Vec<_> = page.transactions.iter().map(|it| it.payload.len()).collect();
    assert_eq!(lengths, vec![EncryptedSharedLog::encrypted_len(0); 60]);
}

#[tokio::test(start_paused = true)]
async fn continuous_sync_over_it() {
    let log = shared_log();
    let (on_a, on_b) = (create(&log, 11).await, open(&log, FIRST, 12).await.unwrap());
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    let every = Duration::from_secs(3600);
    let sync_a = ContinuousSync::start(a.join(&on_a).await, every);
    let sync_b = ContinuousSync::start(b.join(&on_b).await, every);
    sync_b.sync_now().await.unwrap().unwrap();
    a.note("1", "told at once").await;
    let mut changes = b.storage.changes();
    while b.title("1").await.is_none() {
        changes.next().await.unwrap();
    }
    sync_a.stop().await;
    sync_b.stop().await;
    assert_in_step(&[&a, &b]).await;
}

#[tokio::test]
async fn a_program_that_knows_nothing_of_encryption_is_told() {
    let log = shared_log();
    let on_a = create(&log, 11).await;
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    a.note("1", "encrypted").await;
    a.sync(&on_a).await;
    let without = b.join(&log).await;
    let error = without.sync_once().await.unwrap_err();
    let whose = a.join(&log).await.device().await.unwrap().to_string();
    assert!(matches!(&error, SyncError::UnknownKey { what } if what.contains(&whose)), "{error}");
    assert_eq!(parked_count(&b).await, 0, "nothing is put aside as damaged");
    // With the keys it goes on where it was.
    b.sync(&with_ring(&log, &on_a.key_ring(), 12)).await;
    assert_in_step(&[&a, &b]).await;
}

#[tokio::test]
async fn what_was_put_there_without_encryption_is_refused() {
    let log = shared_log();
    let on_a = create(&log, 11).await;
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    b.note("1", "in the clear").await;
    b.sync(&log).await;
    let error = a.join(&on_a).await.sync_once().await.unwrap_err();
    assert!(matches!(error, SyncError::NotAuthentic { .. }), "{error}");
    assert_eq!(a.title("1").await, None);
}
