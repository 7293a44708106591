//! Elements of JSON arrays: the same objects with and without an index over the elements.

use serde_json::{Value as Json, json};
use storex_core::{
    Definition, Direction, ErrorKind, FieldType, Filter, KeyFormat, Query, Record, Registry,
    Storage, Value, field,
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
