//! Appends whose answer was lost, and keys that were rotated before they are repeated.

use std::sync::Arc;

use storex_sync::{
    Cursor, Device as DeviceId, EncryptedSharedLog, LogRequest, SealedTransaction, SharedSyncLog,
    SyncError,
};

use super::wrapped::Wrapped;
use super::{FIRST, SECOND, by, create, open, runtime};
use crate::support::log::{Call, Fault, ScriptedLog};
use crate::support::{Device, assert_in_step, shared_log};

const ALL: usize = 1 << 20;

fn writer() -> DeviceId {
    DeviceId { id: [1; 16], incarnation: 0 }
}

fn transactions(sequences: std::ops::RangeInclusive<u64>) -> Vec<SealedTransaction> {
    let one = |sequence| SealedTransaction {
        device: writer(),
        sequence,
        payload: format!("transaction {sequence}").into_bytes(),
    };
    sequences.map(one).collect()
}

async fn read(log: &EncryptedSharedLog) -> Vec<SealedTransaction> {
    log.read(DeviceId::NOBODY, &Cursor::default(), ALL).await.unwrap().transactions
}

async fn rotate(log: &EncryptedSharedLog, n: u32) {
    log.rotate(&by(&format!("passphrase {n}"))).await.unwrap();
}

#[tokio::test]
async fn the_same_transaction_is_the_same_bytes_each_time() {
    let log = shared_log();
    let encrypted = create(&log, 11).await;
    encrypted.append(&transactions(1..=3)).await.unwrap();
    let again = open(&log, FIRST, 12).await.unwrap();
    again.append(&transactions(1..=3)).await.unwrap();
    again.append(&transactions(2..=4)).await.unwrap();
    assert_eq!(read(&again).await, transactions(1..=4));
    let held = log.read(DeviceId::NOBODY, &Cursor::default(), ALL).await.unwrap().transactions;
    let nonces: std::collections::BTreeSet<_> =
        held.iter().map(|it| it.payload[18..42].to_vec()).collect();
    assert_eq!(nonces.len(), 4);
}

#[tokio::test]
async fn what_was_appended_before_a_rotation_is_passed_over_after_it() {
    let log = shared_log();
    let scripted = ScriptedLog::new(&log);
    let encrypted = create(&scripted, 11).await;
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    let sync = a.join(&encrypted).await;
    sync.sync_once().await.unwrap();
    a.note("1", "sent, and the answer lost").await;
    scripted.script(Call::Append, [Fault::DropAnswer]);
    sync.sync_once().await.unwrap_err();
    encrypted.rotate(&by(SECOND)).await.unwrap();
    a.note("2", "written behind the rotation").await;
    let report = sync.sync_once().await.unwrap();
    assert_eq!((report.sent_transactions, report.incarnation), (2, None), "it is no fork");
    assert_eq!(log.len(), 2, "each one once");
    b.sync(&open(&log, SECOND, 12).await.unwrap()).await;
    assert_in_step(&[&a, &b]).await;
}

#[tokio::test]
async fn with_several_keys_some_trimmed_and_some_new() {
    let log = shared_log();
    let encrypted = create(&log, 11).await;
    encrypted.append(&transactions(1..=2)).await.unwrap();
    rotate(&encrypted, 1).await;
    encrypted.append(&transactions(3..=4)).await.unwrap();
    rotate(&encrypted, 2).await;
    encrypted.append(&transactions(5..=5)).await.unwrap();
    rotate(&encrypted, 3).await;
    // All of them, by two keys and more.
    encrypted.append(&transactions(1..=5)).await.unwrap();
    encrypted.append(&transactions(2..=3)).await.unwrap();
    assert_eq!(log.len(), 5);
    encrypted.append(&transactions(3..=7)).await.unwrap();
    assert_eq!(read(&encrypted).await, transactions(1..=7));
    // What everybody has is dropped, and is passed over together with what is there and can be read.
    let reader = DeviceId { id: [2; 16], incarnation: 0 };
    let page = encrypted.read(reader, &Cursor::default(), ALL).await.unwrap();
    encrypted.acknowledge(reader, &page.cursor).await.unwrap();
    assert_eq!(encrypted.trim().await.unwrap().transactions, 6);
    rotate(&encrypted, 4).await;
    let error = encrypted.append(&transactions(1..=8)).await.unwrap_err();
    assert!(matches!(error, SyncError::Forked { .. }), "nobody can tell: {error}");
    // The exchange tells where this device reads, which is behind all that was dropped.
    let (append, read) = (transactions(1..=8), Some(Cursor::at(6)));
    let request = LogRequest { device: writer(), acknowledge: None, append, read };
    encrypted.exchange(&request, ALL).await.unwrap();
    let rest = encrypted.read(reader, &page.cursor, ALL).await.unwrap();
    assert_eq!((rest.transactions, log.len()), (transactions(8..=8), 2));
}

