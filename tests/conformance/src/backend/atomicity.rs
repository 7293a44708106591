//! A batch is all or nothing.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

use serde_json::Value as Json;
use storex_core::{
    Batch, Changes, Definition, Direction, Error, ErrorKind, FieldType, Filter, Key, OnConflict,
    Query, Step, Storage, field,
};

use crate::Harness;
use crate::support::{
    OBJECT, assert_refused, dump, ids, join, numbered, numbers, record, records, registry,
};

/// A storage with objects in two collections, one with a unique index, and all that is in them.
async fn two_collections(h: &Harness) -> (Storage, [Vec<Json>; 2]) {
    let other = Definition::new("other")
        .field("id", FieldType::Int)
        .optional("email", FieldType::String)
        .primary_key(["id"])
        .unique(["email"]);
    let storage = h.open(registry([numbered(), other])).await;
    let batch = Batch::new()
        .create(OBJECT, (1..=4).map(|id| record![id, id * 10]).collect())
        .create("other", vec![record![1, "a"], record![2, "b"]]);
    storage.execute(batch).await.unwrap();
    let before = everything(&storage).await;
    (storage, before)
}

async fn everything(storage: &Storage) -> [Vec<Json>; 2] {
    [dump(storage, OBJECT).await, dump(storage, "other").await]
}

/// Steps that succeed and change much.
fn good_steps() -> Vec<Step> {
    let update = |collection: &str, filter, changes| Step::Update {
        collection: collection.into(),
        filter,
        changes,
    };
    vec![
        Step::create(OBJECT, vec![record![10, 0], record![11, 0]]),
        update(OBJECT, field("n").gte(20), Changes::new().increment("n", 1)),
        Step::Delete { collection: OBJECT.into(), filter: Filter::key(1) },
        Step::create_or("other", vec![record![1, "c"], record![3, "d"]], OnConflict::Replace),
        Step::then(|_| {
            Ok(vec![
                Step::create("other", vec![record![4, None::<&str>]]),
                Step::Delete { collection: "other".into(), filter: Filter::key(2) },
            ])
        }),
        update("other", Filter::key(3), Changes::new().set("email", "b")),
    ]
}

/// The step at every position of a batch that would succeed without it: nothing remains, and the storage works on.
async fn at_every_position(h: Harness, kind: ErrorKind, fails: impl Fn() -> Step) {
    let (storage, before) = two_collections(&h).await;
    for position in 0..=good_steps().len() {
        let mut steps = good_steps();
        steps.insert(position, fails());
        let error =
            storage.execute(steps.into_iter().collect()).await.expect_err("the batch fails");
        assert_eq!(error.kind(), kind, "at {position}: {error}");
        assert_eq!(everything(&storage).await, before, "at {position}: something remains");
    }
    storage
        .execute(good_steps().into_iter().collect())
        .await
        .expect("without it the batch succeeds");
    assert_ne!(everything(&storage).await, before);
}

pub async fn an_existing_key(h: Harness) {
    let fails = || Step::create(OBJECT, vec![record![90, 0], record![4, 0], record![91, 0]]);
    at_every_position(h, ErrorKind::Conflict, fails).await;
}

pub async fn a_value_of_a_unique_index(h: Harness) {
    // Two objects that are there at every position cannot get one value.
    let fails = || {
        Step::then(|_| {
            Ok(vec![
                Step::create("other", vec![record![80, "x"]]),
                Step::Update {
                    collection: "other".into(),
                    filter: Filter::Keys(vec![Key::single(80), Key::single(1)]),
                    changes: Changes::new().set("email", "y"),
                },
            ])
        })
    };
    at_every_position(h, ErrorKind::Conflict, fails).await;
}

pub async fn an_unknown_field(h: Harness) {
    let fails = || Step::Delete { collection: OBJECT.into(), filter: field("nothing").eq(1) };
    at_every_position(h, ErrorKind::Invalid, fails).await;
}

pub async fn an_unknown_collection(h: Harness) {
    let fails = || Step::create("nothing", vec![record![1]]);
    at_every_position(h, ErrorKind::NotFound, fails).await;
}

pub async fn a_wrong_type(h: Harness) {
    let fails = || Step::create(OBJECT, vec![record![90, 0], record![91, "text"]]);
    at_every_position(h, ErrorKind::Invalid, fails).await;
}

pub async fn an_increment_beyond_the_edge(h: Harness) {
    let fails = || Step::Update {
        collection: OBJECT.into(),
        filter: field("n").gte(20),
        changes: Changes::new().increment("n", i64::MAX - 35),
    };
    at_every_position(h, ErrorKind::Invalid, fails).await;
}

pub async fn a_continuation_that_refuses(h: Harness) {
    let fails = || Step::then(|_| Err(Error::Aborted { reason: "no".to_owned() }));
    at_every_position(h, ErrorKind::Conflict, fails).await;
}

