//! Two and three devices on real storages.

use std::sync::Arc;

use serde_json::json;
use storex_core::{Batch, Changes, Filter};
use storex_sync::{Amount, EntryValue, MemorySharedLog, Relative};

use crate::support::log::{Call, Fault, ScriptedLog};
use crate::support::{Device, assert_in_step, dump_all, log_of, pump, settle, shared_log};

pub(crate) async fn add(device: &Device, by: i64) {
    device.update("note", json!({"id": "n"}), json!({"stars": {"$inc": by}})).await;
}

pub(crate) async fn set(device: &Device, stars: i64) {
    device.update("note", json!({"id": "n"}), json!({"stars": stars})).await;
}

pub(crate) async fn stars(device: &Device) -> i64 {
    let note = device.get("note", "n").await.expect("the note");
    note["stars"].as_i64().expect("a number")
}

/// A log, and devices that have the note from it, with so many stars.
pub(crate) async fn devices<const N: usize>(stars: i64) -> (Arc<MemorySharedLog>, [Device; N]) {
    let log = shared_log();
    let mut devices = Vec::new();
    for seed in 1..=N as u64 {
        devices.push(Device::new(seed).await);
    }
    devices[0].create("note", json!({"id": "n", "title": "x", "stars": stars})).await;
    settle(&devices.iter().collect::<Vec<_>>(), &log).await;
    (log, devices.try_into().unwrap())
}

/// How two devices come together.
#[derive(Debug, Clone, Copy)]
enum Way {
    /// This device exchanges with the log.
    Exchange(usize),
    /// The same, and every request arrives twice or its answer is lost.
    Trouble(usize),
    /// Initial sync from one to the other.
    Pump(usize, usize),
}

const WAYS: [Way; 6] = [
    Way::Exchange(0),
    Way::Exchange(1),
    Way::Trouble(0),
    Way::Trouble(1),
    Way::Pump(0, 1),
    Way::Pump(1, 0),
];

