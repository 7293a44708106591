//! [`LogWriter`]: the continuations that log what a batch has executed.

use std::collections::HashSet;
use std::sync::Arc;

use storex_core::{OnConflict, Record, Registry, Runtime, Step, StepOutcome, Trace};

use crate::before::{BEFORE, Before, Witness};
use crate::clock::Clock;
use crate::error::{Result, SyncError};
use crate::key_code;
use crate::log_entries::{Known, Written, companions, rows_of};
use crate::merging::Merging;
use crate::meta::{DEVICES, Devices, HEAD, Head, read_meta, write_meta};
use crate::scope::{SCOPES, Subscriptions, leave};
use crate::stamp::Hlc;
use crate::touched::{Touched, touched};
use crate::transaction::Header;

use crate::clock_rows::{ClockRows, clock_key, clock_record, clocks_at, sort_clock_records};
use crate::log::{CLOCK, LOG, log_row, refusal};
use crate::numbers::AllNumbers;

/// Writes the log of one transaction. Its functions are continuations: they may be called again.
#[derive(Debug)]
pub(crate) struct LogWriter {
    pub(crate) registry: Arc<Registry>,
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) numbers: Arc<AllNumbers>,
    pub(crate) schema: u64,
    pub(crate) merging: Arc<Merging>,
    /// Who has seen what was before, where own writes can be taken back.
    pub(crate) witness: Option<Witness>,
}

/// Head and devices as they were read, and the stamp drawn for this transaction.
#[derive(Debug, Clone)]
struct Drawn {
    head: Head,
    devices: Devices,
    hlc: Hlc,
    /// The scopes that this device holds.
    held: Subscriptions,
}

impl LogWriter {
    /// First part: is there anything to log? Then read where this device stands.
    pub(crate) fn begin(self: Arc<Self>, trace: &Trace) -> storex_core::Result<Vec<Step>> {
        if touched(trace, &self.registry, &self.numbers).next().is_none() {
            return Ok(Vec::new());
        }
        let meta = match self.merging.scopes.is_empty() {
            true => read_meta(&[HEAD, DEVICES]),
            false => read_meta(&[HEAD, DEVICES, SCOPES]),
        };
        let next = Step::then(move |trace| Arc::clone(&self).draw(trace).map_err(refusal));
        Ok(vec![meta, next])
    }

    /// Second part: draws the stamp. A lone create needs no look at stored clocks, unless one turns out to be there.
    fn draw(self: Arc<Self>, trace: &Trace) -> Result<Vec<Step>> {
        let rows = trace.found(0);
        let head = Head::among(rows)?;
        let drawn = Drawn {
            head,
            devices: Devices::among(rows)?,
            hlc: head.hlc.next(self.runtime.now()),
            held: Subscriptions::among(rows)?,
        };
        let writer = Arc::clone(&self);
        let mut all = touched(trace, &self.registry, &self.numbers);
        let (first, second) = (all.next(), all.next());
        let (Some(Touched::Created { numbers, records, collection, .. }), None) = (first, second)
        else {
            return writer.read_clocks(trace, drawn);
        };
        // Who wants to know what was before has to read it before it is written.
        if self.witness.is_some() || self.merging.strategies.contains_key(collection.name()) {
            return writer.read_clocks(trace, drawn);
        }
        let clocks = records
            .iter()
            .enumerate()
            .map(|(n, record)| {
                let hlc = drawn.hlc.plus(n as u64);
                clock_record(
                    numbers.collection,
                    key_code::of(record, collection.primary_key()),
                    Clock::encode_created(1, hlc, head.me),
                )
            })
            .collect();
        let next = Step::then(move |trace| {
            let skipped = match trace.last().map(|last| &last.outcome) {
                Some(StepOutcome::Created { skipped }) => skipped.len(),
                _ => 0,
            };
            let steps = if skipped == 0 {
                writer.finish(trace, drawn.clone(), None)
            } else {
                Arc::clone(&writer).read_clocks(trace, drawn.clone())
            };
            steps.map_err(refusal)
        });
        Ok(vec![Step::create_or(CLOCK, clocks, OnConflict::Skip), next])
    }

