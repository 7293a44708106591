//! What travels between a program and its sync, there and back, and what becomes of bytes that are none.

mod samples;

use std::fmt::Debug;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use storex_core::{ErrorKind, Source, Timestamp, Value};

use self::samples::{
    compacted, digest, duration, errors, noted, parked, report, request, status, storage_errors,
    to_client, to_host, write_id,
};
use super::code::{Bytes, Wire, decode, encode};
use super::message::{Hello, Message, Request, ToClient, ToHost};
use crate::codec_tests::{A, assert_vector, vector};
use crate::compact::Compacted;
use crate::digest::Digest;
use crate::engine::status::{Phase, SyncEvent, SyncStatus};
use crate::error::{Result, SyncError, describe};
use crate::journal::{ConflictId, Content, NotedConflict};
use crate::parked::Parked;
use crate::report::SyncReport;
use crate::writes::{WriteId, WriteState};

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
        WriteState::Rejected,
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
        44,
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

/// Each cause has the next; dropping so many would overflow the stack.
#[test]
fn of_an_endless_chain_of_causes_only_the_first_are_kept() {
    let mut bytes = vec![0x96, 0, 3, 0, 0xdd];
    bytes.extend(1_000_000_u32.to_be_bytes());
    bytes.resize(bytes.len() + 1_000_000, 0xa0);
    bytes.extend([0x91, 0, 0x91, 0]);
    let error: SyncError = decode(&bytes).unwrap();
    assert_eq!(describe(&error).matches(": ").count(), 31);

    let deep = (0..100).fold(None, |cause, n| Some(Source::from(Deep(n, cause))));
    let kind = ErrorKind::Other;
    let message = "on top".to_owned();
    let error = SyncError::Elsewhere { kind, retryable: false, message, source: deep };
    let back: SyncError = decode(&encode(&error)).unwrap();
    let told = describe(&back);
    assert!(told.starts_with("on top: 99: 98: ") && told.ends_with(": 69"), "{told}");
    assert!(encode(&error).len() < 200);
}

#[derive(Debug)]
struct Deep(u32, Option<Source>);

impl std::fmt::Display for Deep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl std::error::Error for Deep {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.1.as_ref().map(|cause| &**cause as _)
    }
}
