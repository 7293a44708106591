//! `storex initial-sync` as two people run it, on two machines that are one here.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may")]

mod support;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};

use rusqlite::{Connection, OptionalExtension as _};
use serde_json::Value as Json;
use support::{Ran, check, database, files, number, text};

const NOTES: &str = "CREATE TABLE person(id INTEGER PRIMARY KEY, name TEXT NOT NULL);
    CREATE TABLE note(id TEXT PRIMARY KEY, person INTEGER REFERENCES person(id), title TEXT, stars INT);
    CREATE INDEX note_person ON note(person);";

const FILLED: &str = "INSERT INTO person VALUES (1, 'Ada'), (2, 'Grace');
    INSERT INTO note VALUES ('a', 1, 'Buy milk', 5), ('b', 2, 'Write', NULL), ('c', NULL, x'00ff', 1.5);";

/// So many that the sync can be caught in the middle.
const MANY: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 30000)
    INSERT INTO note SELECT printf('n%06d', i), NULL, 'note ' || i, i FROM n;";

/// A run that listens.
struct Host {
    child: Child,
    stderr: BufReader<ChildStderr>,
    address: String,
    code: String,
    said: String,
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_storex"));
    command.arg("initial-sync").args(arguments).env_remove("STOREX_LOG");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

impl Host {
    /// Begins, on a free port, and waits until it shows its code.
    fn start(arguments: &[&str]) -> Self {
        let mut child =
            command(arguments).args(["--listen", "127.0.0.1:0", "--json"]).spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut said = String::new();
        stderr.read_line(&mut said).unwrap();
        let behind = |word: &str| {
            let rest = said.split_once(word).unwrap_or_else(|| panic!("no `{word}` in {said}")).1;
            rest.split_whitespace().next().unwrap().to_owned()
        };
        assert!(said.starts_with("code ") && said.contains(", on the other machine: storex "));
        let (address, code) = (behind("--connect "), behind("--code "));
        Self { child, stderr, address, code, said }
    }

    fn guest(&self, arguments: &[&str]) -> Command {
        let mut command = command(arguments);
        command.args(["--connect", &self.address, "--code", &self.code, "--json"]);
        command
    }

    /// Waits until it has said so many lines more.
    fn hear(&mut self, lines: usize) {
        for _ in 0..lines {
            assert_ne!(self.stderr.read_line(&mut self.said).unwrap(), 0, "{}", self.said);
        }
    }

    /// Waits for its end.
    fn end(mut self) -> Ran {
        self.stderr.read_to_string(&mut self.said).unwrap();
        let output = self.child.wait_with_output().unwrap();
        let stdout = String::from_utf8(output.stdout).unwrap();
        Ran { code: output.status.code(), stdout, stderr: self.said }
    }
}

fn ran(command: &mut Command) -> Ran {
    let output = command.output().unwrap();
    Ran {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A way to the host on which so many bytes come from there, and no more. Gives its address.
fn holding(host: String, bytes: u64) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        let (mut guest, _) = listener.accept().unwrap();
        let mut host = TcpStream::connect(host).unwrap();
        let (from_host, mut to_guest) = (host.try_clone().unwrap(), guest.try_clone().unwrap());
        let some = std::thread::spawn(move || {
            let _ = std::io::copy(&mut from_host.take(bytes), &mut to_guest);
        });
        // Until the guest is gone.
        let _ = std::io::copy(&mut guest, &mut host);
        let _ = host.shutdown(Shutdown::Both);
        let _ = some.join();
    });
    address
}

/// All rows of the two tables, as text.
fn content(path: &Path) -> String {
    let conn = Connection::open(path).unwrap();
    let sql = "SELECT (SELECT group_concat(id || quote(name), ';' ORDER BY id) FROM person) || '|' || \
               (SELECT group_concat(id || quote(person) || quote(title) || quote(stars), ';' ORDER BY id) FROM note)";
    conn.query_row(sql, [], |row| row.get(0)).optional().unwrap().unwrap()
}

/// One sends to the other, and both end well.
#[track_caller]
fn bring(from: &Path, to: &Path, more: &[&str]) -> (Json, Json) {
    let host = Host::start(&[&["send", text(from)], more].concat());
    let received = ran(&mut host.guest(&[&["receive", text(to)], more].concat()));
    let sent = host.end();
    (sent.json(), received.json())
}

fn folder_with(sql: &[&str]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = database(folder.path(), "a.db", &sql.concat());
    (folder, path)
}

