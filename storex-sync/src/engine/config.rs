//! [`Config`]: what makes an exchange, and when.

use std::time::Duration;

use super::backoff::Backoff;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What makes an exchange by itself. `sync_now`, `resume` and `logged_in` always do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Triggers {
    /// The start.
    pub startup: bool,
    /// The interval. It finds what nobody tells of, so without it nothing may be noticed for ever.
    pub timer: bool,
    /// A write that is to be sent.
    pub local_change: bool,
    /// Word from the shared log that there is something, where it can give it.
    pub remote_news: bool,
    /// A connection after there was none; and that this program is awake again, or looked at again
    /// ([`ContinuousSyncBuilder::awake`](crate::ContinuousSyncBuilder::awake)).
    pub online: bool,
}

impl Triggers {
    /// All of them.
    pub const ALL: Self =
        Self { startup: true, timer: true, local_change: true, remote_news: true, online: true };
    /// None: only when it is asked for.
    pub const MANUAL: Self = Self {
        startup: false,
        timer: false,
        local_change: false,
        remote_news: false,
        online: false,
    };
}

impl Default for Triggers {
    fn default() -> Self {
        Self::ALL
    }
}

/// When exchanges are made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Config {
    /// What makes one.
    pub triggers: Triggers,
    /// The distance between two while something is going on.
    pub shortest_interval: Duration,
    /// The distance that it grows to while nothing is.
    pub longest_interval: Duration,
    /// How long writes and news are gathered before they make an exchange, so that a burst makes one.
    pub gather: Duration,
    /// How long to wait after failures.
    pub backoff: Backoff,
    /// How often to look whether the shared log is to be compacted; `None`: never.
    pub compact_every: Option<Duration>,
}

impl Default for Config {
    /// All triggers; every 15 s, and up to every 2 min while nothing is going on; a tenth of a second to gather; compacted
    /// once a day.
    fn default() -> Self {
        Self {
            triggers: Triggers::ALL,
            shortest_interval: Duration::from_secs(15),
            longest_interval: Duration::from_secs(120),
            gather: Duration::from_millis(100),
            backoff: Backoff::default(),
            compact_every: Some(DAY),
        }
    }
}
