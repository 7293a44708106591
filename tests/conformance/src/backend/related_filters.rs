//! Filters on related objects: the parent by its alias, the children by their reverse alias.

use serde_json::{Value as Json, json};
use storex_core::{
    Batch, Changes, Definition, Direction, ErrorKind, FieldType, Filter, Key, KeyFormat, Query,
    Registry, RelationDefinition, Step, StepOutcome, Storage, Value, field, related,
};

use crate::Harness;
use crate::support::{NONE, ids, record, records, refused, registry, sorted_keys, step};

const USER: &str = "user";
const MAIL: &str = "mail";
const FILE: &str = "file";

/// Users have a boss and mails, and mails have files.
fn schema() -> Registry {
    registry([
        Definition::new(USER)
            .key_format(KeyFormat::Int)
            .field("name", FieldType::String)
            .optional("age", FieldType::Int)
            .relation(
                RelationDefinition::child_of(USER).alias("boss").reverse_alias("team").optional(),
            ),
        Definition::new(MAIL)
            .key_format(KeyFormat::Int)
            .field("subject", FieldType::Text)
            .relation(RelationDefinition::child_of(USER).reverse_alias("mails").optional())
            .index(["subject"]),
        Definition::new(FILE).key_format(KeyFormat::Int).field("size", FieldType::Int).relation(
            RelationDefinition::single_child_of(MAIL).reverse_alias("file").column("mailId"),
        ),
    ])
}

/// Ann is the boss of Bob and Cid, Bob of Dora; Eve is alone. The last mail is nobody's.
async fn opened(h: &Harness) -> Storage {
    let storage = h.open(schema()).await;
    let users = vec![
        record![1, "Ann", 60, Value::Null],
        record![2, "Bob", 40, 1],
        record![3, "Cid", 30, 1],
        record![4, "Dora", 20, 2],
        record![5, "Eve", Value::Null, Value::Null],
    ];
    let mails = vec![
        record![11, "hello world", 1],
        record![12, "hello again", 1],
        record![13, "bye", 2],
        record![14, "hello", 4],
        record![15, "hello nobody", Value::Null],
    ];
    let files = vec![record![21, 100, 11], record![22, 900, 13], record![23, 500, 15]];
    let batch = Batch::new().create(USER, users).create(MAIL, mails).create(FILE, files);
    storage.execute(batch).await.unwrap();
    storage
}

/// The keys of what matches, ascending, found as counted.
async fn matching(storage: &Storage, collection: &'static str, filter: Filter) -> Vec<i64> {
    let query = Query::new(collection).filter(filter);
    let counted = storage.count(query.clone()).await.unwrap();
    let mut found = ids(&storage.find(query).await.unwrap());
    assert_eq!(counted, found.len() as u64);
    found.sort_unstable();
    found
}

pub async fn by_the_parent(h: Harness) {
    let storage = opened(&h).await;
    let of = |filter| related(USER, filter);
    assert_eq!(matching(&storage, MAIL, of(field("name").eq("Ann"))).await, [11, 12]);
    assert_eq!(matching(&storage, MAIL, of(field("age").lt(50))).await, [13, 14]);
    assert_eq!(matching(&storage, MAIL, of(field("name").eq("Zoe"))).await, NONE);
    assert_eq!(matching(&storage, MAIL, of(Filter::key(2))).await, [13]);
    assert_eq!(matching(&storage, MAIL, of(Filter::All)).await, [11, 12, 13, 14], "has a parent");
    let large = related(MAIL, field("subject").search("hello"));
    assert_eq!(matching(&storage, FILE, large).await, [21, 23], "a column of another name");
}

/// However many of the children match, their parent is there once.
pub async fn by_the_children(h: Harness) {
    let storage = opened(&h).await;
    let with = |filter| related("mails", filter);
    assert_eq!(matching(&storage, USER, with(field("subject").search("hello"))).await, [1, 4]);
    assert_eq!(matching(&storage, USER, with(field("subject").eq("bye"))).await, [2]);
    assert_eq!(matching(&storage, USER, with(Filter::All)).await, [1, 2, 4], "has any");
    assert_eq!(matching(&storage, USER, with(field("id").gt(99))).await, NONE);
    assert_eq!(
        matching(&storage, MAIL, related("file", field("size").gte(500))).await,
        [13, 15],
        "a single child"
    );
}

