//! What filters match.

use serde_json::{Value as Json, json};
use storex_core::{FieldType, Filter, Key, Timestamp, Value, field};

use crate::Harness;
use crate::support::{
    NONE, OBJECT, column, create_all, keyed, matching, numbers, open_one, simple, sorted,
};

/// storex-facts 1.14, cases 14 to 21.
async fn of_one_to_three(h: Harness, field_type: FieldType, condition: Json, expected: &[i64]) {
    let (_storage, objects) = simple(&h, field_type).await;
    create_all(&objects, (1..=3).map(|n| json!({ "field": n }))).await;
    let found = objects.find(&json!({ "field": condition })).await.unwrap();
    assert_eq!(sorted(column(&found, "field")), expected);
}

pub async fn int_lt(h: Harness) {
    of_one_to_three(h, FieldType::Int, json!({ "$lt": 3 }), &[1, 2]).await;
}

pub async fn int_lte(h: Harness) {
    of_one_to_three(h, FieldType::Int, json!({ "$lte": 2 }), &[1, 2]).await;
}

pub async fn int_gt(h: Harness) {
    of_one_to_three(h, FieldType::Int, json!({ "$gt": 1 }), &[2, 3]).await;
}

pub async fn int_gte(h: Harness) {
    of_one_to_three(h, FieldType::Int, json!({ "$gte": 2 }), &[2, 3]).await;
}

pub async fn timestamp_lt(h: Harness) {
    of_one_to_three(h, FieldType::Timestamp, json!({ "$lt": 3 }), &[1, 2]).await;
}

pub async fn timestamp_lte(h: Harness) {
    of_one_to_three(h, FieldType::Timestamp, json!({ "$lte": 2 }), &[1, 2]).await;
}

pub async fn timestamp_gt(h: Harness) {
    of_one_to_three(h, FieldType::Timestamp, json!({ "$gt": 1 }), &[2, 3]).await;
}

pub async fn timestamp_gte(h: Harness) {
    of_one_to_three(h, FieldType::Timestamp, json!({ "$gte": 2 }), &[2, 3]).await;
}

/// Objects 1, 2 and 3 with `n` 1, 2 and 3, and object 4 with null.
async fn with_a_null(h: Harness, cases: &[(Json, &[i64])]) {
    let (_storage, objects) =
        numbers(&h, &[(1, Some(1)), (2, Some(2)), (3, Some(3)), (4, None)]).await;
    for (filter, expected) in cases {
        let found = objects.find(filter).await.unwrap();
        assert_eq!(sorted(column(&found, "id")), *expected, "{filter}");
        assert_eq!(objects.count(filter).await.unwrap(), expected.len() as u64, "{filter}");
    }
}

pub async fn an_empty_filter_matches_all(h: Harness) {
    with_a_null(h, &[(json!({}), &[1, 2, 3, 4])]).await;
}

pub async fn equality_and_its_opposite_with_null(h: Harness) {
    with_a_null(
        h,
        &[
            (json!({ "n": 2 }), &[2]),
            (json!({ "n": { "$eq": 2 } }), &[2]),
            (json!({ "n": { "$ne": 2 } }), &[1, 3, 4]),
            (json!({ "n": null }), &[4]),
            (json!({ "n": { "$eq": null } }), &[4]),
            (json!({ "n": { "$ne": null } }), &[1, 2, 3]),
            (json!({ "n": 9 }), &[]),
            (json!({ "n": { "$ne": 9 } }), &[1, 2, 3, 4]),
        ],
    )
    .await;
}

pub async fn exists_is_not_null(h: Harness) {
    with_a_null(
        h,
        &[
            (json!({ "n": { "$exists": true } }), &[1, 2, 3]),
            (json!({ "n": { "$exists": false } }), &[4]),
        ],
    )
    .await;
}

pub async fn ranges_match_no_null(h: Harness) {
    with_a_null(
        h,
        &[
            (json!({ "n": { "$lt": 100 } }), &[1, 2, 3]),
            (json!({ "n": { "$gte": -100 } }), &[1, 2, 3]),
            (json!({ "n": { "$lt": null } }), &[]),
            (json!({ "n": { "$lte": null } }), &[]),
            (json!({ "n": { "$gt": null } }), &[]),
            (json!({ "n": { "$gte": null } }), &[]),
        ],
    )
    .await;
}

