//! What the two faces offer beyond a query and a batch: sums, distinct values, streams, upserts, updates on a condition.

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use storex_core::{
    Batch, ChangeEvent, ChangeKind, Changes, Definition, Direction, ErrorKind, FieldOption,
    FieldType, Filter, Key, Object, ObjectStream, Result, Storage, TypedCollection, Value, field,
};

use crate::Harness;
use crate::support::{
    OBJECT, assert_objects, dump, join_all, keyed, open_one, record, records, refused,
};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Item {
    id: i64,
    name: String,
    n: Option<i64>,
}

impl Object for Item {
    const COLLECTION: &'static str = OBJECT;
}

fn item(id: i64, name: &str, n: impl Into<Option<i64>>) -> Item {
    Item { id, name: name.to_owned(), n: n.into() }
}

fn definition() -> Definition {
    keyed().field("name", FieldType::String).optional("n", FieldType::Int).field_with(
        "note",
        FieldType::String,
        [FieldOption::Default("none".into())],
    )
}

async fn opened(h: &Harness, items: &[Item]) -> (Storage, TypedCollection<Item>) {
    let (storage, _) = open_one(h, definition()).await;
    let typed = storage.collection::<Item>().unwrap();
    typed.create_many(items).await.unwrap();
    (storage, typed)
}

fn some() -> Vec<Item> {
    vec![item(1, "b", 5), item(2, "a", -3), item(3, "b", None), item(4, "c", 5)]
}

// ---------------------------------------------------------------------------------------------------- what it comes to

pub async fn least_greatest_and_sum_of_a_query(h: Harness) {
    let (_storage, items) = opened(&h, &some()).await;
    assert_eq!(items.query().min("n").await.unwrap(), Value::from(-3));
    assert_eq!(items.query().max("name").await.unwrap(), Value::from("c"));
    assert_eq!(items.query().sum("n").await.unwrap(), Value::from(7));
    let b = || items.query().filter(field("name").eq("b"));
    assert_eq!(b().sum("n").await.unwrap(), Value::from(5));
    assert_eq!(b().order_by("n", Direction::Descending).max("id").await.unwrap(), Value::from(3));
    let none = || items.query().filter(field("id").gt(99));
    assert_eq!(none().min("n").await.unwrap(), Value::Null);
    assert_eq!(none().sum("n").await.unwrap(), Value::from(0));
}

pub async fn distinct_values_of_a_query(h: Harness) {
    let (_storage, items) = opened(&h, &some()).await;
    let names = items.query().distinct("name").await.unwrap();
    assert_eq!(names, ["a", "b", "c"].map(Value::from));
    let numbers = items.query().distinct("n").await.unwrap();
    assert_eq!(numbers, [Value::Null, Value::from(-3), Value::from(5)]);
    let some = items.query().filter(field("n").eq(5)).distinct("name").await.unwrap();
    assert_eq!(some, ["b", "c"].map(Value::from));
}

/// Of a part of a result there is none: which part would depend on the order.
pub async fn sums_of_pages_are_refused(h: Harness) {
    let (_storage, items) = opened(&h, &some()).await;
    let (_, position) = items.query().page(2).await.unwrap();
    for query in
        [items.query().limit(1), items.query().offset(1), items.query().after(position.unwrap())]
    {
        refused(query.sum("n").await, ErrorKind::Invalid, &[OBJECT, "limit"]);
    }
    refused(items.query().limit(9).distinct("n").await, ErrorKind::Invalid, &[OBJECT]);
    refused(items.query().sum("name").await, ErrorKind::Invalid, &[OBJECT, "name"]);
    refused(items.query().min("nowhere").await, ErrorKind::Invalid, &[OBJECT, "nowhere"]);
}

