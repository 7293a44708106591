//! [`VerifyWith`]: a function that tells whose a token is.

use std::fmt;

use async_trait::async_trait;
use storex_core::BoxFuture;

use super::{Identity, Verifier};
use crate::error::Result;

/// A [`Verifier`] that asks a function.
///
/// ```
/// use storex_server::{Identity, ServerError, User, VerifyWith};
///
/// let verifier = VerifyWith::new(|token| Box::pin(async move {
///     // here your application looks the session up
///     match token.strip_prefix("session-of-") {
///         Some(name) => Ok(Identity::of(User::new(name)?)),
///         None => Err(ServerError::unauthorized("there is no such session")),
///     }
/// }));
/// ```
pub struct VerifyWith {
    ask: Box<dyn Fn(String) -> BoxFuture<'static, Result<Identity>> + Send + Sync>,
}

impl VerifyWith {
    /// Asks this function, which must not panic.
    pub fn new(
        ask: impl Fn(String) -> BoxFuture<'static, Result<Identity>> + Send + Sync + 'static,
    ) -> Self {
        Self { ask: Box::new(ask) }
    }
}

impl fmt::Debug for VerifyWith {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifyWith").finish_non_exhaustive()
    }
}

#[async_trait]
impl Verifier for VerifyWith {
    async fn verify(&self, token: &str) -> Result<Identity> {
        (self.ask)(token.to_owned()).await
    }
}
