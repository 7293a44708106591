//! What strangers' bytes reach, one decoder after the other: rubbish, and what was good before it was damaged. The answer is what it says or
//! a refusal of the right kind, and the server goes on.

use std::io::Write as _;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::FutureExt as _;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config as Cases, TestRunner};
use serde_json::{Value, json};
use storex_server::{
    Config, JwtRules, JwtVerifier, KeySet, Limits, Relay, ServerError, Tokens, Verifier as _,
};
use storex_sync::http::{device_text, id_text, wire};
use storex_sync::{Cursor, LogRequest, SealedTransaction};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{ADA, LAPTOP, ManualRuntime, PHONE, Site};

/// What may happen to bytes on their way.
#[derive(Debug, Clone)]
enum Damage {
    Other(Index, u8),
    Gone(Index),
    Twice(Index),
    Cut(Index),
}

fn damages() -> impl Strategy<Value = Vec<Damage>> {
    let damage = prop_oneof![
        4 => any::<(Index, u8)>().prop_map(|(at, to)| Damage::Other(at, to)),
        1 => any::<Index>().prop_map(Damage::Gone),
        1 => any::<Index>().prop_map(Damage::Twice),
        1 => any::<Index>().prop_map(Damage::Cut),
    ];
    prop::collection::vec(damage, 0..4)
}

fn damaged(good: &[u8], damages: &[Damage]) -> Vec<u8> {
    let mut bytes = good.to_vec();
    for damage in damages.iter().filter(|_| !good.is_empty()) {
        let len = bytes.len().max(1);
        match damage {
            _ if bytes.is_empty() => {}
            Damage::Other(at, to) => bytes[at.index(len)] = *to,
            Damage::Gone(at) => drop(bytes.remove(at.index(len))),
            Damage::Twice(at) => bytes.insert(at.index(len), bytes[at.index(len)]),
            Damage::Cut(at) => bytes.truncate(at.index(len)),
        }
    }
    bytes
}

fn damaged_text(good: &str, damages: &[Damage]) -> String {
    String::from_utf8_lossy(&damaged(good.as_bytes(), damages)).into_owned()
}

/// Any JSON, not deep.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-z]{1,6}", inner, 0..4)
                .prop_map(|members| members.into_iter().collect::<Value>()),
        ]
    })
}

const SECRET: &[u8] = b"a secret of thirty-two bytes, or more";

