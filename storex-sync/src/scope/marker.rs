//! [`Marker`]: what is kept of an object that has gone from here.
//!
//! It is in the row of `_storex_clock` where the object's clock was, and is no clock: whoever reads clocks passes it over, so for everybody
//! else the object is not here. It is replaced by the clock of the object when that is back, or by the tombstone when it is deleted.
//!
//! | arrives | result |
//! |---|---|
//! | the whole object, or its create, in the same life | merged with the marker: the later scope, and the own sums together with what arrives; it comes if that scope is held, and else the marker takes what is new |
//! | the same of an earlier life, or its delete | nothing |
//! | the same in a later life | as it arrives: what is marked is of a life that is over |
//! | an update | nothing, as of any object that is not here |
//!
//! *Why own sums.* A device's later sum has the earlier one in it, and takes its place everywhere. A device that forgets its sum, and adds
//! to the number again before it hears of it, would take away what it had added. Of everything else nothing is lost: what a device sets or
//! contributes is joined with what it did before, wherever that is.
//!
//! *Why the scope, with its stamp.* Who is behind has the object in the scope in which it was. Merged with the scope in which it was
//! last known it is not one of those that are held.

use storex_core::{Collection, Record, Value};

use crate::bytes::{Reader, write_bytes, write_varint};
use crate::clock::Clock;
use crate::counter::Counter;
use crate::error::{Result, SyncError};
use crate::merge::take_field;
use crate::meta::{Devices, Numbers};
use crate::pack::{Packer, Unpacker};
use crate::stamp::{Device, Stamp};
use crate::strategy::Joins;

/// Stands in front of a marker; no clock begins like this.
const MARKER: [u8; 3] = [0; 3];

const WHAT: &str = "the marker of an object that has gone";

/// What is kept of an object that has gone from here.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Marker {
    /// What is left of its clock: the life, the stamp of the scope (as the row's), and own sums with the stamps of their bases.
    clock: Clock,
    /// The number of the field that says the scope.
    field: u32,
    /// The scope in which it was last known.
    scope: Value,
}

impl Marker {
    /// What is kept of an object; `None`: it is deleted, or there are no scopes.
    pub(crate) fn of(
        clock: &Clock,
        record: &Record,
        numbers: &Numbers,
        me: Device,
    ) -> Option<Self> {
        let at = numbers.scope.filter(|_| clock.is_alive())?;
        let field = *numbers.fields.get(at)?;
        let mut kept = Clock::created(clock.life, clock.stamp(field));
        for (number, counter) in &clock.counters {
            // A scope may be a number too.
            let stays = |at: Stamp| at.device.id == me.id || *number == field;
            let sums: Vec<_> = counter.sums.iter().filter(|sum| stays(sum.at)).copied().collect();
            if !sums.is_empty() {
                kept.set(*number, clock.stamp(*number));
                kept.count(*number, Counter { from: counter.from.clone(), sums });
            }
        }
        Some(Self { clock: kept, field, scope: record.get(at).clone() })
    }

    /// The life in which it went.
    pub(crate) fn life(&self) -> u32 {
        self.clock.life
    }

    /// The writes of which it knows.
    pub(crate) fn stamps(&self) -> impl Iterator<Item = Stamp> {
        self.clock.stamps()
    }

    /// The object is in a later life: what is marked is over.
    pub(crate) fn end(&mut self, life: u32) {
        self.clock = Clock::created(life, Stamp::ZERO);
    }

    /// Goes over into a later life as it is, as an object does that somebody has deleted without having seen all of it, where updates win.
    pub(crate) fn outlive(&mut self, life: u32) {
        self.clock.life = life;
    }

    /// Merges it into the same object, which arrives.
    pub(crate) fn join(
        &self,
        (clock, record): (&mut Clock, &mut Record),
        collection: &Collection,
        numbers: &Numbers,
        joins: &Joins,
    ) {
        let scope = (self.clock.row > Stamp::ZERO).then_some(self.field);
        let counted = self.clock.counters.iter().map(|(number, _)| *number);
        for number in scope.into_iter().chain(counted) {
            let at = numbers.fields.iter().position(|known| *known == number);
            let field = at.and_then(|at| Some((at, collection.fields().get(at)?)));
            let Some((at, field)) = field else { continue }; // the schema has it no more
            if !take_field(clock, &self.clock, number, joins) {
                continue;
            }
            let set = || (number == self.field).then(|| self.scope.clone());
            if let Some(mut value) = clock.value(number).or_else(set) {
                // A value that does not fit stays as it is, and the storage refuses it with the reason.
                let _ = collection.check_value(field, &mut value);
                record.set(at, value);
            }
        }
    }

    /// Merges it into what is there now of the object; gives what stays of the marker. What is of an earlier life is over.
    pub(crate) fn meet(
        self,
        (clock, object): (&mut Option<Clock>, &mut Option<Record>),
        (collection, numbers): (&Collection, &Numbers),
        joins: &Joins,
    ) -> Option<Self> {
        let Some(known) = clock else { return Some(self) };
        if known.life < self.life() {
            (*clock, *object) = (None, None);
            return Some(self);
        }
        if let Some(record) = object.as_mut().filter(|_| known.life == self.life()) {
            self.join((known, record), collection, numbers, joins);
        }
        None
    }

    pub(crate) fn encode(&self, devices: &mut Devices) -> Vec<u8> {
        let mut packer = Packer::default();
        packer.value(&self.scope);
        let mut out = MARKER.to_vec();
        write_varint(&mut out, u64::from(self.field));
        write_bytes(&mut out, &packer.out);
        out.extend(self.clock.encode(devices));
        out
    }

    pub(crate) fn decode(bytes: &[u8], devices: &Devices) -> Result<Self> {
        let mut reader = Reader::new(bytes, WHAT);
        reader.take(MARKER.len())?;
        let field = reader.varint_u32()?;
        let mut unpacker = Unpacker::new(reader.bytes()?, WHAT);
        let scope = unpacker.value()?;
        unpacker.end()?;
        let clock = Clock::decode(reader.rest(), devices)?;
        if !clock.is_alive() {
            return Err(SyncError::corrupt(WHAT, "its clock says that it is deleted"));
        }
        Ok(Self { clock, field, scope })
    }
}

/// Whether the value of a row of `_storex_clock` is a marker, and no clock.
pub(crate) fn is_marker(bytes: &[u8]) -> bool {
    bytes.starts_with(&MARKER)
}
