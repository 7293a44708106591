//! [`Transaction`]: its bytes, there and back, and what becomes of bytes that are none.
//!
//! The forms that never leave the crate as types (clocks, key codes, frames) are tested beside them, in
//! `src/codec_tests.rs`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::json;
use storex_core::{Name, Timestamp, Value};
use storex_sync::{
    Amount, Contribution, Counted, Device as Id, Entry, EntryKind, EntryValue, Header, Hlc, Joined,
    LogId, MemorySharedLog, Relative, SealedTransaction, Shape, SharedSyncLog, Stamp, SyncError,
    Transaction,
};
use support::{Device, dump_all};

fn value() -> impl Strategy<Value = Value> {
    let ints = prop_oneof![
        any::<i64>(),
        -200..200_i64,
        Just(i64::MIN),
        Just(i64::MAX),
        Just(i64::from(u32::MAX)),
        Just(-(1 << 31)),
        Just(1 << 53),
    ];
    let floats = prop_oneof![
        any::<f64>().prop_filter("NaN is refused before it is logged", |float| !float.is_nan()),
        Just(f64::INFINITY),
        Just(f64::NEG_INFINITY),
        Just(0.0),
        Just(5e-324),
    ];
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        ints.prop_map(Value::Int),
        floats.prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        "\\PC{0,40}".prop_map(Value::from),
        prop::collection::vec(any::<u8>(), 0..300).prop_map(Value::Bytes),
        any::<i64>().prop_map(|at| Value::Timestamp(Timestamp(at))),
        json_value().prop_map(Value::Json),
    ]
}

fn json_value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(|it| json!(it)),
        any::<i64>().prop_map(|it| json!(it)),
        any::<u64>().prop_map(|it| json!(it)),
        any::<f64>().prop_filter("JSON has none", |it| it.is_finite()).prop_map(|it| json!(it)),
        any::<String>().prop_map(|it| json!(it)),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|it| json!(it)),
            prop::collection::hash_map(any::<String>(), inner, 0..4).prop_map(|it| json!(it)),
        ]
    })
}

fn elements() -> impl Strategy<Value = Vec<serde_json::Value>> {
    prop::collection::vec(json_value(), 0..4)
}

/// What a device can count: finite numbers, and moments to begin with.
fn counted() -> impl Strategy<Value = Counted> {
    let finite = || any::<f64>().prop_filter("counters are finite", |float| float.is_finite());
    let number =
        move || prop_oneof![any::<i64>().prop_map(Value::Int), finite().prop_map(Value::from)];
    let from = prop_oneof![number(), any::<i64>().prop_map(|at| Value::Timestamp(Timestamp(at)))];
    let sum = prop_oneof![
        any::<i64>().prop_map(Amount::Int),
        finite().prop_map(|float| Amount::Float(float + 0.0, 0.0)),
        (finite(), finite()).prop_map(|(float, rest)| Amount::Float(float + 0.0, rest + 0.0)),
    ];
    // Earlier than every transaction.
    let base =
        (0..=u64::from(u16::MAX), id()).prop_map(|(hlc, device)| Stamp { hlc: Hlc(hlc), device });
    (base, from, sum).prop_map(|(base, from, sum)| Counted { base, from, sum })
}

fn relative() -> impl Strategy<Value = Relative> {
    prop_oneof![
        3 => (value(), prop::option::of(counted()))
            .prop_map(|(by, counted)| Relative::Increment { by, counted }),
        1 => value().prop_map(Relative::Multiply),
        1 => value().prop_map(Relative::Min),
        1 => value().prop_map(Relative::Max),
        1 => any::<String>().prop_map(Relative::Append),
        1 => elements().prop_map(Relative::AddElements),
        1 => elements().prop_map(Relative::RemoveElements),
        1 => (any::<String>(), any::<String>())
            .prop_map(|(from, to)| Relative::ReplacePrefix { from, to }),
        1 => joined().prop_map(Relative::Joined).boxed(),
        1 => (11..u64::MAX).prop_map(Relative::Unknown),
    ]
}

