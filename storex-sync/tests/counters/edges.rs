//! The ends of the range, floats, moments, and databases that somebody else writes to.

use std::sync::Arc;

use serde_json::json;
use storex_core::{Backend, Batch, Changes, Filter, Timestamp, Value};

use crate::support::{
    Device, assert_in_step, larger_schema, parked_count, pump, settle, shared_log,
};
use crate::together::{add, devices, set, stars};

/// Integers do not wrap: beyond the end of the range all devices hold the end of the range, and what is taken away later
/// brings them back.
#[tokio::test(start_paused = true)]
async fn increments_that_overflow_together_stop_at_the_end() {
    for (sign, end) in [(1, i64::MAX), (-1, i64::MIN)] {
        for a_sends_first in [false, true] {
            let (log, [a, b, c]) = devices(0).await;
            let most = end - sign * 10;
            add(&a, most).await;
            add(&b, most).await;
            add(&c, -sign * 5).await;
            let order = if a_sends_first { [&a, &b, &c] } else { [&c, &b, &a] };
            settle(&order, &log).await;
            assert_in_step(&order).await;
            assert_eq!(stars(&a).await, end);
            // More is refused here as everywhere, and nothing is logged.
            let more = json!({"stars": {"$inc": sign}});
            let refused = a.storage.dynamic("note").unwrap().update(&json!({}), &more).await;
            assert!(refused.is_err());
            // The application was told what it gets, so that is what everybody gets.
            add(&b, -sign * 7).await;
            assert_eq!(stars(&b).await, end - sign * 7);
            settle(&order, &log).await;
            assert_in_step(&order).await;
            assert_eq!(stars(&a).await, end - sign * 7);
            add(&a, sign * 3).await;
            add(&c, -sign * 3).await;
            settle(&order, &log).await;
            assert_in_step(&order).await;
            assert_eq!(stars(&a).await, end - sign * 7);
        }
    }
}

/// While nobody writes at the end of the range, what others take away brings the number back exactly.
#[tokio::test(start_paused = true)]
async fn what_is_taken_away_elsewhere_brings_the_number_back() {
    let (log, [a, b, c]) = devices(0).await;
    add(&a, i64::MAX - 10).await;
    add(&b, 100).await;
    a.sync(&log).await;
    add(&c, -1000).await;
    b.sync(&log).await;
    assert_eq!(stars(&b).await, i64::MAX);
    settle(&[&c, &b, &a], &log).await;
    assert_in_step(&[&a, &b, &c]).await;
    assert_eq!(stars(&b).await, i64::MAX - 10 - 900);
}

/// A device's own sum may leave the range although the number never did. Then it counts as a set, so nothing is wrong
/// afterwards.
#[tokio::test(start_paused = true)]
async fn a_sum_beyond_64_bits_is_a_set() {
    let (log, [a, b]) = devices(0).await;
    add(&a, i64::MAX).await;
    settle(&[&a, &b], &log).await;
    add(&b, -i64::MAX).await;
    settle(&[&b, &a], &log).await;
    add(&a, i64::MAX).await;
    settle(&[&a, &b], &log).await;
    assert_eq!((stars(&a).await, stars(&b).await), (i64::MAX, i64::MAX));
    add(&a, -1).await;
    add(&b, -1).await;
    settle(&[&a, &b], &log).await;
    assert_eq!((stars(&a).await, stars(&b).await), (i64::MAX - 2, i64::MAX - 2));
}

/// Null counts as zero, on both sides.
#[tokio::test(start_paused = true)]
async fn null_counts_as_zero() {
    let log = shared_log();
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    a.note("n", "no stars").await;
    settle(&[&a, &b], &log).await;
    add(&a, 1).await;
    add(&b, 2).await;
    settle(&[&a, &b], &log).await;
    assert_eq!((stars(&a).await, stars(&b).await), (3, 3));
}

async fn sample(device: &Device, field: &str) -> Value {
    let query = storex_core::Query::new("sample");
    let rows = device.storage.find(query).await.unwrap();
    let collection = device.storage.registry().collection("sample").unwrap();
    rows[0].get(collection.position(field).unwrap()).clone()
}

