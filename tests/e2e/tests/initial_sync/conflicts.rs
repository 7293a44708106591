//! Both ways between two devices that have each gone on by themselves.

use serde_json::{Value as Json, json};
use storex_core::Storage;
use storex_e2e::place::Place;
use storex_e2e::shop::{self, key};
use storex_sync::parked;

use crate::{assert_in_step, both_ways, connection, exchange, parked_count, sync_of};

const ROWS: u64 = 1000;

async fn update(storage: &Storage, collection: &str, n: u64, changes: Json) {
    let filter = json!({"id": key(collection, n)});
    let done = storage.dynamic(collection).unwrap().update(&filter, &changes).await.unwrap();
    assert_eq!(done.len(), 1, "{collection} {n} is there");
}

async fn delete(storage: &Storage, collection: &str, n: u64) {
    let filter = json!({"id": key(collection, n)});
    let done = storage.dynamic(collection).unwrap().delete(&filter).await.unwrap();
    assert_eq!(done.len(), 1, "{collection} {n} is there");
}

async fn get(storage: &Storage, collection: &str, n: u64) -> Option<Json> {
    let id = key(collection, n);
    storage.dynamic(collection).unwrap().get(id.as_str()).await.unwrap()
}

/// Two shops with all tracks from 160 to 239 in common (of 400), all of them older than sync on both.
async fn shops(place: &Place) -> (Storage, Storage) {
    let a = shop::found(&place.a(), ROWS, 0..60, 0..0).await.unwrap();
    let b = shop::found(&place.b(), ROWS, 40..100, 0..0).await.unwrap();
    (a, b)
}

#[tokio::test]
async fn conflicts_and_deletions_on_each_side_of_rows_older_than_sync() {
    let place = Place::new();
    let (a, b) = shops(&place).await;
    // The same object on both sides: other fields, the same field, the same number counted up.
    update(&a, "track", 160, json!({"name": "by A"})).await;
    update(&b, "track", 160, json!({"composer": "by B"})).await;
    update(&a, "track", 161, json!({"name": "by A"})).await;
    update(&b, "track", 161, json!({"name": "by B"})).await;
    // Deleted on one side; edited on the other, which had not seen that.
    delete(&a, "track", 163).await;
    update(&b, "track", 163, json!({"name": "lost"})).await;
    delete(&b, "track", 164).await;
    update(&a, "track", 164, json!({"name": "lost"})).await;
    // Deleted on both sides; on one side only.
    delete(&a, "track", 165).await;
    delete(&b, "track", 165).await;
    delete(&a, "line", 210).await;
    delete(&b, "line", 211).await;
    // A parent with all that belongs to it; the other side has added to it.
    delete(&a, "album", 7).await;
    let new = json!({"id": "added by B", "name": "n", "milliseconds": 1, "album": key("album", 7)});
    b.dynamic("track").unwrap().create(new).await.unwrap();

    both_ways(&a, &b).await;
    assert_in_step(&[(&a, &place.a()), (&b, &place.b())]).await;
    // Which of two writes in one millisecond is the later one is not known here; it is the same one everywhere.
    let winner = get(&a, "track", 161).await.unwrap()["name"].clone();
    assert!(winner == "by A" || winner == "by B", "{winner}");
    for device in [&a, &b] {
        let merged = get(device, "track", 160).await.unwrap();
        assert_eq!((&merged["name"], &merged["composer"]), (&json!("by A"), &json!("by B")));
        assert_eq!(get(device, "track", 161).await.unwrap()["name"], winner);
        for (collection, n) in
            [("track", 163), ("track", 164), ("track", 165), ("line", 210), ("line", 211)]
        {
            assert_eq!(get(device, collection, n).await, None, "{collection} {n} is deleted");
        }
        assert!(
            get(device, "track", 0).await.is_some() && get(device, "track", 399).await.is_some()
        );
    }
    // And the log changes nothing of that.
    exchange(&place, &[&a, &b]).await;
    assert_in_step(&[(&a, &place.a()), (&b, &place.b())]).await;
}

async fn customer(storage: &Storage, id: &str) {
    let new = json!({"id": id, "name": id, "email": "ada@example.org"});
    storage.dynamic("customer").unwrap().create(new).await.unwrap();
}

/// Each side has a customer of its own with the same address. The rule says that somebody decides.
#[tokio::test]
async fn a_unique_value_on_both_sides_waits_until_somebody_decides() {
    for twice in [false, true] {
        let place = Place::new();
        let (a, b) = shops(&place).await;
        customer(&a, "of A").await;
        customer(&b, "of B").await;
        both_ways(&a, &b).await;
        if twice {
            both_ways(&a, &b).await;
        }
        assert_eq!((parked_count(&a).await, parked_count(&b).await), (1, 1), "each waits once");
        // The user of A decides about the own one.
        let change = json!({"email": "other@example.org"});
        let filter = json!({"id": "of A"});
        a.dynamic("customer").unwrap().update(&filter, &change).await.unwrap();
        exchange(&place, &[&a, &b]).await;
        for device in [&a, &b] {
            for waiting in parked(device).await.unwrap() {
                println!("{}: {}", waiting.sequence, waiting.reason);
            }
        }
        assert_in_step(&[(&a, &place.a()), (&b, &place.b())]).await;
        assert_eq!(shop::contents(&a).await.unwrap().len() as u64, ROWS + 2);
    }
}

/// The receiver has deleted a parent. What the sender has added to it is judged when everything is here, or, if the receiver ends
/// before that, with its next exchange.
#[tokio::test]
async fn a_receiver_that_ends_as_soon_as_the_sender_is_through_judges_later() {
    let place = Place::new();
    let (a, b) = shops(&place).await;
    delete(&a, "album", 7).await;
    let new = json!({"id": "added by B", "name": "n", "milliseconds": 1, "album": key("album", 7)});
    b.dynamic("track").unwrap().create(new).await.unwrap();
    let (mut here, mut there) = connection();
    let (receiver, sender) = (sync_of(&a).await, sync_of(&b).await);
    tokio::select! {
        biased;
        sent = sender.send(&mut there) => assert!(sent.is_ok()),
        received = receiver.receive(&mut here) => panic!("it is not through before: {received:?}"),
    }
    exchange(&place, &[&a]).await;
    assert_eq!(a.dynamic("track").unwrap().get("added by B").await.unwrap(), None);
    both_ways(&a, &b).await;
    assert_in_step(&[(&a, &place.a()), (&b, &place.b())]).await;
}
