//! Field types of the application's own: the faces convert, records are stored values.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use storex_core::{
    Batch, ChangeWatch, Changes, CustomType, Definition, Direction, DynamicCollection, ErrorKind,
    FieldOption, FieldType, Filter, Key, Object, ObjectImages, Query, Record, Registry, Storage,
    Value, field,
};

use crate::Harness;
use crate::support::{OBJECT, assert_refused, record, records, refused};

/// Shows on both ways that it was there.
#[derive(Debug)]
struct Marked {
    reads: bool,
}

fn text(value: Value) -> String {
    match value {
        Value::Text(text) => text,
        _ => "undefined".to_owned(),
    }
}

impl CustomType for Marked {
    fn name(&self) -> &str {
        "marked"
    }

    fn stored_as(&self) -> FieldType {
        FieldType::String
    }

    fn to_storage(&self, value: Value) -> Result<Value, String> {
        Ok(Value::from(format!("Stored: {}", text(value))))
    }

    fn from_storage(&self, value: Value) -> Result<Value, String> {
        if self.reads { Ok(Value::from(format!("Found: {}", text(value)))) } else { Ok(value) }
    }
}

/// A storage with an optional field of a custom type and an ordinary one.
async fn marked(h: &Harness, reads: bool) -> (Storage, DynamicCollection) {
    let custom = FieldOption::Custom(Arc::new(Marked { reads }));
    let object = Definition::new(OBJECT)
        .field("id", FieldType::Int)
        .field("name", FieldType::String)
        .field_with("custom", FieldType::String, [FieldOption::Optional, custom])
        .primary_key(["id"]);
    let storage = h.open(Registry::builder().collection(object).build().unwrap()).await;
    let objects = storage.dynamic(OBJECT).unwrap();
    (storage, objects)
}

async fn custom(objects: &DynamicCollection) -> Json {
    objects.get(1).await.unwrap().unwrap()["custom"].clone()
}

/// storex-facts 1.14, case 44; a create gives the object as a find gives it.
pub async fn a_value_is_converted_once_each_way(h: Harness) {
    let (storage, objects) = marked(&h, true).await;
    let object = json!({ "id": 1, "name": "a", "custom": "bla" });
    let made = objects.create(object).await.unwrap();
    assert_eq!(made["custom"], "Found: Stored: bla");
    assert_eq!(custom(&objects).await, "Found: Stored: bla");
    assert_eq!(records(&storage, OBJECT).await, [record![1, "a", "Stored: bla"]]);
}

/// storex-facts 1.14, case 45: the type is asked for a value that is not given, and not again by another update.
pub async fn an_absent_value(h: Harness) {
    let (storage, objects) = marked(&h, true).await;
    objects.create(json!({ "id": 1, "name": "a" })).await.unwrap();
    assert_eq!(custom(&objects).await, "Found: Stored: undefined");
    objects.update_one(&json!({ "id": 1 }), &json!({ "name": "b" })).await.unwrap();
    assert_eq!(custom(&objects).await, "Found: Stored: undefined");
    objects.create_many(&[json!({ "id": 2, "name": "c", "custom": null })]).await.unwrap();
    let expected = ["b", "c"].into_iter().zip(1..);
    let expected: Vec<Record> =
        expected.map(|(name, id)| record![id, name, "Stored: undefined"]).collect();
    assert_eq!(records(&storage, OBJECT).await, expected);
}

/// storex-facts 1.14, case 46.
pub async fn another_update_leaves_it_alone(h: Harness) {
    let (_, objects) = marked(&h, true).await;
    objects.create(json!({ "id": 1, "name": "a", "custom": "bla" })).await.unwrap();
    objects.update(&json!({}), &json!({ "name": "b" })).await.unwrap();
    assert_eq!(custom(&objects).await, "Found: Stored: bla");
}

/// storex-facts 1.14, cases 47 and 48.
pub async fn a_type_that_converts_only_on_the_way_in(h: Harness) {
    let (_, objects) = marked(&h, false).await;
    for (given, stored) in [(json!(null), "Stored: undefined"), (json!("bla"), "Stored: bla")] {
        objects.create(json!({ "id": 1, "name": "a", "custom": given })).await.unwrap();
        objects.update(&json!({}), &json!({ "name": "b" })).await.unwrap();
        assert_eq!(custom(&objects).await, stored);
        objects.delete(&json!({})).await.unwrap();
    }
}

/// Cents inside, a text outside.
#[derive(Debug)]
struct Money;

impl CustomType for Money {
    fn name(&self) -> &str {
        "money"
    }

    fn stored_as(&self) -> FieldType {
        FieldType::Int
    }

    fn seen_as(&self) -> FieldType {
        FieldType::String
    }