/// The logic has two values: what is not less is everything else, null included.
pub async fn the_opposite_of_a_range_matches_null(h: Harness) {
    with_a_null(
        h,
        &[
            (json!({ "n": { "$not": { "$lt": 2 } } }), &[2, 3, 4]),
            (json!({ "$not": { "n": { "$gte": 2 } } }), &[1, 4]),
            (json!({ "n": { "$not": { "$gt": null } } }), &[1, 2, 3, 4]),
            (json!({ "n": { "$not": { "$not": { "$lt": 2 } } } }), &[1]),
            (json!({ "n": { "$not": { "$gt": 1, "$lt": 3 } } }), &[1, 3, 4]),
        ],
    )
    .await;
}

pub async fn lists_with_null(h: Harness) {
    with_a_null(
        h,
        &[
            (json!({ "n": { "$in": [1, 3] } }), &[1, 3]),
            (json!({ "n": { "$in": [1, null] } }), &[1, 4]),
            (json!({ "n": { "$in": [null] } }), &[4]),
            (json!({ "n": { "$in": [] } }), &[]),
            (json!({ "n": { "$in": [2, 2, 2] } }), &[2]),
            (json!({ "n": { "$nin": [1, 3] } }), &[2, 4]),
            (json!({ "n": { "$nin": [1, null] } }), &[2, 3]),
            (json!({ "n": { "$nin": [null] } }), &[1, 2, 3]),
            (json!({ "n": { "$nin": [] } }), &[1, 2, 3, 4]),
        ],
    )
    .await;
}

pub async fn and_or_nor_not(h: Harness) {
    with_a_null(
        h,
        &[
            (json!({ "$or": [{ "n": 1 }, { "n": 3 }] }), &[1, 3]),
            (json!({ "$and": [{ "n": { "$gt": 1 } }, { "n": { "$lt": 3 } }] }), &[2]),
            (json!({ "$nor": [{ "n": 1 }, { "n": 3 }] }), &[2, 4]),
            (json!({ "$not": { "n": 1 } }), &[2, 3, 4]),
            (json!({ "n": { "$gt": 1, "$lt": 3 } }), &[2]),
            (json!({ "id": { "$gt": 1 }, "n": { "$lt": 3 } }), &[2]),
            (json!({ "id": 1, "$or": [{ "n": 1 }, { "n": 2 }] }), &[1]),
            (
                json!({ "$or": [{ "$and": [{ "n": 1 }, { "id": 2 }] }, { "$not": { "n": { "$ne": null } } }] }),
                &[4],
            ),
            (json!({ "$nor": [{ "$nor": [{ "n": 1 }, { "n": null }] }] }), &[1, 4]),
        ],
    )
    .await;
}

pub async fn empty_lists_of_filters(h: Harness) {
    with_a_null(
        h,
        &[
            (json!({ "$and": [] }), &[1, 2, 3, 4]),
            (json!({ "$or": [] }), &[]),
            (json!({ "$nor": [] }), &[1, 2, 3, 4]),
            (json!({ "$not": {} }), &[]),
            (json!({ "n": 1, "$and": [] }), &[1]),
            (json!({ "n": 1, "$or": [] }), &[]),
            (json!({ "$or": [{}, { "n": 1 }] }), &[1, 2, 3, 4]),
            (json!({ "$and": [{}, { "n": 1 }] }), &[1]),
        ],
    )
    .await;
}

/// A filter of keys is a filter like others: it can be a part, and have an opposite.
pub async fn keys_as_a_part_of_a_filter(h: Harness) {
    let (storage, _) = numbers(&h, &[(1, 1), (2, 2), (3, 3), (4, 4)]).await;
    let keys = |ids: &[i64]| Filter::Keys(ids.iter().map(|id| Key::single(*id)).collect());
    assert_eq!(matching(&storage, keys(&[3, 1, 9])).await, [1, 3]);
    assert_eq!(matching(&storage, keys(&[])).await, NONE);
    assert_eq!(matching(&storage, keys(&[3, 1, 9]).negate()).await, [2, 4]);
    assert_eq!(matching(&storage, keys(&[]).negate()).await, [1, 2, 3, 4]);
    assert_eq!(matching(&storage, keys(&[3, 1]).and(field("n").gt(1))).await, [3]);
    assert_eq!(matching(&storage, keys(&[3, 1]).or(field("n").eq(4))).await, [1, 3, 4]);
    assert_eq!(matching(&storage, keys(&[3, 1]).and(keys(&[1, 2]))).await, [1]);
    assert_eq!(matching(&storage, Filter::All.negate()).await, NONE);
}

