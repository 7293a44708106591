//! Appending.

use storex_core::ErrorKind;
use storex_sync::{Cursor, Device, SyncError};

use super::{
    LogHarness, by_device, device, give_up_after, pause, read_all, transaction, transactions,
};

const ALL: usize = 1 << 20;

pub async fn the_same_bytes_again_are_passed_over(harness: LogHarness) {
    let log = harness.log().await;
    log.register(device(1)).await.unwrap();
    let some = transactions(device(1), 1..=3);
    log.append(&some).await.unwrap();
    log.append(&some).await.unwrap();
    log.append(&some[1..2]).await.unwrap();
    assert_eq!(read_all(&*log, device(2), Cursor::default(), ALL).await.0, some);
}

pub async fn the_same_bytes_together_with_new_ones(harness: LogHarness) {
    let log = harness.log().await;
    log.append(&transactions(device(1), 1..=2)).await.unwrap();
    log.append(&transactions(device(1), 1..=4)).await.unwrap();
    let (read, _) = read_all(&*log, device(2), Cursor::default(), ALL).await;
    assert_eq!(read, transactions(device(1), 1..=4));
}

pub async fn other_bytes_under_a_known_number_are_refused_whole(harness: LogHarness) {
    let log = harness.log().await;
    log.append(&transactions(device(1), 1..=2)).await.unwrap();
    let mut forged = transaction(device(1), 2);
    forged.payload = b"something else".to_vec();
    let error = log.append(&[forged, transaction(device(1), 3)]).await.unwrap_err();
    assert!(
        matches!(error, SyncError::Forked { device: of, sequence: 2 } if of == device(1)),
        "{error}"
    );
    assert!(!error.is_retryable(), "it would be refused again");
    let (read, _) = read_all(&*log, device(2), Cursor::default(), ALL).await;
    assert_eq!(read, transactions(device(1), 1..=2), "nothing of it was appended");
}

pub async fn a_number_left_out_is_refused_whole(harness: LogHarness) {
    let log = harness.log().await;
    log.append(&transactions(device(1), 1..=2)).await.unwrap();
    let some = [transaction(device(1), 3), transaction(device(1), 5)];
    let error = log.append(&some).await.unwrap_err();
    assert!(matches!(error, SyncError::Gap { expected: 4, found: 5, .. }), "{error}");
    assert_eq!(error.kind(), ErrorKind::Conflict);
    let (read, _) = read_all(&*log, device(2), Cursor::default(), ALL).await;
    assert_eq!(read, transactions(device(1), 1..=2), "nothing of it was appended");
}

pub async fn a_first_number_that_is_not_one_is_refused(harness: LogHarness) {
    let log = harness.log().await;
    let error = log.append(&transactions(device(1), 2..=3)).await.unwrap_err();
    assert!(matches!(error, SyncError::Gap { expected: 1, found: 2, .. }), "{error}");
}

pub async fn nothing_to_append(harness: LogHarness) {
    let log = harness.log().await;
    log.append(&[]).await.unwrap();
    assert!(read_all(&*log, device(2), Cursor::default(), ALL).await.0.is_empty());
}

pub async fn incarnations_of_a_device_count_on_their_own(harness: LogHarness) {
    let log = harness.log().await;
    let second = Device { incarnation: 1, ..device(1) };
    log.append(&transactions(device(1), 1..=2)).await.unwrap();
    log.append(&transactions(second, 1..=1)).await.unwrap();
    let (read, _) = read_all(&*log, device(1), Cursor::default(), ALL).await;
    assert_eq!(
        read,
        transactions(second, 1..=1),
        "the new life gets nothing of its own, the old one all of the new"
    );
}

pub async fn bytes_of_every_kind_and_a_large_transaction(harness: LogHarness) {
    let log = harness.log().await;
    let mut some = transactions(device(1), 1..=3);
    some[0].payload = Vec::new();
    some[1].payload = (0..=255).collect();
    some[2].payload = vec![7; 5 << 20];
    log.append(&some).await.unwrap();
    assert_eq!(read_all(&*log, device(2), Cursor::default(), ALL).await.0, some);
}

pub async fn registering_twice_keeps_what_is_known(harness: LogHarness) {
    let log = harness.log().await;
    let id = log.register(device(1)).await.unwrap();
    log.append(&transactions(device(1), 1..=2)).await.unwrap();
    assert_eq!(log.register(device(1)).await.unwrap(), id);
    log.append(&transactions(device(1), 3..=3)).await.unwrap();
    let (read, _) = read_all(&*log, device(2), Cursor::default(), ALL).await;
    assert_eq!(read, transactions(device(1), 1..=3));
}

pub async fn two_devices_at_once(harness: LogHarness) {
    let log = harness.log().await;
    let append = |n: u8| {
        let log = log.clone();
        async move {
            for sequence in 1..=20 {
                log.append(&[transaction(device(n), sequence)]).await.unwrap();
            }
        }
    };
    futures_util::future::join(append(1), append(2)).await;
    let (read, _) = read_all(&*log, device(3), Cursor::default(), 64).await;
    for n in [1, 2] {
        let of: Vec<_> = read.iter().filter(|it| it.device == device(n)).cloned().collect();
        assert_eq!(
            of,
            transactions(device(n), 1..=20),
            "each device's in its own order, none lost"
        );
    }
    assert_eq!(read.len(), 40);
}

pub async fn transactions_of_several_devices_are_refused(harness: LogHarness) {
    let log = harness.log().await;
    let some = [transaction(device(1), 1), transaction(device(2), 1)];
    let error = log.append(&some).await.unwrap_err();
    assert!(matches!(error, SyncError::Protocol { .. }), "{error}");
    assert!(read_all(&*log, device(3), Cursor::default(), ALL).await.0.is_empty());
}

pub async fn many_devices_append_while_others_read(harness: LogHarness) {
    let log = harness.log().await;
    let append = |n: u8| {
        let log = log.clone();
        async move {
            for sequence in 1..=10 {
                log.append(&[transaction(device(n), sequence)]).await.unwrap();
                pause().await;
            }
        }
    };
    let read = |n: u8| {
        let log = log.clone();
        async move {
            let (mut all, mut cursor) = (Vec::new(), Cursor::default());
            while all.len() < 50 {
                let page = log.read(device(n), &cursor, 64).await.unwrap();
                all.extend(page.transactions);
                cursor = page.cursor;
                pause().await;
            }
            let expected: Vec<_> = (1..=5).flat_map(|n| transactions(device(n), 1..=10)).collect();
            assert_eq!(by_device(all), expected, "each one once, in the order of its device");
        }
    };
    let appending = futures_util::future::join_all((1..=5).map(append));
    let reading = futures_util::future::join_all((11..=13).map(read));
    futures_util::future::join(appending, reading).await;
}

pub async fn one_that_was_given_up_may_be_repeated(harness: LogHarness) {
    let log = harness.log().await;
    for sequence in 1..=12 {
        let one = [transaction(device(1), sequence)];
        let polls = usize::try_from(sequence).unwrap() - 1;
        give_up_after(polls, async { log.append(&one).await.unwrap() }).await;
        log.append(&one).await.unwrap();
    }
    let (read, _) = read_all(&*log, device(2), Cursor::default(), ALL).await;
    assert_eq!(read, transactions(device(1), 1..=12), "each one once");
}
