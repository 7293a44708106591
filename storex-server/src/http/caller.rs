//! [`Caller`]: who asks.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use storex_sync::http::Code;
use storex_sync::{Device, SharedSyncLog};

use super::failure::{Failure, Outcome};
use crate::app::App;
use crate::error::ServerError;
use crate::identity::Identity;
use crate::limiter::Who;
use crate::store::DeviceId;
use crate::user::User;

/// The longest token that is looked at.
const LONGEST: usize = 8 << 10;

/// Where a request came from: the address of the connection, which may be a proxy's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// Who asks: somebody whose token is good, and who has not asked too often.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) user: User,
    /// The only device that may use the token.
    pub(crate) bound: Option<DeviceId>,
    token: Token,
}

/// What nobody is to read in a log.
#[derive(Clone)]
struct Token(Arc<str>);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Outcome<Self> {
        authenticate(app, token(parts)?).await
    }
}

fn token(parts: &Parts) -> Outcome<&str> {
    bearer(&parts.headers)?.ok_or_else(|| unauthorized("there is no `authorization: Bearer ..`"))
}

/// Who has this token.
pub(crate) async fn authenticate(app: &App, token: &str) -> Outcome<Caller> {
    let caller = Caller::of(app, token).await?;
    app.take_request(Who::User(caller.user.clone()))?;
    caller.admit_bound(app).await?;
    Ok(caller)
}

async fn identify(app: &App, token: &str) -> Outcome<Identity> {
    let verified = app.verifier.verify(token).await.map_err(|error| match error {
        ServerError::InvalidUser { .. } => unauthorized("the token names no user"),
        error => error.into(),
    });
    verified.inspect_err(|error| {
        if error.code() == Code::Unauthorized {
            app.metrics.unauthorized.add(1);
        }
    })
}

impl Caller {
    /// Who asks for blobs, which does not count as what is asked for the log.
    pub(crate) async fn for_blobs(parts: &Parts, app: &App) -> Outcome<Self> {
        let caller = Self::of(app, token(parts)?).await?;
        app.take_blob_request(Who::User(caller.user.clone()))?;
        caller.admit_bound(app).await?;
        Ok(caller)
    }

    async fn of(app: &App, token: &str) -> Outcome<Self> {
        let Identity { user, device: bound } = identify(app, token).await?;
        Ok(Self { user, bound, token: Token(token.into()) })
    }

    async fn admit_bound(&self, app: &App) -> Outcome<()> {
        match self.bound {
            Some(device) => self.admit(app, device).await,
            None => Ok(()),
        }
    }

    /// Refuses a token that is good no more. When nobody can tell, it goes on to count.
    pub(crate) async fn verify_again(&self, app: &App) -> Outcome<()> {
        match identify(app, &self.token.0).await {
            Ok(it) if it.user == self.user && it.device == self.bound => Ok(()),
            Ok(_) => Err(unauthorized("the token is somebody else's now")),
            Err(error) if error.code() == Code::Unauthorized => Err(error),
            Err(_) => Ok(()),
        }
    }

    /// Refuses a device that the token is not for, or that was revoked; notes that the others are here.
    pub(crate) async fn admit(&self, app: &App, device: DeviceId) -> Outcome<()> {
        self.allow(device)?;
        self.check_bound(app)?;
        if app.directory.is_revoked(&*app.store, &self.user, device, app.runtime.now()).await? {
            return Err(revoked());
        }
        Ok(())
    }

    /// Refuses a token that is bound to no device, where the log is only for those that are.
    fn check_bound(&self, app: &App) -> Outcome<()> {
        match (app.config.identity.bound_tokens_only, self.bound) {
            (true, None) => Err(Failure::new(Code::Forbidden, "the token is bound to no device")),
            _ => Ok(()),
        }
    }

    /// Refuses a device that the token is not for.
    pub(crate) fn allow(&self, device: DeviceId) -> Outcome<()> {
        if device == Device::NOBODY.id {
            return Err(Failure::new(Code::Forbidden, "this device is nobody"));
        }
        match self.bound {
            Some(bound) if bound != device => {
                Err(Failure::new(Code::Forbidden, "the token is for another device"))
            }
            _ => Ok(()),
        }
    }

    /// The caller's own log: there is no way to another's.
    pub(crate) async fn log(&self, app: &App) -> Outcome<Arc<dyn SharedSyncLog>> {
        self.check_bound(app)?;
        self.log_to_manage(app).await
    }

    /// The same for whoever only looks who its members are, or makes one of them none.
    pub(crate) async fn log_to_manage(&self, app: &App) -> Outcome<Arc<dyn SharedSyncLog>> {
        Ok(app.store.log(&self.user).await?)
    }
}

pub(crate) fn revoked() -> Failure {
    Failure::new(Code::Revoked, "this device was revoked")
}

fn unauthorized(reason: &str) -> Failure {
    Failure::new(Code::Unauthorized, reason)
}

/// The token of the request, if it has one.
pub(crate) fn bearer(headers: &HeaderMap) -> Outcome<Option<&str>> {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let (Some(header), None) = (all.next(), all.next()) else {
        return match headers.contains_key(AUTHORIZATION) {
            true => Err(unauthorized("there are several `authorization`")),
            false => Ok(None),
        };
    };
    let text = header.to_str().map_err(|_| unauthorized("`authorization` cannot be read"))?;
    let (scheme, token) = text.split_once(' ').unwrap_or((text, ""));
    let token = token.trim();
    if !scheme.eq_ignore_ascii_case("bearer") || token.is_empty() || token.len() > LONGEST {
        return Err(unauthorized("`authorization` is not of the form `Bearer ..`"));
    }
    Ok(Some(token))
}
