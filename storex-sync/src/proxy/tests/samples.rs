//! Whatever can travel between a program and its sync.

use std::time::Duration;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use storex_core::{Error, ErrorKind, Key, Name, Record, Timestamp};

use super::super::code::Bytes;
use super::super::message::{Request, ToClient, ToHost};
use crate::apply::{Applied, Cause, Resolution, Ruling};
use crate::blobs::BlobRef;
use crate::codec_tests::{B, device, key_value};
use crate::compact::Compacted;
use crate::digest::{CollectionDigest, Digest};
use crate::engine::status::{ExchangeProgress, Phase, SyncStatus};
use crate::error::SyncError;
use crate::initial::{Compared, InitialSyncReport};
use crate::journal::{Conflict, ConflictId, ConflictQuery, Content, NotedConflict, Version};
use crate::parked::{Parked, WaitsFor};
use crate::rejected::Rejected;
use crate::report::SyncReport;
use crate::scope::Backfill;
use crate::shared_log::{Cursor, MissingWrite, Snapshot, SnapshotId};
use crate::stamp::{Hlc, Stamp};
use crate::writes::WriteId;

fn name() -> impl Strategy<Value = Name> {
    "[a-z]{0,8}".prop_map(Name::from)
}

fn key() -> impl Strategy<Value = Key> {
    vec(key_value(), 0..3).prop_map(Key::compound)
}

fn at() -> impl Strategy<Value = Timestamp> {
    any::<i64>().prop_map(Timestamp)
}

pub(super) fn write_id() -> impl Strategy<Value = WriteId> {
    (device(), any::<u64>()).prop_map(|(device, sequence)| WriteId { device, sequence })
}

fn version() -> impl Strategy<Value = Version> {
    let content = prop_oneof![
        key_value().prop_map(Content::Value),
        vec((name(), key_value()), 0..3).prop_map(Content::Object),
        Just(Content::Deleted),
    ];
    (any::<u64>(), device(), content).prop_map(|(hlc, device, content)| Version {
        stamp: Stamp { hlc: Hlc(hlc), device },
        content,
    })
}

fn conflict() -> impl Strategy<Value = Conflict> {
    let parts = (name(), key(), option::of(name()), device(), any::<bool>(), version(), version());
    parts.prop_map(|(collection, key, field, device, incoming_won, won, lost)| Conflict {
        collection,
        key,
        field,
        device,
        incoming_won,
        won,
        lost,
    })
}

pub(super) fn noted() -> impl Strategy<Value = NotedConflict> {
    (any::<u64>(), at(), conflict(), any::<bool>()).prop_map(|(id, at, conflict, kept)| {
        NotedConflict { id: ConflictId(id), at, conflict, kept }
    })
}

fn resolution() -> impl Strategy<Value = Resolution> {
    let ruling = prop_oneof![
        (name(), key_value(), key_value()).prop_map(|(field, from, to)| Ruling::Set {
            field,
            from,
            to
        }),
        vec(key_value(), 0..4).prop_map(|it| Ruling::Deleted { object: Record::new(it) }),
        Just(Ruling::Revived),
    ];
    let cause = prop_oneof![
        (any::<String>(), key()).prop_map(|(index, kept)| Cause::Unique { index, kept }),
        (name(), key()).prop_map(|(parent, key)| Cause::Relation { parent, key }),
        Just(Cause::Updated),
    ];
    (name(), key(), ruling, cause).prop_map(|(collection, key, ruling, cause)| Resolution {
        collection,
        key,
        ruling,
        cause,
    })
}

fn applied() -> impl Strategy<Value = Applied> {
    let numbers = any::<(u64, u64, u64, u64)>();
    (numbers, vec(conflict(), 0..3), vec(resolution(), 0..3)).prop_map(
        |((transactions, entries, parked, restated), conflicts, resolutions)| Applied {
            transactions,
            entries,
            parked,
            conflicts,
            resolutions,
            restated,
        },
    )
}

