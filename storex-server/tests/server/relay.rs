//! `/v1/rooms`: what goes in at one end comes out at the other.

use std::time::Duration;

use serde_json::json;
use storex_server::{Config, Relay};
use tokio_tungstenite::tungstenite::Message;

use crate::support::{ADA, BOB, Line, Site};

async fn make(site: &Site, token: &str) -> String {
    let answer = site.ask("POST", "/v1/rooms").token(token).send().await;
    let room = answer.json()["room"].as_str().unwrap().to_owned();
    assert!((4..=6).contains(&room.len()) && room.bytes().all(|it| it.is_ascii_digit()), "{room}");
    format!("/v1/rooms/{room}")
}

async fn refused(site: &Site, room: &str, token: &str) -> (u16, String) {
    let answer = Line::try_open(site.address, room, Some(token)).await.err().expect("refused");
    (answer.status, answer.code())
}

#[tokio::test]
async fn two_meet_and_hear_each_other_whoever_speaks_first() {
    let site = Site::start().await;
    let room = make(&site, ADA).await;
    let mut one = Line::open(site.address, &room, Some(ADA)).await;
    // Before the other is there.
    one.send(b"first").await;
    one.send(b"second").await;
    // As a browser does, which cannot set headers.
    let mut other = Line::open(site.address, &room, None).await;
    other.say(json!({"token": ADA})).await;
    other.send(b"and back").await;
    assert_eq!(other.next().await.as_deref(), Ok("first"));
    assert_eq!(other.next().await.as_deref(), Ok("second"));
    assert_eq!(one.next().await.as_deref(), Ok("and back"));
    assert_eq!(refused(&site, &room, ADA).await, (409, "room_full".to_owned()));
    one.close().await;
    assert_eq!(other.next().await, Err(1000));
    // The room was for once.
    loop {
        match refused(&site, &room, ADA).await {
            (404, code) => break assert_eq!(code, "no_such_room"),
            _ => site.runtime.advance(Duration::from_secs(1)),
        }
    }
}

#[tokio::test]
async fn nobody_else_comes_in() {
    let site = Site::start().await;
    let room = make(&site, ADA).await;
    let (status, code) = refused(&site, &room, BOB).await;
    assert_eq!((status, code.as_str()), (404, "no_such_room"));
    assert_eq!(refused(&site, "/v1/rooms/99999999", ADA).await.1, "no_such_room");
    let mut line = Line::open(site.address, &room, None).await;
    line.say(json!({"token": BOB})).await;
    assert_eq!(line.next().await, Err(4404));
    let no_token = site.ask("POST", "/v1/rooms").send().await;
    assert_eq!((no_token.status, no_token.code().as_str()), (401, "unauthorized"));
    assert_eq!(site.get(ADA, &room).await.code(), "malformed");
}

#[tokio::test]
async fn a_room_waits_so_long_and_no_longer() {
    let site = Site::start().await;
    let (empty, half) = (make(&site, ADA).await, make(&site, ADA).await);
    let mut one = Line::open(site.address, &half, Some(ADA)).await;
    site.runtime.let_pass(Duration::from_secs(600)).await;
    assert_eq!(one.next().await, Err(1001));
    site.runtime.advance(Duration::from_secs(1));
    assert_eq!(refused(&site, &empty, ADA).await.1, "no_such_room");
}

#[tokio::test]
async fn two_who_say_nothing_are_parted_and_a_text_ends_it() {
    let site = Site::start().await;
    let room = make(&site, ADA).await;
    let mut one = Line::open(site.address, &room, Some(ADA)).await;
    let mut other = Line::open(site.address, &room, Some(ADA)).await;
    one.send(b"hello").await;
    assert_eq!(other.next().await.as_deref(), Ok("hello"));
    for _ in 0..2 {
        site.runtime.let_pass(Duration::from_secs(120)).await;
    }
    assert_eq!((one.next().await, other.next().await), (Err(1001), Err(1001)));

    let room = make(&site, ADA).await;
    let mut one = Line::open(site.address, &room, Some(ADA)).await;
    let mut other = Line::open(site.address, &room, Some(ADA)).await;
    one.send_message(Message::text("no bytes")).await.unwrap();
    assert_eq!((one.next().await, other.next().await), (Err(4400), Err(4400)));
}

