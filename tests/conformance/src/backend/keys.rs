//! Primary keys: those that are given, and those that [`AutoPk`] makes.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use serde_json::{Value as Json, json};
use storex_core::{
    AutoPk, Batch, Changes, Collection, CustomKeys, Definition, Direction, Error, ErrorKind,
    FieldType, Filter, Key, KeyFormat, KeyGenerator, Query, Record, RelationDefinition, Runtime,
    Step, Storage, Timestamp, Value,
};

use crate::Harness;
use crate::support::{
    OBJECT, assert_refused, dump, numbered, open_one, record, records, refused, registry,
};

fn with_format(format: KeyFormat) -> Definition {
    Definition::new(OBJECT).key_format(format).optional("n", FieldType::Int)
}

async fn open(h: &Harness, format: KeyFormat, generator: KeyGenerator) -> Storage {
    let auto_pk = AutoPk::new().with(OBJECT, generator);
    h.open_with(registry([with_format(format)]), vec![Arc::new(auto_pk)]).await
}

async fn create(storage: &Storage) -> Value {
    let outcome =
        storage.execute(Batch::new().create(OBJECT, vec![record![None::<i64>, 1]])).await.unwrap();
    let schema = storage.registry().collection(OBJECT).unwrap();
    let key = outcome.executed()[0].keys(schema).remove(0);
    key.as_single().unwrap().clone()
}

/// Version and variant of a UUID's text.
fn assert_uuid(text: &str, version: char) {
    assert_eq!(text.len(), 36, "{text}");
    for (at, char) in text.chars().enumerate() {
        match at {
            8 | 13 | 18 | 23 => assert_eq!(char, '-', "{text}"),
            14 => assert_eq!(char, version, "{text}"),
            19 => assert!(matches!(char, '8' | '9' | 'a' | 'b'), "{text}"),
            _ => assert!(matches!(char, '0'..='9' | 'a'..='f'), "{text}"),
        }
    }
}

pub async fn a_text_key_is_a_uuid_of_version_7(h: Harness) {
    let (storage, _) = open_one(&h, with_format(KeyFormat::Text)).await;
    let key = create(&storage).await;
    assert_uuid(key.as_text().expect("a text"), '7');
}

pub async fn a_text_key_may_be_a_uuid_of_version_4(h: Harness) {
    let storage = open(&h, KeyFormat::Text, KeyGenerator::UuidV4).await;
    let (first, second) = (create(&storage).await, create(&storage).await);
    assert_uuid(first.as_text().expect("a text"), '4');
    assert_ne!(first, second);
}

pub async fn a_key_of_bytes_is_a_uuid(h: Harness) {
    let (storage, objects) = open_one(&h, with_format(KeyFormat::Bytes)).await;
    let key = create(&storage).await;
    assert_eq!(key.as_bytes().expect("bytes").len(), 16);
    let found = objects.get(key).await.unwrap().expect("the object is there");
    assert_uuid(found["id"].as_str().expect("a text in JSON"), '7');
    assert!(objects.update_one(&found, &json!({ "n": 2 })).await.unwrap());
    assert_eq!(objects.count(&json!({ "id": found["id"], "n": 2 })).await.unwrap(), 1);
}

pub async fn an_integer_key_has_63_bits(h: Harness) {
    let (storage, _) = open_one(&h, with_format(KeyFormat::Int)).await;
    let key = create(&storage).await.as_int().expect("an integer");
    assert!(key > 1 << 53, "{key}");
}

pub async fn an_integer_key_may_have_53_bits(h: Harness) {
    let storage = open(&h, KeyFormat::Int, KeyGenerator::Int53).await;
    let key = create(&storage).await.as_int().expect("an integer");
    assert!((1..1 << 53).contains(&key), "{key}");
}

pub async fn uuids_for_an_integer_key_are_refused(h: Harness) {
    let storage = open(&h, KeyFormat::Int, KeyGenerator::UuidV7).await;
    let batch = Batch::new().create(OBJECT, vec![record![None::<i64>, 1]]);
    refused(storage.execute(batch).await, ErrorKind::Invalid, &[OBJECT, "Int63"]);
    assert_eq!(storage.count(Query::new(OBJECT)).await.unwrap(), 0);
}

#[derive(Default)]
struct Hundreds(AtomicI64);

impl CustomKeys for Hundreds {
    fn generate(&self, collection: &Collection, _: &dyn Runtime) -> Value {
        assert_eq!(&**collection.name(), OBJECT);
        Value::Int(100 + self.0.fetch_add(1, Ordering::Relaxed))
    }
}

