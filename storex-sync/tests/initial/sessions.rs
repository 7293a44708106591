//! Sessions: roles, events, pauses, cancelling, silence. The cases of the system that we succeed are named `fast_sync_…`.

use std::sync::Arc;
use std::time::Duration;

use storex_core::Runtime;
use storex_sync::{InitialSync, MemoryChannel, SyncError};

use super::support::channel::Watched;
use super::support::{assert_in_step, count, dump_all, pump, settle, shared_log};
use super::told::{Told, at_progress, beside, both_ways, device, one_way, row_by_row};

const TWO: [(&str, &str); 2] = [("one", "Foo"), ("two", "Bar")];

#[tokio::test(start_paused = true)]
async fn fast_sync_1_packages_both_ways_then_everything_with_its_events() {
    let (a, b) = (device(1, &TWO).await, device(2, &[]).await);
    let (at_a, at_b) = (Told::default(), Told::default());
    let sender = at_a.listen(row_by_row(&a).await);
    let receiver = at_b.listen(row_by_row(&b).await);
    let (mut here, mut there) = MemoryChannel::pair();
    let (one, other) = tokio::join!(
        async {
            sender.send_package(&mut here, "secret-key", b"5555").await?;
            sender.receive_package(&mut here, "device-info").await
        },
        async {
            let key = receiver.receive_package(&mut there, "secret-key").await?;
            receiver.send_package(&mut there, "device-info", b"app").await?;
            Ok::<_, SyncError>(key)
        },
    );
    assert_eq!((one.unwrap(), other.unwrap()), (b"app".to_vec(), b"5555".to_vec()));
    let (sent, received) = one_way(&sender, &receiver, (here, there)).await;
    assert_eq!(sent.unwrap().total(), received.unwrap().total());
    assert_in_step(&[&a, &b]).await;
    let events = |role: &str| {
        let told = ["prepared 2 in 1", "0/2", "1/2", "2/2"].map(|event| format!("{role} {event}"));
        [told.to_vec(), vec!["finished".to_owned()]].concat()
    };
    assert_eq!(at_a.all(), events("sender"));
    assert_eq!(at_b.all(), events("receiver"));
    // Nothing is told, and nothing times out, when it is over.
    a.runtime.sleep(Duration::from_secs(1000)).await;
    assert_eq!(at_a.all().len(), 5);
    assert_eq!(at_b.all().len(), 5);
}

/// Also what would fall on a border of any size: the text is made of characters of four bytes.
#[tokio::test(start_paused = true)]
async fn fast_sync_3_and_l24_a_large_object_arrives_whole() {
    let big = "😀".repeat(80_000);
    let (a, b) =
        (device(1, &[("big", &big), ("one", "Foo"), ("two", "Bar")]).await, device(2, &[]).await);
    pump(&a, &b).await;
    assert_in_step(&[&a, &b]).await;
    assert_eq!(b.title("big").await, Some(big));
}

#[tokio::test(start_paused = true)]
async fn fast_sync_4_both_ways_whoever_has_more_receives_first() {
    let (a, b) = (device(1, &TWO).await, device(2, &[("three", "spam")]).await);
    let (at_a, at_b) = (Told::default(), Told::default());
    let (one, other) = (at_a.listen(row_by_row(&a).await), at_b.listen(row_by_row(&b).await));
    let (at_one, at_other) = both_ways(&one, &other, MemoryChannel::pair()).await;
    let (at_one, at_other) = (at_one.unwrap(), at_other.unwrap());
    assert_eq!((at_one.received.total(), at_one.sent.total()), (1, 3));
    assert_eq!((at_other.sent.total(), at_other.received.total()), (1, 3));
    assert_eq!(count(&b, "note").await, 3);
    assert_in_step(&[&a, &b]).await;
    let events = |first: &str, second: &str| {
        let first_leg = ["prepared 1 in 1", "0/1", "1/1"].map(|it| format!("{first} {it}"));
        let second_leg =
            ["prepared 3 in 1", "0/3", "1/3", "2/3", "3/3"].map(|it| format!("{second} {it}"));
        let mut all = first_leg.to_vec();
        all.push(format!("{first} becomes {second}"));
        all.extend(second_leg);
        all.push("finished".to_owned());
        all
    };
    assert_eq!(at_a.all(), events("receiver", "sender"));
    assert_eq!(at_b.all(), events("sender", "receiver"));
}