async fn add_sample(device: &Device, field: &str, by: impl Into<Value>) {
    let changes = Changes::new().increment(field, by);
    let batch = Batch::new().update("sample", Filter::All, changes);
    device.storage.execute(batch).await.unwrap();
}

async fn samples(object: serde_json::Value) -> (Arc<storex_sync::MemorySharedLog>, [Device; 3]) {
    let log = shared_log();
    let devices = [Device::new(1).await, Device::new(2).await, Device::new(3).await];
    devices[0].create("sample", object).await;
    settle(&devices.each_ref(), &log).await;
    (log, devices)
}

/// Sums of floats depend on the order in their last bits; the devices do not.
#[tokio::test(start_paused = true)]
async fn floats_are_the_same_everywhere_to_the_last_bit() {
    for first in 0..3 {
        for by_pump in [false, true] {
            let (log, all) = samples(json!({"id": "s", "float": 0.7})).await;
            let [a, b, c] = &all;
            for n in 0..5 {
                for (device, by) in [(a, 0.1), (b, 0.2), (c, -0.03)] {
                    add_sample(device, "float", by).await;
                    add_sample(device, "float", by * 7.3).await;
                }
                let mut order = [a, b, c];
                order.rotate_left(first);
                if by_pump && n == 2 {
                    pump(order[0], order[1]).await;
                    pump(order[2], order[0]).await;
                } else if n % 2 == 0 {
                    order[0].sync(&log).await;
                    order[1].sync(&log).await;
                }
            }
            settle(&[a, b, c], &log).await;
            assert_in_step(&[a, b, c]).await;
            let Value::Float(sum) = sample(a, "float").await else { panic!() };
            let exact = 0.7 + 5.0 * 8.3 * (0.1 + 0.2 - 0.03);
            assert!((sum - exact).abs() < 1e-9, "{sum} {exact}");
        }
    }
}

/// What one device alone adds up is what its database would hold without sync.
#[tokio::test(start_paused = true)]
async fn a_device_holds_the_float_that_it_was_told() {
    let (log, [a, b, _]) = samples(json!({"id": "s", "float": 0.3})).await;
    let mut expected = 0.3;
    for by in [0.1, 0.1, 1e17, -1e17, 0.7, 1e-9, 3.3] {
        add_sample(&a, "float", by).await;
        expected += by;
        assert_eq!(sample(&a, "float").await, Value::Float(expected));
        settle(&[&a, &b], &log).await;
        assert_eq!(sample(&b, "float").await, Value::Float(expected), "{by}");
        assert_in_step(&[&a, &b]).await;
    }
}

/// Finite floats stay finite together; what is infinite on one device counts as set there.
#[tokio::test(start_paused = true)]
async fn floats_stop_at_the_end_and_infinity_is_a_set() {
    let (log, [a, b, c]) = samples(json!({"id": "s", "float": 0.0})).await;
    add_sample(&a, "float", f64::MAX).await;
    add_sample(&b, "float", f64::MAX).await;
    settle(&[&a, &b, &c], &log).await;
    assert_in_step(&[&a, &b, &c]).await;
    assert_eq!(sample(&c, "float").await, Value::Float(f64::MAX));
    add_sample(&a, "float", f64::INFINITY).await;
    settle(&[&a, &b, &c], &log).await;
    assert_eq!(sample(&c, "float").await, Value::Float(f64::INFINITY));
    add_sample(&b, "float", 1.0).await;
    settle(&[&b, &a, &c], &log).await;
    assert_in_step(&[&a, &b, &c]).await;
}

