//! What objects come to: counts, least and greatest values, sums, groups, distinct values.

use serde_json::json;
use storex_core::{
    Affinity, Aggregate, Aggregation, Batch, Definition, ErrorKind, FieldType, Filter, KeyFormat,
    Record, RelationDefinition, Storage, Timestamp, Value, field, related,
};

use crate::Harness;
use crate::support::{OBJECT, keyed, open_one, record, refused, registry};

fn min(field: &str) -> Aggregate {
    Aggregate::Min(field.into())
}

fn max(field: &str) -> Aggregate {
    Aggregate::Max(field.into())
}

fn sum(field: &str) -> Aggregate {
    Aggregate::Sum(field.into())
}

fn of_all() -> Aggregation {
    Aggregation::new(OBJECT)
}

/// Objects with a group, an integer, a float and a text, each of which may be missing.
async fn opened(h: &Harness, records: Vec<Record>) -> Storage {
    let definition = keyed()
        .optional("group", FieldType::String)
        .optional("n", FieldType::Int)
        .optional("f", FieldType::Float)
        .optional("words", FieldType::Text)
        .index(["group", "n"])
        .index(["words"]);
    let (storage, _) = open_one(h, definition).await;
    storage.execute(Batch::new().create(OBJECT, records)).await.unwrap();
    storage
}

fn some() -> Vec<Record> {
    vec![
        record![1, "b", 5, 0.5, "red fox"],
        record![2, "a", -3, 1.5, "red dog"],
        record![3, "b", 7, Value::Null, "grey fox"],
        record![4, Value::Null, 1, -2.0, Value::Null],
        record![5, "a", Value::Null, 4.0, "fox"],
        record![6, "c", Value::Null, Value::Null, ""],
    ]
}

pub async fn of_all_objects(h: Harness) {
    let storage = opened(&h, some()).await;
    let asked = of_all()
        .value(Aggregate::Count)
        .value(min("n"))
        .value(max("n"))
        .value(sum("n"))
        .value(min("f"))
        .value(max("f"))
        .value(sum("f"))
        .value(min("group"))
        .value(max("group"))
        .value(Aggregate::Count);
    let told = storage.aggregate(asked).await.unwrap();
    assert_eq!(told, [record![6, -3, 7, 10, -2.0, 4.0, 4.0, "a", "c", 6]], "nulls do not count");
}

/// Of nothing there is one record still, but no group.
pub async fn of_no_objects(h: Harness) {
    let storage = opened(&h, vec![]).await;
    let values = |it: Aggregation| {
        it.value(Aggregate::Count)
            .value(min("n"))
            .value(max("group"))
            .value(sum("n"))
            .value(sum("f"))
    };
    let nothing = record![0, Value::Null, Value::Null, 0, 0.0];
    assert_eq!(storage.aggregate(values(of_all())).await.unwrap(), std::slice::from_ref(&nothing));
    assert_eq!(storage.aggregate(values(of_all().by(["group"]))).await.unwrap(), []);
    assert_eq!(storage.aggregate(of_all().by(["group"])).await.unwrap(), []);
    storage.execute(Batch::new().create(OBJECT, some())).await.unwrap();
    let asked = values(of_all()).filter(field("id").gt(99));
    assert_eq!(storage.aggregate(asked).await.unwrap(), [nothing]);
    let asked = values(of_all()).filter(field("id").eq(6));
    let only_nulls = record![1, Value::Null, "c", 0, 0.0];
    assert_eq!(storage.aggregate(asked).await.unwrap(), [only_nulls]);
}

/// Null is a group too, and the first.
pub async fn by_group(h: Harness) {
    let storage = opened(&h, some()).await;
    let asked = of_all().by(["group"]).value(Aggregate::Count).value(sum("n")).value(max("f"));
    let expected = [
        record![Value::Null, 1, 1, -2.0],
        record!["a", 2, -3, 4.0],
        record!["b", 2, 12, 0.5],
        record!["c", 1, 0, Value::Null],
    ];
    assert_eq!(storage.aggregate(asked).await.unwrap(), expected);
}

