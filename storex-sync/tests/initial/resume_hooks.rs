//! An initial sync that was cut goes on with what the applications say to the objects.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use serde_json::json;
use storex_sync::{
    InitialSync, InitialSyncHooks, MemoryChannel, ObjectWrite, PassingObject, SyncHooks, SyncLog,
    Verdict,
};

use crate::support::channel::Watched;
use crate::support::{
    Device, assert_in_step, count, open, parked_count, schema, settle, shared_log,
};
use crate::told::{Told, one_way};

/// The notes that were shown, by their keys.
type Seen = Arc<Mutex<BTreeSet<String>>>;

const NOTES: usize = 20;

/// Four in the first half, the first and last of a page among them.
fn is_unwanted(id: &str) -> bool {
    ["n00", "n03", "n04", "n09"].contains(&id)
}

/// Drops some, and changes the others.
#[derive(Debug, Clone)]
struct Editor {
    on_the_way_out: bool,
    seen: Seen,
}

impl Editor {
    fn new(on_the_way_out: bool) -> Self {
        Self { on_the_way_out, seen: Seen::default() }
    }

    fn judge(&self, object: &mut PassingObject<'_>) -> Verdict {
        let key = object.key();
        let id = key.as_text().unwrap();
        self.seen.lock().unwrap().insert(id.to_owned());
        if is_unwanted(id) {
            return Verdict::Drop;
        }
        assert!(object.set("body", "edited on the way"));
        Verdict::Pass
    }
}

#[async_trait]
impl InitialSyncHooks for Editor {
    async fn before_send(&self, object: &mut PassingObject<'_>) -> Result<Verdict, String> {
        Ok(if self.on_the_way_out { self.judge(object) } else { Verdict::Pass })
    }

    async fn after_receive(&self, object: &mut PassingObject<'_>) -> Result<Verdict, String> {
        Ok(if self.on_the_way_out { Verdict::Pass } else { self.judge(object) })
    }
}

/// Refuses some where they are to be written.
#[derive(Debug, Clone, Default)]
struct Guard(Seen);

impl SyncHooks for Guard {
    fn before_apply(&self, write: &ObjectWrite<'_>) -> Result<(), String> {
        let id = write.key.as_text().unwrap().to_owned();
        let is_refused = is_unwanted(&id);
        self.0.lock().unwrap().insert(id);
        if is_refused { Err("nobody wants it".to_owned()) } else { Ok(()) }
    }
}

fn ids() -> impl Iterator<Item = String> {
    (0..NOTES).map(|n| format!("n{n:02}"))
}

async fn furnished() -> Device {
    let device = Device::new(1).await;
    for id in ids() {
        device.note(&id, "x").await;
    }
    device
}

/// The same data, opened anew.
async fn anew(device: &Device, log: SyncLog) -> Device {
    let storage = open(&device.backend, &device.runtime, schema(), log).await;
    Device { storage, ..device.clone() }
}

/// A side with small pages.
async fn end(device: &Device, hooks: Option<&Editor>) -> InitialSync {
    let end = InitialSync::open(&device.storage).await.unwrap().page(4);
    match hooks {
        Some(hooks) => end.hooks(hooks.clone()),
        None => end,
    }
}

/// How many frames a run has that is not cut.
async fn frames(hooks: Option<&Editor>) -> usize {
    let (a, b) = (furnished().await, Device::new(2).await);
    let (mut here, mut there) = Watched::pair(usize::MAX);
    let (sender, receiver) = (end(&a, hooks).await, end(&b, hooks).await);
    let (sent, received) = tokio::join!(sender.send(&mut here), receiver.receive(&mut there));
    assert!(sent.is_ok() && received.is_ok());
    here.frames()
}

