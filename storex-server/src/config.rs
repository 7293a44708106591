//! [`Config`]: what a server allows, and for how long it waits.

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use crate::error::{Result, ServerError};

/// Their numbers have at most six digits, and most of those must be free, so that nobody finds one by guessing.
const MOST_ROOMS: usize = 100_000;

/// More than this no semaphore counts, on systems of 32 bits.
const MOST_PERMITS: usize = match Semaphore::MAX_PERMITS > u32::MAX as usize {
    true => u32::MAX as usize,
    false => Semaphore::MAX_PERMITS,
};

/// Connections and WebSockets: more than any system has.
const MOST_OPEN: usize = 100_000_000;

/// What a server allows, and for how long it waits. Everything has a default, so a file that is read with serde need name only
/// what differs; times in it are seconds.
///
/// ```
/// use storex_server::Config;
///
/// let config: Config = serde_json::from_str(r#"{"limits": {"requests_per_second": 5}}"#)?;
/// assert_eq!(config.limits.requests_per_second, 5);
/// assert_eq!(config.limits.body_bytes, Config::default().limits.body_bytes);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What is too much.
    pub limits: Limits,
    /// What takes too long.
    pub timeouts: Timeouts,
    /// The relay of initial syncs.
    pub relay: Relay,
    /// What is dropped, and when.
    pub retention: Retention,
    /// What is asked of tokens.
    pub identity: IdentityConfig,
    /// The proxies in front of the server that are believed when they say whom a request comes from (`x-forwarded-for`), by the addresses
    /// from which they connect. Default: none, and the header is passed over.
    pub proxies: Vec<IpAddr>,
}

impl Config {
    /// Refuses what no server can be run with, as [`Server::serve`](crate::Server::serve) does.
    ///
    /// # Errors
    /// [`ServerError::Config`], with what is wrong.
    pub fn check(&self) -> Result<()> {
        let Limits { requests_per_second, burst, connections, sockets, .. } = self.limits;
        let Limits { body_bytes, bodies_bytes, answers_bytes, min_write_rate, .. } = self.limits;
        let Limits { blob_requests_per_second, blob_burst, .. } = self.limits;
        let Limits { header_bytes, transactions, .. } = self.limits;
        let rates = [requests_per_second, burst, blob_requests_per_second, blob_burst];
        let sizes = [connections, header_bytes, transactions];
        if rates.contains(&0) || sizes.contains(&0) || min_write_rate == 0 {
            return Err(ServerError::config("a limit of 0 lets nobody in"));
        }
        if bodies_bytes > MOST_PERMITS || body_bytes > bodies_bytes {
            return Err(ServerError::config(
                "`body_bytes` is at most `bodies_bytes`, and that at most 4 GiB",
            ));
        }
        let Limits { page_bytes, entry_bytes, .. } = self.limits;
        let longest = page_bytes.max(entry_bytes).max(body_bytes);
        if answers_bytes > MOST_PERMITS || longest > answers_bytes {
            return Err(ServerError::config(
                "`page_bytes`, `entry_bytes` and `body_bytes` are at most `answers_bytes`, and that at most 4 GiB",
            ));
        }
        if connections > MOST_OPEN || sockets > MOST_OPEN {
            let reason = format!("`connections` and `sockets` are at most {MOST_OPEN}");
            return Err(ServerError::config(reason));
        }
        let Timeouts { headers, body, request, write, heartbeat, .. } = self.timeouts;
        if [headers, body, request, write, heartbeat].contains(&Duration::ZERO) {
            return Err(ServerError::config("with a time-out of 0 everything ends at once"));
        }
        self.retention.check()?;
        if self.relay.rooms > MOST_ROOMS {
            return Err(ServerError::config("there can be 100,000 rooms at most"));
        }
        Ok(())
    }
}

/// What is too much. Each has an error of its own, which tells what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// The most bytes of a request's body, after decompression. Default: 16 MiB.
    pub body_bytes: usize,
    /// The most bytes of bodies that may be in memory at once; what is beyond is asked to come again. Default: 256 MiB.
    pub bodies_bytes: usize,
    /// The most bytes of answers that may be in memory at once, from before they are read until they were taken, and four times what they may be of one user; what is
    /// beyond waits, for as long as a request may take. Default: 256 MiB.
    pub answers_bytes: usize,
    /// How many bytes per second the other side has to take, in the long run, of what waits to be sent to it: [`Timeouts::write`] is how much
    /// longer it may take. Default: 8 KiB.
    pub min_write_rate: u32,
    /// The most transactions of one request. Default: 10,000.
    pub transactions: usize,
    /// The most bytes of one transaction; a longer one is refused for good. Default: 8 MiB.
    pub entry_bytes: usize,
    /// The most bytes of transactions in one answer, whatever is asked for. Default: 4 MiB.
    pub page_bytes: usize,
    /// The most bytes of a request's line and headers. Default: 32 KiB.
    pub header_bytes: usize,
    /// Requests per second and user, in the long run. Default: 20.
    pub requests_per_second: u32,
    /// Requests that a user may make at once after a rest. Default: 100.
    pub burst: u32,
    /// Requests for blobs per second and user, in the long run; they do not count as other requests. A chunk is one of at most 1 MiB. Default: 100.
    pub blob_requests_per_second: u32,
    /// Requests for blobs that a user may make at once after a rest. Default: 500.
    pub blob_burst: u32,
    /// Open WebSockets and long polls of one user. Default: 50.
    pub sockets_per_user: usize,
    /// Open WebSockets and long polls in all. Default: 20,000.
    pub sockets: usize,
    /// Connections in all, those of WebSockets among them; further ones wait to be accepted. Default: 25,000.
    pub connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 16 << 20,
            bodies_bytes: 256 << 20,
            answers_bytes: 256 << 20,
            min_write_rate: 8 << 10,
            transactions: 10_000,
            entry_bytes: 8 << 20,
            page_bytes: 4 << 20,
            header_bytes: 32 << 10,
            requests_per_second: 20,
            burst: 100,
            blob_requests_per_second: 100,
            blob_burst: 500,
            sockets_per_user: 50,
            sockets: 20_000,
            connections: 25_000,
        }
    }
}

