//! Objects that have gone, and come back.

use super::*;
use support::{assert_in_step, pump};

async fn add(device: &Device, by: i64) {
    device.update("note", json!({"id": "1"}), json!({"stars": {"$inc": by}})).await;
}

async fn stars(device: &Device) -> Option<i64> {
    device.get("note", "1").await.map(|note| note["stars"].as_i64().unwrap())
}

async fn send(device: &Device, log: &Arc<impl SharedSyncLog>) {
    device.runtime.advance(10);
    device.join(log).await.send_once().await.unwrap();
}

async fn receive(device: &Device, log: &Arc<impl SharedSyncLog>) {
    device.runtime.advance(10);
    device.join(log).await.receive_once().await.unwrap();
}

/// A note in notebook x, on these devices.
async fn begin(first: &Device, others: &[&Device], log: &Arc<impl SharedSyncLog>) {
    let note = json!({"id": "1", "title": "1", "notebook": "x", "stars": 0});
    first.create("note", note).await;
    settle(&[first], log).await;
    settle(others, log).await;
}

/// Who moves it back has not heard of them.
#[tokio::test(start_paused = true)]
async fn own_increments_are_there_when_an_object_is_moved_back() {
    let log = shared_log();
    let (a, b) = (holding(1, &log, &["x"]).await, device(2).await);
    begin(&b, &[&a], &log).await;
    add(&a, 5).await;
    send(&a, &log).await;
    shift(&b, "1", "y").await;
    send(&b, &log).await;
    a.sync(&log).await;
    assert_eq!(stars(&a).await, None);
    b.runtime.advance(1_000);
    shift(&b, "1", "x").await;
    send(&b, &log).await;
    receive(&a, &log).await;
    assert_eq!(stars(&a).await, Some(5));
    add(&a, 1).await;
    for _ in 0..3 {
        settle(&[&a, &b], &log).await;
    }
    assert_eq!((stars(&a).await, stars(&b).await), (Some(6), Some(6)));
}

/// What has gone, and has come back in the meantime to another scope, still has them when it is moved once more.
#[tokio::test(start_paused = true)]
async fn own_increments_outlast_moves_elsewhere() {
    let log = shared_log();
    let (a, b) = (holding(1, &log, &["x"]).await, device(2).await);
    begin(&b, &[&a], &log).await;
    add(&a, 5).await;
    send(&a, &log).await;
    for book in ["y", "z", "y", "x"] {
        b.runtime.advance(1_000);
        shift(&b, "1", book).await;
        send(&b, &log).await;
        a.sync(&log).await;
    }
    add(&a, 1).await;
    for _ in 0..3 {
        settle(&[&a, &b], &log).await;
    }
    assert_eq!((stars(&a).await, stars(&b).await), (Some(6), Some(6)));
}

/// It comes from a device that is behind, to one that has chosen its scope again and has not read the log yet.
#[tokio::test(start_paused = true)]
async fn own_increments_are_there_after_an_initial_sync() {
    let log = shared_log();
    let (a, b, behind) = (holding(1, &log, &["x"]).await, device(2).await, device(3).await);
    begin(&b, &[&a, &behind], &log).await;
    add(&a, 5).await;
    a.sync(&log).await;
    subscribe(&a, &log, &["z"]).await;
    a.sync(&log).await;
    assert_eq!(stars(&a).await, None);
    subscribe(&a, &log, &["x", "z"]).await;
    pump(&behind, &a).await;
    assert_eq!(stars(&a).await, Some(5));
    add(&a, 1).await;
    settle(&[&a, &b, &behind], &log).await;
    for device in [&a, &b, &behind] {
        assert_eq!(stars(device).await, Some(6));
    }
}

/// What was set anew meanwhile begins at what it was set to.
#[tokio::test(start_paused = true)]
async fn own_increments_of_what_was_set_anew_do_not_count() {
    let log = shared_log();
    let (a, b) = (holding(1, &log, &["x"]).await, device(2).await);
    begin(&b, &[&a], &log).await;
    add(&a, 5).await;
    a.sync(&log).await;
    settle(&[&b], &log).await;
    b.update("note", json!({}), json!({"notebook": "y", "stars": 100})).await;
    settle(&[&b, &a], &log).await;
    shift(&b, "1", "x").await;
    settle(&[&b, &a], &log).await;
    assert_eq!(stars(&a).await, Some(100));
    add(&a, 1).await;
    settle(&[&a, &b], &log).await;
    assert_eq!((stars(&a).await, stars(&b).await), (Some(101), Some(101)));
}

