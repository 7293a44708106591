//! Transactions of several steps: `storage.transaction(|tx| ...)`.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use storex_core::{
    AutoPk, ChangeEvent, Changes, Context, Definition, Direction, DynamicCollection, Error,
    ErrorKind, FieldOption, FieldType, Filter, KeyFormat, Middleware, Next, Object, Operation,
    Outcome, Query, Registry, RelationDefinition, Result, Step, Storage, Transaction, field,
};

use crate::Harness;
use crate::support::{
    NONE, OBJECT, assert_objects, dump, ids, join_all, numbered, numbers, open_one, record,
    records, refused, registry,
};

fn abort<T>(reason: &str) -> Result<T> {
    Err(Error::Aborted { reason: reason.to_owned() })
}

fn n_of(object: Option<Json>) -> i64 {
    object.and_then(|object| object["n"].as_i64()).unwrap_or_default()
}

/// Moves an amount from 1 to 2 if there is enough, and tells what is left.
fn pay(tx: &Transaction<'_>, amount: i64) -> Result<i64> {
    let accounts = tx.dynamic(OBJECT)?;
    let there = n_of(accounts.get(1)?);
    accounts.update(&json!({ "id": 1 }), &json!({ "n": { "$inc": -amount } }))?;
    accounts.update(&json!({ "id": 2 }), &json!({ "n": { "$inc": amount } }))?;
    // Seen too late, for the test: everything is taken back.
    if there < amount { abort("not enough") } else { Ok(there - amount) }
}

pub async fn money_is_moved_or_not(h: Harness) {
    let (storage, _) = numbers(&h, &[(1, 70), (2, 0)]).await;
    assert_eq!(storage.transaction(|tx| pay(tx, 50)).await.unwrap(), 20);
    assert_objects(&storage, json!([{ "id": 1, "n": 20 }, { "id": 2, "n": 50 }])).await;
    let result = storage.transaction(|tx| pay(tx, 50)).await;
    refused(result, ErrorKind::Conflict, &["not enough"]);
    assert_objects(&storage, json!([{ "id": 1, "n": 20 }, { "id": 2, "n": 50 }])).await;
}

pub async fn reads_its_own_writes(h: Harness) {
    let (storage, _) = numbers(&h, &[(1, 1), (2, 2)]).await;
    let seen = storage
        .transaction(|tx| -> Result<_> {
            let objects = tx.dynamic(OBJECT)?;
            objects.create(json!({ "id": 3, "n": 3 }))?;
            let first = objects.count(&json!({}))?;
            let changed = objects.update(&json!({ "n": { "$gte": 2 } }), &json!({ "n": 9 }))?;
            let nines = objects.find_with(&json!({ "n": 9 }), &json!({ "order": ["id"] }))?;
            let deleted = objects.delete(&json!({ "id": 2 }))?;
            let again = objects.delete_one(&json!({ "id": 2 }))?;
            let gone = objects.get(2)?;
            let rest = tx.find(Query::new(OBJECT).order_by("id", Direction::Descending))?;
            Ok((first, changed.len(), nines, deleted.len(), again, gone, ids(&rest)))
        })
        .await
        .unwrap();
    let nines = vec![json!({ "id": 2, "n": 9 }), json!({ "id": 3, "n": 9 })];
    assert_eq!(seen, (3, 2, nines, 1, false, None, vec![3, 1]));
    assert_objects(&storage, json!([{ "id": 1, "n": 1 }, { "id": 3, "n": 9 }])).await;
}

pub async fn an_error_at_the_end_takes_everything_back(h: Harness) {
    let (storage, _) = numbers(&h, &[(1, 1), (2, 2)]).await;
    let result: Result<()> = storage
        .transaction(|tx| {
            let objects = tx.dynamic(OBJECT)?;
            objects.create(json!({ "id": 3 }))?;
            objects.update(&json!({ "id": 1 }), &json!({ "n": 5 }))?;
            objects.delete(&json!({ "id": 2 }))?;
            abort(&format!("{} are there", objects.count(&json!({}))?))
        })
        .await;
    assert!(
        matches!(&result, Err(Error::Aborted { reason }) if reason == "2 are there"),
        "{result:?}"
    );
    assert_objects(&storage, json!([{ "id": 1, "n": 1 }, { "id": 2, "n": 2 }])).await;
}

