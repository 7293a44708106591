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
//! runs that one again. `STOREX_LONG=1` runs 10,000 scripts instead of 300.

use std::fmt;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::json;
use storex_core::{
    Affinity, Backend, Batch, BatchOutcome, Changes, Collection, Comparison, Create, Definition,
    Direction, Error, ErrorKind, FieldOption, FieldType, Filter, Key, Name, OnConflict, Query,
    Record, Registry, Step, StepOutcome, Storage, Timestamp, Value,
};

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

/// A collection of a script. Its fields are always the same; its key and indices are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CollectionSpec {
    /// The primary key.
    pub key: KeySpec,
    /// The fields of a unique index, if there is one.
    pub unique: &'static [&'static str],
    /// The fields of an index, if there is one.
    pub index: &'static [&'static str],
}

/// The primary key of a script's collection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeySpec {
    /// One text.
    Text,
    /// One integer.
    Int,
    /// An integer and a text.
    Compound,
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

// ---------------------------------------------------------------------------------------------------------- schemas

impl CollectionSpec {
    fn definition(self, name: &str) -> Definition {
        let mut definition = Definition::new(name);
        definition = match self.key {
            KeySpec::Text => definition.field("key", FieldType::String).primary_key(["key"]),
            KeySpec::Int => definition.field("key", FieldType::Int).primary_key(["key"]),
            KeySpec::Compound => definition
                .field("number", FieldType::Int)
                .field("text", FieldType::String)
                .primary_key(["text", "number"]),
        };
        let renamed = [FieldOption::Optional, FieldOption::Column("the \"text\"".into())];
        definition = definition
            .field("must", FieldType::Int)
            .optional("i", FieldType::Int)
            .field_with("t", FieldType::String, renamed)
            .optional("f", FieldType::Float)
            .optional("b", FieldType::Boolean)
            .optional("at", FieldType::Timestamp)
            .optional("j", FieldType::Json)
            .optional("raw", FieldType::Binary)
            .optional("any", FieldType::Dynamic(Affinity::Blob));
        if !self.unique.is_empty() {
            definition = definition.unique(self.unique.iter().copied());
        }
        if !self.index.is_empty() {
            definition = definition.index(self.index.iter().copied());
        }
        definition
    }
}

impl Script {
    /// The schema of the script.
    #[must_use]
    pub fn registry(&self) -> Registry {
        registry_of(&self.schema)
    }
}

fn registry_of(schema: &[CollectionSpec]) -> Registry {
    let names = (0..).map(|n| format!("collection{n}"));
    let definitions = names.zip(schema).map(|(name, spec)| spec.definition(&name));
    Registry::builder().collections(definitions).build().expect("the schema of a script is right")
}

fn schema() -> impl Strategy<Value = Vec<CollectionSpec>> {
    let key = select(&[KeySpec::Text, KeySpec::Int, KeySpec::Compound][..]);
    let none: &[&str] = &[];
    let unique = select(vec![none, none, &["t"], &["i", "b"], &["raw"]]);
    let index = select(vec![none, &["i"], &["f", "t"], &["at"]]);
    let one =
        (key, unique, index).prop_map(|(key, unique, index)| CollectionSpec { key, unique, index });
    vec(one, 1..=2)
}

// ----------------------------------------------------------------------------------------------------------- values

fn ints() -> BoxedStrategy<Value> {
    let edges = [i64::MIN, -(1 << 53) - 1, 1 << 53, (1 << 53) + 1, i64::MAX - 1, i64::MAX];
    prop_oneof![8 => -2..5_i64, 1 => select(edges.to_vec())].prop_map(Value::Int).boxed()
}

fn texts() -> BoxedStrategy<Value> {
    let texts = [
        "",
        "a",
        "A",
        "a ",
        "b",
        "ab",
        "10",
        "9",
        "e\u{301}",
        "é",
        "a\0",
        "\u{ffff}",
        "😀",
        "2026-11-20T12:00:00Z",
        "1.0",
        "null",
        "'",
        "%",
    ];
    prop_oneof![6 => select(texts[..6].to_vec()), 3 => select(texts.to_vec())]
        .prop_map(Value::from)
        .boxed()
}

