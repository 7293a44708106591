//! [`Vector`]: a place in a log in which each device counts for itself.

use std::collections::BTreeMap;

use crate::bytes::{Reader, write_varint};
use crate::error::{Result, SyncError};
use crate::shared_log::Cursor;
use crate::stamp::Device;

const VERSION: u8 = 1;

/// Of each device, the number of the transaction that comes next; 1 of one that is not in it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Vector(BTreeMap<Device, u64>);

impl Vector {
    pub(super) fn next(&self, author: Device) -> u64 {
        self.0.get(&author).copied().unwrap_or(1)
    }

    /// Goes on to this number, unless it is there already.
    pub(super) fn advance(&mut self, author: Device, next: u64) {
        if next > self.next(author) {
            self.0.insert(author, next);
        }
    }

    /// The later of two places, device by device.
    pub(super) fn merge(&mut self, other: &Self) {
        for (author, next) in &other.0 {
            self.advance(*author, *next);
        }
    }

    /// How many transactions are in front of it, of all devices.
    pub(super) fn transactions(&self) -> u64 {
        self.0.values().fold(0, |sum, next| sum.saturating_add(next - 1))
    }

    /// The version, then device and number of each, in ascending order; nothing for the beginning.
    pub(super) fn cursor(&self) -> Cursor {
        if self.0.is_empty() {
            return Cursor::default();
        }
        let mut out = vec![VERSION];
        for (Device { id, incarnation }, next) in &self.0 {
            out.extend_from_slice(id);
            write_varint(&mut out, u64::from(*incarnation));
            write_varint(&mut out, *next);
        }
        Cursor(out)
    }

    pub(super) fn read(Cursor(bytes): &Cursor) -> Result<Self> {
        let what = "a cursor";
        let mut vector = BTreeMap::new();
        let mut reader = Reader::new(bytes, what);
        if !reader.is_empty() && reader.byte()? != VERSION {
            return Err(SyncError::corrupt(what, "it is of another kind of log"));
        }
        while !reader.is_empty() {
            let device = Device { id: reader.array()?, incarnation: reader.varint_u32()? };
            let next = reader.varint()?;
            let ascends = vector.last_key_value().is_none_or(|(last, _)| *last < device);
            if next < 2 || !ascends {
                return Err(SyncError::corrupt(what, "it is of another kind of log"));
            }
            vector.insert(device, next);
        }
        Ok(Self(vector))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn is_read_as_it_is_written(
            devices in prop::collection::btree_map((any::<[u8; 16]>(), any::<u32>()), 2_u64.., 0..5)
        ) {
            let mut vector = Vector::default();
            for ((id, incarnation), next) in devices {
                vector.advance(Device { id, incarnation }, next);
            }
            prop_assert_eq!(Vector::read(&vector.cursor()).unwrap(), vector);
        }

        #[test]
        fn bytes_of_any_kind_are_read_as_one_place_or_refused(
            bytes in prop::collection::vec(any::<u8>(), 0..64)
        ) {
            let cursor = Cursor(bytes);
            if let Ok(vector) = Vector::read(&cursor) {
                prop_assert!(vector.cursor().0.len() <= cursor.0.len());
                prop_assert_eq!(Vector::read(&vector.cursor()).unwrap(), vector);
            }
        }
    }
}
