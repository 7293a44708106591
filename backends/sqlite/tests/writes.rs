//! Writes do on SQLite what they do in memory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod support;

use std::sync::Arc;

use storex_core::{
    Affinity, Backend, Batch, Changes, Definition, Direction, Error, FieldType, Filter, Key,
    KeyFormat, OnConflict, Query, Record, Registry, Step, StepOutcome, Timestamp, Value, field,
};
use storex_sqlite::SqliteBackend;
use support::{Pair, key, record};

fn registry() -> Registry {
    Registry::builder()
        .collection(
            Definition::new("thing")
                .field("id", FieldType::String)
                .primary_key(["id"])
                .optional("name", FieldType::String)
                .optional("n", FieldType::Int)
                .optional("x", FieldType::Float)
                .optional("at", FieldType::Timestamp)
                .optional("yes", FieldType::Boolean)
                .optional("data", FieldType::Json)
                .unique(["name"])
                .unique(["n", "x"]),
        )
        .collection(
            Definition::new("only_key")
                .field("a", FieldType::Int)
                .field("b", FieldType::Binary)
                .primary_key(["b", "a"]),
        )
        .collection(
            Definition::new("number").key_format(KeyFormat::Int).optional("v", FieldType::Int),
        )
        .collection(
            Definition::new("loose")
                .field("id", FieldType::Int)
                .primary_key(["id"])
                .optional("v", FieldType::Dynamic(Affinity::Integer)),
        )
        .build()
        .unwrap()
}

fn thing(id: &str, name: &str, n: Option<i64>) -> Record {
    record([id.into(), name.into(), n.into(), Value::Null, Value::Null, Value::Null, Value::Null])
}

async fn filled() -> Pair {
    let pair = Pair::open(registry()).await;
    let things = (0..10)
        .map(|n| thing(&format!("t{n}"), &format!("name {n}"), (n % 2 == 0).then_some(n)))
        .collect();
    pair.execute(Batch::new().create("thing", things)).await.unwrap();
    pair
}

#[tokio::test]
async fn what_stands_in_the_way_of_a_create_is_named() {
    let pair = filled().await;
    let error = pair
        .execute(
            Batch::new()
                .create("thing", vec![thing("new", "new", None), thing("t1", "other", None)]),
        )
        .await
        .unwrap_err();
    assert!(matches!(&error, Error::AlreadyExists { key, .. } if key == "t1"), "{error}");
    let error = pair
        .execute(Batch::new().create("thing", vec![thing("new", "name 3", None)]))
        .await
        .unwrap_err();
    assert!(matches!(&error, Error::UniqueViolation { index, .. } if index == "name"), "{error}");
    // Both stand in the way: the key is named.
    pair.execute(Batch::new().create("thing", vec![thing("t3", "name 3", None)]))
        .await
        .unwrap_err();
    pair.execute(Batch::new().create("thing", vec![thing("t3", "name 4", None)]))
        .await
        .unwrap_err();
    let number = || Batch::new().create("number", vec![record([7.into(), 1.into()])]);
    pair.execute(number()).await.unwrap();
    let error = pair.execute(number()).await.unwrap_err();
    assert!(matches!(&error, Error::AlreadyExists { key, .. } if key == "7"), "{error}");
    let compound =
        || Batch::new().create("only_key", vec![record([7.into(), vec![1u8, 2].into()])]);
    pair.execute(compound()).await.unwrap();
    let error = pair.execute(compound()).await.unwrap_err();
    assert!(matches!(&error, Error::AlreadyExists { key, .. } if key == "0102/7"), "{error}");
}

