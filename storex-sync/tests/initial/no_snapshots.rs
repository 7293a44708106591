//! A sender whose database has no snapshots, as IndexedDB: each page is of its own moment.

use std::sync::Arc;

use serde_json::json;
use storex_core::{AutoPk, ErrorKind, Storage};
use storex_sync::SyncLog;

use crate::resume::{busy, furnished, leg, whole, work};
use crate::support::channel::Watched;
use crate::support::slow::Slow;
use crate::support::{Device, assert_in_step, dump, parked_count, schema, settle, shared_log};

/// The same data, in a database that has no snapshots.
async fn without_snapshots(device: Device) -> Device {
    let backend = Slow::without_snapshots(&device.backend);
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
