//! What the shared log knows of and cannot give: an object that has not arrived, or is damaged.

use std::sync::Arc;

use storex_memory::MemoryBackend;
use storex_sync::{
    BackendSharedLog, MissingWrite, SharedSyncLog, SyncHandle, SyncLog, SyncStatus, WriteId,
};
use tokio::time::{sleep, timeout};

use crate::in_both_places;
use crate::support::objects::{Harm, Objects, Whole};
use crate::support::place::{Place, StartIn};
use crate::support::{Device, assert_in_step, open, schema, settle, shared_log};
use crate::{INTERVAL, LONG, SECOND, every, exchanged, let_run};

/// Three notes, each in an object of its own; to the one in the middle something is done.
async fn three_notes(device: &Device, objects: &Objects, harm: Harm) -> (WriteId, Whole) {
    let sync = device.join(&objects.log).await;
    let mut writes = Vec::new();
    for id in ["first", "second", "third"] {
        device.note(&format!("{id}, {harm:?}"), "x").await;
        sync.sync_once().await.unwrap();
        writes.push(sync.last_write().await.unwrap().unwrap());
    }
    (writes[1], objects.harm(harm, writes[1].device, writes[1].sequence).await)
}

fn status(continuous: &Arc<dyn SyncHandle>) -> SyncStatus {
    continuous.status().borrow().clone()
}

/// That it is this transaction which is missing, in these words.
fn assert_missing(missing: &[MissingWrite], write: WriteId, words: &str) {
    let [one] = missing else { panic!("{missing:?}") };
    assert_eq!(one.write, write);
    assert!(one.reason.contains(words), "{}", one.reason);
}

/// What others have written arrives meanwhile.
async fn c69_not_in_step_until_everything_has_arrived(place: Place) {
    let objects = Objects::new().await;
    let (a, b, c) = (Device::new(1).await, Device::new(2).await, Device::new(3).await);
    let continuous = every(b.join(&objects.log).await, LONG).start_in(place).await;
    for harm in [Harm::Away, Harm::Cut, Harm::Flipped] {
        exchanged(&continuous).await;
        sleep(SECOND).await;
        assert!(status(&continuous).in_step && status(&continuous).missing.is_empty());

        let (write, whole) = three_notes(&a, &objects, harm).await;
        c.note(&format!("on C, {harm:?}"), "x").await;
        c.sync(&objects.log).await;
        let words = if harm == Harm::Away { "has not arrived" } else { whole.name.as_ref() };
        let report = exchanged(&continuous).await;
        assert_missing(&report.missing, write, words);
        assert_eq!(report.received.transactions, 2);
        assert!(b.title(&format!("on C, {harm:?}")).await.is_some(), "C is not held up");
        assert!(b.title(&format!("first, {harm:?}")).await.is_some());
        assert_eq!(b.title(&format!("third, {harm:?}")).await, None);
        sleep(SECOND).await;
        let told = status(&continuous);
        assert!(!told.in_step && told.failures == 0, "{told:?}");
        assert_missing(&told.missing, write, words);
        assert!(told.missing_since.is_some());

        b.runtime.advance(5_000);
        assert!(exchanged(&continuous).await.is_idle());
        let mut receiver = continuous.status();
        let waits = timeout(SECOND * 10, receiver.wait_for(|status| status.in_step));
        assert!(waits.await.is_err(), "{harm:?}: in step without it");
        assert_eq!(status(&continuous).missing_since, told.missing_since, "still the same");

        objects.bring(whole).await;
        let report = exchanged(&continuous).await;
        assert_eq!((report.received.transactions, report.missing), (2, vec![]));
        timeout(SECOND, receiver.wait_for(|status| status.in_step)).await.unwrap().unwrap();
        let told = status(&continuous);
        assert_eq!((told.missing, told.missing_since), (vec![], None));
        settle(&[&a, &c], &objects.log).await;
        assert_in_step(&[&a, &b, &c]).await;
    }
    continuous.stop().await;
}

