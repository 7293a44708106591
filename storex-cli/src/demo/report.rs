//! [`Report`]: what the demo has shown, for people and as JSON.

use std::fmt;

use serde::Serialize;

use crate::adopted::LeftOutTable;

/// What the demo has shown.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// The database that was given; `None`: the built-in sample.
    pub from: Option<String>,
    /// The folder with the databases, if it stays.
    pub kept: Option<String>,
    /// Whether A and B have the same content and everything came out as it must.
    pub equal: bool,
    /// What differs, in sentences.
    pub differences: Vec<String>,
    /// Rows per table at the end.
    pub tables: Vec<TableRows>,
    /// Tables that are not synced.
    pub left_out: Vec<LeftOutTable>,
    /// What adopting the database has to say of it.
    pub notes: Vec<String>,
    /// The initial sync from A to B.
    pub initial_sync: InitialFigures,
    /// What was written on each side while apart.
    pub edits: Sides<EditCounts>,
    /// The continuous sync.
    pub continuous_sync: ContinuousFigures,
    /// Writes of which neither side had seen the other's, and who won.
    pub conflicts: Vec<ConflictOutcome>,
    /// Seconds for everything.
    pub seconds: f64,
}

/// Something of both devices.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Sides<T> {
    /// Device A's.
    pub a: T,
    /// Device B's.
    pub b: T,
}

/// The rows of a table at the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TableRows {
    /// The table.
    pub table: String,
    /// Rows in A.
    pub a: u64,
    /// Rows in B.
    pub b: u64,
}

/// An initial sync in figures.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct InitialFigures {
    /// Rows that B received.
    pub rows: u64,
    /// How long it took.
    pub seconds: f64,
    /// Rows per second.
    pub rows_per_second: f64,
}

/// What was written on one side while apart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct EditCounts {
    /// Rows created.
    pub inserts: u64,
    /// Rows changed.
    pub updates: u64,
    /// Rows deleted.
    pub deletes: u64,
}

/// A continuous sync in figures.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct ContinuousFigures {
    /// Milliseconds between two exchanges.
    pub interval_ms: u64,
    /// From the start to the last exchange that carried anything.
    pub seconds: f64,
    /// Exchanges that went through on each side.
    pub rounds: Sides<u64>,
    /// What A sent and B received.
    pub a_to_b: Exchanged,
    /// What B sent and A received.
    pub b_to_a: Exchanged,
}

/// What was exchanged in one direction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Exchanged {
    /// Transactions.
    pub transactions: u64,
    /// The entries in them.
    pub entries: u64,
}

/// Two writes of which neither side had seen the other's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConflictOutcome {
    /// The collection.
    pub collection: String,
    /// The row's key.
    pub key: String,
    /// The field that both have set, or that one has set while the other deleted the row.
    pub field: String,
    /// What A did.
    pub a: String,
    /// What B did.
    pub b: String,
    /// Who won: `A`, `B`, or `nobody` when the databases have neither.
    pub winner: &'static str,
    /// Why that is the one who must win.
    pub because: &'static str,
}

impl Report {
    /// All rows of A.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.tables.iter().map(|table| table.a).sum()
    }
}

/// A number with its thousands apart.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", grouped(number), if number == 1 { one } else { many })
}

impl fmt::Display for Exchanged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries = counted(self.entries, "entry", "entries");
        write!(f, "{entries} in {}", counted(self.transactions, "transaction", "transactions"))
    }
}

impl fmt::Display for EditCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inserts = counted(self.inserts, "insert", "inserts");
        let updates = counted(self.updates, "update", "updates");
        write!(f, "{inserts}, {updates}, {}", counted(self.deletes, "delete", "deletes"))
    }
}

/// As wide as the terminal shows it, near enough: scripts that are written twice as wide are not told apart.
fn pad(text: &str, width: usize) -> String {
    let len = text.chars().count();
    format!("{text}{}", " ".repeat(width.saturating_sub(len)))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.from {
            Some(path) => writeln!(f, "storex demo on a copy of {path}")?,
            None => writeln!(f, "storex demo on the built-in sample")?,
        }
        writeln!(f)?;
        self.fmt_steps(f)?;
        self.fmt_conflicts(f)?;
        self.fmt_tables(f)?;
        writeln!(f)?;
        if self.equal {
            writeln!(
                f,
                "A and B are equal: {} in {}, every column; the schema is the original's ({:.2} s in all)",
                counted(self.rows(), "row", "rows"),
                counted(self.tables.len() as u64, "table", "tables"),
                self.seconds
            )?;
        } else {
            writeln!(f, "A and B are NOT as they must be:")?;
            for difference in &self.differences {
                writeln!(f, "  {difference}")?;
            }
        }
        if let Some(kept) = &self.kept {
            writeln!(f, "kept: a.db, b.db and shared-log.db in {kept}")?;
        }
        Ok(())
    }
}

impl Report {
    fn fmt_steps(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let initial = &self.initial_sync;
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "positive, and small enough"
        )]
        let speed = grouped(initial.rows_per_second.round() as u64);
        writeln!(
            f,
            "  initial sync      A → B: {} in {:.2} s ({speed} rows/s)",
            counted(initial.rows, "row", "rows"),
            initial.seconds
        )?;
        writeln!(f, "  edits while apart A: {}", self.edits.a)?;
        writeln!(f, "                    B: {}", self.edits.b)?;
        let continuous = &self.continuous_sync;
        writeln!(f, "  continuous sync   A → B: {}", continuous.a_to_b)?;
        writeln!(f, "                    B → A: {}", continuous.b_to_a)?;
        writeln!(
            f,
            "                    in step after {:.2} s, an exchange every {} ms ({} on A, {} on B)",
            continuous.seconds, continuous.interval_ms, continuous.rounds.a, continuous.rounds.b
        )
    }

    fn fmt_conflicts(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f)?;
        writeln!(f, "  conflicts: {}", self.conflicts.len())?;
        for conflict in &self.conflicts {
            let ConflictOutcome { collection, key, field, a, b, winner, because } = conflict;
            writeln!(f, "    {collection} {key}, {field}")?;
            writeln!(f, "      A: {a}")?;
            writeln!(f, "      B: {b}")?;
            writeln!(f, "      {winner} won: {because}")?;
        }
        Ok(())
    }

    fn fmt_tables(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width =
            self.tables.iter().map(|table| table.table.chars().count()).max().unwrap_or(0).max(5);
        writeln!(f)?;
        writeln!(f, "  {}  {:>9}  {:>9}", pad("table", width), "rows in A", "rows in B")?;
        for TableRows { table, a, b } in &self.tables {
            writeln!(f, "  {}  {:>9}  {:>9}", pad(table, width), grouped(*a), grouped(*b))?;
        }
        for LeftOutTable { table, reason } in &self.left_out {
            writeln!(f, "  left out: {table}: {reason}")?;
        }
        for note in &self.notes {
            writeln!(f, "  note: {note}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(
            ["0", "999", "1,000", "1,234,567"],
            [0, 999, 1000, 1_234_567].map(grouped).as_slice()
        );
    }
}
