//! Who the transactions are kept for, and what need not be kept.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use storex_core::{
    Batch, Changes, Direction, Filter, Name, OnConflict, Query, Step, StepOutcome, Trace, field,
};

use super::removing::check_not_removed;
use super::rows::{
    DEVICES, DeviceRow, IDENTITY, TRANSACTIONS, for_reader, int, of_log, uint, written_by,
};
use super::snapshots::{find_published, position_among};
use super::{BackendSharedLog, make};
use crate::error::{During, Result, abort};
use crate::log_rules::known_to_all;
use crate::shared_log::{Member, Trimmed};
use crate::stamp::Device;

/// How many transactions are looked at, and dropped if all members have them, at once.
const STRETCH: u64 = 2000;

impl BackendSharedLog {
    /// Makes a device a member that has acknowledged this position at least, and the log, when it is not there.
    pub(super) async fn admit(
        &self,
        device: Device,
        position: u64,
        during: &'static str,
    ) -> Result<()> {
        self.in_a_log(|| self.admit_once(device, position, during)).await
    }

    async fn admit_once(&self, device: Device, position: u64, during: &'static str) -> Result<()> {
        let look = Batch::new()
            .find(self.find_identity())
            .find(DeviceRow::find(&self.name, device))
            .touching([IDENTITY]);
        let (log, runtime) = (Name::clone(&self.name), Arc::clone(self.storage.runtime()));
        let decide = move |trace: &Trace| {
            check_not_removed(trace.found(1))?;
            let known = trace.found(0).first().map(DeviceRow::read).transpose()?;
            let is_known = known.is_some();
            let known = known.unwrap_or(DeviceRow::new(device));
            let row = known.acknowledging(position);
            if row == known {
                return Ok(Vec::new());
            }
            let mut steps =
                vec![Step::create_or(DEVICES, vec![row.record(&log)], OnConflict::Replace)];
            if !is_known {
                steps.push(make(&log, &*runtime));
            }
            Ok(steps)
        };
        self.execute_then(look, during, decide).await.map(|_| ())
    }

    /// Tells whether it was a member.
    pub(super) async fn expel(&self, device: Device) -> Result<bool> {
        let member = DeviceRow::only(&self.name, device).and(field("member").eq(true));
        let batch = Batch::new().update(DEVICES, member, Changes::new().set("member", false));
        let outcome = self.storage.execute(batch).await.during("dismissing the device")?;
        Ok(outcome.executed().iter().any(|executed| match &executed.outcome {
            StepOutcome::Updated { keys, .. } => !keys.is_empty(),
            _ => false,
        }))
    }

    pub(super) async fn list_members(&self) -> Result<Vec<Member>> {
        let during = "listing the members";
        let query = DeviceRow::find_all(&self.name);
        let mut members = Vec::new();
        for row in self.storage.find(query).await.during(during)? {
            let DeviceRow { device, acknowledged, member, .. } = DeviceRow::read(&row)?;
            if !member {
                continue;
            }
            let filter = for_reader(&self.name, device, acknowledged);
            let others = Query::new(TRANSACTIONS).filter(filter);
            let behind = self.storage.count(others).await.during(during)?;
            members.push(Member { device, behind });
        }
        members.sort_by_key(|member| member.device);
        Ok(members)
    }

    /// In stretches, each of them a transaction: so nobody waits for long, and nobody becomes a member between the look and the deletion.
    pub(super) async fn drop_what_all_know(&self) -> Result<Trimmed> {
        let (mut trimmed, mut after) = (Trimmed::default(), Some(0));
        while let Some(position) = after {
            let (dropped, next) = self.trim_stretch(position).await?;
            trimmed.transactions += dropped;
            after = next;
        }
        Ok(trimmed)
    }

