//! What goes wrong while a snapshot is made, published and taken.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use storex_sync::{
    Cursor, LogId, Member, MemorySharedLog, Page, Result, SealedTransaction, SharedSyncLog,
    Snapshot, SnapshotId, Snapshots, SyncError, Trimmed, Usage,
};

use crate::support::log::{Call, Fault, ScriptedLog};
use crate::support::{Device, assert_in_step, dump, schema, settle, shared_log};
use crate::{compact, eager, two_with_notes};

const MAKING: [Call; 6] =
    [Call::Usage, Call::Published, Call::PutPage, Call::Publish, Call::Dismiss, Call::Trim];

/// How something ends too early.
#[derive(Debug, Clone, Copy)]
enum Cut {
    /// A request never arrives.
    Failed,
    /// It arrives, and its answer does not.
    Unanswered,
    /// The program is killed before a request.
    KilledBefore,
    /// It is killed when the request was carried out.
    KilledAfter,
}

const CUTS: [Cut; 4] = [Cut::Failed, Cut::Unanswered, Cut::KilledBefore, Cut::KilledAfter];

impl Cut {
    /// The first `through` requests of a kind go through; with the next one it ends.
    fn after(self, log: &ScriptedLog, call: Call, through: usize) {
        let fault = match self {
            Self::Failed => Fault::Fail,
            Self::Unanswered => Fault::DropAnswer,
            Self::KilledBefore => {
                (0..through).for_each(|_| log.before(call, || async {}));
                return log.before(call, std::future::pending);
            }
            Self::KilledAfter => {
                (0..through).for_each(|_| log.after(call, || async {}));
                return log.after(call, std::future::pending);
            }
        };
        let mut script = vec![Fault::None; through];
        script.push(fault);
        log.script(call, script);
    }
}

/// Whether it came to its end.
async fn until_cut<T>(running: impl Future<Output = Result<T>>) -> bool {
    // Nothing takes so long but what never ends.
    matches!(tokio::time::timeout(Duration::from_secs(10), running).await, Ok(Ok(_)))
}

/// A new device gets everything, from the log alone.
async fn begins(log: &Arc<impl SharedSyncLog>, seed: u64, expected: &Device) -> Device {
    let device = Device::new(seed).await;
    eager(&device, log).await.sync_once().await.unwrap();
    assert_eq!(dump(&device).await, dump(expected).await);
    device
}

