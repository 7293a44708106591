//! `/v1/log/exchange`, and every error that a log may answer with.

use std::sync::Arc;

use serde_json::json;
use storex_server::{Config, Limits};
use storex_sync::http::{
    HttpClient, HttpSharedLog, NativeTransport, Problem, StaticToken, Token, device_text, wire,
};
use storex_sync::{Cursor, LogRequest, SealedTransaction, SharedSyncLog as _, SyncError};

use crate::support::{ADA, Answer, BOB, LAPTOP, PHONE, Site, payloads};

fn error_of(answer: &Answer) -> SyncError {
    let problem: Problem = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(problem.status(), answer.status);
    problem.into_error("testing")
}

#[tokio::test]
async fn what_one_device_appends_another_reads_and_acknowledges_in_one_request_each() {
    let site = Site::start().await;
    assert_eq!(site.append(ADA, LAPTOP, 1, b"one").await.status, 204);
    assert_eq!(site.append(ADA, LAPTOP, 2, b"two").await.status, 204);
    let page = site.read(ADA, PHONE, Cursor::default()).await;
    assert_eq!(payloads(&page), [b"one", b"two"]);

    let append = vec![SealedTransaction { device: PHONE, sequence: 1, payload: b"mine".to_vec() }];
    let (acknowledge, read) = (Some(page.cursor.clone()), Some(page.cursor));
    let all = LogRequest { device: PHONE, acknowledge, append, read };
    let answer = site.exchange(ADA, &all).await;
    let page = wire::decode_page(&answer.body).unwrap();
    assert_eq!((page.transactions.len(), page.own), (0, 1));
    let members = site.get(ADA, "/v1/log/members").await.json();
    let phone = json!({"device": device_text(PHONE), "behind": 0});
    assert!(members.as_array().unwrap().contains(&phone), "{members}");
}

#[tokio::test]
async fn the_users_do_not_see_each_other() {
    let site = Site::start().await;
    site.append(ADA, LAPTOP, 1, b"of ada").await;
    assert_eq!(site.append(BOB, LAPTOP, 1, b"of bob").await.status, 204);
    let page = site.read(BOB, PHONE, Cursor::default()).await;
    assert_eq!(payloads(&page), [b"of bob"]);
}

#[tokio::test]
async fn the_errors_of_a_log_come_out_as_they_went_in() {
    let site = Site::start().await;
    site.append(ADA, LAPTOP, 1, b"one").await;
    let forked = site.append(ADA, LAPTOP, 1, b"another").await;
    assert!(
        matches!(error_of(&forked), SyncError::Forked { device: LAPTOP, sequence: 1 }),
        "{forked:?}"
    );
    let gap = site.append(ADA, LAPTOP, 3, b"three").await;
    let expected = SyncError::Gap { device: LAPTOP, expected: 2, found: 3 };
    assert_eq!(error_of(&gap).to_string(), expected.to_string());

    let read = |after: Vec<u8>| LogRequest {
        device: PHONE,
        read: Some(Cursor(after)),
        ..LogRequest::default()
    };
    let wrong = site.exchange(ADA, &read(b"of another kind".to_vec())).await;
    assert_eq!((wrong.status, wrong.code().as_str()), (400, "wrong_cursor"));
    assert!(matches!(error_of(&wrong), SyncError::Corrupt { .. }));

    // A place where the log never was.
    site.append(BOB, LAPTOP, 1, b"one").await;
    site.append(BOB, LAPTOP, 2, b"two").await;
    let far = site.read(BOB, PHONE, Cursor::default()).await.cursor;
    let replaced = site.exchange(ADA, &read(far.0)).await;
    assert!(matches!(error_of(&replaced), SyncError::LogReplaced), "{replaced:?}");
}

#[tokio::test]
async fn who_lacks_what_was_dropped_is_told_so() {
    let site = Site::start().await;
    for (sequence, payload) in [(1, b"one"), (2, b"two")] {
        site.append(ADA, LAPTOP, sequence, payload).await;
    }
    let log = site.store.log_of("ada");
    log.register(LAPTOP).await.unwrap();
    let trimmed = site.ask("POST", "/v1/log/trim").token(ADA).send().await;
    assert_eq!(trimmed.json(), json!({"transactions": 1}));
    let read = LogRequest { device: PHONE, read: Some(Cursor::default()), ..LogRequest::default() };
    let answer = site.exchange(ADA, &read).await;
    assert_eq!(answer.status, 410);
    assert!(matches!(error_of(&answer), SyncError::BelowFloor { reader: PHONE }));
    let usage = site.get(ADA, "/v1/log/usage").await.json();
    assert_eq!(usage, json!({"transactions": 1, "droppable": 0, "lacks_beginning": true}));
}

