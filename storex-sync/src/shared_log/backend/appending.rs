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
    /// size is another transaction, and a row of an older version, whose size is not known before it is there, is loaded alone.
    async fn compare(&self, device: Device, repeated: &[SealedTransaction]) -> Result<Compared> {
        let mut compared = Compared { count: repeated.len(), same: HashMap::new() };
        for sent in repeated.chunks(AHEAD) {
            let (Some(first), Some(last)) = (sent.first(), sent.last()) else { break };
            let held = self.held(device, first.sequence, last.sequence);
            let sizes = self.storage.find(sized_by("sequence", held)).await.during(APPENDING)?;
            let sizes = sizes.iter().map(size).collect::<Result<Vec<_>>>()?;
            let mut ahead = sizes.as_slice();
            while let Some((next, _)) = ahead.first() {
                let (now, rest) = ahead.split_at(loadable(ahead, sent));
                let Some((end, _)) = now.last() else {
                    compared.same.insert(*next, false);
                    return Ok(compared);
                };
                let rows = self.storage.find(self.held(device, *next, *end)).await;
                for row in rows.during(APPENDING)? {
                    let there = read_transaction(row)?;
                    let is_same = sent_as(sent, there.sequence)
                        .is_some_and(|sent| sent.payload == there.payload);
                    compared.same.insert(there.sequence, is_same);
                    if !is_same {
                        // Nothing is appended, so what is behind it need not be looked at.
                        return Ok(compared);
                    }
                }
                ahead = rest;
            }
        }
        Ok(compared)
    }

    /// What a device wrote, between two numbers.
    fn held(&self, device: Device, from: u64, to: u64) -> Query {
        let numbered = field("sequence").gte(int(from)).and(field("sequence").lte(int(to)));
        let held = written_by(&self.name, device).and(numbered);
        Query::new(TRANSACTIONS).filter(held).order_by("sequence", Direction::Ascending)
    }
}

/// What was sent under a number; the numbers follow each other.
fn sent_as(sent: &[SealedTransaction], sequence: u64) -> Option<&SealedTransaction> {
    sent.get(usize::try_from(sequence.checked_sub(sent.first()?.sequence)?).ok()?)
}

/// How many of the rows that follow are loaded at once: those that are as long as what was sent, or one whose size is not known. None: the
/// next one is another transaction.
fn loadable(ahead: &[(u64, Option<usize>)], sent: &[SealedTransaction]) -> usize {
    let is_as_long = |(sequence, size): &&(u64, Option<usize>)| {
        size.is_some() && *size == sent_as(sent, *sequence).map(|sent| sent.payload.len())
    };
    match ahead.first() {
        Some((_, None)) => 1,
        _ => ahead.iter().take_while(is_as_long).count(),
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