pub async fn keys_of_the_applications_own(h: Harness) {
    let generator = KeyGenerator::Custom(Arc::new(Hundreds::default()));
    let storage = open(&h, KeyFormat::Int, generator).await;
    let objects = storage.dynamic(OBJECT).unwrap();
    objects.create_many(&[json!({}), json!({ "id": 7 }), json!({})]).await.unwrap();
    objects.create(json!({ "n": 5 })).await.unwrap();
    let keys: Vec<_> =
        records(&storage, OBJECT).await.iter().map(|it| it.get(0).as_int()).collect();
    assert_eq!(keys, [Some(7), Some(100), Some(101), Some(102)]);
}

pub async fn given_keys_are_kept(h: Harness) {
    for (format, given) in [
        (KeyFormat::Text, json!("mine")),
        (KeyFormat::Int, json!(-7)),
        (KeyFormat::Bytes, json!("00112233-4455-6677-8899-aabbccddeeff")),
    ] {
        let name = format!("object{format:?}");
        let definition = Definition::new(name.as_str()).key_format(format);
        let (storage, objects) = open_one(&h, definition).await;
        assert_eq!(objects.create(json!({ "id": given })).await.unwrap(), json!({ "id": given }));
        let list = [json!({}), json!({ "id": null })];
        assert_eq!(objects.create_many(&list).await.unwrap().len(), 2);
        let all = dump(&storage, &name).await;
        assert_eq!(all.len(), 3);
        assert!(all.contains(&json!({ "id": given })), "{all:?}");
        storage.close().await.unwrap();
    }
}

/// A struct's key that is not filled in is an empty text.
pub async fn an_empty_text_is_no_key(h: Harness) {
    let (_storage, objects) = open_one(&h, with_format(KeyFormat::Text)).await;
    let created = objects.create(json!({ "id": "" })).await.unwrap();
    assert_uuid(created["id"].as_str().unwrap(), '7');
}

/// Without `AutoPk` nobody fills it in. A key that the application chooses is its own affair.
pub async fn an_empty_text_is_refused_without_auto_pk(h: Harness) {
    let chosen = Definition::new("chosen").field("name", FieldType::String).primary_key(["name"]);
    let storage = h.open_with(registry([with_format(KeyFormat::Text), chosen]), vec![]).await;
    let create = |collection: &'static str, record: Record| {
        storage.execute(Batch::new().create(collection, vec![record]))
    };
    let words = [OBJECT, "`id`", "empty", "AutoPk"];
    refused(create(OBJECT, record!["", 1]).await, ErrorKind::Invalid, &words);
    assert_eq!(dump(&storage, OBJECT).await, Vec::<Json>::new());
    create(OBJECT, record![" ", 1]).await.unwrap();
    create("chosen", record![""]).await.unwrap();
}

/// By key is by time of creation, so that an index grows at its end.
async fn keys_ascend(h: Harness, format: KeyFormat, generator: KeyGenerator) {
    let storage = open(&h, format, generator).await;
    let mut n = 0..;
    for size in [1, 2, 500, 1, 300] {
        let list = n.by_ref().take(size).map(|n: i64| record![None::<i64>, n]).collect();
        storage.execute(Batch::new().create(OBJECT, list)).await.unwrap();
    }
    let query = Query::new(OBJECT).order_by("id", Direction::Ascending).select(["n"]);
    let found = storage.find(query).await.unwrap();
    assert_eq!(found, (0..804).map(|n| record![n]).collect::<Vec<_>>());
}

pub async fn text_keys_ascend(h: Harness) {
    keys_ascend(h, KeyFormat::Text, KeyGenerator::UuidV7).await;
}

pub async fn keys_of_bytes_ascend(h: Harness) {
    keys_ascend(h, KeyFormat::Bytes, KeyGenerator::UuidV7).await;
}

pub async fn keys_of_63_bits_ascend(h: Harness) {
    keys_ascend(h, KeyFormat::Int, KeyGenerator::Int63).await;
}

pub async fn keys_of_53_bits_ascend(h: Harness) {
    keys_ascend(h, KeyFormat::Int, KeyGenerator::Int53).await;
}

pub async fn objects_in_a_batch_get_keys(h: Harness) {
    let (storage, _) = open_one(&h, with_format(KeyFormat::Text)).await;
    let batch = Batch::new()
        .create(OBJECT, vec![record![None::<&str>, 1], record!["given", 2]])
        .create(OBJECT, vec![record![None::<&str>, 3]]);
    let outcome = storage.execute(batch).await.unwrap();
    let schema = storage.registry().collection(OBJECT).unwrap();
    let told: HashSet<Key> = outcome.executed().iter().flat_map(|it| it.keys(schema)).collect();
    let stored = records(&storage, OBJECT).await.iter().map(|it| schema.key_of(it)).collect();
    assert_eq!(told.len(), 3);
    assert_eq!(told, stored);
}

