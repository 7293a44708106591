//! Observers: what a batch changes, object by object, seen in its transaction and told after its commit.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use serde_json::json;
use storex_core::{
    AutoPk, Batch, ChangeKind, ChangeWatch, Changes, Collection, Context, Definition, Error,
    ErrorKind, FieldType, Filter, Key, Middleware, Next, ObjectImages, Observer, OnConflict,
    OnDelete, Operation, Outcome, Planned, Query, Record, Result, Step, StepOutcome, Storage,
    field,
};

use crate::Harness;
use crate::support::{OBJECT, ids, numbered, record, records, refused, registry};

/// Keeps what it is told, and refuses what it is told to refuse.
#[derive(Debug, Default)]
struct Watcher {
    planned: Mutex<Vec<(String, Vec<Record>)>>,
    seen: Mutex<Vec<ObjectImages>>,
    told: Mutex<Vec<ObjectImages>>,
    refuses: Option<i64>,
}

/// A watcher that is shared with the case.
struct Shared(Arc<Watcher>);

#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
impl Observer for Shared {
    fn before(&self, planned: &Planned<'_>) -> Result<()> {
        let name = planned.collection.name().to_string();
        self.0.planned.lock().unwrap().push((name, planned.before.to_vec()));
        let mut about = ids(planned.before);
        if let Step::Create(create) = planned.step {
            about.extend(ids(&create.records));
        }
        match self.0.refuses {
            Some(id) if about.contains(&id) => {
                Err(Error::Aborted { reason: format!("{id} stays as it is") })
            }
            _ => Ok(()),
        }
    }

    fn after(&self, _: &Collection, changes: &[ObjectImages]) -> Result<()> {
        self.0.seen.lock().unwrap().extend_from_slice(changes);
        Ok(())
    }

    async fn committed(&self, changes: &[ObjectImages]) {
        self.0.told.lock().unwrap().extend_from_slice(changes);
    }
}

impl Watcher {
    fn refusing(id: i64) -> Arc<Self> {
        Arc::new(Self { refuses: Some(id), ..Self::default() })
    }

    fn watch(self: &Arc<Self>) -> Arc<dyn Middleware> {
        Arc::new(ChangeWatch::new(Shared(Arc::clone(self))))
    }

    /// What was told since the last time.
    fn told(&self) -> Vec<ObjectImages> {
        std::mem::take(&mut *self.told.lock().unwrap())
    }
}

fn images(
    key: i64,
    before: impl Into<Option<Record>>,
    after: impl Into<Option<Record>>,
) -> ObjectImages {
    let (before, after) = (before.into(), after.into());
    ObjectImages { collection: OBJECT.into(), key: Key::single(key), before, after }
}

/// Numbered objects `(id, n)`, of which the watcher has been told already.
async fn watched(h: &Harness, watcher: &Arc<Watcher>, objects: &[(i64, i64)]) -> Storage {
    let storage = h.open_with(registry([numbered()]), vec![watcher.watch()]).await;
    let objects = objects.iter().map(|(id, n)| record![*id, *n]).collect();
    storage.execute(Batch::new().create(OBJECT, objects)).await.unwrap();
    watcher.told();
    watcher.planned.lock().unwrap().clear();
    watcher.seen.lock().unwrap().clear();
    storage
}

fn set(n: i64) -> Changes {
    Changes::new().set("n", n)
}

/// storex-facts 3.14, case 1: the key that AutoPk makes further in is told.
pub async fn a_create_tells_the_key_that_was_made(h: Harness) {
    let watcher = Arc::<Watcher>::default();
    let chain: Vec<Arc<dyn Middleware>> = vec![watcher.watch(), Arc::new(AutoPk::new())];
    let note = Definition::new(OBJECT).key_format(storex_core::KeyFormat::Int);
    let storage = h.open_with(registry([note.field("n", FieldType::Int)]), chain).await;
    let made = storage.dynamic(OBJECT).unwrap().create(json!({ "n": 7 })).await.unwrap();
    let id = made["id"].as_i64().unwrap();
    let told = watcher.told();
    assert_eq!(told, [images(id, None, record![id, 7])]);
    assert_eq!(told[0].kind(), ChangeKind::Created);
}