pub async fn that_are_not_there(h: Harness) {
    let storage = opened(&h).await;
    let none = related("mails", field("subject").search("hello")).negate();
    assert_eq!(matching(&storage, USER, none).await, [2, 3, 5], "no mail that");
    let other = related("mails", field("subject").search("hello").negate());
    assert_eq!(matching(&storage, USER, other).await, [2], "some mail that not");
    assert_eq!(matching(&storage, USER, related("mails", Filter::All).negate()).await, [3, 5]);
    let not_anns = related(USER, field("name").eq("Ann")).negate();
    assert_eq!(matching(&storage, MAIL, not_anns).await, [13, 14, 15], "nobody's too");
    let nothing = related("mails", Filter::Or(Vec::new()));
    assert_eq!(matching(&storage, USER, nothing.clone()).await, NONE);
    assert_eq!(matching(&storage, USER, nothing.negate()).await, [1, 2, 3, 4, 5]);
}

/// A null that points nowhere is not the key of anything, and keys that are not there are nobody's.
pub async fn without_an_object_at_the_other_end(h: Harness) {
    let storage = opened(&h).await;
    storage.execute(Batch::new().create(MAIL, vec![record![16, "lost", 99]])).await.unwrap();
    assert_eq!(matching(&storage, MAIL, related(USER, Filter::All)).await, [11, 12, 13, 14]);
    let nobody = related(USER, Filter::All).negate();
    assert_eq!(matching(&storage, MAIL, nobody).await, [15, 16]);
}

pub async fn of_related_objects(h: Harness) {
    let storage = opened(&h).await;
    let with_file = related("mails", related("file", field("size").gt(500)));
    assert_eq!(matching(&storage, USER, with_file.clone()).await, [2]);
    let of_bobs_file = related(MAIL, related(USER, field("name").eq("Bob")));
    assert_eq!(matching(&storage, FILE, of_bobs_file).await, [22]);
    let whose_boss_has_a_file = related("boss", with_file);
    assert_eq!(matching(&storage, USER, whose_boss_has_a_file).await, [4]);
    let siblings = related("boss", related("team", field("name").eq("Cid")));
    assert_eq!(matching(&storage, USER, siblings).await, [2, 3]);
    let files_of_users_without_hello =
        related(MAIL, related(USER, related("mails", field("subject").search("hello")).negate()));
    assert_eq!(matching(&storage, FILE, files_of_users_without_hello).await, [22]);
}

pub async fn of_the_same_collection(h: Harness) {
    let storage = opened(&h).await;
    assert_eq!(matching(&storage, USER, related("boss", field("name").eq("Ann"))).await, [2, 3]);
    assert_eq!(matching(&storage, USER, related("team", Filter::All)).await, [1, 2]);
    assert_eq!(matching(&storage, USER, related("team", field("age").lt(25))).await, [2]);
    let up = related("boss", related("boss", field("name").eq("Ann")));
    assert_eq!(matching(&storage, USER, up).await, [4]);
    let down = related("team", related("team", Filter::All));
    assert_eq!(matching(&storage, USER, down).await, [1]);
    let itself = Changes::new().set("boss", 5);
    storage.execute(Batch::new().update(USER, Filter::key(5), itself)).await.unwrap();
    let own = related("boss", field("name").eq("Eve"));
    assert_eq!(matching(&storage, USER, own).await, [5], "its own boss");
}

pub async fn with_other_conditions(h: Harness) {
    let storage = opened(&h).await;
    let hello = || related("mails", field("subject").search("hello"));
    let bye = || related("mails", field("subject").eq("bye"));
    for (filter, expected) in [
        (hello().and(field("age").gt(30)), vec![1]),
        (hello().or(bye()), vec![1, 2, 4]),
        (hello().and(bye()), vec![]),
        (hello().or(field("name").eq("Eve")), vec![1, 4, 5]),
        (Filter::Keys([4, 3, 1].map(Key::single).to_vec()).and(hello()), vec![1, 4]),
        (hello().negate().and(bye().negate()), vec![3, 5]),
        (hello().and(bye()).negate(), vec![1, 2, 3, 4, 5]),
        (related("boss", Filter::All).and(related("mails", Filter::All)), vec![2, 4]),
    ] {
        assert_eq!(matching(&storage, USER, filter.clone()).await, expected, "{filter:?}");
    }
}

