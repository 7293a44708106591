//! [`KeySet`]: the keys that tokens are signed with, and where they come from.

use std::fmt;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::{hmac, signature};
use serde::Deserialize;

use crate::error::{Result, ServerError};

/// The fewest bytes of a secret (RFC 7518, 3.2).
const SHORTEST_SECRET: usize = 32;

/// Gets the keys of whoever issues the tokens, as a JSON Web Key Set (RFC 7517). [`KeyFile`] reads a file; over the network it is a few
/// lines with the HTTP client that your program has.
#[async_trait]
pub trait FetchKeys: fmt::Debug + Send + Sync + 'static {
    /// The JSON of the key set. It is asked for now and then, and for a key that is not known.
    ///
    /// # Errors
    /// Whatever is in the way; the keys that are known go on to count.
    async fn fetch(&self) -> Result<String>;
}

/// A file with a JSON Web Key Set.
#[derive(Debug)]
pub struct KeyFile(PathBuf);

impl KeyFile {
    /// This file.
    #[must_use]
    pub fn new(path: impl AsRef<Path>) -> Self {
        Self(path.as_ref().to_owned())
    }
}

#[async_trait]
impl FetchKeys for KeyFile {
    async fn fetch(&self) -> Result<String> {
        let read = std::fs::read_to_string(&self.0);
        read.map_err(|source| ServerError::Io { during: "reading the keys", source })
    }
}

/// Keys that tokens may be signed with: HS256, RS256, ES256 and EdDSA (Ed25519). A key is for one of them, whatever the token says.
#[derive(Debug, Clone, Default)]
pub struct KeySet {
    keys: Vec<Named>,
}

#[derive(Debug, Clone)]
struct Named {
    id: Option<String>,
    key: Key,
}

#[derive(Clone)]
enum Key {
    Hs256(hmac::Key),
    Rs256 { n: Vec<u8>, e: Vec<u8> },
    Es256(Vec<u8>),
    EdDsa(Vec<u8>),
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.algorithm())
    }
}

/// A key as RFC 7517 and RFC 7518 have it, as far as we use it.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    crv: Option<String>,
    k: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl KeySet {
    /// One secret that whoever issues the tokens knows too, for HS256.
    ///
    /// # Errors
    /// [`ServerError::Config`] for one of fewer than 32 bytes.
    pub fn secret(secret: &[u8]) -> Result<Self> {
        Ok(Self { keys: vec![Named { id: None, key: Key::secret(secret)? }] })
    }

    /// The keys of a JSON Web Key Set. Those of other kinds, and those that are not for signing, are passed over.
    ///
    /// # Errors
    /// [`ServerError::Config`] when it is none, or holds no key that can be used.
    pub fn from_jwks(json: &str) -> Result<Self> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<serde_json::Value>,
        }
        let wrong = |reason: &str| ServerError::config(format!("the key set {reason}"));
        let set: Set = serde_json::from_str(json).map_err(|_| wrong("is no JSON Web Key Set"))?;
        // The members of kinds that we do not know may be of any form.
        let ours = set.keys.into_iter().filter_map(|key| serde_json::from_value::<Jwk>(key).ok());
        let keys: Vec<_> = ours.filter_map(Named::of).collect();
        if keys.is_empty() {
            return Err(wrong("holds no key for HS256, RS256, ES256 or EdDSA"));
        }
        Ok(Self { keys })
    }

    /// Whether a key of this name is there.
    pub(super) fn has(&self, id: &str) -> bool {
        self.keys.iter().any(|key| key.id.as_deref() == Some(id))
    }

    /// Whether one of the keys of this name (of any, if there is no name) and for this algorithm has signed this.
    pub(super) fn verify(
        &self,
        id: Option<&str>,
        algorithm: &str,
        what: &str,
        signature: &[u8],
    ) -> bool {
        let named = |key: &&Named| id.is_none() || key.id.is_none() || key.id.as_deref() == id;
        let fits = self.keys.iter().filter(named).filter(|it| it.key.algorithm() == algorithm);
        fits.into_iter().any(|it| it.key.verify(what.as_bytes(), signature))
    }
}

impl Named {
    fn of(jwk: Jwk) -> Option<Self> {
        if jwk.purpose.as_deref().is_some_and(|purpose| purpose != "sig") {
            return None;
        }
        let octets = |text: &Option<String>| URL_SAFE_NO_PAD.decode(text.as_ref()?).ok();
        let key = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
            ("oct", _) => Key::secret(&octets(&jwk.k)?).ok()?,
            ("RSA", _) => Key::Rs256 { n: octets(&jwk.n)?, e: octets(&jwk.e)? },
            ("EC", Some("P-256")) => {
                let (x, y) = (octets(&jwk.x)?, octets(&jwk.y)?);
                // An uncompressed point (SEC 1, 2.3.3).
                Key::Es256([&[4], x.as_slice(), y.as_slice()].concat())
            }
            ("OKP", Some("Ed25519")) => Key::EdDsa(octets(&jwk.x)?),
            _ => return None,
        };
        let meant = jwk.alg.as_deref().is_none_or(|alg| alg == key.algorithm());
        meant.then_some(Self { id: jwk.kid, key })
    }
}

impl Key {
    fn secret(secret: &[u8]) -> Result<Self> {
        if secret.len() < SHORTEST_SECRET {
            return Err(ServerError::config("a secret for HS256 has fewer than 32 bytes"));
        }
        Ok(Self::Hs256(hmac::Key::new(hmac::HMAC_SHA256, secret)))
    }

    fn algorithm(&self) -> &'static str {
        match self {
            Self::Hs256(_) => "HS256",
            Self::Rs256 { .. } => "RS256",
            Self::Es256(_) => "ES256",
            Self::EdDsa(_) => "EdDSA",
        }
    }

    fn verify(&self, what: &[u8], signed: &[u8]) -> bool {
        match self {
            Self::Hs256(key) => hmac::verify(key, what, signed).is_ok(),
            Self::Rs256 { n, e } => {
                let key = signature::RsaPublicKeyComponents { n, e };
                key.verify(&signature::RSA_PKCS1_2048_8192_SHA256, what, signed).is_ok()
            }
            Self::Es256(point) => {
                let key =
                    signature::UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point);
                key.verify(what, signed).is_ok()
            }
            Self::EdDsa(key) => signature::UnparsedPublicKey::new(&signature::ED25519, key)
                .verify(what, signed)
                .is_ok(),
        }
    }
}