/// storex-facts 3.14, cases 3, 8 and 13.
pub async fn objects_with_compound_keys(h: Harness) {
    let watcher = Arc::<Watcher>::default();
    let seat = Definition::new("seat")
        .field("row", FieldType::Int)
        .field("place", FieldType::String)
        .field("taken", FieldType::Boolean)
        .primary_key(["row", "place"]);
    let storage = h.open_with(registry([seat]), vec![watcher.watch()]).await;
    let seats = vec![record![1, "a", false], record![1, "b", false], record![2, "a", true]];
    storage.execute(Batch::new().create("seat", seats)).await.unwrap();
    assert_eq!(watcher.told().len(), 3);
    let batch = Batch::new()
        .update("seat", field("taken").eq(false), Changes::new().set("taken", true))
        .delete("seat", field("row").eq(2));
    storage.execute(batch).await.unwrap();
    let mut told = watcher.told();
    told.sort_by(|a, b| a.key.cmp(&b.key));
    let image = |place: &str, row: i64, before, after| ObjectImages {
        collection: "seat".into(),
        key: Key::compound([row.into(), place.into()]),
        before,
        after,
    };
    let expected = [
        image("a", 1, Some(record![1, "a", false]), Some(record![1, "a", true])),
        image("b", 1, Some(record![1, "b", false]), Some(record![1, "b", true])),
        image("a", 2, Some(record![2, "a", true]), None),
    ];
    assert_eq!(told, expected);
}

/// storex-facts 3.14, cases 4 to 7.
pub async fn an_update_by_filter_tells_what_it_touched(h: Harness) {
    let watcher = Arc::<Watcher>::default();
    let storage = watched(&h, &watcher, &[(1, 1), (2, 2), (3, 1), (4, 4)]).await;
    // After the update nothing matches the filter any more.
    let batch = Batch::new().update(OBJECT, field("n").eq(1), set(9));
    storage.execute(batch).await.unwrap();
    let mut told = watcher.told();
    told.sort_by(|a, b| a.key.cmp(&b.key));
    let expected =
        [images(1, record![1, 1], record![1, 9]), images(3, record![3, 1], record![3, 9])];
    assert_eq!(told, expected);
    assert!(told.iter().all(|images| images.kind() == ChangeKind::Updated));
    let (_, before) = watcher.planned.lock().unwrap().pop().unwrap();
    assert_eq!(before.len(), 2);
}

pub async fn an_increment_tells_its_result(h: Harness) {
    let watcher = Arc::<Watcher>::default();
    let storage = watched(&h, &watcher, &[(1, 1), (2, 20)]).await;
    let more = Changes::new().increment("n", 5);
    storage.execute(Batch::new().update(OBJECT, Filter::All, more)).await.unwrap();
    let mut told = watcher.told();
    told.sort_by(|a, b| a.key.cmp(&b.key));
    let expected =
        [images(1, record![1, 1], record![1, 6]), images(2, record![2, 20], record![2, 25])];
    assert_eq!(told, expected);
}

/// storex-facts 3.14, cases 9 to 11.
pub async fn a_delete_by_filter_tells_what_was_there(h: Harness) {
    let watcher = Arc::<Watcher>::default();
    let storage = watched(&h, &watcher, &[(1, 1), (2, 2)]).await;
    storage.execute(Batch::new().delete(OBJECT, field("n").gt(1))).await.unwrap();
    assert_eq!(watcher.told(), [images(2, record![2, 2], None)]);
    assert_eq!(watcher.planned.lock().unwrap().len(), 1);
}

