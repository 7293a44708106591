//! [`Wanted`]: what a filter says of one field, in the terms of an index: values, a range, a beginning.

use storex_core::{Comparison, Filter, Key, TextMatch, Value};

use crate::layout::Store;

/// What must hold for one field.
#[derive(Debug, Default, Clone)]
pub(crate) struct Wanted<'q> {
    /// One of these.
    pub(crate) values: Option<Vec<&'q Value>>,
    pub(crate) low: Option<(&'q Value, bool)>,
    pub(crate) high: Option<(&'q Value, bool)>,
    /// A text that begins so.
    pub(crate) begins: Option<&'q str>,
    not_null: bool,
    /// How many parts of the filter that takes in.
    pub(crate) parts: usize,
}

/// The parts of a filter that must all hold.
pub(crate) fn conjuncts<'q>(filter: &'q Filter, parts: &mut Vec<&'q Filter>) {
    match filter {
        Filter::All => {}
        Filter::And(both) => both.iter().for_each(|part| conjuncts(part, parts)),
        part => parts.push(part),
    }
}

/// What must hold for each field.
pub(crate) fn wanted<'q>(store: &Store, parts: &[&'q Filter]) -> Vec<Wanted<'q>> {
    let collection = &store.collection;
    let mut wanted = vec![Wanted::default(); collection.fields().len()];
    for part in parts {
        let at = match (part, collection.primary_key()) {
            (
                Filter::Compare { field, .. }
                | Filter::In { field, .. }
                | Filter::Text { field, .. },
                _,
            ) => collection.position(field),
            (Filter::Keys(_), [key]) => Some(*key),
            _ => None,
        };
        if let Some(field) = at.and_then(|at| wanted.get_mut(at))
            && field.take(part)
        {
            field.parts += 1;
        }
    }
    wanted
}

impl<'q> Wanted<'q> {
    /// Takes a part of the filter in; false: it stays to be checked on the objects.
    fn take(&mut self, part: &'q Filter) -> bool {
        match part {
            Filter::Compare { op, value, .. } => self.compare(*op, value),
            Filter::In { values, .. } => self.one_of(values.iter()),
            Filter::Keys(keys) => self.one_of(keys.iter().filter_map(Key::as_single)),
            Filter::Text { how: TextMatch::StartsWith, text, .. } if self.begins.is_none() => {
                self.begins = Some(text);
                true
            }
            _ => false,
        }
    }

    fn compare(&mut self, op: Comparison, value: &'q Value) -> bool {
        match op {
            Comparison::Eq if self.values.is_none() => self.values = Some(vec![value]),
            Comparison::Gt | Comparison::Gte if self.low.is_none() && !value.is_null() => {
                self.low = Some((value, op == Comparison::Gte));
            }
            Comparison::Lt | Comparison::Lte if self.high.is_none() && !value.is_null() => {
                self.high = Some((value, op == Comparison::Lte));
            }
            Comparison::Ne if value.is_null() => self.not_null = true,
            _ => return false,
        }
        true
    }

    fn one_of(&mut self, values: impl Iterator<Item = &'q Value>) -> bool {
        if self.values.is_some() {
            return false;
        }
        let mut values: Vec<&Value> = values.collect();
        values.sort_by(|a, b| a.compare(b));
        values.dedup_by(|a, b| a.compare(b).is_eq());
        self.values = Some(values);
        true
    }

    pub(crate) fn constant(&self) -> Option<&'q Value> {
        match self.values.as_deref() {
            Some([value]) => Some(value),
            _ => None,
        }
    }

    fn has_bound(&self) -> bool {
        self.low.is_some() || self.high.is_some()
    }

    /// Whether it is more than a path takes: of values, a beginning and a range it takes the first, and the others are left
    /// to the objects.
    pub(crate) fn is_mixed(&self) -> bool {
        let begins = self.begins.is_some();
        self.values.is_some() && (self.has_bound() || begins || self.not_null)
            || begins && self.has_bound()
    }

    pub(crate) fn is_range(&self) -> bool {
        self.values.is_none() && (self.has_bound() || self.begins.is_some() || self.not_null)
    }

    /// How much a path gains that takes this in.
    pub(crate) fn score(&self) -> u32 {
        match (&self.values, self.low, self.high) {
            (Some(_), ..) if self.constant().is_some() => 100,
            (Some(_), ..) => 80,
            _ if self.begins.is_some() => 60,
            (None, Some(_), Some(_)) => 60,
            (None, None, None) => 1,
            _ => 40,
        }
    }
}
