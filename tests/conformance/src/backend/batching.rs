//! Several steps as one batch.

use serde_json::json;
use storex_core::{
    Batch, Changes, Create, Definition, Direction, ErrorKind, FieldType, Filter, Key, Link,
    OnConflict, Query, RelationDefinition, Step, StepOutcome, Value, field,
};

use crate::Harness;
use crate::support::{
    OBJECT, assert_objects, dump, ids, numbered, numbers, open_one, record, records, refused,
    registry, step,
};

fn users_and_emails() -> storex_core::Registry {
    registry([
        Definition::new("user").field("displayName", FieldType::String),
        Definition::new("email")
            .field("address", FieldType::String)
            .relation(RelationDefinition::child_of("user")),
    ])
}

/// storex-facts 1.14, case 28.
pub async fn creates_with_a_placeholder(h: Harness) {
    let storage = h.open(users_and_emails()).await;
    let email = json!({ "address": "joe@doe.com", "user": { "$placeholder": "joe" } });
    let batch = Batch::new()
        .create_json(&storage, "user", "jane", &json!({ "displayName": "Jane" }))
        .and_then(|it| it.create_json(&storage, "user", "joe", &json!({ "displayName": "Joe" })))
        .and_then(|it| it.create_json(&storage, "email", "joeEmail", &email))
        .unwrap();
    let outcome = storage.execute(batch).await.unwrap();
    let key = |name| outcome.key(name).and_then(Key::as_text).expect("the placeholder has a key");
    assert_eq!(outcome.key("somebody"), None);
    let (jane, joe) = (key("jane"), key("joe"));
    assert_ne!(jane, joe);
    let users = storage.dynamic("user").unwrap();
    let user = |id, name| Some(json!({ "id": id, "displayName": name }));
    assert_eq!(users.get(jane).await.unwrap(), user(jane, "Jane"));
    assert_eq!(users.get(joe).await.unwrap(), user(joe, "Joe"));
    assert_eq!(
        dump(&storage, "email").await,
        [json!({ "id": key("joeEmail"), "address": "joe@doe.com", "user": joe })]
    );
}

/// storex-facts 1.14, case 29.
pub async fn an_empty_batch(h: Harness) {
    let (storage, _) = numbers(&h, &[(1, 1)]).await;
    let outcome = storage.execute(Batch::new()).await.unwrap();
    assert_eq!(outcome.of_step(0).count(), 0);
    assert_objects(&storage, json!([{ "id": 1, "n": 1 }])).await;
}

/// storex-facts 1.14, case 30, which is empty there.
pub async fn objects_with_compound_keys(h: Harness) {
    let definition = Definition::new("user")
        .field("first", FieldType::String)
        .field("last", FieldType::String)
        .optional("age", FieldType::Int)
        .primary_key(["first", "last"]);
    let (storage, users) = open_one(&h, definition).await;
    let key = |first: &str| Key::compound([Value::from(first), Value::from("Doe")]);
    let batch = Batch::new()
        .create_json(&storage, "user", "jane", &json!({ "first": "Jane", "last": "Doe" }))
        .and_then(|it| {
            it.create_json(&storage, "user", "joe", &json!({ "first": "Joe", "last": "Doe" }))
        })
        .unwrap()
        .update("user", Filter::key(key("Jane")), Changes::new().set("age", 30))
        .create("user", vec![record!["Max", "Doe", 5]])
        .delete("user", Filter::Keys(vec![key("Max"), key("Nobody")]));
    let outcome = storage.execute(batch).await.unwrap();
    assert_eq!(outcome.key("jane"), Some(&key("Jane")));
    assert_eq!(outcome.key("joe"), Some(&key("Joe")));
    assert_eq!(step(&outcome, 4), &StepOutcome::Deleted { keys: vec![key("Max")] });
    assert_eq!(
        dump(&storage, "user").await,
        [
            json!({ "first": "Jane", "last": "Doe", "age": 30 }),
            json!({ "first": "Joe", "last": "Doe", "age": null }),
        ]
    );
    assert!(users.delete_one(&json!({ "first": "Joe", "last": "Doe" })).await.unwrap());
    assert_eq!(users.count(&json!({})).await.unwrap(), 1);
}

