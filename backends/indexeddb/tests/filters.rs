//! Filters give the same objects with an index as without, and read little more than those.
#![cfg(target_family = "wasm")]
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod support;

use serde_json::json;
use storex_core::{
    Backend, Batch, Changes, Comparison, Definition, Direction, ElementCondition, FieldType,
    Filter, Key, KeyFormat, OnConflict, Query, Record, RelationDefinition, Step, Value, field,
    related,
};
use storex_indexeddb::IndexedDbBackend;
use support::js::{js, texts};
use support::touched::{Reads, Touched};
use support::{fresh_name, opened, record, registry};
use wasm_bindgen_test::wasm_bindgen_test;

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
        let parts = ["a", "b", "\0", "\u{d7ff}", "\u{e000}", "\u{ffff}", "\u{10000}", "\u{1f600}"];
        (0..self.below(4)).map(|_| parts[self.below(parts.len())]).collect()
    }

    fn words(&mut self) -> String {
        let parts = [
            "fox",
            "Fox",
            "foxes",
            "FOXGLOVE",
            "f",
            "dog",
            "dogs",
            "straße",
            "STRASSE",
            "i̇",
            "\u{10400}x",
            "\u{e000}",
            "c3-po",
            "it's",
            "1",
            "½",
        ];
        let count = self.below(6);
        (0..count)
            .map(|_| parts[self.below(parts.len())])
            .collect::<Vec<_>>()
            .join([" ", ", ", "!"][self.below(3)])
    }

    fn or_null(&mut self, value: impl Into<Value>) -> Value {
        if self.below(6) == 0 { Value::Null } else { value.into() }
    }

    fn record(&mut self, key: Value) -> Record {
        let tags: Vec<_> = (0..self.below(4))
            .map(|_| {
                [json!("a"), json!("b"), json!(1), json!(true), json!(null), json!({"n": 1})]
                    [self.below(6)]
                .clone()
            })
            .collect();
        let (title, body) = (self.text(), self.words());
        let team = i64::try_from(self.below(4)).unwrap();
        record([
            key,
            self.or_null(title),
            self.or_null(body),
            self.or_null(Value::Json(json!(tags))),
            self.or_null(team),
        ])
    }
}

fn definition(name: &str, key: KeyFormat) -> Definition {
    Definition::new(name)
        .key_format(key)
        .optional("title", FieldType::String)
        .optional("body", FieldType::Text)
        .optional("tags", FieldType::Json)
        .optional("team", FieldType::Int)
}

fn with_indices(definition: Definition) -> Definition {
    definition.index(["title"]).index(["team", "title"]).index(["body"]).multi_entry("tags")
}

fn element(op: Comparison, value: impl Into<Value>) -> ElementCondition {
    ElementCondition { member: None, op, value: value.into() }
}

