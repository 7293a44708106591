//! `storex serve` and `storex backup` as an operator runs them.
#![cfg(unix)] // what asks the server to stop
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may")]

mod support;

use std::path::Path;

use serde_json::{Value as Json, json};
use support::serving::{Serving, TOKEN};
use support::{check, files, storex, text};

fn register(server: &Serving, digit: char, name: &str) {
    let device = format!("{}-0", digit.to_string().repeat(32));
    let body = json!({"device": device, "name": name}).to_string();
    assert_eq!(server.ask("POST", "/v1/devices", &body).0, 200);
}

fn names(server: &Serving) -> Vec<String> {
    let listed: Json = serde_json::from_str(&server.ask("GET", "/v1/devices", "").1).unwrap();
    let listed = listed.as_array().unwrap();
    listed.iter().map(|it| it["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn it_serves_stops_when_it_is_asked_to_and_knows_everything_afterwards() {
    let dir = tempfile::tempdir().unwrap();
    let server = Serving::start(dir.path(), "server.db", &["--metrics-listen", "127.0.0.1:0"]);
    assert_eq!(server.ask("GET", "/health/ready", "").0, 204);
    assert_eq!(server.ask("GET", "/metrics", "").0, 404);
    register(&server, 'a', "laptop");
    let said = server.stop();
    let (_, metrics) = said.split_once("numbers at http://").unwrap();
    assert!(metrics.contains("/metrics"), "{said}");
    assert!(!said.contains("ERROR") && !said.contains(TOKEN), "{said}");

    let again = Serving::start(dir.path(), "server.db", &[]);
    assert_eq!(names(&again), ["laptop"]);
    assert!(again.ask("GET", "/metrics", "").1.contains("# TYPE storex_connections gauge"));
    again.stop();
}

/// A database that is away is waited for, but not by who has changed their mind.
#[cfg(feature = "postgres")]
#[test]
fn it_stops_in_order_also_before_it_serves() {
    let dir = tempfile::tempdir().unwrap();
    let tokens = dir.path().join("tokens");
    std::fs::write(&tokens, format!("{TOKEN} ada\n")).unwrap();
    let database = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("postgresql://ada@{}/ada", database.local_addr().unwrap());
    let mut server = std::process::Command::new(env!("CARGO_BIN_EXE_storex"))
        .args(["serve", "--tokens", text(&tokens), "--postgres", &address])
        .args(["--listen", "127.0.0.1:0"])
        .spawn()
        .unwrap();
    // It has begun to open it, and nobody answers.
    let silent = database.accept().unwrap();
    let asked = std::process::Command::new("kill").arg(server.id().to_string()).status();
    assert!(asked.unwrap().success());
    assert_eq!(server.wait().unwrap().code(), Some(0));
    drop(silent);
}

/// The files in a folder and the folders in it.
fn all_files(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|it| if it.is_dir() { all_files(&it) } else { vec![it] }).collect()
}

#[test]
fn pages_of_snapshots_are_in_the_object_store_and_not_in_the_database() {
    const PAGE: &str = "what is looked for in every file";
    let dir = tempfile::tempdir().unwrap();
    let objects = dir.path().join("large things");
    let server = Serving::start(dir.path(), "server.db", &["--objects", text(&objects)]);
    register(&server, 'a', "laptop");
    let maker = format!("{}-0", "a".repeat(32));
    let page = format!("/v1/snapshots/{maker}/1/pages/0");
    assert_eq!(server.ask("PUT", &page, PAGE).0, 204);
    let form = json!({"maker": maker, "number": "1", "pages": 1, "place": ""}).to_string();
    let published = server.ask("POST", "/v1/snapshots", &form);
    assert_eq!(published, (200, r#"{"published":true}"#.to_owned()));
    server.stop();

    let holds = |path: &std::path::PathBuf| {
        std::fs::read(path).unwrap().windows(PAGE.len()).any(|it| it == PAGE.as_bytes())
    };
    let holding: Vec<_> = all_files(dir.path()).into_iter().filter(holds).collect();
    assert_eq!(holding.len(), 1, "{holding:?}");
    assert!(holding[0].starts_with(&objects), "{holding:?}");
    // The same place in another spelling.
    let address = format!("file://{}", text(&objects).replace(' ', "%20"));
    let again = Serving::start(dir.path(), "server.db", &["--objects", &address]);
    assert_eq!(again.ask("GET", &page, ""), (200, PAGE.to_owned()));
    again.stop();
}

#[test]
fn the_database_is_copied_while_it_runs_and_the_copy_can_be_served() {
    let dir = tempfile::tempdir().unwrap();
    let server = Serving::start(dir.path(), "server.db", &[]);
    register(&server, 'a', "before");
    let (from, to) = (dir.path().join("server.db"), dir.path().join("copy.db"));
    let backup = || storex(["backup", text(&from), text(&to)]);
    assert_eq!(backup().code, Some(0));
    register(&server, 'b', "after");
    assert!(backup().refused().contains("is there already"));
    assert_eq!(names(&server), ["before", "after"]);
    server.stop();

    check(&to);
    let copy = Serving::start(dir.path(), "copy.db", &[]);
    assert_eq!(names(&copy), ["before"]);
    copy.stop();
    let left = files(dir.path());
    assert!(!left.iter().any(|name| name.ends_with(".part")), "{left:?}");
    let none =
        storex(["backup", text(&dir.path().join("none.db")), text(&dir.path().join("x.db"))]);
    assert!(none.refused().contains("there is no such file"));
    let tokens = dir.path().join("tokens");
    let no_database = storex(["backup", text(&tokens), text(&dir.path().join("x.db"))]);
    assert!(no_database.refused().contains("is not a SQLite database"));
}

#[test]
fn what_is_wrong_is_said_before_it_begins() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| text(&dir.path().join(name)).to_owned();
    let write =
        |name: &str, contents: &str| std::fs::write(dir.path().join(name), contents).unwrap();
    let (database, tokens) = (path("server.db"), path("tokens"));
    let serve = |more: &[&str]| {
        let arguments = ["serve", "--listen", "127.0.0.1:0", "--database", &database];
        storex(arguments.iter().chain(more))
    };
    assert!(serve(&[]).refused().contains("give --tokens FILE"));
    assert!(serve(&["--tokens", &tokens]).refused().contains("reading the tokens"));
    write("tokens", "0123456789abcdef0123 ada\nshort bob\n");
    assert!(serve(&["--tokens", &tokens]).refused().contains("line 2 of the tokens"));
    write("tokens", &format!("{TOKEN} ada\n"));
    let missing = path("missing.pem");
    let tls = serve(&["--tokens", &tokens, "--tls-cert", &missing, "--tls-key", &missing]);
    assert!(tls.refused().contains("missing.pem"));
    write("config", r#"{"limits": {"requests": 5}}"#);
    let config = serve(&["--tokens", &tokens, "--config", &path("config")]);
    assert!(config.refused().contains("unknown field `requests`"));
    write("config", r#"{"limits": {"burst": 0}}"#);
    let config = serve(&["--tokens", &tokens, "--config", &path("config")]);
    assert!(config.refused().contains("lets nobody in"));
    write("jwks", r#"{"keys": []}"#);
    assert!(serve(&["--jwks", &path("jwks")]).refused().contains("the key set holds no key"));
    let plain = serve(&["--jwks", "http://login.example/keys"]);
    assert!(plain.refused().contains("over https only"));
    write("secret", "too short\n");
    assert!(serve(&["--jwt-secret", &path("secret")]).refused().contains("32 bytes"));
    let objects = |address: &str| serve(&["--tokens", &tokens, "--objects", address]);
    assert!(objects("ftp://host/folder").refused().contains("no object store that is known"));
    assert!(objects("file://folder").refused().contains("file:///FOLDER"));
    assert!(objects(&path("tokens")).refused().contains("opening the folder of the objects"));
    if !cfg!(feature = "s3") {
        assert!(objects("s3://bucket").refused().contains("cargo install --features s3"));
    }
    for wrong in [&["--tls-cert", "x"][..], &["--tokens", "x", "--jwks", "y"], &["--listen"]] {
        assert_eq!(serve(wrong).code, Some(2));
    }
    // Where somebody listens already.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let arguments = ["serve", "--listen", &address, "--database", &database, "--tokens", &tokens];
    assert!(storex(arguments).refused().contains(&address));
}

#[test]
fn the_configuration_in_force_is_printed_and_can_be_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.json");
    std::fs::write(&path, r#"{"limits": {"burst": 7}, "retention": {"trim_every": null}}"#)
        .unwrap();
    let printed = storex(["serve", "--print-config", "--config", text(&path)]).json();
    assert_eq!(printed["limits"]["burst"], 7);
    assert_eq!(printed["limits"]["body_bytes"], 16 << 20);
    assert_eq!(printed["retention"]["trim_every"], Json::Null);
    assert_eq!(printed["timeouts"]["heartbeat"], 20);
    assert_eq!(
        (&printed["proxies"], &printed["identity"]["bound_tokens_only"]),
        (&json!([]), &json!(false))
    );
    let proxies = ["--trusted-proxy", "192.0.2.1", "--trusted-proxy", "2001:db8::1"];
    let behind = storex(["serve", "--print-config"].into_iter().chain(proxies)).json();
    assert_eq!(behind["proxies"], json!(["192.0.2.1", "2001:db8::1"]));
    let name = storex(["serve", "--trusted-proxy", "proxy.example.org"]);
    assert!(name.code == Some(2) && name.stderr.contains("--trusted-proxy"), "{}", name.stderr);
    std::fs::write(&path, printed.to_string()).unwrap();
    assert_eq!(storex(["serve", "--print-config", "--config", text(&path)]).json(), printed);
}

#[test]
fn one_server_has_a_database_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let server = Serving::start(dir.path(), "server.db", &[]);
    let (database, tokens) = (dir.path().join("server.db"), dir.path().join("tokens"));
    let second = storex([
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--database",
        text(&database),
        "--tokens",
        text(&tokens),
    ]);
    assert!(second.refused().contains("another server uses"));
    server.stop();
}
