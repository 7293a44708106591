//! `/v1/blobs`: chunk by chunk, and finished.

use std::time::Duration;

use serde_json::json;
use storex_core::{Runtime as _, Timestamp};
use storex_server::{Config, Limits};
use storex_sync::http::device_text;
use storex_sync::{BLOB_CHUNK_LIMIT, BlobRef, BlobStore as _};

use crate::support::{ADA, ADAS_LAPTOP, Answer, BOB, LAPTOP, PHONE, Site};

const CHUNK: usize = 1 << 20;

fn of(blob: &BlobRef) -> String {
    format!("/v1/blobs/{blob}?device={}", device_text(LAPTOP))
}

fn chunk(blob: impl std::fmt::Display, number: &str) -> String {
    format!("/v1/blobs/{blob}/chunks/{number}?device={}", device_text(LAPTOP))
}

async fn put(site: &Site, path: &str, bytes: impl Into<Vec<u8>>) -> Answer {
    site.ask("PUT", path).token(ADA).body(bytes).send().await
}

/// Ada has nothing of this blob.
async fn nothing_is_kept(site: &Site, blob: &BlobRef) {
    let blobs = site.store.blobs_of("ada");
    assert_eq!((blobs.sent(blob).await.unwrap(), blobs.has(blob).await.unwrap()), (0, false));
}

#[tokio::test]
async fn a_blob_is_put_finished_read_and_removed() {
    let site = Site::start().await;
    let contents = vec![7; CHUNK + 5];
    let blob = BlobRef::of(&contents);
    assert_eq!(site.get(ADA, &of(&blob)).await.json(), json!({"whole": false, "chunks": 0}));
    assert_eq!(site.get(ADA, &chunk(blob, "0")).await.code(), "blob_missing");
    assert_eq!(put(&site, &chunk(blob, "0"), &contents[..CHUNK]).await.status, 204);
    let finish = || site.ask("POST", &of(&blob)).token(ADA).send();
    assert_eq!(finish().await.code(), "blob_missing");
    assert_eq!(site.get(ADA, &of(&blob)).await.json(), json!({"whole": false, "chunks": 1}));
    assert_eq!(put(&site, &chunk(blob, "1"), &contents[CHUNK..]).await.status, 204);
    assert_eq!(finish().await.status, 204);
    assert_eq!(site.get(ADA, &of(&blob)).await.json(), json!({"whole": true, "chunks": 2}));
    let read = site.get(ADA, &chunk(blob, "1")).await;
    assert_eq!(
        (read.header("content-type"), &read.body[..]),
        (Some("application/octet-stream"), &contents[CHUNK..])
    );
    // Another user's is not there.
    assert_eq!(site.get(BOB, &chunk(blob, "1")).await.code(), "blob_missing");
    assert_eq!(site.get(BOB, &of(&blob)).await.json(), json!({"whole": false, "chunks": 0}));
    assert_eq!(site.ask("DELETE", &of(&blob)).token(BOB).send().await.status, 204);
    assert_eq!(site.get(ADA, &of(&blob)).await.json(), json!({"whole": true, "chunks": 2}));
    assert_eq!(site.ask("DELETE", &of(&blob)).token(ADA).send().await.status, 204);
    nothing_is_kept(&site, &blob).await;
}

#[tokio::test]
async fn a_chunk_of_another_size_or_number_is_refused_and_not_kept() {
    let site = Site::start().await;
    let blob = BlobRef::of(&vec![7; CHUNK + 5]);
    for (number, bytes) in [("0", 0), ("0", 5), ("0", CHUNK - 1), ("0", CHUNK + 1), ("1", CHUNK)] {
        let refused = put(&site, &chunk(blob, number), vec![7; bytes]).await;
        assert_eq!(refused.code(), "malformed", "{number} {bytes}");
        let told = refused.json()["message"].to_string();
        assert!(told.contains(&format!("{bytes} came")), "{told}");
    }
    let refused = put(&site, &chunk(blob, "0"), vec![7; BLOB_CHUNK_LIMIT + 1]).await;
    assert_eq!(
        (refused.code().as_str(), &refused.json()["limit"]),
        ("body_too_large", &json!(BLOB_CHUNK_LIMIT))
    );
    for number in ["2", "-1", "+0", "00", "x", "18446744073709551615", "18446744073709551616"] {
        let refused = put(&site, &chunk(blob, number), vec![7; 5]).await;
        assert_eq!(refused.code(), "malformed", "{number}");
        assert_eq!(site.get(ADA, &chunk(blob, number)).await.code(), "malformed", "{number}");
    }
    nothing_is_kept(&site, &blob).await;
    // Of an empty one there is none.
    assert_eq!(put(&site, &chunk(BlobRef::of(b""), "0"), b"x").await.code(), "malformed");
}

