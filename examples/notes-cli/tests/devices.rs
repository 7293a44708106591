//! `notes` as it is used: on several machines, with a server between them.
#![cfg(unix)] // what interrupts it
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "these are tests"
)]

mod support;

use std::path::Path;
use std::sync::Arc;

use notes::{Note, Notes};
use serde_json::Value as Json;
use storex_core::TokioRuntime;
use storex_sqlite::SqliteBackend;
use support::{Machine, Running, Serving, until};
use tempfile::TempDir;

/// A server, and Ada's two machines, of which the first is in an account.
struct Site {
    folder: TempDir,
    server: Serving,
    laptop: Machine,
    phone: Machine,
}

impl Site {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = Serving::start(&folder.path().join("server.db"), None);
        let [laptop, phone] =
            ["laptop", "phone"].map(|name| Machine::new(folder.path(), name, server.address));
        assert_eq!(laptop.run(["init"]).code, Some(0));
        Self { folder, server, laptop, phone }
    }

    /// One whose second machine is in the account, too.
    fn joined() -> Self {
        let site = Self::start();
        pair(&site.laptop, &site.phone);
        site
    }
}

/// The laptop shows a code.
fn shown(laptop: &Machine) -> (Running, String) {
    let inviting = laptop.start(["add-device"]);
    let code = inviting.next()["code"].as_str().unwrap().to_owned();
    (inviting, code)
}

/// Another machine joins.
fn pair(laptop: &Machine, other: &Machine) {
    let (inviting, code) = shown(laptop);
    other.run(["pair", &code]).json();
    assert!(inviting.end().success());
}

fn holds(path: &Path, word: &str) -> bool {
    let bytes = std::fs::read(path).unwrap_or_default();
    bytes.windows(word.len()).any(|it| it == word.as_bytes())
}

#[test]
fn machines_that_were_paired_by_a_code_are_in_step_live_and_the_server_can_read_nothing() {
    let Site { folder, server, laptop, phone } = Site::start();
    laptop.write("Groceries");
    let (inviting, code) = shown(&laptop);
    assert_eq!(phone.run(["pair", &code]).json()["notes"], 1);
    assert_eq!(inviting.next()["paired"], true);
    assert!(inviting.end().success());

    let watching = phone.start(["watch"]);
    assert_eq!(watching.next()["notes"], 1);
    laptop.write("Plumber");
    laptop.sync();
    let told = watching.next();
    assert_eq!((&told["event"], &told["note"]["title"]), (&"created".into(), &"Plumber".into()));

    // Another program on the phone writes; the one that watches sends it, and tells of it.
    let id = told["note"]["id"].as_str().unwrap();
    phone.run(["edit", &id[id.len() - 6..], "--title", "Electrician", "--pin"]).json();
    assert_eq!(watching.next()["note"]["title"], "Electrician");
    phone.sync();
    laptop.sync();
    assert_eq!(laptop.titles(), ["Electrician", "Groceries"]);
    assert_eq!(laptop.run(["search", "ELEC"]).json()[0]["pinned"], true);
    laptop.run(["rm", id]).json();
    laptop.sync();
    assert_eq!(watching.next()["event"], "removed");
    assert!(watching.interrupt().success());

    let status = phone.run(["status"]).json();
    assert_eq!((&status["unsent"], &status["error"]), (&0.into(), &Json::Null));
    assert!(!status["last_sync"].is_null(), "{status}");
    assert_eq!(status["devices"].as_array().unwrap().len(), 2, "{status}");
    server.stop();
    let files = ["server.db", "server.db-wal"].map(|name| folder.path().join(name));
    for word in ["Groceries", "Plumber", "Electrician", "seven green"] {
        assert!(!files.iter().any(|it| holds(it, word)), "the server has {word}");
    }
    assert!(files.iter().any(|it| holds(it, "laptop")), "that is where it keeps things");
    assert!(holds(&laptop.database, "Groceries"));
}

#[test]
fn a_wrong_passphrase_opens_nothing_and_the_right_one_may_be_piped_in() {
    let Site { folder: _folder, server, laptop, phone } = Site::start();
    laptop.write("Groceries");
    laptop.sync();
    let refused = phone.run_typing(&["unlock"], "seven blue boats\n");
    assert!(refused.refused().contains("passphrase"), "{refused:?}");
    assert!(phone.run(["sync"]).refused().contains("no account"));
    assert!(phone.run(["init"]).refused().contains("notes add-device"));
    assert_eq!(phone.run_typing(&["unlock"], "seven green boats\n").code, Some(0));
    assert_eq!(phone.sync()["received"], 1);
    assert_eq!(phone.titles(), ["Groceries"]);
    server.stop();
}