/// At most three: whoever comes fourth is refused, also when all come at once.
pub async fn a_decision_on_a_count(h: Harness) {
    let (storage, _) = numbers::<i64>(&h, &[]).await;
    let results = join_all((0..6_i64).map(|id| {
        storage.transaction(move |tx| {
            let objects = tx.dynamic(OBJECT)?;
            if objects.count(&json!({}))? >= 3 {
                return abort("full");
            }
            objects.create(json!({ "id": id }))
        })
    }))
    .await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 3, "{results:?}");
    assert_eq!(records(&storage, OBJECT).await.len(), 3);
}

/// Found or created, never twice.
pub async fn found_or_created(h: Harness) {
    let (storage, objects) = open_one(
        &h,
        Definition::new(OBJECT).field("name", FieldType::String).optional("n", FieldType::Int),
    )
    .await;
    let results = join_all((0..5).map(|_| {
        storage.transaction(|tx| -> Result<Json> {
            let objects = tx.dynamic(OBJECT)?;
            match objects.find_one(&json!({ "name": "inbox" }))? {
                Some(found) => Ok(found),
                None => objects.create(json!({ "name": "inbox" })),
            }
        })
    }))
    .await;
    let there = objects.find(&json!({})).await.unwrap();
    assert_eq!(there.len(), 1);
    for result in results {
        assert_eq!(result.unwrap()["id"], there[0]["id"]);
    }
}

pub async fn twenty_at_once_on_one_counter(h: Harness) {
    let (storage, _) = numbers(&h, &[(1, 0)]).await;
    let mut seen: Vec<i64> = join_all((0..20).map(|_| {
        storage.transaction(|tx| -> Result<i64> {
            let objects = tx.dynamic(OBJECT)?;
            let n = n_of(objects.get(1)?);
            objects.update_one(&json!({ "id": 1 }), &json!({ "n": n + 1 }))?;
            Ok(n)
        })
    }))
    .await
    .into_iter()
    .map(Result::unwrap)
    .collect();
    seen.sort_unstable();
    assert_eq!(seen, (0..20).collect::<Vec<_>>(), "each saw another state");
    assert_eq!(records(&storage, OBJECT).await, [record![1, 20]]);
}

/// What a transaction touches need not be said before.
pub async fn collections_are_found_out(h: Harness) {
    let numbers =
        |name: &str| Definition::new(name).key_format(KeyFormat::Int).field("n", FieldType::Int);
    let storage = h.open(registry(["a", "b", "c"].map(numbers))).await;
    let count = storage
        .transaction(|tx| -> Result<u64> {
            tx.dynamic("a")?.create(json!({ "id": 1, "n": 1 }))?;
            tx.dynamic("b")?.create(json!({ "id": 1, "n": 2 }))?;
            let count = tx.count(Query::new("c"))?;
            // Which one is decided by what was read.
            let next = if count == 0 { "c" } else { "a" };
            tx.dynamic(next)?.create(json!({ "id": 2, "n": 3 }))?;
            tx.count(Query::new("c"))
        })
        .await
        .unwrap();
    assert_eq!(count, 1);
    assert_eq!(records(&storage, "a").await, [record![1, 1]]);
    assert_eq!(records(&storage, "b").await, [record![1, 2]]);
    assert_eq!(records(&storage, "c").await, [record![2, 3]]);
    let result: Result<()> = storage.transaction(|tx| tx.dynamic("d").map(|_| ())).await;
    refused(result, ErrorKind::NotFound, &["`d`"]);
}

fn family() -> Registry {
    registry([
        Definition::new("parent").key_format(KeyFormat::Int).optional("n", FieldType::Int),
        Definition::new("child")
            .key_format(KeyFormat::Int)
            .field("parent", FieldType::Int)
            .foreign_key(["parent"], "parent", ["id"], storex_core::OnDelete::Cascade),
    ])
}