pub async fn a_step_of_a_continuation(h: Harness) {
    let fails = || {
        Step::then(|_| {
            Ok(vec![
                Step::create(OBJECT, vec![record![90, 0]]),
                Step::then(|_| Ok(vec![Step::create(OBJECT, vec![record![90, 0]])])),
            ])
        })
    };
    at_every_position(h, ErrorKind::Conflict, fails).await;
}

pub async fn a_precondition_that_does_not_hold(h: Harness) {
    let fails = || Step::Require { query: Query::new(OBJECT), count: 77 };
    at_every_position(h, ErrorKind::Conflict, fails).await;
}

pub async fn a_query_that_has_no_meaning(h: Harness) {
    let fails = || Step::Find(Query::new(OBJECT).order_by("nothing", Direction::Ascending));
    at_every_position(h, ErrorKind::Invalid, fails).await;
}

/// What failed leaves no trace in an index either: keys and unique values are free again.
pub async fn what_failed_can_be_done_afterwards(h: Harness) {
    let (storage, _) = two_collections(&h).await;
    let good = Step::create("other", vec![record![5, "e"]]);
    let fails = Step::create("other", vec![record![1, None::<&str>]]);
    let batch = Batch::new()
        .delete("other", field("email").eq("a"))
        .update("other", Filter::key(2), Changes::new().set("email", "a"))
        .step(good.clone())
        .step(fails.clone())
        .step(fails);
    assert_refused!(storage.execute(batch).await, Error::AlreadyExists { .. });
    // "a" and "b" are taken still, "e" and 5 are not.
    for email in ["a", "b"] {
        let again = Batch::new().create("other", vec![record![6, email]]);
        assert_refused!(storage.execute(again).await, Error::UniqueViolation { .. });
    }
    storage.execute(Batch::new().step(good)).await.unwrap();
    let found = storage.find(Query::new("other").filter(field("email").eq("a"))).await.unwrap();
    assert_eq!(ids(&found), [1]);
}

/// A reader sees all of a batch or none of it: the sum stays.
pub async fn readers_see_whole_batches(h: Harness) {
    let (storage, _) = numbers(&h, &[(1, 500), (2, 500)]).await;
    let write = async {
        for _ in 0..100 {
            let batch = Batch::new()
                .update(OBJECT, Filter::key(1), Changes::new().increment("n", -1))
                .update(OBJECT, Filter::key(2), Changes::new().increment("n", 1));
            storage.execute(batch).await.unwrap();
        }
    };
    let read = async {
        for _ in 0..100 {
            let found = storage.find(Query::new(OBJECT)).await.unwrap();
            let sum: i64 = found.iter().filter_map(|record| record.get(1).as_int()).sum();
            assert_eq!((found.len(), sum), (2, 1000));
        }
    };
    join(write, read).await;
    assert_eq!(records(&storage, OBJECT).await, [record![1, 400], record![2, 600]]);
}

/// Whoever gave up waiting does not know whether the batch was executed, but never that half of it was.
pub async fn a_dropped_future_leaves_all_or_nothing(h: Harness) {
    let (storage, _) = numbers::<i64>(&h, &[]).await;
    for round in 0..20_i64 {
        {
            let batch = Batch::new().create(OBJECT, vec![record![round * 10, round]]).create(
                OBJECT,
                vec![record![round * 10 + 1, round], record![round * 10 + 2, round]],
            );
            let mut execute = pin!(storage.execute(batch));
            poll_fn(|cx| Poll::Ready(execute.as_mut().poll(cx).is_ready())).await;
        }
        // Executed behind it: by now it is decided.
        let marker = record![round * 10 + 5, -1];
        storage.execute(Batch::new().create(OBJECT, vec![marker])).await.unwrap();
        let query = Query::new(OBJECT).filter(field("n").eq(round));
        let count = storage.count(query).await.unwrap();
        assert!(count == 0 || count == 3, "round {round}: {count} of 3 objects");
    }
}

/// A continuation is the application's code. When it panics, nothing was written, and the storage works on; whoever
/// waited gets the panic or an error.
pub async fn a_continuation_that_panics(h: Harness) {
    // In a browser a panic ends the program.
    if cfg!(target_family = "wasm") {
        return;
    }
    let (storage, before) = two_collections(&h).await;
    for _ in 0..3 {
        let mut steps = good_steps();
        steps.push(Step::then(|_| panic!("a mistake in a continuation, made on purpose")));
        let mut execute = pin!(storage.execute(steps.into_iter().collect()));
        let succeeded = poll_fn(|cx| {
            let poll = catch_unwind(AssertUnwindSafe(|| execute.as_mut().poll(cx)));
            poll.map_or(Poll::Ready(false), |poll| poll.map(|result| result.is_ok()))
        });
        assert!(!succeeded.await, "the batch succeeds");
        assert_eq!(everything(&storage).await, before, "something remains");
    }
    storage.execute(good_steps().into_iter().collect()).await.expect("the storage works on");
    assert_ne!(everything(&storage).await, before);
}
