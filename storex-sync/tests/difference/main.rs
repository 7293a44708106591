//! [`InitialSync::difference_only`]: two devices that hold mostly the same send each other what differs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../support/mod.rs"]
mod support;

mod meanwhile;
mod schemas;

use serde_json::json;
use storex_sync::{Compared, InitialSync, InitialSyncReport, MemoryChannel};
use support::{Device, assert_in_step, count, dump_all, log_of, settle, shared_log};

/// What differs, from one device to another.
async fn differ(from: &Device, to: &Device) -> (InitialSyncReport, InitialSyncReport) {
    let (mut here, mut there) = MemoryChannel::pair();
    let sender = InitialSync::open(&from.storage).await.unwrap().difference_only();
    let receiver = InitialSync::open(&to.storage).await.unwrap().difference_only();
    let (sent, received) = tokio::join!(sender.send(&mut here), receiver.receive(&mut there));
    let (sent, received) = (sent.unwrap(), received.unwrap());
    assert_eq!(sent.compared.is_some(), received.compared.is_some());
    assert_eq!(sent.total(), received.total());
    (sent, received)
}

/// What differs, in both directions: what the first has received, and the second.
async fn differ_both(a: &Device, b: &Device) -> (InitialSyncReport, InitialSyncReport) {
    let (mut here, mut there) = MemoryChannel::pair();
    let first = InitialSync::open(&a.storage).await.unwrap().difference_only();
    let second = InitialSync::open(&b.storage).await.unwrap().difference_only();
    let (one, two) = tokio::join!(first.both_ways(&mut here), second.both_ways(&mut there));
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_eq!((one.sent.total(), two.sent.total()), (two.received.total(), one.received.total()));
    (one.received, two.received)
}

fn compared(report: &InitialSyncReport) -> Compared {
    report.compared.expect("it was compared")
}

async fn notes(device: &Device, count: usize) {
    let notes: Vec<_> =
        (0..count).map(|n| json!({"id": format!("{n:05}"), "title": "x", "stars": n})).collect();
    device.storage.dynamic("note").unwrap().create_many(&notes).await.unwrap();
}

/// Two devices in step, each of which numbers the devices it knows in another order.
async fn in_step(count: usize) -> (Device, Device) {
    let log = shared_log();
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    notes(&a, count).await;
    b.note("of b", "x").await;
    a.create("tag", json!({"owner": 1, "name": "t", "colour": "red"})).await;
    b.create("tag", json!({"owner": 2, "name": "u"})).await;
    a.delete("note", json!({"id": "00000"})).await;
    settle(&[&a, &b], &log).await;
    a.update("note", json!({"id": "of b"}), json!({"stars": {"$inc": 1}})).await;
    b.update("note", json!({"id": "00001"}), json!({"title": "of b"})).await;
    settle(&[&a, &b], &log).await;
    assert_in_step(&[&a, &b]).await;
    (a, b)
}

