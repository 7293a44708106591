//! What somebody tries who wants another's, or who wants the server to be gone.

use std::io::Write as _;
use std::time::Duration;

use serde_json::json;
use storex_server::{Config, Limits, Timeouts};
use storex_sync::http::{device_text, id_text, wire};
use storex_sync::{BlobRef, BlobStore as _, Cursor, LogRequest, SharedSyncLog as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{ADA, Answer, BOB, LAPTOP, PHONE, Site, raw};

/// The server goes on for everybody else.
async fn lives(site: &Site) {
    let page = site.read(ADA, PHONE, Cursor::default()).await;
    assert_eq!(page.transactions.len(), 1);
}

async fn with_secrets() -> Site {
    let site = Site::start().await;
    site.append(ADA, LAPTOP, 1, b"the secret of ada").await;
    let place = site.read(ADA, PHONE, Cursor::default()).await.cursor;
    let place: String = place.0.iter().map(|byte| format!("{byte:02x}")).collect();
    let page = format!("/v1/snapshots/{}/7/pages/0", device_text(LAPTOP));
    assert_eq!(
        site.ask("PUT", &page).token(ADA).body("the secret of ada").send().await.status,
        204
    );
    let form = json!({"maker": device_text(LAPTOP), "number": "7", "pages": 1, "place": place});
    let published = site.ask("POST", "/v1/snapshots").token(ADA).json(&form).send().await;
    assert_eq!(published.json(), json!({"published": true}));
    let blob = BlobRef::of(b"the secret of ada");
    let blobs = site.store.blobs_of("ada");
    blobs.put_chunk(&blob, 0, b"the secret of ada".to_vec()).await.unwrap();
    blobs.finish(&blob).await.unwrap();
    site
}

fn says_nothing(answer: &Answer) {
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    assert!(!text.contains("secret"), "{answer:?}");
    assert!(!text.contains(&id_text(LAPTOP.id)), "{answer:?}");
    assert!(answer.status < 500, "{answer:?}");
}

#[tokio::test]
async fn who_knows_all_the_names_of_another_user_finds_nothing() {
    let site = with_secrets().await;
    let device = device_text(LAPTOP);
    let ours = site.ask("POST", "/v1/rooms").token(ADA).send().await.json();
    let (room, page) =
        (ours["room"].as_str().unwrap(), format!("/v1/snapshots/{device}/7/pages/0"));
    let name = BlobRef::of(b"the secret of ada");
    let blob = format!("/v1/blobs/{name}?device={device}");
    let chunk = format!("/v1/blobs/{name}/chunks/0?device={device}");
    for path in [
        page.clone(),
        "/v1/snapshots".to_owned(),
        "/v1/devices".to_owned(),
        "/v1/log/members".to_owned(),
        "/v1/log/usage".to_owned(),
        format!("/v1/rooms/{room}"),
        format!("/v1/log/changed?device={device}&after=&wait=0"),
        blob.clone(),
        chunk.clone(),
    ] {
        let asked = tokio::spawn(site.ask("GET", &path).token(BOB).send());
        if path.contains("changed") {
            site.runtime.let_pass(Duration::ZERO).await;
        }
        says_nothing(&asked.await.unwrap());
    }
    let read = LogRequest { device: PHONE, read: Some(Cursor::default()), ..LogRequest::default() };
    says_nothing(&site.exchange(BOB, &read).await);

    // What changes things changes Bob's own.
    let to = |method: &str, path: &str| site.ask(method, path).token(BOB);
    let known = json!({"known": id_text([1; 16])});
    for ask in [
        to("DELETE", &format!("/v1/devices/{}", id_text(LAPTOP.id))),
        to("POST", "/v1/log/dismiss").json(&json!({"device": device})),
        to("POST", "/v1/log/reidentify").json(&known),
        to("POST", "/v1/log/trim"),
        to("PUT", &page).body("forged"),
        to("PUT", &chunk).body("a forged one, sir"),
        to("POST", &blob),
        to("DELETE", &blob),
        to("POST", "/v1/snapshots")
            .json(&json!({"maker": device, "number": "8", "pages": 0, "place": "00"})),
    ] {
        says_nothing(&ask.send().await);
    }
    says_nothing(&site.append(BOB, LAPTOP, 1, b"forged").await);
    let log = site.store.log_of("ada");
    assert_eq!(log.register(LAPTOP).await.unwrap().0, [1; 16]);
    assert_eq!(site.get(ADA, &page).await.body, b"the secret of ada");
    assert_eq!(site.get(ADA, &chunk).await.body, b"the secret of ada");
    assert_eq!(site.append(ADA, LAPTOP, 2, b"and on").await.status, 204);
}

#[tokio::test]
async fn no_token_and_tokens_that_look_like_one_open_nothing() {
    let site = with_secrets().await;
    let long = format!("Bearer {}", "x".repeat(10_000));
    let cut = format!("Bearer {}", &ADA[..ADA.len() - 1]);
    let more = format!("Bearer {ADA}x");
    let upper = format!("Bearer {}", ADA.to_uppercase());
    let basic = format!("Basic {ADA}");
    let twice = format!("Bearer {ADA} {ADA}");
    for header in
        ["", "Bearer", "Bearer ", ADA, &long, &cut, &more, &upper, &basic, &twice, "Bearer \u{e4}"]
    {
        for path in ["/v1/devices", "/v1/log/members", "/v1/snapshots", "/v1/log/usage"] {
            let answer = site.ask("GET", path).header("authorization", header).send().await;
            assert_eq!((answer.status, answer.code().as_str()), (401, "unauthorized"), "{header}");
            says_nothing(&answer);
        }
    }
    let two = site.ask("GET", "/v1/devices").token(ADA).token(BOB).send().await;
    assert_eq!(two.code(), "unauthorized");
    // Not where it would be logged on the way.
    let in_query =
        site.ask("GET", &format!("/v1/devices?token={ADA}&access_token={ADA}")).send().await;
    assert_eq!(in_query.code(), "unauthorized");
}

#[tokio::test]
async fn what_was_sent_before_changes_nothing_when_it_is_sent_again() {
    let site = with_secrets().await;
    for _ in 0..3 {
        assert_eq!(site.append(ADA, LAPTOP, 1, b"the secret of ada").await.status, 204);
    }
    lives(&site).await;
    assert_eq!(site.append(ADA, LAPTOP, 1, b"another").await.code(), "forked");
    // Another's request with one's own token is one's own request.
    assert_eq!(site.append(BOB, LAPTOP, 1, b"the secret of ada").await.status, 204);
    lives(&site).await;
}

#[tokio::test]
async fn paths_lead_where_they_say_and_nowhere_else() {
    let site = with_secrets().await;
    let device = device_text(LAPTOP);
    let page = format!("/v1/snapshots/{device}/7/pages/0");
    for path in [
        format!("/v1/snapshots/../snapshots/{device}/7/pages/0"),
        format!("/v1/snapshots/%2e%2e/snapshots/{device}/7/pages/0"),
        format!("//v1/snapshots/{device}/7/pages/0"),
        format!("/v1//snapshots/{device}/7/pages/0"),
        format!("/v1/snapshots/{device}%2f7/pages/0"),
        format!("/v1/snapshots/{device}/7/pages/0/"),
        format!("/v1/snapshots/{device}/7/pages/..%2f0"),
        format!("/v1/snapshots/{device}/7/pages/0%00"),
        format!("/v1/snapshots/{device}/7/pages/%ff"),
        format!("/v1/snapshots/{}/7/pages/0", device.to_uppercase()),
        format!("/V1/snapshots/{device}/7/pages/0"),
        format!("/v1/snapshots/{device};x=1/7/pages/0"),
        "/v1/devices/..%2f..%2fetc%2fpasswd".to_owned(),
        "/..%2f..%2fetc/passwd".to_owned(),
        "/%2e%2e/%2e%2e/metrics/../etc/passwd".to_owned(),
        "/v1/rooms/%31%32%33%34%2f".to_owned(),
    ] {
        for method in ["GET", "PUT", "DELETE", "POST"] {
            let answer = site.ask(method, &path).token(ADA).send().await;
            assert!((400..500).contains(&answer.status), "{method} {path}: {answer:?}");
            says_nothing(&answer);
        }
    }
    // Another spelling of the same page is the same page.
    let spelled = page.replacen("/7/", "/%37/", 1);
    assert_eq!(site.get(ADA, &spelled).await.body, b"the secret of ada");
    let absolute =
        format!("GET http://elsewhere{page} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    assert_eq!(raw(site.address, absolute.as_bytes()).await.unwrap().status, 401);
}

#[tokio::test]
async fn heads_that_are_too_long_or_none_are_refused() {
    let site = with_secrets().await;
    let many: String = (0..500).map(|n| format!("x-{n}: y\r\n")).collect();
    let long = format!("x: {}\r\n", "y".repeat(100_000));
    for (extra, status) in [(many, 431), (long, 431)] {
        let request = format!("GET /v1/devices HTTP/1.1\r\nhost: x\r\n{extra}\r\n");
        let answer = raw(site.address, request.as_bytes()).await.unwrap();
        assert_eq!(answer.status, status);
    }
    let path = format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "y".repeat(100_000));
    assert!((400..500).contains(&raw(site.address, path.as_bytes()).await.unwrap().status));
    for rubbish in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"\0\0\0\0\0\0\0\0",
        b"GET\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /v1/log/trim HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        b"POST /v1/log/trim HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd",
        b"POST /v1/log/trim HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        b"GET /v1/devices HTTP/1.1\r\nhost : x\r\n\r\n",
    ] {
        if let Some(answer) = raw(site.address, rubbish).await {
            assert!((400..500).contains(&answer.status), "{rubbish:?}: {answer:?}");
        }
    }
    lives(&site).await;
}

