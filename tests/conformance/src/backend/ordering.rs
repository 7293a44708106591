//! The order of what is found.

use serde_json::{Value as Json, json};
use storex_core::{
    Affinity, Batch, Definition, Direction, FieldType, Query, RelationDefinition, Timestamp, Value,
};

use crate::Harness;
use crate::support::{
    OBJECT, column, create_all, ids, keyed, numbers, open_one, record, registry, simple,
};

/// storex-facts 1.14, cases 22 to 25.
async fn of_two_one_three(h: Harness, options: Json, expected: &[i64]) {
    let (_storage, objects) = simple(&h, FieldType::Int).await;
    create_all(&objects, [2, 1, 3].map(|n| json!({ "field": n }))).await;
    let found = objects.find_with(&json!({ "field": { "$gte": 1 } }), &options).await.unwrap();
    assert_eq!(column(&found, "field"), expected);
}

pub async fn ascending(h: Harness) {
    of_two_one_three(h, json!({ "order": [["field", "asc"]] }), &[1, 2, 3]).await;
}

pub async fn descending(h: Harness) {
    of_two_one_three(h, json!({ "order": [["field", "desc"]] }), &[3, 2, 1]).await;
}

pub async fn ascending_with_a_limit(h: Harness) {
    of_two_one_three(h, json!({ "order": [["field", "asc"]], "limit": 2 }), &[1, 2]).await;
}

pub async fn descending_with_a_limit(h: Harness) {
    of_two_one_three(h, json!({ "order": [["field", "desc"]], "limit": 2 }), &[3, 2]).await;
}

pub async fn nulls_are_first_ascending_and_last_descending(h: Harness) {
    let objects = [(1, Some(5)), (2, None), (3, Some(-5)), (4, None), (5, Some(0))];
    let (storage, _) = numbers(&h, &objects).await;
    let by = |direction| Query::new(OBJECT).order_by("n", direction);
    assert_eq!(ids(&storage.find(by(Direction::Ascending)).await.unwrap()), [2, 4, 3, 5, 1]);
    assert_eq!(ids(&storage.find(by(Direction::Descending)).await.unwrap()), [1, 5, 3, 2, 4]);
}

/// Equal values are ordered by key, ascending also where the field descends.
pub async fn ties_are_ordered_by_key(h: Harness) {
    let (storage, _) = numbers(&h, &[(5, 1), (3, 1), (4, 2), (1, 2), (2, 1)]).await;
    let by = |direction| Query::new(OBJECT).order_by("n", direction);
    assert_eq!(ids(&storage.find(by(Direction::Ascending)).await.unwrap()), [2, 3, 5, 1, 4]);
    assert_eq!(ids(&storage.find(by(Direction::Descending)).await.unwrap()), [1, 4, 2, 3, 5]);
}

pub async fn several_fields_in_several_directions(h: Harness) {
    let definition = keyed()
        .optional("a", FieldType::Int)
        .optional("b", FieldType::String)
        .optional("c", FieldType::Float);
    let (storage, _) = open_one(&h, definition).await;
    let objects = vec![
        record![1, 1, "x", 0.5],
        record![2, 1, "y", 0.5],
        record![3, 2, "x", 0.5],
        record![4, 1, "x", 0.25],
        record![5, None::<i64>, "x", 0.5],
        record![6, 1, None::<&str>, 0.5],
    ];
    storage.execute(Batch::new().create(OBJECT, objects)).await.unwrap();
    use Direction::{Ascending as Asc, Descending as Desc};
    for (order, expected) in [
        ([("a", Asc), ("b", Asc), ("c", Asc)], [5, 6, 4, 1, 2, 3]),
        ([("a", Asc), ("b", Desc), ("c", Asc)], [5, 2, 4, 1, 6, 3]),
        ([("a", Desc), ("b", Asc), ("c", Desc)], [3, 6, 1, 4, 2, 5]),
        ([("c", Desc), ("b", Asc), ("a", Desc)], [6, 3, 1, 5, 2, 4]),
    ] {
        let query = order.iter().fold(Query::new(OBJECT), |query, (field, direction)| {
            query.order_by(*field, *direction)
        });
        assert_eq!(ids(&storage.find(query).await.unwrap()), expected, "{order:?}");
    }
}

pub async fn of_a_field_given_twice_the_first_counts(h: Harness) {
    let (storage, _) = numbers(&h, &[(1, 1), (2, 2), (3, 3)]).await;
    let query =
        Query::new(OBJECT).order_by("n", Direction::Descending).order_by("n", Direction::Ascending);
    assert_eq!(ids(&storage.find(query).await.unwrap()), [3, 2, 1]);
}

pub async fn by_the_key_descending(h: Harness) {
    let (storage, _) = numbers(&h, &[(2, 1), (-1, 1), (10, 1)]).await;
    let query = Query::new(OBJECT).order_by("id", Direction::Descending);
    assert_eq!(ids(&storage.find(query).await.unwrap()), [10, 2, -1]);
}

pub async fn by_one_field_of_a_compound_key(h: Harness) {
    let definition = Definition::new(OBJECT)
        .field("a", FieldType::Int)
        .field("b", FieldType::String)
        .primary_key(["a", "b"]);
    let (storage, _) = open_one(&h, definition).await;
    let objects = vec![record![1, "x"], record![2, "x"], record![2, "y"], record![1, "y"]];
    storage.execute(Batch::new().create(OBJECT, objects)).await.unwrap();
    let query = Query::new(OBJECT).order_by("b", Direction::Descending);
    let found = storage.find(query).await.unwrap();
    assert_eq!(found, [record![1, "y"], record![2, "y"], record![1, "x"], record![2, "x"]]);
    let found = storage.find(Query::new(OBJECT).limit(3)).await.unwrap();
    assert_eq!(found, [record![1, "x"], record![1, "y"], record![2, "x"]]);
}

