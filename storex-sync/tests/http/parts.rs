//! Requests that are larger than the server takes.

use storex_sync::{Cursor, LogRequest, SharedSyncLog, SnapshotId, SyncError};

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
        let SyncError::Rejected { device: ME, sequence, reason, is_too_large: true } = refused
        else {
            panic!("{refused:?}")
        };
        assert_eq!(sequence, before + 1);
        assert!(reason.contains("(3000 bytes)") && reason.contains("needs 40"), "{reason}");
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

/// How large it was, and how large it may be, where that is known.
#[tokio::test(start_paused = true)]
async fn a_page_of_a_snapshot_that_is_too_large_is_told_with_its_numbers() {
    let server = FakeServer::new(&shared_log());
    let log = server.shared_log();
    let put = async || {
        let page = sealed(ME, 1, 4000).payload;
        let id = SnapshotId { maker: ME, number: 7 };
        log.snapshots().unwrap().put_page(id, 0, &page).await.unwrap_err()
    };
    server.take_at_most(3000);
    let refused = put().await;
    assert!(
        matches!(refused, SyncError::BodyTooLarge { bytes: 4000, limit: Some(3000) }),
        "{refused:?}"
    );
    assert!(refused.to_string().contains("4000") && refused.to_string().contains("3000"));
    server.answers(413, &[("content-type", "text/html")], "<h1>too large</h1>");
    let refused = put().await;
    assert!(matches!(refused, SyncError::BodyTooLarge { bytes: 4000, limit: None }), "{refused:?}");
}
