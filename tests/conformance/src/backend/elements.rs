//! Elements of JSON arrays: the same objects with and without an index over the elements.

use serde_json::{Value as Json, json};
use storex_core::{
    Comparison, Definition, Direction, ElementCondition, ErrorKind, FieldType, Filter, KeyFormat,
    Query, Record, Registry, Storage, Value, field,
};

use crate::Harness;
use crate::support::{record, refused};

const PLAIN: &str = "plain";
const INDEXED: &str = "indexed";

async fn opened(h: &Harness) -> Storage {
    let definition = |name: &str| {
        Definition::new(name)
            .key_format(KeyFormat::Int)
            .optional("tags", FieldType::Json)
            .optional("n", FieldType::Int)
    };
    let registry = Registry::builder()
        .collection(definition(PLAIN))
        .collection(definition(INDEXED).multi_entry("tags").index(["n"]));
    h.open(registry.build().unwrap()).await
}

fn object(id: i64, tags: Json) -> Record {
    record![id, tags, id % 2]
}

async fn create(storage: &Storage, objects: &[(i64, Json)]) {
    for name in [PLAIN, INDEXED] {
        let records = objects.iter().map(|(id, tags)| object(*id, tags.clone())).collect();
        storage.execute(storex_core::Batch::new().create(name, records)).await.unwrap();
    }
}