pub async fn by_a_relation(h: Harness) {
    let user = Definition::new("user").field("id", FieldType::Int).primary_key(["id"]);
    let email = keyed().relation(RelationDefinition::child_of("user").column("userId"));
    let storage = h.open(registry([user, email])).await;
    let batch = Batch::new()
        .create("user", (1..=3).map(|id| record![id]).collect())
        .create(OBJECT, vec![record![1, 2], record![2, 3], record![3, 1]]);
    storage.execute(batch).await.unwrap();
    let query = Query::new(OBJECT).order_by("user", Direction::Ascending);
    assert_eq!(ids(&storage.find(query).await.unwrap()), [3, 1, 2]);
}

/// Values in ascending order come back so, from whatever order they were created in.
async fn in_this_order(h: Harness, field_type: FieldType, values: Vec<Value>) {
    let (storage, _) = open_one(&h, keyed().optional("v", field_type)).await;
    let count = i64::try_from(values.len()).unwrap();
    // Keys in another order than the values: 997 is a prime, so none comes twice.
    let id = |n: usize| (i64::try_from(n).unwrap() * 577) % 997;
    let records = values.iter().enumerate().map(|(n, value)| record![id(n), value.clone()]);
    storage.execute(Batch::new().create(OBJECT, records.collect())).await.unwrap();
    let query = Query::new(OBJECT).order_by("v", Direction::Ascending).select(["v"]);
    let found = storage.find(query).await.unwrap();
    assert_eq!(found.len(), usize::try_from(count).unwrap());
    for (found, expected) in found.iter().zip(&values) {
        assert_eq!(found.get(0), expected);
    }
    let query = Query::new(OBJECT).order_by("v", Direction::Descending).select(["v"]);
    let found = storage.find(query).await.unwrap();
    for (found, expected) in found.iter().zip(values.iter().rev()) {
        assert_eq!(found.get(0), expected);
    }
}

/// By code point, which is by UTF-8 byte: not by UTF-16 unit, and not by the rules of a language.
pub async fn texts_by_code_point(h: Harness) {
    let texts = [
        "",
        "\0",
        "\0a",
        "\t",
        " ",
        "!",
        "1",
        "10",
        "2",
        "A",
        "Z",
        "a",
        "a\0",
        "aB",
        "ab",
        "b",
        "e\u{301}",
        "z",
        "ß",
        "é",
        "ö",
        "\u{5d0}\u{5d1}",
        "日本",
        "\u{e000}",
        "\u{fffd}",
        "\u{ffff}",
        "\u{10000}",
        "😀",
        "\u{10ffff}",
    ];
    in_this_order(h, FieldType::String, texts.map(Value::from).to_vec()).await;
}

pub async fn integers_at_the_edges(h: Harness) {
    let ints = [
        i64::MIN,
        i64::MIN + 1,
        -(1 << 53) - 1,
        -(1 << 53),
        -10,
        -9,
        -1,
        0,
        1,
        9,
        10,
        1 << 53,
        (1 << 53) + 1,
        i64::MAX - 1,
        i64::MAX,
    ];
    in_this_order(h, FieldType::Int, ints.map(Value::from).to_vec()).await;
}

pub async fn floats_at_the_edges(h: Harness) {
    let floats = [
        f64::NEG_INFINITY,
        f64::MIN,
        -1e10,
        -1.5,
        -f64::MIN_POSITIVE,
        -5e-324,
        0.0,
        5e-324,
        f64::MIN_POSITIVE,
        0.1,
        1.0,
        1.5,
        10.0,
        9.007_199_254_740_992e15,
        f64::MAX,
        f64::INFINITY,
    ];
    in_this_order(h, FieldType::Float, floats.map(Value::from).to_vec()).await;
}

pub async fn bytes_one_by_one(h: Harness) {
    let bytes: [&[u8]; 8] = [&[], &[0], &[0, 0], &[0, 255], &[1], &[127], &[128], &[255, 255]];
    in_this_order(h, FieldType::Binary, bytes.map(Value::from).to_vec()).await;
}

pub async fn false_before_true(h: Harness) {
    in_this_order(h, FieldType::Boolean, vec![Value::Null, false.into(), true.into()]).await;
}

pub async fn timestamps_before_1970(h: Harness) {
    let moments = [i64::MIN, -62_135_596_800_000, -1, 0, 1, 1_795_178_096_789, i64::MAX];
    in_this_order(h, FieldType::Timestamp, moments.map(|ms| Timestamp(ms).into()).to_vec()).await;
}

/// A column of an adopted database may hold every kind: null, numbers, texts, bytes.
pub async fn kinds_of_an_adopted_column(h: Harness) {
    let values = vec![
        Value::Null,
        f64::NEG_INFINITY.into(),
        (-2).into(),
        (-1.5).into(),
        0.into(),
        0.5.into(),
        1.into(),
        9_007_199_254_740_993_i64.into(),
        f64::INFINITY.into(),
        "".into(),
        "0".into(),
        "a".into(),
        Value::Bytes(vec![]),
        Value::Bytes(vec![0]),
        Value::Bytes(b"a".to_vec()),
    ];
    in_this_order(h, FieldType::Dynamic(Affinity::Blob), values).await;
}
