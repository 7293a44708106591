//! Aggregations: counted by the database, looked up at an end of an index, or added up page by page.

use std::sync::Arc;

use storex_core::{
    Aggregate, Aggregation, Aggregator, Batch, BatchRun, Direction, Name, Query, Record, Registry,
    Result, Step, StepOutcome, Value, field,
};

use crate::layout::{self, Stores};
use crate::plan::Plan;
use crate::raw::Transaction;
use crate::read::{Reading, project};

/// The aggregation as a batch, which asks for related objects first; in the place of its last step, a count, stands what is
/// added up.
pub(crate) fn run(registry: &Arc<Registry>, aggregation: &Aggregation) -> BatchRun {
    let batch = Batch::new().step(Step::Count(aggregation.query()));
    BatchRun::new(Arc::clone(registry), batch)
}

/// What the objects come to.
pub(crate) async fn aggregate(
    transaction: &Transaction,
    stores: &Stores,
    mut run: BatchRun,
    aggregation: Aggregation,
) -> Result<Vec<Record>> {
    loop {
        match run.next_step()? {
            Some(Step::Find(query)) => {
                let store = layout::store(stores, &query.collection)?;
                let found = Reading::new(transaction, &store)?.find(query).await?;
                run.record(StepOutcome::Found(found))?;
            }
            Some(Step::Count(query)) => {
                let store = layout::store(stores, &query.collection)?;
                let aggregation = Aggregation { filter: query.filter.clone(), ..aggregation };
                return Reading::new(transaction, &store)?.aggregate(&aggregation).await;
            }
            _ => return Ok(Vec::new()),
        }
    }
}

impl Reading<'_> {
    /// What the objects come to; the filter asks for no related objects any more.
    async fn aggregate(&self, aggregation: &Aggregation) -> Result<Vec<Record>> {
        if let Some(record) = self.looked_up(aggregation).await? {
            return Ok(vec![record]);
        }
        let query = aggregation.query();
        let selected = query.selected(&self.store.collection);
        let mut aggregator = Aggregator::new(aggregation, &self.store.collection);
        self.each(&query, &mut |row| aggregator.add(&project(&row.record, &selected))).await?;
        aggregator.finish()
    }

    /// The values of one group, where none of them needs more than a look; else `None`.
    async fn looked_up(&self, aggregation: &Aggregation) -> Result<Option<Record>> {
        if !aggregation.by.is_empty() {
            return Ok(None);
        }
        let mut looks = Vec::new();
        for value in &aggregation.values {
            let Some(look) = self.look(aggregation, value) else { return Ok(None) };
            looks.push(look);
        }
        let mut values = Vec::with_capacity(looks.len());
        for look in looks {
            values.push(match look {
                Look::Count(query) => {
                    Value::Int(i64::try_from(self.count(&query).await?).unwrap_or(i64::MAX))
                }
                Look::End(query, plan, at) => {
                    let mut found = Value::Null;
                    self.pages(&query, &plan, Some(1), &mut |rows| {
                        let first = rows.first().map(|row| row.record.get(at).clone());
                        found = first.unwrap_or_default();
                        !found.is_null()
                    })
                    .await?;
                    found
                }
            });
        }
        Ok(Some(Record::new(values)))
    }

    /// Where a value can be looked up without reading all objects.
    fn look(&self, aggregation: &Aggregation, value: &Aggregate) -> Option<Look> {
        let query =
            Query::new(Name::clone(&aggregation.collection)).filter(aggregation.filter.clone());
        let (name, direction) = match value {
            Aggregate::Count => {
                return Plan::new(self.store, &query).exact.then_some(Look::Count(query));
            }
            Aggregate::Min(name) => (name, Direction::Ascending),
            Aggregate::Max(name) => (name, Direction::Descending),
            _ => return None,
        };
        let query = query
            .filter(field(Name::clone(name)).is_not_null())
            .order_by(Name::clone(name), direction)
            .limit(1);
        let plan = Plan::new(self.store, &query);
        let at = self.store.collection.position(name)?;
        let ordered = plan.order.first().is_some_and(|(first, _)| *first == at) && plan.ordered > 0;
        (ordered && !plan.is_repeated()).then_some(Look::End(query, plan, at))
    }
}

/// How a value is looked up.
enum Look {
    /// Counted by the database.
    Count(Query),
    /// The first object by this plan has it, in this field.
    End(Query, Plan, usize),
}