/// It was deleted and made again: what was added to the former does not count, and what is written to the new one does.
#[tokio::test(start_paused = true)]
async fn what_was_marked_ends_with_the_life_of_the_object() {
    let log = shared_log();
    let (a, b) = (holding(1, &log, &["x"]).await, device(2).await);
    begin(&b, &[&a], &log).await;
    add(&a, 5).await;
    a.sync(&log).await;
    settle(&[&b], &log).await;
    shift(&b, "1", "y").await;
    settle(&[&b, &a], &log).await;
    b.delete("note", json!({})).await;
    b.create("note", json!({"id": "1", "title": "again", "notebook": "x", "stars": 1})).await;
    settle(&[&b, &a], &log).await;
    assert_eq!(stars(&a).await, Some(1));
    shift(&b, "1", "y").await;
    settle(&[&b, &a], &log).await;
    assert_eq!(ids(&a).await, [""; 0]);
    // Under the key of an object that is there elsewhere: it is the same object, in the life in which it went.
    a.runtime.advance(60_000);
    a.create("note", json!({"id": "1", "title": "of A", "notebook": "x", "stars": 7})).await;
    settle(&[&a, &b], &log).await;
    assert_eq!(held(&b).await, held(&a).await);
    assert_eq!((b.title("1").await.as_deref(), stars(&b).await), (Some("of A"), Some(7)));
}

/// Where updates win, what has gone outlives a delete that had not seen what was added to it.
#[tokio::test(start_paused = true)]
async fn own_increments_outlive_a_delete_where_updates_win() {
    let log = shared_log();
    let new = |seed: u64| async move {
        let (runtime, backend) = (Arc::new(TestRuntime::new(seed)), Arc::new(MemoryBackend::new()));
        let sync_log = scoped().update_wins(["note"]);
        let storage = support::open(&backend, &runtime, notes(), sync_log).await;
        Device { runtime, backend, storage }
    };
    let (a, b, c, d) = (new(1).await, new(2).await, new(3).await, new(4).await);
    subscribe(&a, &log, &["x"]).await;
    begin(&b, &[&a, &c, &d], &log).await;
    add(&a, 5).await;
    send(&a, &log).await;
    // C gives it a title, B moves it away, D deletes it: nobody has heard of anybody.
    c.retitle("1", "of C").await;
    shift(&b, "1", "y").await;
    send(&b, &log).await;
    a.sync(&log).await;
    assert_eq!(stars(&a).await, None);
    d.delete("note", json!({})).await;
    send(&d, &log).await;
    receive(&a, &log).await;
    // Another one moves it back to x without the increments.
    let sync = c.join(&log).await;
    sync.receive_once().await.unwrap();
    shift(&c, "1", "x").await;
    send(&c, &log).await;
    receive(&a, &log).await;
    add(&a, 1).await;
    for _ in 0..4 {
        settle(&[&a, &b, &c, &d], &log).await;
    }
    for device in [&a, &b, &c, &d] {
        assert_eq!(stars(device).await, Some(6));
    }
}

/// A device that is behind still has it in the scope that is held.
#[tokio::test(start_paused = true)]
async fn an_initial_sync_does_not_bring_back_what_has_gone() {
    let log = shared_log();
    let (a, b, behind) = (holding(1, &log, &["x"]).await, device(2).await, device(3).await);
    begin(&b, &[&a, &behind], &log).await;
    shift(&b, "1", "y").await;
    settle(&[&b, &a], &log).await;
    pump(&behind, &a).await;
    assert_eq!((ids(&a).await.len(), markers(&a).await), (0, 1));
    // Nor does what it says keep the object from coming back.
    behind.retitle("1", "edited").await;
    settle(&[&behind, &b], &log).await;
    shift(&b, "1", "x").await;
    settle(&[&b, &a], &log).await;
    assert_eq!(a.title("1").await.as_deref(), Some("edited"));
}

