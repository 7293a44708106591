//! Snapshots: what was there at one moment, whatever is written afterwards. A backend that has none says so.

use std::sync::Arc;

use async_trait::async_trait;
use storex_core::{
    Batch, Changes, Context, Definition, Direction, Error, ErrorKind, FieldType, Filter, Key,
    Middleware, Module, Next, Operation, Outcome, Query, Record, Result, Step, Storage,
    StorageSnapshot, field,
};

use crate::Harness;
use crate::support::{
    NONE, OBJECT, assert_refused, ids, join, numbered, numbers, record, records, refused, registry,
};

/// A snapshot; where the backend has none it must say so, and there is nothing else to be shown.
async fn taken(h: &Harness, storage: &Storage) -> Option<StorageSnapshot> {
    let result = storage.snapshot().await;
    if h.backend().capabilities().snapshots {
        return Some(result.expect("a snapshot"));
    }
    refused(result, ErrorKind::Unsupported, &["snapshots", h.backend().name()]);
    None
}

async fn all(snapshot: &StorageSnapshot) -> Vec<Record> {
    let query = Query::new(OBJECT).order_by("id", Direction::Ascending);
    snapshot.find(query).await.expect("everything is found")
}

fn by_keys(keys: impl IntoIterator<Item = i64>) -> Filter {
    Filter::Keys(keys.into_iter().map(Key::from).collect())
}

/// Creates, changes and deletes.
async fn write(storage: &Storage) {
    let batch = Batch::new()
        .create(OBJECT, vec![record![9, 9]])
        .update(OBJECT, Filter::key(1), Changes::new().set("n", 10))
        .delete(OBJECT, Filter::key(2));
    storage.execute(batch).await.unwrap();
}

pub async fn what_is_written_afterwards_is_not_seen(h: Harness) {
    let (storage, _) = numbers(&h, &[(1, 1), (2, 2), (3, 3)]).await;
    let Some(snapshot) = taken(&h, &storage).await else { return };
    write(&storage).await;
    for _ in 0..2 {
        assert_eq!(all(&snapshot).await, [record![1, 1], record![2, 2], record![3, 3]]);
        let keys = Query::new(OBJECT).filter(by_keys([9, 2, 1]));
        assert_eq!(snapshot.find(keys).await.unwrap(), [record![2, 2], record![1, 1]]);
        let small = Query::new(OBJECT).filter(field("n").lte(2));
        assert_eq!(snapshot.count(small.clone()).await.unwrap(), 2);
        assert_eq!(ids(&snapshot.find(small).await.unwrap()), [1, 2]);
        let many = Query::new(OBJECT).filter(by_keys(1..100));
        assert_eq!(snapshot.count(many).await.unwrap(), 3);
    }
    assert_eq!(records(&storage, OBJECT).await, [record![1, 10], record![3, 3], record![9, 9]]);
}

pub async fn what_was_written_before_is_seen(h: Harness) {
    let (storage, _) = numbers(&h, &[(1, 1), (2, 2)]).await;
    write(&storage).await;
    let Some(snapshot) = taken(&h, &storage).await else { return };
    assert_eq!(all(&snapshot).await, [record![1, 10], record![9, 9]]);
}

/// A writer between any two pages.
pub async fn many_pages_are_of_one_moment(h: Harness) {
    let objects: Vec<(i64, i64)> = (0..100).map(|id| (id, 0)).collect();
    let (storage, _) = numbers(&h, &objects).await;
    let Some(snapshot) = taken(&h, &storage).await else { return };
    let mut query = Query::new(OBJECT).order_by("id", Direction::Ascending).limit(7);
    let (mut seen, mut round) = (Vec::new(), 0);
    loop {
        let page = snapshot.find(query.clone()).await.unwrap();
        let Some(last) = page.last() else { break };
        let collection = storage.registry().collection(OBJECT).unwrap();
        query.after = Some(query.position_of(collection, last));
        seen.extend(page);
        round += 1;
        let changes = Changes::new().increment("n", 1);
        let batch = Batch::new()
            .update(OBJECT, Filter::All, changes)
            .create(OBJECT, vec![record![1000 + round, 0]])
            .delete(OBJECT, Filter::key(100 - round));
        storage.execute(batch).await.unwrap();
    }
    let expected: Vec<Record> = (0..100).map(|id| record![id, 0]).collect();
    assert_eq!(seen, expected);
}

pub async fn each_has_its_own_moment(h: Harness) {
    let (storage, _) = numbers(&h, &[(1, 1)]).await;
    let Some(first) = taken(&h, &storage).await else { return };
    storage.execute(Batch::new().create(OBJECT, vec![record![2, 2]])).await.unwrap();
    let second = taken(&h, &storage).await.unwrap();
    storage.execute(Batch::new().delete(OBJECT, Filter::All)).await.unwrap();
    let (one, two) = join(all(&first), all(&second)).await;
    assert_eq!((ids(&one), ids(&two)), (vec![1], vec![1, 2]));
    drop(first);
    assert_eq!(ids(&all(&second).await), [1, 2]);
    assert_eq!(ids(&records(&storage, OBJECT).await), NONE);
}