fn filters(keys: &[Value]) -> Vec<Filter> {
    let mut filters = Vec::new();
    for text in [
        "",
        "a",
        "ab",
        "a\0",
        "\0",
        "\u{d7ff}",
        "\u{e000}",
        "\u{ffff}",
        "\u{10000}a",
        "\u{1f600}",
        "zz",
    ] {
        let begins = || field("title").starts_with(text);
        filters.push(begins());
        filters.push(begins().negate());
        filters.push(begins().and(field("team").eq(1)));
        filters.push(begins().and(field("team").is_in([0, 2, 9])));
        filters.push(begins().and(field("title").gt("a")));
        filters.push(begins().and(field("title").is_in(["a", "ab", "\u{e000}"])));
        filters.push(begins().and(field("id").starts_with(text).or(field("team").is_null())));
    }
    for words in [
        "fox",
        "FOX",
        "fox*",
        "f*",
        "foxes dog",
        "fox dog",
        "strasse",
        "straße dog*",
        "stras*",
        "po c3",
        "c3-p*",
        "i̇",
        "\u{10400}*",
        "\u{10428}x",
        "½",
        "1",
        "nothing",
        "noth*",
        "fox fox",
        "fox* f*",
        "dog fo*",
    ] {
        let search = || field("body").search(words);
        filters.push(search());
        filters.push(search().negate());
        filters.push(search().and(field("team").eq(2)));
        filters.push(search().and(field("team").gt(1)));
        filters.push(search().and(field("tags").contains("a")));
        filters.push(search().or(field("team").eq(1)));
    }
    let conditions = [
        vec![element(Comparison::Eq, "a")],
        vec![element(Comparison::Eq, true)],
        vec![element(Comparison::Eq, Value::Null)],
        vec![element(Comparison::Ne, "a")],
        vec![element(Comparison::Eq, 1), element(Comparison::Lt, 2)],
        vec![element(Comparison::Eq, 1), element(Comparison::Lt, 1)],
        vec![element(Comparison::Eq, "a"), element(Comparison::Eq, "b")],
        vec![ElementCondition { member: Some("n".into()), op: Comparison::Eq, value: 1.into() }],
        vec![],
    ];
    filters
        .extend(conditions.map(|conditions| Filter::Element { field: "tags".into(), conditions }));
    filters.push(field("tags").contains("a").and(field("tags").contains(1)));
    for name in ["title", "body", "team", "tags"] {
        filters.push(field(name).is_not_null());
        filters.push(field(name).is_null());
        filters.push(field(name).is_not_null().and(field("team").lte(1)));
        filters.push(field(name).is_not_null().and(field("team").is_in([Value::Null, 1.into()])));
    }
    let some: Vec<Value> = keys.iter().step_by(3).chain(&keys[..2]).cloned().collect();
    let as_keys = some.iter().map(|it| Key::single(it.clone())).collect::<Vec<_>>();
    filters.push(field("id").is_in(some.clone()));
    filters.push(field("id").is_in(some).and(field("team").gte(1)));
    filters.push(Filter::Keys(as_keys.clone()).and(field("team").gte(1)));
    filters.push(Filter::Keys(as_keys).and(field("body").search("fox*")));
    filters.push(field("team").is_in(0..100));
    filters
}

/// What two collections give for a query: the same, as often as it is asked and in pages.
async fn same(
    backend: &IndexedDbBackend,
    filter: &Filter,
    order: &[(&str, Direction)],
    expected: &[&Record],
) {
    let query = |name: &str| {
        let query = Query::new(name).filter(filter.clone());
        order.iter().fold(query, |query, (field, direction)| query.order_by(*field, *direction))
    };
    let registry = registry([definition("plain", KeyFormat::Int)]);
    let collection = registry.collection("plain").unwrap();
    let all = backend.find(query("plain")).await.unwrap();
    let mut sorted: Vec<&Record> = all.iter().collect();
    sorted.sort_by(|a, b| a.get(0).compare(b.get(0)));
    assert_eq!(sorted, expected, "{filter:?}");
    let indexed = backend.find(query("indexed")).await.unwrap();
    if order.is_empty() {
        let mut indexed: Vec<&Record> = indexed.iter().collect();
        indexed.sort_by(|a, b| a.get(0).compare(b.get(0)));
        assert_eq!(indexed, sorted, "{filter:?}");
    } else {
        assert_eq!(indexed, all, "{filter:?} {order:?}");
        let mut paged = Vec::new();
        let mut page = query("indexed").limit(7);
        loop {
            let found = backend.find(page.clone()).await.unwrap();
            let Some(last) = found.last() else { break };
            let position = page.position_of(collection, last);
            page = page.after(position);
            assert_eq!(
                backend.count(page.clone()).await.unwrap(),
                (all.len() - paged.len() - found.len()).min(7) as u64
            );
            paged.extend(found);
        }
        assert_eq!(paged, all, "{filter:?} {order:?}, in pages");
    }
    assert_eq!(backend.count(query("indexed")).await.unwrap(), all.len() as u64, "{filter:?}");
}

