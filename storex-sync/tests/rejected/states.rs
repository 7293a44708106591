//! Whole objects that come or go beside the writes: initial syncs, and the state that is sent again.

use serde_json::json;
use storex_core::{Batch, Changes, Definition, FieldType, Filter, Registry, Step};
use storex_sync::engine::{Action, Next, Round};
use storex_sync::{Hlc, Stamp, SyncError, WriteId, rejected};

use crate::support::{Device, assert_in_step, count, log_of, pump, settle};
use crate::{Guarded, in_step_without, refuse_last, reversible, two};

/// What an initial sync brings is there when the write that hides it is taken back.
#[tokio::test(start_paused = true)]
async fn c59_what_an_initial_sync_brings_comes_back() {
    for deletes in [false, true] {
        let (a, b, log) = two().await;
        b.retitle("n", "of B").await;
        b.update("note", json!({"id": "n"}), json!({"stars": {"$inc": 1}})).await;
        b.delete("note", json!({"id": "m"})).await;
        b.note("new", "of B").await;
        b.sync(&log).await;
        a.runtime.advance(60_000);
        if deletes {
            a.delete("note", json!({"id": "n"})).await;
        } else {
            let changes = json!({"title": "refused", "stars": {"$inc": 5}});
            a.update("note", json!({"id": "n"}), changes).await;
        }
        let n = refuse_last(&a, &log).await;
        a.retitle("m", "refused").await;
        refuse_last(&a, &log).await;
        a.note("new", "refused").await;
        refuse_last(&a, &log).await;
        pump(&b, &a).await;
        assert_ne!(a.title("n").await.as_deref(), Some("of B"), "it is hidden");
        in_step_without(&a, &b, &log, n).await;
        assert_eq!(a.title("n").await.as_deref(), Some("of B"));
        assert_eq!(a.get("note", "n").await.unwrap()["stars"], 11);
        assert_eq!((a.title("m").await, a.title("new").await.as_deref()), (None, Some("of B")));
    }
}

/// An initial sync brings what is older than sync there, too.
#[tokio::test(start_paused = true)]
async fn c59_what_is_older_than_sync_and_comes_directly_comes_back() {
    let log = Guarded::new();
    let old = Device::with_old_notes(1, &[json!({"id": "n", "title": "old", "stars": 7})]).await;
    let a = reversible(2).await;
    a.note("n", "refused").await;
    let refused = refuse_last(&a, &log).await;
    pump(&old, &a).await;
    a.sync(&log).await;
    assert!(rejected(&a.storage).await.unwrap()[0].is_reverted);
    assert_eq!(rejected(&a.storage).await.unwrap()[0].write, refused);
    assert_eq!(a.title("n").await.as_deref(), Some("old"));
}

/// A page of the state that stands behind a refused write tells it: the state is sent from its beginning.
#[tokio::test(start_paused = true)]
async fn c59_a_state_does_not_tell_what_is_refused() {
    for is_sent_whole in [false, true] {
        let (a, b, log) = two().await;
        let c = Device::new(3).await;
        let sync = a.join(&log).await;
        sync.send_state().await.unwrap();
        let turn = sync.turn().await.unwrap();
        let (mut round, mut action) = (Round::new(), Some(Action::ReadPlace));
        let mut refused = None;
        while let Some(next) = action.take() {
            if matches!(next, Action::LogState) && refused.is_none() {
                a.retitle("n", "refused").await;
                let write = sync.last_write().await.unwrap().unwrap();
                log.refuse(write);
                refused = Some(write);
                let pages = if is_sent_whole { 100 } else { 1 };
                for _ in 0..100 {
                    if count(&a, "_storex_log").await <= pages {
                        sync.perform(&turn, Action::LogState).await.unwrap();
                    }
                }
                assert!(count(&a, "_storex_log").await > 1);
                break;
            }
            match round.step(sync.perform(&turn, next).await.unwrap()).unwrap() {
                Next::Do(next) => action = Some(next),
                Next::Finished(_) => {}
            }
        }
        drop(turn);
        in_step_without(&a, &b, &log, refused.unwrap()).await;
        assert_eq!(a.title("n").await.as_deref(), Some("before"));
        settle(&[&c, &a], &log).await;
        assert_in_step(&[&a, &c]).await;
    }
}

