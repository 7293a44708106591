//! The engine of continuous sync: a state machine without input, output, clock or randomness.
//!
//! ```text
//!                    ┌──────────────────────────────────────────────┐
//!    Event ─────────▶│ Engine::step(now, event)                     │────▶ Effects
//!    changed, news,  │   idle ─▶ looking ─▶ exchanging ─▶ looking   │      look, perform, arm a timer,
//!    fired, online,  │     ▲                                 │      │      answer, remember, tell
//!    performed, …    │     └─────────────────────────────────┘      │
//!                    └──────────────────────────────────────────────┘
//! ```
//!
//! [`ContinuousSync`](crate::ContinuousSync) drives it over a storage and a shared log;
//! [`Sync::sync_once`](crate::Sync::sync_once) drives a single [`Round`]; a simulator can drive either, with a clock of its own,
//! and stop between any two steps.
//!
//! It keeps to this, whatever happens in whatever order:
//! - **It does not fall asleep.** Where something is to be sent and nothing forbids it, an exchange is under way or a timer runs.
//! - One exchange at a time, and none while the program sleeps, while there is no connection, while it is paused, before a login that is
//!   needed, or before the shared log takes requests again.
//! - Everybody who waits is answered, when the program is awake.
//! - It does not say "in step" while something is to be sent or missing, or after a failure.

mod action;
mod backoff;
mod config;
mod event;
mod exchanging;
mod obstacles;
mod pace;
mod round;
mod settling;
pub(crate) mod status;
mod telling;
mod tidying;

pub use action::{Action, Outbox, Outcome, Retry};
pub use backoff::Backoff;
pub use config::{Config, Triggers};
pub use event::{Caller, Effect, Event, Timer};
pub use round::{Next, Purpose, Round};

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use storex_core::Timestamp;

use self::obstacles::Obstacles;
use self::pace::Pace;
use self::status::{SyncEvent, SyncStatus};
use self::tidying::Tidying;
pub use crate::apply::Refused;
use crate::compact::Compacted;
use crate::error::{Result, describe};
pub use crate::place::Move;
pub use crate::remembered::{Look, Remembered};
pub use crate::renewal::Renewal;
pub use crate::scope::Rescoped;

/// How old the remembered time of the last success may be while there is nothing to do.
const REMEMBERED_MILLISECONDS: u64 = 60_000;

/// How often one that stands by looks whether it is to take over.
const STAND_BY: Duration = Duration::from_secs(1);

/// The state machine. See the [module](self).
#[derive(Debug)]
pub struct Engine {
    config: Config,
    pace: Pace,
    random: u64,
    activity: Activity,
    obstacles: Obstacles,
    /// Those who wait for an exchange that has not begun.
    callers: Vec<Caller>,
    /// An exchange is to be made.
    due: bool,
    /// Something was written since the last look began.
    changed: bool,
    /// Something was written that no look has seen yet.
    unseen: bool,
    /// The shared log has something.
    news: bool,
    stopping: bool,
    /// Everything that the shared log held at the last reading is here, and nothing has failed since.
    reached: bool,
    armed: BTreeSet<Timer>,
    /// How long to wait before the next attempt, after a failure.
    retry_delay: Duration,
    /// Another program syncs this database.
    standing_by: bool,
    /// There was a login since the exchange began.
    logged_in: bool,
    /// It was paused or resumed since the look began, which may have seen it as it was before.
    pause_told: bool,
    remembered_at: Option<Timestamp>,
    /// The last exchange carried nothing.
    idle: bool,
    /// It has left something unacknowledged, for the next one to tell.
    untold: bool,
    /// It was paused here since nothing was under way.
    pausing: bool,
    tidying: Tidying,
    status: SyncStatus,
    effects: Vec<Effect>,
}

#[derive(Debug)]
enum Activity {
    Idle,
    Looking(After),
    Exchanging(Box<Round>, Vec<Caller>),
    /// Telling the shared log what was applied, before a pause or the end.
    Acknowledging,
    Stopped,
}

/// What follows a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum After {
    /// An exchange.
    Round,
    /// An exchange, if there is something to send.
    Sending,
    /// Nothing: the exchange was before it.
    Nothing,
}