async fn as_without_an_index(format: KeyFormat) {
    let definitions = [definition("plain", format), with_indices(definition("indexed", format))];
    let backend = opened(&fresh_name(), definitions.clone()).await;
    let random = &mut Random(7);
    let keys: Vec<Value> = match format {
        KeyFormat::Int => (0..60).map(|n| Value::from(n - 30)).collect(),
        _ => (0..60).map(|n| Value::from(format!("{}{n}", random.text()))).collect(),
    };
    let records: Vec<Record> = keys.iter().map(|key| random.record(key.clone())).collect();
    for name in ["plain", "indexed"] {
        backend.execute(Batch::new().create(name, records.clone())).await.unwrap();
    }
    let mut ordered: Vec<&Record> = records.iter().collect();
    ordered.sort_by(|a, b| a.get(0).compare(b.get(0)));
    let registry = registry(definitions);
    let collection = registry.collection("indexed").unwrap();
    let (up, down) = (Direction::Ascending, Direction::Descending);
    for (at, filter) in filters(&keys).iter().enumerate() {
        let mut checked = filter.clone();
        if checked.check(collection, &registry).is_err() {
            // A key of integers begins with no text.
            continue;
        }
        let expected: Vec<&Record> =
            ordered.iter().filter(|it| checked.matches(collection, it)).copied().collect();
        same(&backend, &checked, &[], &expected).await;
        let orders: [&[(&str, Direction)]; 4] =
            [&[("id", up)], &[("id", down)], &[("title", down)], &[("team", up), ("title", up)]];
        same(&backend, &checked, orders[at % 4], &expected).await;
    }
}

#[wasm_bindgen_test]
async fn filters_give_what_they_give_without_an_index_where_keys_are_integers() {
    as_without_an_index(KeyFormat::Int).await;
}

#[wasm_bindgen_test]
async fn filters_give_what_they_give_without_an_index_where_keys_are_texts() {
    as_without_an_index(KeyFormat::Text).await;
}

/// Objects of which few match.
const MANY: i64 = 3_000;

fn numbered(n: i64) -> Record {
    let body =
        format!("All have the word common; word{n} stands in one, and team{} in some.", n % 100);
    record([
        n.into(),
        format!("title {n:05}").into(),
        body.into(),
        Value::Json(json!([n % 100, "all"])),
        (n % 100).into(),
    ])
}

async fn filled(name: &str) -> IndexedDbBackend {
    let backend = opened(name, [with_indices(definition("note", KeyFormat::Int))]).await;
    backend.execute(Batch::new().create("note", (0..MANY).map(numbered).collect())).await.unwrap();
    backend
}

/// How many objects a filter gives, and how much is read for them.
async fn read(backend: &IndexedDbBackend, touched: &Touched, query: Query) -> (usize, Reads) {
    touched.take();
    let found = backend.find(query).await.unwrap().len();
    (found, touched.take())
}

#[wasm_bindgen_test]
async fn a_filter_with_an_index_reads_what_it_gives() {
    let name = fresh_name();
    let backend = filled(&name).await;
    let touched = Touched::of(&name);
    let exact = [
        (field("title").starts_with("title 0012"), 10, 1),
        (field("team").eq(7).and(field("title").starts_with("title 001")), 1, 1),
        (field("body").search("word77"), 1, 1),
        (field("body").search("team77"), 30, 1),
        (field("body").search("common WORD1234"), 1, 1),
        (field("body").search("nowhere common"), 0, 1),
        // The keys of the objects first, then each object once.
        (field("body").search("word123*"), 11, 12),
        (field("body").search("team7*"), 330, 331),
        (
            Filter::Element { field: "tags".into(), conditions: vec![element(Comparison::Eq, 7)] },
            30,
            1,
        ),
        (field("id").is_in((0..MANY).step_by(30)), 100, 100),
        (Filter::Keys((0..50).map(Key::single).collect()).and(field("team").lt(10)), 10, 50),
        (field("team").is_in([1, 2, 3]), 90, 3),
    ];
    for (filter, expected, requests) in exact {
        let query = Query::new("note").filter(filter.clone());
        let (found, reads) = read(&backend, &touched, query.clone()).await;
        assert_eq!(found, expected, "{filter:?}");
        assert!(
            reads.objects <= found.max(reads.requests) && reads.requests <= requests,
            "{filter:?} {reads:?}"
        );
        assert_eq!(backend.count(query).await.unwrap(), expected as u64, "{filter:?}");
    }
    // Nothing but the index is counted.
    for (words, expected) in
        [("common", MANY.unsigned_abs()), ("comm*", MANY.unsigned_abs()), ("team77", 30)]
    {
        touched.take();
        let query = Query::new("note").filter(field("body").search(words));
        assert_eq!(backend.count(query).await.unwrap(), expected);
        assert_eq!(touched.take(), Reads { objects: 0, requests: 1 }, "{words}");
    }
}