#[test]
fn a_wrong_code_lets_nobody_in_and_the_right_one_still_does() {
    let Site { folder: _folder, server, laptop, phone } = Site::start();
    let (inviting, code) = shown(&laptop);
    assert!(phone.run(["pair", "4821-0000-0001"]).refused().contains("no pairing code"));
    // The code of somebody else, in the room of this one.
    let room = code.split('-').next().unwrap();
    let refused = phone.run(["pair", &format!("{room}-0000-0000")]);
    assert!(refused.refused().contains("not let in"), "{refused:?}");
    assert!(phone.run(["sync"]).refused().contains("no account"));
    // Another room, and the same code.
    let again = inviting.next()["code"].as_str().unwrap().to_owned();
    assert_eq!(code[room.len()..], again[again.len() - 10..]);
    phone.run(["pair", &again]).json();
    assert!(inviting.end().success());
    server.stop();
}

#[test]
fn what_is_written_off_line_is_sent_when_the_server_is_there_again() {
    let Site { folder, server, laptop, phone } = Site::joined();
    let address = server.address;
    server.stop();
    laptop.write("Groceries");
    assert_eq!(laptop.run(["sync"]).code, Some(1));
    let status = laptop.run(["status"]).json();
    assert_eq!(status["unsent"], 1);
    assert!(!status["error"].is_null() && status["devices"].is_null(), "{status}");

    // One that watches notices by itself.
    let watching = phone.start(["watch"]);
    assert_eq!(watching.next()["notes"], 0);
    let server = Serving::start(&folder.path().join("server.db"), Some(address));
    laptop.sync();
    assert_eq!(watching.next()["note"]["title"], "Groceries");
    watching.kill();
    server.stop();
}

#[test]
fn whoever_is_killed_while_it_receives_has_everything_after_the_next_exchange() {
    let Site { folder: _folder, server, laptop, phone } = Site::start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let open = async |path: &Path| {
        Notes::open(SqliteBackend::open(path).unwrap(), Arc::new(TokioRuntime)).await.unwrap()
    };
    runtime.block_on(async {
        let notes = open(&laptop.database).await;
        let note = notes.create("Note", "x".repeat(4096)).await.unwrap();
        let more = vec![Note { id: String::new(), ..note }; 599];
        notes.storage().collection::<Note>().unwrap().create_many(&more).await.unwrap();
        notes.storage().close().await.unwrap();
    });
    laptop.sync();
    let (inviting, code) = shown(&laptop);
    let receiving = phone.start(["pair", &code]);
    until(|| phone.database.exists().then_some(()));
    runtime.block_on(async {
        let notes = open(&phone.database).await;
        let mut found = notes.query("").unwrap().live().unwrap();
        while found.next().await.unwrap().unwrap().is_empty() {}
        receiving.kill();
        notes.storage().close().await.unwrap();
    });
    drop(inviting);
    phone.sync();
    assert_eq!(phone.titles().len(), 600);
    assert_eq!(phone.run(["status"]).json()["error"], Json::Null);
    server.stop();
}

#[test]
fn what_lost_where_two_wrote_at_once_is_listed_and_put_back_everywhere() {
    let Site { folder: _folder, server, laptop, phone } = Site::joined();
    let id = laptop.write("Groceries");
    laptop.sync();
    phone.sync();
    laptop.run(["edit", &id, "--title", "Shopping"]).json();
    phone.run(["edit", &id, "--title", "Errands", "--body", "Milk"]).json();
    laptop.sync();
    phone.sync();
    laptop.sync();
    assert_eq!(laptop.titles(), phone.titles());
    // Both fields hold of what did not meet; of the titles one is lost, and nobody's time of editing.
    assert_eq!(laptop.run(["show", &id]).json()["body"], "Milk");
    let conflicts = phone.run(["conflicts"]).json();
    let [conflict] = conflicts.as_array().unwrap().as_slice() else { panic!("{conflicts}") };
    assert_eq!((&conflict["field"], &conflict["lost"]), (&"title".into(), &"Shopping".into()));
    assert_eq!(phone.run(["status"]).json()["conflicts"], 1);

    let number = conflict["id"].to_string();
    assert_eq!(phone.run(["conflicts", "--undo", &number]).code, Some(0));
    assert!(phone.run(["conflicts", "--undo", &number]).refused().contains("not in the journal"));
    phone.sync();
    laptop.sync();
    assert_eq!(
        (laptop.titles(), phone.titles()),
        (vec!["Shopping".into()], vec!["Shopping".into()])
    );
    assert_eq!(phone.run(["conflicts"]).json(), Json::Array(Vec::new()));
    server.stop();
}

