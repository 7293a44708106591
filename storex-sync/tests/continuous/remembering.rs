//! The status while it is being noted.

use std::sync::Arc;

use serde_json::json;
use storex_core::{AutoPk, Storage};
use storex_memory::TestRuntime;
use storex_sync::{ContinuousSync, Sync, SyncLog};
use tokio::time::sleep;

use crate::support::place::{Place, StartIn};
use crate::support::slow::Slow;
use crate::support::{schema, shared_log};
use crate::{LONG, SECOND, exchanged, let_run};

#[tokio::test(start_paused = true)]
async fn c69_what_is_written_while_the_status_is_noted_is_known_at_once() {
    let runtime = Arc::new(TestRuntime::new(1));
    let registry = schema().build().unwrap();
    // It takes a second to note what is remembered of the status.
    let backend = Slow::new(|batch| format!("{batch:?}").contains("\"status\""));
    let storage = Storage::builder(backend, registry, Arc::clone(&runtime) as _)
        .middleware(AutoPk::new())
        .middleware(SyncLog::new());
    let storage = storage.open().await.unwrap();
    let sync = Sync::open(&storage, shared_log()).await.unwrap();
    let builder = ContinuousSync::builder(sync).intervals(LONG, LONG);
    let continuous = builder.start_in(Place::Here).await;
    exchanged(&continuous).await;
    sleep(SECOND * 5).await;
    let in_step = || continuous.status().borrow().in_step;
    assert!(in_step());
    // Long enough for the status to be noted anew, although there was nothing to do.
    runtime.advance(3_600_000);
    let write = async {
        sleep(SECOND / 2).await;
        assert!(in_step(), "the note is being written");
        let note = json!({"id": "n", "title": "x"});
        storage.dynamic("note").unwrap().create(note).await.unwrap();
        let_run().await;
        assert!(!in_step(), "there is something to be sent");
    };
    tokio::join!(exchanged(&continuous), write);
    sleep(SECOND * 5).await;
    assert!(in_step(), "it was sent");
    continuous.stop().await;
}
