//! Files that are no databases, damaged, locked, read-only, or on a full disk: each gets a typed error that says what to
//! do, and nothing is half written.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use storex_core::{Error, ErrorKind, Query, Result, Runtime, Storage, TokioRuntime};
use storex_e2e::disk::{Disk, not_run};
use storex_e2e::ops::{self, Op};
use storex_e2e::place::Place;
use storex_e2e::process::{Process, text};
use storex_e2e::rng::Rng;
use storex_e2e::{audit, is_long, schema, story};
use storex_sqlite::SqliteBackend;
use storex_sync::{InitialSync, MemoryChannel, Sync};

const CHILD: &str = env!("CARGO_BIN_EXE_storex-e2e-child");

fn runtime() -> Arc<dyn Runtime> {
    Arc::new(TokioRuntime)
}

/// Opens without much patience.
async fn open(path: &Path) -> Result<Storage> {
    let patience = Duration::from_millis(30);
    let backend = SqliteBackend::builder(path).busy_timeout(patience).build()?;
    schema::open(backend, runtime()).await
}

async fn refused(path: &Path) -> Error {
    match open(path).await {
        Ok(_) => panic!("{} was opened", path.display()),
        Err(error) => error,
    }
}

fn team(name: &str) -> Op {
    Op::Gather { team: name.to_owned(), size: 3 }
}

/// A database with something in it, closed.
async fn make(path: &Path) {
    let storage = open(path).await.unwrap();
    for op in ops::beginning("a") {
        ops::perform(&storage, &op).await.unwrap();
    }
    storage.close().await.unwrap();
}

/// The file can be used: it opens, takes a write and is in order.
async fn assert_works(place: &Place) {
    let storage = open(&place.a()).await.unwrap();
    assert_eq!(ops::perform(&storage, &team("works")).await.unwrap().len(), 3);
    storage.close().await.unwrap();
    audit::check_device(&place.a(), &story::read(place), None);
}

#[tokio::test]
async fn a_file_that_is_no_database() {
    let place = Place::new();
    let noise: Vec<u8> = {
        let mut rng = Rng::new(1);
        (0..20_000).map(|_| rng.bits() as u8).collect()
    };
    let header = [b"SQLite format 3\0".as_slice(), &noise].concat();
    for (what, bytes) in [
        ("a text", b"Dear diary, today I was taken for a database. ".repeat(40).as_slice()),
        ("a short text", b"no database".as_slice()),
        ("noise", &noise),
        ("a header, then noise", &header),
        ("zeros", &[0; 5000]),
    ] {
        let path = place.file("no database.db");
        fs::write(&path, bytes).unwrap();
        let error = refused(&path).await;
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{what}: {error}");
        assert!(!error.is_retryable(), "{what}");
        assert!(error.to_string().contains("no database.db"), "{what}: {error}");
        assert_eq!(fs::read(&path).unwrap(), bytes, "{what}: the file was changed");
        let others: Vec<_> = fs::read_dir(place.path()).unwrap().collect();
        assert_eq!(others.len(), 1, "{what}: something lies beside the file: {others:?}");
    }
}

#[tokio::test]
async fn a_path_that_cannot_be_a_database() {
    let place = Place::new();
    let directory = SqliteBackend::open(place.path()).unwrap_err();
    assert_eq!(directory.kind(), ErrorKind::Io);
    assert!(directory.to_string().contains("directory"), "{directory}");
    let missing = refused(&place.file("missing/a.db")).await;
    assert_eq!(missing.kind(), ErrorKind::Io, "{missing}");
    assert!(missing.to_string().contains("missing/a.db"), "{missing}");
    assert!(!place.file("missing").exists());
    // A file where a directory should be.
    fs::write(place.file("file"), "").unwrap();
    let below = refused(&place.file("file/a.db")).await;
    assert_eq!(below.kind(), ErrorKind::Io, "{below}");
}

