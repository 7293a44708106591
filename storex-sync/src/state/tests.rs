//! The form of a page of a state, there and back, and what becomes of bytes that are none.

use proptest::prelude::*;
use storex_core::Value;

use super::progress::Part;
use super::{Progress, StatePage, is_state};
use crate::clock::Clock;
use crate::codec_tests::{A, assert_vector, at, clock, devices, key_value, known, stored, vector};
use crate::key_code;
use crate::stamp::{Device, Hlc, Stamp};
use crate::transaction::{EntryKind, Header, Shape, Transaction};

fn page() -> impl Strategy<Value = StatePage> {
    let values = prop::collection::vec((key_value(), key_value(), clock()), 0..4);
    let deleted = prop::collection::vec((key_value(), clock()), 0..4);
    (devices(), values, deleted, 1..9_u64).prop_map(|(devices, values, deleted, sequence)| {
        let mut devices = devices;
        let living = values.into_iter().map(|(key, value, mut clock)| {
            clock.life |= 1;
            (vec![key, value], clock.encode(&mut devices))
        });
        let living = living.collect();
        let deleted = deleted.into_iter().map(|(key, clock)| {
            let clock = Clock::created((clock.life | 1) + 1, clock.row);
            (key_code::encode([&key]), clock.encode(&mut devices))
        });
        let deleted = deleted.collect();
        let header = Header { device: A, sequence, hlc: Hlc::LIMIT, ..Header::default() };
        let shape = Shape {
            collection: "note".into(),
            key_len: 1,
            fields: vec!["id".into(), "title".into()],
        };
        let devices = stored(&devices);
        StatePage { header, shape, numbers: vec![0, 7], devices, living, deleted }
    })
}

proptest! {
    #[test]
    fn pages_there_and_back(page in page(), at in any::<prop::sample::Index>(), to in any::<u8>()) {
        let bytes = page.encode();
        prop_assert!(is_state(&bytes));
        let read = StatePage::decode(&bytes).unwrap();
        prop_assert_eq!(&read, &page);
        let transaction = read.transaction().unwrap();
        let deleted = transaction.entries.iter().filter(|it| it.kind == EntryKind::Delete).count();
        prop_assert_eq!(deleted, page.deleted.len());
        prop_assert_eq!(read.clocks(&[3]).unwrap().len(), transaction.entries.len());
        // Damaged in one place it is read as something or refused, and never mistaken for writes.
        let mut damaged = bytes.clone();
        let at = at.index(damaged.len());
        damaged[at] = to;
        if let Ok(page) = StatePage::decode(&damaged) {
            let _ = (page.transaction(), page.clocks(&[3]));
        }
        prop_assert!(Transaction::decode(&bytes).is_err(), "an older program parks it");
        for cut in 0..bytes.len() {
            prop_assert!(StatePage::decode(&bytes[..cut]).is_err());
        }
    }

    #[test]
    fn any_bytes_are_a_page_or_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        let _ = is_state(&bytes);
        let _ = StatePage::decode(&bytes);
        let _ = Progress::decode(&bytes);
    }

    #[test]
    fn progress_there_and_back(after in prop::collection::vec(key_value(), 0..3), living in any::<bool>(), older in any::<bool>()) {
        let part = if living { Part::Living } else { Part::Deleted };
        let seen = vec![(A, at(2)), (Device::NOBODY, Hlc::ZERO)];
        let progress = Progress { part, collection: "note".to_owned(), after, older, redated: None, seen };
        let dated = Progress { seen: Vec::new(), redated: Progress::dating_anew(A, at(1)).redated, ..progress.clone() };
        prop_assert_eq!(Progress::decode(&dated.encode()).unwrap(), dated);
        prop_assert_eq!(Progress::decode(&progress.encode()).unwrap(), progress);
    }
}

#[test]
fn a_page_is_as_described() {
    let mut devices = known();
    let clock = |life, n| Clock::created(life, Stamp { hlc: at(n), device: A });
    let living = clock(1, 0).encode(&mut devices);
    let deleted = clock(2, 1).encode(&mut devices);
    let page = StatePage {
        header: Header { device: A, sequence: 8, hlc: at(3), ..Header::default() },
        shape: Shape {
            collection: "note".into(),
            key_len: 1,
            fields: vec!["id".into(), "stars".into()],
        },
        numbers: vec![0, 2],
        devices,
        living: vec![(vec![Value::from("n1"), Value::Int(41)], living)],
        deleted: vec![(key_code::encode([&Value::from("n2")]), deleted)],
    };
    assert_vector("page of a state", &page.encode());
    assert_eq!(StatePage::decode(&vector("page of a state")).unwrap(), page);
}
