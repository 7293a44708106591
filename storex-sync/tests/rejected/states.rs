//! Whole objects that come or go beside the writes: initial syncs, and the state that is sent again.

use serde_json::json;
use storex_core::{Batch, Changes, Filter, Step};
use storex_sync::engine::{Action, Next, Round};
use storex_sync::{SyncLog, rejected};

use crate::support::{Device, assert_in_step, count, open, pump, schema, settle};
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

/// The pages of a state that stand behind a refused write tell it: it is sent once more.
#[tokio::test(start_paused = true)]
async fn c59_a_state_does_not_tell_what_is_refused() {
    let mut behind = 0;
    for steps in 0..40 {
        let (a, b, log) = two().await;
        let old = [json!({"id": "old", "title": "older than sync"})];
        let old = {
            let device = Device::with_old_notes(1, &old).await;
            let storage =
                open(&device.backend, &device.runtime, schema(), SyncLog::new().reversible()).await;
            Device { storage, ..device }
        };
        let a = if steps % 2 == 0 { a } else { old };
        settle(&[&a, &b], &log).await;
        a.note("other", "before").await;
        a.sync(&log).await;
        a.retitle("other", "refused").await;
        refuse_last(&a, &log).await;
        let sync = a.join(&log).await;
        sync.send_state().await.unwrap();
        let turn = sync.turn().await.unwrap();
        let (mut round, mut action, mut left) = (Round::new(), Some(Action::ReadPlace), steps / 2);
        while let Some(next) = action.take().filter(|_| left > 0) {
            left -= 1;
            match round.step(sync.perform(&turn, next).await.unwrap()).unwrap() {
                Next::Do(next) => action = Some(next),
                Next::Finished(_) => {}
            }
        }
        if count(&a, "_storex_log").await > 1 {
            behind += 1;
        }
        drop(turn);
        settle(&[&a, &b, &a, &b], &log).await;
        let c = Device::new(3).await;
        settle(&[&c, &a], &log).await;
        for device in [&a, &b, &c] {
            assert_eq!(device.title("other").await.as_deref(), Some("before"), "{steps}");
        }
        if steps % 2 == 1 {
            assert!(b.title("old").await.is_some(), "{steps}");
        }
        assert_in_step(&[&a, &b]).await;
        assert_eq!(count(&a, "_storex_log").await, 0);
    }
    assert!(behind > 0);
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
