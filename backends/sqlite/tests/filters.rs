//! Random filters over random objects: SQLite matches exactly what [`Filter::matches`] does, in finds, updates and deletes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod support;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value as Json, json};
use storex_core::{
    Affinity, Aggregate, Aggregation, Aggregator, Backend, Batch, Changes, Comparison, Definition,
    ElementCondition, FieldType, Filter, Key, Query, Record, Registry, RelationDefinition,
    TextMatch, Value, field, related,
};
use support::{Pair, record};

fn registry() -> Registry {
    Registry::builder()
        .collection(
            Definition::new("author")
                .field("id", FieldType::Int)
                .primary_key(["id"])
                .optional("name", FieldType::Text)
                .relation(
                    RelationDefinition::child_of("author")
                        .alias("boss")
                        .reverse_alias("staff")
                        .optional(),
                )
                .index(["name"]),
        )
        .collection(
            Definition::new("note")
                .field("n", FieldType::Int)
                .field("id", FieldType::String)
                .primary_key(["id", "n"])
                .optional("title", FieldType::String)
                .optional("body", FieldType::Text)
                .optional("more", FieldType::Text)
                .optional("plain", FieldType::Text)
                .optional("tags", FieldType::Json)
                .optional("any", FieldType::Dynamic(Affinity::Blob))
                .optional("number", FieldType::Dynamic(Affinity::Integer))
                .optional("x", FieldType::Float)
                .relation(RelationDefinition::child_of("author").optional())
                .index(["title"])
                .index(["any"])
                .index(["body"])
                .index(["more"]),
        )
        .build()
        .unwrap()
}

const PIECES: [&str; 38] = [
    "foo",
    "Foo",
    "foobar",
    "fo",
    "straße",
    "STRASSE",
    "ÄRGER",
    "ärger",
    "a",
    "A",
    "ab",
    "c3-po",
    "c3",
    "1",
    "10",
    "日本語",
    "日本",
    "ΟΔΟΣ",
    "οδος",
    "ŉ",
    "\0",
    "'",
    "\"",
    "AND",
    "OR",
    "NOT",
    "NEAR(a",
    "*",
    "foo*",
    "^foo",
    "body:",
    "İ",
    "e\u{301}",
    "é",
    "\u{10ffff}",
    "\u{d7ff}",
    "_",
    "%",
];

fn texts() -> impl Strategy<Value = String> {
    (vec(select(PIECES.to_vec()), 0..4), select(vec![" ", "", "-", " "]))
        .prop_map(|(pieces, between)| pieces.join(between))
}

fn elements() -> impl Strategy<Value = Json> {
    select(vec![
        json!(null),
        json!(true),
        json!(false),
        json!(1),
        json!(1.0),
        json!(0),
        json!(-0.0),
        json!(1.5),
        json!(0.1),
        json!(9_007_199_254_740_993_i64),
        json!(9_007_199_254_740_992.0),
        json!(u64::MAX),
        json!(1.844_674_407_370_955_2e19),
        json!(i64::MIN),
        json!("1"),
        json!("true"),
        json!("a"),
        json!("a\0"),
        json!("null"),
        json!({"a": 1, "b": "x"}),
        json!({"a": null}),
        json!({"a": true}),
        json!([1]),
        json!([]),
        json!({}),
    ])
}

fn jsons() -> impl Strategy<Value = Json> {
    prop_oneof![6 => vec(elements(), 0..4).prop_map(Json::Array), 1 => elements()]
}

fn operands() -> impl Strategy<Value = Value> {
    select(vec![
        Value::Null,
        Value::Bool(true),
        Value::Bool(false),
        Value::Int(1),
        Value::Int(0),
        Value::Int(9_007_199_254_740_993),
        Value::Int(i64::MIN),
        Value::from(1.0),
        Value::from(1.5),
        Value::from(0.1),
        Value::from(1.844_674_407_370_955_2e19),
        Value::from(f64::INFINITY),
        Value::from(f64::NEG_INFINITY),
        Value::from("1"),
        Value::from("true"),
        Value::from("a"),
        Value::from("a\0"),
        Value::from("x"),
    ])
}

fn any_values() -> impl Strategy<Value = Value> {
    prop_oneof![
        texts().prop_map(Value::from),
        select(vec![
            Value::Null,
            Value::Int(1),
            Value::Int(10),
            Value::Int(i64::MAX),
            Value::from(1.0),
            Value::from(1.5),
            Value::from(vec![0x61_u8]),
            Value::from("1a"),
            Value::from("0x1"),
        ]),
    ]
}

fn comparisons() -> impl Strategy<Value = Comparison> {
    use Comparison::{Eq, Gt, Gte, Lt, Lte, Ne};
    select(vec![Eq, Ne, Lt, Lte, Gt, Gte])
}

