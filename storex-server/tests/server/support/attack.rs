//! What somebody tries at every route of a server: the list is the one in its own document, so a new route is attacked as soon as it is there.

use std::time::Duration;

use serde_json::{Value, json};
use storex_sync::http::{device_text, id_text, wire};
use storex_sync::{BlobRef, Cursor, LogRequest, SealedTransaction};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{ADA, Answer, Ask, BOB, LAPTOP, PHONE, Site, raw};

const KEY: [u8; 16] = [0x5e; 16];
const SECRET: &[u8] = b"the secret of ada";

/// A route of the document.
#[derive(Debug, Clone)]
pub struct Route {
    pub method: String,
    path: String,
    /// Whether it is answered without a token, by what the document says.
    open: bool,
    /// The token may come later, over the WebSocket.
    socket: bool,
    /// The schema of its body in JSON, or nothing for one in bytes.
    body: Option<Option<String>>,
    /// Its parameters: name, and whether it stands in the path.
    parameters: Vec<(String, bool)>,
}

/// All routes of a server, by its own account.
pub async fn routes(site: &Site) -> Vec<Route> {
    let document = site.ask("GET", "/openapi.json").send().await.json();
    let mut routes = Vec::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let security = operation["security"].as_array();
            let parameters = operation["parameters"].as_array().unwrap().iter();
            let parameter =
                |it: &Value| (it["name"].as_str().unwrap().to_owned(), it["in"] == "path");
            let content = operation["requestBody"]["content"].as_object();
            let schema = |content: &Value| {
                let name = content["schema"]["$ref"].as_str()?;
                name.rsplit('/').next().map(str::to_owned)
            };
            routes.push(Route {
                method: method.to_uppercase(),
                path: path.clone(),
                open: security.is_none(),
                socket: security.is_some_and(|it| it.len() > 1),
                body: content.map(|it| it.values().next().and_then(schema)),
                parameters: parameters.map(parameter).collect(),
            });
        }
    }
    assert!(routes.len() >= 20, "{} routes", routes.len());
    routes
}

/// The name of a blob that has a chunk 7, whose contents nobody knows.
const BLOB: &str =
    "sha256-5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e-8388608";

/// What Ada's names are, and what stands for them in a path.
#[derive(Debug, Clone)]
pub struct Names {
    room: String,
    place: String,
}

impl Names {
    fn of(&self, parameter: &str) -> String {
        match parameter {
            "id" => id_text(LAPTOP.id),
            "maker" | "device" => device_text(LAPTOP),
            "number" => "7".to_owned(),
            "page" | "wait" => "0".to_owned(),
            "name" => id_text(KEY),
            "blob" => BLOB.to_owned(),
            "room" => self.room.clone(),
            "after" => self.place.clone(),
            "limit" => "1000".to_owned(),
            other => panic!("what is `{other}`?"),
        }
    }

    /// The path of a route, with one parameter that is another than Ada's.
    fn path(&self, route: &Route, other: Option<(&str, &str)>) -> String {
        let mut path = route.path.clone();
        let mut query = Vec::new();
        for (name, in_path) in &route.parameters {
            let value = match other {
                Some((it, value)) if it == name => value.to_owned(),
                _ => self.of(name),
            };
            if *in_path {
                path = path.replace(&format!("{{{name}}}"), &value);
            } else {
                query.push(format!("{name}={value}"));
            }
        }
        if query.is_empty() { path } else { format!("{path}?{}", query.join("&")) }
    }

    /// A body that would do something to Ada's.
    fn body(&self, route: &Route) -> Vec<u8> {
        let device = device_text(LAPTOP);
        let form = match route.body.as_ref().map(Option::as_deref) {
            Some(Some("Register")) => json!({"device": device, "name": "forged"}),
            Some(Some("Dismiss")) => json!({"device": device}),
            Some(Some("Reidentify")) => json!({"known": id_text([1; 16])}),
            Some(Some("Snapshot")) => {
                json!({"maker": device, "number": "8", "pages": 0, "place": self.place})
            }
            Some(None) if route.path == "/v1/log/exchange" => {
                return request(2, b"forged", Some(Cursor::default()));
            }
            Some(None) => return b"forged".to_vec(),
            Some(Some(other)) => panic!("what is a `{other}`?"),
            None => return Vec::new(),
        };
        form.to_string().into_bytes()
    }

    fn ask(&self, site: &Site, route: &Route) -> Ask {
        let path = self.path(route, None);
        site.ask(&route.method, &path).body(self.body(route))
    }
}

