//! [`Output`]: what is printed, for people or for scripts.

use std::fmt::Display;
use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use storex_core::Timestamp;

use crate::error::{CliError, Result};

/// How what comes of a command is printed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    pub(crate) json: bool,
}

impl Output {
    /// A text for people; scripts get nothing of it.
    pub(crate) fn text(&self, text: impl Display) -> Result<()> {
        if self.json { Ok(()) } else { print(&harmless(&text.to_string())) }
    }

    /// A value for scripts, in one line; people get the text.
    pub(crate) fn value(&self, value: &impl Serialize, text: impl Display) -> Result<()> {
        if !self.json {
            return self.text(text);
        }
        let json = serde_json::to_string(value);
        print(&json.map_err(|error| CliError::asked(format!("it is no JSON: {error}")))?)
    }
}

fn print(text: &str) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{}", text.trim_end_matches('\n'))?;
    Ok(stdout.flush()?)
}

/// What others have written, without what a terminal would obey: control characters, and those that turn the direction of text.
pub(crate) fn harmless(text: &str) -> String {
    let turns = |it: char| matches!(it, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let is_evil = |it: char| turns(it) || (it.is_control() && it != '\n' && it != '\t');
    text.chars().map(|it| if is_evil(it) { char::REPLACEMENT_CHARACTER } else { it }).collect()
}

/// The end of an id, by which it can be named.
pub(crate) fn short(id: &str) -> &str {
    id.char_indices().rev().nth(5).and_then(|(at, _)| id.get(at..)).unwrap_or(id)
}

/// So many of something.
pub(crate) fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// How long ago something was.
pub(crate) fn ago(then: Timestamp, now: Timestamp) -> String {
    let seconds = now.0.saturating_sub(then.0) / 1000;
    match seconds {
        i64::MIN..=9 => "just now".to_owned(),
        10..=119 => format!("{seconds} s ago"),
        120..=7199 => format!("{} min ago", seconds / 60),
        7200..=172_799 => format!("{} h ago", seconds / 3600),
        _ => format!("{} days ago", seconds / 86400),
    }
}

/// A line on standard error that is drawn over and over, where that is a terminal; it shows nothing elsewhere.
pub(crate) fn bar(template: &str) -> ProgressBar {
    let target = match std::io::stderr().is_terminal() {
        true => ProgressDrawTarget::stderr(),
        false => ProgressDrawTarget::hidden(),
    };
    let bar = ProgressBar::with_draw_target(None, target);
    // A template that is wrong shows as the plain bar.
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_cannot_command_the_terminal() {
        assert_eq!(harmless("Milk\n\tbread é"), "Milk\n\tbread é");
        assert_eq!(harmless("\u{1b}[2J\u{202e}x\r"), "\u{fffd}[2J\u{fffd}x\u{fffd}");
    }

    #[test]
    fn an_id_is_named_by_its_end() {
        assert_eq!(short("0192-abcdef012345"), "012345");
        assert_eq!(short("ab"), "ab");
    }

    #[test]
    fn ages_are_told_in_what_people_count_in() {
        let ago = |seconds: i64| ago(Timestamp(0), Timestamp(seconds * 1000));
        let told = [-5, 9, 10, 119, 120, 7200, 172_800].map(ago);
        let meant =
            ["just now", "just now", "10 s ago", "119 s ago", "2 min ago", "2 h ago", "2 days ago"];
        assert_eq!(told, meant);
    }
}