/// A page of the state that the log does not take is sent in parts; an object that is too large by itself is put aside, and holds up
/// nothing.
#[tokio::test(start_paused = true)]
async fn c59_an_object_of_the_state_that_is_too_large_is_put_aside_and_the_rest_is_sent() {
    let old = |n: u32| {
        let body = "x".repeat(if n == 7 { 5000 } else { 50 });
        json!({"id": format!("{n:02}"), "title": "old", "body": body})
    };
    let notes: Vec<_> = (0..20).map(old).collect();
    let log = Guarded::new();
    log.take_at_most(1000);
    let (a, b) = (Device::with_old_notes(1, &notes).await, Device::new(2).await);
    a.note("gone", "sent and deleted").await;
    a.sync(&log).await;
    a.delete("note", json!({"id": "gone"})).await;
    let sync = a.join(&log).await;
    sync.send_state().await.unwrap();
    let report = sync.sync_once().await.unwrap();
    let [refused] = report.rejected.as_slice() else { panic!("{:?}", report.rejected) };
    assert!(refused.reason.contains("note 07") && refused.reason.contains("too large"));
    assert!(!refused.is_reverted);
    assert_eq!(rejected(&a.storage).await.unwrap(), report.rejected);
    b.sync(&log).await;
    assert_eq!((count(&b, "note").await, b.title("07").await), (19, None));
    assert_eq!(count(&a, "note").await, 20, "it stays here");
    // What is written from now on goes its way, and so does the object once it is taken.
    a.note("later", "goes on").await;
    settle(&[&a, &b], &log).await;
    assert!(b.title("later").await.is_some());
    log.take_at_most(usize::MAX);
    sync.retry_rejected(refused.write).await.unwrap();
    settle(&[&a, &b], &log).await;
    assert_in_step(&[&a, &b]).await;
}

/// Whoever gets a state in which something is missing is not told that it has everything.
#[tokio::test(start_paused = true)]
async fn c59_a_state_that_lacks_an_object_hands_over_nothing() {
    let log = Guarded::new();
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    let large = "x".repeat(5000);
    a.create("note", json!({"id": "large", "title": "created", "body": large})).await;
    a.note("small", "created").await;
    settle(&[&a, &b], &log).await;
    // Another log, which takes less: both send their states there.
    let other = Guarded::new();
    other.take_at_most(1000);
    for device in [&a, &b] {
        device.join(&other).await.sync_once().await.unwrap();
    }
    let c = Device::new(3).await;
    c.sync(&other).await;
    assert_eq!((c.title("large").await, c.title("small").await.is_some()), (None, true));
    a.retitle("large", "updated").await;
    settle(&[&a, &c], &other).await;
    other.take_at_most(usize::MAX);
    a.join(&other).await.send_state().await.unwrap();
    settle(&[&a, &b, &c], &other).await;
    assert_in_step(&[&a, &b, &c]).await;
    assert_eq!(c.title("large").await.as_deref(), Some("updated"));
}

/// The claim of what was seen goes behind all the pieces of a page, also when the one in front of it is halved again.
#[tokio::test(start_paused = true)]
async fn c59_a_page_that_is_halved_twice_claims_nothing_of_what_is_put_aside() {
    let log = Guarded::new();
    let (a, b) = (noting(1).await, noting(2).await);
    for id in ["1", "2", "3", "4"] {
        b.create("note", json!({"id": id, "title": "of B", "body": body(id == "2")})).await;
    }
    let created = log_of(&b).await.last().unwrap().stamp(0);
    settle(&[&b, &a], &log).await;
    let other = Guarded::new();
    other.take_at_most(1000);
    let report = a.join(&other).await.sync_once().await.unwrap();
    assert_eq!(report.rejected.len(), 1, "{:?}", report.rejected);
    let c = noting(3).await;
    c.sync(&other).await;
    assert_eq!(count(&c, "note").await, 3);
    assert!(!says_it_has(&c, created).await, "it lacks one of them");
}

