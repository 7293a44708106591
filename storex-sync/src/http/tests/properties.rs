//! Any content comes back, and any bytes are read or refused.

use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};

use super::super::text::hex;
use super::super::wire::{decode_page, decode_request, encode_page, encode_request};
use super::super::{Problem, device_of_text, device_text, id_of_text, id_text, messages};
use crate::codec_tests::device;
use crate::error::SyncError;
use crate::shared_log::{Cursor, LogId, LogRequest, MissingWrite, Page, SealedTransaction};
use crate::stamp::Device;
use crate::writes::WriteId;

fn bytes(most: usize) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..most)
}

fn cursor() -> impl Strategy<Value = Cursor> {
    bytes(20).prop_map(Cursor)
}

fn any_device() -> impl Strategy<Value = Device> {
    let other = (any::<[u8; 16]>(), any::<u32>());
    prop_oneof![device(), other.prop_map(|(id, incarnation)| Device { id, incarnation })]
}

fn request() -> impl Strategy<Value = LogRequest> {
    let append = prop::collection::vec((any::<u64>(), bytes(200)), 0..5);
    let cursors = (prop::option::of(cursor()), prop::option::of(cursor()));
    (any_device(), append, cursors).prop_map(|(device, append, (acknowledge, read))| {
        let append = append.into_iter().map(|(sequence, payload)| SealedTransaction {
            device,
            sequence,
            payload,
        });
        LogRequest { device, acknowledge, append: append.collect(), read }
    })
}

fn page() -> impl Strategy<Value = Page> {
    let sealed = (any_device(), any::<u64>(), bytes(200))
        .prop_map(|(device, sequence, payload)| SealedTransaction { device, sequence, payload });
    let missing =
        (any_device(), any::<u64>(), any::<String>()).prop_map(|(device, sequence, reason)| {
            MissingWrite { write: WriteId { device, sequence }, reason }
        });
    let parts = (
        any::<[u8; 16]>().prop_map(LogId),
        prop::collection::vec(sealed, 0..6),
        cursor(),
        any::<bool>(),
        any::<u64>(),
        prop::collection::vec(missing, 0..3),
    );
    parts.prop_map(|(log, transactions, cursor, more, own, missing)| Page {
        log,
        transactions,
        cursor,
        more,
        own,
        missing,
    })
}