pub async fn by_several_fields(h: Harness) {
    let definition = keyed()
        .optional("a", FieldType::Int)
        .optional("b", FieldType::Boolean)
        .optional("at", FieldType::Timestamp);
    let (storage, _) = open_one(&h, definition).await;
    let records = (0..24_i64)
        .map(|id| record![id, (id % 4 > 0).then_some(id % 4), id % 2 == 0, Timestamp(id / 12)])
        .collect();
    storage.execute(Batch::new().create(OBJECT, records)).await.unwrap();
    let asked = of_all().by(["b", "a"]).value(Aggregate::Count).value(min("at")).value(max("id"));
    let at = Timestamp(0);
    let expected = [
        record![false, 1, 6, at, 21],
        record![false, 3, 6, at, 23],
        record![true, Value::Null, 6, at, 20],
        record![true, 2, 6, at, 22],
    ];
    assert_eq!(storage.aggregate(asked).await.unwrap(), expected);
    let twice = of_all().by(["at", "at"]).value(Aggregate::Count);
    let expected = [record![at, at, 12], record![Timestamp(1), Timestamp(1), 12]];
    assert_eq!(storage.aggregate(twice).await.unwrap(), expected);
}

/// Groups without values.
pub async fn distinct_values(h: Harness) {
    let storage = opened(&h, some()).await;
    let told = storage.aggregate(of_all().by(["group"])).await.unwrap();
    assert_eq!(told, [record![Value::Null], record!["a"], record!["b"], record!["c"]]);
    let told = storage.aggregate(of_all().by(["n"]).filter(field("n").gt(0))).await.unwrap();
    assert_eq!(told, [record![1], record![5], record![7]]);
    let told = storage.aggregate(of_all().by(["group", "id"]).filter(field("id").lt(4))).await;
    assert_eq!(told.unwrap(), [record!["a", 2], record!["b", 1], record!["b", 3]]);
}

/// In the order in which a query orders them, by code point and not by language.
pub async fn groups_in_their_order(h: Harness) {
    let texts = ["b", "B", "é", "e", "", "😀", "\u{ffff}", "10", "9", "a", "A"];
    let records =
        (1_i64..).zip(texts).map(|(id, text)| record![id, text, id, Value::Null, Value::Null]);
    let storage = opened(&h, records.collect()).await;
    let told = storage.aggregate(of_all().by(["group"])).await.unwrap();
    let told: Vec<&str> = told.iter().map(|it| it.get(0).as_text().unwrap()).collect();
    assert_eq!(told, ["", "10", "9", "A", "B", "a", "b", "e", "é", "\u{ffff}", "😀"]);
}

pub async fn of_what_a_filter_matches(h: Harness) {
    let storage = opened(&h, some()).await;
    let asked = || of_all().value(Aggregate::Count).value(sum("n")).value(max("id"));
    for (filter, expected) in [
        (field("group").eq("b"), record![2, 12, 3]),
        (field("n").is_null(), record![2, 0, 6]),
        (Filter::Keys([5, 1, 99, 1].map(storex_core::Key::single).to_vec()), record![2, 5, 5]),
        (field("words").search("fox"), record![3, 12, 5]),
        (field("words").starts_with("red"), record![2, 2, 2]),
        (field("words").includes_ignore_case("FOX").negate(), record![3, -2, 6]),
        (Filter::Or(vec![]), record![0, 0, Value::Null]),
    ] {
        let told = storage.aggregate(asked().filter(filter.clone())).await.unwrap();
        assert_eq!(told, [expected], "{filter:?}");
    }
    let both = asked().filter(field("id").gt(1)).filter(field("id").lt(4));
    assert_eq!(storage.aggregate(both).await.unwrap(), [record![2, 4, 3]]);
}

pub async fn of_related_objects(h: Harness) {
    let registry = registry([
        Definition::new("user").key_format(KeyFormat::Int).field("name", FieldType::String),
        Definition::new("order")
            .key_format(KeyFormat::Int)
            .field("cents", FieldType::Int)
            .relation(RelationDefinition::child_of("user").reverse_alias("orders")),
    ]);
    let storage = h.open(registry).await;
    let users = vec![record![1, "Ann"], record![2, "Bob"], record![3, "Cid"]];
    let orders = vec![record![1, 100, 1], record![2, 250, 1], record![3, 50, 2], record![4, 25, 2]];
    storage.execute(Batch::new().create("user", users).create("order", orders)).await.unwrap();
    let of_ann = Aggregation::new("order")
        .filter(related("user", field("name").eq("Ann")))
        .value(Aggregate::Count)
        .value(sum("cents"));
    assert_eq!(storage.aggregate(of_ann).await.unwrap(), [record![2, 350]]);
    let with_large = Aggregation::new("user")
        .filter(related("orders", field("cents").gte(100)).negate())
        .by(["name"]);
    assert_eq!(storage.aggregate(with_large).await.unwrap(), [record!["Bob"], record!["Cid"]]);
    let per_user = Aggregation::new("order").by(["user"]).value(sum("cents"));
    assert_eq!(storage.aggregate(per_user).await.unwrap(), [record![1, 350], record![2, 75]]);
    let nowhere = Aggregation::new("user")
        .filter(related("orders", field("nowhere").eq(1)))
        .value(Aggregate::Count);
    refused(storage.aggregate(nowhere).await, ErrorKind::Invalid, &["order", "nowhere"]);
}