impl Engine {
    /// An engine that has not begun. The seed decides what it leaves off its waits.
    #[must_use]
    pub fn new(config: Config, seed: u64, remembered: Remembered) -> Self {
        let Remembered { last_success, last_error, last_compaction, missing } = remembered;
        let (last_error_at, last_error) = last_error.unzip();
        let (missing_since, missing) = missing.unzip();
        let status = SyncStatus {
            last_success,
            last_error,
            last_error_at,
            missing: missing.unwrap_or_default(),
            missing_since,
            ..SyncStatus::default()
        };
        Self {
            pace: Pace::new(config.shortest_interval, config.longest_interval),
            config,
            random: seed,
            activity: Activity::Idle,
            obstacles: Obstacles::default(),
            callers: Vec::new(),
            due: config.triggers.startup,
            changed: false,
            unseen: true,
            news: false,
            stopping: false,
            reached: false,
            armed: BTreeSet::new(),
            retry_delay: Duration::ZERO,
            standing_by: false,
            logged_in: false,
            pause_told: false,
            remembered_at: None,
            idle: false,
            untold: false,
            pausing: false,
            tidying: Tidying::new(config.compact_every, last_compaction),
            status,
            effects: Vec::new(),
        }
    }

    /// What it is doing.
    #[must_use]
    pub fn status(&self) -> &SyncStatus {
        &self.status
    }

