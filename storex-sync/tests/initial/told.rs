//! What the tests of sessions share: events in short words, two sides that run at once.

use std::sync::{Arc, Mutex};

use serde_json::json;
use storex_core::{Definition, FieldType, Registry, RegistryBuilder};
use storex_sync::{
    BothWaysReport, Channel, InitialSync, InitialSyncEvent, InitialSyncReport, MemoryChannel,
    Result, Role,
};

use super::support::{Device, assert_in_step, dump, settle, shared_log};

/// One collection, as in the fixture of the system that we succeed.
pub(crate) fn one_collection() -> RegistryBuilder {
    Registry::builder().collection(Definition::new("note").field("title", FieldType::String))
}

/// A device with one collection and these notes.
pub(crate) async fn device(seed: u64, notes: &[(&str, &str)]) -> Device {
    let device = Device::with(seed, one_collection()).await;
    for (id, title) in notes {
        device.note(id, title).await;
    }
    device
}

/// An initial sync with pages of one row.
pub(crate) async fn row_by_row(device: &Device) -> InitialSync {
    InitialSync::open(&device.storage).await.unwrap().page(1)
}

/// The events of one side, in short words.
#[derive(Debug, Clone, Default)]
pub(crate) struct Told(Arc<Mutex<Vec<String>>>);

impl Told {
    pub(crate) fn listen(&self, sync: InitialSync) -> InitialSync {
        let told = Arc::clone(&self.0);
        sync.on_event(move |event| told.lock().unwrap().push(in_short(event)))
    }

    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    /// Without the progress of this side.
    pub(crate) fn has(&self, event: &str) -> bool {
        self.0.lock().unwrap().iter().any(|told| told == event)
    }
}

fn role(role: Role) -> &'static str {
    match role {
        Role::Sender => "sender",
        Role::Receiver => "receiver",
    }
}

fn in_short(event: &InitialSyncEvent) -> String {
    match event {
        InitialSyncEvent::SchemasDiffer { receiver_lacks, sender_lacks } => {
            let list = |lacks: &[storex_sync::Lack]| {
                lacks.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
            };
            format!("differ: receiver [{}] sender [{}]", list(receiver_lacks), list(sender_lacks))
        }
        InitialSyncEvent::Prepared { role: who, objects, collections } => {
            format!("{} prepared {objects} in {collections}", role(*who))
        }
        InitialSyncEvent::Progress { role: who, done, total, .. } => {
            format!("{} {done}/{total}", role(*who))
        }
        InitialSyncEvent::RoleSwitch { before, after } => {
            format!("{} becomes {}", role(*before), role(*after))
        }
        InitialSyncEvent::Paused => "paused".to_owned(),
        InitialSyncEvent::Resumed => "resumed".to_owned(),
        InitialSyncEvent::Stalled { .. } => "stalled".to_owned(),
        InitialSyncEvent::Finished => "finished".to_owned(),
        other => format!("{other:?}"),
    }
}

/// Calls a function when this side's progress has come so far.
pub(crate) fn at_progress(
    sync: InitialSync,
    at: u64,
    act: impl Fn(&storex_sync::InitialSyncControl) + Send + Sync + 'static,
) -> InitialSync {
    let control = sync.control();
    sync.on_event(move |event| {
        if matches!(event, InitialSyncEvent::Progress { done, total, .. } if *done == at && *total > 0) {
            act(&control);
        }
    })
}

/// One sends and the other receives; whoever is done lets go of its end.
pub(crate) async fn one_way(
    sender: &InitialSync,
    receiver: &InitialSync,
    ends: (impl Channel, impl Channel),
) -> (Result<InitialSyncReport>, Result<InitialSyncReport>) {
    let (mut here, mut there) = ends;
    tokio::join!(
        async move {
            let sent = sender.send(&mut here).await;
            drop(here);
            sent
        },
        async move {
            let received = receiver.receive(&mut there).await;
            drop(there);
            received
        },
    )
}

/// Both ways; whoever is done lets go of its end.
pub(crate) async fn both_ways(
    one: &InitialSync,
    other: &InitialSync,
    ends: (impl Channel, impl Channel),
) -> (Result<BothWaysReport>, Result<BothWaysReport>) {
    let (mut here, mut there) = ends;
    tokio::join!(
        async move {
            let report = one.both_ways(&mut here).await;
            drop(here);
            report
        },
        async move {
            let report = other.both_ways(&mut there).await;
            drop(there);
            report
        },
    )
}

/// Runs beside the test.
#[allow(clippy::disallowed_methods)] // whose runtime is none of a device's
pub(crate) fn beside<T: Send + 'static>(
    task: impl Future<Output = T> + Send + 'static,
) -> tokio::task::JoinHandle<T> {
    tokio::spawn(task)
}

/// A device with rows, tombstones, and something that is parked.
pub(crate) async fn furnished(seed: u64, prefix: &str) -> Device {
    let device = Device::new(seed).await;
    for n in 0..5 {
        device.note(&format!("{prefix}{n}"), "x").await;
        device.create("tag", json!({"owner": seed * 10 + n, "name": "t"})).await;
    }
    device.delete("note", json!({"id": format!("{prefix}1")})).await;
    device
}

pub(crate) async fn opened(device: &Device) -> InitialSync {
    InitialSync::open(&device.storage).await.unwrap().page(2)
}

/// Two devices of which each has something.
pub(crate) async fn two() -> (Device, Device) {
    let (a, b) = (furnished(1, "a").await, furnished(2, "b").await);
    a.note("both", "A").await;
    b.runtime.advance(1000);
    b.note("both", "B").await;
    (a, b)
}

/// An undisturbed run brings them together, and a log has nothing to add.
pub(crate) async fn completed(a: &Device, b: &Device, when: &str) {
    let (x, y) = both_ways(&opened(a).await, &opened(b).await, MemoryChannel::pair()).await;
    x.unwrap();
    y.unwrap();
    assert_eq!(dump(a).await, dump(b).await, "{when}");
    let log = shared_log();
    settle(&[a, b], &log).await;
    assert_in_step(&[a, b]).await;
    assert_eq!(a.title("both").await.as_deref(), Some("B"), "{when}");
}
