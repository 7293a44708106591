//! Wrong calls, on SQLite and in memory: each gets a typed error that names the collection and the field, and changes
//! nothing, neither rows nor log nor clocks.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use storex_core::{
    AutoPk, Backend, Batch, BatchOutcome, Changes, Definition, Direction, DynamicCollection, Error,
    ErrorKind, FieldOption, FieldType, Filter, Key, Object, Query, Record, Registry, Result,
    Runtime, Step, Storage, Value, field,
};
use storex_e2e::audit;
use storex_e2e::place::Place;
use storex_memory::{MemoryBackend, TestRuntime};
use storex_sqlite::SqliteBackend;
use storex_sync::SyncLog;

fn registry() -> Registry {
    Registry::builder()
        .collection(
            Definition::new("person")
                .field("name", FieldType::String)
                .field("age", FieldType::Int)
                .optional("mail", FieldType::String)
                .field_with("ok", FieldType::Boolean, [FieldOption::Default(Value::Bool(true))])
                .optional("weight", FieldType::Float)
                .optional("seen", FieldType::DateTime)
                .optional("photo", FieldType::Binary)
                .optional("extra", FieldType::Json)
                .unique(["mail"]),
        )
        .collection(
            Definition::new("seat")
                .field("row", FieldType::String)
                .field("number", FieldType::Int)
                .optional("person", FieldType::String)
                .primary_key(["row", "number"]),
        )
        .build()
        .unwrap()
}

#[derive(Debug, Serialize, Deserialize)]
struct Person {
    id: String,
    name: Option<String>,
    age: i64,
}

impl Object for Person {
    const COLLECTION: &'static str = "person";
}

/// A `person` as a program sees it that has its types wrong.
#[derive(Debug, Serialize, Deserialize)]
struct Mistaken {
    id: String,
    name: i64,
    age: String,
}

impl Object for Mistaken {
    const COLLECTION: &'static str = "person";
}

/// A `person` with a field that there is not.
#[derive(Debug, Serialize, Deserialize)]
struct Newer {
    id: String,
    name: String,
    age: i64,
    nickname: String,
}

impl Object for Newer {
    const COLLECTION: &'static str = "person";
}

/// Of a collection that there is not.
#[derive(Debug, Serialize, Deserialize)]
struct Stranger {
    id: String,
}

impl Object for Stranger {
    const COLLECTION: &'static str = "stranger";
}

struct Subject {
    name: &'static str,
    storage: Storage,
    place: Option<Place>,
}

impl Subject {
    async fn open(name: &'static str, backend: impl Backend) -> Self {
        let runtime: Arc<dyn Runtime> = Arc::new(TestRuntime::new(1));
        let builder = Storage::builder(backend, registry(), runtime);
        let storage = builder.middleware(AutoPk::new()).middleware(SyncLog::new()).open().await;
        let storage = storage.unwrap();
        let people = storage.dynamic("person").unwrap();
        let ada = json!({"id": "ada", "name": "Ada", "age": 36, "mail": "ada@example.org"});
        people.create(ada).await.unwrap();
        people.create(json!({"id": "bob", "name": "Bob", "age": i64::MAX})).await.unwrap();
        let seats = storage.dynamic("seat").unwrap();
        seats.create(json!({"row": "A", "number": 1})).await.unwrap();
        Self { name, storage, place: None }
    }

    async fn all() -> Vec<Self> {
        let place = Place::new();
        let path = place.a();
        let mut sqlite = Self::open("sqlite", SqliteBackend::open(&path).unwrap()).await;
        sqlite.place = Some(place);
        vec![Self::open("memory", MemoryBackend::new()).await, sqlite]
    }

