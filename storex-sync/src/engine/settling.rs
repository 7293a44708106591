//! What the engine does with nothing under way.

use storex_core::Timestamp;

use super::event::{Effect, Timer};
use super::{Activity, After, Engine, STAND_BY};

impl Engine {
    /// With nothing under way: begins what is due, and else sees to it that it wakes up.
    pub(super) fn settle(&mut self, now: Timestamp) {
        let (refusal, pausing) = (self.obstacles.refusal(now), std::mem::take(&mut self.pausing));
        if self.stopping {
            if !self.obstacles.forbid(now) && self.acknowledge() {
                return;
            }
            self.activity = Activity::Stopped;
            self.effects.push(Effect::Stopped);
            return;
        }
        if self.obstacles.asleep {
            self.disarm(Timer::Round);
            return self.disarm(Timer::Gather);
        }
        if let Some(refusal) = refusal {
            if !self.callers.is_empty() {
                let callers = std::mem::take(&mut self.callers);
                self.effects.push(Effect::Answer(callers, Err(refusal)));
            }
            if pausing && self.obstacles.only_paused() && self.acknowledge() {
                return;
            }
            // Somebody else may take away a pause, and nobody tells of it everywhere.
            if self.obstacles.only_paused() && self.config.triggers.timer {
                self.arm_unless_armed(Timer::Round, self.pace.interval());
            } else {
                self.disarm(Timer::Round);
            }
        } else if self.due {
            return self.look(After::Round);
        } else if self.status.failures > 0 {
            self.arm_unless_armed(Timer::Round, self.retry_delay);
        } else if self.standing_by {
            self.arm_unless_armed(Timer::Round, STAND_BY);
        } else {
            if self.config.triggers.timer {
                self.arm_unless_armed(Timer::Round, self.pace.interval());
            }
            if self.is_eager() {
                // Written during the exchange, or by somebody who does not tell.
                self.arm_unless_armed(Timer::Gather, self.config.gather);
            }
        }
        if self.changed || self.news {
            self.arm_unless_armed(Timer::Gather, self.config.gather);
        }
    }

    /// Before nothing is asked of the shared log for a while: tells it what no exchange will tell soon. Whether there is something.
    fn acknowledge(&mut self) -> bool {
        let owes = std::mem::take(&mut self.untold);
        if owes {
            self.activity = Activity::Acknowledging;
            self.effects.push(Effect::Acknowledge);
        }
        owes
    }
}
