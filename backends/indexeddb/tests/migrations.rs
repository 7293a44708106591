//! From one version of the schema to the next, in one piece.
#![cfg(target_family = "wasm")]
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use storex_core::{
    Backend, Batch, Definition, Error, ErrorKind, FieldOption, FieldType, KeyFormat, Migration,
    Query, Record, Registry, Result, Value, field,
};
use storex_indexeddb::IndexedDbBackend;
use support::js::{js, snapshot, stored};
use support::shim::Shim;
use support::{fresh_name, opened, record, registry};
use wasm_bindgen_test::wasm_bindgen_test;

/// The first version.
fn person() -> Definition {
    Definition::new("person")
        .key_format(KeyFormat::Int)
        .field("name", FieldType::String)
        .optional("age", FieldType::Int)
        .index(["age"])
}

/// The second one: the name in two fields, no age, an index.
fn split() -> Definition {
    Definition::new("person")
        .version(2)
        .key_format(KeyFormat::Int)
        .field("first", FieldType::String)
        .field("last", FieldType::String)
        .index(["last"])
}

fn splitting() -> Migration {
    let migration = Migration::new("person", 2).remove_field("age");
    migration
        .change(|object| {
            let name = object.remove("name").unwrap_or_default();
            let (first, last) =
                name.as_text().and_then(|it| it.split_once(' ')).unwrap_or_default();
            object.insert("first".to_owned(), first.into());
            object.insert("last".to_owned(), last.into());
            Ok(())
        })
        .remove_field("name")
}

/// More than a page of the migration.
const MANY: i64 = 1_200;

async fn with_people(name: &str) {
    let backend = opened(name, [person()]).await;
    let people = (0..MANY)
        .map(|n| record([n.into(), format!("First{n} Last{}", n % 10).into(), (n % 7).into()]));
    backend.execute(Batch::new().create("person", people.collect())).await.unwrap();
    backend.close().await.unwrap();
}

fn migrating(
    definitions: impl IntoIterator<Item = Definition>,
    migrations: impl IntoIterator<Item = Migration>,
) -> Arc<Registry> {
    let builder = Registry::builder().collections(definitions).migrations(migrations);
    Arc::new(builder.build().unwrap())
}

async fn try_open(name: &str, registry: Arc<Registry>) -> Result<IndexedDbBackend> {
    let backend = IndexedDbBackend::open(name).unwrap();
    backend.open(registry).await.map(|()| backend)
}

async fn refused(name: &str, definition: Definition) -> Error {
    let before = snapshot(name).await;
    let backend = IndexedDbBackend::open(name).unwrap();
    let error = backend.open(registry([definition])).await.unwrap_err();
    assert_eq!(snapshot(name).await, before, "{error}");
    assert!(!error.is_retryable(), "{error}");
    error
}

#[wasm_bindgen_test]
async fn fields_are_added_removed_and_renamed() {
    let name = fresh_name();
    with_people(&name).await;
    let backend = try_open(&name, migrating([split()], [splitting()])).await.unwrap();
    assert_eq!(backend.count(Query::new("person")).await.unwrap(), MANY.unsigned_abs());
    let found = backend.find(Query::new("person").filter(field("last").eq("Last3"))).await.unwrap();
    assert_eq!(found.len(), 120);
    assert!(found.iter().all(|person| person.get(1).as_text().unwrap().starts_with("First")));
    assert_eq!(
        stored(&name, "person").await[0],
        "{id: number 0, first: \"First0\", last: \"Last0\"}"
    );
    // The old index has gone, with its entries.
    let seen = snapshot(&name).await.unwrap();
    assert!(!seen.contains("age") && seen.contains("index (last): "), "{}", &seen[..300]);
}

#[wasm_bindgen_test]
async fn a_migration_runs_once_and_after_those_before_it() {
    let name = fresh_name();
    with_people(&name).await;
    let runs = Arc::new(AtomicI64::new(0));
    let migrations = || {
        let shout = |version, mark: &'static str| {
            let runs = Arc::clone(&runs);
            Migration::new("person", version).change(move |object| {
                runs.fetch_add(1, Ordering::Relaxed);
                let name = object.get("name").and_then(Value::as_text).unwrap_or_default();
                let name = format!("{name}{mark}");
                object.insert("name".to_owned(), name.into());
                Ok(())
            })
        };
        // Given in the wrong order.
        [shout(3, "!"), shout(2, "?")]
    };
    let versions = || [person(), person().version(2), person().version(3)];
    for _ in 0..2 {
        let backend = try_open(&name, migrating(versions(), migrations())).await.unwrap();
        let found = backend.find(Query::new("person").filter(field("id").eq(5))).await.unwrap();
        assert_eq!(found[0].get(1).as_text(), Some("First5 Last5?!"));
        backend.close().await.unwrap();
    }
    assert_eq!(runs.load(Ordering::Relaxed), 2 * MANY);
}