    /// Everything in all collections, the log's own included; on SQLite also everything in the file.
    async fn dump(&self) -> String {
        let mut dump = String::new();
        for collection in self.storage.registry().collections() {
            let query = Query::new(collection.name().clone());
            let mut lines: Vec<String> = self
                .storage
                .find(query)
                .await
                .unwrap()
                .iter()
                .map(|it| format!("{it:?}"))
                .collect();
            lines.sort();
            dump.push_str(&format!("{}\n{}\n", collection.name(), lines.join("\n")));
        }
        if let Some(place) = &self.place {
            dump.push_str(&audit::everything(&place.a()));
        }
        dump
    }

    async fn logged(&self) -> u64 {
        self.storage.count(Query::new("_storex_log")).await.unwrap()
    }

    fn people(&self) -> DynamicCollection {
        self.storage.dynamic("person").unwrap()
    }
}

/// Does something wrong on every backend: the error is of this kind, names these things, and nothing has changed.
async fn refused<T: std::fmt::Debug>(
    what: &str,
    kind: ErrorKind,
    named: &[&str],
    call: impl AsyncFn(&Subject) -> Result<T>,
) {
    for subject in Subject::all().await {
        let what = format!("{what} ({})", subject.name);
        let before = subject.dump().await;
        let logged = subject.logged().await;
        let mut changes = subject.storage.changes();
        let error = match call(&subject).await {
            Err(error) => error,
            Ok(done) => panic!("{what}: was done: {done:?}"),
        };
        let said = error.to_string();
        assert_eq!(error.kind(), kind, "{what}: {said}");
        assert!(!error.is_retryable(), "{what}: trying again would not help");
        for name in named {
            assert!(said.contains(&format!("`{name}`")), "{what}: `{name}` is not named: {said}");
        }
        assert_eq!(subject.dump().await, before, "{what}: something has changed");
        assert_eq!(changes.try_next(), None, "{what}: a change was announced");
        // The next write goes through, with the next number in the log.
        let person = json!({"name": "Cy", "age": 1, "mail": "cy@example.org"});
        subject.people().create(person).await.unwrap();
        assert_eq!(subject.logged().await, logged + 1, "{what}");
        assert!(changes.try_next().is_some(), "{what}");
        subject.storage.close().await.unwrap();
    }
}

/// The step alone, and as the last of a batch whose other steps are fine: nothing of the batch is written.
async fn refused_step(what: &str, kind: ErrorKind, named: &[&str], step: Step) {
    refused(what, kind, named, async |it: &Subject| {
        it.storage.execute(Batch::new().step(step.clone())).await
    })
    .await;
    refused(&format!("{what}, in a batch"), kind, named, async |it: &Subject| {
        it.storage.execute(after_good_ones(step.clone())).await
    })
    .await;
    refused(&format!("{what}, from a continuation"), kind, named, async |it: &Subject| {
        let step = step.clone();
        let batch = after_good_ones(Step::then(move |_| Ok(vec![step.clone()])));
        it.storage.execute(batch).await
    })
    .await;
}

fn after_good_ones(step: Step) -> Batch {
    let dan = vec![Value::from("dan"), "Dan".into(), 1.into(), Value::Null, true.into()];
    let dan = Record::new(dan.into_iter().chain(vec![Value::Null; 4]).collect());
    Batch::new()
        .create("person", vec![dan])
        .update("person", field("name").eq("Ada"), Changes::new().increment("age", 1))
        .delete("seat", Filter::All)
        .step(step)
        .create("seat", vec![Record::new(vec!["Z".into(), 1.into(), Value::Null])])
}

async fn refused_object(
    what: &str,
    kind: ErrorKind,
    named: &[&str],
    collection: &str,
    object: Json,
) {
    refused(what, kind, named, async |it: &Subject| {
        it.storage.dynamic(collection)?.create(object.clone()).await
    })
    .await;
    refused(&format!("{what}, in bulk"), kind, named, async |it: &Subject| {
        let good = match collection {
            "person" => json!({"name": "Eve", "age": 1}),
            _ => json!({"row": "E", "number": 1}),
        };
        it.storage.dynamic(collection)?.create_many(&[good, object.clone()]).await
    })
    .await;
}

