//! Adopted stores answer as memory does with the same objects.

use std::sync::Arc;

use serde_json::{Value as Json, json};
use storex_core::{
    Direction, Filter, Key, Query, Record, Registry, Storage, Timestamp, Value, WebRuntime, field,
};
use storex_indexeddb::{IndexedDbBackend, adopt};
use storex_memory::MemoryBackend;
use wasm_bindgen_test::wasm_bindgen_test;

use crate::by_hand::js;
use crate::support;

/// More than two pages, with ties that are longer than one.
const ROWS: usize = 1300;
const QUERIES: usize = 300;

const STORES: &str = r#"
await make(1, db => {
    for (const [store, options] of [['inline', { keyPath: 'id' }], ['beside', {}], ['pair', { keyPath: ['name', 'id'] }]]) {
        const objects = db.createObjectStore(store, options);
        objects.createIndex('by n', 'n');
        objects.createIndex('by name', 'name');
        objects.createIndex('[team+name]', ['team', 'name']);
        objects.createIndex('name, n', ['name', 'n']);
        objects.createIndex('at', 'at');
        objects.createIndex('x', 'x');
        objects.createIndex('mixed', 'mixed');
        objects.createIndex('flag', ['flag', 'n']);
        objects.createIndex('code', 'code', { unique: true });
        objects.createIndex('words', 'words', { multiEntry: true });
    }
});
await change(['inline', 'beside', 'pair'], (...stores) => {
    for (const row of JSON.parse(input)) {
        if (row.at !== undefined) row.at = new Date(row.at);
        const { id, ...rest } = row;
        stores[0].put(row);
        stores[1].put(rest, id);
        stores[2].put(row);
    }
});
"#;

/// The same numbers each time.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % end
    }

    /// Texts on both sides of the places where UTF-16 and code points are ordered differently.
    fn text(&mut self) -> String {
        let parts = ["a", "b", "\u{d7ff}", "\u{e000}", "\u{ffff}", "\u{10000}", "\u{1f600}"];
        (0..self.below(4)).map(|_| parts[self.below(parts.len())]).collect()
    }

    fn row(&mut self, at: usize) -> Json {
        let mut row = json!({
            "id": format!("{}{at:04}", self.text()),
            "name": self.text(),
            "team": self.below(3),
            "code": at,
            "flag": self.below(2) == 0,
            "mixed": if self.below(2) == 0 { json!(self.below(5)) } else { json!(self.text()) },
            "words": vec!["a"; self.below(3)],
        });
        // Missing in some: not in the index then.
        if self.below(5) > 0 {
            row["n"] = json!(self.below(6).saturating_sub(3));
        }
        if self.below(5) > 0 {
            row["at"] = json!(self.below(20) * 1000);
        }
        #[allow(clippy::cast_precision_loss)]
        if self.below(5) > 0 {
            row["x"] = json!(self.below(9) as f64 / 2.0 - 2.0);
        }
        row
    }

    fn value(&mut self, name: &str) -> Value {
        match name {
            "team" | "n" => Value::from(i64::try_from(self.below(4)).unwrap()),
            "code" => Value::from(i64::try_from(self.below(ROWS + 10)).unwrap()),
            #[allow(clippy::cast_precision_loss)]
            "x" => Value::from(self.below(9) as f64 / 2.0 - 2.0),
            "at" => Value::Timestamp(Timestamp(i64::try_from(self.below(20)).unwrap() * 1000)),
            "mixed" if self.below(2) == 0 => Value::from(i64::try_from(self.below(5)).unwrap()),
            "flag" => Value::Bool(self.below(2) == 0),
            _ => Value::from(self.text()),
        }
    }

    fn filter(&mut self, key: &str) -> Filter {
        let names = ["n", "name", "team", "at", "x", "flag", "code", "mixed", key];
        let name = names[self.below(names.len())];
        let it = field(name);
        match self.below(11) {
            0 | 1 => it.eq(self.value(name)),
            2 => it.lt(self.value(name)),
            3 => it.lte(self.value(name)),
            4 => it.gt(self.value(name)),
            5 => it.gte(self.value(name)),
            6 => it.is_in([self.value(name), self.value(name), self.value(name)]),
            7 => it.is_null(),
            8 => it.is_not_null(),
            9 if name == "name" || name == "mixed" || name == key => it.starts_with(self.text()),
            _ => it.ne(self.value(name)),
        }
    }

    fn query(&mut self, collection: &str, key: &str) -> Query {
        let mut query = Query::new(collection);
        for _ in 0..self.below(4) {
            let filter = self.filter(key);
            query =
                query.filter(if self.below(8) == 0 { filter.or(self.filter(key)) } else { filter });
        }
        let names = ["n", "name", "team", "at", "x", "code", "mixed", key];
        for _ in 0..self.below(3) {
            let direction =
                if self.below(2) == 0 { Direction::Ascending } else { Direction::Descending };
            query = query.order_by(names[self.below(names.len())], direction);
        }
        if self.below(3) == 0 {
            query = query.limit(self.below(40) as u64);
        }
        if self.below(4) == 0 {
            query = query.offset(self.below(10) as u64);
        }
        query
    }
}

