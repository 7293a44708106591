//! Dropping what everybody has.

use storex_sync::{Cursor, SharedSyncLog, SyncError, Trimmed};

use super::{
    LogHarness, append_each, catch_up, device, pause, read_all, transaction, transactions,
};

const ALL: usize = 1 << 20;

/// A log of which the devices 1, 2 and 3 are members, with ten transactions of device 1.
async fn ten(harness: &LogHarness) -> std::sync::Arc<dyn SharedSyncLog> {
    let log = harness.log().await;
    for n in 1..=3 {
        log.register(device(n)).await.unwrap();
    }
    append_each(&*log, device(1), 1..=10).await;
    log
}

async fn trimmed(log: &dyn SharedSyncLog) -> u64 {
    let Trimmed { transactions } = log.trim().await.unwrap();
    transactions
}

async fn is_below(log: &dyn SharedSyncLog, n: u8, cursor: &Cursor) -> bool {
    match log.read(device(n), cursor, ALL).await {
        Ok(_) => false,
        Err(error @ SyncError::BelowFloor { reader }) => {
            assert_eq!(reader, device(n));
            assert!(error.to_string().contains("initial sync"), "it says what to do: {error}");
            assert!(!error.is_retryable());
            true
        }
        Err(error) => panic!("{error}"),
    }
}

pub async fn what_all_have_is_dropped(harness: LogHarness) {
    let log = ten(&harness).await;
    let place = catch_up(&*log, device(2)).await;
    catch_up(&*log, device(3)).await;
    assert_eq!(trimmed(&*log).await, 9, "all but the last");
    assert!(is_below(&*log, 4, &Cursor::default()).await, "a new device has missed them");
    assert!(read_all(&*log, device(2), place.clone(), ALL).await.0.is_empty());
    append_each(&*log, device(1), 11..=12).await;
    let (read, _) = read_all(&*log, device(2), place, ALL).await;
    assert_eq!(read, transactions(device(1), 11..=12));
}

pub async fn what_a_member_lacks_is_kept(harness: LogHarness) {
    let log = ten(&harness).await;
    catch_up(&*log, device(2)).await;
    assert_eq!(trimmed(&*log).await, 0, "one has acknowledged nothing");
    let size = harness.weight(&transaction(device(1), 1));
    let page = log.read(device(3), &Cursor::default(), size * 4).await.unwrap();
    assert_eq!(page.transactions, transactions(device(1), 1..=4));
    log.acknowledge(device(3), &page.cursor).await.unwrap();
    assert_eq!(trimmed(&*log).await, 4);
    let (read, _) = read_all(&*log, device(3), page.cursor, ALL).await;
    assert_eq!(read, transactions(device(1), 5..=10));
}

pub async fn what_a_device_wrote_counts_as_known_to_it(harness: LogHarness) {
    let log = ten(&harness).await;
    append_each(&*log, device(2), 1..=3).await;
    for n in 1..=3 {
        catch_up(&*log, device(n)).await;
    }
    append_each(&*log, device(1), 11..=15).await;
    catch_up(&*log, device(2)).await;
    catch_up(&*log, device(3)).await;
    assert_eq!(trimmed(&*log).await, 14 + 2);
    assert!(is_below(&*log, 1, &Cursor::default()).await, "it would miss those of device 2");
    let other = harness.another_log().await;
    other.register(device(1)).await.unwrap();
    append_each(&*other, device(1), 1..=5).await;
    assert_eq!(trimmed(&*other).await, 4, "a device on its own");
    assert!(!is_below(&*other, 1, &Cursor::default()).await, "it has missed nothing");
}

pub async fn without_members_nothing_is_dropped(harness: LogHarness) {
    let log = harness.log().await;
    append_each(&*log, device(1), 1..=3).await;
    assert_eq!(trimmed(&*log).await, 0);
    log.register(device(2)).await.unwrap();
    log.dismiss(device(2)).await.unwrap();
    assert_eq!(trimmed(&*log).await, 0);
    let (read, _) = read_all(&*log, device(2), Cursor::default(), ALL).await;
    assert_eq!(read, transactions(device(1), 1..=3));
}

pub async fn a_new_member_holds_everything_back(harness: LogHarness) {
    let log = ten(&harness).await;
    catch_up(&*log, device(2)).await;
    catch_up(&*log, device(3)).await;
    log.register(device(4)).await.unwrap();
    assert_eq!(trimmed(&*log).await, 0);
    let (read, _) = read_all(&*log, device(4), Cursor::default(), ALL).await;
    assert_eq!(read, transactions(device(1), 1..=10));
}

pub async fn a_dismissed_device_holds_nothing_back(harness: LogHarness) {
    let log = ten(&harness).await;
    catch_up(&*log, device(2)).await;
    assert_eq!(trimmed(&*log).await, 0);
    log.dismiss(device(3)).await.unwrap();
    assert_eq!(trimmed(&*log).await, 9);
}