/// The keys that a query gives, which must be the same with an index and without.
async fn found(storage: &Storage, query: &dyn Fn(&'static str) -> Query) -> Vec<i64> {
    let mut both = Vec::new();
    for name in [PLAIN, INDEXED] {
        let records = storage.find(query(name)).await.unwrap();
        let counted = storage.count(query(name)).await.unwrap();
        assert_eq!(counted, records.len() as u64, "{name}");
        both.push(records.iter().map(|it| it.get(0).as_int().unwrap()).collect::<Vec<_>>());
    }
    assert_eq!(both[0], both[1], "with an index as without");
    both.remove(0)
}

async fn containing(storage: &Storage, value: impl Into<Value>) -> Vec<i64> {
    let filter = field("tags").contains(value);
    let ordered =
        |name| Query::new(name).filter(filter.clone()).order_by("id", Direction::Ascending);
    found(storage, &ordered).await
}

pub async fn are_found_by_kind_and_content(h: Harness) {
    let storage = opened(&h).await;
    create(
        &storage,
        &[
            (1, json!(["a", "b", "a"])),
            (2, json!(["ab", 1, true])),
            (3, json!([1.0, "1", false, null])),
            (4, json!([0, 0.5, "\u{1f600}", "\u{0}"])),
            (5, json!([["a"], { "a": "a" }, 9_007_199_254_740_993_i64, ""])),
            (6, json!("a")),
            (7, json!({ "x": "a" })),
            (8, json!([])),
            (9, Json::Null),
            (10, json!([9_007_199_254_740_992_i64, u64::MAX])),
        ],
    )
    .await;
    assert_eq!(
        containing(&storage, "a").await,
        [1],
        "not in arrays inside, nor in texts or objects"
    );
    assert_eq!(containing(&storage, 1).await, [2, 3], "numbers are numbers");
    assert_eq!(containing(&storage, 1.0).await, [2, 3]);
    assert_eq!(containing(&storage, true).await, [2], "a boolean is no number");
    assert_eq!(containing(&storage, false).await, [3]);
    assert_eq!(containing(&storage, 0).await, [4]);
    assert_eq!(containing(&storage, 0.5).await, [4]);
    assert_eq!(containing(&storage, "\u{1f600}").await, [4]);
    assert_eq!(containing(&storage, "\u{0}").await, [4]);
    assert_eq!(containing(&storage, "").await, [5]);
    assert_eq!(containing(&storage, 9_007_199_254_740_993_i64).await, [5], "exactly");
    assert_eq!(containing(&storage, 9_007_199_254_740_992_i64).await, [10]);
    assert_eq!(containing(&storage, "nowhere").await, [0_i64; 0]);
}

pub async fn go_with_other_conditions(h: Harness) {
    let storage = opened(&h).await;
    create(&storage, &(1..=9).map(|id| (id, json!(["x", id % 3]))).collect::<Vec<_>>()).await;
    let both = field("tags").contains("x").and(field("tags").contains(0));
    let queries: [(Filter, &[i64]); 5] = [
        (both.clone(), &[3, 6, 9]),
        (both.and(field("n").eq(1)), &[3, 9]),
        (field("tags").contains(1).negate(), &[2, 3, 5, 6, 8, 9]),
        (field("tags").contains(1).or(field("id").eq(2)), &[1, 2, 4, 7]),
        (field("tags").contains(1).and(field("id").gt(3)), &[4, 7]),
    ];
    for (filter, expected) in queries {
        let query =
            |name| Query::new(name).filter(filter.clone()).order_by("id", Direction::Ascending);
        assert_eq!(found(&storage, &query).await, expected, "{filter:?}");
    }
    let json = json!({ "tags": { "$contains": 2 } });
    let objects = storage.dynamic(INDEXED).unwrap().find(&json).await.unwrap();
    assert_eq!(objects.len(), 3);
}

pub async fn follow_every_change(h: Harness) {
    let storage = opened(&h).await;
    create(&storage, &[(1, json!(["a"])), (2, json!(["a", "b"])), (3, json!(["b"]))]).await;
    for name in [PLAIN, INDEXED] {
        let objects = storage.dynamic(name).unwrap();
        objects
            .update(&json!({ "tags": { "$contains": "b" } }), &json!({ "tags": ["c"] }))
            .await
            .unwrap();
        objects.update(&json!({ "id": 1 }), &json!({ "tags": null })).await.unwrap();
        objects.create(json!({ "id": 4, "tags": ["c", "a"] })).await.unwrap();
    }
    assert_eq!(containing(&storage, "a").await, [4]);
    assert_eq!(containing(&storage, "b").await, [0_i64; 0]);
    assert_eq!(containing(&storage, "c").await, [2, 3, 4]);
    for name in [PLAIN, INDEXED] {
        let objects = storage.dynamic(name).unwrap();
        let deleted = objects
            .delete(&json!({ "tags": { "$contains": "c" }, "id": { "$lt": 4 } }))
            .await
            .unwrap();
        assert_eq!(deleted.len(), 2);
    }
    assert_eq!(containing(&storage, "c").await, [4]);
}

/// Page by page, in both directions, through more objects than a page of any backend.
pub async fn come_in_pages(h: Harness) {
    let storage = opened(&h).await;
    let many: Vec<(i64, Json)> =
        (-1300_i64..1300).map(|id| (id, json!(["all", id.rem_euclid(7)]))).collect();
    create(&storage, &many).await;
    for direction in [Direction::Ascending, Direction::Descending] {
        for (value, every) in [(Value::from("all"), 1), (Value::from(3), 7)] {
            let mut expected: Vec<i64> =
                (-1300_i64..1300).filter(|id| every == 1 || id.rem_euclid(7) == 3).collect();
            if direction == Direction::Descending {
                expected.reverse();
            }
            let query = Query::new(INDEXED)
                .filter(field("tags").contains(value))
                .order_by("id", direction)
                .limit(97);
            let collection = storage.registry().collection(INDEXED).unwrap();
            let (mut seen, mut after) = (Vec::new(), None);
            loop {
                let mut page = query.clone();
                page.after = after.take();
                let records = storage.find(page).await.unwrap();
                after = records.last().map(|last| query.position_of(collection, last));
                seen.extend(records.iter().map(|it| it.get(0).as_int().unwrap()));
                if records.len() < 97 {
                    break;
                }
            }
            assert_eq!(seen, expected);
        }
    }
}

/// A compound index whose second field has one value: its first field moves, and pages begin behind it.
pub async fn and_pages_of_an_index_with_a_constant_behind(h: Harness) {
    let definition = Definition::new("item")
        .key_format(KeyFormat::Int)
        .field("a", FieldType::Int)
        .field("b", FieldType::Int)
        .index(["a", "b"]);
    let storage = h.open(Registry::builder().collection(definition).build().unwrap()).await;
    let rows = (0..60_i64).map(|id| record![id, id / 12, id % 3]).collect();
    storage.execute(storex_core::Batch::new().create("item", rows)).await.unwrap();
    let collection = storage.registry().collection("item").unwrap();
    for direction in [Direction::Ascending, Direction::Descending] {
        for size in [1, 2, 7] {
            let query = Query::new("item").filter(field("b").eq(2)).order_by("a", direction);
            let all = storage.find(query.clone().limit(100)).await.unwrap();
            assert_eq!(all.len(), 20);
            let (mut seen, mut after) = (Vec::new(), None);
            loop {
                let mut page = query.clone().limit(size);
                page.after = after.take();
                let records = storage.find(page).await.unwrap();
                let Some(last) = records.last() else { break };
                after = Some(query.position_of(collection, last));
                seen.extend(records);
            }
            assert_eq!(seen, all, "{direction:?} {size}");
        }
    }
    // A position that was made under another filter.
    let other = Query::new("item").order_by("a", Direction::Ascending);
    let position = other.position_of(collection, &record![10, 0, 0]);
    let query = other.filter(field("a").eq(1)).after(position);
    assert_eq!(storage.find(query).await.unwrap().len(), 12);
}

pub async fn that_cannot_be_are_refused(h: Harness) {
    let storage = opened(&h).await;
    let bytes: &[u8] = b"x";
    for value in
        [Value::Null, Value::from(bytes), Value::Json(json!(["a"])), Value::Float(f64::NAN)]
    {
        let filter = field("tags").contains(value);
        let result = storage.find(Query::new(INDEXED).filter(filter)).await;
        refused(result, ErrorKind::Invalid, &[INDEXED, "tags"]);
    }
    let result = storage.find(Query::new(INDEXED).filter(field("n").contains(1))).await;
    refused(result, ErrorKind::Invalid, &[INDEXED, "`n`", "no JSON"]);
    let objects = storage.dynamic(INDEXED).unwrap();
    let result = objects.find(&json!({ "tags": { "$contains": ["a"] } })).await;
    refused(result, ErrorKind::Invalid, &["$contains"]);
    let not_json = Definition::new("x").field("n", FieldType::Int).multi_entry("n");
    let result = Registry::builder().collection(not_json).build();
    refused(result, ErrorKind::Invalid, &["x", "n", "no JSON"]);
}

/// The keys of what a filter in JSON matches.
async fn matching(storage: &Storage, json: Json) -> Vec<i64> {
    let collection = storage.registry().collection(PLAIN).unwrap();
    let filter = collection.filter_from_json(&json, storage.registry()).unwrap();
    let query = |name| Query::new(name).filter(filter.clone()).order_by("id", Direction::Ascending);
    found(storage, &query).await
}

pub async fn are_counted(h: Harness) {
    let storage = opened(&h).await;
    create(
        &storage,
        &[
            (1, json!([])),
            (2, json!([1])),
            (3, json!([1, 1])),
            (4, json!([null, [1, 2, 3]])),
            (5, json!({ "a": 1, "b": 2 })),
            (6, json!("ab")),
            (7, Json::Null),
            (8, json!([[], []])),
        ],
    )
    .await;
    assert_eq!(matching(&storage, json!({ "tags": { "$size": 0 } })).await, [1]);
    assert_eq!(matching(&storage, json!({ "tags": { "$size": 1 } })).await, [2]);
    assert_eq!(matching(&storage, json!({ "tags": { "$size": 2 } })).await, [3, 4, 8]);
    assert_eq!(matching(&storage, json!({ "tags": { "$size": u64::MAX } })).await, [0_i64; 0]);
    let not_two = json!({ "tags": { "$not": { "$size": 2 } } });
    assert_eq!(matching(&storage, not_two).await, [1, 2, 5, 6, 7], "no array has no size");
    let both = json!({ "tags": { "$size": 2, "$contains": 1 } });
    assert_eq!(matching(&storage, both).await, [3]);
}

pub async fn that_are_all_there(h: Harness) {
    let storage = opened(&h).await;
    create(
        &storage,
        &[
            (1, json!(["a", "b", "c"])),
            (2, json!(["b", "a"])),
            (3, json!(["a", 1])),
            (4, json!(["a", 1.0, true, "b"])),
            (5, json!([])),
            (6, Json::Null),
        ],
    )
    .await;
    assert_eq!(matching(&storage, json!({ "tags": { "$all": ["a"] } })).await, [1, 2, 3, 4]);
    assert_eq!(matching(&storage, json!({ "tags": { "$all": ["a", "b"] } })).await, [1, 2, 4]);
    assert_eq!(matching(&storage, json!({ "tags": { "$all": ["b", "a", "b"] } })).await, [1, 2, 4]);
    assert_eq!(matching(&storage, json!({ "tags": { "$all": ["a", 1] } })).await, [3, 4]);
    assert_eq!(matching(&storage, json!({ "tags": { "$all": [1, true] } })).await, [4]);
    assert_eq!(matching(&storage, json!({ "tags": { "$all": ["a", "z"] } })).await, [0_i64; 0]);
    let negated = json!({ "$not": { "tags": { "$all": ["a", "b"] } } });
    assert_eq!(matching(&storage, negated).await, [3, 5, 6]);
}

/// One element has to meet all conditions; another of them may not help.
pub async fn that_meet_conditions(h: Harness) {
    let storage = opened(&h).await;
    create(
        &storage,
        &[
            (1, json!([1, 9])),
            (2, json!([5])),
            (3, json!([5.5, "5"])),
            (4, json!(["5", true, null])),
            (5, json!([[5]])),
            (6, json!(5)),
            (7, json!([])),
            (8, Json::Null),
            (9, json!([9_007_199_254_740_993_i64, u64::MAX])),
        ],
    )
    .await;
    let elements = async |conditions: Json| {
        matching(&storage, json!({ "tags": { "$elemMatch": conditions } })).await
    };
    assert_eq!(elements(json!({ "$gt": 1, "$lt": 9 })).await, [2, 3], "not 1 and 9 together");
    assert_eq!(elements(json!({ "$gte": 1, "$lte": 9 })).await, [1, 2, 3]);
    assert_eq!(elements(json!({ "$eq": 5.0 })).await, [2]);
    assert_eq!(elements(json!({ "$eq": "5" })).await, [3, 4], "a text is no number");
    assert_eq!(elements(json!({ "$gte": "" })).await, [3, 4], "texts only");
    assert_eq!(elements(json!({ "$gte": true })).await, [4], "a boolean is no number");
    assert_eq!(elements(json!({ "$lt": true })).await, [0_i64; 0]);
    assert_eq!(elements(json!({ "$eq": null })).await, [4]);
    assert_eq!(elements(json!({ "$ne": null })).await, [1, 2, 3, 4, 5, 9]);
    assert_eq!(
        elements(json!({ "$ne": 5 })).await,
        [1, 3, 4, 5, 9],
        "of another kind is not equal"
    );
    assert_eq!(elements(json!({ "$gt": 9_007_199_254_740_992_i64 })).await, [9]);
    assert_eq!(elements(json!({ "$gt": 9_007_199_254_740_993_i64 })).await, [9], "2^64 - 1");
    assert_eq!(elements(json!({})).await, [1, 2, 3, 4, 5, 9], "any element at all");
    let without = json!({ "$not": { "tags": { "$elemMatch": { "$gt": 1 } } } });
    assert_eq!(matching(&storage, without).await, [4, 5, 6, 7, 8]);
}

pub async fn that_are_objects(h: Harness) {
    let storage = opened(&h).await;
    create(
        &storage,
        &[
            (1, json!([{ "sku": "a", "n": 1 }, { "sku": "b", "n": 9 }])),
            (2, json!([{ "sku": "a", "n": 9 }])),
            (3, json!([{ "sku": "a" }])),
            (4, json!([{ "sku": "a", "n": null }, { "sku": null, "n": 9.0 }])),
            (5, json!([{ "sku": ["a"], "n": { "n": 9 } }])),
            (6, json!({ "sku": "a", "n": 9 })),
            (7, json!(["sku", 9, null, [{ "sku": "a" }]])),
            (8, json!([{ "a.b": 1, "$eq": 2, "": 3, "\"'": 4, "é": 5 }])),
        ],
    )
    .await;
    let elements = async |conditions: Json| {
        matching(&storage, json!({ "tags": { "$elemMatch": conditions } })).await
    };
    assert_eq!(elements(json!({ "sku": "a" })).await, [1, 2, 3, 4]);
    assert_eq!(elements(json!({ "sku": "a", "n": { "$gte": 5 } })).await, [2], "in one element");
    assert_eq!(elements(json!({ "n": { "$gt": 1, "$lt": 10 } })).await, [1, 2, 4]);
    assert_eq!(elements(json!({ "n": 9 })).await, [1, 2, 4], "9 and 9.0");
    assert_eq!(
        elements(json!({ "n": null })).await,
        [3, 4, 7, 8],
        "a member that is not there is null, of what is no object too"
    );
    assert_eq!(elements(json!({ "sku": { "$eq": "a" }, "n": null })).await, [3, 4]);
    assert_eq!(elements(json!({ "sku": "a", "n": { "$ne": 9 } })).await, [1, 3, 4]);
    for (member, value) in [("a.b", 1), ("", 3), ("\"'", 4), ("é", 5)] {
        assert_eq!(elements(json!({ member: value })).await, [8], "{member:?}");
    }
    // A member whose name begins as an operator can be asked for in Rust.
    let condition =
        ElementCondition { member: Some("$eq".into()), op: Comparison::Eq, value: 2.into() };
    let filter = Filter::Element { field: "tags".into(), conditions: vec![condition] };
    let query = |name| Query::new(name).filter(filter.clone()).order_by("id", Direction::Ascending);
    assert_eq!(found(&storage, &query).await, [8]);
}

pub async fn that_meet_conditions_are_changed_and_deleted(h: Harness) {
    let storage = opened(&h).await;
    create(&storage, &[(1, json!([1])), (2, json!([5, 6])), (3, json!([7])), (4, json!([]))]).await;
    for name in [PLAIN, INDEXED] {
        let objects = storage.dynamic(name).unwrap();
        let big = json!({ "tags": { "$elemMatch": { "$gte": 6 } } });
        assert_eq!(objects.update(&big, &json!({ "tags": ["big"] })).await.unwrap().len(), 2);
        let empty = json!({ "tags": { "$size": 0 } });
        assert_eq!(objects.delete(&empty).await.unwrap().len(), 1);
    }
    assert_eq!(containing(&storage, "big").await, [2, 3]);
    assert_eq!(matching(&storage, json!({})).await, [1, 2, 3]);
}

pub async fn conditions_that_cannot_be_are_refused(h: Harness) {
    let storage = opened(&h).await;
    create(&storage, &[(1, json!([1]))]).await;
    let objects = storage.dynamic(INDEXED).unwrap();
    for (condition, word) in [
        (json!({ "$elemMatch": { "$gt": [1] } }), "$elemMatch"),
        (json!({ "$elemMatch": { "$gt": null } }), "tags"),
        (json!({ "$elemMatch": { "$near": 1 } }), "$near"),
        (json!({ "$elemMatch": { "n": { "$in": [1] } } }), "$in"),
        (json!({ "$elemMatch": { "n": [1] } }), "$elemMatch"),
        (json!({ "$elemMatch": [1] }), "$elemMatch"),
        (json!({ "$elemMatch": 1 }), "$elemMatch"),
        (json!({ "$size": -1 }), "$size"),
        (json!({ "$size": 1.5 }), "$size"),
        (json!({ "$size": "1" }), "$size"),
        (json!({ "$all": [] }), "$all"),
        (json!({ "$all": "a" }), "$all"),
        (json!({ "$all": [["a"]] }), "$all"),
    ] {
        let filter = json!({ "tags": condition });
        refused(objects.find(&filter).await, ErrorKind::Invalid, &[INDEXED, word]);
        refused(objects.delete(&filter).await, ErrorKind::Invalid, &[INDEXED, word]);
        assert!(
            objects.count(&json!({ "n": condition })).await.is_err(),
            "a number has no elements: {condition}"
        );
    }
    for filter in [
        field("n").has_size(0),
        Filter::Element { field: "n".into(), conditions: vec![] },
        Filter::Element { field: "nowhere".into(), conditions: vec![] },
    ] {
        let result = storage.find(Query::new(INDEXED).filter(filter)).await;
        refused(result, ErrorKind::Invalid, &[INDEXED]);
    }
    assert_eq!(objects.count(&json!({})).await.unwrap(), 1);
}
