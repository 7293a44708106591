//! [`Plan`]: which range of which index gives what a query asks for.
//!
//! The parts of a filter that must all hold are looked through for equalities, lists and ranges. The path (the key or an
//! index) that most of them begin is taken; if two are as good, the one that stands in the order asked for. Whatever the
//! range does not say is checked on the objects, so a range may always be wider than the filter.

use storex_core::{Comparison, Direction, Filter, Name, Position, Query, Value};

use crate::layout::{IndexForm, KeyForm, Store, StoreIndex};
use crate::native::{self, Bound, Range};
use crate::order_code::{self, AFTER, AFTER_NULL};
use crate::value::{Form, MAX_SAFE};

/// The way to the objects of a query.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The index; `None`: the store itself, in the order of its keys.
    pub(crate) index: Option<usize>,
    /// Ascending, and apart from each other.
    pub(crate) ranges: Vec<Range>,
    /// The code of the element that the entries begin with, in an index over elements.
    pub(crate) element: Option<Vec<u8>>,
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

/// How much an index over elements counts: more than an order or a range, less than an equality.
const ELEMENT: u32 = 70;

/// What must hold for one field.
#[derive(Debug, Default, Clone)]
struct Wanted<'q> {
    /// One of these.
    values: Option<Vec<&'q Value>>,
    low: Option<(&'q Value, bool)>,
    high: Option<(&'q Value, bool)>,
    /// How many parts of the filter that takes in.
    parts: usize,
}

/// The key or an index.
struct Path<'s> {
    store: &'s Store,
    index: Option<&'s StoreIndex>,
    fields: &'s [usize],
    encoded: bool,
}

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
        if score < ELEMENT
            && let Some(plan) = Self::of_element(store, query, &parts, &order)
        {
            return plan;
        }
        let taken = path.taken(&wanted);
        let (ranges, precise) = path.ranges(&wanted);
        let used: usize = taken.iter().map(|at| wanted[*at].parts).sum();
        let clear = taken.iter().all(|at| !wanted[*at].is_both());
        let (ordered, direction) = path.ordered(&wanted, &order);
        let mut plan = Self {
            index,
            ranges,
            element: None,
            exact: precise && clear && used == parts.len(),
            whole: taken.is_empty(),
            ordered,
            direction,
            order,
        };
        plan.begin_after(&path, &wanted, query);
        plan
    }

    /// The objects whose field has an element, by an index over elements: in the order of their keys.
    fn of_element(
        store: &Store,
        query: &Query,
        parts: &[&Filter],
        order: &[(usize, Direction)],
    ) -> Option<Self> {
        let (index, element) = parts.iter().find_map(|part| {
            let Filter::Contains { field, value } = part else { return None };
            let at = store.collection.position(field)?;
            let serves = |it: &StoreIndex| {
                it.multi_entry && it.fields == [at] && matches!(it.form, IndexForm::Encoded(_))
            };
            Some((store.indices.iter().position(serves)?, order_code::element(value)))
        })?;
        let key = store.collection.primary_key();
        let direction = order.first().map_or(Direction::Ascending, |(_, direction)| *direction);
        let same = key.iter().zip(order);
        let same = same.take_while(|(at, (field, towards))| *at == field && *towards == direction);
        let ordered = same.count();
        let entry = |code: Vec<u8>| order_code::entry(&code);
        let mut range = Range {
            lower: Some(closed(entry(element.clone()))),
            upper: Some(open(entry(beyond(element.clone())))),
        };
        // Behind the position, where the order is that of the keys and nothing else.
        let by_key = ordered == key.len() && order.len() == ordered;
        let position = query.after.as_ref().filter(|it| by_key && it.values.len() == ordered);
        if let Some(position) = position {
            let mut code = element.clone();
            code.extend(order_code::encode(&position.values));
            match direction {
                Direction::Ascending => range.raise(Some(&closed(entry(beyond(code))))),
                Direction::Descending => range.sink(Some(&open(entry(code)))),
            }
        }
        Some(Self {
            index: Some(index),
            ranges: vec![range],
            element: Some(element),
            exact: parts.len() == 1 && query.after.is_none(),
            whole: false,
            order: order.to_vec(),
            ordered,
            direction,
        })
    }

    /// A page begins where the one before has ended.
    fn begin_after(&mut self, path: &Path<'_>, wanted: &[Wanted<'_>], query: &Query) {
        let Some(position) = query.after.as_ref().filter(|_| self.ordered > 0) else { return };
        self.exact = false;
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

/// The parts of a filter that must all hold.
fn conjuncts<'q>(filter: &'q Filter, parts: &mut Vec<&'q Filter>) {
    match filter {
        Filter::All => {}
        Filter::And(both) => both.iter().for_each(|part| conjuncts(part, parts)),
        part => parts.push(part),
    }
}