#[tokio::test]
async fn a_damaged_database_is_reported_or_works_and_never_panics() {
    let place = Place::new();
    make(&place.a()).await;
    let sound = fs::read(place.a()).unwrap();
    let mut rng = Rng::new(12);
    let mut kinds = std::collections::BTreeMap::new();
    for n in 0..if is_long() { 2000 } else { 150 } {
        let mut bytes = sound.clone();
        let what = match n % 3 {
            0 => {
                bytes.truncate(rng.below(bytes.len() as u64) as usize);
                "cut"
            }
            1 => {
                let page = 4096 * rng.below(bytes.len() as u64 / 4096) as usize;
                bytes[page..page + 4096].fill(0);
                "zeroed"
            }
            _ => {
                for _ in 0..8 {
                    let at = rng.below(bytes.len() as u64) as usize;
                    bytes[at] ^= 1 << rng.below(8);
                }
                "flipped"
            }
        };
        let damaged = Place::new();
        fs::write(damaged.a(), &bytes).unwrap();
        let outcome = use_everything(&damaged.a()).await;
        let kind = match &outcome {
            Ok(()) => "works".to_owned(),
            Err(error) => {
                assert!(!error.to_string().is_empty());
                format!("{:?}", error.kind())
            }
        };
        *kinds.entry((what, kind)).or_insert(0) += 1;
        if let Err(error) = outcome {
            let known = [ErrorKind::Corrupt, ErrorKind::Invalid, ErrorKind::Conflict];
            assert!(known.contains(&error.kind()), "{n}, {what}: {error:?}");
        }
    }
    println!("{kinds:#?}");
    assert!(kinds.iter().any(|((_, kind), _)| kind == "Corrupt"));
}

async fn use_everything(path: &Path) -> Result<()> {
    let storage = open(path).await?;
    for collection in storage.registry().collections() {
        storage.find(Query::new(collection.name().clone())).await?;
    }
    for op in [team("x"), Op::Retitle { team: "a-0".into(), title: "x".into() }] {
        ops::perform(&storage, &op).await?;
    }
    storage.close().await
}

/// Opening is refused as read-only, and the file stays as it is.
async fn assert_read_only(path: &Path) {
    let before = fs::read(path).unwrap();
    let error = refused(path).await;
    assert_eq!(error.kind(), ErrorKind::ReadOnly, "{error:?}");
    let name = path.file_name().unwrap().to_str().unwrap();
    assert!(error.to_string().contains(name), "{error}");
    assert_eq!(fs::read(path).unwrap(), before);
}

#[tokio::test]
async fn a_file_system_that_may_only_be_read() {
    let disk = match Disk::mount("4m") {
        Ok(disk) => disk,
        Err(why) => return not_run("a file system that may only be read", &why),
    };
    make(&disk.file("a.db")).await;
    fs::write(disk.file("old.db"), old_database()).unwrap();
    disk.make_read_only();
    assert_read_only(&disk.file("a.db")).await;
    assert_read_only(&disk.file("old.db")).await;
    // One that is not there cannot be made.
    let error = refused(&disk.file("new.db")).await;
    assert_eq!(error.kind(), ErrorKind::Io, "{error:?}");
    assert!(error.to_string().contains("may be written"), "{error}");
    disk.make_writable();
    let storage = open(&disk.file("a.db")).await.unwrap();
    ops::perform(&storage, &team("again")).await.unwrap();
    storage.close().await.unwrap();
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[tokio::test]
async fn a_file_or_a_directory_without_the_permission_to_write() {
    for (what, file_mode, dir_mode, kind) in [
        ("the file", 0o444, 0o777, "ReadOnly"),
        ("the directory", 0o666, 0o555, "ReadOnly"),
        ("both", 0o444, 0o555, "ReadOnly"),
        ("reading the file either", 0o000, 0o777, "Io"),
    ] {
        let place = Place::new();
        make(&place.a()).await;
        fs::create_dir(place.file("in")).unwrap();
        let path = place.file("in/a.db");
        fs::rename(place.a(), &path).unwrap();
        let before = fs::read(&path).unwrap();
        set_mode(place.path(), 0o755);
        set_mode(&path, file_mode);
        set_mode(&place.file("in"), dir_mode);
        let mut command = Command::new(CHILD);
        command.args(["open", text(&path)]);
        if rustix::process::geteuid().is_root() {
            // To root permissions do not apply; to nobody they do.
            command.uid(65534).gid(65534);
        }
        let said = match command.output() {
            Ok(output) => String::from_utf8_lossy(&output.stdout).into_owned(),
            Err(why) => return not_run("permissions", &format!("as another user: {why}")),
        };
        set_mode(&place.file("in"), 0o777);
        set_mode(&path, 0o666);
        assert_eq!(fs::read(&path).unwrap(), before, "{what}");
        assert!(
            said.starts_with(&format!("{kind}: ")),
            "without the permission to write {what}: {said}"
        );
        assert!(said.contains("a.db"), "{said}");
        fs::rename(&path, place.a()).unwrap();
        assert_works(&place).await;
    }
}

/// A database that was never in write-ahead mode, such as other programs make.
fn old_database() -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("old.db");
    let conn = rusqlite::Connection::open(&path).unwrap();
    conn.execute_batch("CREATE TABLE theirs (x); INSERT INTO theirs VALUES (1)").unwrap();
    drop(conn);
    fs::read(path).unwrap()
}

