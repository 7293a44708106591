//! The contents of objects: nothing is believed of one that has not arrived whole.
//!
//! A segment is `stxl`, the version, and of each transaction its length and its bytes. Its checksum is in its name. A
//! member's object is `stxm`, the version, the checksum of the rest, and the cursor that it has acknowledged. A manifest is
//! `stxs`, the version, the checksum of the rest, how many pages the snapshot has, and the cursor that is its place.

use super::names::Segment;
use super::vector::Vector;
use crate::bytes::{Reader, checksum, write_bytes, write_varint};
use crate::error::{Result, SyncError};
use crate::shared_log::{Cursor, SealedTransaction};

const SEGMENT: &[u8; 4] = b"stxl";
const MEMBER: &[u8; 4] = b"stxm";
const MANIFEST: &[u8; 4] = b"stxs";
const VERSION: u8 = 1;

/// What tells that a snapshot is whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Manifest {
    pub(super) pages: u64,
    pub(super) place: Vector,
}

/// Of the bytes of a segment under the name that it has.
fn segment_checksum(segment: &Segment, bytes: &[u8]) -> u64 {
    let Segment { device, first, count, .. } = segment;
    checksum([
        device.id.as_slice(),
        &device.incarnation.to_be_bytes(),
        &first.to_be_bytes(),
        &count.to_be_bytes(),
        bytes,
    ])
}

/// The transactions, which are some and of one device, as an object.
pub(super) fn write_segment(transactions: &[SealedTransaction]) -> Option<(Segment, Vec<u8>)> {
    let first = transactions.first()?;
    let mut bytes = SEGMENT.to_vec();
    bytes.push(VERSION);
    for transaction in transactions {
        write_bytes(&mut bytes, &transaction.payload);
    }
    let (device, first, count) = (first.device, first.sequence, transactions.len() as u64);
    let mut segment = Segment { device, first, count, checksum: 0 };
    segment.checksum = segment_checksum(&segment, &bytes);
    Some((segment, bytes))
}

/// The transactions of a segment; `None` when it has not arrived whole.
pub(super) fn read_segment(
    segment: &Segment,
    bytes: &[u8],
) -> Result<Option<Vec<SealedTransaction>>> {
    if segment_checksum(segment, bytes) != segment.checksum {
        return Ok(None);
    }
    let what = "a segment of the shared log";
    let mut reader = Reader::new(bytes, what);
    read_head(&mut reader, SEGMENT, what)?;
    let mut transactions = Vec::new();
    let mut sequence = segment.first;
    while !reader.is_empty() {
        let payload = reader.bytes()?.to_vec();
        transactions.push(SealedTransaction { device: segment.device, sequence, payload });
        sequence = sequence.saturating_add(1);
    }
    match transactions.len() as u64 == segment.count {
        true => Ok(Some(transactions)),
        false => Err(SyncError::corrupt(what, "its name tells another number of transactions")),
    }
}

pub(super) fn write_member(acknowledged: &Vector) -> Vec<u8> {
    let Cursor(cursor) = acknowledged.cursor();
    write_checked(MEMBER, &cursor)
}

/// What a member has acknowledged.
pub(super) fn read_member(bytes: &[u8]) -> Result<Vector> {
    let cursor = read_checked(bytes, MEMBER, "a member of the shared log")?;
    Vector::read(&Cursor(cursor.to_vec()))
}

pub(super) fn write_manifest(manifest: &Manifest) -> Vec<u8> {
    let mut rest = Vec::new();
    write_varint(&mut rest, manifest.pages);
    rest.extend_from_slice(&manifest.place.cursor().0);
    write_checked(MANIFEST, &rest)
}

pub(super) fn read_manifest(bytes: &[u8]) -> Result<Manifest> {
    let what = "a snapshot of the shared log";
    let mut reader = Reader::new(read_checked(bytes, MANIFEST, what)?, what);
    let pages = reader.varint()?;
    Ok(Manifest { pages, place: Vector::read(&Cursor(reader.rest().to_vec()))? })
}

