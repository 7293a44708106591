//! Whole objects that come or go beside the writes: initial syncs, and the state that is sent again.

use serde_json::json;
use storex_core::{Batch, Changes, Filter, Step};
use storex_sync::engine::{Action, Next, Round};
use storex_sync::rejected;

use crate::support::{Device, assert_in_step, count, pump, settle};
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
