//! What the engine says of itself.

use storex_core::Timestamp;

use super::event::{Effect, Timer};
use super::status::Phase;
use super::{Activity, Engine, later};

impl Engine {
    pub(super) fn tell_status(&mut self, now: Timestamp) {
        self.tell_next_attempt(now);
        let refused = self.obstacles.forbid(now);
        self.status.in_step = self.reached
            && !refused
            && !self.stopping
            && !self.changed
            && !self.unseen
            && !self.standing_by
            && self.status.missing.is_empty()
            && self.status.unsent == 0
            && self.status.failures == 0;
        let until = self.status.next_attempt;
        self.status.phase = match (&self.activity, until) {
            (Activity::Stopped, _) => Phase::Stopped,
            (Activity::Exchanging(..) | Activity::Looking(_) | Activity::Acknowledging, _) => {
                self.status.phase
            }
            _ if self.obstacles.asleep => Phase::StandingBy,
            _ if self.obstacles.offline => Phase::Offline,
            _ if self.obstacles.paused => Phase::Paused,
            _ if self.obstacles.login.is_some() => Phase::NeedsLogin,
            (_, Some(until)) if self.obstacles.hold.is_some() || self.status.failures > 0 => {
                Phase::BackingOff { until }
            }
            _ if self.standing_by => Phase::StandingBy,
            _ => Phase::Waiting,
        };
        if self.tidying.under_way && (refused || self.stopping || self.standing_by) {
            self.tidying.break_off();
            self.effects.push(Effect::StopCompacting);
        }
    }

    /// As the timers were armed in this step.
    pub(super) fn tell_next_attempt(&mut self, now: Timestamp) {
        for effect in &self.effects {
            match effect {
                Effect::Arm(Timer::Round | Timer::Hold, after) => {
                    self.status.next_attempt = Some(later(now, *after));
                }
                Effect::Disarm(Timer::Round) | Effect::Stopped => self.status.next_attempt = None,
                _ => {}
            }
        }
    }
}
