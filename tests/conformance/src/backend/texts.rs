//! Filters on texts: how they begin, what occurs in them, with and without regard to case.

use serde_json::{Value as Json, json};
use storex_core::{
    Affinity, Batch, Definition, Direction, ErrorKind, FieldType, Filter, KeyFormat, Query, Record,
    Registry, RelationDefinition, Storage, TextMatch, Value, field,
};

use crate::Harness;
use crate::support::{NONE, ids, record, refused};

const PLAIN: &str = "plain";
const INDEXED: &str = "indexed";

const EVERY_MATCH: [TextMatch; 5] = [
    TextMatch::StartsWith,
    TextMatch::Includes,
    TextMatch::EqualsIgnoreCase,
    TextMatch::StartsWithIgnoreCase,
    TextMatch::IncludesIgnoreCase,
];

/// The same objects in a collection with an index on the text and in one without.
async fn opened(h: &Harness, texts: &[Option<&str>]) -> Storage {
    let definition = |name: &str| {
        Definition::new(name)
            .key_format(KeyFormat::Int)
            .optional("text", FieldType::String)
            .optional("n", FieldType::Int)
    };
    let registry = Registry::builder()
        .collection(definition(PLAIN))
        .collection(definition(INDEXED).index(["text", "n"]));
    let storage = h.open(registry.build().unwrap()).await;
    for name in [PLAIN, INDEXED] {
        let records = (1..).zip(texts).map(|(id, text)| record![id, *text, id % 2]).collect();
        storage.execute(Batch::new().create(name, records)).await.unwrap();
    }
    storage
}

/// The keys of what matches, which are the same with an index as without, found as counted.
async fn matching(storage: &Storage, filter: Filter) -> Vec<i64> {
    let mut both = Vec::new();
    for name in [PLAIN, INDEXED] {
        let query = Query::new(name).filter(filter.clone()).order_by("id", Direction::Ascending);
        assert_eq!(
            storage.count(query.clone()).await.unwrap(),
            storage.find(query.clone()).await.unwrap().len() as u64
        );
        both.push(ids(&storage.find(query).await.unwrap()));
    }
    assert_eq!(both[0], both[1], "with an index as without: {filter:?}");
    both.remove(0)
}

fn starts_with(text: &str) -> Filter {
    field("text").starts_with(text)
}

pub async fn that_begin_with_a_text(h: Harness) {
    let texts = ["a", "ab", "abc", "b", "", "A", "aB", "ba", "a%", "a_", "a*", "a\0b", "\0"];
    let storage = opened(&h, &texts.map(Some)).await;
    assert_eq!(matching(&storage, starts_with("a")).await, [1, 2, 3, 7, 9, 10, 11, 12]);
    assert_eq!(matching(&storage, starts_with("ab")).await, [2, 3]);
    assert_eq!(matching(&storage, starts_with("abc")).await, [3]);
    assert_eq!(matching(&storage, starts_with("abcd")).await, NONE, "longer than any");
    for (wildcard, id) in [("a%", 9), ("a_", 10), ("a*", 11), ("a\0", 12), ("\0", 13)] {
        assert_eq!(matching(&storage, starts_with(wildcard)).await, [id], "{wildcard:?}");
    }
}

/// Every text begins with the empty one; null is no text.
pub async fn that_begin_with_nothing(h: Harness) {
    let storage = opened(&h, &[Some(""), None, Some("x"), Some("\u{10ffff}")]).await;
    assert_eq!(matching(&storage, starts_with("")).await, [1, 3, 4]);
    assert_eq!(matching(&storage, field("text").includes("")).await, [1, 3, 4]);
    assert_eq!(matching(&storage, field("text").eq_ignore_case("")).await, [1]);
    assert_eq!(matching(&storage, field("text").starts_with_ignore_case("")).await, [1, 3, 4]);
    assert_eq!(matching(&storage, field("text").includes_ignore_case("")).await, [1, 3, 4]);
}

