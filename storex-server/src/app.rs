//! [`App`]: what all requests share.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use storex_core::Runtime;
use storex_sync::http::Code;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::Config;
use crate::directory::Directory;
use crate::http::{Answers, Caller, Failure, Outcome};
use crate::identity::Verifier;
use crate::limiter::{Limiter, Who};
use crate::metrics::{Gauges, Metrics};
use crate::openapi;
use crate::relay::Rooms;
use crate::sessions::{Session, Sessions};
use crate::store::{DeviceId, Store};
use crate::user::User;

/// What all requests share.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) verifier: Arc<dyn Verifier>,
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) config: Config,
    pub(crate) directory: Directory,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) rooms: Arc<Rooms>,
    pub(crate) metrics: Metrics,
    /// The document of what is answered.
    pub(crate) openapi: String,
    /// A permit for each byte of a body that may be in memory.
    pub(crate) bodies: Arc<Semaphore>,
    pub(crate) answers: Answers,
    /// A permit for each connection, and for each that is waited for.
    pub(crate) connections: Arc<Semaphore>,
    /// Each connection has one of it.
    pub(crate) open: Arc<()>,
    limiter: Limiter,
    /// Of what is asked for blobs.
    blob_limiter: Limiter,
    /// The users whose logs have changed since they were trimmed.
    to_trim: Mutex<HashSet<User>>,
}

impl App {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        verifier: Arc<dyn Verifier>,
        runtime: Arc<dyn Runtime>,
        config: Config,
    ) -> Arc<Self> {
        Arc::new(Self {
            store,
            verifier,
            runtime,
            directory: Directory::default(),
            sessions: Sessions::new(&config.limits),
            rooms: Rooms::new(&config.relay),
            metrics: Metrics::default(),
            openapi: openapi::document(&config.relay).to_string(),
            bodies: Arc::new(Semaphore::new(config.limits.bodies_bytes)),
            answers: Answers::new(config.limits.answers_bytes),
            connections: Arc::new(Semaphore::new(config.limits.connections)),
            open: Arc::new(()),
            limiter: Limiter::new(config.limits.requests_per_second, config.limits.burst),
            blob_limiter: Limiter::new(
                config.limits.blob_requests_per_second,
                config.limits.blob_burst,
            ),
            to_trim: Mutex::default(),
            config,
        })
    }

    /// Counts a request, or refuses it.
    pub(crate) fn take_request(&self, who: Who) -> Outcome<()> {
        self.take(&self.limiter, who, "too many requests")
    }

    /// The same for a request that is about a blob.
    pub(crate) fn take_blob_request(&self, who: Who) -> Outcome<()> {
        self.take(&self.blob_limiter, who, "too many requests for blobs")
    }

    fn take(&self, limiter: &Limiter, who: Who, refusal: &str) -> Outcome<()> {
        limiter.take(who, self.runtime.now()).map_err(|after| {
            self.metrics.rate_limited.add(1);
            Failure::rate_limited(Code::RateLimited, refusal, after)
        })
    }

    /// A place for a WebSocket that has yet to say whose it is.
    pub(crate) fn greeting(&self) -> Outcome<OwnedSemaphorePermit> {
        self.sessions.greeting().ok_or_else(too_many)
    }

    /// A place for a WebSocket of nobody's.
    pub(crate) fn slot(&self) -> Outcome<OwnedSemaphorePermit> {
        self.sessions.slot().ok_or_else(too_many)
    }

    /// A place for something of the caller's that is open for long, and of the device that the token is bound to.
    pub(crate) fn session(&self, caller: &Caller) -> Outcome<Session> {
        let session = self.sessions.begin(self.slot()?, caller.user.clone());
        let session = session.ok_or_else(too_many)?;
        if let Some(device) = caller.bound {
            session.of_device(device);
        }
        Ok(session)
    }

    /// A device was shut out: what is open of it ends, and what comes is refused.
    pub(crate) fn shut_out(&self, user: &User, device: DeviceId) {
        self.directory.forget(user, device);
        self.sessions.revoke(user, device);
    }

    /// The log of a user has changed, so that something may be droppable.
    pub(crate) fn trim_later(&self, user: &User) {
        if self.config.retention.trim_every.is_none() {
            // Nobody would ever ask for them.
            return;
        }
        let mut users = self.to_trim.lock().unwrap_or_else(PoisonError::into_inner);
        if !users.contains(user) {
            users.insert(user.clone());
        }
    }

    /// The users whose logs have changed since this was last asked.
    pub(crate) fn users_to_trim(&self) -> HashSet<User> {
        std::mem::take(&mut *self.to_trim.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn gauges(&self) -> Gauges {
        Gauges {
            connections: Arc::strong_count(&self.open) - 1,
            sockets: self.sessions.open(),
            rooms: self.rooms.len(),
        }
    }
}

fn too_many() -> Failure {
    let after = Duration::from_secs(5);
    Failure::rate_limited(Code::RateLimited, "too many connections are open", after)
}