async fn c71_what_is_missing_is_remembered_over_restarts(place: Place) {
    let objects = Objects::new().await;
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    let (write, whole) = three_notes(&a, &objects, Harm::Cut).await;
    let continuous = every(b.join(&objects.log).await, LONG).start_in(place).await;
    let_run().await;
    let before = status(&continuous);
    assert_missing(&before.missing, write, whole.name.as_ref());
    continuous.stop().await;

    b.runtime.advance(60_000);
    let storage = open(&b.backend, &b.runtime, schema(), SyncLog::new()).await;
    let b = Device { storage, ..b };
    let (connection, online) = tokio::sync::watch::channel(false);
    let builder = every(b.join(&objects.log).await, INTERVAL).online(online);
    let continuous = builder.start_in(place).await;
    let_run().await;
    let after = status(&continuous);
    assert_eq!((after.missing, after.missing_since), (before.missing, before.missing_since));
    assert!(!after.in_step && after.last_success.is_some());

    // It is found by the timer; and that nothing is missing any more is remembered too.
    connection.send_replace(true);
    sleep(INTERVAL * 2).await;
    assert!(!status(&continuous).in_step);
    objects.bring(whole).await;
    sleep(INTERVAL * 2).await;
    assert!(status(&continuous).in_step);
    assert_in_step(&[&a, &b]).await;
    continuous.stop().await;
    connection.send_replace(false);
    let builder = every(b.join(&objects.log).await, LONG).online(connection.subscribe());
    let continuous = builder.start_in(place).await;
    let_run().await;
    assert_eq!((status(&continuous).missing, status(&continuous).missing_since), (vec![], None));
    continuous.stop().await;
}

/// Objects that come one by one, in the wrong order: the next one that is missing is told.
async fn c12_what_is_missing_moves_on(place: Place) {
    let objects = Objects::new().await;
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    let (second, whole) = three_notes(&a, &objects, Harm::Away).await;
    let third = WriteId { sequence: second.sequence + 1, ..second };
    let last = objects.harm(Harm::Cut, third.device, third.sequence).await;
    let continuous = every(b.join(&objects.log).await, LONG).start_in(place).await;
    let_run().await;
    assert_missing(&status(&continuous).missing, second, "later ones have");
    let since = status(&continuous).missing_since;
    b.runtime.advance(5_000);
    objects.bring(whole).await;
    assert_missing(&exchanged(&continuous).await.missing, third, last.name.as_ref());
    sleep(SECOND).await;
    assert!(!status(&continuous).in_step);
    assert_eq!(status(&continuous).missing_since, since, "without a break");
    objects.bring(last).await;
    exchanged(&continuous).await;
    sleep(SECOND).await;
    assert!(status(&continuous).in_step);
    assert_in_step(&[&a, &b]).await;
    continuous.stop().await;
}

/// A log in which nothing arrives in parts.
async fn c69_nothing_is_missing_in_other_logs(place: Place) {
    let runtime = Arc::new(storex_memory::TestRuntime::new(99));
    let backend = BackendSharedLog::open(MemoryBackend::new(), runtime).await.unwrap();
    in_a_log(shared_log(), place).await;
    in_a_log(Arc::new(backend), place).await;
    in_a_log(Objects::new().await.log, place).await;
}

async fn in_a_log(log: Arc<impl SharedSyncLog>, place: Place) {
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    for id in ["first", "second"] {
        a.note(id, "x").await;
        a.sync(&log).await;
    }
    let continuous = every(b.join(&log).await, LONG).start_in(place).await;
    assert_eq!(exchanged(&continuous).await.missing, []);
    sleep(SECOND).await;
    let told = status(&continuous);
    assert_eq!((told.in_step, told.missing, told.missing_since), (true, vec![], None));
    assert_in_step(&[&a, &b]).await;
    continuous.stop().await;
}

in_both_places!(
    c69_not_in_step_until_everything_has_arrived,
    c71_what_is_missing_is_remembered_over_restarts,
    c12_what_is_missing_moves_on,
    c69_nothing_is_missing_in_other_logs,
);
