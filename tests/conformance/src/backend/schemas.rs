//! Schemas that a backend must be able to set up.

use serde_json::json;
use storex_core::{
    Batch, Definition, FieldOption, FieldType, KeyFormat, RelationDefinition, Value,
};

use crate::Harness;
use crate::support::{OBJECT, dump, keyed, open_one, records, registry};

/// storex-facts 1.14, case 1.
pub async fn an_indexed_text_field(h: Harness) {
    let definition = Definition::new("page").field("text", FieldType::Text).index(["text"]);
    let (_storage, page) = open_one(&h, definition).await;
    page.create(json!({ "text": "a long text" })).await.unwrap();
    assert_eq!(page.count(&json!({ "text": "a long text" })).await.unwrap(), 1);
    assert_eq!(page.count(&json!({ "text": "long" })).await.unwrap(), 0);
}

/// storex-facts 1.14, cases 2 to 7.
async fn an_index_on_a_relation(h: Harness, relation: RelationDefinition, alias: &str) {
    let page = Definition::new("page").field("url", FieldType::String);
    let entry = Definition::new("entry").relation(relation).index([alias]);
    let storage = h.open(registry([page, entry])).await;
    let pages = storage.dynamic("page").unwrap();
    let entries = storage.dynamic("entry").unwrap();
    let page = pages.create(json!({ "url": "storex.org" })).await.unwrap();
    let entry = entries.create(json!({ alias: page["id"] })).await.unwrap();
    assert_eq!(entry[alias], page["id"]);
    assert_eq!(entries.find(&json!({ alias: page["id"] })).await.unwrap(), [entry]);
}

pub async fn an_index_on_a_child_of_relation(h: Harness) {
    an_index_on_a_relation(h, RelationDefinition::child_of("page"), "page").await;
}

pub async fn an_index_on_a_child_of_relation_with_an_alias(h: Harness) {
    let relation = RelationDefinition::child_of("page").alias("thePage");
    an_index_on_a_relation(h, relation, "thePage").await;
}

pub async fn an_index_on_a_child_of_relation_with_an_alias_and_a_column(h: Harness) {
    let relation = RelationDefinition::child_of("page").alias("thePage").column("pageRel");
    an_index_on_a_relation(h, relation, "thePage").await;
}

pub async fn an_index_on_a_single_child_of_relation(h: Harness) {
    an_index_on_a_relation(h, RelationDefinition::single_child_of("page"), "page").await;
}

pub async fn an_index_on_a_single_child_of_relation_with_an_alias(h: Harness) {
    let relation = RelationDefinition::single_child_of("page").alias("thePage");
    an_index_on_a_relation(h, relation, "thePage").await;
}

pub async fn an_index_on_a_single_child_of_relation_with_an_alias_and_a_column(h: Harness) {
    let relation = RelationDefinition::single_child_of("page").alias("thePage").column("pageRel");
    an_index_on_a_relation(h, relation, "thePage").await;
}

pub async fn no_collections(h: Harness) {
    let storage = h.open(registry([])).await;
    let outcome = storage.execute(Batch::new()).await.unwrap();
    assert_eq!(outcome.executed().len(), 0);
}

