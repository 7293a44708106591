//! Reading what is to be sent.

use std::collections::BTreeMap;
use std::sync::Arc;

use storex_core::{
    Batch, Direction, Executed, OnConflict, Query, Record, Registry, Step, StepOutcome, Trace,
    Value, field,
};

use crate::apply::Replica;
use crate::engine::{Outbox, Outcome};
use crate::error::{During, Result, SyncError};
use crate::exclusive::{Fence, HOLDER};
use crate::failure::Failure;
use crate::log::LOG;
use crate::merging::Merging;
use crate::meta::{HEAD, Head, OFFERED, meta_query, meta_row, read_meta, write_meta};
use crate::numbers::AllNumbers;
use crate::reduce::reduce;
use crate::report::Limits;
use crate::rules::Rules;
use crate::shared_log::SealedTransaction;
use crate::stamp::Device;
use crate::state::{PROGRESS, StatePage, is_state};
use crate::sync::{Sync, Turn};
use crate::transaction::Transaction;
use crate::transaction_code::author;

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
    pub(crate) async fn read_outbox(&self, turn: &Turn, device: Device) -> Result<Outcome> {
        let replica = self.replica.guarded(turn.guard());
        // Before the log: what is written and sent between the two must not seem to have been sent by somebody else.
        let meta = replica.storage.find(meta_query(&[HEAD, PROGRESS, OFFERED])).await;
        let meta = meta.during(DURING)?;
        let next = Head::among(&meta)?.next;
        let (mut rows, mut more) = replica.first_of_log(self.limits).await?;
        if last_of(&rows) > offered(&meta) {
            // Nothing may be given to a log before it is noted.
            let last = last_of(&rows);
            rows = replica.offer(rows, &meta).await?;
            more |= last_of(&rows) < last;
        }
        for row in rows.first().into_iter().chain(rows.last()) {
            let now = author(content(row)?.1)?;
            if now != device {
                // Another program has begun a new incarnation; under the old one nobody would take this.
                return Ok(Outcome::Renewed(Some(now)));
            }
        }
        let state = meta_row(&meta, PROGRESS).is_some();
        let mut outbox = Outbox { next, state, more, ..Outbox::default() };
        for row in &rows {
            let (sequence, payload) = content(row)?;
            let entries = row.get(2).as_int().and_then(|int| u64::try_from(int).ok());
            outbox.entries += entries.unwrap_or(0);
            let sequence = u64::try_from(sequence).unwrap_or(0);
            let payload = payload.to_vec();
            outbox.transactions.push(SealedTransaction { device, sequence, payload });
        }
        Ok(Outcome::Outbox(outbox))
    }
}

impl Replica {
    /// The first rows of the log, as many as a request carries; whether more may follow. They are read a few at a time, so that
    /// never much more is in memory than is sent: nobody knows how large they are.
    async fn first_of_log(&self, limits: Limits) -> Result<(Vec<Record>, bool)> {
        let most = usize::try_from(limits.transactions.max(1)).unwrap_or(usize::MAX);
        let (mut taken, mut bytes, mut chunk) = (Vec::new(), 0, FIRST_CHUNK);
        loop {
            let count = chunk.min(most - taken.len());
            let query = beginning_of_log().filter(field("sequence").gt(last_of(&taken)));
            let rows = self.storage.find(query.limit(count as u64)).await.during(DURING)?;
            let full = rows.len() == count;
            let begins = rows.first().map_or(0, sequence_of);
            if !taken.is_empty() && !rows.is_empty() && begins != last_of(&taken) + 1 {
                // Somebody else has sent and trimmed meanwhile.
                return Ok((taken, true));
            }
            for row in rows {
                let size = content(&row)?.1.len();
                if !taken.is_empty() && bytes + size > limits.bytes {
                    return Ok((taken, true));
                }
                bytes += size;
                taken.push(row);
            }
            if !full || taken.len() == most || bytes >= limits.bytes {
                return Ok((taken, full));
            }
            // As many as fill the request, if they are like those before.
            let each = (bytes / taken.len()).max(1);
            chunk = ((limits.bytes - bytes) / each + 1).clamp(1, MOST_CHUNK);
        }
    }

