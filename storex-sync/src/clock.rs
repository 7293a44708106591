//! [`Clock`]: what the merge has to know of an object, packed into a few bytes.

use std::borrow::Cow;
use std::collections::BTreeMap;

use smallvec::SmallVec;
use storex_core::{Timestamp, Value};

use crate::bytes::{Reader, unzigzag, write_varint, zigzag};
use crate::counter::{self, Amount, Counted, Counter, Sum};
use crate::error::{Result, SyncError};
use crate::field_state::FieldState;
use crate::field_state_code;
use crate::meta::Devices;
use crate::stamp::{Device, Hlc, Stamp};
use crate::strategy::Joins;

/// Nobody deletes an object so often; a greater life is damaged or forged, and would run over.
pub(crate) const MAX_LIFE: u32 = 1 << 30;

/// The last life that is believed of another device: whatever it says, the object has lives left here.
pub(crate) const LAST_LIFE: u32 = MAX_LIFE / 2;

/// The next life of an object that this device creates or deletes, unless the others would refuse it.
pub(crate) fn next_life(life: u32) -> Result<u32> {
    if life > LAST_LIFE {
        let reason = "another device says that its object was deleted more often than is possible";
        return Err(SyncError::corrupt("a clock", reason));
    }
    Ok(life)
}

/// What the merge has to know of an object.
///
/// `life` is the causal length of its existence (as in causal-length sets: Yu, Rostad, "A Low-Cost Set CRDT Based on
/// Causal Lengths", 2020): it is odd while the object exists, even while it is deleted, and grows by one with each delete and
/// each re-creation. The greater life wins, so a delete wins over updates that had not seen it, and a re-creation wins over
/// the delete it has seen.
///
/// All fields have the row's stamp, except those listed. An increment leaves a field's stamp as it is: that of the write
/// that has set the number. What was added since is in the field's [`Counter`].
#[derive(Debug, Clone, PartialEq)]
pub struct Clock {
    /// The causal length of the object's existence.
    pub life: u32,
    /// The stamp of every field that is not listed, or of the delete.
    pub row: Stamp,
    /// Fields with another stamp, by their number in the catalogue, ascending.
    pub fields: SmallVec<[(u32, Stamp); 2]>,
    /// Fields that were incremented since they were set, by their number in the catalogue, ascending.
    pub counters: Vec<(u32, Counter)>,
    /// Fields with a [`Strategy`](crate::Strategy), by their number in the catalogue, ascending.
    pub states: Vec<(u32, FieldState)>,
}

/// Stands in front of a clock with counters; no object has the life 0.
const WITH_COUNTERS: u8 = 0;

/// Stands behind [`WITH_COUNTERS`] in front of a clock with states of strategies.
const WITH_STATES: u8 = 0;

impl Clock {
    /// The clock of an object that is older than sync.
    #[must_use]
    pub fn unstamped() -> Self {
        Self::created(1, Stamp::ZERO)
    }

    /// The clock of an object whose fields were all written at once.
    #[must_use]
    pub fn created(life: u32, row: Stamp) -> Self {
        Self { life, row, fields: SmallVec::new(), counters: Vec::new(), states: Vec::new() }
    }