pub async fn with_orders_limits_and_pages(h: Harness) {
    let storage = h.open(schema()).await;
    let users = (1..=40).map(|id| record![id, format!("u{}", id % 4), id, Value::Null]).collect();
    let mails = (1..=80).map(|id| record![id, "x", (id - 1) / 2 + 1]).collect();
    storage.execute(Batch::new().create(USER, users).create(MAIL, mails)).await.unwrap();
    let query = Query::new(USER)
        .filter(related("mails", field("id").lte(41)))
        .order_by("name", Direction::Descending);
    let mut expected: Vec<i64> = (1..=21).collect();
    expected.sort_by_key(|id| (std::cmp::Reverse(id % 4), *id));
    assert_eq!(ids(&storage.find(query.clone()).await.unwrap()), expected);
    let some = query.clone().limit(5).offset(4);
    assert_eq!(ids(&storage.find(some.clone()).await.unwrap()), expected[4..9]);
    assert_eq!(storage.count(some.select(["name"])).await.unwrap(), 5);
    let collection = storage.registry().collection(USER).unwrap();
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let mut page = query.clone().limit(4);
        page.after = after.take();
        let records = storage.find(page).await.unwrap();
        let Some(last) = records.last() else { break };
        after = Some(query.position_of(collection, last));
        seen.extend(ids(&records));
    }
    assert_eq!(seen, expected);
}