    /// Whether a look or a request is under way.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        !matches!(self.activity, Activity::Idle | Activity::Stopped)
    }

    /// Takes what has happened and says what is to be done, in this order. `now` is the wall clock; it is told and not relied
    /// upon.
    pub fn step(&mut self, now: Timestamp, event: Event) -> Vec<Effect> {
        match event {
            // The first look tells whether it is paused, before anything is asked of the shared log.
            Event::Started => self.look(self.next_look()),
            Event::Fired(timer) => self.fired(timer),
            Event::Changed => self.changed = true,
            Event::News => self.news |= self.config.triggers.remote_news,
            Event::Online(online) => self.online(online),
            Event::Awake(true) => self.wake(),
            Event::Awake(false) => self.fall_asleep(),
            Event::SyncNow(caller) => {
                self.callers.push(caller);
                self.due = true;
            }
            Event::Paused => {
                (self.obstacles.paused, self.pause_told) = (true, true);
                self.pausing = true;
            }
            Event::Resumed => {
                (self.obstacles.paused, self.pause_told) = (false, true);
                self.due = true;
            }
            Event::LoggedIn => {
                self.logged_in = true;
                self.due |= self.obstacles.login.take().is_some();
            }
            Event::Looked(looked) => self.looked(now, looked),
            Event::Performed(performed) => self.performed(now, performed),
            Event::Acknowledged if matches!(self.activity, Activity::Acknowledging) => {
                self.activity = Activity::Idle;
            }
            Event::Acknowledged => {}
            Event::Compacted(compacted) => self.compacted(now, compacted),
            Event::Stop => self.stopping = true,
        }
        if matches!(self.activity, Activity::Idle) {
            self.settle(now);
        }
        self.tell_status(now);
        std::mem::take(&mut self.effects)
    }

    fn fired(&mut self, timer: Timer) {
        self.armed.remove(&timer);
        if timer != Timer::Gather {
            self.status.next_attempt = None;
        }
        match timer {
            Timer::Round => self.due = true,
            Timer::Gather => {
                self.due |= std::mem::take(&mut self.news) && self.status.failures == 0
            }
            Timer::Hold => {
                self.obstacles.hold = None;
                self.due |= self.retry_delay.is_zero();
            }
        }
        // Also where requests are forbidden: somebody else may have resumed, and there is something to count.
        if matches!(self.activity, Activity::Idle) && !self.stopping {
            self.look(self.next_look());
        }
    }

    fn next_look(&self) -> After {
        if self.due { After::Round } else { After::Sending }
    }

    fn online(&mut self, online: bool) {
        let was_offline = std::mem::replace(&mut self.obstacles.offline, !online);
        if online && was_offline {
            self.due |= self.config.triggers.online;
            // What was learned about the way to the log is out of date.
            self.pace.quicken();
        }
    }

    /// Also where it did not sleep: it was out of sight, or its timers stood still.
    fn wake(&mut self) {
        self.obstacles.asleep = false;
        self.due |= self.config.triggers.online;
        self.pace.quicken();
    }

    /// What is under way might go on in an hour, or never. It is given up as by a crash: what was sent is passed over when it is sent
    /// again, and what was not committed is received again.
    fn fall_asleep(&mut self) {
        self.obstacles.asleep = true;
        match std::mem::replace(&mut self.activity, Activity::Idle) {
            Activity::Stopped => return self.activity = Activity::Stopped,
            Activity::Idle => return,
            Activity::Exchanging(_, callers) => {
                self.callers.splice(0..0, callers);
                self.status.progress = None;
                (self.due, self.reached) = (true, false);
            }
            // Whatever it would have seen is looked for again.
            Activity::Looking(_) => self.changed = true,
            Activity::Acknowledging => self.untold = true,
        }
        self.effects.push(Effect::BreakOff);
    }

    fn look(&mut self, after: After) {
        self.unseen |= std::mem::take(&mut self.changed);
        self.pause_told = false;
        self.activity = Activity::Looking(after);
        self.effects.push(Effect::Look);
    }

    fn looked(&mut self, now: Timestamp, looked: Result<Look>) {
        let Activity::Looking(after) = self.activity else { return };
        self.activity = Activity::Idle;
        let look = match looked {
            Ok(look) => look,
            // What the exchange before it failed of counts once.
            Err(_) if after == After::Nothing && self.status.failures > 0 => return,
            Err(error) => {
                let callers = std::mem::take(&mut self.callers);
                return self.failed(now, callers, Arc::new(error));
            }
        };
        self.unseen = false;
        (self.status.unsent, self.status.parked) = (look.unsent, look.parked);
        self.status.rejected = look.rejected;
        if !self.pause_told {
            let was_paused = std::mem::replace(&mut self.obstacles.paused, look.paused);
            self.due |= was_paused && !look.paused;
        }
        let begins = match after {
            After::Round => true,
            After::Sending => self.is_eager(),
            After::Nothing => false,
        };
        if begins {
            self.begin(now);
        } else if after == After::Nothing {
            self.compact_when_due(now);
        }
    }

    /// After an exchange that had nothing to do: then this device is at the end of the shared log, and nobody is kept waiting.
    fn compact_when_due(&mut self, now: Timestamp) {
        let calm = self.idle && self.status.unsent == 0 && self.status.failures == 0;
        let free = !self.stopping && !self.standing_by && !self.obstacles.forbid(now);
        if !calm || !free || !self.tidying.is_due(now) {
            return;
        }
        if self.tidying.is_first() {
            self.tidying.see_to(now);
            return self.remember(now);
        }
        self.tidying.begin(now);
        self.effects.push(Effect::Compact);
    }

    fn compacted(&mut self, now: Timestamp, compacted: Result<Compacted>) {
        if !self.tidying.under_way {
            return;
        }
        match compacted {
            Ok(compacted) => {
                self.tidying.see_to(now);
                self.remember(now);
                if compacted != Compacted::default() {
                    self.effects.push(Effect::Tell(SyncEvent::Compacted(Arc::new(compacted))));
                }
            }
            Err(error) => {
                tracing::debug!(error = %describe(&error), "the shared log was not compacted");
                self.tidying.fail();
            }
        }
    }

    /// Whether there is something that is sent without being asked for.
    fn is_eager(&self) -> bool {
        let Config { triggers, .. } = &self.config;
        let hindered = self.status.failures > 0 || self.standing_by;
        triggers.local_change && self.status.unsent > 0 && !hindered
    }

    fn remember(&mut self, now: Timestamp) {
        self.remembered_at = Some(now);
        let status = &self.status;
        self.effects.push(Effect::Remember(Remembered {
            last_success: status.last_success,
            last_error: status.last_error_at.zip(status.last_error.clone()),
            last_compaction: self.tidying.last(),
            missing: status.missing_since.map(|since| (since, status.missing.clone())),
        }));
    }

    fn arm_unless_armed(&mut self, timer: Timer, after: Duration) {
        if !self.armed.contains(&timer) {
            self.arm(timer, after);
        }
    }

    fn arm(&mut self, timer: Timer, after: Duration) {
        self.armed.insert(timer);
        self.effects.push(Effect::Arm(timer, after));
    }

    fn disarm(&mut self, timer: Timer) {
        if self.armed.remove(&timer) {
            self.effects.push(Effect::Disarm(timer));
        }
    }

    /// SplitMix64 (Steele, Lea, Flood, 2014).
    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

fn later(now: Timestamp, after: Duration) -> Timestamp {
    let milliseconds = i64::try_from(after.as_millis()).unwrap_or(i64::MAX);
    Timestamp(now.0.saturating_add(milliseconds))
}