pub(super) fn report() -> impl Strategy<Value = SyncReport> {
    let restored = (vec((name(), any::<u64>()), 0..3), any::<(u64, u64, u64)>());
    let restored = restored.prop_map(|(objects, (tombstones, kept, parked))| InitialSyncReport {
        objects,
        tombstones,
        kept,
        parked,
        compared: (kept % 2 == 0).then_some(Compared { round_trips: kept, bytes: parked }),
    });
    let backfill = prop_oneof![
        Just(None),
        Just(Some(Backfill::Complete)),
        Just(Some(Backfill::Pending)),
        Just(Some(Backfill::NoBeginning))
    ];
    let rejected = vec(rejected(), 0..3);
    let parts = (any::<u64>(), any::<u64>(), applied(), option::of(device()), option::of(restored));
    (parts, rejected, backfill, missing()).prop_map(|(parts, rejected, backfill, missing)| {
        let (sent_transactions, sent_entries, received, incarnation, restored) = parts;
        SyncReport {
            sent_transactions,
            sent_entries,
            received,
            incarnation,
            restored,
            rejected,
            backfill,
            missing,
        }
    })
}

fn missing() -> impl Strategy<Value = Vec<MissingWrite>> {
    let one =
        (write_id(), any::<String>()).prop_map(|(write, reason)| MissingWrite { write, reason });
    vec(one, 0..3)
}

fn rejected() -> impl Strategy<Value = Rejected> {
    (write_id(), any::<String>(), any::<bool>(), any::<Vec<u8>>()).prop_map(
        |(write, reason, is_reverted, payload)| Rejected { write, reason, is_reverted, payload },
    )
}

pub(super) fn parked() -> impl Strategy<Value = Parked> {
    let waits = prop_oneof![Just(WaitsFor::Update), Just(WaitsFor::Change), Just(WaitsFor::Time)];
    (write_id(), waits, any::<String>(), any::<Vec<u8>>()).prop_map(
        |(write, waits_for, reason, payload)| Parked {
            device: write.device,
            sequence: write.sequence,
            waits_for,
            reason,
            payload,
        },
    )
}

fn phase() -> impl Strategy<Value = Phase> {
    prop_oneof![
        Just(Phase::Waiting),
        Just(Phase::Sending),
        Just(Phase::Receiving),
        Just(Phase::Offline),
        Just(Phase::Paused),
        Just(Phase::NeedsLogin),
        at().prop_map(|until| Phase::BackingOff { until }),
        Just(Phase::StandingBy),
        Just(Phase::Stopped),
        Just(Phase::Disconnected),
    ]
}

pub(super) fn status() -> impl Strategy<Value = SyncStatus> {
    let numbers = any::<(bool, u64, u32, u64, u64, u64)>();
    let moments = (option::of(at()), option::of(at()), option::of(at()), option::of(at()));
    let progress = option::of(
        any::<(u64, u64, u64)>().prop_map(|(sent, to_send, received)| ExchangeProgress {
            sent,
            to_send,
            received,
        }),
    );
    (phase(), numbers, moments, any::<Option<String>>(), progress, missing()).prop_map(
        |(phase, numbers, moments, last_error, progress, missing)| {
            let (last_success, last_error_at, next_attempt, missing_since) = moments;
            let (in_step, rounds, failures, unsent, parked, rejected) = numbers;
            SyncStatus {
                phase,
                in_step,
                rounds,
                failures,
                unsent,
                parked,
                rejected,
                last_success,
                last_error,
                last_error_at,
                next_attempt,
                progress,
                missing,
                missing_since,
            }
        },
    )
}

