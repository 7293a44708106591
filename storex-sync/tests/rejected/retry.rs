//! Writing again what was refused.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::json;
use storex_core::{AutoPk, Context, Middleware, Next, Operation, Outcome, Storage};
use storex_sync::engine::Triggers;
use storex_sync::{ContinuousSync, Strategy, SyncError, SyncLog};

use crate::in_both_places;
use crate::support::place::{Place, StartIn};
use crate::support::{Device, assert_in_step, schema, settle};
use crate::{Guarded, refuse_last, reversible_as, two};

/// Lets others run once what was refused has been read.
#[derive(Debug)]
struct AfterLook;

#[async_trait]
impl Middleware for AfterLook {
    async fn process(
        &self,
        cx: &mut Context,
        operation: Operation,
        next: Next<'_>,
    ) -> storex_core::Result<Outcome> {
        let looks = matches!(&operation, Operation::Find(query)
            if &*query.collection == "_storex_rejected");
        let outcome = next.run(cx, operation).await;
        if looks {
            tokio::task::yield_now().await;
        }
        outcome
    }
}

/// Of two who retry at once, one writes; and of two who discard, one is given it.
#[tokio::test(start_paused = true)]
async fn c59_who_retries_twice_at_once_writes_once() {
    let (a, b, log) = two().await;
    a.update("note", json!({"id": "n"}), json!({"stars": {"$inc": 5}})).await;
    let refused = refuse_last(&a, &log).await;
    a.update("note", json!({"id": "n"}), json!({"stars": {"$inc": 7}})).await;
    let discarded = refuse_last(&a, &log).await;
    a.sync(&log).await;
    let registry = schema().build().unwrap();
    let storage = Storage::builder(Arc::clone(&a.backend), registry, Arc::clone(&a.runtime) as _)
        .middleware(AutoPk::new())
        .middleware(AfterLook)
        .middleware(SyncLog::new().reversible());
    let a = Device { storage: storage.open().await.unwrap(), ..a };
    let sync = a.join(&log).await;
    let (one, other) = tokio::join!(sync.retry_rejected(refused), sync.retry_rejected(refused));
    let failed = [one, other].into_iter().filter_map(Result::err).collect::<Vec<_>>();
    assert!(matches!(&failed[..], [SyncError::UnknownWrite { .. }]), "{failed:?}");
    let (one, other) =
        tokio::join!(sync.discard_rejected(discarded), sync.discard_rejected(discarded));
    assert!(one.is_ok() != other.is_ok());
    settle(&[&a, &b], &log).await;
    assert_in_step(&[&a, &b]).await;
    assert_eq!(a.get("note", "n").await.unwrap()["stars"], 15);
}

/// What depends on the value before does so on what others have written meanwhile.
#[tokio::test(start_paused = true)]
async fn c59_what_is_written_again_does_not_overwrite_the_work_of_others() {
    let (a, b, log) = two().await;
    let n = || json!({"id": "n"});
    for (field, change, of_b, expected) in [
        ("title", json!({"$append": " refused"}), json!("of B"), json!("of B refused")),
        ("stars", json!({"$mul": 2}), json!(100), json!(200)),
        ("stars", json!({"$max": 500}), json!(900), json!(900)),
        ("stars", json!({"$min": 50}), json!(20), json!(20)),
    ] {
        a.update("note", n(), json!({field: change})).await;
        let refused = refuse_last(&a, &log).await;
        a.sync(&log).await;
        b.runtime.advance(1000);
        b.update("note", n(), json!({field: of_b})).await;
        settle(&[&b, &a], &log).await;
        a.join(&log).await.retry_rejected(refused).await.unwrap();
        settle(&[&a, &b], &log).await;
        assert_in_step(&[&a, &b]).await;
        assert_eq!(b.get("note", "n").await.unwrap()[field], expected, "{change}");
    }
}

#[tokio::test(start_paused = true)]
async fn c59_what_is_contributed_again_joins_what_others_have_contributed() {
    let log = Guarded::new();
    let sets = || {
        let sets = SyncLog::new().strategy("sample", "json", Strategy::Set);
        sets.strategy("sample", "int", Strategy::Max).reversible()
    };
    let (a, b): (Device, Device) = (reversible_as(1, sets()).await, reversible_as(2, sets()).await);
    let s = || json!({"id": "s"});
    a.create("sample", json!({"id": "s", "json": ["first", "second"], "int": 1})).await;
    settle(&[&a, &b], &log).await;
    a.update("sample", s(), json!({"json": ["second", "refused"], "int": 5})).await;
    let refused = refuse_last(&a, &log).await;
    a.sync(&log).await;
    b.update("sample", s(), json!({"json": ["first", "second", "of b"], "int": 9})).await;
    settle(&[&b, &a], &log).await;
    a.join(&log).await.retry_rejected(refused).await.unwrap();
    settle(&[&a, &b], &log).await;
    assert_in_step(&[&a, &b]).await;
    let now = b.get("sample", "s").await.unwrap();
    assert_eq!((&now["json"], &now["int"]), (&json!(["second", "of b", "refused"]), &json!(9)));
}

/// By whoever uses a running sync, wherever it runs.
async fn c59_what_is_refused_is_listed_retried_and_discarded(place: Place) {
    let (a, b, log) = two().await;
    let mut refused = Vec::new();
    for title in ["first", "second"] {
        a.retitle("n", title).await;
        refused.push(refuse_last(&a, &log).await);
    }
    let builder = ContinuousSync::builder(a.join(&log).await).triggers(Triggers::MANUAL);
    let sync = builder.start_in(place).await;
    sync.sync_now().await.unwrap().unwrap();
    let listed = sync.rejected().await.unwrap();
    assert_eq!(listed, storex_sync::rejected(&a.storage).await.unwrap());
    assert_eq!(listed.iter().map(|it| it.write).collect::<Vec<_>>(), refused);
    sync.retry_rejected(refused[0]).await.unwrap();
    assert_eq!(sync.discard_rejected(refused[1]).await.unwrap(), listed[1]);
    assert_eq!(sync.rejected().await.unwrap(), []);
    for gone in [sync.retry_rejected(refused[0]).await, sync.retry_rejected(refused[1]).await] {
        assert!(matches!(gone, Err(SyncError::UnknownWrite { .. })), "{gone:?}");
    }
    sync.sync_now().await.unwrap().unwrap();
    settle(&[&b], &log).await;
    assert_in_step(&[&a, &b]).await;
    assert_eq!(b.title("n").await.as_deref(), Some("first"));
    sync.stop().await;
}

in_both_places![c59_what_is_refused_is_listed_retried_and_discarded];

/// What a field holds that is kept local was never sent, and is not written again.
#[tokio::test(start_paused = true)]
async fn c59_what_is_local_outlasts_a_create_that_is_written_again() {
    let log = Guarded::new();
    let local = || SyncLog::new().local_fields("note", ["body"]);
    let (a, b) = (reversible_as(1, local()).await, reversible_as(2, local()).await);
    a.create("note", json!({"id": "n", "title": "refused", "body": "mine"})).await;
    let refused = refuse_last(&a, &log).await;
    a.sync(&log).await;
    a.join(&log).await.retry_rejected(refused).await.unwrap();
    settle(&[&a, &b], &log).await;
    let (here, there) = (a.get("note", "n").await.unwrap(), b.get("note", "n").await.unwrap());
    assert_eq!((&here["title"], &here["body"]), (&json!("refused"), &json!("mine")));
    assert_eq!((&there["title"], &there["body"]), (&json!("refused"), &json!(null)));
}