/// What comes back to a connection that has said this much, once it is closed.
async fn after(site: &Site, said: &[u8], slept: Duration) -> Option<Answer> {
    let mut stream = TcpStream::connect(site.address).await.unwrap();
    stream.write_all(said).await.unwrap();
    site.runtime.let_pass(slept).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    Answer::parse(&answer)
}

#[tokio::test]
async fn slow_heads_and_slow_bodies_are_given_up() {
    let site = with_secrets().await;
    let headers = Duration::from_secs(75);
    assert!(after(&site, b"GET /v1/devices HTTP/1.1\r\nx: ", headers).await.is_none());
    assert!(after(&site, b"", headers).await.is_none());

    let head = format!(
        "POST /v1/log/exchange HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {ADA}\r\ncontent-length: 1000\r\n\r\nslow"
    );
    let answer = after(&site, head.as_bytes(), Duration::from_secs(60)).await.unwrap();
    assert_eq!((answer.status, answer.code().as_str()), (408, "timeout"));
    lives(&site).await;
}

#[tokio::test]
async fn who_has_no_token_does_not_get_a_body_read() {
    let site = with_secrets().await;
    let head = b"POST /v1/log/exchange HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n";
    let mut stream = TcpStream::connect(site.address).await.unwrap();
    stream.write_all(head).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert_eq!(Answer::parse(&answer).unwrap().status, 401);
}

