//! [`InitialSync`]: what one device holds comes to the other, merged by stamp, and nothing falls between it and the log.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod moment;
mod no_snapshots;
mod resume;
mod resume_hooks;
mod resume_scopes;
#[path = "../support/mod.rs"]
mod support;

mod faults;
mod greetings;
mod lines;
mod packages_and_hooks;
mod policies;
mod sessions;
mod told;
mod windows;

use std::sync::Arc;

use serde_json::json;
use storex_core::{ChangeEvent, Definition, ErrorKind, FieldType, Origin};
use storex_sync::{
    Channel, InitialSync, InitialSyncReport, MemoryChannel, Progress, Result, SyncError,
};
use support::channel::Watched;
use support::{Device, assert_in_step, count, dump, dump_all, log_of, pump, settle, shared_log};

/// Runs an initial sync over a watched channel, with small pages.
async fn run(
    from: &Device,
    to: &Device,
    ends: (Watched, Watched),
) -> (Result<InitialSyncReport>, Result<InitialSyncReport>) {
    let (mut here, mut there) = ends;
    let sender = InitialSync::open(&from.storage).await.unwrap().page(2);
    let receiver = InitialSync::open(&to.storage).await.unwrap();
    tokio::join!(sender.send(&mut here), receiver.receive(&mut there))
}

/// A device with a bit of everything: rows, tombstones, compound keys, rows older than sync.
async fn furnished(seed: u64) -> Device {
    let old = [json!({"id": "old 1", "title": "o"}), json!({"id": "old 2", "title": "o"})];
    let device = Device::with_old_notes(seed, &old).await;
    for n in 0..7 {
        device.note(&format!("n{n}"), "x").await;
        device.create("tag", json!({"owner": n, "name": "t", "colour": "red"})).await;
    }
    device.delete("note", json!({"id": {"$in": ["n1", "n4"]}})).await;
    device.delete("tag", json!({"owner": 3})).await;
    device.retitle("old 2", "edited").await;
    device.create("user", json!({"name": "Ada", "emails": [{"address": "a@x"}]})).await;
    device
}

#[tokio::test(start_paused = true)]
async fn everything_arrives_and_doing_it_twice_changes_nothing() {
    let (a, b) = (furnished(1).await, Device::new(2).await);
    let mut changes = b.storage.changes();
    let (sent, received) = pump(&a, &b).await;
    assert_in_step(&[&a, &b]).await;
    assert_eq!(sent.objects, received.objects);
    assert_eq!(sent.total(), 15);
    assert_eq!((sent.tombstones, received.tombstones), (3, 3));
    assert_eq!((sent.kept, received.kept), (0, 0));
    while let Some(ChangeEvent::Changed(set)) = changes.try_next() {
        assert_eq!(set.origin, Origin::Sync);
    }
    assert_eq!(log_of(&b).await, [], "nothing that arrives is logged");

    let before = dump_all(&b).await;
    pump(&a, &b).await;
    assert_eq!(dump_all(&b).await, before);
    // And back again.
    let before = dump(&a).await;
    pump(&b, &a).await;
    assert_eq!(dump(&a).await, before);
    let clocks = |dump: &support::Dump| dump["_storex_clock"].len();
    assert_eq!(clocks(&dump_all(&a).await), clocks(&dump_all(&b).await));
}

#[tokio::test(start_paused = true)]
async fn an_empty_device_sends_nothing_and_says_so() {
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    b.note("b", "stays").await;
    let (sent, received) = pump(&a, &b).await;
    assert_eq!((sent.total(), received.total(), received.kept), (0, 0, 0));
    assert_eq!(b.title("b").await.as_deref(), Some("stays"));
}

