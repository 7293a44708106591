//! [`Round`]: one exchange with a shared log, step by step.
//!
//! ```text
//!   ReadPlace ─▶ (Register ─▶ SavePlace) ─▶ ReadOutbox ─▶ Flush ─▶ Append ─▶ Trim ─┐
//!    ▲                                        ▲  ├─ LogState ◀─┐   more            │
//!    └─ Renew ◀─ forked, replaced             └──┼─────────────┼───────────────────┤
//!                                                └ nothing ─┐  │                   │
//!                                                           ▼  └ state to be sent ─┘
//!               RetryParked ◀── through ── Acknowledge ◀ Flush ◀ Apply ◀── Read
//!
//!   Read ── below the floor ─▶ Restore ─▶ ReadPlace
//!   Apply ── something is missing ─▶ Read, from the log's beginning
//!   through ── where scopes are chosen ─▶ Rescope
//! ```
//!
//! What the rules of the merge have made this device write meanwhile is sent before it is through.

use super::action::{Action, Outbox, Outcome, Retry};
use crate::apply::Applied;
use crate::error::{Result, SyncError};
use crate::initial::InitialSyncReport;
use crate::place::{Move, Place};
use crate::renewal::Renewal;
use crate::report::SyncReport;
use crate::scope::Rescoped;
use crate::shared_log::{Cursor, LogId, Page};
use crate::stamp::Device;

/// How often an exchange begins anew for another reason than that it is through: a log that is another one at each look
/// is not followed without end.
const BEGINNINGS: u32 = 4;

/// How often an exchange takes the shared log's snapshot: a log that drops what follows it meanwhile is not followed without
/// end.
const RESTORES: u32 = 3;

/// What an exchange is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Purpose {
    /// Sends what was written here, and applies what others wrote.
    #[default]
    Both,
    /// Sends what was written here. With nothing to send it makes no request.
    Send,
    /// Applies what others wrote.
    Receive,
}

/// One exchange: sends what was written here and applies what others wrote, until both are through. It says what to do;
/// whoever drives it does it, and tells what came of it.
#[derive(Debug, Default)]
pub struct Round {
    purpose: Purpose,
    device: Device,
    first: bool,
    /// The log knows this device, and is the right one.
    registered: bool,
    place: Option<Place>,
    sending: Sending,
    /// The number behind the last transaction that the log is known to have of this device.
    sent_to: u64,
    /// What follows when everything is durable.
    behind_flush: Option<Action>,
    arrived: bool,
    more_arrives: bool,
    /// The log was found to be another one.
    replaced: bool,
    begun_anew: u32,
    /// Whether it was found out what to do about writes that are far ahead.
    asked_ahead: bool,
    /// Whether something was written here while it was applied, that is to be sent.
    owes: bool,
    /// The place may be further on than what the log has noted, by an initial sync or a snapshot.
    untold: bool,
    restored: u32,
    /// Whether it is still to be looked what this device is to hold.
    scoped: bool,
    /// The place, and how far the log was read anew, when the page that is being applied is.
    behind_apply: Option<(Place, Option<Cursor>)>,
    /// How far the log was read anew from its beginning; the place stays where it is meanwhile.
    reread: Option<Cursor>,
    /// Whether it was, because something was missing.
    missed: bool,
    report: SyncReport,
}

/// A transaction that is missing.
#[derive(Debug)]
struct Gap {
    device: Device,
    expected: u64,
    found: u64,
}

impl From<Gap> for SyncError {
    fn from(Gap { device, expected, found }: Gap) -> Self {
        Self::Gap { device, expected, found }
    }
}

/// What the request carries that is under way.
#[derive(Debug, Default)]
struct Sending {
    transactions: u64,
    entries: u64,
    last: u64,
    more: bool,
}

/// What follows in an exchange.
#[derive(Debug, PartialEq)]
pub enum Next {
    /// This is to be done.
    Do(Action),
    /// It went through.
    Finished(SyncReport),
}

impl Round {
    /// An exchange; its first step is [`Action::ReadPlace`].
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An exchange for one purpose; its first step is [`Action::ReadPlace`].
    #[must_use]
    pub fn with(purpose: Purpose) -> Self {
        Self { purpose, ..Self::default() }
    }

