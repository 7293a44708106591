//! Live queries: the result now, and after each change of it.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

use async_trait::async_trait;
use futures_util::future::{Either, select};
use serde::{Deserialize, Serialize};
use serde_json::json;
use storex_core::{
    AutoPk, Batch, Changes, Context, Definition, Direction, DynamicCollection, Error, ErrorKind,
    FieldType, Filter, Key, KeyFormat, Live, Middleware, Next, Object, Operation, Outcome, Query,
    Record, Result, Storage, field,
};

use crate::Harness;
use crate::runtime::split_mix;
use crate::support::{NONE, OBJECT, ids, join, numbered, pass, record, records, refused, registry};

/// The next result, which comes.
async fn given<T: fmt::Debug>(live: &mut Live<T>, reads: &Reads) -> Vec<T> {
    match select(pin!(live.next()), pin!(reads.settled())).await {
        Either::Left((result, _)) => result.expect("the storage is open").expect("it is read"),
        Either::Right(_) => panic!("nothing is given"),
    }
}

/// Nothing is given.
async fn nothing<T: fmt::Debug>(live: &mut Live<T>, reads: &Reads) {
    let next = pin!(live.next());
    if let Either::Left((result, _)) = select(next, pin!(reads.settled())).await {
        panic!("this is given: {result:?}");
    }
}

fn below(n: i64) -> Query {
    Query::new(OBJECT).filter(field("n").lt(n)).order_by("id", Direction::Ascending)
}

pub async fn the_first_result_is_what_is_there(h: Harness) {
    let (storage, _, reads) = watched(&h, &[(1, 1), (2, 9), (3, 3)]).await;
    let mut live = storage.live(below(5));
    assert_eq!(given(&mut live, &reads).await, [record![1, 1], record![3, 3]]);
    nothing(&mut live, &reads).await;
    let mut empty = storage.live(below(0));
    assert_eq!(given(&mut empty, &reads).await, []);
}

pub async fn creates_updates_and_deletes(h: Harness) {
    let (storage, objects, reads) = watched(&h, &[(1, 1), (2, 9)]).await;
    let mut live = storage.live(below(5));
    assert_eq!(ids(&given(&mut live, &reads).await), [1]);
    objects.create(json!({ "id": 3, "n": 3 })).await.unwrap();
    assert_eq!(ids(&given(&mut live, &reads).await), [1, 3]);
    objects.update_one(&json!({ "id": 3 }), &json!({ "n": 4 })).await.unwrap();
    assert_eq!(given(&mut live, &reads).await, [record![1, 1], record![3, 4]]);
    // One comes in, one goes out, by an update.
    objects.update_one(&json!({ "id": 2 }), &json!({ "n": 2 })).await.unwrap();
    assert_eq!(ids(&given(&mut live, &reads).await), [1, 2, 3]);
    objects.update_one(&json!({ "id": 1 }), &json!({ "n": 7 })).await.unwrap();
    assert_eq!(ids(&given(&mut live, &reads).await), [2, 3]);
    objects.delete_one(&json!({ "id": 2 })).await.unwrap();
    assert_eq!(ids(&given(&mut live, &reads).await), [3]);
    objects.delete(&json!({})).await.unwrap();
    assert_eq!(given(&mut live, &reads).await, []);
    objects.create(json!({ "id": 3, "n": 3 })).await.unwrap();
    assert_eq!(ids(&given(&mut live, &reads).await), [3]);
}

/// Keeps the queries of all finds, when they begin and when they are answered.
#[derive(Debug, Default)]
struct Reads {
    begun: Mutex<Vec<Query>>,
    answered: Mutex<usize>,
    waiting: Mutex<Vec<Waker>>,
}

impl Reads {
    /// How often this filter was read with.
    fn with(&self, filter: &Filter) -> usize {
        self.begun.lock().unwrap().iter().filter(|query| query.filter == *filter).count()
    }

    fn begun(&self) -> usize {
        self.begun.lock().unwrap().len()
    }