#[wasm_bindgen_test]
async fn a_field_that_is_added_has_its_default() {
    let name = fresh_name();
    with_people(&name).await;
    let grown = || {
        let default = [FieldOption::Default(7.into())];
        person()
            .version(2)
            .field_with("stars", FieldType::Int, default)
            .optional("note", FieldType::Text)
            .index(["stars"])
    };
    let backend = opened(&name, [grown()]).await;
    assert_eq!(
        backend.count(Query::new("person").filter(field("stars").eq(7))).await.unwrap(),
        MANY.unsigned_abs()
    );
    let found = backend.find(Query::new("person").filter(field("id").eq(1))).await.unwrap();
    assert_eq!(found[0].values()[2..], [1.into(), 7.into(), Value::Null]);
}

#[wasm_bindgen_test]
async fn an_index_that_is_added_finds_what_was_there_before() {
    let name = fresh_name();
    with_people(&name).await;
    let backend = opened(&name, [person().index(["name", "age"])]).await;
    let reads =
        Shim::new(&name, "IDBIndex", "getAll", "log.push(self.name); return original(...args);");
    let query = Query::new("person").filter(field("name").eq("First5 Last5"));
    assert_eq!(backend.find(query).await.unwrap().len(), 1);
    assert_eq!(reads.log(), ["index (name, age)"]);
}

/// In the middle two objects have one value; in the end each has its own.
#[wasm_bindgen_test]
async fn values_of_a_unique_index_move_from_one_object_to_the_next() {
    let name = fresh_name();
    let numbered = |version| {
        storex_core::Definition::new("numbered")
            .key_format(storex_core::KeyFormat::Int)
            .field("n", FieldType::Int)
            .unique(["n"])
            .version(version)
    };
    let backend = opened(&name, [numbered(1)]).await;
    let rows = (0..20_i64).map(|n| record([n.into(), n.into()])).collect();
    backend.execute(Batch::new().create("numbered", rows)).await.unwrap();
    backend.close().await.unwrap();
    let next = Migration::new("numbered", 2).change(|object| {
        let n = object.get("n").and_then(Value::as_int).unwrap_or_default();
        object.insert("n".to_owned(), Value::Int(if n == 19 { 0 } else { n + 1 }));
        Ok(())
    });
    let backend = try_open(&name, migrating([numbered(2)], [next])).await.unwrap();
    let found = backend.find(Query::new("numbered").filter(field("n").eq(0))).await.unwrap();
    assert_eq!(found, [record([19.into(), 0.into()])]);
    let again =
        backend.execute(Batch::new().create("numbered", vec![record([99.into(), 5.into()])]));
    assert!(
        matches!(again.await.unwrap_err(), Error::UniqueViolation { .. }),
        "it is unique again"
    );
}

/// An object with another key would be another object, to the log and to every other device.
#[wasm_bindgen_test]
async fn a_migration_cannot_change_a_key() {
    for key in [storex_core::KeyFormat::Int, storex_core::KeyFormat::Text] {
        let name = fresh_name();
        let numbered = |version| Definition::new("numbered").key_format(key).version(version);
        let old = match key {
            storex_core::KeyFormat::Int => Value::Int(1),
            _ => Value::from("a"),
        };
        let backend = opened(&name, [numbered(1)]).await;
        backend
            .execute(Batch::new().create("numbered", vec![record([old.clone()])]))
            .await
            .unwrap();
        backend.close().await.unwrap();
        let new = if old.as_int().is_some() { Value::Int(2) } else { Value::from("b") };
        let rename = Migration::new("numbered", 2).change(move |object| {
            object.insert("id".to_owned(), new.clone());
            Ok(())
        });
        let error = try_open(&name, migrating([numbered(2)], [rename])).await.unwrap_err();
        assert!(
            matches!(&error, Error::Migration { reason, .. } if reason.to_string().contains("key")),
            "{error}"
        );
        let backend = opened(&name, [numbered(1)]).await;
        assert_eq!(backend.find(Query::new("numbered")).await.unwrap(), [record([old])]);
    }
}

#[wasm_bindgen_test]
async fn a_unique_index_that_does_not_hold_is_not_made() {
    let name = fresh_name();
    with_people(&name).await;
    let error = refused(&name, person().version(2).unique(["age"])).await;
    assert!(
        matches!(&error, Error::UniqueViolation { collection, index, .. } if &**collection == "person" && index == "age"),
        "{error}"
    );
    opened(&name, [person()]).await.close().await.unwrap();
}