#[tokio::test(start_paused = true)]
async fn fast_sync_5_a_pause_of_either_side_holds_both_until_it_ends() {
    for pauses in ["sender", "receiver"] {
        let (a, b) = (device(1, &TWO).await, device(2, &[]).await);
        let (at_a, at_b) = (Told::default(), Told::default());
        let sender = at_a.listen(row_by_row(&a).await);
        let receiver = at_b.listen(row_by_row(&b).await).window(1);
        let control = if pauses == "sender" { sender.control() } else { receiver.control() };
        let pause = |sync: InitialSync, who: &str| {
            if who == pauses { at_progress(sync, 1, |control| control.pause()) } else { sync }
        };
        let (sender, receiver) = (pause(sender, "sender"), pause(receiver, "receiver"));
        let runs = beside(async move { one_way(&sender, &receiver, MemoryChannel::pair()).await });
        // Far beyond the deadline.
        a.runtime.sleep(Duration::from_secs(3600)).await;
        let until = |role: &str| {
            let told = ["prepared 2 in 1", "0/2", "1/2"].map(|it| format!("{role} {it}"));
            [told.to_vec(), vec!["paused".to_owned()]].concat()
        };
        assert_eq!(at_a.all(), until("sender"), "{pauses}");
        assert_eq!(at_b.all(), until("receiver"), "{pauses}");
        assert_eq!(count(&b, "note").await, 1);
        control.resume();
        let (sent, received) = runs.await.unwrap();
        sent.unwrap();
        received.unwrap();
        assert_in_step(&[&a, &b]).await;
        for (told, role) in [(at_a, "sender"), (at_b, "receiver")] {
            let rest = ["resumed".to_owned(), format!("{role} 2/2"), "finished".to_owned()];
            assert_eq!(told.all()[4..], rest, "{pauses}");
        }
    }
}

