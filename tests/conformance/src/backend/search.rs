//! Searches for words: the same objects with and without an index over the words.

use serde_json::json;
use storex_core::{
    Batch, Changes, Definition, Direction, Error, ErrorKind, FieldType, Filter, Key, KeyFormat,
    OnConflict, Query, Record, Registry, Step, Storage, Value, field,
};

use crate::Harness;
use crate::support::{NONE, ids, record, refused};

const PLAIN: &str = "plain";
const INDEXED: &str = "indexed";
const BOTH: [&str; 2] = [PLAIN, INDEXED];

async fn empty(h: &Harness) -> Storage {
    let definition = |name: &str| {
        Definition::new(name)
            .key_format(KeyFormat::Int)
            .optional("text", FieldType::Text)
            .optional("n", FieldType::Int)
    };
    let registry = Registry::builder()
        .collection(definition(PLAIN))
        .collection(definition(INDEXED).index(["text"]).index(["n"]));
    h.open(registry.build().unwrap()).await
}

/// The same objects in a collection with an index over the words and in one without.
async fn opened(h: &Harness, texts: &[&str]) -> Storage {
    let storage = empty(h).await;
    for name in BOTH {
        let records = (1..).zip(texts).map(|(id, text)| record![id, *text, id % 3]).collect();
        storage.execute(Batch::new().create(name, records)).await.unwrap();
    }
    storage
}

/// The keys of what a filter matches, which are the same with an index as without, found as counted.
async fn matching(storage: &Storage, filter: Filter) -> Vec<i64> {
    let mut both = Vec::new();
    for name in BOTH {
        let query = Query::new(name).filter(filter.clone());
        let counted = storage.count(query.clone()).await.unwrap();
        let mut found = ids(&storage.find(query).await.unwrap());
        found.sort_unstable();
        assert_eq!(counted, found.len() as u64, "{name}");
        both.push(found);
    }
    assert_eq!(both[0], both[1], "with an index as without: {filter:?}");
    both.remove(0)
}

async fn found(storage: &Storage, words: &str) -> Vec<i64> {
    matching(storage, field("text").search(words)).await
}

pub async fn for_a_word(h: Harness) {
    let storage = opened(
        &h,
        &["The quick brown fox", "foxes are quick", "a FOX, a fox!", "outfoxed", "", "f o x"],
    )
    .await;
    assert_eq!(found(&storage, "fox").await, [1, 3]);
    assert_eq!(found(&storage, "FoX").await, [1, 3], "case does not count");
    assert_eq!(found(&storage, "quick").await, [1, 2]);
    assert_eq!(found(&storage, "fo").await, NONE, "a word is a whole word");
    assert_eq!(found(&storage, "nowhere").await, NONE);
}

/// In any order, all of them.
pub async fn for_several_words(h: Harness) {
    let storage = opened(&h, &["red green blue", "blue red", "green", "red red red"]).await;
    assert_eq!(found(&storage, "red blue").await, [1, 2]);
    assert_eq!(found(&storage, "blue red").await, [1, 2]);
    assert_eq!(found(&storage, "  blue\tred\n green ").await, [1]);
    assert_eq!(found(&storage, "red red").await, [1, 2, 4], "one that is there is enough");
    assert_eq!(found(&storage, "red yellow").await, NONE);
}

pub async fn for_beginnings_of_words(h: Harness) {
    let storage = opened(&h, &["fox", "foxes", "outfox", "fo", "FOXTROT dances", "f-oxen"]).await;
    assert_eq!(found(&storage, "fox*").await, [1, 2, 5]);
    assert_eq!(found(&storage, "FO*").await, [1, 2, 4, 5]);
    assert_eq!(found(&storage, "fox* dan*").await, [5]);
    assert_eq!(found(&storage, "fox* dance").await, NONE, "only the one with the star");
    assert_eq!(found(&storage, "oxe*").await, [6]);
    assert_eq!(found(&storage, "*fox").await, [1], "a star in front means nothing");
    assert_eq!(found(&storage, "f-ox*").await, [6], "the last word of a part");
}

