//! Queries beside the same statement by hand, on the same file, without a sync log: what storex adds to SQLite.

use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};
use storex_core::{
    Aggregate, Aggregation, Definition, FieldType, Object, Registry, Storage, TokioRuntime, field,
};
use storex_sqlite::{Durability, SqliteBackend};

use crate::measure::{Report, seconds, seconds_of};
use crate::workload::Random;

/// Objects of one topic.
const PER_TOPIC: usize = 100;

/// Only so many objects have a text to search in.
const WITH_TEXT: usize = 50_000;

/// An object of some 100 bytes.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Item {
    id: i64,
    topic: i64,
    stars: i64,
    title: String,
}

impl Object for Item {
    const COLLECTION: &'static str = "item";
}

/// An object with a long text.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Page {
    id: i64,
    text: String,
}

impl Object for Page {
    const COLLECTION: &'static str = "page";
}

async fn open(path: &Path) -> Storage {
    let registry = Registry::builder()
        .collection(
            Definition::new("item")
                .field("id", FieldType::Int)
                .primary_key(["id"])
                .field("topic", FieldType::Int)
                .field("stars", FieldType::Int)
                .field("title", FieldType::String)
                .index(["topic"])
                .index(["stars"]),
        )
        .collection(
            Definition::new("page")
                .field("id", FieldType::Int)
                .primary_key(["id"])
                .field("text", FieldType::Text)
                .index(["text"]),
        )
        .build()
        .unwrap();
    let backend = SqliteBackend::builder(path).durability(Durability::Normal).build().unwrap();
    Storage::builder(backend, registry, Arc::new(TokioRuntime)).open().await.unwrap()
}

async fn fill(storage: &Storage, hand: &Connection, count: usize) {
    let mut random = Random(7);
    let numbers: Vec<i64> = (0..i64::try_from(count).unwrap()).collect();
    let topics = count / PER_TOPIC;
    for chunk in numbers.chunks(10_000) {
        let items: Vec<Item> = chunk
            .iter()
            .map(|id| Item {
                id: *id,
                topic: i64::try_from(random.below(topics)).unwrap(),
                stars: i64::try_from(random.below(1_000)).unwrap(),
                title: random.text(60),
            })
            .collect();
        storage.collection::<Item>().unwrap().create_many(&items).await.unwrap();
    }
    hand.execute_batch("CREATE VIRTUAL TABLE by_hand USING fts5(text)").unwrap();
    for chunk in numbers[..count.min(WITH_TEXT)].chunks(1_000) {
        let pages: Vec<Page> = chunk
            .iter()
            .map(|id| {
                // One word of a thousand beside the common ones.
                let text = format!("{} word{}", random.text(200), random.below(1_000));
                Page { id: *id, text }
            })
            .collect();
        storage.collection::<Page>().unwrap().create_many(&pages).await.unwrap();
        hand.execute_batch("BEGIN").unwrap();
        let mut insert =
            hand.prepare_cached("INSERT INTO by_hand(rowid, text) VALUES (?1, ?2)").unwrap();
        pages.iter().for_each(|page| {
            insert.execute(params![page.id, page.text]).unwrap();
        });
        hand.execute_batch("COMMIT").unwrap();
    }
}

/// Queries of one topic, aggregations, and searches for one word, on `count` objects.
pub async fn queries(report: &mut Report, count: usize, rounds: usize) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("queries.db");
    let storage = open(&path).await;
    let hand = Connection::open(&path).unwrap();
    fill(&storage, &hand, count).await;
    for _ in 0..rounds {
        by_index(report, &storage, &hand, count / PER_TOPIC).await;
        sums(report, &storage, &hand, count).await;
        greatest(report, &storage, &hand).await;
        searches(report, &storage, &hand).await;
    }
    storage.close().await.unwrap();
}