pub async fn groups_in_json(h: Harness) {
    let (storage, _) = opened(&h, &some()).await;
    let objects = storage.dynamic(OBJECT).unwrap();
    let asked = json!({
        "filter": { "id": { "$lt": 4 } },
        "by": ["name"],
        "values": {
            "count": { "$count": true }, "sum": { "$sum": "n" }, "least": { "$min": "n" },
            "last": { "$max": "id" },
        },
    });
    let expected = [
        json!({ "name": "a", "count": 1, "sum": -3, "least": -3, "last": 2 }),
        json!({ "name": "b", "count": 2, "sum": 5, "least": 5, "last": 3 }),
    ];
    assert_eq!(objects.aggregate(&asked).await.unwrap(), expected);
    let total = json!({ "values": { "sum": { "$sum": "n" } } });
    assert_eq!(objects.aggregate(&total).await.unwrap(), [json!({ "sum": 7 })]);
    let distinct = objects.aggregate(&json!({ "by": ["n"] })).await.unwrap();
    assert_eq!(distinct, [json!({ "n": null }), json!({ "n": -3 }), json!({ "n": 5 })]);
    for wrong in [
        json!({}),
        json!([]),
        json!({ "by": "name" }),
        json!({ "by": [1] }),
        json!({ "by": ["nowhere"] }),
        json!({ "group": ["name"] }),
        json!({ "values": ["n"] }),
        json!({ "values": { "x": { "$avg": "n" } } }),
        json!({ "values": { "x": { "$sum": 1 } } }),
        json!({ "values": { "x": { "$sum": "n", "$min": "n" } } }),
        json!({ "values": { "x": { "$sum": "name" } } }),
        json!({ "values": { "x": { "$count": false } } }),
        json!({ "by": ["name"], "values": { "name": { "$count": true } } }),
        json!({ "by": ["name"], "filter": { "n": { "$near": 1 } } }),
    ] {
        refused(objects.aggregate(&wrong).await, ErrorKind::Invalid, &[OBJECT]);
    }
}

// ------------------------------------------------------------------------------------------------------------- streams

async fn rest(stream: &mut ObjectStream<Item>) -> Vec<i64> {
    let mut seen = Vec::new();
    while let Some(item) = stream.next().await {
        seen.push(item.unwrap().id);
    }
    seen
}

pub async fn a_stream_gives_everything_in_order(h: Harness) {
    let many: Vec<Item> =
        (1..=50).map(|id| item(id, ["x", "y"][id as usize % 2], id % 7)).collect();
    let (_storage, items) = opened(&h, &many).await;
    let mut expected: Vec<Item> = many.clone();
    expected.sort_by_key(|it| (std::cmp::Reverse(it.n), it.id));
    let expected: Vec<i64> = expected.iter().map(|it| it.id).collect();
    for size in [0, 1, 7, 25, 49, 50, 51, 1_000] {
        let mut stream = items.query().stream(size);
        assert_eq!(rest(&mut stream).await, (1..=50).collect::<Vec<_>>(), "pages of {size}");
        assert!(stream.next().await.is_none(), "the end is the end");
        let ordered = items.query().order_by("n", Direction::Descending);
        assert_eq!(rest(&mut ordered.stream(size)).await, expected, "pages of {size}");
    }
    let none = items.query().filter(field("id").gt(99));
    assert_eq!(rest(&mut none.stream(10)).await, [0_i64; 0]);
}

pub async fn a_stream_of_a_part(h: Harness) {
    let many: Vec<Item> = (1..=50).map(|id| item(id, "x", None)).collect();
    let (_storage, items) = opened(&h, &many).await;
    for (limit, offset) in [(10, 0), (10, 5), (7, 45), (0, 0), (100, 48), (4, 1), (5, 100)] {
        let mut stream = items.query().limit(limit).offset(offset).stream(4);
        let expected: Vec<i64> = (1..=50).skip(offset as usize).take(limit as usize).collect();
        assert_eq!(rest(&mut stream).await, expected, "limit {limit}, offset {offset}");
    }
    let keys = Filter::Keys([9, 3, 7, 99].map(Key::single).to_vec());
    assert_eq!(rest(&mut items.query().filter(keys).stream(2)).await, [3, 7, 9], "by key");
    let (_, position) = items.query().page(20).await.unwrap();
    let mut stream = items.query().after(position.unwrap()).stream(20);
    assert_eq!(rest(&mut stream).await, (21..=50).collect::<Vec<_>>());
}