/// C8: A adds 1 and B adds 2 to 0, off-line, and both hold 3, in whatever order and however often they come together.
#[tokio::test(start_paused = true)]
async fn c08_increments_of_two_devices_both_count() {
    for first in WAYS {
        for second in WAYS {
            for third in WAYS {
                let what = format!("{first:?}, {second:?}, {third:?}");
                let log = shared_log();
                let scripted = ScriptedLog::new(&log);
                let (a, b) = (Device::new(1).await, Device::new(2).await);
                a.create("note", json!({"id": "n", "title": "x", "stars": 0})).await;
                settle(&[&a, &b], &log).await;
                add(&a, 1).await;
                add(&b, 2).await;
                let both = [&a, &b];
                for way in [first, second, third] {
                    match way {
                        Way::Exchange(at) => drop(both[at].sync(&log).await),
                        Way::Trouble(at) => {
                            scripted.script(Call::Append, [Fault::Duplicate, Fault::DropAnswer]);
                            scripted.script(Call::Read, [Fault::DropAnswer, Fault::Duplicate]);
                            for _ in 0..3 {
                                let _ = both[at].join(&scripted).await.sync_once().await;
                            }
                            scripted.heal();
                        }
                        Way::Pump(from, to) => drop(pump(both[from], both[to]).await),
                    }
                }
                settle(&both, &log).await;
                assert_eq!((stars(&a).await, stars(&b).await), (3, 3), "{what}");
                // Somebody new, from the log alone; and somebody who was filled by the one, then hears the log.
                let (c, d) = (Device::new(3).await, Device::new(4).await);
                pump(&b, &d).await;
                settle(&[&c, &d, &a, &b], &log).await;
                assert_eq!((stars(&c).await, stars(&d).await), (3, 3), "{what}");
                assert_in_step(&[&a, &b, &c, &d]).await;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn concurrent_increments_are_no_conflict() {
    let (log, [a, b]) = devices(5).await;
    add(&a, 1).await;
    add(&b, 1).await;
    a.sync(&log).await;
    let at_b = b.sync(&log).await.received;
    let at_a = a.sync(&log).await.received;
    assert_eq!((at_a.conflicts, at_b.conflicts), (vec![], vec![]));
    assert_eq!((at_a.entries, at_b.entries), (1, 1));
    assert_eq!((stars(&a).await, stars(&b).await), (7, 7));
}

/// A set beats increments that it had not seen, whichever comes first and whatever the clocks say; that is a conflict.
#[tokio::test(start_paused = true)]
async fn a_set_beats_increments_that_it_had_not_seen() {
    for set_is_later in [false, true] {
        for set_sends_first in [false, true] {
            let (log, [a, b]) = devices(5).await;
            a.runtime.advance(if set_is_later { 1_000 } else { 1 });
            b.runtime.advance(500);
            set(&a, 40).await;
            add(&b, 1).await;
            let (first, second) = if set_sends_first { (&a, &b) } else { (&b, &a) };
            first.sync(&log).await;
            let at_second = second.sync(&log).await.received.conflicts;
            let at_first = first.sync(&log).await.received.conflicts;
            assert_eq!((stars(&a).await, stars(&b).await), (40, 40));
            for (device, conflicts) in [(first, at_first), (second, at_second)] {
                assert_eq!(conflicts.len(), 1);
                assert_eq!(conflicts[0].field.as_deref(), Some("stars"));
                let set_arrived = std::ptr::eq(device, &b);
                assert_eq!(conflicts[0].incoming_won, set_arrived);
            }
            // What is added from now on counts for both.
            add(&a, 1).await;
            add(&b, 2).await;
            settle(&[&a, &b], &log).await;
            assert_eq!((stars(&a).await, stars(&b).await), (43, 43));
        }
    }
}

/// A set by somebody who had seen the increments has them in it.
#[tokio::test(start_paused = true)]
async fn a_set_that_had_seen_the_increments_is_no_conflict() {
    let (log, [a, b, c]) = devices(5).await;
    add(&a, 1).await;
    settle(&[&a, &b], &log).await;
    set(&b, stars(&b).await * 2).await;
    b.sync(&log).await;
    let at_a = a.sync(&log).await.received.conflicts;
    let at_c = c.sync(&log).await.received.conflicts;
    assert_eq!((at_a, at_c), (vec![], vec![]));
    assert_eq!((stars(&a).await, stars(&b).await, stars(&c).await), (12, 12, 12));
}

/// An increment that comes without the set on which it was made brings what was set with it, and counts once beside the rest.
#[tokio::test(start_paused = true)]
async fn an_increment_may_overtake_its_set_and_its_fellows() {
    let (log, [a, b, c]) = devices(5).await;
    set(&a, 100).await;
    add(&a, 1).await;
    // B has it from A directly, and is the first to tell the log.
    pump(&a, &b).await;
    add(&b, 10).await;
    b.sync(&log).await;
    c.sync(&log).await;
    assert_eq!(stars(&c).await, 110, "A's own increment has not come yet");
    add(&c, 1000).await;
    settle(&[&a, &c, &b], &log).await;
    assert_in_step(&[&a, &b, &c]).await;
    assert_eq!(stars(&c).await, 1111);
}

/// Both sides of an initial sync have added something, and a third whom only one of them knows.
#[tokio::test(start_paused = true)]
async fn initial_sync_joins_what_both_sides_have_added() {
    for back_first in [false, true] {
        let (log, [a, b, c]) = devices(0).await;
        add(&c, 100).await;
        c.sync(&log).await;
        a.sync(&log).await;
        add(&a, 1).await;
        add(&a, 1).await;
        add(&b, 10).await;
        let (first, second) = if back_first { (&b, &a) } else { (&a, &b) };
        pump(first, second).await;
        assert_eq!(stars(second).await, 112);
        pump(second, first).await;
        pump(second, first).await;
        assert_eq!(stars(first).await, 112);
        add(first, 1).await;
        settle(&[&a, &b, &c], &log).await;
        assert_in_step(&[&a, &b, &c]).await;
        assert_eq!(stars(&c).await, 113);
    }
}

fn int(amount: Amount) -> i64 {
    match amount {
        Amount::Int(int) => int,
        float @ Amount::Float(..) => panic!("{float:?}"),
    }
}

/// Several changes of one object in one batch, and what the log says of each.
#[tokio::test(start_paused = true)]
async fn increments_and_sets_in_one_batch() {
    let (log, [a, b]) = devices(1).await;
    let add = |by: i64| Changes::new().increment("stars", by);
    let n = || Filter::key("n");
    let batch = Batch::new()
        .update("note", n(), add(1))
        .update("note", n(), Changes::new().set("stars", 10).set("title", "y"))
        .update("note", n(), add(2).set("title", "z"))
        .update("note", n(), add(3));
    a.storage.execute(batch).await.unwrap();
    self::add(&b, 100).await;
    let logged = log_of(&a).await.pop().unwrap();
    let told: Vec<(i64, Option<i64>)> = logged
        .entries
        .iter()
        .map(|entry| {
            let sum = entry.values[1].counted().map(|counted| int(counted.sum));
            (entry.values[1].value().as_int().unwrap(), sum)
        })
        .collect();
    assert_eq!(told, [(2, Some(1)), (10, None), (12, Some(2)), (15, Some(5))]);
    let bases: Vec<_> =
        logged.entries[2..].iter().map(|it| it.values[1].counted().unwrap()).collect();
    assert_eq!(bases[0].base, logged.stamp(1));
    assert_eq!((bases[1].base, &bases[1].from), (logged.stamp(1), &10.into()));
    settle(&[&a, &b], &log).await;
    assert_in_step(&[&a, &b]).await;
    assert_eq!(stars(&b).await, 15, "the set beats what B has added");
    // The last word of a batch: a set ends the counter, a delete and a create begin anew.
    let batch = Batch::new().update("note", n(), add(1)).update(
        "note",
        n(),
        Changes::new().set("stars", 7),
    );
    a.storage.execute(batch).await.unwrap();
    settle(&[&a, &b], &log).await;
    assert_eq!((stars(&a).await, stars(&b).await), (7, 7));
}

/// A new life begins with what it was created with; what was added to the old one is gone.
#[tokio::test(start_paused = true)]
async fn a_new_life_starts_anew() {
    for by_pump in [false, true] {
        let (log, [a, b]) = devices(5).await;
        add(&a, 1).await;
        a.delete("note", json!({})).await;
        a.create("note", json!({"id": "n", "title": "x", "stars": 50})).await;
        add(&a, 2).await;
        add(&b, 100).await;
        if by_pump {
            pump(&b, &a).await;
            pump(&a, &b).await;
        }
        settle(&[&b, &a], &log).await;
        assert_in_step(&[&a, &b]).await;
        assert_eq!(stars(&b).await, 52);
    }
}

/// The log keeps what was meant, and the row what the application was told.
#[tokio::test(start_paused = true)]
async fn the_log_tells_the_increment_and_its_result() {
    let (_, [a]) = devices(5).await;
    add(&a, -2).await;
    let logged = log_of(&a).await.pop().unwrap();
    let EntryValue::Changed { change, to } = &logged.entries[0].values[1] else {
        panic!("{logged:?}");
    };
    let Relative::Increment { by, counted } = &**change else { panic!("{change:?}") };
    assert_eq!((by, to), (&(-2).into(), &3.into()));
    let counted = counted.as_ref().unwrap();
    assert_eq!((&counted.from, counted.sum), (&5.into(), Amount::Int(-2)));
    assert_eq!(stars(&a).await, 3);
}

/// A clock grows while there is a counter in it, and is as short as before when the number is set.
#[tokio::test(start_paused = true)]
async fn only_clocks_with_counters_grow() {
    let (_, [a]) = devices(5).await;
    let length = async || {
        let rows = dump_all(&a).await["_storex_clock"].clone();
        assert_eq!(rows.len(), 1);
        rows[0].get(2).as_bytes().unwrap().len()
    };
    set(&a, 6).await;
    let before = length().await;
    add(&a, 1).await;
    assert!(length().await > before);
    set(&a, 9).await;
    assert_eq!(length().await, before);
}