pub(super) fn compacted() -> impl Strategy<Value = Compacted> {
    let snapshot = (device(), any::<u64>(), any::<u64>(), any::<Vec<u8>>());
    let snapshot = snapshot.prop_map(|(maker, number, pages, place)| Snapshot {
        id: SnapshotId { maker, number },
        pages,
        place: Cursor(place),
    });
    (option::of(snapshot), any::<u64>(), vec(device(), 0..3))
        .prop_map(|(snapshot, trimmed, dismissed)| Compacted { snapshot, trimmed, dismissed })
}

pub(super) fn digest() -> impl Strategy<Value = Digest> {
    let collection = (name(), any::<u64>(), any::<u128>());
    let collection = collection.prop_map(|(collection, objects, sum)| CollectionDigest {
        collection,
        objects,
        sum,
    });
    vec(collection, 0..4).prop_map(|collections| Digest { collections })
}

pub(super) fn query() -> impl Strategy<Value = ConflictQuery> {
    let before = any::<Option<u64>>().prop_map(|before| before.map(ConflictId));
    (option::of(name()), option::of(key()), before, any::<u64>()).prop_map(
        |(collection, key, before, limit)| ConflictQuery { collection, key, before, limit },
    )
}

pub(super) fn request() -> impl Strategy<Value = Request> {
    let conflict = || any::<u64>().prop_map(ConflictId);
    prop_oneof![
        Just(Request::SyncNow {}),
        Just(Request::SendState {}),
        write_id().prop_map(|write| Request::AwaitSynced { write }),
        write_id().prop_map(|write| Request::Discard { write }),
        Just(Request::Rejected {}),
        write_id().prop_map(|write| Request::RetryRejected { write }),
        write_id().prop_map(|write| Request::DiscardRejected { write }),
        query().prop_map(|which| Request::Conflicts { which }),
        conflict().prop_map(|conflict| Request::UndoConflict { conflict }),
        (conflict(), key_value())
            .prop_map(|(conflict, value)| Request::ReplaceConflict { conflict, value }),
    ]
}

pub(super) fn to_host() -> impl Strategy<Value = ToHost> {
    prop_oneof![
        (any::<u64>(), any::<String>(), any::<Vec<u8>>()).prop_map(|(id, name, arguments)| {
            ToHost::Ask { id, name, arguments: Bytes(arguments) }
        }),
        any::<u64>().prop_map(|id| ToHost::GiveUp { id }),
    ]
}

pub(super) fn to_client() -> impl Strategy<Value = ToClient> {
    let bytes = || any::<Vec<u8>>().prop_map(Bytes);
    prop_oneof![
        (any::<u64>(), bytes()).prop_map(|(version, status)| ToClient::Welcome { version, status }),
        any::<String>().prop_map(|reason| ToClient::Refused { reason }),
        Just(ToClient::Taken),
        (any::<u64>(), bytes()).prop_map(|(id, answer)| ToClient::Answer { id, answer }),
        bytes().prop_map(|status| ToClient::Status { status }),
        bytes().prop_map(|event| ToClient::Event { event }),
        Just(ToClient::Ended),
    ]
}

pub(super) fn duration() -> impl Strategy<Value = Duration> {
    (any::<u64>(), 0..1_000_000_000_u32).prop_map(|(whole, part)| Duration::new(whole, part))
}

