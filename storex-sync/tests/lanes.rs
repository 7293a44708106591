//! [`Lane`]: streams of one storage that do not wait for each other.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // these are tests
#![allow(clippy::disallowed_methods)] // the tests own the time
#![allow(missing_docs)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use storex_core::{
    AutoPk, Batch, Changes, Context, Error, ErrorKind, Filter, Middleware, Next, Operation,
    Outcome, Query, RegistryBuilder, Step, Storage, StorageBuilder, Timestamp,
};
use storex_memory::{MemoryBackend, TestRuntime};
use storex_sync::engine::{self, Action, Round};
use storex_sync::{
    ConflictJournal, ConflictQuery, ContinuousSync, Exclusive, InitialSync, Lane, LeaseTimes,
    MemoryChannel, MemorySharedLog, Phase, RelationRule, SharedSyncLog, Sync, SyncError, SyncLog,
};
use support::log::{Call, Fault, ScriptedLog};
use support::{
    Device, another_log, assert_in_step, count, dump, larger_schema, schema, shared_log,
};
use tokio::time::{Instant, sleep};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// `sample` stands for what is bulky.
fn lanes() -> SyncLog {
    SyncLog::new().lane("bulk", ["sample"])
}

fn builder(
    backend: &Arc<MemoryBackend>,
    runtime: &Arc<TestRuntime>,
    schema: RegistryBuilder,
    log: SyncLog,
) -> StorageBuilder {
    let registry = schema.build().unwrap();
    Storage::builder(Arc::clone(backend), registry, Arc::clone(runtime) as _)
        .middleware(AutoPk::new())
        .middleware(log)
}

async fn device(seed: u64) -> Device {
    let (runtime, backend) = (Arc::new(TestRuntime::new(seed)), Arc::new(MemoryBackend::new()));
    let storage = builder(&backend, &runtime, schema(), lanes()).open().await.unwrap();
    Device { runtime, backend, storage }
}

/// Opens it once more, otherwise.
async fn reopened(device: &Device, log: SyncLog) -> storex_core::Result<Storage> {
    builder(&device.backend, &device.runtime, larger_schema(), log).open().await
}

fn bulk(device: &Device) -> Lane {
    Lane::named(&device.storage, "bulk").unwrap()
}

async fn join_bulk(device: &Device, log: &Arc<impl storex_sync::SharedSyncLog>) -> Sync {
    Sync::open(&bulk(device), Arc::clone(log) as _).await.unwrap()
}

/// The two logs, one for each lane.
fn logs() -> (Arc<MemorySharedLog>, Arc<MemorySharedLog>) {
    (shared_log(), another_log())
}

