//! A sender whose database has no snapshots, as IndexedDB: each page is of its own moment.

use std::sync::Arc;

use serde_json::json;
use storex_core::{AutoPk, ErrorKind, Runtime, Storage};
use storex_sync::{MemoryChannel, SyncLog};

use crate::resume::{busy, furnished, leg, whole, work};
use crate::support::channel::Watched;
use crate::support::slow::Slow;
use crate::support::{Device, assert_in_step, dump, parked_count, schema, settle, shared_log};
use crate::told::{one_way, row_by_row};

/// Where the clocks of all objects are.
const CLOCKS: &str = "_storex_clock";

/// The same data, in a database that has no snapshots.
async fn without_snapshots(device: Device) -> Device {
    let backend = Slow::without_snapshots(&device.backend);
    behind(device, backend).await
}

/// The same data, in this database.
async fn behind(device: Device, backend: Slow) -> Device {
    let runtime = Arc::clone(&device.runtime);
    let storage = Storage::builder(backend, schema().build().unwrap(), runtime);
    let storage = storage.middleware(AutoPk::new()).middleware(SyncLog::new());
    let storage = storage.open().await.unwrap();
    assert_eq!(storage.snapshot().await.unwrap_err().kind(), ErrorKind::Unsupported);
    Device { storage, ..device }
}

/// Rows, tombstones, rows older than sync.
async fn sender() -> Device {
    without_snapshots(furnished(1).await).await
}

/// The sender writes with each frame until the line breaks, and between the runs; then it is quiet.
#[tokio::test(start_paused = true)]
async fn what_is_written_during_a_run_that_is_cut_is_there_after_the_next() {
    let frames = leg(&sender().await, &Device::new(2).await, 2, whole()).await.frames;
    for cut_at in (0..frames).step_by(3) {
        let (a, b) = (sender().await, Device::new(2).await);
        leg(&a, &b, 2, busy(&a, cut_at)).await;
        work(&a, cut_at).await;
        let a = without_snapshots(a).await;
        leg(&a, &b, 2, whole()).await.is_through();
        assert_eq!(parked_count(&b).await, 0, "frame {cut_at}");
        assert_eq!(dump(&b).await, dump(&a).await, "frame {cut_at}");
        let log = shared_log();
        settle(&[&a, &b], &log).await;
        assert_in_step(&[&a, &b]).await;
        assert!(b.sync(&log).await.is_idle(), "frame {cut_at}");
    }
}

/// The clocks of what was created again are looked through for what is deleted, page by page, and none is found for minutes.
#[tokio::test(start_paused = true)]
async fn who_looks_long_for_what_is_deleted_gives_signs_of_life() {
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    for id in ["a", "b", "c", "d", "e"] {
        a.note(id, "first").await;
        a.delete("note", json!({"id": id})).await;
        a.note(id, "again").await;
    }
    let backend = Slow::to_read(&a.backend, |query| &*query.collection == CLOCKS);
    let a = behind(a, backend).await;
    let begun = a.runtime.now();
    let (sent, received) =
        one_way(&row_by_row(&a).await, &row_by_row(&b).await, MemoryChannel::pair()).await;
    sent.unwrap();
    received.unwrap();
    let took = a.runtime.now().0 - begun.0;
    assert!(took > 5 * 60_000, "{took} ms: longer than silence is borne");
    assert_eq!(dump(&b).await, dump(&a).await);
}

/// Both write, during the runs too, of which the last is the only one that is not cut.
#[tokio::test(start_paused = true)]
async fn with_writers_at_work_all_the_time_they_are_equal_through_the_log() {
    for cut_at in (5..130).step_by(8) {
        let (a, b) = (sender().await, Device::new(2).await);
        leg(&a, &b, 2, busy_both(&a, &b, cut_at)).await;
        b.update("note", json!({"title": "x"}), json!({"body": "seen on B"})).await;
        b.delete("note", json!({"id": "n05"})).await;
        work(&a, cut_at).await;
        leg(&a, &b, 2, busy_both(&a, &b, 30)).await;
        work(&a, cut_at + 1).await;
        leg(&a, &b, 2, busy_both(&a, &b, usize::MAX)).await.is_through();
        settle(&[&a, &b], &shared_log()).await;
        assert_in_step(&[&a, &b]).await;
        assert_eq!((parked_count(&a).await, parked_count(&b).await), (0, 0), "frame {cut_at}");
    }
}

/// A line on which both applications write with each frame of their side.
fn busy_both(a: &Device, b: &Device, cut_at: usize) -> (Watched, Watched) {
    let (here, there) = busy(a, cut_at);
    let writer = b.clone();
    let there = there.on_frame(move |n| {
        let writer = writer.clone();
        async move {
            writer.update("note", json!({"id": "n19"}), json!({"body": format!("B {n}")})).await;
            writer.update("sample", json!({"id": "s0"}), json!({"int": {"$inc": 1}})).await;
        }
    });
    (here, there)
}