#[test]
fn a_database_comes_to_a_machine_that_has_none_and_again_only_what_is_new() {
    let (folder, a) = folder_with(&[NOTES, FILLED]);
    let b = folder.path().join("b.db");
    let (sent, received) = bring(&a, &b, &[]);
    assert_eq!(content(&b), content(&a));
    check(&b);
    assert_eq!((&sent["sent"]["rows"], &received["received"]["rows"]), (&5.into(), &5.into()));
    assert_eq!((&received["made_file"], &received["sent"]), (&true.into(), &Json::Null));
    assert!(received["bytes_received"].as_u64().unwrap() > 500, "{received}");
    let index = "SELECT count(*) FROM sqlite_schema WHERE name = 'note_person'";
    assert_eq!(number(&b, index), 1);
    assert_eq!(files(folder.path()), ["a.db", "b.db"]);

    // Rows that both have, and one that only the sender has.
    Connection::open(&a).unwrap().execute("INSERT INTO person VALUES (3, 'Edith')", []).unwrap();
    let (_, received) = bring(&a, &b, &["--difference-only"]);
    assert_eq!(content(&b), content(&a));
    assert_eq!((&received["received"]["rows"], &received["made_file"]), (&1.into(), &false.into()));
    assert_eq!(received["received"]["difference_only"], true);
}

#[test]
fn both_ways_over_a_websocket_both_have_all() {
    let (folder, a) = folder_with(&[NOTES, FILLED]);
    let b = database(folder.path(), "b.db", NOTES);
    let more = "INSERT INTO person VALUES (7, 'Kurt'); INSERT INTO note VALUES ('z', 7, 'Sum', 0)";
    Connection::open(&b).unwrap().execute_batch(more).unwrap();
    let (sender, receiver) = bring(&a, &b, &["--both-ways", "--websocket"]);
    assert_eq!(content(&a), content(&b));
    assert_eq!(number(&a, "SELECT count(*) FROM person"), 3);
    assert_eq!(sender["received"]["rows"], receiver["sent"]["rows"]);
    assert!(sender["sent"]["rows"].as_u64().unwrap() >= 5, "{sender}");
}

#[test]
fn three_wrong_codes_end_it_and_nothing_was_written() {
    let (folder, a) = folder_with(&[NOTES, FILLED]);
    let b = folder.path().join("b.db");
    let host = Host::start(&["send", text(&a)]);
    // A slip of the finger is found before anything is sent.
    let mut mistyped =
        command(&["receive", text(&b), "--connect", &host.address, "--code", "7KMD"]);
    let mistyped = ran(&mut mistyped);
    assert_eq!(mistyped.code, Some(2), "{}", mistyped.stderr);
    assert!(mistyped.stderr.contains("it has 8 characters"), "{}", mistyped.stderr);
    // Each of them a code, and another one than is shown.
    let other = if host.code == "0000-0000" { "1111-111Q" } else { "0000-0000" };
    for _ in 0..3 {
        let arguments = ["receive", text(&b), "--connect", &host.address];
        let mut guest = command(&arguments);
        guest.stdin(Stdio::piped());
        let mut guest = guest.spawn().unwrap();
        writeln!(guest.stdin.take().unwrap(), "{other}").unwrap();
        let output = guest.wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("not let in"), "{said}");
    }
    let ended = host.end();
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("too many have tried"), "{}", ended.stderr);
    assert!(ended.stderr.contains("2 times more"), "{}", ended.stderr);
    assert_eq!(files(folder.path()), ["a.db"]);
    assert_eq!(
        number(&a, "SELECT count(*) FROM sqlite_schema WHERE name LIKE '\\_storex%' ESCAPE '\\'"),
        0
    );
}

/// A stranger's word costs no attempt, and gets no memory; who has the code is let in after it.
#[test]
fn strangers_are_told_of_and_keep_nobody_out() {
    let (folder, a) = folder_with(&[NOTES, FILLED]);
    let b = folder.path().join("b.db");
    let mut host = Host::start(&["send", text(&a)]);
    // "The code is spent", "it is another one"; a large frame, what is no frame at all, and nothing.
    let endless = [&[0x80, 4, 0, 0][..], &[7; 1 << 18]].concat();
    let (spent, differs) = (b"\0\0\0\x02\0\x02", b"\0\0\0\x02\0\x01");
    for said in [&spent[..], &differs[..], &endless, b"GET / HTTP/1.1\r\n\r\n", b""] {
        let mut stranger = TcpStream::connect(&host.address).unwrap();
        // It may be cut off in the middle.
        let _ = stranger.write_all(said);
    }
    host.hear(5);
    let received = ran(&mut host.guest(&["receive", text(&b)]));
    let host = host.end();
    assert_eq!(received.json()["received"]["rows"], 5, "{}", received.stderr);
    assert_eq!(host.stderr.matches("was not let in").count(), 5, "{}", host.stderr);
    assert_eq!(host.stderr.matches("it has given up pairing").count(), 2, "{}", host.stderr);
    assert_eq!(host.stderr.matches("more than a handshake").count(), 1, "{}", host.stderr);
    assert!(!host.stderr.contains("wrong code"), "{}", host.stderr);
}

