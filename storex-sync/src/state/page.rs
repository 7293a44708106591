//! [`StatePage`]: objects with their clocks, as a transaction; `docs/wire-format.md` describes the form.

use std::collections::HashMap;

use storex_core::{Key, Name, Value};

use crate::bytes::checksum;
use crate::clock::Clock;
use crate::error::{Result, SyncError};
use crate::initial::frame::translate;
use crate::key_code;
use crate::meta::Devices;
use crate::pack::{Packer, Unpacker};
use crate::shared_log::SealedTransaction;
use crate::stamp::{Device, Hlc};
use crate::state::OLDEST;
use crate::transaction::{Entry, EntryKind, EntryValue, Header, Shape, Transaction};
use crate::transaction_code::{read_header, read_shape, write_header, write_shape};

/// Where writes have the version of their form.
const STATE: u64 = 2;

const WHAT: &str = "a page of a device's state";

/// Objects of one collection.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct StatePage {
    /// On the last page of a state it tells what whoever has all pages has seen.
    pub(crate) header: Header,
    /// The collection and its fields, those of the key first.
    pub(crate) shape: Shape,
    /// The numbers of the fields in the sender's catalogue, to which the clocks refer.
    pub(crate) numbers: Vec<u32>,
    /// The sender's table of devices, to which the clocks refer by number.
    pub(crate) devices: Devices,
    /// The values of each object, and its clock.
    pub(crate) living: Vec<(Vec<Value>, Vec<u8>)>,
    /// The code of each object's key, and its clock.
    pub(crate) deleted: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Whether the bytes of a transaction are a page of a state.
pub(crate) fn is_state(payload: &[u8]) -> bool {
    let mut unpacker = Unpacker::new(payload, WHAT);
    unpacker.array().is_ok() && unpacker.uint().is_ok_and(|kind| kind == STATE)
}