/// Where the range of texts that begin so has no simple end: the next character does not exist, or is far away.
pub async fn that_begin_with_the_last_of_a_range(h: Harness) {
    let texts = [
        "\u{10ffff}",
        "\u{10ffff}a",
        "\u{10ffff}\u{10ffff}",
        "a\u{10ffff}",
        "a\u{10ffff}z",
        "b",
        "\u{d7ff}",
        "\u{d7ff}x",
        "\u{e000}",
        "\u{e000}x",
        "\u{ffff}",
        "\u{ffff}x",
        "\u{10000}",
        "\u{7f}",
        "\u{80}",
        "\u{7ff}y",
        "\u{800}",
    ];
    let storage = opened(&h, &texts.map(Some)).await;
    let expected: [(&str, &[i64]); 11] = [
        ("\u{10ffff}", &[1, 2, 3]),
        ("\u{10ffff}\u{10ffff}", &[3]),
        ("a\u{10ffff}", &[4, 5]),
        ("a", &[4, 5]),
        ("\u{d7ff}", &[7, 8]),
        ("\u{e000}", &[9, 10]),
        ("\u{ffff}", &[11, 12]),
        ("\u{10000}", &[13]),
        ("\u{7f}", &[14]),
        ("\u{80}", &[15]),
        ("\u{7ff}", &[16]),
    ];
    for (prefix, ids) in expected {
        assert_eq!(matching(&storage, starts_with(prefix)).await, ids, "{prefix:?}");
    }
}

/// Characters beyond the first plane are whole ones: half of one is never matched, and they stand behind U+FFFF.
pub async fn of_every_plane(h: Harness) {
    let texts = ["😀", "😀😁", "😁", "a😀b", "𐐀", "𐐨", "\u{ff5e}", "日本語", "日本"];
    let storage = opened(&h, &texts.map(Some)).await;
    assert_eq!(matching(&storage, starts_with("😀")).await, [1, 2]);
    assert_eq!(matching(&storage, starts_with("😁")).await, [3]);
    assert_eq!(matching(&storage, field("text").includes("😀")).await, [1, 2, 4]);
    assert_eq!(matching(&storage, starts_with("日本")).await, [8, 9]);
    assert_eq!(matching(&storage, field("text").includes("本")).await, [8, 9]);
    assert_eq!(matching(&storage, field("text").eq_ignore_case("𐐀")).await, [5, 6], "Deseret");
    let ordered = Query::new(INDEXED).filter(starts_with("😀").or(starts_with("\u{ff5e}")));
    let ordered = storage.find(ordered.order_by("text", Direction::Ascending)).await.unwrap();
    assert_eq!(ids(&ordered), [7, 1, 2], "by code point, not by UTF-16");
}

pub async fn in_which_a_text_occurs(h: Harness) {
    let texts =
        ["the fox", "fox", "a fo x", "FOX", "foxfox", "100%", "a_b", "it's", "\"q\"", "[x]"];
    let storage = opened(&h, &texts.map(Some)).await;
    assert_eq!(matching(&storage, field("text").includes("fox")).await, [1, 2, 5]);
    for (part, id) in [("0%", 6), ("_", 7), ("'", 8), ("\"q", 9), ("[x", 10), ("%", 6)] {
        assert_eq!(matching(&storage, field("text").includes(part)).await, [id], "{part:?}");
    }
    assert_eq!(matching(&storage, field("text").includes("o x")).await, [3]);
    assert_eq!(matching(&storage, field("text").includes("f%x")).await, NONE);
}

/// Case does not count, in any script; accents do.
pub async fn whatever_their_case(h: Harness) {
    let texts = [
        "straße", "STRASSE", "STRAẞE", "Strase", "ΟΔΟΣ", "οδος", "οδοσ", "Äpfel", "äPFEL", "Apfel",
        "ДОМ", "дом", "ŉ", "ʼn",
    ];
    let storage = opened(&h, &texts.map(Some)).await;
    let eq = |text: &str| field("text").eq_ignore_case(text);
    for text in ["straße", "STRASSE", "straẞe", "StRaSsE"] {
        assert_eq!(matching(&storage, eq(text)).await, [1, 2, 3], "{text}");
    }
    for text in ["οδος", "ΟΔΟΣ", "ΟΔΟσ", "Οδοσ"] {
        assert_eq!(matching(&storage, eq(text)).await, [5, 6, 7], "{text}");
    }
    assert_eq!(matching(&storage, eq("ÄPFEL")).await, [8, 9]);
    assert_eq!(matching(&storage, eq("apfel")).await, [10]);
    assert_eq!(matching(&storage, eq("Дом")).await, [11, 12]);
    assert_eq!(matching(&storage, eq("ŉ")).await, [13, 14]);
    let begins = |text: &str| field("text").starts_with_ignore_case(text);
    assert_eq!(matching(&storage, begins("stras")).await, [1, 2, 3, 4], "half of an ß");
    assert_eq!(matching(&storage, begins("ÄP")).await, [8, 9]);
    assert_eq!(matching(&storage, begins("ap")).await, [10]);
    let includes = |text: &str| field("text").includes_ignore_case(text);
    assert_eq!(matching(&storage, includes("SS")).await, [1, 2, 3]);
    assert_eq!(matching(&storage, includes("ß")).await, [1, 2, 3]);
    assert_eq!(matching(&storage, includes("δΟΣ")).await, [5, 6, 7]);
    assert_eq!(matching(&storage, includes("PFE")).await, [8, 9, 10]);
}

