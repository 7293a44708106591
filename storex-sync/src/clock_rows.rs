//! The rows of `_storex_clock`: one clock per object, or the marker of one that has gone to another scope.

use std::collections::HashMap;

use storex_core::{Filter, Key, Position, Query, Record, Value, field};

use crate::clock::Clock;
use crate::error::{Result, SyncError};
use crate::log::CLOCK;
use crate::meta::Devices;
use crate::scope::{Marker, is_marker};

pub(crate) fn clock_key(collection: i64, code: Vec<u8>) -> Key {
    Key::compound([Value::Int(collection), Value::Bytes(code)])
}

pub(crate) fn clock_record(collection: i64, code: Vec<u8>, clock: Vec<u8>) -> Record {
    Record::new(vec![Value::Int(collection), Value::Bytes(code), Value::Bytes(clock)])
}

/// Asks whether there are clocks among these objects' at all: finds the first row that is not before all of them. `least` is the least
/// of their codes.
pub(crate) fn look_for_clocks(collection: i64, least: Option<&[u8]>) -> Query {
    let mut query = clocks_of(collection).limit(1);
    // A code that is cut short is before it.
    let before = least.and_then(<[u8]>::split_last).map(|(_, rest)| rest);
    let before = before.unwrap_or_default().to_vec();
    query.after = Some(clock_position(collection, before));
    query
}

/// Finds the clocks of these objects, by what [`look_for_clocks`] has found: where there are none, they are not looked up one by one.
pub(crate) fn find_clocks<'a>(
    collection: i64,
    codes: impl Iterator<Item = &'a [u8]> + Clone,
    first: &[Record],
) -> Query {
    let first = first.first().and_then(|row| row.get(1).as_bytes());
    let any = first.is_some_and(|first| codes.clone().any(|code| code >= first));
    let codes = any.then_some(codes).into_iter().flatten();
    clocks_at(codes.map(|code| clock_key(collection, code.to_vec())).collect())
}

/// The clocks under these keys, in their order.
pub(crate) fn clocks_at(keys: Vec<Key>) -> Query {
    Query::new(CLOCK).filter(Filter::Keys(keys))
}

/// The code and the clock of an object that is deleted. `None`: it lives, or has gone to another scope.
pub(crate) fn deleted_of<'a>(
    row: &'a Record,
    devices: &Devices,
) -> Result<Option<(&'a [u8], Clock)>> {
    let (_, code, packed) = columns(row)?;
    if is_marker(packed) {
        return Ok(None);
    }
    let clock = Clock::decode(packed, devices)?;
    Ok(Some((code, clock)).filter(|(_, clock)| !clock.is_alive()))
}

/// The clocks of a collection, in the order of the codes.
pub(crate) fn clocks_of(collection: i64) -> Query {
    Query::new(CLOCK).filter(field("collection").eq(collection))
}

/// The place of a code among them; it may be cut short, and is before those that begin with it then.
pub(crate) fn clock_position(collection: i64, code: Vec<u8>) -> Position {
    Position { values: vec![Value::Int(collection), Value::Bytes(code)] }
}

/// Finds the clocks from one code to another, in their order.
pub(crate) fn clocks_between(collection: i64, first: &[u8], last: &[u8], limit: u64) -> Query {
    let bytes = |code: &[u8]| Value::Bytes(code.to_vec());
    let between = field("key").gte(bytes(first)).and(field("key").lte(bytes(last)));
    Query::new(CLOCK).filter(field("collection").eq(collection).and(between)).limit(limit)
}

/// Ascending keys touch each page of the database once.
pub(crate) fn sort_clock_records(records: &mut [Record]) {
    records.sort_by(|a, b| storex_core::compare_all(&a.values()[..2], &b.values()[..2]));
}

/// What is kept of an object: its clock, or the marker of one that has gone to another scope.
#[derive(Debug)]
pub(crate) enum Stored {
    Clock(Clock),
    Marker(Marker),
}

impl Stored {
    pub(crate) fn decode(bytes: &[u8], devices: &Devices) -> Result<Self> {
        match is_marker(bytes) {
            true => Marker::decode(bytes, devices).map(Self::Marker),
            false => Clock::decode(bytes, devices).map(Self::Clock),
        }
    }

    /// The bytes of the clock, or else of the marker.
    pub(crate) fn encode(
        clock: Option<&Clock>,
        marker: Option<&Marker>,
        devices: &mut Devices,
    ) -> Option<Vec<u8>> {
        match clock {
            Some(clock) => Some(clock.encode(devices)),
            None => marker.map(|marker| marker.encode(devices)),
        }
    }
}

/// What rows of `_storex_clock` hold, by object.
#[derive(Debug, Default)]
pub(crate) struct ClockRows {
    pub(crate) clocks: HashMap<(i64, Vec<u8>), Clock>,
    pub(crate) markers: HashMap<(i64, Vec<u8>), Marker>,
}

impl ClockRows {
    pub(crate) fn read(rows: &[Record], devices: &Devices) -> Result<Self> {
        let mut read = Self { clocks: HashMap::with_capacity(rows.len()), ..Self::default() };
        for row in rows {
            let (collection, code, bytes) = columns(row)?;
            let object = (collection, code.to_vec());
            match Stored::decode(bytes, devices)? {
                Stored::Clock(clock) => drop(read.clocks.insert(object, clock)),
                Stored::Marker(marker) => drop(read.markers.insert(object, marker)),
            }
        }
        Ok(read)
    }
}

/// The clocks in rows of `_storex_clock`, by object. What is marked has none.
pub(crate) fn read_clock_rows(
    rows: &[Record],
    devices: &Devices,
) -> Result<HashMap<(i64, Vec<u8>), Clock>> {
    let mut clocks = HashMap::with_capacity(rows.len());
    for row in rows {
        let (collection, code, clock) = columns(row)?;
        if !is_marker(clock) {
            clocks.insert((collection, code.to_vec()), Clock::decode(clock, devices)?);
        }
    }
    Ok(clocks)
}

/// The markers in rows of `_storex_clock`, by object.
pub(crate) fn read_markers(
    rows: &[Record],
    devices: &Devices,
) -> Result<HashMap<(i64, Vec<u8>), Marker>> {
    let mut markers = HashMap::new();
    for row in rows {
        let (collection, code, marker) = columns(row)?;
        if is_marker(marker) {
            markers.insert((collection, code.to_vec()), Marker::decode(marker, devices)?);
        }
    }
    Ok(markers)
}

/// The number of the collection, the code of the key, and the clock or marker.
pub(crate) fn columns(row: &Record) -> Result<(i64, &[u8], &[u8])> {
    match (row.get(0), row.get(1), row.get(2)) {
        (Value::Int(collection), Value::Bytes(code), Value::Bytes(clock)) => {
            Ok((*collection, code, clock))
        }
        _ => Err(SyncError::corrupt("a clock row", "its values have the wrong types")),
    }
}