/// storex-facts 3.14, case 12: each step sees what the steps before it have left.
pub async fn the_steps_of_a_batch_in_order(h: Harness) {
    let watcher = Arc::<Watcher>::default();
    let storage = watched(&h, &watcher, &[]).await;
    let batch = Batch::new()
        .create(OBJECT, vec![record![1, 1]])
        .update(OBJECT, field("n").eq(1), set(2))
        .delete(OBJECT, Filter::key(1))
        .create(OBJECT, vec![record![1, 3]]);
    storage.execute(batch).await.unwrap();
    let expected = [
        images(1, None, record![1, 1]),
        images(1, record![1, 1], record![1, 2]),
        images(1, record![1, 2], None),
        images(1, None, record![1, 3]),
    ];
    assert_eq!(watcher.told(), expected);
    assert_eq!(*watcher.seen.lock().unwrap(), expected, "and in the transaction");
}

pub async fn what_continuations_change(h: Harness) {
    let watcher = Arc::<Watcher>::default();
    let storage = watched(&h, &watcher, &[(1, 1), (2, 2)]).await;
    let batch = Batch::new().find(Query::new(OBJECT).filter(field("n").eq(2))).then(|trace| {
        let id = trace.found(0)[0].get(0).clone();
        let filter = Filter::key(id);
        let update = Step::Update { collection: OBJECT.into(), filter, changes: set(3) };
        let delete = Step::Delete { collection: OBJECT.into(), filter: field("n").eq(1) };
        Ok(vec![update, Step::then(move |_| Ok(vec![delete.clone()]))])
    });
    storage.execute(batch).await.unwrap();
    let expected = [images(2, record![2, 2], record![2, 3]), images(1, record![1, 1], None)];
    assert_eq!(watcher.told(), expected);
}

/// What a delete brings with it is told too, before the delete itself.
pub async fn what_cascades_change(h: Harness) {
    let watcher = Arc::<Watcher>::default();
    let keyed = |name: &str| Definition::new(name).field("id", FieldType::Int).primary_key(["id"]);
    let track = keyed("track").optional("album", FieldType::Int);
    let review = keyed("review").optional("album", FieldType::Int);
    let music = registry([
        keyed("album"),
        track.foreign_key(["album"], "album", ["id"], OnDelete::Cascade),
        review.foreign_key(["album"], "album", ["id"], OnDelete::SetNull),
    ]);
    let storage = h.open_with(music, vec![watcher.watch()]).await;
    let batch = Batch::new()
        .create("album", vec![record![1], record![2]])
        .create("track", vec![record![10, 1], record![20, 2]])
        .create("review", vec![record![5, 1], record![6, 2]]);
    storage.execute(batch).await.unwrap();
    watcher.told();
    storage.execute(Batch::new().delete("album", Filter::key(1))).await.unwrap();
    let told: Vec<_> = watcher
        .told()
        .into_iter()
        .map(|images| (images.collection.to_string(), images.before, images.after))
        .collect();
    let expected = [
        ("track".to_owned(), Some(record![10, 1]), None),
        ("review".to_owned(), Some(record![5, 1]), Some(record![5, None::<i64>])),
        ("album".to_owned(), Some(record![1]), None),
    ];
    assert_eq!(told, expected);
}

pub async fn what_a_create_replaces_and_leaves_out(h: Harness) {
    let watcher = Arc::<Watcher>::default();
    let storage = watched(&h, &watcher, &[(1, 1)]).await;
    let both = || vec![record![1, 5], record![2, 5]];
    let replace = Step::create_or(OBJECT, both(), OnConflict::Replace);
    storage.execute(Batch::new().step(replace)).await.unwrap();
    let told = watcher.told();
    assert_eq!(told, [images(1, record![1, 1], record![1, 5]), images(2, None, record![2, 5])]);
    assert_eq!(told[0].kind(), ChangeKind::Updated);
    let more = vec![record![1, 6], record![3, 6], record![3, 7]];
    let skip = Step::create_or(OBJECT, more.clone(), OnConflict::Skip);
    storage.execute(Batch::new().step(skip)).await.unwrap();
    assert_eq!(watcher.told(), [images(3, None, record![3, 6])]);
    // A key given twice is one object.
    let replace = Step::create_or(OBJECT, more, OnConflict::Replace);
    storage.execute(Batch::new().step(replace)).await.unwrap();
    let expected =
        [images(1, record![1, 5], record![1, 6]), images(3, record![3, 6], record![3, 7])];
    assert_eq!(watcher.told(), expected);
}

