//! Any content comes back, and any bytes are read or refused.

use proptest::prelude::*;

use super::super::wire::{decode_page, decode_request, encode_page, encode_request};
use crate::codec_tests::device;
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
        let _ = decode_request(&rubbish, 1000);
        let _ = decode_page(&rubbish);
        for mut bytes in [encode_request(&request).unwrap(), encode_page(&page)] {
            let at = at.index(bytes.len());
            bytes[at] = to;
            let _ = decode_request(&bytes, 1000);
            let _ = decode_page(&bytes);
        }
    }
}
