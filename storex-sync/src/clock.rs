//! [`Clock`]: what the merge has to know of an object, packed into a few bytes.

use smallvec::SmallVec;

use crate::bytes::{Reader, unzigzag, write_varint, zigzag};
use crate::error::{Result, SyncError};
use crate::meta::Devices;
use crate::stamp::{Device, Hlc, Stamp};

/// Nobody deletes an object so often; a greater life is damaged or forged, and would run over.
pub(crate) const MAX_LIFE: u32 = 1 << 30;

/// What the merge has to know of an object.
///
/// `life` is the causal length of its existence (as in causal-length sets: Yu, Rostad, "A Low-Cost Set CRDT Based on
/// Causal Lengths", 2020): it is odd while the object exists, even while it is deleted, and grows by one with each delete and
/// each re-creation. The greater life wins, so a delete wins over updates that had not seen it, and a re-creation wins over
/// the delete it has seen.
///
/// All fields have the row's stamp, except those listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clock {
    /// The causal length of the object's existence.
    pub life: u32,
    /// The stamp of every field that is not listed, or of the delete.
    pub row: Stamp,
    /// Fields with another stamp, by their number in the catalogue, ascending.
    pub fields: SmallVec<[(u32, Stamp); 2]>,
}

impl Clock {
    /// The clock of an object that is older than sync.
    #[must_use]
    pub fn unstamped() -> Self {
        Self::created(1, Stamp::ZERO)
    }

    /// The clock of an object whose fields were all written at once.
    #[must_use]
    pub fn created(life: u32, row: Stamp) -> Self {
        Self { life, row, fields: SmallVec::new() }
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

    /// Notes that a field was written.
    pub fn set(&mut self, field: u32, stamp: Stamp) {
        match self.fields.binary_search_by_key(&field, |(number, _)| *number) {
            Ok(at) if stamp == self.row => {
                self.fields.remove(at);
            }
            Ok(at) => self.fields[at].1 = stamp,
            Err(_) if stamp == self.row => {}
            Err(at) => self.fields.insert(at, (field, stamp)),
        }
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
        self.fields.iter().map(|(_, stamp)| *stamp).fold(self.row, Stamp::max)
    }

    /// Packs the clock: life, row stamp, then the fields that differ, their readings as differences from the row's.
    /// Devices are written by their number in this database's table.
    pub(crate) fn encode(&self, devices: &mut Devices) -> Vec<u8> {
        let mut out = Vec::with_capacity(12 + 12 * self.fields.len());
        write_varint(&mut out, u64::from(self.life));
        out.extend(self.row.hlc.0.to_be_bytes());
        write_varint(&mut out, u64::from(devices.number(self.row.device)));
        for (field, stamp) in &self.fields {
            write_varint(&mut out, u64::from(*field));
            let difference = stamp.hlc.0.wrapping_sub(self.row.hlc.0).cast_signed();
            write_varint(&mut out, zigzag(difference));
            write_varint(&mut out, u64::from(devices.number(stamp.device)));
        }
        out
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
        let what = "the clock of an object";
        let mut reader = Reader::new(bytes, what);
        let life = reader.varint_u32()?;
        if life == 0 || life > MAX_LIFE {
            return Err(SyncError::corrupt(what, format!("no object has the life {life}")));
        }
        let hlc = Hlc(u64::from_be_bytes(reader.array()?)).checked(what)?;
        let device = read_device(&mut reader, devices)?;
        let mut fields: SmallVec<[(u32, Stamp); 2]> = SmallVec::new();
        while !reader.is_empty() {
            let field = reader.varint_u32()?;
            if fields.last().is_some_and(|(last, _)| *last >= field) {
                return Err(SyncError::corrupt(what, "its fields are not in order"));
            }
            let difference = unzigzag(reader.varint()?);
            let hlc = Hlc(hlc.0.wrapping_add(difference.cast_unsigned())).checked(what)?;
            fields.push((field, Stamp { hlc, device: read_device(&mut reader, devices)? }));
        }
        Ok(Self { life, row: Stamp { hlc, device }, fields })
    }
}

fn read_device(reader: &mut Reader<'_>, devices: &Devices) -> Result<Device> {
    let number = reader.varint_u32()?;
    devices.device(number).ok_or_else(|| {
        SyncError::corrupt("the clock of an object", format!("device {number} is not known"))
    })
}
