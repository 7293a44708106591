//! The common queries use the indices that there are: `EXPLAIN QUERY PLAN` says so.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::sync::Arc;

use serde_json::{Value as Json, json};
use storex_core::{AutoPk, Definition, FieldType, Registry, RelationDefinition, Storage};
use storex_memory::TestRuntime;
use storex_sqlite::SqliteBackend;
use tempfile::TempDir;

async fn storage() -> (Storage, TempDir) {
    let registry = Registry::builder()
        .collection(Definition::new("author").field("name", FieldType::String).index(["name"]))
        .collection(
            Definition::new("note")
                .field("title", FieldType::String)
                .field("stars", FieldType::Int)
                .optional("at", FieldType::DateTime)
                .field("text", FieldType::Text)
                .field("lang", FieldType::String)
                .relation(RelationDefinition::child_of("author"))
                .index(["title"])
                .index(["stars"])
                .index(["at"])
                .index(["text"])
                .index(["author"])
                .index(["lang", "stars"]),
        )
        .collection(
            Definition::new("vote")
                .field("user", FieldType::String)
                .field("poll", FieldType::Int)
                .field("why", FieldType::Text)
                .primary_key(["user", "poll"])
                .index(["why"]),
        )
        .build()
        .unwrap();
    let dir = tempfile::tempdir().unwrap();
    let backend = SqliteBackend::open(dir.path().join("test.db")).unwrap();
    let storage = Storage::builder(backend, registry, Arc::new(TestRuntime::new(1)))
        .middleware(AutoPk::new())
        .open()
        .await
        .unwrap();
    (storage, dir)
}

async fn plan(storage: &Storage, collection: &str, filter: Json, options: Json) -> Vec<String> {
    let arguments = json!({"collection": collection, "filter": filter, "options": options});
    let explained = storage.custom("explain", arguments).await.unwrap();
    assert!(explained["sql"].as_str().unwrap().starts_with("SELECT"), "{explained}");
    explained["plan"].as_array().unwrap().iter().map(|it| it.as_str().unwrap().to_owned()).collect()
}

/// The first line says this, nothing is gone through as a whole, and nothing is sorted.
fn assert_plan(plan: &[String], first: &str) {
    assert!(plan[0].starts_with(first), "wanted: {first}\n{plan:#?}");
    assert!(!plan.iter().any(|line| line.contains("TEMP B-TREE")), "sorted: {plan:#?}");
    let scans = plan.iter().filter(|line| line.starts_with("SCAN"));
    for scan in scans {
        let is_fine = scan.contains("USING INDEX")
            || scan.contains("USING COVERING INDEX")
            || scan.contains("VIRTUAL TABLE INDEX")
            || scan.contains("SCAN d")
            || scan.contains("rarray");
        assert!(is_fine, "gone through as a whole: {plan:#?}");
    }
}

#[tokio::test]
async fn the_common_queries_use_their_index() {
    let (storage, _dir) = storage().await;
    let nothing = || json!({});
    let many: Vec<String> = (0..50).map(|n| format!("k{n}")).collect();
    let cases = [
        (
            "by key",
            json!({"id": "k"}),
            nothing(),
            "SEARCH note USING INDEX sqlite_autoindex_note_1 (id=?)",
        ),
        (
            "by keys",
            json!({"id": {"$in": ["k", "l"]}}),
            nothing(),
            "SEARCH note USING INDEX sqlite_autoindex_note_1 (id=?)",
        ),
        (
            "by many keys",
            json!({"id": {"$in": many}}),
            nothing(),
            "SEARCH note USING INDEX sqlite_autoindex_note_1 (id=?)",
        ),
        (
            "equal",
            json!({"title": "a"}),
            nothing(),
            "SEARCH note USING INDEX note:index:title (title=?)",
        ),
        (
            "one of",
            json!({"stars": {"$in": [1, 2]}}),
            nothing(),
            "SEARCH note USING INDEX note:index:stars (stars=?)",
        ),
        (
            "range",
            json!({"stars": {"$gte": 1, "$lt": 3}}),
            nothing(),
            "SEARCH note USING INDEX note:index:stars (stars>? AND stars<?)",
        ),
        (
            "prefix",
            json!({"title": {"$startsWith": "ab"}}),
            nothing(),
            "SEARCH note USING INDEX note:index:title (title>? AND title<?)",
        ),
        ("null", json!({"at": null}), nothing(), "SEARCH note USING INDEX note:index:at (at=?)"),
        (
            "order",
            nothing(),
            json!({"order": [["stars", "desc"]], "limit": 10}),
            "SCAN note USING INDEX note:index:stars",
        ),
        (
            "range in order",
            json!({"stars": {"$gt": 3}}),
            json!({"order": [["stars", "asc"]], "limit": 10}),
            "SEARCH note USING INDEX note:index:stars (stars>?)",
        ),
        (
            "children",
            json!({"author": "k"}),
            nothing(),
            "SEARCH note USING INDEX note:index:author (author=?)",
        ),
        (
            "two fields, in order",
            json!({"lang": "de"}),
            json!({"order": [["stars", "desc"]], "limit": 10}),
            "SEARCH note USING INDEX note:index:lang,stars (lang=?)",
        ),
        (
            "of a parent",
            json!({"author": {"$related": {"name": "Ann"}}}),
            nothing(),
            "SEARCH note USING INDEX note:index:author (author=?)",
        ),
        (
            "search",
            json!({"text": {"$search": "fox"}}),
            nothing(),
            "SEARCH note USING INDEX sqlite_autoindex_note_1 (id=?)",
        ),
        (
            "search and more",
            json!({"text": {"$search": "fox"}, "stars": {"$gt": 1}}),
            nothing(),
            "SEARCH note USING INDEX sqlite_autoindex_note_1 (id=?)",
        ),
    ];
    for (what, filter, options, first) in cases {
        println!("{what}");
        let plan = plan(&storage, "note", filter, options).await;
        println!("{plan:#?}");
        // The ties of an order are broken by the key, which is sorted run by run.
        let plan: Vec<String> =
            plan.into_iter().filter(|line| !line.contains("LAST TERM OF ORDER BY")).collect();
        assert_plan(&plan, first);
    }
    let parents =
        plan(&storage, "author", json!({"notes": {"$related": {"stars": 5}}}), nothing()).await;
    assert_plan(&parents, "SEARCH author USING INDEX sqlite_autoindex_author_1 (id=?)");
    assert!(
        parents.iter().any(|it| it.contains("SEARCH note USING INDEX note:index:stars")),
        "{parents:#?}"
    );
    let compound = plan(&storage, "vote", json!({"why": {"$search": "fox"}}), nothing()).await;
    assert_plan(&compound, "SEARCH vote USING PRIMARY KEY (user=? AND poll=?)");
}