#[tokio::test]
async fn a_transaction_that_is_too_long_is_refused_for_good_after_what_is_in_front_of_it() {
    let limits = Limits { entry_bytes: 10, ..Limits::default() };
    let site = Site::with(Config { limits, ..Config::default() }).await;
    site.append(ADA, LAPTOP, 1, b"one").await;
    let place = site.read(ADA, PHONE, Cursor::default()).await.cursor;
    let of_phone = |sequence, payload: &[u8]| SealedTransaction {
        device: PHONE,
        sequence,
        payload: payload.to_vec(),
    };
    let append = vec![of_phone(1, b"short"), of_phone(2, b"longer than ten")];
    let request = LogRequest { device: PHONE, acknowledge: Some(place), append, read: None };
    let answer = site.exchange(ADA, &request).await;
    assert_eq!(answer.status, 422);
    match error_of(&answer) {
        SyncError::Rejected { device: PHONE, sequence: 2, reason, is_too_large: true } => {
            assert!(reason.contains("15 bytes"), "{reason}");
        }
        other => panic!("{other}"),
    }
    // It was acknowledged, and nothing was appended.
    let members = site.store.log_of("ada").members().await.unwrap();
    assert_eq!(members.iter().map(|it| it.behind).collect::<Vec<_>>(), [0]);
    assert_eq!(site.store.log_of("ada").len(), 1);
}

#[tokio::test]
async fn a_page_ends_at_the_limit_of_the_reader_or_of_the_server() {
    let limits = Limits { page_bytes: 5, ..Limits::default() };
    let site = Site::with(Config { limits, ..Config::default() }).await;
    for sequence in 1..=4 {
        site.append(ADA, LAPTOP, sequence, b"four").await;
    }
    let request =
        LogRequest { device: PHONE, read: Some(Cursor::default()), ..LogRequest::default() };
    let body = wire::encode_request(&request).unwrap();
    for limit in ["1", "0", "1000000"] {
        let path = format!("/v1/log/exchange?limit={limit}");
        let answer = site.ask("POST", &path).token(ADA).body(body.clone()).send().await;
        let page = wire::decode_page(&answer.body).unwrap();
        assert_eq!((page.transactions.len(), page.more), (1, true), "{limit}");
    }
}

#[tokio::test]
async fn bodies_may_be_compressed_both_ways() {
    let site = Site::start().await;
    let payload = vec![b'x'; 5000];
    let append = vec![SealedTransaction { device: LAPTOP, sequence: 1, payload: payload.clone() }];
    let request = LogRequest { device: LAPTOP, append, ..LogRequest::default() };
    let plain = wire::encode_request(&request).unwrap();
    let gzipped = {
        use std::io::Write as _;
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&plain).unwrap();
        encoder.finish().unwrap()
    };
    for (coding, body) in [("zstd", zstd::bulk::compress(&plain, 3).unwrap()), ("gzip", gzipped)] {
        let ask =
            site.ask("POST", "/v1/log/exchange").token(ADA).header("content-encoding", coding);
        let answer = ask.body(body).send().await;
        assert_eq!(answer.status, 204, "{coding}: {answer:?}");
    }
    let read = LogRequest { device: PHONE, read: Some(Cursor::default()), ..LogRequest::default() };
    let body = wire::encode_request(&read).unwrap();
    for coding in ["zstd", "gzip"] {
        let ask = site.ask("POST", "/v1/log/exchange").token(ADA).header("accept-encoding", coding);
        let answer = ask.body(body.clone()).send().await;
        assert_eq!(answer.header("content-encoding"), Some(coding));
        let bytes = match coding {
            "zstd" => zstd::bulk::decompress(&answer.body, 10_000).unwrap(),
            _ => {
                use std::io::Read as _;
                let mut bytes = Vec::new();
                flate2::read::GzDecoder::new(&answer.body[..]).read_to_end(&mut bytes).unwrap();
                bytes
            }
        };
        assert_eq!(payloads(&wire::decode_page(&bytes).unwrap()), [payload.as_slice()]);
        assert!(answer.body.len() < 500);
    }
    let odd = site.ask("POST", "/v1/log/exchange").token(ADA).header("content-encoding", "br");
    assert_eq!(odd.body(body).send().await.code(), "malformed");
}

#[tokio::test]
async fn a_log_can_be_given_another_identity() {
    let site = Site::start().await;
    let register = json!({"device": device_text(LAPTOP)});
    let register = site.ask("POST", "/v1/devices").token(ADA).json(&register);
    let first = register.send().await.json()["log"].clone();
    for _ in 0..2 {
        let known =
            site.ask("POST", "/v1/log/reidentify").token(ADA).json(&json!({"known": first}));
        let now = known.send().await.json()["log"].clone();
        assert_ne!(now, first);
        let page = site.read(ADA, LAPTOP, Cursor::default()).await;
        assert_eq!(storex_sync::http::id_text(page.log.0), now.as_str().unwrap());
    }
}

#[tokio::test]
async fn more_transactions_than_one_request_may_have_go_in_several() {
    let limits = Limits { transactions: 2, ..Limits::default() };
    let site = Site::with(Config { limits, ..Config::default() }).await;
    let one = |sequence| SealedTransaction { device: LAPTOP, sequence, payload: vec![1] };
    let append: Vec<_> = (1..=5).map(one).collect();
    let request = LogRequest { device: LAPTOP, append, ..LogRequest::default() };
    let answer = site.exchange(ADA, &request).await;
    assert_eq!((answer.status, answer.code().as_str()), (413, "body_too_large"));

    let transport = Arc::new(NativeTransport::new().unwrap());
    let address = format!("http://{}", site.address);
    let client = HttpClient::new(transport, &address, site.runtime.clone()).unwrap();
    let log = HttpSharedLog::new(client.credentials(Arc::new(StaticToken(Token::new(ADA)))));
    log.append(&request.append).await.unwrap();
    assert_eq!(site.read(ADA, PHONE, Cursor::default()).await.transactions, request.append);
}