/// What a page leaves behind whose only object was put aside says nothing of what its author had before sync.
#[tokio::test(start_paused = true)]
async fn c59_a_page_that_was_put_aside_claims_nothing_of_its_author() {
    let old = |id: &str| json!({"id": id, "title": "old", "body": body(id == "1")});
    let (a, log) = (Device::with_old_notes(1, &["1", "2"].map(old)).await, Guarded::new());
    let b = Device::new(2).await;
    b.note("3", "sets the clock of A").await;
    settle(&[&b, &a], &log).await;
    log.take_at_most(1000);
    let sync = a.join(&log).await;
    sync.send_state().await.unwrap();
    let report = sync.sync_once().await.unwrap();
    let [refused] = report.rejected.as_slice() else { panic!("{:?}", report.rejected) };
    let c = Device::new(3).await;
    c.sync(&log).await;
    assert_eq!(count(&c, "note").await, 2);
    // What is older than sync has the first reading that there is.
    let oldest = Stamp { hlc: Hlc(1), device: refused.write.device };
    assert!(!says_it_has(&c, oldest).await, "it lacks one of them");
}

/// A page that is refused for another reason than its size is not tried in parts: somebody has to look.
#[tokio::test(start_paused = true)]
async fn c59_a_state_that_is_refused_as_such_is_not_put_aside_piece_by_piece() {
    let (a, b, log) = two().await;
    let c = Device::new(3).await;
    let sync = a.join(&log).await;
    let last = sync.last_write().await.unwrap().unwrap();
    sync.send_state().await.unwrap();
    for sequence in 1..100 {
        log.refuse(WriteId { sequence: last.sequence + sequence, ..last });
    }
    let error = sync.sync_once().await.unwrap_err();
    let SyncError::Rejected { reason, .. } = error.cause() else { panic!("{error}") };
    assert_eq!((reason.as_str(), rejected(&a.storage).await.unwrap()), ("not yours", Vec::new()));
    // Once it is taken, it goes on.
    log.take_all();
    settle(&[&a, &b, &c], &log).await;
    assert_in_step(&[&a, &b, &c]).await;
}

/// A device with a single collection: the last page of its state has objects.
async fn noting(seed: u64) -> Device {
    let note = Definition::new("note").field("title", FieldType::String);
    Device::with(seed, Registry::builder().collection(note.optional("body", FieldType::Text))).await
}

fn body(is_large: bool) -> String {
    "x".repeat(if is_large { 5000 } else { 50 })
}

/// Whether the next write of the device says that it has seen this one.
async fn says_it_has(device: &Device, stamp: Stamp) -> bool {
    device.note("next", "of its own").await;
    log_of(device).await.last().unwrap().had_seen(stamp)
}

/// Two objects that have exchanged a unique value have it back.
#[tokio::test(start_paused = true)]
async fn c59_unique_values_that_were_exchanged_are_given_back() {
    let (a, b, log) = two().await;
    a.create("login", json!({"id": "1", "name": "ann"})).await;
    a.create("login", json!({"id": "2", "name": "bob"})).await;
    settle(&[&a, &b], &log).await;
    let name = |id: &str, name: &str| Step::Update {
        collection: "login".into(),
        filter: Filter::key(id),
        changes: Changes::new().set("name", name),
    };
    let batch = Batch::new().step(name("1", "x")).step(name("2", "ann")).step(name("1", "bob"));
    a.storage.execute(batch).await.unwrap();
    let refused = refuse_last(&a, &log).await;
    in_step_without(&a, &b, &log, refused).await;
    assert_eq!(a.get("login", "1").await.unwrap()["name"], "ann");
}