#[wasm_bindgen_test]
async fn a_page_of_a_filter_reads_little_more_than_itself_wherever_it_is() {
    let name = fresh_name();
    let backend = filled(&name).await;
    let touched = Touched::of(&name);
    let registry = registry([definition("note", KeyFormat::Int)]);
    let collection = registry.collection("note").unwrap();
    let filters = [
        (field("title").starts_with("title"), "title"),
        (field("body").search("common"), "id"),
        (field("body").search("comm*"), "id"),
        (field("tags").contains("all"), "id"),
        (field("id").is_in(0..MANY), "id"),
    ];
    for (filter, order) in filters {
        for (direction, first) in [(Direction::Ascending, 2_000), (Direction::Descending, 1_998)] {
            let page =
                Query::new("note").filter(filter.clone()).order_by(order, direction).limit(10);
            let position = page.position_of(collection, &numbered(1_999));
            for page in [page.clone(), page.after(position)] {
                touched.take();
                let found = backend.find(page.clone()).await.unwrap();
                let reads = touched.take();
                assert_eq!(found.len(), 10, "{filter:?}");
                assert!(
                    reads.objects <= 24 && reads.requests <= 24,
                    "{filter:?} {direction:?} {reads:?}"
                );
                if page.after.is_some() {
                    assert_eq!(found[0], numbered(first), "{filter:?} {direction:?}");
                }
            }
        }
    }
}

/// Where objects have several words that begin so, all objects are fewer than the entries.
#[wasm_bindgen_test]
async fn a_beginning_that_most_words_have_is_not_looked_up() {
    let name = fresh_name();
    let backend = opened(&name, [with_indices(definition("note", KeyFormat::Int))]).await;
    let note = |n: i64| {
        let mut note = numbered(n);
        note.set(
            2,
            format!(
                "all {} almost {}",
                ["above", "under"][n as usize % 2],
                ["at", "on"][n as usize % 3 / 2]
            )
            .into(),
        );
        note
    };
    backend.execute(Batch::new().create("note", (0..MANY).map(note).collect())).await.unwrap();
    let touched = Touched::of(&name);
    for (words, expected) in [("a*", 3_000), ("a* on", 1_000), ("a* at under", 1_000)] {
        let search = || Query::new("note").filter(field("body").search(words));
        let (found, reads) = read(&backend, &touched, search()).await;
        assert_eq!(found, expected, "{words}");
        assert!(reads.objects <= 3_000 && reads.requests <= 8, "{words} {reads:?}");
        assert_eq!(backend.count(search()).await.unwrap(), expected as u64, "{words}");
        let (found, reads) = read(&backend, &touched, search().limit(10)).await;
        assert_eq!(found, 10, "{words}");
        assert!(reads.objects <= 70, "{words} {reads:?}");
    }
    for direction in [Direction::Ascending, Direction::Descending] {
        let mut page = Query::new("note")
            .filter(field("body").search("a*"))
            .order_by("id", direction)
            .limit(700);
        let registry = registry([definition("note", KeyFormat::Int)]);
        let collection = registry.collection("note").unwrap();
        let mut seen = Vec::new();
        loop {
            let found = backend.find(page.clone()).await.unwrap();
            let Some(last) = found.last() else { break };
            let position = page.position_of(collection, last);
            page = page.after(position);
            seen.extend(found.iter().map(|it| it.get(0).as_int().unwrap()));
        }
        let mut expected: Vec<i64> = (0..MANY).collect();
        if direction == Direction::Descending {
            expected.reverse();
        }
        assert_eq!(seen, expected);
    }
}

/// Many entries, and still fewer than half as many as objects: they are looked up; one more, and they are not.
#[wasm_bindgen_test]
async fn a_beginning_of_many_words_is_looked_up_among_many_more() {
    let name = fresh_name();
    let words = Definition::new("note")
        .key_format(KeyFormat::Int)
        .field("body", FieldType::Text)
        .index(["body"]);
    let backend = opened(&name, [words]).await;
    let body = |n: i64| match n % 9 {
        0..4 => "alpha",
        4..8 => "beta one",
        _ => "beta two",
    };
    let notes = (0..9_999).map(|n| record([n.into(), body(n).into()])).collect();
    backend.execute(Batch::new().create("note", notes)).await.unwrap();
    let touched = Touched::of(&name);
    for (words, expected, most) in [("al*", 4_444, 4_444), ("b*", 5_555, 9_999)] {
        let query = Query::new("note").filter(field("body").search(words));
        let (found, reads) = read(&backend, &touched, query.clone()).await;
        assert_eq!((found, reads.objects), (expected, most), "{words}");
        assert_eq!(backend.count(query).await.unwrap(), expected as u64, "{words}");
    }
}

