//! How much is read, and by which way: pages, indices, no request per object.
#![cfg(target_family = "wasm")]
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod support;

use std::sync::{Arc, Mutex};

use storex_core::{
    Backend, Batch, Changes, Definition, Direction, FieldType, Filter, KeyFormat, Query, Value,
    field,
};
use storex_indexeddb::IndexedDbBackend;
use support::shim::Shim;
use support::{fresh_name, opened, record};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};
use wasm_bindgen_test::wasm_bindgen_test;

/// Objects of some 4 kB each.
const MANY: i64 = 4_000;

fn note() -> Definition {
    Definition::new("note")
        .key_format(KeyFormat::Int)
        .field("team", FieldType::Int)
        .optional("body", FieldType::Text)
        .optional("loose", FieldType::Int)
        .index(["team"])
}

async fn filled(name: &str) -> IndexedDbBackend {
    let backend = opened(name, [note()]).await;
    let body = "x".repeat(4096);
    let note = |n: i64| record([n.into(), (n % 100).into(), body.as_str().into(), n.into()]);
    backend.execute(Batch::new().create("note", (0..MANY).map(note).collect())).await.unwrap();
    backend
}

/// What is asked of a store and its indices.
struct Requests(Vec<Shim>);

impl Requests {
    fn of(database: &str) -> Self {
        let mut shims = Vec::new();
        for kind in ["IDBObjectStore", "IDBIndex"] {
            for method in ["get", "getAll", "getAllKeys", "openCursor", "openKeyCursor", "count"] {
                // The name of the index or store, and how many are asked for at most; what comes, in objects.
                let body = format!(
                    "const request = original(...args);
                    const limit = args.length > 1 ? args[1] : 'all';
                    log.push(`{method} ${{self.name}} ${{limit}}`);
                    return request;"
                );
                shims.push(Shim::new(database, kind, method, &body));
            }
        }
        Self(shims)
    }

    /// What was asked since the last time.
    fn take(&self) -> Vec<String> {
        let all = self.0.iter().flat_map(Shim::log).collect();
        self.0.iter().for_each(Shim::forget);
        all
    }
}

/// How many objects a request asks for at most.
fn limit(request: &str) -> Option<u64> {
    request.rsplit(' ').next()?.parse().ok()
}

#[wasm_bindgen_test]
async fn a_large_collection_is_read_in_pages_of_bounded_size() {
    let name = fresh_name();
    let backend = filled(&name).await;
    let requests = Requests::of(&name);
    let ids = |found: Vec<storex_core::Record>| {
        found.iter().map(|it| it.get(0).as_int().unwrap()).collect::<Vec<_>>()
    };

    let all =
        ids(backend.find(Query::new("note").order_by("id", Direction::Ascending)).await.unwrap());
    assert_eq!(all, (0..MANY).collect::<Vec<_>>());
    let pages = requests.take();
    assert!(pages.iter().all(|page| page.starts_with("getAll note ")), "{pages:?}");
    // Never more than 500 objects unseen, then about 4 MB: 1,000 of 4 kB each.
    assert!(pages.iter().all(|page| limit(page).is_some_and(|limit| limit <= 1_100)), "{pages:?}");
    assert!(pages.len() <= 8, "{pages:?}");

    // A filter without an index reads everything, and holds a page of it at a time.
    let odd = Query::new("note").filter(field("loose").eq(MANY - 1));
    assert_eq!(ids(backend.find(odd).await.unwrap()), [MANY - 1]);
    let pages = requests.take();
    assert!(pages.iter().all(|page| limit(page).is_some_and(|limit| limit <= 1_100)), "{pages:?}");

    // Backwards: a leap of one cursor per page, and a bounded range each.
    let down =
        ids(backend.find(Query::new("note").order_by("id", Direction::Descending)).await.unwrap());
    assert_eq!(down, (0..MANY).rev().collect::<Vec<_>>());
    let pages = requests.take();
    let leaps = pages.iter().filter(|page| page.starts_with("openKeyCursor")).count();
    assert!((3..=8).contains(&leaps), "{pages:?}");
    assert_eq!(pages.iter().filter(|page| page.starts_with("getAll ")).count(), leaps, "{pages:?}");
    assert!(!pages.iter().any(|page| page.starts_with("openCursor")), "{pages:?}");
}

#[wasm_bindgen_test]
async fn a_first_page_reads_little_more_than_itself() {
    let name = fresh_name();
    let backend = filled(&name).await;
    let requests = Requests::of(&name);
    for direction in [Direction::Ascending, Direction::Descending] {
        let first = Query::new("note").order_by("id", direction).limit(10);
        assert_eq!(backend.find(first).await.unwrap().len(), 10);
    }
    let asked = requests.take();
    assert!(asked.len() <= 4 && asked[0] == "getAll note 11", "{asked:?}");
}

