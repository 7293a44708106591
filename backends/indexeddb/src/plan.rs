//! [`Plan`]: which range of which index gives what a query asks for.
//!
//! The parts of a filter that must all hold are looked through for equalities, lists and ranges. The path (the key or an
//! index) that most of them begin is taken; if two are as good, the one that stands in the order asked for. Whatever the
//! range does not say is checked on the objects, so a range may always be wider than the filter.

use storex_core::{Direction, Position, Query, Value};
use wasm_bindgen::JsValue;

use crate::layout::Store;
use crate::multi::{self, Sought};
use crate::native::Range;
use crate::path::Path;
use crate::wanted::{Wanted, conjuncts, wanted};

/// The way to the objects of a query.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The index; `None`: the store itself, in the order of its keys.
    pub(crate) index: Option<usize>,
    /// Ascending, and apart from each other.
    pub(crate) ranges: Vec<Range>,
    /// Whether each of them is a whole key of the store: it holds one object at the most.
    pub(crate) points: bool,
    /// What is looked up, in an index that has several entries of one object.
    pub(crate) sought: Option<Sought>,
    /// Whether the ranges hold exactly what the filter matches.
    pub(crate) exact: bool,
    /// Whether nothing narrows what has to be read.
    pub(crate) whole: bool,
    /// The query's order, without the fields that have one value; empty where none is asked for.
    pub(crate) order: Vec<(usize, Direction)>,
    /// How many fields of the order the path stands in.
    pub(crate) ordered: usize,
    pub(crate) direction: Direction,
}

/// How much an index over elements or words counts: more than an order or a range, less than an equality.
const MULTI: u32 = 70;

impl Plan {
    pub(crate) fn new(store: &Store, query: &Query) -> Self {
        let mut parts = Vec::new();
        conjuncts(&query.filter, &mut parts);
        let wanted = wanted(store, &parts);
        let order = moving_order(store, query, &wanted);
        let key = Path::key(store);
        let mut best = (key.score(&wanted, &order), None, key);
        for (at, index) in store.indices.iter().enumerate().filter(|(_, index)| !index.multi_entry)
        {
            let path = Path::index(store, index);
            let score = path.score(&wanted, &order);
            if path.is_complete(&wanted) && score > best.0 {
                best = (score, Some(at), path);
            }
        }
        let (score, index, path) = best;
        if score < MULTI
            && let Some(plan) = multi::plan(store, query, &parts, &wanted, order.clone())
        {
            return plan;
        }
        let taken = path.taken(&wanted);
        let (ranges, precise) = path.ranges(&wanted);
        let used: usize = taken.iter().map(|at| wanted[*at].parts).sum();
        let clear = taken.iter().all(|at| !wanted[*at].is_mixed());
        let (ordered, direction) = path.ordered(&wanted, &order);
        let mut plan = Self {
            index,
            ranges,
            points: path.are_points(&wanted),
            sought: None,
            exact: precise && clear && used == parts.len() && query.after.is_none(),
            whole: taken.is_empty(),
            ordered,
            direction,
            order,
        };
        plan.begin_after(&path, &wanted, query);
        plan
    }

    /// Whether an object may be found several times.
    pub(crate) fn is_repeated(&self) -> bool {
        matches!(self.sought, Some(Sought::Beginning(_)))
    }

    /// Goes by the keys of the objects, each once and in our order; `None`: over all objects.
    pub(crate) fn go_by_keys(&mut self, store: &Store, query: &Query, keys: Option<Vec<JsValue>>) {
        self.index = None;
        self.sought = None;
        self.points = keys.is_some();
        self.exact &= self.points;
        self.ranges = match keys {
            Some(keys) => keys.into_iter().map(multi::point).collect(),
            None => vec![Range::default()],
        };
        let mut parts = Vec::new();
        conjuncts(&query.filter, &mut parts);
        self.begin_after(&Path::key(store), &wanted(store, &parts), query);
    }

    /// A page begins where the one before has ended.
    fn begin_after(&mut self, path: &Path<'_>, wanted: &[Wanted<'_>], query: &Query) {
        let Some(position) = query.after.as_ref().filter(|_| self.ordered > 0) else { return };
        let mut moving = moving_values(path.store, query, position, wanted);
        moving.truncate(self.ordered);
        if moving.is_empty() {
            return;
        }
        // Along the path: a constant may stand behind a field that moves.
        let mut moving = moving.into_iter();
        let key = path.index.map_or(&[][..], |_| path.store.collection.primary_key());
        let values: Vec<&Value> = (path.fields.iter().chain(key))
            .map_while(|at| wanted[*at].constant().or_else(|| moving.next()))
            .collect();
        let bounds = path.around(&values);
        for range in &mut self.ranges {
            match self.direction {
                Direction::Ascending => range.raise(bounds.lower.as_ref()),
                Direction::Descending => range.sink(bounds.upper.as_ref()),
            }
        }
    }
}

/// The order that a query asks for, without the fields that have one value.
fn moving_order(store: &Store, query: &Query, wanted: &[Wanted<'_>]) -> Vec<(usize, Direction)> {
    if !query.is_ordered() {
        return Vec::new();
    }
    let order = query.full_order(&store.collection).into_iter();
    order.filter(|(at, _)| wanted[*at].constant().is_none()).collect()
}

/// A position's values of the fields that move, up to the first constant that it does not have: a position that was made
/// under another filter says nothing of what lies behind that.
fn moving_values<'q>(
    store: &Store,
    query: &'q Query,
    position: &'q Position,
    wanted: &[Wanted<'_>],
) -> Vec<&'q Value> {
    let mut moving = Vec::new();
    for ((at, _), value) in query.full_order(&store.collection).iter().zip(&position.values) {
        match wanted[*at].constant() {
            Some(constant) if constant.compare(value).is_ne() => break,
            Some(_) => {}
            None => moving.push(value),
        }
    }
    moving
}