#[tokio::test(start_paused = true)]
async fn a_state_does_not_bring_back_what_has_gone() {
    let log = shared_log();
    let (a, b, behind) = (holding(1, &log, &["x"]).await, device(2).await, device(3).await);
    begin(&b, &[&a, &behind], &log).await;
    shift(&b, "1", "y").await;
    settle(&[&b, &a], &log).await;
    let sync = behind.join(&log).await;
    sync.send_state().await.unwrap();
    sync.send_once().await.unwrap();
    a.sync(&log).await;
    assert_eq!(ids(&a).await, [""; 0]);
    settle(&[&behind, &b, &a], &log).await;
    assert_eq!(held(&behind).await, held(&b).await);
    assert_eq!((ids(&a).await.len(), support::parked_count(&a).await), (0, 0));
}

/// The scope in which it is by now is chosen before the log is read again: what comes from a device that is behind is in that one.
#[tokio::test(start_paused = true)]
async fn what_has_gone_comes_in_the_scope_in_which_it_was_last_known() {
    let log = shared_log();
    let (a, b, behind) = (holding(1, &log, &["x"]).await, device(2).await, device(3).await);
    begin(&b, &[&a, &behind], &log).await;
    shift(&b, "1", "y").await;
    settle(&[&b, &a], &log).await;
    subscribe(&a, &log, &["y"]).await;
    pump(&behind, &a).await;
    assert_eq!(held(&a).await["1"]["notebook"], "y");
    settle(&[&a, &b], &log).await;
    assert_eq!(held(&a).await, held(&b).await);
}

/// It is in no state, no initial sync and no snapshot of the device that keeps it.
#[tokio::test(start_paused = true)]
async fn a_marker_is_nothing_to_others() {
    let log = shared_log();
    let (a, b, c) = (holding(1, &log, &["x"]).await, device(2).await, device(3).await);
    begin(&b, &[&a], &log).await;
    add(&a, 5).await;
    settle(&[&a, &b], &log).await;
    shift(&b, "1", "y").await;
    settle(&[&b, &a], &log).await;
    pump(&a, &c).await;
    assert_eq!((ids(&c).await.len(), clocks(&c).await), (0, 0));
    a.join(&log).await.send_state().await.unwrap();
    settle(&[&a, &b, &c], &log).await;
    assert_eq!(held(&c).await, held(&b).await);
    assert_eq!(stars(&c).await, Some(5));
    // And all of it goes when this device signs out.
    assert_eq!(markers(&a).await, 1);
    a.join(&log).await.sign_out().await.unwrap();
    assert_eq!(count(&a, "_storex_clock").await, 0);
}

/// A copy of the database goes on as another device: neither takes the place of the other.
#[tokio::test(start_paused = true)]
async fn a_copy_keeps_the_increments_of_the_original() {
    let log = shared_log();
    let (a, b) = (holding(1, &log, &["x"]).await, device(2).await);
    begin(&b, &[&a], &log).await;
    add(&a, 5).await;
    a.sync(&log).await;
    shift(&b, "1", "y").await;
    settle(&[&b, &a], &log).await;
    let copied = a.copied_with(9, notes()).await;
    let copy = Device { storage: open(&copied.backend, &copied.runtime).await, ..copied };
    shift(&b, "1", "x").await;
    settle(&[&b, &a], &log).await;
    add(&a, 1).await;
    a.sync(&log).await;
    copy.sync(&log).await;
    add(&copy, 10).await;
    for _ in 0..3 {
        settle(&[&copy, &a, &b], &log).await;
    }
    for device in [&a, &b, &copy] {
        assert_eq!(stars(device).await, Some(16));
    }
}

/// A device that is not done with sending has told it everything, and it has taken what it holds. What it holds later comes from the log.
#[tokio::test(start_paused = true)]
async fn what_was_claimed_before_it_was_held_is_taken_from_the_log() {
    let log = shared_log();
    let (a, b, c) = (device(1).await, device(2).await, device(3).await);
    begin(&a, &[&b, &c], &log).await;
    add(&c, 5).await;
    subscribe(&b, &log, &["y"]).await;
    b.sync(&log).await;
    pump(&c, &b).await;
    subscribe(&b, &log, &["x"]).await;
    b.sync(&log).await;
    assert_eq!(stars(&b).await, Some(0), "it is not in the log yet");
    settle(&[&c, &b], &log).await;
    assert_eq!(stars(&b).await, Some(5));
}

