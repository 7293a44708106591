//! Opening, closing, and what is there afterwards.

use serde_json::json;
use storex_core::{
    Batch, ChangeEvent, Changes, CustomOperation, Definition, Error, ErrorKind, FieldOption,
    FieldType, Filter, Operation, Query,
};

use crate::Harness;
use crate::support::{
    OBJECT, assert_refused, dump, ids, join, join_all, keyed, numbered, numbers, record, records,
    refused, registry,
};

pub async fn a_closed_storage_says_so(h: Harness) {
    let (storage, objects) = numbers(&h, &[(1, 1)]).await;
    let clone = storage.clone();
    storage.close().await.unwrap();
    for storage in [storage, clone] {
        assert_refused!(storage.find(Query::new(OBJECT)).await, Error::Closed);
        assert_refused!(storage.count(Query::new(OBJECT)).await, Error::Closed);
        assert_refused!(storage.execute(Batch::new()).await, Error::Closed);
        assert_refused!(storage.apply(Batch::new()).await, Error::Closed);
        assert_refused!(storage.custom("x", json!(null)).await, Error::Closed);
        assert_refused!(storage.flush().await, Error::Closed);
        assert_eq!(storage.flush().await.unwrap_err().kind(), ErrorKind::Closed);
    }
    assert_refused!(objects.create(json!({ "id": 2 })).await, Error::Closed);
}

pub async fn closing_twice_is_harmless(h: Harness) {
    let (storage, _) = numbers(&h, &[(1, 1)]).await;
    let clone = storage.clone();
    storage.close().await.unwrap();
    storage.close().await.unwrap();
    clone.close().await.unwrap();
}

pub async fn a_suspended_storage_says_so_and_goes_on_when_it_is_resumed(h: Harness) {
    let (storage, objects) = numbers(&h, &[(1, 1)]).await;
    let mut changes = storage.changes();
    storage.suspend().await.unwrap();
    storage.suspend().await.unwrap();
    assert_refused!(storage.find(Query::new(OBJECT)).await, Error::Suspended);
    assert_refused!(storage.count(Query::new(OBJECT)).await, Error::Suspended);
    assert_refused!(storage.execute(Batch::new()).await, Error::Suspended);
    assert_refused!(storage.apply(Batch::new()).await, Error::Suspended);
    assert_refused!(storage.custom("x", json!(null)).await, Error::Suspended);
    assert_refused!(storage.flush().await, Error::Suspended);
    assert_eq!(Error::Suspended.kind(), ErrorKind::Busy);
    // Another program has the database to itself meanwhile, where there can be another.
    let persistent = h.backend().capabilities().persistent;
    if persistent {
        let other = h.open(registry([numbered()])).await;
        other.dynamic(OBJECT).unwrap().create(json!({ "id": 2, "n": 2 })).await.unwrap();
        other.close().await.unwrap();
    }
    for _ in 0..2 {
        storage.resume().await.unwrap();
    }
    assert_eq!(changes.next().await, Some(ChangeEvent::Elsewhere));
    objects.create(json!({ "id": 3, "n": 3 })).await.unwrap();
    let expected: &[i64] = if persistent { &[1, 2, 3] } else { &[1, 3] };
    assert_eq!(ids(&storage.find(Query::new(OBJECT)).await.unwrap()), expected);
}

/// Each write is refused whole or is there.
pub async fn suspending_while_others_write_loses_nothing(h: Harness) {
    let (storage, objects) = numbers::<i64>(&h, &[]).await;
    let mut written = Vec::new();
    for round in 0..10 {
        let writes = (0..5).map(|n| objects.create(json!({ "id": round * 10 + n, "n": n })));
        let (results, suspended) = join(join_all(writes), storage.suspend()).await;
        suspended.unwrap();
        for (n, result) in (0..).zip(results) {
            match result {
                Ok(_) => written.push(round * 10 + n),
                Err(error) => assert_refused!(Err::<(), _>(error), Error::Suspended),
            }
        }
        storage.resume().await.unwrap();
    }
    assert_eq!(ids(&storage.find(Query::new(OBJECT)).await.unwrap()), written);
}

pub async fn a_suspended_storage_may_be_closed(h: Harness) {
    let (storage, _) = numbers(&h, &[(1, 1)]).await;
    storage.suspend().await.unwrap();
    storage.close().await.unwrap();
    assert_refused!(storage.resume().await, Error::Closed);
    assert_refused!(storage.suspend().await, Error::Closed);
    assert_refused!(storage.count(Query::new(OBJECT)).await, Error::Closed);
}

/// The same for those who use the backend without a storage.
pub async fn a_closed_backend_says_so(h: Harness) {
    let backend = h.backend();
    backend.open(registry([numbered()]).into()).await.unwrap();
    backend.execute(Batch::new().create(OBJECT, vec![record![1, 1]])).await.unwrap();
    backend.close().await.unwrap();
    backend.close().await.unwrap();
    let closed = |error: Error| assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
    closed(backend.find(Query::new(OBJECT)).await.unwrap_err());
    closed(backend.count(Query::new(OBJECT)).await.unwrap_err());
    closed(backend.execute(Batch::new()).await.unwrap_err());
    closed(backend.flush().await.unwrap_err());
}

/// What is not there is refused by name, never done in silence.
pub async fn a_custom_operation_that_is_not_there(h: Harness) {
    let (storage, _) = numbers(&h, &[(1, 1)]).await;
    let name = "no_backend_has_this";
    for result in [
        storage.custom(name, json!({ "a": 1 })).await.map(|_| ()),
        storage
            .operation(Operation::Custom(CustomOperation {
                name: name.into(),
                arguments: json!(null),
            }))
            .await
            .map(|_| ()),
    ] {
        refused(result, ErrorKind::Unsupported, &[name, storage.backend_name()]);
    }
    let backend = h.backend();
    backend.open(registry([]).into()).await.unwrap_or(());
    let custom = CustomOperation { name: name.into(), arguments: json!(null) };
    refused(backend.custom(custom).await, ErrorKind::Unsupported, &[name, backend.name()]);
}