/// What is written behind the place that was read is seen, what is written before it is not, and nothing comes twice.
pub async fn a_stream_and_writes_meanwhile(h: Harness) {
    let many: Vec<Item> = (1..=10).map(|id| item(id * 10, "x", None)).collect();
    let (storage, items) = opened(&h, &many).await;
    let mut stream = items.query().stream(3);
    let mut seen = Vec::new();
    for _ in 0..4 {
        seen.push(stream.next().await.unwrap().unwrap().id);
    }
    items.create_many(&[item(5, "new", None), item(95, "new", None)]).await.unwrap();
    items.delete_one(10).await.unwrap();
    items.delete_one(80).await.unwrap();
    storage
        .execute(Batch::new().update(OBJECT, Filter::key(90), Changes::new().set("name", "y")))
        .await
        .unwrap();
    while let Some(item) = stream.next().await {
        let item = item.unwrap();
        assert_eq!(item.name == "y", item.id == 90);
        seen.push(item.id);
    }
    assert_eq!(seen, [10, 20, 30, 40, 50, 60, 70, 90, 95, 100]);
}

pub async fn a_stream_that_cannot_be_ends_with_its_error(h: Harness) {
    let (storage, items) = opened(&h, &some()).await;
    let mut stream = items.query().filter(field("nowhere").eq(1)).stream(2);
    refused(stream.next().await.unwrap(), ErrorKind::Invalid, &[OBJECT, "nowhere"]);
    assert!(stream.next().await.is_none());
    let mut stream = items.query().select::<Item, _>(["id", "name", "n"]).stream(2);
    refused(stream.next().await.unwrap(), ErrorKind::Invalid, &[OBJECT, "projection"]);
    assert!(stream.next().await.is_none());
    let mut stream = items.query().stream(2);
    assert_eq!(stream.next().await.unwrap().unwrap().id, 1);
    storage.close().await.unwrap();
    assert_eq!(stream.next().await.unwrap().unwrap().id, 2, "was read already");
    refused(stream.next().await.unwrap(), ErrorKind::Closed, &[]);
    assert!(stream.next().await.is_none());
}

// ------------------------------------------------------------------------------------------------------------- updates

pub async fn an_update_gives_the_objects_back(h: Harness) {
    let (storage, items) = opened(&h, &some()).await;
    let mut changed =
        items.update_returning(field("name").eq("b"), Changes::new().set("n", 9)).await.unwrap();
    changed.sort_by_key(|it| it.id);
    assert_eq!(changed, [item(1, "b", 9), item(3, "b", 9)]);
    let grown = items.update_returning(Filter::key(1), Changes::new().increment("n", 1)).await;
    assert_eq!(grown.unwrap(), [item(1, "b", 10)]);
    let none = items.update_returning(Filter::key(99), Changes::new().set("n", 9)).await.unwrap();
    assert_eq!(none, []);
    let objects = storage.dynamic(OBJECT).unwrap();
    let changed = objects
        .update_returning(&json!({ "id": 2 }), &json!({ "n": { "$mul": -2 } }))
        .await
        .unwrap();
    assert_eq!(changed, [json!({ "id": 2, "name": "a", "n": 6, "note": "none" })]);
    let result = items.update_returning(Filter::All, Changes::new().set("id", 9)).await;
    refused(result, ErrorKind::Invalid, &[OBJECT, "id"]);
}