    /// Whoever runs beside this has been asked at least once, and waits for nothing that it reads.
    async fn settled(&self) {
        pass().await;
        // Without asking over and over: in a browser no answer comes while somebody does.
        poll_fn(|cx| {
            self.waiting.lock().unwrap().push(cx.waker().clone());
            if self.begun() > *self.answered.lock().unwrap() {
                Poll::Pending
            } else {
                Poll::Ready(())
            }
        })
        .await;
    }
}

#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
impl Middleware for Reads {
    async fn process(
        &self,
        cx: &mut Context,
        operation: Operation,
        next: Next<'_>,
    ) -> Result<Outcome> {
        let Operation::Find(query) = &operation else { return next.run(cx, operation).await };
        self.begun.lock().unwrap().push(query.clone());
        let outcome = next.run(cx, operation).await;
        *self.answered.lock().unwrap() += 1;
        self.waiting.lock().unwrap().drain(..).for_each(Waker::wake);
        outcome
    }
}

/// A storage with these layers in front, and what is read of it.
async fn opened(
    h: &Harness,
    definitions: Vec<Definition>,
    layer: Option<Arc<dyn Middleware>>,
) -> (Storage, DynamicCollection, Arc<Reads>) {
    let reads = Arc::new(Reads::default());
    let mut layers: Vec<Arc<dyn Middleware>> =
        vec![Arc::new(AutoPk::new()), Arc::new(Arc::clone(&reads))];
    layers.extend(layer);
    let storage = h.open_with(registry(definitions), layers).await;
    let objects = storage.dynamic(OBJECT).unwrap();
    (storage, objects, reads)
}

/// A storage with two collections of numbers, and what is read of it.
async fn watched(h: &Harness, objects: &[(i64, i64)]) -> (Storage, DynamicCollection, Arc<Reads>) {
    let other = Definition::new("other").key_format(KeyFormat::Int).optional("n", FieldType::Int);
    let opened = opened(h, vec![numbered(), other], None).await;
    let list = objects.iter().map(|(id, n)| record![*id, *n]).collect();
    opened.0.execute(Batch::new().create(OBJECT, list)).await.unwrap();
    opened
}

pub async fn another_collection_does_not_wake_it(h: Harness) {
    let (storage, objects, reads) = watched(&h, &[(1, 1)]).await;
    let mut live = storage.live(below(5));
    given(&mut live, &reads).await;
    storage.dynamic("other").unwrap().create(json!({ "id": 1, "n": 1 })).await.unwrap();
    nothing(&mut live, &reads).await;
    assert_eq!(reads.begun(), 1);
    objects.create(json!({ "id": 2, "n": 2 })).await.unwrap();
    assert_eq!(ids(&given(&mut live, &reads).await), [1, 2]);
    assert_eq!(reads.begun(), 2 + reads.with(&Filter::key(2)));
}

/// What is outside and stays outside does not cost a reading of the query.
pub async fn a_change_that_cannot_matter_is_not_read(h: Harness) {
    let (storage, objects, reads) = watched(&h, &[(1, 1), (2, 9), (3, 9), (4, 9)]).await;
    let mut live = storage.live(below(5));
    given(&mut live, &reads).await;
    let query = below(5).filter;
    objects.create(json!({ "id": 5, "n": 8 })).await.unwrap();
    nothing(&mut live, &reads).await;
    objects.update_one(&json!({ "id": 2 }), &json!({ "n": 7 })).await.unwrap();
    nothing(&mut live, &reads).await;
    assert_eq!(reads.with(&query), 1);
    let before = reads.begun();
    // Nothing has to be asked of what is gone.
    objects.delete_one(&json!({ "id": 3 })).await.unwrap();
    nothing(&mut live, &reads).await;
    assert_eq!(reads.begun(), before);
    objects.update_one(&json!({ "id": 4 }), &json!({ "n": 4 })).await.unwrap();
    assert_eq!(ids(&given(&mut live, &reads).await), [1, 4]);
    assert_eq!(reads.with(&query), 2);
}

