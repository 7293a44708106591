//! [`JwtVerifier`]: tokens that somebody else has signed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Map, Value};
use storex_core::{Runtime, Timestamp};
use storex_sync::http::id_of_text;
use tokio::sync::watch;

use super::keys::{FetchKeys, KeySet};
use super::{Identity, Verifier};
use crate::error::{Result, ServerError};
use crate::user::User;

/// How often the keys are asked for.
const FETCH_EVERY: Duration = Duration::from_secs(3600);
/// How often at most they are asked for: when somebody names a key that is not known, and when the last time failed.
const FETCH_AT_MOST_EVERY: Duration = Duration::from_secs(60);
/// How long a fetch may take.
const FETCH_WITHIN: Duration = Duration::from_secs(30);

const FETCHING: &str = "fetching the keys that tokens are signed with";

/// What a token has to say, beside being signed.
#[derive(Debug, Clone)]
pub struct JwtRules {
    /// Who has to have issued it (`iss`); none: whoever has the key.
    pub issuer: Option<String>,
    /// Whom it has to be for (`aud`, alone or among others); none: anybody.
    pub audience: Option<String>,
    /// The claim that names the user. Default: `sub`.
    pub user: String,
    /// The claim that names the only device that may use it, as 32 hexadecimal digits; a token without it is good for all of the user's.
    /// Default: `device`.
    pub device: String,
    /// By how much the clocks of the two may differ. Default: 60 s.
    pub leeway: Duration,
}

impl Default for JwtRules {
    fn default() -> Self {
        Self {
            issuer: None,
            audience: None,
            user: "sub".to_owned(),
            device: "device".to_owned(),
            leeway: Duration::from_secs(60),
        }
    }
}

/// A [`Verifier`] of JSON Web Tokens (RFC 7519) that are signed with HS256, RS256, ES256 or EdDSA. A token must say when it expires.
#[derive(Debug)]
pub struct JwtVerifier {
    rules: JwtRules,
    runtime: Arc<dyn Runtime>,
    fetch: Option<Arc<dyn FetchKeys>>,
    keys: Arc<Mutex<Keys>>,
}

#[derive(Debug)]
struct Keys {
    set: Arc<KeySet>,
    fetched: Timestamp,
    /// When the last fetch began.
    tried: Timestamp,
    /// Whether it has brought the keys.
    is_current: bool,
    /// Its other side is dropped when that fetch is over.
    running: Option<watch::Receiver<()>>,
}

impl Keys {
    /// The fetch that runs.
    fn running(&self) -> Option<watch::Receiver<()>> {
        self.running.clone().filter(|running| running.has_changed().is_ok())
    }

    fn is_due(&self, now: Timestamp, lacks: bool) -> bool {
        let passed = |since: Timestamp| u128::from(now.0.abs_diff(since.0));
        passed(self.tried) >= FETCH_AT_MOST_EVERY.as_millis()
            && (lacks || passed(self.fetched) >= FETCH_EVERY.as_millis())
    }
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    /// Extensions that must be understood (RFC 7515, 4.1.11): we know none.
    crit: Option<Value>,
}

impl JwtVerifier {
    /// With keys that stay.
    #[must_use]
    pub fn new(keys: KeySet, rules: JwtRules, runtime: Arc<dyn Runtime>) -> Self {
        let now = runtime.now();
        let keys =
            Keys { set: keys.into(), fetched: now, tried: now, is_current: true, running: None };
        Self { rules, runtime, fetch: None, keys: Arc::new(Mutex::new(keys)) }
    }

    /// With keys that are fetched, now and every hour, and when a token names one that is not known. While they cannot be fetched, what
    /// is known counts; a token that names another key is refused with an error that is [retryable](ServerError::is_retryable).
    ///
    /// # Errors
    /// Those of [`FetchKeys::fetch`], [`ServerError::Store`] when it takes longer than 30 s; [`ServerError::Config`] for a key set of no use.
    pub async fn fetching(
        fetch: Arc<dyn FetchKeys>,
        rules: JwtRules,
        runtime: Arc<dyn Runtime>,
    ) -> Result<Self> {
        let keys = fetch_in_time(&*fetch, &*runtime).await?;
        Ok(Self { fetch: Some(fetch), ..Self::new(keys, rules, runtime) })
    }

    fn keys(&self) -> Arc<KeySet> {
        Arc::clone(&self.lock().set)
    }