#[tokio::test]
async fn bodies_that_are_too_large_are_refused_before_they_are_read_and_after_they_are_unpacked() {
    let limits = Limits { body_bytes: 100_000, bodies_bytes: 150_000, ..Limits::default() };
    let site = Site::with(Config { limits, ..Config::default() }).await;
    let exchange = || site.ask("POST", "/v1/log/exchange").token(ADA);
    let head = format!(
        "POST /v1/log/exchange HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {ADA}\r\ncontent-length: 4611686018427387904\r\n\r\n"
    );
    let giant = raw(site.address, head.as_bytes()).await.unwrap();
    let declared = exchange().body(vec![0; 100_001]).send().await;
    // Of unknown length.
    let chunk = format!("{:x}\r\n{}\r\n", 60_000, "x".repeat(60_000));
    let head = format!(
        "POST /v1/log/exchange HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {ADA}\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n{chunk}{chunk}0\r\n\r\n"
    );
    let chunked = raw(site.address, head.as_bytes()).await.unwrap();
    // A gigabyte of nothing.
    let zeros = vec![0; 1 << 20];
    let mut zstd_bomb = zstd::stream::Encoder::new(Vec::new(), 1).unwrap();
    let mut gzip_bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    for _ in 0..64 {
        zstd_bomb.write_all(&zeros).unwrap();
        gzip_bomb.write_all(&zeros).unwrap();
    }
    let bomb = |coding, body| exchange().header("content-encoding", coding).body(body).send();
    let zstd_bomb = bomb("zstd", zstd_bomb.finish().unwrap()).await;
    let gzip_bomb = bomb("gzip", gzip_bomb.finish().unwrap()).await;
    for answer in [giant, declared, chunked, zstd_bomb, gzip_bomb] {
        assert_eq!((answer.status, answer.code().as_str()), (413, "body_too_large"), "{answer:?}");
        assert_eq!(answer.json()["limit"], 100_000);
    }
    let cut = bomb("zstd", zstd::bulk::compress(&zeros, 1).unwrap()[..20].to_vec()).await;
    assert_eq!(cut.code(), "malformed");
    let json = site.ask("POST", "/v1/devices").token(ADA).body(vec![b' '; 70_000]).send().await;
    assert_eq!(json.json()["limit"], 64 << 10);
}

