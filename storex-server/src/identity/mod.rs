//! Who asks: [`Verifier`] tells it from a token.

mod callback;
mod jwt;
mod keys;
mod tokens;

pub use callback::VerifyWith;
pub use jwt::{JwtRules, JwtVerifier};
pub use keys::{FetchKeys, KeyFile, KeySet};
pub use tokens::{TokenFile, Tokens};

use std::fmt;

use async_trait::async_trait;

use crate::error::Result;
use crate::store::DeviceId;
use crate::user::User;

/// Tells whose a token is. [`TokenFile`] and [`Tokens`] have a list, [`JwtVerifier`] checks signatures, [`VerifyWith`] asks a
/// function of yours.
///
/// It is asked with each request, so whoever asks somebody else remembers the answer for a while.
#[async_trait]
pub trait Verifier: fmt::Debug + Send + Sync + 'static {
    /// Whose token this is.
    ///
    /// # Errors
    /// [`ServerError::Unauthorized`](crate::ServerError::Unauthorized) with a reason that the caller is told; every other error says that
    /// nobody can tell at the moment.
    async fn verify(&self, token: &str) -> Result<Identity>;
}

/// Whose a token is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The user.
    pub user: User,
    /// The only device that may use the token; none: each of the user's.
    pub device: Option<DeviceId>,
}

impl Identity {
    /// Of a user, whatever the device.
    #[must_use]
    pub fn of(user: User) -> Self {
        Self { user, device: None }
    }

    /// Of one device of a user.
    #[must_use]
    pub fn of_device(user: User, device: DeviceId) -> Self {
        Self { user, device: Some(device) }
    }
}
