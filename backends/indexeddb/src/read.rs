//! Reading: finds and counts inside a transaction. The same code serves reads and the steps of a batch.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};

use js_sys::Array;
use storex_core::{
    Collection, Direction, Filter, Key, Query, Record, Result, compare_ordered, finish_query,
};
use wasm_bindgen::{JsCast, JsValue};
use web_sys::IdbObjectStore;

use crate::error;
use crate::layout::Store;
use crate::native::{Bound, Range};
use crate::plan::Plan;
use crate::raw::{DomError, Request, Transaction};
use crate::walk::Walk;

/// From so many keys on it is worth looking first which of them are there.
const MANY_KEYS: usize = 8;

/// So many entries of an index over words are gone through without asking first whether reading all objects is quicker: it
/// is where there are more than half as many entries as objects.
const FEW_ENTRIES: u32 = 4_096;

/// An object as it lies in the store, and what it says.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) object: JsValue,
    pub(crate) record: Record,
}

/// A store in a transaction.
pub(crate) struct Reading<'t> {
    pub(crate) store: &'t Store,
    pub(crate) objects: IdbObjectStore,
}

impl<'t> Reading<'t> {
    pub(crate) fn new(transaction: &Transaction, store: &'t Store) -> Result<Self> {
        let objects = transaction
            .store(&store.name)
            .map_err(|source| error::failed("read", Some(store.collection.name()), source))?;
        Ok(Self { store, objects })
    }

