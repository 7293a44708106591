//! The process that the tests kill. Its first argument says what it does; see `main`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a part of the tests: what fails panics

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rusqlite::Connection;
use rustix::process::{Signal, getpid, kill_process};
use serde_json::json;
use storex_core::{ErrorKind, Runtime, Storage, TokioRuntime};
use storex_e2e::ops::{self, Op};
use storex_e2e::process::{Notes, Told};
use storex_e2e::rng::Rng;
use storex_e2e::steps::{self, phase, step};
use storex_e2e::{block_on, migration, schema, shop, story};
use storex_sqlite::{Durability, SqliteBackend};
use storex_sync::{
    BackendSharedLog, Exclusive, InitialSync, InitialSyncEvent, LeaseTimes, MemoryChannel,
    ObjectSharedLog, SharedSyncLog as _, StreamChannel, Sync, SyncError,
};
use tokio::net::{UnixListener, UnixStream};

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Outcome {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        // The script, killed at the k-th step (0: never).
        ["story", dir, seed, k] => block_on(tell_story(Path::new(dir), seed.parse()?, k.parse()?)),
        // Random writes and syncs without an end.
        ["live", dir, seed, life] => {
            block_on(live(Path::new(dir), seed.parse()?, life.parse::<u64>()?))
        }
        // An initial sync from B to A.
        ["receive", dir, page] => block_on(receive_alone(Path::new(dir), page.parse()?)),
        // One side of an initial sync of a music shop, over a Unix socket. At the k-th page it stops itself (0: never).
        ["initial", database, socket, end, wants, deadline, k] => {
            let deadline = Duration::from_millis(deadline.parse()?);
            let (database, socket, k) = (Path::new(database), Path::new(socket), k.parse()?);
            block_on(initial(database, socket, end, wants, deadline, k))
        }
        // Writes to A, beside another process that does so too.
        ["write", dir, name, count, sync] => {
            block_on(write(Path::new(dir), name, count.parse()?, *sync == "sync"))
        }
        // Creates accounts, one after the other, and says when each was committed.
        ["accounts", dir, count] => block_on(accounts(Path::new(dir), count.parse()?)),
        // Holds a lock on a database until its input ends.
        ["hold", path, lock] => hold(Path::new(path), lock),
        // Holds the right to sync A, or waits for it, until it is killed.
        ["hold-sync", dir, means] => block_on(hold_sync(Path::new(dir), means)),
        // Writes to A without an end, and syncs it when no other does.
        ["share", dir, name, means] => block_on(share(Path::new(dir), name, means)),
        // Writes to a database without an end, and syncs it with a folder when no other does.
        ["share-folder", dir, database, name] => {
            block_on(share_folder(Path::new(dir), database, name))
        }
        // Writes, whatever fails.
        ["go-on", dir, count] => block_on(fail_and_go_on(Path::new(dir), count.parse()?)),
        // Opens a device and says how that went.
        ["open", path] => block_on(open(Path::new(path))),
        // One write and one exchange, with `Durability::Normal`.
        ["normal", dir] => block_on(normal(Path::new(dir))),
        // A migration to a version, killed at the k-th step (0: never).
        ["migrate", dir, version, k] => {
            block_on(migrate(Path::new(dir), version.parse()?, k.parse()?))
        }
        _ => Err(format!("no such task: {args:?}").into()),
    }
}

fn runtime() -> Arc<dyn Runtime> {
    Arc::new(TokioRuntime)
}

#[allow(clippy::print_stdout)] // the parent listens
fn say(line: &str) {
    println!("{line}");
    std::io::stdout().flush().expect("the parent listens");
}

/// A device, and where it notes what was acknowledged to it.
struct Device {
    storage: Storage,
    notes: Notes,
}

impl Device {
    async fn open(path: &Path, notes: &Path) -> Outcome<Self> {
        let notes = Notes::begin(notes)?;
        Ok(Self { storage: schema::open_sqlite(path, runtime()).await?, notes })
    }

    async fn perform(&mut self, op: &Op) -> Outcome {
        let touched = ops::perform(&self.storage, op).await?;
        step("child.before_note");
        self.notes.note(&Told::Written(touched))?;
        step("child.after_note");
        Ok(())
    }

    async fn sync(&mut self, dir: &Path) -> Outcome {
        let log = shared_log(dir).await?;
        story::sync(&self.storage, log.clone()).await?;
        step("child.before_note");
        self.notes.note(&Told::Synced)?;
        log.close().await?;
        Ok(())
    }

