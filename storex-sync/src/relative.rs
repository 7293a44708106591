//! [`Relative`]: a change that depends on the value before, as the log keeps it. `docs/wire-format.md` describes the form.

use serde_json::Value as Json;
use storex_core::{Change, Value};

use crate::clock::Clock;
use crate::counter::{Amount, Counted, Counter, Sum, is_base};
use crate::error::{Result, SyncError};
use crate::field_state::{Contribution, FieldState, Joined};
use crate::field_state_code;
use crate::pack::{Packer, Unpacker};
use crate::stamp::Stamp;

/// A change that depends on the value before.
///
/// Increments of several devices all count. Of the others the later result wins, like that of a write that sets the field; what was
/// meant is in the log.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Relative {
    /// The number grew.
    Increment {
        /// By so much.
        by: Value,
        /// What others need to count it beside their own. `None`: no counter can hold it (a sum beyond 64 bits, say), so it
        /// counts as if the field had been set.
        counted: Option<Counted>,
    },
    /// The number was multiplied.
    Multiply(Value),
    /// The number was lowered to this one, if it was greater.
    Min(Value),
    /// The number was raised to this one, if it was less.
    Max(Value),
    /// This was written behind the text.
    Append(String),
    /// These elements were put into the array, if they were not in it.
    AddElements(Vec<Json>),
    /// These elements were taken out of the array.
    RemoveElements(Vec<Json>),
    /// The beginning of the text was replaced.
    ReplacePrefix {
        /// What it began with.
        from: String,
        /// What it begins with now.
        to: String,
    },
    /// Nothing was changed: the object comes back to those who have deleted it, with what it had.
    Written {
        /// When the value was written.
        at: Stamp,
        /// What was added to it since.
        counter: Option<Counter>,
        /// What was contributed to it, if it has a [`Strategy`](crate::Strategy).
        state: Option<FieldState>,
    },
    /// The field has a [`Strategy`](crate::Strategy): what the write contributes to it.
    Joined(Joined),
    /// A change by a later program, with its code. Its result counts.
    Unknown(u64),
}

const INCREMENT: u64 = 1;
const MULTIPLY: u64 = 2;
const MIN: u64 = 3;
const MAX: u64 = 4;
const APPEND: u64 = 5;
const ADD_ELEMENTS: u64 = 6;
const REMOVE_ELEMENTS: u64 = 7;
const REPLACE_PREFIX: u64 = 8;
const WRITTEN: u64 = 9;
const JOINED: u64 = 10;

const CONTRIBUTES_MAX: u64 = 1;
const CONTRIBUTES_MIN: u64 = 2;
const CONTRIBUTES_TO_SET: u64 = 3;
const CONTRIBUTES_TO_LIST: u64 = 4;
const CONTRIBUTES_CUSTOM: u64 = 5;

const WHAT: &str = "a transaction";

impl Relative {
    /// Nothing is changed: a field as its object's clock has it.
    pub(crate) fn written(clock: &Clock, field: u32) -> Self {
        let (counter, state) = (clock.counter(field).cloned(), clock.state(field).cloned());
        Self::Written { at: clock.stamp(field), counter, state }
    }

    /// What the log says of a change; `None`: only what it has led to.
    pub(crate) fn of(change: &Change) -> Option<Self> {
        match change {
            Change::Increment(by) => Some(Self::Increment { by: by.clone(), counted: None }),
            Change::Multiply(by) => Some(Self::Multiply(by.clone())),
            Change::Min(bound) => Some(Self::Min(bound.clone())),
            Change::Max(bound) => Some(Self::Max(bound.clone())),
            Change::Append(text) => Some(Self::Append(text.clone())),
            Change::AddElements(elements) => Some(Self::AddElements(elements.clone())),
            Change::RemoveElements(elements) => Some(Self::RemoveElements(elements.clone())),
            Change::ReplacePrefix { from, to } => {
                Some(Self::ReplacePrefix { from: from.clone(), to: to.clone() })
            }
            _ => None,
        }
    }

    /// What an increment says to be counted.
    #[must_use]
    pub fn counted(&self) -> Option<&Counted> {
        match self {
            Self::Increment { counted, .. } => counted.as_ref(),
            _ => None,
        }
    }

    pub(crate) fn counted_mut(&mut self) -> Option<&mut Counted> {
        match self {
            Self::Increment { counted, .. } => counted.as_mut(),
            _ => None,
        }
    }

    /// By how much an increment is.
    pub(crate) fn by(&self) -> Option<&Value> {
        match self {
            Self::Increment { by, .. } => Some(by),
            _ => None,
        }
    }

    /// What a write contributes to a field with a strategy.
    #[must_use]
    pub fn joined(&self) -> Option<&Joined> {
        match self {
            Self::Joined(joined) => Some(joined),
            _ => None,
        }
    }