pub async fn a_flush_after_writes(h: Harness) {
    let (storage, objects) = numbers::<i64>(&h, &[]).await;
    storage.flush().await.unwrap();
    for id in 0..10 {
        objects.create(json!({ "id": id })).await.unwrap();
        storage.flush().await.unwrap();
    }
    assert_eq!(objects.count(&json!({})).await.unwrap(), 10);
}

/// A persistent database has its data when it is opened again; another one is empty, and says before that it will be.
pub async fn what_was_written_is_there_when_opened_again(h: Harness) {
    let definition = || {
        registry([keyed()
            .optional("text", FieldType::String)
            .optional("float", FieldType::Float)
            .optional("bool", FieldType::Boolean)
            .optional("bytes", FieldType::Binary)
            .optional("at", FieldType::Timestamp)
            .optional("json", FieldType::Json)
            .unique(["text"])])
    };
    let storage = h.open(definition()).await;
    let objects = [
        json!({ "id": 1, "text": "é\u{0}😀", "float": 0.1, "bool": true, "bytes": "AAH/", "at": -1,
            "json": { "a": [1.5, null] } }),
        json!({ "id": i64::MAX, "text": null, "float": "Infinity", "bool": false, "bytes": "",
            "at": null, "json": null }),
    ];
    storage.dynamic(OBJECT).unwrap().create_many(&objects).await.unwrap();
    let gone = Batch::new()
        .create(
            OBJECT,
            vec![record![5, "gone", 0.0, true, None::<&str>, None::<&str>, None::<&str>]],
        )
        .delete(OBJECT, Filter::key(5))
        .update(OBJECT, Filter::key(1), Changes::new().increment("float", 0.2));
    storage.execute(gone).await.unwrap();
    let before = dump(&storage, OBJECT).await;
    storage.close().await.unwrap();

    let persistent = h.backend().capabilities().persistent;
    for _ in 0..3 {
        let storage = h.open(definition()).await;
        if !persistent {
            assert_eq!(dump(&storage, OBJECT).await.len(), 0, "it is persistent after all");
            return;
        }
        assert_eq!(dump(&storage, OBJECT).await, before);
        let again = Batch::new().create(
            OBJECT,
            vec![record![6, "é\u{0}😀", 0.0, true, None::<&str>, None::<&str>, None::<&str>]],
        );
        assert_refused!(storage.execute(again).await, Error::UniqueViolation { .. });
        storage.close().await.unwrap();
    }
}

/// Each opening may bring new collections; the old ones stay as they are.
pub async fn a_collection_is_added_when_opened_again(h: Harness) {
    let other = || Definition::new("other").field("id", FieldType::Int).primary_key(["id"]);
    let storage = h.open(registry([numbered()])).await;
    storage.execute(Batch::new().create(OBJECT, vec![record![1, 1]])).await.unwrap();
    storage.close().await.unwrap();
    let storage = h.open(registry([other(), numbered()])).await;
    storage.execute(Batch::new().create("other", vec![record![7]])).await.unwrap();
    let persistent = h.backend().capabilities().persistent;
    assert_eq!(ids(&records(&storage, OBJECT).await).len(), usize::from(persistent));
    storage.close().await.unwrap();
    // Without it, its objects stay for later.
    let storage = h.open(registry([numbered()])).await;
    storage.close().await.unwrap();
    let storage = h.open(registry([numbered(), other()])).await;
    assert_eq!(ids(&records(&storage, "other").await).len(), usize::from(persistent));
}

/// A database that does not fit the schema is refused by name and left as it is.
pub async fn a_database_that_does_not_fit_is_refused(h: Harness) {
    let storage = h.open(registry([numbered()])).await;
    storage.execute(Batch::new().create(OBJECT, vec![record![1, 1]])).await.unwrap();
    storage.close().await.unwrap();
    let changed = || registry([numbered().field("required", FieldType::Int)]);
    if !h.backend().capabilities().persistent {
        let storage = h.open(changed()).await;
        assert_eq!(dump(&storage, OBJECT).await.len(), 0);
        return;
    }
    let error = h.try_open(changed(), vec![]).await.expect_err("the field is not there");
    assert!(
        matches!(&error, Error::SchemaMismatch { collection, reason }
            if **collection == *OBJECT && reason.contains("required")),
        "{error:?}"
    );
    let storage = h.open(registry([numbered()])).await;
    assert_eq!(dump(&storage, OBJECT).await, [json!({ "id": 1, "n": 1 })]);
}

/// A field that only has another name is found under its column.
pub async fn a_field_is_renamed_by_its_column(h: Harness) {
    let storage = h.open(registry([numbered()])).await;
    storage.execute(Batch::new().create(OBJECT, vec![record![1, 5]])).await.unwrap();
    storage.close().await.unwrap();
    let options = [FieldOption::Optional, FieldOption::Column("n".into())];
    let renamed = keyed().field_with("number", FieldType::Int, options);
    let storage = h.open(registry([renamed])).await;
    if h.backend().capabilities().persistent {
        assert_eq!(dump(&storage, OBJECT).await, [json!({ "id": 1, "number": 5 })]);
    }
    storage.dynamic(OBJECT).unwrap().create(json!({ "id": 2, "number": 6 })).await.unwrap();
    let found = storage.dynamic(OBJECT).unwrap().find(&json!({ "number": 6 })).await.unwrap();
    assert_eq!(found, [json!({ "id": 2, "number": 6 })]);
}