fn signed(header: &Value, claims: &Value) -> String {
    let encode = |it: &Value| URL_SAFE_NO_PAD.encode(it.to_string());
    let signed = format!("{}.{}", encode(header), encode(claims));
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, SECRET);
    let signature = ring::hmac::sign(&key, signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn is_refused<T>(verified: &storex_server::Result<T>) -> bool {
    matches!(verified, Err(ServerError::Unauthorized { .. }))
}

proptest! {
    #[test]
    fn no_json_web_token_but_the_one_that_was_signed_is_taken(
        damages in damages(), rubbish in "[A-Za-z0-9_.=-]{0,60}", claims in any_json(), header in any_json(), member in any_json()
    ) {
        let keys = KeySet::secret(SECRET).unwrap();
        let verifier = JwtVerifier::new(keys, JwtRules::default(), Arc::new(ManualRuntime::new()));
        let verify = |token: &str| verifier.verify(token).now_or_never().unwrap();
        let alg = json!({"alg": "HS256"});
        let good_claims = json!({"sub": "ada", "exp": 2_000_000_000});
        let good = signed(&alg, &good_claims);
        prop_assert!(verify(&good).is_ok());
        let other = damaged_text(&good, &damages);
        prop_assert!(other == good || is_refused(&verify(&other)), "{other}");
        prop_assert!(is_refused(&verify(&rubbish)));
        // Signed, and odd all the same.
        prop_assert!(is_refused(&verify(&signed(&header, &good_claims))));
        prop_assert!(is_refused(&verify(&signed(&alg, &claims))));
        for name in ["sub", "exp", "nbf", "device"] {
            let mut claims = good_claims.clone();
            claims[name] = member.clone();
            let verified = verify(&signed(&alg, &claims));
            prop_assert!(verified.is_ok() || is_refused(&verified), "{claims}: {verified:?}");
        }
    }

    #[test]
    fn a_list_of_tokens_is_read_or_its_line_is_named(damages in damages(), rubbish in "(\\PC|\n){0,100}") {
        let good = format!("# who may come\n{ADA} ada\n\ntoken-of-adas-laptop-01 ada {}\n", id_text(LAPTOP.id));
        prop_assert!(Tokens::parse(&good).is_ok());
        for text in [damaged_text(&good, &damages), rubbish] {
            match Tokens::parse(&text) {
                Ok(_) => {}
                Err(ServerError::Config { reason }) => prop_assert!(reason.contains("line "), "{reason}"),
                Err(other) => prop_assert!(false, "{other:?}"),
            }
        }
    }

    #[test]
    fn a_set_of_keys_is_read_or_refused(damages in damages(), rubbish in any_json(), member in any_json()) {
        let key = json!({"kty": "oct", "kid": "one", "alg": "HS256", "k": URL_SAFE_NO_PAD.encode(SECRET)});
        let good = json!({"keys": [key]}).to_string();
        prop_assert!(KeySet::from_jwks(&good).is_ok());
        let mut sets = vec![damaged_text(&good, &damages), rubbish.to_string(), json!({"keys": rubbish}).to_string()];
        for name in ["kty", "kid", "alg", "k", "use", "crv", "x", "n"] {
            let mut odd = key.clone();
            odd[name] = member.clone();
            sets.push(json!({"keys": [odd, rubbish]}).to_string());
        }
        for set in sets {
            let read = KeySet::from_jwks(&set);
            prop_assert!(matches!(read, Ok(_) | Err(ServerError::Config { .. })), "{set}: {read:?}");
        }
    }

    #[test]
    fn a_configuration_is_read_and_can_be_run_or_is_refused(damages in damages(), number in any::<u64>(), rubbish in any_json()) {
        let good = serde_json::to_value(Config::default()).unwrap();
        let mut all = vec![damaged_text(&good.to_string(), &damages), rubbish.to_string()];
        for (part, members) in good.as_object().unwrap() {
            let Some(members) = members.as_object() else {
                let mut odd = good.clone();
                odd[part] = rubbish.clone();
                all.push(odd.to_string());
                continue;
            };
            for name in members.keys() {
                for value in [json!(number), rubbish.clone()] {
                    let mut odd = good.clone();
                    odd[part][name] = value;
                    all.push(odd.to_string());
                }
            }
        }
        for text in all {
            let Ok(config) = serde_json::from_str::<Config>(&text) else { continue };
            let checked = config.check();
            prop_assert!(matches!(checked, Ok(()) | Err(ServerError::Config { .. })), "{text}: {checked:?}");
        }
    }
}

fn generous() -> Config {
    let limits = Limits { requests_per_second: 1_000_000, burst: 1_000_000, ..Limits::default() };
    let relay = Relay { rooms: 10_000, rooms_per_user: 10_000, ..Relay::default() };
    Config { limits, relay, ..Config::default() }
}

fn pack(coding: &str, bytes: &[u8]) -> Vec<u8> {
    match coding {
        "zstd" => zstd::bulk::compress(bytes, 1).unwrap(),
        _ => {
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            gzip.write_all(bytes).unwrap();
            gzip.finish().unwrap()
        }
    }
}

#[test]
fn compressed_bodies_are_read_or_refused() {
    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let limits = Limits { body_bytes: 100_000, bodies_bytes: 200_000, ..generous().limits };
    let site = tokio.block_on(Site::with(Config { limits, ..generous() }));
    let coding = prop::sample::select(vec!["zstd", "gzip"]);
    let len = prop_oneof![3 => 0_usize..3000, 1 => Just(5_000_000)];
    let mut runner = TestRunner::new(Cases { cases: 500, ..Cases::default() });
    let result = runner.run(&(coding, len, damages()), |(coding, len, damages)| {
        let it = SealedTransaction { device: LAPTOP, sequence: 1, payload: vec![7; len] };
        let request = LogRequest { device: LAPTOP, append: vec![it], ..LogRequest::default() };
        let good = pack(coding, &wire::encode_request(&request).unwrap());
        let body = damaged(&good, &damages);
        let ask = site.ask("POST", "/v1/log/exchange").token(ADA);
        let answer =
            tokio.block_on(ask.header("content-encoding", coding).body(body.clone()).send());
        // Another length under the same number is another transaction.
        let known = [204, 400, 403, 409, 413];
        prop_assert!(known.contains(&answer.status), "{answer:?}");
        if len == 5_000_000 && body == good {
            prop_assert_eq!(answer.code(), "body_too_large");
        }
        Ok(())
    });
    result.unwrap();
    assert_eq!(tokio.block_on(site.ask("GET", "/health/ready").send()).status, 204);
}

/// A frame as clients send them (RFC 6455), with a mask of zeros.
fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode];
    match u16::try_from(payload.len()) {
        Ok(len @ 0..=125) => frame.push(0x80 | len as u8),
        Ok(len) => {
            frame.push(0x80 | 126);
            frame.extend(len.to_be_bytes());
        }
        Err(_) => panic!("a long payload"),
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

/// A WebSocket as bytes.
async fn socket(site: &Site, path: &str, token: Option<&str>) -> TcpStream {
    let token = token.map_or_else(String::new, |it| format!("authorization: Bearer {it}\r\n"));
    let head = format!(
        "GET {path} HTTP/1.1\r\nhost: x\r\n{token}connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    );
    let mut stream = TcpStream::connect(site.address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(stream.read_u8().await.unwrap());
    }
    assert!(answer.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&answer));
    stream
}

/// Says this and no more, and waits until the server has closed the connection.
async fn say_and_end(mut stream: TcpStream, said: &[u8]) {
    // It may be closed already.
    let _ = stream.write_all(said).await;
    let _ = stream.shutdown().await;
    let _ = stream.read_to_end(&mut Vec::new()).await;
}

/// Waits until no WebSocket is open any more.
async fn all_are_gone(site: &Site) {
    loop {
        let numbers = site.ask("GET", "/metrics").send().await.body;
        if String::from_utf8(numbers).unwrap().contains("\nstorex_sockets 0\n") {
            return;
        }
    }
}

fn said() -> impl Strategy<Value = Vec<u8>> {
    let place = json!({"device": device_text(PHONE), "after": ""}).to_string();
    let greeting = json!({"token": ADA}).to_string();
    let text = prop_oneof![
        3 => Just(greeting),
        3 => Just(place),
        1 => any_json().prop_map(|json| json.to_string()),
        1 => "\\PC{0,40}",
    ];
    let good = prop_oneof![
        6 => text.prop_map(|text| frame(1, text.as_bytes())),
        2 => prop::collection::vec(any::<u8>(), 0..300).prop_map(|bytes| frame(2, &bytes)),
        1 => (0_u8..16, prop::collection::vec(any::<u8>(), 0..130)).prop_map(|(opcode, it)| frame(opcode, &it)),
    ];
    let frames = prop::collection::vec((good, damages()), 0..4).prop_map(|frames| {
        frames.iter().flat_map(|(good, damages)| damaged(good, damages)).collect::<Vec<_>>()
    });
    prop_oneof![5 => frames, 1 => prop::collection::vec(any::<u8>(), 0..100)]
}

#[test]
fn whatever_is_said_in_a_websocket_ends_no_more_than_that() {
    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let site = tokio.block_on(Site::with(generous()));
    let token = prop::sample::select(vec![Some(ADA), None]);
    let mut runner = TestRunner::new(Cases { cases: 400, ..Cases::default() });
    let result = runner.run(&(token, said(), said()), |(token, one, other)| {
        tokio.block_on(async {
            say_and_end(socket(&site, "/v1/log/watch", token).await, &one).await;
            let room = site.ask("POST", "/v1/rooms").token(ADA).send().await.json();
            let room = format!("/v1/rooms/{}", room["room"].as_str().unwrap());
            let first = socket(&site, &room, Some(ADA)).await;
            let second = socket(&site, &room, token).await;
            let mut first = std::pin::pin!(say_and_end(first, &one));
            tokio::select! {
                biased;
                () = say_and_end(second, &other) => {}
                () = &mut first => return,
            }
            // Whoever has said something and waits for the other one is not heard until then: its room ends some time.
            let time_passes = async {
                loop {
                    site.runtime.let_pass(Relay::default().waits).await;
                }
            };
            tokio::select! {
                () = first => {}
                () = time_passes => {}
            }
        });
        Ok(())
    });
    result.unwrap();
    tokio.block_on(async {
        all_are_gone(&site).await;
        assert_eq!(site.append(ADA, LAPTOP, 1, b"one").await.status, 204);
        assert_eq!(site.read(ADA, PHONE, Cursor::default()).await.transactions.len(), 1);
    });
}