pub async fn between_punctuation(h: Harness) {
    let storage = opened(
        &h,
        &["It's C3-PO", "e-mail: joe@doe.com", "under_score", "1,000.5", "(a)[b]{c}", "a/b\\c"],
    )
    .await;
    assert_eq!(found(&storage, "it").await, [1]);
    assert_eq!(found(&storage, "s").await, [1]);
    assert_eq!(found(&storage, "it's").await, [1], "is split as the text is");
    assert_eq!(found(&storage, "c3").await, [1]);
    assert_eq!(found(&storage, "doe joe").await, [2]);
    assert_eq!(found(&storage, "joe@doe.com").await, [2]);
    assert_eq!(found(&storage, "score").await, [3]);
    assert_eq!(found(&storage, "000").await, [4]);
    assert_eq!(found(&storage, "a b c").await, [5, 6]);
}

pub async fn in_every_script(h: Harness) {
    let storage = opened(
        &h,
        &[
            "Die Straße",
            "DIE STRASSE",
            "ΟΔΟΣ οδός",
            "Ёлка и дом",
            "日本語 テスト",
            "שלום עולם",
            "مرحبا ١٢٣",
            "naïve café",
            "नमस्ते",
            "İstanbul ISPARTA",
            "𐐀𐐁",
            "word😀other",
            "x²",
        ],
    )
    .await;
    assert_eq!(found(&storage, "strasse").await, [1, 2]);
    assert_eq!(found(&storage, "straẞe").await, [1, 2]);
    assert_eq!(found(&storage, "οδοσ").await, [3]);
    assert_eq!(found(&storage, "ΟΔΌΣ").await, [3]);
    assert_eq!(found(&storage, "ДОМ").await, [4]);
    assert_eq!(found(&storage, "日本語").await, [5]);
    assert_eq!(found(&storage, "日本*").await, [5]);
    assert_eq!(found(&storage, "日本").await, NONE, "without spaces one word");
    assert_eq!(found(&storage, "שלום").await, [6]);
    assert_eq!(found(&storage, "١٢٣").await, [7], "digits of every script");
    assert_eq!(found(&storage, "CAFÉ").await, [8]);
    assert_eq!(found(&storage, "cafe").await, NONE, "accents count");
    assert_eq!(found(&storage, "नमस्ते").await, [9]);
    assert_eq!(found(&storage, "isparta").await, [10]);
    assert_eq!(found(&storage, "𐐨𐐩").await, [11]);
    assert_eq!(found(&storage, "other").await, [12], "a picture is no letter");
    assert_eq!(found(&storage, "x²").await, [13]);
}

/// Nothing in the words is an instruction to a database.
pub async fn for_words_that_mean_something_elsewhere(h: Harness) {
    let storage = opened(
        &h,
        &["fox AND dog", "fox NOT dog", "near far", "title fox", "it said \"fox\"", "select drop"],
    )
    .await;
    assert_eq!(found(&storage, "fox AND dog").await, [1]);
    assert_eq!(found(&storage, "fox NOT dog").await, [2]);
    assert_eq!(found(&storage, "fox OR dog").await, NONE, "`or` is a word");
    assert_eq!(found(&storage, "NEAR").await, [3]);
    assert_eq!(found(&storage, "NEAR(near far, 5)").await, NONE, "`5` is a word");
    assert_eq!(found(&storage, "title:fox").await, [4]);
    assert_eq!(found(&storage, "\"said fox\"").await, [5], "no phrases");
    assert_eq!(found(&storage, "\"fox").await, [1, 2, 4, 5]);
    assert_eq!(found(&storage, "'; select drop --").await, [6]);
    assert_eq!(found(&storage, "^fox -dog +fox").await, [1, 2]);
    assert_eq!(found(&storage, "{fox} (fox) [fox] %fox% _fox_ fox?").await, [1, 2, 4, 5]);
    assert_eq!(found(&storage, "fo\0x").await, NONE);
}

