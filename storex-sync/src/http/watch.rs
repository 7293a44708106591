//! [`Watch`]: hears of news over a WebSocket, or by requests that wait.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use storex_core::Timestamp;

use super::client::{Call, HttpClient};
use super::credentials::Token;
use super::link::{Heard, Lent, Link};
use super::messages::{ChangedAnswer, WATCH_PROTOCOL, WatchPlace, WatchToken};
use super::text::{device_text, hex};
use super::transport::Method;
use crate::engine::Backoff;
use crate::error::{Result, SyncError, describe};
use crate::recovery::Recovery;

const WATCH: &str = "/v1/log/watch";
/// A WebSocket that nobody listens to is closed after this.
const IDLE: Duration = Duration::from_secs(30);
/// How long a request for news waits.
const POLL: Duration = Duration::from_secs(50);
/// After so many WebSockets from which nothing was heard, requests are made in their place ..
const FAILURES: u32 = 3;
/// .. for so long.
const POLLS_FOR: Duration = Duration::from_secs(300);
/// Before another attempt.
const BACKOFF: Backoff = Backoff {
    first: Duration::from_secs(1),
    factor: 2.0,
    cap: Duration::from_secs(60),
    jitter: 0.5,
    quiet_attempts: 0,
};

/// Hears of news. It keeps its WebSocket between the calls.
#[derive(Debug)]
pub(super) struct Watch {
    client: HttpClient,
    state: Arc<Mutex<State>>,
}

/// What is left between the calls.
#[derive(Debug, Default)]
pub(super) struct State {
    /// A WebSocket that nobody listens to, and since when.
    idle: Option<(Link, Timestamp)>,
    /// How many there were.
    links: u64,
    /// Attempts in a row that have failed.
    attempts: u32,
    /// WebSockets in a row from which nothing was heard.
    silent: u32,
    /// Since when requests are made in place of a WebSocket.
    polls: Option<Timestamp>,
}

impl State {
    /// Keeps a WebSocket for the next call. Where several listen, one is kept.
    pub(super) fn put_back(&mut self, link: Link, now: Timestamp) {
        self.idle = Some((link, now));
    }

    /// Something was heard.
    pub(super) fn heard(&mut self) {
        (self.attempts, self.silent, self.polls) = (0, 0, None);
    }
}

pub(super) fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Why listening has ended without news.
enum End {
    /// The token is not, or not any more, accepted.
    Token(Option<Token>),
    /// What was said makes no sense to the server.
    Malformed,
    Failed(SyncError),
}

impl From<SyncError> for End {
    fn from(error: SyncError) -> Self {
        Self::Failed(error)
    }
}

impl Watch {
    pub(super) fn new(client: HttpClient) -> Self {
        Self { client, state: Arc::default() }
    }

    /// Returns when something may follow the place. Failures that pass are waited out in here.
    pub(super) async fn changed(&self, place: WatchPlace) -> Result<()> {
        let mut renewed = false;
        loop {
            let listened = match self.polls() {
                true => self.poll(&place, POLL).await.map_err(End::from),
                false => self.listen(&place).await,
            };
            let error = match listened {
                Ok(true) => return Ok(()),
                Ok(false) => continue,
                Err(End::Token(_)) if renewed => {
                    let reason = "the server does not accept the token".to_owned();
                    return Err(SyncError::Unauthorized { reason });
                }
                Err(End::Token(rejected)) => {
                    renewed = true;
                    match self.client.refresh(rejected.as_ref()).await {
                        Ok(_) => continue,
                        Err(error) => error,
                    }
                }
                // A request is told what is wrong with it.
                Err(End::Malformed) => match self.poll(&place, Duration::ZERO).await {
                    Ok(true) => return Ok(()),
                    Ok(false) => broken("the server does not understand the watch".to_owned()),
                    Err(error) => error,
                },
                Err(End::Failed(error)) => error,
            };
            let wait = match error.recovery() {
                Recovery::Retry => self.back_off(),
                Recovery::Wait(wait) => wait.max(self.back_off()),
                _ => return Err(error),
            };
            tracing::debug!(error = %describe(&error), ?wait, "the watch is interrupted");
            self.client.runtime().sleep(wait).await;
        }
    }

    /// Whether requests are made in place of a WebSocket.
    fn polls(&self) -> bool {
        let now = self.client.runtime().now();
        let mut state = lock(&self.state);
        if state.polls.is_none() && state.silent >= FAILURES {
            state.polls = Some(now);
        }
        let Some(since) = state.polls else { return false };
        let polls = since_then(since, now) < POLLS_FOR;
        if !polls {
            // One more attempt with a WebSocket.
            (state.polls, state.silent) = (None, FAILURES - 1);
        }
        polls
    }

