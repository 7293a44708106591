//! The random scripts find what is wrong with a backend that is nearly right.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // these are tests
#![allow(missing_docs)]

use std::sync::Arc;

use async_trait::async_trait;
use storex_conformance::{Harness, scripts};
use storex_core::{
    Backend, Batch, BatchOutcome, Capabilities, Filter, OnConflict, Query, Record, Registry,
    Result, Step,
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
}

#[derive(Debug)]
struct Faulty {
    inner: MemoryBackend,
    fault: Fault,
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
            _ => {}
        }
        let ordered = query.order.len() == 1 && query.select.is_none();
        let first = query.order.first().cloned();
        let collection = Arc::clone(&query.collection);
        let mut found = self.inner.find(query).await?;
        if let (Fault::NullsLast, true, Some((field, storex_core::Direction::Ascending))) =
            (self.fault, ordered, first)
        {
            // Positions of fields are the same in every script's collection but for its key.
            let _ = collection;
            let at =
                found.first().map_or(0, |it| it.values().len() - 9 + usize::from(&*field == "i"));
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
    let faulty = || Harness::new(move || Faulty { inner: MemoryBackend::new(), fault });
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
