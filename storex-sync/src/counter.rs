//! [`Counter`]: what the clock keeps of a number that is incremented, so that the increments of all devices count.
//!
//! A state-based counter (PN-counter: Shapiro, Preguiça, Baquero, Zawirski, "A comprehensive study of Convergent and
//! Commutative Replicated Data Types", 2011) over a *base*: the value that the last winning write has set. Each device's sum of
//! its increments on that base is kept with the stamp of the last of them; of two sums of one device the later counts,
//! because it has the earlier in it. Merging is idempotent, commutative and associative, so no increment is lost or
//! counted twice, in whatever order and however often they come.

use std::cmp::Ordering;

use storex_core::{Timestamp, Value};

use crate::stamp::Stamp;

/// A number that was incremented since it was set. The stamp of the write that has set it is the field's in the
/// [`Clock`](crate::Clock).
#[derive(Debug, Clone, PartialEq)]
pub struct Counter {
    /// What it was set to: a finite number or a moment.
    pub from: Value,
    /// What each device has added since, ascending by device.
    pub sums: Vec<Sum>,
}

/// What one device has added to a number since it was set.
#[derive(Debug, Clone, PartialEq)]
pub struct Sum {
    /// When it did so for the last time, and which device it is.
    pub at: Stamp,
    /// So much: a finite number.
    pub value: Value,
}

/// What an increment says beside by how much: it can be merged without what came before it.
#[derive(Debug, Clone, PartialEq)]
pub struct Counted {
    /// The stamp of the write that has set the number.
    pub base: Stamp,
    /// What it was set to: a finite number or a moment.
    pub from: Value,
    /// What the author has added since, this increment included: a finite number.
    pub sum: Value,
}

impl Counter {
    /// A number that nobody has incremented.
    #[must_use]
    pub fn new(from: Value) -> Self {
        Self { from, sums: Vec::new() }
    }

    /// The number: what it was set to and all that was added. It stops at the ends of the range (64-bit integers, finite
    /// floats), and comes back when what is added later has the other sign. Floats are added in the order of the devices.
    #[must_use]
    pub fn value(&self) -> Value {
        // Integers are added exactly, in whatever order: 128 bits hold more sums than there can be devices.
        let mut whole = 0_i128;
        let mut float = None;
        for value in std::iter::once(&self.from).chain(self.sums.iter().map(|sum| &sum.value)) {
            match value {
                Value::Int(int) | Value::Timestamp(Timestamp(int)) => whole += i128::from(*int),
                Value::Float(it) => float = Some(within(float.unwrap_or(0.0) + it)),
                _ => {}
            }
        }
        match (&self.from, float) {
            (Value::Timestamp(_), None) => Value::Timestamp(Timestamp(clamp(whole))),
            (_, None) => Value::Int(clamp(whole)),
            #[allow(clippy::cast_precision_loss)] // a sum with a float in it is a float
            (_, Some(float)) => Value::from(within(float + whole as f64)),
        }
    }

    /// Notes an increment of our own that has made the number `to`. False: a counter cannot say so, because the sum is out of
    /// its range; it is as it was then.
    ///
    /// What it does not explain (the last bits of a float, or what somebody wrote into the database past storex) is taken for a
    /// part of the increment, so the number is what the application was told.
    pub(crate) fn add(&mut self, at: Stamp, by: &Value, to: &Value) -> bool {
        let before = self.of(at).map(|sum| sum.value.clone());
        let mut counter = self.clone();
        let Some(sum) = before.map_or_else(|| number(by), |before| plus(&before, by)) else {
            return false;
        };
        counter.note(Sum { at, value: sum.clone() });
        let value = counter.value();
        if value.compare(to) != Ordering::Equal {
            let Some(sum) = minus(to, &value).and_then(|rest| plus(&sum, &rest)) else {
                return false;
            };
            counter.note(Sum { at, value: sum });
            if counter.value().compare(to) != Ordering::Equal {
                return false;
            }
        }
        *self = counter;
        true
    }

    /// Takes what is known elsewhere of the same number; whether that was news.
    pub(crate) fn join(&mut self, from: &Value, sums: &[Sum]) -> bool {
        let mut news = false;
        // Derived from a float's sum it may differ in the last bits, and so may data that are older than sync: the greater
        // is as good as the other, and the same everywhere.
        if order(from, &self.from) == Ordering::Greater {
            self.from = from.clone();
            news = true;
        }
        for sum in sums {
            if self.of(sum.at).is_none_or(|known| known.at < sum.at) {
                self.note(sum.clone());
                news = true;
            }
        }
        news
    }

    /// The sum of the device that has this stamp.
    pub(crate) fn of(&self, stamp: Stamp) -> Option<&Sum> {
        self.place(stamp).ok().and_then(|at| self.sums.get(at))
    }

    fn note(&mut self, sum: Sum) {
        match self.place(sum.at) {
            Ok(at) => self.sums[at] = sum,
            Err(at) => self.sums.insert(at, sum),
        }
    }

    fn place(&self, stamp: Stamp) -> Result<usize, usize> {
        self.sums.binary_search_by_key(&stamp.device, |sum| sum.at.device)
    }
}

/// Whether a number can begin a counter.
pub(crate) fn is_base(value: &Value) -> bool {
    matches!(value, Value::Timestamp(_)) || is_sum(value)
}

/// Whether a number can be a device's sum.
pub(crate) fn is_sum(value: &Value) -> bool {
    match value {
        Value::Int(_) => true,
        Value::Float(float) => float.is_finite(),
        _ => false,
    }
}

/// What a number was before an increment. Exact for integers; a float may be off in the last bits.
pub(crate) fn before(by: &Value, to: &Value) -> Option<Value> {
    let from = minus(to, by)?;
    match (to, from) {
        (Value::Timestamp(_), Value::Int(from)) => Some(Value::Timestamp(Timestamp(from))),
        (_, from) => Some(from),
    }
}

fn number(value: &Value) -> Option<Value> {
    is_sum(value).then(|| value.clone())
}

fn plus(a: &Value, b: &Value) -> Option<Value> {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => a.checked_add(*b).map(Value::Int),
        (a, b) => number(&Value::from(float(a)? + float(b)?)),
    }
}

/// The difference of two numbers, or of two moments in milliseconds.
fn minus(a: &Value, b: &Value) -> Option<Value> {
    let int = |value: &Value| match value {
        Value::Int(int) | Value::Timestamp(Timestamp(int)) => Some(*int),
        _ => None,
    };
    match (int(a), int(b)) {
        (Some(a), Some(b)) => a.checked_sub(b).map(Value::Int),
        _ => number(&Value::from(float(a)? - float(b)?)),
    }
}

#[allow(clippy::cast_precision_loss)] // as core adds an integer to a float
fn float(value: &Value) -> Option<f64> {
    match value {
        Value::Int(int) => Some(*int as f64),
        Value::Float(float) => Some(*float),
        _ => None,
    }
}

/// Numbers by their size; the same number in several forms by its form.
fn order(a: &Value, b: &Value) -> Ordering {
    let form = |value: &Value| match value {
        Value::Int(_) => 0,
        Value::Timestamp(_) => 1,
        _ => 2,
    };
    a.compare(b).then_with(|| form(a).cmp(&form(b)))
}

fn clamp(whole: i128) -> i64 {
    let end = if whole < 0 { i64::MIN } else { i64::MAX };
    i64::try_from(whole).unwrap_or(end)
}

fn within(float: f64) -> f64 {
    float.clamp(f64::MIN, f64::MAX)
}