#[tokio::test]
async fn all_bodies_together_have_a_limit() {
    let limits = Limits { body_bytes: 1000, bodies_bytes: 1500, ..Limits::default() };
    let site = Site::with(Config { limits, ..Config::default() }).await;
    let mut slow = TcpStream::connect(site.address).await.unwrap();
    let head = format!(
        "POST /v1/log/exchange HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {BOB}\r\ncontent-length: 1000\r\n\r\n{}",
        "x".repeat(900)
    );
    slow.write_all(head.as_bytes()).await.unwrap();
    site.runtime.asleep(Duration::from_secs(60), 1).await;
    let ask = || site.ask("POST", "/v1/log/exchange").token(ADA).body(vec![0; 700]).send();
    let answer = ask().await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "unavailable"));
    // Whoever is slow is given up, and what it held is free.
    site.runtime.let_pass(Duration::from_secs(60)).await;
    slow.read_to_end(&mut Vec::new()).await.unwrap();
    assert_eq!(ask().await.code(), "malformed");
}

#[tokio::test]
async fn deep_json_and_requests_that_promise_much_cost_nothing() {
    let site = with_secrets().await;
    let deep = "[".repeat(60_000);
    for body in
        [deep.as_str(), "{\"device\":", "null", "\"\u{0}\"", "{\"device\": {\"id\": 1}}", "1e999"]
    {
        let answer = site.ask("POST", "/v1/devices").token(ADA).body(body).send().await;
        assert_eq!(answer.code(), "malformed", "{body:.40}");
    }
    let longest = u64::MAX.to_string();
    for name in [&"n".repeat(201), "line\nbreak", &longest.repeat(20)] {
        let body = json!({"device": device_text(PHONE), "name": name});
        let answer = site.ask("POST", "/v1/devices").token(ADA).json(&body).send().await;
        assert_eq!(answer.code(), "malformed");
    }
    // A request that says it has 2^60 transactions, or one of 2^60 bytes.
    let mut promises = vec![1];
    promises.extend([7; 16]);
    promises.extend([0, 2]);
    promises.extend([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f]);
    let answer =
        site.ask("POST", "/v1/log/exchange").token(ADA).body(promises.clone()).send().await;
    assert_eq!(answer.code(), "body_too_large");
    let request = LogRequest {
        device: PHONE,
        read: Some(Cursor(vec![0xff; 10_000])),
        ..LogRequest::default()
    };
    let answer = site.exchange(ADA, &request).await;
    assert_eq!(answer.code(), "wrong_cursor");
    let body = wire::encode_request(&request).unwrap();
    let limit = "/v1/log/exchange?limit=99999999999999999999999999";
    assert_eq!(site.ask("POST", limit).token(ADA).body(body).send().await.code(), "malformed");
    lives(&site).await;
}