#[tokio::test]
async fn a_user_has_so_many_rooms_and_all_users_so_many() {
    let relay = Relay { rooms: 3, rooms_per_user: 2, ..Relay::default() };
    let site = Site::with(Config { relay, ..Config::default() }).await;
    let too_many = async |token: &str| {
        let answer = site.ask("POST", "/v1/rooms").token(token).send().await;
        assert!(answer.header("retry-after").is_some(), "{answer:?}");
        assert_eq!((answer.status, answer.code().as_str()), (429, "too_many_rooms"));
    };
    make(&site, ADA).await;
    make(&site, ADA).await;
    too_many(ADA).await;
    make(&site, BOB).await;
    too_many(BOB).await;
    // Rooms that nobody came to make room.
    site.runtime.advance(Duration::from_secs(601));
    make(&site, BOB).await;
}

#[tokio::test]
async fn who_does_not_read_holds_up_who_writes() {
    let relay = Relay { message_bytes: 64 << 10, ..Relay::default() };
    let site = Site::with(Config { relay, ..Config::default() }).await;
    let room = make(&site, ADA).await;
    let mut one = Line::open(site.address, &room, Some(ADA)).await;
    let mut other = Line::open(site.address, &room, Some(ADA)).await;
    // More than the system's buffers take; once it does not go on, nothing more is taken, until somebody reads.
    let writes = async {
        for _ in 0..2_000 {
            one.send(&[b'x'; 50_000]).await;
        }
    };
    tokio::pin!(writes);
    tokio::select! {
        biased;
        () = &mut writes => panic!("100 MB were taken, and nobody has read them"),
        // The server waits for the other side to read.
        () = site.runtime.asleep(Duration::from_secs(30), 1) => {}
    }
    let reads = async {
        for _ in 0..2_000 {
            assert_eq!(other.next().await.map(|it| it.len()), Ok(50_000));
        }
    };
    tokio::join!(writes, reads);
}

#[tokio::test]
async fn messages_have_a_limit() {
    let relay = Relay { message_bytes: 1000, ..Relay::default() };
    let site = Site::with(Config { relay, ..Config::default() }).await;
    let room = make(&site, ADA).await;
    let mut one = Line::open(site.address, &room, Some(ADA)).await;
    let mut other = Line::open(site.address, &room, Some(ADA)).await;
    one.send(&[b'x'; 1000]).await;
    assert_eq!(other.next().await.map(|it| it.len()), Ok(1000));
    let _ = one.send_message(Message::binary(vec![b'x'; 1001])).await;
    assert_eq!(other.next().await, Err(1000));
}

#[tokio::test]
async fn an_open_relay_asks_for_no_token_and_counts_by_address() {
    let limits = storex_server::Limits { burst: 4, ..storex_server::Limits::default() };
    let relay = Relay { open: true, ..Relay::default() };
    let site = Site::with(Config { relay, limits, ..Config::default() }).await;
    let room =
        site.ask("POST", "/v1/rooms").send().await.json()["room"].as_str().unwrap().to_owned();
    let room = format!("/v1/rooms/{room}");
    let mut one = Line::open(site.address, &room, None).await;
    let mut other = Line::open(site.address, &room, Some(BOB)).await;
    one.send(b"hello").await;
    assert_eq!(other.next().await.as_deref(), Ok("hello"));
    for _ in 0..2 {
        assert_eq!(site.ask("POST", "/v1/rooms").send().await.status, 200);
    }
    assert_eq!(site.ask("POST", "/v1/rooms").send().await.code(), "rate_limited");
}