/// storex-facts 1.14, case 31.
pub async fn two_updates(h: Harness) {
    let storage = h.open(users_and_emails()).await;
    let users = storage.dynamic("user").unwrap();
    let first = users.create(json!({ "displayName": "Jack" })).await.unwrap();
    let second = users.create(json!({ "displayName": "Jane" })).await.unwrap();
    let rename = |batch: Batch, id: &serde_json::Value, name: &str| {
        let key = Key::from(id.as_str().unwrap());
        batch.update("user", Filter::key(key), Changes::new().set("displayName", name))
    };
    let batch = rename(Batch::new(), &first["id"], "Jack 2");
    storage.execute(rename(batch, &second["id"], "Jane 2")).await.unwrap();
    assert_eq!(
        dump(&storage, "user").await,
        [
            json!({ "id": first["id"], "displayName": "Jack 2" }),
            json!({ "id": second["id"], "displayName": "Jane 2" }),
        ]
    );
}

/// storex-facts 1.14, case 32.
pub async fn two_deletes(h: Harness) {
    let storage = h.open(users_and_emails()).await;
    let users = storage.dynamic("user").unwrap();
    let first = users.create(json!({ "displayName": "Jack" })).await.unwrap();
    let second = users.create(json!({ "displayName": "Jane" })).await.unwrap();
    let by_name = |name: &str| field("displayName").eq(name);
    let batch = Batch::new().delete("user", by_name("Jack")).delete("user", by_name("Jane"));
    storage.execute(batch).await.unwrap();
    for user in [first, second] {
        assert_eq!(users.get(user["id"].as_str().unwrap()).await.unwrap(), None);
    }
}

/// A step sees what the steps before it did.
pub async fn steps_run_in_order(h: Harness) {
    let (storage, _) = numbers(&h, &[(1, 1)]).await;
    let all = || Query::new(OBJECT).order_by("id", Direction::Ascending);
    let batch = Batch::new()
        .find(all())
        .create(OBJECT, vec![record![2, 2], record![3, 3]])
        .find(all())
        .update(OBJECT, field("n").gte(2), Changes::new().increment("n", 10))
        .step(Step::Count(Query::new(OBJECT).filter(field("n").gte(10))))
        .delete(OBJECT, field("n").eq(12))
        .create(OBJECT, vec![record![2, 0]])
        .find(all());
    let outcome = storage.execute(batch).await.unwrap();
    let found = |n| match step(&outcome, n) {
        StepOutcome::Found(records) => records.clone(),
        other => panic!("step {n} gave {other:?}"),
    };
    assert_eq!(found(0), [record![1, 1]]);
    assert_eq!(found(2), [record![1, 1], record![2, 2], record![3, 3]]);
    assert_eq!(step(&outcome, 4), &StepOutcome::Counted(2));
    assert_eq!(step(&outcome, 5), &StepOutcome::Deleted { keys: vec![Key::single(2)] });
    assert_eq!(found(7), [record![1, 1], record![2, 0], record![3, 13]]);
    assert_eq!(records(&storage, OBJECT).await, found(7));
}

pub async fn a_find_within_a_batch_is_a_find(h: Harness) {
    let (storage, _) = numbers(&h, &[(1, Some(3)), (2, None), (3, Some(1)), (4, Some(2))]).await;
    let keys = Filter::Keys([4, 9, 1].map(Key::single).to_vec());
    for query in [
        Query::new(OBJECT).order_by("n", Direction::Descending).limit(2).offset(1),
        Query::new(OBJECT).filter(keys.clone()),
        Query::new(OBJECT).filter(keys).select(["n"]),
        Query::new(OBJECT).filter(field("n").ne(3)).order_by("n", Direction::Ascending),
    ] {
        let batch = Batch::new().find(query.clone()).step(Step::Count(query.clone()));
        let outcome = storage.execute(batch).await.unwrap();
        let found = storage.find(query.clone()).await.unwrap();
        assert_eq!(step(&outcome, 0), &StepOutcome::Found(found.clone()), "{query:?}");
        assert_eq!(step(&outcome, 1), &StepOutcome::Counted(found.len() as u64), "{query:?}");
    }
}

pub async fn a_batch_over_several_collections(h: Harness) {
    let other = Definition::new("other").field("id", FieldType::Int).primary_key(["id"]);
    let storage = h.open(registry([numbered(), other])).await;
    let batch = Batch::new()
        .create(OBJECT, vec![record![1, 1]])
        .create("other", vec![record![7], record![8]])
        .update(OBJECT, Filter::All, Changes::new().set("n", 2))
        .delete("other", Filter::key(7));
    storage.execute(batch).await.unwrap();
    assert_eq!(records(&storage, OBJECT).await, [record![1, 2]]);
    assert_eq!(ids(&records(&storage, "other").await), [8]);
}