/// The same in Turkey as anywhere else: `I` is the capital of both letters i.
pub async fn with_dots_and_marks(h: Harness) {
    let texts = ["i", "I", "ı", "İ", "i\u{307}", "é", "e\u{301}", "É", "E\u{301}", "e"];
    let storage = opened(&h, &texts.map(Some)).await;
    let eq = |text: &str| field("text").eq_ignore_case(text);
    for text in ["i", "I", "ı"] {
        assert_eq!(matching(&storage, eq(text)).await, [1, 2, 3], "{text}");
    }
    for text in ["İ", "i\u{307}", "I\u{307}"] {
        assert_eq!(matching(&storage, eq(text)).await, [4, 5], "{text}");
    }
    assert_eq!(matching(&storage, eq("É")).await, [6, 8], "one character");
    assert_eq!(matching(&storage, eq("e\u{301}")).await, [7, 9], "two characters");
    assert_eq!(
        matching(&storage, field("text").starts_with_ignore_case("E")).await,
        [7, 9, 10],
        "a mark is a character of its own"
    );
}

pub async fn that_are_not_there(h: Harness) {
    let storage = opened(&h, &[None, Some("a"), None]).await;
    for how in EVERY_MATCH {
        let filter = Filter::Text { field: "text".into(), how, text: "a".to_owned() };
        assert_eq!(matching(&storage, filter.clone()).await, [2], "{how:?}");
        assert_eq!(matching(&storage, filter.negate()).await, [1, 3], "{how:?}: two values");
    }
}

/// A column that holds what it likes: what is no text matches no text.
pub async fn among_values_of_other_kinds(h: Harness) {
    let definition = Definition::new(PLAIN)
        .key_format(KeyFormat::Int)
        .optional("any", FieldType::Dynamic(Affinity::Blob))
        .index(["any"]);
    let storage = h.open(Registry::builder().collection(definition).build().unwrap()).await;
    let values = [
        Value::from("12"),
        Value::from(12),
        Value::from(12.5),
        Value::from(b"12".to_vec()),
        Value::Null,
        Value::from("x12"),
        Value::from(""),
    ];
    let records = (1_i64..).zip(values).map(|(id, value)| Record::new(vec![id.into(), value]));
    storage.execute(Batch::new().create(PLAIN, records.collect())).await.unwrap();
    for (filter, expected) in [
        (field("any").starts_with("1"), vec![1]),
        (field("any").starts_with(""), vec![1, 6, 7]),
        (field("any").includes("2"), vec![1, 6]),
        (field("any").eq_ignore_case("12"), vec![1]),
        (field("any").starts_with_ignore_case("X"), vec![6]),
        (field("any").includes_ignore_case(""), vec![1, 6, 7]),
        (field("any").includes("2").negate(), vec![2, 3, 4, 5, 7]),
        (field("any").search("12"), vec![1]),
    ] {
        let query = Query::new(PLAIN).filter(filter.clone()).order_by("id", Direction::Ascending);
        assert_eq!(ids(&storage.find(query).await.unwrap()), expected, "{filter:?}");
    }
}

/// Every field that holds texts can be asked.
pub async fn of_every_type_of_text(h: Harness) {
    let registry = Registry::builder()
        .collection(Definition::new("parent").field("name", FieldType::String))
        .collection(
            Definition::new("child")
                .field("text", FieldType::Text)
                .field("url", FieldType::Url)
                .field("code", FieldType::RandomKey)
                .relation(RelationDefinition::child_of("parent")),
        );
    let storage = h.open(registry.build().unwrap()).await;
    let child = json!({
        "id": "Ab", "text": "Abc", "url": "Abcd", "code": "Abcde", "parent": "Abcdef",
    });
    storage.dynamic("child").unwrap().create(child).await.unwrap();
    for name in ["id", "text", "url", "code", "parent"] {
        for how in EVERY_MATCH {
            let text = if how == TextMatch::EqualsIgnoreCase { "x" } else { "Ab" };
            let filter = Filter::Text { field: name.into(), how, text: text.to_owned() };
            let expected = u64::from(how != TextMatch::EqualsIgnoreCase);
            let count = storage.count(Query::new("child").filter(filter)).await.unwrap();
            assert_eq!(count, expected, "{name} {how:?}");
        }
    }
}