#[tokio::test(start_paused = true)]
async fn c09_making_is_cut_short_anywhere_and_nothing_is_lost() {
    for call in MAKING {
        for through in 0..3 {
            for cut in CUTS {
                let inner = shared_log();
                let (a, b) = two_with_notes(&inner, 60).await;
                let log = ScriptedLog::new(&inner);
                cut.after(&log, call, through);
                let ended = until_cut(eager(&a, &log).await.compact()).await;
                let reached = log.count(call) > through;
                assert_eq!(ended, !reached, "{call:?} {through} {cut:?}");
                let log = ScriptedLog::new(&inner);
                let a = a.reopened(schema()).await;
                // Nobody needs the second attempt.
                begins(&log, 3, &a).await;
                b.note("meanwhile", "x").await;
                settle(&[&a, &b], &log).await;
                compact(&a, &log).await;
                let c = begins(&log, 4, &a).await;
                settle(&[&a, &b, &c], &log).await;
                assert_in_step(&[&a, &b, &c]).await;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c22_taking_it_is_cut_short_anywhere_and_begun_again() {
    for call in [Call::Register, Call::Append, Call::Published, Call::Page, Call::Acknowledge] {
        for through in 0..3 {
            for cut in CUTS {
                let inner = shared_log();
                let (a, b) = two_with_notes(&inner, 60).await;
                compact(&a, &inner).await;
                a.note("tail", "x").await;
                a.sync(&inner).await;
                let log = ScriptedLog::new(&inner);
                let c = Device::new(3).await;
                c.note("of C", "not lost").await;
                cut.after(&log, call, through);
                let ended = until_cut(eager(&c, &log).await.sync_once()).await;
                let reached = log.count(call) > through;
                assert_eq!(ended, !reached, "{call:?} {through} {cut:?}");
                let c = c.reopened(schema()).await;
                eager(&c, &inner).await.sync_once().await.unwrap();
                settle(&[&a, &b, &c], &inner).await;
                assert_in_step(&[&a, &b, &c]).await;
                assert!(a.title("of C").await.is_some());
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c22_a_snapshot_that_is_replaced_while_it_is_read_is_taken_anew() {
    let inner = shared_log();
    let (a, b) = two_with_notes(&inner, 60).await;
    compact(&a, &inner).await;
    let log = ScriptedLog::new(&inner);
    for n in 0..2 {
        let (a, b, inner) = (a.clone(), b.clone(), Arc::clone(&inner));
        let hook = move || {
            let (a, b, inner) = (a.clone(), b.clone(), Arc::clone(&inner));
            async move {
                let c = Device::new(3).await.join(&inner).await.device().await.unwrap();
                inner.dismiss(c).await.unwrap();
                a.note(&format!("newer {n}"), "x").await;
                a.note(&format!("and newer {n}"), "x").await;
                settle(&[&a, &b], &inner).await;
                assert!(compact(&a, &inner).await.snapshot.is_some());
            }
        };
        log.before(Call::Page, || async {});
        log.before(Call::Page, hook);
    }
    let c = begins(&log, 3, &a).await;
    assert!(log.count(Call::Published) > 1);
    settle(&[&a, &b, &c], &inner).await;
    assert_in_step(&[&a, &b, &c]).await;
}

#[tokio::test(start_paused = true)]
async fn c22_a_log_that_is_compacted_again_and_again_is_told_and_found_later() {
    let inner = shared_log();
    let (a, b) = two_with_notes(&inner, 10).await;
    compact(&a, &inner).await;
    let log = ScriptedLog::new(&inner);
    let c = Device::new(3).await;
    let id = c.join(&log).await.device().await.unwrap();
    // After the snapshot was taken, and before what follows it is read.
    for n in 0..9 {
        let (a, b, inner) = (a.clone(), b.clone(), Arc::clone(&inner));
        log.before(Call::Read, move || {
            let (a, b, inner) = (a.clone(), b.clone(), Arc::clone(&inner));
            async move {
                inner.dismiss(id).await.unwrap();
                a.note(&format!("newer {n}"), "x").await;
                a.note(&format!("and newer {n}"), "x").await;
                settle(&[&a, &b], &inner).await;
                compact(&a, &inner).await;
            }
        });
    }
    let error = eager(&c, &log).await.sync_once().await.unwrap_err();
    assert!(matches!(error, SyncError::BelowFloor { .. }), "{error}");
    eager(&c, &inner).await.sync_once().await.unwrap();
    assert_in_step(&[&a, &c]).await;
}

/// What becomes of a page of this number; `None`: it is gone.
type Damage = fn(u64, Vec<u8>) -> Option<Vec<u8>>;

/// A log whose snapshot is damaged.
#[derive(Debug)]
struct Damaged {
    inner: Arc<MemorySharedLog>,
    /// Of each page, what becomes of it.
    damage: Mutex<Damage>,
}

#[async_trait]
impl SharedSyncLog for Damaged {
    async fn register(&self, device: storex_sync::Device) -> Result<LogId> {
        self.inner.register(device).await
    }

    async fn append(&self, transactions: &[SealedTransaction]) -> Result<()> {
        self.inner.append(transactions).await
    }

    async fn read(
        &self,
        reader: storex_sync::Device,
        after: &Cursor,
        limit: usize,
    ) -> Result<Page> {
        self.inner.read(reader, after, limit).await
    }

    async fn acknowledge(&self, reader: storex_sync::Device, cursor: &Cursor) -> Result<()> {
        self.inner.acknowledge(reader, cursor).await
    }

    async fn members(&self) -> Result<Vec<Member>> {
        self.inner.members().await
    }

    async fn dismiss(&self, device: storex_sync::Device) -> Result<bool> {
        self.inner.dismiss(device).await
    }

    async fn reidentify(&self, known: LogId) -> Result<LogId> {
        self.inner.reidentify(known).await
    }

    async fn trim(&self) -> Result<Trimmed> {
        self.inner.trim().await
    }

    fn snapshots(&self) -> Option<&dyn Snapshots> {
        Some(self)
    }
}

#[async_trait]
impl Snapshots for Damaged {
    async fn put_page(&self, id: SnapshotId, page: u64, bytes: &[u8]) -> Result<()> {
        self.inner.put_page(id, page, bytes).await
    }

    async fn publish(&self, snapshot: &Snapshot) -> Result<bool> {
        self.inner.publish(snapshot).await
    }

    async fn published(&self) -> Result<Option<Snapshot>> {
        self.inner.published().await
    }

    async fn page(&self, id: SnapshotId, page: u64) -> Result<Option<Vec<u8>>> {
        let damage = *self.damage.lock().unwrap();
        Ok(self.inner.page(id, page).await?.and_then(|bytes| damage(page, bytes)))
    }

    async fn usage(&self) -> Result<Usage> {
        self.inner.usage().await
    }
}

fn flipped(at: usize, mut bytes: Vec<u8>) -> Option<Vec<u8>> {
    let at = at.min(bytes.len() - 1);
    bytes[at] ^= 0x40;
    Some(bytes)
}

#[tokio::test(start_paused = true)]
async fn c22_a_damaged_snapshot_is_told_and_nothing_is_lost() {
    let damages: [Damage; 8] = [
        |_, _| None,
        |page, bytes| (page != 1).then_some(bytes),
        |_, _| Some(Vec::new()),
        |page, bytes| Some(bytes[..bytes.len() - usize::from(page == 2)].to_vec()),
        |page, bytes| if page == 0 { flipped(0, bytes) } else { Some(bytes) },
        |page, bytes| if page == 1 { flipped(8, bytes) } else { Some(bytes) },
        |page, bytes| if page == 2 { flipped(usize::MAX, bytes) } else { Some(bytes) },
        |_, bytes| Some([bytes, vec![0]].concat()),
    ];
    let inner = shared_log();
    let (a, b) = two_with_notes(&inner, 100).await;
    let made = compact(&a, &inner).await.snapshot.unwrap();
    assert!(made.pages > 2);
    let log = Arc::new(Damaged { inner: Arc::clone(&inner), damage: Mutex::new(|_, it| Some(it)) });
    let c = Device::new(3).await;
    c.note("of C", "not lost").await;
    for damage in damages {
        *log.damage.lock().unwrap() = damage;
        let error = eager(&c, &log).await.sync_once().await.unwrap_err();
        assert!(matches!(error, SyncError::BelowFloor { .. }), "{error}");
        assert_eq!(c.title("of C").await.as_deref(), Some("not lost"));
    }
    *log.damage.lock().unwrap() = |_, bytes| Some(bytes);
    eager(&c, &log).await.sync_once().await.unwrap();
    settle(&[&a, &b, &c], &log).await;
    assert_in_step(&[&a, &b, &c]).await;
}

#[tokio::test(start_paused = true)]
async fn c22_a_snapshot_with_pages_of_another_is_noticed() {
    let log = shared_log();
    let (a, _b) = two_with_notes(&log, 20).await;
    let made = compact(&a, &log).await.snapshot.unwrap();
    let first = log.page(made.id, 0).await.unwrap().unwrap();
    let forged = Snapshot { id: SnapshotId { number: 7, ..made.id }, ..made };
    for page in 0..forged.pages {
        log.put_page(forged.id, page, &first).await.unwrap();
    }
    assert!(log.publish(&forged).await.unwrap());
    let c = Device::new(3).await;
    let error = eager(&c, &log).await.sync_once().await.unwrap_err();
    assert!(matches!(error, SyncError::BelowFloor { .. }), "{error}");
}
