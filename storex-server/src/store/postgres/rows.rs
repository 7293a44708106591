//! What rows hold.

use storex_sync::{Device, LogId, SealedTransaction, SnapshotId};
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;

use super::database::{Result, Session};

/// A number as the database takes it. None that a log draws is larger.
pub(super) fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The columns of a row.
pub(super) struct Columns<'a> {
    pub(super) session: &'a Session<'a>,
    pub(super) row: &'a Row,
}

impl<'a> Columns<'a> {
    pub(super) fn get<T: FromSql<'a>>(&self, column: usize) -> Result<T> {
        self.row.try_get(column).map_err(|error| self.session.failure(&error))
    }

    pub(super) fn uint(&self, column: usize) -> Result<u64> {
        u64::try_from(self.get::<i64>(column)?).map_err(|_| self.session.wrong())
    }

    pub(super) fn octets<const N: usize>(&self, column: usize) -> Result<[u8; N]> {
        self.get::<&[u8]>(column)?.try_into().map_err(|_| self.session.wrong())
    }

    pub(super) fn device_id(&self, column: usize) -> Result<[u8; 16]> {
        self.octets(column)
    }

    pub(super) fn log(&self, column: usize) -> Result<LogId> {
        self.octets(column).map(LogId)
    }

    /// Of this column and the next.
    pub(super) fn device(&self, column: usize) -> Result<Device> {
        let incarnation = u32::try_from(self.uint(column + 1)?);
        let incarnation = incarnation.map_err(|_| self.session.wrong())?;
        Ok(Device { id: self.octets(column)?, incarnation })
    }

    /// Of these columns: the maker, its incarnation, the number.
    pub(super) fn snapshot(&self, column: usize) -> Result<SnapshotId> {
        let number = u64::from_be_bytes(self.octets(column + 2)?);
        Ok(SnapshotId { maker: self.device(column)?, number })
    }
}

/// A device as values of a statement.
#[derive(Clone, Copy)]
pub(super) struct DeviceValues<'a> {
    pub(super) id: &'a [u8],
    pub(super) incarnation: i64,
}

impl<'a> DeviceValues<'a> {
    pub(super) fn of(device: &'a Device) -> Self {
        Self { id: &device.id, incarnation: i64::from(device.incarnation) }
    }
}

/// The numbers and payloads of transactions, as values of a statement.
pub(super) fn values_of(transactions: &[SealedTransaction]) -> (Vec<i64>, Vec<&[u8]>) {
    let one = |it: &'_ SealedTransaction| int(it.sequence);
    let numbers = transactions.iter().map(one).collect();
    (numbers, transactions.iter().map(|it| it.payload.as_slice()).collect())
}
