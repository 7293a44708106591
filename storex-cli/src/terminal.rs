//! [`for_terminal`]: text that others may have had a hand in, fit to be shown.

/// Characters of a line, at most.
const LONGEST: usize = 1_000;

/// Lines, at most.
const MOST: usize = 1_000;

/// What others have said, or named, as it may be printed: without control characters, which a terminal would obey (but for the
/// ends of lines), and without characters that turn the direction of text, and not without end.
#[must_use]
pub fn for_terminal(text: &str) -> String {
    let mut lines = text.split('\n');
    let mut shown: Vec<String> = lines.by_ref().take(MOST).map(line).collect();
    if lines.next().is_some() {
        shown.push("..".to_owned());
    }
    shown.join("\n")
}

fn line(text: &str) -> String {
    let mut characters = text.chars();
    let mut shown: String = characters.by_ref().take(LONGEST).map(harmless).collect();
    if characters.next().is_some() {
        shown.push_str("..");
    }
    shown
}

fn harmless(character: char) -> char {
    let turns = matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if turns || character.is_control() { char::REPLACEMENT_CHARACTER } else { character }
}

#[cfg(test)]
mod tests {
    use super::for_terminal;

    #[test]
    fn what_a_terminal_would_obey_is_replaced_and_the_rest_stays() {
        assert_eq!(for_terminal("é ok\n  t: why\n"), "é ok\n  t: why\n");
        let evil = "\u{1b}[2J\r\u{7}\u{8}\u{9b}1m\u{202e}gone";
        assert_eq!(for_terminal(evil), "\u{fffd}[2J\u{fffd}\u{fffd}\u{fffd}\u{fffd}1m\u{fffd}gone");
    }

    #[test]
    fn what_is_without_end_is_cut() {
        assert_eq!(for_terminal(&"x".repeat(5_000)).len(), 1_002);
        assert_eq!(for_terminal(&"x\n".repeat(5_000)), format!("{}..", "x\n".repeat(1_000)));
    }
}