/// A request of Ada's laptop.
fn request(sequence: u64, payload: &[u8], read: Option<Cursor>) -> Vec<u8> {
    let append = vec![SealedTransaction { device: LAPTOP, sequence, payload: payload.to_vec() }];
    let request = LogRequest { device: LAPTOP, append, read, ..LogRequest::default() };
    wire::encode_request(&request).unwrap()
}

/// What Ada has.
pub async fn fill(site: &Site) -> Names {
    for device in [LAPTOP, PHONE] {
        let form = json!({"device": device_text(device), "name": "the secret name"});
        let registered = site.ask("POST", "/v1/devices").token(ADA).json(&form).send().await;
        assert_eq!(registered.status, 200, "{registered:?}");
    }
    assert_eq!(site.append(ADA, LAPTOP, 1, SECRET).await.status, 204);
    let place = site.read(ADA, PHONE, Cursor::default()).await.cursor;
    let place: String = place.0.iter().map(|byte| format!("{byte:02x}")).collect();
    let room = site.ask("POST", "/v1/rooms").token(ADA).send().await.json();
    let names = Names { room: room["room"].as_str().unwrap().to_owned(), place };
    let page = format!("/v1/snapshots/{}/7/pages/0", device_text(LAPTOP));
    for path in [page, format!("/v1/keys/{}", id_text(KEY))] {
        assert_eq!(site.ask("PUT", &path).token(ADA).body(SECRET).send().await.status, 204);
    }
    let blob = BlobRef::of(SECRET);
    let chunk = site.ask("PUT", &chunk_path(&blob)).token(ADA).body(SECRET).send().await;
    assert_eq!(chunk.status, 204, "{chunk:?}");
    let path = format!("/v1/blobs/{blob}?device={}", device_text(LAPTOP));
    assert_eq!(site.ask("POST", &path).token(ADA).send().await.status, 204);
    let form =
        json!({"maker": device_text(LAPTOP), "number": "7", "pages": 1, "place": names.place});
    let published = site.ask("POST", "/v1/snapshots").token(ADA).json(&form).send().await;
    assert_eq!(published.json(), json!({"published": true}));
    names
}

fn chunk_path(blob: &BlobRef) -> String {
    format!("/v1/blobs/{blob}/chunks/0?device={}", device_text(LAPTOP))
}

/// Everything that Ada can see.
pub async fn seen(site: &Site) -> String {
    let mut seen = String::new();
    let page = format!("/v1/snapshots/{}/7/pages/0", device_text(LAPTOP));
    let key = format!("/v1/keys/{}", id_text(KEY));
    for path in [
        "/v1/devices",
        "/v1/log/members",
        "/v1/log/usage",
        "/v1/snapshots",
        "/v1/keys",
        &page,
        &key,
        &chunk_path(&BlobRef::of(SECRET)),
    ] {
        let answer = site.get(ADA, path).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        seen.push_str(&format!("{path}: {}\n", String::from_utf8_lossy(&answer.body)));
    }
    // The first one may have been trimmed.
    let page = site.read(ADA, storex_sync::Device::NOBODY, Cursor::at(1)).await;
    seen.push_str(&format!("{page:?}"));
    seen
}

/// It tells nothing of Ada's, and is no failure of the server. What was asked for by name may come back in what is said about it.
fn tells_nothing(what: &str, answer: &Answer) {
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    assert!(!text.contains("secret") && answer.status < 500, "{what}: {answer:?}");
}

/// Waits out a long poll, which is of no length or of a second.
async fn answered(site: &Site, ask: Ask, route: &Route) -> Answer {
    let asked = tokio::spawn(ask.send());
    if route.path == "/v1/log/changed" {
        // It may be answered before it waits.
        let second = Duration::from_secs(1);
        tokio::select! {
            () = site.runtime.asleep(Duration::ZERO, 1) => site.runtime.advance(Duration::ZERO),
            () = site.runtime.asleep(second, 1) => site.runtime.advance(second),
            () = until_finished(&asked) => {}
        }
    }
    asked.await.unwrap()
}

async fn until_finished(task: &tokio::task::JoinHandle<Answer>) {
    while !task.is_finished() {
        tokio::task::yield_now().await;
    }
}

