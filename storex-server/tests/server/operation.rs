//! What those need who run the server: health, numbers, names of requests, pages of other origins, the document.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use serde_json::{Value, json};
use storex_server::{Config, Relay, Server};
use storex_sync::http::device_text;
use tokio::net::TcpListener;

use crate::support::{ADA, Answer, LAPTOP, Line, ManualRuntime, PHONE, Site, TestStore, tokens};

#[tokio::test]
async fn health_tells_whether_the_store_answers_and_no_more() {
    let site = Site::start().await;
    assert_eq!(site.ask("GET", "/health/live").send().await.status, 204);
    assert_eq!(site.ask("GET", "/health/ready").send().await.status, 204);
    site.store.fails.store(true, SeqCst);
    assert_eq!(site.ask("GET", "/health/live").send().await.status, 204);
    let ready = site.ask("GET", "/health/ready").send().await;
    assert_eq!((ready.status, ready.code().as_str()), (503, "unavailable"));
    let refused = site.append(ADA, LAPTOP, 1, b"one").await;
    assert_eq!((refused.status, refused.code().as_str()), (503, "unavailable"));
    assert!(refused.header("retry-after").is_some());
    for answer in [ready, refused] {
        assert!(!String::from_utf8(answer.body).unwrap().contains("10.0.0.7"));
    }
    site.store.fails.store(false, SeqCst);
    assert_eq!(site.append(ADA, LAPTOP, 1, b"one").await.status, 204);
}

#[tokio::test]
async fn every_answer_names_its_request_and_takes_over_harmless_names() {
    let site = Site::start().await;
    let mut names = Vec::new();
    for (method, path) in [
        ("GET", "/v1/devices"),
        ("GET", "/nothing"),
        ("PATCH", "/v1/devices"),
        ("GET", "/health/live"),
    ] {
        let answer = site.ask(method, path).send().await;
        names.push(answer.header("x-request-id").expect(path).to_owned());
    }
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 4);
    let named = site.ask("GET", "/health/live").header("x-request-id", "trace-17.a_B");
    assert_eq!(named.send().await.header("x-request-id"), Some("trace-17.a_B"));
    for bad in ["", "a b", "{\"x\":1}", &"x".repeat(65)] {
        let named = site.ask("GET", "/health/live").header("x-request-id", bad).send().await;
        assert_ne!(named.header("x-request-id"), Some(bad));
        assert_eq!(named.header("x-request-id").unwrap().len(), 32);
    }
}

#[tokio::test]
async fn pages_of_other_origins_may_ask() {
    let site = Site::start().await;
    let before = site
        .ask("OPTIONS", "/v1/log/exchange")
        .header("origin", "https://app.example")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization");
    let before = before.send().await;
    assert_eq!(before.status, 204);
    assert!(before.header("access-control-allow-headers").unwrap().contains("authorization"));
    assert!(before.header("access-control-allow-methods").unwrap().contains("PUT"));
    // Errors too, or the page could not read them.
    let refused =
        site.ask("GET", "/v1/devices").header("origin", "https://app.example").send().await;
    assert_eq!((refused.status, refused.header("access-control-allow-origin")), (401, Some("*")));
    assert_eq!(refused.header("access-control-allow-credentials"), None);
    assert_eq!(refused.header("www-authenticate"), Some("Bearer realm=\"storex\""));
}

fn numbers(answer: &Answer) -> BTreeMap<String, f64> {
    let text = String::from_utf8(answer.body.clone()).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, number) = line.rsplit_once(' ').unwrap();
            (name.to_owned(), number.parse().unwrap())
        })
        .collect()
}