pub async fn nothing_is_told_of_what_was_rolled_back(h: Harness) {
    let watcher = Arc::<Watcher>::default();
    let storage = watched(&h, &watcher, &[(1, 1)]).await;
    let batch = Batch::new()
        .update(OBJECT, Filter::All, set(2))
        .create(OBJECT, vec![record![2, 2]])
        .create(OBJECT, vec![record![1, 9]]);
    refused(storage.execute(batch).await, ErrorKind::Conflict, &["1"]);
    let batch = Batch::new()
        .delete(OBJECT, Filter::All)
        .then(|_| Err(Error::Aborted { reason: "no".to_owned() }));
    refused(storage.execute(batch).await, ErrorKind::Conflict, &["no"]);
    // Neither of what touches nothing.
    storage.execute(Batch::new().delete(OBJECT, Filter::key(7))).await.unwrap();
    assert_eq!(watcher.told(), []);
    assert_eq!(records(&storage, OBJECT).await, [record![1, 1]]);
}

/// An observer that refuses refuses the whole batch, whoever brings the step.
pub async fn one_may_refuse_a_step(h: Harness) {
    let watcher = Watcher::refusing(2);
    let storage = h.open_with(registry([numbered()]), vec![watcher.watch()]).await;
    storage.apply(Batch::new().create(OBJECT, vec![record![1, 1], record![2, 2]])).await.unwrap();
    let update =
        || Step::Update { collection: OBJECT.into(), filter: Filter::All, changes: set(7) };
    let batches = [
        Batch::new().step(update()),
        Batch::new().delete(OBJECT, field("n").gt(1)),
        Batch::new().create(OBJECT, vec![record![3, 3]]).then(move |_| Ok(vec![update()])),
        Batch::new().step(Step::create_or(OBJECT, vec![record![2, 9]], OnConflict::Replace)),
        Batch::new().create(OBJECT, vec![record![4, 4], record![2, 4]]),
    ];
    for batch in batches {
        refused(storage.execute(batch).await, ErrorKind::Conflict, &["2 stays as it is"]);
    }
    assert_eq!(records(&storage, OBJECT).await, [record![1, 1], record![2, 2]]);
    assert_eq!(watcher.told(), []);
    storage.execute(Batch::new().update(OBJECT, Filter::key(1), set(7))).await.unwrap();
    assert_eq!(watcher.told(), [images(1, record![1, 1], record![1, 7])]);
}

/// storex-facts 3.14, case 17: the rest of the batch is executed, and not told.
pub async fn only_the_collections_named(h: Harness) {
    let watcher = Arc::<Watcher>::default();
    let other = Definition::new("other").field("id", FieldType::Int).primary_key(["id"]);
    let watch = || ChangeWatch::new(Shared(Arc::clone(&watcher)));
    let both = || registry([numbered(), other.clone()]);
    let wrong = h.try_open(both(), vec![Arc::new(watch().only(["nothing"]))]).await;
    refused(wrong, ErrorKind::NotFound, &["nothing"]);
    let storage = h.open_with(both(), vec![Arc::new(watch().only([OBJECT]))]).await;
    let batch = Batch::new().create("other", vec![record![1]]).create(OBJECT, vec![record![1, 1]]);
    storage.execute(batch).await.unwrap();
    assert_eq!(watcher.told(), [images(1, None, record![1, 1])]);
    assert_eq!(watcher.planned.lock().unwrap().len(), 1);
    assert_eq!(storage.count(Query::new("other")).await.unwrap(), 1);
}

