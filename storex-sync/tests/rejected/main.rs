//! Writes that the shared log refuses for good.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // these are tests
#![allow(missing_docs)]
#![allow(clippy::disallowed_methods)] // the tests own the time

#[path = "../support/mod.rs"]
mod support;

mod behind;
mod edges;
mod histories;
mod retry;
mod states;
mod updates;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use serde_json::{Value as Json, json};
use storex_core::Batch;
use storex_memory::{MemoryBackend, TestRuntime};
use storex_sync::engine::{Action, Next, Round};
use storex_sync::{
    ContinuousSync, Cursor, LogId, Member, MemorySharedLog, Page, Rejected, Result,
    SealedTransaction, SharedSyncLog, SyncError, SyncLog, Trimmed, WriteId, WriteState, rejected,
};
use support::{Device, assert_in_step, count, open, pump, schema, settle, shared_log};

/// A log that refuses some writes.
#[derive(Debug)]
struct Guarded {
    inner: Arc<MemorySharedLog>,
    refused: Mutex<BTreeSet<WriteId>>,
    /// The most bytes of a transaction.
    most: Mutex<usize>,
}

impl Guarded {
    fn new() -> Arc<Self> {
        Arc::new(Self { inner: shared_log(), refused: Mutex::default(), most: usize::MAX.into() })
    }

    fn take_at_most(&self, bytes: usize) {
        *self.most.lock().unwrap() = bytes;
    }

    fn refuse(&self, write: WriteId) {
        self.refused.lock().unwrap().insert(write);
    }

    fn take_all(&self) {
        self.refused.lock().unwrap().clear();
    }
}

fn refusal(write: WriteId, reason: &str, is_too_large: bool) -> SyncError {
    let WriteId { device, sequence } = write;
    SyncError::Rejected { device, sequence, reason: reason.into(), is_too_large }
}

#[async_trait::async_trait]
impl SharedSyncLog for Guarded {
    async fn register(&self, device: storex_sync::Device) -> Result<LogId> {
        self.inner.register(device).await
    }

    async fn append(&self, all: &[SealedTransaction]) -> Result<()> {
        for SealedTransaction { device, sequence, payload } in all {
            let write = WriteId { device: *device, sequence: *sequence };
            let decoded = storex_sync::Transaction::decode(payload);
            let empty = decoded.is_ok_and(|it| it.entries.is_empty());
            if self.refused.lock().unwrap().contains(&write) && !empty {
                return Err(refusal(write, "not yours", false));
            }
            if payload.len() > *self.most.lock().unwrap() {
                return Err(refusal(write, "too large", true));
            }
        }
        self.inner.append(all).await
    }

    async fn read(
        &self,
        reader: storex_sync::Device,
        after: &Cursor,
        limit: usize,
    ) -> Result<Page> {
        self.inner.read(reader, after, limit).await
    }

    async fn acknowledge(&self, reader: storex_sync::Device, cursor: &Cursor) -> Result<()> {
        self.inner.acknowledge(reader, cursor).await
    }

    async fn members(&self) -> Result<Vec<Member>> {
        self.inner.members().await
    }

    async fn dismiss(&self, device: storex_sync::Device) -> Result<bool> {
        self.inner.dismiss(device).await
    }

    async fn reidentify(&self, known: LogId) -> Result<LogId> {
        self.inner.reidentify(known).await
    }

    async fn trim(&self) -> Result<Trimmed> {
        self.inner.trim().await
    }
}

async fn reversible(seed: u64) -> Device {
    reversible_as(seed, SyncLog::new().reversible()).await
}

async fn reversible_as(seed: u64, sync_log: SyncLog) -> Device {
    let (runtime, backend) = (Arc::new(TestRuntime::new(seed)), Arc::new(MemoryBackend::new()));
    let storage = open(&backend, &runtime, schema(), sync_log).await;
    Device { runtime, backend, storage }
}

/// A device that can take back, another one, and what both hold.
async fn two() -> (Device, Device, Arc<Guarded>) {
    let log = Guarded::new();
    let (a, b) = (reversible(1).await, Device::new(2).await);
    a.create("note", json!({"id": "n", "title": "before", "stars": 10})).await;
    a.create("note", json!({"id": "m", "title": "other", "stars": 1})).await;
    a.create("user", json!({"id": "u", "name": "somebody"})).await;
    settle(&[&a, &b], &log).await;
    (a, b, log)
}