pub async fn go_with_orders_limits_and_pages(h: Harness) {
    let texts: Vec<String> =
        (0..60).map(|n| format!("{}{n:02}", ["x", "y", "xy"][n % 3])).collect();
    let texts: Vec<Option<&str>> = texts.iter().map(|text| Some(text.as_str())).collect();
    let storage = opened(&h, &texts).await;
    let begin_with_x: Vec<i64> = (1..=60).filter(|id| id % 3 != 2).collect();
    assert_eq!(matching(&storage, starts_with("x")).await, begin_with_x);
    assert_eq!(matching(&storage, starts_with("xy").and(field("n").eq(1))).await.len(), 10);
    for name in [PLAIN, INDEXED] {
        let collection = storage.registry().collection(name).unwrap();
        for direction in [Direction::Ascending, Direction::Descending] {
            let query = Query::new(name).filter(starts_with("xy")).order_by("text", direction);
            let mut expected: Vec<i64> = (3..=60).step_by(3).collect();
            if direction == Direction::Descending {
                expected.reverse();
            }
            let (mut seen, mut after) = (Vec::new(), None);
            loop {
                let mut page = query.clone().limit(7);
                page.after = after.take();
                let records = storage.find(page).await.unwrap();
                let Some(last) = records.last() else { break };
                after = Some(query.position_of(collection, last));
                seen.extend(ids(&records));
            }
            assert_eq!(seen, expected, "{name} {direction:?}");
            let some = query.clone().limit(3).offset(2);
            assert_eq!(ids(&storage.find(some.clone()).await.unwrap()), expected[2..5]);
            assert_eq!(storage.count(some).await.unwrap(), 3);
        }
    }
}

pub async fn say_what_is_changed_and_deleted(h: Harness) {
    let storage = opened(&h, &[Some("draft: a"), Some("DRAFT: b"), Some("c"), None]).await;
    for name in [PLAIN, INDEXED] {
        let objects = storage.dynamic(name).unwrap();
        let filter = json!({ "text": { "$startsWithIgnoreCase": "Draft:" } });
        assert_eq!(objects.update(&filter, &json!({ "text": "done" })).await.unwrap().len(), 2);
        let filter = json!({ "text": { "$startsWith": "do", "$includes": "ne" } });
        assert_eq!(objects.count(&filter).await.unwrap(), 2);
        let filter = json!({ "$not": { "text": { "$equalsIgnoreCase": "DONE" } } });
        assert_eq!(objects.delete(&filter).await.unwrap().len(), 2);
        assert_eq!(objects.count(&json!({})).await.unwrap(), 2);
    }
}

pub async fn in_fields_that_hold_none_are_refused(h: Harness) {
    let types = [
        FieldType::Int,
        FieldType::Float,
        FieldType::Boolean,
        FieldType::Timestamp,
        FieldType::DateTime,
        FieldType::Json,
        FieldType::Binary,
        FieldType::Blob,
        FieldType::Media,
    ];
    let mut definition = Definition::new(PLAIN).key_format(KeyFormat::Int);
    for (n, field_type) in types.iter().enumerate() {
        definition = definition.optional(format!("field{n}"), field_type.clone());
    }
    let storage = h.open(Registry::builder().collection(definition).build().unwrap()).await;
    storage.dynamic(PLAIN).unwrap().create(json!({ "id": 1 })).await.unwrap();
    for name in (0..types.len()).map(|n| format!("field{n}")).chain(["id".to_owned()]) {
        for how in EVERY_MATCH {
            let filter = Filter::Text { field: name.as_str().into(), how, text: "1".to_owned() };
            let query = Query::new(PLAIN).filter(filter.clone());
            refused(storage.find(query.clone()).await, ErrorKind::Invalid, &[PLAIN, &name]);
            refused(storage.count(query).await, ErrorKind::Invalid, &[PLAIN, &name]);
            let batch = Batch::new().delete(PLAIN, filter.or(Filter::All));
            refused(storage.execute(batch).await, ErrorKind::Invalid, &[PLAIN, &name]);
        }
    }
    let unknown = Query::new(PLAIN).filter(field("nowhere").starts_with(""));
    refused(storage.find(unknown).await, ErrorKind::Invalid, &[PLAIN, "nowhere"]);
    let objects = storage.dynamic(PLAIN).unwrap();
    for operand in [json!(1), json!(null), json!(["a"]), Json::Bool(true)] {
        let filter = json!({ "field5": { "$startsWith": operand } });
        refused(objects.find(&filter).await, ErrorKind::Invalid, &[PLAIN, "$startsWith"]);
    }
    assert_eq!(storage.count(Query::new(PLAIN)).await.unwrap(), 1, "nothing was deleted");
}