/// All that a sync can fail with.
pub(super) fn errors() -> Vec<SyncError> {
    let (device, sequence, during) = (B, 7, "testing");
    let reason = || "because".to_owned();
    let mut errors = vec![
        SyncError::NoSyncLog,
        SyncError::Transport { during, reason: reason() },
        SyncError::Closed { during },
        SyncError::Protocol { during, reason: reason() },
        SyncError::Remote { kind: ErrorKind::Busy, reason: reason() },
        SyncError::Cancelled,
        SyncError::Corrupt { what: during, reason: reason() },
        SyncError::Gap { device, expected: 1, found: 3 },
        SyncError::Forked { device, sequence },
        SyncError::LogReplaced,
        SyncError::HeldElsewhere,
        SyncError::LeaseLost,
        SyncError::LockFile { path: "there".to_owned(), reason: reason() },
        SyncError::WebLock { name: "notes".to_owned(), reason: reason() },
        SyncError::BelowFloor { reader: device },
        SyncError::NoSnapshots,
        SyncError::HoldsLess,
        SyncError::FrameTooLarge { bytes: 12, limit: 10 },
        SyncError::BodyTooLarge { bytes: 12, limit: Some(10) },
        SyncError::BodyTooLarge { bytes: 12, limit: None },
        SyncError::Timeout { during, after: Duration::from_millis(1500) },
        SyncError::RateLimited { retry_after: Duration::from_millis(1500) },
        SyncError::Unauthorized { reason: reason() },
        SyncError::Offline,
        SyncError::Paused,
        SyncError::Stopped,
        SyncError::UnknownWrite { device, sequence },
        SyncError::ParkingFull { most: 3 },
        SyncError::CannotUndo { conflict: 4, reason: reason() },
        SyncError::Disconnected { reason: reason() },
        SyncError::Rejected { device, sequence: 3, reason: reason(), is_too_large: true },
        SyncError::NoBlobs,
        SyncError::BlobMissing { blob: BlobRef::of(b"") },
        SyncError::BlobNotSent { blob: BlobRef::of(b"a blob") },
        SyncError::BlobInterrupted,
        SyncError::Unsent { transactions: 3, unlogged: 4 },
        SyncError::BlobsNotSent { blobs: 3 },
        SyncError::LogOfAnotherLane { lane: "bulk".to_owned() },
        SyncError::PairingRefused { reason: reason() },
        SyncError::PairingCodeSpent { reason: reason() },
        SyncError::InvalidPairingCode { reason: reason() },
        SyncError::KeepsNoKeys,
        SyncError::NoKeys,
        SyncError::HasKeys,
        SyncError::WrongPassphrase,
        SyncError::FormerPassphrase,
        SyncError::UnknownKey { what: "transaction 3 of device 0a".to_owned() },
        SyncError::RivalKeys,
        SyncError::NotAuthentic { what: "a page".to_owned(), reason: reason() },
    ];
    let storage = storage_errors().into_iter();
    errors.extend(storage.map(|source| SyncError::Storage { during, source }));
    errors
}

/// Those of the storage that can be rebuilt, and one of the database's own.
pub(super) fn storage_errors() -> Vec<Error> {
    let collection = || Name::from("note");
    let field = || Name::from("title");
    let text = || "because".to_owned();
    vec![
        Error::UnknownCollection { collection: collection() },
        Error::UnknownField { collection: collection(), field: field() },
        Error::InvalidValue { collection: collection(), field: field(), reason: text() },
        Error::MissingField { collection: collection(), field: field() },
        Error::InvalidOperation { collection: collection(), reason: text() },
        Error::KeyChange { collection: collection(), field: field() },
        Error::AlreadyExists { collection: collection(), key: text() },
        Error::UniqueViolation { collection: collection(), index: text(), values: vec![1.into()] },
        Error::ConstraintViolation { collection: collection(), reason: text() },
        Error::Relation { collection: collection(), field: field(), reason: text() },
        Error::Precondition { collection: collection(), reason: text() },
        Error::Aborted { reason: text() },
        Error::SchemaMismatch { collection: collection(), reason: text() },
        Error::NewerSchema { collection: None, stored: 2, known: 1 },
        Error::BrokenRule { collection: collection(), key: text(), reason: text() },
        Error::ReadOnly { what: text() },
        Error::Closed,
        Error::Suspended,
        busy(),
    ]
}

fn busy() -> Error {
    Error::Backend {
        backend: "test",
        operation: "write",
        collection: None,
        kind: ErrorKind::Busy,
        hint: "somebody else holds it".to_owned(),
        source: "busy".into(),
    }
}
