//! What is written behind a refused write, and has it in it or needs it.

use std::sync::Arc;

use serde_json::json;
use storex_core::{Definition, FieldType, Registry, RegistryBuilder};
use storex_memory::{MemoryBackend, TestRuntime};
use storex_sync::{SyncLog, rejected};

use crate::support::{Device, assert_in_step, count, open, settle};
use crate::{Guarded, in_step_without, refuse_last, reversible_as, two};

async fn in_notebooks(seed: u64) -> Device {
    let notes = || -> RegistryBuilder {
        Registry::builder().collection(
            Definition::new("note")
                .field("title", FieldType::String)
                .optional("notebook", FieldType::String)
                .optional("stars", FieldType::Int),
        )
    };
    let (runtime, backend) = (Arc::new(TestRuntime::new(seed)), Arc::new(MemoryBackend::new()));
    let scoped = SyncLog::new().scoped("note", "notebook").reversible();
    let storage = open(&backend, &runtime, notes(), scoped).await;
    Device { runtime, backend, storage }
}

/// Whoever moves an object to another scope tells all of it, what is refused of it too.
#[tokio::test(start_paused = true)]
async fn c59_what_is_refused_is_not_told_with_a_move_to_another_scope() {
    for (bad, better) in [
        (json!({"title": "refused"}), json!({"stars": 11})),
        (json!({"stars": {"$inc": 5}}), json!({"stars": {"$inc": 1}})),
    ] {
        let log = Guarded::new();
        let (a, b) = (in_notebooks(1).await, in_notebooks(2).await);
        let n = || json!({"id": "n"});
        let note = json!({"id": "n", "title": "before", "notebook": "first", "stars": 10});
        a.create("note", note).await;
        settle(&[&a, &b], &log).await;
        a.update("note", n(), bad).await;
        let refused = refuse_last(&a, &log).await;
        a.update("note", n(), better).await;
        a.update("note", n(), json!({"notebook": "second"})).await;
        let moved = a.join(&log).await.last_write().await.unwrap().unwrap();
        a.update("note", n(), json!({"stars": {"$inc": 100}})).await;
        in_step_without(&a, &b, &log, refused).await;
        let all = rejected(&a.storage).await.unwrap();
        assert_eq!(all.iter().map(|it| it.write).collect::<Vec<_>>(), [refused, moved]);
        let now = b.get("note", "n").await.unwrap();
        assert_eq!((&now["title"], &now["stars"]), (&json!("before"), &json!(111)));
        assert_eq!(now["notebook"], "first");
        a.join(&log).await.retry_rejected(moved).await.unwrap();
        settle(&[&a, &b], &log).await;
        assert_in_step(&[&a, &b]).await;
        let now = b.get("note", "n").await.unwrap();
        assert_eq!((&now["title"], &now["notebook"]), (&json!("before"), &json!("second")));
    }
}

/// A device that brings back what was deleted meanwhile brings back what is refused.
#[tokio::test(start_paused = true)]
async fn c59_what_is_refused_is_not_brought_back() {
    let log = Guarded::new();
    let wins = || SyncLog::new().update_wins(["note"]).reversible();
    let (a, b) = (reversible_as(1, wins()).await, reversible_as(2, wins()).await);
    a.note("n", "before").await;
    settle(&[&a, &b], &log).await;
    b.delete("note", json!({"id": "n"})).await;
    b.sync(&log).await;
    a.retitle("n", "refused").await;
    let refused = refuse_last(&a, &log).await;
    a.join(&log).await.receive_once().await.unwrap();
    assert!(a.title("n").await.is_some(), "it is back");
    in_step_without(&a, &b, &log, refused).await;
    assert_eq!((a.title("n").await, b.title("n").await), (None, None));
}

/// What points to an object that nobody has would dangle everywhere.
#[tokio::test(start_paused = true)]
async fn c59_what_points_to_a_refused_object_goes_with_it() {
    let (a, b, log) = two().await;
    a.create("user", json!({"id": "new", "name": "refused"})).await;
    let refused = refuse_last(&a, &log).await;
    let email = |id: &str, user: &str| json!({"id": id, "address": id, "user": user});
    a.create("email", email("of new", "new")).await;
    let child = a.join(&log).await.last_write().await.unwrap().unwrap();
    a.create("email", email("of u", "u")).await;
    in_step_without(&a, &b, &log, refused).await;
    let all = rejected(&a.storage).await.unwrap();
    assert_eq!(all.iter().map(|it| it.write).collect::<Vec<_>>(), [refused, child]);
    assert!(all.iter().all(|it| it.is_reverted));
    assert_eq!((count(&a, "email").await, count(&b, "email").await), (1, 1));
}

/// Once the object is created after all, whatever points to it stays.
#[tokio::test(start_paused = true)]
async fn c59_what_points_to_an_object_that_was_created_anew_stays() {
    let (a, b, log) = two().await;
    a.create("user", json!({"id": "new", "name": "refused"})).await;
    let refused = refuse_last(&a, &log).await;
    a.delete("user", json!({"id": "new"})).await;
    a.create("user", json!({"id": "new", "name": "later"})).await;
    a.create("email", json!({"id": "e", "address": "e", "user": "new"})).await;
    in_step_without(&a, &b, &log, refused).await;
    assert_eq!(rejected(&a.storage).await.unwrap().len(), 1);
    assert_eq!((count(&b, "user").await, count(&b, "email").await), (2, 1));
}
