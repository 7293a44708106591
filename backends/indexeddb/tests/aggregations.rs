//! Aggregations: the same as added up by hand, in one transaction, with no more read than is needed.
#![cfg(target_family = "wasm")]
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod support;

use storex_core::{
    Aggregate, Aggregation, Backend, Batch, Definition, Direction, FieldType, Filter, KeyFormat,
    Query, Record, Registry, RelationDefinition, Value, field, related,
};
use storex_indexeddb::IndexedDbBackend;
use support::shim::Shim;
use support::touched::{Reads, Touched};
use support::{fresh_name, opened, record, registry};
use wasm_bindgen_test::wasm_bindgen_test;

const MANY: i64 = 3_000;

fn definitions() -> [Definition; 2] {
    let team = Definition::new("team").key_format(KeyFormat::Int).field("name", FieldType::String);
    let note = Definition::new("note")
        .key_format(KeyFormat::Int)
        .optional("stars", FieldType::Int)
        .optional("title", FieldType::String)
        .optional("loose", FieldType::Int)
        .relation(RelationDefinition::child_of("team"))
        .index(["stars"])
        .index(["title"]);
    [team, note]
}

fn note(n: i64) -> Record {
    let stars = if n % 3 == 0 { Value::Null } else { (n % 1_000).into() };
    record([n.into(), stars, format!("title {}", n % 50).into(), n.into(), (n % 4).into()])
}

async fn filled(name: &str) -> (IndexedDbBackend, std::sync::Arc<Registry>) {
    let backend = opened(name, definitions()).await;
    let teams = (0..4).map(|n| record([n.into(), format!("team {n}").into()])).collect();
    let batch = Batch::new().create("team", teams).create("note", (0..MANY).map(note).collect());
    backend.execute(batch).await.unwrap();
    (backend, registry(definitions()))
}

fn of(filter: Filter, values: impl IntoIterator<Item = Aggregate>) -> Aggregation {
    let aggregation = Aggregation::new("note").filter(filter);
    values.into_iter().fold(aggregation, Aggregation::value)
}

fn min(name: &str) -> Aggregate {
    Aggregate::Min(name.into())
}

fn max(name: &str) -> Aggregate {
    Aggregate::Max(name.into())
}

#[wasm_bindgen_test]
async fn what_an_index_or_a_count_tells_is_not_read() {
    let name = fresh_name();
    let (backend, registry) = filled(&name).await;
    let touched = Touched::of(&name);
    let count = || Aggregate::Count;
    let stars = |n: i64| note(n).get(1).as_int();
    let below_500 = (0..MANY).filter(|n| stars(*n).is_some_and(|it| it < 500)).count();
    let below_500 = i64::try_from(below_500).unwrap();
    let cases: [(Aggregation, Vec<Value>, Reads); 7] = [
        (of(Filter::All, [count()]), vec![MANY.into()], Reads { objects: 0, requests: 1 }),
        (of(field("stars").eq(1), [count()]), vec![2.into()], Reads { objects: 0, requests: 1 }),
        (of(Filter::All, [min("stars")]), vec![0.into()], Reads { objects: 2, requests: 1 }),
        (of(Filter::All, [max("stars")]), vec![999.into()], Reads { objects: 2, requests: 2 }),
        (
            of(field("stars").lt(500), [min("stars"), max("stars"), count()]),
            vec![0.into(), 499.into(), below_500.into()],
            Reads { objects: 4, requests: 4 },
        ),
        (
            of(Filter::All, [max("id"), min("id")]),
            vec![(MANY - 1).into(), 0.into()],
            Reads { objects: 4, requests: 3 },
        ),
        (
            of(field("stars").gt(5_000), [max("stars")]),
            vec![Value::Null],
            Reads { objects: 0, requests: 1 },
        ),
    ];
    for (aggregation, expected, most) in cases {
        touched.take();
        let found = backend.aggregate(aggregation.clone(), &registry).await.unwrap();
        let reads = touched.take();
        assert_eq!(found, [record(expected)], "{aggregation:?}");
        assert!(
            reads.objects <= most.objects && reads.requests <= most.requests + 1,
            "{aggregation:?} {reads:?}"
        );
    }
}

/// What is asked is asked of every object in memory, too.
#[wasm_bindgen_test]
async fn groups_and_sums_are_those_of_all_objects() {
    let name = fresh_name();
    let (backend, registry) = filled(&name).await;
    let collection = registry.collection("note").unwrap();
    let all: Vec<Record> = (0..MANY).map(note).collect();
    let filters = [
        Filter::All,
        field("stars").gte(10),
        field("title").starts_with("title 1"),
        field("loose").lt(100).or(field("stars").is_null()),
        Filter::Keys((100..200).map(storex_core::Key::single).collect()),
        field("stars").eq(-1),
    ];
    for filter in filters {
        let values = || {
            [
                Aggregate::Count,
                min("title"),
                max("stars"),
                Aggregate::Sum("loose".into()),
                max("loose"),
                min("stars"),
            ]
        };
        let aggregations = [
            of(filter.clone(), values()),
            of(filter.clone(), values()).by(["team"]),
            of(filter.clone(), []).by(["title", "team"]),
            of(filter.clone(), [max("title")]),
            of(filter.clone(), [Aggregate::Count]),
        ];
        for aggregation in aggregations {
            let query = aggregation.query();
            let mut expected = storex_core::Aggregator::new(&aggregation, collection);
            for it in all.iter().filter(|it| filter.matches(collection, it)) {
                expected
                    .add(&record(query.selected(collection).iter().map(|at| it.get(*at).clone())));
            }
            let found = backend.aggregate(aggregation.clone(), &registry).await.unwrap();
            assert_eq!(found, expected.finish().unwrap(), "{aggregation:?}");
        }
    }
}

#[wasm_bindgen_test]
async fn related_objects_are_looked_up_in_the_same_transaction() {
    let name = fresh_name();
    let (backend, registry) = filled(&name).await;
    let begun = Shim::new(
        &name,
        "IDBDatabase",
        "transaction",
        "log.push('begun'); return original(...args);",
    );
    let of_team = of(related("team", field("name").eq("team 3")), [Aggregate::Count, max("loose")]);
    let found = backend.aggregate(of_team, &registry).await.unwrap();
    assert_eq!(found, [record([(MANY / 4).into(), (MANY - 1).into()])]);
    assert_eq!(begun.log().len(), 1, "all is seen as it is at one moment");
}

/// The objects are read page by page, and none of them is kept.
#[wasm_bindgen_test]
async fn pages_are_bounded() {
    let name = fresh_name();
    let (backend, registry) = filled(&name).await;
    let body = "const request = original(...args);
        request.addEventListener('success', () => log.push(String(request.result.length)));
        return request;";
    let pages = Shim::new(&name, "IDBObjectStore", "getAll", body);
    backend.aggregate(of(Filter::All, [Aggregate::Sum("loose".into())]), &registry).await.unwrap();
    let pages: Vec<i64> = pages.log().iter().map(|length| length.parse().unwrap()).collect();
    assert!(
        pages.iter().sum::<i64>() == MANY && pages.iter().all(|length| *length <= 1_000),
        "{pages:?}"
    );
    let query = Query::new("note").order_by("id", Direction::Ascending).limit(1);
    assert_eq!(backend.find(query).await.unwrap().len(), 1, "and the backend goes on");
}