fn wanted<'q>(store: &Store, parts: &[&'q Filter]) -> Vec<Wanted<'q>> {
    let mut wanted = vec![Wanted::default(); store.collection.fields().len()];
    for part in parts {
        let (field, apply): (&Name, &dyn Fn(&mut Wanted<'q>) -> bool) = match part {
            Filter::Compare { field, op, value } => (field, &move |it| it.compare(*op, value)),
            Filter::In { field, values } => (field, &move |it| it.one_of(values)),
            _ => continue,
        };
        if let Some(field) = store.collection.position(field).and_then(|at| wanted.get_mut(at))
            && apply(field)
        {
            field.parts += 1;
        }
    }
    wanted
}

impl<'q> Wanted<'q> {
    /// Takes a comparison in; false: it stays to be checked on the objects.
    fn compare(&mut self, op: Comparison, value: &'q Value) -> bool {
        match op {
            Comparison::Eq if self.values.is_none() => self.values = Some(vec![value]),
            Comparison::Gt | Comparison::Gte if self.low.is_none() && !value.is_null() => {
                self.low = Some((value, op == Comparison::Gte));
            }
            Comparison::Lt | Comparison::Lte if self.high.is_none() && !value.is_null() => {
                self.high = Some((value, op == Comparison::Lte));
            }
            _ => return false,
        }
        true
    }

    fn one_of(&mut self, values: &'q [Value]) -> bool {
        if self.values.is_some() {
            return false;
        }
        let mut values: Vec<&Value> = values.iter().collect();
        values.sort_by(|a, b| a.compare(b));
        values.dedup_by(|a, b| a.compare(b).is_eq());
        self.values = Some(values);
        true
    }

    fn constant(&self) -> Option<&'q Value> {
        match self.values.as_deref() {
            Some([value]) => Some(value),
            _ => None,
        }
    }

    /// Values and a range: the path takes the values, and the range is left to the objects.
    fn is_both(&self) -> bool {
        self.values.is_some() && (self.low.is_some() || self.high.is_some())
    }

    fn is_range(&self) -> bool {
        self.values.is_none() && (self.low.is_some() || self.high.is_some())
    }
}

impl<'s> Path<'s> {
    fn key(store: &'s Store) -> Self {
        let encoded = store.key == KeyForm::Encoded;
        Self { store, index: None, fields: store.collection.primary_key(), encoded }
    }

    fn index(store: &'s Store, index: &'s StoreIndex) -> Self {
        let encoded = matches!(index.form, IndexForm::Encoded(_));
        Self { store, index: Some(index), fields: &index.fields, encoded }
    }