/// Names that SQL would read as something else.
pub async fn names_that_need_quotes(h: Harness) {
    let names = [
        "select",
        "group by",
        "with \"quotes\"",
        "it's",
        "back`tick",
        "semi;colon",
        "[bracket]",
        "per%cent",
        "ünïcödé",
        "日本語",
        "a.b",
        "-- comment",
        "new\nline",
        "?1",
        ":name",
        "rowid",
    ];
    let mut definitions = Vec::new();
    for (n, collection) in names.iter().enumerate() {
        let mut definition = Definition::new(*collection);
        for field in names {
            definition = definition.optional(field, FieldType::Int);
        }
        let (first, second) = (names[n], names[(n + 1) % names.len()]);
        definitions.push(definition.index([first]).unique([first, second]));
    }
    let storage = h.open(registry(definitions)).await;
    for collection in names {
        let objects = storage.dynamic(collection).unwrap();
        let mut object = json!({ "id": "a" });
        for (n, field) in names.iter().enumerate() {
            object[*field] = json!(n);
        }
        assert_eq!(objects.create(object.clone()).await.unwrap(), object, "{collection}");
        for (n, field) in names.iter().enumerate() {
            let options = json!({ "order": [[field, "desc"]], "fields": [field] });
            let found = objects.find_with(&json!({ *field: n }), &options).await.unwrap();
            assert_eq!(found, [json!({ *field: n })], "{collection}.{field}");
        }
        let changed = objects
            .update(&json!({ "it's": 3 }), &json!({ "select": { "$inc": 5 }, "rowid": 77 }))
            .await
            .unwrap();
        assert_eq!(changed.len(), 1, "{collection}");
        object["select"] = json!(5);
        object["rowid"] = json!(77);
        assert_eq!(dump(&storage, collection).await, [object], "{collection}");
        assert_eq!(objects.delete(&json!({ "a.b": 10 })).await.unwrap().len(), 1, "{collection}");
    }
}

/// The longest key, value and field names that common databases take.
pub async fn long_names(h: Harness) {
    let long = "n".repeat(120);
    let definition = Definition::new(long.as_str()).optional(long.as_str(), FieldType::Int);
    let definition = definition.index([long.as_str()]);
    let (storage, objects) = open_one(&h, definition).await;
    let created = objects.create(json!({ &long: 1 })).await.unwrap();
    assert_eq!(dump(&storage, &long).await, [created]);
}

pub async fn many_fields(h: Harness) {
    let mut definition = keyed();
    for n in 0..300 {
        definition = definition.optional(format!("field{n}"), FieldType::Int);
    }
    let (storage, objects) = open_one(&h, definition).await;
    let mut object = json!({ "id": 1 });
    for n in 0..300 {
        object[format!("field{n}")] = json!(n);
    }
    objects.create(object.clone()).await.unwrap();
    assert_eq!(dump(&storage, OBJECT).await, [object]);
}

pub async fn many_collections(h: Harness) {
    let definitions = (0..100)
        .map(|n| Definition::new(format!("collection{n}")).field("n", FieldType::Int).index(["n"]));
    let storage = h.open(registry(definitions)).await;
    for n in [0, 57, 99] {
        let name = format!("collection{n}");
        storage.dynamic(&name).unwrap().create(json!({ "id": "a", "n": n })).await.unwrap();
        assert_eq!(dump(&storage, &name).await, [json!({ "id": "a", "n": n })]);
    }
    assert_eq!(storage.dynamic("collection1").unwrap().count(&json!({})).await.unwrap(), 0);
}

/// A field is stored under its column and read, filtered, ordered and changed under its name, even when two fields have
/// each other's name as column.
pub async fn fields_with_columns_of_other_names(h: Harness) {
    let column = |name: &str| [FieldOption::Optional, FieldOption::Column(name.into())];
    let definition = keyed()
        .field_with("a", FieldType::Int, column("b"))
        .field_with("b", FieldType::Int, column("a"))
        .index(["a"])
        .unique(["b"]);
    let (storage, objects) = open_one(&h, definition).await;
    objects.create(json!({ "id": 1, "a": 10, "b": 20 })).await.unwrap();
    objects.create(json!({ "id": 2, "a": 11, "b": 19 })).await.unwrap();
    let options = json!({ "order": [["b", "asc"]], "fields": ["a"] });
    let found = objects.find_with(&json!({ "a": { "$gt": 5 } }), &options).await.unwrap();
    assert_eq!(found, [json!({ "a": 11 }), json!({ "a": 10 })]);
    objects.update(&json!({ "b": 20 }), &json!({ "a": { "$inc": 1 } })).await.unwrap();
    assert_eq!(
        dump(&storage, OBJECT).await,
        [json!({ "id": 1, "a": 11, "b": 20 }), json!({ "id": 2, "a": 11, "b": 19 })]
    );
}

