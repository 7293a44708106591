//! Shared logs in folders that another program keeps in step, and in stores where several devices are at work at once:
//! files that arrive late, in parts, in another order, under other names, or go before they should.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // these are tests
#![allow(missing_docs)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;
use storex_core::{AutoPk, Definition, FieldType, Registry, Runtime, Storage};
use storex_memory::{MemoryBackend, TestRuntime};
use storex_sync::{
    Cursor, Device, InitialSync, MemoryChannel, ObjectSharedLog, SealedTransaction, SharedSyncLog,
    Sync, SyncError, SyncLog, WriteId,
};

const ALL: usize = 1 << 20;

fn device(n: u8) -> Device {
    Device { id: [n; 16], incarnation: 0 }
}

fn transaction(n: u8, sequence: u64) -> SealedTransaction {
    let payload = format!("{n}/{sequence}").repeat(20).into_bytes();
    SealedTransaction { device: device(n), sequence, payload }
}

async fn append(log: &ObjectSharedLog, n: u8, sequences: std::ops::RangeInclusive<u64>) {
    for sequence in sequences {
        log.append(&[transaction(n, sequence)]).await.unwrap();
    }
}

/// Device and number of everything that follows.
async fn read(log: &ObjectSharedLog, reader: u8, cursor: &mut Cursor) -> Vec<(u8, u64)> {
    let page = log.read(device(reader), cursor, ALL).await.unwrap();
    *cursor = page.cursor;
    page.transactions.iter().map(|it| (it.device.id[0], it.sequence)).collect()
}

/// A folder with a log.
struct Folder {
    dir: tempfile::TempDir,
    runtime: Arc<TestRuntime>,
}

