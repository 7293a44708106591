//! What an answer of the shared log leads to.

use super::{Action, Move, Next, Round, out_of_turn};
use crate::apply::Refused;
use crate::error::{Result, SyncError};
use crate::initial::InitialSyncReport;
use crate::place::Place;
use crate::renewal::Renewal;
use crate::shared_log::{Cursor, Page};
use crate::stamp::Device;

/// How often an exchange takes the shared log's snapshot: a log that drops what follows it meanwhile is not followed without
/// end.
const RESTORES: u32 = 3;

/// A transaction that is missing.
#[derive(Debug)]
pub(super) struct Gap {
    pub(super) device: Device,
    pub(super) expected: u64,
    pub(super) found: u64,
}

impl From<Gap> for SyncError {
    fn from(Gap { device, expected, found }: Gap) -> Self {
        Self::Gap { device, expected, found }
    }
}

impl Round {
    /// Each time one transaction less is sent.
    pub(super) fn refused(&mut self, refused: Refused) -> Result<Action> {
        let sent = self.sending.take().map_or(0..=0, |sending| {
            sending.last.saturating_sub(sending.transactions.saturating_sub(1))..=sending.last
        });
        if sent.contains(&refused.write.sequence) && refused.write.device == self.device {
            return Ok(Action::PutAside(refused));
        }
        let reason = format!("it refuses transaction {}, which was not sent", refused.write);
        Err(SyncError::Protocol { during: "sending", reason })
    }

    pub(super) fn arrived(&mut self, page: Page) -> Result<Next> {
        let Page { log, transactions, cursor, more, own, missing } = page;
        let place = self.place.as_ref().ok_or_else(out_of_turn)?;
        if log != place.log {
            return self.renew(Renewal::Replaced { log }).map(Next::Do);
        }
        if own >= self.sent_to {
            // Before the page is applied: its cursor is behind what the log takes for ours. Perhaps it is, and its answer was
            // lost; whoever does not send cannot tell.
            if !self.sends() {
                return Ok(self.finish());
            }
            return self.renew(Renewal::Behind { last: own }).map(Next::Do);
        }
        // That of the last page counts.
        self.report.missing = missing;
        let moved = cursor != self.cursor();
        (self.arrived, self.more_arrives) = (!transactions.is_empty(), more);
        if more && !self.arrived && !moved {
            let reason = "it says that more follows, and gives nothing".to_owned();
            return Err(SyncError::Protocol { during: "reading the shared log", reason });
        }
        let ends_reread = self.reread.is_some() && !more;
        if !moved && !self.arrived && !ends_reread {
            return Ok(self.page_done());
        }
        let from = place.clone();
        let reread = self.reread.as_ref().filter(|_| more).map(|_| cursor.clone());
        let to = match reread {
            Some(_) => from.clone(),
            None => Place { cursor, log: from.log },
        };
        self.behind_apply = Some((to.clone(), reread));
        Ok(Next::Do(Action::Apply(transactions, Move { from: Some(from), to })))
    }

    /// A log that was put back, and has grown since, may hold what is missing in front of the place: it is read from its
    /// beginning, once. The place itself stays until that has come to the end: the gap may be one that passes.
    pub(super) fn read_anew(&mut self, gap: Gap) -> Result<Action> {
        let place = self.place.as_ref().ok_or_else(out_of_turn)?;
        let again = std::mem::replace(&mut self.missed, true);
        if again || place.cursor == Cursor::default() {
            return Err(gap.into());
        }
        let Gap { device, expected, found } = gap;
        tracing::warn!(%device, expected, found, "the shared log is read from its beginning");
        self.reread = Some(Cursor::default());
        Ok(self.read())
    }

    pub(super) fn restore(&mut self) -> Result<Action> {
        self.restored += 1;
        match self.restored > RESTORES {
            true => Err(SyncError::BelowFloor { reader: self.device }),
            false => Ok(Action::Restore(self.device)),
        }
    }

    pub(super) fn go_on_from_snapshot(&mut self, report: InitialSyncReport) -> Action {
        self.report.restored = Some(report);
        self.untold = true;
        Action::ReadPlace
    }
}
