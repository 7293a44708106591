//! Reading and acknowledging.

use storex_sync::Cursor;

use super::{LogHarness, by_device, catch_up, device, read_all, transaction, transactions};

const ALL: usize = 1 << 20;

pub async fn in_the_order_of_each_device(harness: LogHarness) {
    let log = harness.log().await;
    let mut expected = Vec::new();
    for sequence in 1..=3 {
        for n in [2, 1] {
            let one = transaction(device(n), sequence);
            log.append(std::slice::from_ref(&one)).await.unwrap();
            expected.push(one);
        }
    }
    let (read, _) = read_all(&*log, device(3), Cursor::default(), ALL).await;
    assert_eq!(by_device(read), by_device(expected));
}

pub async fn ones_own_are_left_out(harness: LogHarness) {
    let log = harness.log().await;
    log.append(&transactions(device(1), 1..=100)).await.unwrap();
    log.append(&transactions(device(2), 1..=1)).await.unwrap();
    let page = log.read(device(1), &Cursor::default(), 10).await.unwrap();
    assert_eq!(page.transactions, transactions(device(2), 1..=1));
    assert!(!page.more);
    let next = log.read(device(1), &page.cursor, 10).await.unwrap();
    assert!(next.transactions.is_empty() && !next.more);
}

pub async fn again_from_the_same_place_gives_the_same(harness: LogHarness) {
    let log = harness.log().await;
    log.append(&transactions(device(1), 1..=5)).await.unwrap();
    let first = log.read(device(2), &Cursor::default(), 12).await.unwrap();
    let again = log.read(device(2), &Cursor::default(), 12).await.unwrap();
    assert_eq!(first, again, "a page whose answer was lost is read again");
}

pub async fn pages_hold_one_transaction_at_least(harness: LogHarness) {
    let log = harness.log().await;
    let some = transactions(device(1), 1..=7);
    log.append(&some).await.unwrap();
    let page = log.read(device(2), &Cursor::default(), 1).await.unwrap();
    assert_eq!(page.transactions, some[..1], "one, although it is larger than the limit");
    assert!(page.more);
    assert_eq!(read_all(&*log, device(2), page.cursor, 1).await.0, some[1..]);
    let size = harness.weight(&some[0]);
    let page = log.read(device(2), &Cursor::default(), size * 3).await.unwrap();
    assert_eq!(page.transactions, some[..3], "as many as fit");
}

pub async fn what_arrives_between_two_reads_comes_next(harness: LogHarness) {
    let log = harness.log().await;
    log.append(&transactions(device(1), 1..=2)).await.unwrap();
    let (_, cursor) = read_all(&*log, device(2), Cursor::default(), ALL).await;
    log.append(&transactions(device(3), 1..=2)).await.unwrap();
    log.append(&transactions(device(1), 3..=3)).await.unwrap();
    let (read, _) = read_all(&*log, device(2), cursor, ALL).await;
    let expected = [transactions(device(3), 1..=2), transactions(device(1), 3..=3)].concat();
    assert_eq!(by_device(read), by_device(expected));
}

pub async fn a_place_behind_everything_stays_valid(harness: LogHarness) {
    let log = harness.log().await;
    let (read, cursor) = read_all(&*log, device(2), Cursor::default(), ALL).await;
    assert!(read.is_empty());
    log.append(&transactions(device(1), 1..=1)).await.unwrap();
    assert_eq!(
        read_all(&*log, device(2), cursor, ALL).await.0.len(),
        1,
        "an empty read passes over nothing"
    );
}

pub async fn every_device_gets_everything_of_the_others(harness: LogHarness) {
    let log = harness.log().await;
    for n in 1..=3 {
        log.append(&transactions(device(n), 1..=150)).await.unwrap();
    }
    for reader in 1..=3 {
        let (read, _) = read_all(&*log, device(reader), Cursor::default(), 100).await;
        let others = (1..=3).filter(|n| *n != reader);
        let expected: Vec<_> = others.flat_map(|n| transactions(device(n), 1..=150)).collect();
        assert_eq!(by_device(read), expected);
    }
}

