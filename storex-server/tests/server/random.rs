//! Whatever comes, the answer is no failure of the server's.

use proptest::prelude::*;
use proptest::test_runner::{Config as Cases, TestRunner};
use storex_server::{Config, Limits};
use storex_sync::http::{device_text, wire};
use storex_sync::{Cursor, Device, LogRequest, SealedTransaction};

use crate::support::{ADA, LAPTOP, PHONE, Site, raw};

fn generous() -> Config {
    let limits = Limits { requests_per_second: 1_000_000, burst: 1_000_000, ..Limits::default() };
    Config { limits, ..Config::default() }
}

fn path() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "v1",
        "devices",
        "log",
        "exchange",
        "members",
        "dismiss",
        "reidentify",
        "trim",
        "watch",
        "changed",
        "usage",
        "snapshots",
        "keys",
        "pages",
        "rooms",
        "0",
        "7",
        "1234",
        "health",
        "ready",
        "metrics",
        "openapi.json",
        "..",
        "%2f",
        "",
    ]);
    let part = prop_oneof![
        6 => known.prop_map(str::to_owned),
        1 => Just(device_text(LAPTOP)),
        1 => "[!-\"$-.0->@-~]{0,12}",
    ];
    let query = prop_oneof![2 => Just(String::new()), 1 => "\\?[a-z]{1,8}=[!-~]{0,20}", 1 => "\\?limit=[0-9-]{1,22}"];
    (prop::collection::vec(part, 0..6), query)
        .prop_map(|(parts, query)| format!("/{}{query}", parts.join("/")))
}

fn request() -> impl Strategy<Value = Vec<u8>> {
    let device = prop::sample::select(vec![LAPTOP, PHONE, Device::NOBODY]);
    let payloads = prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..4);
    let cursor = || prop::option::of(prop::collection::vec(any::<u8>(), 0..12).prop_map(Cursor));
    (device, 0_u64..5, payloads, cursor(), cursor()).prop_map(
        |(device, first, payloads, acknowledge, read)| {
            let number =
                |(at, payload)| SealedTransaction { device, sequence: first + at as u64, payload };
            let append = payloads.into_iter().enumerate().map(number).collect();
            wire::encode_request(&LogRequest { device, acknowledge, append, read }).unwrap()
        },
    )
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200),
        request(),
        // A request with a few bytes that are others.
        (request(), prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4))
            .prop_map(|(mut bytes, changes)| {
                for (at, byte) in changes {
                    let at = at.index(bytes.len());
                    bytes[at] = byte;
                }
                bytes
            }),
        "\\{\"(device|known|maker|number|token)\": ?[!-~]{0,60}\\}?".prop_map(String::into_bytes),
    ]
}

#[test]
fn no_path_method_header_or_body_makes_it_fail() {
    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let site = tokio.block_on(Site::with(generous()));
    let method =
        prop::sample::select(vec!["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"]);
    let path = prop_oneof![1 => Just("/v1/log/exchange".to_owned()), 2 => path()];
    let coding = prop::sample::select(vec!["", "gzip", "zstd", "identity", "br"]);
    let header = ("[a-z-]{1,16}", "[ -~]{0,30}");
    let mut runner = TestRunner::new(Cases { cases: 1500, ..Cases::default() });
    let all = (method, path, coding, header, body());
    let result = runner.run(&all, |(method, path, coding, (name, value), body)| {
        if path.contains("changed")
            || ["content-length", "transfer-encoding", "expect"].contains(&name.as_str())
        {
            return Ok(()); // it waits, by rights
        }
        let ask = site
            .ask(method, &path)
            .token(ADA)
            .header("accept-encoding", coding)
            .header(&name, &value);
        let ask = if coding.is_empty() { ask } else { ask.header("content-encoding", coding) };
        let answer = tokio.block_on(ask.body(body).send());
        prop_assert!(answer.status < 500, "{method} {path}: {answer:?}");
        if answer.status >= 400 && answer.status != 431 && !answer.body.is_empty() {
            prop_assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        }
        Ok(())
    });
    result.unwrap();
    assert_eq!(tokio.block_on(site.ask("GET", "/health/ready").send()).status, 204);
}

#[test]
fn no_bytes_at_all_make_it_fail() {
    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let site = tokio.block_on(Site::with(generous()));
    let mut runner = TestRunner::new(Cases { cases: 500, ..Cases::default() });
    let line = prop_oneof![
        Just(String::new()),
        "(GET|POST) /[ -~]{0,20}",
        Just("GET /v1/devices HTTP/1.1\r\n".to_owned())
    ];
    let bytes = (line, prop::collection::vec(any::<u8>(), 0..200));
    let result = runner.run(&bytes, |(line, bytes)| {
        let said = [line.as_bytes(), &bytes, b"\r\n\r\n\r\n\r\n"].concat();
        let asked = tokio.block_on(async {
            // Where it waits for more, time passes.
            tokio::select! {
                answer = raw(site.address, &said) => answer,
                () = async { loop { site.runtime.let_pass(std::time::Duration::from_secs(75)).await; } } => None,
            }
        });
        prop_assert!(asked.as_ref().is_none_or(|answer| answer.status < 500), "{asked:?}");
        Ok(())
    });
    result.unwrap();
    assert_eq!(tokio.block_on(site.ask("GET", "/health/ready").send()).status, 204);
}