/// What takes too long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Timeouts {
    /// Until a request's headers are there; a connection that rests as long is closed. Default: 75 s.
    #[serde(with = "seconds")]
    pub headers: Duration,
    /// Until a request's body is there. Default: 60 s.
    #[serde(with = "seconds")]
    pub body: Duration,
    /// Until a request is answered, its body included. Default: 120 s.
    #[serde(with = "seconds")]
    pub request: Duration,
    /// For how long the other side may take nothing of what is sent to it. Default: 30 s.
    #[serde(with = "seconds")]
    pub write: Duration,
    /// Between two heartbeats of a WebSocket. Default: 20 s.
    #[serde(with = "seconds")]
    pub heartbeat: Duration,
    /// For what is under way when the server is to stop. Default: 30 s.
    #[serde(with = "seconds")]
    pub shutdown: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            headers: Duration::from_secs(75),
            body: Duration::from_secs(60),
            request: Duration::from_secs(120),
            write: Duration::from_secs(30),
            heartbeat: Duration::from_secs(20),
            shutdown: Duration::from_secs(30),
        }
    }
}

/// What is asked of tokens.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IdentityConfig {
    /// Whether only a token that is bound to a device opens the log, so that a device that was shut out does not come back under another
    /// name. One that is bound to none lists the devices and members, and shuts devices out. Default: false.
    pub bound_tokens_only: bool,
}

/// The relay of initial syncs: rooms in which two devices meet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Relay {
    /// Whether rooms need no credential: for devices that pair before anybody has logged in. Default: false.
    pub open: bool,
    /// Rooms in all; at most 100,000. Default: 256.
    pub rooms: usize,
    /// Rooms of one user; in an open relay also of one address that has no credential ([`Config::proxies`]). Default: 4.
    pub rooms_per_user: usize,
    /// The most bytes of one message; two of them may be in memory for each room. Default: 2 MiB.
    pub message_bytes: usize,
    /// For how long a room waits until both are in. Default: 10 min.
    #[serde(with = "seconds")]
    pub waits: Duration,
    /// For how long nothing may come from either of the two. Default: 2 min.
    #[serde(with = "seconds")]
    pub rests: Duration,
}

impl Default for Relay {
    fn default() -> Self {
        Self {
            open: false,
            rooms: 256,
            rooms_per_user: 4,
            message_bytes: 2 << 20,
            waits: Duration::from_secs(600),
            rests: Duration::from_secs(120),
        }
    }
}

/// What is dropped, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    /// How often the logs of the users that were here are trimmed behind what all their devices have. Default: 1 h; none: never, and no
    /// device is dismissed.
    #[serde(with = "seconds_or_never")]
    pub trim_every: Option<Duration>,
    /// After how many days without a word a device no longer holds back trimming. It may come back, and takes a snapshot then. Default:
    /// none.
    pub dismiss_after_days: Option<u32>,
    /// After how many days chunks are dropped of a blob that nobody has finished; whoever was sending it begins anew. Not without
    /// `trim_every`. Default: 7.
    pub unfinished_blobs_days: u32,
}

impl Retention {
    fn check(&self) -> Result<()> {
        if self.unfinished_blobs_days == 0 {
            let reason = "with `unfinished_blobs_days` of 0 blobs are dropped while they are sent";
            return Err(ServerError::config(reason));
        }
        match self.trim_every {
            Some(every) if every.is_zero() => {
                Err(ServerError::config("`trim_every` of 0 would trim without a pause"))
            }
            None if self.dismiss_after_days.is_some() => {
                Err(ServerError::config("without `trim_every` no device is dismissed"))
            }
            _ => Ok(()),
        }
    }
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            trim_every: Some(Duration::from_secs(3600)),
            dismiss_after_days: None,
            unfinished_blobs_days: 7,
        }
    }
}

/// A duration as its whole seconds.
mod seconds {
    use std::time::Duration;

    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(it: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(it.as_secs())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_secs)
    }
}

/// The same, where there may be none.
mod seconds_or_never {
    use std::time::Duration;

    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    #[allow(clippy::ref_option)] // what serde calls it with
    pub(super) fn serialize<S: Serializer>(
        it: &Option<Duration>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        it.as_ref().map(Duration::as_secs).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<u64>::deserialize(from)?.map(Duration::from_secs))
    }
}
