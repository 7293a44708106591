//! From one version of the schema to the next. A backend that keeps nothing is empty afterwards.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value as Json, json};
use storex_core::{
    Context, Definition, Error, ErrorKind, FieldOption, FieldType, Middleware, Migration, Module,
    Next, Operation, Outcome, Properties, Registry, Result, Storage, Value,
};

use crate::Harness;
use crate::support::{OBJECT, assert_refused, dump, keyed, records, refused, registry};

fn built(
    definitions: impl IntoIterator<Item = Definition>,
    migrations: impl IntoIterator<Item = Migration>,
) -> Registry {
    let builder = Registry::builder().collections(definitions).migrations(migrations);
    builder.build().expect("the schema of the case is right")
}

/// The first version.
fn people() -> Definition {
    keyed().field("name", FieldType::String).optional("age", FieldType::String).index(["age"])
}

fn person(id: i64) -> Json {
    json!({ "id": id, "name": format!("First{id} Last{}", id % 3), "age": id.to_string() })
}

/// So many that they are more than a batch of any backend.
const MANY: i64 = 2_300;

async fn with_people(h: &Harness, number: i64) {
    let storage = h.open(registry([people()])).await;
    let people: Vec<Json> = (0..number).map(person).collect();
    storage.dynamic(OBJECT).unwrap().create_many(&people).await.unwrap();
    storage.close().await.unwrap();
}

/// What is expected to be there: nothing, where nothing is kept.
fn kept(h: &Harness, objects: impl IntoIterator<Item = Json>) -> Vec<Json> {
    let persistent = h.backend().capabilities().persistent;
    objects.into_iter().filter(|_| persistent).collect()
}

/// Opens with this registry twice, and finds these objects each time.
async fn becomes(h: &Harness, registry: impl Fn() -> Registry, expected: Vec<Json>) -> Storage {
    let storage = h.open(registry()).await;
    assert_eq!(dump(&storage, OBJECT).await, kept(h, expected));
    storage.close().await.unwrap();
    if h.backend().capabilities().persistent {
        let builder =
            Storage::builder(h.backend(), registry(), Arc::new(crate::CaseRuntime::new(1)));
        let plan = builder.plan().await.unwrap();
        assert!(plan.is_empty(), "something is left to do: {plan}");
    }
    h.open(registry()).await
}

/// Opening is refused, and the database is what it was.
async fn is_refused(h: &Harness, registry: Registry, kind: ErrorKind, words: &[&str]) {
    if !h.backend().capabilities().persistent {
        return;
    }
    refused(h.try_open(registry, vec![]).await, kind, words);
    let storage = h.open(crate::support::registry([people()])).await;
    assert_eq!(dump(&storage, OBJECT).await[0], person(0));
    let found = storage.dynamic(OBJECT).unwrap().find(&json!({ "age": "1" })).await.unwrap();
    assert_eq!(found, [person(1)]);
    storage.close().await.unwrap();
}

pub async fn fields_are_added(h: Harness) {
    with_people(&h, 3).await;
    let grown = || {
        let default = |value: Value| [FieldOption::Default(value)];
        let or_null = [FieldOption::Optional, FieldOption::Default("it's".into())];
        registry([people()
            .optional("note", FieldType::Text)
            .field_with("stars", FieldType::Int, default(7.into()))
            .field_with("size", FieldType::Float, default(1.5.into()))
            .field_with("flag", FieldType::Boolean, default(true.into()))
            .field_with("bytes", FieldType::Binary, default(vec![0, 255].into()))
            .field_with("json", FieldType::Json, default(json!({ "a": ["'"] }).into()))
            .field_with("nul", FieldType::String, default("a\0b".into()))
            .field_with("text", FieldType::String, or_null)
            .index(["stars"])])
    };
    let expected = (0..3).map(|id| {
        let mut object = person(id);
        for (field, value) in [
            ("note", json!(null)),
            ("stars", json!(7)),
            ("size", json!(1.5)),
            ("flag", json!(true)),
            ("bytes", json!("AP8=")),
            ("json", json!({ "a": ["'"] })),
            ("nul", json!("a\0b")),
            ("text", json!("it's")),
        ] {
            object[field] = value;
        }
        object
    });
    let storage = becomes(&h, grown, expected.collect()).await;
    let found = storage.dynamic(OBJECT).unwrap().find(&json!({ "stars": 7 })).await.unwrap();
    assert_eq!(found.len(), kept(&h, (0..3).map(person)).len());
    storage.dynamic(OBJECT).unwrap().create(json!({ "id": 9, "name": "x" })).await.unwrap();
}