async fn storages(name: &str, rows: &[Json]) -> (Storage, Storage) {
    js(name, STORES, &serde_json::to_string(rows).unwrap()).await;
    let adoption = adopt(name).await.unwrap();
    assert!(adoption.left_out.is_empty(), "{adoption:?}");
    let registry = Registry::builder().collections(adoption.definitions).build().unwrap();
    let runtime = Arc::new(WebRuntime);
    let adopted = IndexedDbBackend::open(name).unwrap();
    let adopted =
        Storage::builder(adopted, registry.clone(), runtime.clone()).open().await.unwrap();
    let memory = Storage::builder(MemoryBackend::new(), registry, runtime).open().await.unwrap();
    for store in ["inline", "beside", "pair"] {
        let rows: Vec<Json> = rows.iter().map(|row| renamed(row, store)).collect();
        memory.dynamic(store).unwrap().create_many(&rows).await.unwrap();
    }
    (adopted, memory)
}

/// The key that stands beside the objects is a field `key`.
fn renamed(row: &Json, store: &str) -> Json {
    let mut row = row.clone();
    if store == "beside" {
        row["key"] = row.as_object_mut().unwrap().remove("id").unwrap();
    }
    row
}

async fn find(storage: &Storage, query: &Query) -> Vec<Record> {
    let mut found = storage.find(query.clone()).await.unwrap();
    if !query.is_ordered() {
        let collection = storage.registry().collection(&query.collection).unwrap();
        found.sort_by_cached_key(|record| collection.key_of(record));
    }
    found
}

#[wasm_bindgen_test]
async fn adopted_stores_answer_as_memory_does() {
    let name = support::fresh_name();
    let mut random = Random(7);
    let rows: Vec<Json> = (0..ROWS).map(|at| random.row(at)).collect();
    let (adopted, memory) = storages(&name, &rows).await;
    for n in 0..QUERIES {
        let (store, key) = [("inline", "id"), ("beside", "key"), ("pair", "id")][n % 3];
        let query = random.query(store, key);
        let wanted = find(&memory, &query).await;
        assert_eq!(find(&adopted, &query).await, wanted, "{query:?}");
        let count = adopted.count(query.clone()).await.unwrap();
        assert_eq!(count, memory.count(query.clone()).await.unwrap(), "{query:?}");
    }
    adopted.close().await.unwrap();
}

#[wasm_bindgen_test]
async fn pages_follow_each_other_by_key_and_by_index() {
    let name = support::fresh_name();
    let mut random = Random(11);
    let rows: Vec<Json> = (0..ROWS).map(|at| random.row(at)).collect();
    let (adopted, memory) = storages(&name, &rows).await;
    let directions = [Direction::Ascending, Direction::Descending];
    for (store, key) in [("inline", "id"), ("beside", "key"), ("pair", "id")] {
        for direction in directions {
            for query in [
                Query::new(store).order_by(key, direction),
                Query::new(store).filter(field("name").gte("")).order_by("name", direction),
                Query::new(store)
                    .filter(field("n").gte(0))
                    .order_by("n", direction)
                    .order_by("name", direction),
                Query::new(store)
                    .filter(field("team").eq(1))
                    .filter(field("name").gt("\u{d7ff}"))
                    .order_by("name", direction),
            ] {
                page_through(&adopted, &memory, query.limit(97)).await;
            }
        }
    }
    adopted.close().await.unwrap();
}

async fn page_through(adopted: &Storage, memory: &Storage, mut query: Query) {
    let collection = Arc::clone(memory.registry().collection(&query.collection).unwrap());
    loop {
        let wanted = memory.find(query.clone()).await.unwrap();
        assert_eq!(adopted.find(query.clone()).await.unwrap(), wanted, "{query:?}");
        let Some(last) = wanted.last() else { return };
        query = query.clone().after(query.position_of(&collection, last));
    }
}

#[wasm_bindgen_test]
async fn objects_are_found_by_many_keys() {
    let name = support::fresh_name();
    let mut random = Random(13);
    let rows: Vec<Json> = (0..200).map(|at| random.row(at)).collect();
    let (adopted, memory) = storages(&name, &rows).await;
    for most in [9, 12, 40, 200] {
        let keys = (0..most).map(|at| {
            // Half of them are there.
            let text = if at % 2 == 0 {
                rows[random.below(200)]["id"].as_str().unwrap().to_owned()
            } else {
                random.text()
            };
            Key::single(Value::from(text))
        });
        let mut keys: Vec<Key> = keys.collect();
        keys.sort();
        keys.dedup();
        let query = Query::new("inline").filter(Filter::Keys(keys));
        assert_eq!(find(&adopted, &query).await, find(&memory, &query).await);
    }
    adopted.close().await.unwrap();
}

#[wasm_bindgen_test]
async fn a_key_beyond_the_others_in_the_browsers_order_is_found() {
    let name = support::fresh_name();
    let mut row = Random(17).row(0);
    // In code points it lies before U+10000, in UTF-16 behind.
    row["id"] = json!("\u{ffff}");
    row["x"] = json!(0.5);
    let (adopted, memory) = storages(&name, &[row]).await;
    let others = (0..9).map(|at| format!("a{at}")).chain(["\u{10000}".to_owned()]);
    let keys = others.chain(["\u{ffff}".to_owned()]).map(|key| Key::single(Value::from(key)));
    let query = Query::new("inline").filter(Filter::Keys(keys.collect()));
    let found = find(&adopted, &query).await;
    assert_eq!(found.len(), 1);
    assert_eq!(found, find(&memory, &query).await);
    adopted.close().await.unwrap();
}
