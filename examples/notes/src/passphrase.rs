//! Passphrases that are made rather than thought of.

use storex_core::Runtime;

/// Letters and digits that nobody takes for another: those of pairing codes.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// A new passphrase that nobody can guess: 100 random bits, to be shown once and written down.
///
/// ```
/// # use storex_memory::TestRuntime;
/// let made = notes::new_passphrase(&TestRuntime::new(1)); // like `7kmd-2xqp-...`
/// assert_eq!(made.split('-').map(str::len).collect::<Vec<_>>(), [4; 5]);
/// ```
#[must_use]
pub fn new_passphrase(runtime: &dyn Runtime) -> String {
    let mut random = [0; 20];
    runtime.fill_random(&mut random);
    // 256 is a multiple of 32: each is as likely as any other.
    let letter = |byte: &u8| ALPHABET.get(usize::from(byte % 32)).copied().map_or('0', char::from);
    let groups = random.chunks(4).map(|group| group.iter().map(letter).collect::<String>());
    groups.collect::<Vec<_>>().join("-")
}
