//! [`Report`]: what an initial sync has done, as text and as JSON.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use storex_sync::{BothWaysReport, InitialSyncReport};

use super::{Direction, Options};
use crate::adopted::LeftOutTable;

/// What an initial sync has done.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// The database.
    pub file: String,
    /// Whether its tables were made, as there were none.
    pub made_file: bool,
    /// What went to the other side, if anything was to go there.
    pub sent: Option<Figures>,
    /// What came from the other side, if anything was to come.
    pub received: Option<Figures>,
    /// How long it took, from the first row to the last.
    pub seconds: f64,
    /// Rows in a second, in both directions.
    pub rows_per_second: f64,
    /// Bytes that were sent, sealed.
    pub bytes_sent: u64,
    /// Bytes that were received, sealed.
    pub bytes_received: u64,
    /// The tables that storex cannot take in, so that they were not synced.
    pub left_out: Vec<LeftOutTable>,
}

/// What went in one direction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Figures {
    /// Rows of all tables.
    pub rows: u64,
    /// Rows of each table.
    pub tables: Vec<TableRows>,
    /// Deleted rows that were told about.
    pub tombstones: u64,
    /// Rows that were newer on the receiver and stayed; told there.
    pub kept: u64,
    /// Rows that could not be applied yet and wait; told on the receiver.
    pub parked: u64,
    /// Whether both sides compared first, and only what differs was sent.
    pub difference_only: bool,
}

/// The rows of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TableRows {
    /// The table.
    pub table: String,
    /// How many.
    pub rows: u64,
}

impl Report {
    #[allow(clippy::cast_precision_loss, reason = "a speed in a report")]
    pub(super) fn new(options: &Options, done: &BothWaysReport, elapsed: Duration) -> Self {
        let wants = |direction| options.both_ways || options.direction == direction;
        let sent = wants(Direction::Send).then(|| Figures::of(&done.sent));
        let received = wants(Direction::Receive).then(|| Figures::of(&done.received));
        let rows = done.sent.total() + done.received.total();
        let seconds = elapsed.as_secs_f64();
        Self {
            file: String::new(),
            made_file: false,
            sent,
            received,
            seconds,
            rows_per_second: if seconds > 0.0 { rows as f64 / seconds } else { 0.0 },
            bytes_sent: 0,
            bytes_received: 0,
            left_out: Vec::new(),
        }
    }
}

impl Figures {
    fn of(report: &InitialSyncReport) -> Self {
        let tables = report.objects.iter();
        Self {
            rows: report.total(),
            tables: tables
                .map(|(table, rows)| TableRows { table: table.to_string(), rows: *rows })
                .collect(),
            tombstones: report.tombstones,
            kept: report.kept,
            parked: report.parked,
            difference_only: report.compared.is_some(),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.made_file {
            writeln!(f, "{} was made, with the other side's tables", self.file)?;
        }
        for (what, figures) in [("sent", &self.sent), ("received", &self.received)] {
            let Some(figures) = figures else { continue };
            writeln!(f, "{what}: {figures}")?;
        }
        let (seconds, speed) = (self.seconds, self.rows_per_second);
        writeln!(
            f,
            "{seconds:.1} s, {speed:.0} rows/s; {} bytes sent, {} received",
            self.bytes_sent, self.bytes_received
        )?;
        for it in &self.left_out {
            writeln!(f, "left out: {}: {}", it.table, it.reason)?;
        }
        Ok(())
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tables = self.tables.len();
        let ending = if tables == 1 { "" } else { "s" };
        write!(f, "{} rows of {tables} table{ending}", self.rows)?;
        for (count, what) in [
            (self.tombstones, "deleted rows"),
            (self.kept, "kept, as they were newer"),
            (self.parked, "waiting, as they cannot be applied yet"),
        ] {
            if count > 0 {
                write!(f, ", {count} {what}")?;
            }
        }
        if self.difference_only { write!(f, " (only what differs)") } else { Ok(()) }
    }
}