#[tokio::test]
async fn a_database_that_another_process_has_locked() {
    let place = Place::new();
    // Before it is in write-ahead mode, an exclusive lock keeps everybody out.
    fs::write(place.a(), old_database()).unwrap();
    let before = audit::everything(&place.a());
    let mut holder = Process::start(CHILD, &["hold", text(&place.a()), "EXCLUSIVE"]);
    assert!(holder.wait_for("held"));
    let error = refused(&place.a()).await;
    assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
    assert!(error.is_retryable());
    holder.let_go();
    assert!(!holder.was_killed());
    assert_eq!(audit::everything(&place.a()), before);
    make(&place.a()).await;

    // In write-ahead mode another writer holds up writes, not reads.
    let storage = open(&place.a()).await.unwrap();
    let before = audit::everything(&place.a());
    let mut holder = Process::start(CHILD, &["hold", text(&place.a()), "IMMEDIATE"]);
    assert!(holder.wait_for("held"));
    let (one, two, three) = (team("one"), team("two"), team("three"));
    let at_once = tokio::join!(
        ops::perform(&storage, &one),
        ops::perform(&storage, &two),
        ops::perform(&storage, &three)
    );
    for outcome in [at_once.0, at_once.1, at_once.2] {
        let error = outcome.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
        assert!(error.is_retryable());
    }
    assert_eq!(storage.count(Query::new("member")).await.unwrap(), 4);
    let second = refused_or_open(&place.a()).await;
    assert_eq!(audit::everything(&place.a()), before);
    holder.let_go();
    assert!(!holder.was_killed());
    if let Ok(second) = second {
        second.close().await.unwrap();
    }
    assert_eq!(ops::perform(&storage, &one).await.unwrap().len(), 3);
    storage.close().await.unwrap();
    assert_works(&place).await;
}

/// Opening while another process writes: it works, or says that the database is busy.
async fn refused_or_open(path: &Path) -> Result<Storage> {
    let opened = open(path).await;
    if let Err(error) = &opened {
        assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
    }
    opened
}

#[tokio::test]
async fn a_reader_that_holds_on_to_an_old_state_holds_up_nothing() {
    let place = Place::new();
    make(&place.a()).await;
    let storage = open(&place.a()).await.unwrap();
    let mut holder = Process::start(CHILD, &["hold", text(&place.a()), "READ"]);
    assert!(holder.wait_for("held"));
    for n in 0..50 {
        ops::perform(&storage, &team(&format!("b-{n}"))).await.unwrap();
    }
    assert_eq!(storage.count(Query::new("member")).await.unwrap(), 154);
    storage.close().await.unwrap();
    holder.let_go();
    assert!(!holder.was_killed());
    assert_works(&place).await;
}

