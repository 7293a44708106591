//! What a shared log keeps in its database.

use storex_core::{
    Definition, Direction, FieldOption, FieldType, Filter, Key, Query, Record, Registry, Value,
    field,
};

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

pub(super) fn registry() -> storex_core::Result<Registry> {
    Registry::builder()
        .collection(
            Definition::new(TRANSACTIONS)
                .field("position", FieldType::Int)
                .field("device", FieldType::Binary)
                .field("incarnation", FieldType::Int)
                .field("sequence", FieldType::Int)
                .field("transaction", FieldType::Binary)
                .primary_key(["position"])
                .unique(["device", "incarnation", "sequence"]),
        )
        .collection(
            // The defaults are for databases from before there were such fields.
            Definition::new(DEVICES)
                .field("device", FieldType::Binary)
                .field("incarnation", FieldType::Int)
                .field("last_sequence", FieldType::Int)
                .field("acknowledged", FieldType::Int)
                .field_with("member", FieldType::Boolean, [FieldOption::Default(Value::Bool(true))])
                .field_with("floor", FieldType::Int, [FieldOption::Default(Value::Int(0))])
                .primary_key(["device", "incarnation"]),
        )
        .collection(
            Definition::new(IDENTITY)
                .field("name", FieldType::String)
                .field("id", FieldType::Binary)
                .primary_key(["name"]),
        )
        .collection(
            Definition::new(SNAPSHOT)
                .field("name", FieldType::String)
                .field("maker", FieldType::Binary)
                .field("incarnation", FieldType::Int)
                .field("number", FieldType::Binary)
                .field("pages", FieldType::Int)
                .field("place", FieldType::Binary)
                .primary_key(["name"]),
        )
        .collection(
            Definition::new(SNAPSHOT_PAGES)
                .field("maker", FieldType::Binary)
                .field("incarnation", FieldType::Int)
                .field("number", FieldType::Binary)
                .field("page", FieldType::Int)
                .field("bytes", FieldType::Binary)
                .primary_key(["maker", "incarnation", "number", "page"]),
        )
        .collection(
            Definition::new(KEYS)
                .field("name", FieldType::Binary)
                .field("item", FieldType::Binary)
                .primary_key(["name"]),
        )
        .build()
}

/// What the log knows of a device.
#[derive(Debug, Clone, Copy)]
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

    pub(super) fn read(row: &Record) -> Result<Self> {
        let Value::Bool(member) = *row.get(4) else { return Err(wrong()) };
        Ok(Self {
            device: device(row.get(0), row.get(1))?,
            last_sequence: uint(row.get(2))?,
            acknowledged: uint(row.get(3))?,
            member,
            floor: uint(row.get(5))?,
        })
    }

    pub(super) fn record(&self) -> Record {
        Record::new(vec![
            Value::Bytes(self.device.id.to_vec()),
            Value::Int(i64::from(self.device.incarnation)),
            int(self.last_sequence),
            int(self.acknowledged),
            Value::Bool(self.member),
            int(self.floor),
        ])
    }

    pub(super) fn find(device: Device) -> Query {
        Query::new(DEVICES).filter(Self::only(device))
    }

    pub(super) fn only(device: Device) -> Filter {
        Filter::Keys(vec![Key::compound([
            Value::Bytes(device.id.to_vec()),
            Value::Int(i64::from(device.incarnation)),
        ])])
    }
}

/// A row for the transaction at this position.
pub(super) fn transaction_record(position: u64, transaction: &SealedTransaction) -> Record {
    let SealedTransaction { device, sequence, payload } = transaction;
    Record::new(vec![
        int(position),
        Value::Bytes(device.id.to_vec()),
        Value::Int(i64::from(device.incarnation)),
        int(*sequence),
        Value::Bytes(payload.clone()),
    ])
}

pub(super) fn read_transaction(row: Record) -> Result<SealedTransaction> {
    let (device, sequence) = (device(row.get(1), row.get(2))?, uint(row.get(3))?);
    match row.into_values().pop() {
        Some(Value::Bytes(payload)) => Ok(SealedTransaction { device, sequence, payload }),
        _ => Err(wrong()),
    }
}

/// The transactions that a device wrote.
pub(super) fn written_by(device: Device) -> Filter {
    field("device").eq(device.id.as_slice()).and(field("incarnation").eq(device.incarnation))
}

/// The transactions for a device behind a position.
pub(super) fn for_reader(reader: Device, position: u64) -> Filter {
    let behind = field("position").gt(int(position));
    let others =
        field("device").ne(reader.id.as_slice()).or(field("incarnation").ne(reader.incarnation));
    behind.and(others)
}

/// The highest position: one look at the end of the primary key.
pub(super) fn last_position() -> Query {
    Query::new(TRANSACTIONS)
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