/// The words of a text follow the text.
pub async fn after_every_change(h: Harness) {
    let storage = opened(&h, &["apple", "apple pear", "plum"]).await;
    for name in BOTH {
        let changes = Changes::new().set("text", "cherry pear");
        let batch = Batch::new()
            .update(name, Filter::key(1), changes)
            .update(name, Filter::key(3), Changes::new().append("text", " apple"))
            .create(name, vec![record![4, "pear tree", 0]]);
        storage.execute(batch).await.unwrap();
    }
    assert_eq!(found(&storage, "apple").await, [2, 3]);
    assert_eq!(found(&storage, "pear").await, [1, 2, 4]);
    for name in BOTH {
        let step = |rule, text: &str| Step::create_or(name, vec![record![2, text, 0]], rule);
        let batch = Batch::new()
            .step(step(OnConflict::Replace, "walnut"))
            .step(step(OnConflict::Skip, "ghost"))
            .update(name, Filter::key(1), Changes::new().unset("text"))
            .delete(name, Filter::key(4));
        storage.execute(batch).await.unwrap();
    }
    assert_eq!(found(&storage, "pear").await, NONE);
    assert_eq!(found(&storage, "apple").await, [3]);
    assert_eq!(found(&storage, "walnut").await, [2]);
    assert_eq!(found(&storage, "ghost").await, NONE);
    for name in BOTH {
        let batch = Batch::new().create(name, vec![record![4, "back again", 0]]);
        storage.execute(batch).await.unwrap();
    }
    assert_eq!(found(&storage, "back").await, [4]);
    assert_eq!(found(&storage, "tree").await, NONE, "of the object that had the key before");
}

/// What was never written is not found.
pub async fn after_a_batch_that_failed(h: Harness) {
    let storage = opened(&h, &["apple", "pear"]).await;
    for name in BOTH {
        let batch = Batch::new()
            .create(name, vec![record![9, "ghost apple", 0]])
            .update(name, Filter::key(1), Changes::new().set("text", "ghost"))
            .delete(name, Filter::key(2))
            .then(|_| Err(Error::Aborted { reason: "given up".to_owned() }));
        refused(storage.execute(batch).await, ErrorKind::Conflict, &["given up"]);
    }
    assert_eq!(found(&storage, "ghost").await, NONE);
    assert_eq!(found(&storage, "apple").await, [1]);
    assert_eq!(found(&storage, "pear").await, [2]);
}

pub async fn in_texts_that_are_not_there(h: Harness) {
    let storage = empty(&h).await;
    for name in BOTH {
        let records = vec![record![1, Value::Null, 0], record![2, "", 0], record![3, "null", 0]];
        storage.execute(Batch::new().create(name, records)).await.unwrap();
    }
    assert_eq!(found(&storage, "null").await, [3]);
    assert_eq!(matching(&storage, field("text").search("null").negate()).await, [1, 2]);
}

/// A batch sees its own words before it is committed.
pub async fn within_a_batch(h: Harness) {
    let storage = opened(&h, &["apple", "pear"]).await;
    for name in BOTH {
        let ask = |words: &str| {
            Query::new(name)
                .filter(field("text").search(words))
                .order_by("id", Direction::Ascending)
        };
        let batch = Batch::new()
            .create(name, vec![record![3, "apple pie", 0]])
            .update(name, field("text").search("pear"), Changes::new().set("text", "apple"))
            .require(ask("apple"), 3)
            .delete(name, field("text").search("pie"))
            .find(ask("apple"));
        let outcome = storage.execute(batch).await.unwrap();
        assert_eq!(ids(&outcome.into_found()), [1, 2], "{name}");
    }
}

