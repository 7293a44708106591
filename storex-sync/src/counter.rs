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
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sum {
    /// When it did so for the last time, and which device it is.
    pub at: Stamp,
    /// So much.
    pub amount: Amount,
}

/// A sum of increments.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Amount {
    /// Of integers.
    Int(i64),
    /// Of numbers of which one at least was a float: a finite float, and what its rounding has left out (zero, mostly). With both
    /// a sum can be made up exactly to what an application was told, whatever order others add in.
    Float(f64, f64),
}

/// What an increment says beside by how much: it can be merged without what came before it.
#[derive(Debug, Clone, PartialEq)]
pub struct Counted {
    /// The stamp of the write that has set the number.
    pub base: Stamp,
    /// What it was set to: a finite number or a moment.
    pub from: Value,
    /// What the author has added since, this increment included.
    pub sum: Amount,
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
        match (&self.from, self.total()) {
            (Value::Timestamp(_), Total::Int(total)) => Value::Timestamp(Timestamp(clamp(total))),
            (_, Total::Int(total)) => Value::Int(clamp(total)),
            (_, Total::Float(Pair(total, _))) => Value::from(total),
        }
    }

    fn total(&self) -> Total {
        // Integers are added exactly, in whatever order: 128 bits hold more sums than there can be devices.
        let mut whole = 0_i128;
        let mut float = None;
        match &self.from {
            Value::Int(int) | Value::Timestamp(Timestamp(int)) => whole += i128::from(*int),
            Value::Float(it) => float = Some(Pair(*it, 0.0)),
            _ => {}
        }
        for sum in &self.sums {
            match sum.amount {
                Amount::Int(int) => whole += i128::from(int),
                Amount::Float(it, rest) => {
                    float = Some(float.unwrap_or(Pair(0.0, 0.0)).plus(it).plus(rest));
                }
            }
        }
        match float {
            None => Total::Int(whole),
            #[allow(clippy::cast_precision_loss)] // a sum with a float in it is a float
            Some(float) => Total::Float(float.plus(whole as f64)),
        }
    }

    /// Notes an increment of our own that has made the number `to`. False: a counter cannot say so, because a sum is out of its
    /// range; it is as it was then.
    ///
    /// What the increment does not explain (the last bits of a float, or what somebody wrote into the database past storex) is
    /// taken for a part of it, so that the number is what the application was told.
    pub(crate) fn add(&mut self, at: Stamp, by: &Value, to: &Value) -> bool {
        let Some(by) = Amount::of(by) else { return false };
        let before = self.of(at).map(|sum| sum.amount);
        let Some(mut amount) = before.map_or(Some(by), |before| before.plus(by)) else {
            return false;
        };
        let mut counter = self.clone();
        counter.note(Sum { at, amount });
        let value = counter.value();
        if value.compare(to) != Ordering::Equal {
            let rest = match counter.total() {
                Total::Int(_) => minus(to, &value).and_then(|rest| Amount::of(&rest)),
                // Exactly to what was told, and not only to somewhere that rounds to it now.
                Total::Float(Pair(total, rest)) => minus(to, &Value::from(total))
                    .and_then(|more| Amount::of(&more)?.plus(Amount::Float(-rest, 0.0))),
            };
            let Some(all) = rest.and_then(|rest| amount.plus(rest)) else { return false };
            amount = all;
            counter.note(Sum { at, amount });
        }
        let told = counter.value().compare(to) == Ordering::Equal;
        if told {
            *self = counter;
        }
        told
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
                self.note(*sum);
                news = true;
            }
        }
        news
    }

    /// The sum of the device that has this stamp.
    pub(crate) fn of(&self, stamp: Stamp) -> Option<&Sum> {
        self.place(stamp).ok().and_then(|at| self.sums.get(at))
    }

    pub(crate) fn note(&mut self, sum: Sum) {
        match self.place(sum.at) {
            Ok(at) => self.sums[at] = sum,
            Err(at) => self.sums.insert(at, sum),
        }
    }

    fn place(&self, stamp: Stamp) -> Result<usize, usize> {
        self.sums.binary_search_by_key(&stamp.device, |sum| sum.at.device)
    }
}

