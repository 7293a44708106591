//! A device that writes without an end and is kept in step with a server, until its input ends: then it waits until it has
//! everything, looks at itself, and ends. The tests kill it now and then, and start it again.
//!
//! ```text
//! storex-e2e-device FOLDER NAME LIFE SERVER DEVICES DEADLINE
//! opened | exchanged | alarm WHY | stopped | settled | digest DIGEST
//! ```
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a part of the tests: what fails panics

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use storex_core::{Query, Runtime, Storage, TokioRuntime, field};
use storex_e2e::ops::{self, Op};
use storex_e2e::process::{Notes, Told};
use storex_e2e::rng::Rng;
use storex_e2e::{chaos, schema};
use storex_sync::engine::Backoff;
use storex_sync::{ContinuousSync, Recovery, Sync, SyncEvent, SyncEvents, SyncStatus};
use tokio::sync::watch;

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

#[tokio::main]
async fn main() -> Outcome {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [folder, name, life, server, devices, deadline] = args.as_slice() else {
        return Err("which folder, name, life, server, how many devices, how many seconds?".into());
    };
    let (life, devices, deadline): (u64, usize, u64) =
        (life.parse()?, devices.parse()?, deadline.parse()?);
    let folder = Path::new(folder);
    let notes = Notes::begin(&folder.join(chaos::notes(name, life)))?;
    let storage = schema::open_sqlite(&folder.join(chaos::database(name)), runtime()).await?;
    say("opened");
    let log = chaos::log(&format!("http://{server}"), folder)?;
    let mut sync = Sync::open(&storage, log).await?;
    if chaos::is_unreduced(name) {
        sync = sync.unreduced();
    }
    let sync = ContinuousSync::builder(sync)
        .intervals(Duration::from_secs(1), Duration::from_secs(4))
        // The troubles are short, so there are to be exchanges between them.
        .backoff(Backoff {
            first: Duration::from_millis(200),
            cap: Duration::from_secs(4),
            ..Backoff::default()
        })
        .start();
    runtime().spawn(Box::pin(tell(sync.events())));

    let mut writer = Writer { storage: &storage, notes, name };
    writer.write_until(&mut input_ends(), life).await?;
    writer.end().await?;
    say("stopped");
    let mut status = sync.status();
    tokio::select! {
        settled = settled(&storage, &mut status, devices) => settled?,
        () = runtime().sleep(Duration::from_secs(deadline)) => {
            return Err(format!("device {name}: not after {deadline} s: {:?}", sync.status().borrow()).into());
        }
    }
    say("settled");
    look(&storage, &sync).await?;
    sync.stop().await;
    Ok(storage.close().await?)
}

fn runtime() -> Arc<dyn Runtime> {
    Arc::new(TokioRuntime)
}

#[allow(clippy::print_stdout)] // the parent listens
fn say(line: &str) {
    println!("{line}");
    std::io::stdout().flush().expect("the parent listens");
}

/// Becomes true when the parent says so.
fn input_ends() -> watch::Receiver<bool> {
    let (sender, ends) = watch::channel(false);
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        sender.send_replace(true);
        // Who listens may do so late.
        std::mem::forget(sender);
    });
    ends
}

/// Tells of exchanges, and of failures that no bad network excuses.
async fn tell(mut events: SyncEvents) {
    while let Some(event) = events.next().await {
        match event {
            SyncEvent::Exchanged(_) => say("exchanged"),
            SyncEvent::Failed { error, .. } => match error.recovery() {
                Recovery::Retry | Recovery::Wait(_) => {}
                _ => say(&format!("alarm {error:?}")),
            },
            _ => {}
        }
    }
}

struct Writer<'a> {
    storage: &'a Storage,
    notes: Notes,
    name: &'a str,
}

impl Writer<'_> {
    async fn perform(&mut self, op: &Op) -> Outcome {
        let touched =
            ops::perform(self.storage, op).await.map_err(|why| format!("{op:?}: {why}"))?;
        Ok(self.notes.note(&Told::Written(touched))?)
    }

    /// Some twenty to a hundred writes a second, in bursts.
    async fn write_until(&mut self, end: &mut watch::Receiver<bool>, life: u64) -> Outcome {
        let name = self.name;
        let mut rng = Rng::new(name.bytes().fold(life, |seed, byte| seed * 31 + u64::from(byte)));
        for op in ops::beginning(name).into_iter().chain(chaos::beginning(name)) {
            self.perform(&op).await?;
        }
        for number in life * 1_000_000.. {
            let op = match rng.below(4) {
                0 => chaos::receipt(name, number),
                _ => ops::random(&mut rng, name, number),
            };
            self.perform(&op).await?;
            if rng.below(4) > 0 {
                let pause = Duration::from_millis(rng.below(60));
                tokio::select! {
                    _ = end.wait_for(|ends| *ends) => {}
                    () = runtime().sleep(pause) => {}
                }
            }
            if *end.borrow() {
                break;
            }
        }
        Ok(())
    }

    /// The last write: who has it has all that were before it.
    async fn end(&mut self) -> Outcome {
        let name = self.name;
        self.perform(&chaos::end(name)).await
    }
}

/// Returns when the last write of every device is here, and everything of this one is in the log.
async fn settled(
    storage: &Storage,
    status: &mut watch::Receiver<SyncStatus>,
    devices: usize,
) -> Outcome {
    let mut ended = storage.live(Query::new("doc").filter(field("shelf").eq(chaos::ENDED)));
    while ended.next().await.ok_or("the storage is open")??.len() < devices {}
    status.wait_for(|status| status.in_step && status.unsent == 0).await?;
    Ok(())
}

/// Nothing waits, nothing was put aside; and what it holds.
async fn look(storage: &Storage, sync: &ContinuousSync) -> Outcome {
    let status = sync.status().borrow().clone();
    assert!(status.in_step && status.last_error.is_none(), "{status:?}");
    assert_eq!((status.unsent, status.parked, status.rejected), (0, 0, 0), "{status:?}");
    assert!(status.missing.is_empty(), "{status:?}");
    assert_eq!(storex_sync::parked(storage).await?, []);
    assert_eq!(storex_sync::rejected(storage).await?, []);
    assert_eq!(sync.sync().unsent().await?, 0);
    say(&format!("digest {:?}", sync.sync().digest().await?));
    Ok(())
}