#[tokio::test(start_paused = true)]
async fn devices_in_step_send_nothing() {
    let (a, b) = in_step(300).await;
    let before = dump_all(&b).await;
    for (from, to) in [(&a, &b), (&b, &a)] {
        let (sent, received) = differ(from, to).await;
        assert_eq!((sent.total(), sent.tombstones, received.kept), (0, 0, 0));
        assert_eq!(compared(&sent).round_trips, 1);
        assert!(compared(&sent).bytes < 4000, "{:?}", compared(&sent));
    }
    assert_eq!(dump_all(&b).await["_storex_clock"], before["_storex_clock"]);
    let (one, two) = differ_both(&a, &b).await;
    assert_eq!((one.total(), two.total()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn an_empty_device_gets_everything_whole() {
    let (a, _) = in_step(300).await;
    let b = Device::new(3).await;
    let (sent, _) = differ(&a, &b).await;
    assert_in_step(&[&a, &b]).await;
    assert_eq!((sent.total(), sent.tombstones), (302, 1));
    assert!(compared(&sent).bytes < 4000, "{:?}", compared(&sent));
    assert_eq!(log_of(&b).await, [], "nothing that arrives is logged");
    // And an empty one has nothing to send.
    let (sent, _) = differ(&Device::new(4).await, &a).await;
    assert_eq!((sent.total(), sent.tombstones), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn ten_differences_in_ten_thousand_objects_cost_little() {
    let (a, b) = in_step(10_000).await;
    for n in [17, 1234, 5000, 9999] {
        a.retitle(&format!("{n:05}"), "edited").await;
    }
    for n in [300, 4444, 8000] {
        a.delete("note", json!({"id": format!("{n:05}")})).await;
    }
    for n in [1, 7777, 20_000] {
        a.note(&format!("{n:05}+"), "new").await;
    }
    let (sent, received) = differ(&a, &b).await;
    assert_in_step(&[&a, &b]).await;
    assert_eq!((sent.total(), sent.tombstones, received.kept), (7, 3, 0));
    let cost = compared(&sent);
    assert!(cost.round_trips <= 4 && cost.bytes <= 25_000, "{cost:?}");
    let (again, _) = differ(&a, &b).await;
    assert_eq!((again.total(), again.tombstones), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn only_what_the_receiver_lacks_comes_and_its_own_stays() {
    let (a, b) = in_step(100).await;
    a.retitle("00010", "of a").await;
    b.runtime.advance(1000);
    b.retitle("00020", "of b").await;
    b.note("only b", "x").await;
    b.delete("note", json!({"id": "00030"})).await;
    let (_, received) = differ(&a, &b).await;
    assert_eq!(b.title("00010").await.as_deref(), Some("of a"));
    assert_eq!(b.title("00020").await.as_deref(), Some("of b"));
    assert_eq!(b.title("only b").await.as_deref(), Some("x"));
    assert_eq!(b.title("00030").await, None);
    // The sender cannot tell whose is newer: it sends what differs, and the receiver's stays.
    assert_eq!((received.total(), received.kept), (3, 2));
}

#[tokio::test(start_paused = true)]
async fn both_ways_each_gets_what_it_lacks() {
    let (a, b) = in_step(2000).await;
    a.retitle("00010", "of a").await;
    a.note("only a", "x").await;
    b.runtime.advance(1000);
    b.update("note", json!({"id": "00010"}), json!({"stars": 99})).await;
    b.note("only b", "x").await;
    a.delete("note", json!({"id": "01500"})).await;
    b.delete("note", json!({"id": "00600"})).await;
    let (to_a, to_b) = differ_both(&a, &b).await;
    assert_in_step(&[&a, &b]).await;
    let both = json!({"id": "00010", "title": "of a", "body": null, "stars": 99});
    assert_eq!(a.get("note", "00010").await, Some(both));
    assert_eq!((to_a.tombstones, to_b.tombstones), (1, 1));
    assert!(to_a.total() <= 4 && to_b.total() <= 4, "{to_a:?} {to_b:?}");
    let (to_a, to_b) = differ_both(&a, &b).await;
    assert_eq!((to_a.total(), to_b.total()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn objects_older_than_sync_are_compared_by_their_values() {
    let old: Vec<_> = (0..100).map(|n| json!({"id": format!("{n}"), "title": "o"})).collect();
    let mut others = old.clone();
    others[42]["title"] = json!("otherwise");
    let a = Device::with_old_notes(1, &others).await;
    let b = Device::with_old_notes(2, &old).await;
    let (sent, _) = differ(&a, &b).await;
    assert_eq!(b.title("42").await.as_deref(), Some("otherwise"));
    assert!((1..=2).contains(&sent.total()), "{}", sent.total());
    assert_eq!(count(&b, "_storex_clock").await, 0);
    assert_eq!(differ(&a, &b).await.0.total(), 0);
    assert_eq!(differ_both(&a, &b).await.0.total(), 0);
}

/// The same edit came to both through the log, so the clocks are equal, and what was there before is not.
#[tokio::test(start_paused = true)]
async fn what_is_older_than_sync_in_an_edited_object_is_compared_too() {
    let log = shared_log();
    let a = Device::with_old_notes(1, &[json!({"id": "1", "title": "a"})]).await;
    let b = Device::with_old_notes(2, &[json!({"id": "1", "title": "b"})]).await;
    a.update("note", json!({}), json!({"stars": 1})).await;
    settle(&[&a, &b], &log).await;
    assert_eq!(b.title("1").await.as_deref(), Some("b"));
    differ(&a, &b).await;
    assert_in_step(&[&a, &b]).await;
    assert_eq!(b.title("1").await.as_deref(), Some("a"));
}

/// A peer that cannot compare gets everything, and the report says so.
#[tokio::test(start_paused = true)]
async fn with_one_that_does_not_compare_everything_is_sent() {
    let (a, b) = in_step(50).await;
    for (one, other) in [(true, false), (false, true)] {
        let (mut here, mut there) = MemoryChannel::pair();
        let mut sender = InitialSync::open(&a.storage).await.unwrap();
        let mut receiver = InitialSync::open(&b.storage).await.unwrap();
        if one {
            sender = sender.difference_only();
        }
        if other {
            receiver = receiver.difference_only();
        }
        let (sent, received) = tokio::join!(sender.send(&mut here), receiver.receive(&mut there));
        let (sent, received) = (sent.unwrap(), received.unwrap());
        assert_eq!((sent.compared, received.compared), (None, None));
        assert_eq!((sent.total(), received.kept), (52, 53), "the tombstone stays too");
    }
}
