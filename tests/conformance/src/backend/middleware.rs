//! The chain of middleware.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use serde_json::json;
use storex_core::{
    Batch, Changes, Context, Definition, Error, ErrorKind, FieldType, Filter, Middleware, Module,
    Next, OpenContext, Operation, Outcome, Query, Result, Step, Storage, field,
};

use crate::support::{OBJECT, assert_refused, ids, numbered, record, records, refused, registry};
use crate::{CaseRuntime, Harness};

/// What middlewares have written down, in order.
type Diary = Arc<Mutex<Vec<String>>>;

/// Writes down when an operation passes on its way down and its outcome on its way up.
#[derive(Debug)]
struct Writes {
    name: &'static str,
    diary: Diary,
}

#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
impl Middleware for Writes {
    async fn open(&self, cx: &OpenContext<'_>) -> Result<()> {
        let count = cx.backend.count(Query::new(OBJECT)).await?;
        self.diary.lock().unwrap().push(format!("{} opens with {count}", self.name));
        Ok(())
    }

    async fn process(
        &self,
        cx: &mut Context,
        operation: Operation,
        next: Next<'_>,
    ) -> Result<Outcome> {
        self.diary.lock().unwrap().push(format!("{} {}", self.name, operation.name()));
        let outcome = next.run(cx, operation).await;
        let how = if outcome.is_ok() { "ok" } else { "error" };
        self.diary.lock().unwrap().push(format!("{} {how}", self.name));
        outcome
    }
}

async fn with(h: &Harness, middleware: Vec<Arc<dyn Middleware>>) -> Storage {
    h.open_with(registry([numbered()]), middleware).await
}