    /// Receives all, in pages of so many rows; of each it is told.
    async fn receive(&mut self, sender: &Path, page: u64, told: fn()) -> Outcome {
        let from = schema::open_sqlite(sender, runtime()).await?;
        let (mut here, mut there) = MemoryChannel::pair();
        let sender = InitialSync::open(&from).await?.page(page);
        let receiver = InitialSync::open(&self.storage).await?.page(page);
        let receiver = receiver.on_progress(move |_| told());
        let (sent, received) = tokio::join!(sender.send(&mut here), receiver.receive(&mut there));
        sent?;
        received?;
        self.notes.note(&Told::Received)?;
        from.close().await?;
        Ok(())
    }
}

async fn shared_log(dir: &Path) -> Outcome<Arc<BackendSharedLog>> {
    let backend = SqliteBackend::open(dir.join("shared.db"))?;
    Ok(Arc::new(BackendSharedLog::open(backend, runtime()).await?))
}

async fn tell_story(dir: &Path, seed: u64, k: u64) -> Outcome {
    steps::kill_at(k, dir.join("killed"));
    phase("open");
    let mut a = Device::open(&dir.join("a.db"), &dir.join("notes")).await?;
    phase("begin");
    for op in ops::beginning("a") {
        a.perform(&op).await?;
    }
    phase("receive");
    a.receive(&dir.join("b.db"), 3, || ()).await?;
    for (n, part) in story::parts(seed).iter().enumerate() {
        phase(["write 1", "write 2", "write 3"][n]);
        for op in part {
            a.perform(op).await?;
        }
        phase(["sync 1", "sync 2", "sync 3"][n]);
        a.sync(dir).await?;
        if n == 0 {
            phase("sync C");
            let c = schema::open_sqlite(&dir.join("c.db"), runtime()).await?;
            let log = shared_log(dir).await?;
            story::sync(&c, log.clone()).await?;
            c.close().await?;
            log.close().await?;
        }
    }
    phase("close");
    a.storage.close().await?;
    std::fs::write(dir.join("steps"), steps::seen().join("\n"))?;
    Ok(())
}

async fn live(dir: &Path, seed: u64, life: u64) -> Outcome {
    say("started");
    let notes = dir.join(format!("notes-{life}"));
    let mut a = Device::open(&dir.join("a.db"), &notes).await?;
    say("opened");
    let mut rng = Rng::new(seed ^ (life << 32));
    for number in 0..100_000 {
        if rng.below(7) == 0 {
            a.sync(dir).await?;
            say("synced");
        } else {
            a.perform(&ops::random(&mut rng, "a", life * 100_000 + number)).await?;
            say("written");
        }
    }
    Err("nobody has killed this process".into())
}

async fn receive_alone(dir: &Path, page: u64) -> Outcome {
    say("started");
    let mut a = Device::open(&dir.join("a.db"), &dir.join("notes")).await?;
    say("opened");
    a.receive(&dir.join("b.db"), page, || say("page")).await?;
    a.storage.close().await?;
    Ok(())
}

/// Says how far it has come, and how it ends: `through`, or the error. Pages are small, so that there are many.
async fn initial(
    database: &Path,
    socket: &Path,
    end: &str,
    wants: &str,
    deadline: Duration,
    stops_at: u64,
) -> Outcome {
    let stream = match end {
        "listen" => {
            let listener = UnixListener::bind(socket)?;
            say("ready");
            listener.accept().await?.0
        }
        _ => {
            let stream = UnixStream::connect(socket).await?;
            say("ready");
            stream
        }
    };
    let storage = shop::open(database).await?;
    let mut channel = StreamChannel::new(stream);
    let pages = AtomicU64::new(0);
    let sync = InitialSync::open(&storage).await?.page(50).deadline(deadline);
    let sync = sync.on_event(move |event| {
        if let InitialSyncEvent::Progress { done, total, .. } = event {
            say(&format!("progress {done} of {total}"));
            if pages.fetch_add(1, Ordering::SeqCst) + 1 == stops_at {
                kill_process(getpid(), Signal::STOP).expect("a signal");
            }
        }
    });
    let writer = format!("{end} {}", socket.display());
    let outcome = match wants {
        "send" => sync.send(&mut channel).await.map(drop),
        "receive" => sync.receive(&mut channel).await.map(drop),
        "difference-send" => sync.difference_only().send(&mut channel).await.map(drop),
        "difference-receive" => sync.difference_only().receive(&mut channel).await.map(drop),
        "both-writing" => tokio::select! {
            outcome = sync.both_ways(&mut channel) => outcome.map(drop),
            error = write_to_shop(&storage, &writer) => {
                return error;
            }
        },
        _ => sync.both_ways(&mut channel).await.map(drop),
    };
    drop(channel);
    match outcome {
        Ok(()) => say("through"),
        Err(SyncError::Timeout { .. }) => say("failed: timeout"),
        Err(SyncError::Closed { .. } | SyncError::Transport { .. }) => say("failed: gone"),
        Err(SyncError::Remote { .. }) => say("failed: given up"),
        Err(error) => say(&format!("failed: {error}")),
    }
    Ok(storage.close().await?)
}