async fn refused_filter(what: &str, named: &[&str], filter: Json) {
    let kind = ErrorKind::Invalid;
    refused(&format!("find: {what}"), kind, named, async |it: &Subject| {
        it.people().find(&filter).await
    })
    .await;
    refused(&format!("count: {what}"), kind, named, async |it: &Subject| {
        it.people().count(&filter).await
    })
    .await;
    refused(&format!("update: {what}"), kind, named, async |it: &Subject| {
        it.people().update(&filter, &json!({"age": 0})).await
    })
    .await;
    refused(&format!("delete: {what}"), kind, named, async |it: &Subject| {
        it.people().delete(&filter).await
    })
    .await;
}

async fn refused_changes(what: &str, named: &[&str], changes: Json) {
    refused(what, ErrorKind::Invalid, named, async |it: &Subject| {
        it.people().update(&json!({}), &changes).await
    })
    .await;
}

#[tokio::test]
async fn a_value_of_the_wrong_type() {
    for (name, value) in [
        ("name", json!(5)),
        ("name", json!({"first": "Ada"})),
        ("name", json!(["Ada"])),
        ("name", json!(true)),
        ("age", json!("36")),
        ("age", json!(36.5)),
        ("age", json!(u64::MAX)),
        ("age", json!(true)),
        ("ok", json!(1)),
        ("ok", json!("true")),
        ("weight", json!("heavy")),
        ("seen", json!("yesterday")),
        ("photo", json!("not base64!")),
        ("photo", json!(5)),
    ] {
        let mut object = json!({"name": "Eve", "age": 1});
        object[name] = value.clone();
        let what = format!("{name} = {value}");
        refused_object(&what, ErrorKind::Invalid, &["person", name], "person", object).await;
        refused_changes(&what, &["person", name], json!({name: value})).await;
        if !value.is_object() {
            refused_filter(&what, &["person", name], json!({name: {"$eq": value}})).await;
        }
    }
    refused_object(
        "a key",
        ErrorKind::Invalid,
        &["person", "id"],
        "person",
        json!({"id": 5, "name": "Eve", "age": 1}),
    )
    .await;
    refused_object(
        "a compound key",
        ErrorKind::Invalid,
        &["seat", "number"],
        "seat",
        json!({"row": "A", "number": "1"}),
    )
    .await;
    let wrong = Changes::new().set("age", "36");
    refused_step(
        "age = text",
        ErrorKind::Invalid,
        &["person", "age"],
        Step::Update { collection: "person".into(), filter: Filter::All, changes: wrong },
    )
    .await;
    let record = Record::new(vec!["B".into(), Value::Float(1.5), Value::Null]);
    refused_step(
        "number = 1.5",
        ErrorKind::Invalid,
        &["seat", "number"],
        Step::create("seat", vec![record]),
    )
    .await;
    let record = Record::new(vec!["B".into(), Value::Bytes(vec![1]), Value::Null]);
    refused_step(
        "number = bytes",
        ErrorKind::Invalid,
        &["seat", "number"],
        Step::create("seat", vec![record]),
    )
    .await;
    refused("the typed face", ErrorKind::Invalid, &["person"], async |it: &Subject| {
        let mistaken = Mistaken { id: String::new(), name: 5, age: "x".to_owned() };
        it.storage.collection::<Mistaken>()?.create(&mistaken).await
    })
    .await;
    refused("reading with wrong types", ErrorKind::Invalid, &["person"], async |it: &Subject| {
        it.storage.collection::<Mistaken>()?.find(Filter::All).await
    })
    .await;
}

#[tokio::test]
async fn a_record_with_too_few_or_too_many_values() {
    for len in [0, 2, 4] {
        let record =
            Record::new(vec![Value::from("B"), 2.into(), Value::Null, Value::Null][..len].to_vec());
        refused_step(
            &format!("{len} values"),
            ErrorKind::Invalid,
            &["seat"],
            Step::create("seat", vec![record]),
        )
        .await;
    }
}