fn writers(names: &[&'static str], diary: &Diary) -> Vec<Arc<dyn Middleware>> {
    let writer = |name| Arc::new(Writes { name, diary: Arc::clone(diary) }) as Arc<dyn Middleware>;
    names.iter().map(|name| writer(name)).collect()
}

fn create(id: i64) -> Batch {
    Batch::new().create(OBJECT, vec![record![id, id]])
}

pub async fn the_first_one_is_the_outermost(h: Harness) {
    let diary = Diary::default();
    let storage = with(&h, writers(&["a", "b", "c"], &diary)).await;
    let opened = std::mem::take(&mut *diary.lock().unwrap());
    assert_eq!(opened, ["a opens with 0", "b opens with 0", "c opens with 0"]);
    storage.execute(create(1)).await.unwrap();
    let written = std::mem::take(&mut *diary.lock().unwrap());
    assert_eq!(written, ["a execute", "b execute", "c execute", "c ok", "b ok", "a ok"]);
}

pub async fn every_operation_passes(h: Harness) {
    let diary = Diary::default();
    let storage = with(&h, writers(&["a"], &diary)).await;
    diary.lock().unwrap().clear();
    storage.execute(create(1)).await.unwrap();
    storage.find(Query::new(OBJECT)).await.unwrap();
    storage.count(Query::new(OBJECT)).await.unwrap();
    storage.custom("nothing", json!(null)).await.unwrap_err();
    storage.execute(create(1)).await.unwrap_err();
    let objects = storage.dynamic(OBJECT).unwrap();
    objects.update(&json!({}), &json!({ "n": 2 })).await.unwrap();
    objects.delete(&json!({})).await.unwrap();
    let written = std::mem::take(&mut *diary.lock().unwrap());
    let expected = [
        "a execute",
        "a ok",
        "a find",
        "a ok",
        "a count",
        "a ok",
        "a custom",
        "a error",
        "a execute",
        "a error",
        "a execute",
        "a ok",
        "a execute",
        "a ok",
    ];
    assert_eq!(written, expected);
}

/// What another device did passes no middleware: it would be logged again.
pub async fn what_another_device_did_passes_none(h: Harness) {
    let diary = Diary::default();
    let storage = with(&h, writers(&["a"], &diary)).await;
    diary.lock().unwrap().clear();
    storage.apply(create(1)).await.unwrap();
    assert_eq!(*diary.lock().unwrap(), Vec::<String>::new());
    assert_eq!(ids(&records(&storage, OBJECT).await), [1]);
}

/// Refuses every write.
#[derive(Debug)]
struct Refuses;

#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
impl Middleware for Refuses {
    async fn process(
        &self,
        cx: &mut Context,
        operation: Operation,
        next: Next<'_>,
    ) -> Result<Outcome> {
        match operation {
            Operation::Execute(_) => Err(Error::Aborted { reason: "read only".to_owned() }),
            other => next.run(cx, other).await,
        }
    }
}

pub async fn one_may_refuse(h: Harness) {
    let diary = Diary::default();
    let mut chain = writers(&["outer"], &diary);
    chain.push(Arc::new(Refuses));
    chain.extend(writers(&["inner"], &diary));
    let storage = with(&h, chain).await;
    diary.lock().unwrap().clear();
    refused(storage.execute(create(1)).await, ErrorKind::Conflict, &["read only"]);
    assert_eq!(storage.count(Query::new(OBJECT)).await.unwrap(), 0);
    let written = std::mem::take(&mut *diary.lock().unwrap());
    assert_eq!(
        written,
        ["outer execute", "outer error", "outer count", "inner count", "inner ok", "outer ok"]
    );
}

/// Answers every find itself, and every count with what belongs to something else.
#[derive(Debug)]
struct Answers;

#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
impl Middleware for Answers {
    async fn process(
        &self,
        cx: &mut Context,
        operation: Operation,
        next: Next<'_>,
    ) -> Result<Outcome> {
        match operation {
            Operation::Find(_) => Ok(Outcome::Found(vec![record![42, 7]])),
            Operation::Count(_) => Ok(Outcome::Custom(json!("many"))),
            other => next.run(cx, other).await,
        }
    }
}

pub async fn one_may_answer(h: Harness) {
    let storage = with(&h, vec![Arc::new(Answers)]).await;
    let objects = storage.dynamic(OBJECT).unwrap();
    assert_eq!(objects.get(5).await.unwrap(), Some(json!({ "id": 42, "n": 7 })));
}

/// An answer of another kind is an error, not a panic and not a wrong result.
pub async fn an_answer_of_another_kind_is_an_error(h: Harness) {
    let storage = with(&h, vec![Arc::new(Answers)]).await;
    refused(storage.count(Query::new(OBJECT)).await, ErrorKind::Conflict, &["middleware"]);
}

/// Finds only positive numbers, and adds a step to every batch.
#[derive(Debug)]
struct Rewrites;

#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
impl Middleware for Rewrites {
    async fn process(
        &self,
        cx: &mut Context,
        operation: Operation,
        next: Next<'_>,
    ) -> Result<Outcome> {
        match operation {
            Operation::Find(query) => {
                next.run(cx, Operation::Find(query.filter(field("n").gt(0)))).await
            }
            Operation::Execute(batch) => {
                let own = batch.steps.len();
                let batch = batch.then(|trace| {
                    let count = i64::try_from(trace.executed().len()).unwrap();
                    Ok(vec![Step::create(OBJECT, vec![record![-count, -1]])])
                });
                let mut outcome = next.run(cx, Operation::Execute(batch)).await?.into_executed()?;
                outcome.hide_from(own);
                Ok(Outcome::Executed(outcome))
            }
            other => next.run(cx, other).await,
        }
    }
}

pub async fn one_may_rewrite_and_extend(h: Harness) {
    let storage = with(&h, vec![Arc::new(Rewrites)]).await;
    let outcome = storage.execute(create(1).create(OBJECT, vec![record![2, 2]])).await.unwrap();
    assert_eq!(outcome.executed().len(), 2);
    assert_eq!(storage.count(Query::new(OBJECT)).await.unwrap(), 3);
    let mut found = ids(&storage.find(Query::new(OBJECT)).await.unwrap());
    found.sort_unstable();
    assert_eq!(found, [1, 2]);
    // What it adds stands and falls with the batch.
    storage.execute(create(1)).await.unwrap_err();
    assert_eq!(storage.count(Query::new(OBJECT)).await.unwrap(), 3);
    storage.execute(create(3)).await.unwrap();
    assert_eq!(storage.count(Query::new(OBJECT).filter(Filter::key(-1))).await.unwrap(), 1);
}

/// Tries three times.
#[derive(Debug, Default)]
struct Repeats(AtomicUsize);

#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
impl Middleware for Repeats {
    async fn process(
        &self,
        cx: &mut Context,
        operation: Operation,
        next: Next<'_>,
    ) -> Result<Outcome> {
        for _ in 0..2 {
            self.0.fetch_add(1, Ordering::Relaxed);
            if let Ok(outcome) = next.run(cx, operation.clone()).await {
                return Ok(outcome);
            }
        }
        next.run(cx, operation).await
    }
}

/// Fails twice of three times.
#[derive(Debug, Default)]
struct Flaky(AtomicUsize);

#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
impl Middleware for Flaky {
    async fn process(
        &self,
        cx: &mut Context,
        operation: Operation,
        next: Next<'_>,
    ) -> Result<Outcome> {
        if self.0.fetch_add(1, Ordering::Relaxed) % 3 < 2 {
            return Err(Error::Aborted { reason: "flaky".to_owned() });
        }
        next.run(cx, operation).await
    }
}

pub async fn one_may_repeat(h: Harness) {
    let repeats = Arc::new(Repeats::default());
    let chain: Vec<Arc<dyn Middleware>> =
        vec![Arc::clone(&repeats) as Arc<dyn Middleware>, Arc::new(Flaky::default())];
    let storage = with(&h, chain).await;
    let batch = Batch::new().create(OBJECT, vec![record![1, 0]]).then(|_| {
        let changes = Changes::new().increment("n", 1);
        Ok(vec![Step::Update { collection: OBJECT.into(), filter: Filter::key(1), changes }])
    });
    storage.execute(batch).await.unwrap();
    assert_eq!(repeats.0.load(Ordering::Relaxed), 2);
    assert_eq!(records(&storage, OBJECT).await, [record![1, 1]]);
}

/// A note for those further in.
#[derive(Debug, PartialEq)]
struct Foo(i64);

#[derive(Debug)]
struct Leaves;

#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
impl Middleware for Leaves {
    async fn process(
        &self,
        cx: &mut Context,
        operation: Operation,
        next: Next<'_>,
    ) -> Result<Outcome> {
        assert_eq!(cx.get::<Foo>(), None, "a note of an earlier operation");
        cx.insert(Foo(4));
        cx.insert(Foo(5));
        cx.insert("another type");
        next.run(cx, operation).await
    }
}

#[derive(Debug, Default)]
struct Reads(AtomicUsize);

#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
impl Middleware for Reads {
    async fn process(
        &self,
        cx: &mut Context,
        operation: Operation,
        next: Next<'_>,
    ) -> Result<Outcome> {
        assert_eq!(cx.get::<Foo>(), Some(&Foo(5)));
        assert_eq!(cx.get::<&str>(), Some(&"another type"));
        assert!(cx.registry().find(OBJECT).is_some());
        self.0.fetch_add(1, Ordering::Relaxed);
        next.run(cx, operation).await
    }
}

/// storex-facts 1.15, case 16.
pub async fn notes_reach_those_further_in(h: Harness) {
    let reads = Arc::new(Reads::default());
    let chain: Vec<Arc<dyn Middleware>> =
        vec![Arc::new(Leaves), Arc::clone(&reads) as Arc<dyn Middleware>];
    let storage = with(&h, chain).await;
    storage.execute(create(1)).await.unwrap();
    storage.find(Query::new(OBJECT)).await.unwrap();
    assert_eq!(reads.0.load(Ordering::Relaxed), 2);
}

/// Brings a collection along and keeps a count in it, in the same transaction.
#[derive(Debug)]
struct Keeps;

const COUNT: &str = "_storex_count";

#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
impl Middleware for Keeps {
    fn module(&self) -> Module {
        let count = Definition::new(COUNT).field("id", FieldType::Int).field("n", FieldType::Int);
        Module::new("count").collection(count.primary_key(["id"]).reserved())
    }

    async fn open(&self, cx: &OpenContext<'_>) -> Result<()> {
        let first = Step::create_or(COUNT, vec![record![0, 0]], storex_core::OnConflict::Skip);
        cx.backend.execute(Batch::new().step(first)).await.map(|_| ())
    }

    async fn process(
        &self,
        cx: &mut Context,
        operation: Operation,
        next: Next<'_>,
    ) -> Result<Outcome> {
        let operation = match operation {
            Operation::Execute(batch) => Operation::Execute(batch.update(
                COUNT,
                Filter::All,
                Changes::new().increment("n", 1),
            )),
            other => other,
        };
        next.run(cx, operation).await
    }
}

pub async fn one_may_bring_collections_along(h: Harness) {
    let storage = with(&h, vec![Arc::new(Keeps)]).await;
    storage.execute(create(1)).await.unwrap();
    storage.execute(create(1)).await.unwrap_err();
    storage.execute(create(2)).await.unwrap();
    assert_eq!(records(&storage, COUNT).await, [record![0, 2]]);
}

#[derive(Debug)]
struct FailsToOpen;

#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
impl Middleware for FailsToOpen {
    async fn open(&self, _: &OpenContext<'_>) -> Result<()> {
        Err(Error::Aborted { reason: "not today".to_owned() })
    }

    async fn process(
        &self,
        cx: &mut Context,
        operation: Operation,
        next: Next<'_>,
    ) -> Result<Outcome> {
        next.run(cx, operation).await
    }
}

/// The database is closed again, so that it can be opened without the middleware.
pub async fn one_that_fails_to_open_closes_the_database(h: Harness) {
    let backend = h.backend();
    let runtime = Arc::new(CaseRuntime::new(1));
    let builder = Storage::builder(Arc::clone(&backend), registry([numbered()]), runtime);
    refused(builder.middleware(FailsToOpen).open().await, ErrorKind::Conflict, &["not today"]);
    assert_refused!(backend.count(Query::new(OBJECT)).await, Error::Closed);
    let storage = h.open(registry([numbered()])).await;
    storage.execute(create(1)).await.unwrap();
}

/// Two that bring the same collection along cannot both have it.
pub async fn collections_brought_along_twice_are_refused(h: Harness) {
    let chain: Vec<Arc<dyn Middleware>> = vec![Arc::new(Keeps), Arc::new(Keeps)];
    let result = h.try_open(registry([numbered()]), chain).await;
    assert_refused!(result, Error::Definition { .. });
}