/// A moment is moved by milliseconds, and stays one.
#[tokio::test(start_paused = true)]
async fn moments_are_moved_by_both() {
    let (log, [a, b, c]) = samples(json!({"id": "s"})).await;
    let at = |ms| Value::Timestamp(Timestamp(ms));
    for (field, from) in [("at", 1_000), ("date", 0)] {
        if from > 0 {
            let batch = Batch::new();
            let batch = batch.update("sample", Filter::All, Changes::new().set(field, at(from)));
            a.storage.execute(batch).await.unwrap();
            settle(&[&a, &b, &c], &log).await;
        }
        add_sample(&a, field, 10).await;
        add_sample(&b, field, 500).await;
        pump(&a, &c).await;
        settle(&[&a, &b, &c], &log).await;
        assert_in_step(&[&a, &b, &c]).await;
        assert_eq!(sample(&c, field).await, at(from + 510));
    }
}

/// What somebody has written into the database past storex is not logged; the next increment has it in it, everywhere.
#[tokio::test(start_paused = true)]
async fn what_was_written_past_storex_is_part_of_the_next_increment() {
    let (log, [a, b]) = devices(5).await;
    add(&a, 1).await;
    settle(&[&a, &b], &log).await;
    let past = Batch::new().update("note", Filter::All, Changes::new().set("stars", 100));
    a.backend.execute(past).await.unwrap();
    add(&a, 1).await;
    add(&b, 1000).await;
    assert_eq!(stars(&a).await, 101);
    settle(&[&a, &b], &log).await;
    assert_eq!((stars(&a).await, stars(&b).await), (1101, 1101));
}

/// Numbers that are older than sync, and not the same everywhere, become the same with the first increment.
#[tokio::test(start_paused = true)]
async fn numbers_older_than_sync_are_counted_too() {
    let old = |stars: i64| [json!({"id": "n", "title": "old", "stars": stars})];
    for (mine, theirs, together) in [(7, 7, 10), (5, 7, 10), (7, 5, 10)] {
        for by_pump in [false, true] {
            let log = shared_log();
            let a = Device::with_old_notes(1, &old(mine)).await;
            let b = Device::with_old_notes(2, &old(theirs)).await;
            add(&a, 1).await;
            add(&b, 2).await;
            if by_pump {
                pump(&a, &b).await;
                pump(&b, &a).await;
            }
            settle(&[&a, &b], &log).await;
            assert_in_step(&[&a, &b]).await;
            assert_eq!(stars(&a).await, together);
        }
    }
}

/// A transaction that has to wait holds up no later one, and its increment is counted once, before or after.
#[tokio::test(start_paused = true)]
async fn an_increment_in_a_parked_transaction_counts_once() {
    let log = shared_log();
    let (a, b) = (Device::with(1, larger_schema()).await, Device::new(2).await);
    a.create("note", json!({"id": "n", "title": "x", "stars": 0})).await;
    settle(&[&a, &b], &log).await;
    let batch = Batch::new()
        .update("note", Filter::key("n"), Changes::new().increment("stars", 1))
        .create("extra", vec![storex_core::Record::new(vec!["e".into(), "unknown to B".into()])]);
    a.storage.execute(batch).await.unwrap();
    add(&a, 10).await;
    add(&b, 100).await;
    settle(&[&a, &b], &log).await;
    assert_eq!(parked_count(&b).await, 1);
    assert_eq!((stars(&a).await, stars(&b).await), (111, 111));
    let b = b.reopened(larger_schema()).await;
    settle(&[&b, &a], &log).await;
    assert_eq!(parked_count(&b).await, 0);
    assert_eq!((stars(&a).await, stars(&b).await), (111, 111));
}

/// Sets of the same number by three, with increments in between, all concurrent: one of the sets counts, with what was added
/// to it.
#[tokio::test(start_paused = true)]
async fn of_several_sets_the_latest_keeps_what_was_added_to_it() {
    let (log, [a, b, c]) = devices(0).await;
    for (device, ahead, base) in [(&a, 10, 100), (&b, 30, 300), (&c, 20, 200)] {
        device.runtime.advance(ahead);
        add(device, 1).await;
        set(device, base).await;
        add(device, 1).await;
        add(device, 1).await;
    }
    settle(&[&c, &a, &b], &log).await;
    assert_in_step(&[&a, &b, &c]).await;
    assert_eq!(stars(&a).await, 302);
}
