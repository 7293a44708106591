//! Random scripts of operations, run on two backends that must tell the same at every step.
//!
//! ```
//! use storex_conformance::{Harness, scripts};
//! use storex_memory::MemoryBackend;
//!
//! # let my_backend = || Harness::new(MemoryBackend::new);
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async move {
//! scripts::run(my_backend, || Harness::new(MemoryBackend::new)).await;
//! # });
//! ```
//!
//! A script that tells two backends apart is made as short as it can be and printed with its seed; `STOREX_SEED=<seed>`
//! runs that one again. `STOREX_LONG=1` runs 10,000 scripts instead of 500.

mod batches;
mod queries;
mod schemas;
mod values;

use std::fmt;
use std::sync::Arc;

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use storex_core::{
    Aggregate, Aggregation, Backend, Batch, BatchOutcome, Changes, Direction, Error, ErrorKind,
    Executed, Filter, Key, Name, Query, Record, Registry, Step, StepOutcome, Storage, Value,
};

pub use batches::script_strategy;
pub use schemas::{CollectionSpec, FieldSpec, IndexSpec, KeySpec, ParentSpec};

use crate::runtime::split_mix;
use crate::{CaseRuntime, Harness};

/// A schema and what is done with it.
#[derive(Debug, Clone)]
pub struct Script {
    /// The collections.
    pub schema: Vec<CollectionSpec>,
    /// What is done, in order.
    pub actions: Vec<Action>,
}

/// One action of a script.
#[derive(Debug, Clone)]
pub enum Action {
    /// A batch, from the application or from another device.
    Execute {
        /// The steps.
        steps: Vec<Do>,
        /// Whether it comes from another device.
        sync: bool,
    },
    /// A find.
    Find(Query),
    /// A count.
    Count(Query),
    /// What objects come to.
    Aggregate(Aggregation),
    /// A find, page by page.
    Pages {
        /// What is found.
        query: Query,
        /// How much of it at once.
        size: u64,
    },
}

/// A step of a script's batch.
#[derive(Debug, Clone)]
pub enum Do {
    /// A step as it is.
    Step(Step),
    /// Finds objects and then, in a continuation, changes those that were found.
    ChangeFound(Query, Changes),
    /// A continuation that gives up.
    Abort,
}

/// Where two backends differ.
#[derive(Debug, Clone)]
pub struct Difference {
    /// Which action of the script; its length for the dump at the end.
    pub at: usize,
    /// What the first one told.
    pub first: String,
    /// What the second one told.
    pub second: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "action {} tells the backends apart", self.at)?;
        writeln!(f, "  first:  {}", self.first)?;
        write!(f, "  second: {}", self.second)
    }
}

/// What an action told, in a form in which backends must agree.
#[derive(Debug, PartialEq)]
enum Told {
    Found(Vec<Record>),
    Counted(u64),
    Aggregated(Vec<Record>),
    Executed(Vec<String>),
    Failed(ErrorKind),
}

/// Runs a script on two backends, which are not opened yet, and compares everything that they tell.
///
/// # Errors
/// The first difference.
///
/// # Panics
/// When one of them cannot be opened or closed.
pub async fn compare(
    script: &Script,
    first: impl Backend,
    second: impl Backend,
) -> Result<(), Difference> {
    let open = async |backend: Arc<dyn Backend>| {
        let runtime = Arc::new(CaseRuntime::new(1));
        Storage::builder(backend, script.registry(), runtime)
            .open()
            .await
            .expect("the backend opens")
    };
    let first = open(Arc::new(first)).await;
    let second = open(Arc::new(second)).await;
    compare_storages(script, &first, &second).await
}

async fn compare_storages(
    script: &Script,
    first: &Storage,
    second: &Storage,
) -> Result<(), Difference> {
    for (at, action) in script.actions.iter().enumerate() {
        let of_first = perform(first, action).await;
        let of_second = perform(second, action).await;
        same(at, &of_first, &of_second)?;
        if matches!(of_first, Told::Failed(_)) {
            same(at, &dump(first).await, &dump(second).await)?;
        }
    }
    same(script.actions.len(), &dump(first).await, &dump(second).await)?;
    first.close().await.expect("the first backend closes");
    second.close().await.expect("the second backend closes");
    Ok(())
}

