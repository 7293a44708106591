//! What is told of changes: after the commit, and only then.

use std::cell::Cell;
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::json;
use storex_core::{
    Batch, ChangeEvent, ChangeKind, ChangeSet, ChangeStream, Changes, Context, Definition, Error,
    FieldType, Filter, Key, Middleware, Next, ObjectChange, OnConflict, Operation, Origin, Outcome,
    Query, Result, Step, field,
};

use crate::Harness;
use crate::support::{
    OBJECT, ids, join, numbered, numbers, open_one, pass, record, records, registry, sorted_keys,
};

/// The change sets that are there by now.
fn told(changes: &mut ChangeStream) -> Vec<ChangeSet> {
    let events = std::iter::from_fn(|| changes.try_next());
    events
        .map(|event| match event {
            ChangeEvent::Changed(set) => set,
            other => panic!("{other:?}"),
        })
        .collect()
}

/// A change of objects with integer keys.
fn change(collection: &str, kind: ChangeKind, keys: &[i64]) -> ObjectChange {
    let keys = keys.iter().map(|key| Key::single(*key)).collect();
    ObjectChange { collection: collection.into(), kind, keys }
}

fn local(changes: Vec<ObjectChange>) -> ChangeSet {
    ChangeSet { origin: Origin::Local, changes }
}

pub async fn creates_updates_and_deletes(h: Harness) {
    let (storage, objects) = numbers(&h, &[(1, 1)]).await;
    let mut changes = storage.changes();
    objects.create(json!({ "id": 2 })).await.unwrap();
    objects.update(&json!({ "id": 2 }), &json!({ "n": 5 })).await.unwrap();
    objects.delete(&json!({ "n": 1 })).await.unwrap();
    assert_eq!(
        told(&mut changes),
        [
            local(vec![change(OBJECT, ChangeKind::Created, &[2])]),
            local(vec![change(OBJECT, ChangeKind::Updated, &[2])]),
            local(vec![change(OBJECT, ChangeKind::Deleted, &[1])]),
        ]
    );
}

pub async fn keys_that_were_made_are_told(h: Harness) {
    let (storage, objects) =
        open_one(&h, Definition::new(OBJECT).optional("n", FieldType::Int)).await;
    let mut changes = storage.changes();
    let keys = objects.create_many(&[json!({}), json!({})]).await.unwrap();
    assert_eq!(told(&mut changes)[0].changes[0].keys, keys);
}

/// One set per batch, its changes in the order in which they were made.
pub async fn a_batch_is_one_set(h: Harness) {
    let other = Definition::new("other").field("id", FieldType::Int).primary_key(["id"]);
    let storage = h.open(registry([numbered(), other])).await;
    let mut changes = storage.changes();
    let batch = Batch::new()
        .create(OBJECT, vec![record![1, 1], record![2, 2]])
        .create("other", vec![record![7]])
        .update(OBJECT, Filter::key(2), Changes::new().set("n", 3))
        .delete("other", Filter::All)
        .create(OBJECT, vec![record![3, 3]]);
    storage.execute(batch).await.unwrap();
    assert_eq!(
        told(&mut changes),
        [local(vec![
            change(OBJECT, ChangeKind::Created, &[1, 2]),
            change("other", ChangeKind::Created, &[7]),
            change(OBJECT, ChangeKind::Updated, &[2]),
            change("other", ChangeKind::Deleted, &[7]),
            change(OBJECT, ChangeKind::Created, &[3]),
        ])]
    );
}

pub async fn what_continuations_change(h: Harness) {
    let (storage, _) = numbers(&h, &[(1, 1)]).await;
    let mut changes = storage.changes();
    let batch = Batch::new().find(Query::new(OBJECT)).then(|_| {
        Ok(vec![
            Step::create(OBJECT, vec![record![2, 2]]),
            Step::then(|_| {
                Ok(vec![Step::Delete { collection: OBJECT.into(), filter: Filter::key(1) }])
            }),
        ])
    });
    storage.execute(batch).await.unwrap();
    assert_eq!(
        told(&mut changes),
        [local(vec![
            change(OBJECT, ChangeKind::Created, &[2]),
            change(OBJECT, ChangeKind::Deleted, &[1]),
        ])]
    );
}

