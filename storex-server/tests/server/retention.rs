//! Logs are trimmed by themselves, and devices that never come back hold nothing for ever.

use std::time::Duration;

use serde_json::json;
use storex_server::{Config, Limits, Retention, Timeouts};
use storex_sync::http::device_text;
use storex_sync::{LogRequest, SharedSyncLog as _};

use crate::support::{ADA, LAPTOP, PHONE, Site};

const HOUR: Duration = Duration::from_secs(3600);

async fn acknowledge(site: &Site, device: storex_sync::Device) {
    let cursor = site.read(ADA, device, storex_sync::Cursor::default()).await.cursor;
    let request = LogRequest { device, acknowledge: Some(cursor), ..LogRequest::default() };
    assert_eq!(site.exchange(ADA, &request).await.status, 204);
}

/// How many transactions the log holds once retention has been there.
async fn held_after(site: &Site, passes: Duration) -> usize {
    site.runtime.asleep(HOUR, 1).await;
    site.runtime.advance(passes);
    // It sleeps again when it is done.
    site.runtime.asleep(HOUR, 1).await;
    site.store.log_of("ada").len()
}

#[tokio::test]
async fn what_all_devices_have_is_dropped_now_and_then() {
    let site = Site::start().await;
    for device in [LAPTOP, PHONE] {
        let body = json!({"device": device_text(device)});
        site.ask("POST", "/v1/devices").token(ADA).json(&body).send().await;
    }
    for sequence in 1..=5 {
        site.append(ADA, LAPTOP, sequence, b"entry").await;
    }
    assert_eq!(held_after(&site, HOUR).await, 5, "the phone lacks them");
    acknowledge(&site, PHONE).await;
    assert_eq!(held_after(&site, HOUR).await, 1, "of each device its last");
    let numbers = site.ask("GET", "/metrics").send().await;
    let numbers = String::from_utf8(numbers.body).unwrap();
    assert!(numbers.contains("storex_trimmed_total 4"), "{numbers}");
}

#[tokio::test]
async fn a_device_that_has_not_come_for_long_is_dismissed_if_the_operator_says_so() {
    for (days, held) in [(Some(30), 1), (None, 5)] {
        let retention = Retention { dismiss_after_days: days, ..Retention::default() };
        let site = Site::with(Config { retention, ..Config::default() }).await;
        acknowledge(&site, PHONE).await;
        site.runtime.advance(Duration::from_secs(31 * 24 * 3600));
        for sequence in 1..=5 {
            site.append(ADA, LAPTOP, sequence, b"entry").await;
        }
        acknowledge(&site, LAPTOP).await;
        assert_eq!(held_after(&site, HOUR).await, held);
        let members = site.store.log_of("ada").members().await.unwrap();
        assert_eq!(members.iter().any(|it| it.device == PHONE), days.is_none());
        // It is not shut out.
        assert_eq!(site.append(ADA, PHONE, 1, b"back again").await.status, 204);
    }
}

#[tokio::test]
async fn a_device_that_is_shut_out_holds_nothing_even_if_it_became_a_member_again() {
    let site = Site::start().await;
    for sequence in 1..=5 {
        site.append(ADA, LAPTOP, sequence, b"entry").await;
    }
    acknowledge(&site, LAPTOP).await;
    let path = format!("/v1/devices/{}", storex_sync::http::id_text(PHONE.id));
    assert_eq!(site.ask("DELETE", &path).token(ADA).send().await.status, 204);
    // As what it has asked for before is done after it.
    site.store.log_of("ada").register(PHONE).await.unwrap();
    assert_eq!(held_after(&site, HOUR).await, 1);
    let members = site.store.log_of("ada").members().await.unwrap();
    assert_eq!(members.iter().map(|it| it.device).collect::<Vec<_>>(), [LAPTOP]);
}

#[test]
fn times_that_no_server_can_be_run_with_are_refused() {
    let retention = |trim_every, dismiss_after_days| Config {
        retention: Retention { trim_every, dismiss_after_days, ..Retention::default() },
        ..Config::default()
    };
    assert!(retention(Some(Duration::ZERO), None).check().is_err());
    assert!(retention(None, Some(30)).check().is_err(), "nothing would dismiss them");
    assert!(retention(None, None).check().is_ok());
    let mut at_once = Config::default();
    at_once.retention.unfinished_blobs_days = 0;
    assert!(at_once.check().is_err(), "what is being sent would be dropped");
    let timeouts = Timeouts { heartbeat: Duration::ZERO, ..Timeouts::default() };
    assert!(Config { timeouts, ..Config::default() }.check().is_err());
    for limits in [
        Limits { connections: usize::MAX, ..Limits::default() },
        Limits { sockets: usize::MAX, ..Limits::default() },
    ] {
        assert!(Config { limits, ..Config::default() }.check().is_err());
    }
}