/// Cancelled is neither failed nor done, on both sides.
#[tokio::test(start_paused = true)]
async fn fast_sync_6_cancelling_ends_both_sides_and_what_has_arrived_stays() {
    for cancels in ["sender", "receiver"] {
        let (a, b) = (device(1, &TWO).await, device(2, &[]).await);
        let cancel = |sync: InitialSync, who: &str| {
            if who == cancels { at_progress(sync, 1, |control| control.cancel()) } else { sync }
        };
        let sender = cancel(row_by_row(&a).await, "sender");
        let receiver = cancel(row_by_row(&b).await.window(1), "receiver");
        let (sent, received) = one_way(&sender, &receiver, MemoryChannel::pair()).await;
        assert!(matches!(sent, Err(SyncError::Cancelled)), "{cancels}: {sent:?}");
        assert!(matches!(received, Err(SyncError::Cancelled)), "{cancels}: {received:?}");
        assert_eq!(count(&b, "note").await, 1, "{cancels}");
        pump(&a, &b).await;
        assert_in_step(&[&a, &b]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn fast_sync_7_a_receiver_is_told_that_the_sender_takes_its_time() {
    let (a, b) = (device(1, &TWO).await, device(2, &[]).await);
    let told = Told::default();
    let receiver = told.listen(row_by_row(&b).await).stall(Duration::from_millis(100));
    let control = receiver.control();
    let slow = super::packages_and_hooks::Slow::new(&a.runtime, 500, 0);
    let sender = row_by_row(&a).await.hooks(slow);
    let runtime = Arc::clone(&a.runtime);
    let runs = beside(async move {
        let (mut here, mut there) = MemoryChannel::pair();
        tokio::join!(
            async {
                runtime.sleep(Duration::from_millis(500)).await;
                sender.send(&mut here).await
            },
            async { receiver.receive(&mut there).await },
        )
    });
    a.runtime.sleep(Duration::from_millis(950)).await;
    let expected = ["stalled", "receiver prepared 2 in 1", "receiver 0/2", "stalled"];
    assert_eq!(told.all(), expected);
    control.cancel();
    let (sent, received) = runs.await.unwrap();
    assert!(matches!(sent, Err(SyncError::Cancelled)), "{sent:?}");
    assert!(matches!(received, Err(SyncError::Cancelled)), "{received:?}");
}

#[tokio::test(start_paused = true)]
async fn fast_sync_8_a_sender_is_told_that_the_receiver_takes_its_time() {
    let (a, b) = (device(1, &TWO).await, device(2, &[]).await);
    let told = Told::default();
    let sender = told.listen(row_by_row(&a).await).stall(Duration::from_millis(100));
    let receiver = row_by_row(&b).await.window(1);
    let (here, there) = Watched::pair(usize::MAX);
    let runtime = Arc::clone(&b.runtime);
    // From the accept on.
    let there = there.on_frame(move |n| {
        runtime.sleep(if n > 2 { Duration::from_millis(400) } else { Duration::ZERO })
    });
    let (sent, received) = one_way(&sender, &receiver, (here, there)).await;
    sent.unwrap();
    received.unwrap();
    let expected = [
        "sender prepared 2 in 1",
        "stalled",
        "sender 0/2",
        "sender 1/2",
        "stalled",
        "sender 2/2",
        "stalled",
        "stalled",
        "finished",
    ];
    assert_eq!(told.all(), expected, "the last silence is that before the finished");
}

/// Whatever is asked before it begins holds.
#[tokio::test(start_paused = true)]
async fn interruptable_what_was_asked_before_the_beginning_holds() {
    let (a, b) = (device(1, &TWO).await, device(2, &[]).await);
    let (sender, receiver) = (row_by_row(&a).await, row_by_row(&b).await);
    sender.control().pause();
    let control = sender.control();
    let told = Told::default();
    let receiver = told.listen(receiver);
    let runs = beside(async move {
        let ran = one_way(&sender, &receiver, MemoryChannel::pair()).await;
        (ran, sender, receiver)
    });
    a.runtime.sleep(Duration::from_secs(1000)).await;
    assert_eq!(count(&b, "note").await, 0);
    assert_eq!(told.all(), ["paused"]);
    control.resume();
    let ((sent, received), sender, receiver) = runs.await.unwrap();
    sent.unwrap();
    received.unwrap();
    assert_in_step(&[&a, &b]).await;
    // Cancelled for good.
    let before = dump_all(&b).await;
    a.note("three", "late").await;
    control.cancel();
    for _ in 0..2 {
        let (sent, received) = one_way(&sender, &receiver, MemoryChannel::pair()).await;
        assert!(matches!(sent, Err(SyncError::Cancelled)), "{sent:?}");
        assert!(matches!(received, Err(SyncError::Cancelled)), "{received:?}");
    }
    assert_eq!(dump_all(&b).await, before);
}

/// A sender whose application writes faster than it sends comes to an end all the same: what it sends is of one moment.
#[tokio::test(start_paused = true)]
async fn a_sender_whose_application_writes_on_and_on_comes_to_an_end() {
    let (a, b) = (device(1, &TWO).await, device(2, &[]).await);
    let writer = a.clone();
    let (here, there) = Watched::pair(usize::MAX);
    let here = here.on_frame(move |n| {
        let writer = writer.clone();
        async move { writer.note(&format!("z{n:09}"), "more").await }
    });
    let (sender, receiver) = (row_by_row(&a).await, row_by_row(&b).await);
    let (sent, received) = one_way(&sender, &receiver, (here, there)).await;
    assert_eq!((sent.unwrap().total(), received.unwrap().total()), (3, 3));
}

#[tokio::test(start_paused = true)]
async fn integration_1_to_3_sizes_decide_who_receives_first() {
    let (one, two, three) = (("one", "Foo"), ("two", "Bar"), ("three", "spam"));
    let cases: [(&[_], &[_], Option<&str>); 3] = [
        (&[one, two], &[three], Some("receiver becomes sender")),
        (&[one], &[two, three], Some("sender becomes receiver")),
        // Nobody has more.
        (&[], &[], None),
    ];
    for (ours, theirs, switch) in cases {
        let (a, b) = (device(1, ours).await, device(2, theirs).await);
        let (at_a, at_b) = (Told::default(), Told::default());
        let (one, other) = (at_a.listen(row_by_row(&a).await), at_b.listen(row_by_row(&b).await));
        let (at_one, at_other) = both_ways(&one, &other, MemoryChannel::pair()).await;
        at_one.unwrap();
        at_other.unwrap();
        assert_in_step(&[&a, &b]).await;
        assert_eq!(count(&a, "note").await as usize, ours.len() + theirs.len());
        let first = at_a.has("receiver becomes sender");
        assert_ne!(first, at_b.has("receiver becomes sender"));
        if let Some(switch) = switch {
            assert!(at_a.has(switch), "{:?}", at_a.all());
        }
        // Whoever calls first makes no difference.
        let (x, y) = both_ways(&other, &one, MemoryChannel::pair()).await;
        x.unwrap();
        y.unwrap();
        assert_in_step(&[&a, &b]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn integration_4_an_abort_leaves_what_was_there() {
    let (a, b) = (device(1, &[("a", "1"), ("b", "2"), ("c", "3")]).await, device(2, &[]).await);
    let one = at_progress(row_by_row(&a).await, 1, |control| control.cancel());
    let other = row_by_row(&b).await;
    let (x, y) = both_ways(&one, &other, MemoryChannel::pair()).await;
    assert!(matches!(x, Err(SyncError::Cancelled)), "{x:?}");
    assert!(matches!(y, Err(SyncError::Cancelled)), "{y:?}");
    assert_eq!((b.title("a").await.as_deref(), count(&b, "note").await), (Some("1"), 1));
}

/// L22: what is written between the end of an initial sync and the first exchange arrives, once.
#[tokio::test(start_paused = true)]
async fn l22_a_new_device_misses_nothing_that_was_uploaded_before_it_joins() {
    let log = shared_log();
    let (a, b) = (device(1, &TWO).await, device(2, &[]).await);
    a.sync(&log).await;
    pump(&a, &b).await;
    a.note("three", "uploaded before B joins").await;
    a.sync(&log).await;
    assert_eq!(b.sync(&log).await.received.transactions, 1);
    assert_in_step(&[&a, &b]).await;
}

/// L23: merged by stamp in both directions.
#[tokio::test(start_paused = true)]
async fn l23_both_ways_the_newer_copy_stays_whoever_has_it() {
    let log = shared_log();
    let (a, b) = (device(1, &TWO).await, device(2, &[]).await);
    settle(&[&a, &b], &log).await;
    b.runtime.advance(60_000);
    a.retitle("one", "A, older").await;
    b.retitle("one", "B, newer").await;
    a.delete("note", serde_json::json!({"id": "two"})).await;
    let (one, other) = (row_by_row(&a).await, row_by_row(&b).await);
    let (x, y) = both_ways(&one, &other, MemoryChannel::pair()).await;
    x.unwrap();
    y.unwrap();
    assert_in_step(&[&a, &b]).await;
    assert_eq!(a.title("one").await.as_deref(), Some("B, newer"));
    assert_eq!(a.title("two").await, None);
    settle(&[&a, &b], &log).await;
    assert_in_step(&[&a, &b]).await;
}

/// However much is deleted or created meanwhile, progress never goes back and ends with all.
#[tokio::test(start_paused = true)]
async fn c73_progress_is_monotonic_and_ends_with_all() {
    for deletes in [true, false] {
        let notes: Vec<String> = (0..20).map(|n| format!("n{n:02}")).collect();
        let notes: Vec<(&str, &str)> = notes.iter().map(|id| (id.as_str(), "x")).collect();
        let (a, b) = (device(1, &notes).await, device(2, &[]).await);
        let (at_a, at_b) = (Told::default(), Told::default());
        let sender = at_a.listen(InitialSync::open(&a.storage).await.unwrap().page(3));
        let receiver = at_b.listen(InitialSync::open(&b.storage).await.unwrap());
        let writer = a.clone();
        let (here, there) = Watched::pair(usize::MAX);
        let here = here.on_frame(move |n| {
            let writer = writer.clone();
            async move {
                if deletes && n == 6 {
                    writer.delete("note", serde_json::json!({"id": {"$gt": "n10"}})).await;
                } else if !deletes && (3..12).contains(&n) {
                    writer.note(&format!("z{n}"), "more").await;
                }
            }
        });
        let (sent, received) = one_way(&sender, &receiver, (here, there)).await;
        sent.unwrap();
        received.unwrap();
        for told in [at_a, at_b] {
            let progress: Vec<(f64, f64)> = told
                .all()
                .iter()
                .filter_map(|it| {
                    let (done, total) = it.split_once(' ')?.1.split_once('/')?;
                    Some((done.parse().ok()?, total.parse().ok()?))
                })
                .collect();
            assert_eq!(progress[0], (0.0, 20.0));
            let share = |(done, total): &(f64, f64)| done / total;
            assert!(
                progress.windows(2).all(|pair| share(&pair[0]) <= share(&pair[1])),
                "{progress:?}"
            );
            let (done, total) = progress[progress.len() - 1];
            assert!((done - total).abs() < 0.5, "{progress:?}");
        }
    }
}