/// What others have written to such an object may come before it, and count for nothing as it is not here.
#[tokio::test(start_paused = true)]
async fn what_was_claimed_before_it_was_held_comes_with_what_others_wrote_to_it() {
    for is_heard_first in [false, true] {
        for scope in [Scope::only(["home", "work"]), Scope::All] {
            let log = shared_log();
            let (a, b, c) = (device(1).await, device(2).await, device(3).await);
            subscribe(&c, &log, &["home"]).await;
            settle(&[&a, &b, &c], &log).await;
            write(&a, "n", "work").await;
            pump(&a, &b).await;
            pump(&a, &c).await;
            b.update("note", json!({"id": "n"}), json!({"title": "of b"})).await;
            b.sync(&log).await;
            if is_heard_first {
                c.sync(&log).await;
            }
            c.join(&log).await.subscribe("note", scope).await.unwrap();
            c.sync(&log).await;
            a.sync(&log).await;
            c.sync(&log).await;
            assert_eq!(held(&c).await["n"]["title"], "of b");
            assert_eq!(count(&c, "_storex_parked").await, 0);
            settle(&[&a, &b, &c], &log).await;
            assert_in_step(&[&a, &b, &c]).await;
        }
    }
}

/// What it moved away while its clock was far ahead is believed by nobody: it does not keep the object away when the clock is right again.
#[tokio::test(start_paused = true)]
async fn a_marker_that_is_far_ahead_goes_with_the_clock_that_was_wrong() {
    let log = shared_log();
    let (a, b) = (holding(1, &log, &["x"]).await, device(2).await);
    begin(&b, &[&a], &log).await;
    let right = storex_core::Runtime::now(&*a.runtime);
    a.runtime.advance(30 * 24 * 3600 * 1000);
    shift(&a, "1", "y").await;
    settle(&[&a, &b], &log).await;
    assert_eq!((ids(&a).await.len(), markers(&a).await), (0, 1));
    assert_eq!(held(&b).await["1"]["notebook"], "x");
    a.runtime.set(right);
    b.retitle("1", "edited").await;
    settle(&[&b, &a, &b, &a], &log).await;
    assert_eq!(markers(&a).await, 0);
    pump(&b, &a).await;
    assert_eq!(a.title("1").await.as_deref(), Some("edited"));
}

/// A row that a program without sync has put where an object has gone from: it is older than sync, and nobody takes the marker for its clock.
#[tokio::test(start_paused = true)]
async fn a_row_without_a_log_under_a_marker_is_older_than_sync() {
    for compares in [false, true] {
        let log = shared_log();
        let (a, b, c) = (holding(1, &log, &["x"]).await, device(2).await, device(3).await);
        begin(&b, &[&a], &log).await;
        b.delete("note", json!({"id": "1"})).await;
        begin(&b, &[&a], &log).await;
        shift(&b, "1", "y").await;
        settle(&[&b, &a], &log).await;
        assert_eq!(markers(&a).await, 1);
        let text = |it: &str| storex_core::Value::Text(it.into());
        let mut row = held_rows(&b).await.remove(0);
        let note = a.storage.registry().find("note").unwrap();
        let at = |name: &str| note.fields().iter().position(|it| &*it.name == name).unwrap();
        row.set(at("title"), text("past the log"));
        row.set(at("notebook"), text("x"));
        let put = storex_core::Step::create("note", vec![row]);
        a.storage.apply(storex_core::Batch::new().step(put)).await.unwrap();
        if compares {
            write(&c, "2", "x").await;
            let (mut here, mut there) = storex_sync::MemoryChannel::pair();
            let sender = storex_sync::InitialSync::open(&a.storage).await.unwrap();
            let sender = sender.difference_only();
            let receiver = storex_sync::InitialSync::open(&c.storage).await.unwrap();
            let receiver = receiver.difference_only();
            let (sent, got) = tokio::join!(sender.send(&mut here), receiver.receive(&mut there));
            sent.unwrap();
            got.unwrap();
        } else {
            pump(&a, &c).await;
        }
        assert_eq!(c.title("1").await.as_deref(), Some("past the log"));
        // In the state it is in the life in which the others have it, and older than what they have, also the scope: it goes.
        a.join(&log).await.send_state().await.unwrap();
        settle(&[&a, &b], &log).await;
        assert_eq!(b.title("1").await.as_deref(), Some("1"));
        b.retitle("1", "later").await;
        settle(&[&b, &a], &log).await;
        assert_eq!((ids(&a).await.len(), markers(&a).await), (0, 1));
        assert_eq!(support::parked_count(&a).await, 0);
    }
}

async fn held_rows(device: &Device) -> Vec<storex_core::Record> {
    support::dump_all(device).await.remove("note").unwrap()
}
