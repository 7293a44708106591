//! What a device writes is appended once, however often it comes.

use std::collections::HashMap;
use std::sync::Arc;

use storex_core::{
    Batch, BatchOutcome, Direction, Name, OnConflict, Query, Runtime, Step, StepOutcome, Trace,
    field,
};

use super::ahead::AHEAD;
use super::removing::check_not_removed;
use super::rows::{
    DEVICES, DeviceRow, IDENTITY, TRANSACTIONS, int, last_position, read_transaction, size,
    sized_by, transaction_record, uint, written_by,
};
use super::{BackendSharedLog, make};
use crate::error::{During, Result};
use crate::log_rules;
use crate::shared_log::SealedTransaction;
use crate::stamp::Device;

const APPENDING: &str = "appending to the shared log";

/// What was found of the transactions that the log has had already.
#[derive(Debug, Clone, Default)]
struct Compared {
    /// So many, from the first on, were looked for.
    count: usize,
    /// Whether what is held under a number is the same.
    same: HashMap<u64, bool>,
}

impl BackendSharedLog {
    /// In one transaction, so that it waits for the disk once. Who may not append has acknowledged all the same.
    pub(super) async fn acknowledge_and_append(
        &self,
        device: Device,
        position: u64,
        transactions: &[SealedTransaction],
    ) -> Result<()> {
        let is_author = log_rules::author(transactions).is_ok_and(|it| it == Some(device));
        if is_author && self.append_all(transactions, Some(position)).await.is_ok() {
            return Ok(());
        }
        self.admit(device, position, "acknowledging").await?;
        self.append_all(transactions, None).await
    }

    /// Appends, and acknowledges a position for their author, if there is one.
    pub(super) async fn append_all(
        &self,
        transactions: &[SealedTransaction],
        acknowledged: Option<u64>,
    ) -> Result<()> {
        let Some(device) = log_rules::author(transactions)? else { return Ok(()) };
        let transactions: Arc<[SealedTransaction]> = transactions.into();
        // Most of the time nothing comes again, and there is nothing to compare.
        let mut compared = Compared::default();
        loop {
            let append =
                || self.append_compared(device, acknowledged, &transactions, compared.clone());
            let last = self.in_a_log(append).await?;
            let repeated = log_rules::repeated(&transactions, last);
            if repeated.len() <= compared.count {
                return Ok(());
            }
            compared = self.compare(device, repeated).await?;
        }
    }

    /// Appends what is new, unless there is more to compare. Tells the number of the last transaction that the log has had.
    async fn append_compared(
        &self,
        device: Device,
        acknowledged: Option<u64>,
        transactions: &Arc<[SealedTransaction]>,
        compared: Compared,
    ) -> Result<u64> {
        let look = Batch::new()
            .find(self.find_identity())
            .find(DeviceRow::find(&self.name, device))
            .find(last_position(&self.name))
            .touching([IDENTITY]);
        let (log, runtime) = (Name::clone(&self.name), Arc::clone(self.storage.runtime()));
        let transactions = Arc::clone(transactions);
        let decide = move |trace: &Trace| {
            check_not_removed(trace.found(2))?;
            let known =
                trace.found(1).first().map_or(Ok(DeviceRow::new(device)), DeviceRow::read)?;
            let end = trace.found(0).first().map_or(Ok(0), |row| uint(row.get(0)))?;
            if log_rules::repeated(&transactions, known.last_sequence).len() > compared.count {
                return Ok(Vec::new());
            }
            let is_same = |it: &SealedTransaction| compared.same.get(&it.sequence).copied();
            let fresh = log_rules::fresh_by(&transactions, known.last_sequence, is_same)?;
            Ok(append_steps(&log, &*runtime, known, acknowledged, end, fresh))
        };
        last_before(&self.execute_then(look, APPENDING, decide).await?)
    }

    /// Looks at what is held, which stays as it is and needs no transaction. No more of it is loaded than was sent: what is of another
    /// size is another transaction.
    async fn compare(&self, device: Device, repeated: &[SealedTransaction]) -> Result<Compared> {
        let mut same = HashMap::new();
        for now in repeated.chunks(AHEAD) {
            let (Some(first), Some(last)) = (now.first(), now.last()) else { break };
            let held = |end: u64| {
                let held = written_by(&self.name, device)
                    .and(field("sequence").gte(int(first.sequence)))
                    .and(field("sequence").lte(int(end)));
                Query::new(TRANSACTIONS).filter(held).order_by("sequence", Direction::Ascending)
            };
            let sent = |sequence: u64| {
                let at = usize::try_from(sequence.checked_sub(first.sequence)?).ok()?;
                now.get(at)
            };
            let sizes = self.storage.find(sized_by("sequence", held(last.sequence))).await;
            let (mut end, mut another) = (None, None);
            for row in &sizes.during(APPENDING)? {
                let (sequence, size) = size(row)?;
                let is_as_long =
                    |sent: &SealedTransaction| size.is_none_or(|size| size == sent.payload.len());
                if !sent(sequence).is_some_and(is_as_long) {
                    another = Some(sequence);
                    break;
                }
                end = Some(sequence);
            }
            if let Some(end) = end {
                for row in self.storage.find(held(end)).await.during(APPENDING)? {
                    let there = read_transaction(row)?;
                    let is_same =
                        sent(there.sequence).is_some_and(|it| it.payload == there.payload);
                    same.insert(there.sequence, is_same);
                }
            }
            if let Some(sequence) = another {
                // Nothing is appended, so what is behind it need not be looked at.
                same.insert(sequence, false);
                break;
            }
        }
        Ok(Compared { count: repeated.len(), same })
    }
}

/// The number of the device's last transaction, as the batch has found it.
fn last_before(outcome: &BatchOutcome) -> Result<u64> {
    let rows = match outcome.of_step(1).next().map(|executed| &executed.outcome) {
        Some(StepOutcome::Found(rows)) => rows.as_slice(),
        _ => &[],
    };
    rows.first().map_or(Ok(0), |row| Ok(DeviceRow::read(row)?.last_sequence))
}

/// Rows to append behind the end of the log, and what is known of the device then.
fn append_steps(
    log: &str,
    runtime: &dyn Runtime,
    known: DeviceRow,
    acknowledged: Option<u64>,
    end: u64,
    fresh: &[SealedTransaction],
) -> Vec<Step> {
    let last_sequence = fresh.last().map_or(known.last_sequence, |last| last.sequence);
    let device = DeviceRow { last_sequence, ..known };
    let device = acknowledged.map_or(device, |position| device.acknowledging(position));
    if device == known {
        return Vec::new();
    }
    let mut steps = Vec::new();
    if !fresh.is_empty() {
        let rows = (end + 1..).zip(fresh);
        let rows = rows.map(|(at, one)| transaction_record(log, at, one)).collect();
        steps.push(Step::create(TRANSACTIONS, rows));
    }
    steps.push(Step::create_or(DEVICES, vec![device.record(log)], OnConflict::Replace));
    // A log that holds something was made: the last transaction of a device stays.
    if end == 0 {
        steps.push(make(log, runtime));
    }
    steps
}
