//! A device that is chosen to hold less while it tells others everything, and what can be let go.

use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use storex_sync::{Channel, Compaction, InitialSync, MemoryChannel, SyncError};

use super::*;
use support::log::{Call, ScriptedLog};
use support::pump;

/// Lets a device hold less, and go of the rest, before it sends the second page.
#[derive(Debug)]
struct Narrowing<L> {
    inner: MemoryChannel,
    device: Device,
    log: Arc<L>,
    sent: usize,
}

#[async_trait]
impl<L: SharedSyncLog> Channel for Narrowing<L> {
    async fn send(&mut self, frame: Vec<u8>) -> storex_sync::Result<()> {
        self.sent += 1;
        if self.sent == 3 {
            subscribe(&self.device, &self.log, &["x"]).await;
            self.device.sync(&self.log).await;
        }
        self.inner.send(frame).await
    }

    async fn recv(&mut self) -> storex_sync::Result<Option<Vec<u8>>> {
        self.inner.recv().await
    }

    async fn close(&mut self) -> storex_sync::Result<()> {
        self.inner.close().await
    }
}

/// Two notebooks, in a log.
async fn two(log: &Arc<impl SharedSyncLog>) -> Device {
    let a = device(1).await;
    for n in 0..6 {
        write(&a, &n.to_string(), if n % 2 == 0 { "x" } else { "y" }).await;
    }
    a.sync(log).await;
    a
}