fn same<T: fmt::Debug + PartialEq>(at: usize, first: &T, second: &T) -> Result<(), Difference> {
    if first == second {
        return Ok(());
    }
    Err(Difference { at, first: format!("{first:?}"), second: format!("{second:?}") })
}

async fn dump(storage: &Storage) -> Vec<Told> {
    let mut all = Vec::new();
    for collection in storage.registry().collections() {
        if !collection.is_reserved() {
            let key = Name::clone(&collection.fields()[collection.primary_key()[0]].name);
            let query = Query::new(Name::clone(collection.name()));
            let query = query.order_by(key, Direction::Ascending);
            all.push(perform(storage, &Action::Find(query)).await);
        }
    }
    all
}

async fn perform(storage: &Storage, action: &Action) -> Told {
    let result = match action {
        Action::Find(query) => storage.find(query.clone()).await.map(|found| normal(query, found)),
        Action::Count(query) => storage.count(query.clone()).await.map(Told::Counted),
        Action::Aggregate(asked) => {
            let told = storage.aggregate(asked.clone()).await;
            told.map(|records| Told::Aggregated(comparable(asked, records)))
        }
        Action::Execute { steps, sync } => {
            let batch: Batch =
                steps.iter().flat_map(|step| steps_of(storage.registry(), step)).collect();
            let outcome =
                if *sync { storage.apply(batch).await } else { storage.execute(batch).await };
            outcome.map(|outcome| Told::Executed(told_by(&outcome)))
        }
        Action::Pages { query, size } => pages(storage, query, *size).await,
    };
    result.unwrap_or_else(|error| Told::Failed(error.kind()))
}

async fn pages(storage: &Storage, query: &Query, size: u64) -> storex_core::Result<Told> {
    let collection = Arc::clone(storage.registry().collection(&query.collection)?);
    let mut all = Vec::new();
    let mut next = query.clone().limit(size);
    loop {
        let found = storage.find(next).await?;
        let Some(last) = found.last() else { return Ok(Told::Found(all)) };
        next = query.clone().limit(size).after(query.position_of(&collection, last));
        all.extend(found);
        if all.len() > 10_000 {
            return Ok(Told::Found(all)); // the pages never end
        }
    }
}

fn steps_of(registry: &Arc<Registry>, step: &Do) -> Vec<Step> {
    match step {
        Do::Step(step) => vec![step.clone()],
        Do::Abort => vec![Step::then(|_| Err(Error::Aborted { reason: "given up".to_owned() }))],
        Do::ChangeFound(query, changes) => {
            let (registry, changes) = (Arc::clone(registry), changes.clone());
            let name = Name::clone(&query.collection);
            let touch = Step::then(move |trace| {
                let collection = registry.collection(&name)?;
                // The order of what was found may be the backend's own.
                let mut keys: Vec<Key> =
                    trace.found(0).iter().map(|record| collection.key_of(record)).collect();
                keys.sort();
                Ok(vec![Step::Update {
                    collection: Name::clone(&name),
                    filter: Filter::Keys(keys),
                    changes: changes.clone(),
                }])
            });
            vec![Step::Find(query.clone()), touch]
        }
    }
}

fn told_by(outcome: &BatchOutcome) -> Vec<String> {
    let told = outcome.executed().iter().map(|executed| {
        let what = match (&executed.step, &executed.outcome) {
            (Step::Find(query), StepOutcome::Found(found)) => {
                format!("{:?}", normal(query, found.clone()))
            }
            (_, StepOutcome::Updated { keys, records, .. }) => {
                let mut keys = keys.clone();
                keys.sort();
                format!("updated {keys:?} {:?}", by_content(records.clone()))
            }
            (_, StepOutcome::Deleted { keys }) => {
                let mut keys = keys.clone();
                keys.sort();
                format!("deleted {keys:?}")
            }
            (_, other) => format!("{other:?}"),
        };
        format!("{}: {}: {what}", executed.origin, name_of(executed))
    });
    told.collect()
}

/// What was executed. Not its filter: what a filter on related objects became is the backend's own.
fn name_of(executed: &Executed) -> String {
    match &executed.step {
        Step::Create(create) => format!("{create:?}"),
        Step::Update { collection, changes, .. } => format!("update {collection} {changes:?}"),
        Step::Delete { collection, .. } => format!("delete {collection}"),
        other => format!("read {:?}", other.collection()),
    }
}