/// No token, one that is none, and another user's, at each route.
pub async fn without_the_right_token(site: &Site) {
    let names = fill(site).await;
    let before = seen(site).await;
    for route in routes(site).await {
        let what = format!("{} {}", route.method, route.path);
        let nobody = names.ask(site, &route).send().await;
        let no_token = names.ask(site, &route).token("token-of-nobody-01234567").send().await;
        let mut twice = names.ask(site, &route).token(ADA);
        twice = twice.token(ADA);
        if route.open {
            tells_nothing(&what, &nobody);
            continue;
        }
        for (answer, by) in [(nobody, "nobody"), (no_token, "none"), (twice.send().await, "two")] {
            tells_nothing(&what, &answer);
            // What is no WebSocket is refused before anybody is asked who it is.
            let refused = if route.socket { 400 } else { 401 };
            assert_eq!(answer.status, refused, "{what} with {by}: {answer:?}");
        }
        let ask = names.ask(site, &route).token(BOB);
        tells_nothing(&what, &answered(site, ask, &route).await);
    }
    assert_eq!(seen(site).await, before, "nothing of Ada's has changed");
}

/// What was sent before is sent again: at once, after more was written, and after it was trimmed.
pub async fn sent_again(site: &Site) {
    fill(site).await;
    let first = request(1, SECRET, None);
    let exchange = async |token: &str, body: &[u8]| {
        site.ask("POST", "/v1/log/exchange").token(token).body(body).send().await
    };
    let before = seen(site).await;
    for _ in 0..3 {
        assert_eq!(exchange(ADA, &first).await.status, 204);
    }
    assert_eq!(seen(site).await, before);
    for sequence in 2..=4 {
        assert_eq!(site.append(ADA, LAPTOP, sequence, b"later").await.status, 204);
    }
    let before = seen(site).await;
    assert_eq!(exchange(ADA, &first).await.status, 204);
    assert_eq!(seen(site).await, before);

    // Everybody has everything, so what the snapshot holds goes.
    let told = |device, cursor| {
        let acknowledge = Some(cursor);
        wire::encode_request(&LogRequest { device, acknowledge, ..LogRequest::default() }).unwrap()
    };
    let end = site.read(ADA, PHONE, Cursor::default()).await.cursor;
    let early = told(PHONE, Cursor::at(0));
    for device in [PHONE, LAPTOP] {
        assert_eq!(exchange(ADA, &told(device, end.clone())).await.status, 204);
    }
    let trim = site.ask("POST", "/v1/log/trim").token(ADA).send().await;
    assert_eq!(trim.json(), json!({"transactions": 1}));
    let before = seen(site).await;
    for _ in 0..2 {
        let again = exchange(ADA, &first).await;
        assert_eq!(again.status, 409, "nobody can tell any more whether it is the same: {again:?}");
        let last = request(4, b"later", None);
        assert_eq!(exchange(ADA, &last).await.status, 204);
        // An earlier place takes nothing back.
        assert_eq!(exchange(ADA, &early).await.status, 204);
        let trim = site.ask("POST", "/v1/log/trim").token(ADA).send().await;
        assert_eq!(trim.json(), json!({"transactions": 0}));
        assert_eq!(seen(site).await, before);
    }
    let page = site.read(ADA, PHONE, end).await;
    assert!(page.transactions.is_empty(), "no reader gets it once more: {page:?}");

    // What a device could send that was shut out since.
    let id = id_text(LAPTOP.id);
    let revoked = site.ask("DELETE", &format!("/v1/devices/{id}")).token(ADA).send().await;
    assert_eq!(revoked.status, 204);
    let form = json!({"device": device_text(LAPTOP), "name": "back"});
    let back = site.ask("POST", "/v1/devices").token(ADA).json(&form).send().await;
    for answer in
        [exchange(ADA, &first).await, exchange(ADA, &told(LAPTOP, Cursor::at(0))).await, back]
    {
        assert_eq!((answer.status, answer.code().as_str()), (403, "revoked"));
    }
    // With another's token it is that one's own.
    assert_eq!(exchange(BOB, &first).await.status, 204);
    let page = site.read(ADA, storex_sync::Device::NOBODY, Cursor::at(3)).await;
    assert_eq!(page.transactions.len(), 1);
}