    /// Whether the object exists.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.life % 2 == 1
    }

    /// The stamp of a field.
    #[must_use]
    pub fn stamp(&self, field: u32) -> Stamp {
        match self.fields.binary_search_by_key(&field, |(number, _)| *number) {
            Ok(at) => self.fields[at].1,
            Err(_) => self.row,
        }
    }

    /// Notes that a field was set: what was added to it before counts no more.
    pub fn set(&mut self, field: u32, stamp: Stamp) {
        self.counters.retain(|(number, _)| *number != field);
        self.states.retain(|(number, _)| *number != field);
        match self.fields.binary_search_by_key(&field, |(number, _)| *number) {
            Ok(at) if stamp == self.row => {
                self.fields.remove(at);
            }
            Ok(at) => self.fields[at].1 = stamp,
            Err(_) if stamp == self.row => {}
            Err(at) => self.fields.insert(at, (field, stamp)),
        }
    }

    /// What was added to a field since it was set; `None`: nothing.
    #[must_use]
    pub fn counter(&self, field: u32) -> Option<&Counter> {
        let at = self.counters.binary_search_by_key(&field, |(number, _)| *number).ok()?;
        self.counters.get(at).map(|(_, counter)| counter)
    }

    /// Notes what was added to a field since it was set.
    pub(crate) fn count(&mut self, field: u32, counter: Counter) {
        match self.counters.binary_search_by_key(&field, |(number, _)| *number) {
            Ok(at) => self.counters[at].1 = counter,
            Err(at) => self.counters.insert(at, (field, counter)),
        }
    }

    /// What was contributed to a field with a strategy; `None`: nothing.
    #[must_use]
    pub fn state(&self, field: u32) -> Option<&FieldState> {
        let at = self.states.binary_search_by_key(&field, |(number, _)| *number).ok()?;
        self.states.get(at).map(|(_, state)| state)
    }

    /// Takes what was contributed to a field; whether that was news.
    pub(crate) fn join(&mut self, field: u32, state: &FieldState, joins: &Joins) -> bool {
        match self.states.binary_search_by_key(&field, |(number, _)| *number) {
            Ok(at) => self.states[at].1.join(state, joins),
            Err(at) => {
                self.states.insert(at, (field, state.clone()));
                true
            }
        }
    }

    /// What a field holds that is not only set: what was contributed to it, or what was set and added since.
    #[must_use]
    pub fn value(&self, field: u32) -> Option<Value> {
        let state = self.state(field).map(FieldState::value);
        state.or_else(|| self.counter(field).map(Counter::value))
    }

    /// Notes an increment of our own that has made a field `to`, and gives what others need to count it too. `None`: no
    /// counter can hold it, so it counts as if the field had been set.
    pub(crate) fn increment(
        &mut self,
        field: u32,
        stamp: Stamp,
        by: &Value,
        to: &Value,
    ) -> Option<Counted> {
        let known = self.counter(field).cloned();
        let counter = known.or_else(|| counter::before(by, to).map(Counter::new));
        let counted = counter.filter(|_| counter::is_base(to)).and_then(|mut counter| {
            let counts = counter.add(stamp, by, to);
            let sum = counter.of(stamp).filter(|_| counts)?.amount;
            let counted = Counted { base: self.stamp(field), from: counter.from.clone(), sum };
            self.count(field, counter);
            Some(counted)
        });
        if counted.is_none() {
            self.set(field, stamp);
        }
        counted
    }

    /// Gives the row the stamp that all these fields have, if they have one in common. They must be all fields there are,
    /// because the row's stamp counts for every field that is not listed.
    pub(crate) fn compact(&mut self, all: &[u32]) {
        let Some(first) = all.first().map(|field| self.stamp(*field)) else { return };
        if first != self.row && all.iter().all(|field| self.stamp(*field) == first) {
            self.row = first;
            self.fields.retain(|(field, stamp)| *stamp != first && !all.contains(field));
        }
    }

    /// The newest stamp of the object.
    #[must_use]
    pub fn newest(&self) -> Stamp {
        self.stamps().fold(self.row, Stamp::max)
    }

    /// All stamps that are in it.
    pub(crate) fn stamps(&self) -> impl Iterator<Item = Stamp> {
        let sums = self.counters.iter().flat_map(|(_, counter)| &counter.sums);
        let states = self.states.iter().map(|(_, state)| state.stamps());
        let fields = self.fields.iter().map(|(_, stamp)| *stamp);
        let fields = std::iter::once(self.row).chain(fields).chain(sums.map(|sum| sum.at));
        fields.chain(states.flatten())
    }

    /// Puts other stamps in the place of those that are in it.
    pub(crate) fn restamp(&mut self, other: impl Fn(Stamp) -> Stamp) {
        self.row = other(self.row);
        let row = self.row;
        self.fields.iter_mut().for_each(|(_, stamp)| *stamp = other(*stamp));
        self.fields.retain(|(_, stamp)| *stamp != row);
        for (_, counter) in &mut self.counters {
            let sums = std::mem::take(&mut counter.sums);
            sums.into_iter().for_each(|sum| counter.note(Sum { at: other(sum.at), ..sum }));
        }
        self.states.iter_mut().for_each(|(_, state)| state.restamp(&other));
    }

    /// Packs the clock: life, row stamp, then the fields that differ, their readings as differences from the row's.
    /// Devices are written by their number in this database's table. With counters it has another form, so that a clock
    /// without any is as short as can be.
    pub(crate) fn encode(&self, devices: &mut Devices) -> Vec<u8> {
        let mut out = Vec::with_capacity(12 + 12 * self.fields.len() + 32 * self.counters.len());
        let (counters, states) = (!self.counters.is_empty(), !self.states.is_empty());
        if counters || states {
            out.push(WITH_COUNTERS);
        }
        if states {
            out.push(WITH_STATES);
        }
        write_varint(&mut out, u64::from(self.life));
        out.extend(self.row.hlc.0.to_be_bytes());
        write_varint(&mut out, u64::from(devices.number(self.row.device)));
        let listed = self.listed();
        if counters || states {
            write_varint(&mut out, listed.len() as u64);
        }
        for (field, stamp) in &*listed {
            write_varint(&mut out, u64::from(*field));
            self.write_stamp(&mut out, *stamp, devices);
        }
        if states {
            write_varint(&mut out, self.counters.len() as u64);
        }
        for (field, counter) in &self.counters {
            write_varint(&mut out, u64::from(*field));
            write_number(&mut out, &counter.from);
            write_varint(&mut out, counter.sums.len() as u64);
            for sum in &counter.sums {
                self.write_stamp(&mut out, sum.at, devices);
                write_amount(&mut out, sum.amount);
            }
        }
        for (field, state) in &self.states {
            write_varint(&mut out, u64::from(*field));
            field_state_code::write(&mut out, state, |out, stamp| {
                self.write_stamp(out, stamp, devices)
            });
        }
        out
    }

    /// The fields whose stamps are written. One with a state has been set by nobody, mostly: it is listed if somebody has.
    fn listed(&self) -> Cow<'_, [(u32, Stamp)]> {
        if self.states.is_empty() {
            return Cow::Borrowed(&self.fields);
        }
        let mut listed: BTreeMap<u32, Stamp> = self.fields.iter().copied().collect();
        for (field, _) in &self.states {
            match self.stamp(*field) {
                Stamp::ZERO => listed.remove(field),
                stamp => listed.insert(*field, stamp),
            };
        }
        Cow::Owned(listed.into_iter().collect())
    }

    /// The reverse, once the states are read.
    fn unlist(&mut self) {
        let mut fields: BTreeMap<u32, Stamp> = self.fields.drain(..).collect();
        for (field, _) in &self.states {
            let stamp = fields.remove(field).unwrap_or(Stamp::ZERO);
            if stamp != self.row {
                fields.insert(*field, stamp);
            }
        }
        self.fields = fields.into_iter().collect();
    }

    fn write_stamp(&self, out: &mut Vec<u8>, stamp: Stamp, devices: &mut Devices) {
        let difference = stamp.hlc.0.wrapping_sub(self.row.hlc.0).cast_signed();
        write_varint(out, zigzag(difference));
        write_varint(out, u64::from(devices.number(stamp.device)));
    }

    /// The clock of an object that was created at once: the common case, without the detours.
    pub(crate) fn encode_created(life: u32, hlc: Hlc, device: u32) -> Vec<u8> {
        let mut out = Vec::with_capacity(11);
        write_varint(&mut out, u64::from(life));
        out.extend(hlc.0.to_be_bytes());
        write_varint(&mut out, u64::from(device));
        out
    }

    pub(crate) fn decode(bytes: &[u8], devices: &Devices) -> Result<Self> {
        let mut reader = Reader::new(bytes, WHAT);
        let with_counters = reader.peek() == Some(WITH_COUNTERS);
        if with_counters {
            reader.byte()?;
        }
        let with_states = with_counters && reader.peek() == Some(WITH_STATES);
        if with_states {
            reader.byte()?;
        }
        let life = reader.varint_u32()?;
        if life == 0 || life > MAX_LIFE {
            return Err(SyncError::corrupt(WHAT, format!("no object has the life {life}")));
        }
        let hlc = Hlc(u64::from_be_bytes(reader.array()?)).checked(WHAT)?;
        let mut clock =
            Self::created(life, Stamp { hlc, device: read_device(&mut reader, devices)? });
        let mut left = if with_counters { reader.varint()? } else { u64::MAX };
        while left > 0 && !reader.is_empty() {
            let field = next_field(&mut reader, clock.fields.last().map(|(field, _)| *field))?;
            let stamp = read_stamp(&mut reader, hlc, devices)?;
            clock.fields.push((field, stamp));
            left -= 1;
        }
        let mut counters = match (with_counters, with_states) {
            (_, true) => reader.varint()?,
            (true, false) => u64::MAX,
            (false, false) => 0,
        };
        while counters > 0 && !reader.is_empty() {
            let field = next_field(&mut reader, clock.counters.last().map(|(field, _)| *field))?;
            let counter = read_counter(&mut reader, hlc, devices)?;
            clock.counters.push((field, counter));
            counters -= 1;
        }
        while with_states && !reader.is_empty() {
            let field = next_field(&mut reader, clock.states.last().map(|(field, _)| *field))?;
            let state =
                field_state_code::read(&mut reader, |reader| read_stamp(reader, hlc, devices))?;
            clock.states.push((field, state));
        }
        if with_states {
            clock.unlist();
        }
        let missing = if with_states {
            counters > 0 || clock.states.is_empty()
        } else {
            clock.counters.is_empty()
        };
        if with_counters && (left > 0 || missing || !clock.is_alive()) {
            return Err(SyncError::corrupt(WHAT, "it has counters, and they are not there"));
        }
        Ok(clock)
    }
}

