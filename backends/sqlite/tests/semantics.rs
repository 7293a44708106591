//! What SQLite gives must be what memory gives.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod support;

use storex_core::{
    Batch, Definition, Direction, FieldType, Filter, KeyFormat, Query, Registry, Value, field,
};
use support::{Pair, key, record};

fn registry() -> Registry {
    Registry::builder()
        .collection(
            Definition::new("thing")
                .optional("name", FieldType::String)
                .optional("n", FieldType::Int)
                .optional("x", FieldType::Float)
                .optional("yes", FieldType::Boolean)
                .optional("raw", FieldType::Binary)
                .optional("at", FieldType::Timestamp)
                .optional("data", FieldType::Json)
                .unique(["name"])
                .index(["n", "x"]),
        )
        .collection(
            Definition::new("pair")
                .field("a", FieldType::Int)
                .field("b", FieldType::String)
                .optional("v", FieldType::Int)
                .primary_key(["a", "b"]),
        )
        .collection(
            Definition::new("number").key_format(KeyFormat::Int).optional("v", FieldType::Int),
        )
        .build()
        .unwrap()
}

fn thing(id: &str, name: Option<&str>, n: Option<i64>, x: Option<f64>) -> storex_core::Record {
    record([
        id.into(),
        name.into(),
        n.into(),
        x.map(Value::from).into(),
        Value::Null,
        Value::Null,
        Value::Null,
        Value::Null,
    ])
}

async fn pair_of_backends() -> Pair {
    let pair = Pair::open(registry()).await;
    let batch = Batch::new()
        .create(
            "thing",
            vec![
                thing("a", Some("one"), Some(1), Some(1.5)),
                thing("b", Some("two"), None, Some(-1.0)),
                thing("c", None, Some(3), None),
                thing("d", None, Some(3), Some(f64::INFINITY)),
                thing("e", Some("Ünï"), Some(i64::MIN), Some(0.0)),
                thing("f", Some(""), Some(i64::MAX), None),
            ],
        )
        .create(
            "pair",
            (0..40)
                .map(|n| {
                    record([
                        Value::Int(n / 7),
                        format!("b{}", n % 7).into(),
                        (n % 3 == 0).then_some(n).into(),
                    ])
                })
                .collect(),
        )
        .create("number", (-5..5).map(|n| record([Value::Int(n), Value::Int(n * n)])).collect());
    pair.execute(batch).await.unwrap();
    pair
}

#[tokio::test]
async fn filters_orders_and_pages_agree() {
    let pair = pair_of_backends().await;
    let values = [Value::Null, Value::Int(1), Value::Int(3), Value::Int(i64::MAX)];
    let mut filters = vec![
        Filter::All,
        Filter::Keys(vec![]),
        Filter::And(vec![]),
        Filter::Or(vec![]),
        field("n").is_in(values.clone()),
    ];
    for value in &values {
        for make in [
            |f: storex_core::FieldRef, v: Value| f.eq(v),
            |f: storex_core::FieldRef, v: Value| f.ne(v),
            |f: storex_core::FieldRef, v: Value| f.lt(v),
            |f: storex_core::FieldRef, v: Value| f.lte(v),
            |f: storex_core::FieldRef, v: Value| f.gt(v),
            |f: storex_core::FieldRef, v: Value| f.gte(v),
        ] {
            let one = make(field("n"), value.clone());
            filters.push(one.clone());
            filters.push(one.clone().negate());
            filters.push(one.clone().or(field("name").eq("two")).negate());
            filters.push(one.and(Filter::Keys(["a", "c", "zz"].map(key).to_vec()).negate()));
        }
    }
    for filter in filters {
        pair.same_set(Query::new("thing").filter(filter.clone())).await;
        for (first, second) in [
            (Direction::Ascending, Direction::Descending),
            (Direction::Descending, Direction::Ascending),
            (Direction::Descending, Direction::Descending),
            (Direction::Ascending, Direction::Ascending),
        ] {
            let query = Query::new("thing")
                .filter(filter.clone())
                .order_by("n", first)
                .order_by("x", second);
            pair.same_pages(query.clone(), 2).await;
            pair.same(query.clone().limit(3).offset(1)).await;
            pair.same(query.select(["x", "id"])).await;
        }
    }
}

#[tokio::test]
async fn compound_keys_agree() {
    let pair = pair_of_backends().await;
    let keys: Vec<_> = (0..12)
        .rev()
        .map(|n| storex_core::Key::compound([Value::Int(n / 3), format!("b{}", n % 3).into()]))
        .collect();
    pair.same(Query::new("pair").filter(Filter::Keys(keys.clone()))).await;
    pair.same(Query::new("pair").filter(Filter::Keys(keys.clone())).limit(5)).await;
    pair.same_set(
        Query::new("pair").filter(Filter::Keys(keys.clone()).and(field("v").is_not_null())),
    )
    .await;
    pair.same_set(Query::new("pair").filter(Filter::Keys(keys[..3].to_vec()).negate())).await;
    pair.same_set(Query::new("pair").filter(Filter::Keys(keys[..3].to_vec()).or(field("a").eq(4))))
        .await;
    pair.same_pages(Query::new("pair"), 7).await;
    pair.same_pages(Query::new("pair").order_by("v", Direction::Descending), 7).await;
    pair.same_pages(Query::new("number").order_by("id", Direction::Descending), 3).await;
}