    fn collection(&self) -> &'t Collection {
        &self.store.collection
    }

    /// The objects of a query.
    pub(crate) async fn find(&self, query: &Query) -> Result<Vec<Record>> {
        let mut records = Vec::new();
        if let Filter::Keys(keys) = &query.filter {
            records.extend(self.by_keys(keys).await?.into_iter().map(|row| row.record));
        } else if query.is_ordered() {
            records.extend(self.first(query).await?.into_iter().map(|row| row.record));
        } else {
            let selected = query.select.as_ref().map(|_| query.selected(self.collection()));
            self.each(query, &mut |row| {
                records.push(match &selected {
                    None => row.record,
                    Some(selected) => project(&row.record, selected),
                });
            })
            .await?;
            return Ok(records);
        }
        Ok(finish_query(query, self.collection(), records))
    }

    /// How many objects a query gives.
    pub(crate) async fn count(&self, query: &Query) -> Result<u64> {
        let plan = Plan::new(self.store, query);
        let matching = match &query.filter {
            Filter::Keys(keys) if query.after.is_none() => self.by_keys(keys).await?.len() as u64,
            _ if plan.exact && !plan.is_repeated() => {
                self.count_ranges(&plan).await.map_err(|source| self.failed(source))?
            }
            _ => {
                let plan = self.resolved(plan, query).await?;
                if plan.exact && plan.points {
                    plan.ranges.len() as u64
                } else {
                    let mut count = 0;
                    self.pages(query, &plan, None, &mut |rows| {
                        count += rows.len() as u64;
                        false
                    })
                    .await?;
                    count
                }
            }
        };
        let behind = matching.saturating_sub(query.offset);
        Ok(query.limit.map_or(behind, |limit| behind.min(limit)))
    }

    /// All objects that a filter matches: in the order of the keys for a filter of keys, else by key.
    pub(crate) async fn matching(&self, filter: &Filter) -> Result<Vec<Row>> {
        if let Filter::Keys(keys) = filter {
            return self.by_keys(keys).await;
        }
        let all = Query::new(self.collection().name().clone()).filter(filter.clone());
        let mut rows = Vec::new();
        self.each(&all, &mut |row| rows.push(row)).await?;
        sort(&mut rows, &|a, b| {
            let parts = self.store.key_values(a).zip(self.store.key_values(b));
            parts.map(|(a, b)| a.compare(b)).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
        });
        Ok(rows)
    }

    /// Shows every object that a query gives but for its order, limit and offset, in no order. Memory holds a page of them
    /// at a time.
    pub(crate) async fn each(&self, query: &Query, visit: &mut dyn FnMut(Row)) -> Result<()> {
        if let (Filter::Keys(keys), None) = (&query.filter, &query.after) {
            self.by_keys(keys).await?.into_iter().for_each(visit);
            return Ok(());
        }
        let plan = self.resolved(Plan::new(self.store, query), query).await?;
        self.pages(query, &plan, None, &mut |rows| {
            rows.into_iter().for_each(&mut *visit);
            false
        })
        .await
    }

    /// At least the first objects of a query in its order: it remains to be finished.
    async fn first(&self, query: &Query) -> Result<Vec<Row>> {
        let plan = self.resolved(Plan::new(self.store, query), query).await?;
        let order = query.full_order(self.collection());
        let needed = query
            .limit
            .map(|limit| usize::try_from(limit.saturating_add(query.offset)).unwrap_or(usize::MAX));
        // The object at the position may be among the first ones.
        let most = needed.map(|needed| needed.saturating_add(query.after.iter().len()));
        let mut gathered = Gathered {
            order: &order,
            walked: &plan.order[..plan.ordered],
            whole: plan.ordered == plan.order.len(),
            needed,
            rows: Vec::new(),
        };
        self.pages(query, &plan, most.filter(|_| plan.ordered > 0), &mut |rows| {
            gathered.rows.extend(rows);
            gathered.is_enough()
        })
        .await?;
        Ok(gathered.rows)
    }

    /// Gives what a query's filter matches behind its position, in the order of the plan, until `take` has enough.
    /// `needed`: so many objects may be enough.
    pub(crate) async fn pages(
        &self,
        query: &Query,
        plan: &Plan,
        needed: Option<usize>,
        take: &mut dyn FnMut(Vec<Row>) -> bool,
    ) -> Result<()> {
        if plan.whole && query.filter != Filter::All {
            tracing::info!(
                target: "storex::scan",
                collection = &**self.collection().name(),
                "no index serves this filter: every object is read"
            );
        }
        let order = query.full_order(self.collection());
        let mut walk = Walk::new(self, plan, needed)?;
        while let Some(mut rows) = walk.next().await? {
            if !plan.exact {
                rows.retain(|row| {
                    let after = query.after.as_ref();
                    query.filter.matches(self.collection(), &row.record)
                        && after.is_none_or(|after| is_after(&order, &row.record, &after.values))
                });
            }
            if take(rows) {
                break;
            }
        }
        Ok(())
    }

    /// The plan; instead of one that finds an object several times, one by the keys of the objects, or over all of them.
    async fn resolved(&self, mut plan: Plan, query: &Query) -> Result<Plan> {
        if plan.is_repeated() {
            let keys = self.keys(&plan).await.map_err(|source| self.failed(source))?;
            plan.go_by_keys(self.store, query, keys);
        }
        Ok(plan)
    }

    /// The keys of the objects that a plan over an index finds, each once and in our order; `None` where it has more entries
    /// than it is quick to go through.
    async fn keys(&self, plan: &Plan) -> std::result::Result<Option<Vec<JsValue>>, DomError> {
        let (Some(index), [range]) =
            (plan.index.and_then(|at| self.store.indices.get(at)), plan.ranges.as_slice())
        else {
            return Ok(None);
        };
        let index = self.store.live_index(&self.objects, index)?;
        let Some(range) = range.to_js()? else { return Ok(Some(Vec::new())) };
        let few = Request::of(index.get_all_keys_with_key_and_limit(&range, FEW_ENTRIES))?;
        let mut found = few.await?.unchecked_into::<Array>();
        if found.length() == FEW_ENTRIES {
            // To count the entries would take as long as to read them: no more are read than are worth it.
            let objects = Request::of(self.objects.count())?.await?.as_f64().unwrap_or_default();
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let most = (objects / 2.0) as u32;
            if most < FEW_ENTRIES {
                return Ok(None);
            }
            let more = index.get_all_keys_with_key_and_limit(&range, most.saturating_add(1));
            found = Request::of(more)?.await?.unchecked_into();
            if found.length() > most {
                return Ok(None);
            }
        }
        let mut by_code = BTreeMap::new();
        by_code.extend(found.iter().filter_map(|key| Some((self.store.key_code(&key)?, key))));
        Ok(Some(by_code.into_values().collect()))
    }

    /// The objects with these keys, in the order of the keys.
    pub(crate) async fn by_keys(&self, keys: &[Key]) -> Result<Vec<Row>> {
        let wanted: Vec<(&Key, JsValue)> =
            keys.iter().filter_map(|key| Some((key, self.store.key_to_js(key)?))).collect();
        if wanted.len() >= MANY_KEYS && wanted.iter().all(|(key, _)| self.store.has_key_order(key))
        {
            match self.present(&wanted).await? {
                Present::None => return Ok(Vec::new()),
                Present::Dense(range, count) => return self.dense(keys, &range, count).await,
                Present::Unknown => {}
            }
        }
        let sent: Vec<(JsValue, Request)> = wanted
            .into_iter()
            .map(|(_, key)| {
                let request = Request::of(self.objects.get(&key))?;
                Ok((key, request))
            })
            .collect::<std::result::Result<_, DomError>>()
            .map_err(|source| self.failed(source))?;
        let mut rows = Vec::with_capacity(sent.len());
        for (key, request) in sent {
            let object = request.await.map_err(|source| self.failed(source))?;
            if !object.is_undefined() {
                rows.push(self.row(object, Some(&key))?);
            }
        }
        Ok(rows)
    }

    /// One request tells of fresh keys, which follow each other, that none of them is there.
    async fn present(&self, wanted: &[(&Key, JsValue)]) -> Result<Present> {
        let lowest = wanted.iter().min_by(|a, b| a.0.cmp(b.0));
        let highest = wanted.iter().max_by(|a, b| a.0.cmp(b.0));
        let (Some((_, lowest)), Some((_, highest))) = (lowest, highest) else {
            return Ok(Present::None);
        };
        let bound = |key: &JsValue| Some(Bound { key: key.clone(), open: false });
        let range = Range { lower: bound(lowest), upper: bound(highest) };
        let Some(range) = range.to_js().map_err(|source| self.failed(source))? else {
            return Ok(Present::Unknown);
        };
        let most = u32::try_from(wanted.len() + wanted.len() / 2).unwrap_or(u32::MAX);
        let keys = Request::of(self.objects.get_all_keys_with_key_and_limit(&range, most));
        let keys = async { keys?.await }.await.map_err(|source| self.failed(source))?;
        let count = keys.unchecked_into::<Array>().length();
        Ok(match count {
            0 => Present::None,
            count if count >= most => Present::Unknown,
            count if (count as usize) * 2 < wanted.len() => Present::Unknown,
            count => Present::Dense(range, count),
        })
    }

    /// Most of the objects of a range: read at once.
    async fn dense(&self, keys: &[Key], range: &JsValue, count: u32) -> Result<Vec<Row>> {
        let read = async {
            let objects = Request::of(self.objects.get_all_with_key_and_limit(range, count))?;
            let own_keys = Request::of(self.objects.get_all_keys_with_key_and_limit(range, count))?;
            Ok((
                objects.await?.unchecked_into::<Array>(),
                own_keys.await?.unchecked_into::<Array>(),
            ))
        };
        let (objects, own_keys) = read.await.map_err(|source| self.failed(source))?;
        let mut rows = HashMap::with_capacity(keys.len());
        for (object, key) in objects.iter().zip(own_keys.iter()) {
            let row = self.row(object, Some(&key))?;
            rows.insert(self.collection().key_of(&row.record), row);
        }
        Ok(keys.iter().filter_map(|key| rows.remove(key)).collect())
    }

    async fn count_ranges(&self, plan: &Plan) -> std::result::Result<u64, DomError> {
        let index = match plan.index.and_then(|at| self.store.indices.get(at)) {
            Some(index) => Some(self.store.live_index(&self.objects, index)?),
            None => None,
        };
        let mut sent = Vec::new();
        for range in &plan.ranges {
            let Some(range) = range.to_js()? else { continue };
            sent.push(Request::of(match &index {
                Some(index) => index.count_with_key(&range),
                None => self.objects.count_with_key(&range),
            })?);
        }
        let mut count = 0.0;
        for request in sent {
            count += request.await?.as_f64().unwrap_or_default();
        }
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        Ok(count as u64)
    }

    pub(crate) fn row(&self, object: JsValue, key: Option<&JsValue>) -> Result<Row> {
        let record = self.store.of_js(&object, key)?;
        Ok(Row { object, record })
    }

    pub(crate) fn failed(&self, source: DomError) -> storex_core::Error {
        error::failed("read", Some(self.collection().name()), source)
    }
}