#[test]
fn a_device_that_was_shut_out_gets_nothing_and_the_others_are_asked_for_the_new_passphrase() {
    let Site { folder, server, mut laptop, phone } = Site::joined();
    let mut tablet = Machine::new(folder.path(), "tablet", server.address);
    pair(&laptop, &tablet);
    for machine in [&laptop, &phone, &tablet] {
        machine.sync();
    }
    let id = phone.run(["status"]).json()["device"].as_str().unwrap().to_owned();
    let same = laptop.run(["devices", "--revoke", &id]);
    assert!(same.refused().contains("choose another"), "{same:?}");
    laptop.passphrase = "eight red trains";
    assert_eq!(laptop.run(["devices", "--revoke", &id]).code, Some(0));
    laptop.write("It was lost");
    laptop.sync();
    let refused = phone.run(["sync"]);
    assert!(refused.refused().contains("revoked (was this device shut out?"), "{refused:?}");
    tablet.write("Written without the key");
    assert!(tablet.run(["sync"]).refused().contains("notes unlock"));
    let former = tablet.run(["unlock"]);
    assert!(former.refused().contains("passphrase"), "{former:?}");
    tablet.passphrase = "eight red trains";
    // One that watches goes on by what is typed in another terminal.
    let watching = tablet.start(["watch"]);
    assert_eq!(watching.next()["notes"], 1);
    assert_eq!(tablet.run(["unlock"]).code, Some(0));
    assert_eq!(watching.next()["note"]["title"], "It was lost");
    until(|| laptop.sync()["received"].as_u64().filter(|received| *received == 1));
    assert_eq!(laptop.titles(), ["It was lost", "Written without the key"]);
    assert_eq!(phone.titles(), Vec::<String>::new());
    watching.kill();
    server.stop();
}

#[test]
fn a_token_that_is_not_taken_any_more_is_replaced_and_nothing_is_lost_meanwhile() {
    const ANOTHER: &str = "abcdef0123456789abcdef01";
    let Site { folder, server, mut laptop, mut phone } = Site::joined();
    for machine in [&laptop, &phone] {
        machine.sync();
    }
    let (address, database) = (server.address, folder.path().join("server.db"));
    server.stop();
    let server = Serving::for_token(ANOTHER, &database, Some(address));
    laptop.write("Groceries");
    assert!(laptop.run(["sync"]).refused().contains("notes login"));
    let watching = laptop.start(["watch"]);
    assert_eq!(watching.next()["notes"], 1);
    assert!(laptop.run(["login"]).refused().contains("notes login"), "the former one");
    laptop.token = ANOTHER;
    assert_eq!(laptop.run(["login"]).code, Some(0));
    phone.token = ANOTHER;
    assert_eq!(phone.run(["login"]).code, Some(0));
    until(|| phone.sync()["received"].as_u64().filter(|received| *received == 1));
    assert_eq!(phone.titles(), ["Groceries"]);
    phone.write("Plumber");
    phone.sync();
    assert_eq!(watching.next()["note"]["title"], "Plumber");
    watching.kill();
    server.stop();
}

#[test]
fn a_token_of_another_account_and_one_for_a_device_that_was_shut_out_are_not_taken() {
    let Site { folder, server, laptop, phone } = Site::joined();
    phone.sync();
    laptop.sync();
    let id = phone.run(["status"]).json()["device"].as_str().unwrap().to_owned();
    let stranger = Serving::start(&folder.path().join("other.db"), None);
    let ben = Machine::new(folder.path(), "ben", stranger.address);
    assert_eq!(ben.run(["init"]).code, Some(0));
    ben.sync();
    stranger.stop();
    let mut laptop = laptop;
    laptop.passphrase = "eight red trains";
    assert_eq!(laptop.run(["devices", "--revoke", &id]).code, Some(0));
    assert!(phone.run(["login"]).refused().contains("shut out by another one"));
    let address = server.address;
    server.stop();
    // The same address, and somebody else's log.
    let server = Serving::start(&folder.path().join("other.db"), Some(address));
    assert!(laptop.run(["login"]).refused().contains("another account"));
    server.stop();
}

#[test]
fn notes_of_another_program_are_imported() {
    let folder = tempfile::tempdir().unwrap();
    let nobody = std::net::SocketAddr::from(([127, 0, 0, 1], 9));
    let machine = Machine::new(folder.path(), "laptop", nobody);
    let notes = r#"[{"title": "Groceries", "body": "Milk"}, {"title": "Plumber"}]"#;
    assert_eq!(machine.run_typing(&["import", "-"], notes).json()["imported"], 2);
    assert_eq!(machine.titles(), ["Groceries", "Plumber"]);
    assert!(machine.run_typing(&["import", "-"], "Milk").refused().contains("no JSON list"));
}

#[test]
fn it_says_in_words_what_it_cannot_do_and_makes_no_file_for_who_only_looks() {
    let folder = tempfile::tempdir().unwrap();
    let nobody = std::net::SocketAddr::from(([127, 0, 0, 1], 9));
    let machine = Machine::new(folder.path(), "laptop", nobody);
    assert_eq!(machine.run::<&str>([]).code, Some(0));
    assert!(!machine.database.exists());
    assert_eq!(machine.run(["show", "abc"]).refused(), "there is no note abc");
    assert!(machine.run(["sync"]).refused().contains("notes init"));
    assert_eq!(machine.run(["init"]).code, Some(1));
    assert_eq!(machine.run(["new"]).code, Some(2));
    let id = machine.write("Groceries");
    assert!(machine.run(["edit", &id]).refused().contains("--title"));
    assert_eq!(machine.titles(), ["Groceries"]);
}
