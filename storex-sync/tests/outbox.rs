//! What is sent while other programs on the same database send too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // these are tests
#![allow(missing_docs)]

mod support;

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use storex_core::{
    AutoPk, BoxFuture, Context, Middleware, Next, Operation, Outcome, Result, Storage,
};
use storex_sync::{Sync, SyncLog};
use support::{Device, assert_in_step, cloned, count, schema, settle, shared_log};

/// What happens once, right after the log was looked at.
type Then = Box<dyn FnOnce() -> BoxFuture<'static, ()> + Send>;

/// The number of the last transaction that is to be sent.
const LAST: i64 = 4;

#[derive(Clone, Default)]
struct AfterLook(Arc<Mutex<Option<Then>>>);

impl std::fmt::Debug for AfterLook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AfterLook")
    }
}

#[async_trait]
impl Middleware for AfterLook {
    async fn process(
        &self,
        cx: &mut Context,
        operation: Operation,
        next: Next<'_>,
    ) -> Result<Outcome> {
        // The last look that takes whole rows: they are read a few at a time, and where there are any is asked before.
        let looks = matches!(&operation, Operation::Find(query)
            if &*query.collection == "_storex_log" && query.select.is_none());
        let outcome = next.run(cx, operation).await;
        let last = matches!(&outcome, Ok(Outcome::Found(rows))
            if rows.last().is_some_and(|row| row.get(0).as_int() == Some(LAST)));
        let then = (looks && last).then(|| self.0.lock().unwrap().take()).flatten();
        if let Some(then) = then {
            then().await;
        }
        outcome
    }
}

/// The same database, in a program that lets something happen between looking at the log and sending from it.
async fn interrupted(device: &Device) -> (Device, AfterLook) {
    let after_look = AfterLook::default();
    let registry = schema().build().unwrap();
    let storage =
        Storage::builder(Arc::clone(&device.backend), registry, Arc::clone(&device.runtime) as _)
            .middleware(AutoPk::new())
            .middleware(after_look.clone())
            .middleware(SyncLog::new())
            .open()
            .await
            .unwrap();
    (Device { storage, ..device.clone() }, after_look)
}

#[tokio::test]
async fn what_another_program_has_sent_meanwhile_is_not_sent_otherwise() {
    let log = shared_log();
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    a.note("m", "another one").await;
    a.note("n", "first").await;
    settle(&[&a, &b], &log).await;
    let (here, after_look) = interrupted(&a).await;
    for title in ["second", "third"] {
        a.retitle("n", title).await;
    }
    let other = a.join(&log).await;
    let writer = a.clone();
    *after_look.0.lock().unwrap() = Some(Box::new(move || {
        Box::pin(async move {
            other.send_once().await.unwrap();
            writer.retitle("n", "fourth").await;
        })
    }));
    here.sync(&log).await;
    assert!(after_look.0.lock().unwrap().is_none(), "it happened");
    settle(&[&a, &b], &log).await;
    assert_eq!(count(&a, "_storex_log").await, 0);
    assert_eq!(b.title("n").await.unwrap(), "fourth");
    assert_in_step(&[&a, &b]).await;
}

/// Under the new incarnation the numbers mean something else.
#[tokio::test]
async fn what_another_program_has_renamed_meanwhile_is_not_taken_for_what_it_was() {
    let (a, b, copy, log) = cloned().await;
    copy.note("c", "of the copy").await;
    copy.sync(&log).await;
    let (here, after_look) = interrupted(&a).await;
    for title in ["second", "third"] {
        a.retitle("1", title).await;
    }
    let other: Sync = a.join(&log).await;
    let writer = a.clone();
    *after_look.0.lock().unwrap() = Some(Box::new(move || {
        Box::pin(async move {
            let report = other.sync_once().await.unwrap();
            assert!(report.incarnation.is_some(), "{report:?}");
            writer.note("d", "of the new incarnation").await;
            writer.retitle("d", "changed").await;
        })
    }));
    here.sync(&log).await;
    assert!(after_look.0.lock().unwrap().is_none(), "it happened");
    settle(&[&a, &b, &copy], &log).await;
    assert_eq!(count(&a, "_storex_log").await, 0);
    assert_eq!(b.title("d").await.as_deref(), Some("changed"));
    assert_in_step(&[&a, &b, &copy]).await;
}
