//! A shared log that is compacted: a snapshot in place of what it has dropped.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // these are tests
#![allow(missing_docs)]

#[path = "../support/mod.rs"]
mod support;

mod beginning;
mod by_itself;
mod faults;
mod making;
mod size;

use std::sync::Arc;

use storex_sync::{Compacted, Compaction, Limits, SharedSyncLog, Sync};
use support::Device;

/// Compacts whatever there is, and waits for every member.
const EAGER: Compaction = Compaction { least: 1, most_behind: None };

/// Requests of one KiB, so that a snapshot has some pages.
const SMALL: Limits = Limits { bytes: 1 << 10, transactions: 1000 };

async fn eager(device: &Device, log: &Arc<impl SharedSyncLog>) -> Sync {
    device.join(log).await.compaction(EAGER).limits(SMALL)
}

async fn compact(device: &Device, log: &Arc<impl SharedSyncLog>) -> Compacted {
    eager(device, log).await.compact().await.unwrap()
}

/// Two devices that have exchanged some notes, updates and deletions, one of each in a transaction of its own.
async fn two_with_notes(log: &Arc<impl SharedSyncLog>, notes: u32) -> (Device, Device) {
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    for n in 0..notes {
        let author = if n % 2 == 0 { &a } else { &b };
        author.note(&format!("{n:03}"), "first").await;
    }
    support::settle(&[&a, &b], log).await;
    for n in (0..notes).step_by(3) {
        b.retitle(&format!("{n:03}"), "second").await;
    }
    for n in (0..notes).step_by(5) {
        a.delete("note", serde_json::json!({"id": format!("{n:03}")})).await;
    }
    support::settle(&[&a, &b], log).await;
    (a, b)
}