#[tokio::test]
async fn what_is_no_name_of_a_blob_is_refused() {
    let site = Site::start().await;
    let blob = BlobRef::of(b"a picture").to_string();
    let names = [
        blob.to_uppercase(),
        blob.replace("sha256", "sha512"),
        blob.replace("-9", "-09"),
        blob.replace("-9", "-+9"),
        blob.replace("-9", ""),
        format!("{blob}%2f..%2f{blob}"),
        format!("..%2f{blob}"),
        blob.replace("-9", "-1099511627777"),
        "whole".to_owned(),
    ];
    for name in names {
        let refused = put(&site, &chunk(&name, "0"), b"a picture").await;
        assert_eq!(refused.code(), "malformed", "{name}");
    }
}

#[tokio::test]
async fn whoever_asks_says_which_device_it_is() {
    let site = Site::start().await;
    let blob = BlobRef::of(b"a picture");
    let (named, path) = (chunk(blob, "0"), format!("/v1/blobs/{blob}/chunks/0"));
    assert_eq!(put(&site, &path, b"a picture").await.code(), "malformed");
    assert_eq!(put(&site, &format!("{path}?device=me"), b"a picture").await.code(), "malformed");
    assert_eq!(site.ask("PUT", &named).body("a picture").send().await.code(), "unauthorized");
    let of_phone = format!("{path}?device={}", device_text(PHONE));
    let other = site.ask("PUT", &of_phone).token(ADAS_LAPTOP).body("a picture").send().await;
    assert_eq!(other.code(), "forbidden");
    site.ask("DELETE", &format!("/v1/devices/{}", storex_sync::http::id_text(LAPTOP.id)))
        .token(ADA)
        .send()
        .await;
    for (method, path) in [
        ("PUT", &named),
        ("GET", &named),
        ("GET", &of(&blob)),
        ("POST", &of(&blob)),
        ("DELETE", &of(&blob)),
    ] {
        let refused = site.ask(method, path).token(ADA).send().await;
        assert_eq!((refused.status, refused.code().as_str()), (403, "revoked"), "{method}");
    }
    nothing_is_kept(&site, &blob).await;
    assert_eq!(put(&site, &of_phone, b"a picture").await.status, 204, "the other one goes on");
}

#[tokio::test]
async fn blobs_have_a_rate_of_their_own() {
    let limits = Limits {
        burst: 2,
        requests_per_second: 1,
        blob_burst: 3,
        blob_requests_per_second: 1,
        ..Limits::default()
    };
    let site = Site::with(Config { limits, ..Config::default() }).await;
    let blob = BlobRef::of(b"a picture");
    for _ in 0..3 {
        assert_eq!(site.get(ADA, &of(&blob)).await.status, 200);
    }
    let refused = site.get(ADA, &of(&blob)).await;
    assert_eq!((refused.status, refused.code().as_str()), (429, "rate_limited"));
    assert!(refused.json()["message"].to_string().contains("blobs"), "{refused:?}");
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(site.get(ADA, "/v1/devices").await.status, 200, "sync goes on");
    assert_eq!(site.get(BOB, &of(&blob)).await.status, 200);
    site.runtime.advance(Duration::from_secs(1));
    assert_eq!(site.get(ADA, &of(&blob)).await.status, 200);
}

#[tokio::test]
async fn what_nobody_has_finished_is_dropped_after_some_days() {
    let site = Site::start().await;
    let hour = Duration::from_secs(3600);
    site.runtime.asleep(hour, 1).await;
    site.runtime.advance(hour);
    // It sleeps again when it is done.
    site.runtime.asleep(hour, 1).await;
    let week = 7 * 24 * 3_600_000;
    let before = Timestamp(site.runtime.now().0 - week);
    assert_eq!(*site.store.dropped_before.lock().unwrap(), [before]);
}
