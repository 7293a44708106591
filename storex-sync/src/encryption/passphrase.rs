//! [`Passphrase`]: what a person knows, and how a key is made of it.

use std::fmt;

use argon2::{Algorithm, Argon2, Params, Version};
use zeroize::Zeroizing;

use super::cipher::Secret;
use crate::error::{Result, SyncError};

pub(super) const SALT: usize = 16;

/// A passphrase. `Debug` does not show it, and dropping it overwrites it.
///
/// Its characters count as they are: an application that takes passphrases on systems which compose characters differently brings them to
/// one form (Unicode's NFKC) before.
#[derive(Clone)]
pub struct Passphrase(Zeroizing<String>);

impl Passphrase {
    /// This passphrase.
    #[must_use]
    pub fn new(passphrase: impl Into<String>) -> Self {
        Self(Zeroizing::new(passphrase.into()))
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase")
    }
}

/// What it costs to try a passphrase: the parameters of Argon2id, for one lane. They are kept with the key, so another choice changes nothing
/// for keys that are there.
///
/// The default is the second recommendation of RFC 9106 (64 MiB, 3 passes), computed by one thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PassphraseCost {
    /// Memory, in KiB: from 8 to 262,144 (256 MiB).
    pub memory: u32,
    /// How often it is gone over: 1 at least. Memory times passes may be 1,048,576 KiB (1 GiB) at most.
    pub passes: u32,
}

impl Default for PassphraseCost {
    fn default() -> Self {
        Self { memory: 64 << 10, passes: 3 }
    }
}

impl PassphraseCost {
    /// No item of a log makes a device take more: neither more memory, nor more time.
    const MOST_MEMORY: u32 = 256 << 10;
    const MOST_WORK: u32 = 1 << 20;

    pub(super) fn checked(self) -> Result<Self> {
        let Self { memory, passes } = self;
        let work = memory.checked_mul(passes);
        let fits = (8..=Self::MOST_MEMORY).contains(&memory)
            && passes > 0
            && work.is_some_and(|work| work <= Self::MOST_WORK);
        if fits {
            return Ok(self);
        }
        let reason = format!("{memory} KiB gone over {passes} times is out of bounds");
        Err(SyncError::corrupt("the cost of a passphrase", reason))
    }
}

/// The key that a passphrase makes with a salt. On native targets a thread of its own makes it; in a browser the page or worker
/// stands still meanwhile.
pub(super) async fn stretch(
    passphrase: &Passphrase,
    salt: [u8; SALT],
    cost: PassphraseCost,
) -> Result<Secret> {
    let cost = cost.checked()?;
    let passphrase = passphrase.clone();
    beside(move || compute(&passphrase, &salt, cost)).await?
}

fn compute(passphrase: &Passphrase, salt: &[u8; SALT], cost: PassphraseCost) -> Result<Secret> {
    let mut key = Zeroizing::new([0; 32]);
    let made = Params::new(cost.memory, cost.passes, 1, None).and_then(|params| {
        let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        argon.hash_password_into(passphrase.0.as_bytes(), salt, &mut key[..])
    });
    made.map_err(|error| failed(error.to_string()))?;
    Ok(key)
}

fn failed(reason: String) -> SyncError {
    SyncError::Transport { during: "making a key of the passphrase", reason }
}

#[cfg(not(target_family = "wasm"))]
async fn beside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let (tell, told) = tokio::sync::oneshot::channel();
    let thread = std::thread::Builder::new().name("storex-passphrase".to_owned());
    // Whoever asked may have given up.
    let started = thread.spawn(move || drop(tell.send(work())));
    started.map_err(|error| failed(error.to_string()))?;
    told.await.map_err(|_| failed("its thread has ended".to_owned()))
}

#[cfg(target_family = "wasm")]
fn beside<T>(work: impl FnOnce() -> T) -> impl Future<Output = Result<T>> {
    std::future::ready(Ok(work()))
}
