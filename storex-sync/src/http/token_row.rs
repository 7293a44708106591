//! The row `token` of `_storex_meta`: the tokens that the programs on a database share.

use std::fmt;
use std::time::Duration;

use storex_core::{Record, Timestamp};

use super::credentials::Token;
use crate::bytes::{Reader, write_bytes};
use crate::error::{Result, SyncError};
use crate::meta::meta_row;

/// The name of the row.
pub(super) const TOKEN: &str = "token";

const VERSION: u8 = 1;
const WHAT: &str = "the row of the token";

/// What an identity provider gives. `Debug` shows neither.
#[derive(Clone, PartialEq, Eq)]
pub struct Tokens {
    /// With which a server is asked.
    pub access: Token,
    /// With which new ones are got, if that takes one.
    pub refresh: Option<Token>,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").finish_non_exhaustive()
    }
}

/// The row's contents; the default is that nobody is logged in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Row {
    tokens: Option<Tokens>,
    /// They were not renewed, and will not be: somebody has to log in.
    refused: bool,
    /// Who renews them, and until when that is left to it.
    holder: [u8; 16],
    ends: i64,
}

impl Row {
    pub(super) fn of(tokens: Tokens) -> Self {
        Self { tokens: Some(tokens), ..Self::default() }
    }

    /// The same; whether somebody has to log in.
    pub(super) fn refused(self, refused: bool) -> Self {
        Self { refused, ..self }
    }

    pub(super) fn tokens(&self) -> Option<&Tokens> {
        self.tokens.as_ref()
    }

    pub(super) fn access(&self) -> Option<&Token> {
        self.tokens.as_ref().map(|tokens| &tokens.access)
    }

    /// The token to ask with.
    pub(super) fn token(&self) -> Option<&Token> {
        self.access().filter(|_| !self.refused)
    }

    /// The same, left to this one from now on.
    pub(super) fn held(&self, holder: [u8; 16], now: Timestamp, lease: Duration) -> Self {
        let lease = i64::try_from(lease.as_millis()).unwrap_or(i64::MAX);
        Self { holder, ends: now.0.saturating_add(lease), ..self.clone() }
    }

    pub(super) fn is_held_by_another(
        &self,
        holder: [u8; 16],
        now: Timestamp,
        lease: Duration,
    ) -> bool {
        // One that claims to last longer than it can was written before the clock was set back.
        let left = u128::try_from(self.ends.saturating_sub(now.0)).unwrap_or(0);
        self.holder != holder && left > 0 && left <= lease.as_millis()
    }

    pub(super) fn among(rows: &[Record]) -> Result<Self> {
        meta_row(rows, TOKEN).map_or_else(|| Ok(Self::default()), Self::decode)
    }

    /// Version, flags (1 there are tokens, 2 refused, 4 there is one to renew by), holder, end of the lease; the tokens.
    pub(super) fn encode(&self) -> Vec<u8> {
        let refresh = self.tokens.as_ref().and_then(|tokens| tokens.refresh.as_ref());
        let flags = u8::from(self.tokens.is_some())
            | u8::from(self.refused) << 1
            | u8::from(refresh.is_some()) << 2;
        let mut out = vec![VERSION, flags];
        out.extend(self.holder);
        out.extend(self.ends.to_be_bytes());
        for token in self.access().into_iter().chain(refresh) {
            write_bytes(&mut out, token.reveal().as_bytes());
        }
        out
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader::new(bytes, WHAT);
        let version = reader.byte()?;
        if version != VERSION {
            return Err(SyncError::corrupt(WHAT, format!("it is of version {version}")));
        }
        let flags = reader.byte()?;
        let (holder, ends) = (reader.array()?, i64::from_be_bytes(reader.array()?));
        let mut read = |flag: u8| (flags & flag != 0).then(|| read_token(&mut reader)).transpose();
        let (access, refresh) = (read(1)?, read(4)?);
        let tokens = access.map(|access| Tokens { access, refresh });
        Ok(Self { tokens, refused: flags & 2 != 0, holder, ends })
    }
}

fn read_token(reader: &mut Reader<'_>) -> Result<Token> {
    let text = std::str::from_utf8(reader.bytes()?);
    text.map(Token::new).map_err(|_| SyncError::corrupt(WHAT, "a token is no text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(25);

    #[test]
    fn the_row_survives_its_bytes() {
        let tokens = |refresh: Option<&str>| Tokens {
            access: Token::new("one"),
            refresh: refresh.map(Token::new),
        };
        let now = Timestamp(7);
        for row in [
            Row::default(),
            Row::of(tokens(None)),
            Row::of(tokens(Some("two"))).refused(true),
            Row::of(tokens(Some(""))).held([3; 16], now, LEASE),
        ] {
            let bytes = row.encode();
            assert_eq!(Row::decode(&bytes).unwrap(), row);
            assert!((0..bytes.len()).all(|len| Row::decode(&bytes[..len]).is_err()));
        }
    }

    #[test]
    fn a_lease_ends_and_is_not_made_longer_by_a_clock_that_was_set_back() {
        let (now, me, other) = (Timestamp(100_000), [1; 16], [2; 16]);
        let row = Row::default().held(other, now, LEASE);
        assert!(row.is_held_by_another(me, now, LEASE));
        assert!(!row.is_held_by_another(other, now, LEASE));
        assert!(!row.is_held_by_another(me, Timestamp(125_000), LEASE));
        assert!(!row.is_held_by_another(me, Timestamp(99_999), LEASE));
    }

    #[test]
    fn tokens_are_not_shown() {
        let tokens = Tokens { access: Token::new("secret"), refresh: Some(Token::new("secret")) };
        assert!(!format!("{tokens:?} {:?}", Row::of(tokens.clone())).contains("secret"));
    }
}
