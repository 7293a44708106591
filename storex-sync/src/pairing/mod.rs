//! Pairing by a code, and channels that only paired devices can read: [`Pairing`], [`SecureChannel`].
//!
//! Why it is built this way, what it protects against and what not: `docs/decisions/0038-pairing.md`.

mod channel;
mod code;
mod exchange;
mod handshake;
mod line;
mod primitives;
mod sealed;
#[cfg(test)]
mod tests;

pub use channel::SecureChannel;
pub use code::PairingCode;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use storex_core::{Runtime, Timestamp};

use self::exchange::Exchange;
use self::handshake::{By, Noise};
use self::line::{Line, Tag};
use self::sealed::Sealed;
use crate::channel::Channel;
use crate::device_key::DeviceKey;
use crate::error::{Result, SyncError};

/// The host's side of pairing: owns the code that is shown, and lets one guest in by it.
///
/// A code is good for one guest, for three attempts and for five minutes; then [`Pairing::accept`] fails with
/// [`SyncError::PairingCodeSpent`], and a new `Pairing` has to be made and its code shown. So somebody who guesses has a chance of three
/// in 2^35. An attempt counts when a guest shows what it has made of its code, before it is told whether that was right; connections that
/// end before do not count, as they learn nothing. One guest is dealt with at a time.
///
/// An example is at [`SecureChannel`].
pub struct Pairing {
    code: PairingCode,
    runtime: Arc<dyn Runtime>,
    shown: Timestamp,
    lasts: Duration,
    attempts: u32,
    used: bool,
}

/// Guests that may try a code.
const ATTEMPTS: u32 = 3;

/// How long a code is good for.
const LASTS: Duration = Duration::from_secs(5 * 60);

impl fmt::Debug for Pairing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pairing").field("attempts", &self.attempts).finish_non_exhaustive()
    }
}

impl Pairing {
    /// A new code. The runtime's randomness makes it, and its clock ends it.
    #[must_use]
    pub fn new(runtime: Arc<dyn Runtime>) -> Self {
        let code = PairingCode::generate(&*runtime);
        let shown = runtime.now();
        Self { code, runtime, shown, lasts: LASTS, attempts: ATTEMPTS, used: false }
    }

    /// How many guests may try the code; 3 unless told otherwise.
    #[must_use]
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts;
        self
    }

    /// How long the code is good for; 5 minutes unless told otherwise.
    #[must_use]
    pub fn lasts(mut self, duration: Duration) -> Self {
        self.lasts = duration;
        self
    }

    /// The code, to be shown.
    #[must_use]
    pub fn code(&self) -> &PairingCode {
        &self.code
    }

    /// How many guests may still try the code, if it is [still valid](Self::still_valid) otherwise.
    #[must_use]
    pub fn attempts_left(&self) -> u32 {
        self.attempts
    }

    /// Whether a guest can be let in by the code now.
    ///
    /// # Errors
    /// [`SyncError::PairingCodeSpent`], with the reason.
    pub fn still_valid(&self) -> Result<()> {
        let now = self.runtime.now();
        let until = i64::try_from(self.lasts.as_millis()).unwrap_or(i64::MAX);
        let until = Timestamp(self.shown.0.saturating_add(until));
        let reason = if self.used {
            "a device was let in by it"
        } else if self.attempts == 0 {
            "too many have tried"
        } else if now < self.shown || now >= until {
            // A clock that was set back may be set back again and again.
            "its time is over"
        } else {
            return Ok(());
        };
        Err(SyncError::PairingCodeSpent { reason: reason.to_owned() })
    }

    /// Lets a guest in that has the code ([`SecureChannel::pair`] there). After an error another channel may be tried. Dropping it in
    /// the middle ends the attempt.
    ///
    /// # Errors
    /// [`SyncError::PairingRefused`]: the guest has another code, and an attempt was counted. [`SyncError::PairingCodeSpent`]: the code is not
    /// valid any more, which [`still_valid`](Self::still_valid) tells after any other error too. [`SyncError::Remote`]: the guest gave up.
    /// [`SyncError::Timeout`], [`SyncError::Closed`], [`SyncError::Protocol`], and those of the channel.
    pub async fn accept<C: Channel>(
        &mut self,
        channel: C,
        key: &DeviceKey,
    ) -> Result<SecureChannel<C>> {
        let mut line = Line::of_host(channel, Arc::clone(&self.runtime));
        let done = self.let_in(&mut line, key).await;
        SecureChannel::settle(line, done).await
    }

    async fn let_in<C: Channel>(&mut self, line: &mut Line<C>, key: &DeviceKey) -> Result<Sealed> {
        let greeting = line.recv_raw().await?;
        let point = handshake::read_greeting(&greeting, By::Code)?;
        self.still_valid()?;
        let (exchange, own) = Exchange::as_host(&self.code, line.runtime());
        let psk = exchange.finish(point)?;
        line.send(Tag::Point, &own).await?;

        let first = line.recv(Tag::Noise).await?;
        self.still_valid()?;
        self.attempts = self.attempts.saturating_sub(1);
        let prologue = [greeting, own].concat();
        let state = Noise::with_code(&psk, &prologue, key).host(line.runtime())?;
        let mut sealed = handshake::respond(line, state, &first).await?;
        self.used = true;
        handshake::welcome(line, &mut sealed).await?;
        Ok(sealed)
    }
}