/// Spellings of what is no name, for each parameter of each path.
pub async fn path_tricks(site: &Site) {
    let names = fill(site).await;
    let before = seen(site).await;
    let long = "a".repeat(5000);
    let tricks = [
        "..",
        ".",
        "%2e%2e",
        "..%2f..%2f..%2fetc%2fpasswd",
        "%2e%2e%2f%2e%2e%2f",
        "..%5c..%5c",
        "%00",
        "0%00",
        "%ff",
        "%c0%af",
        "%",
        "%2",
        "%zz",
        "%0d%0ax-y:%20z",
        "%20",
        "0%20",
        "*",
        "'%20OR%201=1--",
        "%27;DROP%20TABLE%20storex.device;--",
        "{id}",
        "$1",
        "-1",
        "%2b1",
        "00",
        "0x0",
        "1e3",
        "0.0",
        "18446744073709551616",
        "99999999999999999999999999",
        "%D9%A7",
        "%EF%BC%90",
        "null",
        "undefined",
        &*long,
    ];
    let mut tried = 0;
    for route in routes(site).await {
        for (name, in_path) in &route.parameters {
            for trick in tricks {
                let path = names.path(&route, Some((name, trick)));
                // What Ada asks for with a body of hers would be done.
                for (token, body) in [(ADA, b"x".to_vec()), (BOB, names.body(&route))] {
                    let ask = site.ask(&route.method, &path).token(token).body(body);
                    let answer = answered(site, ask, &route).await;
                    let what = format!("{} {path}", route.method);
                    tells_nothing(&what, &answer);
                    assert!(!in_path || (400..500).contains(&answer.status), "{what}: {answer:?}");
                    tried += 1;
                }
            }
            // Another case, or more of it, is another name, or none.
            let value = names.of(name);
            for other in [
                value.to_uppercase(),
                format!("{value}/"),
                format!("{value};v=1"),
                format!("{value}%20"),
            ] {
                if *in_path && other != value {
                    let path = names.path(&route, Some((name, &other)));
                    let answer = site.ask(&route.method, &path).token(ADA).send().await;
                    let what = format!("{} {path}", route.method);
                    tells_nothing(&what, &answer);
                    assert!((400..500).contains(&answer.status), "{what}: {answer:?}");
                }
            }
        }
        // The path itself, spelled otherwise.
        let path = names.path(&route, None);
        for other in [
            format!("/{path}"),
            format!("/.{path}"),
            format!("/x/..{path}"),
            path.replacen("/v1/", "/V1/", 1),
        ] {
            if other != path {
                let answer = site.ask(&route.method, &other).token(ADA).send().await;
                assert_eq!(answer.status, 404, "{} {other}: {answer:?}", route.method);
            }
        }
    }
    assert!(tried > 500, "{tried} paths were tried");
    assert_eq!(times_away(&seen(site).await), times_away(&before), "nothing of Ada's has changed");
}

/// Too many headers, and too long ones, at each route.
pub async fn header_floods(site: &Site) {
    let names = fill(site).await;
    let before = seen(site).await;
    let floods = [
        (0..500).map(|n| format!("x-{n}: y\r\n")).collect::<String>(),
        "cookie: a=b\r\n".repeat(5000),
        format!("x: {}\r\n", "y".repeat(100_000)),
        format!("{}: y\r\n", "x".repeat(70_000)),
        format!("authorization: Bearer {BOB}\r\n").repeat(200),
        format!("accept-encoding: {}zstd\r\n", "x,".repeat(20_000)),
    ];
    for route in routes(site).await {
        let path = names.path(&route, None);
        for flood in &floods {
            let head = format!(
                "{} {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {ADA}\r\nconnection: close\r\n{flood}\r\n",
                route.method
            );
            // It may be cut off in the middle of what it says.
            if let Some(answer) = raw(site.address, head.as_bytes()).await {
                assert_eq!(answer.status, 431, "{} {path}: {answer:?}", route.method);
            }
        }
    }
    assert_eq!(seen(site).await, before, "nothing of Ada's has changed");
}

/// A body that does not come, at each route that takes one. The clock is the test's.
pub async fn slow_bodies(site: &Site) {
    let names = fill(site).await;
    let before = seen(site).await;
    let mut tried = 0;
    for route in routes(site).await.iter().filter(|it| it.body.is_some()) {
        for framing in
            ["content-length: 1000\r\n\r\nslow", "transfer-encoding: chunked\r\n\r\n5\r\nslow"]
        {
            let head = format!(
                "{} {} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {ADA}\r\n{framing}",
                route.method,
                names.path(route, None)
            );
            let mut stream = TcpStream::connect(site.address).await.unwrap();
            stream.write_all(head.as_bytes()).await.unwrap();
            site.runtime.let_pass(Duration::from_secs(60)).await;
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer).await;
            let answer = Answer::parse(&answer).expect("it is told so");
            let what = format!("{} {}", route.method, route.path);
            assert_eq!((answer.status, answer.code().as_str()), (408, "timeout"), "{what}");
            tried += 1;
        }
    }
    assert!(tried >= 14, "{tried}");
    assert_eq!(times_away(&seen(site).await), times_away(&before), "nothing of Ada's has changed");
}

/// Time has passed, so devices were seen later.
fn times_away(seen: &str) -> String {
    let parts = seen.split("\"last_seen\":");
    parts.map(|part| part.trim_start_matches(|it: char| it.is_ascii_digit())).collect()
}
