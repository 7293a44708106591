//! Writing to the journal.

use storex_core::{
    Direction, Filter, Key, Query, Record, Step, StepOutcome, Timestamp, Value, field,
};

use super::row::record;
use super::{CONFLICTS, Conflict, Standing};
use crate::meta::{meta_row, read_meta, write_meta};

/// The row of `_storex_meta` with the number of the next conflict.
const NEXT: &str = "next_conflict";

/// The steps that write conflicts to the journal, the oldest ones making room if there are more than `limit` then. The
/// batch has to name [`CONFLICTS`] among what it touches.
pub(crate) fn note(
    mut conflicts: Vec<(Conflict, Standing)>,
    limit: u64,
    now: Timestamp,
) -> Vec<Step> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let bounded = conflicts.iter().filter(|(_, standing)| *standing == Standing::Noted).count();
    let mut beyond = bounded.saturating_sub(limit);
    conflicts.retain(|(_, standing)| {
        let goes = *standing == Standing::Noted && beyond > 0;
        beyond -= usize::from(goes);
        !goes
    });
    if conflicts.is_empty() {
        return Vec::new();
    }
    let next = Step::then(move |trace| {
        let first = meta_row(trace.found(1), NEXT)
            .and_then(|bytes| bytes.try_into().ok())
            .map_or(1, u64::from_be_bytes);
        let there = match trace.last().map(|last| &last.outcome) {
            Some(StepOutcome::Counted(count)) => usize::try_from(*count).unwrap_or(usize::MAX),
            _ => 0,
        };
        let numbered = (first..).zip(&conflicts);
        let records: Vec<Record> =
            numbered.map(|(number, (it, standing))| record(number, now, *standing, it)).collect();
        let next = first.saturating_add(records.len() as u64);
        let all = there.saturating_add(bounded.min(limit));
        let mut steps = make_room(all.saturating_sub(limit));
        steps.push(Step::create(CONFLICTS, records));
        steps.push(write_meta(vec![(NEXT, next.to_be_bytes().to_vec())]));
        Ok(steps)
    });
    vec![read_meta(&[NEXT]), Step::Count(Query::new(CONFLICTS).filter(is_bounded())), next]
}

fn is_bounded() -> Filter {
    field("standing").eq(Standing::Noted.code())
}

/// Drops the oldest.
fn make_room(count: usize) -> Vec<Step> {
    if count == 0 {
        return Vec::new();
    }
    let oldest = Query::new(CONFLICTS)
        .filter(is_bounded())
        .order_by("number", Direction::Ascending)
        .limit(count as u64)
        .select(["number"]);
    let delete = Step::then(|trace| {
        let keys = trace.found(0).iter().map(|row| Key::single(Value::clone(row.get(0))));
        let filter = Filter::Keys(keys.collect());
        Ok(vec![Step::Delete { collection: CONFLICTS.into(), filter }])
    });
    vec![Step::Find(oldest), delete]
}