pub async fn with_other_conditions(h: Harness) {
    let texts: Vec<String> =
        (1..=30).map(|n| format!("all {}", ["odd", "even"][1 - n % 2])).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let storage = opened(&h, &texts).await;
    let all = field("text").search("all");
    let even = field("text").search("even");
    assert_eq!(matching(&storage, all.clone()).await.len(), 30);
    assert_eq!(matching(&storage, even.clone().and(field("n").eq(0))).await, [6, 12, 18, 24, 30]);
    assert_eq!(matching(&storage, all.clone().and(even.clone().negate())).await.len(), 15);
    assert_eq!(matching(&storage, even.clone().or(field("id").lt(4))).await.len(), 17);
    let keys = Filter::Keys([4, 5, 6, 99].map(Key::single).to_vec());
    assert_eq!(matching(&storage, keys.and(even.clone())).await, [4, 6]);
    let odd = field("text").search("odd");
    assert_eq!(matching(&storage, Filter::And(vec![even.clone(), odd.clone()])).await, NONE);
    assert_eq!(matching(&storage, Filter::Or(vec![even, odd])).await.len(), 30);
}

pub async fn with_an_order_and_a_limit(h: Harness) {
    let texts: Vec<String> = (1..=50).map(|n| format!("w{} every", n % 2)).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let storage = opened(&h, &texts).await;
    let mut expected: Vec<i64> = (1..=50).filter(|n| n % 2 == 1).collect();
    expected.sort_by_key(|id| (std::cmp::Reverse(id % 3), *id));
    for name in BOTH {
        let query = Query::new(name)
            .filter(field("text").search("w1"))
            .order_by("n", Direction::Descending);
        assert_eq!(ids(&storage.find(query.clone()).await.unwrap()), expected, "{name}");
        let some = query.clone().limit(4).offset(3);
        assert_eq!(ids(&storage.find(some.clone()).await.unwrap()), expected[3..7]);
        assert_eq!(storage.count(some).await.unwrap(), 4);
        let collection = storage.registry().collection(name).unwrap();
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let mut page = query.clone().limit(6);
            page.after = after.take();
            let records = storage.find(page).await.unwrap();
            let Some(last) = records.last() else { break };
            after = Some(query.position_of(collection, last));
            seen.extend(ids(&records));
        }
        assert_eq!(seen, expected, "{name}");
        let words = query.select(["text", "id"]).limit(1);
        assert_eq!(storage.find(words).await.unwrap(), [record!["w1 every", 5]]);
    }
}

pub async fn in_objects_with_compound_keys(h: Harness) {
    let definition = |name: &str| {
        Definition::new(name)
            .field("a", FieldType::Int)
            .field("b", FieldType::String)
            .field("text", FieldType::Text)
            .primary_key(["b", "a"])
    };
    let registry = Registry::builder()
        .collection(definition(PLAIN))
        .collection(definition(INDEXED).index(["text"]));
    let storage = h.open(registry.build().unwrap()).await;
    for name in BOTH {
        let records: Vec<Record> = vec![
            record![1, "x", "red fox"],
            record![1, "y", "red dog"],
            record![2, "x", "grey fox"],
        ];
        storage.execute(Batch::new().create(name, records)).await.unwrap();
        let query = |words: &str| {
            let filter = field("text").search(words);
            Query::new(name).filter(filter).order_by("b", Direction::Ascending)
        };
        let foxes = storage.find(query("fox")).await.unwrap();
        assert_eq!(foxes, [record![1, "x", "red fox"], record![2, "x", "grey fox"]]);
        let objects = storage.dynamic(name).unwrap();
        let red = json!({ "text": { "$search": "red" } });
        let changed = objects.update(&red, &json!({ "text": "blue" })).await.unwrap();
        assert_eq!(changed.len(), 2);
        assert_eq!(storage.count(query("red")).await.unwrap(), 0);
        assert_eq!(storage.count(query("blue")).await.unwrap(), 2);
        objects.delete(&json!({ "text": { "$search": "fox" } })).await.unwrap();
        assert_eq!(storage.count(query("fox")).await.unwrap(), 0);
        assert_eq!(storage.count(query("blue")).await.unwrap(), 2);
    }
}