impl Amount {
    /// A number as a sum; none for what is no finite number.
    pub(crate) fn of(value: &Value) -> Option<Self> {
        match value {
            Value::Int(int) => Some(Self::Int(*int)),
            Value::Float(float) => Self::Float(*float, 0.0).checked(),
            _ => None,
        }
    }

    /// Itself, if it is finite.
    pub(crate) fn checked(self) -> Option<Self> {
        match self {
            Self::Float(float, rest) if !(float.is_finite() && rest.is_finite()) => None,
            // There is one zero only.
            Self::Float(float, rest) => Some(Self::Float(float + 0.0, rest + 0.0)),
            Self::Int(_) => Some(self),
        }
    }

    pub(crate) fn plus(self, other: Self) -> Option<Self> {
        if let (Self::Int(a), Self::Int(b)) = (self, other) {
            return a.checked_add(b).map(Self::Int);
        }
        let (Pair(float, rest), more) = (self.pair(), other.pair());
        let (sum, lost) = exact_sum(float, more.0);
        let (sum, lost) = exact_sum(sum, lost + (rest + more.1));
        Self::Float(sum, lost).checked()
    }

    pub(crate) fn minus(self, other: Self) -> Option<Self> {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => a.checked_sub(b).map(Self::Int),
            (_, Self::Int(b)) => self.plus(Self::Int(b.checked_neg()?)),
            (_, Self::Float(float, rest)) => self.plus(Self::Float(-float, -rest)),
        }
    }

    pub(crate) fn is_zero(self) -> bool {
        matches!(self, Self::Int(0))
            || matches!(self, Self::Float(float, rest) if float == 0.0 && rest == 0.0)
    }

    #[allow(clippy::cast_precision_loss)] // as core adds an integer to a float
    fn pair(self) -> Pair {
        match self {
            Self::Int(int) => Pair(int as f64, 0.0),
            Self::Float(float, rest) => Pair(float, rest),
        }
    }
}

/// All of a counter together.
#[derive(Debug, Clone, Copy)]
enum Total {
    Int(i128),
    Float(Pair),
}

/// A float, and what its rounding has left out: twice as many digits. It does not leave the finite floats.
#[derive(Debug, Clone, Copy)]
struct Pair(f64, f64);

impl Pair {
    fn plus(self, more: f64) -> Self {
        let (sum, lost) = exact_sum(self.0, more);
        let (sum, lost) = exact_sum(sum, lost + self.1);
        if sum.is_finite() && lost.is_finite() {
            Self(sum, lost)
        } else {
            Self((self.0 + more).clamp(f64::MIN, f64::MAX), 0.0)
        }
    }
}

/// The sum of two floats, and what its rounding leaves out (Knuth: "The Art of Computer Programming", 4.2.2, theorem B).
fn exact_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let part = sum - a;
    (sum, (a - (sum - part)) + (b - part))
}

/// Whether a number can begin a counter.
pub(crate) fn is_base(value: &Value) -> bool {
    match value {
        Value::Int(_) | Value::Timestamp(_) => true,
        Value::Float(float) => float.is_finite(),
        _ => false,
    }
}

/// What a number was before an increment. Exact for integers; a float may be off in the last bits.
pub(crate) fn before(by: &Value, to: &Value) -> Option<Value> {
    let from = minus(to, by).filter(is_base)?;
    match (to, from) {
        (Value::Timestamp(_), Value::Int(from)) => Some(Value::Timestamp(Timestamp(from))),
        (_, from) => Some(from),
    }
}

/// The difference of two numbers, or of two moments in milliseconds.
#[allow(clippy::cast_precision_loss)]
fn minus(a: &Value, b: &Value) -> Option<Value> {
    let (int, float) = (
        |value: &Value| match value {
            Value::Int(int) | Value::Timestamp(Timestamp(int)) => Some(*int),
            _ => None,
        },
        |value: &Value| match value {
            Value::Int(int) => Some(*int as f64),
            Value::Float(float) => Some(*float),
            _ => None,
        },
    );
    match (int(a), int(b)) {
        (Some(a), Some(b)) => a.checked_sub(b).map(Value::Int),
        _ => Some(Value::from(float(a)? - float(b)?)),
    }
}

/// Values by their size; the same value in several forms by its form.
pub(crate) fn order(a: &Value, b: &Value) -> Ordering {
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