/// As a client does that has one: it cannot know that nobody asks for it.
#[tokio::test]
async fn an_open_relay_passes_over_a_token_that_comes_first() {
    let relay = Relay { open: true, ..Relay::default() };
    let site = Site::with(Config { relay, ..Config::default() }).await;
    let room = make(&site, ADA).await;
    let token = json!({"token": "of whom nobody knows"});
    let mut one = Line::open(site.address, &room, None).await;
    one.say(token.clone()).await;
    one.send(b"hello").await;
    let mut other = Line::open(site.address, &room, None).await;
    other.say(token.clone()).await;
    other.send(b"and back").await;
    assert_eq!(one.next().await.as_deref(), Ok("and back"));
    assert_eq!(other.next().await.as_deref(), Ok("hello"));
    // Later it is a text as any other.
    other.say(token.clone()).await;
    assert_eq!((one.next().await, other.next().await), (Err(4400), Err(4400)));

    for texts in [vec![json!("no token")], vec![token.clone(), token]] {
        let mut line = Line::open(site.address, &make(&site, ADA).await, None).await;
        for text in texts {
            line.say(text).await;
        }
        assert_eq!(line.next().await, Err(4400));
    }
}

#[tokio::test]
async fn in_an_open_relay_each_maker_has_so_many_rooms_and_numbers_are_long() {
    let relay = Relay { open: true, rooms_per_user: 2, ..Relay::default() };
    let site = Site::with(Config { relay, ..Config::default() }).await;
    for _ in 0..2 {
        let room = site.ask("POST", "/v1/rooms").send().await.json()["room"].clone();
        assert_eq!(room.as_str().unwrap().len(), 6, "anybody may try one");
    }
    assert_eq!(site.ask("POST", "/v1/rooms").send().await.code(), "too_many_rooms");
    // Who has a credential is another one.
    make(&site, ADA).await;
    make(&site, ADA).await;
    let third = site.ask("POST", "/v1/rooms").token(ADA).send().await;
    assert_eq!(third.code(), "too_many_rooms");
}

/// Behind a proxy that is believed strangers are told apart, and what they write into the header themselves changes nothing.
#[tokio::test]
async fn in_an_open_relay_strangers_are_told_apart_behind_a_proxy_that_is_believed() {
    let relay = || Relay { open: true, rooms_per_user: 1, ..Relay::default() };
    let proxies = vec!["127.0.0.1".parse().unwrap()];
    let site = Site::with(Config { relay: relay(), proxies, ..Config::default() }).await;
    let make = async |site: &Site, from: &str| {
        let asked = site.ask("POST", "/v1/rooms").header("x-forwarded-for", from);
        asked.send().await.status
    };
    assert_eq!(make(&site, "198.51.100.7").await, 200);
    assert_eq!(make(&site, "198.51.100.7").await, 429);
    assert_eq!(make(&site, "198.51.100.8").await, 200, "somebody else");
    for forged in ["203.0.113.1, 198.51.100.7", "127.0.0.1, 198.51.100.7", "x, 198.51.100.7"] {
        assert_eq!(make(&site, forged).await, 429, "{forged}");
    }
    // Of others nothing is believed.
    let site = Site::with(Config { relay: relay(), ..Config::default() }).await;
    assert_eq!(make(&site, "198.51.100.7").await, 200);
    assert_eq!(make(&site, "198.51.100.8").await, 429);
}

#[tokio::test]
async fn a_relay_ends_when_the_server_stops() {
    let mut site = Site::start().await;
    let (room, lonely) = (make(&site, ADA).await, make(&site, ADA).await);
    let mut one = Line::open(site.address, &room, Some(ADA)).await;
    let mut other = Line::open(site.address, &room, Some(ADA)).await;
    let mut waits = Line::open(site.address, &lonely, Some(ADA)).await;
    one.send(b"hello").await;
    assert_eq!(other.next().await.as_deref(), Ok("hello"));
    site.stop();
    assert_eq!(one.next().await, Err(1001));
    assert_eq!(other.next().await, Err(1001));
    assert_eq!(waits.next().await, Err(1001));
    site.stopped().await;
}