/// The last write of the device is refused.
async fn refuse_last(a: &Device, log: &Arc<Guarded>) -> WriteId {
    let write = a.join(log).await.last_write().await.unwrap().unwrap();
    log.refuse(write);
    write
}

async fn stars(device: &Device) -> Json {
    device.get("note", "n").await.unwrap()["stars"].clone()
}

async fn in_step_without(a: &Device, b: &Device, log: &Arc<Guarded>, write: WriteId) -> Rejected {
    let report = a.sync(log).await;
    let told: Vec<WriteId> = report.rejected.iter().map(|it| it.write).collect();
    assert!(told.contains(&write), "{told:?}");
    settle(&[a, b], log).await;
    assert_in_step(&[a, b]).await;
    assert_eq!(count(a, "_storex_before").await, 0, "nothing is kept of what is sent");
    assert_eq!(count(a, "_storex_log").await, 0, "nothing holds up the others");
    let rejected = rejected(&a.storage).await.unwrap();
    let one = rejected.into_iter().find(|it| it.write == write).expect("it is listed");
    assert!(one.is_reverted);
    one
}

async fn write(a: &Device, kind: &str) {
    let it = || json!({"id": "n"});
    match kind {
        "create" => a.note("new", "refused").await,
        "update" => a.retitle("n", "refused").await,
        "delete" => a.delete("note", it()).await,
        "increment" => a.update("note", it(), json!({"stars": {"$inc": 5}})).await,
        _ => a.update("note", json!({}), json!({"body": "refused"})).await,
    }
}

#[tokio::test(start_paused = true)]
async fn c59_what_is_refused_is_taken_back_and_told() {
    for kind in ["create", "update", "delete", "increment", "many"] {
        let (a, b, log) = two().await;
        write(&a, kind).await;
        let refused = refuse_last(&a, &log).await;
        b.note("b", "goes on").await;
        b.sync(&log).await;
        a.note("a", "goes on").await;
        let one = in_step_without(&a, &b, &log, refused).await;
        assert_eq!(one.reason, "not yours", "{kind}");
        assert_eq!(a.title("n").await.as_deref(), Some("before"), "{kind}");
        assert_eq!((stars(&a).await, a.title("new").await), (json!(10), None), "{kind}");
        assert!(b.title("a").await.is_some() && a.title("b").await.is_some(), "{kind}");
        let sync = a.join(&log).await;
        assert_eq!(sync.write_state(refused).await.unwrap(), WriteState::Rejected, "{kind}");
    }
}

#[tokio::test(start_paused = true)]
async fn c59_a_batch_is_refused_whole() {
    let (a, b, log) = two().await;
    a.storage
        .execute(
            Batch::new()
                .step(storex_core::Step::Update {
                    collection: "user".into(),
                    filter: storex_core::Filter::All,
                    changes: storex_core::Changes::new().set("name", "refused"),
                })
                .step(storex_core::Step::Delete {
                    collection: "note".into(),
                    filter: storex_core::Filter::All,
                }),
        )
        .await
        .unwrap();
    let refused = refuse_last(&a, &log).await;
    in_step_without(&a, &b, &log, refused).await;
    assert_eq!((count(&a, "note").await, count(&b, "note").await), (2, 2));
    assert_eq!(a.get("user", "u").await.unwrap()["name"], "somebody");
}

/// It would be seen nowhere: here it had lost, and there the winner never came.
#[tokio::test(start_paused = true)]
async fn c59_what_has_lost_against_it_comes_back() {
    for deletes in [false, true] {
        let (a, b, log) = two().await;
        b.retitle("n", "of B").await;
        b.update("note", json!({"id": "n"}), json!({"stars": {"$inc": 1}})).await;
        b.sync(&log).await;
        a.runtime.advance(60_000);
        if deletes {
            a.delete("note", json!({"id": "n"})).await;
        } else {
            a.update("note", json!({"id": "n"}), json!({"title": "refused", "stars": 99})).await;
        }
        let refused = refuse_last(&a, &log).await;
        a.join(&log).await.receive_once().await.unwrap();
        assert_ne!(a.title("n").await.as_deref(), Some("of B"), "it has lost");
        in_step_without(&a, &b, &log, refused).await;
        assert_eq!(a.title("n").await.as_deref(), Some("of B"), "{deletes}");
        assert_eq!(stars(&a).await, 11, "{deletes}");
    }
}