    async fn poll(
        &self,
        WatchPlace { device, after }: &WatchPlace,
        wait: Duration,
    ) -> Result<bool> {
        let (device, after, seconds) = (device_text(*device), hex(&after.0), wait.as_secs());
        let path = format!("/v1/log/changed?device={device}&after={after}&wait={seconds}");
        let call = Call::new(Method::Get, path, "waiting for news").waits(wait);
        let polled: Result<ChangedAnswer> = self.client.json(&call).await;
        let mut state = lock(&self.state);
        match &polled {
            Ok(_) => state.attempts = 0,
            // Perhaps it was the whole server that was away.
            Err(_) => (state.polls, state.silent) = (None, FAILURES - 1),
        }
        polled.map(|answer| answer.changed)
    }

    /// Waits at a WebSocket. Dropped, it leaves the WebSocket for the next call.
    async fn listen(&self, place: &WatchPlace) -> Result<bool, End> {
        let idle = lock(&self.state).idle.take();
        let link = match idle {
            Some((link, _)) => link,
            None => self.open().await?,
        };
        let mut lent = Lent::new(link, &self.state, self.client.runtime());
        let heard = match lent.tell(&self.client, place).await {
            Ok(()) => lent.hear().await,
            Err(error) => Err(error),
        };
        match heard {
            Ok(Heard::News) => Ok(true),
            Ok(Heard::Closed { code, reason }) => Err(closed(code, &reason, lent.spoil())),
            Err(error) => {
                lent.spoil();
                Err(error.into())
            }
        }
    }

    async fn open(&self) -> Result<Link> {
        let number = {
            let mut state = lock(&self.state);
            // Until something is heard from it.
            state.silent = state.silent.saturating_add(1);
            state.links += 1;
            state.links
        };
        let token = self.client.token().await?;
        let socket = self.client.connect(WATCH, &[WATCH_PROTOCOL]).await?;
        let now = self.client.runtime().now();
        let mut link = Link::new(socket, token.clone(), now);
        if let Some(token) = &token {
            let text = WatchToken { token: token.reveal().to_owned() };
            link.say(&self.client, &text).await?;
        }
        self.close_when_idle(number);
        Ok(link)
    }

    /// Whoever pauses, or goes off-line, makes no requests, and listening is one.
    fn close_when_idle(&self, number: u64) {
        let runtime = Arc::clone(self.client.runtime());
        let state = Arc::downgrade(&self.state);
        let closing = async move {
            loop {
                runtime.sleep(IDLE).await;
                let Some(state) = state.upgrade() else { return };
                let mut state = lock(&state);
                if state.links != number {
                    return;
                }
                let now = runtime.now();
                let is_old = |(_, since): &mut (Link, Timestamp)| since_then(*since, now) >= IDLE;
                if state.idle.take_if(is_old).is_some() {
                    return;
                }
            }
        };
        self.client.runtime().spawn(Box::pin(closing));
    }

    /// How long to wait before the next attempt: longer each time, and a little by chance.
    fn back_off(&self) -> Duration {
        let attempts = {
            let mut state = lock(&self.state);
            state.attempts = state.attempts.saturating_add(1);
            state.attempts
        };
        let mut random = [0; 8];
        self.client.runtime().fill_random(&mut random);
        BACKOFF.delay(attempts, u64::from_le_bytes(random))
    }
}

/// What a close code means (`docs/decisions/0039-the-server.md`).
fn closed(code: u16, reason: &str, token: Option<Token>) -> End {
    use super::messages::{CLOSE_MALFORMED, CLOSE_RATE_LIMITED, CLOSE_REVOKED, CLOSE_UNAUTHORIZED};
    match code {
        CLOSE_UNAUTHORIZED => End::Token(token),
        CLOSE_MALFORMED => End::Malformed,
        CLOSE_REVOKED => {
            let reason = "this device was revoked".to_owned();
            End::Failed(SyncError::Unauthorized { reason })
        }
        CLOSE_RATE_LIMITED => {
            let retry_after = Duration::from_secs(30);
            End::Failed(SyncError::RateLimited { retry_after })
        }
        _ => End::Failed(broken(format!("the WebSocket was closed with {code}: {reason}"))),
    }
}

pub(super) fn broken(reason: String) -> SyncError {
    SyncError::Transport { during: "waiting for news", reason }
}

/// How long ago that was; nothing, if the clock was set back since.
pub(super) fn since_then(then: Timestamp, now: Timestamp) -> Duration {
    Duration::from_millis(u64::try_from(now.0.saturating_sub(then.0)).unwrap_or(0))
}