    /// Tells how many were dropped, and where the next stretch begins.
    async fn trim_stretch(&self, after: u64) -> Result<(u64, Option<u64>)> {
        let during = "trimming the shared log";
        let stretch = Query::new(TRANSACTIONS)
            .filter(of_log(&self.name).and(field("position").gt(int(after))))
            .order_by("position", Direction::Ascending)
            .offset(STRETCH - 1)
            .limit(1)
            .select(["position"]);
        let end = self.storage.find(stretch).await.during(during)?;
        let end = end.first().map(|row| uint(row.get(0))).transpose()?;
        let look = Batch::new()
            .find(find_published(&self.name))
            .find(DeviceRow::find_all(&self.name))
            .touching([TRANSACTIONS]);
        let goes_on = Arc::new(AtomicBool::new(false));
        let (log, told) = (Name::clone(&self.name), Arc::clone(&goes_on));
        let last = end.unwrap_or(u64::MAX);
        let decide = move |trace: &Trace| {
            let (steps, more) = find_droppable(trace, &log, last)?;
            told.store(more, Ordering::SeqCst);
            Ok(steps)
        };
        let outcome = self.execute_then(look, during, decide).await?;
        let dropped = outcome.executed().iter().map(|executed| match &executed.outcome {
            StepOutcome::Deleted { keys } => keys.len() as u64,
            _ => 0,
        });
        Ok((dropped.sum(), end.filter(|_| goes_on.load(Ordering::SeqCst))))
    }
}

/// The members, and the position that each has acknowledged.
pub(super) fn members_among(rows: &[DeviceRow]) -> Vec<(Device, u64)> {
    rows.iter().filter(|row| row.member).map(|row| (row.device, row.acknowledged)).collect()
}

/// The transactions of a device that all members have, up to a position. The last one stays.
pub(super) fn droppable(
    log: &str,
    row: &DeviceRow,
    members: &[(Device, u64)],
    up_to: u64,
) -> Filter {
    let known = field("position").lte(int(known_to_all(members, row.device).min(up_to)));
    let not_last = field("sequence").lt(int(row.last_sequence));
    written_by(log, row.device).and(known).and(not_last)
}

/// Looks for the last transaction of each device that may be dropped, up to a position; and whether others behind that may be.
fn find_droppable(trace: &Trace, log: &Name, last: u64) -> Result<(Vec<Step>, bool)> {
    let rows = trace.found(0).iter().map(DeviceRow::read).collect::<Result<Vec<_>>>()?;
    let in_snapshot = position_among(trace.found(1))?;
    let members = members_among(&rows);
    let known = |row: &DeviceRow| known_to_all(&members, row.device).min(in_snapshot);
    let goes_on = rows.iter().any(|row| known(row) > last);
    let up_to = in_snapshot.min(last);
    let droppable: Vec<(Device, Filter)> =
        rows.iter().map(|row| (row.device, droppable(log, row, &members, up_to))).collect();
    let mut steps: Vec<Step> = droppable
        .iter()
        .map(|(_, filter)| {
            let transactions = Query::new(TRANSACTIONS).filter(filter.clone());
            // Positions of a device ascend with its numbers, which are in an index.
            let last = transactions.order_by("sequence", Direction::Descending).limit(1);
            Step::Find(last.select(["position"]))
        })
        .collect();
    let log = Name::clone(log);
    steps.push(Step::then(move |trace| {
        drop_found(trace, &log, &droppable).map_err(|error| abort(&error))
    }));
    Ok((steps, goes_on))
}

/// Drops what was found, and notes up to where.
fn drop_found(trace: &Trace, log: &str, droppable: &[(Device, Filter)]) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    for (back, (device, filter)) in droppable.iter().rev().enumerate() {
        let Some(last) = trace.found(back).first() else { continue };
        let floor = uint(last.get(0))?;
        steps.push(Step::Delete { collection: TRANSACTIONS.into(), filter: filter.clone() });
        steps.push(Step::Update {
            collection: DEVICES.into(),
            filter: DeviceRow::only(log, *device),
            changes: Changes::new().set("floor", int(floor)),
        });
    }
    Ok(steps)
}