#[tokio::test(start_paused = true)]
async fn what_is_dropped_and_changed_on_the_way_stays_so_after_a_cut() {
    for on_the_way_out in [true, false] {
        for cut_at in 0..frames(Some(&Editor::new(on_the_way_out))).await {
            let when = format!("on the way out: {on_the_way_out}, frame {cut_at}");
            let (log, hooks) = (shared_log(), Editor::new(on_the_way_out));
            let (a, b) = (furnished().await, Device::new(2).await);
            a.sync(&log).await;
            let (sender, receiver) = (end(&a, Some(&hooks)).await, end(&b, Some(&hooks)).await);
            let (_, received) = one_way(&sender, &receiver, Watched::pair(cut_at)).await;
            if received.is_ok() {
                continue;
            }
            let there = count(&b, "note").await;
            let (a, b) = (anew(&a, SyncLog::new()).await, anew(&b, SyncLog::new()).await);
            let (at_a, at_b) = (Told::default(), Told::default());
            let sender = at_a.listen(end(&a, Some(&hooks)).await);
            let receiver = at_b.listen(end(&b, Some(&hooks)).await);
            let (sent, received) = one_way(&sender, &receiver, MemoryChannel::pair()).await;
            assert_eq!(sent.unwrap().objects, received.unwrap().objects, "{when}");

            assert!(hooks.seen.lock().unwrap().iter().cloned().eq(ids()), "{when}");
            assert!(count(&b, "note").await >= there, "{when}");
            for id in ids() {
                let note = b.get("note", &id).await;
                let body = note.map(|note| note["body"].clone());
                let edited = (!is_unwanted(&id)).then(|| json!("edited on the way"));
                assert_eq!(body, edited, "{when}: {id}");
            }
            for (told, role) in [(at_a, "sender"), (at_b, "receiver")] {
                assert_eq!(last_progress(&told), format!("{role} {NOTES}/{NOTES}"), "{when}");
            }
            // What was dropped counts as not seen, also where that was before the cut.
            a.retitle("n03", "written later").await;
            settle(&[&a, &b], &log).await;
            assert_eq!(parked_count(&b).await, 0, "{when}");
            assert_eq!(count(&b, "note").await, NOTES as u64, "{when}");
            assert_eq!(b.title("n03").await.as_deref(), Some("written later"), "{when}");
        }
    }
}

/// Rows that do not go into one page: what is kept back is told with the page that it stands before.
#[tokio::test(start_paused = true)]
async fn among_large_rows_what_is_kept_back_counts_once_after_a_cut() {
    let (a, title) = (Device::new(1).await, "x".repeat(600_000));
    for id in ["n00", "n01", "n02", "n03"] {
        a.note(id, &title).await;
    }
    for cut_at in 0.. {
        let (b, hooks) = (Device::new(2).await, Editor::new(true));
        let (sender, receiver) = (end(&a, Some(&hooks)).await, end(&b, None).await);
        let (_, received) = one_way(&sender, &receiver, Watched::pair(cut_at)).await;
        if received.is_ok() {
            assert!(cut_at > 10, "{cut_at}");
            break;
        }
        let told = Told::default();
        let sender = told.listen(end(&a, Some(&hooks)).await);
        let receiver = end(&b, None).await;
        let (sent, received) = one_way(&sender, &receiver, MemoryChannel::pair()).await;
        assert!(sent.is_ok() && received.is_ok(), "frame {cut_at}");
        assert_eq!(last_progress(&told), "sender 4/4", "frame {cut_at}");
        assert_eq!(count(&b, "note").await, 2, "frame {cut_at}");
    }
}

fn last_progress(told: &Told) -> String {
    told.all().into_iter().rfind(|it| it.contains('/')).unwrap()
}

#[tokio::test(start_paused = true)]
async fn what_may_not_be_written_waits_after_a_cut_and_nothing_is_missing() {
    for cut_at in 0..frames(None).await {
        let (log, guard) = (shared_log(), Guard::default());
        let guarded = || SyncLog::new().hooks(guard.clone());
        let (a, b) = (furnished().await, anew(&Device::new(2).await, guarded()).await);
        let (sender, receiver) = (end(&a, None).await, end(&b, None).await);
        let (_, received) = one_way(&sender, &receiver, Watched::pair(cut_at)).await;
        if received.is_ok() {
            continue;
        }
        let (a, b) = (anew(&a, SyncLog::new()).await, anew(&b, guarded()).await);
        let (sender, receiver) = (end(&a, None).await, end(&b, None).await);
        let (sent, received) = one_way(&sender, &receiver, MemoryChannel::pair()).await;
        assert!(sent.is_ok() && received.is_ok(), "frame {cut_at}");

        assert!(guard.0.lock().unwrap().iter().cloned().eq(ids()), "frame {cut_at}");
        for id in ids() {
            let is_here = b.title(&id).await.is_some();
            assert_eq!(is_here, !is_unwanted(&id), "frame {cut_at}: {id}");
        }
        let parked = storex_sync::parked(&b.storage).await.unwrap();
        assert_eq!(parked.len(), 4, "frame {cut_at}: each waits once");
        assert!(parked.iter().all(|it| it.reason.contains("nobody wants it")), "frame {cut_at}");

        // Another program has nothing against it.
        let b = anew(&b, SyncLog::new()).await;
        b.join(&log).await.retry_parked().await.unwrap();
        assert_eq!(parked_count(&b).await, 0, "frame {cut_at}");
        settle(&[&a, &b], &log).await;
        assert_in_step(&[&a, &b]).await;
    }
}