#[tokio::test]
async fn skip_and_replace_go_by_the_key_alone() {
    let pair = filled().await;
    for (on_conflict, records) in [
        (
            OnConflict::Skip,
            vec![thing("t1", "x", None), thing("u", "y", None), thing("t2", "z", None)],
        ),
        (
            OnConflict::Skip,
            vec![
                thing("t1", "name 1", Some(0)),
                thing("t2", "name 2", Some(2)),
                thing("t3", "name 4", Some(4)),
            ],
        ),
        (OnConflict::Skip, vec![thing("v", "name 1", None)]),
        (
            OnConflict::Replace,
            vec![
                thing("t1", "name 1", Some(77)),
                thing("w", "w", None),
                thing("t2", "two", Some(2)),
            ],
        ),
        (OnConflict::Replace, vec![thing("t1", "name 4", None)]),
        (OnConflict::Replace, vec![thing("t5", "name 5", None), thing("t5", "name 5", None)]),
    ] {
        let _ =
            pair.execute(Batch::new().step(Step::create_or("thing", records, on_conflict))).await;
    }
    let keys = vec![record([1.into(), vec![1u8].into()]), record([1.into(), vec![1u8].into()])];
    for on_conflict in [OnConflict::Skip, OnConflict::Replace] {
        pair.execute(Batch::new().step(Step::create_or("only_key", keys.clone(), on_conflict)))
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn updates_and_deletes_tell_exactly_the_keys_they_touched() {
    let pair = filled().await;
    let keys = ["t9", "zz", "t0", "t3"].map(key).to_vec();
    pair.execute(Batch::new().update(
        "thing",
        Filter::Keys(keys.clone()),
        Changes::new().set("x", 1.5).unset("n"),
    ))
    .await
    .unwrap();
    pair.execute(Batch::new().update("thing", field("n").gte(4), Changes::new().set("yes", true)))
        .await
        .unwrap();
    pair.execute(Batch::new().update(
        "thing",
        field("n").gte(400),
        Changes::new().set("yes", true),
    ))
    .await
    .unwrap();
    pair.execute(Batch::new().update("thing", Filter::All, Changes::new().set("name", "same")))
        .await
        .unwrap_err();
    pair.execute(Batch::new().update(
        "thing",
        Filter::All,
        Changes::new().set("data", Value::Json(serde_json::json!({"a": [1, null]}))),
    ))
    .await
    .unwrap();
    pair.execute(Batch::new().delete("thing", Filter::Keys(keys))).await.unwrap();
    pair.execute(Batch::new().delete("thing", field("n").is_null())).await.unwrap();
    pair.execute(Batch::new().delete("thing", Filter::All)).await.unwrap();
}

#[tokio::test]
async fn increments_are_cores_arithmetic() {
    let pair = filled().await;
    let up = |by: i64| Changes::new().increment("n", by);
    pair.execute(Batch::new().update(
        "thing",
        Filter::Keys(["t4", "t1"].map(key).to_vec()),
        up(i64::MAX - 4),
    ))
    .await
    .unwrap();
    let error = pair.execute(Batch::new().update("thing", Filter::All, up(1))).await.unwrap_err();
    assert!(matches!(error, Error::InvalidValue { .. }), "{error}");
    pair.execute(Batch::new().update(
        "thing",
        field("n").lt(9),
        Changes::new().increment("at", 5).increment("x", 0.5).set("yes", false),
    ))
    .await
    .unwrap();
    let found = pair.same(Query::new("thing").filter(Filter::key("t6"))).await;
    assert_eq!(found[0].get(4), &Value::Timestamp(Timestamp(5)));
    // An adopted column keeps a whole float as an integer.
    pair.execute(
        Batch::new()
            .create("loose", vec![record([1.into(), 1.5.into()]), record([2.into(), "x".into()])]),
    )
    .await
    .unwrap();
    pair.execute(Batch::new().update("loose", Filter::key(1), Changes::new().increment("v", 0.5)))
        .await
        .unwrap();
    pair.execute(Batch::new().update("loose", Filter::key(2), Changes::new().increment("v", 1)))
        .await
        .unwrap_err();
}

#[tokio::test]
async fn a_continuation_sees_what_was_done_and_is_part_of_it() {
    let pair = filled().await;
    let batch = |refuse: bool| {
        Batch::new()
            .find(
                Query::new("thing").filter(field("n").gte(4)).order_by("n", Direction::Descending),
            )
            .then(move |trace| {
                let steps = trace
                    .found(0)
                    .iter()
                    .map(|it| {
                        Step::create_or(
                            "number",
                            vec![record([it.get(2).clone(), 1.into()])],
                            OnConflict::Replace,
                        )
                    })
                    .collect();
                if refuse { Err(Error::Aborted { reason: "no".to_owned() }) } else { Ok(steps) }
            })
            .require(Query::new("number"), 3)
    };
    pair.execute(batch(true)).await.unwrap_err();
    pair.execute(batch(false)).await.unwrap();
    let error = pair
        .execute(batch(false).delete("number", Filter::All).require(Query::new("number"), 1))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Precondition { .. }), "{error}");
}

