//! The server stops in order, and answers who stands in front of it.

use std::time::Duration;

use serde_json::json;
use storex_sync::http::device_text;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{ADA, Answer, LAPTOP, Line, PHONE, Site};

#[tokio::test]
async fn what_is_under_way_ends_in_order_and_nothing_new_begins() {
    let mut site = Site::start().await;
    let mut watch = Line::open(site.address, "/v1/log/watch", Some(ADA)).await;
    watch.say(json!({"device": device_text(PHONE), "after": ""})).await;
    let mut unknown = Line::open(site.address, "/v1/log/watch", None).await;
    let poll = format!("/v1/log/changed?device={}&after=&wait=30", device_text(LAPTOP));
    let poll = tokio::spawn(site.ask("GET", &poll).token(ADA).send());
    site.runtime.asleep(Duration::from_secs(30), 1).await;
    // A connection that rests, and one in the middle of a request.
    let resting = TcpStream::connect(site.address).await.unwrap();
    let mut half = TcpStream::connect(site.address).await.unwrap();
    let register = json!({"device": device_text(PHONE)}).to_string();
    let head = format!(
        "POST /v1/devices HTTP/1.1\r\nhost: test\r\nauthorization: Bearer {ADA}\r\ncontent-length: {}\r\n\r\n",
        register.len()
    );
    half.write_all(head.as_bytes()).await.unwrap();
    // Its body is waited for.
    site.runtime.asleep(Duration::from_secs(60), 1).await;

    site.stop();
    assert_eq!(watch.next().await, Err(1001));
    assert_eq!(unknown.next().await, Err(1001));
    assert_eq!(poll.await.unwrap().json(), json!({"changed": false}));
    half.write_all(register.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    half.read_to_end(&mut answer).await.unwrap();
    assert_eq!(Answer::parse(&answer).unwrap().status, 200);
    let mut resting = resting;
    assert_eq!(resting.read_to_end(&mut Vec::new()).await.unwrap(), 0);
    // No time has passed.
    site.stopped().await;
    assert!(TcpStream::connect(site.address).await.is_err());
}

#[tokio::test]
async fn who_never_ends_is_waited_for_no_longer_than_it_may() {
    let mut site = Site::start().await;
    let mut half = TcpStream::connect(site.address).await.unwrap();
    let head = format!(
        "POST /v1/devices HTTP/1.1\r\nhost: test\r\nauthorization: Bearer {ADA}\r\ncontent-length: 10\r\n\r\n"
    );
    half.write_all(head.as_bytes()).await.unwrap();
    site.runtime.asleep(Duration::from_secs(60), 1).await;
    site.stop();
    site.runtime.let_pass(Duration::from_secs(30)).await;
    site.stopped().await;
}