/// The same result is not given twice.
pub async fn the_same_result_is_given_once(h: Harness) {
    let (storage, objects, reads) = watched(&h, &[(1, 1), (2, 9)]).await;
    let mut live = storage.live(below(5));
    given(&mut live, &reads).await;
    objects.update_one(&json!({ "id": 1 }), &json!({ "n": 1 })).await.unwrap();
    nothing(&mut live, &reads).await;
    // There and back before it is looked at.
    objects.update_one(&json!({ "id": 1 }), &json!({ "n": 9 })).await.unwrap();
    objects.update_one(&json!({ "id": 1 }), &json!({ "n": 1 })).await.unwrap();
    objects.create(json!({ "id": 3, "n": 3 })).await.unwrap();
    objects.delete_one(&json!({ "id": 3 })).await.unwrap();
    nothing(&mut live, &reads).await;
}

pub async fn what_is_taken_back_is_not_given(h: Harness) {
    let (storage, _, reads) = watched(&h, &[(1, 1)]).await;
    let mut live = storage.live(below(5));
    given(&mut live, &reads).await;
    let batch = Batch::new().delete(OBJECT, Filter::All).create("other", vec![record![1, "text"]]);
    storage.execute(batch).await.unwrap_err();
    nothing(&mut live, &reads).await;
    assert_eq!(reads.begun(), 1);
}

pub async fn several_changes_in_a_row_are_one_result(h: Harness) {
    let (storage, objects, reads) = watched(&h, &[]).await;
    let mut live = storage.live(below(1000));
    given(&mut live, &reads).await;
    for id in 0..100 {
        objects.create(json!({ "id": id, "n": id })).await.unwrap();
    }
    assert_eq!(ids(&given(&mut live, &reads).await), (0..100).collect::<Vec<_>>());
    nothing(&mut live, &reads).await;
    assert_eq!(reads.with(&below(1000).filter), 2);
}

/// C48: it listens before it reads.
pub async fn a_write_before_the_first_reading(h: Harness) {
    let (storage, objects, reads) = watched(&h, &[(1, 1)]).await;
    let mut live = storage.live(below(5));
    objects.create(json!({ "id": 2, "n": 2 })).await.unwrap();
    assert_eq!(ids(&given(&mut live, &reads).await), [1, 2]);
    nothing(&mut live, &reads).await;
}

/// Writes behind the back of a find: after it has read and before it is answered.
#[derive(Debug, Default)]
struct WritesBetween(Mutex<Vec<Record>>);

#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
impl Middleware for WritesBetween {
    async fn process(
        &self,
        cx: &mut Context,
        operation: Operation,
        next: Next<'_>,
    ) -> Result<Outcome> {
        let is_find = matches!(operation, Operation::Find(_));
        let record = if is_find { self.0.lock().unwrap().pop() } else { None };
        let outcome = next.run(cx, operation).await;
        if let Some(record) = record {
            let batch = Batch::new().create(OBJECT, vec![record]);
            next.run(cx, Operation::Execute(batch)).await?;
        }
        outcome
    }
}

/// C48: a write that lands while the result is read is in the next one.
pub async fn c48_a_write_during_a_reading(h: Harness) {
    let between = Arc::new(WritesBetween::default());
    let layer: Arc<dyn Middleware> = Arc::new(Arc::clone(&between));
    let (storage, _, reads) = opened(&h, vec![numbered()], Some(layer)).await;
    between.0.lock().unwrap().push(record![1, 1]);
    let mut live = storage.live(below(5));
    assert_eq!(given(&mut live, &reads).await, []);
    assert_eq!(ids(&given(&mut live, &reads).await), [1]);
    // And in a later reading. The one created in between comes before whatever asks for it.
    between.0.lock().unwrap().push(record![3, 3]);
    storage.execute(Batch::new().delete(OBJECT, Filter::key(1))).await.unwrap();
    assert_eq!(given(&mut live, &reads).await, []);
    assert_eq!(ids(&given(&mut live, &reads).await), [3]);
}

/// Changes while a first result is read, many times over.
pub async fn c48_writes_beside_it_are_never_missed(h: Harness) {
    let (storage, objects, _) = watched(&h, &[]).await;
    let mut live = storage.live(Query::new(OBJECT).filter(field("n").gte(0)));
    let reader = async {
        let mut there = 0;
        while there < 60 {
            let result = live.next().await.expect("it is open").expect("it is read");
            assert!(result.len() > there || there == 0, "{} after {there}", result.len());
            there = result.len();
        }
    };
    let writer = async {
        for id in 0..60 {
            objects.create(json!({ "id": id, "n": id })).await.unwrap();
            if id % 7 == 0 {
                pass().await;
            }
        }
    };
    join(reader, writer).await;
}