#[wasm_bindgen_test]
async fn the_index_is_read_where_there_is_one() {
    let name = fresh_name();
    let backend = filled(&name).await;
    let requests = Requests::of(&name);

    let team = || Query::new("note").filter(field("team").eq(7));
    assert_eq!(backend.find(team()).await.unwrap().len(), 40);
    let asked = requests.take();
    assert!(asked.len() == 1 && asked[0].starts_with("getAll index (team) "), "{asked:?}");

    assert_eq!(backend.count(team()).await.unwrap(), 40);
    assert_eq!(requests.take(), ["count index (team) all"]);

    let range = Query::new("note").filter(field("id").gte(10).and(field("id").lt(20)));
    assert_eq!(backend.count(range).await.unwrap(), 10);
    assert_eq!(requests.take(), ["count note all"]);

    let keys: Vec<_> = [3, 1, 2].map(storex_core::Key::single).into();
    let found = backend.find(Query::new("note").filter(Filter::Keys(keys))).await.unwrap();
    assert_eq!(found.iter().map(|it| it.get(0).as_int().unwrap()).collect::<Vec<_>>(), [3, 1, 2]);
    assert_eq!(requests.take(), ["get note all"; 3]);
}

/// Each element of a list has an entry of its own.
#[wasm_bindgen_test]
async fn an_index_over_elements_is_read_where_there_is_one() {
    let name = fresh_name();
    let tagged = Definition::new("tagged")
        .key_format(storex_core::KeyFormat::Int)
        .field("tags", FieldType::Json)
        .multi_entry("tags");
    let backend = opened(&name, [tagged]).await;
    let tags = |n: i64| Value::Json(serde_json::json!(["all", n % 10]));
    let records = (0..100).map(|n| record([n.into(), tags(n)])).collect();
    backend.execute(Batch::new().create("tagged", records)).await.unwrap();
    let requests = Requests::of(&name);
    let query = || Query::new("tagged").filter(field("tags").contains(7));
    assert_eq!(backend.find(query()).await.unwrap().len(), 10);
    let asked = requests.take();
    assert!(asked.len() == 1 && asked[0].starts_with("getAll multi (tags) "), "{asked:?}");
    assert_eq!(backend.count(query()).await.unwrap(), 10);
    assert_eq!(requests.take(), ["count multi (tags) all"]);
}

#[wasm_bindgen_test]
async fn writing_by_a_filter_asks_for_no_object_by_itself() {
    let name = fresh_name();
    let backend = filled(&name).await;
    let requests = Requests::of(&name);
    let team = || field("team").eq(7);
    backend
        .execute(Batch::new().update("note", team(), Changes::new().increment("loose", 1)))
        .await
        .unwrap();
    assert!(requests.take().len() <= 2);
    backend.execute(Batch::new().delete("note", team())).await.unwrap();
    assert!(requests.take().len() <= 2);
    assert_eq!(backend.count(Query::new("note")).await.unwrap(), MANY.unsigned_abs() - 40);
}

/// Keeps the events of `storex::scan`.
#[derive(Clone, Default)]
struct Scans(Arc<Mutex<Vec<String>>>);

impl Subscriber for Scans {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "storex::scan"
    }

    fn event(&self, event: &Event<'_>) {
        let mut text = String::new();
        event.record(&mut |field: &tracing::field::Field, value: &dyn std::fmt::Debug| {
            text += &format!("{field}={value:?} ");
        });
        self.0.lock().unwrap().push(text);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[wasm_bindgen_test]
async fn reading_everything_for_a_filter_is_told() {
    let backend = opened(&fresh_name(), [note()]).await;
    let note = |n: i64| record([n.into(), n.into(), Value::Null, n.into()]);
    backend.execute(Batch::new().create("note", (0..10).map(note).collect())).await.unwrap();
    let scans = Scans::default();
    let told = Arc::clone(&scans.0);
    // For the rest of this page: no other test listens.
    tracing::subscriber::set_global_default(scans).unwrap();

    for query in [
        Query::new("note"),
        Query::new("note").filter(field("team").eq(1)),
        Query::new("note").filter(field("team").gt(1)),
        Query::new("note").filter(field("team").eq(1).and(field("loose").eq(1))),
        Query::new("note").filter(field("id").eq(1)),
        Query::new("note").filter(Filter::key(1)),
    ] {
        backend.find(query.clone()).await.unwrap();
        backend.count(query).await.unwrap();
    }
    assert_eq!(*told.lock().unwrap(), [""; 0]);

    backend.find(Query::new("note").filter(field("loose").eq(1))).await.unwrap();
    let told = std::mem::take(&mut *told.lock().unwrap());
    assert!(
        told.len() == 1 && told[0].contains("note") && told[0].contains("every object is read"),
        "{told:?}"
    );
}