pub async fn a_field_is_renamed(h: Harness) {
    with_people(&h, 3).await;
    let renamed = || {
        let second = keyed().version(2).field("full_name", FieldType::String);
        let second = second.optional("years", FieldType::String).index(["years"]);
        let migration = Migration::new(OBJECT, 2);
        built(
            [people(), second],
            [migration.rename_field("name", "full_name").rename_field("age", "years")],
        )
    };
    let expected = (0..3)
        .map(person)
        .map(|it| json!({ "id": it["id"], "full_name": it["name"], "years": it["age"] }));
    let storage = becomes(&h, renamed, expected.collect()).await;
    let found = storage.dynamic(OBJECT).unwrap().find(&json!({ "years": "2" })).await.unwrap();
    assert_eq!(found.len(), kept(&h, [person(2)]).len());
}

pub async fn two_fields_change_names(h: Harness) {
    with_people(&h, 3).await;
    let swapped = || {
        let second = keyed().version(2).field("age", FieldType::String);
        let second = second.optional("name", FieldType::String).index(["name"]);
        let migration = Migration::new(OBJECT, 2);
        built(
            [people(), second],
            [migration.rename_field("name", "age").rename_field("age", "name")],
        )
    };
    let expected = (0..3)
        .map(person)
        .map(|it| json!({ "id": it["id"], "age": it["name"], "name": it["age"] }));
    becomes(&h, swapped, expected.collect()).await;
}

pub async fn a_collection_is_renamed(h: Harness) {
    let before = |name: &str| {
        Definition::new(name)
            .field("id", FieldType::Int)
            .primary_key(["id"])
            .field("n", FieldType::Int)
            .unique(["n"])
    };
    let storage = h.open(registry([before("before")])).await;
    let objects = [json!({ "id": 1, "n": 5 }), json!({ "id": 2, "n": 6 })];
    storage.dynamic("before").unwrap().create_many(&objects).await.unwrap();
    storage.close().await.unwrap();
    let renamed = || {
        built(
            [before("before"), before(OBJECT).version(2)],
            [Migration::new(OBJECT, 2).renamed_from("before")],
        )
    };
    let storage = becomes(&h, renamed, objects.to_vec()).await;
    assert_refused!(storage.dynamic("before"), Error::UnknownCollection { .. });
    if h.backend().capabilities().persistent {
        let again = storage.dynamic(OBJECT).unwrap().create(json!({ "id": 3, "n": 5 })).await;
        assert_refused!(again, Error::UniqueViolation { .. });
    }
    storage.close().await.unwrap();
    // The name is free for another collection, with indices of the same names.
    let both = built(
        [before(OBJECT).version(2), before("before").version(3)],
        [Migration::new(OBJECT, 2).renamed_from("before")],
    );
    let storage = h.open(both).await;
    storage.dynamic("before").unwrap().create(json!({ "id": 1, "n": 5 })).await.unwrap();
    assert_eq!(dump(&storage, OBJECT).await, kept(&h, objects));
}

pub async fn a_field_is_removed(h: Harness) {
    with_people(&h, MANY).await;
    let smaller = || {
        let second = keyed().version(2).field("name", FieldType::String);
        built([people(), second], [Migration::new(OBJECT, 2).remove_field("age")])
    };
    let expected = (0..MANY).map(person).map(|it| json!({ "id": it["id"], "name": it["name"] }));
    becomes(&h, smaller, expected.collect()).await.close().await.unwrap();
    // What comes back under the name does not have the old values.
    let again = built(
        [keyed().version(3).field("name", FieldType::String).optional("age", FieldType::String)],
        [],
    );
    let storage = h.open(again).await;
    for object in dump(&storage, OBJECT).await {
        assert_eq!(object["age"], json!(null));
    }
}