fn joined() -> impl Strategy<Value = Joined> {
    let base =
        (0..=u64::from(u16::MAX), id()).prop_map(|(hlc, device)| Stamp { hlc: Hlc(hlc), device });
    let contribution = prop_oneof![
        value().prop_map(Contribution::Max),
        value().prop_map(Contribution::Min),
        (any::<String>(), value()).prop_map(|(name, it)| Contribution::Custom(name.into(), it)),
        (elements(), elements()).prop_map(|(added, removed)| Contribution::Set { added, removed }),
        elements().prop_map(Contribution::List),
    ];
    (base, contribution).prop_map(|(base, contribution)| Joined { base, contribution })
}

fn id() -> impl Strategy<Value = Id> {
    (any::<[u8; 16]>(), any::<u32>()).prop_map(|(id, incarnation)| Id { id, incarnation })
}

/// Readings up to the year 9999 and a little more.
fn hlc() -> impl Strategy<Value = Hlc> {
    (1..253_402_300_800_000_u64, any::<u16>()).prop_map(|(ms, n)| Hlc(ms << 16 | u64::from(n)))
}

fn header() -> impl Strategy<Value = Header> {
    let seen = prop::collection::vec((id(), hlc()), 0..4);
    (id(), any::<u64>(), hlc(), seen, any::<u64>()).prop_map(
        |(device, sequence, hlc, seen, schema)| Header { device, sequence, hlc, seen, schema },
    )
}

fn shape() -> impl Strategy<Value = Shape> {
    (any::<String>(), prop::collection::vec(any::<String>(), 1..6), any::<prop::sample::Index>())
        .prop_map(|(collection, fields, key_len)| Shape {
            collection: collection.into(),
            key_len: key_len.index(fields.len()) + 1,
            fields: fields.into_iter().map(Name::from).collect(),
        })
}

fn entry(shapes: Arc<Vec<Shape>>) -> impl Strategy<Value = Entry> {
    let kind =
        prop_oneof![Just(EntryKind::Create), Just(EntryKind::Update), Just(EntryKind::Delete)];
    (0..shapes.len(), kind, 0..1_u32 << 28).prop_flat_map(move |(shape, kind, half)| {
        let value = prop_oneof![
            9 => value().prop_map(EntryValue::Set),
            1 => (relative().boxed(), value()).prop_map(|(change, to)| EntryValue::Changed { change: Box::new(change), to }),
        ];
        let life = if kind == EntryKind::Delete { 2 * half + 2 } else { 2 * half + 1 };
        prop::collection::vec(value, shapes[shape].fields.len()).prop_map(move |values| Entry {
            kind,
            shape,
            life,
            values,
        })
    })
}