/// What each operator matches of objects with these values and one with null, for every value as operand.
async fn every_operator(h: Harness, field_type: FieldType, values: Vec<Value>) {
    let (storage, _) = open_one(&h, keyed().optional("v", field_type).index(["v"])).await;
    let mut all = values;
    all.push(Value::Null);
    let records = all.iter().enumerate().map(|(id, value)| {
        storex_core::Record::new(vec![Value::Int(i64::try_from(id).unwrap()), value.clone()])
    });
    let batch = storex_core::Batch::new().create(OBJECT, records.collect());
    storage.execute(batch).await.unwrap();
    for operand in &all {
        let ids = |holds: &dyn Fn(&Value) -> bool| -> Vec<i64> {
            let found = all.iter().enumerate().filter(|(_, value)| holds(value));
            found.map(|(id, _)| i64::try_from(id).unwrap()).collect()
        };
        let order = |value: &Value| value.compare(operand);
        let no_null = |value: &Value| !value.is_null() && !operand.is_null();
        let v = || field("v");
        let of = operand.clone();
        for (filter, expected) in [
            (v().eq(of.clone()), ids(&|it| order(it).is_eq())),
            (v().ne(of.clone()), ids(&|it| order(it).is_ne())),
            (v().lt(of.clone()), ids(&|it| no_null(it) && order(it).is_lt())),
            (v().lte(of.clone()), ids(&|it| no_null(it) && order(it).is_le())),
            (v().gt(of.clone()), ids(&|it| no_null(it) && order(it).is_gt())),
            (v().gte(of.clone()), ids(&|it| no_null(it) && order(it).is_ge())),
            (v().is_in([of.clone()]), ids(&|it| order(it).is_eq())),
            (v().is_in([of.clone()]).negate(), ids(&|it| order(it).is_ne())),
            (v().lt(of.clone()).negate(), ids(&|it| !no_null(it) || order(it).is_ge())),
        ] {
            let matched = matching(&storage, filter.clone()).await;
            assert_eq!(matched, expected, "{filter:?} of {all:?}");
        }
    }
}

pub async fn every_operator_on_integers(h: Harness) {
    let ints = [i64::MIN, -(1 << 53) - 1, -1, 0, 1, 1 << 53, (1 << 53) + 1, i64::MAX];
    every_operator(h, FieldType::Int, ints.map(Value::from).to_vec()).await;
}

pub async fn every_operator_on_floats(h: Harness) {
    let floats = [
        f64::NEG_INFINITY,
        -1.5,
        -5e-324,
        0.0,
        5e-324,
        0.1,
        1.0,
        9_007_199_254_740_993.0,
        f64::INFINITY,
    ];
    every_operator(h, FieldType::Float, floats.map(Value::from).to_vec()).await;
}

pub async fn every_operator_on_texts(h: Harness) {
    let texts = [
        "",
        " ",
        "1",
        "10",
        "2",
        "A",
        "B",
        "a",
        "a\0",
        "a\0b",
        "a ",
        "aa",
        "b",
        "e\u{301}",
        "é",
        "ñ",
        "\u{5d0}",
        "\u{ffff}",
        "\u{10000}",
        "😀",
    ];
    every_operator(h, FieldType::String, texts.map(Value::from).to_vec()).await;
}

pub async fn every_operator_on_bytes(h: Harness) {
    let bytes: [&[u8]; 7] = [&[], &[0], &[0, 0], &[0, 1], &[1], &[127], &[255, 0]];
    every_operator(h, FieldType::Binary, bytes.map(Value::from).to_vec()).await;
}

pub async fn every_operator_on_booleans(h: Harness) {
    every_operator(h, FieldType::Boolean, [false, true].map(Value::from).to_vec()).await;
}

