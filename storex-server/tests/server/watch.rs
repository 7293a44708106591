//! `/v1/log/watch` and `/v1/log/changed`: news.

use std::time::Duration;

use serde_json::{Value, json};
use storex_server::{Config, Limits};
use storex_sync::Cursor;
use storex_sync::http::{device_text, id_text};
use tokio_tungstenite::tungstenite::Message;

use crate::support::{ADA, ADAS_LAPTOP, BOB, LAPTOP, Line, PHONE, Site};

const WATCH: &str = "/v1/log/watch";
const HEARTBEAT: Duration = Duration::from_secs(20);

fn place(device: storex_sync::Device, after: &Cursor) -> Value {
    let digits: String = after.0.iter().map(|byte| format!("{byte:02x}")).collect();
    json!({"device": device_text(device), "after": digits})
}

async fn beginning(site: &Site, device: storex_sync::Device) -> (Line, Value) {
    let mut line = Line::open(site.address, WATCH, Some(ADA)).await;
    let place = place(device, &Cursor::default());
    line.say(place.clone()).await;
    (line, place)
}

#[tokio::test]
async fn news_is_told_once_for_each_place_and_at_once_when_it_is_there_already() {
    let site = Site::start().await;
    let (mut line, _) = beginning(&site, PHONE).await;
    site.append(ADA, LAPTOP, 1, b"one").await;
    assert_eq!(line.next().await.as_deref(), Ok(r#"{"news":true}"#));
    // The place is behind what was read: nothing until there is more.
    let after = site.read(ADA, PHONE, Cursor::default()).await.cursor;
    line.say(place(PHONE, &after)).await;
    site.append(ADA, PHONE, 1, b"its own").await;
    site.runtime.let_pass(HEARTBEAT).await;
    assert_eq!(line.next().await.as_deref(), Ok("{}"));
    site.append(ADA, LAPTOP, 2, b"two").await;
    assert_eq!(line.next().await.as_deref(), Ok(r#"{"news":true}"#));
    line.say(place(PHONE, &after)).await;
    assert_eq!(line.next().await.as_deref(), Ok(r#"{"news":true}"#));
}

#[tokio::test]
async fn the_token_may_come_in_the_first_message() {
    let site = Site::start().await;
    site.append(ADA, LAPTOP, 1, b"one").await;
    let mut line = Line::open(site.address, WATCH, None).await;
    line.say(json!({"token": ADA})).await;
    line.say(place(PHONE, &Cursor::default())).await;
    assert_eq!(line.next().await.as_deref(), Ok(r#"{"news":true}"#));

    let mut wrong = Line::open(site.address, WATCH, None).await;
    wrong.say(json!({"token": "a guess, and a wrong one"})).await;
    assert_eq!(wrong.next().await, Err(4401));
    // Of a token that has not come nothing is known: it may be a good one.
    let mut silent = Line::open(site.address, WATCH, None).await;
    site.runtime.let_pass(Duration::from_secs(5)).await;
    assert_eq!(silent.next().await, Err(4408));
    let refused = Line::try_open(site.address, WATCH, Some("no token of ours")).await;
    assert_eq!(refused.err().unwrap().code(), "unauthorized");
}

#[tokio::test]
async fn a_watch_ends_when_its_device_is_revoked() {
    let site = Site::start().await;
    let (mut phone, _) = beginning(&site, PHONE).await;
    let (mut laptop, _) = beginning(&site, LAPTOP).await;
    site.append(ADA, LAPTOP, 1, b"one").await;
    assert_eq!(phone.next().await.as_deref(), Ok(r#"{"news":true}"#));
    let path = format!("/v1/devices/{}", id_text(PHONE.id));
    assert_eq!(site.ask("DELETE", &path).token(ADA).send().await.status, 204);
    assert_eq!(phone.next().await, Err(4403));
    let (mut again, _) = beginning(&site, PHONE).await;
    assert_eq!(again.next().await, Err(4403));
    // The others go on.
    site.append(ADA, storex_sync::Device { id: [9; 16], incarnation: 0 }, 1, b"three").await;
    assert_eq!(laptop.next().await.as_deref(), Ok(r#"{"news":true}"#));
}

#[tokio::test]
async fn a_long_poll_ends_when_its_device_is_revoked() {
    let site = Site::start().await;
    let path = format!("/v1/log/changed?device={}&after=&wait=30", device_text(PHONE));
    let waiting = tokio::spawn(site.ask("GET", &path).token(ADA).send());
    site.runtime.asleep(Duration::from_secs(30), 1).await;
    let device = format!("/v1/devices/{}", id_text(PHONE.id));
    assert_eq!(site.ask("DELETE", &device).token(ADA).send().await.status, 204);
    assert_eq!(waiting.await.unwrap().code(), "revoked");
}

#[tokio::test]
async fn what_another_server_of_the_store_shuts_out_is_shut_out_here() {
    use storex_core::Runtime as _;
    use storex_server::{Store as _, User};
    let site = Site::start().await;
    let (mut phone, _) = beginning(&site, PHONE).await;
    site.append(ADA, LAPTOP, 1, b"one").await;
    assert_eq!(phone.next().await.as_deref(), Ok(r#"{"news":true}"#));
    let now = site.runtime.now();
    site.store.revoke(&User::new("ada").unwrap(), PHONE.id, now).await.unwrap();
    assert_eq!(phone.next().await, Err(4403));
}

#[tokio::test]
async fn a_watch_is_of_the_device_that_its_token_is_for() {
    let site = Site::start().await;
    let mut line = Line::open(site.address, WATCH, Some(ADAS_LAPTOP)).await;
    line.say(place(PHONE, &Cursor::default())).await;
    assert_eq!(line.next().await, Err(4401));
}

#[tokio::test]
async fn heartbeats_go_out_and_who_never_answers_is_let_go() {
    let site = Site::start().await;
    let (mut line, _) = beginning(&site, PHONE).await;
    // Who reads answers the pings, and lives on.
    for _ in 0..5 {
        site.runtime.let_pass(HEARTBEAT).await;
        assert_eq!(line.next().await.as_deref(), Ok("{}"));
        line.say(place(PHONE, &Cursor::default())).await;
    }
    // What it said last was heard, its answer to the last ping too.
    site.append(ADA, LAPTOP, 1, b"one").await;
    assert_eq!(line.next().await.as_deref(), Ok(r#"{"news":true}"#));
    line.say(place(PHONE, &Cursor::default())).await;
    assert_eq!(line.next().await.as_deref(), Ok(r#"{"news":true}"#));
    // Who does not read does not answer.
    for _ in 0..4 {
        site.runtime.let_pass(HEARTBEAT).await;
    }
    let mut heard = Vec::new();
    let code = loop {
        match line.next().await {
            Ok(text) => heard.push(text),
            Err(code) => break code,
        }
    };
    assert_eq!((heard.len(), code), (3, 1001), "{heard:?}");
}

#[tokio::test]
async fn rubbish_and_floods_end_a_watch() {
    let limits = Limits { burst: 5, ..Limits::default() };
    let site = Site::with(Config { limits, ..Config::default() }).await;
    for rubbish in [
        Message::text("{"),
        Message::text("[]"),
        Message::text(r#"{"device": "x", "after": ""}"#),
        Message::binary(vec![0; 10]),
        Message::text(format!(r#"{{"a": {}1{}}}"#, "[".repeat(5000), "]".repeat(5000))),
    ] {
        let mut line = Line::open(site.address, WATCH, None).await;
        line.say(json!({"token": BOB})).await;
        line.send_message(rubbish).await.unwrap();
        assert_eq!(line.next().await, Err(4400));
        site.runtime.advance(Duration::from_secs(60));
    }
    let mut wrong_cursor = Line::open(site.address, WATCH, Some(BOB)).await;
    wrong_cursor.say(place(PHONE, &Cursor(b"no place of ours".to_vec()))).await;
    assert_eq!(wrong_cursor.next().await, Err(4400));

    let mut line = Line::open(site.address, WATCH, Some(ADA)).await;
    for _ in 0..10 {
        let _ =
            line.send_message(Message::text(place(PHONE, &Cursor::default()).to_string())).await;
    }
    assert_eq!(line.next().await, Err(4429));
    let mut long = Line::open(site.address, WATCH, Some(BOB)).await;
    let _ = long.send_message(Message::text("x".repeat(17 << 10))).await;
    assert!(matches!(long.next().await, Err(1006 | 1009)));
}

#[tokio::test]
async fn a_user_has_so_many_watches_and_all_users_so_many() {
    let limits = Limits { sockets_per_user: 2, sockets: 3, ..Limits::default() };
    let site = Site::with(Config { limits, ..Config::default() }).await;
    let (first, _) = beginning(&site, PHONE).await;
    let (mut second, at) = beginning(&site, PHONE).await;
    site.append(ADA, LAPTOP, 1, b"one").await;
    assert!(second.next().await.is_ok());
    let third = Line::try_open(site.address, WATCH, Some(ADA)).await.err().unwrap();
    assert_eq!((third.status, third.code().as_str()), (429, "rate_limited"));
    let mut third = Line::open(site.address, WATCH, None).await;
    third.say(json!({"token": ADA})).await;
    assert_eq!(third.next().await, Err(4429));
    let poll = format!("/v1/log/changed?device={}&after=", device_text(PHONE));
    let too_many = site.get(ADA, &poll).await;
    assert_eq!((too_many.status, too_many.code().as_str()), (429, "rate_limited"));
    assert!(too_many.header("retry-after").is_some());

    let mut of_bob = Line::open(site.address, WATCH, Some(BOB)).await;
    of_bob.say(at.clone()).await;
    let refused = Line::try_open(site.address, WATCH, Some(BOB)).await;
    assert_eq!(refused.err().unwrap().code(), "rate_limited");
    // Who goes makes room.
    first.close().await;
    drop(third);
    let mut again = loop {
        match Line::try_open(site.address, WATCH, Some(ADA)).await {
            Ok(line) => break line,
            Err(_) => site.runtime.advance(Duration::from_secs(1)),
        }
    };
    again.say(at).await;
    assert_eq!(again.next().await.as_deref(), Ok(r#"{"news":true}"#));
}

#[tokio::test]
async fn strangers_who_say_nothing_keep_nobody_out_who_has_a_token() {
    let limits = Limits { sockets: 20, ..Limits::default() };
    let site = Site::with(Config { limits, ..Config::default() }).await;
    let stranger = Line::open(site.address, WATCH, None).await;
    let another = Line::try_open(site.address, WATCH, None).await;
    assert_eq!(another.err().unwrap().code(), "rate_limited");
    site.append(ADA, LAPTOP, 1, b"one").await;
    let (mut line, _) = beginning(&site, PHONE).await;
    assert_eq!(line.next().await.as_deref(), Ok(r#"{"news":true}"#));
    drop(stranger);
}

#[tokio::test]
async fn a_long_poll_waits_for_news_and_no_longer_than_it_may() {
    let site = Site::start().await;
    let path =
        |wait: u64| format!("/v1/log/changed?device={}&after=&wait={wait}", device_text(PHONE));
    let waiting = tokio::spawn(site.ask("GET", &path(10)).token(ADA).send());
    site.runtime.let_pass(Duration::from_secs(10)).await;
    assert_eq!(waiting.await.unwrap().json(), json!({"changed": false}));
    // However long it asks for.
    let waiting = tokio::spawn(site.ask("GET", &path(u64::MAX)).token(ADA).send());
    site.runtime.let_pass(Duration::from_secs(55)).await;
    assert_eq!(waiting.await.unwrap().json(), json!({"changed": false}));
    let waiting = tokio::spawn(site.ask("GET", &path(40)).token(ADA).send());
    site.runtime.asleep(Duration::from_secs(40), 1).await;
    site.append(ADA, LAPTOP, 1, b"one").await;
    assert_eq!(waiting.await.unwrap().json(), json!({"changed": true}));
    let wrong = format!("/v1/log/changed?device={}&after=00ff00", device_text(PHONE));
    assert_eq!(site.get(ADA, &wrong).await.code(), "wrong_cursor");
    for wrong in ["", "?device=x&after=", "?device=x", "?after=0", "?device=%00&after=&wait=-1"] {
        assert_eq!(site.get(ADA, &format!("/v1/log/changed{wrong}")).await.code(), "malformed");
    }
}

#[tokio::test]
async fn a_watch_counts_as_the_connection_that_it_is() {
    let site = Site::start().await;
    let mut lines = Vec::new();
    site.append(ADA, LAPTOP, 1, b"one").await;
    for _ in 0..3 {
        let (mut line, _) = beginning(&site, PHONE).await;
        assert_eq!(line.next().await.as_deref(), Ok(r#"{"news":true}"#));
        lines.push(line);
    }
    let numbers = site.ask("GET", "/metrics").send().await;
    let numbers = String::from_utf8(numbers.body).unwrap();
    let connections = numbers.lines().find_map(|line| line.strip_prefix("storex_connections "));
    // The one that asks, too; those that sent something may be ending.
    assert!(connections.unwrap().parse::<usize>().unwrap() >= 4, "{numbers}");
}

#[tokio::test]
async fn a_watch_ends_when_its_token_is_good_no_more_but_not_while_nobody_can_tell() {
    use std::sync::Arc;
    use std::sync::Mutex;
    use storex_server::{Identity, ServerError, User, VerifyWith};
    let answer = Arc::new(Mutex::new("good"));
    let asked = Arc::clone(&answer);
    let ask = VerifyWith::new(move |_| {
        let now = *asked.lock().unwrap();
        Box::pin(async move {
            match now {
                "good" => Ok(Identity::of(User::new("ada")?)),
                "away" => Err(ServerError::Store {
                    during: "asking",
                    reason: "away".to_owned(),
                    retryable: true,
                }),
                _ => Err(ServerError::unauthorized("the session is over")),
            }
        })
    });
    let site = Site::with_verifier(Config::default(), Arc::new(ask)).await;
    let mut line = Line::open(site.address, WATCH, Some("a session")).await;
    for now in ["good", "away"] {
        *answer.lock().unwrap() = now;
        site.runtime.let_pass(HEARTBEAT).await;
        assert_eq!(line.next().await.as_deref(), Ok("{}"), "{now}");
    }
    *answer.lock().unwrap() = "over";
    site.runtime.let_pass(HEARTBEAT).await;
    assert_eq!(line.next().await, Err(4401));
}