    /// Reduces what was never given to a log, among these rows, has the application look at it, and notes that it is given to
    /// one now. Gives it as it is now; `meta` was read before the rows.
    async fn offer(&self, rows: Vec<Record>, meta: &[Record]) -> Result<Vec<Record>> {
        let failure = Failure::default();
        let offer = Arc::new(Offer {
            known: Known::among(meta)?,
            rows,
            fence: self.fence(),
            // What overwrites another may be dropped by the application before it is sent.
            rules: (self.reduces && !self.merging.reversible && self.merging.hooks.is_none())
                .then(|| Arc::clone(&self.rules)),
            merging: Arc::clone(&self.merging),
            numbers: Arc::clone(&self.numbers),
            registry: Arc::clone(self.storage.registry()),
            failure: failure.clone(),
        });
        let begun = Batch::new().step(read_meta(&[HEAD, OFFERED, HOLDER])).touching([LOG]);
        let batch = {
            let offer = Arc::clone(&offer);
            begun.then(move |trace| offer.failure.keep(Arc::clone(&offer).begin(trace)))
        };
        let outcome = failure.or(self.storage.apply(batch).await, DURING)?;
        let found = outcome.executed().iter().find_map(|it| self.found(it));
        let mut rows = match found {
            Some(found) => found.to_vec(),
            // Usually nobody else holds them any more.
            None => Arc::try_unwrap(offer).map_or_else(|it| it.rows.clone(), |it| it.rows),
        };
        for changed in outcome.executed().iter().flat_map(|it| self.rewritten(it)) {
            let same = rows.iter_mut().find(|row| row.get(0) == changed.get(0));
            same.into_iter().for_each(|row| row.clone_from(changed));
        }
        Ok(rows)
    }

    /// The rows of the log that a step has read.
    fn found<'a>(&self, executed: &'a Executed) -> Option<&'a [Record]> {
        match &executed.outcome {
            StepOutcome::Found(records) if self.storage.is_about(&executed.step, LOG) => {
                Some(records)
            }
            _ => None,
        }
    }

    /// The rows that a step has written into the log.
    fn rewritten<'a>(&self, executed: &'a Executed) -> &'a [Record] {
        match &executed.step {
            step @ Step::Create(create) if self.storage.is_about(step, LOG) => &create.records,
            _ => &[],
        }
    }
}

/// How many rows of the log are read first, and how many at most at once.
const FIRST_CHUNK: usize = 1;
const MOST_CHUNK: usize = 1000;

/// The bytes of a transaction, and how many entries it has.
type Rewritten = (Vec<u8>, i64);

/// Whose the rows of the log are, and how many of them were given to a log. As long as that stays, so do the others.
#[derive(Debug, PartialEq, Eq)]
struct Known {
    me: u32,
    offered: i64,
}

impl Known {
    fn among(meta: &[Record]) -> Result<Self> {
        Ok(Self { me: Head::among(meta)?.me, offered: offered(meta) })
    }
}

/// Notes what is given to a log.
struct Offer {
    known: Known,
    rows: Vec<Record>,
    fence: Option<Fence>,
    rules: Option<Arc<Rules>>,
    merging: Arc<Merging>,
    numbers: Arc<AllNumbers>,
    registry: Arc<Registry>,
    failure: Failure,
}

impl Offer {
    /// Reads the rows once more, if another program has sent some of them since, or has begun a new incarnation.
    fn begin(self: Arc<Self>, trace: &Trace) -> Result<Vec<Step>> {
        let meta = trace.found(0);
        if let Some(fence) = self.fence {
            fence.check(meta)?;
        }
        if Known::among(meta)? == self.known {
            return self.steps(meta, &self.rows);
        }
        let first = beginning_of_log().filter(field("sequence").lte(last_of(&self.rows)));
        let steps =
            Step::then(move |trace| self.failure.keep(self.steps(trace.found(1), trace.found(0))));
        Ok(vec![Step::Find(first), steps])
    }