#[tokio::test(start_paused = true)]
async fn what_is_newer_on_the_receiver_stays_field_by_field() {
    let log = shared_log();
    let (a, b) = (Device::new(1).await, Device::skewed(2, 60_000).await);
    for id in ["1", "2", "3"] {
        a.create("note", json!({"id": id, "title": "x", "body": "x", "stars": 0})).await;
    }
    settle(&[&a, &b], &log).await;
    a.update("note", json!({"id": "1"}), json!({"title": "A", "body": "A"})).await;
    b.update("note", json!({"id": "1"}), json!({"title": "B", "stars": 5})).await;
    a.delete("note", json!({"id": "2"})).await;
    b.retitle("2", "B had not seen the delete").await;
    b.delete("note", json!({"id": "3"})).await;
    b.note("3", "second life").await;
    let (_, received) = pump(&a, &b).await;
    let merged = json!({"id": "1", "title": "B", "body": "A", "stars": 5});
    assert_eq!(b.get("note", "1").await, Some(merged.clone()));
    assert_eq!(b.get("note", "2").await, None, "tombstones travel");
    assert_eq!(b.title("3").await.as_deref(), Some("second life"));
    assert_eq!(received.kept, 1, "note 3; note 1 was merged");
    settle(&[&b, &a], &log).await;
    assert_in_step(&[&a, &b]).await;
    assert_eq!(a.get("note", "1").await, Some(merged));
}

/// Two data sets that are both older than sync: the sender's is taken, also where a field was edited since.
#[tokio::test(start_paused = true)]
async fn of_two_objects_older_than_sync_the_senders_is_taken() {
    for edited in [false, true] {
        let log = shared_log();
        let a = Device::with_old_notes(1, &[json!({"id": "1", "title": "A", "body": "A"})]).await;
        let b = Device::with_old_notes(2, &[json!({"id": "1", "title": "B", "body": "B"})]).await;
        if edited {
            a.update("note", json!({}), json!({"stars": 1})).await;
            b.retitle("1", "edited on B").await;
        }
        pump(&a, &b).await;
        let expected = if edited {
            json!({"id": "1", "title": "edited on B", "body": "A", "stars": 1})
        } else {
            json!({"id": "1", "title": "A", "body": "A", "stars": null})
        };
        assert_eq!(b.get("note", "1").await, Some(expected));
        settle(&[&a, &b], &log).await;
        assert_in_step(&[&a, &b]).await;
    }
}

/// Rows without a clock stay without one, and edits of either side merge into them.
#[tokio::test(start_paused = true)]
async fn rows_older_than_sync_are_edited_on_both_sides_afterwards() {
    let log = shared_log();
    let a = Device::with_old_notes(1, &[json!({"id": "1", "title": "o", "body": "o"})]).await;
    let (b, c) = (Device::new(2).await, Device::new(3).await);
    pump(&a, &b).await;
    assert_eq!(count(&b, "_storex_clock").await, 0);
    a.retitle("1", "A").await;
    b.update("note", json!({}), json!({"body": "B"})).await;
    settle(&[&a, &b], &log).await;
    assert_in_step(&[&a, &b]).await;
    // C has nothing of it: what it cannot apply is parked until its own initial sync.
    let report = c.sync(&log).await;
    assert_eq!((report.received.parked, report.received.transactions), (2, 0));
    pump(&b, &c).await;
    assert_eq!(storex_sync::parked(&c.storage).await.unwrap(), []);
    assert_in_step(&[&a, &b, &c]).await;
    assert_eq!(
        c.get("note", "1").await,
        Some(json!({"id": "1", "title": "A", "body": "B", "stars": null}))
    );
}

/// Wherever in a page the only object with a clock is, its clock is looked at: on the receiver, and on the sender.
#[tokio::test(start_paused = true)]
async fn one_clock_among_objects_older_than_sync_counts_wherever_it_is() {
    let ids: Vec<String> = (0..5).map(|n| format!("n{n}")).collect();
    let old: Vec<_> = ids.iter().map(|id| json!({"id": id, "title": "old"})).collect();
    for id in &ids {
        let a = Device::with_old_notes(1, &old).await;
        let b = Device::with_old_notes(2, &old).await;
        b.retitle(id, "edited").await;
        pump(&a, &b).await;
        assert_eq!(b.title(id).await.as_deref(), Some("edited"), "{id} on the receiver");
        a.retitle(id, "first").await;
        b.retitle(id, "edited again").await;
        b.retitle(id, "last").await;
        pump(&b, &a).await;
        assert_eq!(a.title(id).await.as_deref(), Some("last"), "{id} on the sender");
        assert_eq!(count(&a, "_storex_clock").await, 1);
    }
}

