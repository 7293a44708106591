//! [`Round`]: one exchange with a shared log, step by step.
//!
//! ```text
//!   ReadPlace ─▶ (Register ─▶ SavePlace) ─▶ ReadOutbox ─▶ (Flush) ─▶ Exchange ─▶ (Trim) ─▶ (Apply) ─▶ RetryParked
//!    ▲                                      ▲  │ ▲          ▲                      │          │
//!    │                     state to be sent │  ▼ │          │                      │          │
//!    │                                      │ LogState      └──────── more ────────┼──────────┤
//!    │                                      └──────────────── more to be sent ─────┘          │
//!    └─ Renew ◀─ forked, replaced      Exchange ── below the floor ─▶ Restore ─▶ ReadPlace    │
//!                                      Exchange, from the log's beginning ◀─ something is missing
//!   through ── where scopes are chosen ─▶ Rescope
//! ```
//!
//! **A request carries what there is to be carried.** The last of what is sent goes with the first reading, and the next request also
//! acknowledges what was applied before it, but not after every page of many. So where little is pending on either side, an exchange is
//! one request. What the last page has brought is acknowledged by a request of its own, or, where another exchange is to follow
//! ([`Round::in_a_series`]), by that one. The first exchange, and the one after a failure, sends and reads one after the other: what is
//! large or slow shall not fail for ever together.
//!
//! What the rules of the merge have made this device write meanwhile is sent before it is through.

mod receiving;
mod sending;

use self::receiving::Gap;
use self::sending::Sending;
use super::action::{Action, Outbox, Outcome, Retry};
use crate::apply::Applied;
use crate::error::{Result, SyncError};
use crate::place::{Move, Place};
use crate::renewal::Renewal;
use crate::report::SyncReport;
use crate::scope::Rescoped;
use crate::shared_log::{Cursor, LogId, LogRequest, Page, SealedTransaction};
use crate::stamp::Device;

/// How often an exchange begins anew for another reason than that it is through: a log that is another one at each look
/// is not followed without end.
const BEGINNINGS: u32 = 4;

