//! [`Problem`]: an error as it travels (RFC 9457), and what it is on either side.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::text::as_device_if_any;
use crate::error::{SyncError, describe};
use crate::stamp::Device;

/// The media type of a problem.
pub const PROBLEM_TYPE: &str = "application/problem+json";

/// How long a client waits that was asked to wait, and not told how long.
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// The longest that a client waits for a server of storex.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// An error as it travels: the body of an answer that is none of success (RFC 9457, without its optional members).
///
/// The errors of a shared log come out of it as they went in: [`Problem::of`] on the server, [`Problem::into_error`] on the client.
/// What failed *in* the server (its database, say) is [`SyncError::Transport`] to its clients, and tells no details.
///
/// ```
/// use storex_sync::SyncError;
/// use storex_sync::http::{Code, Problem};
///
/// let problem = Problem::of(&SyncError::LogReplaced);
/// assert_eq!((problem.code, problem.status()), (Code::LogReplaced, 409));
/// let there = problem.into_error("exchanging with the server");
/// assert!(matches!(there, SyncError::LogReplaced));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Problem {
    /// What kind of problem.
    pub code: Code,
    /// For people.
    #[serde(default)]
    pub message: String,
    /// The device that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "as_device_if_any")]
    pub device: Option<Device>,
    /// The number of the transaction that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
    /// The number that would be next ([`Code::Gap`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<u64>,
    /// The number that came ([`Code::Gap`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<u64>,
    /// The most bytes that a body may have ([`Code::BodyTooLarge`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// Whether its size is why a transaction is refused ([`Code::Rejected`]).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_too_large: bool,
    /// How many milliseconds the server wants to be left alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $variant:ident $status:literal)*) => {
        /// What kind of [`Problem`].
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        #[non_exhaustive]
        pub enum Code {
            $($(#[doc = $doc])+ $variant,)*
            /// One that this program does not know.
            #[default]
            #[serde(other)]
            Unknown,
        }

        impl Code {
            /// Every code that a server sends.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The status of its answers.
            #[must_use]
            pub fn status(self) -> u16 {
                match self {
                    $(Self::$variant => $status,)*
                    Self::Unknown => 500,
                }
            }
        }
    };
}

codes! {
    /// There is no credential, or none that is accepted.
    Unauthorized 401
    /// The credential is not for this.
    Forbidden 403
    /// The device was shut out.
    Revoked 403
    /// There is no such thing.
    NotFound 404
    /// The log has no snapshot.
    NoSnapshot 404
    /// The snapshot has no such page.
    NoSuchPage 404
    /// The blob store lacks the blob, or a part of it.
    BlobMissing 404
    /// There is no such room.
    NoSuchRoom 404
    /// The request is none.
    Malformed 400
    /// The cursor is of another kind of log.
    WrongCursor 400
    /// The log holds another transaction under this number: `device`, `sequence`.
    Forked 409
    /// A number is left out: `device`, `expected`, `found`.
    Gap 409
    /// The log is another one than before.
    LogReplaced 409
    /// The resource does not have this method.
    MethodNotAllowed 405
    /// The request did not arrive in time.
    Timeout 408
    /// Something else is there under this name.
    Exists 409
    /// Two are in the room already.
    RoomFull 409
    /// The log no longer holds what follows the cursor: `device`.
    BelowFloor 410
    /// The body is larger than the server takes: `limit`.
    BodyTooLarge 413
    /// A transaction is refused for good: `device`, `sequence`, `is_too_large`, and why in `message`.
    Rejected 422
    /// Too many requests: `retry_after_ms`.
    RateLimited 429
    /// Too many rooms.
    TooManyRooms 429
    /// The server failed.
    Internal 500
    /// What the server keeps is damaged.
    Damaged 500
    /// The log keeps no snapshots.
    NoSnapshots 501
    /// The server, or what it needs, cannot answer now: `retry_after_ms`, if it knows.
    Unavailable 503
}