    fn steps(&self, meta: &[Record], rows: &[Record]) -> Result<Vec<Step>> {
        let known = offered(meta);
        let content = rows.iter().map(content).collect::<Result<Vec<_>>>()?;
        let fresh: Vec<(i64, &[u8])> = content.into_iter().filter(|(n, _)| *n > known).collect();
        let Some((last, _)) = fresh.last() else { return Ok(Vec::new()) };
        let payloads: Vec<&[u8]> = fresh.iter().map(|(_, payload)| *payload).collect();
        let reduced = self.rules.as_ref().map(|rules| reduce(&payloads, rules));
        let mut rewritten: BTreeMap<usize, Rewritten> =
            self.outgoing(&payloads)?.into_iter().collect();
        // What is left out altogether holds nothing else.
        rewritten.extend(reduced.into_iter().flatten().map(|(at, payload)| (at, (payload, 0))));
        let row = |(at, (payload, entries)): (usize, Rewritten)| {
            Record::new(vec![Value::Int(fresh[at].0), Value::Bytes(payload), Value::Int(entries)])
        };
        let rows: Vec<Record> = rewritten.into_iter().map(row).collect();
        let mut steps = vec![write_meta(vec![(OFFERED, last.to_be_bytes().to_vec())])];
        if !rows.is_empty() {
            steps.push(Step::create_or(LOG, rows, OnConflict::Replace));
        }
        Ok(steps)
    }

    /// What is sent otherwise than it was logged, by place: without fields that are local by now, and as the application makes it.
    /// It is asked once: what is given to a log again must have the same bytes.
    fn outgoing(&self, payloads: &[&[u8]]) -> Result<Vec<(usize, Rewritten)>> {
        if self.merging.hooks.is_none() && !self.numbers.has_local() {
            return Ok(Vec::new());
        }
        let mut outgoing = Vec::new();
        for (at, payload) in payloads.iter().enumerate() {
            if is_state(payload) {
                let mut page = StatePage::decode_own(payload, &self.registry)?;
                if self.numbers.without_local_state(&self.registry, &mut page) {
                    let objects = (page.living.len() + page.deleted.len()) as u64;
                    let objects = i64::try_from(objects).unwrap_or(i64::MAX);
                    outgoing.push((at, (page.encode(), objects)));
                }
                continue;
            }
            let mut transaction = Transaction::decode_own(payload, &self.registry)?;
            let stripped = self.numbers.without_local(&self.registry, &mut transaction);
            if self.merging.outgoing(&mut transaction)? || stripped {
                let left = transaction.entries.iter().filter(|it| !it.is_taken_out()).count();
                let left = i64::try_from(left).unwrap_or(i64::MAX);
                outgoing.push((at, (transaction.encode(), left)));
            }
        }
        Ok(outgoing)
    }
}

fn beginning_of_log() -> Query {
    Query::new(LOG).order_by("sequence", Direction::Ascending)
}

/// The number up to which transactions were perhaps given to a log.
pub(crate) fn offered(meta: &[Record]) -> i64 {
    let row = meta_row(meta, OFFERED).and_then(|row| row.try_into().ok());
    row.map_or(0, i64::from_be_bytes)
}

fn last_of(rows: &[Record]) -> i64 {
    rows.last().map_or(0, sequence_of)
}

fn sequence_of(row: &Record) -> i64 {
    row.get(0).as_int().unwrap_or(0)
}

fn content(row: &Record) -> Result<(i64, &[u8])> {
    match (row.get(0).as_int(), row.get(1).as_bytes()) {
        (Some(sequence), Some(payload)) => Ok((sequence, payload)),
        _ => Err(SyncError::corrupt("the log", "a row has the wrong types")),
    }
}