/// A thousand values: as many requests, many of them at a time, and no other object.
#[wasm_bindgen_test]
async fn many_values_and_related_objects_are_looked_up_one_by_one() {
    let name = fresh_name();
    let user = Definition::new("user")
        .key_format(KeyFormat::Int)
        .field("team", FieldType::Int)
        .index(["team"]);
    let mail = Definition::new("mail")
        .key_format(KeyFormat::Int)
        .field("text", FieldType::String)
        .relation(RelationDefinition::child_of("user"))
        .index(["user"]);
    let backend = opened(&name, [user, mail]).await;
    let users = (0..5_000).map(|n| record([n.into(), (n % 5).into()])).collect();
    let mails =
        (0..10_000).map(|n| record([n.into(), "text".into(), (n % 5_000).into()])).collect();
    backend.execute(Batch::new().create("user", users).create("mail", mails)).await.unwrap();
    let touched = Touched::of(&name);

    let thousand = Query::new("mail").filter(field("id").is_in((0..10_000).step_by(10)));
    let (found, reads) = read(&backend, &touched, thousand).await;
    assert_eq!((found, reads), (1_000, Reads { objects: 1_000, requests: 1_000 }));

    // A thousand users, then two mails of each.
    let of_team = Query::new("mail").filter(related("user", field("team").eq(1)));
    let (found, reads) = read(&backend, &touched, of_team).await;
    assert_eq!(found, 2_000);
    assert!(reads.objects == 3_000 && reads.requests <= 1_002, "{reads:?}");

    // Ten mails, then their users: each once.
    let with_mails = Query::new("user").filter(related("mails", field("id").lt(10)));
    let (found, reads) = read(&backend, &touched, with_mails).await;
    assert_eq!((found, reads), (10, Reads { objects: 20, requests: 11 }));
}

#[wasm_bindgen_test]
async fn many_objects_of_each_of_many_values_are_read_in_pages() {
    let backend = opened(&fresh_name(), [with_indices(definition("note", KeyFormat::Int))]).await;
    // Some values have one object, some more than their share of a page, some more than a page.
    let team = |n: i64| {
        if n < 2_500 {
            3
        } else if n < 2_900 {
            n % 10
        } else {
            n
        }
    };
    let note = |n: i64| {
        let mut note = numbered(n);
        note.set(4, team(n).into());
        note
    };
    backend.execute(Batch::new().create("note", (0..MANY).map(note).collect())).await.unwrap();
    for direction in [Direction::Ascending, Direction::Descending] {
        let query = Query::new("note")
            .filter(field("team").is_in((0..MANY).step_by(3)))
            .order_by("team", direction);
        let found: Vec<i64> = backend
            .find(query)
            .await
            .unwrap()
            .iter()
            .map(|it| it.get(4).as_int().unwrap())
            .collect();
        let mut expected: Vec<i64> = (0..MANY).map(team).filter(|team| team % 3 == 0).collect();
        expected.sort_unstable();
        if direction == Direction::Descending {
            expected.reverse();
        }
        assert_eq!(found, expected);
    }
}

/// What lies in the hidden properties of the objects, and the names of the indices.
async fn hidden(database: &str) -> Vec<String> {
    let body = "
        const db = await open(database);
        const store = db.transaction('note').objectStore('note');
        const objects = await answer(store.getAll());
        const names = [...store.indexNames];
        db.close();
        const lines = objects.map(object => Object.entries(object).filter(([name]) => name.startsWith('_storex_'))
            .map(([name, value]) => `${name}: ${[value].flat().map(entry => entry.split(' ')[0])}`).join('; '));
        return [...names, ...lines];
    ";
    texts(js(&[("database", database.into())], body).await)
}

/// The name of the index of the words of `body`.
fn index_of_words() -> String {
    format!("words {} (body)", storex_core::word_rules())
}

