//! Exchanges: how one begins, what follows each of its steps, and what comes of it.

use std::sync::Arc;

use storex_core::Timestamp;

use super::action::{Action, Outcome};
use super::event::{Caller, Effect, Timer};
use super::round::{Next, Round};
use super::status::{ExchangeProgress, Phase, SyncEvent};
use super::{Activity, After, Engine, REMEMBERED_MILLISECONDS, later};
use crate::error::{Result, SyncError, describe};
use crate::recovery::Recovery;
use crate::report::SyncReport;

impl Engine {
    pub(super) fn begin(&mut self, now: Timestamp) {
        if self.stopping || self.obstacles.forbid(now) {
            return;
        }
        (self.due, self.news, self.logged_in) = (false, false, false);
        self.disarm(Timer::Round);
        self.disarm(Timer::Gather);
        let callers = std::mem::take(&mut self.callers);
        self.untold = false;
        // Without a timer nobody knows when the next one comes.
        let round = Round::new();
        let round = if self.config.triggers.timer { round.in_a_series() } else { round };
        self.activity = Activity::Exchanging(Box::new(round), callers);
        self.effects.push(Effect::Perform(Action::ReadPlace));
        self.status.next_attempt = None;
    }

    pub(super) fn performed(&mut self, now: Timestamp, performed: Result<Outcome>) {
        let Activity::Exchanging(round, callers) = &mut self.activity else { return };
        match performed.and_then(|outcome| round.step(outcome)) {
            Ok(Next::Do(action)) => {
                self.reached &= !round.lacks_something();
                match &action {
                    Action::Apply(transactions, _) => {
                        self.reached &= transactions.is_empty();
                        self.status.phase = Phase::Receiving;
                    }
                    // What it leads to is to be sent.
                    Action::Renew(..) | Action::LogState | Action::PutAside(_) => {
                        self.reached = false;
                    }
                    Action::Restore(_) => self.reached = false,
                    // It is this program's turn.
                    Action::Register(_) | Action::ReadOutbox(_) => {
                        self.status.phase = Phase::Sending
                    }
                    Action::Exchange(request) if request.append.is_empty() => {
                        self.status.phase = Phase::Receiving;
                    }
                    _ => {}
                }
                let ((sent, received), unsent) = (round.carried(), self.status.unsent);
                let before = self.status.progress.get_or_insert_default();
                let to_send = before.to_send.max(unsent).max(sent);
                self.status.progress = Some(ExchangeProgress { sent, to_send, received });
                return self.effects.push(Effect::Perform(action));
            }
            Ok(Next::Finished(report)) => {
                self.untold = round.owes_acknowledgement();
                let callers = std::mem::take(callers);
                self.status.progress = None;
                self.activity = Activity::Idle;
                self.went_through(now, callers, report);
            }
            Err(error) => {
                let callers = std::mem::take(callers);
                self.status.progress = None;
                self.activity = Activity::Idle;
                self.effects.push(Effect::RoundOver { went_through: false });
                self.failed(now, callers, Arc::new(error));
            }
        }
        if !self.stopping {
            self.look(After::Nothing);
        }
    }

    pub(super) fn went_through(
        &mut self,
        now: Timestamp,
        callers: Vec<Caller>,
        report: SyncReport,
    ) {
        self.effects.push(Effect::RoundOver { went_through: true });
        self.standing_by = false;
        // Another process may have written meanwhile.
        self.unseen |= !self.status.in_step;
        let idle = report.is_idle();
        self.idle = idle;
        if idle {
            self.pace.slow_down();
        } else {
            self.pace.quicken();
        }
        let news_of_missing = self.note_missing(now, &report);
        let status = &mut self.status;
        status.rounds += 1;
        status.failures = 0;
        status.last_success = Some(now);
        let had_failed = status.last_error.take().is_some();
        status.last_error_at = None;
        self.reached = true;
        let age = self.remembered_at.map_or(u64::MAX, |at| at.0.abs_diff(now.0));
        if !idle || had_failed || news_of_missing || age >= REMEMBERED_MILLISECONDS {
            self.remember(now);
        }
        let report = Arc::new(report);
        if !callers.is_empty() {
            self.effects.push(Effect::Answer(callers, Ok(Arc::clone(&report))));
        }
        self.effects.push(Effect::Tell(SyncEvent::Exchanged(report)));
    }

    /// Whether something else is missing than before.
    fn note_missing(&mut self, now: Timestamp, report: &SyncReport) -> bool {
        let status = &mut self.status;
        let changed = status.missing != report.missing;
        status.missing.clone_from(&report.missing);
        let since = status.missing_since.unwrap_or(now);
        status.missing_since = Some(since).filter(|_| !status.missing.is_empty());
        changed
    }

    /// An exchange, or a look before one, has failed.
    pub(super) fn failed(&mut self, now: Timestamp, callers: Vec<Caller>, error: Arc<SyncError>) {
        self.disarm(Timer::Round);
        self.reached = false;
        if error.recovery() == Recovery::StandBy {
            // No failure: the other one keeps the database in step.
            (self.standing_by, self.due) = (true, !self.callers.is_empty());
            self.status.failures = 0;
            if !callers.is_empty() {
                self.effects.push(Effect::Answer(callers, Err(error)));
            }
            return;
        }
        self.standing_by = false;
        self.status.failures = self.status.failures.saturating_add(1);
        self.status.last_error = Some(describe(&*error));
        self.status.last_error_at = Some(now);
        let random = self.random();
        let backoff = self.config.backoff;
        self.retry_delay = backoff.delay(self.status.failures, random);
        let recovery = error.recovery();
        // It was due, and was tried.
        self.due = !self.callers.is_empty();
        match recovery {
            Recovery::Retry | Recovery::GoOn | Recovery::StandBy => {}
            Recovery::Wait(wait) => {
                self.obstacles.hold = Some(later(now, wait));
                self.arm(Timer::Hold, wait);
                // A log that asks for a moment, again and again, is not asked without end. That is our own advice, and a connection or
                // somebody who asks cuts it.
                self.retry_delay = self.retry_delay.saturating_sub(wait);
            }
            // Who asked was known by the old login.
            Recovery::LogIn if std::mem::take(&mut self.logged_in) => self.due = true,
            Recovery::LogIn => self.obstacles.login = Some(Arc::clone(&error)),
            Recovery::Intervene => self.retry_delay = backoff.longest(random),
            Recovery::Nothing => self.stopping = true,
        }
        self.remember(now);
        if !callers.is_empty() {
            self.effects.push(Effect::Answer(callers, Err(Arc::clone(&error))));
        }
        let attempts = self.status.failures;
        if recovery != Recovery::Retry || attempts > backoff.quiet_attempts {
            self.effects.push(Effect::Tell(SyncEvent::Failed { error, attempts }));
        }
    }
}
