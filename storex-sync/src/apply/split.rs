//! Pages of the state that the shared log refuses for their size: they are halved until what it takes is sent, and the object that it does not
//! take is put aside.

use storex_core::{OnConflict, Record, Step};

use super::reject::{PutAside, Refused, Unsent};
use crate::error::{Result, SyncError};
use crate::log::{LOG, log_row};
use crate::meta::{HEAD, Head, meta_row, write_meta};
use crate::rejected::{REJECTED, Rejected};
use crate::state::{PROGRESS, Progress, StatePage};
use crate::writes::WriteId;

/// The first of what is to be sent is a page of the state, which was refused.
pub(super) fn split(
    refused: &Refused,
    unsent: &[Unsent],
    head: Head,
    meta: &[Record],
) -> Result<(Vec<Step>, PutAside)> {
    let Some(first) = unsent.first() else { return Ok((Vec::new(), PutAside::Done(Vec::new()))) };
    if !refused.is_too_large {
        // Its parts would be refused as well, one by one: somebody has to look.
        let Refused { write: WriteId { device, sequence }, .. } = *refused;
        let reason = refused.reason.clone();
        return Err(SyncError::Rejected { device, sequence, reason, is_too_large: false });
    }
    let page = StatePage::decode(&first.payload)?;
    match page.objects() {
        0 => {
            let reason = "it refuses a page of the state that holds no object".to_owned();
            Err(SyncError::Protocol { during: "sending", reason })
        }
        1 => aside(refused, page, unsent, meta),
        _ => Ok((halve(page, &unsent[1..], head)?, PutAside::Done(Vec::new()))),
    }
}

/// The first half stays in its place, and the other one is logged behind everything. Being the hindmost page now, that one tells what
/// its author had seen: whoever has it has all the others.
fn halve(page: StatePage, behind: &[Unsent], mut head: Head) -> Result<Vec<Step>> {
    let (first, mut second) = page.halves();
    second.header.sequence = head.next;
    second.header.hlc = head.hlc;
    head.next += 1;
    let mut pages = vec![first];
    for one in behind.iter().filter(|it| it.transaction.is_none()) {
        let mut other = StatePage::decode(&one.payload)?;
        if !other.header.seen.is_empty() {
            second.header.seen = std::mem::take(&mut other.header.seen);
            pages.push(other);
        }
    }
    pages.push(second);
    let rows =
        pages.iter().map(|it| log_row(it.header.sequence, it.encode(), it.objects())).collect();
    Ok(vec![
        Step::create_or(LOG, rows, OnConflict::Replace),
        write_meta(vec![(HEAD, head.encode())]),
    ])
}

/// Puts the only object of the page aside, as a write of it. Whoever gets the rest of the state has not got it, so it does not say any more
/// what its author had seen. Where that is told is always here: in the page itself or behind it.
fn aside(
    refused: &Refused,
    page: StatePage,
    unsent: &[Unsent],
    meta: &[Record],
) -> Result<(Vec<Step>, PutAside)> {
    let transaction = page.transaction()?;
    let rejected = Rejected {
        write: refused.write,
        reason: format!("{} {}: {}", page.shape.collection, page.first_key()?, refused.reason),
        is_reverted: false,
        payload: transaction.encode(),
    };
    let mut rows = Vec::new();
    for (at, one) in unsent.iter().enumerate().filter(|(_, one)| one.transaction.is_none()) {
        let mut other = StatePage::decode(&one.payload)?;
        if at == 0 {
            rows.push(log_row(one.sequence, one.empty.encode(), 0));
        } else if !other.header.seen.is_empty() {
            other.header.seen.clear();
            rows.push(log_row(one.sequence, other.encode(), other.objects()));
        }
    }
    let mut steps = vec![
        Step::create_or(LOG, rows, OnConflict::Replace),
        Step::create_or(REJECTED, vec![rejected.record()], OnConflict::Replace),
    ];
    if let Some(progress) = meta_row(meta, PROGRESS) {
        let progress = Progress::decode(progress)?.claiming_nothing();
        steps.push(write_meta(vec![(PROGRESS, progress.encode())]));
    }
    Ok((steps, PutAside::Done(vec![rejected])))
}