pub(crate) const WHAT: &str = "the clock of an object";

fn next_field(reader: &mut Reader<'_>, last: Option<u32>) -> Result<u32> {
    let field = reader.varint_u32()?;
    if last.is_some_and(|last| last >= field) {
        return Err(SyncError::corrupt(WHAT, "its fields are not in order"));
    }
    Ok(field)
}

fn read_stamp(reader: &mut Reader<'_>, row: Hlc, devices: &Devices) -> Result<Stamp> {
    let difference = unzigzag(reader.varint()?);
    let hlc = Hlc(row.0.wrapping_add(difference.cast_unsigned())).checked(WHAT)?;
    Ok(Stamp { hlc, device: read_device(reader, devices)? })
}

fn read_device(reader: &mut Reader<'_>, devices: &Devices) -> Result<Device> {
    let number = reader.varint_u32()?;
    devices
        .device(number)
        .ok_or_else(|| SyncError::corrupt(WHAT, format!("device {number} is not known")))
}

fn read_counter(reader: &mut Reader<'_>, row: Hlc, devices: &Devices) -> Result<Counter> {
    let mut counter = Counter::new(read_number(reader)?);
    for _ in 0..reader.varint()? {
        let at = read_stamp(reader, row, devices)?;
        let amount = read_amount(reader)?;
        if counter.sums.last().is_some_and(|last| last.at.device >= at.device) {
            return Err(SyncError::corrupt(WHAT, "the sums of a counter are not in order"));
        }
        counter.sums.push(Sum { at, amount });
    }
    Ok(counter)
}

