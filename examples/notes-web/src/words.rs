//! What is said to people: of states, times and errors.

use std::error::Error;
use std::fmt::Display;
use std::time::Duration;

use storex_core::Timestamp;
use storex_sync::{Phase, SyncError, SyncStatus};

use crate::mending::Obstacle;
use crate::page;

/// As long as nobody notices, and long enough for the page to show what was set before.
pub(crate) const MOMENT: Duration = Duration::from_millis(30);

const MINUTE: f64 = 60_000.0;

/// What the sync is doing: the kind of its dot, and words.
pub(crate) fn phase(status: &SyncStatus) -> (&'static str, String) {
    let failed = status.failures > 0;
    match status.phase {
        Phase::Waiting if status.in_step && status.unsent == 0 => ("good", "Up to date".into()),
        Phase::Waiting if failed => ("warn", "The server does not answer".into()),
        Phase::Waiting => ("busy", "Getting in step …".into()),
        Phase::Sending => ("busy", "Sending …".into()),
        Phase::Receiving => ("busy", "Receiving …".into()),
        Phase::Offline => ("away", "Off-line".into()),
        Phase::Paused => ("away", "Paused".into()),
        Phase::NeedsLogin => ("bad", "The server does not let this device in".into()),
        Phase::BackingOff { until } => {
            ("warn", format!("No server; next try at {}", page::clock(millis(until))))
        }
        Phase::StandingBy => ("good", "In step by another tab".into()),
        Phase::Stopped => ("bad", "Stopped: reload the page".into()),
        Phase::Disconnected => ("warn", "Starting again …".into()),
        _ => ("busy", "Working …".into()),
    }
}

/// What is in the way of the sync.
pub(crate) fn obstacle(obstacle: Obstacle) -> &'static str {
    match obstacle {
        Obstacle::Passphrase => "The passphrase was changed",
        Obstacle::Token => "The server does not let this device in",
        Obstacle::ShutOut => "This device was shut out",
    }
}

/// `1 change to send`.
pub(crate) fn unsent(count: u64) -> String {
    format!("{} to send", self::count(count, "change"))
}

/// How many of something: `2 devices`.
pub(crate) fn count<N: Display + PartialEq + From<u8>>(count: N, one: &str) -> String {
    let ending = if count == N::from(1) { "" } else { "s" };
    format!("{count} {one}{ending}")
}

/// How long ago: `just now`, `5 min ago`, `at 14:03`, `on 30 Nov`.
pub(crate) fn ago(then: f64, now: f64) -> String {
    match now - then {
        passed if passed < MINUTE => "just now".into(),
        passed if passed < 60.0 * MINUTE => format!("{:.0} min ago", (passed / MINUTE).floor()),
        _ if page::same_day(then, now) => format!("at {}", page::clock(then)),
        _ => format!("on {}", page::day(then)),
    }
}

/// When a note was edited, in the list: `14:03`, `30 Nov`.
pub(crate) fn when(then: Timestamp, now: f64) -> String {
    let then = millis(then);
    if page::same_day(then, now) { page::clock(then) } else { page::day(then) }
}

/// Milliseconds since 1970.
pub(crate) fn millis(at: Timestamp) -> f64 {
    #[allow(clippy::cast_precision_loss)] // far below 2^53
    let millis = at.as_millis() as f64;
    millis
}

/// What a note is called: its title, or else its first line.
pub(crate) fn title(title: &str, body: &str) -> String {
    let mut lines = std::iter::once(title).chain(body.lines()).map(str::trim);
    lines.find(|it| !it.is_empty()).unwrap_or("Untitled").chars().take(80).collect()
}

/// How a note begins, behind its title.
pub(crate) fn start(body: &str) -> String {
    let words = body.split_whitespace().take(24).collect::<Vec<_>>().join(" ");
    words.chars().take(120).collect()
}

/// Why what somebody has asked for did not work, in their words where it is about what they have typed.
pub(crate) fn failure(error: &notes::Error) -> String {
    let cause = match error {
        notes::Error::Sync(error) => error.cause(),
        error => return self::error(error),
    };
    match cause {
        SyncError::Unauthorized { .. } => "The server does not take this token.".into(),
        SyncError::WrongPassphrase => "This is not the passphrase that is in force.".into(),
        SyncError::HasKeys => "Another device has begun already: add this one to it.".into(),
        SyncError::NoKeys => "There are no notes under this link yet: start fresh.".into(),
        cause => self::error(cause),
    }
}

/// An error as a sentence, with what it came of.
pub(crate) fn error(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let why = error.to_string();
        if !text.contains(&why) {
            text = format!("{text}: {why}");
        }
        cause = error.source();
    }
    sentence(&text)
}

/// With a capital letter.
pub(crate) fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