/// While the pump runs, the sender's application goes on writing: before, at and behind the place of the pump.
#[tokio::test(start_paused = true)]
async fn writes_during_the_pump_arrive_once() {
    for joined in [false, true] {
        let log = shared_log();
        let (a, b) = (furnished(1).await, Device::new(2).await);
        if joined {
            a.sync(&log).await;
        }
        let writer = a.clone();
        let (here, there) = Watched::pair(usize::MAX);
        let own = std::sync::atomic::AtomicUsize::new(0);
        let here = here.on_frame(move |_| {
            let writer = writer.clone();
            let n = own.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            async move {
                writer.note(&format!("a{n}"), "in front").await;
                writer.note(&format!("z{n}"), "behind").await;
                writer.update("note", json!({}), json!({"stars": {"$inc": 1}})).await;
                match n {
                    3 => writer.delete("note", json!({"id": {"$in": ["n0", "n6", "old 1"]}})).await,
                    6 => writer.note("n0", "again").await,
                    9 => writer.delete("tag", json!({})).await,
                    _ => {}
                }
            }
        });
        let (sent, received) = run(&a, &b, (here, there)).await;
        sent.unwrap();
        received.unwrap();
        assert_ne!(dump(&a).await, dump(&b).await, "the test has written during the pump");
        a.sync(&log).await;
        let report = b.sync(&log).await;
        assert_eq!(storex_sync::parked(&b.storage).await.unwrap(), []);
        assert_in_step(&[&a, &b]).await;
        let everything = log.len() as u64;
        assert!(report.received.transactions < everything, "what came by the pump is passed over");
        assert!(b.sync(&log).await.is_idle());
    }
}

/// The receiver's application writes too.
#[tokio::test(start_paused = true)]
async fn writes_on_the_receiver_during_the_pump_win_over_what_they_had_seen() {
    let log = shared_log();
    // The sender's clock is far ahead of the receiver's.
    let (a, b) = (Device::skewed(1, 3_600_000).await, Device::new(2).await);
    for n in 0..9 {
        a.note(&format!("n{n}"), "from A").await;
    }
    let writer = b.clone();
    let (here, there) = Watched::pair(usize::MAX);
    let there = there.on_frame(move |_| {
        let writer = writer.clone();
        async move {
            writer.update("note", json!({"title": "from A"}), json!({"title": "seen by B"})).await;
        }
    });
    let (sent, received) = run(&a, &b, (here, there)).await;
    sent.unwrap();
    received.unwrap();
    assert_eq!(
        b.storage.dynamic("note").unwrap().count(&json!({"title": "from A"})).await.unwrap(),
        0
    );
    settle(&[&a, &b], &log).await;
    assert_in_step(&[&a, &b]).await;
    assert_eq!(b.title("n0").await.as_deref(), Some("seen by B"));
}