async fn by_index(report: &mut Report, storage: &Storage, hand: &Connection, topics: usize) {
    let topics: Vec<i64> =
        (0..topics).step_by(topics.div_ceil(500)).map(|it| i64::try_from(it).unwrap()).collect();
    let mut select =
        hand.prepare_cached("SELECT id, topic, stars, title FROM item WHERE topic = ?1").unwrap();
    let mut read = |topic: i64| -> Vec<Item> {
        let items = select.query_map([topic], |row| {
            Ok(Item { id: row.get(0)?, topic: row.get(1)?, stars: row.get(2)?, title: row.get(3)? })
        });
        items.unwrap().map(Result::unwrap).collect()
    };
    let by_hand = seconds(|| topics.iter().for_each(|topic| assert!(!read(*topic).is_empty())));
    let items = storage.collection::<Item>().unwrap();
    let by_us = seconds_of(async {
        for topic in &topics {
            let found = items.query().filter(field("topic").eq(*topic)).all().await.unwrap();
            assert!(!found.is_empty());
        }
    })
    .await;
    report.turn("query_one_field_of_1e6_vs_hand", topics.len(), by_hand, by_us);
}

async fn sums(report: &mut Report, storage: &Storage, hand: &Connection, count: usize) {
    let mut select = hand
        .prepare_cached(
            "SELECT stars, count(*), sum(topic) FROM item GROUP BY stars ORDER BY stars",
        )
        .unwrap();
    let by_hand = seconds(|| {
        let groups = select.query_map([], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?))
        });
        assert!(groups.unwrap().map(Result::unwrap).count() > 1);
    });
    let asked = Aggregation::new("item")
        .by(["stars"])
        .value(Aggregate::Count)
        .value(Aggregate::Sum("topic".into()));
    let by_us =
        seconds_of(async { assert!(storage.aggregate(asked).await.unwrap().len() > 1) }).await;
    report.turn("aggregate_sum_by_group_vs_hand", count, by_hand, by_us);
}

async fn greatest(report: &mut Report, storage: &Storage, hand: &Connection) {
    const TIMES: usize = 200;
    let mut select = hand.prepare_cached("SELECT max(stars) FROM item").unwrap();
    let by_hand = seconds(|| {
        for _ in 0..TIMES {
            let greatest: i64 = select.query_row([], |row| row.get(0)).unwrap();
            assert!(greatest > 0);
        }
    });
    let asked = Aggregation::new("item").value(Aggregate::Max("stars".into()));
    let by_us = seconds_of(async {
        for _ in 0..TIMES {
            assert_eq!(storage.aggregate(asked.clone()).await.unwrap().len(), 1);
        }
    })
    .await;
    report.turn("aggregate_max_of_index_vs_hand", TIMES, by_hand, by_us);
}

async fn searches(report: &mut Report, storage: &Storage, hand: &Connection) {
    let words: Vec<String> = (0..1_000).step_by(10).map(|n| format!("word{n}")).collect();
    let mut select = hand
        .prepare_cached(
            "SELECT p.id, p.text FROM by_hand JOIN page p ON p.id = by_hand.rowid WHERE by_hand MATCH ?1",
        )
        .unwrap();
    let mut read = |word: &str| -> Vec<Page> {
        let pages = select
            .query_map([word], |row| Ok(Page { id: row.get(0)?, text: row.get(1)? }))
            .unwrap();
        pages.map(Result::unwrap).collect()
    };
    let mut found_by_hand = 0;
    let by_hand = seconds(|| found_by_hand = words.iter().map(|word| read(word).len()).sum());
    let pages = storage.collection::<Page>().unwrap();
    let mut found = 0;
    let by_us = seconds_of(async {
        for word in &words {
            let filter = field("text").search(word.as_str());
            found += pages.query().filter(filter).all().await.unwrap().len();
        }
    })
    .await;
    assert_eq!(found, found_by_hand);
    report.turn("search_one_word_vs_hand", words.len(), by_hand, by_us);
}