/// A batch is data: a clone of it does the same once more.
pub async fn a_batch_can_be_executed_again(h: Harness) {
    let (storage, _) = numbers(&h, &[(1, 0)]).await;
    let batch = Batch::new()
        .update(OBJECT, Filter::All, Changes::new().increment("n", 1))
        .find(Query::new(OBJECT))
        .then(|trace| {
            let n = trace.found(0)[0].get(1).as_int().unwrap();
            Ok(vec![Step::create(OBJECT, vec![record![100 + n, None::<i64>]])])
        });
    storage.execute(batch.clone()).await.unwrap();
    let only_first = Batch::new().delete(OBJECT, field("id").gt(1));
    storage.execute(only_first).await.unwrap();
    storage.execute(batch).await.unwrap();
    assert_eq!(records(&storage, OBJECT).await, [record![1, 2], record![102, None::<i64>]]);
}

pub async fn two_thousand_steps(h: Harness) {
    let (storage, _) = numbers::<i64>(&h, &[]).await;
    let mut batch = Batch::new();
    for id in 0..1000_i64 {
        batch = batch.create(OBJECT, vec![record![id, 0]]).update(
            OBJECT,
            Filter::key(id),
            Changes::new().increment("n", id),
        );
    }
    let outcome = storage.execute(batch).await.unwrap();
    assert_eq!(outcome.of_step(1999).count(), 1);
    let expected: Vec<_> = (0..1000_i64).map(|id| record![id, id]).collect();
    assert_eq!(records(&storage, OBJECT).await, expected);
}

/// A create in which record 0 has the placeholder and is linked.
fn linked(collection: &str, record: storex_core::Record, own: &str, to: &str) -> Step {
    Step::Create(Create {
        collection: collection.into(),
        records: vec![record],
        on_conflict: OnConflict::Fail,
        placeholders: vec![(0, own.into())],
        links: vec![Link { record: 0, field: "n".into(), placeholder: to.into() }],
    })
}

pub async fn links_to_several_records_of_several_steps(h: Harness) {
    let (storage, _) = numbers::<i64>(&h, &[]).await;
    let named = |records: Vec<_>, names: &[(usize, &str)], links: &[(usize, &str)]| {
        Step::Create(Create {
            collection: OBJECT.into(),
            records,
            on_conflict: OnConflict::Fail,
            placeholders: names.iter().map(|(at, name)| (*at, (*name).into())).collect(),
            links: links
                .iter()
                .map(|(at, name)| Link {
                    record: *at,
                    field: "n".into(),
                    placeholder: (*name).into(),
                })
                .collect(),
        })
    };
    let batch = Batch::new()
        .step(named(vec![record![10, 0], record![20, 0]], &[(1, "b"), (0, "a")], &[]))
        .step(named(
            vec![record![1, 0], record![2, 0], record![3, 0]],
            &[(2, "c")],
            &[(2, "a"), (0, "b")],
        ))
        .step(named(vec![record![4, None::<i64>]], &[], &[(0, "c")]));
    let outcome = storage.execute(batch).await.unwrap();
    assert_eq!(outcome.key("a"), Some(&Key::single(10)));
    assert_eq!(
        records(&storage, OBJECT).await,
        [
            record![1, 20],
            record![2, 0],
            record![3, 10],
            record![4, 3],
            record![10, 0],
            record![20, 0]
        ]
    );
}

pub async fn a_link_to_an_unknown_placeholder_is_refused(h: Harness) {
    let (storage, _) = numbers(&h, &[(1, 1)]).await;
    let first = record![5, 0];
    let batch = Batch::new().step(linked(OBJECT, first, "a", "nobody"));
    refused(storage.execute(batch).await, ErrorKind::Invalid, &[OBJECT, "`nobody`", "`n`"]);
    assert_objects(&storage, json!([{ "id": 1, "n": 1 }])).await;
}

/// Neither to a later step nor to its own object.
pub async fn a_link_forwards_is_refused(h: Harness) {
    let (storage, _) = numbers(&h, &[(1, 1)]).await;
    let batch = Batch::new()
        .create(OBJECT, vec![record![4, 0]])
        .step(linked(OBJECT, record![5, 0], "a", "b"))
        .step(linked(OBJECT, record![6, 0], "b", "a"));
    refused(storage.execute(batch).await, ErrorKind::Invalid, &[OBJECT, "`b`"]);
    let batch = Batch::new().step(linked(OBJECT, record![5, 0], "a", "a"));
    refused(storage.execute(batch).await, ErrorKind::Invalid, &[OBJECT, "`a`"]);
    assert_objects(&storage, json!([{ "id": 1, "n": 1 }])).await;
}

