//! The key exchange that the code is the password of: SPAKE2, by the crate `spake2`.
//!
//! Each side sends one point of the curve, blinded by the code. From both follows a key, which is the same on both sides if the
//! code is. Nobody else can tell from what was sent whether a code is the right one (RFC 9382, Security Considerations): whoever wants to
//! try one must take part, with that one.

use std::convert::Infallible;

use spake2::rand_core::{TryCryptoRng, TryRng};
use spake2::{Ed25519Group, Identity, Password, Spake2};
use storex_core::Runtime;
use zeroize::Zeroizing;

use super::code::PairingCode;
use super::line::PAIRING;
use crate::error::{Result, SyncError};

/// The names of the roles go into the key: no message of one can be taken for one of the other.
const GUEST: &[u8] = b"storex-pairing 1 guest";
const HOST: &[u8] = b"storex-pairing 1 host";

/// One side, until the other's point is here.
pub(super) struct Exchange(Spake2<Ed25519Group>);

impl Exchange {
    /// The guest's side, and its point.
    pub(super) fn as_guest(code: &PairingCode, runtime: &dyn Runtime) -> (Self, Vec<u8>) {
        let password = Password::new(code.password().as_slice());
        let (guest, host) = (Identity::new(GUEST), Identity::new(HOST));
        let random = Random(runtime);
        let (state, point) = Spake2::start_a_with_rng(&password, &guest, &host, random);
        (Self(state), point)
    }

    /// The host's side, and its point.
    pub(super) fn as_host(code: &PairingCode, runtime: &dyn Runtime) -> (Self, Vec<u8>) {
        let password = Password::new(code.password().as_slice());
        let (guest, host) = (Identity::new(GUEST), Identity::new(HOST));
        let random = Random(runtime);
        let (state, point) = Spake2::start_b_with_rng(&password, &guest, &host, random);
        (Self(state), point)
    }

    /// The key, which only who has the same code has too.
    pub(super) fn finish(self, point: &[u8]) -> Result<Zeroizing<[u8; 32]>> {
        let wrong = |reason: String| SyncError::Protocol { during: PAIRING, reason };
        let key = self.0.finish(point).map_err(|error| wrong(format!("its point: {error}")))?;
        let key = Zeroizing::new(key);
        let key = key.as_slice().try_into().map_err(|_| wrong("a key of another length".into()))?;
        Ok(Zeroizing::new(key))
    }
}

/// The runtime's randomness, as the crates around `rand_core` ask for it.
struct Random<'a>(&'a dyn Runtime);

impl TryRng for Random<'_> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.0.fill_random(&mut bytes);
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.0.fill_random(&mut bytes);
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill_random(bytes);
        Ok(())
    }
}

impl TryCryptoRng for Random<'_> {}
