//! Waiting for objects whose key begins with a value.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // these are tests

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};

use storex_core::{
    Batch, Definition, Error, FieldType, Filter, KeyNews, Record, Registry, Step, Storage, Value,
    field,
};
use storex_memory::{MemoryBackend, TestRuntime};

async fn open() -> Storage {
    let message = Definition::new("message")
        .field("room", FieldType::String)
        .field("number", FieldType::Int)
        .primary_key(["room", "number"]);
    let room = Definition::new("room").field("name", FieldType::String).primary_key(["name"]);
    let registry = Registry::builder().collections([message, room]).build().unwrap();
    let runtime = Arc::new(TestRuntime::new(1));
    Storage::builder(MemoryBackend::new(), registry, runtime).open().await.unwrap()
}

fn message(room: &str, number: i64) -> Record {
    Record::new(vec![room.into(), Value::Int(number)])
}

async fn write(storage: &Storage, messages: Vec<Record>) {
    storage.execute(Batch::new().create("message", messages)).await.unwrap();
}

fn is_told(news: &mut KeyNews) -> bool {
    pin!(news.next()).poll(&mut Context::from_waker(Waker::noop())).is_ready()
}

#[tokio::test]
async fn only_those_are_woken_whom_it_is_about() {
    let storage = open().await;
    let names: Vec<String> = (0..1000).map(|n| format!("room {n}")).collect();
    let mut waiting: Vec<KeyNews> =
        names.iter().map(|name| storage.key_news("message", name).unwrap()).collect();
    write(&storage, vec![message("room 7", 1), message("room 7", 2), message("room 70", 1)]).await;
    let told: Vec<usize> = (0..1000).filter(|n| is_told(&mut waiting[*n])).collect();
    assert_eq!(told, [7, 70]);
    assert!(!is_told(&mut waiting[7]), "once");
}

#[tokio::test]
async fn all_who_wait_for_the_same_are_woken() {
    let storage = open().await;
    let [mut one, mut other] = [(); 2].map(|()| storage.key_news("message", "a").unwrap());
    write(&storage, vec![message("a", 1)]).await;
    assert!(is_told(&mut one) && is_told(&mut other));
    drop(one);
    write(&storage, vec![message("a", 2)]).await;
    assert!(is_told(&mut other), "who stays is told after another has gone");
}

#[tokio::test]
async fn updates_and_deletions_are_news_and_what_is_rolled_back_is_none() {
    let storage = open().await;
    write(&storage, vec![message("a", 1), message("b", 1)]).await;
    let mut news = storage.key_news("message", "a").unwrap();
    assert!(!is_told(&mut news), "what was there before is not news");
    let twice = Batch::new().create("message", vec![message("a", 2), message("a", 1)]);
    storage.execute(twice).await.unwrap_err();
    assert!(!is_told(&mut news), "nothing was written");
    let of_b = Step::Delete { collection: "message".into(), filter: field("room").eq("b") };
    storage.execute(Batch::new().step(of_b)).await.unwrap();
    assert!(!is_told(&mut news));
    storage.execute(Batch::new().delete("message", Filter::All)).await.unwrap();
    assert!(is_told(&mut news));
}

#[tokio::test]
async fn a_single_key_begins_with_itself() {
    let storage = open().await;
    let mut news = storage.key_news("room", "a").unwrap();
    storage
        .execute(Batch::new().create("room", vec![Record::new(vec!["ab".into()])]))
        .await
        .unwrap();
    assert!(!is_told(&mut news));
    storage
        .execute(Batch::new().create("room", vec![Record::new(vec!["a".into()])]))
        .await
        .unwrap();
    assert!(is_told(&mut news));
}

#[tokio::test]
async fn it_ends_with_the_storage() {
    let storage = open().await;
    let mut before = storage.key_news("message", "a").unwrap();
    storage.close().await.unwrap();
    assert_eq!(before.next().await, None);
    assert_eq!(storage.key_news("message", "a").unwrap().next().await, None);
    let missing = storage.key_news("nothing", "a");
    assert!(matches!(missing, Err(Error::UnknownCollection { .. })));
}
