//! [`Tokens`] and [`TokenFile`]: a list of tokens.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sha2::{Digest as _, Sha256};
use storex_core::Runtime;
use storex_sync::http::id_of_text;

use super::{Identity, Verifier};
use crate::error::{Result, ServerError};
use crate::reread::Reread;
use crate::user::User;

/// The fewest characters that a token may have: 16 can be drawn so that nobody guesses them.
const FEWEST: usize = 16;
/// How often the file is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A list of tokens. What it keeps are their hashes, so that the time a look-up takes tells nothing of them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Tokens {
    by_hash: HashMap<[u8; 32], Identity>,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").field("tokens", &self.by_hash.len()).finish()
    }
}

impl Tokens {
    /// None.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// With this token too.
    ///
    /// # Errors
    /// [`ServerError::Config`] for a token of fewer than 16 characters, or one that cannot stand in a header.
    pub fn with(mut self, token: &str, identity: Identity) -> Result<Self> {
        let refuse = |reason: &str| Err(ServerError::Config { reason: reason.to_owned() });
        if token.len() < FEWEST {
            return refuse("a token has fewer than 16 characters");
        }
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return refuse("a token has characters that no header can carry");
        }
        if self.by_hash.insert(hash(token), identity).is_some() {
            return refuse("a token is listed twice");
        }
        Ok(self)
    }

    /// From lines `token user [device]`, the device as 32 hexadecimal digits. Empty lines and those that begin with `#` are passed over.
    ///
    /// ```
    /// use storex_server::Tokens;
    ///
    /// let tokens = Tokens::parse("# who\n3f9c0a72b8d14e65 ada\n77aa01cc9b3e4d52 bob 000102030405060708090a0b0c0d0e0f\n")?;
    /// assert!(Tokens::parse("short ada").is_err());
    /// # Ok::<(), storex_server::ServerError>(())
    /// ```
    ///
    /// # Errors
    /// [`ServerError::Config`] with the number of the line that cannot be read. It does not repeat what stands there.
    pub fn parse(text: &str) -> Result<Self> {
        let mut tokens = Self::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let at = |error: ServerError| ServerError::Config {
                reason: format!("line {} of the tokens: {error}", index + 1),
            };
            let (token, identity) = parse_line(line).map_err(at)?;
            tokens = tokens.with(token, identity).map_err(at)?;
        }
        Ok(tokens)
    }

    fn find(&self, token: &str) -> Result<Identity> {
        let found = self.by_hash.get(&hash(token)).cloned();
        found.ok_or_else(|| ServerError::unauthorized("the token is not known"))
    }
}

fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}

fn parse_line(line: &str) -> Result<(&str, Identity)> {
    let wrong = |reason: &str| ServerError::Config { reason: reason.to_owned() };
    let mut words = line.split_whitespace();
    let (Some(token), Some(user)) = (words.next(), words.next()) else {
        return Err(wrong("it is not `token user [device]`"));
    };
    let device = match words.next() {
        Some(word) => {
            Some(id_of_text(word).map_err(|_| wrong("a device has 32 hexadecimal digits"))?)
        }
        None => None,
    };
    if words.next().is_some() {
        return Err(wrong("it is not `token user [device]`"));
    }
    Ok((token, Identity { user: User::new(user)?, device }))
}

#[async_trait]
impl Verifier for Tokens {
    async fn verify(&self, token: &str) -> Result<Identity> {
        self.find(token)
    }
}

/// A file of tokens (see [`Tokens::parse`]), which is read again when it was changed. While what it holds cannot be read, what it
/// held before counts, and an error is logged.
#[derive(Debug)]
pub struct TokenFile {
    tokens: Reread<Arc<Tokens>, 1>,
    runtime: Arc<dyn Runtime>,
}

impl TokenFile {
    /// Reads the file.
    ///
    /// # Errors
    /// [`ServerError::Io`] when it cannot be read, [`ServerError::Config`] when it holds something else.
    pub fn open(path: impl AsRef<Path>, runtime: Arc<dyn Runtime>) -> Result<Self> {
        let files = [path.as_ref().to_owned()];
        Ok(Self { tokens: Reread::open(files, LOOK_EVERY, runtime.now(), read)?, runtime })
    }
}

fn read([file]: &[PathBuf; 1]) -> Result<Arc<Tokens>> {
    let text = std::fs::read_to_string(file)
        .map_err(|source| ServerError::Io { during: "reading the tokens", source })?;
    let tokens = Tokens::parse(&text)?;
    if tokens.by_hash.is_empty() {
        tracing::warn!(file = %file.display(), "there is no token in it: nobody may come");
    }
    Ok(Arc::new(tokens))
}

#[async_trait]
impl Verifier for TokenFile {
    async fn verify(&self, token: &str) -> Result<Identity> {
        self.tokens.current(self.runtime.now()).find(token)
    }
}
