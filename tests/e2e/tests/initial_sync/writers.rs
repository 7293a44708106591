//! Writers at work on both sides while everything goes from one to the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use storex_core::Storage;
use storex_e2e::is_long;
use storex_e2e::place::Place;
use storex_e2e::rng::Rng;
use storex_e2e::shop;

use crate::{assert_in_step, both_ways, exchange, one_way};

fn rows() -> u64 {
    if is_long() { 300_000 } else { 5000 }
}

/// Writes until it is stopped; tells how often.
async fn write(storage: Storage, name: &'static str, rows: u64, stop: Arc<AtomicBool>) -> u64 {
    let mut rng = Rng::new(name.bytes().map(u64::from).sum());
    let mut written = 0;
    while !stop.load(Ordering::SeqCst) {
        shop::write(&storage, &mut rng, name, rows).await.unwrap();
        written += 1;
        tokio::task::yield_now().await;
    }
    written
}

async fn with_writers(a: &Storage, b: &Storage, rows: u64, sync: impl Future<Output = ()>) {
    let stop = Arc::new(AtomicBool::new(false));
    let spawn = |storage: &Storage, name| {
        tokio::spawn(write(storage.clone(), name, rows, Arc::clone(&stop)))
    };
    let (at_a, at_b) = (spawn(a, "writer at A"), spawn(b, "writer at B"));
    let begun = Instant::now();
    sync.await;
    stop.store(true, Ordering::SeqCst);
    let (at_a, at_b) = (at_a.await.unwrap(), at_b.await.unwrap());
    println!("{rows} rows in {:?}, meanwhile {at_a} and {at_b} writes", begun.elapsed());
    assert!(at_a > 10 && at_b > 10, "the writers were at work: {at_a}, {at_b}");
}

#[tokio::test]
async fn one_way_with_writers_at_work_on_both_sides() {
    let (place, rows) = (Place::new(), rows());
    let a = shop::found(&place.a(), rows, 0..70, 70..100).await.unwrap();
    let b = shop::open(&place.b()).await.unwrap();
    with_writers(&a, &b, rows, one_way(&a, &b)).await;
    exchange(&place, &[&a, &b]).await;
    assert_in_step(&[(&a, &place.a()), (&b, &place.b())]).await;
}

#[tokio::test]
async fn both_ways_with_writers_at_work_on_both_sides() {
    let (place, rows) = (Place::new(), rows());
    let a = shop::found(&place.a(), rows, 0..50, 50..60).await.unwrap();
    let b = shop::found(&place.b(), rows, 40..70, 70..100).await.unwrap();
    with_writers(&a, &b, rows, both_ways(&a, &b)).await;
    exchange(&place, &[&a, &b]).await;
    assert_in_step(&[(&a, &place.a()), (&b, &place.b())]).await;
}