#[wasm_bindgen_test]
async fn an_index_of_words_comes_follows_and_goes() {
    let name = fresh_name();
    let plain =
        || Definition::new("note").key_format(KeyFormat::Int).optional("body", FieldType::Text);
    let backend = opened(&name, [plain()]).await;
    let notes = ["The fox", "A dog", ""].into_iter().enumerate();
    let notes =
        notes.map(|(n, body)| record([i64::try_from(n).unwrap().into(), body.into()])).collect();
    backend.execute(Batch::new().create("note", notes)).await.unwrap();
    assert_eq!(hidden(&name).await, ["", "", ""], "nothing is kept without an index");
    backend.close().await.unwrap();

    // It comes with the next opening.
    let backend = opened(&name, [plain().index(["body"])]).await;
    let words = |body: &str| format!("_storex_words_body: {body}");
    let index = index_of_words();
    assert_eq!(hidden(&name).await, [&*index, &words("fox,the"), &words("a,dog"), &words("")]);
    let search = |words: &str| Query::new("note").filter(field("body").search(words));
    let touched = Touched::of(&name);
    let (found, reads) = read(&backend, &touched, search("fox")).await;
    assert_eq!((found, reads), (1, Reads { objects: 1, requests: 1 }));

    // It follows what is written.
    let batch = Batch::new()
        .update("note", Filter::key(0), Changes::new().set("body", "Two foxes"))
        .update("note", Filter::key(1), Changes::new().set("body", Value::Null))
        .create("note", vec![record([3.into(), "the FOX the fox".into()])]);
    backend.execute(batch).await.unwrap();
    backend.execute(Batch::new().delete("note", Filter::key(2))).await.unwrap();
    assert_eq!(hidden(&name).await, [&*index, &words("foxes,two"), &words(""), &words("fox,the")]);
    for (words, expected) in [("fox", 1), ("fox*", 2), ("dog", 0), ("the fox", 1)] {
        assert_eq!(backend.find(search(words)).await.unwrap().len(), expected, "{words}");
    }
    backend.close().await.unwrap();

    // And it goes.
    let backend = opened(&name, [plain()]).await;
    assert_eq!(hidden(&name).await, ["", "", ""]);
    assert_eq!(backend.find(search("fox*")).await.unwrap().len(), 2);
}

/// What a program leaves behind that takes texts apart by other rules: with another version of Unicode, say.
#[wasm_bindgen_test]
async fn words_of_other_rules_are_not_mixed_with_ours() {
    let name = fresh_name();
    let note = || {
        let note = Definition::new("note").key_format(KeyFormat::Int);
        note.optional("body", FieldType::Text).index(["body"])
    };
    let search = |words: &str| Query::new("note").filter(field("body").search(words));
    for other in ["words 1-unicode-9.0.0 (body)", "words 0-unicode-99.0.0 (body)"] {
        let backend = opened(&name, [note()]).await;
        let notes = vec![record([1.into(), "the fox".into()]), record([2.into(), "a dog".into()])];
        let create = Step::create_or("note", notes, OnConflict::Replace);
        backend.execute(Batch::new().step(create)).await.unwrap();
        backend.close().await.unwrap();
        let body = "
            const { version } = await open(database).then(db => (db.close(), db));
            const request = indexedDB.open(database, version + 1);
            request.onupgradeneeded = () => {
                const store = request.transaction.objectStore('note');
                for (const name of [...store.indexNames]) store.deleteIndex(name);
                store.createIndex(other, '_storex_words_body', { multiEntry: true });
                store.openCursor().onsuccess = ({ target: { result: cursor } }) => {
                    if (!cursor) return;
                    cursor.update({ ...cursor.value, _storex_words_body: ['wolf 1'] });
                    cursor.continue();
                };
            };
            (await answer(request)).close();
        ";
        js(&[("database", (&*name).into()), ("other", other.into())], body).await;
        let entries = |words: &str| format!("_storex_words_body: {words}");
        assert_eq!(hidden(&name).await, [other, &entries("wolf"), &entries("wolf")]);

        let backend = opened(&name, [note()]).await;
        let index = index_of_words();
        assert_eq!(hidden(&name).await, [&*index, &entries("fox,the"), &entries("a,dog")]);
        let touched = Touched::of(&name);
        let (found, reads) = read(&backend, &touched, search("fox")).await;
        assert_eq!((found, reads), (1, Reads { objects: 1, requests: 1 }));
        assert_eq!(backend.find(search("wolf")).await.unwrap().len(), 0);
        backend.close().await.unwrap();
    }
}
