//! What an application says to what is sent, received, applied and merged.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::sync::{Arc, Mutex};

use serde_json::json;
use storex_core::Value;
use storex_memory::{MemoryBackend, TestRuntime};
use storex_sync::{
    Conflict, ConflictJournal, ConflictQuery, Content, Decision, EntryKind, InitialSync,
    MemoryChannel, ObjectWrite, PassingEntry, SharedSyncLog, SyncHooks, SyncLog, Verdict,
    WrittenAs,
};
use support::log::{Call, Fault, ScriptedLog};
use support::{Device, assert_in_step, dump, open, parked_count, schema, settle, shared_log};

async fn with(seed: u64, hooks: impl SyncHooks) -> Device {
    let (runtime, backend) = (Arc::new(TestRuntime::new(seed)), Arc::new(MemoryBackend::new()));
    let storage = open(&backend, &runtime, schema(), SyncLog::new().hooks(hooks)).await;
    Device { runtime, backend, storage }
}

// ---- Sending and receiving --------------------------------------------------------------------------------------------

/// Keeps notes about "secret" things to itself, and sends no body.
#[derive(Debug)]
struct Discreet;

impl Discreet {
    fn look(entry: &mut PassingEntry<'_>) -> Verdict {
        if entry.key.as_text().is_some_and(|key| key.starts_with("secret")) {
            return Verdict::Drop;
        }
        if entry.value("body").is_some_and(|body| !body.is_null()) {
            assert!(entry.set("body", "(hidden)"));
        }
        assert!(!entry.set("nothing", 1));
        Verdict::Pass
    }
}

impl SyncHooks for Discreet {
    fn before_send(&self, entry: &mut PassingEntry<'_>) -> Verdict {
        Self::look(entry)
    }
}

/// The same at the other end.
#[derive(Debug)]
struct Deaf;

impl SyncHooks for Deaf {
    fn after_receive(&self, entry: &mut PassingEntry<'_>) -> Verdict {
        Discreet::look(entry)
    }
}

async fn write_secrets(a: &Device) {
    a.note("secret", "one").await;
    a.create("note", json!({"id": "n", "title": "open", "body": "private"})).await;
    let notes = a.storage.dynamic("note").unwrap();
    // In one transaction, the secret in the middle.
    let all = [
        json!({"id": "m", "title": "m"}),
        json!({"id": "secret 2", "title": "s"}),
        json!({"id": "o", "title": "o"}),
    ];
    notes.create_many(&all).await.unwrap();
    a.retitle("secret", "changed").await;
    a.retitle("n", "retitled").await;
    a.delete("note", json!({"id": "secret"})).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_dropped_is_never_sent_and_numbers_stay_dense() {
    let log = shared_log();
    let (a, b) = (with(1, Discreet).await, Device::new(2).await);
    write_secrets(&a).await;
    let sent = a.sync(&log).await;
    assert_eq!(sent.sent_transactions, 6);
    let page = log
        .read(b.join(&log).await.device().await.unwrap(), &Default::default(), usize::MAX)
        .await
        .unwrap();
    let numbers: Vec<u64> = page.transactions.iter().map(|it| it.sequence).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6]);
    for it in &page.transactions {
        let bytes = String::from_utf8_lossy(&it.payload);
        assert!(!bytes.contains("secret") && !bytes.contains("private"), "{bytes}");
    }
    b.sync(&log).await;
    assert_eq!(parked_count(&b).await, 0);
    let keys: Vec<Value> = dump(&b).await["note"].iter().map(|row| row.get(0).clone()).collect();
    assert_eq!(keys, ["m", "n", "o"].map(Value::from));
    let note = b.get("note", "n").await.unwrap();
    assert_eq!((&note["title"], &note["body"]), (&json!("retitled"), &json!("(hidden)")));
    // What stands behind a dropped entry has kept its stamp: a later edit elsewhere wins, and comes back.
    b.retitle("o", "by b").await;
    settle(&[&a, &b], &log).await;
    assert_eq!(a.title("o").await.as_deref(), Some("by b"));
    assert_eq!(a.get("note", "n").await.unwrap()["body"], "private");
}