/// Writes without an end; the name is a seed too.
async fn write_to_shop(storage: &Storage, name: &str) -> Outcome {
    let mut rng =
        Rng::new(name.bytes().fold(7, |seed, byte| seed * 31 % 1_000_003 + u64::from(byte)));
    loop {
        shop::write(storage, &mut rng, name, 1200).await?;
        tokio::task::yield_now().await;
    }
}

async fn write(dir: &Path, name: &str, count: u64, sync: bool) -> Outcome {
    say("started");
    // Both processes begin at once, when the parent lets them.
    std::io::stdin().read_to_end(&mut Vec::new())?;
    let mut a = Device::open(&dir.join("a.db"), &dir.join(format!("notes-{name}"))).await?;
    let mut rng = Rng::new(name.bytes().map(u64::from).sum());
    for op in ops::beginning(name) {
        a.perform(&op).await?;
    }
    for number in 0..count {
        a.perform(&ops::random(&mut rng, name, number)).await?;
        if sync && number % 10 == 9 {
            a.sync(dir).await?;
        }
        say("written");
    }
    a.storage.close().await?;
    Ok(())
}

/// One syncer at a time, by one means or the other.
async fn exclusive(storage: &Storage, dir: &Path, means: &str) -> Outcome<Exclusive> {
    let (lasts, renewed) = (Duration::from_millis(1000), Duration::from_millis(200));
    Ok(match means {
        "file" => Exclusive::file(storage, dir.join("a.lock")).await?,
        _ => Exclusive::lease(storage, LeaseTimes { lasts, renewed }).await?,
    })
}

async fn hold_sync(dir: &Path, means: &str) -> Outcome {
    let storage = schema::open_sqlite(&dir.join("a.db"), runtime()).await?;
    let exclusive = exclusive(&storage, dir, means).await?;
    loop {
        if exclusive.try_acquire().await?.is_none() {
            say("waits");
        }
        let guard = exclusive.acquire(Duration::from_secs(600)).await?;
        say("held");
        guard.lost().await;
        say("lost");
    }
}

async fn share(dir: &Path, name: &str, means: &str) -> Outcome {
    let mut a = Device::open(&dir.join("a.db"), &dir.join(format!("notes-{name}"))).await?;
    let log = shared_log(dir).await?;
    let sync = Sync::open(&a.storage, log).await?.unreduced().limits(story::LIMITS);
    let sync = sync.exclusive(exclusive(&a.storage, dir, means).await?);
    say("opened");
    let mut rng = Rng::new(name.bytes().map(u64::from).sum());
    let begin = ops::beginning(name);
    let mut number = 0;
    loop {
        if rng.below(4) > 0 {
            let random = || ops::random(&mut rng, name, number as u64);
            let op = begin.get(number).cloned().unwrap_or_else(random);
            number += 1;
            match a.perform(&op).await {
                Ok(()) => say("written"),
                // A process that is stopped in the middle of a write holds up all others.
                Err(error) if is_busy(&*error) => say("busy"),
                Err(error) => return Err(error),
            }
            continue;
        }
        match sync.sync_once().await {
            Ok(_) => {
                a.notes.note(&Told::Synced)?;
                say("synced");
            }
            Err(error) if error.kind() == ErrorKind::Busy => say("elsewhere"),
            Err(error) => return Err(error.into()),
        }
    }
}

