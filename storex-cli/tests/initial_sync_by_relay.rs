//! `storex initial-sync --relay` as two people run it who reach the same server.
#![cfg(unix)] // what asks the server to stop
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may")]

mod support;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Output, Stdio};

use support::serving::{Serving, TOKEN};
use support::{Ran, check, database, number, text};

const NOTES: &str = "CREATE TABLE note(id INTEGER PRIMARY KEY, title TEXT);
    INSERT INTO note VALUES (1, 'Buy milk'), (2, 'Write'), (3, 'Sum');";

const ALL: &str = "SELECT count(*) FROM note";

/// A server, and a folder with a database and a file with a token.
struct Site {
    folder: tempfile::TempDir,
    server: Serving,
}

impl Site {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        database(folder.path(), "a.db", NOTES);
        std::fs::write(folder.path().join("token"), format!("{TOKEN}\n")).unwrap();
        let server = Serving::start(folder.path(), "server.db", &[]);
        Self { folder, server }
    }

    fn path(&self, name: &str) -> String {
        text(&self.folder.path().join(name)).to_owned()
    }

    /// One of the two, with a token.
    fn command(&self, direction: &str, file: &str) -> Command {
        let mut command = self.without_token(direction, file);
        command.args(["--token-file", &self.path("token")]);
        command
    }

    fn without_token(&self, direction: &str, file: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_storex"));
        let server = format!("http://{}", self.server.address);
        command.args(["initial-sync", direction, &self.path(file), "--relay", &server, "--json"]);
        command.env_remove("STOREX_LOG");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

/// The one that has made a room.
struct Maker {
    child: Child,
    stderr: BufReader<ChildStderr>,
    said: String,
}

impl Maker {
    fn start(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        Self { child, stderr, said: String::new() }
    }

    /// The next code that it shows, behind anything else that it says.
    fn code(&mut self) -> String {
        loop {
            let mut line = String::new();
            assert_ne!(self.stderr.read_line(&mut line).unwrap(), 0, "{}", self.said);
            self.said.push_str(&line);
            if let Some(rest) = line.strip_prefix("code ") {
                return rest.split_once(',').unwrap().0.to_owned();
            }
        }
    }

    fn end(mut self) -> Ran {
        self.stderr.read_to_string(&mut self.said).unwrap();
        let Output { status, stdout, .. } = self.child.wait_with_output().unwrap();
        let stdout = String::from_utf8(stdout).unwrap();
        Ran { code: status.code(), stdout, stderr: self.said }
    }
}

fn ran(command: &mut Command) -> Ran {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
}

/// Another code in the same room.
fn wrong(code: &str) -> String {
    let (room, pairing) = code.split_once('-').unwrap();
    let other = if pairing == "0000-0000" { "1111-111Q" } else { "0000-0000" };
    format!("{room}-{other}")
}

#[test]
fn two_machines_meet_in_a_room_by_one_code_that_the_server_does_not_see() {
    let site = Site::start();
    let mut maker = Maker::start(site.command("send", "a.db"));
    let code = maker.code();
    let shown = format!("initial-sync receive a.db --relay http://{}", site.server.address);
    assert!(maker.said.contains(&shown), "{}", maker.said);
    assert!(maker.said.contains(&format!("--token-file FILE --code {code}\n")), "{}", maker.said);
    let received = ran(site.command("receive", "b.db").args(["--code", &code.to_lowercase()]));
    let (sent, received) = (maker.end().json(), received.json());
    assert_eq!((&sent["sent"]["rows"], &received["received"]["rows"]), (&3.into(), &3.into()));
    assert!(received["bytes_received"].as_u64().unwrap() > 200, "{received}");
    let b = site.path("b.db");
    check(Path::new(&b));
    assert_eq!(number(Path::new(&b), ALL), 3);
    let said = site.server.stop();
    assert!(!said.contains(code.split_once('-').unwrap().1), "{said}");
}

/// Who has made the room may receive, too; and a code may be typed where nobody sees it.
#[test]
fn a_wrong_code_spoils_the_room_and_the_right_one_is_good_in_the_next() {
    let site = Site::start();
    let mut maker = Maker::start(site.command("receive", "b.db"));
    let first = maker.code();
    let guess = ran(site.command("send", "a.db").args(["--code", &wrong(&first)]));
    assert!(guess.refused().contains("pairing"), "{}", guess.stderr);
    let second = maker.code();
    assert_eq!(first.split_once('-').unwrap().1, second.split_once('-').unwrap().1);
    assert!(maker.said.contains("it may be tried 2 times more"), "{}", maker.said);

    let mut asked = site.command("send", "a.db");
    let mut asked = asked.arg("--code").stdin(Stdio::piped()).spawn().unwrap();
    writeln!(asked.stdin.take().unwrap(), "4821\n{}", second.replace('-', " ")).unwrap();
    let output = asked.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert_eq!(maker.end().json()["received"]["rows"], 3);
    assert_eq!(number(Path::new(&site.path("b.db")), ALL), 3);
}

#[test]
fn three_wrong_codes_end_it_and_nothing_was_written() {
    let site = Site::start();
    let mut maker = Maker::start(site.command("send", "a.db"));
    for _ in 0..3 {
        let code = wrong(&maker.code());
        assert_eq!(ran(site.command("receive", "b.db").args(["--code", &code])).code, Some(1));
    }
    let ended = maker.end();
    assert!(ended.stderr.contains("too many have tried"), "{}", ended.stderr);
    assert_eq!(ended.code, Some(1));
    assert!(!Path::new(&site.path("b.db")).exists());
}

#[test]
fn whoever_may_not_come_or_comes_to_the_wrong_place_is_told() {
    let site = Site::start();
    let nobody = ran(&mut site.without_token("send", "a.db"));
    assert!(nobody.refused().contains("--token-file"), "{}", nobody.stderr);
    std::fs::write(site.path("token"), "0123456789abcdef").unwrap();
    let unknown = ran(&mut site.command("send", "a.db"));
    assert!(unknown.refused().contains("--token-file"), "{}", unknown.stderr);
    std::fs::write(site.path("token"), "\n").unwrap();
    let empty = ran(&mut site.command("send", "a.db"));
    assert!(empty.refused().contains("there is no token in it"), "{}", empty.stderr);
    std::fs::write(site.path("token"), TOKEN).unwrap();

    let receive = |code: &str| ran(site.command("receive", "b.db").args(["--code", code]));
    assert!(receive("000000-0000-0000").refused().contains("no such room"));
    assert!(receive("0000-0000").refused().contains("the number of the room is missing"));
    let mut both = site.command("receive", "b.db");
    assert_eq!(ran(both.args(["--connect", "127.0.0.1:1"])).code, Some(2));
    let mut listening = Command::new(env!("CARGO_BIN_EXE_storex"));
    let arguments = ["initial-sync", "send", "a.db", "--code", "0000-0000"];
    assert_eq!(ran(listening.args(arguments)).code, Some(2));
    assert!(!Path::new(&site.path("b.db")).exists());
}