pub async fn a_collection_is_removed_when_told(h: Harness) {
    let other = || Definition::new("other").field("id", FieldType::Int).primary_key(["id"]);
    with_people(&h, 3).await;
    let persistent = h.backend().capabilities().persistent;
    // A registry without the collection leaves it alone.
    h.open(registry([other()])).await.close().await.unwrap();
    let storage = h.open(registry([people(), other()])).await;
    assert_eq!(dump(&storage, OBJECT).await, kept(&h, (0..3).map(person)));
    storage.close().await.unwrap();
    let without = || built([other()], [Migration::remove(OBJECT, 2)]);
    for _ in 0..2 {
        h.open(without()).await.close().await.unwrap();
    }
    if persistent {
        refused(
            h.try_open(registry([people(), other()]), vec![]).await,
            ErrorKind::Invalid,
            &["version 2", "version 1"],
        );
    }
    // The name is free for another collection.
    let again = built([other(), people().version(3)], [Migration::remove(OBJECT, 2)]);
    let storage = h.open(again).await;
    assert_eq!(dump(&storage, OBJECT).await.len(), 0);
}

fn in_years(object: &mut Properties) -> Result<()> {
    let age = object.get("age").and_then(Value::as_text).and_then(|age| age.parse::<i64>().ok());
    object.insert("age".to_owned(), age.into());
    Ok(())
}

fn people_in_years() -> Definition {
    keyed()
        .version(2)
        .field("name", FieldType::String)
        .optional("age", FieldType::Int)
        .index(["age"])
}

pub async fn a_type_is_changed_by_a_function(h: Harness) {
    with_people(&h, MANY).await;
    let changed =
        || built([people(), people_in_years()], [Migration::new(OBJECT, 2).change(in_years)]);
    let expected = (0..MANY).map(|id| {
        let mut object = person(id);
        object["age"] = json!(id);
        object
    });
    let storage = becomes(&h, changed, expected.collect()).await;
    let found = storage.dynamic(OBJECT).unwrap().find(&json!({ "age": { "$lt": 10 } })).await;
    assert_eq!(found.unwrap().len(), kept(&h, (0..10).map(person)).len());
}

pub async fn a_new_required_field_is_filled_by_a_function(h: Harness) {
    with_people(&h, MANY).await;
    let split = || {
        let second = keyed().version(2).field("first", FieldType::String);
        let second = second.field("last", FieldType::String).index(["last"]);
        let change = |object: &mut Properties| {
            let name = object.get("name").and_then(Value::as_text).unwrap_or_default().to_owned();
            let (first, last) = name.split_once(' ').unwrap_or_default();
            object.insert("first".to_owned(), first.into());
            object.insert("last".to_owned(), last.into());
            Ok(())
        };
        let migration = Migration::new(OBJECT, 2).change(change);
        built([people(), second], [migration.remove_field("name").remove_field("age")])
    };
    let expected = (0..MANY).map(
        |id| json!({ "id": id, "first": format!("First{id}"), "last": format!("Last{}", id % 3) }),
    );
    becomes(&h, split, expected.collect()).await;
}

/// In the middle two objects have one value; in the end each has its own.
pub async fn values_of_a_unique_index_move_from_one_object_to_the_next(h: Harness) {
    let unique = |version| keyed().version(version).field("n", FieldType::Int).unique(["n"]);
    let storage = h.open(registry([unique(1)])).await;
    let objects: Vec<Json> = (0..20).map(|id| json!({ "id": id, "n": id })).collect();
    storage.dynamic(OBJECT).unwrap().create_many(&objects).await.unwrap();
    storage.close().await.unwrap();
    let next = || {
        let change = |object: &mut Properties| {
            let n = object.get("n").and_then(Value::as_int).unwrap_or_default();
            object.insert("n".to_owned(), Value::Int((n + 1) % 20));
            Ok(())
        };
        built([unique(1), unique(2)], [Migration::new(OBJECT, 2).change(change)])
    };
    let expected = (0..20).map(|id| json!({ "id": id, "n": (id + 1) % 20 })).collect();
    let storage = becomes(&h, next, expected).await;
    if h.backend().capabilities().persistent {
        let again = storage.dynamic(OBJECT).unwrap().create(json!({ "id": 99, "n": 5 })).await;
        assert_refused!(again, Error::UniqueViolation { .. });
    }
}

