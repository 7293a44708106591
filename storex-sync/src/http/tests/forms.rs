//! The forms are as `docs/wire-format.md` describes them.

use serde_json::{Value as Json, json};

use super::super::messages::{
    Dismiss, LogAnswer, Register, SnapshotForm, WatchNews, WatchPlace, WatchToken,
};
use super::super::wire::{decode_page, decode_request, encode_page, encode_request};
use super::super::{device_of_text, id_of_text};
use crate::codec_tests::{A, B, assert_vector, vector};
use crate::error::SyncError;
use crate::shared_log::{Cursor, LogId, LogRequest, MissingWrite, Page, SealedTransaction};
use crate::writes::WriteId;

fn sealed(device: crate::Device, sequence: u64, payload: &str) -> SealedTransaction {
    SealedTransaction { device, sequence, payload: payload.into() }
}

#[test]
fn requests_are_as_described() {
    let whole = LogRequest {
        device: B,
        acknowledge: Some(Cursor(vec![0, 7])),
        append: vec![sealed(B, 300, "one"), sealed(B, 301, "two")],
        read: Some(Cursor(vec![0, 8])),
    };
    let idle = LogRequest { device: A, read: Some(Cursor::default()), ..LogRequest::default() };
    for (name, request) in [("log request", whole), ("log request, idle", idle)] {
        assert_vector(name, &encode_request(&request).unwrap());
        assert_eq!(decode_request(&vector(name), 10).unwrap(), request);
    }
}

#[test]
fn pages_are_as_described() {
    let page = Page {
        log: LogId([0x70; 16]),
        transactions: vec![sealed(B, 1, "one"), sealed(A, 9, ""), sealed(B, 2, "two")],
        cursor: Cursor(vec![0, 9]),
        more: true,
        own: 301,
        missing: vec![MissingWrite {
            write: WriteId { device: A, sequence: 11 },
            reason: "damaged".to_owned(),
        }],
    };
    assert_vector("page", &encode_page(&page));
    assert_eq!(decode_page(&vector("page")).unwrap(), page);
}

#[test]
fn another_version_is_told_as_such() {
    let mut request = vector("log request");
    let mut page = vector("page");
    (request[0], page[0]) = (2, 2);
    let is_told = |error| match error {
        SyncError::Protocol { reason, .. } => reason.contains("version 2"),
        _ => false,
    };
    assert!(is_told(decode_request(&request, 10).unwrap_err()));
    assert!(is_told(decode_page(&page).unwrap_err()));
}

#[test]
fn more_transactions_than_are_allowed_are_refused() {
    let refused = decode_request(&vector("log request"), 1).unwrap_err();
    assert!(matches!(refused, SyncError::FrameTooLarge { limit: 1, .. }), "{refused}");
}

#[test]
fn a_request_holds_transactions_of_the_device_that_asks() {
    let request = LogRequest { device: A, append: vec![sealed(B, 1, "")], ..LogRequest::default() };
    let refused = encode_request(&request).unwrap_err();
    assert!(matches!(refused, SyncError::Protocol { .. }), "{refused}");
}

/// A few bytes that announce a great many things take no memory, and are refused at once.
#[test]
fn no_number_is_believed() {
    let many = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
    let idle = vector("log request, idle");
    for flags in [1, 2, 4] {
        let bytes = [&idle[..18], &[flags], &many].concat();
        assert!(decode_request(&bytes, usize::MAX).is_err());
    }
    let head = vector("page")[..18].to_vec();
    for rest in [&[0][..], &[0, 0], &[0, 0, 0], &[0, 0, 0, 0]] {
        assert!(decode_page(&[&head, rest, &many].concat()).is_err());
    }
}

#[test]
fn only_one_text_names_a_device() {
    let id = "abababababababababababababababab";
    assert!(device_of_text(&format!("{id}-0")).is_ok());
    let others = ["", "-", "-0", id, "é-0"].map(str::to_owned);
    let signs = ["+2", "02", "", "-1", " 2", "4294967296", "2-"].map(|n| format!("{id}-{n}"));
    for text in others.into_iter().chain(signs) {
        assert!(device_of_text(&text).is_err(), "{text:?}");
    }
    for text in [id.to_uppercase(), id[1..].to_owned(), format!("{id}ab"), id.replace('b', "é")] {
        assert!(id_of_text(&text).is_err(), "{text:?}");
    }
}

fn is_written<T>(value: &T, as_json: Json)
where
    T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug,
{
    assert_eq!(serde_json::to_value(value).unwrap(), as_json);
    assert_eq!(serde_json::from_value::<T>(as_json).unwrap(), *value);
}

#[test]
fn messages_are_as_described() {
    let b = "b0b1b2b3b4b5b6b7b8b9babbbcbdbebf-2";
    let log = LogId([0x70; 16]);
    is_written(&Register { device: B, name: None }, json!({"device": b}));
    let named = Register { device: B, name: Some("phone".to_owned()) };
    is_written(&named, json!({"device": b, "name": "phone"}));
    is_written(&LogAnswer { log }, json!({"log": "70".repeat(16)}));
    is_written(&Dismiss { device: B }, json!({"device": b}));
    let after = Cursor(vec![0, 0xff]);
    is_written(
        &WatchPlace { device: B, after: after.clone() },
        json!({"device": b, "after": "00ff"}),
    );
    is_written(&WatchNews { news: true }, json!({"news": true}));
    is_written(&WatchNews::default(), json!({}));
    let form = SnapshotForm { maker: B, number: u64::MAX, pages: 3, place: after };
    let as_json =
        json!({"maker": b, "number": "18446744073709551615", "pages": 3, "place": "00ff"});
    is_written(&form, as_json);
}

#[test]
fn only_one_text_is_a_snapshots_number() {
    let read = |number: &str| {
        let device = "b0b1b2b3b4b5b6b7b8b9babbbcbdbebf-2";
        let form = json!({"maker": device, "number": number, "pages": 3, "place": ""});
        serde_json::from_value::<SnapshotForm>(form).map(|form| form.number).ok()
    };
    assert_eq!(
        (read("0"), read("7"), read("18446744073709551615")),
        (Some(0), Some(7), Some(u64::MAX))
    );
    for other in ["", "+7", "07", "-0", " 7", "7 ", "0x7", "7.0", "18446744073709551616"] {
        assert_eq!(read(other), None, "{other:?}");
    }
}

#[test]
fn a_token_is_not_shown() {
    let token = WatchToken { token: "secret".to_owned() };
    is_written(&token, json!({"token": "secret"}));
    assert!(!format!("{token:?}").contains("secret"));
}