#[tokio::test]
async fn the_numbers_tell_what_happened() {
    let site = Site::start().await;
    let mut line = Line::open(site.address, "/v1/log/watch", Some(ADA)).await;
    line.say(json!({"device": device_text(PHONE), "after": ""})).await;
    for sequence in 1..=3 {
        site.append(ADA, LAPTOP, sequence, b"entry").await;
    }
    line.next().await.unwrap();
    site.read(ADA, PHONE, storex_sync::Cursor::default()).await;
    site.get("no token of ours", "/v1/devices").await;
    let answer = site.ask("GET", "/metrics").send().await;
    assert!(answer.header("content-type").unwrap().starts_with("text/plain"));
    let numbers = numbers(&answer);
    let is = |name: &str, number: f64| {
        assert_eq!(numbers.get(name), Some(&number), "{name}: {numbers:?}")
    };
    is("storex_sockets", 1.0);
    is("storex_transactions_appended_total", 3.0);
    is("storex_transactions_read_total", 3.0);
    is("storex_news_total", 1.0);
    is("storex_unauthorized_total", 1.0);
    is(r#"storex_requests_total{method="post",route="/v1/log/exchange",status="204"}"#, 3.0);
    is(r#"storex_requests_total{method="get",route="/v1/devices",status="401"}"#, 1.0);
    is(r#"storex_request_seconds_bucket{method="post",route="/v1/log/exchange",le="+Inf"}"#, 4.0);
    is(r#"storex_request_seconds_count{method="post",route="/v1/log/exchange"}"#, 4.0);
    // Neither who asked nor what.
    let text = String::from_utf8(answer.body).unwrap();
    assert!(!text.contains("ada") && !text.contains(&device_text(LAPTOP)));
}

#[tokio::test]
async fn the_numbers_may_have_an_address_of_their_own() {
    let (runtime, store) = (Arc::new(ManualRuntime::new()), Arc::new(TestStore::default()));
    let elsewhere = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = elsewhere.local_addr().unwrap();
    let server = Server::new(store.clone(), Arc::new(tokens())).runtime(runtime.clone());
    let site = Site::run(server.metrics_on(elsewhere), runtime, store).await;
    assert_eq!(site.ask("GET", "/metrics").send().await.code(), "not_found");
    let ask = |path| crate::support::Ask::new(address, "GET", path).token(ADA);
    let text = ask("/metrics").send().await;
    assert_eq!(text.status, 200);
    assert_eq!(ask("/v1/devices").send().await.code(), "not_found");
    // Each number once, that of what has no route at either address too.
    let text = String::from_utf8(ask("/metrics").send().await.body).unwrap();
    let mut names: Vec<_> = text.lines().filter_map(|it| Some(it.rsplit_once(' ')?.0)).collect();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all, "{text}");
    let nowhere = r#"storex_requests_total{method="",route="",status="404"} 2"#;
    assert!(text.lines().any(|it| it == nowhere), "{text}");
}

#[tokio::test]
async fn the_document_names_what_the_router_has_and_nothing_else() {
    let site = Site::start().await;
    let document = site.ask("GET", "/openapi.json").send().await.json();
    assert_eq!(document["openapi"], "3.1.0");
    let paths = document["paths"].as_object().unwrap();
    let mut named = 0;
    for (path, operations) in paths {
        let concrete = path
            .replace("{id}", &"0f".repeat(16))
            .replace("{blob}", &format!("sha256-{}-9", "0f".repeat(32)))
            .replace("{maker}", &device_text(PHONE))
            .replace("{number}", "7")
            .replace("{page}", "0")
            .replace("{name}", &"0f".repeat(16))
            .replace("{room}", "1234");
        for method in ["get", "post", "put", "delete", "patch"] {
            let answer = site.ask(&method.to_uppercase(), &concrete).send().await;
            let there = operations.get(method).is_some();
            named += usize::from(there);
            assert_eq!(answer.status != 405, there, "{method} {path}: {answer:?}");
            if there {
                assert_ne!(answer.json_code(), Some("not_found".to_owned()), "{method} {path}");
                let open = operations[method].get("security").is_none();
                assert_eq!(answer.status == 401 || answer.status == 400, !open, "{method} {path}");
            }
        }
    }
    assert!(named > 15, "{named}");
    // Every name that is referred to is there.
    let text = document.to_string();
    for reference in text.split("#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(document["components"]["schemas"].get(name).is_some(), "{name}");
    }
}

#[tokio::test]
async fn the_document_tells_who_may_make_rooms_and_which_bodies_may_be_empty() {
    for (open, security) in [(false, json!([{"token": []}])), (true, json!([{"token": []}, {}]))] {
        let relay = Relay { open, ..Relay::default() };
        let site = Site::with(Config { relay, ..Config::default() }).await;
        let document = site.ask("GET", "/openapi.json").send().await.json();
        assert_eq!(document["paths"]["/v1/rooms"]["post"]["security"], security);
        let asked = site.ask("POST", "/v1/rooms").send().await;
        assert_eq!(asked.status, if open { 200 } else { 401 });
        let required = |method: &str, path: &str| {
            document["paths"][path][method]["requestBody"]["required"].clone()
        };
        assert_eq!(required("put", "/v1/keys/{name}"), json!(false));
        assert_eq!(required("post", "/v1/log/exchange"), json!(true));
        let empty = format!("/v1/keys/{}", "0f".repeat(16));
        assert_eq!(site.ask("PUT", &empty).token(ADA).send().await.status, 204);
        let nothing = site.ask("POST", "/v1/log/exchange").token(ADA).send().await;
        assert_eq!(nothing.code(), "malformed");
    }
}

#[tokio::test]
async fn the_answers_are_as_the_document_says() {
    let site = Site::start().await;
    let document = site.ask("GET", "/openapi.json").send().await.json();
    let register = json!({"device": device_text(LAPTOP), "name": "laptop"});
    let register = site.ask("POST", "/v1/devices").token(ADA).json(&register).send().await;
    site.append(ADA, PHONE, 1, b"one").await;
    let page = format!("/v1/snapshots/{}/7/pages/0", device_text(LAPTOP));
    site.ask("PUT", &page).token(ADA).body("page").send().await;
    let place = site.read(ADA, LAPTOP, storex_sync::Cursor::default()).await.cursor;
    let place: String = place.0.iter().map(|byte| format!("{byte:02x}")).collect();
    let snapshot = json!({"maker": device_text(LAPTOP), "number": "7", "pages": 1, "place": place});
    let blob = storex_sync::BlobRef::of(b"a picture");
    let blob = format!("/v1/blobs/{blob}?device={}", device_text(LAPTOP));
    let answers = [
        ("LogAnswer", register),
        ("Devices", site.get(ADA, "/v1/devices").await),
        ("Members", site.get(ADA, "/v1/log/members").await),
        ("UsageAnswer", site.get(ADA, "/v1/log/usage").await),
        ("TrimAnswer", site.ask("POST", "/v1/log/trim").token(ADA).send().await),
        (
            "PublishAnswer",
            site.ask("POST", "/v1/snapshots").token(ADA).json(&snapshot).send().await,
        ),
        ("RoomAnswer", site.ask("POST", "/v1/rooms").token(ADA).send().await),
        ("BlobAnswer", site.get(ADA, &blob).await),
        ("Names", site.get(ADA, "/v1/keys").await),
        ("Problem", site.append(ADA, PHONE, 5, b"five").await),
        ("Problem", site.get(ADA, "/nothing").await),
    ];
    for (schema, answer) in answers {
        check(
            &document,
            &json!({"$ref": format!("#/components/schemas/{schema}")}),
            &answer.json(),
        );
    }
}

/// As much of JSON Schema as the document uses.
fn check(document: &Value, schema: &Value, value: &Value) {
    if let Some(name) = schema.get("$ref").and_then(Value::as_str) {
        let name = name.rsplit('/').next().unwrap();
        return check(document, &document["components"]["schemas"][name], value);
    }
    let right = match schema["type"].as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "boolean" => value.is_boolean(),
        other => panic!("{other}"),
    };
    assert!(right, "{schema}: {value}");
    for item in value.as_array().into_iter().flatten() {
        check(document, &schema["items"], item);
    }
    let Some(members) = value.as_object() else { return };
    for name in schema["required"].as_array().unwrap() {
        assert!(members.contains_key(name.as_str().unwrap()), "{name}: {value}");
    }
    for (name, value) in members {
        let schema = schema["properties"].get(name).unwrap_or_else(|| panic!("{name}"));
        check(document, schema, value);
    }
}
