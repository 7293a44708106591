//! Waiting for news.

use futures_util::FutureExt;
use storex_core::ErrorKind;
use storex_sync::Cursor;

use super::{LogHarness, device, give_up_after, pause, read_all, transaction, transactions};

const ALL: usize = 1 << 20;

pub async fn they_wake_who_waits(harness: LogHarness) {
    let log = harness.log().await;
    log.append(&transactions(device(1), 1..=2)).await.unwrap();
    let (_, cursor) = read_all(&*log, device(2), Cursor::default(), ALL).await;
    if !harness.tells_news() {
        let mut news = log.changed(device(2), &cursor);
        assert!(news.as_mut().now_or_never().is_none());
        log.append(&transactions(device(1), 3..=3)).await.unwrap();
        assert!(news.now_or_never().is_none(), "it has no way to tell");
        return;
    }
    let waiting = async {
        loop {
            log.changed(device(2), &cursor).await.unwrap();
            let page = log.read(device(2), &cursor, ALL).await.unwrap();
            // Whoever is woken without news waits again.
            if !page.transactions.is_empty() {
                return page.transactions;
            }
        }
    };
    let appending = async {
        for _ in 0..10 {
            pause().await;
        }
        log.append(&transactions(device(1), 3..=3)).await.unwrap();
    };
    let (read, ()) = futures_util::future::join(waiting, appending).await;
    assert_eq!(read, [transaction(device(1), 3)]);
}

pub async fn those_that_are_there_are_told_at_once(harness: LogHarness) {
    let log = harness.log().await;
    log.append(&transactions(device(1), 1..=2)).await.unwrap();
    if harness.tells_news() {
        log.changed(device(2), &Cursor::default()).await.unwrap();
    } else {
        assert!(log.changed(device(2), &Cursor::default()).now_or_never().is_none());
    }
}

pub async fn waiting_may_be_given_up(harness: LogHarness) {
    let log = harness.log().await;
    let mut cursor = Cursor::default();
    for sequence in 1..=6 {
        let polls = usize::try_from(sequence).unwrap();
        give_up_after(polls, async { log.changed(device(2), &cursor).await.unwrap() }).await;
        log.append(&[transaction(device(1), sequence)]).await.unwrap();
        give_up_after(polls, async { log.changed(device(2), &cursor).await.unwrap() }).await;
        let page = log.read(device(2), &cursor, ALL).await.unwrap();
        assert_eq!(page.transactions, [transaction(device(1), sequence)], "nothing was taken away");
        cursor = page.cursor;
    }
}

pub async fn a_place_of_another_kind_is_refused(harness: LogHarness) {
    let log = harness.log().await;
    let foreign = Cursor(b"not a place of this log".to_vec());
    if harness.tells_news() {
        let error = log.changed(device(1), &foreign).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
    } else {
        assert!(log.changed(device(1), &foreign).now_or_never().is_none());
    }
}
