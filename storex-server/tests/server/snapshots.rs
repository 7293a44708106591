//! `/v1/snapshots`: page by page, and published whole.

use serde_json::json;
use storex_sync::http::device_text;

use crate::support::{ADA, ADAS_LAPTOP, BOB, LAPTOP, PHONE, Site};

fn page(maker: storex_sync::Device, number: &str, page: &str) -> String {
    format!("/v1/snapshots/{}/{number}/pages/{page}", device_text(maker))
}

#[tokio::test]
async fn a_snapshot_is_put_published_and_taken() {
    let site = Site::start().await;
    site.append(ADA, LAPTOP, 1, b"one").await;
    let place = site.read(ADA, PHONE, storex_sync::Cursor::default()).await.cursor;
    assert_eq!(site.get(ADA, "/v1/snapshots").await.code(), "no_snapshot");
    let number = u64::MAX.to_string();
    let contents: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let put = site.ask("PUT", &page(LAPTOP, &number, "0")).token(ADA).body(contents.clone());
    assert_eq!(put.send().await.status, 204);
    let place: String = place.0.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut form =
        json!({"maker": device_text(LAPTOP), "number": number, "pages": 2, "place": place});
    let publish = site.ask("POST", "/v1/snapshots").token(ADA).json(&form);
    assert_eq!(publish.send().await.json(), json!({"published": false}));

    form["pages"] = json!(1);
    let put = site.ask("PUT", &page(LAPTOP, &number, "0")).token(ADA).body(contents.clone());
    assert_eq!(put.send().await.status, 204);
    let publish = site.ask("POST", "/v1/snapshots").token(ADA).json(&form);
    assert_eq!(publish.send().await.json(), json!({"published": true}));
    assert_eq!(site.get(ADA, "/v1/snapshots").await.json(), form);
    let taken = site.get(ADA, &page(LAPTOP, &number, "0")).await;
    assert_eq!(
        (taken.header("content-type"), &taken.body),
        (Some("application/octet-stream"), &contents)
    );
    assert_eq!(site.get(ADA, &page(LAPTOP, &number, "1")).await.code(), "no_such_page");
    // Another user's is not there.
    assert_eq!(site.get(BOB, &page(LAPTOP, &number, "0")).await.code(), "no_such_page");
    assert_eq!(site.get(BOB, "/v1/snapshots").await.code(), "no_snapshot");
}

#[tokio::test]
async fn only_the_maker_puts_and_names_have_one_spelling() {
    let site = Site::start().await;
    let put = site.ask("PUT", &page(PHONE, "7", "0")).token(ADAS_LAPTOP).body("page").send().await;
    assert_eq!(put.code(), "forbidden");
    let form = json!({"maker": device_text(PHONE), "number": "7", "pages": 0, "place": "00"});
    let publish = site.ask("POST", "/v1/snapshots").token(ADAS_LAPTOP).json(&form).send().await;
    assert_eq!(publish.code(), "forbidden");
    for (number, at) in [
        ("+7", "0"),
        ("07", "0"),
        ("7", "-0"),
        ("7", "00"),
        ("x", "0"),
        ("18446744073709551616", "0"),
    ] {
        let answer =
            site.ask("PUT", &page(LAPTOP, number, at)).token(ADA).body("page").send().await;
        assert_eq!(answer.code(), "malformed", "{number} {at}");
    }
    let wrong = json!({"maker": device_text(LAPTOP), "number": "7", "pages": 0, "place": "ffff"});
    let publish = site.ask("POST", "/v1/snapshots").token(ADA).json(&wrong).send().await;
    assert_eq!(publish.code(), "wrong_cursor");
}