#[tokio::test(start_paused = true)]
async fn an_initial_sync_whose_sender_lets_go_is_not_complete() {
    let log = shared_log();
    let (a, b) = (two(&log).await, device(2).await);
    let (here, mut there) = MemoryChannel::pair();
    let mut here = Narrowing { inner: here, device: a.clone(), log: Arc::clone(&log), sent: 0 };
    let sender = InitialSync::open(&a.storage).await.unwrap().page(1);
    let receiver = InitialSync::open(&b.storage).await.unwrap();
    let (sent, received) = tokio::join!(sender.send(&mut here), receiver.receive(&mut there));
    let error = sent.unwrap_err();
    assert!(matches!(error, SyncError::HoldsLess) && error.is_retryable(), "{error}");
    assert!(received.unwrap_err().is_retryable());
    // It goes through once more, and what the sender does not hold comes from the log.
    pump(&a, &b).await;
    b.sync(&log).await;
    assert_eq!(ids(&b).await, ["0", "1", "2", "3", "4", "5"]);
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_whose_maker_lets_go_is_not_published() {
    let inner = shared_log();
    let (a, b) = (two(&inner).await, device(2).await);
    b.sync(&inner).await;
    let log = ScriptedLog::new(&inner);
    let (device_, shared, done) = (a.clone(), Arc::clone(&inner), Arc::new(AtomicBool::new(false)));
    log.before(Call::PutPage, move || {
        let (device, shared, done) = (device_.clone(), Arc::clone(&shared), Arc::clone(&done));
        async move {
            if !done.swap(true, Ordering::Relaxed) {
                subscribe(&device, &shared, &["x"]).await;
                device.sync(&shared).await;
            }
        }
    });
    let eager = Compaction { least: 1, most_behind: None };
    let sync = a.join(&log).await.compaction(eager);
    let sync = sync.limits(storex_sync::Limits { bytes: 1, transactions: 1 });
    let error = sync.compact().await.unwrap_err();
    assert!(matches!(error, SyncError::HoldsLess), "{error}");
    assert_eq!((log.count(Call::Publish), log.count(Call::Trim)), (0, 0));
    let c = device(3).await;
    c.sync(&inner).await;
    assert_eq!(ids(&c).await.len(), 6);
}

/// What the log could not give back stays, and goes when there is a snapshot.
#[tokio::test(start_paused = true)]
async fn what_the_log_has_no_more_does_not_go() {
    let log = shared_log();
    let (a, b) = (two(&log).await, device(2).await);
    settle(&[&b, &a], &log).await;
    assert!(log.trim().await.unwrap().transactions > 0);
    subscribe(&b, &log, &["x"]).await;
    b.sync(&log).await;
    assert_eq!(ids(&b).await.len(), 6);
    assert!(b.join(&log).await.is_letting_go().await.unwrap());
    let eager = Compaction { least: 1, most_behind: None };
    a.join(&log).await.compaction(eager).compact().await.unwrap().snapshot.unwrap();
    b.sync(&log).await;
    assert_eq!(ids(&b).await, ["0", "2", "4"]);
    assert!(!b.join(&log).await.is_letting_go().await.unwrap());
}

/// What an initial sync has passed over is brought when it is chosen, although nothing was read from a log.
#[tokio::test(start_paused = true)]
async fn a_scope_that_is_added_after_an_initial_sync_is_brought() {
    let log = shared_log();
    let (a, b) = (two(&log).await, holding(2, &log, &["x"]).await);
    pump(&a, &b).await;
    assert_eq!(ids(&b).await, ["0", "2", "4"]);
    subscribe(&b, &log, &["x", "y"]).await;
    assert_eq!(b.sync(&log).await.backfill, Some(storex_sync::Backfill::Complete));
    assert_eq!(ids(&b).await.len(), 6);
}

/// A device that never wrote says in an initial sync how far its clock is; nobody will ever hear of that.
#[tokio::test(start_paused = true)]
async fn what_is_outside_does_not_wait_for_what_nobody_wrote() {
    let log = shared_log();
    let (a, b) = (two(&log).await, holding(2, &log, &["x"]).await);
    let (silent, c) = (device(3).await, device(4).await);
    settle(&[&b, &silent], &log).await;
    pump(&silent, &c).await;
    c.retitle("1", "edited on C").await;
    settle(&[&c, &b], &log).await;
    b.sync(&log).await;
    assert_eq!(support::parked_count(&b).await, 0);
    assert_eq!(ids(&b).await, ["0", "2", "4"]);
    // What comes late after all is whole.
    silent.create("note", json!({"id": "7", "title": "late", "notebook": "x"})).await;
    settle(&[&silent, &a, &b], &log).await;
    assert_eq!(ids(&b).await, ["0", "2", "4", "7"]);
}

/// Who writes to an object has it from its author, and the author has not sent it yet.
#[tokio::test(start_paused = true)]
async fn what_was_passed_over_in_doubt_is_brought() {
    let log = shared_log();
    let (a, b) = (device(1).await, holding(2, &log, &["x"]).await);
    let c = device(3).await;
    settle(&[&a, &b], &log).await;
    write(&a, "1", "x").await;
    pump(&a, &c).await;
    c.retitle("1", "edited on C").await;
    settle(&[&c, &b], &log).await;
    b.sync(&log).await;
    assert_eq!(support::parked_count(&b).await, 0);
    settle(&[&a, &b], &log).await;
    b.sync(&log).await;
    assert_eq!(b.title("1").await.as_deref(), Some("edited on C"));
}

/// What has come from a device that is in no log is given to the log before it goes.
#[tokio::test(start_paused = true)]
async fn what_is_in_no_log_is_sent_before_it_goes() {
    let log = shared_log();
    let (a, b, lone) = (device(1).await, device(2).await, device(3).await);
    write(&lone, "1", "x").await;
    write(&lone, "2", "y").await;
    pump(&lone, &b).await;
    b.sync(&log).await;
    subscribe(&b, &log, &["x"]).await;
    b.sync(&log).await;
    assert_eq!(ids(&b).await, ["1"], "one exchange sends it, and lets go");
    a.sync(&log).await;
    assert_eq!(ids(&a).await, ["1", "2"], "the lone device is not needed for it");
    // It is sent once; what it says itself later is nothing new.
    shift(&a, "1", "y").await;
    settle(&[&a, &b], &log).await;
    assert_eq!((ids(&b).await.len(), log_of(&b).await.len()), (0, 0));
    lone.retitle("2", "later").await;
    settle(&[&lone, &a, &b], &log).await;
    assert_eq!(a.title("2").await.as_deref(), Some("later"));
    assert_eq!(held(&lone).await, held(&a).await);
}

/// What the log knows of and cannot give is no more a place for what goes than a log without its beginning.
#[cfg(feature = "object-store")]
#[tokio::test(start_paused = true)]
async fn nothing_goes_while_the_log_lacks_something() {
    use support::objects::{Harm, Objects};

    let objects = Objects::new().await;
    let log = &objects.log;
    let (a, b) = (device(1).await, device(2).await);
    write(&a, "1", "y").await;
    settle(&[&a, &b], log).await;
    for id in ["2", "3"] {
        write(&a, id, "y").await;
        a.sync(log).await;
    }
    let maker = a.join(log).await.device().await.unwrap();
    let whole = objects.harm(Harm::Flipped, maker, 2).await;
    subscribe(&b, log, &["x"]).await;
    assert!(!b.sync(log).await.missing.is_empty());
    assert_eq!(ids(&b).await, ["1"]);
    assert!(b.join(log).await.is_letting_go().await.unwrap());
    objects.bring(whole).await;
    b.sync(log).await;
    assert_eq!(ids(&b).await, [""; 0]);
    assert!(!b.join(log).await.is_letting_go().await.unwrap());
}