#[tokio::test(start_paused = true)]
async fn c59_what_was_written_later_stays() {
    let (a, b, log) = two().await;
    a.update("note", json!({"id": "n"}), json!({"title": "refused", "body": "refused"})).await;
    let refused = refuse_last(&a, &log).await;
    a.retitle("n", "later").await;
    a.update("note", json!({"id": "n"}), json!({"stars": {"$inc": 1}})).await;
    in_step_without(&a, &b, &log, refused).await;
    let note = b.get("note", "n").await.unwrap();
    assert_eq!(
        (&note["title"], &note["body"], &note["stars"]),
        (&json!("later"), &Json::Null, &json!(11))
    );
}

#[tokio::test(start_paused = true)]
async fn c59_of_increments_only_the_refused_one_goes() {
    let (a, b, log) = two().await;
    for by in [1, 2, 4] {
        a.update("note", json!({"id": "n"}), json!({"stars": {"$inc": by}})).await;
        if by == 2 {
            refuse_last(&a, &log).await;
        }
    }
    b.update("note", json!({"id": "n"}), json!({"stars": {"$inc": 100}})).await;
    b.sync(&log).await;
    a.sync(&log).await;
    settle(&[&a, &b], &log).await;
    assert_eq!((stars(&a).await, stars(&b).await), (json!(115), json!(115)));
    a.update("note", json!({"id": "n"}), json!({"stars": {"$inc": 1}})).await;
    settle(&[&a, &b], &log).await;
    assert_eq!(
        (stars(&a).await, stars(&b).await),
        (json!(116), json!(116)),
        "nor does it come later"
    );
}

/// An update of what was refused, and an increment of a number that a refused write has set, mean nothing without it.
#[tokio::test(start_paused = true)]
async fn c59_what_builds_on_it_goes_with_it() {
    let (a, b, log) = two().await;
    a.note("new", "refused").await;
    let refused = refuse_last(&a, &log).await;
    a.retitle("new", "goes with it").await;
    let with_it = a.join(&log).await.last_write().await.unwrap().unwrap();
    a.note("a", "goes on").await;
    in_step_without(&a, &b, &log, refused).await;
    let all = rejected(&a.storage).await.unwrap();
    assert_eq!(all.iter().map(|it| it.write).collect::<Vec<_>>(), [refused, with_it]);
    assert!(all[1].reason.contains("not yours"), "{}", all[1].reason);
    assert_eq!((a.title("new").await, b.title("a").await.is_some()), (None, true));

    let (a, b, log) = two().await;
    a.update("note", json!({"id": "n"}), json!({"stars": 50})).await;
    let refused = refuse_last(&a, &log).await;
    a.update("note", json!({"id": "n"}), json!({"stars": {"$inc": 1}})).await;
    in_step_without(&a, &b, &log, refused).await;
    assert_eq!(stars(&b).await, 10);
}