/// How many pages may be applied without the log being told. To tell it costs a flush: what is acknowledged must be durable.
const UNTOLD_PAGES: u32 = 64;

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
    /// Acknowledges what was applied, if the log was not told of it.
    Acknowledge,
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
    /// What was sent and is still in the own log.
    sending: Option<Sending>,
    /// What came with the answer to it.
    page: Option<Page>,
    /// The number behind the last transaction that the log is known to have of this device.
    sent_to: u64,
    /// What follows when everything is durable.
    behind_flush: Option<Action>,
    arrived: bool,
    more_arrives: bool,
    /// How many pages were applied.
    pages: u32,
    /// The log was found to be another one.
    replaced: bool,
    begun_anew: u32,
    /// Whether it was found out what to do about writes that are far ahead.
    asked_ahead: bool,
    /// Whether something was written here while it was applied, that is to be sent.
    owes: bool,
    /// The place may be further on than what the log was told.
    untold: bool,
    /// The log has what is in front of the place: a page that follows it was applied.
    proven: bool,
    /// What follows the place is gone, which came with the answer to what was sent.
    below_floor: bool,
    /// The next exchange tells what this one leaves untold.
    in_a_series: bool,
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

    /// One of several: what it applies last is acknowledged by the next, so that it costs no request of its own.
    #[must_use]
    pub fn in_a_series(self) -> Self {
        Self { in_a_series: true, ..self }
    }

    /// Takes what came of the last step, and says what follows.
    ///
    /// # Errors
    /// [`SyncError::LogReplaced`] and [`SyncError::Forked`] when a new incarnation does not help; [`SyncError::Protocol`]
    /// when the log makes no sense or the outcome is not one of the step. The exchange has failed then; the next one begins
    /// anew.
    pub fn step(&mut self, outcome: Outcome) -> Result<Next> {
        Ok(Next::Do(match outcome {
            Outcome::Place { device, sent_to, place, first, ahead, untold, scoped } => {
                (self.sent_to, self.scoped) = (sent_to, scoped);
                self.untold |= untold;
                let begun = self.begin(device, place, first);
                // Asked once: it may be that this device's clock is behind.
                let asked = std::mem::replace(&mut self.asked_ahead, true);
                if !ahead || asked || !self.sends() {
                    return Ok(begun);
                }
                self.renew(Renewal::Ahead)?
            }
            Outcome::Registered(log) => return self.registered(log),
            Outcome::PlaceSaved => return Ok(self.known()),
            Outcome::StateLogged => Action::ReadOutbox(self.device),
            Outcome::Outbox(outbox) => return Ok(self.send(outbox)),
            Outcome::Durable => self.behind_flush.take().ok_or_else(out_of_turn)?,
            Outcome::Exchanged(page) => {
                self.page = page;
                match &self.sending {
                    Some(sending) => Action::Trim(self.device, sending.last),
                    None => return self.answered(),
                }
            }
            Outcome::Forked(at) => self.renew(Renewal::Forked { at })?,
            Outcome::Refused(refused) => self.refused(refused)?,
            Outcome::PutAside(rejected) => {
                self.report.rejected.extend(rejected);
                Action::ReadOutbox(self.device)
            }
            Outcome::LogReplaced => self.replaced()?,
            Outcome::Renewed(device) => self.renewed(device)?,
            Outcome::Trimmed => return self.sent(),
            Outcome::BelowFloor => match &self.sending {
                // It was appended, and is not to be sent again.
                Some(sending) => {
                    self.below_floor = true;
                    Action::Trim(self.device, sending.last)
                }
                None => self.restore()?,
            },
            Outcome::Restored(report) => self.go_on_from_snapshot(report),
            Outcome::Applied(applied) => {
                if let Some((place, reread)) = self.behind_apply.take() {
                    (self.place, self.reread) = (Some(place), reread);
                }
                // What was read anew is behind the place that is noted.
                self.untold |= self.arrived && self.reread.is_none();
                self.take(applied);
                return Ok(self.page_done());
            }
            Outcome::Missed { device, expected, found } => {
                self.read_anew(Gap { device, expected, found })?
            }
            Outcome::Retried(applied) => {
                self.take(applied);
                return Ok(self.through());
            }
            Outcome::Rescoped(Rescoped { applied, backfill, hands_over }) => {
                self.report.backfill = backfill.or(self.report.backfill);
                if hands_over && self.sends() {
                    // What is to go goes behind it.
                    (self.owes, self.scoped) = (true, true);
                }
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

    /// Whether the log knows of something that it could not give.
    pub(super) fn lacks_something(&self) -> bool {
        !self.report.missing.is_empty()
    }

    /// Whether something is applied here that the log was not told of.
    pub(super) fn owes_acknowledgement(&self) -> bool {
        // While the log is read anew something may be missing in front of the place, and so it may where nobody has looked yet.
        let is_sure = self.reread.is_none() && (self.proven || !self.first);
        self.untold && is_sure && self.noted() != Cursor::default()
    }

    fn sends(&self) -> bool {
        matches!(self.purpose, Purpose::Both | Purpose::Send)
    }

    /// A device that got its place by initial sync is not known to the log yet.
    fn begin(&mut self, device: Device, place: Option<Place>, first: bool) -> Next {
        self.first |= first;
        self.registered = place.is_some() && !self.first;
        (self.device, self.place) = (device, place);
        (self.reread, self.behind_apply, self.sending, self.page) = (None, None, None, None);
        (self.proven, self.below_floor, self.more_arrives) = (false, false, false);
        match self.purpose {
            // Perhaps there is nothing to send.
            Purpose::Send => Next::Do(Action::ReadOutbox(device)),
            _ if self.registered => self.known(),
            _ => Next::Do(Action::Register(device)),
        }
    }

    /// What follows when the log knows this device.
    fn known(&mut self) -> Next {
        self.registered = true;
        match self.purpose {
            Purpose::Receive => Next::Do(self.read()),
            Purpose::Both | Purpose::Send => Next::Do(Action::ReadOutbox(self.device)),
            Purpose::Acknowledge => self.finish(),
        }
    }

    fn registered(&mut self, log: LogId) -> Result<Next> {
        let replaced = std::mem::take(&mut self.replaced);
        Ok(Next::Do(match &self.place {
            Some(place) if place.log == log && !replaced => return Ok(self.known()),
            // It calls itself the same, and is not: others must hear of it too.
            Some(place) if place.log == log && self.sends() => Action::Reidentify(log),
            Some(_) => self.renew(Renewal::Replaced { log })?,
            None => {
                // Noted before anything is sent: what one log has got must not be sought in another.
                let place = Place { log, cursor: Cursor::default() };
                self.place = Some(place.clone());
                Action::SavePlace(place)
            }
        }))
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
        if self.begun_anew <= BEGINNINGS && self.sends() {
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
            self.untold = true;
            self.report.incarnation = device;
        }
        Ok(Action::ReadPlace)
    }

    /// What follows an answer, when what was sent with the request is done with.
    fn answered(&mut self) -> Result<Next> {
        match self.page.take() {
            Some(page) => self.arrived(page),
            None => Ok(self.finish()),
        }
    }

    fn read(&mut self) -> Action {
        let cursor = self.cursor();
        self.ask(Vec::new(), Some(cursor))
    }

    /// A request; it acknowledges what the log was not told of.
    fn ask(&mut self, append: Vec<SealedTransaction>, read: Option<Cursor>) -> Action {
        let in_between = self.more_arrives && !self.pages.is_multiple_of(UNTOLD_PAGES);
        let tells = self.owes_acknowledgement() && !in_between;
        (self.untold, self.sending) = (self.untold && !tells, None);
        let acknowledge = tells.then(|| self.noted());
        let must_last = tells || !append.is_empty();
        let request = LogRequest { device: self.device, acknowledge, append, read };
        if !must_last {
            return Action::Exchange(request);
        }
        // Nobody may hear of a write, or of what was applied, that a loss of power could still take back.
        self.behind_flush = Some(Action::Exchange(request));
        Action::Flush
    }

    /// Where the log is read.
    fn cursor(&self) -> Cursor {
        self.reread.clone().unwrap_or_else(|| self.noted())
    }

    /// The place that is noted here.
    fn noted(&self) -> Cursor {
        self.place.as_ref().map(|place| place.cursor.clone()).unwrap_or_default()
    }

    fn take(&mut self, applied: Applied) {
        let again = !applied.resolutions.is_empty() || applied.restated > 0;
        self.owes |= self.sends() && again;
        self.report.received.add(applied);
    }

    fn page_done(&mut self) -> Next {
        self.proven = true;
        self.pages = self.pages.wrapping_add(1);
        if self.more_arrives {
            return Next::Do(self.read());
        }
        if std::mem::take(&mut self.owes) {
            return Next::Do(Action::ReadOutbox(self.device));
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
            return Next::Do(Action::Rescope { missing: self.report.missing.clone() });
        }
        self.finish()
    }

    /// Nobody knows when the next exchange comes, unless there is a series of them.
    fn finish(&mut self) -> Next {
        let tells = self.owes_acknowledgement() && self.purpose != Purpose::Send;
        if tells && !self.in_a_series {
            return Next::Do(self.ask(Vec::new(), None));
        }
        Next::Finished(std::mem::take(&mut self.report))
    }
}

fn out_of_turn() -> SyncError {
    let reason = "the driver tells what came of another step than the last".to_owned();
    SyncError::Protocol { during: "an exchange", reason }
}