pub async fn a_placeholder_of_another_batch_is_refused(h: Harness) {
    let (storage, _) = numbers::<i64>(&h, &[]).await;
    let named = |id: i64, name: &str| {
        let mut create = Step::create(OBJECT, vec![record![id, 0]]);
        if let Step::Create(create) = &mut create {
            create.placeholders.push((0, name.into()));
        }
        create
    };
    storage.execute(Batch::new().step(named(1, "a"))).await.unwrap();
    let batch = Batch::new().step(linked(OBJECT, record![2, 0], "b", "a"));
    refused(storage.execute(batch).await, ErrorKind::Invalid, &["`a`"]);
    // And the name is free again.
    storage.execute(Batch::new().step(named(3, "a"))).await.unwrap();
}

pub async fn a_placeholder_used_twice_is_refused(h: Harness) {
    let (storage, _) = numbers::<i64>(&h, &[]).await;
    let named = |id: i64| {
        let mut create = Step::create(OBJECT, vec![record![id, 0]]);
        if let Step::Create(create) = &mut create {
            create.placeholders.push((0, "a".into()));
        }
        create
    };
    let batch = Batch::new().step(named(1)).step(named(2));
    refused(storage.execute(batch).await, ErrorKind::Invalid, &[OBJECT, "`a`", "twice"]);
    assert_objects(&storage, json!([])).await;
}

pub async fn placeholders_and_links_of_records_that_are_not_there(h: Harness) {
    let (storage, _) = numbers::<i64>(&h, &[]).await;
    let create = |placeholders: &[(usize, &str)], links: &[(usize, &str)]| {
        let links = links.iter().map(|(record, placeholder)| Link {
            record: *record,
            field: "n".into(),
            placeholder: (*placeholder).into(),
        });
        Step::Create(Create {
            collection: OBJECT.into(),
            records: vec![record![1, 0]],
            on_conflict: OnConflict::Skip,
            placeholders: placeholders.iter().map(|(at, name)| (*at, (*name).into())).collect(),
            links: links.collect(),
        })
    };
    let batch = Batch::new().step(create(&[(1, "a")], &[]));
    refused(storage.execute(batch).await, ErrorKind::Invalid, &[OBJECT, "`a`"]);
    let batch = Batch::new().step(create(&[(0, "a")], &[])).step(create(&[], &[(1, "a")]));
    refused(storage.execute(batch).await, ErrorKind::Invalid, &[OBJECT, "`n`"]);
    assert_objects(&storage, json!([])).await;
}

/// A key of several fields fits into no single field.
pub async fn a_link_to_a_compound_key_is_refused(h: Harness) {
    let pair = Definition::new("pair")
        .field("a", FieldType::Int)
        .field("b", FieldType::Int)
        .primary_key(["a", "b"]);
    let storage = h.open(registry([numbered(), pair])).await;
    let mut first = Step::create("pair", vec![record![1, 2]]);
    if let Step::Create(create) = &mut first {
        create.placeholders.push((0, "pair".into()));
    }
    let batch = Batch::new().step(first).step(linked(OBJECT, record![1, 0], "a", "pair"));
    refused(storage.execute(batch).await, ErrorKind::Invalid, &[OBJECT, "`n`", "`pair`"]);
    assert_eq!(dump(&storage, "pair").await, Vec::<serde_json::Value>::new());
}

/// The placeholder of an object that was left out is the key of the one that is there.
pub async fn the_placeholder_of_a_skipped_object(h: Harness) {
    let (storage, _) = numbers(&h, &[(7, 70)]).await;
    let mut first = Step::create_or(OBJECT, vec![record![7, 0]], OnConflict::Skip);
    if let Step::Create(create) = &mut first {
        create.placeholders.push((0, "seven".into()));
    }
    let batch = Batch::new().step(first).step(linked(OBJECT, record![8, 0], "eight", "seven"));
    let outcome = storage.execute(batch).await.unwrap();
    assert_eq!(outcome.key("seven"), Some(&Key::single(7)));
    assert_eq!(records(&storage, OBJECT).await, [record![7, 70], record![8, 7]]);
}