impl StatePage {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut packer = Packer::default();
        packer.array(7);
        packer.uint(STATE);
        write_header(&mut packer, &self.header);
        write_shape(&mut packer, &self.shape);
        packer.array(self.numbers.len());
        self.numbers.iter().for_each(|number| packer.uint(u64::from(*number)));
        packer.bin(&self.devices.encode());
        packer.array(self.living.len());
        for (values, clock) in &self.living {
            packer.array(values.len() + 1);
            packer.bin(clock);
            values.iter().for_each(|value| packer.value(value));
        }
        packer.array(self.deleted.len());
        for (code, clock) in &self.deleted {
            packer.array(2);
            packer.bin(code);
            packer.bin(clock);
        }
        packer.out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        let mut unpacker = Unpacker::new(bytes, WHAT);
        unpacker.tuple(7)?;
        if unpacker.uint()? != STATE {
            return Err(SyncError::corrupt(WHAT, "it is something else"));
        }
        let header = read_header(&mut unpacker)?;
        header.hlc.checked(WHAT)?;
        let shape = read_shape(&mut unpacker)?;
        let mut numbers = Vec::new();
        for _ in 0..unpacker.array()? {
            numbers.push(unpacker.u32()?);
        }
        let devices = Devices::decode(unpacker.bin()?)?;
        let mut living = Vec::new();
        for _ in 0..unpacker.array()? {
            let len = unpacker.array()?;
            if len != shape.fields.len() + 1 {
                return Err(SyncError::corrupt(WHAT, "an object has too few or too many values"));
            }
            let clock = unpacker.bin()?.to_vec();
            let values = (1..len).map(|_| unpacker.value()).collect::<Result<_>>()?;
            living.push((values, clock));
        }
        let mut deleted = Vec::new();
        for _ in 0..unpacker.array()? {
            unpacker.tuple(2)?;
            deleted.push((unpacker.bin()?.to_vec(), unpacker.bin()?.to_vec()));
        }
        unpacker.end()?;
        if numbers.len() != shape.fields.len() {
            return Err(SyncError::corrupt(WHAT, "its fields have too few or too many numbers"));
        }
        Ok(Self { header, shape, numbers, devices, living, deleted })
    }

    /// How many objects it tells.
    pub(crate) fn objects(&self) -> usize {
        self.living.len() + self.deleted.len()
    }

    /// The key of its first object.
    pub(crate) fn first_key(&self) -> Result<Key> {
        match (self.deleted.first(), self.living.first()) {
            (Some((code, _)), _) => key_code::decode(code),
            (None, Some((values, _))) => {
                Ok(Key::compound(values.iter().take(self.shape.key_len).cloned()))
            }
            (None, None) => Err(SyncError::corrupt(WHAT, "it holds no object")),
        }
    }

    /// Two pages with one half of its objects each. What its author had seen is told with the other one.
    pub(crate) fn halves(mut self) -> (Self, Self) {
        let half = self.objects() / 2;
        let deleted = self.deleted.split_off(half.min(self.deleted.len()));
        let living = self.living.split_off(half - self.deleted.len());
        let second = Self { deleted, living, ..self.clone() };
        self.header.seen.clear();
        (self, second)
    }

    /// What is left of it where it is not sent: its number. Without a reading, as whoever gets it has nothing of its author by that.
    pub(crate) fn without_objects(self) -> Transaction {
        let header = Header { hlc: Hlc::ZERO, seen: Vec::new(), ..self.header };
        Transaction { header, ..Transaction::default() }
    }

    /// As a transaction of nobody's, under the checksum of its objects: the same ones are there once, whoever tells of them and
    /// whatever else is known there.
    pub(crate) fn sealed_as_nobodys(mut self) -> Result<SealedTransaction> {
        let mut objects = Packer::default();
        objects.str(&self.shape.collection);
        self.shape.fields.iter().for_each(|field| objects.str(field));
        for (values, clock) in &self.living {
            values.iter().for_each(|value| objects.value(value));
            objects.bin(&self.named(clock)?);
        }
        for (code, clock) in &self.deleted {
            objects.bin(code);
            objects.bin(&self.named(clock)?);
        }
        self.header.device = Device::NOBODY;
        self.header.sequence = (checksum([&*objects.out]) >> 1).max(1);
        let Header { device, sequence, .. } = self.header;
        Ok(SealedTransaction { device, sequence, payload: self.encode() })
    }

    /// A clock with the devices to which it refers.
    fn named(&self, clock: &[u8]) -> Result<Vec<u8>> {
        let mut devices = Devices::new();
        let mut named = Clock::decode(clock, &self.devices)?.encode(&mut devices);
        named.extend(devices.encode());
        Ok(named)
    }

    /// What whoever has this page, and those before it, has applied of every device.
    pub(crate) fn handed_over(&self) -> impl Iterator<Item = (Device, Hlc)> {
        // Nothing is later than what its author had heard of.
        let latest = self.header.hlc;
        self.header.seen.iter().copied().filter(move |(_, hlc)| *hlc <= latest)
    }

    /// The objects as entries: those that are deleted first.
    pub(crate) fn transaction(&self) -> Result<Transaction> {
        let key_len = self.shape.key_len;
        let key = self.shape.fields.iter().take(key_len).map(Name::clone).collect();
        let key_only = Shape { fields: key, ..self.shape.clone() };
        let mut entries = Vec::new();
        for (code, clock) in &self.deleted {
            let key = key_code::decode(code)?;
            let life = Clock::decode(clock, &self.devices)?.life;
            if life % 2 == 1 || key.values().len() != key_len {
                return Err(SyncError::corrupt(WHAT, "what is deleted has no such key or clock"));
            }
            let values = key.values().iter().cloned().map(EntryValue::Set).collect();
            entries.push(Entry { kind: EntryKind::Delete, shape: 1, life, values });
        }
        for (values, clock) in &self.living {
            let life = Clock::decode(clock, &self.devices)?.life;
            if life % 2 == 0 {
                return Err(SyncError::corrupt(WHAT, "what lives has the clock of a deletion"));
            }
            let values = values.iter().cloned().map(EntryValue::Set).collect();
            entries.push(Entry { kind: EntryKind::Create, shape: 0, life, values });
        }
        let shapes = vec![self.shape.clone(), key_only];
        // What its author had applied is in the table of devices.
        let seen = self.devices.iter().map(|known| (known.device, known.hlc));
        let header = Header { seen: seen.collect(), ..self.header.clone() };
        Ok(Transaction { header, shapes, entries })
    }

    /// The clocks of the objects, in the order of the entries; `ours` are our numbers of the fields behind the key.
    pub(crate) fn clocks(&self, ours: &[u32]) -> Result<Vec<Clock>> {
        let theirs = self.numbers.iter().skip(self.shape.key_len);
        let numbers: HashMap<u32, u32> = theirs.copied().zip(ours.iter().copied()).collect();
        let deleted = self.deleted.iter().map(|(_, clock)| clock);
        let clocks = deleted.chain(self.living.iter().map(|(_, clock)| clock));
        clocks
            .map(|clock| {
                let clock = translate(clock, &self.devices, &numbers)?;
                let clock =
                    clock.ok_or_else(|| SyncError::corrupt(WHAT, "an object has no clock"))?;
                // Otherwise what is far ahead would come in by this door.
                if clock.newest().hlc > self.header.hlc.max(OLDEST) {
                    return Err(SyncError::corrupt(WHAT, "an object is later than its sender"));
                }
                Ok(clock)
            })
            .collect()
    }
}
