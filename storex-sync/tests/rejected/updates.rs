//! Own writes that are older than the schema: a collection and a field have other names by now.

use std::sync::Arc;

use serde_json::json;
use storex_core::{Definition, FieldType, Migration, Registry, RegistryBuilder};
use storex_memory::{MemoryBackend, TestRuntime};
use storex_sync::{SyncLog, rejected};

use crate::support::{Device, open, settle};
use crate::{Guarded, refuse_last};

fn first() -> RegistryBuilder {
    let text = |name: &str| Definition::new(name).field("text", FieldType::String);
    Registry::builder().collections([text("draft").optional("hint", FieldType::String)])
}

fn second() -> RegistryBuilder {
    let memo = Definition::new("memo").version(2).field("body", FieldType::String);
    let memo = memo.optional("secret", FieldType::String);
    let migration = Migration::new("memo", 2).renamed_from("draft");
    let migration = migration.rename_field("text", "body").rename_field("hint", "secret");
    Registry::builder().collection(memo).migration(migration)
}

async fn old() -> Device {
    let (runtime, backend) = (Arc::new(TestRuntime::new(1)), Arc::new(MemoryBackend::new()));
    let storage = open(&backend, &runtime, first(), SyncLog::new().reversible()).await;
    Device { runtime, backend, storage }
}

async fn updated(old: &Device, sync_log: SyncLog) -> Device {
    let storage = open(&old.backend, &old.runtime, second(), sync_log).await;
    Device { storage, ..old.clone() }
}

#[tokio::test(start_paused = true)]
async fn c59_what_was_refused_before_an_update_can_be_written_again() {
    let log = Guarded::new();
    let (a, b) = (old().await, Device::with(2, second()).await);
    a.create("draft", json!({"id": "d", "text": "refused"})).await;
    let refused = refuse_last(&a, &log).await;
    a.sync(&log).await;
    let a = updated(&a, SyncLog::new().reversible()).await;
    a.join(&log).await.retry_rejected(refused).await.unwrap();
    settle(&[&a, &b], &log).await;
    assert_eq!(b.get("memo", "d").await.unwrap()["body"], "refused");
}

#[tokio::test(start_paused = true)]
async fn c59_what_was_written_before_an_update_is_taken_back() {
    let log = Guarded::new();
    let a = old().await;
    a.create("draft", json!({"id": "d", "text": "refused"})).await;
    let refused = refuse_last(&a, &log).await;
    let a = updated(&a, SyncLog::new().reversible()).await;
    a.sync(&log).await;
    let all = rejected(&a.storage).await.unwrap();
    assert_eq!(
        all.iter().map(|it| (it.write, it.is_reverted)).collect::<Vec<_>>(),
        [(refused, true)]
    );
    assert_eq!(a.get("memo", "d").await, None);
}

/// What is kept local by now is kept local of what was written before the update, too.
#[tokio::test(start_paused = true)]
async fn c2_a_field_that_was_renamed_and_is_local_now_is_not_sent() {
    let log = Guarded::new();
    let (a, b) = (old().await, Device::with(2, second()).await);
    a.create("draft", json!({"id": "d", "text": "x", "hint": "secret"})).await;
    let a = updated(&a, SyncLog::new().local_fields("memo", ["secret"])).await;
    settle(&[&a, &b], &log).await;
    let memo = b.get("memo", "d").await.unwrap();
    assert_eq!((&memo["body"], &memo["secret"]), (&json!("x"), &json!(null)));
}