#[tokio::test]
async fn very_long_and_very_deep_filters() {
    let pair = filled().await;
    let many: Vec<Key> = (0..100_000).map(|n| key(format!("t{n}"))).collect();
    let keys = Filter::Keys(many.clone());
    assert_eq!(pair.sqlite.find(Query::new("thing").filter(keys.clone())).await.unwrap().len(), 10);
    assert_eq!(
        pair.sqlite
            .count(Query::new("thing").filter(keys.clone().and(field("n").gte(4))))
            .await
            .unwrap(),
        3
    );
    assert_eq!(
        pair.sqlite.count(Query::new("thing").filter(keys.clone().negate())).await.unwrap(),
        0
    );
    let compound: Vec<Key> = (0..100_000)
        .map(|n| Key::compound([vec![(n % 256) as u8].into(), Value::Int(n)]))
        .collect();
    pair.execute(Batch::new().create(
        "only_key",
        vec![record([5.into(), vec![5u8].into()]), record([6.into(), vec![5u8].into()])],
    ))
    .await
    .unwrap();
    let filter = Filter::Keys(compound).and(field("a").lt(100));
    assert_eq!(pair.sqlite.count(Query::new("only_key").filter(filter)).await.unwrap(), 1);
    let values = (0..100_000).map(Value::Int);
    assert_eq!(
        pair.sqlite
            .count(Query::new("thing").filter(field("n").is_in(values).negate()))
            .await
            .unwrap(),
        5
    );

    let wide = Filter::Or((0..40_000).map(|n| field("n").eq(n)).collect());
    pair.same_set(Query::new("thing").filter(wide.clone())).await;
    let long = Filter::And((0..5_000).map(|n| field("n").ne(n + 3)).collect());
    pair.same_set(Query::new("thing").filter(long)).await;
    let mut deep = field("n").eq(2);
    for _ in 0..1_501 {
        deep = deep.negate();
    }
    pair.same_set(Query::new("thing").filter(deep.clone())).await;
    pair.same(
        Query::new("thing")
            .filter(deep.clone())
            .order_by("name", Direction::Descending)
            .limit(3)
            .offset(1),
    )
    .await;
    pair.execute(Batch::new().update("thing", deep.clone(), Changes::new().set("yes", true)))
        .await
        .unwrap();
    pair.execute(Batch::new().update("thing", deep.clone(), Changes::new().increment("x", 1.0)))
        .await
        .unwrap();
    pair.execute(Batch::new().delete("thing", deep)).await.unwrap();
    pair.execute(Batch::new().update("thing", wide, Changes::new().set("yes", true)))
        .await
        .unwrap();
    // Everything a number can be.
    pair.same(Query::new("thing").limit(u64::MAX).offset(1)).await;
    pair.same(Query::new("thing").limit(0)).await;
    pair.same(Query::new("thing").offset(u64::MAX)).await;
}