pub async fn objects_of_continuations_get_keys(h: Harness) {
    let (storage, _) = open_one(&h, with_format(KeyFormat::Text)).await;
    let batch = Batch::new().touching([OBJECT]).then(|_| {
        Ok(vec![
            Step::create(OBJECT, vec![record![None::<&str>, 1]]),
            Step::then(|_| Ok(vec![Step::create(OBJECT, vec![record!["", 2]])])),
        ])
    });
    storage.execute(batch).await.unwrap();
    let all = records(&storage, OBJECT).await;
    assert_eq!(all.len(), 2);
    for record in all {
        assert_uuid(record.get(0).as_text().unwrap(), '7');
    }
}

pub async fn nested_objects_get_keys_of_their_own_form(h: Harness) {
    let user = Definition::new("user").key_format(KeyFormat::Int);
    let email = Definition::new("email")
        .key_format(KeyFormat::Bytes)
        .relation(RelationDefinition::child_of("user"));
    let storage = h.open(registry([user, email])).await;
    let users = storage.dynamic("user").unwrap();
    let created = users.create(json!({ "emails": [{}, {}] })).await.unwrap();
    assert!(created["id"].is_i64(), "{created}");
    for email in created["emails"].as_array().unwrap() {
        assert_uuid(email["id"].as_str().unwrap(), '7');
        assert_eq!(email["user"], created["id"]);
    }
}

pub async fn without_a_generator_a_key_must_be_given(h: Harness) {
    let storage = h.open_with(registry([with_format(KeyFormat::Text)]), vec![]).await;
    let objects = storage.dynamic(OBJECT).unwrap();
    let error = refused(objects.create(json!({})).await, ErrorKind::Invalid, &[OBJECT, "`id`"]);
    assert!(matches!(error, Error::MissingField { .. }), "{error:?}");
    objects.create(json!({ "id": "a" })).await.unwrap();
}

/// Only keys of type `AutoPk` are made.
pub async fn other_keys_must_be_given(h: Harness) {
    let pair = Definition::new("pair")
        .field("a", FieldType::AutoPk(KeyFormat::Text))
        .field("b", FieldType::String)
        .primary_key(["a", "b"]);
    let storage = h.open(registry([numbered(), pair])).await;
    let objects = storage.dynamic(OBJECT).unwrap();
    refused(objects.create(json!({ "n": 1 })).await, ErrorKind::Invalid, &[OBJECT, "`id`"]);
    let pairs = storage.dynamic("pair").unwrap();
    refused(pairs.create(json!({ "b": "x" })).await, ErrorKind::Invalid, &["pair", "`a`"]);
    refused(pairs.create(json!({ "a": "x" })).await, ErrorKind::Invalid, &["pair", "`b`"]);
}