/// Every type, with an index on it and without, holds a value and null.
pub async fn every_field_type(h: Harness) {
    let types = [
        (FieldType::ForeignKey(KeyFormat::Text), json!("x")),
        (FieldType::ForeignKey(KeyFormat::Int), json!(1)),
        (FieldType::ForeignKey(KeyFormat::Bytes), json!("AAEC")),
        (FieldType::Text, json!("a text")),
        (FieldType::String, json!("a string")),
        (FieldType::Json, json!({ "a": [1, { "b": null }] })),
        (FieldType::DateTime, json!("2026-11-20T12:34:56.789Z")),
        (FieldType::Timestamp, json!(1_795_178_096_789_i64)),
        (FieldType::Boolean, json!(true)),
        (FieldType::Float, json!(1.5)),
        (FieldType::Int, json!(-7)),
        (FieldType::Blob, json!("AAH/")),
        (FieldType::Binary, json!("AAH/")),
        (FieldType::Media, json!("AAH/")),
        (FieldType::Url, json!("https://storex.org/?a=b#c")),
    ];
    let mut definition = keyed();
    let mut full = json!({ "id": 1 });
    let mut empty = json!({ "id": 2 });
    for (n, (field_type, value)) in types.iter().enumerate() {
        for name in [format!("plain{n}"), format!("indexed{n}")] {
            definition = definition.optional(name.as_str(), field_type.clone());
            if name.starts_with("indexed") && *field_type != FieldType::Json {
                definition = definition.index([name.as_str()]);
            }
            full[&name] = value.clone();
            empty[&name] = json!(null);
        }
    }
    let (storage, objects) = open_one(&h, definition).await;
    assert_eq!(objects.create(full.clone()).await.unwrap(), full);
    assert_eq!(objects.create(json!({ "id": 2 })).await.unwrap(), empty);
    assert_eq!(dump(&storage, OBJECT).await, [full.clone(), empty]);
    for (n, (field_type, _)) in types.iter().enumerate() {
        for name in [format!("plain{n}"), format!("indexed{n}")] {
            let found = objects.find(&json!({ &name: { "$eq": full[&name] } })).await.unwrap();
            assert_eq!(found, std::slice::from_ref(&full), "{name} of type {field_type:?}");
        }
    }
}

pub async fn a_default_fills_a_field_left_out(h: Harness) {
    let default = |value: Value| [FieldOption::Default(value)];
    let definition = keyed()
        .field_with("n", FieldType::Int, default(5.into()))
        .field_with(
            "t",
            FieldType::String,
            [FieldOption::Optional, FieldOption::Default("x".into())],
        )
        .field_with("at", FieldType::Timestamp, [FieldOption::DefaultNow])
        .field_with("stamp", FieldType::String, [FieldOption::DefaultNow]);
    let (storage, objects) = open_one(&h, definition).await;
    let expected = json!({
        "id": 1, "n": 5, "t": "x", "at": 1_767_225_600_000_i64, "stamp": "2026-01-01 00:00:00",
    });
    assert_eq!(objects.create(json!({ "id": 1 })).await.unwrap(), expected);
    assert_eq!(dump(&storage, OBJECT).await, [expected]);
}

pub async fn an_explicit_null_is_not_the_default(h: Harness) {
    let options = [FieldOption::Optional, FieldOption::Default("x".into())];
    let definition = keyed().field_with("t", FieldType::String, options);
    let (storage, objects) = open_one(&h, definition).await;
    objects.create(json!({ "id": 1, "t": null })).await.unwrap();
    assert_eq!(records(&storage, OBJECT).await[0].get(1), &Value::Null);
}