fn floats() -> BoxedStrategy<Value> {
    let floats = [
        0.0,
        1.0,
        1.5,
        -1.5,
        0.1,
        5e-324,
        9_007_199_254_740_992.0,
        1e300,
        f64::MAX,
        f64::INFINITY,
        f64::NEG_INFINITY,
    ];
    let odd =
        vec![Value::Float(-0.0), Value::Int(2), Value::Int((1 << 53) + 1), Value::Float(f64::NAN)];
    prop_oneof![
        60 => select(floats[..5].to_vec()).prop_map(Value::from),
        30 => select(floats.to_vec()).prop_map(Value::from),
        1 => select(odd),
    ]
    .boxed()
}

fn json_values() -> BoxedStrategy<Value> {
    let values = [
        json!({}),
        json!([]),
        json!(0),
        json!(0.1),
        json!("1"),
        json!(true),
        json!(null),
        json!({ "b": [1, null], "a": "é" }),
        json!([31.245_270_191_439_438]),
        json!({ "$eq": 1 }),
    ];
    select(values.to_vec()).prop_map(Value::Json).boxed()
}

fn bytes() -> BoxedStrategy<Value> {
    vec(select(&[0_u8, 1, 97, 255][..]), 0..3).prop_map(Value::Bytes).boxed()
}

/// A value that the field takes.
fn value_of(field_type: &FieldType) -> BoxedStrategy<Value> {
    match field_type {
        FieldType::Int => ints(),
        FieldType::Float => floats(),
        FieldType::Boolean => any::<bool>().prop_map(Value::Bool).boxed(),
        FieldType::Timestamp => ints()
            .prop_map(|int| Value::Timestamp(Timestamp(int.as_int().unwrap_or_default())))
            .boxed(),
        FieldType::Json => json_values(),
        FieldType::Binary => bytes(),
        FieldType::Dynamic(_) => prop_oneof![ints(), texts(), floats(), bytes()].boxed(),
        _ => texts(),
    }
}

/// A value for a field, mostly one that it takes.
fn value(collection: &Collection, at: usize) -> BoxedStrategy<Value> {
    let field = &collection.fields()[at];
    let good = value_of(&field.field_type);
    let wrong = select(vec![Value::Bool(true), Value::from("wrong"), Value::Bytes(vec![1])]);
    let null = if field.nullable { 200 } else { 1 };
    prop_oneof![800 => good, null => Just(Value::Null), 1 => wrong].boxed()
}

fn record(collection: &Arc<Collection>) -> BoxedStrategy<Record> {
    let values: Vec<_> = (0..collection.fields().len()).map(|at| value(collection, at)).collect();
    values.prop_map(Record::new).boxed()
}

fn key(collection: &Arc<Collection>) -> BoxedStrategy<Key> {
    let fields = collection.fields();
    let parts: Vec<_> =
        collection.primary_key().iter().map(|at| value_of(&fields[*at].field_type)).collect();
    parts.prop_map(Key::compound).boxed()
}

/// The name of a field that is there, nearly always.
fn field_name(collection: &Arc<Collection>) -> BoxedStrategy<Name> {
    let names: Vec<Name> =
        collection.fields().iter().map(|field| Name::clone(&field.name)).collect();
    prop_oneof![200 => select(names), 1 => Just("unknown".into())].boxed()
}

/// The name of a field that has an order, nearly always.
fn ordered_name(collection: &Arc<Collection>) -> BoxedStrategy<Name> {
    let fields = collection.fields().iter();
    let ordered = fields.filter(|field| !matches!(field.field_type, FieldType::Json));
    let names: Vec<Name> = ordered.map(|field| Name::clone(&field.name)).collect();
    prop_oneof![100 => select(names), 1 => field_name(collection)].boxed()
}

// ---------------------------------------------------------------------------------------------------------- queries

fn filter(collection: &Arc<Collection>) -> BoxedStrategy<Filter> {
    let ops = [
        Comparison::Eq,
        Comparison::Ne,
        Comparison::Lt,
        Comparison::Lte,
        Comparison::Gt,
        Comparison::Gte,
    ];
    let of = Arc::clone(collection);
    let compare = (any::<Index>(), select(ops.to_vec())).prop_flat_map(move |(at, op)| {
        let at = at.index(of.fields().len());
        let field = Name::clone(&of.fields()[at].name);
        // JSON is equal or not; it has no order.
        let is_json = matches!(of.fields()[at].field_type, FieldType::Json);
        let op = if is_json && !matches!(op, Comparison::Ne) { Comparison::Eq } else { op };
        value(&of, at).prop_map(move |value| Filter::Compare {
            field: Name::clone(&field),
            op,
            value,
        })
    });
    let of = Arc::clone(collection);
    let list = any::<Index>().prop_flat_map(move |at| {
        let at = at.index(of.fields().len());
        let field = Name::clone(&of.fields()[at].name);
        vec(value(&of, at), 0..4)
            .prop_map(move |values| Filter::In { field: Name::clone(&field), values })
    });
    let leaf = prop_oneof![
        2 => Just(Filter::All),
        4 => vec(key(collection), 0..5).prop_map(Filter::Keys),
        8 => compare,
        3 => list,
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(Filter::And),
            vec(inner.clone(), 0..3).prop_map(Filter::Or),
            inner.prop_map(|part| Filter::Not(Box::new(part))),
        ]
    })
    .boxed()
}

