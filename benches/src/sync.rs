//! From one device through a shared log to another.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use storex_core::TokioRuntime;
use storex_sqlite::{Durability, SqliteBackend};
use storex_sync::{BackendSharedLog, Sync};

use crate::hand::Hand;
use crate::hand_sync::HandLog;
use crate::measure::{Report, median, memory, seconds, seconds_of};
use crate::ours::Ours;
use crate::workload::{notes, updates};

const BATCH: usize = 1000;

/// Two devices and the log between them, by hand.
struct ByHand {
    from: Hand,
    to: Hand,
    log: HandLog,
    place: i64,
}

impl ByHand {
    fn open(dir: &Path) -> Self {
        Self {
            from: Hand::open(&dir.join("hand-a.db"), "NORMAL"),
            to: Hand::open(&dir.join("hand-b.db"), "NORMAL"),
            log: HandLog::open(&dir.join("hand-log.db")),
            place: 0,
        }
    }

    fn exchange(&mut self) {
        self.log.push(&self.from);
        self.place = self.log.pull(self.place, &self.to);
    }
}

/// The same by storex.
struct ByUs {
    from: Ours,
    to: Ours,
    send: Sync,
    receive: Sync,
}

impl ByUs {
    async fn open(dir: &Path) -> Self {
        let from = Ours::open(&dir.join("ours-a.db"), Durability::Normal).await;
        let to = Ours::open(&dir.join("ours-b.db"), Durability::Normal).await;
        let log = SqliteBackend::builder(dir.join("ours-log.db")).durability(Durability::Normal);
        let log = BackendSharedLog::open(log.build().unwrap(), Arc::new(TokioRuntime)).await;
        let log = Arc::new(log.unwrap());
        let send = Sync::open(&from.storage, log.clone()).await.unwrap();
        let receive = Sync::open(&to.storage, log).await.unwrap();
        let both = Self { from, to, send, receive };
        both.exchange().await;
        both
    }

    async fn exchange(&self) {
        self.send.sync_once().await.unwrap();
        self.receive.sync_once().await.unwrap();
    }

    async fn close(self) {
        self.from.storage.close().await.unwrap();
        self.to.storage.close().await.unwrap();
    }
}

/// Entries from device to device: creates, then updates and deletes; and an exchange with nothing to do.
pub async fn sync(report: &mut Report, count: usize) {
    let dir = tempfile::tempdir().unwrap();
    let notes = notes(count, 6);
    let (mut hand, ours) = (ByHand::open(dir.path()), ByUs::open(dir.path()).await);
    for chunk in notes.chunks(BATCH) {
        hand.from.create(chunk);
        ours.from.create(chunk).await;
    }
    let by_hand = seconds(|| hand.exchange());
    report.turn("sync_entries_vs_hand", count, by_hand, seconds_of(ours.exchange()).await);
    let updates = updates(&notes, count / 2);
    let deletes: Vec<String> = notes.iter().step_by(10).map(|note| note.id.clone()).collect();
    for chunk in updates.chunks(BATCH) {
        hand.from.update(chunk);
        ours.from.update(chunk).await;
    }
    for chunk in deletes.chunks(BATCH) {
        hand.from.delete(chunk);
        ours.from.delete(chunk).await;
    }
    let mixed = updates.len() + deletes.len();
    let by_hand = seconds(|| hand.exchange());
    report.turn("sync_mixed_vs_hand", mixed, by_hand, seconds_of(ours.exchange()).await);
    assert_eq!(i64::try_from(ours.to.count().await).unwrap(), hand.to.count());
    idle(report, "sync_idle_vs_hand", &mut hand, &ours).await;
    ours.close().await;
}

/// 300 exchanges of both devices with nothing to do.
async fn idle(report: &mut Report, key: &'static str, hand: &mut ByHand, ours: &ByUs) -> f64 {
    const ROUNDS: usize = 300;
    let by_hand = seconds(|| (0..ROUNDS).for_each(|_| hand.exchange()));
    let by_us = seconds_of(async {
        for _ in 0..ROUNDS {
            ours.exchange().await;
        }
    })
    .await;
    report.turn(key, ROUNDS, by_hand, by_us);
    by_us
}

/// What an entry costs, and an exchange with nothing to do, with 10^4, 10^5 and 10^6 entries in the shared log.
pub async fn sync_growth(report: &mut Report, scale: usize) {
    let dir = tempfile::tempdir().unwrap();
    let (mut hand, ours) = (ByHand::open(dir.path()), ByUs::open(dir.path()).await);
    let all = notes(1_000_000 / scale + 60_000, 7);
    let mut written = 0;
    let (mut costs, mut idles) = (Vec::new(), Vec::new());
    for (key, idle_key, until) in [
        ("sync_growth_vs_hand_at_1e4", "sync_idle_vs_hand_at_1e4", 10_000),
        ("sync_growth_vs_hand_at_1e5", "sync_idle_vs_hand_at_1e5", 100_000 / scale),
        ("sync_growth_vs_hand_at_1e6", "sync_idle_vs_hand_at_1e6", 1_000_000 / scale),
    ] {
        while written < until {
            let chunk = &all[written..written + BATCH];
            hand.from.create(chunk);
            ours.from.create(chunk).await;
            written += BATCH;
        }
        hand.exchange();
        ours.exchange().await;
        let mut cost = Vec::new();
        for _ in 0..11 {
            let chunk = &all[written..written + BATCH];
            hand.from.create(chunk);
            ours.from.create(chunk).await;
            let by_hand = seconds(|| hand.exchange());
            let by_us = seconds_of(ours.exchange()).await;
            report.turn(key, BATCH, by_hand, by_us);
            cost.push(by_us);
            written += BATCH;
        }
        costs.push(median(cost));
        idles.push(idle(report, idle_key, &mut hand, &ours).await);
    }
    report.figure("sync_cost_1e5_vs_1e4", costs[1] / costs[0]);
    report.figure("sync_cost_1e6_vs_1e4", costs[2] / costs[0]);
    report.figure("sync_idle_cost_1e6_vs_1e4", idles[2] / idles[0]);
    ours.close().await;
}

/// How much memory is needed while a million entries arrive, in MiB above what was in use before; and how many arrive a second.
pub async fn sync_memory(report: &mut Report, scale: usize) {
    let dir = tempfile::tempdir().unwrap();
    let ours = ByUs::open(dir.path()).await;
    let count = 1_000_000 / scale;
    for part in 0..10 {
        let notes = notes(count / 10, 10 + part);
        for chunk in notes.chunks(BATCH) {
            ours.from.create(chunk).await;
        }
    }
    // The peak is counted from here on.
    let Ok(()) = std::fs::write("/proc/self/clear_refs", "5") else {
        // Not every system tells the peak.
        report.figure("sync_arrival_peak_mib", f64::NAN);
        return ours.close().await;
    };
    let before = memory("VmRSS:");
    let start = Instant::now();
    ours.send.sync_once().await.unwrap();
    let sent = start.elapsed().as_secs_f64();
    report.figure("sync_send_1e6_per_second", count as f64 / sent);
    report.figure("sync_send_peak_mib", memory("VmHWM:") - before);
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = memory("VmRSS:");
    let start = Instant::now();
    ours.receive.sync_once().await.unwrap();
    report.figure("sync_arrival_1e6_per_second", count as f64 / start.elapsed().as_secs_f64());
    report.figure("sync_arrival_peak_mib", memory("VmHWM:") - before);
    assert_eq!(ours.to.count().await, count as u64);
    ours.close().await;
}
