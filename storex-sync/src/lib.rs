//! The log, the merge, shared logs, continuous sync and initial sync of storex.
//!
//! ```text
//!    device A                                                    device B
//!    storage ──▶ SyncLog ──▶ rows + clocks + log row             rows + clocks
//!                                    │  (one transaction)             ▲ (one transaction per page)
//!                                  Sync ──▶  SharedSyncLog  ──▶  Sync ┘      ContinuousSync: on a timer
//!    rows + clocks ═════════════ InitialSync over a Channel ═══════▶  once, straight from device to device
//! ```
//!
//! - [`SyncLog`] is the middleware: every write is executed and logged in one transaction.
//! - [`Sync::sync_once`] and [`ContinuousSync`] exchange with a [`SharedSyncLog`]: [`MemorySharedLog`],
//!   [`BackendSharedLog`] in any storex backend (of many logs in one database: [`BackendSharedLogs`]), `ObjectSharedLog` (feature `object-store`) in a folder or
//!   an object store, or `http::HttpSharedLog` (feature `http`) of a server, over `http::NativeTransport` (feature `http-native`) or `http::WebTransport`
//!   (feature `http-web`).
//! - `EncryptedSharedLog` (feature `encryption`) is end-to-end encryption around any of these.
//! - [`Exclusive`] lets one of the programs that share a database sync it at a time.
//! - [`InitialSync`] brings the contents of one device to another over a [`Channel`]: [`MemoryChannel`], `MessagePortChannel` (feature `web`),
//!   `StreamChannel` (feature `stream`), `WebSocketChannel` (feature `websocket`) or `RelayChannel` (feature `http`); around any of them [`HeartbeatChannel`],
//!   `ZstdChannel` (feature `zstd`) and `SecureChannel` (feature `pairing`), which only two devices that were paired by a code can read.
//! - [`Blobs`] keeps what is too large for a row, and brings it from device to device beside the log.
//! - [`merge()`] decides, from stored clocks and the arriving write alone, what becomes of an object: the later stamp wins
//!   field by field, increments of all devices count ([`Counter`]), a delete wins over updates that had not seen it. A field may
//!   have another [`Strategy`].
//! - [`ConflictJournal`] holds what was lost, to be looked at and put back; [`SyncHooks`] lets the application decide.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use serde_json::json;
//! use storex_core::{AutoPk, Definition, FieldType, Registry, Storage};
//! use storex_memory::{MemoryBackend, TestRuntime};
//! use storex_sync::{
//!     ContinuousSync, InitialSync, LogId, MemoryChannel, MemorySharedLog, Sync, SyncLog,
//! };
//!
//! async fn device(runtime: Arc<TestRuntime>) -> storex_core::Result<Storage> {
//!     let note = Definition::new("note").field("title", FieldType::String);
//!     let registry = Registry::builder().collection(note).build()?;
//!     Storage::builder(MemoryBackend::new(), registry, runtime)
//!         .middleware(AutoPk::new())
//!         .middleware(SyncLog::new())
//!         .open()
//!         .await
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let runtime = Arc::new(TestRuntime::new(1));
//! let (a, b) = (device(runtime.clone()).await?, device(runtime.clone()).await?);
//! a.dynamic("note")?.create(json!({"title": "written before B was there"})).await?;
//!
//! // Once: everything from A to B.
//! let (mut here, mut there) = MemoryChannel::pair();
//! let (sender, receiver) = (InitialSync::open(&a).await?, InitialSync::open(&b).await?);
//! let (sent, received) = tokio::join!(sender.send(&mut here), receiver.receive(&mut there));
//! assert_eq!(sent?.total(), received?.total());
//!
//! // From then on: through the shared log, after each write, and on a timer.
//! let log = Arc::new(MemorySharedLog::new(LogId([7; 16])));
//! let every = Duration::from_secs(5);
//! let sync_a = ContinuousSync::start(Sync::open(&a, log.clone()).await?, every);
//! let sync_b = ContinuousSync::start(Sync::open(&b, log).await?, every);
//! b.dynamic("note")?.update(&json!({}), &json!({"title": "edited on B"})).await?;
//! sync_b.sync_now().await.unwrap()?;
//! sync_a.sync_now().await.unwrap()?;
//! assert_eq!(a.dynamic("note")?.find(&json!({})).await?[0]["title"], "edited on B");
//! sync_a.stop().await;
//! sync_b.stop().await;
//! # Ok(()) }
//! ```

// What a browser's one thread holds need not be `Send`, and an `Arc` of it serves as well as an `Rc`; see `maybe`.
#![cfg_attr(target_family = "wasm", allow(clippy::arc_with_non_send_sync))]

