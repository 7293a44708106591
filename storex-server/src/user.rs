//! [`User`]: whose log it is.

use std::fmt;

use crate::error::{Result, ServerError};

/// The most bytes that the name of a user may have.
const MOST_BYTES: usize = 128;

/// The user whom a credential belongs to. Each has a log of its own, and sees nobody else's.
///
/// ```
/// use storex_server::User;
///
/// let user: User = User::new("ada@example.org")?;
/// assert_eq!(user.as_str(), "ada@example.org");
/// assert!(User::new("").is_err());
/// # Ok::<(), storex_server::ServerError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct User(String);

impl User {
    /// A user of this name, of 1 to 128 bytes without control characters.
    ///
    /// # Errors
    /// [`ServerError::InvalidUser`].
    pub fn new(name: impl Into<String>) -> Result<Self> {
        let name = name.into();
        let reason = match name.len() {
            0 => "it is empty",
            len if len > MOST_BYTES => "it has more than 128 bytes",
            _ if name.chars().any(char::is_control) => "it has control characters",
            _ => return Ok(Self(name)),
        };
        Err(ServerError::InvalidUser { reason })
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
