//! Pages of objects.

use std::collections::HashMap;

use storex_core::Value;

use super::WHAT;
use crate::clock::{Clock, LAST_LIFE};
use crate::error::{Result, SyncError};
use crate::meta::Devices;
use crate::pack::{Packer, Unpacker};
use crate::parked::{Parked, WaitsFor};
use crate::strategy::Joins;
use crate::weight::weight_of_all;

/// Room that is made for the values of a row before they are read: what a frame promises may be a lie.
const MOST_AHEAD: usize = 64;

/// Objects of one collection.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rows {
    /// Which collection of the hello.
    pub(crate) collection: usize,
    /// The sender's table of devices, to which the clocks refer by number.
    pub(crate) devices: Devices,
    /// Per row its values, and its packed clock (empty when it is older than sync).
    pub(crate) rows: Vec<(Vec<Value>, Vec<u8>)>,
    /// Which page of its leg it is, from 1; 0: they are not numbered.
    pub(crate) number: u64,
    /// The frame that they were read from; empty where it is not kept.
    pub(crate) frame: Vec<u8>,
}

/// Deleted objects of one collection.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tombstones {
    /// Which collection of the hello.
    pub(crate) collection: usize,
    /// The sender's table of devices, to which the clocks refer by number.
    pub(crate) devices: Devices,
    /// Per object the code of its key, and its packed clock.
    pub(crate) objects: Vec<(Vec<u8>, Vec<u8>)>,
    /// As that of [`Rows`].
    pub(crate) number: u64,
}

impl Rows {
    pub(super) fn encode(&self, packer: &mut Packer) {
        let rows = self.rows.iter().map(|(values, clock)| clock.len() + weight_of_all(values) + 8);
        packer.out.reserve(rows.sum());
        packer.array(if self.number == 0 { 4 } else { 5 });
        packer.uint(2);
        packer.uint(self.collection as u64);
        packer.bin(&self.devices.encode());
        packer.array(self.rows.len());
        for (values, clock) in &self.rows {
            packer.array(values.len() + 1);
            packer.bin(clock);
            values.iter().for_each(|value| packer.value(value));
        }
        encode_number(self.number, packer);
    }

    pub(super) fn decode(
        unpacker: &mut Unpacker<'_>,
        parts: usize,
        most_values: usize,
    ) -> Result<Self> {
        let collection = unpacker.index(usize::MAX)?;
        let devices = Devices::decode(unpacker.bin()?)?;
        let count = unpacker.array()?;
        let mut rows = Vec::new();
        for _ in 0..count {
            let len = unpacker.array()?;
            if len == 0 {
                return Err(SyncError::corrupt(WHAT, "a row has nothing in it"));
            }
            if len - 1 > most_values {
                let reason = "a row has more values than any collection of the hello";
                return Err(SyncError::corrupt(WHAT, reason));
            }
            let clock = unpacker.bin()?.to_vec();
            let mut values = Vec::with_capacity((len - 1).min(MOST_AHEAD));
            for _ in 1..len {
                values.push(unpacker.value()?);
            }
            rows.push((values, clock));
        }
        let number = decode_number(unpacker, parts)?;
        Ok(Self { collection, devices, rows, number, frame: Vec::new() })
    }
}

impl Tombstones {
    pub(super) fn encode(&self, packer: &mut Packer) {
        packer.array(if self.number == 0 { 4 } else { 5 });
        packer.uint(3);
        packer.uint(self.collection as u64);
        packer.bin(&self.devices.encode());
        packer.array(self.objects.len());
        for (key, clock) in &self.objects {
            packer.array(2);
            packer.bin(key);
            packer.bin(clock);
        }
        encode_number(self.number, packer);
    }

    pub(super) fn decode(unpacker: &mut Unpacker<'_>, parts: usize) -> Result<Self> {
        let collection = unpacker.index(usize::MAX)?;
        let devices = Devices::decode(unpacker.bin()?)?;
        let count = unpacker.array()?;
        let mut objects = Vec::new();
        for _ in 0..count {
            unpacker.tuple(2)?;
            objects.push((unpacker.bin()?.to_vec(), unpacker.bin()?.to_vec()));
        }
        Ok(Self { collection, devices, objects, number: decode_number(unpacker, parts)? })
    }
}

fn encode_number(number: u64, packer: &mut Packer) {
    if number > 0 {
        packer.uint(number);
    }
}

fn decode_number(unpacker: &mut Unpacker<'_>, parts: usize) -> Result<u64> {
    let number = if parts == 4 { 0 } else { unpacker.uint()?.max(1) };
    Ok(number)
}

pub(super) fn encode_parked(all: &[Parked], packer: &mut Packer) {
    packer.array(2);
    packer.uint(8);
    packer.array(all.len());
    for parked in all {
        packer.array(5);
        packer.device(parked.device);
        packer.uint(parked.sequence);
        packer.uint(u64::from(parked.waits_for.code()));
        packer.str(&parked.reason);
        packer.bin(&parked.payload);
    }
}

pub(super) fn decode_parked(unpacker: &mut Unpacker<'_>) -> Result<Vec<Parked>> {
    let count = unpacker.array()?;
    let mut parked = Vec::new();
    for _ in 0..count {
        unpacker.tuple(5)?;
        parked.push(Parked {
            device: unpacker.device()?,
            sequence: unpacker.uint()?,
            waits_for: WaitsFor::from_code(unpacker.uint()?),
            reason: unpacker.str()?.to_owned(),
            payload: unpacker.bin()?.to_vec(),
        });
    }
    Ok(parked)
}

/// A clock of a frame, with the fields' numbers translated from the sender's catalogue to ours. Fields that we do not know
/// are left out: their values did not come either.
pub(crate) fn translate(
    bytes: &[u8],
    devices: &Devices,
    numbers: &HashMap<u32, u32>,
) -> Result<Option<Clock>> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let theirs = Clock::decode(bytes, devices)?;
    if theirs.life > LAST_LIFE {
        return Err(SyncError::corrupt(
            "the clock of an object",
            "its life is beyond all that are lived",
        ));
    }
    let mut clock = Clock::created(theirs.life, theirs.row);
    for (field, stamp) in theirs.fields {
        if let Some(number) = numbers.get(&field) {
            clock.set(*number, stamp);
        }
    }
    for (field, counter) in theirs.counters {
        if let Some(number) = numbers.get(&field) {
            clock.count(*number, counter);
        }
    }
    let joins = Joins::default();
    for (field, state) in theirs.states {
        if let Some(number) = numbers.get(&field) {
            // There is none to be joined with yet.
            clock.join(*number, &state, &joins);
        }
    }
    Ok(Some(clock))
}