#[tokio::test]
async fn who_asks_too_often_is_told_when_to_come_again() {
    let limits = Limits { requests_per_second: 2, burst: 3, ..Limits::default() };
    let site = Site::with(Config { limits, ..Config::default() }).await;
    for _ in 0..3 {
        assert_eq!(site.get(ADA, "/v1/devices").await.status, 200);
    }
    for _ in 0..3 {
        let answer = site.get(ADA, "/v1/devices").await;
        assert_eq!((answer.status, answer.code().as_str()), (429, "rate_limited"));
        assert_eq!(
            (answer.header("retry-after"), &answer.json()["retry_after_ms"]),
            (Some("1"), &json!(500))
        );
    }
    // Nobody else is.
    assert_eq!(site.get(BOB, "/v1/devices").await.status, 200);
    site.runtime.advance(Duration::from_millis(500));
    assert_eq!(site.get(ADA, "/v1/devices").await.status, 200);
    assert_eq!(site.get(ADA, "/v1/devices").await.status, 429);
    // A rest gives back what may be asked at once, and no more; a clock that is put back gives nothing.
    site.runtime.advance(Duration::from_secs(3600));
    for _ in 0..3 {
        assert_eq!(site.get(ADA, "/v1/devices").await.status, 200);
    }
    assert_eq!(site.get(ADA, "/v1/devices").await.status, 429);
}