#[tokio::test]
async fn values_come_back_as_they_were() {
    let registry = Registry::builder()
        .collection(
            Definition::new("all")
                .optional("text", FieldType::Text)
                .optional("int", FieldType::Int)
                .optional("float", FieldType::Float)
                .optional("yes", FieldType::Boolean)
                .optional("at", FieldType::DateTime)
                .optional("raw", FieldType::Binary)
                .optional("json", FieldType::Json),
        )
        .build()
        .unwrap();
    let pair = Pair::open(registry).await;
    let json = |text: &str| Value::Json(serde_json::from_str(text).unwrap());
    let rows = [
        [
            "".into(),
            0.into(),
            (-0.0).into(),
            false.into(),
            Value::Timestamp(Timestamp(0)),
            Vec::<u8>::new().into(),
            json("null"),
        ],
        [
            "a\0b".into(),
            i64::MIN.into(),
            f64::MIN_POSITIVE.into(),
            true.into(),
            Value::Timestamp(Timestamp(i64::MIN)),
            vec![0u8, 255].into(),
            json("\"2020-01-01\""),
        ],
        [
            "\u{10ffff}é'\"".into(),
            i64::MAX.into(),
            f64::INFINITY.into(),
            Value::Null,
            Value::Timestamp(Timestamp(i64::MAX)),
            Value::Null,
            json("{\"a\": [1, 1.5, {\"b\": null}]}"),
        ],
        [
            "2020-01-01T00:00:00Z".into(),
            Value::Null,
            (1e300).into(),
            Value::Null,
            Value::Null,
            vec![7u8; 1 << 20].into(),
            json("[]"),
        ],
        [
            "x".repeat(1 << 20).into(),
            Value::Null,
            3.0.into(),
            Value::Null,
            Value::Null,
            Value::Null,
            Value::Null,
        ],
    ];
    let records: Vec<Record> = rows
        .into_iter()
        .enumerate()
        .map(|(n, row)| record(std::iter::once(Value::from(format!("r{n}"))).chain(row)))
        .collect();
    pair.execute(Batch::new().create("all", records)).await.unwrap();
    for (field_name, value) in [
        ("text", "a\0b".into()),
        ("float", f64::INFINITY.into()),
        ("json", json("null")),
        ("raw", vec![0u8, 255].into()),
        ("yes", true.into()),
    ] {
        pair.same_set(Query::new("all").filter(field(field_name).eq(value))).await;
    }
    for name in ["text", "int", "float", "yes", "at", "raw"] {
        pair.same_pages(Query::new("all").order_by(name, Direction::Descending), 2).await;
    }
}

#[tokio::test]
async fn what_was_written_past_storex_and_does_not_fit_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    rusqlite::Connection::open(&path)
        .unwrap()
        .execute_batch("CREATE TABLE t(id TEXT PRIMARY KEY NOT NULL, yes, data, name); INSERT INTO t VALUES ('a', 2, '{}', 'x'), ('b', 1, '{', 'x'), ('c', 1, '1', CAST(x'ff' AS TEXT)), ('d', 0, '[]', 'ok')")
        .unwrap();
    let registry = Registry::builder()
        .collection(
            Definition::new("t")
                .adopted("t")
                .field("id", FieldType::String)
                .primary_key(["id"])
                .optional("yes", FieldType::Boolean)
                .optional("data", FieldType::Json)
                .optional("name", FieldType::String),
        )
        .build()
        .unwrap();
    let backend = SqliteBackend::open(&path).unwrap();
    backend.open(Arc::new(registry)).await.unwrap();
    for (id, name) in [("a", "`yes`"), ("b", "`data`"), ("c", "`name`")] {
        let error = backend.find(Query::new("t").filter(Filter::key(id))).await.unwrap_err();
        assert_eq!(error.kind(), storex_core::ErrorKind::Corrupt);
        assert!(error.to_string().contains(name) && error.to_string().contains("`t`"), "{error}");
    }
    let found = backend.find(Query::new("t").filter(Filter::key("d"))).await.unwrap();
    assert_eq!(found[0].get(1), &Value::Bool(false));
    assert!(matches!(
        backend
            .execute(Batch::new().update("t", Filter::key("d"), Changes::new().set("yes", true)))
            .await
            .unwrap()
            .executed()[0]
            .outcome,
        StepOutcome::Updated { .. }
    ));
}