/// The line breaks at every frame in turn: a clean error on both sides, edits meanwhile, and a second run completes it.
#[tokio::test(start_paused = true)]
async fn c20_a_channel_that_breaks_at_any_frame_is_a_clean_error_and_can_be_taken_up_again() {
    let (a, b) = (furnished(1).await, Device::new(2).await);
    let (here, there) = Watched::pair(usize::MAX);
    let watch = here.on_frame(|_| async {});
    let (mut here, mut there) = (watch, there);
    let sender = InitialSync::open(&a.storage).await.unwrap().page(2);
    let receiver = InitialSync::open(&b.storage).await.unwrap();
    let (sent, received) = tokio::join!(sender.send(&mut here), receiver.receive(&mut there));
    sent.unwrap();
    received.unwrap();
    let frames = here.frames();
    assert!(frames > 20, "{frames}");

    for cut_at in 0..frames {
        let log = shared_log();
        let (a, b) = (furnished(1).await, Device::new(2).await);
        a.runtime.advance(3_600_000);
        a.retitle("n0", "from A's future").await;
        let (sent, received) = run(&a, &b, Watched::pair(cut_at)).await;
        for (side, result) in [("sender", sent), ("receiver", received)] {
            // The last frame may break when the other side is done already.
            if let Err(error) = result {
                assert!(
                    matches!(error, SyncError::Closed { .. }),
                    "{side}, frame {cut_at}: {error:?}"
                );
            } else {
                assert_eq!(cut_at, frames - 1, "{side} must have noticed");
            }
        }
        // B works with what it has got.
        let seen = b.title("n0").await.is_some();
        b.retitle("n0", "seen on B").await;
        b.note("b", "from B").await;
        let (sent, received) = run(&a, &b, Watched::pair(usize::MAX)).await;
        sent.unwrap();
        received.unwrap();
        settle(&[&a, &b], &log).await;
        assert_in_step(&[&a, &b]).await;
        assert_eq!(storex_sync::parked(&b.storage).await.unwrap(), []);
        let winner = if seen { "seen on B" } else { "from A's future" };
        assert_eq!(a.title("n0").await.as_deref(), Some(winner), "frame {cut_at}");
    }
}