pub async fn a_unique_index_is_added(h: Harness) {
    with_people(&h, 3).await;
    let unique = || registry([people().unique(["name"])]);
    let storage = becomes(&h, unique, (0..3).map(person).collect()).await;
    if h.backend().capabilities().persistent {
        let mut again = person(0);
        again["id"] = json!(9);
        let again = storage.dynamic(OBJECT).unwrap().create(again).await;
        assert_refused!(again, Error::UniqueViolation { .. });
    }
}

pub async fn a_unique_index_that_does_not_hold_is_refused(h: Harness) {
    with_people(&h, MANY).await;
    // By itself, and after every object was changed.
    let plain = built([people().field_with("one", FieldType::Int, one()).unique(["one"])], []);
    is_refused(&h, plain, ErrorKind::Conflict, &[OBJECT, "one"]).await;
    let same = |object: &mut Properties| {
        object.insert("age".to_owned(), "same".into());
        Ok(())
    };
    let changed = built(
        [people(), people().version(2).unique(["age"])],
        [Migration::new(OBJECT, 2).change(same)],
    );
    is_refused(&h, changed, ErrorKind::Conflict, &[OBJECT, "age"]).await;
}

fn one() -> [FieldOption; 1] {
    [FieldOption::Default(1.into())]
}

pub async fn a_function_that_fails_changes_nothing(h: Harness) {
    with_people(&h, MANY).await;
    let fails = |object: &mut Properties| {
        object.insert("age".to_owned(), Value::Int(1));
        match object.get("id").and_then(Value::as_int) {
            Some(1_777) => Err(Error::Aborted { reason: "no such person".to_owned() }),
            _ => Ok(()),
        }
    };
    let failing = built([people(), people_in_years()], [Migration::new(OBJECT, 2).change(fails)]);
    is_refused(&h, failing, ErrorKind::Conflict, &[OBJECT, "1777", "no such person"]).await;
    // One that leaves what is no value of its field.
    let wrong = |_: &mut Properties| Ok(());
    let wrong = built([people(), people_in_years()], [Migration::new(OBJECT, 2).change(wrong)]);
    is_refused(&h, wrong, ErrorKind::Invalid, &[OBJECT, "age", "key 0"]).await;
    // One that leaves what is no field.
    let more = |object: &mut Properties| {
        object.insert("more".to_owned(), Value::Int(1));
        in_years(object)
    };
    let more = built([people(), people_in_years()], [Migration::new(OBJECT, 2).change(more)]);
    is_refused(&h, more, ErrorKind::Invalid, &[OBJECT, "more"]).await;
    // One that makes another object of it.
    let key = |object: &mut Properties| {
        object.insert("id".to_owned(), Value::Int(-1));
        in_years(object)
    };
    let key = built([people(), people_in_years()], [Migration::new(OBJECT, 2).change(key)]);
    is_refused(&h, key, ErrorKind::Invalid, &[OBJECT, "key"]).await;
    // One that is mended.
    let mended = built([people(), people_in_years()], [Migration::new(OBJECT, 2).change(in_years)]);
    let storage = h.open(mended).await;
    assert_eq!(records(&storage, OBJECT).await.len(), kept(&h, (0..MANY).map(person)).len());
}

