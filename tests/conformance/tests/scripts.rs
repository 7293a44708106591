//! The random scripts find what is wrong with a backend that is nearly right.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // these are tests
#![allow(missing_docs)]

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use storex_conformance::{Harness, scripts};
use storex_core::{
    Aggregation, Backend, Batch, BatchOutcome, Capabilities, Change, Changes, Filter, OnConflict,
    Query, Record, Registry, Result, Step, TextMatch, Value,
};
use storex_memory::MemoryBackend;

/// What is wrong with a [`Faulty`] backend.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// Nothing.
    None,
    /// A batch that fails leaves what was done before.
    NotAtomic,
    /// Nulls are ordered last.
    NullsLast,
    /// The offset is ignored.
    NoOffset,
    /// A page begins with the object at which the one before ended.
    PagesOverlap,
    /// A count does not look at the filter.
    CountsAll,
    /// `$ne` does not match null, as in SQL.
    SqlNulls,
    /// A create of an existing key overwrites it.
    Upserts,
    /// A delete by filter deletes one object too few.
    DeletesOneLess,
    /// A find gives one object less when there are more than four.
    LosesTheFifth,
    /// A text begins with another whatever its case.
    LaxPrefix,
    /// A search for the beginning of a word looks for the word.
    NoPrefixWords,
    /// Of the conditions on an element only the first counts.
    OneCondition,
    /// Any related object will do.
    RelatedToAll,
    /// A product is a sum.
    Adds,
    /// Elements are added to nothing.
    SetsElements,
    /// Objects without a value are in no group.
    NoNullGroup,
    /// Sums are of all objects.
    SumsAll,
}

#[derive(Debug)]
struct Faulty {
    inner: MemoryBackend,
    fault: Fault,
    registry: OnceLock<Arc<Registry>>,
}

/// Takes nulls out of everything that is compared with `Ne`.
fn sql_nulls(filter: Filter) -> Filter {
    match filter {
        Filter::Compare { field, op: storex_core::Comparison::Ne, value } if !value.is_null() => {
            let not_null = storex_core::field(Arc::clone(&field)).is_not_null();
            Filter::Compare { field, op: storex_core::Comparison::Ne, value }.and(not_null)
        }
        Filter::And(parts) => Filter::And(parts.into_iter().map(sql_nulls).collect()),
        Filter::Or(parts) => Filter::Or(parts.into_iter().map(sql_nulls).collect()),
        other => other,
    }
}

/// The filter as a backend with the fault understands it.
fn misunderstood(fault: Fault, filter: Filter) -> Filter {
    let inner = |parts: Vec<Filter>| parts.into_iter().map(|it| misunderstood(fault, it)).collect();
    match (fault, filter) {
        (Fault::LaxPrefix, Filter::Text { field, how: TextMatch::StartsWith, text }) => {
            Filter::Text { field, how: TextMatch::StartsWithIgnoreCase, text }
        }
        (Fault::NoPrefixWords, Filter::Search { field, words }) => {
            Filter::Search { field, words: words.replace('*', " ") }
        }
        (Fault::OneCondition, Filter::Element { field, mut conditions }) => {
            conditions.truncate(1);
            Filter::Element { field, conditions }
        }
        (Fault::RelatedToAll, Filter::Related { relation, .. }) => {
            Filter::Related { relation, filter: Box::new(Filter::All) }
        }
        (_, Filter::And(parts)) => Filter::And(inner(parts)),
        (_, Filter::Or(parts)) => Filter::Or(inner(parts)),
        (_, Filter::Not(part)) => misunderstood(fault, *part).negate(),
        (_, other) => other,
    }
}

/// The changes as a backend with the fault makes them.
fn mistaken(fault: Fault, changes: &Changes) -> Changes {
    let list = changes.iter().map(|(name, change)| {
        let change = match (fault, change) {
            (Fault::Adds, Change::Multiply(by)) => Change::Increment(by.clone()),
            (Fault::SetsElements, Change::AddElements(elements)) => {
                Change::Set(Value::Json(elements.clone().into()))
            }
            (_, change) => change.clone(),
        };
        (Arc::clone(name), change)
    });
    let changed = list.fold(Changes::new(), |it, (name, change)| it.with(name, change));
    if changes.tells_objects() { changed.returning() } else { changed }
}

impl Faulty {
    fn step(&self, step: Step) -> Step {
        match (self.fault, step) {
            (Fault::Upserts, Step::Create(mut create)) => {
                if create.on_conflict == OnConflict::Fail {
                    create.on_conflict = OnConflict::Replace;
                }
                Step::Create(create)
            }
            (Fault::SqlNulls, Step::Update { collection, filter, changes }) => {
                Step::Update { collection, filter: sql_nulls(filter), changes }
            }
            (Fault::Adds | Fault::SetsElements, Step::Update { collection, filter, changes }) => {
                let changes = mistaken(self.fault, &changes);
                Step::Update { collection, filter, changes }
            }
            (
                Fault::DeletesOneLess,
                Step::Delete { collection, filter: Filter::Keys(mut keys) },
            ) => {
                keys.pop();
                Step::Delete { collection, filter: Filter::Keys(keys) }
            }
            (_, step) => step,
        }
    }
}