pub async fn an_update_if_its_condition_holds(h: Harness) {
    let (storage, items) = opened(&h, &some()).await;
    let to = |n: i64| Changes::new().set("n", n);
    assert!(items.update_if(1, field("n").eq(5), to(6)).await.unwrap());
    assert!(!items.update_if(1, field("n").eq(5), to(7)).await.unwrap(), "it holds no more");
    assert!(!items.update_if(99, Filter::All, to(7)).await.unwrap(), "nobody is there");
    assert!(items.update_if(3, Filter::All, to(1)).await.unwrap());
    let either = field("n").eq(99).or(field("name").eq("c"));
    assert!(
        items.update_if(4, either, to(8)).await.unwrap(),
        "its own key, whatever the condition"
    );
    let objects = storage.dynamic(OBJECT).unwrap();
    let key = json!({ "id": 2, "n": "not looked at" });
    let condition = json!({ "name": { "$startsWith": "a" } });
    assert!(objects.update_if(&key, &condition, &json!({ "n": 0 })).await.unwrap());
    let condition = json!({ "name": { "$startsWith": "b" } });
    assert!(!objects.update_if(&key, &condition, &json!({ "n": 1 })).await.unwrap());
    let numbers: Vec<Value> =
        records(&storage, OBJECT).await.iter().map(|it| it.get(2).clone()).collect();
    assert_eq!(numbers, [6, 0, 1, 8].map(Value::from));
    let result = items.update_if("one", Filter::All, to(7)).await;
    refused(result, ErrorKind::Invalid, &[OBJECT, "id"]);
    let result = items.update_if(1, field("nowhere").eq(1), to(7)).await;
    refused(result, ErrorKind::Invalid, &[OBJECT, "nowhere"]);
}

/// Of many who have read the same version one is the first, and the others are told.
pub async fn of_twenty_updates_on_one_condition_one_is_done(h: Harness) {
    let (_storage, items) = opened(&h, &[item(1, "x", 0)]).await;
    let items = &items;
    let attempts = (0..20).map(|who: i64| async move {
        let changes = Changes::new().set("name", format!("w{who}")).increment("n", 1);
        items.update_if(1, field("n").eq(0), changes).await.unwrap()
    });
    let won = join_all(attempts).await;
    assert_eq!(won.iter().filter(|won| **won).count(), 1);
    let winner = won.iter().position(|won| *won).unwrap();
    let there = items.get(1).await.unwrap().unwrap();
    assert_eq!(there, item(1, &format!("w{winner}"), 1));
}

// ------------------------------------------------------------------------------------------------------------- upserts

pub async fn an_upsert_creates_or_changes(h: Harness) {
    let (storage, items) = opened(&h, &[]).await;
    assert!(items.upsert(&item(1, "a", 1)).await.unwrap());
    assert!(!items.upsert(&item(1, "b", None)).await.unwrap());
    assert!(items.upsert(&item(2, "c", 2)).await.unwrap());
    let objects = storage.dynamic(OBJECT).unwrap();
    assert!(objects.upsert(&json!({ "id": 3, "name": "d", "note": "new" })).await.unwrap());
    assert!(!objects.upsert(&json!({ "id": 3, "n": 7 })).await.unwrap());
    assert!(!objects.upsert(&json!({ "id": 2 })).await.unwrap(), "nothing to change");
    let expected = json!([
        { "id": 1, "name": "b", "n": null, "note": "none" },
        { "id": 2, "name": "c", "n": 2, "note": "none" },
        { "id": 3, "name": "d", "n": 7, "note": "new" },
    ]);
    assert_objects(&storage, expected).await;
}

/// What the struct has not stays as it is; what it has is changed, to a default and to null too.
pub async fn an_upsert_leaves_other_fields(h: Harness) {
    let (storage, items) = opened(&h, &[]).await;
    let objects = storage.dynamic(OBJECT).unwrap();
    let before = json!({ "id": 1, "name": "a", "n": 1, "note": "mine" });
    objects.create(before.clone()).await.unwrap();
    assert!(!items.upsert(&item(1, "a", None)).await.unwrap());
    let expected = json!({ "id": 1, "name": "a", "n": null, "note": "mine" });
    assert_eq!(dump(&storage, OBJECT).await, [expected]);
    assert!(!objects.upsert(&json!({ "id": 1, "note": "none" })).await.unwrap());
    let expected = json!({ "id": 1, "name": "a", "n": null, "note": "none" });
    assert_eq!(dump(&storage, OBJECT).await, [expected]);
}