/// Two exchanges of each lane of everybody.
async fn settle(devices: &[&Device], logs: &(Arc<MemorySharedLog>, Arc<MemorySharedLog>)) {
    support::settle(devices, &logs.0).await;
    for device in devices.iter().chain(devices) {
        join_bulk(device, &logs.1).await.sync_once().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn c37_a_lane_that_is_stuck_delays_no_other() {
    let (urgent_log, bulk_log) = logs();
    let stuck = ScriptedLog::new(&bulk_log);
    let (a, b) = (device(1).await, device(2).await);
    let urgent_a = ContinuousSync::start(a.join(&urgent_log).await, 10 * MINUTE);
    let urgent_b = ContinuousSync::start(b.join(&urgent_log).await, 10 * MINUTE);
    let bulk_b = ContinuousSync::start(join_bulk(&b, &bulk_log).await, 10 * MINUTE);
    let bulk_a = ContinuousSync::start(join_bulk(&a, &stuck).await, 10 * MINUTE);
    sleep(SECOND).await;

    stuck.script(Call::Append, [Fault::Delay(MINUTE)]);
    a.create("sample", json!({"id": "big", "text": "bulky"})).await;
    sleep(SECOND).await;
    assert_eq!(bulk_a.status().borrow().phase, Phase::Sending, "it is stuck");
    for n in 0..5 {
        let written = Instant::now();
        a.note(&format!("n{n}"), "urgent").await;
        while b.title(&format!("n{n}")).await.is_none() {
            assert!(written.elapsed() < SECOND, "{n}: it waits for the other lane");
            sleep(Duration::from_millis(10)).await;
        }
    }
    assert!(b.get("sample", "big").await.is_none());

    // The lane is begun anew.
    drop(bulk_a);
    let rounds = urgent_a.status().borrow().rounds;
    let bulk_a = ContinuousSync::start(join_bulk(&a, &bulk_log).await, 10 * MINUTE);
    sleep(SECOND).await;
    assert!(b.get("sample", "big").await.is_some());
    assert_eq!(
        urgent_a.status().borrow().rounds,
        rounds,
        "the other lane has nothing to do with it"
    );
    assert_in_step(&[&a, &b]).await;
    for sync in [urgent_a, urgent_b, bulk_a, bulk_b] {
        sync.stop().await;
    }
}

/// What is written to one lane wakes only that one, and only that one's status tells of it.
#[tokio::test(start_paused = true)]
async fn c37_each_lane_has_a_status_a_pause_and_a_lock_of_its_own() {
    let (urgent_log, bulk_log) = logs();
    let (a, b) = (device(1).await, device(2).await);
    let times = LeaseTimes::default();
    let urgent_lock = Exclusive::lease(&a.storage, times).await.unwrap();
    let bulk_lock = Exclusive::lease(&bulk(&a), times).await.unwrap();
    let elsewhere = Exclusive::lease(&bulk(&a), times).await.unwrap();
    let held = elsewhere.try_acquire().await.unwrap().unwrap();

    let sync = a.join(&urgent_log).await.exclusive(urgent_lock);
    let urgent = ContinuousSync::start(sync, 10 * MINUTE);
    let sync = join_bulk(&a, &bulk_log).await.exclusive(bulk_lock);
    a.note("n", "of the urgent lane").await;
    a.create("sample", json!({"id": "s", "text": "bulky"})).await;
    assert!(matches!(sync.sync_once().await, Err(SyncError::HeldElsewhere)));
    sleep(SECOND).await;
    let status = urgent.status().borrow().clone();
    assert_eq!((status.unsent, status.in_step), (0, true), "that one has sent its own");
    assert_eq!(sync.unsent().await.unwrap(), 1);
    held.release().await.unwrap();

    urgent.pause().await.unwrap();
    assert_eq!(sync.sync_once().await.unwrap().sent_transactions, 1, "the other one is not paused");
    a.note("m", "waits").await;
    sleep(MINUTE).await;
    assert_eq!(urgent.status().borrow().phase, Phase::Paused);
    urgent.resume().await.unwrap();
    sleep(SECOND).await;
    settle(&[&b], &(urgent_log, bulk_log)).await;
    assert_in_step(&[&a, &b]).await;
    urgent.stop().await;
}

#[tokio::test]
async fn a_batch_over_two_lanes_is_logged_in_each() {
    let logs = logs();
    let (a, b) = (device(1).await, device(2).await);
    let mut together = Batch::new();
    for (collection, object) in
        [("note", json!({"id": "n", "title": "x"})), ("sample", json!({"id": "s"}))]
    {
        let schema = a.storage.registry().collection(collection).unwrap();
        let object = object.as_object().unwrap();
        let record = schema.record_from_json(Timestamp(0), object).unwrap();
        together = together.create(collection, vec![record]);
    }
    let outcome = a.storage.execute(together.clone()).await.unwrap();
    assert_eq!(outcome.executed().len(), 2, "what the log has added is not told");
    assert_eq!((count(&a, "_storex_log").await, count(&a, "_storex_log_bulk").await), (1, 1));
    let before = support::dump_all(&a).await;
    let refused = a.storage.execute(together).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    assert_eq!(support::dump_all(&a).await, before, "none of the lanes has logged anything");
    settle(&[&a, &b], &logs).await;
    assert_in_step(&[&a, &b]).await;
    assert_eq!(dump(&b).await["sample"].len(), 1);
    assert_eq!((logs.0.len(), logs.1.len()), (1, 1));
}

/// A delete in one lane takes objects of another lane with it: each is logged where it belongs.
#[tokio::test]
async fn what_a_delete_takes_with_it_is_logged_in_its_own_lane() {
    let logs = logs();
    let lanes = || SyncLog::new().lane("bulk", ["email"]);
    let mut devices = Vec::new();
    for seed in [1, 2] {
        let (runtime, backend) = (Arc::new(TestRuntime::new(seed)), Arc::default());
        let storage = builder(&backend, &runtime, cascading(), lanes()).open().await.unwrap();
        devices.push(Device { runtime, backend, storage });
    }
    let (a, b) = (&devices[0], &devices[1]);
    a.create("user", json!({"id": "u", "name": "Ada"})).await;
    a.create("email", json!({"id": "e", "address": "a@b.c", "user": "u"})).await;
    settle(&[a, b], &logs).await;
    assert_in_step(&[a, b]).await;
    a.delete("user", json!({"id": "u"})).await;
    assert_eq!((count(a, "_storex_log").await, count(a, "_storex_log_bulk").await), (1, 1));
    assert_eq!(count(a, "email").await, 0);
    settle(&[a, b], &logs).await;
    assert_in_step(&[a, b]).await;
    assert_eq!((count(b, "user").await, count(b, "email").await), (0, 0));
}

fn cascading() -> RegistryBuilder {
    use storex_core::{Definition, FieldType, OnDelete, Registry, RelationDefinition};
    let user = Definition::new("user").field("name", FieldType::String);
    let relation = RelationDefinition::child_of("user").on_delete(OnDelete::Cascade);
    let email = Definition::new("email").field("address", FieldType::String).relation(relation);
    Registry::builder().collections([user, email])
}

/// An object may come before what it points to, and does not wait.
#[tokio::test]
async fn a_relation_from_lane_to_lane_holds_nothing_up() {
    let (urgent, bulky) = logs();
    let lanes = || SyncLog::new().lane("bulk", ["email"]);
    let open = async |seed| {
        let (runtime, backend) = (Arc::new(TestRuntime::new(seed)), Arc::default());
        let storage = builder(&backend, &runtime, schema(), lanes()).open().await.unwrap();
        Device { runtime, backend, storage }
    };
    let (a, b) = (open(1).await, open(2).await);
    a.create("user", json!({"id": "u", "name": "Ada"})).await;
    a.create("email", json!({"id": "e", "address": "a@b.c", "user": "u"})).await;
    for device in [&a, &b] {
        let report = join_bulk(device, &bulky).await.sync_once().await.unwrap();
        assert_eq!(report.received.parked, 0);
    }
    assert_eq!((count(&b, "user").await, count(&b, "email").await), (0, 1));
    support::settle(&[&a, &b], &urgent).await;
    assert_in_step(&[&a, &b]).await;
}

#[tokio::test]
async fn parked_and_conflicting_writes_are_those_of_the_lane() {
    let logs = logs();
    let (a, b) = (device(1).await, device(2).await);
    a.create("sample", json!({"id": "s", "text": "first"})).await;
    settle(&[&a, &b], &logs).await;
    a.update("sample", json!({"id": "s"}), json!({"text": "of A"})).await;
    b.update("sample", json!({"id": "s"}), json!({"text": "of B"})).await;
    settle(&[&a, &b], &logs).await;
    assert_in_step(&[&a, &b]).await;
    let mut noted = 0;
    for device in [&a, &b] {
        let usual = ConflictJournal::open(&device.storage).await.unwrap();
        assert_eq!(usual.list(&ConflictQuery::new()).await.unwrap(), []);
        let of_lane = ConflictJournal::open(&bulk(device)).await.unwrap();
        for conflict in of_lane.list(&ConflictQuery::new()).await.unwrap() {
            noted += 1;
            of_lane.undo(conflict.id).await.unwrap();
            assert_eq!(count(device, "_storex_log").await, 0);
            assert_eq!(
                count(device, "_storex_log_bulk").await,
                1,
                "undoing is a write of the lane"
            );
        }
    }
    assert!(noted > 0);
    settle(&[&a, &b], &logs).await;
    assert_in_step(&[&a, &b]).await;
    assert_eq!(storex_sync::parked(&bulk(&a)).await.unwrap(), []);
}

#[tokio::test]
async fn an_initial_sync_brings_one_lane() {
    let logs = logs();
    let (a, b) = (device(1).await, device(2).await);
    a.note("n", "of the other lane").await;
    a.create("sample", json!({"id": "s", "text": "bulky"})).await;
    let (mut here, mut there) = MemoryChannel::pair();
    let sender = InitialSync::open(&bulk(&a)).await.unwrap();
    let receiver = InitialSync::open(&bulk(&b)).await.unwrap();
    let (sent, received) = tokio::join!(sender.send(&mut here), receiver.receive(&mut there));
    sent.unwrap();
    assert_eq!(received.unwrap().total(), 1);
    assert_eq!((count(&b, "note").await, count(&b, "sample").await), (0, 1));
    settle(&[&a, &b], &logs).await;
    assert_in_step(&[&a, &b]).await;
}

/// A log of a lane that somebody joins with the wrong one brings nothing that is not the lane's; the right one has to wait until
/// that is mended.
#[tokio::test]
async fn a_lane_takes_only_what_is_its_own() {
    let log = shared_log();
    let (a, b) = (device(1).await, device(2).await);
    a.note("n", "not of the lane").await;
    a.sync(&log).await;
    let report = join_bulk(&b, &log).await.sync_once().await.unwrap();
    assert_eq!(report.received.entries, 0);
    assert_eq!(count(&b, "note").await, 0);
    let error = b.join(&log).await.sync_once().await.unwrap_err();
    assert!(matches!(&error, SyncError::LogOfAnotherLane { lane } if lane == "bulk"), "{error}");
    join_bulk(&b, &another_log()).await.sync_once().await.unwrap();
    support::settle(&[&a, &b], &log).await;
    assert_in_step(&[&a, &b]).await;
}

#[tokio::test]
async fn lanes_that_cannot_be_are_refused_when_the_storage_is_opened() {
    let new = || async { (Arc::new(TestRuntime::new(1)), Arc::new(MemoryBackend::new())) };
    let cases = [
        (SyncLog::new().lane("Bulk", ["sample"]), "a to z"),
        (SyncLog::new().lane("", ["sample"]), "a to z"),
        (SyncLog::new().lane("bulk", ["sampel"]), "sampel"),
        (SyncLog::new().lane("bulk", ["sample"]).lane("other", ["sample"]), "two lanes"),
        (SyncLog::new().lane("bulk", ["sample"]).local_only(["sample"]), "local only"),
        (SyncLog::new().lane("bulk", ["_storex_meta"]), "in no lane"),
        (
            SyncLog::new().lane("bulk", ["email"]).on_relation(
                "email",
                ["user"],
                RelationRule::DeleteChild,
            ),
            "another lane",
        ),
    ];
    for (log, why) in cases {
        let (runtime, backend) = new().await;
        let error = builder(&backend, &runtime, schema(), log).open().await.unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
    }
    let device = device(1).await;
    let error = Lane::named(&device.storage, "bluk").unwrap_err();
    assert!(matches!(error, SyncError::UnknownLane { .. }) && error.to_string().contains("bluk"));
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

/// What is known of a collection is in its lane; nothing is lost by a program that makes other ones.
#[tokio::test]
async fn a_collection_stays_in_its_lane() {
    let device = device(1).await;
    device.create("sample", json!({"id": "s"})).await;
    let refused = async |log: SyncLog, why: &str| {
        // A backend in memory loses what it holds when it is closed, as it is after a refusal.
        let copy = Device { backend: Arc::new(device.backend.copied()), ..device.clone() };
        let error = reopened(&copy, log).await.map(drop).unwrap_err();
        assert!(matches!(error, Error::InvalidOperation { .. }), "{error}");
        assert!(error.to_string().contains(why), "{error}");
    };
    refused(SyncLog::new(), "`bulk` and cannot be moved to no lane").await;
    refused(SyncLog::new().lane("other", ["sample"]), "moved to the lane `other`").await;
    refused(lanes().lane("bulk", ["note"]), "in no lane and cannot be moved").await;
    // One that is new may be in any, and one that is not kept in step any more is in none.
    reopened(&device, lanes().lane("other", ["extra"])).await.unwrap();
    refused(lanes().lane("bulk", ["extra"]), "`other` and cannot be moved").await;
    let local = SyncLog::new().lane("other", ["extra"]).local_only(["sample"]);
    let storage = reopened(&device, local).await.unwrap();
    refused(SyncLog::new().lane("other", ["extra"]), "`bulk` and cannot be moved to no lane").await;
    assert_eq!(storage.count(Query::new("sample").filter(Filter::All)).await.unwrap(), 1);
    reopened(&device, lanes().lane("other", ["extra"])).await.unwrap();
}

/// An older program, or a smaller one beside it, does not know a collection that has a lane.
#[tokio::test]
async fn a_program_with_fewer_collections_opens_the_database() {
    let device = device(1).await;
    let storage = reopened(&device, lanes().lane("other", ["extra"])).await.unwrap();
    let extra = json!({"id": "e", "text": "new"});
    storage.dynamic("extra").unwrap().create(extra).await.unwrap();
    let older = builder(&device.backend, &device.runtime, schema(), lanes()).open().await.unwrap();
    older.dynamic("note").unwrap().create(json!({"title": "of the older one"})).await.unwrap();
    let copy = Device { backend: Arc::new(device.backend.copied()), ..device.clone() };
    let error = reopened(&copy, lanes()).await.map(drop).unwrap_err();
    assert!(
        error.to_string().contains("`other` and cannot be moved"),
        "it is not forgotten: {error}"
    );
    let storage = reopened(&device, lanes().lane("other", ["extra"])).await.unwrap();
    let lane = Lane::named(&storage, "other").unwrap();
    let sync = Sync::open(&lane, another_log() as _).await.unwrap();
    assert_eq!(sync.unsent().await.unwrap(), 1);
}

/// A step that comes only while the batch is executed.
#[tokio::test]
async fn what_a_continuation_writes_is_logged_in_its_lane() {
    let (runtime, backend) = (Arc::new(TestRuntime::new(1)), Arc::default());
    let log = SyncLog::new().lane("bulk", ["email"]);
    let storage = builder(&backend, &runtime, cascading(), log).open().await.unwrap();
    let device = Device { runtime, backend, storage };
    device.create("user", json!({"id": "u", "name": "Ada"})).await;
    let email = device.storage.registry().collection("email").unwrap();
    let object = json!({"id": "e", "address": "a@b.c", "user": "u"});
    let record = email.record_from_json(Timestamp(0), object.as_object().unwrap()).unwrap();
    let batch = Batch::new().create("email", vec![record]).then(|_| {
        let changes = Changes::new().set("name", "Lovelace");
        Ok(vec![Step::Update { collection: "user".into(), filter: Filter::key("u"), changes }])
    });
    device.storage.execute(batch).await.unwrap();
    assert_eq!(
        (count(&device, "_storex_log").await, count(&device, "_storex_log_bulk").await),
        (2, 1)
    );
}

/// Adds a step to every batch, past what stands in front of it.
#[derive(Debug)]
struct AddsStep;

#[async_trait]
impl Middleware for AddsStep {
    async fn process(
        &self,
        cx: &mut Context,
        operation: Operation,
        next: Next<'_>,
    ) -> storex_core::Result<Outcome> {
        let operation = match operation {
            Operation::Execute(mut batch) => {
                let changes = Changes::new().set("text", "changed behind the log");
                let filter = Filter::All;
                batch
                    .steps
                    .insert(0, Step::Update { collection: "sample".into(), filter, changes });
                Operation::Execute(batch)
            }
            other => other,
        };
        next.run(cx, operation).await
    }
}

#[tokio::test]
async fn what_no_lane_would_log_is_refused() {
    let a = device(1).await;
    a.create("sample", json!({"id": "s", "text": "before"})).await;
    let registry = schema().build().unwrap();
    let storage = Storage::builder(Arc::clone(&a.backend), registry, Arc::clone(&a.runtime) as _)
        .middleware(lanes())
        .middleware(AddsStep)
        .open()
        .await
        .unwrap();
    let before = support::dump_all(&a).await;
    let note = storage.dynamic("note").unwrap();
    let error = note.create(json!({"id": "n", "title": "x"})).await.unwrap_err();
    assert!(error.to_string().contains("Batch::touching"), "{error}");
    assert_eq!(support::dump_all(&a).await, before);
    storage.dynamic("sample").unwrap().create(json!({"id": "t"})).await.unwrap();
    assert_eq!(count(&a, "_storex_log_bulk").await, 2, "where the lane is named it is logged");
}

#[tokio::test]
async fn a_lock_of_another_lane_is_refused() {
    let a = device(1).await;
    let lock = Exclusive::lease(&a.storage, LeaseTimes::default()).await.unwrap();
    let sync = join_bulk(&a, &another_log()).await.exclusive(lock);
    let error = sync.sync_once().await.unwrap_err();
    assert!(matches!(error, SyncError::LockOfAnotherLane { .. }), "{error}");
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Invalid, false));
}

/// Nothing is sent, and nothing is kept there for it; it goes on with the right one.
#[tokio::test]
async fn a_log_of_another_lane_is_refused() {
    let (urgent_log, bulk_log) = logs();
    let a = device(1).await;
    a.note("n", "x").await;
    a.create("sample", json!({"id": "s", "text": "bulky"})).await;
    a.sync(&urgent_log).await;
    let members = urgent_log.members().await.unwrap();
    let assert_refused = || async {
        let error = join_bulk(&a, &urgent_log).await.sync_once().await.unwrap_err();
        assert!(matches!(&error, SyncError::LogOfAnotherLane { lane } if lane.is_empty()));
        assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Invalid, false));
        assert_eq!((urgent_log.len(), urgent_log.members().await.unwrap()), (1, members.clone()));
    };
    assert_refused().await;
    let sync = join_bulk(&a, &bulk_log).await;
    assert_eq!(sync.sync_once().await.unwrap().sent_transactions, 1);
    assert_refused().await;
    assert_eq!(join_bulk(&a, &bulk_log).await.sync_once().await.unwrap(), Default::default());
    let error = a.join(&bulk_log).await.sync_once().await.unwrap_err();
    assert!(matches!(&error, SyncError::LogOfAnotherLane { lane } if lane == "bulk"), "{error}");
    a.retitle("n", "goes on").await;
    assert_eq!(a.sync(&urgent_log).await.sent_transactions, 1);
}