/// One field of several that have an index over their words.
pub async fn in_one_of_several_texts(h: Harness) {
    let definition = Definition::new(PLAIN)
        .key_format(KeyFormat::Int)
        .field("title", FieldType::Text)
        .field("body", FieldType::Text)
        .index(["title"])
        .index(["body"]);
    let storage = h.open(Registry::builder().collection(definition).build().unwrap()).await;
    let records =
        vec![record![1, "fox", "dog"], record![2, "dog", "fox"], record![3, "dog", "cat"]];
    storage.execute(Batch::new().create(PLAIN, records)).await.unwrap();
    let found = async |filter: Filter| {
        let query = Query::new(PLAIN).filter(filter).order_by("id", Direction::Ascending);
        ids(&storage.find(query).await.unwrap())
    };
    assert_eq!(found(field("title").search("fox")).await, [1]);
    assert_eq!(found(field("body").search("fox")).await, [2]);
    assert_eq!(found(field("title").search("dog").and(field("body").search("fox"))).await, [2]);
    assert_eq!(found(field("title").search("fox").or(field("body").search("fox"))).await, [1, 2]);
}

/// Long texts, words of which most are the same, and one in each.
pub async fn in_long_texts(h: Harness) {
    let texts: Vec<String> = (0..12)
        .map(|n| format!("{} needle{n} {}", "hay ".repeat(4_000), "x".repeat(5_000)))
        .collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let storage = opened(&h, &texts).await;
    assert_eq!(found(&storage, "needle7").await, [8]);
    assert_eq!(found(&storage, "needle1*").await, [2, 11, 12]);
    assert_eq!(found(&storage, "hay").await.len(), 12);
    assert_eq!(found(&storage, &"x".repeat(5_000)).await.len(), 12, "a word of any length");
    assert_eq!(found(&storage, &"x".repeat(4_999)).await, NONE);
}

pub async fn without_words_are_refused(h: Harness) {
    let storage = opened(&h, &["a", "b"]).await;
    for words in ["", " ", "*", "!?", "\u{301}", "-- ''", "\0"] {
        for name in BOTH {
            let filter = field("text").search(words);
            let query = Query::new(name).filter(filter.clone());
            refused(storage.find(query.clone()).await, ErrorKind::Invalid, &[name, "text", "word"]);
            refused(storage.count(query).await, ErrorKind::Invalid, &[name, "text"]);
            let batch = Batch::new().delete(name, Filter::key(2)).delete(name, filter.negate());
            refused(storage.execute(batch).await, ErrorKind::Invalid, &[name, "text"]);
        }
    }
    let query = Query::new(PLAIN).filter(field("n").search("1"));
    refused(storage.find(query).await, ErrorKind::Invalid, &[PLAIN, "`n`"]);
    let query = Query::new(PLAIN).filter(field("nowhere").search("1"));
    refused(storage.find(query).await, ErrorKind::Invalid, &[PLAIN, "nowhere"]);
    assert_eq!(found(&storage, "b").await, [2], "nothing was deleted");
}

/// A text that is written by one program is found by the next.
pub async fn after_opening_again(h: Harness) {
    let storage = opened(&h, &["red fox", "grey fox", "dog"]).await;
    storage.close().await.unwrap();
    let persistent = h.backend().capabilities().persistent;
    let storage = empty(&h).await;
    if persistent {
        assert_eq!(found(&storage, "fox").await, [1, 2]);
        assert_eq!(found(&storage, "gr*").await, [2]);
    } else {
        assert_eq!(found(&storage, "fox").await, NONE);
    }
}