/// What would lose something or guess something needs to be told; the message says how.
pub async fn what_was_not_told_is_refused(h: Harness) {
    with_people(&h, 3).await;
    let name = |it: Definition| it.field("name", FieldType::String);
    let age = |it: Definition| it.optional("age", FieldType::String).index(["age"]);
    let all = [
        (age(name(keyed())).field("must", FieldType::Int), "must", ".change("),
        (age(name(keyed())).version(2).field("must", FieldType::Int), "must", ".change("),
        (name(keyed()), "age", ".remove_field(\"age\")"),
        (name(keyed()).version(2), "age", ".remove_field(\"age\")"),
        (name(keyed()).optional("age", FieldType::Int), "age", ".change("),
        (name(keyed()).version(2).optional("age", FieldType::Int), "age", ".change("),
        (name(keyed()).field("age", FieldType::String), "age", ".change("),
        (age(keyed()).optional("name", FieldType::String), "name", "new version, such as 2"),
        (age(name(Definition::new(OBJECT))).version(2), "key", "cannot change"),
        (age(name(keyed())).primary_key(["name"]).version(2), "key", "cannot change"),
    ];
    for (definition, field, remedy) in all {
        is_refused(&h, registry([definition]), ErrorKind::Invalid, &[OBJECT, field, remedy]).await;
    }
}

pub async fn a_newer_schema_is_refused_with_both_versions(h: Harness) {
    with_people(&h, 3).await;
    let newer = || {
        let migration = Migration::new(OBJECT, 20_261_120).change(in_years);
        built([people_in_years().version(20_261_120)], [migration])
    };
    h.open(newer()).await.close().await.unwrap();
    if !h.backend().capabilities().persistent {
        return;
    }
    let words = ["version 20261120", "version 1", "newer program"];
    for _ in 0..2 {
        let error =
            refused(h.try_open(registry([people()]), vec![]).await, ErrorKind::Invalid, &words);
        assert!(matches!(error, Error::NewerSchema { .. }), "{error:?}");
    }
    let storage = h.open(newer()).await;
    assert_eq!(dump(&storage, OBJECT).await[2]["age"], json!(2));
}

/// From the first version to the third, and from the second, each migration once.
pub async fn several_versions_at_once(h: Harness) {
    let second =
        || keyed().version(2).field("name", FieldType::String).optional("years", FieldType::String);
    let third =
        || keyed().version(3).field("name", FieldType::String).optional("years", FieldType::Int);
    let mark = |mark: &'static str| {
        move |object: &mut Properties| {
            let name = object.get("name").and_then(Value::as_text).unwrap_or_default();
            let name = format!("{name}{mark}");
            object.insert("name".to_owned(), name.into());
            Ok(())
        }
    };
    let to_second = || Migration::new(OBJECT, 2).rename_field("age", "years").change(mark("?"));
    let to_third = || {
        Migration::new(OBJECT, 3).change(move |object| {
            let years = object.get("years").and_then(Value::as_text);
            let years = years.and_then(|years| years.parse::<i64>().ok());
            object.insert("years".to_owned(), years.into());
            mark("!")(object)
        })
    };
    // Given in the wrong order.
    let all = || built([third(), people(), second()], [to_third(), to_second()]);
    let expected: Vec<Json> = (0..3)
        .map(|id| json!({ "id": id, "name": format!("First{id} Last{id}?!"), "years": id }))
        .collect();
    with_people(&h, 3).await;
    becomes(&h, all, expected).await.close().await.unwrap();
}

/// One after the other is the same as both at once.
pub async fn one_version_after_the_other(h: Harness) {
    with_people(&h, 3).await;
    let second = || people().version(2).optional("note", FieldType::String);
    let third = || people_in_years().version(3).optional("note", FieldType::String);
    let note = || {
        Migration::new(OBJECT, 2).change(|object| {
            object.insert("note".to_owned(), "seen".into());
            Ok(())
        })
    };
    h.open(built([people(), second()], [note()])).await.close().await.unwrap();
    let all = || {
        let years = Migration::new(OBJECT, 3).change(in_years);
        built([people(), second(), third()], [note(), years])
    };
    let expected = (0..3).map(|id| {
        let mut object = person(id);
        (object["age"], object["note"]) = (json!(id), json!("seen"));
        object
    });
    becomes(&h, all, expected.collect()).await;
}

