//! Writers at work on both sides while everything goes from one to the other.

use std::sync::atomic::{AtomicBool, Ordering};

use storex_core::Storage;
use storex_e2e::is_long;
use storex_e2e::place::Place;
use storex_e2e::rng::Rng;
use storex_e2e::shop;
use storex_sync::Sync;

use crate::{assert_in_step, both_ways, connection, exchange, one_way, shared_log, sync_of};

fn rows() -> u64 {
    if is_long() { 300_000 } else { 5000 }
}

/// Runs what brings everything over, and both writers until it has; they are told by the flag.
pub(crate) async fn beside(
    sync: impl Future<Output = ()>,
    stop: &AtomicBool,
    at_a: impl Future<Output = u64>,
    at_b: impl Future<Output = u64>,
) {
    let sync = async {
        sync.await;
        stop.store(true, Ordering::SeqCst);
    };
    let ((), at_a, at_b) = tokio::join!(sync, at_a, at_b);
    println!("meanwhile {at_a} and {at_b} writes");
    assert!(at_a >= 5 && at_b >= 5, "the writers were at work: {at_a}, {at_b}");
}

/// Writes until it is stopped; tells how often.
async fn write(storage: &Storage, name: &str, rows: u64, stop: &AtomicBool) -> u64 {
    let mut rng = Rng::new(name.bytes().map(u64::from).sum());
    let mut written = 0;
    while !stop.load(Ordering::SeqCst) {
        shop::write(storage, &mut rng, name, rows).await.unwrap();
        written += 1;
        tokio::task::yield_now().await;
    }
    written
}

async fn with_writers(a: &Storage, b: &Storage, rows: u64, sync: impl Future<Output = ()>) {
    let stop = AtomicBool::new(false);
    let at_a = write(a, "writer at A", rows, &stop);
    beside(sync, &stop, at_a, write(b, "writer at B", rows, &stop)).await;
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

#[tokio::test]
async fn what_differs_goes_both_ways_with_writers_at_work_on_both_sides() {
    // Each range that is compared is read by itself, and waits for a write.
    let (place, rows) = (Place::new(), rows() / 3);
    let a = shop::found(&place.a(), rows, 0..50, 50..70).await.unwrap();
    let b = shop::found(&place.b(), rows, 0..50, 60..100).await.unwrap();
    for _ in 0..2 {
        let difference = async {
            let (mut here, mut there) = connection();
            let at_a = sync_of(&a).await.difference_only();
            let at_b = sync_of(&b).await.difference_only();
            let (one, other) = tokio::join!(at_a.both_ways(&mut here), at_b.both_ways(&mut there));
            assert!(one.unwrap().sent.compared.is_some() && other.is_ok());
        };
        with_writers(&a, &b, rows, difference).await;
    }
    exchange(&place, &[&a, &b]).await;
    assert_in_step(&[(&a, &place.a()), (&b, &place.b())]).await;
}

/// A and C go on through the shared log while B receives from A: what came there before, meanwhile and after arrives at B once.
#[tokio::test]
async fn others_go_on_through_the_shared_log_meanwhile() {
    let (place, rows) = (Place::new(), rows());
    let a = shop::found(&place.a(), rows, 0..70, 70..100).await.unwrap();
    let (b, c) = (shop::open(&place.b()).await.unwrap(), shop::open(&place.c()).await.unwrap());
    one_way(&a, &c).await;
    exchange(&place, &[&a, &c]).await;
    let stop = AtomicBool::new(false);
    let go_on = async |storage: &Storage, name: &str| {
        let log = shared_log(&place).await;
        let sync = Sync::open(storage, log).await.unwrap();
        let (mut rng, mut written) = (Rng::new(name.len() as u64), 0);
        while !stop.load(Ordering::SeqCst) {
            shop::write(storage, &mut rng, name, rows).await.unwrap();
            written += 1;
            if written % 5 == 0 {
                sync.sync_once().await.unwrap();
            }
        }
        written
    };
    beside(one_way(&a, &b), &stop, go_on(&a, "A"), go_on(&c, "device C")).await;
    exchange(&place, &[&a, &c, &b]).await;
    let all = [(&a, &place.a()), (&b, &place.b()), (&c, &place.c())];
    assert_in_step(&all.map(|(device, path)| (device, path.as_path()))).await;
}
