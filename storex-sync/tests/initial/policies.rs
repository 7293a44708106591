//! Schemas that differ.

use serde_json::json;
use storex_core::{Definition, FieldType, RegistryBuilder};
use storex_sync::{InitialSync, MemoryChannel, Missing, SyncError};

use super::support::{
    self, Device, assert_in_step, count, dump, dump_all, parked_count, settle, shared_log,
};
use super::told::{Told, one_way};

/// One collection and one field more than usual.
fn newer() -> RegistryBuilder {
    support::larger_schema().collection(support::wider_note())
}

/// A device with the newer schema and something of everything in it.
async fn newer_device(seed: u64) -> Device {
    let device = Device::with(seed, newer()).await;
    for n in 0..5 {
        device.create("note", json!({"id": format!("n{n}"), "title": "x", "colour": "red"})).await;
        device.create("extra", json!({"id": format!("e{n}"), "text": "x"})).await;
    }
    device.delete("extra", json!({"id": "e1"})).await;
    device.delete("note", json!({"id": "n1"})).await;
    device
}

async fn opened(device: &Device, policy: Missing) -> InitialSync {
    InitialSync::open(&device.storage).await.unwrap().page(2).missing(policy)
}

/// The names in any order.
fn is_told(told: &Told) -> bool {
    let words = ["collection `extra`", "collection `note`", "sender []"];
    told.all().iter().any(|event| words.iter().all(|word| event.contains(word)))
}

#[tokio::test(start_paused = true)]
async fn what_the_receiver_lacks_is_skipped_and_not_taken_for_seen() {
    let log = shared_log();
    let (a, b) = (newer_device(1).await, Device::new(2).await);
    a.sync(&log).await;
    let (at_a, at_b) = (Told::default(), Told::default());
    let sender = at_a.listen(opened(&a, Missing::Refuse).await);
    let receiver = at_b.listen(opened(&b, Missing::Skip).await);
    let (sent, received) = one_way(&sender, &receiver, MemoryChannel::pair()).await;
    let (sent, received) = (sent.unwrap(), received.unwrap());
    assert_eq!((sent.total(), received.total(), received.parked), (4, 4, 0));
    assert!(is_told(&at_a) && is_told(&at_b), "{:?} {:?}", at_a.all(), at_b.all());
    let note = json!({"id": "n0", "title": "x", "body": null, "stars": null});
    assert_eq!(b.get("note", "n0").await, Some(note));
    // An update of the program, and the log brings what was skipped.
    let b = b.reopened(newer()).await;
    settle(&[&a, &b], &log).await;
    assert_eq!(count(&b, "extra").await, 4);
}

#[tokio::test(start_paused = true)]
async fn what_the_receiver_lacks_is_parked_until_an_update() {
    let log = shared_log();
    let (a, b) = (newer_device(1).await, Device::new(2).await);
    a.create("tag", json!({"owner": 1, "name": "t"})).await;
    a.sync(&log).await;
    let (at_a, at_b) = (Told::default(), Told::default());
    let sender = at_a.listen(opened(&a, Missing::Refuse).await);
    let receiver = at_b.listen(opened(&b, Missing::Park).await);
    for again in [false, true] {
        let (sent, received) = one_way(&sender, &receiver, MemoryChannel::pair()).await;
        let (sent, received) = (sent.unwrap(), received.unwrap());
        assert_eq!((sent.total(), received.total(), received.parked), (9, 9, 8), "{again}");
        assert_eq!(parked_count(&b).await, 6, "pages of two, and those of what is deleted");
    }
    assert!(is_told(&at_a) && is_told(&at_b), "{:?} {:?}", at_a.all(), at_b.all());
    assert_eq!((count(&b, "note").await, count(&b, "tag").await), (0, 1));
    // Nothing comes of it as long as the program is the same.
    b.sync(&log).await;
    assert_eq!(count(&b, "note").await, 0);
    let b = b.reopened(newer()).await;
    b.sync(&log).await;
    assert_eq!(parked_count(&b).await, 0);
    assert_in_step(&[&a, &b]).await;
    a.create("extra", json!({"id": "later", "text": "x"})).await;
    settle(&[&a, &b], &log).await;
    assert_in_step(&[&a, &b]).await;
}

/// Whatever the policy: a required field that the sender lacks leaves nothing to park, and nothing to take.
#[tokio::test(start_paused = true)]
async fn a_required_field_that_the_sender_lacks_skips_the_collection_or_is_refused() {
    let stricter = support::schema().collection(
        Definition::new("tag")
            .version(2)
            .field("owner", FieldType::Int)
            .field("name", FieldType::String)
            .optional("colour", FieldType::String)
            .field("weight", FieldType::Int)
            .primary_key(["owner", "name"]),
    );
    let a = Device::new(1).await;
    a.note("n", "x").await;
    a.create("tag", json!({"owner": 1, "name": "t"})).await;
    let b = Device::with(2, stricter).await;
    let before = dump_all(&b).await;
    for policy in [Missing::Refuse, Missing::Park] {
        let (sender, receiver) = (opened(&a, policy).await, opened(&b, policy).await);
        let (sent, received) = one_way(&sender, &receiver, MemoryChannel::pair()).await;
        let (sent, received) = (sent.unwrap_err(), received.unwrap_err());
        assert!(matches!(received, SyncError::Protocol { .. }), "{received:?}");
        assert!(sent.to_string().contains("`weight`"), "{sent}");
        assert_eq!(dump_all(&b).await, before);
    }
    let (sender, receiver) = (opened(&a, Missing::Refuse).await, opened(&b, Missing::Skip).await);
    let (sent, received) = one_way(&sender, &receiver, MemoryChannel::pair()).await;
    assert_eq!((sent.unwrap().total(), received.unwrap().total()), (1, 1));
    assert_eq!((count(&b, "note").await, count(&b, "tag").await), (1, 0));
    assert_eq!(dump(&a).await["note"], dump(&b).await["note"]);
}
