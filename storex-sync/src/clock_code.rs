//! How clocks are packed: docs/wire-format.md, "Clocks".

use std::borrow::Cow;
use std::collections::BTreeMap;

use storex_core::{Timestamp, Value};

use crate::bytes::{Reader, unzigzag, write_varint, zigzag};
use crate::clock::{Clock, MAX_LIFE};
use crate::counter::{Amount, Counter, Sum};
use crate::error::{Result, SyncError};
use crate::field_state_code;
use crate::meta::Devices;
use crate::stamp::{Device, Hlc, Stamp};

/// Stands in front of a clock with counters; no object has the life 0.
const WITH_COUNTERS: u8 = 0;

/// Stands behind [`WITH_COUNTERS`] in front of a clock with states of strategies.
const WITH_STATES: u8 = 0;

impl Clock {
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