    /// Takes what came of the last step, and says what follows.
    ///
    /// # Errors
    /// [`SyncError::LogReplaced`] and [`SyncError::Forked`] when a new incarnation does not help; [`SyncError::Protocol`]
    /// when the log makes no sense or the outcome is not one of the step. The exchange has failed then; the next one begins
    /// anew.
    pub fn step(&mut self, outcome: Outcome) -> Result<Next> {
        Ok(Next::Do(match outcome {
            Outcome::Place { device, sent_to, place, first, ahead, scoped } => {
                (self.sent_to, self.scoped) = (sent_to, scoped);
                let begun = self.begin(device, place, first);
                // Asked once: it may be that this device's clock is behind.
                let asked = std::mem::replace(&mut self.asked_ahead, true);
                let renews = ahead && !asked && self.purpose != Purpose::Receive;
                if renews { self.renew(Renewal::Ahead)? } else { begun }
            }
            Outcome::Registered(log) => self.registered(log)?,
            Outcome::PlaceSaved => self.known(),
            Outcome::StateLogged => Action::ReadOutbox(self.device),
            Outcome::Outbox(outbox) => return Ok(self.send(outbox)),
            Outcome::Durable => self.behind_flush.take().ok_or_else(out_of_turn)?,
            Outcome::Appended => Action::Trim(self.device, self.sending.last),
            Outcome::Forked(at) => self.renew(Renewal::Forked { at })?,
            Outcome::LogReplaced => self.replaced()?,
            Outcome::Renewed(device) => self.renewed(device)?,
            Outcome::Trimmed => return Ok(self.sent()),
            Outcome::Page(page) => return self.arrived(page),
            Outcome::BelowFloor => self.restore()?,
            Outcome::Restored(report) => self.go_on_from_snapshot(report),
            Outcome::Applied(applied) => {
                if let Some((place, reread)) = self.behind_apply.take() {
                    (self.place, self.reread) = (Some(place), reread);
                }
                self.take(applied);
                return Ok(self.applied());
            }
            Outcome::Missed { device, expected, found } => {
                self.read_anew(Gap { device, expected, found })?
            }
            Outcome::Acknowledged => return Ok(self.page_done()),
            Outcome::Retried(applied) => {
                self.take(applied);
                return Ok(self.through());
            }
            Outcome::Rescoped(Rescoped { applied, backfill }) => {
                self.report.backfill = backfill;
                self.take(applied);
                return Ok(self.through());
            }
        }))
    }

    /// Transactions that were sent, and that were applied or parked.
    pub(super) fn carried(&self) -> (u64, u64) {
        let received = &self.report.received;
        (self.report.sent_transactions, received.transactions + received.parked)
    }

    /// A device that got its place by initial sync is not known to the log yet.
    fn begin(&mut self, device: Device, place: Option<Place>, first: bool) -> Action {
        self.first |= first;
        self.registered = place.is_some() && !self.first;
        self.untold |= first;
        (self.device, self.place) = (device, place);
        (self.reread, self.behind_apply) = (None, None);
        match self.purpose {
            // Perhaps there is nothing to send.
            Purpose::Send => Action::ReadOutbox(device),
            _ if self.registered => self.known(),
            _ => Action::Register(device),
        }
    }

    /// What follows when the log knows this device.
    fn known(&mut self) -> Action {
        self.registered = true;
        match self.purpose {
            Purpose::Receive => self.read(),
            Purpose::Both | Purpose::Send => Action::ReadOutbox(self.device),
        }
    }

    fn registered(&mut self, log: LogId) -> Result<Action> {
        let replaced = std::mem::take(&mut self.replaced);
        match &self.place {
            Some(place) if place.log == log && !replaced => Ok(self.known()),
            // It calls itself the same, and is not: others must hear of it too.
            Some(place) if place.log == log && self.purpose != Purpose::Receive => {
                Ok(Action::Reidentify(log))
            }
            Some(_) => self.renew(Renewal::Replaced { log }),
            None => {
                // Noted before anything is sent: what one log has got must not be sought in another.
                let place = Place { log, cursor: Cursor::default() };
                self.place = Some(place.clone());
                Ok(Action::SavePlace(place))
            }
        }
    }

    /// Asks the log who it is now.
    fn replaced(&mut self) -> Result<Action> {
        self.begun_anew += 1;
        if self.begun_anew > BEGINNINGS {
            return Err(SyncError::LogReplaced);
        }
        self.replaced = true;
        Ok(Action::Register(self.device))
    }

    fn renew(&mut self, renewal: Renewal) -> Result<Action> {
        // Whoever only receives may be beside the program that syncs.
        if self.begun_anew <= BEGINNINGS && self.purpose != Purpose::Receive {
            return Ok(Action::Renew(self.device, renewal));
        }
        Err(match renewal {
            Renewal::Replaced { .. } | Renewal::Ahead => SyncError::LogReplaced,
            Renewal::Forked { at: sequence } | Renewal::Behind { last: sequence } => {
                SyncError::Forked { device: self.device, sequence }
            }
        })
    }

    /// Whoever this device is now is not known to the log yet.
    fn renewed(&mut self, device: Option<Device>) -> Result<Action> {
        if device.is_some() {
            // In another log it is another gap.
            self.missed = false;
            self.begun_anew += 1;
            self.first = true;
            self.report.incarnation = device;
        }
        Ok(Action::ReadPlace)
    }

