//! Reading what is to be sent.

use std::sync::Arc;

use storex_core::{
    Batch, Direction, Executed, OnConflict, Query, Record, Step, StepOutcome, Trace, Value, field,
};

use crate::apply::Replica;
use crate::engine::Outbox;
use crate::error::{During, Result, SyncError};
use crate::exclusive::{Fence, HOLDER};
use crate::failure::Failure;
use crate::log::LOG;
use crate::meta::{HEAD, Head, OFFERED, meta_query, meta_row, read_meta, write_meta};
use crate::reduce::reduce;
use crate::rules::Rules;
use crate::shared_log::SealedTransaction;
use crate::stamp::Device;
use crate::state::PROGRESS;
use crate::sync::{Sync, Turn};

const DURING: &str = "reading the log";

impl Sync {
    /// Sends every write, also those that a later one has overwritten before they were sent. For applications in which the
    /// shared log is a history. Without this a transaction that the next one overwrites whole is sent without its values.
    #[must_use]
    pub fn unreduced(mut self) -> Self {
        self.replica.reduces = false;
        self
    }

    /// As much of the log as a request carries.
    pub(crate) async fn read_outbox(&self, turn: &Turn, device: Device) -> Result<Outbox> {
        let replica = self.replica.guarded(turn.guard());
        // Before the log: what is written and sent between the two must not seem to have been sent by somebody else.
        let meta = replica.storage.find(meta_query(&[HEAD, PROGRESS, OFFERED])).await;
        let meta = meta.during(DURING)?;
        let next = Head::among(&meta)?.next;
        let first = first_of_log(self.limits.transactions);
        let mut rows = replica.storage.find(first.clone()).await.during(DURING)?;
        let known = offered(&meta);
        if last_of(&rows) > known {
            // Nothing may be given to a log before it is noted.
            let offered = replica.offer(first.clone()).await?;
            let noted = first.filter(field("sequence").lte(Value::Int(offered)));
            rows = replica.storage.find(noted).await.during(DURING)?;
        }
        let state = meta_row(&meta, PROGRESS).is_some();
        let mut outbox = Outbox { next, state, ..Outbox::default() };
        let mut bytes = 0;
        for row in &rows {
            let (sequence, payload) = content(row)?;
            if !outbox.transactions.is_empty() && bytes + payload.len() > self.limits.bytes {
                break;
            }
            bytes += payload.len();
            let entries = row.get(2).as_int().and_then(|int| u64::try_from(int).ok());
            outbox.entries += entries.unwrap_or(0);
            let sequence = u64::try_from(sequence).unwrap_or(0);
            let payload = replica.merging.outgoing(payload.to_vec())?;
            outbox.transactions.push(SealedTransaction { device, sequence, payload });
        }
        let all_taken = outbox.transactions.len() == rows.len();
        outbox.more = !all_taken || rows.len() as u64 >= self.limits.transactions;
        Ok(outbox)
    }
}

impl Replica {
    /// Reduces what was never given to a log, and notes that it is given to one now. Gives the number up to which that is so.
    async fn offer(&self, first: Query) -> Result<i64> {
        let failure = Failure::default();
        let offer = Offer {
            fence: self.fence(),
            // What overwrites another may be dropped by the application before it is sent.
            rules: (self.reduces && self.merging.hooks.is_none()).then(|| Arc::clone(&self.rules)),
            failure: failure.clone(),
        };
        let meta = [OFFERED, HOLDER];
        let batch = Batch::new().step(read_meta(&meta)).step(Step::Find(first));
        let batch = batch.then(move |trace| offer.failure.keep(offer.steps(trace)));
        let outcome = failure.or(self.storage.apply(batch).await, DURING)?;
        let mut found = outcome.executed().iter().filter_map(found);
        Ok(found.next_back().map_or(0, last_of))
    }
}

/// Notes what is given to a log.
struct Offer {
    fence: Option<Fence>,
    rules: Option<Arc<Rules>>,
    failure: Failure,
}

impl Offer {
    fn steps(&self, trace: &Trace) -> Result<Vec<Step>> {
        let (meta, rows) = (trace.found(1), trace.found(0));
        if let Some(fence) = self.fence {
            fence.check(meta)?;
        }
        let known = offered(meta);
        let content = rows.iter().map(content).collect::<Result<Vec<_>>>()?;
        let fresh: Vec<(i64, &[u8])> = content.into_iter().filter(|(n, _)| *n > known).collect();
        let Some((last, _)) = fresh.last() else { return Ok(Vec::new()) };
        let payloads: Vec<&[u8]> = fresh.iter().map(|(_, payload)| *payload).collect();
        let reduced = self.rules.as_ref().map(|rules| reduce(&payloads, rules));
        let row = |(at, payload): (usize, Vec<u8>)| {
            Record::new(vec![Value::Int(fresh[at].0), Value::Bytes(payload), Value::Int(0)])
        };
        let reduced: Vec<Record> = reduced.into_iter().flatten().map(row).collect();
        let mut steps = vec![write_meta(vec![(OFFERED, last.to_be_bytes().to_vec())])];
        if !reduced.is_empty() {
            steps.push(Step::create_or(LOG, reduced, OnConflict::Replace));
        }
        Ok(steps)
    }
}

fn first_of_log(most: u64) -> Query {
    Query::new(LOG).order_by("sequence", Direction::Ascending).limit(most.max(1))
}

/// The number up to which transactions were perhaps given to a log.
pub(crate) fn offered(meta: &[Record]) -> i64 {
    let row = meta_row(meta, OFFERED).and_then(|row| row.try_into().ok());
    row.map_or(0, i64::from_be_bytes)
}

fn found(executed: &Executed) -> Option<&[Record]> {
    match &executed.outcome {
        StepOutcome::Found(records)
            if executed.step.collection().is_some_and(|it| **it == *LOG) =>
        {
            Some(records)
        }
        _ => None,
    }
}

fn last_of(rows: &[Record]) -> i64 {
    rows.last().and_then(|row| row.get(0).as_int()).unwrap_or(0)
}

fn content(row: &Record) -> Result<(i64, &[u8])> {
    match (row.get(0).as_int(), row.get(1).as_bytes()) {
        (Some(sequence), Some(payload)) => Ok((sequence, payload)),
        _ => Err(SyncError::corrupt("the log", "a row has the wrong types")),
    }
}