/// Sorts rows by their records. One sort for all orders: each that the compiler makes is some kilobytes to load.
pub(crate) fn sort(rows: &mut [Row], compare: &dyn Fn(&Record, &Record) -> Ordering) {
    rows.sort_by(|a, b| compare(&a.record, &b.record));
}

/// The record of some of the fields.
pub(crate) fn project(record: &Record, selected: &[usize]) -> Record {
    Record::new(selected.iter().map(|at| record.get(*at).clone()).collect())
}

/// Which of many keys are there.
enum Present {
    None,
    /// Most of them, and little else: so many in this range.
    Dense(JsValue, u32),
    Unknown,
}

/// What was read so far.
struct Gathered<'q> {
    order: &'q [(usize, Direction)],
    /// The part of the order that the rows come in.
    walked: &'q [(usize, Direction)],
    /// Whether that is all of it, but for fields that have one value.
    whole: bool,
    needed: Option<usize>,
    rows: Vec<Row>,
}

impl Gathered<'_> {
    /// Whether nothing that is still to come can be among the first ones. Forgets what cannot, where the rows come in
    /// another order.
    fn is_enough(&mut self) -> bool {
        let Some(needed) = self.needed else { return false };
        if self.rows.len() < needed {
            return false;
        }
        if needed == 0 {
            return true;
        }
        if self.walked.is_empty() && !self.whole {
            if self.rows.len() > needed.saturating_mul(2).saturating_add(1000) {
                let order = self.order;
                sort(&mut self.rows, &|a, b| {
                    compare_ordered(order, &values(order, a), &values(order, b))
                });
                self.rows.truncate(needed);
            }
            return false;
        }
        let at =
            |row: Option<&Row>| row.map(|row| values(self.walked, &row.record)).unwrap_or_default();
        self.whole
            || compare_ordered(self.walked, &at(self.rows.get(needed - 1)), &at(self.rows.last()))
                .is_ne()
    }
}

fn values(order: &[(usize, Direction)], record: &Record) -> Vec<storex_core::Value> {
    order.iter().map(|(at, _)| record.get(*at).clone()).collect()
}

fn is_after(
    order: &[(usize, Direction)],
    record: &Record,
    position: &[storex_core::Value],
) -> bool {
    compare_ordered(order, &values(order, record), position).is_gt()
}
