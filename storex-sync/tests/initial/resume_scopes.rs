//! An initial sync that was cut goes on: devices that hold some scopes only, and what comes by other ways meanwhile.

use std::sync::Arc;

use serde_json::json;
use storex_core::{Definition, FieldType, Registry, RegistryBuilder};
use storex_memory::{MemoryBackend, TestRuntime};
use storex_sync::{InitialSync, Scope, SyncLog};

use crate::support::channel::Watched;
use crate::support::{Device, open, parked_count, pump, schema, settle, shared_log};

fn notebooks() -> RegistryBuilder {
    let note = Definition::new("note").field("title", FieldType::String);
    Registry::builder().collection(note.optional("notebook", FieldType::String))
}

async fn device(seed: u64) -> Device {
    let (runtime, backend) = (Arc::new(TestRuntime::new(seed)), Arc::new(MemoryBackend::new()));
    let sync_log = SyncLog::new().scoped("note", "notebook");
    let storage = open(&backend, &runtime, notebooks(), sync_log).await;
    Device { runtime, backend, storage }
}

async fn write(device: &Device, id: &str, notebook: &str) {
    device.create("note", json!({"id": id, "title": id, "notebook": notebook})).await;
}

/// A first run, cut at this frame.
async fn cut(from: &Device, to: &Device, frame: usize) {
    let (mut here, mut there) = Watched::pair(frame);
    let sender = InitialSync::open(&from.storage).await.unwrap().page(2);
    let receiver = InitialSync::open(&to.storage).await.unwrap();
    let (sent, received) = tokio::join!(sender.send(&mut here), receiver.receive(&mut there));
    assert!(sent.is_err() && received.is_err());
}

/// What the receiver has passed over, as it did not hold it then, it does not have.
#[tokio::test(start_paused = true)]
async fn a_receiver_that_waits_for_a_scope_claims_nothing_of_it() {
    let log = shared_log();
    let (a, b, c) = (device(1).await, device(2).await, device(3).await);
    for n in 0..20 {
        write(&a, &format!("n{n:02}"), "x").await;
    }
    b.join(&log).await.subscribe("note", Scope::only(["x"])).await.unwrap();
    write(&c, "a", "y").await;
    settle(&[&c, &b], &log).await;
    b.join(&log).await.subscribe("note", Scope::only(["x", "y"])).await.unwrap();
    cut(&a, &b, 20).await;
    assert!(b.title("n03").await.is_some());
    a.sync(&log).await;
    assert!(a.title("a").await.is_some());
    pump(&a, &b).await;
    assert_eq!(b.title("a").await.as_deref(), Some("a"));
}

/// What the receiver let go of is not there, although it holds the same as at the first run.
#[tokio::test(start_paused = true)]
async fn a_receiver_that_held_less_for_a_while_begins_anew() {
    let log = shared_log();
    let (a, b) = (device(1).await, device(2).await);
    let subscribe = async |scopes: &[&str]| {
        let scope = Scope::only(scopes.iter().copied());
        b.join(&log).await.subscribe("note", scope).await.unwrap();
        b.sync(&log).await;
    };
    subscribe(&["x", "y"]).await;
    for n in 0..20 {
        write(&a, &format!("n{n:02}"), if n % 2 == 0 { "x" } else { "y" }).await;
    }
    cut(&a, &b, 20).await;
    assert!(b.title("n03").await.is_some());
    subscribe(&["x"]).await;
    assert_eq!(b.title("n03").await, None);
    subscribe(&["x", "y"]).await;
    pump(&a, &b).await;
    for n in 0..20 {
        assert!(b.title(&format!("n{n:02}")).await.is_some(), "n{n:02}");
    }
}

/// The sender's rows older than sync may come as whole objects too: no clock says when.
#[tokio::test(start_paused = true)]
async fn a_sender_whose_updates_win_and_that_got_objects_older_than_sync_begins_anew() {
    let log = || SyncLog::new().update_wins(["note"]);
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    let a = Device { storage: open(&a.backend, &a.runtime, schema(), log()).await, ..a };
    for n in 0..20 {
        a.note(&format!("n{n:02}"), "x").await;
    }
    cut(&a, &b, 20).await;
    assert!(b.title("n03").await.is_some());
    let third = Device::with_old_notes(3, &[json!({"id": "aa", "title": "older than sync"})]).await;
    pump(&third, &a).await;
    assert_eq!(parked_count(&a).await, 0);
    assert!(a.title("aa").await.is_some());
    pump(&a, &b).await;
    assert_eq!(b.title("aa").await.as_deref(), Some("older than sync"));
}