pub async fn in_json(h: Harness) {
    let storage = opened(&h).await;
    let users = storage.dynamic(USER).unwrap();
    let names = async |filter: Json| {
        let options = json!({ "order": ["id"], "fields": ["name"] });
        let found = users.find_with(&filter, &options).await.unwrap();
        found.iter().map(|user| user["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let hello = json!({ "mails": { "$related": { "subject": { "$search": "hello" } } } });
    assert_eq!(names(hello.clone()).await, ["Ann", "Dora"]);
    assert_eq!(names(json!({ "$not": hello })).await, ["Bob", "Cid", "Eve"]);
    assert_eq!(names(json!({ "mails": { "$related": {} } })).await, ["Ann", "Bob", "Dora"]);
    assert_eq!(names(json!({ "boss": { "$related": { "name": "Ann" } } })).await, ["Bob", "Cid"]);
    assert_eq!(names(json!({ "boss": 2 })).await, ["Dora"], "the key itself");
    let nested = json!({ "mails": { "$related": { "file": { "$related": { "size": 900 } } } } });
    assert_eq!(names(nested).await, ["Bob"]);
}

/// What is changed and deleted is found before it is changed and deleted.
pub async fn in_updates_and_deletes(h: Harness) {
    let storage = opened(&h).await;
    let grow = Changes::new().increment("age", 1);
    let batch = Batch::new()
        .update(USER, related("mails", Filter::All), grow)
        .update(USER, related("team", Filter::All), Changes::new().unset("boss"))
        .delete(FILE, related(MAIL, related(USER, field("name").eq("Bob"))))
        .delete(MAIL, related(USER, Filter::All).negate());
    let outcome = storage.execute(batch).await.unwrap();
    let StepOutcome::Updated { keys, records: told, .. } = step(&outcome, 0) else {
        panic!("{outcome:?}")
    };
    assert_eq!(sorted_keys(keys), [1, 2, 4]);
    assert_eq!(told.len(), 3);
    let StepOutcome::Updated { keys, .. } = step(&outcome, 1) else { panic!("{outcome:?}") };
    assert_eq!(sorted_keys(keys), [1, 2]);
    let StepOutcome::Deleted { keys } = step(&outcome, 2) else { panic!("{outcome:?}") };
    assert_eq!(sorted_keys(keys), [22]);
    let StepOutcome::Deleted { keys } = step(&outcome, 3) else { panic!("{outcome:?}") };
    assert_eq!(sorted_keys(keys), [15]);
    let expected = [
        record![1, "Ann", 61, Value::Null],
        record![2, "Bob", 41, Value::Null],
        record![3, "Cid", 30, 1],
        record![4, "Dora", 21, 2],
        record![5, "Eve", Value::Null, Value::Null],
    ];
    assert_eq!(records(&storage, USER).await, expected);
    assert_eq!(ids(&records(&storage, MAIL).await), [11, 12, 13, 14]);
    assert_eq!(ids(&records(&storage, FILE).await), [21, 23]);
}

/// Each step sees what those before it have done, at the other end too.
pub async fn see_what_the_batch_has_done(h: Harness) {
    let storage = opened(&h).await;
    let with_bye = || related("mails", field("subject").eq("bye"));
    let ask = || Query::new(USER).filter(with_bye()).order_by("id", Direction::Ascending);
    let batch = Batch::new()
        .create(MAIL, vec![record![16, "bye", 5]])
        .find(ask())
        .update(MAIL, Filter::key(13), Changes::new().set("subject", "later"))
        .find(ask())
        .delete(MAIL, Filter::key(16))
        .find(ask());
    let outcome = storage.execute(batch).await.unwrap();
    for (n, expected) in [(1, vec![2, 5]), (3, vec![5]), (5, vec![])] {
        let StepOutcome::Found(found) = step(&outcome, n) else { panic!("{outcome:?}") };
        assert_eq!(ids(found), expected, "step {n}");
    }
    assert_eq!(outcome.executed().len(), 6, "what a filter looks up is no step of its own");
}

pub async fn in_preconditions_and_counts(h: Harness) {
    let storage = opened(&h).await;
    let bobs = || Query::new(MAIL).filter(related(USER, field("name").eq("Bob")));
    let rename = || Changes::new().set("name", "Robert");
    let batch = Batch::new().step(Step::Count(bobs())).require(bobs(), 1);
    let outcome = storage.execute(batch.update(USER, Filter::key(2), rename())).await.unwrap();
    assert_eq!(step(&outcome, 0), &StepOutcome::Counted(1));
    let batch = Batch::new().update(USER, Filter::key(1), rename()).require(bobs(), 1);
    refused(storage.execute(batch).await, ErrorKind::Conflict, &[MAIL, "0", "1"]);
    let robert = matching(&storage, USER, field("name").eq("Robert")).await;
    assert_eq!(robert, [2], "nothing of the second batch was written");
}

/// What a delete brings with it goes on from what the filter has found.
pub async fn in_deletes_that_bring_others_with_them(h: Harness) {
    let registry = registry([
        Definition::new("folder").key_format(KeyFormat::Int).field("name", FieldType::String),
        Definition::new("note")
            .key_format(KeyFormat::Int)
            .field("title", FieldType::String)
            .field("folder", FieldType::ForeignKey(KeyFormat::Int))
            .foreign_key(["folder"], "folder", ["id"], storex_core::OnDelete::Cascade)
            .relation(
                RelationDefinition::child_of("folder")
                    .alias("of")
                    .reverse_alias("notes")
                    .optional(),
            ),
    ]);
    let storage = h.open(registry).await;
    let folders = (1..=3).map(|id| record![id, format!("f{id}")]).collect();
    let notes = vec![record![1, "a", 1, 1], record![2, "b", 1, 1], record![3, "a", 2, 2]];
    storage.execute(Batch::new().create("folder", folders).create("note", notes)).await.unwrap();
    let batch = Batch::new().delete("folder", related("notes", field("title").eq("b")));
    storage.execute(batch).await.unwrap();
    assert_eq!(ids(&records(&storage, "folder").await), [2, 3]);
    assert_eq!(ids(&records(&storage, "note").await), [3]);
}

/// A transaction covers what the steps name and what their filters look at; for a continuation that has to be said.
pub async fn in_continuations(h: Harness) {
    let storage = opened(&h).await;
    let batch = |touching: &[&'static str]| {
        Batch::new().touching(touching.iter().copied()).find(Query::new(USER)).then(|_| {
            Ok(vec![Step::Update {
                collection: USER.into(),
                filter: related("mails", related("file", field("size").gt(500))),
                changes: Changes::new().set("name", "Big"),
            }])
        })
    };
    for touching in [&[][..], &[MAIL], &[FILE]] {
        let result = storage.execute(batch(touching)).await;
        refused(result, ErrorKind::Invalid, &["touching"]);
    }
    assert_eq!(matching(&storage, USER, field("name").eq("Big")).await, NONE);
    storage.execute(batch(&[MAIL, FILE])).await.unwrap();
    assert_eq!(matching(&storage, USER, field("name").eq("Big")).await, [2]);
    // A step of the batch itself has said it.
    let batch = Batch::new()
        .step(Step::Count(Query::new(USER).filter(related("mails", Filter::All))))
        .then(|_| {
            Ok(vec![Step::Find(Query::new(USER).filter(related("mails", field("id").eq(14))))])
        });
    assert_eq!(ids(&storage.execute(batch).await.unwrap().into_found()), [4]);
}

/// Nothing is written before it is noticed, wherever in the filter it stands.
pub async fn that_cannot_be_are_refused(h: Harness) {
    let storage = opened(&h).await;
    for (filter, words) in [
        (related("posts", Filter::All), vec![USER, "posts"]),
        (related(USER, Filter::All), vec![USER]),
        (related("name", Filter::All), vec![USER, "name"]),
        (related("", Filter::All), vec![USER]),
        (related("mails", field("nowhere").eq(1)), vec![MAIL, "nowhere"]),
        (related("mails", field("id").eq("x")), vec![MAIL, "id"]),
        (related("mails", Filter::key("x")), vec![MAIL, "id"]),
        (related("mails", field("subject").search("")), vec![MAIL, "subject"]),
        (related("mails", related("mails", Filter::All)), vec![MAIL, "mails"]),
        (related("mails", related("file", field("size").starts_with("1"))), vec![FILE, "size"]),
    ] {
        for filter in [filter.clone(), filter.clone().negate(), Filter::All.or(filter)] {
            let query = Query::new(USER).filter(filter.clone());
            refused(storage.find(query.clone()).await, ErrorKind::Invalid, &words);
            refused(storage.count(query.clone()).await, ErrorKind::Invalid, &words);
            let batch = Batch::new().delete(USER, Filter::key(5)).delete(USER, filter.clone());
            refused(storage.execute(batch).await, ErrorKind::Invalid, &words);
            let rename = Changes::new().set("name", "x");
            let batch =
                Batch::new().update(USER, Filter::All, rename.clone()).update(USER, filter, rename);
            refused(storage.execute(batch).await, ErrorKind::Invalid, &words);
        }
    }
    let users = storage.dynamic(USER).unwrap();
    for filter in [
        json!({ "posts": { "$related": {} } }),
        json!({ "mails": { "$related": { "nowhere": 1 } } }),
        json!({ "mails": { "$related": 1 } }),
        json!({ "mails": { "$related": { "subject": { "$near": 1 } } } }),
        json!({ "mails": {} }),
        json!({ "name": { "$related": {} } }),
    ] {
        refused(users.delete(&filter).await, ErrorKind::Invalid, &[]);
    }
    assert_eq!(matching(&storage, USER, field("name").ne("x")).await, [1, 2, 3, 4, 5]);
}

/// Two relations of which nobody could say which is meant.
pub async fn by_a_name_with_two_meanings_are_refused(h: Harness) {
    let child = |alias: &str| {
        RelationDefinition::child_of(USER).alias(alias).reverse_alias("letters").optional()
    };
    let registry = registry([
        Definition::new(USER).key_format(KeyFormat::Int).field("name", FieldType::String),
        Definition::new("letter")
            .key_format(KeyFormat::Int)
            .optional("text", FieldType::String)
            .relation(child("from"))
            .relation(child("to")),
    ]);
    let storage = h.open(registry).await;
    let users = vec![record![1, "Ann"], record![2, "Bob"]];
    let letters = vec![record![1, "x", 1, 2]];
    storage.execute(Batch::new().create(USER, users).create("letter", letters)).await.unwrap();
    let query = Query::new(USER).filter(related("letters", Filter::All));
    refused(storage.find(query).await, ErrorKind::Invalid, &[USER, "letters", "from", "to"]);
    let from_ann = related("from", field("name").eq("Ann"));
    assert_eq!(matching(&storage, "letter", from_ann.clone()).await, [1]);
    let to_ann = related("to", field("name").eq("Ann"));
    assert_eq!(matching(&storage, "letter", to_ann.clone()).await, NONE);
    assert_eq!(matching(&storage, "letter", from_ann.or(to_ann)).await, [1]);
}

/// More on the other end than a statement of any database takes values.
pub async fn by_thousands(h: Harness) {
    let storage = h.open(schema()).await;
    let users = (1..=3_000).map(|id| record![id, "u", id % 5, Value::Null]).collect();
    let mails = (1..=3_000).map(|id| record![id, "x", id]).collect();
    storage.execute(Batch::new().create(USER, users).create(MAIL, mails)).await.unwrap();
    let with = related("mails", field("id").gt(100));
    assert_eq!(storage.count(Query::new(USER).filter(with.clone())).await.unwrap(), 2_900);
    let without = with.clone().negate();
    assert_eq!(matching(&storage, USER, without).await, (1..=100).collect::<Vec<_>>());
    let some = with.and(field("age").eq(0)).and(field("id").lte(200));
    assert_eq!(storage.count(Query::new(USER).filter(some)).await.unwrap(), 20);
}