/// A column that holds what it likes: what is no number adds nothing; kinds have their order.
pub async fn of_values_of_many_kinds(h: Harness) {
    let (storage, _) =
        open_one(&h, keyed().optional("any", FieldType::Dynamic(Affinity::Blob))).await;
    let values = [
        Value::from(3),
        Value::from("text"),
        Value::from(vec![1_u8]),
        Value::Null,
        Value::from(-1),
        Value::from("100"),
    ];
    let records = (1_i64..).zip(values).map(|(id, value)| Record::new(vec![id.into(), value]));
    storage.execute(Batch::new().create(OBJECT, records.collect())).await.unwrap();
    let asked = || of_all().value(min("any")).value(max("any")).value(sum("any"));
    let told = storage.aggregate(asked()).await.unwrap();
    assert_eq!(told, [record![-1, vec![1_u8], 2]], "a text of digits is no number");
    let half = Batch::new().create(OBJECT, vec![record![7, 0.5]]);
    storage.execute(half).await.unwrap();
    let told = storage.aggregate(asked()).await.unwrap();
    assert_eq!(told, [record![-1, vec![1_u8], 2.5]], "with a float in it a float");
    let told = storage.aggregate(of_all().by(["any"]).value(Aggregate::Count)).await.unwrap();
    let expected = [
        record![Value::Null, 1],
        record![-1, 1],
        record![0.5, 1],
        record![3, 1],
        record!["100", 1],
        record!["text", 1],
        record![vec![1_u8], 1],
    ];
    assert_eq!(told, expected);
    let texts = asked().filter(field("any").starts_with(""));
    assert_eq!(storage.aggregate(texts).await.unwrap(), [record!["100", "text", 0]]);
}

/// Exactly: on the way the sum may leave the range, at the end not.
pub async fn sums_of_large_integers(h: Harness) {
    let large = [i64::MAX, i64::MAX, i64::MIN, -5, 9_007_199_254_740_993];
    let records =
        (1_i64..).zip(large).map(|(id, n)| record![id, "g", n, Value::Null, Value::Null]).collect();
    let storage = opened(&h, records).await;
    let asked = of_all().value(sum("n"));
    let sum_of = |ids: std::ops::RangeInclusive<i64>| {
        asked.clone().filter(field("id").gte(*ids.start()).and(field("id").lte(*ids.end())))
    };
    let told = storage.aggregate(sum_of(1..=4)).await.unwrap();
    assert_eq!(told, [record![i64::MAX - 6]]);
    let told = storage.aggregate(sum_of(4..=5)).await.unwrap();
    assert_eq!(told, [record![9_007_199_254_740_988_i64]], "no float on the way");
    for ids in [1..=2, 3..=4] {
        let result = storage.aggregate(sum_of(ids)).await;
        refused(result, ErrorKind::Invalid, &[OBJECT, "`n`", "range"]);
    }
    let groups = of_all().by(["group"]).value(sum("n")).filter(field("id").lte(2));
    refused(storage.aggregate(groups).await, ErrorKind::Invalid, &[OBJECT, "`n`"]);
}

pub async fn sums_of_floats(h: Harness) {
    let infinite = f64::INFINITY;
    let floats = [0.5, 0.25, -4.0, infinite, 1.0, -infinite];
    let records = (1_i64..)
        .zip(floats)
        .map(|(id, f)| record![id, "g", Value::Null, f, Value::Null])
        .collect();
    let storage = opened(&h, records).await;
    let asked =
        |until: i64| of_all().value(sum("f")).value(max("f")).filter(field("id").lte(until));
    assert_eq!(storage.aggregate(asked(3)).await.unwrap(), [record![-3.25, 0.5]]);
    assert_eq!(storage.aggregate(asked(5)).await.unwrap(), [record![infinite, infinite]]);
    refused(storage.aggregate(asked(6)).await, ErrorKind::Invalid, &[OBJECT, "`f`", "number"]);
}