pub async fn a_dismissed_device_that_lacks_something_is_told(harness: LogHarness) {
    let log = ten(&harness).await;
    let place = catch_up(&*log, device(3)).await;
    log.dismiss(device(3)).await.unwrap();
    append_each(&*log, device(1), 11..=13).await;
    let in_step = catch_up(&*log, device(2)).await;
    assert_eq!(trimmed(&*log).await, 12);
    log.register(device(3)).await.unwrap();
    assert!(is_below(&*log, 3, &place).await);
    let written = transactions(device(3), 1..=2);
    log.append(&written).await.unwrap();
    let (read, _) = read_all(&*log, device(2), in_step, ALL).await;
    assert_eq!(read, written, "what it wrote meanwhile is not lost");
}

pub async fn a_place_that_was_handed_over_is_enough(harness: LogHarness) {
    let log = ten(&harness).await;
    append_each(&*log, device(2), 1..=5).await;
    for n in [1, 3] {
        catch_up(&*log, device(n)).await;
    }
    let place = catch_up(&*log, device(2)).await;
    assert_eq!(trimmed(&*log).await, 9 + 4);
    assert!(is_below(&*log, 4, &Cursor::default()).await);
    append_each(&*log, device(2), 6..=6).await;
    append_each(&*log, device(1), 11..=11).await;
    // Device 4 has got by initial sync what device 2 had, its own transactions among it.
    let (read, _) = read_all(&*log, device(4), place, ALL).await;
    assert_eq!(super::by_device(read), [transaction(device(1), 11), transaction(device(2), 6)]);
}

pub async fn the_floor_outlives_the_value_of_the_log(harness: LogHarness) {
    let log = ten(&harness).await;
    catch_up(&*log, device(2)).await;
    catch_up(&*log, device(3)).await;
    assert_eq!(trimmed(&*log).await, 9);
    drop(log);
    let log = harness.log().await;
    assert!(is_below(&*log, 4, &Cursor::default()).await);
    assert_eq!(trimmed(&*log).await, 0);
}

pub async fn numbers_go_on(harness: LogHarness) {
    let log = ten(&harness).await;
    catch_up(&*log, device(2)).await;
    catch_up(&*log, device(3)).await;
    trimmed(&*log).await;
    let error = log.append(&transactions(device(1), 12..=12)).await.unwrap_err();
    assert!(matches!(error, SyncError::Gap { expected: 11, found: 12, .. }), "{error}");
    log.append(&transactions(device(1), 11..=11)).await.unwrap();
}

pub async fn an_append_that_is_repeated_is_passed_over(harness: LogHarness) {
    let log = ten(&harness).await;
    let place = catch_up(&*log, device(2)).await;
    catch_up(&*log, device(3)).await;
    assert_eq!(trimmed(&*log).await, 9);
    log.append(&transactions(device(1), 8..=10)).await.unwrap();
    log.append(&transactions(device(1), 8..=11)).await.unwrap();
    let (read, _) = read_all(&*log, device(2), place, ALL).await;
    assert_eq!(read, transactions(device(1), 11..=11));
}

pub async fn another_transaction_under_a_dropped_number_is_refused(harness: LogHarness) {
    let log = ten(&harness).await;
    catch_up(&*log, device(2)).await;
    catch_up(&*log, device(3)).await;
    assert_eq!(trimmed(&*log).await, 9);
    let mut others = transactions(device(1), 4..=11);
    for transaction in &mut others {
        transaction.payload = b"of a copy of the database".to_vec();
    }
    for some in [&others[..], &others[..2]] {
        let error = log.append(some).await.unwrap_err();
        assert!(matches!(error, SyncError::Forked { .. }), "{error}");
    }
}

pub async fn reading_meanwhile_skips_nothing(harness: LogHarness) {
    let log = harness.log().await;
    log.register(device(2)).await.unwrap();
    let writing = async {
        for sequence in 1..=30 {
            log.append(&[transaction(device(1), sequence)]).await.unwrap();
            pause().await;
            log.trim().await.unwrap();
        }
    };
    let reading = async {
        let (mut all, mut cursor) = (Vec::new(), Cursor::default());
        while all.len() < 30 {
            let page = log.read(device(2), &cursor, 64).await.unwrap();
            all.extend(page.transactions);
            cursor = page.cursor;
            log.acknowledge(device(2), &cursor).await.unwrap();
            pause().await;
        }
        assert_eq!(all, transactions(device(1), 1..=30));
    };
    futures_util::future::join(writing, reading).await;
}

pub async fn twice_is_once(harness: LogHarness) {
    let log = ten(&harness).await;
    catch_up(&*log, device(2)).await;
    catch_up(&*log, device(3)).await;
    let (first, second) = futures_util::future::join(log.trim(), log.trim()).await;
    assert!(first.unwrap().transactions + second.unwrap().transactions >= 9);
    assert_eq!(trimmed(&*log).await, 0);
}