/// Everything that can be done on a full disk fails with [`ErrorKind::Full`], and nothing of it is there afterwards; with
/// space again it works, without opening anew.
#[tokio::test]
async fn a_full_disk() {
    let disk = match Disk::mount("8m") {
        Ok(disk) => disk,
        Err(why) => return not_run("a full disk", &why),
    };
    let path = disk.file("a.db");
    let storage = open(&path).await.unwrap();
    for op in ops::beginning("a") {
        ops::perform(&storage, &op).await.unwrap();
    }
    let mut rng = Rng::new(5);
    let (mut full, mut written) = (0, 0);
    // The space ends at another write of the transaction each time.
    for n in 0..if is_long() { 200 } else { 30 } {
        let ballast = disk.fill_but(rng.below(12) * 4096);
        let before = audit::everything(&path);
        match ops::perform(&storage, &team(&format!("a-full-{n}"))).await {
            Ok(touched) => {
                assert_eq!(touched.len(), 3);
                written += 1;
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Full, "{error:?}");
                assert!(error.is_retryable());
                assert_eq!(audit::everything(&path), before, "something was written");
                full += 1;
            }
        }
        // Several at once share a commit; each is there or not, as it was told.
        let names = [0, 1, 2, 3].map(|it| format!("a-at-once-{n}-{it}"));
        let all = names.clone().map(|name| team(&name));
        let at_once = tokio::join!(
            ops::perform(&storage, &all[0]),
            ops::perform(&storage, &all[1]),
            ops::perform(&storage, &all[2]),
            ops::perform(&storage, &all[3]),
        );
        fs::remove_file(&ballast).unwrap();
        for (name, outcome) in names.iter().zip([at_once.0, at_once.1, at_once.2, at_once.3]) {
            let query = Query::new("member").filter(storex_core::field("team").eq(name.as_str()));
            let there = storage.count(query).await.unwrap();
            match outcome {
                Ok(_) => assert_eq!(there, 3, "{name}"),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Full, "{error:?}");
                    assert_eq!(there, 0, "{name}");
                }
            }
        }
        let after = team(&format!("a-after-{n}"));
        assert_eq!(ops::perform(&storage, &after).await.unwrap().len(), 3);
        for team in ["full", "at-once", "after"] {
            let filter = storex_core::field("team")
                .gt(format!("a-{team}"))
                .and(storex_core::field("team").lt(format!("a-{team}~")));
            storage.execute(storex_core::Batch::new().delete("member", filter)).await.unwrap();
        }
    }
    println!("{full} refused, {written} written");
    assert!(full >= 5 && written >= 1, "the disk was full at the right times");
    storage.close().await.unwrap();
    let universe = audit::Universe::read(Path::new("none"), &[&path]);
    audit::check_device(&path, &universe, None);
}

#[tokio::test]
async fn a_full_disk_while_it_is_opened() {
    let disk = match Disk::mount("1m") {
        Ok(disk) => disk,
        Err(why) => return not_run("a full disk while it is opened", &why),
    };
    let path = disk.file("a.db");
    for left in 0..40 {
        let ballast = disk.fill_but(left * 8192);
        match open(&path).await {
            Ok(storage) => {
                let closed = storage.close().await;
                closed.unwrap_or_else(|error| assert_eq!(error.kind(), ErrorKind::Full, "{error}"));
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::Full, "{left}: {error:?}"),
        }
        fs::remove_file(&ballast).unwrap();
    }
    let storage = open(&path).await.unwrap();
    ops::perform(&storage, &team("a-0")).await.unwrap();
    storage.close().await.unwrap();
    let universe = audit::Universe::read(Path::new("none"), &[&path]);
    audit::check_device(&path, &universe, None);
}

#[tokio::test]
async fn a_full_disk_while_it_syncs() {
    let disk = match Disk::mount("2m") {
        Ok(disk) => disk,
        Err(why) => return not_run("a full disk while it syncs", &why),
    };
    // The receiver is on the disk, the others and the log are not.
    let place = Place::new();
    story::prepare(&place, 5).await;
    let a = open(&disk.file("a.db")).await.unwrap();
    for op in ops::beginning("a") {
        ops::perform(&a, &op).await.unwrap();
    }
    let b = open(&place.b()).await.unwrap();
    for n in 0..60 {
        ops::perform(&b, &Op::Gather { team: format!("b-x{n}"), size: 20 }).await.unwrap();
    }
    let log = story::open_log(&place).await;
    let sync = Sync::open(&a, log.clone()).await.unwrap();

    let ballast = disk.fill_but(64 << 10);
    let (mut here, mut there) = MemoryChannel::pair();
    let sender = InitialSync::open(&b).await.unwrap().page(100);
    let receiver = InitialSync::open(&a).await.unwrap();
    let (sent, received) = tokio::join!(sender.send(&mut here), receiver.receive(&mut there));
    assert_eq!(received.unwrap_err().kind(), ErrorKind::Full);
    let told = sent.unwrap_err().to_string();
    assert!(told.contains("the other side gave up"), "the sender is told: {told}");
    fs::remove_file(&ballast).unwrap();
    story::receive(&b, &a).await;

    story::sync(&b, log.clone()).await.unwrap();
    let ballast = disk.fill_but(8 << 10);
    let error = sync.sync_once().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Full, "{error:?}");
    assert!(error.is_retryable());
    fs::remove_file(&ballast).unwrap();
    sync.sync_once().await.unwrap();

    for storage in [&a, &b] {
        storage.close().await.unwrap();
    }
    log.close().await.unwrap();
    fs::copy(disk.file("a.db"), place.a()).unwrap();
    story::finish(&place, 5).await;
}