fn transaction() -> impl Strategy<Value = Transaction> {
    (header(), prop::collection::vec(shape(), 1..4)).prop_flat_map(|(header, shapes)| {
        let known = Arc::new(shapes.clone());
        prop::collection::vec(entry(known).boxed(), 0..8).prop_map(move |entries| Transaction {
            header: header.clone(),
            shapes: shapes.clone(),
            entries,
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn there_and_back(transaction in transaction()) {
        let bytes = transaction.encode();
        let back = Transaction::decode(&bytes).unwrap();
        prop_assert_eq!(&back, &transaction);
        prop_assert_eq!(back.encode(), bytes, "one form only");
    }

    #[test]
    fn a_part_of_it_is_refused(transaction in transaction(), cut in any::<prop::sample::Index>()) {
        let bytes = transaction.encode();
        prop_assert!(Transaction::decode(&bytes[..cut.index(bytes.len())]).is_err());
        let mut longer = bytes;
        longer.push(0);
        prop_assert!(Transaction::decode(&longer).is_err());
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Transaction::decode(&bytes);
    }

    #[test]
    fn a_byte_that_flips_is_read_or_refused(
        transaction in transaction(), at in any::<prop::sample::Index>(), to in any::<u8>()
    ) {
        let mut bytes = transaction.encode();
        let at = at.index(bytes.len());
        bytes[at] = to;
        if let Ok(read) = Transaction::decode(&bytes) {
            // Whatever it is now, it is a transaction, and none of its readings runs over.
            let last = read.stamp(read.entries.len());
            prop_assert!(last.hlc >= read.header.hlc);
            let fits = |it: &Entry| it.values.len() == read.shapes[it.shape].fields.len();
            prop_assert!(read.entries.iter().all(|it| it.is_taken_out() || fits(it)));
        }
    }
}

/// By one to two, on what somebody else has set to zero.
fn incremented() -> EntryValue {
    let device = Id { id: [2; 16], incarnation: 3 };
    let base = Stamp { hlc: Hlc(5), device };
    let counted = Counted { base, from: 0.into(), sum: Amount::Int(2) };
    let change = Relative::Increment { by: 1.into(), counted: Some(counted) };
    EntryValue::Changed { change: Box::new(change), to: 2.into() }
}

fn small() -> Transaction {
    Transaction {
        header: Header {
            device: Id { id: [1; 16], incarnation: 0 },
            sequence: 1,
            hlc: Hlc(1 << 40),
            seen: vec![(Id { id: [2; 16], incarnation: 3 }, Hlc(5))],
            schema: 7,
        },
        shapes: vec![Shape {
            collection: "note".into(),
            key_len: 1,
            fields: vec!["id".into(), "title".into(), "stars".into()],
        }],
        entries: vec![Entry {
            kind: EntryKind::Create,
            shape: 0,
            life: 1,
            values: vec![EntryValue::Set("n".into()), EntryValue::Set("x".into()), incremented()],
        }],
    }
}

/// A length is not believed: nothing is set aside for what is not there.
#[test]
fn forged_lengths_are_refused() {
    let bytes = small().encode();
    Transaction::decode(&bytes).unwrap();
    let mut lists = 0;
    for at in 0..bytes.len() {
        // Every list, text and byte string in turn says that it is enormous.
        for forged in [
            [0xdd, 0xff, 0xff, 0xff, 0xff],
            [0xdb, 0xff, 0xff, 0xff, 0xff],
            [0xc6, 0xff, 0xff, 0xff, 0xff],
            [0xc9, 0xff, 0xff, 0xff, 0xff],
        ] {
            let mut forged_bytes = bytes[..at].to_vec();
            forged_bytes.extend(forged);
            forged_bytes.extend(&bytes[at + 1..]);
            assert!(Transaction::decode(&forged_bytes).is_err(), "byte {at}");
            lists += 1;
        }
    }
    assert!(lists > 300);
    // Nested without end.
    assert!(Transaction::decode(&[0x94; 100_000]).is_err());
    let mut nested = small();
    nested.entries[0].values[0] = EntryValue::Set(Value::Json(json!("marker")));
    let text = nested.encode();
    let at = text.windows(8).position(|part| part == b"\"marker\"").unwrap();
    let mut deep = text[..at - 3].to_vec();
    deep.extend([0xc9, 0, 1, 0, 0, 2]);
    deep.extend([b'['; 65_536]);
    deep.extend(&text[at + 8..]);
    assert!(Transaction::decode(&deep).is_err(), "JSON that nests 65,536 deep");
}

#[test]
fn what_contradicts_itself_is_refused() {
    let refused = |change: &dyn Fn(&mut Transaction)| {
        let mut transaction = small();
        change(&mut transaction);
        match Transaction::decode(&transaction.encode()) {
            Err(SyncError::Corrupt { reason, .. }) => reason,
            other => panic!("{other:?}"),
        }
    };
    for life in [2, (1 << 29) + 1, 1 << 30, u32::MAX] {
        assert!(refused(&|it| it.entries[0].life = life).contains("life"), "{life}");
    }
    assert!(refused(&|it| it.entries[0].kind = EntryKind::Delete).contains("life"));
    assert!(refused(&|it| it.entries[0].shape = 1).contains("index"));
    assert!(refused(&|it| drop(it.entries[0].values.pop())).contains("values"));
    assert!(refused(&|it| it.shapes[0].key_len = 0).contains("key"));
    assert!(refused(&|it| it.shapes[0].key_len = 4).contains("key"));
    // A clock that leaves no room for what comes after it.
    for hlc in [u64::MAX, u64::MAX - 1, u64::MAX - (1 << 58)] {
        assert!(refused(&|it| it.header.hlc = Hlc(hlc)).contains("clock"), "{hlc}");
        assert!(refused(&|it| it.header.seen[0].1 = Hlc(hlc)).contains("clock"), "{hlc}");
    }
}

#[test]
fn a_device_had_seen_its_own_writes_those_it_says_and_what_is_older_than_sync() {
    let transaction = small();
    let by = |id: u8, incarnation, hlc| Stamp {
        hlc: Hlc(hlc),
        device: Id { id: [id; 16], incarnation },
    };
    assert!(transaction.had_seen(by(1, 0, u64::MAX)), "its own");
    assert!(transaction.had_seen(Stamp::ZERO));
    assert!(transaction.had_seen(by(2, 3, 5)));
    assert!(!transaction.had_seen(by(2, 3, 6)), "later than it says");
    assert!(!transaction.had_seen(by(2, 0, 5)), "another life of the device");
    assert!(!transaction.had_seen(by(3, 0, 1)), "a device it does not speak of");
}

/// A later version is recognized by its number, whatever else it has become.
#[test]
fn a_later_version_is_refused_by_its_number() {
    let mut bytes = small().encode();
    assert_eq!(bytes[..2], [0x94, 0x01]);
    bytes[1] = 4;
    let told = |bytes: &[u8]| Transaction::decode(bytes).unwrap_err().to_string();
    assert!(told(&bytes).contains("version 4"), "{}", told(&bytes));
    assert!(told(&[0x95, 0x04, 0xc0, 0xc0, 0xc0, 0xc0]).contains("version 4"));
    assert!(told(&[0x91, 0xcd, 0x01, 0x00]).contains("version 256"));
}

/// The same through the whole engine: whatever a byte of a transaction becomes, sync goes on and nothing panics.
#[tokio::test(start_paused = true)]
async fn no_damaged_transaction_stops_a_device() {
    let author = Device::new(1).await;
    author.create("note", json!({"id": "n", "title": "x", "body": "y", "stars": 1})).await;
    let batch = storex_core::Batch::new()
        .update(
            "note",
            storex_core::Filter::All,
            storex_core::Changes::new().increment("stars", 1).set("title", "z"),
        )
        .delete("note", storex_core::Filter::key("n"));
    author.storage.execute(batch).await.unwrap();
    let rows = author.storage.find(storex_core::Query::new("_storex_log")).await.unwrap();
    let device = author.join(&support::shared_log()).await.device().await.unwrap();
    for victim in 0..2 {
        let len = rows[victim].get(1).as_bytes().unwrap().len();
        for at in 0..len {
            let b = Device::new(2).await;
            let log = Arc::new(MemorySharedLog::new(LogId([7; 16])));
            let mut sent = Vec::new();
            for (n, row) in rows.iter().enumerate() {
                let mut payload = row.get(1).as_bytes().unwrap().to_vec();
                if n == victim {
                    payload[at] = payload[at].wrapping_mul(31).wrapping_add(0x41);
                }
                sent.push(SealedTransaction { device, sequence: n as u64 + 1, payload });
            }
            log.append(&sent).await.unwrap();
            let report = b.sync(&log).await;
            assert_eq!(report.received.transactions + report.received.parked, 2, "byte {at}");
            // The device works on.
            b.note("b", "goes on").await;
            b.update("note", json!({}), json!({"title": "y"})).await;
            b.delete("note", json!({})).await;
            b.sync(&log).await;
            assert!(dump_all(&b).await["note"].is_empty());
        }
    }
}
