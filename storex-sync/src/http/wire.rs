//! The binary forms of [`LogRequest`] and [`Page`], as `docs/wire-format.md` describes them.
//!
//! Reading takes no memory for what is not there, and answers any bytes with a value or an error.

use std::collections::BTreeMap;

use crate::bytes::{Reader, write_bytes, write_varint};
use crate::error::{Result, SyncError};
use crate::shared_log::{Cursor, LogId, LogRequest, MissingWrite, Page, SealedTransaction};
use crate::stamp::Device;
use crate::writes::WriteId;

/// The media type of a log request.
pub const REQUEST_TYPE: &str = "application/vnd.storex.log-request";
/// The media type of a page.
pub const PAGE_TYPE: &str = "application/vnd.storex.page";

const VERSION: u8 = 1;

const ACKNOWLEDGE: u8 = 1;
const APPEND: u8 = 2;
const READ: u8 = 4;

const MORE: u8 = 1;

/// The bytes of a request.
///
/// # Errors
/// [`SyncError::Protocol`] for transactions of another device than the one that asks.
pub fn encode_request(request: &LogRequest) -> Result<Vec<u8>> {
    let LogRequest { device, acknowledge, append, read } = request;
    if append.iter().any(|transaction| transaction.device != *device) {
        let reason = "a request holds transactions of another device".to_owned();
        return Err(SyncError::Protocol { during: "appending to the shared log", reason });
    }
    let payload: usize = append.iter().map(|transaction| transaction.payload.len() + 10).sum();
    let mut out = Vec::with_capacity(payload + 64);
    out.push(VERSION);
    write_device(&mut out, *device);
    let flag = |is_there: bool, flag: u8| if is_there { flag } else { 0 };
    out.push(
        flag(acknowledge.is_some(), ACKNOWLEDGE)
            | flag(!append.is_empty(), APPEND)
            | flag(read.is_some(), READ),
    );
    if let Some(Cursor(cursor)) = acknowledge {
        write_bytes(&mut out, cursor);
    }
    if !append.is_empty() {
        write_len(&mut out, append.len());
        for SealedTransaction { sequence, payload, .. } in append {
            write_varint(&mut out, *sequence);
            write_bytes(&mut out, payload);
        }
    }
    if let Some(Cursor(cursor)) = read {
        write_bytes(&mut out, cursor);
    }
    Ok(out)
}

/// The request of these bytes, with at most so many transactions: each takes more memory than bytes on the wire.
///
/// # Errors
/// [`SyncError::Corrupt`] for bytes that are none; [`SyncError::Protocol`] for another version; [`SyncError::FrameTooLarge`] for more
/// transactions, whose numbers are those of transactions.
pub fn decode_request(bytes: &[u8], most_transactions: usize) -> Result<LogRequest> {
    let what = "a log request";
    let mut reader = Reader::new(bytes, what);
    check_version(&mut reader, "reading a log request")?;
    let device = read_device(&mut reader)?;
    let flags = read_flags(&mut reader, ACKNOWLEDGE | APPEND | READ, what)?;
    let acknowledge = (flags & ACKNOWLEDGE != 0).then(|| read_cursor(&mut reader)).transpose()?;
    let mut append = Vec::new();
    if flags & APPEND != 0 {
        let count = reader.varint_usize()?;
        if count == 0 {
            return Err(SyncError::corrupt(what, "it appends nothing"));
        }
        if count > most_transactions {
            let (bytes, limit) = (count as u64, most_transactions as u64);
            return Err(SyncError::FrameTooLarge { bytes, limit });
        }
        for _ in 0..count {
            let sequence = reader.varint()?;
            let payload = reader.bytes()?.to_vec();
            append.push(SealedTransaction { device, sequence, payload });
        }
    }
    let read = (flags & READ != 0).then(|| read_cursor(&mut reader)).transpose()?;
    check_end(&reader, what)?;
    Ok(LogRequest { device, acknowledge, append, read })
}

/// The bytes of a page.
#[must_use]
pub fn encode_page(page: &Page) -> Vec<u8> {
    let Page { log, transactions, cursor, more, own, missing } = page;
    let payload: usize = transactions.iter().map(|it| it.payload.len() + 12).sum();
    let mut out = Vec::with_capacity(payload + 64);
    out.push(VERSION);
    out.extend_from_slice(&log.0);
    out.push(if *more { MORE } else { 0 });
    write_varint(&mut out, *own);
    write_bytes(&mut out, &cursor.0);
    let authors = transactions.iter().map(|transaction| transaction.device);
    let devices = Devices::new(authors.chain(missing.iter().map(|missing| missing.write.device)));
    devices.write(&mut out);
    write_len(&mut out, transactions.len());
    for SealedTransaction { device, sequence, payload } in transactions {
        devices.write_index(&mut out, *device);
        write_varint(&mut out, *sequence);
        write_bytes(&mut out, payload);
    }
    write_len(&mut out, missing.len());
    for MissingWrite { write: WriteId { device, sequence }, reason } in missing {
        devices.write_index(&mut out, *device);
        write_varint(&mut out, *sequence);
        write_bytes(&mut out, reason.as_bytes());
    }
    out
}

