//! [`Event`] and [`Effect`]: what goes into the [`Engine`](super::Engine), and what comes out.

use std::sync::Arc;
use std::time::Duration;

use super::action::{Action, Outcome};
use super::status::SyncEvent;
use crate::compact::Compacted;
use crate::error::{Result, SyncError};
use crate::remembered::{Look, Remembered};
use crate::report::SyncReport;

/// Somebody who waits for an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Caller(pub u64);

/// What has happened.
#[derive(Debug)]
pub enum Event {
    /// Continuous sync begins. The first event.
    Started,
    /// A timer has run out.
    Fired(Timer),
    /// Something was written to the database, by whomever.
    Changed,
    /// The shared log says that there may be something.
    News,
    /// There is a connection (`true`), or there is none any more.
    Online(bool),
    /// This program is woken, or was away for a while (`true`); or it is put to sleep, and nobody knows when it goes on.
    Awake(bool),
    /// Somebody wants an exchange now, and waits for it.
    SyncNow(Caller),
    /// Sync was paused.
    Paused,
    /// Sync was resumed.
    Resumed,
    /// The application has logged in.
    LoggedIn,
    /// What came of an [`Effect::Look`].
    Looked(Result<Look>),
    /// What came of an [`Effect::Perform`].
    Performed(Result<Outcome>),
    /// An [`Effect::Acknowledge`] is over, whatever came of it.
    Acknowledged,
    /// What came of an [`Effect::Compact`].
    Compacted(Result<Compacted>),
    /// Continuous sync is to end, after what is under way.
    Stop,
}

/// What is to be done.
#[derive(Debug)]
pub enum Effect {
    /// Look at the own database; answered by [`Event::Looked`].
    Look,
    /// Do a step of an exchange; answered by [`Event::Performed`].
    Perform(Action),
    /// The exchange is over: others may make theirs.
    RoundOver {
        /// Whether it went through.
        went_through: bool,
    },
    /// Tell the shared log what was applied, if that is quickly done: no exchange follows for now. Answered by
    /// [`Event::Acknowledged`].
    Acknowledge,
    /// Compact the shared log, beside everything else; answered by [`Event::Compacted`].
    Compact,
    /// Give up what is under way of a look or an exchange, without an answer, and let others make theirs at once.
    BreakOff,
    /// Give up compacting the shared log, without an answer.
    StopCompacting,
    /// Start a timer, in place of one of the same kind; answered by [`Event::Fired`].
    Arm(Timer, Duration),
    /// Stop a timer.
    Disarm(Timer),
    /// Tell those who waited what came of it.
    Answer(Vec<Caller>, Result<Arc<SyncReport>, Arc<SyncError>>),
    /// Note this in the database; if that fails it is not noted.
    Remember(Remembered),
    /// Tell whoever listens.
    Tell(SyncEvent),
    /// It has ended: whoever still waits learns that there is no exchange.
    Stopped,
}

/// The timers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// The next exchange: after the interval, or after a failure.
    Round,
    /// The end of gathering writes and news.
    Gather,
    /// The end of what the shared log has asked for.
    Hold,
}
