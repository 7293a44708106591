//! Removing a log: at once for everybody, and in pieces for the database.
//!
//! First, in one transaction, the log loses its identity and everything that makes it a log: who its members are, its snapshot, its keys. Then
//! its transactions and pages go in pieces, so that nobody waits for long. A log without its identity is not looked into: whoever comes to it
//! (also where whoever has removed it was cut short) finishes the removal first, and finds a new log. So does whoever opens the logs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use storex_core::{
    Batch, Direction, Filter, Key, Name, OnConflict, Query, Record, Step, Trace, Value, field,
};

use super::BackendSharedLog;
use super::rows::{
    DEVICES, IDENTITY, KEYS, SNAPSHOT, SNAPSHOT_PAGES, TRANSACTIONS, of_log, position_of,
};
use crate::error::{Result, SyncError};

const DURING: &str = "removing a shared log";

/// How many transactions, or pages of a snapshot, are deleted at once.
const TRANSACTIONS_AT_ONCE: u64 = 1000;
const PAGES_AT_ONCE: u64 = 20;

/// Whether the row says that a log of this name is being removed.
pub(super) fn is_removed(identity: &[Record]) -> bool {
    identity.first().is_some_and(|row| row.get(1).as_bytes().is_some_and(<[u8]>::is_empty))
}

/// The rows that say so.
pub(super) fn removed() -> Filter {
    field("id").eq(Value::Bytes(Vec::new()))
}

/// Refuses to write into a log that is being removed.
pub(super) fn check_not_removed(identity: &[Record]) -> Result<()> {
    match is_removed(identity) {
        true => Err(SyncError::LogReplaced),
        false => Ok(()),
    }
}

impl BackendSharedLog {
    /// Removes the log with all that is in it.
    pub(super) async fn remove(&self) -> Result<()> {
        let row = Record::new(vec![Value::from(&*self.name), Value::Bytes(Vec::new())]);
        let mark = Batch::new()
            .step(Step::create_or(IDENTITY, vec![row], OnConflict::Replace))
            .step(drop_all(&self.name, DEVICES))
            .step(drop_all(&self.name, SNAPSHOT))
            .step(drop_all(&self.name, KEYS));
        self.execute_then(mark, DURING, |_| Ok(Vec::new())).await?;
        self.finish_removal().await
    }

    /// Deletes what is left of a log that is being removed. Does nothing to any other.
    pub(super) async fn finish_removal(&self) -> Result<()> {
        while self.remove_piece().await? {}
        Ok(())
    }

    /// Whether something is left.
    async fn remove_piece(&self) -> Result<bool> {
        let look = Batch::new()
            .find(self.find_identity())
            .find(
                Query::new(TRANSACTIONS)
                    .filter(of_log(&self.name))
                    .order_by("position", Direction::Ascending)
                    .limit(TRANSACTIONS_AT_ONCE)
                    .select(["log", "position"]),
            )
            .find(
                Query::new(SNAPSHOT_PAGES)
                    .filter(of_log(&self.name))
                    .limit(PAGES_AT_ONCE)
                    .select(["log", "maker", "incarnation", "number", "page"]),
            )
            .touching([DEVICES, SNAPSHOT, KEYS]);
        let goes_on = Arc::new(AtomicBool::new(false));
        let (log, told) = (Name::clone(&self.name), Arc::clone(&goes_on));
        let decide = move |trace: &Trace| {
            let (steps, more) = piece(trace, &log)?;
            told.store(more, Ordering::SeqCst);
            Ok(steps)
        };
        self.execute_then(look, DURING, decide).await?;
        Ok(goes_on.load(Ordering::SeqCst))
    }
}

/// The steps that delete the next piece, and whether something is left behind them.
fn piece(trace: &Trace, log: &Name) -> Result<(Vec<Step>, bool)> {
    let (identity, transactions, pages) = (trace.found(2), trace.found(1), trace.found(0));
    if !is_removed(identity) {
        // Somebody else has finished it, and there may be a new one.
        return Ok((Vec::new(), false));
    }
    if let Some(last) = transactions.last() {
        let up_to = field("position").lte(super::rows::int(position_of(last)?));
        let filter = of_log(log).and(up_to);
        return Ok((vec![Step::Delete { collection: TRANSACTIONS.into(), filter }], true));
    }
    if !pages.is_empty() {
        let key = |row: &Record| Key::compound(row.values().iter().cloned());
        let filter = Filter::Keys(pages.iter().map(key).collect());
        return Ok((vec![Step::Delete { collection: SNAPSHOT_PAGES.into(), filter }], true));
    }
    let identity = Step::Delete { collection: IDENTITY.into(), filter: Filter::key(&**log) };
    let rest = [DEVICES, SNAPSHOT, KEYS].map(|collection| drop_all(log, collection));
    Ok((std::iter::once(identity).chain(rest).collect(), false))
}

fn drop_all(log: &str, collection: &str) -> Step {
    Step::Delete { collection: collection.into(), filter: of_log(log) }
}