#[tokio::test(start_paused = true)]
async fn what_is_dropped_on_arrival_counts_as_applied() {
    let log = shared_log();
    let (a, b) = (Device::new(1).await, with(2, Deaf).await);
    write_secrets(&a).await;
    a.sync(&log).await;
    let report = b.sync(&log).await;
    assert_eq!((report.received.transactions, report.received.parked), (6, 0));
    let keys: Vec<Value> = dump(&b).await["note"].iter().map(|row| row.get(0).clone()).collect();
    assert_eq!(keys, ["m", "n", "o"].map(Value::from));
    assert_eq!(b.get("note", "n").await.unwrap()["body"], "(hidden)");
    assert!(b.sync(&log).await.is_idle());
}

// ---- Applying -----------------------------------------------------------------------------------------------------------

/// Notes what is written, and refuses titles that begin with "bad".
#[derive(Debug, Default)]
struct Judge(Arc<Mutex<Vec<String>>>);

impl SyncHooks for Judge {
    fn before_apply(&self, write: &ObjectWrite<'_>) -> Result<(), String> {
        let title = match &write.change {
            WrittenAs::Whole(record) => Some(record.get(1)),
            WrittenAs::Fields(fields) => {
                fields.iter().find(|(name, _)| &***name == "title").map(|(_, value)| *value)
            }
            WrittenAs::Deleted => None,
        };
        let what = match &write.change {
            WrittenAs::Whole(_) => "whole",
            WrittenAs::Fields(_) => "fields",
            WrittenAs::Deleted => "deleted",
        };
        self.0.lock().unwrap().push(format!("{} {what}", write.key));
        match title.and_then(Value::as_text) {
            Some(title) if title.starts_with("bad") => Err("it is bad".to_owned()),
            _ => Ok(()),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_application_refuses_is_parked_and_holds_up_nothing() {
    let log = shared_log();
    let seen = Arc::<Mutex<Vec<String>>>::default();
    let (a, b) = (Device::new(1).await, with(2, Judge(Arc::clone(&seen))).await);
    a.note("n", "good").await;
    a.sync(&log).await;
    b.sync(&log).await;
    a.note("x", "bad from the beginning").await;
    a.retitle("n", "better").await;
    a.note("m", "good").await;
    a.delete("note", json!({"id": "m"})).await;
    a.sync(&log).await;
    let report = b.sync(&log).await;
    assert_eq!((report.received.transactions, report.received.parked), (3, 1));
    let parked = storex_sync::parked(&b.storage).await.unwrap();
    assert!(
        parked[0].reason.contains("it is bad") && parked[0].reason.contains("`note`"),
        "{}",
        parked[0].reason
    );
    assert_eq!(b.title("n").await.as_deref(), Some("better"));
    assert_eq!(b.get("note", "x").await, None);
    let all = seen.lock().unwrap().clone();
    for expected in ["whole", "fields", "deleted"] {
        assert!(all.iter().any(|it| it.ends_with(expected)), "{all:?}");
    }
    // Initial sync goes on without it.
    let c = with(3, Judge::default()).await;
    let (mut here, mut there) = MemoryChannel::pair();
    let sender = InitialSync::open(&a.storage).await.unwrap();
    let receiver = InitialSync::open(&c.storage).await.unwrap();
    let (_, received) = tokio::join!(sender.send(&mut here), receiver.receive(&mut there));
    assert_eq!(received.unwrap().parked, 1);
    let parked = storex_sync::parked(&c.storage).await.unwrap();
    assert_eq!(parked.len(), 1);
    assert!(parked[0].reason.contains("it is bad"), "{}", parked[0].reason);
}

// ---- Deciding -----------------------------------------------------------------------------------------------------------

/// Decides in one way, and counts how often it is asked.
#[derive(Debug, Clone)]
struct Decider {
    decision: Option<Decision>,
    asked: Arc<Mutex<Vec<Conflict>>>,
}

impl Decider {
    fn new(decision: impl Into<Option<Decision>>) -> Self {
        Self { decision: decision.into(), asked: Arc::default() }
    }

    fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

impl SyncHooks for Decider {
    fn on_conflict(&self, conflict: &Conflict) -> Decision {
        self.asked.lock().unwrap().push(conflict.clone());
        self.decision.clone().unwrap_or_else(|| {
            // Both texts, whoever has won.
            let texts = [&conflict.won, &conflict.lost].map(|it| match &it.content {
                Content::Value(Value::Text(text)) => text.clone(),
                other => panic!("{other:?}"),
            });
            let mut texts = texts.to_vec();
            texts.sort();
            Decision::Replace(Value::from(texts.join(" & ")))
        })
    }
}

/// Everybody exchanges until nobody has anything to say.
async fn quiet(devices: &[&Device], log: &Arc<storex_sync::MemorySharedLog>) -> usize {
    for round in 0..20 {
        let mut idle = true;
        for device in devices {
            idle &= device.sync(log).await.is_idle();
        }
        if idle {
            return round;
        }
    }
    panic!("they answer each other for ever");
}

async fn conflict(decisions: [Option<Decision>; 2]) -> (Device, Device, [Decider; 2], String) {
    let log = shared_log();
    let deciders = decisions.map(Decider::new);
    let (a, b) = (with(1, deciders[0].clone()).await, with(2, deciders[1].clone()).await);
    b.runtime.advance(5_000);
    a.note("n", "before").await;
    quiet(&[&a, &b], &log).await;
    a.retitle("n", "from a").await;
    b.retitle("n", "from b").await;
    quiet(&[&a, &b], &log).await;
    assert_in_step(&[&a, &b]).await;
    let title = a.title("n").await.unwrap();
    (a, b, deciders, title)
}

#[tokio::test(start_paused = true)]
async fn the_device_that_lost_is_asked_once_and_its_decision_reaches_everybody() {
    for (decision, expected, left) in [
        (Some(Decision::Leave), "from b", 1),
        (Some(Decision::Restore), "from a", 0),
        (Some(Decision::Replace("other".into())), "other", 0),
        (None, "from a & from b", 0),
        // What does not fit the field is passed over.
        (Some(Decision::Replace(5.into())), "from b", 1),
    ] {
        let (a, _, deciders, title) = conflict([decision.clone(), decision]).await;
        assert_eq!(title, expected);
        assert_eq!((deciders[0].asked(), deciders[1].asked()), (1, 0));
        let asked = deciders[0].asked.lock().unwrap()[0].clone();
        assert!(asked.incoming_won && asked.field.as_deref() == Some("title"));
        let journal = ConflictJournal::open(&a.storage).await.unwrap();
        assert_eq!(journal.list(&ConflictQuery::new()).await.unwrap().len(), left);
    }
}

#[tokio::test(start_paused = true)]
async fn devices_that_decide_differently_do_not_answer_each_other_for_ever() {
    let differently = [
        [Some(Decision::Restore), Some(Decision::Restore)],
        [Some(Decision::Replace("x".into())), Some(Decision::Replace("y".into()))],
    ];
    for decisions in differently {
        let log = shared_log();
        let [first, second] = decisions.clone().map(Decider::new);
        let third = Decider::new(Decision::Restore);
        let devices = [
            with(1, first.clone()).await,
            with(2, second.clone()).await,
            with(3, third.clone()).await,
        ];
        let all: Vec<&Device> = devices.iter().collect();
        devices[0].note("n", "before").await;
        quiet(&all, &log).await;
        for (n, device) in devices.iter().enumerate() {
            device.runtime.advance(1_000 * i64::try_from(n).unwrap());
            device.retitle("n", &format!("from {n}")).await;
        }
        assert!(quiet(&all, &log).await < 6);
        assert_in_step(&all).await;
        assert!(first.asked() + second.asked() + third.asked() <= 3);
    }
}

#[tokio::test(start_paused = true)]
async fn an_object_that_another_device_has_deleted_can_be_restored() {
    let log = shared_log();
    let decider = Decider::new(Decision::Restore);
    let (a, b) = (with(1, decider.clone()).await, with(2, decider.clone()).await);
    a.create("note", json!({"id": "n", "title": "before", "stars": 3})).await;
    quiet(&[&a, &b], &log).await;
    a.retitle("n", "edited").await;
    b.delete("note", json!({})).await;
    quiet(&[&a, &b], &log).await;
    assert_in_step(&[&a, &b]).await;
    let note = b.get("note", "n").await.unwrap();
    assert_eq!((&note["title"], &note["stars"]), (&json!("edited"), &json!(3)));
    assert_eq!(decider.asked(), 1);
    assert_eq!(decider.asked.lock().unwrap()[0].field, None);
}

/// Entries say what they are.
#[derive(Debug, Default)]
struct Watcher(Arc<Mutex<Vec<Seen>>>);

type Seen = (EntryKind, String, Vec<String>);

impl SyncHooks for Watcher {
    fn before_send(&self, entry: &mut PassingEntry<'_>) -> Verdict {
        let fields = entry.fields().iter().map(ToString::to_string).collect();
        self.0.lock().unwrap().push((entry.kind, entry.collection.to_string(), fields));
        Verdict::Pass
    }
}

#[tokio::test(start_paused = true)]
async fn what_only_looks_changes_no_byte() {
    let log = shared_log();
    let seen = Arc::default();
    let a = with(1, Watcher(Arc::clone(&seen))).await;
    a.note("n", "x").await;
    a.retitle("n", "y").await;
    a.delete("note", json!({})).await;
    let before: Vec<Vec<u8>> = support::dump_all(&a).await["_storex_log"]
        .iter()
        .map(|row| row.get(1).as_bytes().unwrap().to_vec())
        .collect();
    a.sync(&log).await;
    let nobody = storex_sync::Device { id: [0xee; 16], incarnation: 0 };
    let page = log.read(nobody, &Default::default(), usize::MAX).await.unwrap();
    let sent: Vec<Vec<u8>> = page.transactions.into_iter().map(|it| it.payload).collect();
    assert_eq!(sent, before);
    let note = || "note".to_owned();
    let expected = [
        (EntryKind::Create, note(), vec!["title".to_owned(), "body".into(), "stars".into()]),
        (EntryKind::Update, note(), vec!["title".to_owned()]),
        (EntryKind::Delete, note(), Vec::new()),
    ];
    assert_eq!(*seen.lock().unwrap(), expected);
}

/// Answers otherwise each time.
#[derive(Debug, Clone, Default)]
struct Fickle(Arc<Mutex<u32>>);

impl SyncHooks for Fickle {
    fn before_send(&self, entry: &mut PassingEntry<'_>) -> Verdict {
        let mut asked = self.0.lock().unwrap();
        *asked += 1;
        entry.set("title", format!("answer {asked}"));
        Verdict::Pass
    }
}

/// The log takes a transaction that is sent again under the same number for a fork, unless it has the same bytes.
#[tokio::test(start_paused = true)]
async fn what_is_sent_again_is_not_asked_about_again() {
    let log = shared_log();
    let fickle = Fickle::default();
    let (a, b) = (with(1, fickle.clone()).await, Device::new(2).await);
    a.note("n", "as written").await;
    let scripted = ScriptedLog::new(&log);
    scripted.script(Call::Append, [Fault::DropAnswer, Fault::Fail, Fault::DropAnswer]);
    let sync = a.join(&scripted).await;
    for _ in 0..3 {
        sync.sync_once().await.unwrap_err();
    }
    let report = sync.sync_once().await.unwrap();
    assert_eq!((report.incarnation, report.sent_entries), (None, 1));
    assert_eq!(*fickle.0.lock().unwrap(), 1);
    b.sync(&log).await;
    assert_eq!(b.title("n").await.as_deref(), Some("answer 1"));
    assert_eq!(a.title("n").await.as_deref(), Some("as written"));
}

/// A copy of a database that has given its writes to a log, and could not hear of it: under its new name they go as they were given.
#[tokio::test(start_paused = true)]
async fn what_a_new_incarnation_sends_is_asked_about_once_too() {
    let log = shared_log();
    let fickle = Fickle::default();
    let (a, b) = (with(1, fickle.clone()).await, Device::new(2).await);
    a.note("1", "x").await;
    a.sync(&log).await;
    let (runtime, backend) = (Arc::new(TestRuntime::new(3)), Arc::new(a.backend.copied()));
    let asked = Fickle::default();
    let storage = open(&backend, &runtime, schema(), SyncLog::new().hooks(asked.clone())).await;
    let copy = Device { runtime, backend, storage };
    a.note("of A", "x").await;
    a.sync(&log).await;
    let scripted = ScriptedLog::new(&log);
    scripted.script(Call::Append, [Fault::Fail]);
    copy.note("2", "x").await;
    copy.join(&scripted).await.sync_once().await.unwrap_err();
    copy.note("3", "x").await;
    assert!(copy.sync(&log).await.incarnation.is_some());
    settle(&[&copy, &b, &a], &log).await;
    assert_eq!(*asked.0.lock().unwrap(), 2, "about each once, by its old name or its new one");
    assert_eq!(b.title("2").await.as_deref(), Some("answer 1"));
    assert_eq!(b.title("3").await.as_deref(), Some("answer 2"));
}