const INT: u8 = 0;
const FLOAT: u8 = 1;
const MOMENT: u8 = 2;
const FLOAT_AND_REST: u8 = 3;

fn write_number(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Float(float) => write_amount(out, Amount::Float(*float, 0.0)),
        Value::Timestamp(at) => {
            out.push(MOMENT);
            write_varint(out, zigzag(at.0));
        }
        // Nothing else begins a counter.
        other => write_amount(out, Amount::Int(other.as_int().unwrap_or(0))),
    }
}

fn write_amount(out: &mut Vec<u8>, amount: Amount) {
    match amount {
        Amount::Int(int) => {
            out.push(INT);
            write_varint(out, zigzag(int));
        }
        Amount::Float(float, rest) => {
            out.push(if rest == 0.0 { FLOAT } else { FLOAT_AND_REST });
            out.extend(float.to_be_bytes());
            if rest != 0.0 {
                out.extend(rest.to_be_bytes());
            }
        }
    }
}

fn read_number(reader: &mut Reader<'_>) -> Result<Value> {
    if reader.peek() == Some(MOMENT) {
        reader.byte()?;
        return Ok(Value::Timestamp(Timestamp(unzigzag(reader.varint()?))));
    }
    match read_amount(reader)? {
        Amount::Int(int) => Ok(Value::Int(int)),
        Amount::Float(float, 0.0) => Ok(Value::from(float)),
        Amount::Float(..) => Err(SyncError::corrupt(WHAT, "a counter begins with no number")),
    }
}

fn read_amount(reader: &mut Reader<'_>) -> Result<Amount> {
    let tag = reader.byte()?;
    let mut float = || reader.array().map(f64::from_be_bytes);
    let amount = match tag {
        FLOAT => Amount::Float(float()?, 0.0),
        FLOAT_AND_REST => Amount::Float(float()?, float()?),
        INT => Amount::Int(unzigzag(reader.varint()?)),
        tag => return Err(SyncError::corrupt(WHAT, format!("tag {tag} is not known"))),
    };
    amount.checked().ok_or_else(|| SyncError::corrupt(WHAT, "a counter is not finite"))
}
