//! Values arrive as they were written.

use serde_json::json;
use storex_core::{Query, Record, Step, Timestamp, Value};

use crate::support::{Device, assert_in_step, dump, shared_log};

#[tokio::test(start_paused = true)]
async fn l19_falsy_values_arrive() {
    let log = shared_log();
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    let full = json!({"id": "x", "text": "t", "int": 7, "flag": true, "float": 1.5, "bytes": "AQ==",
        "json": {"a": 1}, "at": 5, "date": "2026-01-01T00:00:00Z"});
    a.create("sample", full).await;
    a.sync(&log).await;
    b.sync(&log).await;
    let falsy = json!({"text": "", "int": 0, "flag": false, "float": 0.0, "bytes": "", "json": 0, "at": 0,
        "date": null});
    a.update("sample", json!({}), falsy).await;
    a.create(
        "sample",
        json!({"id": "y", "text": "", "int": 0, "flag": false, "float": 0.0, "bytes": "",
        "json": [], "at": 0, "date": null}),
    )
    .await;
    a.sync(&log).await;
    b.sync(&log).await;
    let arrived = b.get("sample", "x").await.unwrap();
    assert_eq!(arrived["text"], "");
    assert_eq!(arrived["int"], 0);
    assert_eq!(arrived["flag"], false);
    assert_eq!(arrived["bytes"], "");
    assert!(arrived["date"].is_null());
    assert_in_step(&[&a, &b]).await;
}

/// Every kind at its edges, and texts that look like something else; through the log and by initial sync.
#[tokio::test(start_paused = true)]
async fn l20_every_value_keeps_its_type() {
    let log = shared_log();
    let (a, b, c) = (Device::new(1).await, Device::new(2).await, Device::new(3).await);
    let texts =
        ["2026-01-01T00:00:00.000Z", "null", "0", "NaN", "", "\u{0}\u{10ffff}👩‍👩‍👧‍👦\u{202e}", "$inc"];
    let ints = [0, -1, i64::MIN, i64::MAX, (1 << 53) + 1];
    let floats = [0.1, -0.0, f64::MAX, f64::MIN_POSITIVE, 5e-324, f64::INFINITY, f64::NEG_INFINITY];
    let jsons = [
        json!({"at": "2026-01-01T00:00:00Z", "n": 9_007_199_254_740_993_i64, "$inc": {"x": [1.5, null]}}),
        json!("a text"),
        json!(u64::MAX),
        json!([]),
    ];
    let moments = [i64::MIN, -1, 0, i64::MAX];
    let mut records = Vec::new();
    for n in 0..7 {
        records.push(Record::new(vec![
            Value::from(format!("key {n}")),
            Value::from(texts[n]),
            Value::Json(jsons[n % jsons.len()].clone()),
            Value::Bytes((0..=255).cycle().take(n * 300).collect()),
            Value::from(floats[n]),
            Value::Int(ints[n % ints.len()]),
            Value::Bool(n % 2 == 0),
            Value::Timestamp(Timestamp(moments[n % moments.len()])),
            Value::Timestamp(Timestamp(moments[n % moments.len()])),
        ]));
    }
    let schema = a.storage.registry().find("sample").unwrap().clone();
    let order: Vec<&str> = schema.fields().iter().map(|field| &*field.name).collect();
    let given = ["id", "text", "json", "bytes", "float", "int", "flag", "at", "date"];
    let records: Vec<Record> = records
        .into_iter()
        .map(|record| {
            let place = |name: &&str| given.iter().position(|known| known == name).unwrap();
            Record::new(order.iter().map(|name| record.get(place(name)).clone()).collect())
        })
        .collect();
    let batch = [Step::create("sample", records.clone())].into_iter().collect();
    a.storage.execute(batch).await.unwrap();
    a.sync(&log).await;
    b.sync(&log).await;
    crate::support::pump(&a, &c).await;
    assert_in_step(&[&a, &b, &c]).await;
    let mut arrived = b.storage.find(Query::new("sample")).await.unwrap();
    arrived.sort_by_key(|record| schema.key_of(record));
    assert_eq!(arrived, records);
    assert_eq!(dump(&c).await["sample"], records);
}

/// Keys of several fields, with texts and numbers, and as parts of updates and deletes.
#[tokio::test(start_paused = true)]
async fn l20_compound_keys_keep_their_parts() {
    let log = shared_log();
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    for (owner, name) in [(1, "2"), (12, ""), (1, "2026-01-01T00:00:00Z"), (i64::MIN, "👩")] {
        a.create("tag", json!({"owner": owner, "name": name, "colour": "red"})).await;
    }
    a.sync(&log).await;
    b.sync(&log).await;
    assert_in_step(&[&a, &b]).await;
    b.update("tag", json!({"owner": 1, "name": "2"}), json!({"colour": null})).await;
    b.delete("tag", json!({"owner": 12})).await;
    b.sync(&log).await;
    a.sync(&log).await;
    assert_in_step(&[&a, &b]).await;
    assert_eq!(dump(&a).await["tag"].len(), 3);
}
