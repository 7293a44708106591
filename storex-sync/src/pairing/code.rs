//! [`PairingCode`]: what is shown on one device and typed on the other.

use std::fmt;
use std::str::FromStr;

use storex_core::Runtime;
use zeroize::Zeroizing;

use crate::error::{Result, SyncError};

/// A short code that is shown on one device and typed on the other, like `7KMD-2XQP`.
///
/// Seven of its characters are random (35 bits), the eighth is a check, so that a slip of the finger is told before anything
/// is sent: each single wrong character, each two that changed places. The characters are the digits and letters of
/// Crockford's base 32, without `I`, `L`, `O` and `U`.
///
/// It is read in small and large letters, with or without dashes and spaces, and with `O` for `0` and `I` or `L` for `1`.
/// [`Display`](fmt::Display) writes it for people; `Debug` does not show it, and dropping it overwrites it.
///
/// ```
/// # use storex_memory::TestRuntime;
/// use storex_sync::{PairingCode, SyncError};
///
/// let code = PairingCode::generate(&TestRuntime::new(1));
/// let typed: PairingCode = code.to_string().to_lowercase().replace('-', " ").parse()?;
/// assert_eq!(typed.to_string(), code.to_string());
/// assert!(matches!("7KMD".parse::<PairingCode>(), Err(SyncError::InvalidPairingCode { .. })));
/// # Ok::<(), SyncError>(())
/// ```
pub struct PairingCode(Zeroizing<[u8; LENGTH]>);

/// Characters of a code, with the check.
const LENGTH: usize = 8;

/// Characters of a group, for people.
const GROUP: usize = 4;

/// Each character stands for its place: five bits.
const ALPHABET: [char; 32] = [
    '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F', 'G', 'H', 'J',
    'K', 'M', 'N', 'P', 'Q', 'R', 'S', 'T', 'V', 'W', 'X', 'Y', 'Z',
];

impl PairingCode {
    /// A new code, of the runtime's randomness.
    #[must_use]
    pub fn generate(runtime: &dyn Runtime) -> Self {
        let mut values = Zeroizing::new([0; LENGTH]);
        runtime.fill_random(&mut values[..]);
        // 256 is a multiple of 32: each value is as likely as any other.
        values.iter_mut().for_each(|value| *value &= 31);
        if let Some((check, random)) = values.split_last_mut() {
            *check = times_x(remainder(random));
        }
        Self(values)
    }

    /// What the key exchange takes for the password: the characters, as they are shown and without dashes.
    pub(super) fn password(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.characters().map(|it| it as u8).collect())
    }

    fn characters(&self) -> impl Iterator<Item = char> {
        self.0.iter().filter_map(|value| ALPHABET.get(usize::from(*value)).copied())
    }
}

impl fmt::Display for PairingCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, character) in self.characters().enumerate() {
            if at == GROUP {
                f.write_str("-")?;
            }
            write!(f, "{character}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for PairingCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PairingCode")
    }
}

impl FromStr for PairingCode {
    type Err = SyncError;

    fn from_str(typed: &str) -> Result<Self> {
        let mut values = Zeroizing::new([0; LENGTH]);
        let mut count = 0;
        for character in typed.chars().filter(|it| !is_separator(*it)) {
            let value = value_of(character)?;
            if let Some(place) = values.get_mut(count) {
                *place = value;
            }
            count += 1;
        }
        if count != LENGTH {
            return Err(invalid(format!("it has {LENGTH} characters, and {count} were typed")));
        }
        if remainder(&values[..]) != 0 {
            let reason = "a character of it is wrong, or two have changed places";
            return Err(invalid(reason.to_owned()));
        }
        Ok(Self(values))
    }
}

fn invalid(reason: String) -> SyncError {
    SyncError::InvalidPairingCode { reason }
}

/// Spaces, and all that looks like a dash.
fn is_separator(character: char) -> bool {
    character.is_whitespace()
        || matches!(character, '-' | '_' | '.' | '\u{2010}'..='\u{2015}' | '\u{2212}')
}

fn value_of(character: char) -> Result<u8> {
    let meant = match character.to_ascii_uppercase() {
        'O' => '0',
        'I' | 'L' => '1',
        other => other,
    };
    let value = ALPHABET.iter().position(|it| *it == meant).and_then(|it| u8::try_from(it).ok());
    value.ok_or_else(|| invalid(format!("{character:?} is in no code")))
}

/// The values as a polynomial over GF(32), divided by x - α, where α is a root of x⁵ + x² + 1. As α is of order 31, each of
/// the eight places has a weight of its own: a wrong value always shows, and so do two that changed places.
fn remainder(values: &[u8]) -> u8 {
    values.iter().fold(0, |sum, value| times_x(sum) ^ value)
}

/// In GF(32), of five bits.
fn times_x(value: u8) -> u8 {
    let carry = if value & 0b1_0000 == 0 { 0 } else { 0b10_0101 };
    ((value << 1) ^ carry) & 0b1_1111
}