#[async_trait]
impl Backend for Faulty {
    fn name(&self) -> &'static str {
        "faulty"
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn open(&self, registry: Arc<Registry>) -> Result<()> {
        self.registry.get_or_init(|| Arc::clone(&registry));
        self.inner.open(registry).await
    }

    async fn find(&self, mut query: Query) -> Result<Vec<Record>> {
        match self.fault {
            Fault::NoOffset => query.offset = 0,
            Fault::PagesOverlap => {
                if let Some(position) = &mut query.after
                    && let Some(storex_core::Value::Int(int)) = position.values.last_mut()
                {
                    *int = int.saturating_sub(1);
                }
            }
            Fault::SqlNulls => query.filter = sql_nulls(query.filter),
            fault => query.filter = misunderstood(fault, query.filter),
        }
        let ordered = query.order.len() == 1 && query.select.is_none();
        let first = query.order.first().cloned();
        let registry = self.registry.get().expect("the backend is open");
        let collection = Arc::clone(registry.collection(&query.collection)?);
        let mut found = self.inner.find(query).await?;
        if let (Fault::NullsLast, true, Some((field, storex_core::Direction::Ascending))) =
            (self.fault, ordered, first)
        {
            let at = collection.require(&field)?;
            found.sort_by_key(|record| record.get(at).is_null());
        }
        if matches!(self.fault, Fault::LosesTheFifth) && found.len() > 4 {
            found.remove(4);
        }
        Ok(found)
    }

    async fn count(&self, mut query: Query) -> Result<u64> {
        if matches!(self.fault, Fault::CountsAll) {
            query.filter = Filter::All;
        }
        self.inner.count(query).await
    }

    async fn aggregate(&self, mut asked: Aggregation, registry: &Registry) -> Result<Vec<Record>> {
        if matches!(self.fault, Fault::SumsAll) {
            asked.filter = Filter::All;
        }
        let mut told = self.inner.aggregate(asked.clone(), registry).await?;
        if matches!(self.fault, Fault::NoNullGroup) && !asked.by.is_empty() {
            told.retain(|record| !record.get(0).is_null());
        }
        Ok(told)
    }

    async fn execute(&self, mut batch: Batch) -> Result<BatchOutcome> {
        batch.steps = batch.steps.into_iter().map(|step| self.step(step)).collect();
        if matches!(self.fault, Fault::NotAtomic)
            && let Err(error) = self.inner.execute(batch.clone()).await
        {
            for step in batch.steps {
                if self.inner.execute(Batch::new().step(step)).await.is_err() {
                    break;
                }
            }
            return Err(error);
        }
        self.inner.execute(batch).await
    }

    async fn flush(&self) -> Result<()> {
        self.inner.flush().await
    }

    async fn close(&self) -> Result<()> {
        self.inner.close().await
    }
}

fn memory() -> Harness {
    Harness::new(MemoryBackend::new)
}

/// The first seed whose script tells the faulty backend from the right one.
async fn caught_by(fault: Fault) -> Option<u64> {
    let faulty = || {
        Harness::new(move || Faulty {
            inner: MemoryBackend::new(),
            fault,
            registry: OnceLock::new(),
        })
    };
    for seed in 1..=300 {
        let script = scripts::script(seed);
        if scripts::compare_harnesses(&script, &memory(), &faulty()).await.is_err() {
            return Some(seed);
        }
    }
    None
}

#[tokio::test]
async fn every_fault_is_caught() {
    for fault in [
        Fault::NotAtomic,
        Fault::NullsLast,
        Fault::NoOffset,
        Fault::PagesOverlap,
        Fault::CountsAll,
        Fault::SqlNulls,
        Fault::Upserts,
        Fault::DeletesOneLess,
        Fault::LosesTheFifth,
        Fault::LaxPrefix,
        Fault::NoPrefixWords,
        Fault::OneCondition,
        Fault::RelatedToAll,
        Fault::Adds,
        Fault::SetsElements,
        Fault::NoNullGroup,
        Fault::SumsAll,
    ] {
        let seed = caught_by(fault).await;
        println!("{fault:?}: caught by seed {seed:?}");
        assert!(seed.is_some(), "{fault:?} is not caught by 300 scripts");
    }
}

#[tokio::test]
async fn a_right_backend_is_not_blamed() {
    assert_eq!(caught_by(Fault::None).await, None);
}