/// A device whose storage was there before there were lanes.
#[tokio::test]
async fn a_lane_is_added_for_a_collection_that_is_new() {
    let logs = logs();
    let a = Device::new(1).await;
    a.note("n", "before there were lanes").await;
    let with_lane = || SyncLog::new().lane("bulk", ["extra"]);
    let storage = reopened(&a, with_lane()).await.unwrap();
    let a = Device { storage, ..a };
    let (runtime, backend) = (Arc::new(TestRuntime::new(2)), Arc::default());
    let storage = builder(&backend, &runtime, larger_schema(), with_lane()).open().await.unwrap();
    let b = Device { runtime, backend, storage };
    a.create("extra", json!({"id": "e", "text": "new"})).await;
    settle(&[&a, &b], &logs).await;
    assert_in_step(&[&a, &b]).await;
    assert_eq!((count(&b, "note").await, count(&b, "extra").await), (1, 1));
}

/// Two lanes that begin with one log at the same time: whichever is later is refused, and the first goes on.
#[tokio::test]
async fn lanes_that_begin_together_with_one_log_are_not_both_let_in() {
    for bulk_first in [false, true] {
        let log = shared_log();
        let a = device(1).await;
        let (urgent, bulk) = (a.join(&log).await, join_bulk(&a, &log).await);
        let (first, second) = if bulk_first { (&bulk, &urgent) } else { (&urgent, &bulk) };
        let mut stopped = Vec::new();
        for sync in [first, second] {
            let turn = sync.turn().await.unwrap();
            let (mut round, mut action) = (Round::new(), Action::ReadPlace);
            while !matches!(action, Action::SavePlace(_)) {
                let outcome = sync.perform(&turn, action).await.unwrap();
                let engine::Next::Do(next) = round.step(outcome).unwrap() else {
                    panic!("it is through")
                };
                action = next;
            }
            stopped.push((turn, action));
        }
        let (turn, action) = stopped.remove(0);
        first.perform(&turn, action).await.unwrap();
        let (other, action) = stopped.remove(0);
        let error = second.perform(&other, action).await.unwrap_err();
        let name = if bulk_first { "bulk" } else { "" };
        assert!(matches!(&error, SyncError::LogOfAnotherLane { lane } if lane == name), "{error}");
        assert_eq!(log.members().await.unwrap().len(), 1, "nothing is kept for it");
        drop((turn, other));
        first.sync_once().await.unwrap();
        assert!(second.sync_once().await.is_err());
    }
}
