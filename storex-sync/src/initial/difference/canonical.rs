//! What the hash of an item is made of: equal on two devices that hold the same of an object, whatever numbers their catalogues and
//! their tables of devices give.
//!
//! Of a living object, per field that both sides sync: the stamp, what was added to it or contributed to it since, and, where it is older
//! than sync, its value. Of a tombstone, its life and its stamp. The stamp of a living object's row is left out, as it may differ where
//! all fields agree.

use sha2::{Digest, Sha256};
use storex_core::{Record, Value};

use super::fingerprint::truncated;
use super::{Hash, Spot};
use crate::bytes::{write_bytes, write_varint};
use crate::clock::Clock;
use crate::counter::{Amount, Counter};
use crate::field_state_code;
use crate::pack::Packer;
use crate::stamp::Stamp;

/// A field that both sides sync: its number in our catalogue, and its position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) number: u32,
    pub(super) at: usize,
}

/// Whether the values of an object have a say: where a field is older than sync, its stamp tells nothing.
pub(super) fn needs_values(clock: &Clock, fields: &[Field]) -> bool {
    clock.is_alive() && fields.iter().any(|field| is_old(clock, field.number))
}

fn is_old(clock: &Clock, number: u32) -> bool {
    clock.stamp(number) == Stamp::ZERO
        && clock.counter(number).is_none()
        && clock.state(number).is_none()
}

/// The hash of an item. `fields` are ordered by their names; `row` is there where [`needs_values`] says so.
pub(super) fn hash(
    salt: &[u8; 16],
    spot: &Spot,
    clock: &Clock,
    fields: &[Field],
    row: Option<&Record>,
) -> Hash {
    let mut form = Form { out: Vec::with_capacity(96), last: Stamp::ZERO };
    form.bytes(&spot.code());
    write_varint(&mut form.out, u64::from(clock.life));
    if clock.is_alive() {
        fields.iter().for_each(|field| form.field(clock, *field, row));
    } else {
        form.stamp(clock.row);
    }
    truncated(&Sha256::new().chain_update(salt).chain_update(&form.out).finalize())
}

/// The bytes that are hashed.
struct Form {
    out: Vec<u8>,
    last: Stamp,
}

/// What follows a field's stamp.
const NOTHING: u8 = 0;
const VALUE: u8 = 1;
const COUNTER: u8 = 2;
const STATE: u8 = 3;

impl Form {
    fn field(&mut self, clock: &Clock, field: Field, row: Option<&Record>) {
        self.stamp(clock.stamp(field.number));
        if let Some(counter) = clock.counter(field.number) {
            self.out.push(COUNTER);
            self.counter(counter);
        }
        if let Some(state) = clock.state(field.number) {
            self.out.push(STATE);
            self.bytes(&field_state_code::alone(state));
        }
        if is_old(clock, field.number)
            && let Some(row) = row
        {
            self.out.push(VALUE);
            self.value(row.get(field.at));
        }
        self.out.push(NOTHING);
    }

    fn counter(&mut self, counter: &Counter) {
        self.value(&counter.from);
        write_varint(&mut self.out, counter.sums.len() as u64);
        for sum in &counter.sums {
            self.stamp(sum.at);
            match sum.amount {
                Amount::Int(int) => self.value(&Value::Int(int)),
                Amount::Float(float, rest) => {
                    self.out.extend(float.to_be_bytes());
                    self.out.extend(rest.to_be_bytes());
                }
            }
        }
    }

    /// Mostly it is that of the field before.
    fn stamp(&mut self, stamp: Stamp) {
        let is_new = stamp != self.last;
        self.out.push(u8::from(is_new));
        if is_new {
            self.out.extend(stamp.hlc.0.to_be_bytes());
            self.out.extend(stamp.device.id);
            write_varint(&mut self.out, u64::from(stamp.device.incarnation));
            self.last = stamp;
        }
    }

    fn value(&mut self, value: &Value) {
        let mut packer = Packer::default();
        packer.value(value);
        self.bytes(&packer.out);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        write_bytes(&mut self.out, bytes);
    }
}