mod ahead;
mod apply;
#[cfg(all(feature = "web", target_family = "wasm"))]
mod awake;
mod before;
mod blobs;
mod brief;
mod bytes;
mod catalogue;
mod channel;
mod clock;
mod clock_code;
mod clock_rows;
#[cfg(test)]
mod codec_tests;
mod compact;
mod continuous;
mod contribute;
mod counter;
#[cfg(test)]
mod counter_tests;
mod deadline;
#[cfg(feature = "deliberate-faults")]
mod deliberate;
#[cfg(any(feature = "encryption", feature = "pairing"))]
mod device_key;
mod digest;
mod driver;
#[cfg(feature = "encryption")]
mod encryption;
pub mod engine;
mod error;
mod exclusive;
mod failure;
mod field_state;
mod field_state_code;
#[cfg(test)]
mod field_state_tests;
mod handle;
mod hex;
mod hooks;
#[cfg(feature = "http")]
pub mod http;
mod initial;
mod journal;
#[cfg(all(target_family = "wasm", any(feature = "http-web", feature = "web", feature = "webrtc")))]
mod js;
mod key_code;
mod kind_code;
mod lane;
mod lanes;
mod local_fields;
mod log;
mod log_entries;
pub mod log_rules;
mod log_writer;
mod merge;
mod merging;
mod meta;
mod numbers;
mod outbox;
mod pack;
#[cfg(feature = "pairing")]
mod pairing;
mod parked;
mod perform;
mod place;
mod proxy;
mod quarantine;
mod recovery;
mod reduce;
mod refused;
mod rejected;
mod relative;
mod remembered;
mod renewal;
mod report;
mod rules;
mod scope;
mod shared_log;
mod sign_out;
mod snapshot;
mod stamp;
mod state;
mod strategy;
mod sync;
#[cfg(any(all(test, not(target_family = "wasm")), all(target_family = "wasm", feature = "web")))]
// For the tests on native targets, of what needs no browser.
#[cfg_attr(not(target_family = "wasm"), allow(dead_code, unreachable_pub))]
mod tabs;
mod tombstones;
mod touched;
mod transaction;
mod transaction_code;
mod weight;
mod writes;

pub use apply::{Applied, Cause, Resolution, Ruling};
#[cfg(all(feature = "web", target_family = "wasm"))]
pub use awake::page_awake;
#[cfg(all(feature = "object-store", not(target_family = "wasm")))]
pub use blobs::ObjectBlobStore;
pub use blobs::{
    BLOB_CHUNK_LIMIT, BlobReader, BlobRef, BlobReport, BlobStatus, BlobStore, BlobWriter, Blobs,
    BlobsBuilder, BlobsWaiting, DeadBlob, MemoryBlobStore,
};
pub use brief::{Brief, BriefReport, Degraded, WhenBusy};
#[cfg(all(feature = "web", target_family = "wasm"))]
pub use channel::MessagePortChannel;
#[cfg(feature = "http")]
pub use channel::RelayChannel;
#[cfg(feature = "stream")]
pub use channel::StreamChannel;
#[cfg(all(feature = "websocket", not(target_family = "wasm")))]
pub use channel::WebSocketChannel;
#[cfg(all(feature = "zstd", not(target_family = "wasm")))]
pub use channel::ZstdChannel;
pub use channel::{Channel, HeartbeatChannel, MemoryChannel};
#[cfg(all(feature = "webrtc", target_family = "wasm"))]
pub use channel::{RtcChannel, RtcConfig};
pub use clock::Clock;
pub use compact::{Compacted, Compaction};
pub use continuous::{ContinuousSync, ContinuousSyncBuilder, SyncEvents};
pub use counter::{Amount, Counted, Counter, Sum};
#[cfg(feature = "deliberate-faults")]
pub use deliberate::DeliberateFault;
#[cfg(any(feature = "encryption", feature = "pairing"))]
pub use device_key::{DeviceKey, PairedDevice};
pub use digest::{CollectionDigest, Digest};
#[cfg(feature = "encryption")]
pub use encryption::{
    Access, EncryptedBlobStore, EncryptedSharedLog, KeyRing, Passphrase, PassphraseCost,
};
pub use engine::status::{ExchangeProgress, Phase, SyncEvent, SyncStatus};
pub use error::{Result, SyncError};
pub use exclusive::{Exclusive, Guard, LeaseTimes};
pub use field_state::{Contribution, Element, FieldState, Held, Item, Joined};
pub use handle::SyncHandle;
pub use hooks::{Decision, ObjectWrite, PassingEntry, SyncHooks, Verdict, WrittenAs};
pub use initial::{
    BothWaysReport, Compared, InitialSync, InitialSyncControl, InitialSyncEvent, InitialSyncHooks,
    InitialSyncReport, Lack, Missing, PassingObject, Progress, Role,
};
pub use journal::{
    Conflict, ConflictId, ConflictJournal, ConflictQuery, Content, NotedConflict, Version,
};
pub use lane::Lane;
pub use log::SyncLog;
pub use merge::{Action, FieldConflict, Incoming, Merged, merge, merge_object};
#[cfg(all(feature = "object-store", not(target_family = "wasm")))]
pub use object_store;
#[cfg(feature = "pairing")]
pub use pairing::{Pairing, PairingCode, SecureChannel};
pub use parked::{Parked, WaitsFor, parked};
pub use place::Place;
pub use proxy::{RemoteSync, SyncHost};
pub use recovery::Recovery;
pub use rejected::{Rejected, rejected};
pub use relative::Relative;
pub use report::{Limits, SyncReport};
pub use rules::{RelationRule, UniqueRule};
pub use scope::{Backfill, Scope};
#[cfg(all(feature = "object-store", not(target_family = "wasm")))]
pub use shared_log::ObjectSharedLog;
pub use shared_log::{
    BackendSharedLog, BackendSharedLogs, Cursor, LogId, LogRequest, Member, MemorySharedLog,
    MissingWrite, Page, SEALED_KEY_LIMIT, SealedKeyName, SealedKeys, SealedTransaction,
    SharedSyncLog, Snapshot, SnapshotId, Snapshots, Trimmed, Usage,
};
pub use stamp::{Device, Hlc, Stamp};
pub use strategy::{Joins, Strategy};
pub use sync::{Sync, Turn};
#[cfg(all(feature = "web", target_family = "wasm"))]
pub use tabs::{SyncPlace, TabSync, TabSyncBuilder, serve_tabs};
pub use transaction::{Entry, EntryKind, EntryValue, Header, Shape, Transaction};
pub use writes::{WriteId, WriteState};