pub async fn the_log_says_who_it_is(harness: LogHarness) {
    let log = harness.log().await;
    let id = log.register(device(1)).await.unwrap();
    assert_eq!(log.register(device(2)).await.unwrap(), id);
    assert_eq!(log.read(device(2), &Cursor::default(), ALL).await.unwrap().log, id);
}

pub async fn a_place_of_another_kind_is_refused(harness: LogHarness) {
    let log = harness.log().await;
    let foreign = Cursor(b"not a place of this log".to_vec());
    assert!(log.read(device(1), &foreign, ALL).await.is_err());
}

pub async fn acknowledging_changes_nothing_that_is_read(harness: LogHarness) {
    let log = harness.log().await;
    log.register(device(2)).await.unwrap();
    log.append(&transactions(device(1), 1..=3)).await.unwrap();
    let (_, cursor) = read_all(&*log, device(2), Cursor::default(), ALL).await;
    log.acknowledge(device(2), &cursor).await.unwrap();
    log.acknowledge(device(2), &cursor).await.unwrap();
    log.acknowledge(device(2), &Cursor::default()).await.unwrap();
    assert!(read_all(&*log, device(2), cursor, ALL).await.0.is_empty());
    assert_eq!(
        read_all(&*log, device(3), Cursor::default(), ALL).await.0.len(),
        3,
        "others have not read it yet"
    );
}

pub async fn one_larger_than_the_limit_is_a_page_of_its_own(harness: LogHarness) {
    let log = harness.log().await;
    let mut some = transactions(device(1), 1..=3);
    some[1].payload = vec![7; 10_000];
    log.append(&some).await.unwrap();
    let mut cursor = Cursor::default();
    for (n, expected) in some.chunks(1).enumerate() {
        let page = log.read(device(2), &cursor, 1_000).await.unwrap();
        assert_eq!(page.transactions, expected);
        assert_eq!(page.more, n < 2);
        cursor = page.cursor;
    }
}

pub async fn a_slow_reader_gets_everything(harness: LogHarness) {
    let log = harness.log().await;
    let (mut read, mut cursor) = (Vec::new(), Cursor::default());
    for sequence in 1..=20 {
        for n in [1, 2] {
            log.append(&[transaction(device(n), sequence)]).await.unwrap();
        }
        let page = log.read(device(3), &cursor, 1).await.unwrap();
        assert_eq!(page.transactions.len(), 1);
        read.extend(page.transactions);
        cursor = page.cursor;
    }
    read.extend(read_all(&*log, device(3), cursor, ALL).await.0);
    let expected = [transactions(device(1), 1..=20), transactions(device(2), 1..=20)].concat();
    assert_eq!(by_device(read), expected);
}

/// A device that was restored from a backup learns from it that it has written more.
pub async fn a_page_tells_how_much_the_reader_has_written(harness: LogHarness) {
    let log = harness.log().await;
    let own = async || log.read(device(1), &Cursor::default(), ALL).await.unwrap().own;
    assert_eq!(own().await, 0);
    log.append(&transactions(device(1), 1..=3)).await.unwrap();
    log.append(&transactions(device(2), 1..=1)).await.unwrap();
    assert_eq!(own().await, 3);
    for reader in [device(1), device(2)] {
        catch_up(&*log, reader).await;
    }
    log.trim().await.unwrap();
    assert_eq!(own().await, 3, "what was trimmed counts too");
}

pub async fn nothing_is_missing_of_what_was_appended(harness: LogHarness) {
    let log = harness.log().await;
    for n in 1..=3 {
        log.register(device(n)).await.unwrap();
        for sequence in 1..=5 {
            log.append(&[transaction(device(n), sequence)]).await.unwrap();
        }
    }
    for reader in [device(1), device(4), storex_sync::Device::NOBODY] {
        let mut cursor = Cursor::default();
        loop {
            let page = log.read(reader, &cursor, 1).await.unwrap();
            assert_eq!(page.missing, []);
            cursor = page.cursor;
            if !page.more {
                break;
            }
        }
    }
    let mut cursor = Cursor::default();
    for n in 1..=3 {
        cursor = catch_up(&*log, device(n)).await;
    }
    assert!(log.trim().await.unwrap().transactions > 0);
    let page = log.read(device(3), &cursor, ALL).await.unwrap();
    assert_eq!(page.missing, [], "what was dropped is not missing to who has it");
}