    fn to_storage(&self, value: Value) -> Result<Value, String> {
        let Value::Text(text) = value else { return Ok(Value::Null) };
        let cents = text.split_once('.').filter(|(_, cents)| cents.len() == 2);
        let cents = cents.and_then(|(whole, part)| format!("{whole}{part}").parse::<i64>().ok());
        cents.map(Value::Int).ok_or_else(|| format!("`{text}` is no amount"))
    }

    fn from_storage(&self, value: Value) -> Result<Value, String> {
        match value.as_int() {
            Some(cents) if cents < 0 => Err("nothing costs less than nothing".to_owned()),
            Some(cents) => Ok(Value::from(format!("{}.{:02}", cents / 100, cents % 100))),
            None => Ok(Value::Null),
        }
    }
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Item {
    id: i64,
    price: String,
    sold: Option<String>,
}

impl Object for Item {
    const COLLECTION: &'static str = "item";
}

fn items() -> Registry {
    let sold = [FieldOption::Optional, FieldOption::Custom(Arc::new(Money))];
    let item = Definition::new("item")
        .field("id", FieldType::Int)
        .custom_field("price", Money)
        .field_with("sold", FieldType::Int, sold)
        .primary_key(["id"])
        .index(["price"]);
    Registry::builder().collection(item).build().unwrap()
}

fn item(id: i64, price: &str) -> Item {
    Item { id, price: price.to_owned(), sold: None }
}

async fn sold(h: &Harness) -> Storage {
    let storage = h.open(items()).await;
    let all = [item(1, "0.99"), item(2, "12.50"), item(3, "100.00")];
    storage.collection::<Item>().unwrap().create_many(&all).await.unwrap();
    storage
}

pub async fn structs_hold_what_the_application_sees(h: Harness) {
    let storage = sold(&h).await;
    let items = storage.collection::<Item>().unwrap();
    assert_eq!(items.get(2).await.unwrap(), Some(item(2, "12.50")));
    assert_eq!(items.record(&item(4, "7.00")).unwrap(), record![4, 700, None::<i64>]);
    let stored: Vec<Value> =
        records(&storage, "item").await.iter().map(|it| it.get(1).clone()).collect();
    assert_eq!(stored, [99.into(), 1250.into(), 10000.into()] as [Value; 3]);
    let json = storage.dynamic("item").unwrap().get(3).await.unwrap();
    assert_eq!(json, Some(json!({ "id": 3, "price": "100.00", "sold": null })));
}

/// Filters hold what the application sees; order and ranges are those of what is stored: here by amount, not by text.
pub async fn filters_by_custom_values(h: Harness) {
    let storage = sold(&h).await;
    let items = storage.collection::<Item>().unwrap();
    let keys = |found: Vec<Item>| found.iter().map(|item| item.id).collect::<Vec<_>>();
    let filters = [
        (field("price").eq("12.50"), vec![2]),
        (field("price").gt("2.00"), vec![2, 3]),
        (field("price").is_in(["0.99", "100.00"]), vec![1, 3]),
        (field("price").ne("12.50").and(field("sold").is_null()), vec![1, 3]),
        (field("price").lt("1.00").or(field("price").gte("100.00")).negate(), vec![2]),
        (field("sold").is_not_null(), vec![]),
    ];
    for (filter, expected) in filters {
        let query = items.query().filter(filter).order_by("price", Direction::Ascending);
        assert_eq!(keys(query.all().await.unwrap()), expected);
    }
    assert_eq!(items.query().filter(field("price").gt("2.00")).count().await.unwrap(), 2);
    let (page, next) = items
        .query()
        .filter(field("price").gt("0.50"))
        .order_by("price", Direction::Descending)
        .page(2)
        .await
        .unwrap();
    assert_eq!(keys(page), [3, 2]);
    let query =
        items.query().filter(field("price").gt("0.50")).order_by("price", Direction::Descending);
    let rest = query.after(next.unwrap()).first().await.unwrap();
    assert_eq!(rest, Some(item(1, "0.99")));
    let dynamic = storage.dynamic("item").unwrap();
    let found = dynamic.find(&json!({ "price": { "$gt": "2.00", "$nin": ["100.00"] } })).await;
    assert_eq!(found.unwrap(), [json!({ "id": 2, "price": "12.50", "sold": null })]);
    assert_eq!(dynamic.count(&json!({ "sold": { "$exists": true } })).await.unwrap(), 0);
    // What goes to the storage itself is what is stored.
    let query = Query::new("item").filter(field("price").gt(200));
    assert_eq!(storage.count(query).await.unwrap(), 2);
}

pub async fn updates_with_custom_values(h: Harness) {
    let storage = sold(&h).await;
    let items = storage.collection::<Item>().unwrap();
    let touched =
        items.update(field("price").eq("12.50"), Changes::new().set("sold", "11.00")).await;
    assert_eq!(touched.unwrap(), [Key::single(2)]);
    let dynamic = storage.dynamic("item").unwrap();
    dynamic.update(&json!({ "sold": "11.00" }), &json!({ "price": "13.00" })).await.unwrap();
    let expected = Item { id: 2, price: "13.00".to_owned(), sold: Some("11.00".to_owned()) };
    assert_eq!(items.get(2).await.unwrap(), Some(expected));
    items.update_one(2, Changes::new().unset("sold")).await.unwrap();
    assert_eq!(items.get(2).await.unwrap(), Some(item(2, "13.00")));
    assert_eq!(items.delete(field("price").lte("13.00")).await.unwrap().len(), 2);
    assert_eq!(dynamic.delete(&json!({ "price": "100.00" })).await.unwrap().len(), 1);
}

/// What cannot be converted names its field, and nothing is written.
pub async fn values_that_do_not_fit(h: Harness) {
    let storage = sold(&h).await;
    let items = storage.collection::<Item>().unwrap();
    let dynamic = storage.dynamic("item").unwrap();
    let wrong = "`dear` is no amount";
    let results = [
        items.create(&item(4, "dear")).await.map(drop),
        items.find(field("price").eq("dear")).await.map(drop),
        items.update(Filter::All, Changes::new().set("price", "dear")).await.map(drop),
        items.delete(field("price").gt("dear")).await.map(drop),
        dynamic.create(json!({ "id": 4, "price": "dear" })).await.map(drop),
        dynamic.find(&json!({ "price": "dear" })).await.map(drop),
        dynamic.update(&json!({}), &json!({ "price": "dear" })).await.map(drop),
    ];
    for result in results {
        refused(result, ErrorKind::Invalid, &["item", "`price`", wrong]);
    }
    // Of a kind that is neither seen nor stored, or only stored.
    for price in [json!(true), json!(1250)] {
        let result = dynamic.create(json!({ "id": 4, "price": price })).await;
        refused(result, ErrorKind::Invalid, &["item", "`price`", "takes a text"]);
    }
    let result = dynamic.create(json!({ "id": 4 })).await;
    refused(result, ErrorKind::Invalid, &["item", "`price`", "no value"]);
    assert_eq!(records(&storage, "item").await.len(), 3);
    // Stored past the faces: it cannot be shown, but counted and deleted.
    storage.execute(Batch::new().create("item", vec![record![9, -1, None::<i64>]])).await.unwrap();
    let cannot = "nothing costs less";
    refused(items.get(9).await, ErrorKind::Invalid, &["item", "`price`", cannot]);
    refused(dynamic.get(9).await, ErrorKind::Invalid, &["item", "`price`", cannot]);
    assert!(items.delete_one(9).await.unwrap());
}

/// The faces cannot add to what they do not see; a batch adds to what is stored.
pub async fn increments_are_for_what_is_stored(h: Harness) {
    let storage = sold(&h).await;
    let items = storage.collection::<Item>().unwrap();
    let more = || Changes::new().increment("price", 100);
    let result = items.update(Filter::All, more()).await;
    refused(result, ErrorKind::Invalid, &["item", "`price`", "money"]);
    let dynamic = storage.dynamic("item").unwrap();
    let result = dynamic.update(&json!({}), &json!({ "price": { "$inc": 1 } })).await;
    refused(result, ErrorKind::Invalid, &["item", "`price`", "money"]);
    storage.execute(Batch::new().update("item", Filter::key(1), more())).await.unwrap();
    assert_eq!(items.get(1).await.unwrap(), Some(item(1, "1.99")));
}

/// Observers, as all middleware, see what is stored.
pub async fn middleware_sees_what_is_stored(h: Harness) {
    let watch = ChangeWatch::new(|changes: &[ObjectImages]| {
        assert_eq!(changes[0].after, Some(record![1, 250, None::<i64>]));
    });
    let storage = h.open_with(items(), vec![Arc::new(watch)]).await;
    storage.collection::<Item>().unwrap().create(&item(1, "2.50")).await.unwrap();
}

/// A type that is stored in another way than its field, and one in a key.
pub async fn definitions_that_cannot_be(h: Harness) {
    let build = |definition: Definition| Registry::builder().collection(definition).build();
    let custom = || [FieldOption::Custom(Arc::new(Money))];
    let wrong = Definition::new("item").field_with("price", FieldType::String, custom());
    assert_refused!(build(wrong), storex_core::Error::Definition { .. });
    let wrong = Definition::new("item").custom_field("price", Money).primary_key(["price"]);
    assert_refused!(build(wrong), storex_core::Error::Definition { .. });
    let plain = Definition::new("item").field("price", FieldType::Int);
    let custom = Definition::new("item").custom_field("price", Money);
    let (plain, custom) = (build(plain).unwrap(), build(custom).unwrap());
    assert_ne!(plain.fingerprint(), custom.fingerprint());
    assert_eq!(h.open(custom).await.count(Query::new("item")).await.unwrap(), 0);
}