impl Folder {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), runtime: Arc::new(TestRuntime::new(1)) }
    }

    async fn log(&self) -> ObjectSharedLog {
        let runtime: Arc<dyn Runtime> = self.runtime.clone();
        ObjectSharedLog::in_folder(self.dir.path(), runtime).await.unwrap()
    }

    /// The file of a device's segment that begins with this number.
    fn segment(&self, n: u8, first: u64) -> PathBuf {
        self.segment_of(device(n), first)
    }

    fn segment_of(&self, device: Device, first: u64) -> PathBuf {
        let start = format!("{first:020}-");
        let id: String = device.id.iter().map(|byte| format!("{byte:02x}")).collect();
        let folder = self.dir.path().join("segments").join(format!("{id}-{}", device.incarnation));
        files(&folder)
            .into_iter()
            .find(|path| path.file_name().unwrap().to_str().unwrap().starts_with(&start))
            .unwrap()
    }

    fn folder_of(&self, kind: &str, n: u8) -> PathBuf {
        self.dir.path().join(kind).join(format!("{}-0", format!("{n:02x}").repeat(16)))
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// Takes a file away, and gives what brings it back.
fn take(path: PathBuf) -> impl FnOnce() {
    let bytes = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    move || fs::write(path, bytes).unwrap()
}

#[tokio::test]
async fn c12_what_has_arrived_in_part_is_waited_for() {
    let folder = Folder::new();
    let log = folder.log().await;
    append(&log, 1, 1..=3).await;
    append(&log, 2, 1..=2).await;
    let path = folder.segment(1, 2);
    let whole = fs::read(&path).unwrap();
    let mut cursor = Cursor::default();
    let mut arrived = Vec::new();
    for part in [0, 1, 4, 5, whole.len() / 2, whole.len() - 1] {
        fs::write(&path, &whole[..part]).unwrap();
        arrived.extend(read(&log, 3, &mut cursor).await);
        assert_eq!(arrived, [(1, 1), (2, 1), (2, 2)], "with {part} bytes, and the others go on");
    }
    // As some programs do that reserve the space first.
    fs::write(&path, vec![0; whole.len()]).unwrap();
    assert_eq!(read(&log, 3, &mut cursor).await, []);
    fs::write(&path, &whole).unwrap();
    assert_eq!(read(&log, 3, &mut cursor).await, [(1, 2), (1, 3)]);
}

#[tokio::test]
async fn c12_what_arrives_in_another_order_is_read_in_the_order_of_its_device() {
    let folder = Folder::new();
    let log = folder.log().await;
    append(&log, 1, 1..=4).await;
    let second = take(folder.segment(1, 2));
    let third = take(folder.segment(1, 3));
    let mut cursor = Cursor::default();
    assert_eq!(read(&log, 3, &mut cursor).await, [(1, 1)]);
    third();
    assert_eq!(read(&log, 3, &mut cursor).await, [], "the second is still missing");
    let page = log.read(device(3), &Cursor::default(), 1).await.unwrap();
    assert_eq!((page.more, page.missing.len()), (false, 1), "it can give no more");
    second();
    assert_eq!(read(&log, 3, &mut cursor).await, [(1, 2), (1, 3), (1, 4)]);
}

#[tokio::test]
async fn what_is_not_of_the_log_is_passed_over() {
    let folder = Folder::new();
    let log = folder.log().await;
    log.register(device(3)).await.unwrap();
    append(&log, 1, 1..=1).await;
    let segment = folder.segment(1, 1);
    let (path, name) = (folder.dir.path(), segment.file_name().unwrap().to_str().unwrap());
    let of_device = segment.parent().unwrap();
    for foreign in [
        of_device.join(format!("{name} (conflicted copy 2026-01-01)")),
        of_device.join(format!("{name}.sync-conflict-20260101-120000-ABCDEFG")),
        of_device.join(format!(".syncthing.{name}.tmp")),
        of_device.join(format!("~{name}")),
        of_device.join(format!("{name}#2")),
        of_device.join("Kopie von 100 % – é.tmp"),
        path.join(".DS_Store"),
        path.join("desktop.ini"),
        path.join("notes.txt"),
        path.join("members").join("Thumbs.db"),
    ] {
        fs::write(foreign, "something").unwrap();
    }
    fs::create_dir(path.join(".stfolder")).unwrap();
    fs::create_dir(of_device.join("a folder")).unwrap();
    let mut cursor = Cursor::default();
    assert_eq!(read(&log, 3, &mut cursor).await, [(1, 1)]);
    append(&log, 1, 2..=2).await;
    assert_eq!(read(&log, 3, &mut cursor).await, [(1, 2)]);
    log.acknowledge(device(3), &cursor).await.unwrap();
    assert_eq!(log.members().await.unwrap().len(), 1);
    assert_eq!(log.trim().await.unwrap().transactions, 1);
}

/// An append whose listing did not show the one before writes some transactions a second time, in other company.
#[tokio::test]
async fn c10_what_was_written_twice_in_other_company_is_read_once() {
    let folder = Folder::new();
    let log = folder.log().await;
    append(&log, 1, 1..=2).await;
    let (first, second) = (take(folder.segment(1, 1)), take(folder.segment(1, 2)));
    let all: Vec<_> = (1..=4).map(|sequence| transaction(1, sequence)).collect();
    log.append(&all).await.unwrap();
    first();
    second();
    let mut cursor = Cursor::default();
    assert_eq!(read(&log, 3, &mut cursor).await, [(1, 1), (1, 2), (1, 3), (1, 4)]);
    append(&log, 1, 2..=5).await;
    assert_eq!(read(&log, 3, &mut cursor).await, [(1, 5)]);
}

#[tokio::test]
async fn two_copies_of_a_database_are_told_from_each_other() {
    let folder = Folder::new();
    let log = folder.log().await;
    append(&log, 1, 1..=1).await;
    let mut copy = transaction(1, 2);
    copy.payload = b"of the copy".to_vec();
    log.append(&[copy.clone()]).await.unwrap();
    let error = log.append(&[transaction(1, 2)]).await.unwrap_err();
    assert!(matches!(error, SyncError::Forked { sequence: 2, .. }), "{error}");
    // Both wrote before either had the other's file: who goes on is told.
    let of_the_copy = take(folder.segment(1, 2));
    log.append(&[transaction(1, 2)]).await.unwrap();
    of_the_copy();
    for one in [transaction(1, 2), copy] {
        let error = log.append(&[one, transaction(1, 3)]).await.unwrap_err();
        assert!(matches!(error, SyncError::Forked { sequence: 2, .. }), "{error}");
    }
    // Also who has trimmed what it has sent, and does not send it again.
    let error = log.append(&[transaction(1, 3)]).await.unwrap_err();
    assert!(matches!(error, SyncError::Forked { sequence: 2, .. }), "{error}");
}

/// A share that is not mounted leaves an empty folder.
#[tokio::test]
async fn nothing_is_sent_to_a_folder_that_is_not_the_log() {
    let folder = Folder::new();
    let log = folder.log().await;
    log.register(device(1)).await.unwrap();
    let away = folder.dir.path().with_extension("away");
    fs::rename(folder.dir.path(), &away).unwrap();
    fs::create_dir(folder.dir.path()).unwrap();
    let error = log.append(&[transaction(1, 1)]).await.unwrap_err();
    assert!(matches!(error, SyncError::LogReplaced), "{error}");
    assert_eq!(fs::read_dir(folder.dir.path()).unwrap().count(), 0);
    fs::remove_dir(folder.dir.path()).unwrap();
    fs::rename(&away, folder.dir.path()).unwrap();
    append(&log, 1, 1..=1).await;
    assert_eq!(read(&log, 2, &mut Cursor::default()).await, [(1, 1)]);
}

/// Nor is one made in its place; and who waits for it loses nothing, whatever it does meanwhile.
#[tokio::test]
async fn a_folder_that_is_gone_is_waited_for() {
    let folder = Folder::new();
    let storage = storage(1).await;
    let sync = Sync::open(&storage, Arc::new(folder.log().await)).await.unwrap();
    sync.sync_once().await.unwrap();
    let away = folder.dir.path().with_extension("gone");
    fs::rename(folder.dir.path(), &away).unwrap();
    storage.dynamic("note").unwrap().create(json!({"title": "not lost"})).await.unwrap();
    let error = sync.sync_once().await.unwrap_err();
    assert!(error.is_retryable() && error.to_string().contains("not there"), "{error}");
    assert!(matches!(sync.sign_out().await, Err(SyncError::Unsent { transactions: 1, .. })));
    let runtime = Arc::new(TestRuntime::new(1));
    let error = ObjectSharedLog::in_folder(folder.dir.path(), runtime).await.unwrap_err();
    assert!(error.is_retryable() && error.to_string().contains("make it"), "{error}");
    assert!(!folder.dir.path().exists(), "nobody has made another one");
    fs::rename(&away, folder.dir.path()).unwrap();
    assert_eq!(sync.sync_once().await.unwrap().sent_transactions, 1);
}

#[tokio::test]
async fn a_member_that_cannot_be_read_holds_everything_back() {
    let folder = Folder::new();
    let log = folder.log().await;
    append(&log, 1, 1..=3).await;
    let mut cursor = Cursor::default();
    read(&log, 2, &mut cursor).await;
    log.acknowledge(device(2), &cursor).await.unwrap();
    let path = folder.folder_of("members", 2);
    let whole = fs::read(&path).unwrap();
    for part in [0, 7, whole.len() - 1] {
        fs::write(&path, &whole[..part]).unwrap();
        assert_eq!(log.trim().await.unwrap().transactions, 0);
        assert_eq!(log.members().await.unwrap()[0].behind, 3);
    }
    fs::write(&path, &whole).unwrap();
    assert_eq!(log.trim().await.unwrap().transactions, 2);
}

/// The floor is written before anything is deleted, but the files of others may come and go in any order.
#[tokio::test]
async fn what_has_gone_before_the_floor_has_come_is_waited_for() {
    let folder = Folder::new();
    let log = folder.log().await;
    append(&log, 1, 1..=3).await;
    let mut cursor = Cursor::default();
    read(&log, 2, &mut cursor).await;
    log.acknowledge(device(2), &cursor).await.unwrap();
    assert_eq!(log.trim().await.unwrap().transactions, 2);
    let floor = take(files(&folder.folder_of("floors", 1)).remove(0));
    let mut fresh = Cursor::default();
    assert_eq!(read(&log, 3, &mut fresh).await, [], "nothing is skipped");
    floor();
    let error = log.read(device(3), &fresh, ALL).await.unwrap_err();
    assert!(matches!(error, SyncError::BelowFloor { .. }), "{error}");
}

#[tokio::test]
async fn several_devices_may_make_the_log_at_once() {
    let folder = Folder::new();
    let (a, b, c) = tokio::join!(folder.log(), folder.log(), folder.log());
    let mut ids = Vec::new();
    for log in [&a, &b, &c] {
        ids.push(log.register(device(1)).await.unwrap());
    }
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert_eq!(folder.log().await.register(device(1)).await.unwrap(), ids[0]);
}

/// Two folders of which each has a log are brought together: it is the older one's.
#[tokio::test]
async fn of_two_logs_in_one_folder_the_older_one_counts() {
    let (old, new) = (Folder::new(), Folder::new());
    let id = old.log().await.register(device(1)).await.unwrap();
    new.runtime.advance(60_000);
    new.log().await.register(device(2)).await.unwrap();
    for path in files(&new.dir.path().join("log")) {
        fs::copy(&path, old.dir.path().join("log").join(path.file_name().unwrap())).unwrap();
    }
    let log = old.log().await;
    assert_eq!(log.register(device(1)).await.unwrap(), id);
    assert_eq!(log.read(device(1), &Cursor::default(), ALL).await.unwrap().log, id);
}

#[tokio::test]
async fn c61_a_folder_that_was_emptied_is_noticed() {
    let folder = Folder::new();
    let log = folder.log().await;
    let id = log.register(device(1)).await.unwrap();
    append(&log, 1, 1..=3).await;
    for path in files(folder.dir.path()) {
        fs::remove_dir_all(path).unwrap();
    }
    let error = log.read(device(1), &Cursor::default(), ALL).await.unwrap_err();
    assert!(matches!(error, SyncError::LogReplaced), "{error}");
    let error = log.append(&[transaction(1, 4)]).await.unwrap_err();
    assert!(matches!(error, SyncError::LogReplaced), "{error}");
    assert_ne!(log.register(device(1)).await.unwrap(), id);
}

#[tokio::test]
async fn a_folder_that_cannot_be_had_is_an_error_that_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a file");
    fs::write(&path, "x").unwrap();
    let runtime = Arc::new(TestRuntime::new(1));
    let error = ObjectSharedLog::in_folder(&path, runtime).await.unwrap_err();
    assert!(matches!(error, SyncError::Transport { .. }), "{error}");
    assert!(error.to_string().contains("a file"), "{error}");
}