pub async fn least_and_greatest_of_every_type(h: Harness) {
    let definition = keyed()
        .optional("bool", FieldType::Boolean)
        .optional("bytes", FieldType::Binary)
        .optional("at", FieldType::Timestamp)
        .optional("day", FieldType::DateTime)
        .optional("text", FieldType::String);
    let (storage, _) = open_one(&h, definition).await;
    let records = vec![
        record![1, true, vec![1_u8], Timestamp(-5), Timestamp(9), "b"],
        record![2, false, vec![0_u8, 9], Timestamp(5), Timestamp(-9), "B"],
        record![3, Value::Null, Value::Null, Value::Null, Value::Null, Value::Null],
    ];
    storage.execute(Batch::new().create(OBJECT, records)).await.unwrap();
    let names = ["id", "bool", "bytes", "at", "day", "text"];
    let least = names.iter().fold(of_all(), |it, name| it.value(min(name)));
    let told = storage.aggregate(least).await.unwrap();
    let expected = record![1, false, vec![0_u8, 9], Timestamp(-5), Timestamp(-9), "B"];
    assert_eq!(told, [expected]);
    let greatest = names.iter().fold(of_all(), |it, name| it.value(max(name)));
    let told = storage.aggregate(greatest).await.unwrap();
    assert_eq!(told, [record![3, true, vec![1_u8], Timestamp(5), Timestamp(9), "b"]]);
}

/// Sees every batch that was executed before.
pub async fn after_every_change(h: Harness) {
    let storage = opened(&h, some()).await;
    let asked = || of_all().by(["group"]).value(Aggregate::Count).filter(field("group").gte("b"));
    let objects = storage.dynamic(OBJECT).unwrap();
    objects.update(&json!({ "group": "c" }), &json!({ "group": "b" })).await.unwrap();
    assert_eq!(storage.aggregate(asked()).await.unwrap(), [record!["b", 3]]);
    objects.delete(&json!({ "id": { "$lte": 3 } })).await.unwrap();
    assert_eq!(storage.aggregate(asked()).await.unwrap(), [record!["b", 1]]);
}

pub async fn of_thousands(h: Harness) {
    let records = (0..5_000_i64)
        .map(|id| record![id, format!("{:03}", id % 500), id, Value::Null, Value::Null])
        .collect();
    let storage = opened(&h, records).await;
    let asked = of_all().by(["group"]).value(Aggregate::Count).value(sum("n")).value(max("n"));
    let told = storage.aggregate(asked).await.unwrap();
    assert_eq!(told.len(), 500);
    assert_eq!(told[7], record!["007", 10, 10 * 7 + 500 * 45, 4_507]);
    let total = of_all().value(sum("n")).value(Aggregate::Count);
    assert_eq!(storage.aggregate(total).await.unwrap(), [record![4_999 * 2_500, 5_000]]);
}

pub async fn that_cannot_be_are_refused(h: Harness) {
    let definition = keyed()
        .optional("json", FieldType::Json)
        .optional("text", FieldType::String)
        .optional("at", FieldType::Timestamp)
        .optional("bool", FieldType::Boolean);
    let (storage, _) = open_one(&h, definition).await;
    for (asked, words) in [
        (of_all(), vec![OBJECT, "nothing"]),
        (of_all().value(min("nowhere")), vec![OBJECT, "nowhere"]),
        (of_all().by(["nowhere"]), vec![OBJECT, "nowhere"]),
        (of_all().value(min("json")), vec![OBJECT, "`json`"]),
        (of_all().value(sum("json")), vec![OBJECT, "`json`"]),
        (of_all().by(["json"]), vec![OBJECT, "`json`"]),
        (of_all().value(sum("text")), vec![OBJECT, "`text`"]),
        (of_all().value(sum("at")), vec![OBJECT, "`at`"]),
        (of_all().value(sum("bool")), vec![OBJECT, "`bool`"]),
        (of_all().value(Aggregate::Count).filter(field("nowhere").eq(1)), vec!["nowhere"]),
        (of_all().value(Aggregate::Count).filter(field("text").eq(1)), vec!["text"]),
    ] {
        refused(storage.aggregate(asked).await, ErrorKind::Invalid, &words);
    }
    let nowhere = Aggregation::new("nowhere").value(Aggregate::Count);
    refused(storage.aggregate(nowhere).await, ErrorKind::NotFound, &["nowhere"]);
}
