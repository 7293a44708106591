//! What the answers of a server, and of what is in front of it, mean.

use std::sync::Arc;
use std::time::Duration;

use storex_sync::http::{
    Credentials, HttpBlobStore, HttpClient, HttpSharedLog, StaticToken, Token,
};
use storex_sync::{
    BlobRef, BlobStore as _, Cursor, LogRequest, Recovery, SharedSyncLog, SyncError,
};
use tokio::time::{sleep, timeout};

use crate::fake::{FakeServer, Fault, Sockets};
use crate::support::shared_log;
use crate::{ME, OTHER, SECOND, sealed, sending};

/// The error of a read that is answered so.
async fn read(status: u16, headers: &[(&str, &str)], body: &str) -> SyncError {
    let server = FakeServer::new(&shared_log());
    server.answers(status, headers, body);
    let read = server.shared_log().read(ME, &Cursor::default(), 1000).await;
    assert_eq!(server.requests().len(), 1, "nothing is asked twice");
    read.unwrap_err()
}

const PROBLEM: (&str, &str) = ("content-type", "application/problem+json");
const HTML: (&str, &str) = ("content-type", "text/html");

#[tokio::test(start_paused = true)]
async fn an_exchange_is_one_request_and_an_idle_one_too() {
    let server = FakeServer::new(&shared_log());
    let log = server.shared_log();
    log.append(&[sealed(OTHER, 1, 10)]).await.unwrap();
    let all = LogRequest {
        acknowledge: Some(Cursor::default()),
        read: Some(Cursor::default()),
        ..sending(vec![sealed(ME, 1, 2000), sealed(ME, 2, 2000)])
    };
    server.forget();
    let page = log.exchange(&all, 1 << 20).await.unwrap().unwrap();
    assert_eq!((page.transactions.len(), page.own), (1, 2));
    let idle = LogRequest { device: ME, read: Some(page.cursor), ..LogRequest::default() };
    let page = log.exchange(&idle, 1 << 20).await.unwrap().unwrap();
    assert!(page.transactions.is_empty());
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn c66_a_server_that_wants_to_be_left_alone_says_for_how_long() {
    let after = |error| match error {
        SyncError::RateLimited { retry_after } => retry_after,
        other => panic!("{other:?}"),
    };
    let header = [("retry-after", "7"), HTML];
    assert_eq!(after(read(429, &header, "").await), SECOND * 7);
    assert_eq!(after(read(503, &header, "").await), SECOND * 7);
    assert!(after(read(429, &[], "").await) >= SECOND);
    let exact = r#"{"code": "rate_limited", "message": "", "retry_after_ms": 250}"#;
    assert_eq!(after(read(429, &[PROBLEM], exact).await), Duration::from_millis(250));
    // But not without an end: what is between may have been told so by mistake, or be another one soon.
    let (years, minute) = (("retry-after", "99999999"), SECOND * 60);
    assert_eq!(after(read(503, &[years, HTML], "").await), minute * 5);
    assert_eq!(after(read(429, &[years, HTML], "").await), minute * 5);
    for code in ["rate_limited", "too_many_rooms", "unavailable"] {
        let endless = format!(r#"{{"code": "{code}", "retry_after_ms": {}}}"#, u64::MAX);
        assert_eq!(after(read(503, &[PROBLEM], &endless).await), minute * 60);
        let by_header = format!(r#"{{"code": "{code}"}}"#);
        assert_eq!(after(read(503, &[PROBLEM, years], &by_header).await), minute * 60);
    }
    let busy = r#"{"code": "unavailable"}"#;
    let header = [PROBLEM, ("retry-after", "2")];
    assert_eq!(after(read(503, &header, busy).await), SECOND * 2);
}

/// What one request is told holds for all of that client: whoever waits for news, exchanges, or lists the devices.
#[tokio::test(start_paused = true)]
async fn c66_what_one_request_is_told_holds_for_the_others() {
    let limited = |wait| format!(r#"{{"code": "rate_limited", "retry_after_ms": {wait}}}"#);
    let server = FakeServer::new(&shared_log());
    server.sockets(Sockets::Refused);
    let log = server.shared_log();
    server.answers(429, &[PROBLEM], &limited(5000));
    log.read(ME, &Cursor::default(), 1000).await.unwrap_err();
    sleep(SECOND).await;
    let is_left = |error: SyncError, wait| match error {
        // The clock of the tests knows milliseconds.
        SyncError::RateLimited { retry_after } => {
            retry_after <= wait && retry_after + SECOND / 100 > wait
        }
        other => panic!("{other:?}"),
    };
    assert!(is_left(log.register(ME).await.unwrap_err(), SECOND * 4));
    assert!(is_left(log.client().clone().devices().await.unwrap_err(), SECOND * 4));
    assert!(timeout(SECOND * 3, log.changed(ME, &Cursor::default())).await.is_err());
    assert_eq!((server.requests().len(), server.connects().0), (1, 0));
    // Who asks in another name was told nothing.
    let other = log.client().clone().credentials(Arc::new(StaticToken(Token::new("another"))));
    HttpSharedLog::new(other).register(ME).await.unwrap();
    sleep(SECOND).await;
    log.register(ME).await.unwrap();

    // That there are too many rooms concerns nothing else.
    server.answers(429, &[PROBLEM], r#"{"code": "too_many_rooms", "retry_after_ms": 5000}"#);
    assert!(is_left(log.client().open_room().await.unwrap_err(), SECOND * 5));
    log.register(ME).await.unwrap();
}

/// The server counts requests for blobs apart: pictures do not hold up the text.
#[tokio::test(start_paused = true)]
async fn c66_what_requests_for_blobs_are_told_holds_for_blobs() {
    let server = FakeServer::new(&shared_log());
    let log = server.shared_log();
    let blobs = HttpBlobStore::new(log.client().clone(), ME);
    let blob = BlobRef::of(b"a picture");
    server.answers(429, &[PROBLEM], r#"{"code": "rate_limited", "retry_after_ms": 5000}"#);
    for requests in [1, 1] {
        let error = blobs.has(&blob).await.unwrap_err();
        assert!(matches!(error, SyncError::RateLimited { .. }), "{error:?}");
        assert_eq!(server.requests().len(), requests);
    }
    log.register(ME).await.unwrap();
}

/// Two requests that were under way together: whichever answer comes last, the server is left alone until both have passed.
#[tokio::test(start_paused = true)]
async fn c66_a_shorter_rest_does_not_end_a_longer_one() {
    let limited = |wait| format!(r#"{{"code": "rate_limited", "retry_after_ms": {wait}}}"#);
    for (first, last) in [(5000, 100), (100, 5000)] {
        let server = FakeServer::new(&shared_log());
        let log = server.log_of(Arc::new(Slow));
        server.answers(429, &[PROBLEM], &limited(first));
        server.answers(429, &[PROBLEM], &limited(last));
        let (one, other) = tokio::join!(log.register(ME), log.register(OTHER));
        assert!(one.is_err() && other.is_err());
        assert_eq!(server.requests().len(), 2, "both were under way");
        sleep(SECOND * 4).await;
        log.register(ME).await.unwrap_err();
        sleep(SECOND * 2).await;
        log.register(ME).await.unwrap();
    }
}

/// A token that takes a while.
#[derive(Debug)]
struct Slow;

#[async_trait::async_trait]
impl Credentials for Slow {
    async fn token(&self) -> storex_sync::Result<Token> {
        sleep(SECOND / 10).await;
        Ok(Token::new("slow"))
    }

    async fn refresh(&self, _: &Token) -> storex_sync::Result<Token> {
        self.token().await
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_no_answer_of_the_server_is_a_failure_on_the_way() {
    let page = "application/vnd.storex.page";
    for (status, headers, body, says) in [
        (200, &[HTML][..], "<h1>Welcome to our hotel</h1>", "text/html"),
        (200, &[], "", "nothing"),
        (302, &[("location", "http://hotel.example/login")], "", "hotel.example"),
        (403, &[HTML], "<h1>Blocked</h1>", "403"),
        (404, &[HTML], "", "404"),
        (500, &[], "", "500"),
        (503, &[HTML], "", "503"),
        (502, &[PROBLEM], "<h1>no JSON</h1>", "502"),
        (200, &[("content-type", page)], "\u{1}cut", "damaged"),
        (200, &[("content-type", page), ("content-encoding", "br")], "x", "br"),
        (500, &[PROBLEM], r#"{"code": "internal", "message": "it failed"}"#, "it failed"),
        (418, &[PROBLEM], r#"{"code": "of_a_later_version"}"#, "500"),
    ] {
        let error = read(status, headers, body).await;
        let SyncError::Transport { during, reason } = &error else { panic!("{error:?}") };
        assert!(reason.contains(says), "{reason}");
        assert_eq!(*during, "reading the log of the server");
        assert_eq!(error.recovery(), Recovery::Retry);
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_of_another_version_is_told_as_such() {
    let page = [("content-type", "application/vnd.storex.page")];
    for error in [
        read(200, &page, "\u{2}later").await,
        read(404, &[PROBLEM], r#"{"code": "not_found"}"#).await,
    ] {
        let SyncError::Protocol { reason, .. } = &error else { panic!("{error:?}") };
        assert!(reason.contains("version"), "{reason}");
        assert_eq!(error.recovery(), Recovery::Intervene);
    }
}

#[tokio::test(start_paused = true)]
async fn a_device_that_was_revoked_has_to_log_in() {
    let error = read(403, &[PROBLEM], r#"{"code": "revoked", "message": "shut out"}"#).await;
    assert!(matches!(&error, SyncError::Unauthorized { reason } if reason == "shut out"));
    assert_eq!(error.recovery(), Recovery::LogIn);
}

#[tokio::test(start_paused = true)]
async fn the_errors_of_the_log_come_out_as_they_are() {
    let server = FakeServer::new(&shared_log());
    let log = server.shared_log();
    log.append(&[sealed(ME, 1, 10)]).await.unwrap();
    let forked = log.append(&[sealed(ME, 1, 11)]).await.unwrap_err();
    assert!(matches!(forked, SyncError::Forked { device: ME, sequence: 1 }), "{forked:?}");
    let gap = log.append(&[sealed(ME, 3, 10)]).await.unwrap_err();
    assert!(matches!(gap, SyncError::Gap { device: ME, expected: 2, found: 3 }), "{gap:?}");
    let wrong = log.read(ME, &Cursor(vec![1, 2, 3]), 1000).await.unwrap_err();
    assert!(matches!(wrong, SyncError::Corrupt { what: "a cursor", .. }), "{wrong:?}");
    let wrong = log.changed(ME, &Cursor(vec![1, 2, 3])).await.unwrap_err();
    assert!(matches!(wrong, SyncError::Corrupt { what: "a cursor", .. }), "{wrong:?}");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_not_answered_is_given_up() {
    let server = FakeServer::new(&shared_log());
    server.script([Fault::Hang]);
    let error = server.shared_log().register(ME).await.unwrap_err();
    let is_late = |error: &SyncError| match error {
        SyncError::Timeout { during: "registering", after } => *after == SECOND * 30,
        _ => false,
    };
    assert!(is_late(&error), "{error:?}");
    assert_eq!(server.given_up(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_request_whose_future_is_dropped_is_given_up() {
    let server = FakeServer::new(&shared_log());
    server.script([Fault::Hang]);
    let log = server.shared_log();
    let dropped = tokio::time::timeout(SECOND, log.register(ME)).await;
    assert!(dropped.is_err());
    assert_eq!(server.given_up(), 1);
    log.register(ME).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn no_token_is_shown() {
    let server = FakeServer::new(&shared_log());
    server.accept("secret");
    let log = server.log_of(Arc::new(StaticToken(Token::new("secret"))));
    log.register(ME).await.unwrap();
    assert!(!format!("{log:?} {:?}", server.requests()).contains("secret"));
    let error = server.shared_log().register(ME).await.unwrap_err();
    assert!(matches!(error, SyncError::Unauthorized { .. }), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_no_address_is_refused() {
    let server = FakeServer::new(&shared_log());
    let is_one = |address: &str| {
        let (transport, runtime) = server.parts();
        HttpClient::new(transport, address, runtime).is_ok()
    };
    for address in ["http://localhost:8080", "https://example.org", "https://example.org/a/b/"] {
        assert!(is_one(address), "{address}");
    }
    let with_a_password = "https://me:secret@example.org";
    for address in ["", "example.org", "ftp://x", "https://", "https:///a", with_a_password] {
        assert!(!is_one(address), "{address}");
    }
    assert!(!is_one("https://example.org?a=b") && !is_one("https://example.org/\n"));
}

#[tokio::test(start_paused = true)]
async fn what_is_no_list_of_sealed_keys_is_a_failure_on_the_way() {
    for names in [r#"["ff"]"#, r#"{"names": []}"#] {
        let server = FakeServer::new(&shared_log());
        server.answers(200, &[("content-type", "application/json")], names);
        let log = server.shared_log();
        let error = log.keys().expect("a server keeps them").names().await.unwrap_err();
        assert!(matches!(error, SyncError::Transport { .. }), "{error:?}");
    }
}
