//! The JSON of the requests, and the text messages of the watch. Members that a reader does not know are passed over.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::text::{as_cursor, as_decimal, as_device, as_id, as_log_id};
use crate::shared_log::{Cursor, LogId, Member, Snapshot, SnapshotId, Trimmed, Usage};
use crate::stamp::Device;

/// The subprotocol of the watch's WebSocket.
pub const WATCH_PROTOCOL: &str = "storex.v1";
/// Close code of a WebSocket: the credential is not, or no longer, accepted.
pub const CLOSE_UNAUTHORIZED: u16 = 4401;
/// Close code of a WebSocket: what the client said cannot be read, or is of another log; a request is told more.
pub const CLOSE_MALFORMED: u16 = 4400;
/// Close code of a WebSocket: there is no such room.
pub const CLOSE_NO_SUCH_ROOM: u16 = 4404;
/// Close code of a WebSocket: who it is was not said in time. It says nothing about the token.
pub const CLOSE_TIMEOUT: u16 = 4408;
/// Close code of a WebSocket: two are in the room.
pub const CLOSE_ROOM_FULL: u16 = 4409;
/// Close code of a WebSocket: the device was revoked.
pub const CLOSE_REVOKED: u16 = 4403;
/// Close code of a WebSocket: too many requests or connections.
pub const CLOSE_RATE_LIMITED: u16 = 4429;
/// Close code of a WebSocket: the server goes away (RFC 6455).
pub const CLOSE_GOING_AWAY: u16 = 1001;

/// `POST /v1/devices`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Register {
    /// The device that becomes a member.
    #[serde(with = "as_device")]
    pub device: Device,
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// The answer of `POST /v1/devices` and of `POST /v1/log/reidentify`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogAnswer {
    /// The identity that the log has.
    #[serde(with = "as_log_id")]
    pub log: LogId,
}

/// A device in the answer of `GET /v1/devices`, which is a list of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedDevice {
    /// Which one, whatever its incarnation.
    #[serde(with = "as_id")]
    pub id: [u8; 16],
    /// What people call it; empty: it was not told.
    pub name: String,
    /// When it first came, in milliseconds since 1970.
    pub registered_at: i64,
    /// When it last came, in milliseconds since 1970, give or take a minute.
    pub last_seen: i64,
    /// Whether it was shut out.
    pub revoked: bool,
}

/// A member in the answer of `GET /v1/log/members`, which is a list of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedMember {
    /// The device.
    #[serde(with = "as_device")]
    pub device: Device,
    /// How many transactions of others the log holds that it has not acknowledged.
    pub behind: u64,
}

impl From<Member> for ListedMember {
    fn from(Member { device, behind }: Member) -> Self {
        Self { device, behind }
    }
}

impl From<ListedMember> for Member {
    fn from(ListedMember { device, behind }: ListedMember) -> Self {
        Self { device, behind }
    }
}

/// `POST /v1/log/dismiss`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dismiss {
    /// The device that is no longer a member.
    #[serde(with = "as_device")]
    pub device: Device,
}

/// The answer of `POST /v1/log/dismiss`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DismissAnswer {
    /// Whether it was a member.
    pub dismissed: bool,
}

/// `POST /v1/log/reidentify`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reidentify {
    /// The identity that it has, as far as is known.
    #[serde(with = "as_log_id")]
    pub known: LogId,
}

/// The answer of `POST /v1/log/trim`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrimAnswer {
    /// How many transactions were dropped.
    pub transactions: u64,
}

impl From<Trimmed> for TrimAnswer {
    fn from(Trimmed { transactions }: Trimmed) -> Self {
        Self { transactions }
    }
}

impl From<TrimAnswer> for Trimmed {
    fn from(TrimAnswer { transactions }: TrimAnswer) -> Self {
        Self { transactions }
    }
}

/// The answer of `GET /v1/log/usage`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageAnswer {
    /// See [`Usage::transactions`].
    pub transactions: u64,
    /// See [`Usage::droppable`].
    pub droppable: u64,
    /// See [`Usage::lacks_beginning`].
    pub lacks_beginning: bool,
}

impl From<Usage> for UsageAnswer {
    fn from(Usage { transactions, droppable, lacks_beginning }: Usage) -> Self {
        Self { transactions, droppable, lacks_beginning }
    }
}

impl From<UsageAnswer> for Usage {
    fn from(UsageAnswer { transactions, droppable, lacks_beginning }: UsageAnswer) -> Self {
        Self { transactions, droppable, lacks_beginning }
    }
}

/// A snapshot: `POST /v1/snapshots`, and the answer of `GET /v1/snapshots`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotForm {
    /// The device that made it.
    #[serde(with = "as_device")]
    pub maker: Device,
    /// Its number, as a text of decimal digits.
    #[serde(with = "as_decimal")]
    pub number: u64,
    /// How many pages it has.
    pub pages: u64,
    /// Its place in the log.
    #[serde(with = "as_cursor")]
    pub place: Cursor,
}

impl From<Snapshot> for SnapshotForm {
    fn from(Snapshot { id: SnapshotId { maker, number }, pages, place }: Snapshot) -> Self {
        Self { maker, number, pages, place }
    }
}

impl From<SnapshotForm> for Snapshot {
    fn from(SnapshotForm { maker, number, pages, place }: SnapshotForm) -> Self {
        Self { id: SnapshotId { maker, number }, pages, place }
    }
}

/// The answer of `POST /v1/snapshots`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishAnswer {
    /// Whether it is the log's snapshot now.
    pub published: bool,
}

/// The query of the requests of `/v1/blobs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobQuery {
    /// The device that asks.
    #[serde(with = "as_device")]
    pub device: Device,
}

/// The answer of `GET /v1/blobs/{blob}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobAnswer {
    /// Whether the whole blob is there.
    pub whole: bool,
    /// How many of its chunks are there, from the front.
    pub chunks: u64,
}

/// The answer of `GET /v1/log/changed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangedAnswer {
    /// Whether something of others may follow the place.
    pub changed: bool,
}

/// The answer of `POST /v1/rooms`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomAnswer {
    /// The number of the room: 4 to 6 digits.
    pub room: String,
}

/// The first message of a WebSocket whose request had no `authorization`: who connects. It is not shown by `Debug`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchToken {
    /// The bearer token.
    pub token: String,
}

impl fmt::Debug for WatchToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatchToken").finish_non_exhaustive()
    }
}

/// What a client of the watch says first, and again after each exchange.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchPlace {
    /// Who waits.
    #[serde(with = "as_device")]
    pub device: Device,
    /// News is what follows this place.
    #[serde(with = "as_cursor")]
    pub after: Cursor,
}

/// What the server says in a watch: news, or nothing, which means that it is alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct WatchNews {
    /// Whether something of others follows the place that was told last.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub news: bool,
}
