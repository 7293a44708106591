//! Several at once, and sides that do not fit.

use storex_e2e::place::Place;
use storex_e2e::shop::{self, assert_equal};
use storex_sync::SyncError;

use crate::{assert_in_step, connection, exchange, one_way, sync_of};

const ROWS: u64 = 1500;

#[tokio::test]
async fn two_senders_to_one_receiver_at_once() {
    let place = Place::new();
    let a = shop::found(&place.a(), ROWS, 0..50, 50..70).await.unwrap();
    let c = shop::found(&place.c(), ROWS, 40..60, 60..100).await.unwrap();
    let b = shop::open(&place.b()).await.unwrap();
    tokio::join!(one_way(&a, &b), one_way(&c, &b));
    assert_eq!(shop::contents(&b).await.unwrap().len() as u64, ROWS, "all of both");
    // A and C learn of each other's: what is older than sync by an initial sync, the rest by the log too.
    tokio::join!(one_way(&b, &a), one_way(&b, &c));
    exchange(&place, &[&a, &b, &c]).await;
    let all = [(&b, &place.b()), (&a, &place.a()), (&c, &place.c())];
    assert_in_step(&all.map(|(device, path)| (device, path.as_path()))).await;
}

#[tokio::test]
async fn one_sender_to_two_receivers_at_once() {
    let place = Place::new();
    let a = shop::found(&place.a(), ROWS, 0..70, 70..100).await.unwrap();
    let b = shop::open(&place.b()).await.unwrap();
    let c = shop::open(&place.c()).await.unwrap();
    tokio::join!(one_way(&a, &b), one_way(&a, &c));
    let all = [(&a, &place.a()), (&b, &place.b()), (&c, &place.c())];
    assert_in_step(&all.map(|(device, path)| (device, path.as_path()))).await;
}

/// A sends to B, and B to A, over two connections.
#[tokio::test]
async fn each_to_the_other_at_once() {
    let place = Place::new();
    let a = shop::found(&place.a(), ROWS, 0..50, 50..60).await.unwrap();
    let b = shop::found(&place.b(), ROWS, 40..60, 60..100).await.unwrap();
    tokio::join!(one_way(&a, &b), one_way(&b, &a));
    assert_in_step(&[(&a, &place.a()), (&b, &place.b())]).await;
}

#[tokio::test]
async fn both_sending_or_both_receiving_is_told_to_both() {
    let place = Place::new();
    let a = shop::found(&place.a(), 200, 0..60, 0..0).await.unwrap();
    let b = shop::found(&place.b(), 200, 40..100, 0..0).await.unwrap();
    let before = (shop::contents(&a).await.unwrap(), shop::contents(&b).await.unwrap());
    let (at_a, at_b) = (sync_of(&a).await, sync_of(&b).await);
    for sends in [true, false] {
        let (mut here, mut there) = connection();
        let outcomes = match sends {
            true => tokio::join!(at_a.send(&mut here), at_b.send(&mut there)),
            false => tokio::join!(at_a.receive(&mut here), at_b.receive(&mut there)),
        };
        let both = if sends { "both sides want to send" } else { "both sides want to receive" };
        for error in [outcomes.0.unwrap_err(), outcomes.1.unwrap_err()] {
            assert!(matches!(error, SyncError::Protocol { .. }), "{error}");
            assert!(error.to_string().contains(both), "{error}");
        }
    }
    assert_equal(&shop::contents(&a).await.unwrap(), &before.0, "A is as it was");
    assert_equal(&shop::contents(&b).await.unwrap(), &before.1, "B is as it was");
}