#[wasm_bindgen_test]
async fn an_index_that_went_and_comes_back_knows_only_what_is_there() {
    let name = fresh_name();
    let numbered = || Definition::new("item").key_format(KeyFormat::Int).field("n", FieldType::Int);
    let backend = opened(&name, [numbered().unique(["n"])]).await;
    let item = |id: i64, n: i64| record([id.into(), n.into()]);
    backend
        .execute(Batch::new().create("item", vec![item(1, 1), item(2, 2), item(3, 3)]))
        .await
        .unwrap();
    backend.close().await.unwrap();
    // Without the index nobody minds that they change places.
    let backend = opened(&name, [numbered()]).await;
    for (id, n) in [(1, 2), (2, 1)] {
        let changes = storex_core::Changes::new().set("n", n);
        backend
            .execute(Batch::new().update("item", storex_core::Filter::key(id), changes))
            .await
            .unwrap();
    }
    backend.close().await.unwrap();
    assert!(!snapshot(&name).await.unwrap().contains("unique"));
    let backend = opened(&name, [numbered().unique(["n"])]).await;
    for (id, n) in [(1, 2), (2, 1), (3, 3)] {
        assert_eq!(
            backend.find(Query::new("item").filter(field("n").eq(n))).await.unwrap(),
            [item(id, n)]
        );
    }
    let error = backend.execute(Batch::new().create("item", vec![item(4, 3)])).await.unwrap_err();
    assert!(matches!(error, Error::UniqueViolation { .. }), "{error}");
}

#[wasm_bindgen_test]
async fn stores_are_made_and_go_only_when_told() {
    let name = fresh_name();
    with_people(&name).await;
    let other = || Definition::new("other").version(2).optional("x", FieldType::Int);
    // A registry without a collection leaves it alone.
    let backend = opened(&name, [other()]).await;
    backend
        .execute(Batch::new().create("other", vec![record(["a".into(), 1.into()])]))
        .await
        .unwrap();
    backend.close().await.unwrap();
    assert_eq!(stored(&name, "person").await.len(), 1200);
    let removed = || [Migration::remove("person", 2), Migration::remove("never", 2)];
    for _ in 0..2 {
        let backend = try_open(&name, migrating([other()], removed())).await.unwrap();
        assert_eq!(backend.count(Query::new("other")).await.unwrap(), 1);
        backend.close().await.unwrap();
    }
    assert!(!snapshot(&name).await.unwrap().contains("First"));
    // The name is free for another collection.
    let again = Definition::new("person").version(3).field("x", FieldType::Float);
    let backend = opened(&name, [other(), again]).await;
    assert_eq!(backend.count(Query::new("person")).await.unwrap(), 0);
}

#[wasm_bindgen_test]
async fn an_upgrade_that_fails_at_any_object_leaves_everything_as_it_was() {
    for wrong in [0, 1, 499, 500, 777, MANY - 1] {
        let name = fresh_name();
        with_people(&name).await;
        let before = snapshot(&name).await;
        let refuses = Migration::new("person", 2).change(move |object| {
            let id = object.get("id").and_then(Value::as_int).unwrap();
            object.insert("name".to_owned(), "changed".into());
            if id == wrong {
                Err(Error::Aborted { reason: format!("no such person {id}") })
            } else {
                Ok(())
            }
        });
        let newer = |migration: Option<Migration>| {
            let more = Definition::new("more").version(2).optional("x", FieldType::Int);
            migrating([person().version(2), more], migration)
        };
        let error = try_open(&name, newer(Some(refuses))).await.unwrap_err();
        assert!(error.to_string().contains(&format!("no such person {wrong}")), "{error}");
        assert_eq!(snapshot(&name).await, before, "fails at {wrong}");
        // The old program works, and the new one after its mistake is mended.
        let old = opened(&name, [person()]).await;
        assert_eq!(old.count(Query::new("person").filter(field("age").eq(3))).await.unwrap(), 171);
        old.close().await.unwrap();
        try_open(&name, newer(None)).await.unwrap();
    }
}