pub async fn random_keys_are_made(h: Harness) {
    let definition = numbered()
        .field("secret", FieldType::RandomKey)
        .optional("other", FieldType::RandomKey)
        .unique(["secret"]);
    let (_storage, objects) = open_one(&h, definition).await;
    let list: Vec<Json> = (0..50).map(|id| json!({ "id": id })).collect();
    objects.create_many(&list).await.unwrap();
    let mut seen = HashSet::new();
    for object in objects.find(&json!({})).await.unwrap() {
        for field in ["secret", "other"] {
            let key = object[field].as_str().expect("a text").to_owned();
            assert_eq!(key.len(), 40, "{key}");
            assert!(key.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f')), "{key}");
            assert!(seen.insert(key), "the same twice");
        }
    }
    let given = json!({ "id": 99, "n": null, "secret": "mine", "other": "too" });
    assert_eq!(objects.create(given.clone()).await.unwrap(), given);
}

/// Objects with these keys are created, found, changed and deleted each by its own key.
async fn keys_of(h: Harness, field_type: FieldType, keys: Vec<Value>) {
    let definition = Definition::new(OBJECT)
        .field("id", field_type)
        .optional("n", FieldType::Int)
        .primary_key(["id"]);
    let (storage, _) = open_one(&h, definition).await;
    let all = keys.iter().zip(0..).map(|(key, n)| record![key.clone(), n]).collect();
    storage.execute(Batch::new().create(OBJECT, all)).await.unwrap();
    for (key, n) in keys.iter().zip(0_i64..) {
        let one = || Filter::key(Key::single(key.clone()));
        let found = storage.find(Query::new(OBJECT).filter(one())).await.unwrap();
        assert_eq!(found, [record![key.clone(), n]], "{key:?}");
        let again = Batch::new().create(OBJECT, vec![record![key.clone(), n]]);
        assert_refused!(storage.execute(again).await, Error::AlreadyExists { .. });
        let update = Batch::new().update(OBJECT, one(), Changes::new().increment("n", 1000));
        storage.execute(update).await.unwrap();
        let query = Query::new(OBJECT).filter(storex_core::field("n").gte(1000));
        assert_eq!(storage.find(query).await.unwrap(), [record![key.clone(), n + 1000]], "{key:?}");
        storage.execute(Batch::new().delete(OBJECT, one())).await.unwrap();
        let left = storage.count(Query::new(OBJECT)).await.unwrap();
        assert_eq!(usize::try_from(left).unwrap() + 1, keys.len(), "{key:?}");
        let back = Batch::new().create(OBJECT, vec![record![key.clone(), n]]);
        storage.execute(back).await.unwrap();
    }
    let mut expected = keys;
    expected.sort_by(Value::compare);
    let found: Vec<Value> =
        records(&storage, OBJECT).await.iter().map(|record| record.get(0).clone()).collect();
    assert_eq!(found, expected);
}

pub async fn texts_that_look_alike(h: Harness) {
    let keys = [
        "",
        " ",
        "a",
        "A",
        "a ",
        " a",
        "a\0",
        "a\0b",
        "é",
        "e\u{301}",
        "1",
        "01",
        "1.0",
        "+1",
        "1e0",
        "null",
        "true",
        "/",
        "a/b",
        "'",
        "\"",
        "%",
        "_",
        "\\",
        "😀",
        "\u{ffff}",
        "\u{5d0}\u{5d1}",
        "ﬁ",
        "fi",
    ];
    keys_of(h, FieldType::String, keys.map(Value::from).to_vec()).await;
}

pub async fn long_texts(h: Harness) {
    let keys = ["a".repeat(10_000), format!("{}b", "a".repeat(10_000)), "é".repeat(5_000)];
    keys_of(h, FieldType::String, keys.iter().map(Value::from).collect()).await;
}

pub async fn integers_at_the_edges(h: Harness) {
    let keys = [i64::MIN, -(1 << 53) - 1, -1, 0, 1, 1 << 53, (1 << 53) + 1, i64::MAX];
    keys_of(h, FieldType::Int, keys.map(Value::from).to_vec()).await;
}

pub async fn bytes_of_every_length(h: Harness) {
    let keys: [&[u8]; 7] = [&[], &[0], &[0, 0], b"a", b"a\0", &[255], &[7; 16]];
    keys_of(h, FieldType::Binary, keys.map(Value::from).to_vec()).await;
}

pub async fn timestamps(h: Harness) {
    let keys = [-1, 0, 1, 1_795_178_096_789].map(|ms| Value::from(Timestamp(ms)));
    keys_of(h, FieldType::Timestamp, keys.to_vec()).await;
}

pub async fn floats(h: Harness) {
    let keys = [f64::NEG_INFINITY, -1.5, 0.0, 5e-324, 0.1, 1.0, 1e300, f64::INFINITY];
    keys_of(h, FieldType::Float, keys.map(Value::from).to_vec()).await;
}

pub async fn booleans(h: Harness) {
    keys_of(h, FieldType::Boolean, vec![Value::Bool(false), Value::Bool(true)]).await;
}

/// Compound keys are equal when each part is, not when they are the same written one behind the other.
pub async fn compound_keys_part_by_part(h: Harness) {
    let definition = Definition::new(OBJECT)
        .field("a", FieldType::String)
        .field("b", FieldType::Int)
        .field("c", FieldType::String)
        .optional("n", FieldType::Int)
        .primary_key(["c", "b", "a"]);
    let (storage, _) = open_one(&h, definition).await;
    let all = vec![
        record!["", 1, "", 0],
        record!["c", 1, "ab", 0],
        record!["bc", 1, "a", 0],
        record!["", 1, "abc", 0],
        record!["\0", 1, "", 0],
        record!["", 1, "\0", 0],
        record!["1", 11, "", 0],
        record!["11", 1, "", 0],
        record!["", 111, "", 0],
        record!["/", 1, "", 0],
        record!["", 1, "/", 0],
    ];
    storage.execute(Batch::new().create(OBJECT, all.clone())).await.unwrap();
    let schema = storage.registry().collection(OBJECT).unwrap();
    let keys: Vec<Key> = all.iter().map(|record| schema.key_of(record)).collect();
    let found = storage.find(Query::new(OBJECT).filter(Filter::Keys(keys.clone()))).await.unwrap();
    assert_eq!(found, all);
    for (n, key) in keys.iter().enumerate() {
        let deleted = Batch::new().delete(OBJECT, Filter::key(key.clone()));
        storage.execute(deleted).await.unwrap();
        let left = storage.count(Query::new(OBJECT)).await.unwrap();
        assert_eq!(usize::try_from(left).unwrap(), all.len() - n - 1, "{key}");
    }
}
