//! News: over a WebSocket, or by requests that wait.

use std::sync::Arc;
use std::time::Duration;

use storex_sync::http::{Credentials as _, HttpSharedLog};
use storex_sync::{Cursor, SharedSyncLog, SyncError};
use tokio::time::{Instant, sleep, timeout};

use crate::credentials::programs;
use crate::fake::{FakeServer, Sockets};
use crate::support::shared_log;
use crate::{ME, OTHER, SECOND, sealed};

async fn nothing(log: &HttpSharedLog, after: &Cursor, wait: Duration) {
    let waited = timeout(wait, log.changed(ME, after)).await;
    assert!(waited.is_err(), "{waited:?}");
}

/// Appends in a second; tells how long after that the news came.
async fn news(server: &Arc<FakeServer>, log: &HttpSharedLog, number: u64) -> (Duration, Cursor) {
    let after = server.log.read(ME, &Cursor::default(), 1 << 20).await.unwrap().cursor;
    let appending = async {
        sleep(SECOND).await;
        server.log.append(&[sealed(OTHER, number, 10)]).await.unwrap();
        Instant::now()
    };
    let (changed, appended) = tokio::join!(log.changed(ME, &after), appending);
    changed.unwrap();
    let after = server.log.read(ME, &Cursor::default(), 1 << 20).await.unwrap().cursor;
    (appended.elapsed(), after)
}

#[tokio::test(start_paused = true)]
async fn news_come_over_one_websocket_however_often_somebody_waits() {
    let server = FakeServer::new(&shared_log());
    let log = server.shared_log();
    for number in 1..5 {
        let (late, after) = news(&server, &log, number).await;
        assert!(late < SECOND, "{late:?}");
        // Given up in the middle, and begun again.
        nothing(&log, &after, SECOND * 3).await;
    }
    // What is there already is told at once.
    log.changed(ME, &Cursor::default()).await.unwrap();
    assert_eq!(server.connects(), (1, 1));
    assert_eq!(server.requests(), []);
}

#[tokio::test(start_paused = true)]
async fn what_is_ones_own_is_no_news() {
    let server = FakeServer::new(&shared_log());
    let log = server.shared_log();
    server.log.append(&[sealed(ME, 1, 10)]).await.unwrap();
    nothing(&log, &Cursor::default(), SECOND * 200).await;
    assert_eq!(server.connects(), (1, 1), "the heartbeats are heard");
}

#[tokio::test(start_paused = true)]
async fn c64_a_websocket_that_says_nothing_is_noticed() {
    let server = FakeServer::new(&shared_log());
    server.sockets(Sockets::Silent);
    let log = server.shared_log();
    nothing(&log, &Cursor::default(), SECOND * 49).await;
    assert_eq!(server.connects().0, 1);
    server.sockets(Sockets::Served);
    let begun = Instant::now();
    let (late, _) = news(&server, &log, 1).await;
    assert!(late < SECOND * 5 && begun.elapsed() < SECOND * 6, "{late:?}");
    assert_eq!(server.connects(), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_websocket_that_is_lost_is_opened_again() {
    for code in [1001, 1006, 1011, 4408] {
        let server = FakeServer::new(&shared_log());
        let log = server.shared_log();
        let (_, after) = news(&server, &log, 1).await;
        let closing = async {
            sleep(SECOND).await;
            server.close_sockets(code);
        };
        let (waited, ()) = tokio::join!(timeout(SECOND * 5, log.changed(ME, &after)), closing);
        assert!(waited.is_err(), "nothing is there: {waited:?}");
        assert_eq!(server.connects(), (2, 1), "{code}");
        // One that was lost while nobody listened.
        server.close_sockets(code);
        let (late, _) = news(&server, &log, 2).await;
        assert!(late < SECOND * 2, "{late:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn where_there_are_no_websockets_requests_wait() {
    let server = FakeServer::new(&shared_log());
    server.sockets(Sockets::Refused);
    let log = server.shared_log();
    nothing(&log, &Cursor::default(), SECOND * 10).await;
    let connects = server.connects().0;
    assert!(server.requests().iter().all(|it| it.url.contains("/v1/log/changed?")));
    let (late, after) = news(&server, &log, 1).await;
    assert!(late < SECOND, "{late:?}");
    server.forget();
    nothing(&log, &after, SECOND * 200).await;
    assert!(server.requests().len() <= 6, "{:?}", server.requests());
    assert_eq!(server.connects().0, connects, "it does not try again soon");
    // But after a while.
    server.sockets(Sockets::Served);
    nothing(&log, &after, SECOND * 300).await;
    assert_eq!(server.connects().1, 1);
}

/// Whoever cannot reach the server tries less and less often.
#[tokio::test(start_paused = true)]
async fn c62_a_server_that_is_away_is_not_asked_all_the_time() {
    let server = FakeServer::new(&shared_log());
    let log = server.shared_log();
    let (_, after) = news(&server, &log, 1).await;
    server.sockets(Sockets::Refused);
    server.script(std::iter::repeat_n(crate::fake::Fault::Fail, 1000));
    server.close_sockets(1001);
    nothing(&log, &after, SECOND * 600).await;
    let attempts = server.requests().len() + server.connects().0;
    assert!((10..40).contains(&attempts), "{attempts} attempts in ten minutes");
}

#[tokio::test(start_paused = true)]
async fn who_listens_is_said_first_and_an_expired_token_is_renewed() {
    let (provider, _devices, tokens) = programs(1).await;
    let server = FakeServer::new(&shared_log());
    server.accept("access 2");
    let log = server.log_of(Arc::new(tokens[0].clone()));
    let (_, after) = news(&server, &log, 1).await;
    assert_eq!((provider.asked(), server.connects().0), (1, 2));
    // It expires while somebody listens.
    server.accept("access 3");
    let closing = async {
        sleep(SECOND).await;
        server.close_sockets(4401);
    };
    let (waited, ()) = tokio::join!(timeout(SECOND * 5, log.changed(ME, &after)), closing);
    assert!(waited.is_err(), "{waited:?}");
    assert_eq!(tokens[0].token().await.unwrap().reveal(), "access 3");
    assert_eq!((provider.asked(), server.connects()), (2, (3, 1)));
}

#[tokio::test(start_paused = true)]
async fn who_is_not_let_in_is_told_so() {
    let server = FakeServer::new(&shared_log());
    for (code, says) in [(4401, "know who asks"), (4403, "revoked")] {
        server.sockets(Sockets::Closed(code));
        let refused = server.shared_log().changed(ME, &Cursor::default()).await.unwrap_err();
        let SyncError::Unauthorized { reason } = refused else { panic!("{refused:?}") };
        assert!(reason.contains(says), "{reason}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_with_too_many_websockets_is_left_alone() {
    let server = FakeServer::new(&shared_log());
    server.sockets(Sockets::Closed(4429));
    nothing(&server.shared_log(), &Cursor::default(), SECOND * 29).await;
    assert_eq!(server.connects().0, 1);
}

#[tokio::test(start_paused = true)]
async fn two_readers_of_one_log_are_both_told() {
    let server = FakeServer::new(&shared_log());
    let log = server.shared_log();
    let third = storex_sync::Device { id: [3; 16], incarnation: 0 };
    let start = Cursor::default();
    let appending = async {
        sleep(SECOND).await;
        server.log.append(&[sealed(OTHER, 1, 10)]).await.unwrap();
    };
    let both =
        async { tokio::join!(log.changed(ME, &start), log.changed(third, &start), appending) };
    let (one, other, ()) = timeout(SECOND * 2, both).await.unwrap();
    one.and(other).unwrap();
}