pub async fn the_first_of_an_order(h: Harness) {
    let (storage, objects, reads) = watched(&h, &[(1, 10), (2, 20), (3, 30), (4, 40)]).await;
    let query =
        Query::new(OBJECT).filter(field("n").gt(0)).order_by("n", Direction::Descending).limit(2);
    let mut live = storage.live(query.clone());
    assert_eq!(ids(&given(&mut live, &reads).await), [4, 3]);
    // Goes out, and the next one comes in.
    objects.delete_one(&json!({ "id": 4 })).await.unwrap();
    assert_eq!(ids(&given(&mut live, &reads).await), [3, 2]);
    objects.update_one(&json!({ "id": 1 }), &json!({ "n": 25 })).await.unwrap();
    assert_eq!(ids(&given(&mut live, &reads).await), [3, 1]);
    // Behind the last one.
    let before = reads.with(&query.filter);
    objects.create(json!({ "id": 5, "n": 1 })).await.unwrap();
    nothing(&mut live, &reads).await;
    objects.delete_one(&json!({ "id": 5 })).await.unwrap();
    nothing(&mut live, &reads).await;
    assert_eq!(reads.with(&query.filter), before);
    objects.update_one(&json!({ "id": 3 }), &json!({ "n": 26 })).await.unwrap();
    assert_eq!(given(&mut live, &reads).await, [record![3, 26], record![1, 25]]);
    objects.update_one(&json!({ "id": 1 }), &json!({ "n": 27 })).await.unwrap();
    assert_eq!(ids(&given(&mut live, &reads).await), [1, 3]);
}

/// What stands before the window moves it.
pub async fn behind_an_offset(h: Harness) {
    let (storage, objects, reads) = watched(&h, &[(1, 10), (2, 20), (3, 30), (4, 40)]).await;
    let query = Query::new(OBJECT).order_by("n", Direction::Ascending).offset(1).limit(2);
    let mut live = storage.live(query);
    assert_eq!(ids(&given(&mut live, &reads).await), [2, 3]);
    objects.delete_one(&json!({ "id": 1 })).await.unwrap();
    assert_eq!(ids(&given(&mut live, &reads).await), [3, 4]);
    objects.create(json!({ "id": 5, "n": 1 })).await.unwrap();
    assert_eq!(ids(&given(&mut live, &reads).await), [2, 3]);
    objects.update_one(&json!({ "id": 5 }), &json!({ "n": 100 })).await.unwrap();
    assert_eq!(ids(&given(&mut live, &reads).await), [3, 4]);
}

/// What stands before the position does not count, until it moves behind it.
pub async fn behind_a_position(h: Harness) {
    let (storage, objects, reads) = watched(&h, &[(1, 10), (2, 20), (3, 30)]).await;
    let schema = storage.registry().collection(OBJECT).unwrap();
    let query = Query::new(OBJECT).order_by("n", Direction::Ascending);
    let position = query.position_of(schema, &record![1, 10]);
    let mut live = storage.live(query.after(position));
    assert_eq!(ids(&given(&mut live, &reads).await), [2, 3]);
    objects.create(json!({ "id": 4, "n": 5 })).await.unwrap();
    objects.delete_one(&json!({ "id": 1 })).await.unwrap();
    nothing(&mut live, &reads).await;
    objects.update_one(&json!({ "id": 4 }), &json!({ "n": 25 })).await.unwrap();
    assert_eq!(ids(&given(&mut live, &reads).await), [2, 4, 3]);
}

pub async fn objects_by_their_keys(h: Harness) {
    let (storage, objects, reads) = watched(&h, &[(1, 1), (2, 2)]).await;
    let keys = Filter::Keys(vec![Key::single(3), Key::single(1)]);
    let mut live = storage.live(Query::new(OBJECT).filter(keys.clone()));
    assert_eq!(ids(&given(&mut live, &reads).await), [1]);
    objects.update_one(&json!({ "id": 2 }), &json!({ "n": 5 })).await.unwrap();
    objects.create(json!({ "id": 4 })).await.unwrap();
    objects.delete_one(&json!({ "id": 4 })).await.unwrap();
    nothing(&mut live, &reads).await;
    assert_eq!(reads.with(&keys), 1);
    objects.create(json!({ "id": 3 })).await.unwrap();
    assert_eq!(ids(&given(&mut live, &reads).await), [3, 1]);
    objects.delete_one(&json!({ "id": 1 })).await.unwrap();
    assert_eq!(ids(&given(&mut live, &reads).await), [3]);
}

