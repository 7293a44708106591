//! Requests that are larger than the server takes.

use storex_sync::{Cursor, LogRequest, SharedSyncLog, SyncError};

use crate::fake::FakeServer;
use crate::support::shared_log;
use crate::{ME, OTHER, sealed, sending};

#[tokio::test(start_paused = true)]
async fn what_is_too_large_for_one_request_goes_in_several() {
    let server = FakeServer::new(&shared_log());
    server.take_at_most(3000);
    let log = server.shared_log();
    log.append(&[sealed(OTHER, 1, 10)]).await.unwrap();
    let append: Vec<_> = (1..=9).map(|sequence| sealed(ME, sequence, 1000)).collect();
    let read = Some(Cursor::default());
    let page = log.exchange(&LogRequest { read, ..sending(append.clone()) }, 1 << 20).await;
    let page = page.unwrap().unwrap();
    assert_eq!((page.transactions.len(), page.own), (1, 9));
    let there = server.log.read(OTHER, &Cursor::default(), 1 << 20).await.unwrap();
    assert_eq!(there.transactions, append);
}

#[tokio::test(start_paused = true)]
async fn a_transaction_that_is_too_large_by_itself_is_refused_for_good() {
    let server = FakeServer::new(&shared_log());
    server.take_at_most(3000);
    let log = server.shared_log();
    for before in [0, 3] {
        let mut append: Vec<_> = (1..=before).map(|n| sealed(ME, n, 100)).collect();
        append.push(sealed(ME, before + 1, 4000));
        let refused = log.append(&append).await.unwrap_err();
        let is_named = |error: &SyncError| match error {
            SyncError::Rejected { device: ME, sequence, .. } => *sequence == before + 1,
            _ => false,
        };
        assert!(is_named(&refused), "{refused:?}");
    }
}

/// The one of something in front of the server counts too.
#[tokio::test(start_paused = true)]
async fn a_gateway_may_have_a_limit_of_its_own() {
    let server = FakeServer::new(&shared_log());
    server.answers(413, &[("content-type", "text/html")], "<h1>too large</h1>");
    let log = server.shared_log();
    log.append(&[sealed(ME, 1, 100), sealed(ME, 2, 100)]).await.unwrap();
    assert_eq!(server.requests().len(), 3);
}