fn write_checked(magic: &[u8; 4], rest: &[u8]) -> Vec<u8> {
    let mut bytes = magic.to_vec();
    bytes.push(VERSION);
    bytes.extend_from_slice(&checksum([rest]).to_be_bytes());
    bytes.extend_from_slice(rest);
    bytes
}

fn read_checked<'a>(bytes: &'a [u8], magic: &[u8; 4], what: &'static str) -> Result<&'a [u8]> {
    let mut reader = Reader::new(bytes, what);
    read_head(&mut reader, magic, what)?;
    let expected = u64::from_be_bytes(reader.array()?);
    let rest = reader.rest();
    match checksum([rest]) == expected {
        true => Ok(rest),
        false => Err(SyncError::corrupt(what, "it is damaged")),
    }
}

fn read_head(reader: &mut Reader<'_>, magic: &[u8; 4], what: &'static str) -> Result<()> {
    if &reader.array::<4>()? != magic {
        return Err(SyncError::corrupt(what, "it is something else"));
    }
    match reader.byte()? {
        VERSION => Ok(()),
        other => {
            let reason =
                format!("it has version {other}, of which this program knows nothing; update it");
            Err(SyncError::corrupt(what, reason))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stamp::Device;

    fn some() -> Vec<SealedTransaction> {
        let device = Device { id: [7; 16], incarnation: 1 };
        let payloads = [vec![], vec![1, 2, 3], vec![9; 300]];
        (5..)
            .zip(payloads)
            .map(|(sequence, payload)| SealedTransaction { device, sequence, payload })
            .collect()
    }

    #[test]
    fn a_segment_is_read_as_it_is_written() {
        let (segment, bytes) = write_segment(&some()).unwrap();
        assert_eq!((segment.first, segment.count), (5, 3));
        assert_eq!(read_segment(&segment, &bytes).unwrap(), Some(some()));
    }

    #[test]
    fn a_part_or_a_damage_is_noticed() {
        let (segment, bytes) = write_segment(&some()).unwrap();
        for len in 0..bytes.len() {
            assert_eq!(read_segment(&segment, &bytes[..len]).unwrap(), None, "cut at {len}");
            let mut damaged = bytes.clone();
            damaged[len] ^= 0x20;
            assert_eq!(read_segment(&segment, &damaged).unwrap(), None, "damaged at {len}");
        }
        let elsewhere = Segment { first: 6, ..segment };
        assert_eq!(read_segment(&elsewhere, &bytes).unwrap(), None, "under another name");
    }

    #[test]
    fn what_is_newer_is_an_error_and_not_waited_for() {
        let (mut segment, mut bytes) = write_segment(&some()).unwrap();
        bytes[4] = VERSION + 1;
        segment.checksum = segment_checksum(&segment, &bytes);
        let error = read_segment(&segment, &bytes).unwrap_err();
        assert!(error.to_string().contains("update it"), "{error}");
    }

    #[test]
    fn a_member_is_read_as_it_is_written() {
        let mut place = Vector::default();
        place.advance(Device { id: [7; 16], incarnation: 1 }, 300);
        let bytes = write_member(&place);
        assert_eq!(read_member(&bytes).unwrap(), place);
        for len in 0..bytes.len() {
            assert!(read_member(&bytes[..len]).is_err(), "cut at {len}");
        }
        assert_eq!(read_member(&write_member(&Vector::default())).unwrap(), Vector::default());
    }

    #[test]
    fn a_manifest_is_read_as_it_is_written() {
        let mut place = Vector::default();
        place.advance(Device { id: [7; 16], incarnation: 1 }, 300);
        let manifest = Manifest { pages: 200, place };
        let bytes = write_manifest(&manifest);
        assert_eq!(read_manifest(&bytes).unwrap(), manifest);
        for len in 0..bytes.len() {
            assert!(read_manifest(&bytes[..len]).is_err(), "cut at {len}");
            let mut damaged = bytes.clone();
            damaged[len] ^= 0x20;
            assert!(read_manifest(&damaged).is_err(), "damaged at {len}");
        }
    }
}
