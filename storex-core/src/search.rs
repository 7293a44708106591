//! Words of texts, and texts without regard to case: the same on every backend.

/// A text in which case makes no difference any more: each character in small letters, in capitals, and in small letters
/// again, so that `ß`, `ẞ` and `SS`, or `ς` and `Σ`, become the same. Independent of language and of the characters around.
#[must_use]
pub fn fold_case(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let small = text.chars().flat_map(char::to_lowercase);
    small.flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect()
}

/// The words of a text, as a search index keeps them: runs of letters and digits, without case, in the order of the text.
pub fn words_of(text: &str) -> impl Iterator<Item = String> + '_ {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(fold_case)
}

/// Grows whenever [`words_of`] takes the same text apart in another way.
const RULES: u32 = 1;

/// The name of the rules by which [`words_of`] takes texts apart: theirs, and the version of Unicode, which says what a
/// letter is and folds case. An index that was filled by rules of another name has other words in it, and has to be filled
/// anew.
///
/// ```
/// let (major, minor, patch) = char::UNICODE_VERSION;
/// assert!(storex_core::word_rules().ends_with(&format!("unicode-{major}.{minor}.{patch}")));
/// ```
#[must_use]
pub fn word_rules() -> String {
    let (major, minor, patch) = char::UNICODE_VERSION;
    format!("{RULES}-unicode-{major}.{minor}.{patch}")
}

/// What a [`Filter::Search`](crate::Filter::Search) looks for: every one of these words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words(Vec<Word>);

/// A word to look for, without case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// The word, or how it begins.
    pub text: String,
    /// Whether any word that begins so will do.
    pub is_prefix: bool,
}

impl Words {
    /// The words of a search; a `*` behind one stands for any ending.
    #[must_use]
    pub fn new(search: &str) -> Self {
        let mut words = Vec::new();
        for part in search.split_whitespace() {
            let first = words.len();
            words.extend(words_of(part).map(|text| Word { text, is_prefix: false }));
            let found = words.len() > first;
            if let Some(last) = words.last_mut().filter(|_| found && part.ends_with('*')) {
                last.is_prefix = true;
            }
        }
        Self(words)
    }

    /// The words.
    pub fn iter(&self) -> impl Iterator<Item = &Word> {
        self.0.iter()
    }

    /// Whether there is nothing to look for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether all of them are in a text.
    #[must_use]
    pub fn are_in(&self, text: &str) -> bool {
        let there: Vec<String> = words_of(text).collect();
        self.0.iter().all(|word| {
            there.iter().any(|it| match word.is_prefix {
                true => it.starts_with(&word.text),
                false => *it == word.text,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_folds_in_every_language() {
        assert_eq!(fold_case("STRASSE"), fold_case("straße"));
        assert_eq!(fold_case("STRAẞE"), fold_case("straße"));
        assert_eq!(fold_case("ΟΔΟΣ"), fold_case("οδος"));
        assert_eq!(fold_case("ΟΔΟς"), fold_case("οδοΣ"));
        assert_eq!(fold_case("Ärger"), fold_case("äRGER"));
        assert_ne!(fold_case("a"), fold_case("á"), "accents count");
    }

    /// A character, in capitals or small letters or folded already, is the same.
    #[test]
    fn every_character_folds_with_its_other_cases() {
        for c in '\0'..=char::MAX {
            let folded = fold_case(&c.to_string());
            assert_eq!(fold_case(&folded), folded, "{c:?}");
            // The capital of a dotless i is that of a dotted one.
            assert_eq!(fold_case(&c.to_uppercase().to_string()), folded, "{c:?}");
            assert_eq!(fold_case(&c.to_lowercase().to_string()), folded, "{c:?}");
        }
    }

    #[test]
    fn words_are_runs_of_letters_and_digits() {
        let words: Vec<String> = words_of("It's easy: C3-PO, Übung_1!").collect();
        assert_eq!(words, ["it", "s", "easy", "c3", "po", "übung", "1"]);
    }

    #[test]
    fn all_words_have_to_be_there() {
        let text = "The quick brown fox";
        assert!(Words::new("fox QUICK").are_in(text));
        assert!(!Words::new("fox quic").are_in(text));
        assert!(Words::new("fox quic*").are_in(text));
        assert!(!Words::new("fox dog").are_in(text));
        assert!(Words::new(" * , ").is_empty(), "no word at all");
    }
}
