//! Cursors, and the value of a log that is opened again.

use storex_core::ErrorKind;
use storex_sync::{Cursor, SyncError};

use super::{LogHarness, catch_up, device, read_all, transaction, transactions};

const ALL: usize = 1 << 20;

pub async fn they_outlive_the_value_of_the_log(harness: LogHarness) {
    let log = harness.log().await;
    log.append(&transactions(device(1), 1..=5)).await.unwrap();
    let size = harness.weight(&transaction(device(1), 1));
    let page = log.read(device(2), &Cursor::default(), size * 2).await.unwrap();
    assert_eq!(page.transactions, transactions(device(1), 1..=2));
    drop(log);
    let log = harness.log().await;
    let (read, _) = read_all(&*log, device(2), page.cursor, ALL).await;
    assert_eq!(read, transactions(device(1), 3..=5));
}

pub async fn what_is_known_outlives_the_value_of_the_log(harness: LogHarness) {
    let log = harness.log().await;
    let id = log.register(device(1)).await.unwrap();
    log.register(device(2)).await.unwrap();
    log.append(&transactions(device(1), 1..=3)).await.unwrap();
    catch_up(&*log, device(2)).await;
    let members = log.members().await.unwrap();
    drop(log);
    let log = harness.log().await;
    assert_eq!(log.members().await.unwrap(), members);
    assert_eq!(log.register(device(1)).await.unwrap(), id);
    log.append(&transactions(device(1), 2..=3)).await.unwrap();
    let error = log.append(&transactions(device(1), 5..=5)).await.unwrap_err();
    assert!(matches!(error, SyncError::Gap { expected: 4, .. }), "{error}");
    let (read, _) = read_all(&*log, device(2), Cursor::default(), ALL).await;
    assert_eq!(read, transactions(device(1), 1..=3));
}

pub async fn another_log_is_told_from_this_one(harness: LogHarness) {
    let (log, other) = (harness.log().await, harness.another_log().await);
    let id = log.register(device(1)).await.unwrap();
    let other_id = other.register(device(1)).await.unwrap();
    assert_ne!(id, other_id);
    assert_eq!(other.read(device(1), &Cursor::default(), ALL).await.unwrap().log, other_id);
    log.append(&transactions(device(1), 1..=1)).await.unwrap();
    assert!(read_all(&*other, device(2), Cursor::default(), ALL).await.0.is_empty());
}

/// The log was wiped and begun again: whoever reads on from its old place sees from the page that it is another one.
pub async fn of_another_log_they_do_no_harm(harness: LogHarness) {
    let (log, other) = (harness.log().await, harness.another_log().await);
    let id = log.register(device(1)).await.unwrap();
    log.append(&transactions(device(1), 1..=9)).await.unwrap();
    let (_, cursor) = read_all(&*log, device(2), Cursor::default(), ALL).await;
    other.append(&transactions(device(1), 1..=2)).await.unwrap();
    if let Ok(page) = other.read(device(2), &cursor, ALL).await {
        assert_ne!(page.log, id);
    }
    let (read, _) = read_all(&*other, device(2), Cursor::default(), ALL).await;
    assert_eq!(read, transactions(device(1), 1..=2));
}

pub async fn rubbish_does_no_harm(harness: LogHarness) {
    let log = harness.log().await;
    log.register(device(2)).await.unwrap();
    log.append(&transactions(device(1), 1..=3)).await.unwrap();
    let (_, place) = read_all(&*log, device(2), Cursor::default(), ALL).await;
    for len in 0..40 {
        for byte in [0, 1, 0x7f, 0x80, 0xff] {
            // An error or a page, as it happens.
            let _ = log.read(device(2), &Cursor(vec![byte; len]), ALL).await;
            let mut damaged = place.0.clone();
            if let Some(there) = damaged.get_mut(len) {
                *there ^= byte;
            }
            let _ = log.read(device(2), &Cursor(damaged), ALL).await;
        }
        let cut = Cursor(place.0[..len.min(place.0.len())].to_vec());
        let _ = log.read(device(2), &cut, ALL).await;
    }
    let foreign = Cursor(b"not a place of this log".to_vec());
    let error = log.acknowledge(device(2), &foreign).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert_eq!(log.members().await.unwrap()[0].behind, 3, "it was not noted");
    let (read, _) = read_all(&*log, device(2), Cursor::default(), ALL).await;
    assert_eq!(read, transactions(device(1), 1..=3));
}

pub async fn it_gets_another_identity_once(harness: LogHarness) {
    let log = harness.log().await;
    let id = log.register(device(1)).await.unwrap();
    log.append(&transactions(device(1), 1..=2)).await.unwrap();
    let (_, cursor) = read_all(&*log, device(2), Cursor::default(), ALL).await;
    let other = log.reidentify(id).await.unwrap();
    assert_ne!(other, id);
    assert_eq!(log.reidentify(id).await.unwrap(), other, "somebody else was first");
    let page = log.read(device(2), &cursor, ALL).await.unwrap();
    assert_eq!((page.log, page.own), (other, 0));
    assert_eq!(log.read(device(1), &Cursor::default(), ALL).await.unwrap().own, 2);
    drop(log);
    let log = harness.log().await;
    assert_eq!(log.register(device(1)).await.unwrap(), other);
    let (read, _) = read_all(&*log, device(2), Cursor::default(), ALL).await;
    assert_eq!(read, transactions(device(1), 1..=2), "what it holds stays");
}