    pub(crate) fn joined_mut(&mut self) -> Option<&mut Joined> {
        match self {
            Self::Joined(joined) => Some(joined),
            _ => None,
        }
    }

    /// Writes code, result and operands.
    pub(crate) fn write(&self, packer: &mut Packer, to: &Value) {
        let mut begin = |operands: usize, code: u64| {
            packer.array(2 + operands);
            packer.uint(code);
            packer.value(to);
        };
        match self {
            Self::Increment { by, counted: None } => {
                begin(1, INCREMENT);
                packer.value(by);
            }
            Self::Increment { by, counted: Some(Counted { base, from, sum }) } => {
                begin(4, INCREMENT);
                packer.value(by);
                write_stamp(packer, *base);
                packer.value(from);
                write_amount(packer, *sum);
            }
            Self::Multiply(by) => {
                begin(1, MULTIPLY);
                packer.value(by);
            }
            Self::Min(bound) => {
                begin(1, MIN);
                packer.value(bound);
            }
            Self::Max(bound) => {
                begin(1, MAX);
                packer.value(bound);
            }
            Self::Append(text) => {
                begin(1, APPEND);
                packer.str(text);
            }
            Self::AddElements(elements) => {
                begin(1, ADD_ELEMENTS);
                packer.value(&Value::Json(Json::Array(elements.clone())));
            }
            Self::RemoveElements(elements) => {
                begin(1, REMOVE_ELEMENTS);
                packer.value(&Value::Json(Json::Array(elements.clone())));
            }
            Self::ReplacePrefix { from, to } => {
                begin(2, REPLACE_PREFIX);
                packer.str(from);
                packer.str(to);
            }
            Self::Written { at, state: Some(state), .. } => {
                begin(2, WRITTEN);
                write_stamp(packer, *at);
                packer.bin(&field_state_code::alone(state));
            }
            Self::Written { at, counter: None, .. } => {
                begin(1, WRITTEN);
                write_stamp(packer, *at);
            }
            Self::Written { at, counter: Some(Counter { from, sums }), .. } => {
                begin(3, WRITTEN);
                write_stamp(packer, *at);
                packer.value(from);
                packer.array(sums.len());
                for sum in sums {
                    packer.array(2);
                    write_stamp(packer, sum.at);
                    write_amount(packer, sum.amount);
                }
            }
            Self::Joined(Joined { base, contribution }) => {
                let operands = match contribution {
                    Contribution::Custom(..) | Contribution::Set { .. } => 4,
                    _ => 3,
                };
                begin(operands, JOINED);
                write_stamp(packer, *base);
                write_contribution(packer, contribution);
            }
            Self::Unknown(code) => {
                begin(1, *code);
                packer.value(&Value::Null);
            }
        }
    }

    /// Reads what [`Relative::write`] has written, and the result.
    pub(crate) fn read(unpacker: &mut Unpacker<'_>) -> Result<(Self, Value)> {
        let parts = unpacker.array()?;
        let wrong =
            || SyncError::corrupt(WHAT, "a change has another number of parts than its kind");
        if parts < 2 {
            return Err(wrong());
        }
        if parts == 2 {
            // The first form of an increment: by how much, and to what. There is none with two parts today.
            let by = unpacker.value()?;
            return Ok((Self::Increment { by, counted: None }, unpacker.value()?));
        }
        let code = unpacker.uint()?;
        let to = unpacker.value()?;
        let change = match (code, parts) {
            (INCREMENT, 3) => Self::Increment { by: unpacker.value()?, counted: None },
            (INCREMENT, 6) => {
                let by = unpacker.value()?;
                Self::Increment { by, counted: Some(read_counted(unpacker)?) }
            }
            (MULTIPLY, 3) => Self::Multiply(unpacker.value()?),
            (MIN, 3) => Self::Min(unpacker.value()?),
            (MAX, 3) => Self::Max(unpacker.value()?),
            (APPEND, 3) => Self::Append(unpacker.str()?.to_owned()),
            (ADD_ELEMENTS, 3) => Self::AddElements(read_elements(unpacker)?),
            (REMOVE_ELEMENTS, 3) => Self::RemoveElements(read_elements(unpacker)?),
            (REPLACE_PREFIX, 4) => {
                let from = unpacker.str()?.to_owned();
                Self::ReplacePrefix { from, to: unpacker.str()?.to_owned() }
            }
            (WRITTEN, 3) => Self::Written { at: read_stamp(unpacker)?, counter: None, state: None },
            (WRITTEN, 4) => {
                let at = read_stamp(unpacker)?;
                let state = field_state_code::read_alone(unpacker.bin()?)?;
                Self::Written { at, counter: None, state: Some(state) }
            }
            (WRITTEN, 5) => {
                let at = read_stamp(unpacker)?;
                Self::Written { at, counter: Some(read_counter(unpacker)?), state: None }
            }
            (JOINED, 5..=6) => {
                let base = read_stamp(unpacker)?;
                let contribution = read_contribution(unpacker, parts)?;
                Self::Joined(Joined { base, contribution })
            }
            (INCREMENT..=JOINED, _) => return Err(wrong()),
            (code, parts) => {
                for _ in 2..parts {
                    unpacker.skip()?;
                }
                Self::Unknown(code)
            }
        };
        Ok((change, to))
    }
}