/// A file that is damaged or gone in the middle holds up its device, and nobody says that everything is here meanwhile.
#[tokio::test]
async fn c12_a_file_that_is_damaged_or_missing_is_told_until_it_is_put_right() {
    let folder = Folder::new();
    let log = Arc::new(folder.log().await);
    let (a, b, c) = (storage(1).await, storage(2).await, storage(3).await);
    let (on_a, on_b, on_c) = (
        Sync::open(&a, log.clone()).await.unwrap(),
        Sync::open(&b, log.clone()).await.unwrap(),
        Sync::open(&c, log.clone()).await.unwrap(),
    );
    let notes = |storage: &Storage| storage.dynamic("note").unwrap();
    for harm in ["cut", "flipped", "gone"] {
        let before = titles(&b).await.len();
        for n in 0..3 {
            notes(&a).create(json!({"title": format!("a, {harm}, {n}")})).await.unwrap();
            on_a.sync_once().await.unwrap();
        }
        let last = on_a.last_write().await.unwrap().unwrap();
        let first = last.sequence - 1;
        let path = folder.segment_of(last.device, first);
        let whole = fs::read(&path).unwrap();
        let mut damaged = whole.clone();
        *damaged.last_mut().unwrap() ^= 1;
        match harm {
            "cut" => fs::write(&path, &whole[..whole.len() - 1]).unwrap(),
            "flipped" => fs::write(&path, damaged).unwrap(),
            _ => fs::remove_file(&path).unwrap(),
        }
        notes(&c).create(json!({"title": format!("c, {harm}")})).await.unwrap();
        on_c.sync_once().await.unwrap();
        for arrives in [2, 0] {
            let report = on_b.sync_once().await.unwrap();
            assert_eq!(report.received.transactions, arrives, "of A the first, and that of C");
            let [missing] = report.missing.as_slice() else { panic!("{report:?}") };
            assert_eq!(missing.write, WriteId { sequence: first, ..last });
            let file = path.file_name().unwrap().to_str().unwrap();
            let named = missing.reason.contains(file) && missing.reason.contains("damaged");
            let awaited = missing.reason.contains("later ones have");
            assert_eq!((named, awaited), (harm != "gone", harm == "gone"), "{missing:?}");
        }
        assert_eq!(titles(&b).await.len(), before + 2);
        fs::write(&path, &whole).unwrap();
        let report = on_b.sync_once().await.unwrap();
        assert_eq!((report.received.transactions, report.missing), (2, vec![]));
        on_c.sync_once().await.unwrap();
        on_a.sync_once().await.unwrap();
        assert_eq!(on_a.digest().await.unwrap(), on_b.digest().await.unwrap());
        assert_eq!(on_c.digest().await.unwrap(), on_b.digest().await.unwrap());
    }
}