#[tokio::test(start_paused = true)]
async fn c59_it_is_listed_after_a_restart_and_can_be_written_again() {
    let (a, b, log) = two().await;
    a.create("note", json!({"id": "new", "title": "refused", "stars": 3})).await;
    let create = refuse_last(&a, &log).await;
    a.update("note", json!({"id": "n"}), json!({"title": "refused", "stars": {"$inc": 5}})).await;
    let update = refuse_last(&a, &log).await;
    a.delete("note", json!({"id": "m"})).await;
    let delete = refuse_last(&a, &log).await;
    in_step_without(&a, &b, &log, create).await;
    assert_eq!(count(&b, "note").await, 2);
    let a = a.reopened(schema()).await;
    let listed = rejected(&a.storage).await.unwrap();
    assert_eq!(listed.iter().map(|it| it.write).collect::<Vec<_>>(), [create, update, delete]);
    let sync = a.join(&log).await;
    for write in [create, update, delete] {
        sync.retry_rejected(write).await.unwrap();
    }
    assert_eq!(rejected(&a.storage).await.unwrap(), []);
    settle(&[&a, &b], &log).await;
    assert_in_step(&[&a, &b]).await;
    assert_eq!((b.title("new").await.as_deref(), stars(&b).await), (Some("refused"), json!(15)));
    assert_eq!(b.title("m").await, None);
    let error = sync.retry_rejected(create).await.unwrap_err();
    assert!(matches!(error, SyncError::UnknownWrite { .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn c59_it_can_be_discarded() {
    let (a, b, log) = two().await;
    a.note("new", "refused").await;
    let refused = refuse_last(&a, &log).await;
    let one = in_step_without(&a, &b, &log, refused).await;
    let sync = a.join(&log).await;
    assert_eq!(sync.discard_rejected(refused).await.unwrap(), one);
    assert_eq!(rejected(&a.storage).await.unwrap(), []);
    assert!(sync.discard_rejected(refused).await.is_err());
}

/// The program ends after each step of the exchange.
#[tokio::test(start_paused = true)]
async fn c59_a_crash_in_between_changes_nothing() {
    let mut cuts = 0;
    for steps in 0.. {
        let (a, b, log) = two().await;
        a.retitle("n", "refused").await;
        let refused = refuse_last(&a, &log).await;
        a.note("a", "goes on").await;
        let sync = a.join(&log).await;
        let turn = sync.turn().await.unwrap();
        let (mut round, mut action, mut left) = (Round::new(), Some(Action::ReadPlace), steps);
        while let Some(next) = action.take().filter(|_| left > 0) {
            left -= 1;
            match round.step(sync.perform(&turn, next).await.unwrap()).unwrap() {
                Next::Do(next) => action = Some(next),
                Next::Finished(_) => {}
            }
        }
        drop(turn);
        settle(&[&a, &b], &log).await;
        assert_in_step(&[&a, &b]).await;
        assert_eq!(a.title("n").await.as_deref(), Some("before"), "{steps}");
        assert_eq!(rejected(&a.storage).await.unwrap()[0].write, refused);
        if left > 0 {
            break;
        }
        cuts += 1;
    }
    assert!(cuts > 8, "{cuts}");
}

#[tokio::test(start_paused = true)]
async fn c59_who_waits_for_it_and_who_watches_are_told() {
    let (a, _, log) = two().await;
    let sync = ContinuousSync::start(a.join(&log).await, std::time::Duration::from_secs(1000));
    sync.sync_now().await.unwrap().unwrap();
    sync.pause().await.unwrap();
    a.note("new", "refused").await;
    let refused = refuse_last(&a, &log).await;
    sync.resume().await.unwrap();
    let error = sync.await_synced(refused).await.unwrap_err();
    let SyncError::Rejected { device, sequence, reason, .. } = error.cause() else {
        panic!("{error}")
    };
    assert_eq!(
        (*device, *sequence, reason.as_str()),
        (refused.device, refused.sequence, "not yours")
    );
    let mut status = sync.status();
    status.wait_for(|status| status.in_step && status.rejected == 1).await.unwrap();
    sync.stop().await;
}

/// Without a choice nothing is known of what was before: it is put aside and told, and stays here.
#[tokio::test(start_paused = true)]
async fn c59_what_cannot_be_taken_back_is_told_as_such() {
    let log = Guarded::new();
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    a.note("n", "before").await;
    settle(&[&a, &b], &log).await;
    a.retitle("n", "refused").await;
    let refused = refuse_last(&a, &log).await;
    a.note("a", "goes on").await;
    let report = a.sync(&log).await;
    assert_eq!(report.rejected.len(), 1);
    assert!(!report.rejected[0].is_reverted);
    b.sync(&log).await;
    assert_eq!(
        (a.title("n").await.as_deref(), b.title("n").await.as_deref()),
        (Some("refused"), Some("before"))
    );
    assert!(b.title("a").await.is_some());
    a.join(&log).await.retry_rejected(refused).await.unwrap();
    settle(&[&a, &b], &log).await;
    assert_in_step(&[&a, &b]).await;
    pump(&a, &b).await;
}