/// A delete is several steps then; what comes behind it keeps its answers.
pub async fn a_delete_brings_others_with_it(h: Harness) {
    let storage = h.open(family()).await;
    let parents = storage.dynamic("parent").unwrap();
    parents.create_many(&[json!({ "id": 1 }), json!({ "id": 2 })]).await.unwrap();
    let children = [(10, 1), (11, 1), (12, 2)].map(|(id, of)| json!({ "id": id, "parent": of }));
    storage.dynamic("child").unwrap().create_many(&children).await.unwrap();
    let seen = storage
        .transaction(|tx| -> Result<_> {
            let (parents, children) = (tx.dynamic("parent")?, tx.dynamic("child")?);
            let before = children.count(&json!({}))?;
            let deleted = parents.delete(&json!({ "id": 1 }))?;
            let after = children.find(&json!({}))?;
            parents.update_one(&json!({ "id": 2 }), &json!({ "n": after.len() }))?;
            Ok((before, deleted, after.len()))
        })
        .await
        .unwrap();
    assert_eq!(seen, (3, vec![1.into()], 1));
    assert_eq!(records(&storage, "child").await, [record![12, 2]]);
    assert_eq!(records(&storage, "parent").await, [record![2, 1]]);
}

/// A function that does not pass errors on goes the same way.
pub async fn swallowed_errors_do_not_end_it(h: Harness) {
    let (storage, _) = numbers(&h, &[(1, 7)]).await;
    let seen = storage
        .transaction(|tx| -> Result<_> {
            let objects = tx.dynamic(OBJECT)?;
            let n = objects.get(1).map(n_of).unwrap_or(-1);
            let created = objects.create(json!({ "id": 2, "n": n })).is_ok();
            let count = objects.count(&json!({})).unwrap_or(99);
            Ok((n, created, count))
        })
        .await
        .unwrap();
    assert_eq!(seen, (7, true, 2));
    assert_objects(&storage, json!([{ "id": 1, "n": 7 }, { "id": 2, "n": 7 }])).await;
}

/// An error that the application made.
#[derive(Debug)]
enum Refusal {
    TooPoor { there: i64 },
    Storage(Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Storage(error)
    }
}

pub async fn an_error_of_the_applications_own_comes_back(h: Harness) {
    let (storage, _) = numbers(&h, &[(1, 70)]).await;
    let take = |collection: &'static str| {
        storage.transaction(move |tx| {
            let objects = tx.dynamic(collection)?;
            objects.update(&json!({ "id": 1 }), &json!({ "n": { "$inc": -100 } }))?;
            let there = n_of(objects.get(1)?);
            if there < 0 { Err(Refusal::TooPoor { there }) } else { Ok(()) }
        })
    };
    let result = take(OBJECT).await;
    assert!(matches!(result, Err(Refusal::TooPoor { there: -30 })), "{result:?}");
    assert_objects(&storage, json!([{ "id": 1, "n": 70 }])).await;
    let result = take("nothing").await;
    let is_ours = matches!(&result, Err(Refusal::Storage(Error::UnknownCollection { .. })));
    assert!(is_ours, "{result:?}");
}

/// The function does not see what the database refuses, so it cannot go on without it.
pub async fn what_the_database_refuses_ends_it(h: Harness) {
    let (storage, _) = numbers(&h, &[(1, 1)]).await;
    let result = storage
        .transaction(|tx| -> Result<()> {
            let objects = tx.dynamic(OBJECT)?;
            objects.create(json!({ "id": 2 }))?;
            // Exists: nothing that comes behind makes it good.
            let _ = objects.create(json!({ "id": 1 }));
            objects.delete(&json!({}))?;
            abort("not this error")
        })
        .await;
    assert!(matches!(&result, Err(Error::AlreadyExists { .. })), "{result:?}");
    let result = storage
        .transaction(|tx| -> Result<()> {
            let objects = tx.dynamic(OBJECT)?;
            objects.delete(&json!({}))?;
            objects.create(json!({ "id": 1, "n": i64::MAX }))?;
            objects.update(&json!({}), &json!({ "n": { "$inc": 1 } }))?;
            Ok(())
        })
        .await;
    refused(result, ErrorKind::Invalid, &["`n`"]);
    assert_objects(&storage, json!([{ "id": 1, "n": 1 }])).await;
}