/// A create is told as a create, an update as an update of what differs, and nothing as nothing.
pub async fn an_upsert_is_told_as_what_it_was(h: Harness) {
    let (storage, items) = opened(&h, &[]).await;
    let mut changes = storage.changes();
    items.upsert(&item(1, "a", 1)).await.unwrap();
    items.upsert(&item(1, "a", 2)).await.unwrap();
    items.upsert(&item(1, "a", 2)).await.unwrap();
    items.upsert(&item(1, "b", 2)).await.unwrap();
    let mut told = Vec::new();
    while let Some(ChangeEvent::Changed(set)) = changes.try_next() {
        for change in &set.changes {
            assert_eq!(&*change.collection, OBJECT);
            told.push(change.kind);
        }
    }
    assert_eq!(told, [ChangeKind::Created, ChangeKind::Updated, ChangeKind::Updated]);
}

pub async fn an_upsert_that_cannot_be_is_refused(h: Harness) {
    let (storage, items) = opened(&h, &[item(1, "a", 1)]).await;
    let objects = storage.dynamic(OBJECT).unwrap();
    for (object, word) in [
        (json!({ "name": "x" }), "id"),
        (json!({ "id": null, "name": "x" }), "id"),
        (json!({ "id": "x", "name": "x" }), "id"),
        (json!({ "id": 1, "name": null }), "name"),
        (json!({ "id": 1, "n": "x" }), "n"),
        (json!({ "id": 1, "nowhere": 1 }), "nowhere"),
        (json!({ "id": 2 }), "name"),
        (json!({ "id": 2, "n": 2 }), "name"),
    ] {
        refused(objects.upsert(&object).await, ErrorKind::Invalid, &[OBJECT, word]);
    }
    refused(objects.upsert(&Json::Null).await, ErrorKind::Invalid, &[OBJECT]);
    assert_eq!(items.query().all().await.unwrap(), [item(1, "a", 1)]);
}

/// Keys that are made need not be there for a create; for an upsert they have to.
pub async fn an_upsert_needs_a_key(h: Harness) {
    let definition = Definition::new(OBJECT).field("name", FieldType::String);
    let (storage, objects) = open_one(&h, definition).await;
    for object in [json!({ "name": "x" }), json!({ "id": "", "name": "x" })] {
        refused(objects.upsert(&object).await, ErrorKind::Invalid, &[OBJECT, "id"]);
    }
    assert!(objects.upsert(&json!({ "id": "given", "name": "x" })).await.unwrap());
    assert!(!objects.upsert(&json!({ "id": "given", "name": "y" })).await.unwrap());
    assert_objects(&storage, json!([{ "id": "given", "name": "y" }])).await;
}

pub async fn an_upsert_by_a_compound_key(h: Harness) {
    let definition = Definition::new(OBJECT)
        .field("a", FieldType::Int)
        .field("b", FieldType::String)
        .optional("f", FieldType::Float)
        .primary_key(["b", "a"]);
    let (storage, objects) = open_one(&h, definition).await;
    assert!(objects.upsert(&json!({ "a": 1, "b": "x", "f": 1 })).await.unwrap());
    assert!(objects.upsert(&json!({ "a": 1, "b": "y", "f": 1 })).await.unwrap());
    let mut changes = storage.changes();
    assert!(!objects.upsert(&json!({ "a": 1, "b": "x", "f": 1 })).await.unwrap());
    assert!(changes.try_next().is_none(), "1 and 1.0 are one float");
    assert!(!objects.upsert(&json!({ "a": 1, "b": "x", "f": 2 })).await.unwrap());
    let expected = [record![1, "x", 2.0], record![1, "y", 1.0]];
    assert_eq!(records(&storage, "object").await, expected);
}

/// Side by side with others of the same key, one creates and the others change.
pub async fn of_twenty_upserts_of_one_key_one_creates(h: Harness) {
    let (_storage, items) = opened(&h, &[]).await;
    let items = &items;
    let attempts = (0..20).map(|who: i64| async move {
        let created: Result<bool> = items.upsert(&item(1, &format!("w{who}"), who)).await;
        created.unwrap()
    });
    let created = join_all(attempts).await;
    assert_eq!(created.iter().filter(|created| **created).count(), 1);
    let there = items.get(1).await.unwrap().unwrap();
    assert_eq!(there.name, format!("w{}", there.n.unwrap()), "of one of them, whole");
}
