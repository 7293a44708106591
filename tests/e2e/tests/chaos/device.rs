//! A device, in a process of its own: it writes without an end and is kept in step with the server, until its input ends. Then it
//! waits until it has everything, looks at itself, and ends. It says
//!
//! ```text
//! opened | exchanged | alarm WHY | stopped | settled | digest DIGEST
//! ```

use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use storex_core::{Query, Runtime, Storage, TokioRuntime, field};
use storex_e2e::ops::{self, Op};
use storex_e2e::process::{Notes, Process, Told};
use storex_e2e::rng::Rng;
use storex_e2e::schema;
use storex_sync::engine::Backoff;
use storex_sync::{ContinuousSync, Recovery, Sync, SyncEvent, SyncEvents, SyncStatus};
use tokio::sync::watch;

use super::{agreed, child};

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// Starts one, in its `life`-th process. So many seconds may pass until it has everything.
pub(crate) fn start(
    folder: &str,
    name: &str,
    life: u64,
    server: &str,
    devices: usize,
    deadline: u64,
) -> Process {
    let (life, devices, deadline) = (life.to_string(), devices.to_string(), deadline.to_string());
    let arguments = [folder, name, &life, server, &devices, &deadline];
    child::start("device::the_device_that_is_killed", &arguments)
}

#[test]
#[ignore = "it is a process of the other tests"]
fn the_device_that_is_killed() {
    let Some(arguments) = child::arguments() else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    if let Err(why) = runtime.block_on(live(&arguments)) {
        panic!("{why}");
    }
}

async fn live(arguments: &[String]) -> Outcome {
    let [folder, name, life, server, devices, deadline] = arguments else {
        return Err(format!("{arguments:?}").into());
    };
    let (life, devices, deadline): (u64, usize, u64) =
        (life.parse()?, devices.parse()?, deadline.parse()?);
    let folder = Path::new(folder);
    let notes = Notes::begin(&folder.join(agreed::notes(name, life)))?;
    let storage = schema::open_sqlite(&folder.join(agreed::database(name)), runtime()).await?;
    say("opened");
    let log = agreed::log(&format!("http://{server}"), folder);
    let mut sync = Sync::open(&storage, log).await?;
    if agreed::is_unreduced(name) {
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
    let status = tokio::select! {
        status = settled(&storage, &sync, devices) => status?,
        () = runtime().sleep(Duration::from_secs(deadline)) => {
            let status = sync.status().borrow().clone();
            return Err(format!("device {name}: not after {deadline} s: {status:?}").into());
        }
    };
    say("settled");
    look(&storage, &sync, &status).await?;
    sync.stop().await;
    Ok(storage.close().await?)
}

fn runtime() -> Arc<dyn Runtime> {
    Arc::new(TokioRuntime)
}

fn say(line: &str) {
    println!("{line}");
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
        for op in ops::beginning(name).into_iter().chain(agreed::beginning(name)) {
            self.perform(&op).await?;
        }
        for number in life * 1_000_000.. {
            let op = match rng.below(4) {
                0 => agreed::receipt(name, number),
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
        self.perform(&agreed::end(name)).await
    }
}

/// Waits until the last write of every device is here, and everything of this one is in the log.
async fn settled(storage: &Storage, sync: &ContinuousSync, devices: usize) -> Outcome<SyncStatus> {
    let mut ended = storage.live(Query::new("doc").filter(field("shelf").eq(agreed::ENDED)));
    while ended.next().await.ok_or("the storage is open")??.len() < devices {}
    let mut status = sync.status();
    let in_step = status.wait_for(|status| status.in_step && status.unsent == 0).await?;
    Ok(in_step.clone())
}

/// Nothing waits, nothing was put aside; and what it holds.
async fn look(storage: &Storage, sync: &ContinuousSync, status: &SyncStatus) -> Outcome {
    assert_eq!(status.last_error, None, "{status:?}");
    assert_eq!((status.unsent, status.parked, status.rejected), (0, 0, 0), "{status:?}");
    assert!(status.missing.is_empty(), "{status:?}");
    assert_eq!(storex_sync::parked(storage).await?, []);
    assert_eq!(storex_sync::rejected(storage).await?, []);
    assert_eq!(sync.sync().unsent().await?, 0);
    say(&format!("digest {:?}", sync.sync().digest().await?));
    Ok(())
}