/// What an aggregation told, without what is the backend's own: which of two equal numbers (1 and 1.0) stands for both, and
/// the last digits of a sum of floats.
fn comparable(asked: &Aggregation, records: Vec<Record>) -> Vec<Record> {
    let groups = asked.by.len();
    let is_sum = |at: usize| {
        let value = at.checked_sub(groups).and_then(|at| asked.values.get(at));
        matches!(value, Some(Aggregate::Sum(_)))
    };
    let value = |(at, value): (usize, Value)| match value {
        Value::Float(float) if is_sum(at) => Value::from((float * 1e6).round() / 1e6),
        Value::Int(int) if !is_sum(at) && (-(1 << 53)..1 << 53).contains(&int) =>
        {
            #[allow(clippy::cast_precision_loss)]
            Value::from(int as f64)
        }
        value => value,
    };
    let record = |record: Record| record.into_values().into_iter().enumerate().map(value).collect();
    records.into_iter().map(|it| Record::new(record(it))).collect()
}

/// What was found, in its order where it has one.
fn normal(query: &Query, found: Vec<Record>) -> Told {
    let ordered = query.is_ordered() || matches!(query.filter, Filter::Keys(_));
    Told::Found(if ordered { found } else { by_content(found) })
}

fn by_content(mut records: Vec<Record>) -> Vec<Record> {
    records.sort_by_cached_key(|record| format!("{record:?}"));
    records
}

/// How many scripts a run has: 500, or 10,000 with `STOREX_LONG=1`.
#[must_use]
pub fn count() -> u64 {
    let long = std::env::var_os("STOREX_LONG").is_some_and(|value| value == "1");
    if long { 10_000 } else { 500 }
}

/// Runs [`count`] scripts, or the one of `STOREX_SEED`, on the backends of two harnesses, behind their middleware.
///
/// # Panics
/// When a script tells them apart: with the shortest such script that was found, and its seed.
pub async fn run(first: impl Fn() -> Harness, second: impl Fn() -> Harness) {
    let given = std::env::var("STOREX_SEED").ok().and_then(|seed| seed.parse::<u64>().ok());
    let seeds = match given {
        Some(seed) => seed..=seed,
        None => 1..=count(),
    };
    for seed in seeds {
        if let Err(shortest) = run_one(seed, &first, &second).await {
            let (script, difference) = *shortest;
            panic!("{difference}\n\n{script:#?}\n\n{difference}\nSTOREX_SEED={seed} runs it again");
        }
    }
}

/// Runs a script on the backends of two harnesses, behind their middleware.
///
/// # Errors
/// The first difference.
pub async fn compare_harnesses(
    script: &Script,
    first: &Harness,
    second: &Harness,
) -> Result<(), Difference> {
    let of_first = first.open_with(script.registry(), Vec::new()).await;
    let of_second = second.open_with(script.registry(), Vec::new()).await;
    compare_storages(script, &of_first, &of_second).await
}

/// Runs the script of a seed, and when it tells the two apart looks for a shorter one.
///
/// # Errors
/// The shortest script found that tells the two apart, and where.
pub async fn run_one(
    seed: u64,
    first: &impl Fn() -> Harness,
    second: &impl Fn() -> Harness,
) -> Result<(), Box<(Script, Difference)>> {
    let attempt = async |script: &Script| compare_harnesses(script, &first(), &second()).await;
    let mut tree = tree(seed);
    let mut shortest = match attempt(&tree.current()).await {
        Ok(()) => return Ok(()),
        Err(difference) => Box::new((tree.current(), difference)),
    };
    let mut attempts = 0;
    let mut more = tree.simplify();
    while more && attempts < 2_000 {
        attempts += 1;
        let script = tree.current();
        more = match attempt(&script).await {
            Err(difference) => {
                *shortest = (script, difference);
                tree.simplify()
            }
            Ok(()) => tree.complicate(),
        };
    }
    Err(shortest)
}

/// The script of a seed, always the same.
#[must_use]
pub fn script(seed: u64) -> Script {
    tree(seed).current()
}

fn tree(seed: u64) -> impl ValueTree<Value = Script> {
    let mut state = seed;
    let bytes: Vec<u8> = (0..4).flat_map(|_| split_mix(&mut state).to_le_bytes()).collect();
    let config = Config { failure_persistence: None, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(config, rng);
    script_strategy().new_tree(&mut runner).expect("a script can always be made")
}