pub async fn by_a_filter_exactly_the_objects_touched(h: Harness) {
    let (storage, _) = numbers(&h, &[(1, 1), (2, 2), (3, 2), (4, 3)]).await;
    let mut changes = storage.changes();
    let batch = Batch::new()
        .update(OBJECT, field("n").eq(2), Changes::new().increment("n", 5))
        .delete(OBJECT, field("n").lt(7));
    storage.execute(batch).await.unwrap();
    let sets = told(&mut changes);
    assert_eq!(sets.len(), 1);
    assert_eq!(sorted_keys(&sets[0].changes[0].keys), [2, 3]);
    assert_eq!(sorted_keys(&sets[0].changes[1].keys), [1, 4]);
}

pub async fn objects_that_were_left_out_are_not_told(h: Harness) {
    let (storage, _) = numbers(&h, &[(1, 1)]).await;
    let mut changes = storage.changes();
    let list = vec![record![1, 9], record![2, 9]];
    storage
        .execute(Batch::new().step(Step::create_or(OBJECT, list, OnConflict::Skip)))
        .await
        .unwrap();
    assert_eq!(told(&mut changes), [local(vec![change(OBJECT, ChangeKind::Created, &[2])])]);
}

pub async fn what_changes_nothing_is_not_told(h: Harness) {
    let (storage, objects) = numbers(&h, &[(1, 1)]).await;
    let mut changes = storage.changes();
    objects.find(&json!({})).await.unwrap();
    objects.count(&json!({})).await.unwrap();
    objects.update(&json!({ "n": 7 }), &json!({ "n": 8 })).await.unwrap();
    objects.delete(&json!({ "n": 7 })).await.unwrap();
    objects.create_many(&[]).await.unwrap();
    storage.execute(Batch::new()).await.unwrap();
    let skipped = Step::create_or(OBJECT, vec![record![1, 2]], OnConflict::Skip);
    storage.execute(Batch::new().step(skipped).find(Query::new(OBJECT))).await.unwrap();
    assert_eq!(told(&mut changes), []);
}

pub async fn a_failed_batch_is_not_told(h: Harness) {
    let (storage, objects) = numbers(&h, &[(1, 1)]).await;
    let mut changes = storage.changes();
    let good = || Batch::new().create(OBJECT, vec![record![5, 5]]);
    for batch in [
        good().create(OBJECT, vec![record![1, 1]]),
        good().then(|_| Err(Error::Aborted { reason: "no".to_owned() })),
        good().require(Query::new(OBJECT), 9),
        good().delete("nothing", Filter::All),
    ] {
        storage.execute(batch.clone()).await.unwrap_err();
        storage.apply(batch).await.unwrap_err();
    }
    objects.create(json!({ "id": "text" })).await.unwrap_err();
    assert_eq!(told(&mut changes), []);
    // The next one that succeeds is told alone.
    storage.execute(good()).await.unwrap();
    assert_eq!(told(&mut changes), [local(vec![change(OBJECT, ChangeKind::Created, &[5])])]);
}

/// Who hears of a change can read it.
pub async fn a_change_is_told_after_its_commit(h: Harness) {
    let (storage, objects) = numbers::<i64>(&h, &[]).await;
    for id in 0..20 {
        let mut changes = storage.changes();
        let heard = Cell::new(false);
        let reader = async {
            let event = changes.next().await;
            heard.set(true);
            (event, ids(&records(&storage, OBJECT).await))
        };
        let writer = async {
            objects.create(json!({ "id": id })).await.unwrap();
            // The reader hears of it when it is polled again, which is now.
            for _ in 0..100 {
                if !heard.get() {
                    pass().await;
                }
            }
            assert!(heard.get(), "{id} is not told");
        };
        let ((event, there), ()) = join(reader, writer).await;
        let created = local(vec![change(OBJECT, ChangeKind::Created, &[id])]);
        assert_eq!(event, Some(ChangeEvent::Changed(created)));
        assert!(there.contains(&id), "{id} is told but not there");
    }
}

