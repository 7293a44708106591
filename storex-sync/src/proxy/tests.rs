//! What travels between a program and its sync, there and back, and what becomes of bytes that are none.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use storex_core::{Error, ErrorKind, Key, Name, Record, Timestamp, Value};

use super::code::{Bytes, Wire, decode, encode};
use super::message::{Hello, Message, Request, ToClient, ToHost};
use crate::apply::{Applied, Cause, Resolution, Ruling};
use crate::codec_tests::{A, B, assert_vector, device, key_value, vector};
use crate::compact::Compacted;
use crate::digest::{CollectionDigest, Digest};
use crate::engine::status::{Phase, SyncEvent, SyncStatus};
use crate::error::{Result, SyncError, describe};
use crate::initial::InitialSyncReport;
use crate::journal::{Conflict, ConflictId, ConflictQuery, Content, NotedConflict, Version};
use crate::parked::{Parked, WaitsFor};
use crate::report::SyncReport;
use crate::shared_log::{Cursor, Snapshot, SnapshotId};
use crate::stamp::{Hlc, Stamp};
use crate::writes::{WriteId, WriteState};

fn name() -> impl Strategy<Value = Name> {
    "[a-z]{0,8}".prop_map(Name::from)
}

fn key() -> impl Strategy<Value = Key> {
    vec(key_value(), 0..3).prop_map(Key::compound)
}

fn at() -> impl Strategy<Value = Timestamp> {
    any::<i64>().prop_map(Timestamp)
}