async fn share_folder(dir: &Path, database: &str, name: &str) -> Outcome {
    let storage = schema::open_sqlite(&dir.join(database), runtime()).await?;
    let accounts = storage.dynamic("account")?;
    let log = Arc::new(ObjectSharedLog::in_folder(dir.join("folder"), runtime()).await?);
    let exclusive = exclusive(&storage, dir, "lease").await?;
    let sync = Sync::open(&storage, log).await?.exclusive(exclusive);
    say("opened");
    let mut rng = Rng::new(name.bytes().map(u64::from).sum());
    for number in 0_u64.. {
        let said: Outcome<String> = match rng.below(4) {
            0 => sync.sync_once().await.map(|_| "synced".to_owned()).map_err(Into::into),
            1 => {
                let add = json!({"balance": {"$inc": 1}});
                let added = accounts.update(&json!({"name": "common"}), &add).await;
                added.map(|_| "added".to_owned()).map_err(Into::into)
            }
            _ => {
                let account = format!("{name}-{number}");
                let created = accounts.create(json!({"name": account, "balance": 0})).await;
                created.map(|_| format!("created {account}")).map_err(Into::into)
            }
        };
        match said {
            Ok(said) => say(&said),
            Err(error) if is_busy(&*error) => say("busy"),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn is_busy(error: &(dyn std::error::Error + 'static)) -> bool {
    let storage = error.downcast_ref::<storex_core::Error>().map(storex_core::Error::kind);
    let sync = error.downcast_ref::<SyncError>().map(SyncError::kind);
    storage.or(sync) == Some(ErrorKind::Busy)
}

async fn accounts(dir: &Path, count: u64) -> Outcome {
    let storage = schema::open_sqlite(&dir.join("a.db"), runtime()).await?;
    let accounts = storage.dynamic("account")?;
    let mut rng = Rng::new(1);
    // The parent listens by then.
    std::io::stdin().read_to_end(&mut Vec::new())?;
    for number in 0..count {
        runtime().sleep(Duration::from_millis(100 + rng.below(100))).await;
        accounts.create(json!({"name": format!("{number:03}"), "balance": 0})).await?;
        say(&runtime().now().0.to_string());
    }
    storage.close().await?;
    Ok(())
}

fn hold(path: &Path, lock: &str) -> Outcome {
    let conn = Connection::open(path)?;
    if lock == "READ" {
        conn.execute_batch("BEGIN")?;
        conn.query_row("SELECT count(*) FROM member", [], |_| Ok(()))?;
    } else {
        conn.execute_batch(&format!("BEGIN {lock}; CREATE TABLE held (x)"))?;
    }
    say("held");
    std::io::stdin().read_to_end(&mut Vec::new())?;
    conn.execute_batch("ROLLBACK")?;
    Ok(())
}

async fn open(path: &Path) -> Outcome {
    match schema::open_sqlite(path, runtime()).await {
        Ok(storage) => {
            say("opened");
            Ok(storage.close().await?)
        }
        Err(error) => {
            say(&format!("{:?}: {error}", error.kind()));
            Ok(())
        }
    }
}

/// Opens and writes; goes on after a write that failed. Says the kind of each failure.
async fn fail_and_go_on(dir: &Path, count: u64) -> Outcome {
    let mut notes = Notes::begin(&dir.join("notes"))?.without_waiting();
    let storage = match schema::open_sqlite(&dir.join("a.db"), runtime()).await {
        Ok(storage) => storage,
        Err(error) => {
            say(&format!("{:?} at the opening: {error}", error.kind()));
            return Ok(());
        }
    };
    let mut rng = Rng::new(1);
    let random = (0..count).map(|number| ops::random(&mut rng, "a", number));
    for op in ops::beginning("a").into_iter().chain(random) {
        match ops::perform(&storage, &op).await {
            Ok(touched) => notes.note(&Told::Written(touched))?,
            Err(error) => say(&format!("{:?} at {op:?}: {error}", error.kind())),
        }
    }
    if let Err(error) = storage.close().await {
        say(&format!("{:?} at the closing: {error}", error.kind()));
    }
    Ok(())
}

async fn normal(dir: &Path) -> Outcome {
    let open = |name: &str| -> Outcome<SqliteBackend> {
        let path: PathBuf = dir.join(name);
        Ok(SqliteBackend::builder(path).durability(Durability::Normal).build()?)
    };
    let a = schema::open(open("a.db")?, runtime()).await?;
    let log = Arc::new(BackendSharedLog::open(open("shared.db")?, runtime()).await?);
    let sync = Sync::open(&a, log.clone()).await?.unreduced().limits(story::LIMITS);
    log.register(sync.device().await?).await?;
    a.flush().await?;
    std::fs::write(dir.join("mark"), "")?;
    for op in ops::beginning("a") {
        ops::perform(&a, &op).await?;
    }
    sync.sync_once().await?;
    a.close().await?;
    log.close().await?;
    Ok(())
}

async fn migrate(dir: &Path, version: u64, k: u64) -> Outcome {
    steps::kill_at(k, dir.join("killed"));
    phase("migrate");
    migration::open(&dir.join("a.db"), version).await?.close().await?;
    std::fs::write(dir.join("steps"), steps::seen().join("\n"))?;
    Ok(())
}
