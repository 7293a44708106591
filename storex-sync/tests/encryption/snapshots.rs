//! A log that is compacted: the snapshot is encrypted too.

use storex_sync::{Compaction, Limits, SharedSyncLog, SnapshotId, SyncError};

use super::{FIRST, SECOND, by, create, open};
use crate::support::{Device, assert_in_step, settle, shared_log};

const EAGER: Compaction = Compaction { least: 1, most_behind: None };

/// So that there are several pages.
const SMALL: Limits = Limits { bytes: 1 << 10, transactions: 1000 };

#[tokio::test]
async fn a_new_device_takes_it_also_after_a_rotation() {
    let log = shared_log();
    let (on_a, on_b) = (create(&log, 11).await, open(&log, FIRST, 12).await.unwrap());
    let (a, b, c) = (Device::new(1).await, Device::new(2).await, Device::new(3).await);
    for n in 0..40 {
        a.note(&format!("{n:03}"), "a note").await;
    }
    a.sync(&on_a).await;
    b.sync(&on_b).await;
    settle(&[&a], &on_a).await;
    let sync = a.join(&on_a).await.compaction(EAGER).limits(SMALL);
    let compacted = sync.compact().await.unwrap();
    assert!(compacted.snapshot.unwrap().pages > 1 && compacted.trimmed > 0);
    on_a.rotate(&by(SECOND)).await.unwrap();
    a.retitle("000", "after").await;
    a.sync(&on_a).await;
    let report = c.sync(&open(&log, SECOND, 13).await.unwrap()).await;
    assert!(report.restored.is_some());
    assert_in_step(&[&a, &c]).await;
}

#[tokio::test]
async fn a_page_is_of_its_snapshot_and_place() {
    let log = shared_log();
    let on_a = create(&log, 11).await;
    let id = |number| {
        let maker = storex_sync::Device { id: [number; 16], incarnation: 0 };
        SnapshotId { maker, number: number.into() }
    };
    let (snapshots, inner) = (on_a.snapshots().unwrap(), log.snapshots().unwrap());
    snapshots.put_page(id(1), 0, b"the first page").await.unwrap();
    let sealed = inner.page(id(1), 0).await.unwrap().unwrap();
    snapshots.put_page(id(1), 0, b"the first page").await.unwrap();
    assert_eq!(inner.page(id(1), 0).await.unwrap().unwrap(), sealed, "the same bytes each time");
    assert_eq!(snapshots.page(id(1), 0).await.unwrap().unwrap(), b"the first page");
    inner.put_page(id(1), 1, &sealed).await.unwrap();
    inner.put_page(id(2), 0, &sealed).await.unwrap();
    for (id, page) in [(id(1), 1), (id(2), 0)] {
        let error = snapshots.page(id, page).await.unwrap_err();
        assert!(matches!(error, SyncError::NotAuthentic { .. }), "{error}");
        assert!(error.to_string().contains("page"), "{error}");
    }
}