fn direction() -> impl Strategy<Value = Direction> {
    any::<bool>().prop_map(|up| if up { Direction::Ascending } else { Direction::Descending })
}

fn query(collection: &Arc<Collection>) -> BoxedStrategy<Query> {
    let of = Arc::clone(collection);
    let order = vec((ordered_name(collection), direction()), 0..3);
    let select = vec(field_name(collection), 0..4);
    let parts = (
        filter(collection),
        order,
        option::weighted(0.3, 0..6_u64),
        prop_oneof![6 => Just(0_u64), 1 => 0..4_u64],
        option::weighted(0.15, record(collection)),
        option::weighted(0.25, select),
    );
    parts
        .prop_map(move |(filter, order, limit, offset, after, select)| {
            let mut query = Query::new(Name::clone(of.name())).filter(filter);
            query.order = order;
            query.limit = limit;
            query.offset = offset;
            query.select = select;
            query.after = after.map(|record| query.position_of(&of, &checked(&of, record)));
            query
        })
        .boxed()
}

/// A position has values as they are stored.
fn checked(collection: &Collection, mut record: Record) -> Record {
    for (field, value) in collection.fields().iter().zip(record.values_mut()) {
        if collection.check_value(field, value).is_err() {
            *value = Value::Null;
        }
    }
    record
}

// ---------------------------------------------------------------------------------------------------------- batches

fn changes(collection: &Arc<Collection>) -> BoxedStrategy<Changes> {
    let of = Arc::clone(collection);
    let one = any::<Index>().prop_flat_map(move |at| {
        let at = at.index(of.fields().len());
        let name = Name::clone(&of.fields()[at].name);
        let set = value(&of, at).prop_map({
            let name = Name::clone(&name);
            move |value| (Name::clone(&name), storex_core::Change::Set(value))
        });
        let by = prop_oneof![4 => ints(), 1 => floats()];
        let increment =
            by.prop_map(move |by| (Name::clone(&name), storex_core::Change::Increment(by)));
        let counts = matches!(
            of.fields()[at].field_type,
            FieldType::Int | FieldType::Float | FieldType::Timestamp | FieldType::Dynamic(_)
        );
        prop_oneof![4 => set, u32::from(counts) * 3 + 1 => increment]
    });
    let of = Arc::clone(collection);
    // The key is named now and then, which is refused.
    let keep_key = prop::bool::weighted(0.03);
    (vec(one, 1..3), keep_key)
        .prop_map(move |(list, keep_key)| {
            let relative =
                list.iter().any(|(_, it)| matches!(it, storex_core::Change::Increment(_)));
            let unique =
                |at: usize| of.indices().iter().any(|it| it.unique && it.fields.contains(&at));
            let mut changes = Changes::new();
            let mut seen: Vec<Name> = Vec::new();
            for (name, change) in list {
                let at = of.position(&name).unwrap_or_default();
                // Which of two objects is changed first decides over what is told of an increment within a unique
                // index, and backends may choose.
                if (of.is_key(at) && !keep_key) || (relative && unique(at)) || seen.contains(&name)
                {
                    continue;
                }
                seen.push(Name::clone(&name));
                changes = changes.with(name, change);
            }
            if changes.is_empty() { Changes::new().set("must", 7) } else { changes }
        })
        .boxed()
}

