//! [`Path`]: the key or an index, and its ranges for what is wanted.

use storex_core::{Direction, Value};

use crate::layout::{IndexForm, KeyForm, Store, StoreIndex};
use crate::native::{self, Bound, Range};
use crate::order_code::{self, AFTER, AFTER_NULL};
use crate::value::{Form, MAX_SAFE};
use crate::wanted::Wanted;

/// The key or an index.
pub(crate) struct Path<'s> {
    pub(crate) store: &'s Store,
    pub(crate) index: Option<&'s StoreIndex>,
    pub(crate) fields: &'s [usize],
    encoded: bool,
}

impl<'s> Path<'s> {
    pub(crate) fn key(store: &'s Store) -> Self {
        let encoded = store.key == KeyForm::Encoded;
        Self { store, index: None, fields: store.collection.primary_key(), encoded }
    }

    pub(crate) fn index(store: &'s Store, index: &'s StoreIndex) -> Self {
        let encoded = matches!(index.form, IndexForm::Encoded(_));
        Self { store, index: Some(index), fields: &index.fields, encoded }
    }

    /// Whether every object that the filter can match is in the index: IndexedDB leaves out what has no key of its own.
    pub(crate) fn is_complete(&self, wanted: &[Wanted<'_>]) -> bool {
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
    pub(crate) fn taken(&self, wanted: &[Wanted<'_>]) -> Vec<usize> {
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

    pub(crate) fn score(&self, wanted: &[Wanted<'_>], order: &[(usize, Direction)]) -> u32 {
        let constants = self.constants(wanted).len();
        let mut score = 0;
        for at in self.taken(wanted) {
            score += wanted[at].score();
        }
        if self.index.is_none_or(|index| index.unique) && constants == self.fields.len() {
            score += 500;
        }
        if self.ordered(wanted, order).0 > 0 { score + 10 } else { score }
    }

    /// How many fields of an order this path stands in, and in which direction it is to be walked.
    pub(crate) fn ordered(
        &self,
        wanted: &[Wanted<'_>],
        order: &[(usize, Direction)],
    ) -> (usize, Direction) {
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

    /// Whether each range holds one object at the most: it is a whole key.
    pub(crate) fn are_points(&self, wanted: &[Wanted<'_>]) -> bool {
        let constants = self.constants(wanted).len();
        let whole = match self.fields.get(constants) {
            Some(last) => constants + 1 == self.fields.len() && wanted[*last].values.is_some(),
            None => true,
        };
        self.index.is_none() && whole
    }

    /// The ranges, and whether they hold nothing but what is wanted.
    pub(crate) fn ranges(&self, wanted: &[Wanted<'_>]) -> (Vec<Range>, bool) {
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
    pub(crate) fn around(&self, values: &[&Value]) -> Range {
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

    /// Texts that begin so, behind fields of these values; `None`: nothing can.
    fn beginning(&self, prefix: &[&Value], text: &str) -> Option<Range> {
        if self.encoded {
            let mut code = order_code::encode(prefix.iter().copied());
            order_code::push_beginning(&mut code, text);
            return Some(self.code_range(code.clone(), beyond(code)));
        }
        let mut lower: Vec<JsPart> =
            prefix.iter().map(|value| native::part(value)).collect::<Option<_>>()?;
        let mut upper = lower.clone();
        lower.push(text.into());
        upper.push(native::after_prefix(text));
        let key = |parts: &[JsPart]| match parts {
            [part] if self.fields.len() == 1 => part.clone(),
            parts => array(parts),
        };
        Some(Range { lower: Some(closed(key(&lower))), upper: Some(open(key(&upper))) })
    }

    fn between(&self, prefix: &[&Value], field: &Wanted<'_>) -> (Vec<Range>, bool) {
        if let Some(text) = field.begins {
            return (self.beginning(prefix, text).into_iter().collect(), true);
        }
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
pub(crate) fn beyond(mut code: Vec<u8>) -> Vec<u8> {
    code.push(AFTER);
    code
}

pub(crate) fn closed(key: JsPart) -> Bound {
    Bound { key, open: false }
}

pub(crate) fn open(key: JsPart) -> Bound {
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