/// The page of these bytes.
///
/// # Errors
/// [`SyncError::Corrupt`] for bytes that are none; [`SyncError::Protocol`] for another version.
pub fn decode_page(bytes: &[u8]) -> Result<Page> {
    let what = "a page of the shared log";
    let mut reader = Reader::new(bytes, what);
    check_version(&mut reader, "reading a page of the shared log")?;
    let log = LogId(reader.array()?);
    let more = read_flags(&mut reader, MORE, what)? & MORE != 0;
    let own = reader.varint()?;
    let cursor = read_cursor(&mut reader)?;
    let mut devices = Vec::new();
    for _ in 0..reader.varint()? {
        devices.push(read_device(&mut reader)?);
    }
    let mut transactions = Vec::new();
    for _ in 0..reader.varint()? {
        let device = read_index(&mut reader, &devices, what)?;
        let sequence = reader.varint()?;
        let payload = reader.bytes()?.to_vec();
        transactions.push(SealedTransaction { device, sequence, payload });
    }
    let mut missing = Vec::new();
    for _ in 0..reader.varint()? {
        let device = read_index(&mut reader, &devices, what)?;
        let sequence = reader.varint()?;
        let reason = std::str::from_utf8(reader.bytes()?)
            .map_err(|_| SyncError::corrupt(what, "a reason is no text"))?;
        let write = WriteId { device, sequence };
        missing.push(MissingWrite { write, reason: reason.to_owned() });
    }
    check_end(&reader, what)?;
    Ok(Page { log, transactions, cursor, more, own, missing })
}

/// The devices of a page, each once, in the order in which they come; they are named by their place.
struct Devices {
    all: Vec<Device>,
    places: BTreeMap<Device, usize>,
}

impl Devices {
    fn new(of: impl Iterator<Item = Device>) -> Self {
        let (mut all, mut places) = (Vec::new(), BTreeMap::new());
        for device in of {
            places.entry(device).or_insert_with(|| {
                all.push(device);
                all.len() - 1
            });
        }
        Self { all, places }
    }

    fn write(&self, out: &mut Vec<u8>) {
        write_len(out, self.all.len());
        self.all.iter().for_each(|device| write_device(out, *device));
    }

    fn write_index(&self, out: &mut Vec<u8>, device: Device) {
        write_len(out, self.places.get(&device).copied().unwrap_or_default());
    }
}

fn read_index(reader: &mut Reader<'_>, devices: &[Device], what: &'static str) -> Result<Device> {
    let index = reader.varint_usize()?;
    let device = devices.get(index).copied();
    device.ok_or_else(|| SyncError::corrupt(what, "it names a device that is not in it"))
}

fn write_device(out: &mut Vec<u8>, Device { id, incarnation }: Device) {
    out.extend_from_slice(&id);
    write_varint(out, u64::from(incarnation));
}

fn read_device(reader: &mut Reader<'_>) -> Result<Device> {
    Ok(Device { id: reader.array()?, incarnation: reader.varint_u32()? })
}

fn write_len(out: &mut Vec<u8>, len: usize) {
    write_varint(out, len as u64);
}

fn read_cursor(reader: &mut Reader<'_>) -> Result<Cursor> {
    Ok(Cursor(reader.bytes()?.to_vec()))
}

fn check_version(reader: &mut Reader<'_>, during: &'static str) -> Result<()> {
    match reader.byte()? {
        VERSION => Ok(()),
        other => {
            let reason = format!("it is of version {other}, which this program does not know");
            Err(SyncError::Protocol { during, reason })
        }
    }
}

fn read_flags(reader: &mut Reader<'_>, known: u8, what: &'static str) -> Result<u8> {
    let flags = reader.byte()?;
    match flags & !known {
        0 => Ok(flags),
        _ => Err(SyncError::corrupt(what, "it has unknown flags")),
    }
}

fn check_end(reader: &Reader<'_>, what: &'static str) -> Result<()> {
    match reader.is_empty() {
        true => Ok(()),
        false => Err(SyncError::corrupt(what, "something follows its end")),
    }
}