/// A transaction is seen as a whole or not at all, whenever the snapshot is taken.
pub async fn transactions_are_seen_whole(h: Harness) {
    let (storage, _) = numbers(&h, &[(1, 0), (2, 0)]).await;
    let writer = async {
        for n in 1..=30 {
            let set = || Changes::new().set("n", n);
            let batch = Batch::new().update(OBJECT, Filter::key(1), set()).update(
                OBJECT,
                Filter::key(2),
                set(),
            );
            storage.execute(batch).await.unwrap();
        }
    };
    let reader = async {
        for _ in 0..10 {
            let Some(snapshot) = taken(&h, &storage).await else { return };
            let one = snapshot.find(Query::new(OBJECT).filter(Filter::key(1))).await.unwrap();
            let two = snapshot.find(Query::new(OBJECT).filter(Filter::key(2))).await.unwrap();
            assert_eq!(one[0].get(1), two[0].get(1));
        }
    };
    join(writer, reader).await;
}

/// Dropping gives up what it holds: writes, further snapshots and closing go on.
pub async fn dropping_leaves_no_trace(h: Harness) {
    let (storage, _) = numbers(&h, &[(1, 1)]).await;
    for n in 0..50 {
        let Some(snapshot) = taken(&h, &storage).await else { return };
        let batch = Batch::new().update(OBJECT, Filter::key(1), Changes::new().set("n", n));
        storage.execute(batch).await.unwrap();
        drop(snapshot);
    }
    assert_eq!(records(&storage, OBJECT).await, [record![1, 49]]);
    storage.close().await.unwrap();
}

pub async fn closing_ends_it(h: Harness) {
    let (storage, _) = numbers(&h, &[(1, 1)]).await;
    let snapshot = taken(&h, &storage).await;
    storage.close().await.unwrap();
    assert_refused!(storage.snapshot().await, Error::Closed);
    let Some(snapshot) = snapshot else { return };
    assert_refused!(snapshot.find(Query::new(OBJECT)).await, Error::Closed);
    assert_refused!(snapshot.count(Query::new(OBJECT)).await, Error::Closed);
}

pub async fn closing_the_backend_ends_it(h: Harness) {
    let backend = h.backend();
    if !backend.capabilities().snapshots {
        backend.open(Arc::new(registry([numbered()]))).await.unwrap();
        refused(backend.snapshot().await, ErrorKind::Unsupported, &["snapshots"]);
        return;
    }
    assert_refused!(backend.snapshot().await, Error::Closed);
    backend.open(Arc::new(registry([numbered()]))).await.unwrap();
    backend.execute(Batch::new().create(OBJECT, vec![record![1, 1]])).await.unwrap();
    let snapshot = backend.snapshot().await.unwrap();
    assert_eq!(snapshot.count(Query::new(OBJECT)).await.unwrap(), 1);
    backend.close().await.unwrap();
    assert_refused!(snapshot.find(Query::new(OBJECT)).await, Error::Closed);
    assert_refused!(snapshot.count(Query::new(OBJECT)).await, Error::Closed);
    // What is opened again is no longer what the snapshot was of.
    backend.open(Arc::new(registry([numbered()]))).await.unwrap();
    assert_refused!(snapshot.find(Query::new(OBJECT)).await, Error::Closed);
    backend.close().await.unwrap();
}

pub async fn a_wrong_query_is_refused(h: Harness) {
    let (storage, _) = numbers(&h, &[(1, 1)]).await;
    let Some(snapshot) = taken(&h, &storage).await else { return };
    refused(snapshot.find(Query::new("nothing")).await, ErrorKind::NotFound, &["nothing"]);
    let query = Query::new(OBJECT).filter(field("nothing").eq(1));
    refused(snapshot.count(query).await, ErrorKind::Invalid, &["nothing"]);
}

/// Keeps objects of its own, and hides everybody else's.
#[derive(Debug)]
struct Curtain;

const OWN: &str = "_storex_own";

#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
impl Middleware for Curtain {
    fn module(&self) -> Module {
        let own = Definition::new(OWN).field("id", FieldType::Int).primary_key(["id"]);
        Module::new("curtain").collection(own.reserved())
    }

    async fn process(
        &self,
        cx: &mut Context,
        operation: Operation,
        next: Next<'_>,
    ) -> Result<Outcome> {
        match operation {
            Operation::Find(_) => Ok(Outcome::Found(Vec::new())),
            Operation::Execute(mut batch) => {
                batch.steps.push(Step::create(OWN, vec![record![7]]));
                next.run(cx, Operation::Execute(batch)).await
            }
            operation => next.run(cx, operation).await,
        }
    }
}

/// What middleware keeps is seen, and middleware has no say.
pub async fn it_is_read_past_the_middleware(h: Harness) {
    let storage = h.open_with(registry([numbered()]), vec![Arc::new(Curtain)]).await;
    storage.execute(Batch::new().create(OBJECT, vec![record![1, 1]])).await.unwrap();
    let Some(snapshot) = taken(&h, &storage).await else { return };
    assert_eq!(all(&snapshot).await, [record![1, 1]]);
    assert_eq!(snapshot.find(Query::new(OWN)).await.unwrap(), [record![7]]);
    assert_eq!(snapshot.count(Query::new(OWN)).await.unwrap(), 1);
}