/// What is wrong with a call itself is told at once, and the function may go another way.
pub async fn a_wrong_call_can_be_survived(h: Harness) {
    let (storage, _) = numbers(&h, &[(1, 1)]).await;
    let seen = storage
        .transaction(|tx| -> Result<_> {
            let objects = tx.dynamic(OBJECT)?;
            let n = n_of(objects.get(1)?);
            let wrong = [
                objects.create(json!({ "id": 2, "x": 1 })).unwrap_err(),
                objects.update(&json!({ "x": 1 }), &json!({ "n": 1 })).unwrap_err(),
                objects.find(&json!({ "n": { "$near": 1 } })).unwrap_err(),
                objects.delete_one(&json!([1])).unwrap_err(),
            ];
            if wrong.iter().any(|error| error.kind() != ErrorKind::Invalid) {
                return abort("another error");
            }
            objects.create(json!({ "id": 2, "n": n + 1 }))?;
            objects.count(&json!({}))
        })
        .await
        .unwrap();
    assert_eq!(seen, 2);
    assert_objects(&storage, json!([{ "id": 1, "n": 1 }, { "id": 2, "n": 2 }])).await;
}

/// What is made anew in every run would be written half by one run and half by another.
pub async fn a_function_that_does_not_do_the_same_is_refused(h: Harness) {
    let (storage, _) = numbers(&h, &[(0, 0)]).await;
    type Body = fn(&DynamicInTransaction<'_>, i64) -> Result<()>;
    type DynamicInTransaction<'t> = storex_core::TransactionDynamic<'t>;
    let bodies: [Body; 5] = [
        |objects, run| {
            objects.create(json!({ "id": run }))?;
            objects.count(&json!({})).map(|_| ())
        },
        |objects, run| {
            objects.update(&json!({ "id": 0 }), &json!({ "n": run }))?;
            objects.count(&json!({})).map(|_| ())
        },
        |objects, run| objects.get(run).map(|_| ()),
        |objects, run| match run % 2 {
            0 => objects.count(&json!({})).map(|_| ()),
            _ => objects.delete(&json!({})).map(|_| ()),
        },
        // Comes to its end sooner the next time.
        |objects, run| if run < 3 { objects.delete(&json!({})).map(|_| ()) } else { Ok(()) },
    ];
    for (n, body) in bodies.into_iter().enumerate() {
        let runs = AtomicI64::new(1);
        let result = storage
            .transaction(move |tx| body(&tx.dynamic(OBJECT)?, runs.fetch_add(1, Ordering::SeqCst)))
            .await;
        assert!(
            matches!(&result, Err(Error::Aborted { reason }) if reason.contains("something else")),
            "{n}: {result:?}"
        );
        assert_objects(&storage, json!([{ "id": 0, "n": 0 }])).await;
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Thing {
    #[serde(default)]
    id: String,
    title: String,
    stars: i64,
}

impl Object for Thing {
    const COLLECTION: &'static str = OBJECT;
}

pub async fn structs(h: Harness) {
    let definition =
        Definition::new(OBJECT).field("title", FieldType::String).field("stars", FieldType::Int);
    let (storage, _) = open_one(&h, definition).await;
    let thing = |title: &str, stars| Thing { id: String::new(), title: title.to_owned(), stars };
    let (key, seen) = storage
        .transaction(move |tx| -> Result<_> {
            let things = tx.collection::<Thing>()?;
            let key = things.create(&thing("a", 1))?;
            let others = things.create_many(&[thing("b", 2), thing("c", 3)])?;
            assert_eq!(others.len(), 2);
            let mut seen = vec![things.get(key.clone())?.map(|thing| thing.stars)];
            things.update_one(key.clone(), Changes::new().increment("stars", 4))?;
            seen.push(things.get(key.clone())?.map(|thing| thing.stars));
            seen.extend(things.find(field("title").eq("b"))?.into_iter().map(|it| Some(it.stars)));
            let query = Query::new(OBJECT).order_by("stars", Direction::Descending).limit(1);
            seen.extend(things.query(query)?.into_iter().map(|it| Some(it.stars)));
            things.update(field("stars").lt(4), Changes::new().set("stars", 0))?;
            seen.push(i64::try_from(things.count(field("stars").eq(0))?).ok());
            things.delete(field("title").eq("c"))?;
            assert!(things.query(Query::new("other")).is_err());
            let gone = [things.delete_one("nobody")?, things.delete_one(others[0].clone())?];
            assert_eq!(gone, [false, true]);
            Ok((key, seen))
        })
        .await
        .unwrap();
    assert_eq!(seen, [Some(1), Some(5), Some(2), Some(5), Some(2)]);
    let left = storage.collection::<Thing>().unwrap().find(Filter::All).await.unwrap();
    let id = key.as_text().expect("a UUID").to_owned();
    assert_eq!(left, [Thing { id, title: "a".to_owned(), stars: 5 }]);
}

/// Keys that a middleware makes are made once, and defaults are of one moment.
pub async fn nested_objects(h: Harness) {
    let registry = Registry::builder()
        .collection(Definition::new("user").field("name", FieldType::String).field_with(
            "at",
            FieldType::DateTime,
            [FieldOption::DefaultNow],
        ))
        .collection(
            Definition::new("email")
                .field("address", FieldType::String)
                .relation(RelationDefinition::child_of("user")),
        );
    let storage = h.open(registry.build().unwrap()).await;
    let users = storage
        .transaction(|tx| -> Result<_> {
            let users = tx.dynamic("user")?;
            let create = |name: &str| {
                let address = |n: i64| json!({ "address": format!("{name}{n}") });
                users.create(json!({ "name": name, "emails": [address(1), address(2)] }))
            };
            let (jane, joe) = (create("jane")?, create("joe")?);
            assert_eq!(tx.count(Query::new("email"))?, 4);
            Ok([jane, joe])
        })
        .await
        .unwrap();
    let emails = dump(&storage, "email").await;
    assert_eq!(emails.len(), 4);
    assert_eq!(users[0]["at"], users[1]["at"]);
    for user in users {
        for email in user["emails"].as_array().expect("a list") {
            assert!(emails.contains(email), "{email} is not there");
            assert_eq!(email["user"], user["id"]);
        }
        let mut alone = user.clone();
        alone.as_object_mut().expect("an object").remove("emails");
        assert!(dump(&storage, "user").await.contains(&alone), "{alone} is not there");
    }
}

pub async fn a_panic_leaves_nothing(h: Harness) {
    // In a browser a panic ends the program.
    if cfg!(target_family = "wasm") {
        return;
    }
    let (storage, _) = numbers(&h, &[(1, 1)]).await;
    for _ in 0..3 {
        let mut transaction = pin!(storage.transaction(|tx| -> Result<()> {
            let objects = tx.dynamic(OBJECT)?;
            objects.create(json!({ "id": 2 }))?;
            objects.delete(&json!({ "id": 1 }))?;
            panic!("a mistake in a transaction, made on purpose")
        }));
        let succeeded = poll_fn(|cx| {
            let poll = catch_unwind(AssertUnwindSafe(|| transaction.as_mut().poll(cx)));
            poll.map_or(Poll::Ready(false), |poll| poll.map(|result| result.is_ok()))
        });
        assert!(!succeeded.await, "the transaction succeeds");
        assert_objects(&storage, json!([{ "id": 1, "n": 1 }])).await;
    }
    assert_eq!(storage.transaction(|tx| tx.count(Query::new(OBJECT))).await.unwrap(), 1);
}

pub async fn nothing_to_do(h: Harness) {
    let (storage, _) = numbers::<i64>(&h, &[]).await;
    assert_eq!(storage.transaction(|_| -> Result<_> { Ok(5) }).await.unwrap(), 5);
    let result: Result<()> = storage.transaction(|_| abort("no")).await;
    refused(result, ErrorKind::Conflict, &["no"]);
    storage.close().await.unwrap();
    let result = storage.transaction(|_| -> Result<_> { Ok(5) }).await;
    assert!(matches!(result, Err(Error::Closed)), "{result:?}");
    let result = storage.transaction(|tx| tx.count(Query::new(OBJECT))).await;
    assert!(matches!(result, Err(Error::Closed)), "{result:?}");
}

/// A loop over many steps.
pub async fn a_thousand_steps(h: Harness) {
    let (storage, _) = numbers::<i64>(&h, &[]).await;
    let count = storage
        .transaction(|tx| -> Result<u64> {
            let objects = tx.dynamic(OBJECT)?;
            for id in 0..1000 {
                objects.create(json!({ "id": id, "n": id }))?;
            }
            objects.create_many(&(1000..5000).map(|id| json!({ "id": id })).collect::<Vec<_>>())?;
            objects.count(&json!({}))
        })
        .await
        .unwrap();
    assert_eq!(count, 5000);
    assert_eq!(ids(&records(&storage, OBJECT).await), (0..5000).collect::<Vec<_>>());
}

/// However often it was begun again.
pub async fn is_told_once(h: Harness) {
    let other = Definition::new("other").field("id", FieldType::Int).primary_key(["id"]);
    let storage = h.open(registry([numbered(), other])).await;
    let mut changes = storage.changes();
    storage
        .transaction(|tx| -> Result<()> {
            tx.dynamic(OBJECT)?.create(json!({ "id": 1 }))?;
            tx.dynamic("other")?.create(json!({ "id": 1 }))?;
            tx.dynamic(OBJECT)?.update(&json!({ "id": 1 }), &json!({ "n": 1 }))?;
            Ok(())
        })
        .await
        .unwrap();
    let Some(ChangeEvent::Changed(set)) = changes.try_next() else { panic!("nothing is told") };
    let told: Vec<&str> = set.changes.iter().map(|change| &*change.collection).collect();
    assert_eq!(told, [OBJECT, "other", OBJECT]);
    assert_eq!(changes.try_next(), None);
    let _: Result<()> = storage
        .transaction(|tx| {
            tx.dynamic(OBJECT)?.delete(&json!({}))?;
            abort("no")
        })
        .await;
    assert_eq!(changes.try_next(), None);
}

/// Writes down in another collection whatever is created, before and after it.
#[derive(Debug)]
struct Audit(AtomicI64);

fn audited(audit: &Arc<Audit>, step: Step) -> Vec<Step> {
    let note = || {
        let id = audit.0.fetch_add(1, Ordering::SeqCst);
        [
            Step::create("audit", vec![record![id]]),
            Step::Count(Query::new("audit")),
            Step::Find(Query::new("audit")),
        ]
    };
    match step {
        Step::Then(continuation) => {
            let audit = Arc::clone(audit);
            let steps = Step::then(move |trace| {
                let steps = continuation.call(trace)?;
                Ok(steps.into_iter().flat_map(|step| audited(&audit, step)).collect())
            });
            vec![steps]
        }
        step => note().into_iter().chain([step]).chain(note()).collect(),
    }
}

#[derive(Debug)]
struct Auditing(Arc<Audit>);

#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
impl Middleware for Auditing {
    async fn process(
        &self,
        cx: &mut Context,
        operation: Operation,
        next: Next<'_>,
    ) -> Result<Outcome> {
        let operation = match operation {
            Operation::Execute(mut batch) => {
                let steps = batch.steps.into_iter();
                batch.steps = steps.flat_map(|step| audited(&self.0, step)).collect();
                Operation::Execute(batch.touching(["audit"]))
            }
            other => other,
        };
        next.run(cx, operation).await
    }
}

/// The steps that others add are not taken for the function's own.
pub async fn behind_a_middleware_that_adds_steps(h: Harness) {
    let audit = Definition::new("audit").field("id", FieldType::Int).primary_key(["id"]);
    let object = Definition::new(OBJECT).optional("n", FieldType::Int);
    let auditing = Auditing(Arc::new(Audit(AtomicI64::new(0))));
    let middleware: Vec<Arc<dyn Middleware>> = vec![Arc::new(AutoPk::new()), Arc::new(auditing)];
    let storage = h.open_with(registry([object, audit]), middleware).await;
    let (key, seen) = storage
        .transaction(|tx| -> Result<_> {
            let objects = tx.dynamic(OBJECT)?;
            let created = objects.create(json!({ "n": 1 }))?;
            let key = created["id"].as_str().unwrap_or_default().to_owned();
            let count = objects.count(&json!({}))?;
            objects.update(&json!({ "id": key }), &json!({ "n": 2 }))?;
            let found = objects.find(&json!({}))?;
            Ok((key, (count, n_of(found.first().cloned()), found.len())))
        })
        .await
        .unwrap();
    assert_eq!(seen, (1, 2, 1));
    assert_eq!(dump(&storage, OBJECT).await, [json!({ "id": key, "n": 2 })]);
    assert!(records(&storage, "audit").await.len() >= 8);
}

/// Says so many times that somebody else holds the database.
#[derive(Debug)]
struct Busy(AtomicU32);

fn busy() -> Error {
    Error::Backend {
        backend: "busy",
        operation: "begin",
        collection: None,
        kind: ErrorKind::Busy,
        hint: "somebody else holds it".to_owned(),
        source: "locked".into(),
    }
}

#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
impl Middleware for Busy {
    async fn process(
        &self,
        cx: &mut Context,
        operation: Operation,
        next: Next<'_>,
    ) -> Result<Outcome> {
        let left = self.0.load(Ordering::SeqCst);
        if left > 0 && matches!(operation, Operation::Execute(_)) {
            self.0.store(left - 1, Ordering::SeqCst);
            return Err(busy());
        }
        next.run(cx, operation).await
    }
}

pub async fn a_busy_database_is_tried_again(h: Harness) {
    let busy = Arc::new(Busy(AtomicU32::new(0)));
    let storage = h.open_with(registry([numbered()]), vec![Arc::new(Arc::clone(&busy))]).await;
    let create = |id: i64| {
        storage.transaction(move |tx| -> Result<()> {
            tx.dynamic(OBJECT)?.create(json!({ "id": id }))?;
            Ok(())
        })
    };
    let before = storage.runtime().now();
    busy.0.store(3, Ordering::SeqCst);
    create(1).await.unwrap();
    assert_eq!(ids(&records(&storage, OBJECT).await), [1]);
    assert!(storage.runtime().now().0 - before.0 >= 70, "there are pauses between the attempts");
    // Not for ever.
    busy.0.store(1000, Ordering::SeqCst);
    refused(create(2).await, ErrorKind::Busy, &["somebody else holds it"]);
    assert!(busy.0.load(Ordering::SeqCst) > 980);
    busy.0.store(0, Ordering::SeqCst);
    assert_eq!(ids(&records(&storage, OBJECT).await), [1]);
}

/// Others see all of it or nothing.
pub async fn others_see_all_or_nothing(h: Harness) {
    let (storage, _) = numbers(&h, &[(1, 100), (2, 0)]).await;
    let sums: Mutex<Vec<i64>> = Mutex::default();
    let move_some = async {
        for _ in 0..10 {
            storage.transaction(|tx| pay(tx, 10)).await.unwrap();
        }
    };
    let look = async {
        for _ in 0..20 {
            let found = storage.find(Query::new(OBJECT)).await.unwrap();
            let n = found.iter().map(|record| record.get(1).as_int().unwrap());
            sums.lock().unwrap().push(n.sum());
            crate::support::pass().await;
        }
    };
    crate::support::join(move_some, look).await;
    assert!(sums.lock().unwrap().iter().all(|sum| *sum == 100), "{sums:?}");
    assert_objects(&storage, json!([{ "id": 1, "n": 0 }, { "id": 2, "n": 100 }])).await;
}

/// Whatever becomes of the future, the transaction is whole.
pub async fn a_dropped_future_leaves_all_or_nothing(h: Harness) {
    let (storage, _) = numbers(&h, &[(1, 100), (2, 0)]).await;
    for _ in 0..10 {
        let mut transaction = Box::pin(storage.transaction(|tx| pay(tx, 1)));
        let _ = poll_fn(|cx| Poll::Ready(transaction.as_mut().poll(cx).is_ready())).await;
        drop(transaction);
    }
    let n: Vec<i64> = storage
        .transaction(|tx| -> Result<_> {
            let found = tx.find(Query::new(OBJECT).order_by("id", Direction::Ascending))?;
            Ok(found.iter().map(|record| record.get(1).as_int().unwrap_or_default()).collect())
        })
        .await
        .unwrap();
    assert_eq!(n[0] + n[1], 100, "{n:?}");
    assert!(n[1] <= 10);
}

/// Empty lists and filters that match nothing are steps too.
pub async fn steps_that_do_nothing(h: Harness) {
    let (storage, _): (Storage, DynamicCollection) = numbers(&h, &[(1, 1)]).await;
    let seen = storage
        .transaction(|tx| -> Result<_> {
            let objects = tx.dynamic(OBJECT)?;
            let created = objects.create_many(&[])?;
            let updated = objects.update(&json!({ "n": 7 }), &json!({ "n": 8 }))?;
            let deleted = objects.delete(&json!({ "n": 7 }))?;
            let found = objects.find(&json!({ "n": 7 }))?;
            let there = objects.update_one(&json!({ "id": 7 }), &json!({ "n": 8 }))?;
            Ok((created.len(), updated.len(), deleted.len(), found.len(), there))
        })
        .await
        .unwrap();
    assert_eq!(seen, (0, 0, 0, 0, false));
    let left: Vec<i64> = NONE.into_iter().chain(ids(&records(&storage, OBJECT).await)).collect();
    assert_eq!(left, [1]);
}
