//! Errors come out as they went in.

use std::time::Duration;

use serde_json::json;
use storex_core::Error;

use super::super::{Code, Problem};
use crate::codec_tests::{A, B};
use crate::error::SyncError;

/// What a client gets of an error of the server.
fn travelled(error: &SyncError) -> SyncError {
    let json = serde_json::to_string(&Problem::of(error)).unwrap();
    let problem: Problem = serde_json::from_str(&json).unwrap();
    problem.into_error("exchanging")
}

fn rejected(is_too_large: bool) -> SyncError {
    SyncError::Rejected { device: A, sequence: 7, reason: "it says why".to_owned(), is_too_large }
}

#[test]
fn the_errors_of_a_log_come_out_as_they_went_in() {
    let second = Duration::from_secs(1);
    let errors = [
        SyncError::Forked { device: A, sequence: 7 },
        SyncError::Gap { device: B, expected: 7, found: u64::MAX },
        SyncError::LogReplaced,
        SyncError::BelowFloor { reader: B },
        rejected(true),
        rejected(false),
        SyncError::RateLimited { retry_after: second },
        SyncError::Unauthorized { reason: "the token has expired".to_owned() },
        SyncError::NoSnapshots,
        SyncError::Corrupt { what: "a cursor", reason: "it is of another kind of log".to_owned() },
        SyncError::Protocol { during: "exchanging", reason: "several devices".to_owned() },
    ];
    for error in errors {
        assert_eq!(format!("{:?}", travelled(&error)), format!("{error:?}"));
    }
}

/// A device's own storage has not failed when that of the server has.
#[test]
fn what_failed_in_the_server_is_told_as_a_failure_on_the_way() {
    let closed = || Error::Closed;
    let failures = [
        SyncError::Storage { during: "reading", source: closed() },
        SyncError::Transport { during: "reading", reason: "/var/lib/secret".to_owned() },
        SyncError::Closed { during: "waiting for news" },
    ];
    for failure in failures {
        let there = travelled(&failure);
        assert!(matches!(there, SyncError::Transport { .. }), "{there:?}");
        assert!(there.is_retryable());
        assert!(!there.to_string().contains("secret"));
    }
    let damaged = SyncError::Corrupt { what: "the shared log", reason: "secret".to_owned() };
    let there = travelled(&damaged);
    assert!(matches!(there, SyncError::Corrupt { what: "the shared log", .. }), "{there:?}");
    assert!(!there.to_string().contains("secret"));
}

#[test]
fn a_problem_is_written_as_described() {
    let problem = Problem::of(&SyncError::Gap { device: B, expected: 1, found: 3 });
    let form = json!({
        "code": "gap",
        "message": "transaction 3 of device b0b1b2b3.2 arrived where 1 was expected",
        "device": "b0b1b2b3b4b5b6b7b8b9babbbcbdbebf-2",
        "expected": 1,
        "found": 3,
    });
    assert_eq!(serde_json::to_value(&problem).unwrap(), form);
    assert_eq!(problem.status(), 409);
}

#[test]
fn what_is_not_known_or_lacks_its_parts_is_a_failure_on_the_way() {
    for json in [
        json!({"code": "of_a_later_server", "message": "later", "new": [1]}),
        json!({"code": "forked"}),
        json!({"code": "gap", "device": "00000000000000000000000000000000-0", "expected": 1}),
        json!({"code": "rejected", "sequence": 1}),
    ] {
        let problem: Problem = serde_json::from_value(json).unwrap();
        let error = problem.into_error("exchanging");
        assert!(matches!(error, SyncError::Transport { .. }), "{error:?}");
    }
    assert!(serde_json::from_value::<Problem>(json!({"code": "gap", "device": "x"})).is_err());
}

#[test]
fn a_device_that_was_revoked_has_to_log_in() {
    let error = Problem::new(Code::Revoked, "").into_error("exchanging");
    let SyncError::Unauthorized { reason } = error else { panic!("{error:?}") };
    assert_eq!(reason, "this device was revoked");
}

#[test]
fn each_code_has_a_name_of_its_own_and_an_error_status() {
    let names: std::collections::BTreeSet<String> =
        Code::ALL.iter().map(|code| serde_json::to_string(code).unwrap()).collect();
    assert_eq!(names.len(), Code::ALL.len());
    assert!(Code::ALL.iter().all(|code| (400..600).contains(&code.status())));
}