    /// In general: reads the clocks of everything that was touched.
    fn read_clocks(self: Arc<Self>, trace: &Trace, drawn: Drawn) -> Result<Vec<Step>> {
        let mut seen = HashSet::new();
        let mut keys = Vec::new();
        for touched in touched(trace, &self.registry, &self.numbers) {
            for code in touched.codes() {
                let object = (touched.numbers().collection, code);
                if !seen.contains(&object) {
                    keys.push(clock_key(object.0, object.1.clone()));
                    seen.insert(object);
                }
            }
        }
        let all = touched(trace, &self.registry, &self.numbers);
        let (mut steps, collections) = companions(&self.merging, all);
        let others = steps.len();
        let next = Step::then(move |trace| {
            let kept = ClockRows::read(trace.found(others), &drawn.devices).map_err(refusal)?;
            let found = collections.iter().enumerate();
            let rows = found.flat_map(|(n, it)| rows_of(it, trace.found(others - 1 - n)));
            let ClockRows { clocks, markers: gone } = kept;
            let known = Known { clocks, gone, rows: rows.collect() };
            self.finish(trace, drawn.clone(), Some(known)).map_err(refusal)
        });
        steps.insert(0, Step::Find(clocks_at(keys)));
        steps.push(next);
        Ok(steps)
    }

    /// What was before the transaction.
    fn before(
        &self,
        all: &[Touched<'_>],
        known: Option<&Known>,
        sequence: u64,
    ) -> Result<Vec<Before>> {
        let Some(witness) = &self.witness else { return Ok(Vec::new()) };
        let (mut seen, mut before) = (HashSet::new(), Vec::new());
        for touched in all {
            let (collection, name) = (touched.numbers().collection, touched.name());
            for code in touched.codes() {
                if !seen.insert((collection, code.clone())) {
                    continue;
                }
                let object = (collection, code);
                let clock = known.and_then(|known| known.clocks.get(&object).cloned());
                let marker = known.and_then(|known| known.gone.get(&object).cloned());
                let (collection, code) = object;
                let values = witness.before(name, &key_code::decode(&code)?);
                before.push(Before { sequence, collection, code, values, clock, marker });
            }
        }
        Ok(before)
    }

    /// Last part: the clocks (unless they are written already), the log row, the head.
    fn finish(&self, trace: &Trace, drawn: Drawn, known: Option<Known>) -> Result<Vec<Step>> {
        let Drawn { mut head, mut devices, hlc, held } = drawn;
        let device = devices.device(head.me).ok_or(SyncError::NoSyncLog)?;
        let seen = devices.seen_by(device);
        let header = Header { device, sequence: head.next, hlc, seen, schema: self.schema };
        let all: Vec<Touched<'_>> = touched(trace, &self.registry, &self.numbers).collect();
        let before = self.before(&all, known.as_ref(), head.next)?;
        let written = crate::log_entries::write(&header, &all, known, &self.merging)?;
        let leaves = all.iter().any(|touched| touched.has_created_outside(&held))
            || written.moved.iter().any(|it| held.exclude(&it.numbers, &it.record));
        let Written { payload, entries, clocks, corrections, .. } = written;
        let mut steps = corrections.steps(&self.registry);
        if let Some(folded) = clocks {
            let mut records: Vec<Record> = folded
                .into_iter()
                .map(|((collection, code), clock)| {
                    clock_record(collection, code, clock.encode(&mut devices))
                })
                .collect();
            sort_clock_records(&mut records);
            steps.push(Step::create_or(CLOCK, records, OnConflict::Replace));
        }
        if !before.is_empty() {
            let records = before.iter().map(|it| it.record(&mut devices)).collect();
            steps.push(Step::create_or(BEFORE, records, OnConflict::Replace));
        }
        steps.push(Step::create(LOG, vec![log_row(head.next, payload, entries)]));
        head.next += 1;
        head.hlc = hlc.plus(entries.saturating_sub(1) as u64);
        let leaves = leaves.then(|| leave(&*self.runtime));
        let meta = [(HEAD, head.encode())].into_iter().chain(leaves);
        steps.push(write_meta(meta.collect()));
        Ok(steps)
    }
}
