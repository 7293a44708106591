//! Parts of a result: limit, offset, and pages behind a position.

use serde::{Deserialize, Serialize};
use storex_core::{
    Batch, Definition, Direction, FieldType, Filter, Key, Object, Query, Record, Storage, Value,
    field,
};

use crate::Harness;
use crate::support::{NONE, OBJECT, ids, keyed, numbers, open_one, record};

pub async fn an_offset(h: Harness) {
    let (storage, _) = numbers(&h, &[(4, 1), (2, 2), (3, 3), (1, 4)]).await;
    let by = |direction| Query::new(OBJECT).order_by("n", direction);
    for (query, expected) in [
        (by(Direction::Ascending).offset(1), vec![2, 3, 1]),
        (by(Direction::Ascending).offset(1).limit(2), vec![2, 3]),
        (by(Direction::Descending).offset(3), vec![4]),
        (by(Direction::Ascending).offset(4), vec![]),
        (by(Direction::Ascending).offset(u64::MAX), vec![]),
    ] {
        assert_eq!(ids(&storage.find(query.clone()).await.unwrap()), expected, "{query:?}");
    }
}

/// A limit alone has an order too: that of the keys.
pub async fn an_offset_without_an_order_is_by_key(h: Harness) {
    let (storage, _) = numbers(&h, &[(4, 1), (2, 2), (3, 3), (1, 4)]).await;
    assert_eq!(ids(&storage.find(Query::new(OBJECT).offset(1)).await.unwrap()), [2, 3, 4]);
    assert_eq!(ids(&storage.find(Query::new(OBJECT).limit(3)).await.unwrap()), [1, 2, 3]);
}

pub async fn limits_of_none_and_of_more_than_there_is(h: Harness) {
    let (storage, _) = numbers(&h, &[(1, 1), (2, 2)]).await;
    let query = Query::new(OBJECT).order_by("n", Direction::Ascending);
    assert_eq!(ids(&storage.find(query.clone().limit(0)).await.unwrap()), NONE);
    assert_eq!(ids(&storage.find(query.clone().limit(3)).await.unwrap()), [1, 2]);
    assert_eq!(ids(&storage.find(query.limit(u64::MAX)).await.unwrap()), [1, 2]);
}

/// Walks through all pages and gives what they hold.
async fn walk(storage: &Storage, query: &Query, size: u64) -> Vec<Record> {
    let schema = storage.registry().collection(&query.collection).unwrap();
    let mut all = Vec::new();
    let mut next = query.clone().limit(size);
    loop {
        let page = storage.find(next.clone()).await.unwrap();
        assert!(page.len() as u64 <= size);
        let Some(last) = page.last() else { return all };
        next = query.clone().limit(size).after(query.position_of(schema, last));
        all.extend(page);
        assert!(all.len() < 1000, "the pages never end");
    }
}

/// All pages together are the whole result, for every size of the pages.
async fn pages_are_the_whole(storage: &Storage, query: Query) {
    let whole = storage.find(query.clone()).await.unwrap();
    for size in [1, 2, 3, 5, 7, 100] {
        assert_eq!(walk(storage, &query, size).await, whole, "pages of {size}, {query:?}");
    }
}

async fn values(h: &Harness) -> Storage {
    let definition = keyed()
        .optional("a", FieldType::Int)
        .optional("b", FieldType::String)
        .optional("c", FieldType::Float)
        .index(["a"]);
    let (storage, _) = open_one(h, definition).await;
    let a = [None, Some(2), Some(1), None, Some(2), Some(2), Some(1), None, Some(i64::MIN)];
    let b = [Some("x"), None, Some("é"), Some("x"), None, Some("😀"), Some("\u{ffff}"), None];
    let c = [Some(f64::INFINITY), Some(-1.5), None, Some(0.0), Some(f64::NEG_INFINITY)];
    let records = (0..20)
        .map(|n| record![(n * 7) % 20, a[n as usize % 9], b[n as usize % 8], c[n as usize % 5]]);
    storage.execute(Batch::new().create(OBJECT, records.collect())).await.unwrap();
    storage
}

pub async fn pages_by_key(h: Harness) {
    let storage = values(&h).await;
    let query = Query::new(OBJECT).order_by("id", Direction::Ascending);
    pages_are_the_whole(&storage, query).await;
    let query = Query::new(OBJECT).order_by("id", Direction::Descending);
    pages_are_the_whole(&storage, query).await;
}

pub async fn pages_without_an_order_are_by_key(h: Harness) {
    let storage = values(&h).await;
    let walked = walk(&storage, &Query::new(OBJECT), 3).await;
    assert_eq!(ids(&walked), (0..20).collect::<Vec<_>>());
}

pub async fn pages_with_nulls_and_ties_ascending(h: Harness) {
    let storage = values(&h).await;
    for by in ["a", "b", "c"] {
        pages_are_the_whole(&storage, Query::new(OBJECT).order_by(by, Direction::Ascending)).await;
    }
}

pub async fn pages_with_nulls_and_ties_descending(h: Harness) {
    let storage = values(&h).await;
    for by in ["a", "b", "c"] {
        pages_are_the_whole(&storage, Query::new(OBJECT).order_by(by, Direction::Descending)).await;
    }
}

pub async fn pages_by_several_fields_in_several_directions(h: Harness) {
    use Direction::{Ascending, Descending};
    let storage = values(&h).await;
    for first in [Ascending, Descending] {
        for second in [Ascending, Descending] {
            for third in [Ascending, Descending] {
                let query = Query::new(OBJECT)
                    .order_by("a", first)
                    .order_by("b", second)
                    .order_by("id", third);
                pages_are_the_whole(&storage, query).await;
            }
        }
    }
}

