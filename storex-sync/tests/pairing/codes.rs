//! What people read and type.

use proptest::prelude::*;
use storex_core::ErrorKind;
use storex_memory::TestRuntime;
use storex_sync::{DeviceKey, PairingCode, SyncError};

use super::run;

/// The characters of a code.
const ALPHABET: &str = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

fn code(seed: u64) -> String {
    run(async { PairingCode::generate(&TestRuntime::new(seed)).to_string() })
}

fn refused(typed: &str) -> bool {
    matches!(typed.parse::<PairingCode>(), Err(SyncError::InvalidPairingCode { .. }))
}

proptest! {
    #[test]
    fn a_code_is_read_however_it_is_typed(seed: u64) {
        let shown = code(seed);
        prop_assert_eq!(shown.len(), 9);
        let typed = [
            shown.clone(),
            shown.to_lowercase(),
            shown.replace('-', ""),
            shown.replace('-', " \u{2013} "),
            format!("  {}\n", shown.replace('-', " ")),
            shown.replace('0', "o").replace('1', "l"),
            shown.replace('0', "O").replace('1', "I"),
            shown.chars().flat_map(|it| [it, ' ']).collect(),
        ];
        for typed in typed {
            let read: PairingCode = typed.parse().unwrap();
            prop_assert_eq!(read.to_string(), shown.clone());
        }
    }

    /// Whatever the place and the character: the wrong one is told here, and costs no attempt.
    #[test]
    fn each_wrong_character_is_told_and_so_is_each_exchange(seed: u64, at in 0..8usize, with in 0..8usize) {
        let shown: Vec<char> = code(seed).replace('-', "").chars().collect();
        for other in ALPHABET.chars().filter(|it| *it != shown[at]) {
            let mut typed = shown.clone();
            typed[at] = other;
            prop_assert!(refused(&typed.iter().collect::<String>()));
        }
        let mut typed = shown.clone();
        typed.swap(at, with);
        prop_assert_eq!(refused(&typed.iter().collect::<String>()), shown[at] != shown[with]);
        typed = shown.clone();
        typed.remove(at);
        prop_assert!(refused(&typed.iter().collect::<String>()));
        typed.splice(at..at, [shown[at], shown[at]]);
        prop_assert!(refused(&typed.iter().collect::<String>()));
    }

    #[test]
    fn any_text_is_read_or_refused(typed: String) {
        if let Err(error) = typed.parse::<PairingCode>() {
            prop_assert_eq!(error.kind(), ErrorKind::Invalid);
            prop_assert!(!error.is_retryable());
        }
    }
}

#[test]
fn a_typo_says_what_is_wrong() {
    let reason = |typed: &str| typed.parse::<PairingCode>().unwrap_err().to_string();
    assert_eq!(reason("7KM"), "this is no pairing code: it has 8 characters, and 3 were typed");
    assert_eq!(reason("UUUU-UUUU"), "this is no pairing code: 'U' is in no code");
    let wrong = "this is no pairing code: a character of it is wrong, or two have changed places";
    assert_eq!(reason("0000-0001"), wrong);
}

#[test]
fn codes_use_all_characters() {
    let seen: Vec<String> = (0..400).map(code).collect();
    for character in ALPHABET.chars() {
        let places = |at: usize| seen.iter().any(|code| code.chars().nth(at) == Some(character));
        assert!([0, 1, 2, 3, 5, 6, 7, 8].into_iter().all(places), "{character}");
    }
}

#[test]
fn secrets_are_not_shown_by_debug() {
    run(async {
        let runtime = TestRuntime::new(1);
        assert_eq!(format!("{:?}", PairingCode::generate(&runtime)), "PairingCode");
        assert_eq!(format!("{:?}", DeviceKey::generate(&runtime)), "DeviceKey");
        let two = super::Two::new(1);
        assert!(!format!("{:?}", two.pairing).contains(&two.code().to_string()[..4]));
    });
}