proptest! {
    #[test]
    fn requests_there_and_back(request in request()) {
        let bytes = encode_request(&request).unwrap();
        prop_assert_eq!(decode_request(&bytes, 5).unwrap(), request);
    }

    #[test]
    fn pages_there_and_back(page in page()) {
        prop_assert_eq!(decode_page(&encode_page(&page)).unwrap(), page);
    }

    /// What was cut on its way is never taken for something shorter, and neither is what has grown.
    #[test]
    fn what_is_cut_or_has_grown_is_refused(request in request(), page in page(), tail: u8) {
        let bytes = encode_request(&request).unwrap();
        prop_assert!((0..bytes.len()).all(|len| decode_request(&bytes[..len], 5).is_err()));
        prop_assert!(decode_request(&[&bytes[..], &[tail]].concat(), 5).is_err());
        let bytes = encode_page(&page);
        prop_assert!((0..bytes.len()).all(|len| decode_page(&bytes[..len]).is_err()));
        prop_assert!(decode_page(&[&bytes[..], &[tail]].concat()).is_err());
    }

    /// Damage is read as something or refused, and never more than that.
    #[test]
    fn any_bytes_are_read_or_refused(
        rubbish in bytes(60), request in request(), page in page(), at: prop::sample::Index, to: u8
    ) {
        let read = |bytes: &[u8]| {
            is_read_or_refused(decode_request(bytes, 1000)) && is_read_or_refused(decode_page(bytes))
        };
        prop_assert!(read(&rubbish));
        for mut bytes in [encode_request(&request).unwrap(), encode_page(&page)] {
            let at = at.index(bytes.len());
            bytes[at] = to;
            prop_assert!(read(&bytes));
        }
    }

    /// A text names what it is the name of, or nothing.
    #[test]
    fn any_text_is_a_name_or_refused(
        device in any_device(), at: prop::sample::Index, to: char, rubbish: String
    ) {
        let good = device_text(device);
        prop_assert_eq!(device_of_text(&good).unwrap(), device);
        let mut damaged: Vec<char> = good.chars().collect();
        let at = at.index(damaged.len());
        damaged[at] = to;
        for text in [damaged.into_iter().collect(), rubbish] {
            match device_of_text(&text) {
                Ok(device) => prop_assert_eq!(device_text(device), text.clone()),
                Err(error) => prop_assert!(matches!(error, SyncError::Corrupt { .. }), "{error}"),
            }
            match id_of_text(&text) {
                Ok(id) => prop_assert_eq!(id_text(id), text),
                Err(error) => prop_assert!(matches!(error, SyncError::Corrupt { .. }), "{error}"),
            }
        }
    }

    /// What was read of a message, whatever is in it, can be written, and is the same when it is read again.
    #[test]
    fn any_json_is_a_message_or_refused(
        message in message(), member in any_json(), name: prop::sample::Index, cut: prop::sample::Index, rubbish in any_json()
    ) {
        let text = message.to_string();
        let cut = text.char_indices().map(|(at, _)| at).nth(cut.index(text.chars().count()));
        let mut odd = message;
        if let Some(members) = odd.as_object_mut()
            && let Some(name) = members.keys().nth(name.index(members.len().max(1))).cloned()
        {
            members.insert(name, member);
        }
        for text in [&text[..cut.unwrap_or(0)], &text, &odd.to_string(), &rubbish.to_string()] {
            reads_as_it_writes::<messages::Register>(text)?;
            reads_as_it_writes::<messages::LogAnswer>(text)?;
            reads_as_it_writes::<messages::ListedDevice>(text)?;
            reads_as_it_writes::<messages::ListedMember>(text)?;
            reads_as_it_writes::<messages::Dismiss>(text)?;
            reads_as_it_writes::<messages::Reidentify>(text)?;
            reads_as_it_writes::<messages::TrimAnswer>(text)?;
            reads_as_it_writes::<messages::UsageAnswer>(text)?;
            reads_as_it_writes::<messages::SnapshotForm>(text)?;
            reads_as_it_writes::<messages::PublishAnswer>(text)?;
            reads_as_it_writes::<messages::ChangedAnswer>(text)?;
            reads_as_it_writes::<messages::RoomAnswer>(text)?;
            reads_as_it_writes::<messages::WatchToken>(text)?;
            reads_as_it_writes::<messages::WatchPlace>(text)?;
            reads_as_it_writes::<messages::WatchNews>(text)?;
            reads_as_it_writes::<Problem>(text)?;
            if let Ok(problem) = serde_json::from_str::<Problem>(text) {
                let _ = problem.into_error("testing");
            }
        }
    }
}

fn is_read_or_refused<T>(read: crate::error::Result<T>) -> bool {
    use SyncError::{Corrupt, FrameTooLarge, Protocol};
    matches!(read, Ok(_) | Err(Corrupt { .. } | FrameTooLarge { .. } | Protocol { .. }))
}

/// Any JSON, not deep.
fn any_json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<u64>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        any::<u32>().prop_map(|number| Json::from(number.to_string())),
        "[0-9a-f]{0,34}".prop_map(Json::from),
        any::<String>().prop_map(Json::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
            prop::collection::btree_map("[a-z]{1,6}", inner, 0..4)
                .prop_map(|members| members.into_iter().collect::<Json>()),
        ]
    })
}

/// One with the members of all.
fn message() -> impl Strategy<Value = Json> {
    (any_device(), any::<[u8; 16]>(), any::<u64>(), cursor()).prop_map(|(device, id, number, cursor)| {
        let (device, id, place) = (device_text(device), id_text(id), hex(&cursor.0));
        json!({
            "device": device, "maker": device, "log": id, "known": id, "id": id, "place": place, "after": place,
            "number": number.to_string(), "pages": number, "transactions": number, "droppable": number, "behind": number,
            "registered_at": 7, "last_seen": 8, "revoked": false, "lacks_beginning": true, "published": true, "changed": false,
            "name": "phone", "room": "1234", "token": "secret", "news": true, "code": "gap", "message": "", "sequence": number,
            "expected": number, "found": number, "limit": number, "retry_after_ms": number, "is_too_large": true,
        })
    })
}

fn reads_as_it_writes<T>(text: &str) -> std::result::Result<(), TestCaseError>
where
    T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug,
{
    if let Ok(message) = serde_json::from_str::<T>(text) {
        let written = serde_json::to_string(&message).unwrap();
        prop_assert_eq!(serde_json::from_str::<T>(&written).unwrap(), message);
    }
    Ok(())
}