fn step(registry: &Arc<Registry>, n: usize) -> BoxedStrategy<Do> {
    let collection = Arc::clone(&registry.collections()[n]);
    let name = Name::clone(collection.name());
    let on_conflict =
        select(vec![OnConflict::Fail, OnConflict::Skip, OnConflict::Skip, OnConflict::Replace]);
    let create = (vec(record(&collection), 0..4), on_conflict).prop_map({
        let name = Name::clone(&name);
        move |(records, on_conflict)| {
            Do::Step(Step::Create(Create {
                collection: Name::clone(&name),
                records,
                on_conflict,
                placeholders: Vec::new(),
                links: Vec::new(),
            }))
        }
    });
    let update = (filter(&collection), changes(&collection)).prop_map({
        let name = Name::clone(&name);
        move |(filter, changes)| {
            Do::Step(Step::Update { collection: Name::clone(&name), filter, changes })
        }
    });
    let delete = filter(&collection)
        .prop_map(move |filter| Do::Step(Step::Delete { collection: Name::clone(&name), filter }));
    let require = (query(&collection), 0..4_u64)
        .prop_map(|(query, count)| Do::Step(Step::Require { query, count }));
    let change_found =
        (query(&collection), changes(&collection)).prop_map(|(mut query, changes)| {
            query.select = None;
            Do::ChangeFound(query, changes)
        });
    prop_oneof![
        40 => create,
        20 => update,
        8 => delete,
        6 => query(&collection).prop_map(|query| Do::Step(Step::Find(query))),
        3 => query(&collection).prop_map(|query| Do::Step(Step::Count(query))),
        1 => require,
        6 => change_found,
        1 => Just(Do::Abort),
    ]
    .boxed()
}

fn action(registry: &Arc<Registry>) -> BoxedStrategy<Action> {
    let registry = Arc::clone(registry);
    (0..registry.collections().len())
        .prop_flat_map(move |n| {
            let count = registry.collections().len();
            let of = Arc::clone(&registry);
            let steps = (0..count).prop_flat_map(move |n| step(&of, n));
            let execute = (vec(steps, 1..5), prop::bool::weighted(0.2))
                .prop_map(|(steps, sync)| Action::Execute { steps, sync });
            let query = query(&registry.collections()[n]);
            let pages = (query.clone(), 1..4_u64).prop_map(|(mut query, size)| {
                (query.limit, query.offset, query.after, query.select) = (None, 0, None, None);
                Action::Pages { query, size }
            });
            prop_oneof![
                8 => execute,
                4 => query.clone().prop_map(Action::Find),
                1 => query.prop_map(Action::Count),
                1 => pages,
            ]
        })
        .boxed()
}

/// Something to begin with: records that can be created.
fn first(collection: &Arc<Collection>) -> BoxedStrategy<Do> {
    let of = Arc::clone(collection);
    vec(record(collection), 3..9)
        .prop_map(move |records| {
            let mut records: Vec<Record> =
                records.into_iter().map(|record| checked(&of, record)).collect();
            records.retain(|record| of.check_record(&mut record.clone()).is_ok());
            // Of several with the same unique values the first one stays.
            let mut seen: Vec<Vec<Value>> = Vec::new();
            records.retain(|record| {
                let unique = of.indices().iter().filter(|index| index.unique);
                let values: Vec<Value> = unique
                    .flat_map(|index| index.fields.iter().map(|at| record.get(*at).clone()))
                    .collect();
                let free = values.is_empty() || !seen.contains(&values);
                seen.push(values);
                free
            });
            Do::Step(Step::create_or(Name::clone(of.name()), records, OnConflict::Skip))
        })
        .boxed()
}

/// Scripts: a schema, some objects to begin with, and 5 to 25 actions on them.
pub fn script_strategy() -> impl Strategy<Value = Script> {
    schema().prop_flat_map(|schema| {
        let registry = Arc::new(registry_of(&schema));
        let first: Vec<_> = registry.collections().iter().map(first).collect();
        (first, vec(action(&registry), 5..25)).prop_map(move |(first, mut actions)| {
            actions.insert(0, Action::Execute { steps: first, sync: false });
            Script { schema: schema.clone(), actions }
        })
    })
}

// ---------------------------------------------------------------------------------------------------------- running

/// What an action told, in a form in which backends must agree.
#[derive(Debug, PartialEq)]
enum Told {
    Found(Vec<Record>),
    Counted(u64),
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
            (_, StepOutcome::Updated { keys, records }) => {
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
        format!("{}: {:?}: {what}", executed.origin, executed.step)
    });
    told.collect()
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

/// How many scripts a run has: 300, or 10,000 with `STOREX_LONG=1`.
#[must_use]
pub fn count() -> u64 {
    let long = std::env::var_os("STOREX_LONG").is_some_and(|value| value == "1");
    if long { 10_000 } else { 300 }
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