    fn lock(&self) -> MutexGuard<'_, Keys> {
        lock(&self.keys)
    }

    /// Fetches the keys if it is time to. Who lacks one waits for a fetch that runs; the others go on with what is known meanwhile. A
    /// task fetches them: whoever has asked may be gone before it ends.
    async fn refresh(&self, lacks: bool) {
        let Some(fetch) = &self.fetch else { return };
        let mut over = {
            let mut keys = self.lock();
            let now = self.runtime.now();
            match keys.running() {
                Some(running) if lacks => running,
                None if keys.is_due(now, lacks) => {
                    let (running, over) = watch::channel(());
                    (keys.tried, keys.is_current) = (now, false);
                    keys.running = Some(over.clone());
                    let (fetch, keys) = (Arc::clone(fetch), Arc::clone(&self.keys));
                    let fetching = fetch_keys(fetch, keys, Arc::clone(&self.runtime), running);
                    self.runtime.spawn(Box::pin(fetching));
                    over
                }
                _ => return,
            }
        };
        // An error says that it is over.
        while over.changed().await.is_ok() {}
    }

    /// Refuses what was not signed by one of the keys.
    async fn check_signature(&self, header: &Header, signed: &str, signature: &[u8]) -> Result<()> {
        let id = header.kid.as_deref();
        let is_signed = || self.keys().verify(id, &header.alg, signed, signature);
        let lacks = id.is_some_and(|id| !self.lock().set.has(id)) && !is_signed();
        self.refresh(lacks).await;
        if is_signed() {
            return Ok(());
        }
        if lacks && !self.lock().is_current {
            let reason = "the token names a key that is not known, and they cannot be fetched";
            let (during, reason) = (FETCHING, reason.to_owned());
            return Err(ServerError::Store { during, reason, retryable: true });
        }
        Err(refused("the token is not signed by a key that is known"))
    }

    fn identity(&self, claims: &Map<String, Value>) -> Result<Identity> {
        let Some(Value::String(user)) = claims.get(&self.rules.user) else {
            return Err(refused("the token names no user"));
        };
        let user = User::new(user.as_str()).map_err(|_| refused("the token names no user"))?;
        let device = match claims.get(&self.rules.device) {
            None => None,
            Some(Value::String(digits)) => {
                Some(id_of_text(digits).map_err(|_| refused("the token's device is none"))?)
            }
            // One that cannot be read binds to something, and not to everything.
            Some(_) => return Err(refused("the token's device is none")),
        };
        Ok(Identity { user, device })
    }

    fn check_claims(&self, claims: &Map<String, Value>) -> Result<()> {
        let JwtRules { issuer, audience, leeway, .. } = &self.rules;
        #[allow(clippy::cast_precision_loss)] // seconds, compared with a leeway
        let now = self.runtime.now().0 as f64 / 1000.0;
        let leeway = leeway.as_secs_f64();
        let time = |name: &str| claims.get(name).map(|it| it.as_f64().ok_or_else(unreadable));
        match time("exp").transpose()? {
            None => return Err(refused("the token does not say when it expires")),
            Some(expires) if expires + leeway < now => {
                return Err(refused("the token has expired"));
            }
            Some(_) => {}
        }
        if time("nbf").transpose()?.is_some_and(|from| from - leeway > now) {
            return Err(refused("the token is not valid yet"));
        }
        let is = |value: &Value, wanted: &str| value.as_str() == Some(wanted);
        if let Some(issuer) = issuer
            && !claims.get("iss").is_some_and(|it| is(it, issuer))
        {
            return Err(refused("the token is of another issuer"));
        }
        if let Some(audience) = audience {
            let meant = match claims.get("aud") {
                Some(Value::Array(all)) => all.iter().any(|it| is(it, audience)),
                Some(one) => is(one, audience),
                None => false,
            };
            if !meant {
                return Err(refused("the token is for somebody else"));
            }
        }
        Ok(())
    }
}

fn lock(keys: &Mutex<Keys>) -> MutexGuard<'_, Keys> {
    keys.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn fetch_in_time(fetch: &dyn FetchKeys, runtime: &dyn Runtime) -> Result<KeySet> {
    tokio::select! {
        biased;
        json = fetch.fetch() => json.and_then(|json| KeySet::from_jwks(&json)),
        () = runtime.sleep(FETCH_WITHIN) => {
            let reason = format!("it takes longer than {} s", FETCH_WITHIN.as_secs());
            Err(ServerError::Store { during: FETCHING, reason, retryable: true })
        }
    }
}

async fn fetch_keys(
    fetch: Arc<dyn FetchKeys>,
    keys: Arc<Mutex<Keys>>,
    runtime: Arc<dyn Runtime>,
    running: watch::Sender<()>,
) {
    match fetch_in_time(&*fetch, &*runtime).await {
        Ok(set) => {
            let mut keys = lock(&keys);
            (keys.set, keys.fetched, keys.is_current) = (set.into(), runtime.now(), true);
        }
        Err(error) => tracing::error!(%error, "the keys stay as they were"),
    }
    drop(running);
}

fn refused(reason: &str) -> ServerError {
    ServerError::unauthorized(reason)
}

fn unreadable() -> ServerError {
    refused("the token cannot be read")
}

fn decode(part: &str) -> Result<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| unreadable())
}

#[async_trait]
impl Verifier for JwtVerifier {
    async fn verify(&self, token: &str) -> Result<Identity> {
        let (signed, signature) = token.rsplit_once('.').ok_or_else(unreadable)?;
        let (header, claims) = signed.split_once('.').ok_or_else(unreadable)?;
        let signature = decode(signature)?;
        let header: Header = serde_json::from_slice(&decode(header)?).map_err(|_| unreadable())?;
        if header.crit.is_some() {
            return Err(unreadable());
        }
        self.check_signature(&header, signed, &signature).await?;
        // Only now is it somebody's word.
        let claims: Map<String, Value> =
            serde_json::from_slice(&decode(claims)?).map_err(|_| unreadable())?;
        self.check_claims(&claims)?;
        self.identity(&claims)
    }
}