/// A dry run tells what would be done, and does nothing of it.
pub async fn a_plan_changes_nothing(h: Harness) {
    let runtime = || Arc::new(crate::CaseRuntime::new(1));
    let changed = || {
        let migration = Migration::new(OBJECT, 2).change(in_years).rename_field("name", "who");
        let second = keyed().version(2).field("who", FieldType::String);
        let second = second.optional("age", FieldType::Int).index(["who"]);
        built([people(), second], [migration])
    };
    let plan =
        || async { Storage::builder(h.backend(), changed(), runtime()).plan().await.unwrap() };
    if !h.backend().capabilities().persistent {
        assert!(plan().await.is_empty());
        return;
    }
    // Of a database that is not there, twice: it is still not there.
    for _ in 0..2 {
        assert_eq!(plan().await.to_string(), "from version 0 to version 2\n- object: make it\n");
    }
    with_people(&h, 3).await;
    for _ in 0..2 {
        assert_eq!(
            plan().await.to_string(),
            "from version 1 to version 2\n\
             - object: from version 1 to version 2\n\
             - object: field `age` from text to integer\n\
             - object: rename field `name` to `who`\n\
             - object: change every object (the function of version 2)\n\
             - object: remove an index on (age)\n\
             - object: make an index on (who)\n"
        );
    }
    let storage = h.open(registry([people()])).await;
    assert_eq!(dump(&storage, OBJECT).await, (0..3).map(person).collect::<Vec<_>>());
    storage.close().await.unwrap();
    let storage = h.open(changed()).await;
    assert_eq!(dump(&storage, OBJECT).await[1]["age"], json!(1));
}

/// A middleware with a collection of its own, of this version.
#[derive(Debug)]
struct Keeper(u64);

const KEPT: &str = "_storex_kept";

#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
impl Middleware for Keeper {
    fn module(&self) -> Module {
        let kept = || {
            let id = Definition::new(KEPT).reserved().field("id", FieldType::Int);
            id.primary_key(["id"])
        };
        let first = kept().field("n", FieldType::String);
        let second = kept().version(2).field("number", FieldType::Int);
        let module = Module::new("keeper").collection(first);
        if self.0 < 2 {
            return module;
        }
        let number = Migration::new(KEPT, 2).rename_field("n", "number").change(|object| {
            let number = object.get("number").and_then(Value::as_text).unwrap_or_default();
            let number = number.parse::<i64>().ok();
            object.insert("number".to_owned(), number.into());
            Ok(())
        });
        module.collection(second).migration(number)
    }

    async fn process(
        &self,
        cx: &mut Context,
        operation: Operation,
        next: Next<'_>,
    ) -> Result<Outcome> {
        next.run(cx, operation).await
    }
}

/// storex's own collections have versions of their own, and change by the same means.
pub async fn collections_of_a_middleware_are_migrated(h: Harness) {
    let open = |version| h.try_open(registry([people()]), vec![Arc::new(Keeper(version))]);
    let storage = open(1).await.unwrap();
    storage
        .execute(storex_core::Batch::new().create(KEPT, vec![crate::support::record![1, "5"]]))
        .await
        .unwrap();
    storage.dynamic(OBJECT).unwrap().create(person(0)).await.unwrap();
    storage.close().await.unwrap();
    let persistent = h.backend().capabilities().persistent;
    for _ in 0..2 {
        let storage = open(2).await.unwrap();
        let expected = if persistent { vec![crate::support::record![1, 5]] } else { vec![] };
        assert_eq!(records(&storage, KEPT).await, expected);
        storage.close().await.unwrap();
    }
    if persistent {
        refused(open(1).await, ErrorKind::Invalid, &[KEPT, "version 2", "version 1"]);
    }
    // Without the middleware its collection stays, and the application's version is not touched by it.
    let storage = h.open(registry([people()])).await;
    assert_eq!(dump(&storage, OBJECT).await, kept(&h, [person(0)]));
}