#[tokio::test]
async fn a_required_field_without_a_value() {
    let named = &["person", "age"];
    refused_object("left out", ErrorKind::Invalid, named, "person", json!({"name": "Eve"})).await;
    refused_object(
        "null",
        ErrorKind::Invalid,
        named,
        "person",
        json!({"name": "Eve", "age": null}),
    )
    .await;
    refused_object(
        "a part of the key",
        ErrorKind::Invalid,
        &["seat", "number"],
        "seat",
        json!({"row": "A"}),
    )
    .await;
    refused_changes("set to null", named, json!({"age": null})).await;
    refused_changes("unset", named, json!({"age": {"$unset": true}})).await;
    let record = Record::new(vec!["B".into(), Value::Null, Value::Null]);
    refused_step(
        "a key of null",
        ErrorKind::Invalid,
        &["seat", "number"],
        Step::create("seat", vec![record]),
    )
    .await;
    refused("the typed face", ErrorKind::Invalid, &["person", "name"], async |it: &Subject| {
        let person = Person { id: String::new(), name: None, age: 1 };
        it.storage.collection::<Person>()?.create(&person).await
    })
    .await;
}

#[tokio::test]
async fn a_field_that_there_is_not() {
    let named = &["person", "nickname"];
    let kind = ErrorKind::Invalid;
    refused_object(
        "create",
        kind,
        named,
        "person",
        json!({"name": "Eve", "age": 1, "nickname": "E"}),
    )
    .await;
    refused_changes("update", named, json!({"nickname": "E"})).await;
    refused_changes("increment", named, json!({"$inc": {"nickname": 1}})).await;
    refused_filter("a filter", named, json!({"nickname": "E"})).await;
    refused_filter(
        "a filter inside",
        named,
        json!({"$or": [{"age": 1}, {"$not": {"nickname": {"$gt": 1}}}]}),
    )
    .await;
    for options in [json!({"order": [["nickname", "asc"]]}), json!({"fields": ["nickname"]})] {
        refused(&format!("{options}"), kind, &["person"], async |it: &Subject| {
            it.people().find_with(&json!({}), &options).await
        })
        .await;
    }
    refused("order", kind, named, async |it: &Subject| {
        it.storage.find(Query::new("person").order_by("nickname", Direction::Ascending)).await
    })
    .await;
    refused("projection", kind, named, async |it: &Subject| {
        it.storage.find(Query::new("person").select(["nickname"])).await
    })
    .await;
    let filter = field("nickname").eq(1);
    refused_step(
        "delete",
        kind,
        named,
        Step::Delete { collection: "person".into(), filter: filter.clone() },
    )
    .await;
    let query = Query::new("person").filter(filter);
    refused_step("require", kind, named, Step::Require { query, count: 1 }).await;
    refused("the typed face", kind, named, async |it: &Subject| {
        let newer = Newer { id: String::new(), name: "E".into(), age: 1, nickname: "E".into() };
        it.storage.collection::<Newer>()?.create(&newer).await
    })
    .await;
}

#[tokio::test]
async fn a_collection_that_there_is_not() {
    let kind = ErrorKind::NotFound;
    let named = &["stranger"];
    refused("dynamic", kind, named, async |it: &Subject| {
        it.storage.dynamic("stranger")?.create(json!({})).await
    })
    .await;
    refused("typed", kind, named, async |it: &Subject| {
        it.storage.collection::<Stranger>()?.create(&Stranger { id: "1".into() }).await
    })
    .await;
    refused("find", kind, named, async |it: &Subject| {
        it.storage.find(Query::new("stranger")).await
    })
    .await;
    refused("count", kind, named, async |it: &Subject| {
        it.storage.count(Query::new("stranger")).await
    })
    .await;
    refused_step("create", kind, named, Step::create("stranger", vec![Record::nulls(1)])).await;
    let all = Filter::All;
    refused_step(
        "delete",
        kind,
        named,
        Step::Delete { collection: "stranger".into(), filter: all.clone() },
    )
    .await;
    let changes = Changes::new().set("x", 1);
    refused_step(
        "update",
        kind,
        named,
        Step::Update { collection: "stranger".into(), filter: all, changes },
    )
    .await;
    // A name that another collection has in other letters.
    refused("Person", kind, &["Person"], async |it: &Subject| {
        it.storage.dynamic("Person")?.count(&json!({})).await
    })
    .await;
}