    /// Whether every object that the filter can match is in the index: IndexedDB leaves out what has no key of its own.
    fn is_complete(&self, wanted: &[Wanted<'_>]) -> bool {
        if self.encoded || self.index.is_none() {
            return true;
        }
        self.fields.iter().all(|at| {
            let indexable = !matches!(self.store.form(*at), Form::Bool | Form::Json | Form::Own);
            let field = &wanted[*at];
            let not_null = match &field.values {
                Some(values) => values.iter().all(|value| !value.is_null()),
                None => field.is_range(),
            };
            // Others write to an adopted store too, and keep to no type.
            let nullable = self.store.collection.is_adopted()
                || self.store.collection.fields().get(*at).is_none_or(|it| it.nullable);
            indexable && (not_null || !nullable)
        })
    }

    /// The fields at the beginning that have one value, and the values.
    fn constants<'q>(&self, wanted: &[Wanted<'q>]) -> Vec<&'q Value> {
        self.fields.iter().map_while(|at| wanted[*at].constant()).collect()
    }

    /// The fields whose wishes the ranges of this path answer.
    fn taken(&self, wanted: &[Wanted<'_>]) -> Vec<usize> {
        let constants = self.constants(wanted).len();
        let mut taken: Vec<usize> = self.fields.iter().take(constants).copied().collect();
        if let Some(next) = self.fields.get(constants)
            && (wanted[*next].values.is_some()
                || (wanted[*next].is_range() && self.has_order(*next)))
        {
            taken.push(*next);
        }
        taken
    }

    /// Whether ranges of the field mean the same here as elsewhere.
    fn has_order(&self, at: usize) -> bool {
        self.encoded || !matches!(self.store.form(at), Form::Own | Form::Json | Form::Bool)
    }

    fn score(&self, wanted: &[Wanted<'_>], order: &[(usize, Direction)]) -> u32 {
        let constants = self.constants(wanted).len();
        let mut score = 0;
        for at in self.taken(wanted) {
            let field = &wanted[at];
            score += match (&field.values, field.low, field.high) {
                (Some(_), ..) if field.constant().is_some() => 100,
                (Some(_), ..) => 80,
                (None, Some(_), Some(_)) => 60,
                _ => 40,
            };
        }
        if self.index.is_none_or(|index| index.unique) && constants == self.fields.len() {
            score += 500;
        }
        if self.ordered(wanted, order).0 > 0 { score + 10 } else { score }
    }

    /// How many fields of an order this path stands in, and in which direction it is to be walked.
    fn ordered(&self, wanted: &[Wanted<'_>], order: &[(usize, Direction)]) -> (usize, Direction) {
        let constants = self.constants(wanted).len();
        let rest = self.fields.iter().skip(constants);
        let key = self.store.collection.primary_key().iter();
        let walked = rest.chain(key).take_while(|at| self.has_order(**at));
        let walked = walked.filter(|at| wanted[**at].constant().is_none());
        let Some((_, direction)) = order.first() else { return (0, Direction::Ascending) };
        let same = walked
            .zip(order)
            .take_while(|(at, (field, towards))| *at == field && towards == direction);
        (same.count(), *direction)
    }

    /// The ranges, and whether they hold nothing but what is wanted.
    fn ranges(&self, wanted: &[Wanted<'_>]) -> (Vec<Range>, bool) {
        let prefix = self.constants(wanted);
        let next = self.fields.get(prefix.len()).map(|at| (*at, &wanted[*at]));
        match next {
            Some((_, Wanted { values: Some(values), .. })) => {
                let mut all = Vec::new();
                for value in values {
                    let mut prefix = prefix.clone();
                    prefix.push(value);
                    all.extend(self.equal(&prefix));
                }
                (all, true)
            }
            Some((at, field)) if field.is_range() && self.has_order(at) => {
                self.between(&prefix, field)
            }
            _ if prefix.is_empty() => (vec![Range::default()], true),
            _ => (self.equal(&prefix).into_iter().collect(), true),
        }
    }

    /// Between two codes, the upper one left out.
    fn code_range(&self, lower: Vec<u8>, upper: Vec<u8>) -> Range {
        let key = |code: Vec<u8>| match self.index {
            Some(_) => order_code::entry(&code),
            None => native::bytes(&code),
        };
        Range { lower: Some(closed(key(lower))), upper: Some(open(key(upper))) }
    }

    /// Everything that begins with these values; `None`: nothing can.
    fn equal(&self, prefix: &[&Value]) -> Option<Range> {
        if self.encoded {
            let code = order_code::encode(prefix.iter().copied());
            return Some(self.code_range(code.clone(), beyond(code)));
        }
        let parts: Option<Vec<JsPart>> = prefix.iter().map(|value| native::part(value)).collect();
        let parts = parts?;
        let (lower, upper) = if self.fields.len() == 1 {
            (parts[0].clone(), parts[0].clone())
        } else {
            (
                array(&parts),
                if parts.len() == self.fields.len() { array(&parts) } else { array_end(&parts) },
            )
        };
        Some(Range { lower: Some(closed(lower)), upper: Some(closed(upper)) })
    }

    /// As [`Path::equal`], but never narrower than what comes before or after these values in our order.
    fn around(&self, values: &[&Value]) -> Range {
        if self.encoded {
            let code = order_code::encode(values.iter().copied());
            let whole =
                values.len() >= self.fields.len() + self.store.collection.primary_key().len();
            let lower = if whole || self.index.is_none() && values.len() == self.fields.len() {
                beyond(code.clone())
            } else {
                code.clone()
            };
            return self.code_range(lower, beyond(code));
        }
        let values = &values[..values.len().min(self.fields.len())];
        let Some((last, before)) = values.split_last() else { return Range::default() };
        let Some(parts) =
            before.iter().map(|value| native::part(value)).collect::<Option<Vec<_>>>()
        else {
            return Range::default();
        };
        // A text in the middle that is not plain makes all that follows it unordered.
        if let Some(at) = before.iter().position(|value| !is_plain(value)) {
            return self.native_between(
                &parts[..at],
                Some((before[at], true)),
                Some((before[at], true)),
            );
        }
        self.native_between(&parts, Some((last, true)), Some((last, true)))
    }

    fn between(&self, prefix: &[&Value], field: &Wanted<'_>) -> (Vec<Range>, bool) {
        if self.encoded {
            let code = |value: &Value| order_code::encode(prefix.iter().copied().chain([value]));
            let lower = match field.low {
                Some((value, true)) => code(value),
                Some((value, false)) => beyond(code(value)),
                None => {
                    let mut lower = order_code::encode(prefix.iter().copied());
                    lower.push(AFTER_NULL);
                    lower
                }
            };
            let upper = match field.high {
                Some((value, true)) => beyond(code(value)),
                Some((value, false)) => code(value),
                None => beyond(order_code::encode(prefix.iter().copied())),
            };
            return (vec![self.code_range(lower, upper)], true);
        }
        let Some(parts) =
            prefix.iter().map(|value| native::part(value)).collect::<Option<Vec<_>>>()
        else {
            return (Vec::new(), true);
        };
        let precise = [field.low, field.high].iter().flatten().all(|(value, _)| is_plain(value));
        (vec![self.native_between(&parts, field.low, field.high)], precise)
    }

    /// Between two values of the field behind the parts.
    fn native_between(
        &self,
        parts: &[JsPart],
        low: Option<(&Value, bool)>,
        high: Option<(&Value, bool)>,
    ) -> Range {
        let single = self.fields.len() == 1;
        let last = parts.len() + 1 == self.fields.len();
        let with = |value: JsPart| {
            let mut all = parts.to_vec();
            all.push(value);
            all
        };
        let lower = match low.and_then(|(value, inclusive)| {
            Some((lower_part(value)?, inclusive || !is_plain(value)))
        }) {
            Some((value, inclusive)) if single => Some(Bound { key: value, open: !inclusive }),
            Some((value, true)) => Some(closed(array(&with(value)))),
            Some((value, false)) if last => Some(open(array(&with(value)))),
            Some((value, false)) => Some(closed(array_end(&with(value)))),
            None if parts.is_empty() => None,
            None => Some(closed(array(parts))),
        };
        let upper = match high.and_then(|(value, inclusive)| upper_part(value, inclusive)) {
            Some((value, inclusive)) if single => Some(Bound { key: value, open: !inclusive }),
            Some((value, true)) if last => Some(closed(array(&with(value)))),
            Some((value, true)) => Some(closed(array_end(&with(value)))),
            Some((value, false)) => Some(open(array(&with(value)))),
            None if parts.is_empty() => None,
            None => Some(closed(array_end(parts))),
        };
        Range { lower, upper }
    }
}

type JsPart = wasm_bindgen::JsValue;

/// Whether a value has the same place among IndexedDB's keys as among ours.
fn is_plain(value: &Value) -> bool {
    match value {
        Value::Text(text) => native::plain_part(text).is_none(),
        Value::Int(int) => (-MAX_SAFE..=MAX_SAFE).contains(int),
        _ => native::part(value).is_some(),
    }
}

/// Not above anything that is greater than the value.
fn lower_part(value: &Value) -> Option<JsPart> {
    match value {
        Value::Text(text) => Some(native::plain_part(text).unwrap_or(text).into()),
        Value::Int(int) if *int > MAX_SAFE => native::part(&Value::Int(MAX_SAFE)),
        value => native::part(value),
    }
}

/// Not below anything that is less than the value (or equal, for an inclusive one).
fn upper_part(value: &Value, inclusive: bool) -> Option<(JsPart, bool)> {
    match value {
        Value::Text(text) => match native::plain_part(text) {
            Some(plain) => Some((native::after_prefix(plain), false)),
            None => Some((text.as_str().into(), inclusive)),
        },
        Value::Int(int) if *int < -MAX_SAFE => Some((native::part(&Value::Int(-MAX_SAFE))?, true)),
        value => Some((native::part(value)?, inclusive)),
    }
}

/// Behind everything that begins with this code.
fn beyond(mut code: Vec<u8>) -> Vec<u8> {
    code.push(AFTER);
    code
}

fn closed(key: JsPart) -> Bound {
    Bound { key, open: false }
}

fn open(key: JsPart) -> Bound {
    Bound { key, open: true }
}

fn array(parts: &[JsPart]) -> JsPart {
    parts.iter().collect::<js_sys::Array>().into()
}

/// Behind every array that begins with these parts: an array is greater than any other key.
fn array_end(parts: &[JsPart]) -> JsPart {
    let end: JsPart = js_sys::Array::new().into();
    parts.iter().chain([&end]).collect::<js_sys::Array>().into()
}
