//! What shared logs keep in their database.

use storex_core::{Definition, Direction, FieldType, Filter, Key, Query, Record, Value, field};

use crate::error::{Result, SyncError};
use crate::shared_log::SealedTransaction;
use crate::stamp::Device;

pub(super) const TRANSACTIONS: &str = "shared_transaction";
pub(super) const DEVICES: &str = "shared_device";
pub(super) const IDENTITY: &str = "shared_log";
/// The snapshot that is published.
pub(super) const SNAPSHOT: &str = "shared_snapshot";
pub(super) const SNAPSHOT_PAGES: &str = "shared_snapshot_page";
pub(super) const KEYS: &str = "shared_key";

/// Everything begins with the name of the log that it is in. What may be large is of type [`FieldType::Blob`]: SQLite then keeps it in a
/// table in which large rows cost least.
///
/// What was added later, to a version that stays, is optional: it is null in the rows of before. In a SQLite file of before it stands behind
/// all other columns.
pub(super) fn collections() -> Vec<Definition> {
    vec![
        Definition::new(TRANSACTIONS)
            .field("log", FieldType::String)
            .field("position", FieldType::Int)
            .field("device", FieldType::Binary)
            .field("incarnation", FieldType::Int)
            .field("sequence", FieldType::Int)
            // Of the transaction, in front of it so that it is found without it. Added later: see above. There SQLite walks over the pages of
            // the transaction to find it, and loads none of it into memory.
            .optional("bytes", FieldType::Int)
            .field("transaction", FieldType::Blob)
            .primary_key(["log", "position"])
            .unique(["log", "device", "incarnation", "sequence"]),
        Definition::new(DEVICES)
            .field("log", FieldType::String)
            .field("device", FieldType::Binary)
            .field("incarnation", FieldType::Int)
            .field("last_sequence", FieldType::Int)
            .field("acknowledged", FieldType::Int)
            .field("member", FieldType::Boolean)
            .field("floor", FieldType::Int)
            .primary_key(["log", "device", "incarnation"]),
        Definition::new(IDENTITY)
            .field("name", FieldType::String)
            .field("id", FieldType::Binary)
            .primary_key(["name"]),
        Definition::new(SNAPSHOT)
            .field("log", FieldType::String)
            .field("maker", FieldType::Binary)
            .field("incarnation", FieldType::Int)
            .field("number", FieldType::Binary)
            .field("pages", FieldType::Int)
            .field("place", FieldType::Binary)
            .primary_key(["log"]),
        Definition::new(SNAPSHOT_PAGES)
            .field("log", FieldType::String)
            .field("maker", FieldType::Binary)
            .field("incarnation", FieldType::Int)
            .field("number", FieldType::Binary)
            .field("page", FieldType::Int)
            .field("bytes", FieldType::Blob)
            .primary_key(["log", "maker", "incarnation", "number", "page"]),
        Definition::new(KEYS)
            .field("log", FieldType::String)
            .field("name", FieldType::Binary)
            .field("item", FieldType::Binary)
            .primary_key(["log", "name"]),
    ]
}

/// What is in a log.
pub(super) fn of_log(name: &str) -> Filter {
    field("log").eq(name)
}

/// What the log knows of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DeviceRow {
    pub(super) device: Device,
    /// The number of its last transaction; 0: it has written nothing.
    pub(super) last_sequence: u64,
    /// The position that it has acknowledged.
    pub(super) acknowledged: u64,
    pub(super) member: bool,
    /// The position of the last of its transactions that was trimmed.
    pub(super) floor: u64,
}

impl DeviceRow {
    pub(super) fn new(device: Device) -> Self {
        Self { device, last_sequence: 0, acknowledged: 0, member: false, floor: 0 }
    }

    /// The same as a member that has acknowledged this position at least.
    pub(super) fn acknowledging(self, position: u64) -> Self {
        Self { acknowledged: self.acknowledged.max(position), member: true, ..self }
    }

    pub(super) fn read(row: &Record) -> Result<Self> {
        let Value::Bool(member) = *row.get(5) else { return Err(wrong()) };
        Ok(Self {
            device: device(row.get(1), row.get(2))?,
            last_sequence: uint(row.get(3))?,
            acknowledged: uint(row.get(4))?,
            member,
            floor: uint(row.get(6))?,
        })
    }

