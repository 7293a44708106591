//! What cases have in common: small schemas, and words for what is expected.

use std::fmt;
use std::future::{Future, poll_fn};
use std::task::Poll;

use serde_json::{Value as Json, json};
use storex_core::{
    Batch, BatchOutcome, Definition, DynamicCollection, Error, ErrorKind, FieldType, Filter, Key,
    Query, Record, Registry, Result, StepOutcome, Storage,
};

use crate::Harness;

/// The name of the collection that most cases use.
pub(crate) const OBJECT: &str = "object";

/// No keys.
pub(crate) const NONE: [i64; 0] = [];

/// A registry of these collections.
pub(crate) fn registry(definitions: impl IntoIterator<Item = Definition>) -> Registry {
    Registry::builder().collections(definitions).build().expect("the schema of the case is right")
}

/// A storage with one collection.
pub(crate) async fn open_one(h: &Harness, definition: Definition) -> (Storage, DynamicCollection) {
    let name = definition.name().clone();
    let storage = h.open(registry([definition])).await;
    let collection = storage.dynamic(&name).expect("the collection is registered");
    (storage, collection)
}

/// A storage with a collection `object` whose one field `field` is optional.
pub(crate) async fn simple(h: &Harness, field_type: FieldType) -> (Storage, DynamicCollection) {
    open_one(h, Definition::new(OBJECT).optional("field", field_type)).await
}

/// A collection `object` with integer keys `id`.
pub(crate) fn keyed() -> Definition {
    Definition::new(OBJECT).field("id", FieldType::Int).primary_key(["id"])
}

/// A collection `object` with integer keys `id` and an optional integer `n`.
pub(crate) fn numbered() -> Definition {
    keyed().optional("n", FieldType::Int)
}

/// A storage with the collection [`numbered`] and these objects `(id, n)`.
pub(crate) async fn numbers<N: Into<Option<i64>> + Copy>(
    h: &Harness,
    objects: &[(i64, N)],
) -> (Storage, DynamicCollection) {
    let (storage, collection) = open_one(h, numbered()).await;
    let records =
        objects.iter().map(|(id, n)| record![*id, Into::<Option<i64>>::into(*n)]).collect();
    storage.execute(Batch::new().create(OBJECT, records)).await.expect("the objects are created");
    (storage, collection)
}

/// A record of these values.
macro_rules! record {
    ($($value:expr),* $(,)?) => {
        storex_core::Record::new(vec![$(storex_core::Value::from($value)),*])
    };
}
pub(crate) use record;

/// Creates these objects and gives them as they were created.
pub(crate) async fn create_all(
    collection: &DynamicCollection,
    objects: impl IntoIterator<Item = Json>,
) -> Vec<Json> {
    let mut created = Vec::new();
    for object in objects {
        created.push(collection.create(object).await.expect("the object is created"));
    }
    created
}

/// Everything in a collection, by key.
pub(crate) async fn dump(storage: &Storage, collection: &str) -> Vec<Json> {
    let query = by_key(storage, collection);
    let collection = storage.dynamic(collection).expect("the collection is registered");
    collection.query(query).await.expect("everything is found")
}

/// Everything in a collection, by key, as records.
pub(crate) async fn records(storage: &Storage, collection: &str) -> Vec<Record> {
    storage.find(by_key(storage, collection)).await.expect("everything is found")
}

fn by_key(storage: &Storage, collection: &str) -> Query {
    let schema = storage.registry().collection(collection).expect("the collection is registered");
    let key = &schema.fields()[schema.primary_key()[0]].name;
    Query::new(schema.name().clone()).order_by(key.clone(), storex_core::Direction::Ascending)
}

/// The integer keys of what a filter finds, ascending.
pub(crate) async fn matching(storage: &Storage, filter: Filter) -> Vec<i64> {
    let query = Query::new(OBJECT).filter(filter);
    let count = storage.count(query.clone()).await.expect("the objects are counted");
    let found = storage.find(query).await.expect("the objects are found");
    assert_eq!(count, found.len() as u64, "the count and the find differ");
    let mut keys = ids(&found);
    keys.sort_unstable();
    keys
}

/// The first values of records: their integer keys.
pub(crate) fn ids(records: &[Record]) -> Vec<i64> {
    records.iter().map(|record| record.get(0).as_int().expect("an integer key")).collect()
}

/// The values of one field, in the order of the objects.
pub(crate) fn column(objects: &[Json], field: &str) -> Vec<Json> {
    objects.iter().map(|object| object[field].clone()).collect()
}

/// Integers in ascending order, for results whose order is the backend's own.
pub(crate) fn sorted(values: Vec<Json>) -> Vec<i64> {
    let mut ints: Vec<i64> =
        values.iter().map(|value| value.as_i64().expect("an integer")).collect();
    ints.sort_unstable();
    ints
}

/// Integer keys, ascending.
pub(crate) fn sorted_keys(keys: &[Key]) -> Vec<i64> {
    let mut ints: Vec<i64> = keys.iter().map(|key| key.as_int().expect("an integer key")).collect();
    ints.sort_unstable();
    ints
}

/// What the `n`-th step of a batch did; it is one step.
#[track_caller]
pub(crate) fn step(outcome: &BatchOutcome, n: usize) -> &StepOutcome {
    let mut executed = outcome.of_step(n);
    let first = executed.next().expect("the step was executed");
    assert!(executed.next().is_none(), "step {n} is several steps");
    &first.outcome
}

/// The error, which is of this kind and names these words.
#[track_caller]
pub(crate) fn refused<T: fmt::Debug>(result: Result<T>, kind: ErrorKind, words: &[&str]) -> Error {
    let error = result.expect_err("this must be refused");
    assert_eq!(error.kind(), kind, "{error}");
    for word in words {
        assert!(error.to_string().contains(word), "the message does not name `{word}`: {error}");
    }
    error
}

/// Asserts that a result is an error of this variant.
macro_rules! assert_refused {
    ($result:expr, $variant:pat) => {
        match $result {
            Err($variant) => {}
            other => panic!("expected Err({}), not {other:?}", stringify!($variant)),
        }
    };
}
pub(crate) use assert_refused;

/// Asserts that these objects are what is there.
pub(crate) async fn assert_objects(storage: &Storage, expected: Json) {
    assert_eq!(json!(dump(storage, OBJECT).await), expected);
}

/// Lets others run first.
pub(crate) async fn pass() {
    let mut passed = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut passed, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Runs two futures side by side to their ends.
pub(crate) async fn join<A: Future, B: Future>(a: A, b: B) -> (A::Output, B::Output) {
    futures_util::future::join(a, b).await
}

/// Runs futures side by side to their ends, and gives their outputs in order.
pub(crate) async fn join_all<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    futures_util::future::join_all(futures).await
}