#[tokio::test]
async fn a_key_that_is_taken() {
    let kind = ErrorKind::Conflict;
    refused_object(
        "a person",
        kind,
        &["person"],
        "person",
        json!({"id": "ada", "name": "Eve", "age": 1}),
    )
    .await;
    refused_object("a seat", kind, &["seat"], "seat", json!({"row": "A", "number": 1})).await;
    let seat = |row: &str| Record::new(vec![row.into(), 1.into(), Value::Null]);
    refused_step(
        "twice in one step",
        kind,
        &["seat"],
        Step::create("seat", vec![seat("B"), seat("B")]),
    )
    .await;
    refused("twice in one batch", kind, &["seat"], async |it: &Subject| {
        let batch = Batch::new().create("seat", vec![seat("B")]).create("seat", vec![seat("B")]);
        it.storage.execute(batch).await
    })
    .await;
    // The key is told, and the error is the one for it.
    for subject in Subject::all().await {
        let again = json!({"id": "ada", "name": "Eve", "age": 1});
        let error = subject.people().create(again).await.unwrap_err();
        assert!(matches!(error, Error::AlreadyExists { .. }), "{error:?}");
        assert!(error.to_string().contains("ada"), "{error}");
    }
}

#[tokio::test]
async fn a_unique_value_that_is_taken() {
    let kind = ErrorKind::Conflict;
    let mail = "ada@example.org";
    refused_object(
        "create",
        kind,
        &["person"],
        "person",
        json!({"name": "Eve", "age": 1, "mail": mail}),
    )
    .await;
    refused("update", kind, &["person"], async |it: &Subject| {
        it.people().update(&json!({"name": "Bob"}), &json!({"mail": mail})).await
    })
    .await;
    refused("an update of several", kind, &["person"], async |it: &Subject| {
        it.people().update(&json!({}), &json!({"mail": "one@example.org"})).await
    })
    .await;
    for subject in Subject::all().await {
        let eve = json!({"name": "Eve", "age": 1, "mail": mail});
        let error = subject.people().create(eve).await.unwrap_err();
        assert!(
            matches!(&error, Error::UniqueViolation { index, .. } if index == "mail"),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn a_key_that_an_update_would_change() {
    let named = &["person", "id"];
    refused_changes("set", named, json!({"id": "eve"})).await;
    refused_changes("set to what it is", named, json!({"id": "ada", "age": 1})).await;
    refused_changes("unset", named, json!({"$unset": {"id": true}})).await;
    refused(
        "a part of a compound key",
        ErrorKind::Invalid,
        &["seat", "number"],
        async |it: &Subject| {
            it.storage.dynamic("seat")?.update(&json!({}), &json!({"number": 2})).await
        },
    )
    .await;
    let changes = Changes::new().increment("number", 1);
    refused_step(
        "an increment",
        ErrorKind::Invalid,
        &["seat", "number"],
        Step::Update { collection: "seat".into(), filter: Filter::All, changes },
    )
    .await;
    for subject in Subject::all().await {
        let error = subject.people().update(&json!({}), &json!({"id": "x"})).await.unwrap_err();
        assert!(matches!(error, Error::KeyChange { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn an_operator_that_there_is_not() {
    for (operator, filter) in [
        ("$like", json!({"name": {"$like": "A%"}})),
        ("$regex", json!({"name": {"$gte": "A", "$regex": "."}})),
        ("$where", json!({"$where": "1 = 1"})),
        ("$", json!({"name": {"$": 1}})),
        ("$xor", json!({"$and": [{"$xor": [{"age": 1}]}]})),
        ("$length", json!({"extra": {"$length": 1}})),
    ] {
        refused_filter(operator, &["person", operator], filter).await;
    }
    for (operator, changes) in [
        ("$push", json!({"extra": {"$push": 1}})),
        ("$rename", json!({"$rename": {"name": "title"}})),
        ("$pow", json!({"age": 1, "weight": {"$pow": 2}})),
    ] {
        refused_changes(operator, &["person", operator], changes).await;
    }
    for (what, filter) in [
        ("no object", json!([])),
        ("a text", json!("ada")),
        ("null", Json::Null),
        ("$or of an object", json!({"$or": {"age": 1}})),
        ("$in of a text", json!({"name": {"$in": "Ada"}})),
        ("$exists of a number", json!({"name": {"$exists": 1}})),
        ("a list", json!({"name": ["Ada", "Bob"]})),
    ] {
        refused_filter(what, &["person"], filter).await;
    }
    refused_changes("no change", &["person"], json!({})).await;
    refused_changes("no object", &["person"], json!(5)).await;
    refused_changes("a field twice", &["person", "age"], json!({"age": 1, "$inc": {"age": 1}}))
        .await;
}

#[tokio::test]
async fn an_increment_that_cannot_be() {
    refused_changes("of a text", &["person", "name"], json!({"$inc": {"name": 1}})).await;
    refused_changes("by a text", &["person", "age"], json!({"$inc": {"age": "1"}})).await;
    refused_changes("by a fraction", &["person", "age"], json!({"$inc": {"age": 0.5}})).await;
    // Ada's would fit, Bob's does not: neither is incremented.
    refused_changes("past 2^63 - 1", &["person", "age"], json!({"$inc": {"age": 1}})).await;
    let by_nan = Changes::new().increment("weight", f64::NAN);
    refused_step(
        "by NaN",
        ErrorKind::Invalid,
        &["person", "weight"],
        Step::Update { collection: "person".into(), filter: Filter::All, changes: by_nan },
    )
    .await;
}

#[tokio::test]
async fn a_precondition_or_a_continuation_that_refuses() {
    let query = Query::new("person").filter(field("name").eq("Ada"));
    refused_step("require", ErrorKind::Conflict, &["person"], Step::Require { query, count: 2 })
        .await;
    let refuse = Step::then(|_| Err(Error::Aborted { reason: "not today".to_owned() }));
    refused_step("abort", ErrorKind::Conflict, &[], refuse).await;
}

#[tokio::test]
async fn a_continuation_that_panics_fails_its_batch_only() {
    let call = async |it: &Subject| -> Result<BatchOutcome> {
        it.storage
            .execute(after_good_ones(Step::then(|_| panic!("a mistake in the application"))))
            .await
    };
    for subject in Subject::all().await.into_iter().filter(|it| it.name == "sqlite") {
        let before = subject.dump().await;
        let error = call(&subject).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert!(error.to_string().contains("a mistake in the application"), "{error}");
        assert_eq!(subject.dump().await, before);
        subject.people().create(json!({"name": "Cy", "age": 1})).await.unwrap();
    }
}

#[tokio::test]
async fn a_key_of_the_wrong_type_finds_nothing_by_mistake() {
    refused("get", ErrorKind::Invalid, &["person", "id"], async |it: &Subject| {
        it.people().get(Key::single(5)).await
    })
    .await;
    refused("delete by half a key", ErrorKind::Invalid, &["seat"], async |it: &Subject| {
        let batch = Batch::new().delete("seat", Filter::Keys(vec![Key::single("A")]));
        it.storage.execute(batch).await
    })
    .await;
}

#[tokio::test]
async fn a_storage_that_is_closed() {
    for subject in Subject::all().await {
        subject.storage.close().await.unwrap();
        subject.storage.close().await.unwrap();
        let error = subject.people().create(json!({"name": "Eve", "age": 1})).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
        let error = subject.people().find(&json!({})).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
    }
}