/// Who connects and says nothing holds nobody up, however many they are; and a wrong code among them is told, and counted.
#[test]
fn silent_guests_keep_nobody_out_and_a_wrong_code_is_counted() {
    let (folder, a) = folder_with(&[NOTES, FILLED]);
    let b = folder.path().join("b.db");
    let mut host = Host::start(&["send", text(&a)]);
    // More than the patience of a guest is long, if each of them were waited for.
    let silent = |host: &Host| -> Vec<TcpStream> {
        (0..8).map(|_| TcpStream::connect(&host.address).unwrap()).collect()
    };
    let first = silent(&host);
    let other = if host.code == "0000-0000" { "1111-111Q" } else { "0000-0000" };
    let wrong = ["receive", text(&b), "--connect", &host.address, "--code", other];
    let wrong = ran(&mut command(&wrong));
    assert!(wrong.refused().contains("not let in"), "{}", wrong.stderr);
    host.hear(9);
    assert_eq!(host.said.matches("wrong code; it may be tried 2 times more").count(), 1);
    assert_eq!(host.said.matches("waiting for its first words").count(), 8, "{}", host.said);

    let second = silent(&host);
    let received = ran(&mut host.guest(&["receive", text(&b)]));
    assert_eq!(received.json()["received"]["rows"], 5, "{}", received.stderr);
    host.end().json();
    assert_eq!(content(&b), content(&a));
    drop((first, second));
}

#[test]
fn a_receiver_that_is_killed_runs_again_and_has_all() {
    let (folder, a) = folder_with(&[NOTES, FILLED, MANY]);
    let b = folder.path().join("b.db");
    let mut host = Host::start(&["send", text(&a)]);
    host.address = holding(host.address.clone(), 300_000);
    let mut guest = host.guest(&["receive", text(&b)]).spawn().unwrap();
    let some = || -> rusqlite::Result<i64> {
        let conn = Connection::open_with_flags(&b, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        conn.query_row("SELECT count(*) FROM note", [], |row| row.get(0))
    };
    while some().unwrap_or(0) == 0 {
        assert_eq!(guest.try_wait().unwrap(), None, "it ended before it could be killed");
        std::thread::yield_now();
    }
    guest.kill().unwrap();
    guest.wait().unwrap();
    let ended = host.end();
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    let arrived = number(&b, "SELECT count(*) FROM note");
    assert!((1..30_003).contains(&arrived), "{arrived}");
    bring(&a, &b, &[]);
    assert_eq!(content(&b), content(&a));
    check(&b);
}

#[cfg(unix)]
#[test]
fn an_interruption_is_told_to_the_other_side() {
    let (folder, a) = folder_with(&[NOTES, FILLED, MANY]);
    let b = folder.path().join("b.db");
    let mut host = Host::start(&["send", text(&a)]);
    let guest = host.guest(&["receive", text(&b)]).spawn().unwrap();
    let mut line = String::new();
    host.stderr.read_line(&mut line).unwrap();
    assert_eq!(line, "connected\n");
    let interrupted = Command::new("kill").args(["-INT", &host.child.id().to_string()]).status();
    assert!(interrupted.unwrap().success());
    let (host, guest) = (host.end(), guest.wait_with_output().unwrap());
    assert_eq!((host.code, guest.status.code()), (Some(130), Some(130)), "{}", host.stderr);
    assert!(host.stderr.contains("storex: cancelled"), "{}", host.stderr);
}

#[test]
fn what_cannot_be_is_refused_with_the_reason_and_changes_nothing() {
    let (folder, a) = folder_with(&[NOTES, FILLED]);
    let none = folder.path().join("none.db");
    assert!(ran(&mut command(&["send", text(&none)])).refused().contains("there is no such file"));
    let page = folder.path().join("page.html");
    std::fs::write(&page, "<html><body>no database</body></html>").unwrap();
    for direction in ["send", "receive"] {
        let refused = ran(&mut command(&[direction, text(&page)]));
        assert!(refused.refused().contains("is not a SQLite database"), "{}", refused.stderr);
    }

    // Both send.
    let host = Host::start(&["send", text(&a)]);
    let guest = ran(&mut host.guest(&["send", text(&a)]));
    for stderr in [guest.stderr, host.end().stderr] {
        assert!(stderr.contains("both sides want to send"), "{stderr}");
    }

    // Tables that do not fit: both sides say which.
    let b = database(folder.path(), "b.db", "CREATE TABLE person(id INTEGER PRIMARY KEY, name)");
    let host = Host::start(&["send", text(&a)]);
    let guest = ran(&mut host.guest(&["receive", text(&b)]));
    let host = host.end();
    assert_eq!((guest.code, host.code), (Some(1), Some(1)), "{}{}", guest.stderr, host.stderr);
    for stderr in [guest.stderr, host.stderr] {
        assert!(stderr.contains("note"), "{stderr}");
    }
    assert_eq!(number(&b, "SELECT count(*) FROM person"), 0);

    // Nobody listens.
    let mut lonely =
        command(&["receive", text(&none), "--connect", "127.0.0.1:1", "--code", "0000-0000"]);
    let lonely = ran(&mut lonely);
    assert!(lonely.refused().contains("is the other side listening there?"), "{}", lonely.stderr);
    assert!(!none.exists());
}