fn write_id() -> impl Strategy<Value = WriteId> {
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

fn noted() -> impl Strategy<Value = NotedConflict> {
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
    let numbers = any::<(u64, u64, u64)>();
    (numbers, vec(conflict(), 0..3), vec(resolution(), 0..3)).prop_map(
        |((transactions, entries, parked), conflicts, resolutions)| Applied {
            transactions,
            entries,
            parked,
            conflicts,
            resolutions,
        },
    )
}

fn report() -> impl Strategy<Value = SyncReport> {
    let restored = (vec((name(), any::<u64>()), 0..3), any::<u64>(), any::<u64>());
    let restored = restored.prop_map(|(objects, tombstones, kept)| InitialSyncReport {
        objects,
        tombstones,
        kept,
    });
    let parts = (any::<u64>(), any::<u64>(), applied(), option::of(device()), option::of(restored));
    parts.prop_map(|(sent_transactions, sent_entries, received, incarnation, restored)| {
        SyncReport { sent_transactions, sent_entries, received, incarnation, restored }
    })
}

fn parked() -> impl Strategy<Value = Parked> {
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

fn status() -> impl Strategy<Value = SyncStatus> {
    let numbers = any::<(bool, u64, u32, u64, u64)>();
    let moments = (option::of(at()), option::of(at()), option::of(at()));
    (phase(), numbers, moments, any::<Option<String>>()).prop_map(
        |(phase, numbers, (last_success, last_error_at, next_attempt), last_error)| {
            let (in_step, rounds, failures, unsent, parked) = numbers;
            SyncStatus {
                phase,
                in_step,
                rounds,
                failures,
                unsent,
                parked,
                last_success,
                last_error,
                last_error_at,
                next_attempt,
            }
        },
    )
}

fn compacted() -> impl Strategy<Value = Compacted> {
    let snapshot = (device(), any::<u64>(), any::<u64>(), any::<Vec<u8>>());
    let snapshot = snapshot.prop_map(|(maker, number, pages, place)| Snapshot {
        id: SnapshotId { maker, number },
        pages,
        place: Cursor(place),
    });
    (option::of(snapshot), any::<u64>(), vec(device(), 0..3))
        .prop_map(|(snapshot, trimmed, dismissed)| Compacted { snapshot, trimmed, dismissed })
}

fn digest() -> impl Strategy<Value = Digest> {
    let collection = (name(), any::<u64>(), any::<u128>());
    let collection = collection.prop_map(|(collection, objects, sum)| CollectionDigest {
        collection,
        objects,
        sum,
    });
    vec(collection, 0..4).prop_map(|collections| Digest { collections })
}

fn query() -> impl Strategy<Value = ConflictQuery> {
    let before = any::<Option<u64>>().prop_map(|before| before.map(ConflictId));
    (option::of(name()), option::of(key()), before, any::<u64>()).prop_map(
        |(collection, key, before, limit)| ConflictQuery { collection, key, before, limit },
    )
}

fn request() -> impl Strategy<Value = Request> {
    let conflict = || any::<u64>().prop_map(ConflictId);
    prop_oneof![
        Just(Request::SyncNow {}),
        Just(Request::SendState {}),
        write_id().prop_map(|write| Request::AwaitSynced { write }),
        write_id().prop_map(|write| Request::Discard { write }),
        query().prop_map(|which| Request::Conflicts { which }),
        conflict().prop_map(|conflict| Request::UndoConflict { conflict }),
        (conflict(), key_value())
            .prop_map(|(conflict, value)| Request::ReplaceConflict { conflict, value }),
    ]
}

fn to_host() -> impl Strategy<Value = ToHost> {
    prop_oneof![
        (any::<u64>(), any::<String>(), any::<Vec<u8>>()).prop_map(|(id, name, arguments)| {
            ToHost::Ask { id, name, arguments: Bytes(arguments) }
        }),
        any::<u64>().prop_map(|id| ToHost::GiveUp { id }),
    ]
}

fn to_client() -> impl Strategy<Value = ToClient> {
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

fn duration() -> impl Strategy<Value = Duration> {
    (any::<u64>(), 0..1_000_000_000_u32).prop_map(|(whole, part)| Duration::new(whole, part))
}

/// All that a sync can fail with.
fn errors() -> Vec<SyncError> {
    let (device, sequence, during) = (B, 7, "testing");
    let reason = || "because".to_owned();
    let mut errors = vec![
        SyncError::NoSyncLog,
        SyncError::Transport { during, reason: reason() },
        SyncError::Closed { during },
        SyncError::Protocol { during, reason: reason() },
        SyncError::Remote { reason: reason() },
        SyncError::Corrupt { what: during, reason: reason() },
        SyncError::Gap { device, expected: 1, found: 3 },
        SyncError::Forked { device, sequence },
        SyncError::LogReplaced,
        SyncError::HeldElsewhere,
        SyncError::LeaseLost,
        SyncError::LockFile { path: "there".to_owned(), reason: reason() },
        SyncError::BelowFloor { reader: device },
        SyncError::NoSnapshots,
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
    ];
    let storage = storage_errors().into_iter();
    errors.extend(storage.map(|source| SyncError::Storage { during, source }));
    errors
}

/// Those of the storage that can be rebuilt, and one of the database's own.
fn storage_errors() -> Vec<Error> {
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

fn there_and_back<T: Wire + PartialEq + Debug>(value: &T) {
    assert_eq!(&decode::<T>(&encode(value)).unwrap(), value);
}

proptest! {
    #[test]
    fn what_is_told_arrives_as_it_was(status in status(), report in report(), compacted in compacted()) {
        there_and_back(&status);
        there_and_back(&report);
        there_and_back(&compacted);
        for event in [
            SyncEvent::Exchanged(Arc::new(report)),
            SyncEvent::Compacted(Arc::new(compacted)),
            SyncEvent::Failed { error: Arc::new(SyncError::Offline), attempts: 4 },
        ] {
            let back: SyncEvent = decode(&encode(&event)).unwrap();
            prop_assert_eq!(format!("{back:?}"), format!("{event:?}"));
        }
    }

    #[test]
    fn what_is_asked_and_answered_arrives_as_it_was(
        request in request(),
        parked in vec(parked(), 0..4),
        noted in vec(noted(), 0..4),
        (digest, write, last) in (digest(), write_id(), option::of(write_id())),
        duration in duration(),
    ) {
        let back = Request::read(request.name(), &request.arguments()).unwrap();
        prop_assert_eq!(back, Some(request));
        there_and_back(&parked);
        there_and_back(&noted);
        there_and_back(&digest);
        there_and_back(&write);
        there_and_back(&last);
        there_and_back(&duration);
    }

    #[test]
    fn messages_arrive_as_they_were(to_host in vec(to_host(), 0..4), to_client in to_client()) {
        let frame: Vec<_> = to_host.iter().map(|it| Bytes(encode(it))).collect();
        there_and_back(&frame);
        for (message, bytes) in to_host.iter().zip(&frame) {
            let back = ToHost::read_message(&bytes.0).unwrap();
            prop_assert_eq!(back.as_ref(), Some(message));
        }
        let back = ToClient::read_message(&encode(&to_client)).unwrap();
        prop_assert_eq!(back, Some(to_client));
    }

    /// Whatever arrives is read or refused.
    #[test]
    fn any_bytes_are_read_or_refused(bytes in any::<Vec<u8>>(), name in "[a-z_]{0,16}") {
        read_everything(&bytes, &name);
    }

    /// Bytes that are nearly right go further in.
    #[test]
    fn bytes_that_are_nearly_right_are_read_or_refused(
        (report, status, request) in (report(), status(), request()),
        which in 0..errors().len(),
        (at, byte) in any::<(prop::sample::Index, u8)>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let error = encode(&Result::<()>::Err(errors().swap_remove(which)));
        for mut bytes in [encode(&report), encode(&status), request.arguments().0, error] {
            let at = at.index(bytes.len());
            bytes[at] = byte;
            read_everything(&bytes, request.name());
            bytes.truncate(cut.index(bytes.len()));
            read_everything(&bytes, request.name());
        }
    }
}

fn read_everything(bytes: &[u8], name: &str) {
    let _ = decode::<Hello>(bytes);
    let _ = decode::<Vec<Bytes>>(bytes);
    let _ = ToHost::read_message(bytes);
    let _ = ToClient::read_message(bytes);
    let _ = decode::<SyncStatus>(bytes);
    let _ = decode::<SyncEvent>(bytes);
    let _ = decode::<SyncReport>(bytes);
    let _ = decode::<Result<Vec<Parked>>>(bytes);
    let _ = decode::<Result<Vec<NotedConflict>>>(bytes);
    let _ = decode::<Result<Compacted>>(bytes);
    let _ = decode::<Result<Digest>>(bytes);
    let _ = Request::read(name, &Bytes(bytes.to_vec()));
}

#[test]
fn the_state_of_a_write_arrives_as_it_was() {
    for state in [
        WriteState::Unknown,
        WriteState::Waiting,
        WriteState::Sent,
        WriteState::Parked,
        WriteState::Applied,
    ] {
        there_and_back(&state);
    }
}

/// Class, messages and what is done about it; also through two proxies.
#[test]
fn errors_arrive_whole_as_far_as_an_application_can_tell() {
    for error in errors() {
        let once: SyncError = decode(&encode(&error)).unwrap();
        let twice: SyncError = decode(&encode(&once)).unwrap();
        for back in [once, twice] {
            assert_eq!(back.kind(), error.kind(), "{error}");
            assert_eq!(back.is_retryable(), error.is_retryable(), "{error}");
            assert_eq!(back.recovery(), error.recovery(), "{error}");
            assert_eq!(describe(&back), describe(&error));
        }
    }
}

#[test]
fn errors_that_applications_match_upon_are_rebuilt() {
    let rebuilt = errors().into_iter().filter(|error| {
        let back: SyncError = decode(&encode(error)).unwrap();
        format!("{back:?}") == format!("{error:?}")
    });
    assert_eq!(
        rebuilt.count(),
        19,
        "all but those that say in words of their own what was going on"
    );
    for error in storage_errors() {
        let expected = format!("{error:?}");
        let failed = SyncError::Storage { during: "testing", source: error };
        let back: SyncError = decode(&encode(&SyncError::Joined(Arc::new(failed)))).unwrap();
        assert!(matches!(back, SyncError::Joined(_)), "{back:?}");
        match back.storage_error() {
            Some(back) => assert_eq!(format!("{back:?}"), expected),
            None => assert!(expected.starts_with("Backend"), "{expected}"),
        }
    }
}

/// What a later version adds at the end of a list is passed over; what it adds besides is refused by its number.
#[test]
fn what_a_later_version_adds_is_passed_over_or_named() {
    let mut write = encode(&WriteId { device: A, sequence: 7 });
    write[0] += 1;
    write.extend([0x92, 0x01, 0xa1, 0x78]);
    assert_eq!(decode::<WriteId>(&write).unwrap(), WriteId { device: A, sequence: 7 });
    assert_eq!(ToHost::read_message(&[0x92, 0x3f, 0xc0]).unwrap(), None);
    assert_eq!(ToClient::read_message(&[0x91, 0x3f]).unwrap(), None);
    assert_eq!(Request::read("dance", &Bytes(vec![0x91, 0x01])).unwrap(), None);
    let error = decode::<Phase>(&[0x91, 0x3f]).unwrap_err();
    assert!(error.to_string().contains("Phase 63"), "{error}");
    // An error of which only class and message are known.
    let bytes = [0x96, 0, 3, 0, 0x91, 0xa3, b'n', b'e', b'w', 0x92, 0x3f, 0x01, 0x91, 0];
    let error: SyncError = decode(&bytes).unwrap();
    assert_eq!((error.kind(), error.to_string()), (ErrorKind::Unsupported, "new".to_owned()));
}

#[test]
fn messages_are_written_as_described() {
    assert_vector("proxy, hello", &encode(&Hello { version: 1 }));
    let request = Request::WriteState { write: WriteId { device: A, sequence: 300 } };
    let give_up = Bytes(encode(&ToHost::GiveUp { id: 6 }));
    assert_vector("proxy, what a client says", &encode(&vec![request.ask(7), give_up]));
    let status = SyncStatus {
        phase: Phase::BackingOff { until: Timestamp(1_767_225_600_000) },
        rounds: 3,
        failures: 1,
        unsent: 2,
        last_error: Some("lost".to_owned()),
        ..SyncStatus::default()
    };
    let status = Bytes(encode(&status));
    assert_vector("proxy, welcome", &encode(&ToClient::Welcome { version: 1, status }));
    let error = Result::<()>::Err(SyncError::UnknownWrite { device: A, sequence: 300 });
    let answer = Bytes(encode(&error));
    assert_vector("proxy, answer", &encode(&ToClient::Answer { id: 7, answer }));
    let answer = vector("proxy, answer");
    assert!(matches!(ToClient::read_message(&answer), Ok(Some(ToClient::Answer { id: 7, .. }))));
}

/// A value that is absent is not one that is null.
#[test]
fn null_is_a_value() {
    there_and_back(
        &Request::ReplaceConflict { conflict: ConflictId(1), value: Value::Null }.arguments(),
    );
    there_and_back(&Content::Value(Value::Null));
}