/// Keys that have to be brought to their stored form are recognised in what is told of changes.
pub async fn objects_by_keys_in_another_form(h: Harness) {
    let definition = Definition::new(OBJECT)
        .field("id", FieldType::Timestamp)
        .optional("n", FieldType::Int)
        .primary_key(["id"]);
    let (storage, objects, reads) = opened(&h, vec![definition], None).await;
    let mut live = storage.live(Query::new(OBJECT).filter(Filter::key(1000)));
    assert_eq!(given(&mut live, &reads).await, []);
    objects.create(json!({ "id": 1000, "n": 1 })).await.unwrap();
    assert_eq!(given(&mut live, &reads).await.len(), 1);
}

/// A change of another field is not given, but the fields that decide need not be among those asked for.
pub async fn only_the_fields_asked_for(h: Harness) {
    let definition = numbered().optional("title", FieldType::String);
    let (storage, objects, reads) = opened(&h, vec![definition], None).await;
    objects.create(json!({ "id": 1, "n": 1, "title": "a" })).await.unwrap();
    let mut live = storage.live(below(5).select(["title"]));
    assert_eq!(given(&mut live, &reads).await, [record!["a"]]);
    objects.update_one(&json!({ "id": 1 }), &json!({ "n": 2 })).await.unwrap();
    nothing(&mut live, &reads).await;
    objects.update_one(&json!({ "id": 1 }), &json!({ "title": "b" })).await.unwrap();
    assert_eq!(given(&mut live, &reads).await, [record!["b"]]);
    objects.update_one(&json!({ "id": 1 }), &json!({ "n": 9 })).await.unwrap();
    assert_eq!(given(&mut live, &reads).await, []);
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Number {
    id: i64,
    n: Option<i64>,
}

impl Object for Number {
    const COLLECTION: &'static str = OBJECT;
}

pub async fn structs_and_json(h: Harness) {
    let (storage, objects, reads) = watched(&h, &[(1, 1)]).await;
    let numbers = storage.collection::<Number>().unwrap();
    let mut structs = numbers.query().filter(field("n").lt(5)).live().unwrap();
    let mut json = objects.live(&json!({ "n": { "$lt": 5 } }), &json!({ "limit": 3 })).unwrap();
    assert_eq!(given(&mut structs, &reads).await, [Number { id: 1, n: Some(1) }]);
    assert_eq!(given(&mut json, &reads).await, [json!({ "id": 1, "n": 1 })]);
    numbers.update_one(1, Changes::new().set("n", 2)).await.unwrap();
    assert_eq!(given(&mut structs, &reads).await, [Number { id: 1, n: Some(2) }]);
    assert_eq!(given(&mut json, &reads).await, [json!({ "id": 1, "n": 2 })]);
    refused(objects.live(&json!({ "x": 1 }), &json!({})), ErrorKind::Invalid, &["`x`"]);
}

pub async fn what_sync_applies(h: Harness) {
    let (storage, _, reads) = watched(&h, &[(1, 1)]).await;
    let mut live = storage.live(below(5));
    given(&mut live, &reads).await;
    let batch = Batch::new().create(OBJECT, vec![record![2, 2], record![3, 9]]);
    storage.apply(batch).await.unwrap();
    assert_eq!(ids(&given(&mut live, &reads).await), [1, 2]);
}

/// More changes than are kept for a slow receiver.
pub async fn more_changes_than_are_kept(h: Harness) {
    let (storage, objects, reads) = watched(&h, &[]).await;
    let mut live = storage.live(below(3));
    given(&mut live, &reads).await;
    for id in 0..1500 {
        objects.create(json!({ "id": id, "n": id })).await.unwrap();
    }
    assert_eq!(ids(&given(&mut live, &reads).await), [0, 1, 2]);
    objects.delete_one(&json!({ "id": 1 })).await.unwrap();
    assert_eq!(ids(&given(&mut live, &reads).await), [0, 2]);
}

/// Thousands of objects outside, changed at once.
pub async fn a_large_change(h: Harness) {
    let (storage, objects, reads) = watched(&h, &[(1, 1)]).await;
    let mut live = storage.live(below(5));
    given(&mut live, &reads).await;
    let list: Vec<_> = (2..3000).map(|id| json!({ "id": id, "n": id % 1000 + 4 })).collect();
    objects.create_many(&list).await.unwrap();
    assert_eq!(ids(&given(&mut live, &reads).await), [1, 1000, 2000]);
    let all = objects.update(&json!({ "n": { "$gte": 5 } }), &json!({ "n": 6 })).await.unwrap();
    assert!(all.len() > 2000);
    nothing(&mut live, &reads).await;
}

pub async fn closing_ends_it(h: Harness) {
    let (storage, objects, reads) = watched(&h, &[(1, 1)]).await;
    let (mut waiting, mut late) = (storage.live(below(5)), storage.live(below(5)));
    let mut changes = storage.changes();
    given(&mut waiting, &reads).await;
    let (end, closed) = join(waiting.next(), storage.close()).await;
    closed.unwrap();
    assert!(end.is_none(), "{end:?}");
    assert!(late.next().await.is_none());
    assert!(late.next().await.is_none());
    assert_eq!(changes.next().await, None);
    assert!(storage.live(below(5)).next().await.is_none());
    assert_eq!(storage.changes().next().await, None);
    objects.create(json!({ "id": 2 })).await.unwrap_err();
}

/// It does not hold the storage.
pub async fn it_ends_with_the_storage(h: Harness) {
    let (storage, objects, reads) = watched(&h, &[(1, 1)]).await;
    let mut live = storage.live(below(5));
    let mut typed = storage.collection::<Number>().unwrap().query().live().unwrap();
    assert_eq!(ids(&given(&mut live, &reads).await), [1]);
    drop((storage, objects));
    assert!(live.next().await.is_none());
    assert!(typed.next().await.is_none());
}

pub async fn a_wrong_query_is_told(h: Harness) {
    let (storage, _, reads) = watched(&h, &[(1, 1)]).await;
    let queries = [
        (Query::new(OBJECT).filter(field("x").eq(1)), ErrorKind::Invalid),
        (Query::new(OBJECT).select(["x"]), ErrorKind::Invalid),
        (Query::new("nothing"), ErrorKind::NotFound),
    ];
    for (query, kind) in queries {
        let mut live = storage.live(query);
        let error = live.next().await.expect("the storage is open").unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        // It would be the same again.
        nothing(&mut live, &reads).await;
    }
}

/// Fails so many finds.
#[derive(Debug, Default)]
struct Failing(Mutex<Vec<ErrorKind>>);

#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
impl Middleware for Failing {
    async fn process(
        &self,
        cx: &mut Context,
        operation: Operation,
        next: Next<'_>,
    ) -> Result<Outcome> {
        let is_find = matches!(operation, Operation::Find(_));
        let failure = if is_find { self.0.lock().unwrap().pop() } else { None };
        match failure {
            None => next.run(cx, operation).await,
            Some(kind) => Err(Error::Backend {
                backend: "failing",
                operation: "read",
                collection: None,
                kind,
                hint: "on purpose".to_owned(),
                source: "on purpose".into(),
            }),
        }
    }
}

/// An error is told, and it goes on: by itself when the error may pass, else with the next change.
pub async fn a_reading_that_fails_is_told(h: Harness) {
    let failing = Arc::new(Failing::default());
    let layer: Arc<dyn Middleware> = Arc::new(Arc::clone(&failing));
    let (storage, _, reads) = opened(&h, vec![numbered()], Some(layer)).await;
    let create = |id: i64| storage.execute(Batch::new().create(OBJECT, vec![record![id, id]]));
    let fails = |kind| failing.0.lock().unwrap().push(kind);
    fails(ErrorKind::Io);
    let mut live = storage.live(Query::new(OBJECT));
    let result = live.next().await.unwrap();
    refused(result, ErrorKind::Io, &["on purpose"]);
    assert_eq!(given(&mut live, &reads).await, []);
    create(1).await.unwrap();
    fails(ErrorKind::Busy);
    refused(live.next().await.unwrap(), ErrorKind::Busy, &["on purpose"]);
    let before = storage.runtime().now();
    assert_eq!(ids(&given(&mut live, &reads).await), [1]);
    assert!(storage.runtime().now().0 - before.0 >= 1000, "there is a pause");
    create(2).await.unwrap();
    fails(ErrorKind::Corrupt);
    refused(live.next().await.unwrap(), ErrorKind::Corrupt, &["on purpose"]);
    nothing(&mut live, &reads).await;
    create(3).await.unwrap();
    let mut there = ids(&given(&mut live, &reads).await);
    there.sort_unstable();
    assert_eq!(there, [1, 2, 3]);
}

/// A future that is dropped anywhere has lost nothing.
pub async fn a_dropped_future_loses_nothing(h: Harness) {
    let (storage, objects, reads) = watched(&h, &[(1, 1)]).await;
    let mut live = storage.live(below(1000));
    let mut last = given(&mut live, &reads).await;
    for id in 2..60_i64 {
        objects.create(json!({ "id": id, "n": id })).await.unwrap();
        let mut next = pin!(live.next());
        for _ in 0..id % 4 {
            let polled = poll_fn(|cx| Poll::Ready(next.as_mut().poll(cx))).await;
            if let Poll::Ready(result) = polled {
                last = result.expect("it is open").expect("it is read");
                break;
            }
        }
    }
    let there = records(&storage, OBJECT).await;
    if last != there {
        assert_eq!(given(&mut live, &reads).await, there);
    }
}

/// Whatever is done: the result given last is what the query finds.
pub async fn it_is_what_the_query_finds(h: Harness) {
    let (storage, objects, reads) = watched(&h, &[]).await;
    let schema = storage.registry().collection(OBJECT).unwrap();
    let by_n = || Query::new(OBJECT).order_by("n", Direction::Descending);
    let queries = [
        Query::new(OBJECT).order_by("id", Direction::Ascending),
        below(6),
        below(6).limit(3),
        by_n().limit(3),
        by_n().offset(2).limit(3),
        by_n().filter(field("n").gt(2)).offset(1),
        by_n().after(by_n().position_of(schema, &record![4, 6])).limit(4),
        below(9).after(below(9).position_of(schema, &record![7, 0])),
        Query::new(OBJECT).filter(Filter::Keys([3, 1, 8].map(Key::single).to_vec())),
        below(6).select(["n"]).limit(4),
        Query::new(OBJECT).filter(field("n").eq(3).negate()).order_by("id", Direction::Descending),
    ];
    let mut lives: Vec<_> = queries
        .iter()
        .map(|query| (query.clone(), storage.live(query.clone()), None::<Vec<Record>>))
        .collect();
    let mut random = 7;
    let mut below_n = |n: u64| i64::try_from(split_mix(&mut random) % n).unwrap();
    for round in 0..150 {
        for _ in 0..=below_n(3) {
            let (id, n) = (below_n(14), below_n(11));
            match below_n(5) {
                0 => drop(objects.delete_one(&json!({ "id": id })).await.unwrap()),
                1 => {
                    drop(objects.update(&json!({ "n": n }), &json!({ "n": n + 1 })).await.unwrap())
                }
                2 => drop(objects.update_one(&json!({ "id": id }), &json!({ "n": n })).await),
                // Of one that exists it fails.
                _ => drop(objects.create(json!({ "id": id, "n": n })).await),
            }
        }
        for (query, live, last) in &mut lives {
            let expected = storage.find(query.clone()).await.unwrap();
            if last.as_ref() != Some(&expected) {
                let result = given(live, &reads).await;
                assert_eq!(result, expected, "round {round}: {query:?}");
                *last = Some(result);
            }
        }
    }
    for (_, live, _) in &mut lives {
        nothing(live, &reads).await;
    }
    assert_ne!(ids(&records(&storage, OBJECT).await), NONE);
}