fn text_matches() -> impl Strategy<Value = TextMatch> {
    use TextMatch::{
        EqualsIgnoreCase, Includes, IncludesIgnoreCase, StartsWith, StartsWithIgnoreCase,
    };
    select(vec![
        StartsWith,
        StartsWith,
        Includes,
        EqualsIgnoreCase,
        StartsWithIgnoreCase,
        IncludesIgnoreCase,
    ])
}

fn note_leaves() -> impl Strategy<Value = Filter> {
    let condition = (select(vec![None, Some("a"), Some("b")]), comparisons(), operands()).prop_map(
        |(member, op, value)| ElementCondition { member: member.map(Into::into), op, value },
    );
    let text_fields = select(vec!["title", "body", "plain", "any", "number"]);
    let search_fields = select(vec!["title", "body", "more", "body", "more", "plain", "any"]);
    prop_oneof![
        operands().prop_map(|value| field("tags").contains(value)),
        vec(condition, 0..3)
            .prop_map(|conditions| Filter::Element { field: "tags".into(), conditions }),
        (0..4_u64).prop_map(|size| field("tags").has_size(size)),
        (text_fields, text_matches(), texts()).prop_map(|(field, how, text)| Filter::Text {
            field: field.into(),
            how,
            text
        }),
        (search_fields, texts()).prop_map(|(name, words)| field(name).search(words)),
        (0..4_i64, comparisons()).prop_map(|(n, op)| Filter::Compare {
            field: "n".into(),
            op,
            value: n.into()
        }),
    ]
}

fn with_logic(leaf: BoxedStrategy<Filter>) -> BoxedStrategy<Filter> {
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(Filter::And),
            vec(inner.clone(), 0..3).prop_map(Filter::Or),
            inner.prop_map(Filter::negate),
        ]
    })
    .boxed()
}

fn author_filters(depth: u32) -> BoxedStrategy<Filter> {
    let name = texts().prop_map(|words| field("name").search(words));
    let boss = select(vec![Value::Null, Value::Int(0)]).prop_map(|it| field("boss").eq(it));
    let leaf = prop_oneof![Just(Filter::All), name, boss];
    if depth == 0 {
        return leaf.boxed();
    }
    let inner = author_filters(depth - 1);
    with_logic(
        prop_oneof![
            leaf,
            (select(vec!["boss", "staff"]), inner).prop_map(|(name, filter)| related(name, filter)),
            note_leaves().prop_map(|filter| related("notes", filter)),
        ]
        .boxed(),
    )
}

fn note_filters() -> BoxedStrategy<Filter> {
    let of_author = author_filters(1).prop_map(|filter| related("author", filter));
    with_logic(prop_oneof![6 => note_leaves(), 2 => of_author].boxed())
}

fn authors() -> impl Strategy<Value = Vec<Record>> {
    vec((proptest::option::of(texts()), proptest::option::of(0..4_i64)), 4).prop_map(|authors| {
        let authors = authors.into_iter().zip(0_i64..);
        authors.map(|((name, boss), id)| record([id.into(), name.into(), boss.into()])).collect()
    })
}

fn notes() -> impl Strategy<Value = Vec<Record>> {
    let floats = select(vec![Value::Null, Value::from(0.5), Value::from(1e300)]);
    let note = (
        vec(proptest::option::weighted(0.8, texts()), 4),
        proptest::option::of(jsons()),
        any_values(),
        any_values(),
        floats,
        proptest::option::of(0..4_i64),
    );
    vec(note, 0..12).prop_map(|notes| {
        let notes = notes.into_iter().zip(0_i64..);
        notes
            .map(|((texts, tags, any, number, x, author), n)| {
                let mut values: Vec<Value> = vec![(n % 4).into(), format!("k{}", n / 2).into()];
                values.extend(texts.into_iter().map(Value::from));
                values.extend([tags.into(), any, number, x, author.into()]);
                Record::new(values)
            })
            .collect()
    })
}

fn keys_of(pair: &Pair, query: &Query, records: &[Record]) -> Vec<Key> {
    let collection = pair.registry.collection(&query.collection).unwrap();
    let mut keys: Vec<Key> = records.iter().map(|record| collection.key_of(record)).collect();
    keys.sort();
    keys
}

/// SQLite finds and counts what memory finds, and what each object says for itself.
async fn same(pair: &Pair, mut query: Query) -> bool {
    if query.check(&pair.registry).is_err() {
        // A search for no word, say.
        return false;
    }
    let got = pair.sqlite.find(query.clone()).await.unwrap();
    let got = keys_of(pair, &query, &got);
    let memory = pair.memory.find(query.clone()).await.unwrap();
    assert_eq!(got, keys_of(pair, &query, &memory), "{query:?}");
    assert_eq!(pair.sqlite.count(query.clone()).await.unwrap(), got.len() as u64, "{query:?}");
    if !query.filter.has_related() {
        let collection = pair.registry.collection(&query.collection).unwrap();
        let all = pair.memory.find(Query::new(query.collection.clone())).await.unwrap();
        let matching: Vec<Record> =
            all.into_iter().filter(|it| query.filter.matches(collection, it)).collect();
        assert_eq!(got, keys_of(pair, &query, &matching), "{query:?}");
    }
    true
}