fn write_contribution(packer: &mut Packer, contribution: &Contribution) {
    let json = |elements: &[Json]| Value::Json(Json::Array(elements.to_vec()));
    match contribution {
        Contribution::Max(value) => {
            packer.uint(CONTRIBUTES_MAX);
            packer.value(value);
        }
        Contribution::Min(value) => {
            packer.uint(CONTRIBUTES_MIN);
            packer.value(value);
        }
        Contribution::Custom(name, value) => {
            packer.uint(CONTRIBUTES_CUSTOM);
            packer.str(name);
            packer.value(value);
        }
        Contribution::Set { added, removed } => {
            packer.uint(CONTRIBUTES_TO_SET);
            packer.value(&json(added));
            packer.value(&json(removed));
        }
        Contribution::List(elements) => {
            packer.uint(CONTRIBUTES_TO_LIST);
            packer.value(&json(elements));
        }
    }
}

fn read_contribution(unpacker: &mut Unpacker<'_>, parts: usize) -> Result<Contribution> {
    Ok(match (unpacker.uint()?, parts) {
        (CONTRIBUTES_MAX, 5) => Contribution::Max(unpacker.value()?),
        (CONTRIBUTES_MIN, 5) => Contribution::Min(unpacker.value()?),
        (CONTRIBUTES_TO_LIST, 5) => Contribution::List(read_elements(unpacker)?),
        (CONTRIBUTES_TO_SET, 6) => {
            let added = read_elements(unpacker)?;
            Contribution::Set { added, removed: read_elements(unpacker)? }
        }
        (CONTRIBUTES_CUSTOM, 6) => {
            let name = unpacker.str()?.into();
            Contribution::Custom(name, unpacker.value()?)
        }
        (kind, _) => {
            let reason = format!(
                "a field has the strategy {kind}, of which this program knows nothing; update it"
            );
            return Err(SyncError::corrupt(WHAT, reason));
        }
    })
}

fn read_counted(unpacker: &mut Unpacker<'_>) -> Result<Counted> {
    let base = read_stamp(unpacker)?;
    let from = unpacker.value()?;
    match read_amount(unpacker)? {
        Some(sum) if is_base(&from) => Ok(Counted { base, from, sum }),
        _ => Err(SyncError::corrupt(WHAT, "an increment counts what is no number")),
    }
}

fn write_stamp(packer: &mut Packer, stamp: Stamp) {
    packer.array(2);
    packer.device(stamp.device);
    packer.uint(stamp.hlc.0);
}

fn read_stamp(unpacker: &mut Unpacker<'_>) -> Result<Stamp> {
    unpacker.tuple(2)?;
    let device = unpacker.device()?;
    Ok(Stamp { hlc: unpacker.hlc()?.checked(WHAT)?, device })
}

fn read_counter(unpacker: &mut Unpacker<'_>) -> Result<Counter> {
    let mut counter = Counter::new(unpacker.value()?);
    for _ in 0..unpacker.array()? {
        unpacker.tuple(2)?;
        let at = read_stamp(unpacker)?;
        let ordered = counter.sums.last().is_none_or(|last| last.at.device < at.device);
        match read_amount(unpacker)?.filter(|_| ordered && is_base(&counter.from)) {
            Some(amount) => counter.sums.push(Sum { at, amount }),
            None => return Err(SyncError::corrupt(WHAT, "a counter counts what is no number")),
        }
    }
    Ok(counter)
}

fn write_amount(packer: &mut Packer, amount: Amount) {
    match amount {
        Amount::Int(int) => packer.value(&Value::Int(int)),
        Amount::Float(float, 0.0) => packer.value(&Value::from(float)),
        Amount::Float(float, rest) => {
            packer.array(2);
            packer.value(&Value::from(float));
            packer.value(&Value::from(rest));
        }
    }
}

fn read_amount(unpacker: &mut Unpacker<'_>) -> Result<Option<Amount>> {
    if !unpacker.next_is_array() {
        return Ok(Amount::of(&unpacker.value()?));
    }
    unpacker.tuple(2)?;
    Ok(match (unpacker.value()?, unpacker.value()?) {
        (Value::Float(float), Value::Float(rest)) => Amount::Float(float, rest).checked(),
        _ => None,
    })
}

fn read_elements(unpacker: &mut Unpacker<'_>) -> Result<Vec<Json>> {
    match unpacker.value()? {
        Value::Json(Json::Array(elements)) => Ok(elements),
        _ => Err(SyncError::corrupt(WHAT, "the elements of a change are no array")),
    }
}
