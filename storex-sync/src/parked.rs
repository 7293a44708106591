//! What cannot be applied is parked with its reason; everything else flows on.

use storex_core::{
    Changes, Definition, FieldType, Key, OnConflict, Query, Record, Step, StepOutcome, Value, field,
};

use crate::error::{During, Result, SyncError};
use crate::failure::Failure;
use crate::lane::{Lane, Names};
use crate::shared_log::SealedTransaction;
use crate::stamp::Device;

pub(crate) const PARKED: &str = "_storex_parked";

/// A transaction of another device that could not be applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parked {
    /// The device that wrote it. All zeros: nobody's, objects that an initial sync has brought and that could not be taken.
    pub device: Device,
    /// Its number; of what is nobody's, a checksum.
    pub sequence: u64,
    /// What it waits for.
    pub waits_for: WaitsFor,
    /// Why it could not be applied.
    pub reason: String,
    /// Its bytes.
    pub payload: Vec<u8>,
}

/// What has to happen before a parked transaction can be applied. It is tried again by itself then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitsFor {
    /// Another program or schema: this one does not know what is in the transaction. Tried when sync begins.
    Update,
    /// Other data: something that it changes is not here, or something is in its way. Tried when something has arrived.
    Change,
    /// Its time: its author's clock is far ahead of this device's. Tried when something has arrived.
    Time,
    /// The rest of what it came with: an initial sync is under way, or was broken off. Judged when one has come to its end. When
    /// sync begins it is tried whether it breaks no rule any more, because the shared log has brought the rest.
    InitialSync,
}

pub(crate) fn parked_definition(names: &Names) -> Definition {
    Definition::new(names.own(PARKED))
        .reserved()
        .field("device", FieldType::Binary)
        .field("incarnation", FieldType::Int)
        .field("sequence", FieldType::Int)
        .field("waits_for", FieldType::Int)
        .field("reason", FieldType::String)
        .field("transaction", FieldType::Binary)
        .primary_key(["device", "incarnation", "sequence"])
}

impl WaitsFor {
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Update => 0,
            Self::Change => 1,
            Self::Time => 2,
            Self::InitialSync => 3,
        }
    }

    /// Whatever a later version adds is tried when anything has changed.
    pub(crate) fn from_code(code: u64) -> Self {
        match code {
            0 => Self::Update,
            2 => Self::Time,
            3 => Self::InitialSync,
            _ => Self::Change,
        }
    }
}

impl Parked {
    /// As it came.
    pub(crate) fn sealed(self) -> SealedTransaction {
        let Self { device, sequence, payload, .. } = self;
        SealedTransaction { device, sequence, payload }
    }

    fn record(self) -> Record {
        Record::new(vec![
            Value::Bytes(self.device.id.to_vec()),
            Value::Int(i64::from(self.device.incarnation)),
            Value::Int(i64::try_from(self.sequence).unwrap_or(i64::MAX)),
            Value::from(self.waits_for.code()),
            Value::Text(self.reason),
            Value::Bytes(self.payload),
        ])
    }

    pub(crate) fn from_record(record: &Record) -> Result<Self> {
        let (device, sequence) = parked_name(record)?;
        let code = record.get(3).as_int().and_then(|int| u64::try_from(int).ok());
        Ok(Self {
            device,
            sequence,
            waits_for: WaitsFor::from_code(code.ok_or_else(wrong)?),
            reason: record.get(4).as_text().unwrap_or_default().to_owned(),
            payload: record.get(5).as_bytes().unwrap_or_default().to_vec(),
        })
    }
}

fn wrong() -> SyncError {
    SyncError::corrupt("a parked transaction", "its row has the wrong types")
}

/// Whose transaction a row is about, and its number.
pub(crate) fn parked_name(row: &Record) -> Result<(Device, u64)> {
    let id = row.get(0).as_bytes().and_then(|id| id.try_into().ok()).ok_or_else(wrong)?;
    let number =
        |at| row.get(at).as_int().and_then(|int| u64::try_from(int).ok()).ok_or_else(wrong);
    let incarnation = u32::try_from(number(1)?).map_err(|_| wrong())?;
    Ok((Device { id, incarnation }, number(2)?))
}

/// What finds the names of so many transactions of a device.
pub(crate) fn parked_of(device: Device, most: u64) -> Query {
    let of =
        field("device").eq(device.id.as_slice()).and(field("incarnation").eq(device.incarnation));
    Query::new(PARKED).filter(of).select(["device", "incarnation", "sequence"]).limit(most)
}

/// A step after which what waits for the rest of an initial sync waits for nothing else any more.
pub(crate) fn all_is_here() -> Step {
    let waits = field("waits_for").eq(WaitsFor::InitialSync.code());
    let changes = Changes::new().set("waits_for", WaitsFor::Change.code());
    Step::Update { collection: PARKED.into(), filter: waits, changes }
}

/// A step that parks transactions; one that is parked already gets the new reason.
fn park(parked: Vec<Parked>) -> Step {
    let records = parked.into_iter().map(Parked::record).collect();
    Step::create_or(PARKED, records, OnConflict::Replace)
}

/// Steps that park transactions, unless too many are parked.
pub(crate) fn park_up_to(most: u64, parked: Vec<Parked>, failure: &Failure) -> [Step; 2] {
    let (more, failure) = (parked.len() as u64, failure.clone());
    let next = Step::then(move |trace| {
        let counted = match trace.last().map(|last| &last.outcome) {
            Some(StepOutcome::Counted(counted)) => *counted,
            _ => 0,
        };
        if counted.saturating_add(more) > most {
            return failure.keep(Err(SyncError::ParkingFull { most }));
        }
        Ok(vec![park(parked.clone())])
    });
    [Step::Count(Query::new(PARKED)), next]
}

/// A step that forgets what former incarnations of a device wrote far ahead: it says it anew.
pub(crate) fn forget_ahead(device: Device) -> Step {
    let former =
        field("device").eq(device.id.as_slice()).and(field("incarnation").lt(device.incarnation));
    let filter = former.and(field("waits_for").eq(WaitsFor::Time.code()));
    Step::Delete { collection: PARKED.into(), filter }
}

/// The key under which a transaction is parked.
pub(crate) fn parked_key(device: Device, sequence: u64) -> Key {
    Key::compound([
        Value::Bytes(device.id.to_vec()),
        Value::Int(i64::from(device.incarnation)),
        Value::Int(i64::try_from(sequence).unwrap_or(i64::MAX)),
    ])
}

/// What is parked, in the order of devices and numbers.
///
/// # Errors
/// [`SyncError::Storage`].
pub async fn parked(storage: impl Into<Lane>) -> Result<Vec<Parked>> {
    find(&storage.into(), Query::new(PARKED)).await
}

/// What is parked and may be applied by this same program.
pub(crate) async fn waiting(storage: &Lane) -> Result<Vec<Parked>> {
    let never =
        [WaitsFor::Update, WaitsFor::InitialSync].map(|it| field("waits_for").ne(it.code()));
    let [update, rest] = never;
    let filter = update.and(rest);
    find(storage, Query::new(PARKED).filter(filter)).await
}

pub(crate) async fn find(storage: &Lane, query: Query) -> Result<Vec<Parked>> {
    let rows = storage.find(query).await.during("reading what is parked")?;
    let mut parked = rows.iter().map(Parked::from_record).collect::<Result<Vec<_>>>()?;
    parked.sort_by_key(|parked| (parked.device, parked.sequence));
    Ok(parked)
}