/// The same groups, or the same refusal.
async fn same_aggregation(pair: &Pair, mut aggregation: Aggregation) {
    if aggregation.check(&pair.registry).is_err() {
        return;
    }
    let collection = pair.registry.collection(&aggregation.collection).unwrap();
    let found = pair.memory.find(aggregation.query()).await.unwrap();
    let mut aggregator = Aggregator::new(&aggregation, collection);
    found.iter().for_each(|record| aggregator.add(record));
    let got = pair.sqlite.aggregate(aggregation.clone(), &pair.registry).await;
    match (aggregator.finish(), got) {
        (Ok(expected), Ok(got)) => {
            // 1 and 1.0 are one group, and which of them stands for it depends on the order of the objects.
            let equal = |a: &Value, b: &Value| a.compare(b).is_eq() && a.is_null() == b.is_null();
            let same = expected.len() == got.len()
                && expected.iter().zip(&got).all(|(a, b)| {
                    a.values().len() == b.values().len()
                        && a.values().iter().zip(b.values()).all(|(a, b)| equal(a, b))
                });
            assert!(same, "{aggregation:?}\n{expected:?}\n{got:?}");
        }
        (Err(expected), Err(got)) => assert_eq!(got.to_string(), expected.to_string()),
        (expected, got) => panic!("{aggregation:?}\nmemory: {expected:?}\nsqlite: {got:?}"),
    }
}

fn aggregations() -> impl Strategy<Value = Aggregation> {
    let fields = || select(vec!["n", "title", "any", "number", "x", "author"]);
    let value = prop_oneof![
        Just(Aggregate::Count),
        fields().prop_map(|it| Aggregate::Min(it.into())),
        fields().prop_map(|it| Aggregate::Max(it.into())),
        select(vec!["n", "any", "number", "x"]).prop_map(|it| Aggregate::Sum(it.into())),
    ];
    (vec(fields(), 0..3), vec(value, 0..4), note_filters()).prop_map(|(by, values, filter)| {
        let aggregation = Aggregation::new("note").by(by).filter(filter);
        values.into_iter().fold(aggregation, Aggregation::value)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn sqlite_matches_what_core_matches(
        authors in authors(),
        notes in notes(),
        changed in texts(),
        of_notes in vec(note_filters(), 20),
        of_authors in vec(author_filters(2), 10),
        aggregations in vec(aggregations(), 10),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let pair = Pair::open(registry()).await;
            let create = Batch::new().create("author", authors).create("note", notes);
            pair.execute(create).await.unwrap();
            for aggregation in aggregations {
                same_aggregation(&pair, aggregation).await;
            }
            for filter in of_authors {
                let query = Query::new("author").filter(filter);
                if same(&pair, query.clone()).await {
                    let changes = Changes::new().set("name", changed.as_str()).set("boss", 2);
                    pair.execute(Batch::new().update("author", query.filter, changes)).await.unwrap();
                }
            }
            for filter in of_notes {
                let query = Query::new("note").filter(filter);
                if !same(&pair, query.clone()).await {
                    continue;
                }
                let changes = Changes::new().set("body", changed.as_str()).set("author", 1);
                pair.execute(Batch::new().update("note", query.filter.clone().and(field("n").eq(1)), changes))
                    .await
                    .unwrap();
                let returning = Changes::new().set("more", changed.as_str()).returning();
                pair.execute(Batch::new().update("note", query.filter.clone().and(field("n").eq(2)), returning))
                    .await
                    .unwrap();
                pair.execute(Batch::new().delete("note", query.filter.and(field("n").eq(3))))
                    .await
                    .unwrap();
            }
        });
    }
}

/// A filter that SQLite does not take is evaluated on the objects, its related parts included.
#[tokio::test]
async fn a_filter_too_deep_for_sqlite_follows_relations_too() {
    let pair = Pair::open(registry()).await;
    let author =
        |id: i64, name: &str, boss: Option<i64>| record([id.into(), name.into(), boss.into()]);
    let authors =
        vec![author(0, "Ann", None), author(1, "Bob", Some(0)), author(2, "Cleo", Some(1))];
    pair.execute(Batch::new().create("author", authors)).await.unwrap();
    let boss_of_bob = related("boss", related("boss", field("name").search("ann")));
    let deep = (0..1_500).fold(boss_of_bob, |filter, _| filter.negate());
    let found = pair.sqlite.find(Query::new("author").filter(deep.clone())).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].get(1).as_text(), Some("Cleo"));
    pair.execute(Batch::new().delete("author", deep)).await.unwrap();
}