impl Problem {
    /// A problem with nothing but a code and a message.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), ..Self::default() }
    }

    /// The status of the answer.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.code.status()
    }

    /// How long the server wants to be left alone. In the header `retry-after` it is in seconds, rounded up.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after_ms.map(Duration::from_millis)
    }

    /// The problem of an error of a shared log. Those that say something about the insides of the server are told without it.
    #[must_use]
    pub fn of(error: &SyncError) -> Self {
        let error = error.cause();
        let message = || describe(error);
        match error {
            SyncError::Forked { device, sequence } => Self {
                device: Some(*device),
                sequence: Some(*sequence),
                ..Self::new(Code::Forked, message())
            },
            SyncError::Gap { device, expected, found } => Self {
                device: Some(*device),
                expected: Some(*expected),
                found: Some(*found),
                ..Self::new(Code::Gap, message())
            },
            SyncError::LogReplaced => Self::new(Code::LogReplaced, message()),
            SyncError::BelowFloor { reader } => {
                Self { device: Some(*reader), ..Self::new(Code::BelowFloor, message()) }
            }
            SyncError::Rejected { device, sequence, reason, is_too_large } => Self {
                device: Some(*device),
                sequence: Some(*sequence),
                is_too_large: *is_too_large,
                ..Self::new(Code::Rejected, reason.as_str())
            },
            SyncError::RateLimited { retry_after } => Self {
                retry_after_ms: Some(millis(*retry_after)),
                ..Self::new(Code::RateLimited, message())
            },
            SyncError::Unauthorized { reason } => Self::new(Code::Unauthorized, reason.as_str()),
            SyncError::NoSnapshots => Self::new(Code::NoSnapshots, message()),
            SyncError::BlobMissing { .. } => Self::new(Code::BlobMissing, message()),
            SyncError::Protocol { reason, .. } => Self::new(Code::Malformed, reason.as_str()),
            SyncError::Corrupt { what: "a cursor", reason } => {
                Self::new(Code::WrongCursor, reason.as_str())
            }
            SyncError::Corrupt { .. } => {
                Self::new(Code::Damaged, "what the server keeps is damaged")
            }
            error if error.is_retryable() => {
                Self::new(Code::Unavailable, "the server cannot answer now")
            }
            _ => Self::new(Code::Internal, "the server failed"),
        }
    }

    /// The error that a client gets; `during` says what it was about to do. A problem that lacks what belongs to its code is an error
    /// of the transport. That the server wants to be left alone is believed for an hour. How large a body was that was too large is known to
    /// whoever has sent it, and 0 here.
    #[must_use]
    pub fn into_error(self, during: &'static str) -> SyncError {
        let wait = self.retry_after().map(|it| it.min(LONGEST_RETRY_AFTER));
        let Self { code, message, device, sequence, expected, found, limit, is_too_large, .. } =
            self;
        match (code, device, sequence, expected, found) {
            (Code::Forked, Some(device), Some(sequence), ..) => {
                SyncError::Forked { device, sequence }
            }
            (Code::Gap, Some(device), _, Some(expected), Some(found)) => {
                SyncError::Gap { device, expected, found }
            }
            (Code::Rejected, Some(device), Some(sequence), ..) => {
                SyncError::Rejected { device, sequence, reason: message, is_too_large }
            }
            (Code::BelowFloor, Some(reader), ..) => SyncError::BelowFloor { reader },
            (Code::LogReplaced, ..) => SyncError::LogReplaced,
            (Code::NoSnapshots, ..) => SyncError::NoSnapshots,
            (Code::Unauthorized | Code::Forbidden | Code::Revoked, ..) => {
                SyncError::Unauthorized { reason: reason(code, message) }
            }
            (Code::RateLimited | Code::TooManyRooms, ..) => {
                SyncError::RateLimited { retry_after: wait.unwrap_or(RETRY_AFTER) }
            }
            // As long as it says so, it is left alone as one that has too many requests.
            (Code::Unavailable, ..) if wait.is_some() => {
                SyncError::RateLimited { retry_after: wait.unwrap_or(RETRY_AFTER) }
            }
            (Code::Malformed, ..) => SyncError::Protocol { during, reason: message },
            (Code::WrongCursor, ..) => SyncError::corrupt("a cursor", message),
            (Code::Damaged, ..) => SyncError::corrupt("the shared log", message),
            (Code::BodyTooLarge, ..) => SyncError::BodyTooLarge { bytes: 0, limit },
            _ => SyncError::Transport { during, reason: reason(code, message) },
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// What is told to people: the message, or else the code.
fn reason(code: Code, message: String) -> String {
    match (code, message.is_empty()) {
        (Code::Revoked, true) => "this device was revoked".to_owned(),
        (_, true) => format!("the server answered {}", code.status()),
        (_, false) => message,
    }
}
