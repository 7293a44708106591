//! Devices whose schemas, catalogues, local fields and scopes are not the same.

use std::sync::Arc;

use serde_json::json;
use storex_core::{Definition, FieldType, Registry, RegistryBuilder};
use storex_memory::{MemoryBackend, TestRuntime};
use storex_sync::{Scope, SyncLog};

use super::support::{Device, dump, open, settle, shared_log};
use super::{assert_in_step, compared, differ, differ_both};

fn ordered(fields: &[&str]) -> RegistryBuilder {
    let note = fields.iter().fold(Definition::new("note"), |note, field| match *field {
        "title" => note.field("title", FieldType::String),
        other => note.optional(other, FieldType::Int),
    });
    Registry::builder().collection(note)
}

async fn with(seed: u64, schema: RegistryBuilder, sync_log: SyncLog) -> Device {
    let (runtime, backend) = (Arc::new(TestRuntime::new(seed)), Arc::new(MemoryBackend::new()));
    let storage = open(&backend, &runtime, schema, sync_log).await;
    Device { runtime, backend, storage }
}

async fn write(device: &Device) {
    for n in 0..40 {
        let note = json!({"id": format!("{n:02}"), "title": "x", "one": n, "two": 0});
        device.create("note", note).await;
    }
    device.update("note", json!({"id": "07"}), json!({"two": 7})).await;
    device.update("note", json!({"id": "08"}), json!({"one": {"$inc": 1}})).await;
}

/// Fields have other numbers in the catalogues, and devices other numbers in their tables.
#[tokio::test(start_paused = true)]
async fn numbers_do_not_matter() {
    let log = shared_log();
    let a = Device::with(1, ordered(&["title", "one", "two"])).await;
    let b = Device::with(2, ordered(&["two", "title", "one"])).await;
    let c = Device::with(3, ordered(&["one", "two", "title"])).await;
    write(&a).await;
    settle(&[&a, &b, &c], &log).await;
    c.retitle_in("note", "03").await;
    b.retitle_in("note", "04").await;
    settle(&[&c, &b, &a], &log).await;
    for (from, to) in [(&a, &b), (&b, &c), (&c, &a)] {
        let (sent, _) = differ(from, to).await;
        assert_eq!((sent.total(), compared(&sent).round_trips), (0, 1));
    }
    b.retitle_in("note", "05").await;
    assert_eq!(differ(&b, &a).await.0.total(), 1);
    assert_eq!(a.title("05").await.as_deref(), Some("otherwise"));
}

/// A field that one side does not have, or keeps to itself, has no say.
#[tokio::test(start_paused = true)]
async fn only_common_fields_are_compared() {
    let log = shared_log();
    let schema = || ordered(&["title", "one", "two"]);
    let a = Device::with(1, schema()).await;
    let b = with(2, schema(), SyncLog::new().local_fields("note", ["two"])).await;
    write(&a).await;
    settle(&[&a, &b], &log).await;
    b.update("note", json!({}), json!({"two": -1})).await;
    a.update("note", json!({"id": "09"}), json!({"two": 9})).await;
    let before = dump(&b).await;
    for (from, to) in [(&a, &b), (&b, &a)] {
        assert_eq!(differ(from, to).await.0.total(), 0);
    }
    assert_eq!(dump(&b).await, before);
    a.update("note", json!({"id": "09"}), json!({"one": 90, "two": 10})).await;
    assert_eq!(differ(&a, &b).await.0.total(), 1);
    let note = json!({"id": "09", "title": "x", "one": 90, "two": -1});
    assert_eq!(b.get("note", "09").await, Some(note));
}

fn notebooks() -> RegistryBuilder {
    Registry::builder()
        .collection(
            Definition::new("note")
                .field("title", FieldType::String)
                .optional("notebook", FieldType::String),
        )
        .collection(Definition::new("other").field("title", FieldType::String))
}

/// Who holds other scopes of a collection gets all of it, as without a comparison; who holds the same compares.
#[tokio::test(start_paused = true)]
async fn of_a_collection_in_scopes_only_equal_ones_are_compared() {
    let log = shared_log();
    let scoped = || SyncLog::new().scoped("note", "notebook");
    let a = with(1, notebooks(), scoped()).await;
    let b = with(2, notebooks(), scoped()).await;
    let c = with(3, notebooks(), scoped()).await;
    for n in 0..6 {
        let notebook = if n % 2 == 0 { "even" } else { "odd" };
        a.create("note", json!({"id": format!("{n}"), "title": "x", "notebook": notebook})).await;
        a.create("other", json!({"id": format!("{n}"), "title": "x"})).await;
    }
    for device in [&b, &c] {
        device.join(&log).await.subscribe("note", Scope::only(["even"])).await.unwrap();
    }
    settle(&[&a, &b, &c], &log).await;
    a.retitle("1", "moved in").await;
    a.update("note", json!({"id": "1"}), json!({"notebook": "even"})).await;
    a.update("note", json!({"id": "2"}), json!({"notebook": "odd"})).await;
    let (sent, _) = differ(&a, &b).await;
    assert_eq!(sent.objects, [("note".into(), 6), ("other".into(), 0)]);
    assert_eq!(b.title("1").await.as_deref(), Some("moved in"));
    let (sent, _) = differ(&b, &c).await;
    assert!(sent.total() <= 3, "{sent:?}");
    assert_eq!(c.title("1").await.as_deref(), Some("moved in"));
    settle(&[&a, &b, &c], &log).await;
    assert_in_step(&[&b, &c]).await;
    assert_eq!(differ(&b, &c).await.0.total(), 0);
    assert_eq!(differ_both(&c, &b).await.0.total(), 0);
}

impl Device {
    async fn retitle_in(&self, collection: &str, id: &str) {
        self.update(collection, json!({"id": id}), json!({"title": "otherwise"})).await;
    }
}