pub async fn everybody_is_told(h: Harness) {
    let (storage, objects) = numbers::<i64>(&h, &[]).await;
    let (mut first, mut second) = (storage.changes(), storage.clone().changes());
    objects.create(json!({ "id": 1 })).await.unwrap();
    let mut late = storage.changes();
    objects.create(json!({ "id": 2 })).await.unwrap();
    assert_eq!(told(&mut first).len(), 2);
    assert_eq!(told(&mut second).len(), 2);
    assert_eq!(told(&mut late), [local(vec![change(OBJECT, ChangeKind::Created, &[2])])]);
}

/// Whoever does not keep up is told that something was missed, and goes on with what is left.
pub async fn a_slow_receiver_is_told_what_it_missed(h: Harness) {
    let (storage, objects) = numbers::<i64>(&h, &[]).await;
    let mut changes = storage.changes();
    for id in 0..1500 {
        objects.create(json!({ "id": id })).await.unwrap();
    }
    let Some(ChangeEvent::Missed(missed)) = changes.try_next() else {
        panic!("nothing was missed")
    };
    assert!((1..1500).contains(&missed), "{missed}");
    let rest = told(&mut changes);
    assert_eq!(rest.len() as u64 + missed, 1500);
    assert_eq!(rest[rest.len() - 1].changes[0].keys, [Key::single(1499)]);
}

pub async fn what_another_device_did_is_told_as_such(h: Harness) {
    let (storage, _) = numbers(&h, &[(1, 1)]).await;
    let mut changes = storage.changes();
    storage.apply(Batch::new().create(OBJECT, vec![record![2, 2]])).await.unwrap();
    let expected = ChangeSet {
        origin: Origin::Sync,
        changes: vec![change(OBJECT, ChangeKind::Created, &[2])],
    };
    assert_eq!(told(&mut changes), [expected]);
    assert_eq!(ids(&records(&storage, OBJECT).await), [1, 2]);
}

/// storex's own collections are nobody's business.
pub async fn reserved_collections_are_not_told(h: Harness) {
    let own =
        Definition::new("_storex_own").field("id", FieldType::Int).primary_key(["id"]).reserved();
    let storage = h.open(registry([numbered(), own])).await;
    let mut changes = storage.changes();
    storage.execute(Batch::new().create("_storex_own", vec![record![1]])).await.unwrap();
    assert_eq!(told(&mut changes), []);
    let both =
        Batch::new().create("_storex_own", vec![record![2]]).create(OBJECT, vec![record![1, 1]]);
    storage.execute(both).await.unwrap();
    assert_eq!(told(&mut changes), [local(vec![change(OBJECT, ChangeKind::Created, &[1])])]);
    assert_eq!(ids(&records(&storage, "_storex_own").await), [1, 2]);
}

/// Lets the operation happen and then gives an error.
#[derive(Debug)]
struct FailsAfterwards;

#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
impl Middleware for FailsAfterwards {
    async fn process(
        &self,
        cx: &mut Context,
        operation: Operation,
        next: Next<'_>,
    ) -> Result<Outcome> {
        let is_write = matches!(operation, Operation::Execute(_));
        let outcome = next.run(cx, operation).await?;
        if is_write { Err(Error::Aborted { reason: "afterwards".to_owned() }) } else { Ok(outcome) }
    }
}

/// What was committed is told, whatever a middleware makes of the outcome.
pub async fn a_commit_is_told_even_when_a_middleware_fails_afterwards(h: Harness) {
    let storage = h.open_with(registry([numbered()]), vec![Arc::new(FailsAfterwards)]).await;
    let mut changes = storage.changes();
    storage.execute(Batch::new().create(OBJECT, vec![record![1, 1]])).await.unwrap_err();
    assert_eq!(ids(&records(&storage, OBJECT).await), [1]);
    assert_eq!(told(&mut changes), [local(vec![change(OBJECT, ChangeKind::Created, &[1])])]);
}
