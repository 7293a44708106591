//! [`Credentials`]: who asks.

use std::fmt;

use async_trait::async_trait;
use storex_core::{MaybeSend, MaybeSync};

use crate::error::{Result, SyncError};

/// A bearer token. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// This token.
    #[must_use]
    pub fn new(token: impl Into<String>) -> Self {
        Self(token.into())
    }

    /// The text, as it is sent.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// Where the tokens come from with which a server is asked.
///
/// [`StaticToken`] is one that never changes; [`SharedToken`](super::SharedToken) keeps one in the database and has it renewed once for all
/// programs and tabs that share it. An application that has its own means (the key chain of the system, a library of its identity provider)
/// implements this.
#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
pub trait Credentials: fmt::Debug + MaybeSend + MaybeSync + 'static {
    /// The token to ask with. It is called for each request.
    ///
    /// # Errors
    /// [`SyncError::Unauthorized`] when somebody has to log in first.
    async fn token(&self) -> Result<Token>;

    /// Another token than this one, which the server does not accept any more. If there is another one by now, it is given; otherwise one
    /// is got. It may be called by several at once, and dropped while it waits.
    ///
    /// # Errors
    /// [`SyncError::Unauthorized`] when somebody has to log in; [`SyncError::Transport`] and the like when it may go better later.
    async fn refresh(&self, rejected: &Token) -> Result<Token>;

    /// The server does not accept this one either, or has shut out who asks: somebody has to log in. Nothing, unless told otherwise.
    fn refused(&self, token: &Token) {
        let _ = token;
    }
}

/// A token that does not change. Once the server does not accept it, somebody has to log in.
#[derive(Debug, Clone)]
pub struct StaticToken(pub Token);

#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
impl Credentials for StaticToken {
    async fn token(&self) -> Result<Token> {
        Ok(self.0.clone())
    }

    async fn refresh(&self, _: &Token) -> Result<Token> {
        Err(SyncError::Unauthorized { reason: "the token is not accepted".to_owned() })
    }
}