#[wasm_bindgen_test]
async fn an_upgrade_whose_request_fails_leaves_everything_as_it_was() {
    let failing = "
        if (log.push('put') !== 700) return original(...args);
        self.put(...args);
        return saying(self.add(...args), 'QuotaExceededError', 'over quota');";
    let aborting = "const request = original(...args); if (log.push('put') === 700) self.transaction.abort(); return request;";
    let throwing = "if (log.push('put') === 700) throws('UnknownError', 'Internal error.'); return original(...args);";
    for (how, kind) in
        [(failing, ErrorKind::Full), (aborting, ErrorKind::Io), (throwing, ErrorKind::Io)]
    {
        let name = fresh_name();
        with_people(&name).await;
        let before = snapshot(&name).await;
        let shim = Shim::new(&name, "IDBObjectStore", "put", how);
        let runtime = support::runtime::Virtual::new(1);
        let backend = IndexedDbBackend::builder(&*name).runtime(runtime).build().unwrap();
        let outcome = backend.open(migrating([split()], [splitting()])).await;
        drop(shim);
        match outcome {
            // What may pass is tried again.
            Ok(()) => assert_eq!(kind, ErrorKind::Io),
            Err(error) => {
                assert_eq!((error.kind(), kind), (ErrorKind::Full, ErrorKind::Full), "{error}");
                assert_eq!(snapshot(&name).await, before);
                backend.open(migrating([split()], [splitting()])).await.unwrap();
            }
        }
        assert_eq!(
            backend.count(Query::new("person").filter(field("last").eq("Last3"))).await.unwrap(),
            120
        );
    }
}

#[wasm_bindgen_test]
async fn a_newer_schema_is_refused_with_both_versions() {
    let name = fresh_name();
    with_people(&name).await;
    let newer = migrating([split(), split().version(20_261_120)], [splitting()]);
    try_open(&name, newer).await.unwrap().close().await.unwrap();
    let error = refused(&name, person()).await;
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let text = error.to_string();
    assert!(
        text.contains("version 20261120")
            && text.contains("version 1")
            && text.contains("newer program"),
        "{text}"
    );
}

#[wasm_bindgen_test]
async fn a_required_field_that_nobody_fills_is_refused() {
    let name = fresh_name();
    with_people(&name).await;
    let error = refused(&name, person().version(2).field("must", FieldType::Int)).await;
    assert!(error.to_string().contains("person") && error.to_string().contains("must"), "{error}");
    // Within one version already by a look at it.
    let error = refused(&name, person().field("must", FieldType::Int)).await;
    assert!(
        matches!(&error, Error::SchemaMismatch { reason, .. } if reason.contains("must") && reason.contains("new version")),
        "{error}"
    );
    // Another kind, too: also where the objects would allow it.
    let other =
        Definition::new("person").key_format(KeyFormat::Int).field("name", FieldType::Binary);
    assert!(
        matches!(refused(&name, other).await, Error::SchemaMismatch { reason, .. } if reason.contains("name"))
    );
}

#[wasm_bindgen_test]
async fn a_key_cannot_change() {
    let name = fresh_name();
    with_people(&name).await;
    let other =
        Definition::new("person").version(2).field("name", FieldType::String).primary_key(["name"]);
    let error = refused(&name, other).await;
    assert!(
        matches!(&error, Error::SchemaMismatch { collection, reason } if &**collection == "person" && reason.contains("key")),
        "{error}"
    );
}

#[wasm_bindgen_test]
async fn a_store_of_another_program_is_refused_and_left_alone() {
    let name = fresh_name();
    let body = "
        const request = indexedDB.open(name, 7);
        request.onupgradeneeded = () => request.result.createObjectStore('person').put({ theirs: 1 }, 'k');
        (await answer(request)).close();";
    js(&[("name", name.clone().into())], body).await;
    let error = refused(&name, person()).await;
    assert!(
        matches!(&error, Error::SchemaMismatch { collection, reason } if &**collection == "person" && reason.contains("adopt")),
        "{error}"
    );
    // Beside it there is room.
    let backend = opened(&name, [Definition::new("ours").optional("x", FieldType::Int)]).await;
    backend.execute(Batch::new().create("ours", vec![row()])).await.unwrap();
    assert_eq!(stored(&name, "person").await, ["{theirs: number 1}"]);
    let error = refused(&name, person()).await;
    assert!(matches!(error, Error::SchemaMismatch { .. }), "{error}");
}

fn row() -> Record {
    record(["k".into(), 1.into()])
}

#[wasm_bindgen_test]
async fn a_migrated_value_that_its_field_does_not_take_is_refused() {
    let name = fresh_name();
    with_people(&name).await;
    let before = snapshot(&name).await;
    let wrong = |value: Value| {
        Migration::new("person", 2).change(move |object| -> Result<()> {
            object.insert("age".to_owned(), value.clone());
            Ok(())
        })
    };
    let registry = migrating([person().version(2)], [wrong("old".into())]);
    let error = try_open(&name, registry).await.unwrap_err();
    let Error::Migration { key, reason, .. } = &error else { panic!("{error}") };
    assert!(matches!(&**reason, Error::InvalidValue { field, .. } if &**field == "age"), "{error}");
    assert_eq!(key, "0");
    assert_eq!(snapshot(&name).await, before);
}