pub async fn reserved_collections_are_not_watched(h: Harness) {
    let watcher = Arc::<Watcher>::default();
    let own = Definition::new("_storex_own").field("id", FieldType::Int).primary_key(["id"]);
    let storage = h.open_with(registry([numbered(), own.reserved()]), vec![watcher.watch()]).await;
    storage.execute(Batch::new().create("_storex_own", vec![record![1]])).await.unwrap();
    assert_eq!(watcher.told(), []);
    assert_eq!(watcher.planned.lock().unwrap().len(), 0);
}

/// Continuations and the caller see the steps that they know, and no reads between them.
pub async fn nobody_else_sees_the_reads(h: Harness) {
    let watcher = Arc::<Watcher>::default();
    let storage = watched(&h, &watcher, &[(1, 1), (2, 2)]).await;
    let seen: Arc<Mutex<Vec<Vec<StepOutcome>>>> = Arc::default();
    let sees = Arc::clone(&seen);
    let batch = Batch::new()
        .find(Query::new(OBJECT).filter(Filter::key(2)))
        .update(OBJECT, field("n").lt(2), set(5))
        .then(move |trace| {
            assert_eq!(trace.found(1), [record![2, 2]]);
            assert_eq!(trace.found(0), []);
            let last = trace.last().unwrap();
            assert!(matches!(last.outcome, StepOutcome::Updated { .. }));
            let all = trace.executed().iter().map(|executed| executed.outcome.clone());
            sees.lock().unwrap().push(all.collect());
            Ok(vec![Step::create(OBJECT, vec![record![3, 3]])])
        })
        .delete(OBJECT, Filter::key(2));
    let outcome = storage.execute(batch).await.unwrap();
    assert_eq!(seen.lock().unwrap().last().unwrap().len(), 2);
    let outcomes: Vec<_> = (0..4)
        .map(|n| outcome.of_step(n).map(|it| it.outcome.clone()).collect::<Vec<_>>())
        .collect();
    let expected = [
        vec![StepOutcome::Found(vec![record![2, 2]])],
        vec![StepOutcome::Updated {
            keys: vec![Key::single(1)],
            records: vec![],
            unchanged: vec![],
        }],
        vec![StepOutcome::Created { skipped: vec![] }],
        vec![StepOutcome::Deleted { keys: vec![Key::single(2)] }],
    ];
    assert_eq!(outcomes, expected);
    assert_eq!(outcome.executed().len(), 4);
}

pub async fn what_another_device_did_is_not_told(h: Harness) {
    let watcher = Arc::<Watcher>::default();
    let storage = watched(&h, &watcher, &[]).await;
    storage.apply(Batch::new().create(OBJECT, vec![record![1, 1]])).await.unwrap();
    assert_eq!(watcher.told(), []);
    // Unless its batch brings an observer of its own.
    let batch = Batch::new()
        .update(OBJECT, Filter::All, set(2))
        .observed_by(Arc::new(Shared(Arc::clone(&watcher))));
    storage.apply(batch).await.unwrap();
    assert_eq!(watcher.told(), [images(1, record![1, 1], record![1, 2])]);
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
        next.run(cx, operation).await?;
        Err(Error::Aborted { reason: "afterwards".to_owned() })
    }
}

pub async fn a_commit_is_told_once_whatever_becomes_of_the_outcome(h: Harness) {
    let watcher = Arc::<Watcher>::default();
    let chain: Vec<Arc<dyn Middleware>> = vec![watcher.watch(), Arc::new(FailsAfterwards)];
    let storage = h.open_with(registry([numbered()]), chain).await;
    storage.execute(Batch::new().create(OBJECT, vec![record![1, 1]])).await.unwrap_err();
    assert_eq!(watcher.told(), [images(1, None, record![1, 1])]);
}