    pub(super) fn record(&self, log: &str) -> Record {
        Record::new(vec![
            Value::from(log),
            Value::Bytes(self.device.id.to_vec()),
            Value::Int(i64::from(self.device.incarnation)),
            int(self.last_sequence),
            int(self.acknowledged),
            Value::Bool(self.member),
            int(self.floor),
        ])
    }

    pub(super) fn only(log: &str, device: Device) -> Filter {
        Filter::Keys(vec![Key::compound([
            Value::from(log),
            Value::Bytes(device.id.to_vec()),
            Value::Int(i64::from(device.incarnation)),
        ])])
    }

    pub(super) fn find(log: &str, device: Device) -> Query {
        Query::new(DEVICES).filter(Self::only(log, device))
    }

    /// Those that a log knows.
    pub(super) fn find_all(log: &str) -> Query {
        Query::new(DEVICES).filter(of_log(log))
    }
}

/// A row for the transaction at this position.
pub(super) fn transaction_record(
    log: &str,
    position: u64,
    transaction: &SealedTransaction,
) -> Record {
    let SealedTransaction { device, sequence, payload } = transaction;
    Record::new(vec![
        Value::from(log),
        int(position),
        Value::Bytes(device.id.to_vec()),
        Value::Int(i64::from(device.incarnation)),
        int(*sequence),
        int(payload.len() as u64),
        Value::Bytes(payload.clone()),
    ])
}

/// A number of a row, and the bytes of its transaction if it tells them: what [`sized_by`] finds.
pub(super) fn size(row: &Record) -> Result<(u64, Option<usize>)> {
    let bytes = match row.get(1) {
        Value::Null => None,
        bytes => Some(usize::try_from(uint(bytes)?).unwrap_or(usize::MAX)),
    };
    Ok((uint(row.get(0))?, bytes))
}

/// The same rows without their transactions: for [`size`].
pub(super) fn sized_by(number: &str, query: Query) -> Query {
    query.select([number, "bytes"])
}

/// The position of a row.
pub(super) fn position_of(row: &Record) -> Result<u64> {
    uint(row.get(1))
}

pub(super) fn read_transaction(row: Record) -> Result<SealedTransaction> {
    let (device, sequence) = (device(row.get(2), row.get(3))?, uint(row.get(4))?);
    match row.into_values().pop() {
        Some(Value::Bytes(payload)) => Ok(SealedTransaction { device, sequence, payload }),
        _ => Err(wrong()),
    }
}

/// The transactions that a device wrote.
pub(super) fn written_by(log: &str, device: Device) -> Filter {
    let device =
        field("device").eq(device.id.as_slice()).and(field("incarnation").eq(device.incarnation));
    of_log(log).and(device)
}

/// The transactions for a device behind a position.
pub(super) fn for_reader(log: &str, reader: Device, position: u64) -> Filter {
    let others =
        field("device").ne(reader.id.as_slice()).or(field("incarnation").ne(reader.incarnation));
    of_log(log).and(field("position").gt(int(position))).and(others)
}

/// The highest position: one look at the end of the log's part of the primary key.
pub(super) fn last_position(log: &str) -> Query {
    Query::new(TRANSACTIONS)
        .filter(of_log(log))
        .order_by("position", Direction::Descending)
        .limit(1)
        .select(["position"])
}

pub(super) fn int(value: u64) -> Value {
    Value::Int(i64::try_from(value).unwrap_or(i64::MAX))
}

pub(super) fn uint(value: &Value) -> Result<u64> {
    value.as_int().and_then(|int| u64::try_from(int).ok()).ok_or_else(wrong)
}

pub(super) fn device(id: &Value, incarnation: &Value) -> Result<Device> {
    let id = id.as_bytes().and_then(|id| id.try_into().ok()).ok_or_else(wrong)?;
    let incarnation = u32::try_from(uint(incarnation)?).map_err(|_| wrong())?;
    Ok(Device { id, incarnation })
}

pub(super) fn wrong() -> SyncError {
    SyncError::corrupt("the shared log", "a row has the wrong types")
}