pub async fn pages_of_a_filter(h: Harness) {
    let storage = values(&h).await;
    let filter = field("a").ne(1).or(field("b").is_null());
    let query = Query::new(OBJECT).filter(filter).order_by("b", Direction::Descending);
    pages_are_the_whole(&storage, query).await;
    let keys = (0..30).step_by(3).map(Key::single).collect();
    let query = Query::new(OBJECT).filter(Filter::Keys(keys)).order_by("a", Direction::Ascending);
    pages_are_the_whole(&storage, query).await;
}

pub async fn pages_by_a_compound_key(h: Harness) {
    let definition = Definition::new(OBJECT)
        .field("a", FieldType::Int)
        .field("b", FieldType::String)
        .optional("n", FieldType::Int)
        .primary_key(["a", "b"]);
    let (storage, _) = open_one(&h, definition).await;
    let records = (0..15_i64).map(|n| record![n % 3, format!("{}", n / 3), n % 2]).collect();
    storage.execute(Batch::new().create(OBJECT, records)).await.unwrap();
    for query in [
        Query::new(OBJECT).order_by("a", Direction::Ascending),
        Query::new(OBJECT).order_by("a", Direction::Descending),
        Query::new(OBJECT).order_by("b", Direction::Descending),
        Query::new(OBJECT)
            .order_by("n", Direction::Descending)
            .order_by("b", Direction::Descending),
    ] {
        pages_are_the_whole(&storage, query).await;
    }
}

/// An offset counts from the position.
pub async fn an_offset_behind_a_position(h: Harness) {
    let (storage, _) = numbers(&h, &[(1, 5), (2, 4), (3, 3), (4, 2), (5, 1)]).await;
    let schema = storage.registry().collection(OBJECT).unwrap();
    let query = Query::new(OBJECT).order_by("n", Direction::Ascending);
    let position = query.position_of(schema, &record![4, 2]);
    let next = query.after(position).offset(1).limit(1);
    assert_eq!(ids(&storage.find(next).await.unwrap()), [2]);
}

pub async fn fields_left_out_of_a_page(h: Harness) {
    let (storage, _) = numbers(&h, &[(1, 5), (2, 4), (3, 3)]).await;
    let schema = storage.registry().collection(OBJECT).unwrap();
    let query = Query::new(OBJECT).order_by("n", Direction::Ascending);
    let position = query.position_of(schema, &record![3, 3]);
    let next = query.after(position).select(["id"]);
    assert_eq!(storage.find(next).await.unwrap(), [record![2], record![1]]);
}

/// What is there all the time is given exactly once, whatever comes and goes meanwhile.
pub async fn writes_between_pages(h: Harness) {
    let objects: Vec<(i64, i64)> = (0..20).map(|id| (id * 10, id % 4)).collect();
    let (storage, _) = numbers(&h, &objects).await;
    let schema = storage.registry().collection(OBJECT).unwrap();
    let query = Query::new(OBJECT).order_by("n", Direction::Ascending).limit(3);
    let mut seen = Vec::new();
    let mut next = query.clone();
    for page in 0.. {
        let found = storage.find(next).await.unwrap();
        let Some(last) = found.last() else { break };
        next = query.clone().after(query.position_of(schema, last));
        seen.extend(ids(&found));
        // Also the object at which the page ended goes, and others come before and behind it.
        let gone = ids(&found)[found.len() - 1];
        let batch = Batch::new()
            .delete(OBJECT, Filter::key(gone))
            .create(OBJECT, vec![record![1000 + page * 2, -1], record![1001 + page * 2, 99]]);
        storage.execute(batch).await.unwrap();
        assert!(page < 100, "the pages never end");
        if page > 8 {
            break;
        }
    }
    let old: Vec<i64> = seen.iter().copied().filter(|id| *id < 1000).collect();
    let mut unique = old.clone();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!(unique.len(), old.len(), "given twice: {old:?}");
    assert_eq!(unique, (0..20).map(|id| id * 10).collect::<Vec<_>>());
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Numbered {
    id: i64,
    n: Option<i64>,
}

impl Object for Numbered {
    const COLLECTION: &'static str = OBJECT;
}

pub async fn pages_of_structs(h: Harness) {
    let (storage, _) = numbers(&h, &[(1, Some(5)), (2, None), (3, Some(3)), (4, None)]).await;
    let objects = storage.collection::<Numbered>().unwrap();
    let select = || objects.query().order_by("n", Direction::Descending);
    let (page, position) = select().page(2).await.unwrap();
    assert_eq!(page, [Numbered { id: 1, n: Some(5) }, Numbered { id: 3, n: Some(3) }]);
    let (page, position) = select().after(position.expect("a further page")).page(2).await.unwrap();
    assert_eq!(page, [Numbered { id: 2, n: None }, Numbered { id: 4, n: None }]);
    if let Some(position) = position {
        let (page, position) = select().after(position).page(2).await.unwrap();
        assert_eq!((page, position), (vec![], None));
    }
}

/// Values of the position, not the object, say where to go on: the object may be gone.
pub async fn a_position_that_no_object_has(h: Harness) {
    let (storage, _) = numbers(&h, &[(1, 10), (2, 20), (3, 30)]).await;
    let query = Query::new(OBJECT).order_by("n", Direction::Ascending);
    let position = storex_core::Position { values: vec![Value::from(15), Value::from(77)] };
    assert_eq!(ids(&storage.find(query.after(position)).await.unwrap()), [2, 3]);
}