async fn storage(seed: u64) -> Storage {
    let note = Definition::new("note").field("title", FieldType::String);
    let registry = Registry::builder().collection(note).build().unwrap();
    let runtime = Arc::new(TestRuntime::new(seed));
    let builder = Storage::builder(MemoryBackend::new(), registry, runtime);
    builder.middleware(AutoPk::new()).middleware(SyncLog::new()).open().await.unwrap()
}

async fn titles(storage: &Storage) -> Vec<String> {
    let notes = storage.dynamic("note").unwrap().find(&json!({})).await.unwrap();
    let mut titles: Vec<_> =
        notes.iter().map(|note| note["title"].as_str().unwrap().to_owned()).collect();
    titles.sort();
    titles
}

/// Devices through a folder, the log being trimmed all the time, and one that comes late.
#[tokio::test]
async fn c09_devices_stay_in_step_through_a_folder_that_is_trimmed() {
    let folder = Folder::new();
    let log = Arc::new(folder.log().await);
    let (a, b, late) = (storage(1).await, storage(2).await, storage(3).await);
    let on_a = Sync::open(&a, log.clone()).await.unwrap();
    let on_b = Sync::open(&b, log.clone()).await.unwrap();
    let mut trimmed = 0;
    for n in 0..10 {
        a.dynamic("note").unwrap().create(json!({"title": format!("a{n}")})).await.unwrap();
        b.dynamic("note").unwrap().create(json!({"title": format!("b{n}")})).await.unwrap();
        for sync in [&on_a, &on_b, &on_a] {
            sync.sync_once().await.unwrap();
        }
        trimmed += log.trim().await.unwrap().transactions;
    }
    assert_eq!(trimmed, 18, "all but the last of each");
    assert_eq!(titles(&a).await.len(), 20);
    assert_eq!(titles(&a).await, titles(&b).await);

    let on_late = Sync::open(&late, log).await.unwrap();
    let error = on_late.sync_once().await.unwrap_err();
    assert!(matches!(error, SyncError::BelowFloor { .. }), "{error}");
    let (mut here, mut there) = MemoryChannel::pair();
    let sender = InitialSync::open(&b).await.unwrap();
    let receiver = InitialSync::open(&late).await.unwrap();
    let (sent, received) = tokio::join!(sender.send(&mut here), receiver.receive(&mut there));
    assert_eq!(sent.unwrap().total(), received.unwrap().total());
    late.dynamic("note").unwrap().create(json!({"title": "late"})).await.unwrap();
    on_late.sync_once().await.unwrap();
    on_a.sync_once().await.unwrap();
    assert_eq!(titles(&late).await.len(), 21);
    assert_eq!(titles(&a).await, titles(&late).await);
}