pub async fn every_operator_on_timestamps(h: Harness) {
    let moments = [i64::MIN, -62_135_596_800_000, -1, 0, 1_795_178_096_789, i64::MAX];
    let values = moments.map(|ms| Value::from(Timestamp(ms))).to_vec();
    every_operator(h, FieldType::Timestamp, values.clone()).await;
}

pub async fn every_operator_on_datetimes(h: Harness) {
    let moments = [-62_135_596_800_000, -1, 0, 1_795_178_096_789];
    let values = moments.map(|ms| Value::from(Timestamp(ms))).to_vec();
    every_operator(h, FieldType::DateTime, values).await;
}

/// JSON is equal or not; as for order, each backend has the same one.
pub async fn equality_on_json(h: Harness) {
    let (storage, objects) = open_one(&h, keyed().optional("v", FieldType::Json)).await;
    let values = [
        json!({}),
        json!([]),
        json!("1"),
        json!(1),
        json!(1.5),
        json!(true),
        json!({ "b": 1, "a": [2] }),
        json!([1, 2]),
        json!([2, 1]),
        json!(""),
        json!({ "a": null }),
    ];
    for (id, value) in values.iter().enumerate() {
        objects.create(json!({ "id": id, "v": value })).await.unwrap();
    }
    objects.create(json!({ "id": 99 })).await.unwrap();
    for (id, value) in values.iter().enumerate() {
        let id = i64::try_from(id).unwrap();
        assert_eq!(matching(&storage, field("v").eq(value.clone())).await, [id], "{value}");
        let others = matching(&storage, field("v").ne(value.clone())).await;
        assert_eq!(others.len(), values.len(), "{value}");
        assert!(!others.contains(&id), "{value}");
    }
    assert_eq!(matching(&storage, field("v").is_null()).await, [99]);
    assert_eq!(matching(&storage, field("v").is_in([json!([2, 1]), json!({})])).await, [0, 8]);
}

pub async fn case_and_accents_count_in_texts(h: Harness) {
    let (storage, objects) = open_one(&h, keyed().optional("v", FieldType::String)).await;
    for (id, text) in ["straße", "STRASSE", "Straße", "é", "e\u{301}", "e"].iter().enumerate() {
        objects.create(json!({ "id": id, "v": text })).await.unwrap();
    }
    assert_eq!(matching(&storage, field("v").eq("straße")).await, [0]);
    assert_eq!(matching(&storage, field("v").eq("é")).await, [3]);
    assert_eq!(matching(&storage, field("v").eq("e\u{301}")).await, [4]);
    assert_eq!(matching(&storage, field("v").eq("E")).await, NONE);
}

/// Databases bound the number of a statement's parameters and the depth of its conditions.
pub async fn a_list_of_forty_thousand_values(h: Harness) {
    let (storage, _) = numbers(&h, &[(1, 1), (2, 39_999), (3, 40_000)]).await;
    let filter = field("n").is_in(0..40_000_i64);
    assert_eq!(matching(&storage, filter.clone()).await, [1, 2]);
    assert_eq!(matching(&storage, filter.negate()).await, [3]);
}

pub async fn two_thousand_alternatives(h: Harness) {
    let (storage, _) = numbers(&h, &[(1, 1), (2, 1999), (3, 2000)]).await;
    let filter = Filter::Or((0..2000_i64).map(|n| field("n").eq(n)).collect());
    assert_eq!(matching(&storage, filter).await, [1, 2]);
    let filter = Filter::And((0..2000_i64).map(|n| field("n").ne(n)).collect());
    assert_eq!(matching(&storage, filter).await, [3]);
}

pub async fn a_filter_nested_a_hundred_deep(h: Harness) {
    let (storage, _) = numbers(&h, &[(1, 1), (2, 2)]).await;
    let mut filter = field("n").eq(1);
    for n in 0..50 {
        filter = Filter::And(vec![Filter::Or(vec![filter, field("n").eq(100 + n)]), Filter::All]);
    }
    assert_eq!(matching(&storage, filter.clone()).await, [1]);
    for _ in 0..101 {
        filter = filter.negate();
    }
    assert_eq!(matching(&storage, filter).await, [2]);
}