#[tokio::test]
async fn who_asks_for_much_and_reads_nothing_is_let_go() {
    let site = Site::start().await;
    let payload = vec![b'x'; 4 << 20];
    let log = site.store.log_of("ada");
    for sequence in 1..=4 {
        let it =
            storex_sync::SealedTransaction { device: LAPTOP, sequence, payload: payload.clone() };
        log.append(&[it]).await.unwrap();
    }
    let request =
        LogRequest { device: PHONE, read: Some(Cursor::default()), ..LogRequest::default() };
    let body = wire::encode_request(&request).unwrap();
    let one = format!(
        "POST /v1/log/exchange HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {ADA}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let mut stream = TcpStream::connect(site.address).await.unwrap();
    for _ in 0..4 {
        stream.write_all(one.as_bytes()).await.unwrap();
        stream.write_all(&body).await.unwrap();
    }
    site.runtime.let_pass(Duration::from_secs(30)).await;
    // What is in the system's buffers still comes; the rest does not.
    let mut read = Vec::new();
    let _ = stream.read_to_end(&mut read).await;
    assert!(read.len() < 4 * payload.len(), "{}", read.len());
}

/// Asks so many times for a page of 4 MiB, over one connection, and reads nothing yet.
async fn ask_for_pages(site: &Site, count: usize) -> TcpStream {
    let request =
        LogRequest { device: PHONE, read: Some(Cursor::default()), ..LogRequest::default() };
    let body = wire::encode_request(&request).unwrap();
    let head = format!(
        "POST /v1/log/exchange HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {ADA}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let mut stream = TcpStream::connect(site.address).await.unwrap();
    for _ in 0..count {
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&body).await.unwrap();
    }
    stream
}

async fn with_transaction_of(bytes: usize, config: Config) -> Site {
    let site = Site::with(config).await;
    let it =
        storex_sync::SealedTransaction { device: LAPTOP, sequence: 1, payload: vec![b'x'; bytes] };
    site.store.log_of("ada").append(&[it]).await.unwrap();
    site
}

/// Asks for 80 MiB, and takes 2 of them every 3 seconds: what it gets.
async fn taken_slowly(min_write_rate: u32) -> usize {
    let limits = Limits { min_write_rate, ..Limits::default() };
    let site = with_transaction_of(4 << 20, Config { limits, ..Config::default() }).await;
    let mut stream = ask_for_pages(&site, 20).await;
    let mut buffer = vec![0; 2 << 20];
    let mut taken = 0;
    while taken < 80 << 20 {
        match stream.read_exact(&mut buffer).await {
            Ok(read) => taken += read,
            Err(_) => return taken,
        }
        site.runtime.advance(Duration::from_secs(3));
    }
    taken
}

#[tokio::test]
async fn who_takes_a_little_now_and_then_is_let_go_and_who_is_slow_is_not() {
    // 700 KiB per second are more than 100 KiB, and less than 4 MiB.
    assert_eq!(taken_slowly(100 << 10).await, 80 << 20);
    let taken = taken_slowly(4 << 20).await;
    assert!(taken < 80 << 20, "{taken}");
}

#[tokio::test]
async fn all_answers_together_have_a_limit_and_what_is_beyond_waits() {
    let limits = Limits { entry_bytes: 16 << 20, answers_bytes: 24 << 20, ..Limits::default() };
    let timeouts = Timeouts { write: Duration::from_secs(600), ..Timeouts::default() };
    let site =
        with_transaction_of(16 << 20, Config { limits, timeouts, ..Config::default() }).await;
    let slow = ask_for_pages(&site, 1).await;
    site.runtime.asleep(Duration::from_secs(600), 1).await;
    let ask = || {
        let request =
            LogRequest { device: PHONE, read: Some(Cursor::default()), ..LogRequest::default() };
        let body = wire::encode_request(&request).unwrap();
        tokio::spawn(site.ask("POST", "/v1/log/exchange").token(ADA).body(body).send())
    };
    let late = ask();
    site.runtime.asleep(Duration::from_secs(120), 1).await;
    // What is small is answered, and what is only written is.
    assert_eq!(site.get(ADA, "/v1/devices").await.status, 200);
    assert_eq!(site.append(ADA, PHONE, 1, b"one").await.status, 204);
    site.runtime.let_pass(Duration::from_secs(120)).await;
    let late = late.await.unwrap();
    assert_eq!((late.status, late.code().as_str()), (503, "unavailable"));
    assert!(late.header("retry-after").is_some());
    // What waits is answered as soon as the slow one is let go, or goes.
    let next = ask();
    site.runtime.asleep(Duration::from_secs(120), 1).await;
    drop(slow);
    let next = next.await.unwrap();
    assert_eq!(next.status, 200);
    assert!(next.body.len() > 16 << 20);
}

/// Who takes nothing of what they ask for hold up themselves.
#[tokio::test]
async fn one_user_has_a_part_of_the_room_for_answers_and_others_are_answered() {
    let limits = Limits { entry_bytes: 16 << 20, answers_bytes: 64 << 20, ..Limits::default() };
    let timeouts = Timeouts { write: Duration::from_secs(600), ..Timeouts::default() };
    let site =
        with_transaction_of(16 << 20, Config { limits, timeouts, ..Config::default() }).await;
    let mut slow = Vec::new();
    for _ in 0..4 {
        slow.push(ask_for_pages(&site, 1).await);
    }
    site.runtime.asleep(Duration::from_secs(600), 1).await;
    assert_eq!(site.read(BOB, PHONE, Cursor::default()).await.transactions, []);
    drop(slow);
}

#[tokio::test]
async fn only_so_many_connections_are_taken_and_the_others_wait() {
    let limits = Limits { connections: 2, ..Limits::default() };
    let site = Site::with(Config { limits, ..Config::default() }).await;
    let first = TcpStream::connect(site.address).await.unwrap();
    let second = TcpStream::connect(site.address).await.unwrap();
    site.runtime.asleep(Duration::from_secs(75), 2).await;
    let third = tokio::spawn(site.ask("GET", "/health/live").send());
    drop(first);
    assert_eq!(third.await.unwrap().status, 204);
    drop(second);
}

/// Heads that begin and never end have all places. More of them gives no more time, and whoever waits outside is answered then.
#[tokio::test]
async fn heads_that_drip_keep_others_out_no_longer_than_a_head_may_take() {
    let limits = Limits { connections: 3, ..Limits::default() };
    let site = Site::with(Config { limits, ..Config::default() }).await;
    let mut slow = Vec::new();
    for _ in 0..3 {
        let mut stream = TcpStream::connect(site.address).await.unwrap();
        stream.write_all(b"GET /v1/devices HTTP/1.1\r\nx-0: ").await.unwrap();
        slow.push(stream);
    }
    let patience = Duration::from_secs(75);
    site.runtime.asleep(patience, 3).await;
    let waiting = tokio::spawn(site.ask("GET", "/health/live").send());
    site.runtime.advance(patience / 2);
    for stream in &mut slow {
        stream.write_all(b"y\r\nx-1: ").await.unwrap();
    }
    site.runtime.advance(patience / 2);
    assert_eq!(waiting.await.unwrap().status, 204);
}