    fn send(&mut self, outbox: Outbox) -> Next {
        let Outbox { transactions, entries, more, next, state } = outbox;
        let Some(last) = transactions.last() else {
            if more {
                // Somebody else has sent and trimmed meanwhile what was read; there is something behind it.
                return Next::Do(Action::ReadOutbox(self.device));
            }
            self.sent_to = next;
            return if state { Next::Do(Action::LogState) } else { self.all_sent() };
        };
        if !self.registered {
            return Next::Do(Action::Register(self.device));
        }
        let count = transactions.len() as u64;
        let more = more || state;
        self.sent_to = next.max(last.sequence.saturating_add(1));
        self.sending = Sending { transactions: count, entries, last: last.sequence, more };
        // Nobody may hear of a write that a loss of power could still take back.
        self.behind_flush = Some(Action::Append(transactions));
        Next::Do(Action::Flush)
    }

    fn sent(&mut self) -> Next {
        self.report.sent_transactions += self.sending.transactions;
        self.report.sent_entries += self.sending.entries;
        match self.sending.more {
            true => Next::Do(Action::ReadOutbox(self.device)),
            false => self.all_sent(),
        }
    }

    fn all_sent(&mut self) -> Next {
        match self.purpose {
            Purpose::Send => Next::Finished(std::mem::take(&mut self.report)),
            Purpose::Both | Purpose::Receive => Next::Do(self.read()),
        }
    }

    fn read(&self) -> Action {
        Action::Read(self.device, self.cursor())
    }

    /// Where the log is read.
    fn cursor(&self) -> Cursor {
        let place = || self.place.as_ref().map(|place| place.cursor.clone()).unwrap_or_default();
        self.reread.clone().unwrap_or_else(place)
    }

    fn arrived(&mut self, page: Page) -> Result<Next> {
        let Page { log, transactions, cursor, more, own } = page;
        let place = self.place.as_ref().ok_or_else(out_of_turn)?;
        if log != place.log {
            return self.renew(Renewal::Replaced { log }).map(Next::Do);
        }
        if own >= self.sent_to {
            // Before the page is applied: its cursor is behind what the log takes for ours. Perhaps it is, and its answer was
            // lost; whoever does not send cannot tell.
            if self.purpose == Purpose::Receive {
                return Ok(Next::Finished(std::mem::take(&mut self.report)));
            }
            return self.renew(Renewal::Behind { last: own }).map(Next::Do);
        }
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
    fn read_anew(&mut self, gap: Gap) -> Result<Action> {
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

    fn restore(&mut self) -> Result<Action> {
        self.restored += 1;
        match self.restored > RESTORES {
            true => Err(SyncError::BelowFloor { reader: self.device }),
            false => Ok(Action::Restore(self.device)),
        }
    }

    fn go_on_from_snapshot(&mut self, report: InitialSyncReport) -> Action {
        self.report.restored = Some(report);
        self.untold = true;
        Action::ReadPlace
    }

    fn applied(&mut self) -> Next {
        // What was read anew is behind the place that is noted.
        if self.arrived && self.reread.is_none() { self.acknowledge() } else { self.page_done() }
    }

    /// Only what cannot be lost any more may be acknowledged.
    fn acknowledge(&mut self) -> Next {
        self.untold = false;
        self.behind_flush = Some(Action::Acknowledge(self.device, self.cursor()));
        Next::Do(Action::Flush)
    }

    fn take(&mut self, applied: Applied) {
        let sends = self.purpose != Purpose::Receive;
        self.owes |= sends && (!applied.resolutions.is_empty() || applied.restated > 0);
        self.report.received.add(applied);
    }

    fn page_done(&mut self) -> Next {
        if self.more_arrives {
            return Next::Do(self.read());
        }
        if std::mem::take(&mut self.owes) {
            return Next::Do(Action::ReadOutbox(self.device));
        }
        if self.untold && self.cursor() != Cursor::default() {
            return self.acknowledge();
        }
        let arrived = self.report.received.transactions > 0;
        // What a snapshot has left parked is judged when what follows it is here.
        match (self.first || self.report.restored.is_some(), arrived) {
            (true, _) => Next::Do(Action::RetryParked(Retry::All)),
            (false, true) => Next::Do(Action::RetryParked(Retry::WaitingForChange)),
            (false, false) => self.through(),
        }
    }

    /// Last of all, when everything is sent, goes what this device is not to hold.
    fn through(&mut self) -> Next {
        if std::mem::take(&mut self.owes) {
            return Next::Do(Action::ReadOutbox(self.device));
        }
        if std::mem::take(&mut self.scoped) {
            return Next::Do(Action::Rescope(self.device));
        }
        Next::Finished(std::mem::take(&mut self.report))
    }
}

fn out_of_turn() -> SyncError {
    let reason = "the driver tells what came of another step than the last".to_owned();
    SyncError::Protocol { during: "an exchange", reason }
}