/// Whatever the earlier keys are tried for: nothing gets into the log with them.
#[tokio::test]
async fn nothing_new_is_encrypted_with_an_earlier_key() {
    let log = shared_log();
    let encrypted = create(&log, 11).await;
    let revoked = Arc::new(EncryptedSharedLog::new(log.clone(), encrypted.key_ring(), runtime(12)));
    encrypted.append(&transactions(1..=3)).await.unwrap();
    rotate(&encrypted, 1).await;
    encrypted.append(&transactions(2..=6)).await.unwrap();
    let page = revoked.read(DeviceId::NOBODY, &Cursor::default(), 1).await.unwrap();
    assert_eq!(page.transactions, transactions(1..=1));
    let mut cursor = page.cursor;
    for _ in 0..2 {
        cursor = revoked.read(DeviceId::NOBODY, &cursor, 1).await.unwrap().cursor;
    }
    for _ in 4..=6 {
        let error = revoked.read(DeviceId::NOBODY, &cursor, 1).await.unwrap_err();
        assert!(matches!(error, SyncError::UnknownKey { .. }), "{error}");
        cursor = log.read(DeviceId::NOBODY, &cursor, 1).await.unwrap().cursor;
    }
}

/// A log that says what it likes, to get something that a device which was left out can read.
#[tokio::test]
async fn nothing_is_encrypted_with_an_earlier_key_for_a_log_that_lies() {
    let log = Wrapped::new(&shared_log());
    let encrypted = create(&log, 11).await;
    encrypted.append(&transactions(1..=3)).await.unwrap();
    let page = log.read(DeviceId::NOBODY, &Cursor::default(), ALL).await.unwrap();
    let name_of_key = |it: &SealedTransaction| it.payload[2..18].to_vec();
    let former = name_of_key(&page.transactions[0]);
    rotate(&encrypted, 1).await;
    log.lie();
    for fresh in [transactions(1..=6), transactions(3..=6), transactions(4..=6)] {
        let error = encrypted.append(&fresh).await.unwrap_err();
        assert!(matches!(error, SyncError::Forked { .. }), "{error}");
    }
    let given = log.given();
    assert!(given.len() > 3 && given.iter().all(|it| name_of_key(it) != former));
}

#[tokio::test]
async fn what_the_log_has_is_found_with_few_requests() {
    let log = shared_log();
    let scripted = ScriptedLog::new(&log);
    let encrypted = create(&scripted, 11).await;
    encrypted.append(&transactions(1..=50)).await.unwrap();
    rotate(&encrypted, 1).await;
    encrypted.append(&transactions(51..=100)).await.unwrap();
    rotate(&encrypted, 2).await;
    scripted.forget();
    encrypted.append(&transactions(1..=101)).await.unwrap();
    assert_eq!(read(&encrypted).await, transactions(1..=101));
    assert!(scripted.calls().len() < 6, "{:?}", scripted.calls());
}

#[tokio::test]
async fn another_transaction_under_a_number_is_still_a_fork() {
    let log = shared_log();
    let encrypted = create(&log, 11).await;
    encrypted.append(&transactions(1..=2)).await.unwrap();
    rotate(&encrypted, 1).await;
    encrypted.append(&transactions(3..=4)).await.unwrap();
    rotate(&encrypted, 2).await;
    for forged in 1..=4_usize {
        let mut other = transactions(1..=6);
        for one in &mut other[forged - 1..] {
            one.payload = b"of a copy of the database".to_vec();
        }
        let error = encrypted.append(&other).await.unwrap_err();
        let SyncError::Forked { sequence, .. } = error else { panic!("{error}") };
        assert_eq!(sequence, forged as u64, "the first that is another one");
    }
    assert_eq!(log.len(), 4);
    let error = encrypted.append(&transactions(6..=6)).await.unwrap_err();
    assert!(matches!(error, SyncError::Gap { expected: 5, found: 6, .. }), "{error}");
}
