//! Plans over indices that have several entries of one object: of the elements of a JSON array, or of the words of a text.

use storex_core::{Comparison, Direction, Filter, Name, Query, Value, Words};
use wasm_bindgen::JsValue;

use crate::layout::{IndexForm, Store, StoreIndex};
use crate::native::{Bound, Range};
use crate::order_code;
use crate::path::{Path, beyond, closed, open};
use crate::plan::Plan;
use crate::wanted::Wanted;
use crate::words;

/// What is looked up in such an index.
#[derive(Debug, Clone)]
pub(crate) enum Sought {
    /// An element of this code.
    Element(Vec<u8>),
    /// This word.
    Word(String),
    /// All words that begin so: an object may have several of them.
    Beginning(String),
}

impl Sought {
    /// The entry of an object of this key; `None` where it may have several.
    pub(crate) fn entry(&self, key: &[u8]) -> Option<JsValue> {
        match self {
            Self::Element(code) => Some(order_code::entry(&[code, key].concat())),
            Self::Word(word) => Some(words::entry(word, key)),
            Self::Beginning(_) => None,
        }
    }

    fn range(&self) -> Range {
        match self {
            Self::Element(code) => Range {
                lower: Some(closed(order_code::entry(code))),
                upper: Some(open(order_code::entry(&beyond(code.clone())))),
            },
            Self::Word(word) => words::range(word),
            Self::Beginning(word) => words::range_of_beginning(word),
        }
    }

    /// The more, the fewer objects are likely to have it.
    fn weight(&self) -> (bool, usize) {
        match self {
            Self::Element(code) => (true, code.len()),
            Self::Word(word) => (true, word.len()),
            Self::Beginning(word) => (false, word.len()),
        }
    }
}

/// The way to the objects by an index of this kind, if there is one for a part of the filter.
pub(crate) fn plan(
    store: &Store,
    query: &Query,
    parts: &[&Filter],
    wanted: &[Wanted<'_>],
    order: Vec<(usize, Direction)>,
) -> Option<Plan> {
    let found = parts.iter().filter_map(|part| {
        let (field, sought, is_all) = sought(part)?;
        Some((index(store, field, &sought)?, sought, is_all))
    });
    let (index, sought, is_all) = found.max_by_key(|(_, sought, _)| sought.weight())?;
    // By keys, within one element or word; and so are the objects of several words, once their keys are known.
    let (ordered, direction) = Path::key(store).ordered(wanted, &order);
    let mut range = sought.range();
    let key = store.collection.primary_key();
    let position = query
        .after
        .as_ref()
        .filter(|it| ordered == key.len() && order.len() == ordered && it.values.len() == ordered);
    if let Some(begin) =
        position.and_then(|it| sought.entry(&order_code::encode(&it.values))).map(open)
    {
        match direction {
            Direction::Ascending => range.raise(Some(&begin)),
            Direction::Descending => range.sink(Some(&begin)),
        }
    }
    Some(Plan {
        index: Some(index),
        ranges: vec![range],
        points: false,
        sought: Some(sought),
        exact: is_all && parts.len() == 1 && query.after.is_none(),
        whole: false,
        order,
        ordered,
        direction,
    })
}

/// What an index can be asked for a part of a filter, in which field, and whether that is all that the part says.
fn sought(part: &Filter) -> Option<(&Name, Sought, bool)> {
    let element = |value: &Value| Sought::Element(order_code::element(value));
    match part {
        Filter::Contains { field, value } => Some((field, element(value), true)),
        Filter::Element { field, conditions } => {
            let equal = conditions
                .iter()
                .find(|it| it.member.is_none() && it.op == Comparison::Eq && !it.value.is_null())?;
            Some((field, element(&equal.value), conditions.len() == 1))
        }
        Filter::Search { field, words } => {
            let words = Words::new(words);
            let sought = words.iter().map(|word| match word.is_prefix {
                true => Sought::Beginning(word.text.clone()),
                false => Sought::Word(word.text.clone()),
            });
            let best = sought.max_by_key(Sought::weight)?;
            Some((field, best, words.iter().count() == 1))
        }
        _ => None,
    }
}

/// The index over the elements or words of a field.
fn index(store: &Store, field: &str, sought: &Sought) -> Option<usize> {
    let at = store.collection.position(field)?;
    let serves = |it: &StoreIndex| {
        let fits = match sought {
            Sought::Element(_) => matches!(it.form, IndexForm::Encoded(_)),
            Sought::Word(_) | Sought::Beginning(_) => matches!(it.form, IndexForm::Words(_)),
        };
        it.multi_entry && it.fields == [at] && fits
    };
    store.indices.iter().position(serves)
}

/// A range of one key.
pub(crate) fn point(key: JsValue) -> Range {
    let bound = Bound { key, open: false };
    Range { lower: Some(bound.clone()), upper: Some(bound) }
}
