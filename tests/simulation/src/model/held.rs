//! [`Held`]: what is in a database.

use std::collections::{BTreeMap, BTreeSet};

use storex_core::Record;
use storex_sync::Device;

use super::Name;
use super::rows::ObjectName;

/// An entry of a transaction: the place of the transaction in the model, and that of the entry in it.
pub(super) type Part = (usize, usize);

/// What is in a database. A copy of a database has a copy of it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Held {
    /// The transactions that were logged in it, or in one of which it is a copy.
    pub(super) own: BTreeSet<usize>,
    /// The writes that are in it, its own and those of others. Only where that is followed, see [`Taken`].
    pub(super) parts: BTreeSet<Part>,
    pub(super) taken: Taken,
}

/// Who a database is and which transactions of others it has taken, by what it says itself (`docs/wire-format.md`, section 5).
///
/// Where the shared log was wiped, what it took tells no longer what the devices hold. So this is followed there.
#[derive(Debug, Clone, Default)]
pub(crate) struct Taken {
    /// Who it is; `None`: it was not opened yet.
    pub(super) me: Option<Device>,
    /// Up to which number its own transactions were perhaps given to a log.
    pub(super) offered: u64,
    /// Up to which number, per device.
    pub(super) up_to: BTreeMap<Device, u64>,
    /// But for these, which are parked.
    pub(super) parked: BTreeSet<Name>,
}

impl Taken {
    /// From the rows `_storex_meta` and `_storex_parked`.
    pub(crate) fn read(meta: &[Record], parked: &[Record]) -> Option<Self> {
        let mut taken = Self::default();
        let row_of = |name| {
            let row = meta.iter().find(|row| row.get(0).as_text() == Some(name));
            row.map_or(&[][..], |row| row.get(1).as_bytes().unwrap_or_default())
        };
        let (mut bytes, mut head) = (row_of("devices"), row_of("head"));
        let me = number(&mut head, 4);
        taken.offered = number(&mut row_of("offered"), 8).unwrap_or(0) as u64;
        for place in 1.. {
            if bytes.is_empty() {
                break;
            }
            let id = take(&mut bytes, 16)?.try_into().ok()?;
            let incarnation = u32::try_from(leb128(&mut bytes)?).ok()?;
            let last = leb128(&mut bytes)?;
            take(&mut bytes, 8)?;
            let device = Device { id, incarnation };
            taken.up_to.insert(device, last);
            if me == Some(place) {
                taken.me = Some(device);
            }
        }
        for row in parked {
            let id = row.get(0).as_bytes()?.try_into().ok()?;
            let incarnation = u32::try_from(row.get(1).as_int()?).ok()?;
            let number = u64::try_from(row.get(2).as_int()?).ok()?;
            taken.parked.insert((Device { id, incarnation }, number));
        }
        Some(taken)
    }

    /// What was applied since it stood there.
    pub(super) fn since(&self, before: &Self) -> Vec<Name> {
        let unparked = before.parked.iter().filter(|name| !self.parked.contains(*name)).copied();
        let fresh = self.up_to.iter().flat_map(|(device, up_to)| {
            let known = before.up_to.get(device).copied().unwrap_or(0);
            (known + 1..=*up_to).map(|number| (*device, number))
        });
        unparked.chain(fresh.filter(|name| !self.parked.contains(name))).collect()
    }
}

/// Where pages of a device's state differ from transactions.
const STATE: [u8; 2] = [0x97, 2];

pub(super) fn is_page(payload: &[u8]) -> bool {
    payload.starts_with(&STATE)
}

/// The objects of which a page of a state tells; `docs/wire-format.md` describes the form.
pub(super) fn objects_of_page(payload: &[u8]) -> Option<Vec<ObjectName>> {
    let bytes = &mut payload.get(STATE.len()..)?;
    skip(bytes)?; // the header
    list(bytes)?;
    let collection = text(bytes)?;
    for _ in 0..4 {
        skip(bytes)?; // the rest of the shape, numbers, devices
    }
    let mut objects = Vec::new();
    for _ in 0..list(bytes)? {
        let values = list(bytes)?;
        skip(bytes)?; // the clock
        objects.push((collection.clone(), text(bytes)?));
        for _ in 2..values {
            skip(bytes)?;
        }
    }
    for _ in 0..list(bytes)? {
        list(bytes)?;
        // A text, with its length in one byte.
        let code = binary(bytes)?;
        let key = code.strip_prefix(&[2])?.get(1..)?;
        objects.push((collection.clone(), String::from_utf8(key.to_vec()).ok()?));
        skip(bytes)?; // the clock
    }
    Some(objects)
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(taken)
}

fn leb128(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = take(bytes, 1)?[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// A big-endian number of so many bytes.
fn number(bytes: &mut &[u8], count: usize) -> Option<usize> {
    let taken = take(bytes, count)?;
    Some(taken.iter().fold(0, |number, byte| number << 8 | usize::from(*byte)))
}

/// The length of a list in MessagePack.
fn list(bytes: &mut &[u8]) -> Option<usize> {
    match take(bytes, 1)?[0] {
        short @ 0x90..=0x9f => Some(usize::from(short & 0x0f)),
        0xdc => number(bytes, 2),
        0xdd => number(bytes, 4),
        _ => None,
    }
}

fn text(bytes: &mut &[u8]) -> Option<String> {
    let count = match take(bytes, 1)?[0] {
        short @ 0xa0..=0xbf => usize::from(short & 0x1f),
        0xd9 => number(bytes, 1)?,
        0xda => number(bytes, 2)?,
        _ => return None,
    };
    String::from_utf8(take(bytes, count)?.to_vec()).ok()
}

fn binary<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let count = match take(bytes, 1)?[0] {
        0xc4 => number(bytes, 1)?,
        0xc5 => number(bytes, 2)?,
        0xc6 => number(bytes, 4)?,
        _ => return None,
    };
    take(bytes, count)
}

/// Passes over a value, whatever it is.
fn skip(bytes: &mut &[u8]) -> Option<()> {
    let (inside, count) = match take(bytes, 1)?[0] {
        0x00..=0x7f | 0xe0..=0xff | 0xc0..=0xc3 => (0, 0),
        map @ 0x80..=0x8f => (2 * usize::from(map & 0x0f), 0),
        list @ 0x90..=0x9f => (usize::from(list & 0x0f), 0),
        text @ 0xa0..=0xbf => (0, usize::from(text & 0x1f)),
        0xc4 | 0xd9 => (0, number(bytes, 1)?),
        0xc5 | 0xda => (0, number(bytes, 2)?),
        0xc6 | 0xdb => (0, number(bytes, 4)?),
        0xc7 => (0, number(bytes, 1)? + 1),
        0xc8 => (0, number(bytes, 2)? + 1),
        0xc9 => (0, number(bytes, 4)? + 1),
        0xcc | 0xd0 => (0, 1),
        0xcd | 0xd1 | 0xd4 => (0, 2),
        0xd5 => (0, 3),
        0xca | 0xce | 0xd2 => (0, 4),
        0xd6 => (0, 5),
        0xcb | 0xcf | 0xd3 => (0, 8),
        0xd7 => (0, 9),
        0xd8 => (0, 17),
        0xdc => (number(bytes, 2)?, 0),
        0xdd => (number(bytes, 4)?, 0),
        0xde => (2 * number(bytes, 2)?, 0),
        0xdf => (2 * number(bytes, 4)?, 0),
    };
    take(bytes, count)?;
    (0..inside).try_for_each(|_| skip(bytes))
}