/// Also without a second run: what the log brings completes it, for objects that were made under sync.
#[tokio::test(start_paused = true)]
async fn after_a_broken_line_the_log_alone_brings_the_rest() {
    for cut_at in 0..14 {
        let log = shared_log();
        let (a, b) = (Device::skewed(1, 3_600_000).await, Device::new(2).await);
        for n in 0..9 {
            a.note(&format!("n{n}"), "x").await;
        }
        a.delete("note", json!({"id": "n3"})).await;
        let (_, _) = run(&a, &b, Watched::pair(cut_at)).await;
        let seen = count(&b, "note").await;
        b.update("note", json!({"title": "x"}), json!({"title": "seen on B"})).await;
        // B's updates come to the log before A's creates.
        settle(&[&b, &a], &log).await;
        assert_in_step(&[&a, &b]).await;
        let edited = a.storage.dynamic("note").unwrap().count(&json!({"title": "seen on B"})).await;
        assert_eq!(edited.unwrap(), seen, "frame {cut_at}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_schema_that_does_not_fit_is_refused_before_the_first_row() {
    let larger = || support::larger_schema();
    let cases: [(_, _, &[&str]); 2] = [
        (larger(), support::schema(), &["extra"]),
        (support::wider_schema(), support::schema(), &["colour", "note"]),
    ];
    for (theirs, ours, words) in cases {
        let (a, b) = (Device::with(1, theirs).await, Device::with(2, ours).await);
        a.note("n", "x").await;
        let before = dump_all(&b).await;
        let (sent, received) = run(&a, &b, Watched::pair(usize::MAX)).await;
        let (sent, received) = (sent.unwrap_err(), received.unwrap_err());
        assert!(matches!(sent, SyncError::Remote { .. }), "{sent:?}");
        assert!(matches!(received, SyncError::Protocol { .. }), "{received:?}");
        for word in words {
            assert!(sent.to_string().contains(word), "{sent}");
            assert!(received.to_string().contains(word), "{received}");
        }
        assert_eq!(dump_all(&b).await, before);
    }
    // The other way round it fits: the receiver knows more.
    let (a, b) = (Device::new(1).await, Device::with(2, support::wider_schema()).await);
    a.note("n", "x").await;
    pump(&a, &b).await;
    assert_eq!(b.get("note", "n").await.unwrap()["colour"], json!(null));
}

/// A field that we require and the sender does not have: every row would fail, so it is told at once.
#[tokio::test(start_paused = true)]
async fn a_required_field_that_the_sender_lacks_is_told_before_the_first_row() {
    let stricter = support::schema().collection(
        Definition::new("note")
            .version(2)
            .field("title", FieldType::String)
            .optional("body", FieldType::Text)
            .optional("stars", FieldType::Int)
            .field("colour", FieldType::String),
    );
    let (a, b) = (Device::new(1).await, Device::with(2, stricter).await);
    a.note("n", "x").await;
    let (sent, received) = run(&a, &b, Watched::pair(usize::MAX)).await;
    for error in [sent.unwrap_err(), received.unwrap_err()] {
        assert!(error.to_string().contains("`colour`"), "{error}");
    }
}

/// Why the receiver gave up reaches the sender in full.
#[tokio::test(start_paused = true)]
async fn the_other_side_learns_the_whole_reason() {
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    a.note("1", "x").await;
    let (here, there) = Watched::pair(usize::MAX);
    let storage = b.storage.clone();
    let there = there.on_frame(move |n| {
        let storage = storage.clone();
        async move {
            // Behind the greetings.
            if n > 1 {
                let _ = storage.close().await;
            }
        }
    });
    let (sent, received) = run(&a, &b, (here, there)).await;
    assert!(matches!(received, Err(SyncError::Storage { .. })), "{received:?}");
    let sent = sent.unwrap_err();
    assert!(matches!(sent, SyncError::Remote { kind: ErrorKind::Closed, .. }), "{sent:?}");
    let sent = sent.to_string();
    assert!(sent.contains("committing a page") && sent.contains("closed"), "{sent}");
}

/// A value of a unique index goes from a deleted object to a new one.
#[tokio::test(start_paused = true)]
async fn what_a_delete_frees_is_free_for_what_comes() {
    let log = shared_log();
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    a.create("login", json!({"id": "1", "name": "ada"})).await;
    settle(&[&a, &b], &log).await;
    a.delete("login", json!({})).await;
    a.create("login", json!({"id": "2", "name": "ada"})).await;
    pump(&a, &b).await;
    assert_in_step(&[&a, &b]).await;
}

/// What a third device wrote, and A has: B gets it from A, and not again from the log.
#[tokio::test(start_paused = true)]
async fn c21_the_hand_over_has_no_gap_and_no_overlap() {
    let log = shared_log();
    let (a, b, c) = (Device::new(1).await, Device::new(2).await, Device::new(3).await);
    c.create("note", json!({"id": "c1", "title": "known to A", "stars": 1})).await;
    c.sync(&log).await;
    a.sync(&log).await;
    c.update("note", json!({}), json!({"stars": {"$inc": 1}})).await;
    c.note("c2", "not yet known to A").await;
    c.sync(&log).await;
    a.note("a1", "not sent yet").await;
    pump(&a, &b).await;
    c.note("c3", "later").await;
    c.sync(&log).await;
    let report = b.sync(&log).await;
    assert_eq!(report.received.transactions, 3, "c's second, third and fourth");
    a.sync(&log).await;
    assert!(b.sync(&log).await.is_idle(), "a's was in the pump");
    assert_in_step(&[&b, &a]).await;
    settle(&[&a, &b, &c], &log).await;
    assert_in_step(&[&a, &b, &c]).await;
}

/// What the sender could not apply itself it hands over as it is: the receiver may be able to.
#[tokio::test(start_paused = true)]
async fn what_is_parked_on_the_sender_is_not_lost_to_the_receiver() {
    for knows in [true, false] {
        let log = shared_log();
        let c = Device::with(3, support::larger_schema()).await;
        let a = Device::new(1).await;
        let b = if knows {
            Device::with(2, support::larger_schema()).await
        } else {
            Device::new(2).await
        };
        c.create("extra", json!({"id": "e", "text": "A does not know this"})).await;
        c.note("n", "x").await;
        c.sync(&log).await;
        assert_eq!(a.sync(&log).await.received.parked, 1);
        pump(&a, &b).await;
        b.sync(&log).await;
        let parked = storex_sync::parked(&b.storage).await.unwrap();
        if knows {
            assert_eq!(parked, []);
        } else {
            assert_eq!(parked, storex_sync::parked(&a.storage).await.unwrap());
        }
        let b = b.reopened(support::larger_schema()).await;
        b.sync(&log).await;
        assert_in_step(&[&c, &b]).await;
    }
}

/// A receiver that has a log of its own already stays with it.
#[tokio::test(start_paused = true)]
async fn a_receiver_with_a_log_of_its_own_keeps_it() {
    use storex_sync::{LogId, MemorySharedLog};
    let (mine, theirs) = (shared_log(), Arc::new(MemorySharedLog::new(LogId([8; 16]))));
    let (a, b, c) = (Device::new(1).await, Device::new(2).await, Device::new(3).await);
    a.note("a", "x").await;
    a.sync(&theirs).await;
    b.sync(&mine).await;
    pump(&a, &b).await;
    b.note("b", "x").await;
    b.sync(&mine).await;
    c.sync(&mine).await;
    assert_eq!((count(&b, "note").await, count(&c, "note").await), (2, 1));
}

/// After a hand-over the log knows the receiver, although it never registered from the beginning.
#[tokio::test(start_paused = true)]
async fn after_the_hand_over_the_log_knows_the_receiver() {
    use support::log::{Call, ScriptedLog};
    let scripted = ScriptedLog::new(&shared_log());
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    a.note("n", "x").await;
    a.sync(&scripted).await;
    pump(&a, &b).await;
    scripted.forget();
    b.sync(&scripted).await;
    assert_eq!(scripted.calls(), [Call::Register, Call::Read, Call::Acknowledge]);
}

#[tokio::test(start_paused = true)]
async fn progress_is_told_on_both_sides() {
    let (a, b) = (furnished(1).await, Device::new(2).await);
    let (mut here, mut there) = MemoryChannel::pair();
    let told: Arc<std::sync::Mutex<Vec<Progress>>> = Arc::default();
    let (sends, receives) = (Arc::clone(&told), Arc::clone(&told));
    let sender = InitialSync::open(&a.storage).await.unwrap().page(4);
    let sender = sender.on_progress(move |progress| sends.lock().unwrap().push(progress));
    let receiver = InitialSync::open(&b.storage).await.unwrap();
    let receiver = receiver.on_progress(move |progress| receives.lock().unwrap().push(progress));
    let (sent, received) = tokio::join!(sender.send(&mut here), receiver.receive(&mut there));
    sent.unwrap();
    received.unwrap();
    let told = told.lock().unwrap();
    assert_eq!(told.iter().filter(|it| it.done == 15 && it.total == 15).count(), 2);
    assert!(told.iter().all(|it| it.done <= it.total));
}

#[tokio::test(start_paused = true)]
async fn frames_out_of_place_are_refused_and_the_other_side_is_told() {
    let b = Device::new(2).await;
    // Empty, no frame, an unknown kind, and an answer where the hello should be.
    for frame in [vec![], vec![0xc1], vec![0x91, 0x63], vec![0x91, 0x04]] {
        let (mut here, mut there) = MemoryChannel::pair();
        here.send(frame.clone()).await.unwrap();
        let receiver = InitialSync::open(&b.storage).await.unwrap();
        let error = receiver.receive(&mut there).await.unwrap_err();
        assert!(
            matches!(error, SyncError::Protocol { .. } | SyncError::Corrupt { .. }),
            "{frame:?}: {error:?}"
        );
        let greeting = here.recv().await.unwrap().unwrap();
        assert_eq!(greeting[..2], [0x99, 0x09], "it greets first");
        let told = here.recv().await.unwrap().unwrap();
        assert_eq!(told[..2], [0x93, 0x07], "a failure with its reason");
    }
    // Two senders, or two receivers.
    let (mut here, mut there) = MemoryChannel::pair();
    let one = InitialSync::open(&b.storage).await.unwrap();
    let (x, y) = tokio::join!(one.send(&mut here), one.send(&mut there));
    assert!(x.is_err() && y.is_err(), "{x:?} {y:?}");
}
