//! Databases and programs of before: old clock rows, old forms in the log, changes by a later program.

use std::sync::Arc;

use storex_core::{Query, Value};
use storex_sync::{
    Amount, Device as Id, Entry, EntryKind, EntryValue, Header, Relative, SealedTransaction, Shape,
    SharedSyncLog, Transaction,
};

use crate::support::{Device, assert_in_step, dump_all, parked_count, settle, shared_log};
use crate::together::{add, devices, set, stars};

const AUTHOR: Id = Id { id: [9; 16], incarnation: 0 };

/// A transaction of another device that changes the stars of the note to 41 by this.
fn change(change: Relative, after: &Header) -> Transaction {
    Transaction {
        header: Header {
            device: AUTHOR,
            sequence: 1,
            hlc: after.hlc.plus(1 << 20),
            seen: vec![(after.device, after.hlc.plus(100))],
            schema: 1,
        },
        shapes: vec![Shape {
            collection: "note".into(),
            key_len: 1,
            fields: vec!["id".into(), "stars".into()],
        }],
        entries: vec![Entry {
            kind: EntryKind::Update,
            shape: 0,
            life: 1,
            values: vec![
                EntryValue::Set("n".into()),
                EntryValue::Changed { change: Box::new(change), to: Value::Int(41) },
            ],
        }],
    }
}

/// The header of the transaction that has created the note.
async fn creation() -> (Header, Device, Arc<storex_sync::MemorySharedLog>) {
    let a = Device::new(1).await;
    let note = serde_json::json!({"id": "n", "title": "x", "stars": 40});
    a.create("note", note).await;
    let header = crate::support::log_of(&a).await.pop().unwrap().header;
    let log = shared_log();
    a.sync(&log).await;
    (header, a, log)
}

fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let at = bytes.windows(from.len()).position(|part| part == from).expect("the part");
    [&bytes[..at], to, &bytes[at + from.len()..]].concat()
}

async fn apply(log: &Arc<storex_sync::MemorySharedLog>, payload: Vec<u8>, to: &Device) {
    let sealed = SealedTransaction { device: AUTHOR, sequence: 1, payload };
    log.append(&[sealed]).await.unwrap();
    to.sync(log).await;
}

/// An increment in the first form has neither base nor sum: its result counts, as it did then.
#[tokio::test(start_paused = true)]
async fn an_increment_in_the_first_form_counts_by_its_result() {
    let (created, a, log) = creation().await;
    let counted = Relative::Increment { by: Value::Int(1), counted: None };
    let bytes = change(counted, &created).encode();
    // 93 01 29 01: code 1, to 41, by 1. In the first form 92 01 29: by 1 to 41.
    let first = replaced(&bytes, &[0x93, 0x01, 0x29, 0x01], &[0x92, 0x01, 0x29]);
    add(&a, 5).await;
    apply(&log, first, &a).await;
    assert_eq!((stars(&a).await, parked_count(&a).await), (41, 0));
    // What is added from now on counts beside what others add.
    let b = Device::new(2).await;
    settle(&[&a, &b], &log).await;
    add(&a, 1).await;
    add(&b, 2).await;
    settle(&[&a, &b], &log).await;
    assert_in_step(&[&a, &b]).await;
    assert_eq!(stars(&b).await, 44);
}

/// Of a change that only a later program knows the result is taken, whatever its operands are.
#[tokio::test(start_paused = true)]
async fn c77_a_change_by_a_later_program_counts_by_its_result() {
    let (created, a, log) = creation().await;
    let bytes = change(Relative::Unknown(77), &created).encode();
    let known = [0x93, 77, 0x29, 0xc0];
    let nested = [0x95, 77, 0x29, 0x92, 0x91, 0x01, 0xc4, 0x00, 0xd6, 0x05, 0, 0, 0, 0, 0xa1, b'x'];
    let later = replaced(&bytes, &known, &nested);
    apply(&log, later.clone(), &a).await;
    assert_eq!((stars(&a).await, parked_count(&a).await), (41, 0));
    // Cut operands are no transaction.
    let read = Transaction::decode(&later).unwrap();
    assert!(matches!(
        &read.entries[0].values[1],
        EntryValue::Changed { change, to: Value::Int(41) } if **change == Relative::Unknown(77)
    ));
    for cut in 1..20 {
        assert!(Transaction::decode(&later[..later.len() - cut]).is_err());
    }
}

/// Every relative change merges by its result, and nothing stops.
#[tokio::test(start_paused = true)]
async fn every_change_is_applied_by_its_result() {
    let elements = || vec![serde_json::json!(1), serde_json::json!({"a": [2]})];
    for relative in [
        Relative::Multiply(3.into()),
        Relative::Min(41.into()),
        Relative::Max(41.into()),
        Relative::Append("text".into()),
        Relative::AddElements(elements()),
        Relative::RemoveElements(elements()),
        Relative::ReplacePrefix { from: "a".into(), to: "b".into() },
    ] {
        let (created, a, log) = creation().await;
        add(&a, 5).await;
        apply(&log, change(relative.clone(), &created).encode(), &a).await;
        assert_eq!((stars(&a).await, parked_count(&a).await), (41, 0), "{relative:?}");
    }
}

/// An increment that claims to be earlier than what it increments is refused: nothing could be set after it.
#[tokio::test(start_paused = true)]
async fn a_forged_base_is_parked() {
    let (created, a, log) = creation().await;
    let base = storex_sync::Stamp { hlc: created.hlc.plus(1 << 30), device: AUTHOR };
    let counted = storex_sync::Counted { base, from: 0.into(), sum: Amount::Int(1) };
    let forged = Relative::Increment { by: 1.into(), counted: Some(counted) };
    apply(&log, change(forged, &created).encode(), &a).await;
    assert_eq!((stars(&a).await, parked_count(&a).await), (40, 1));
    set(&a, 7).await;
    assert_eq!(stars(&a).await, 7);
}

/// A counter that is no number of the field's kind is parked, and the number stays what it is.
#[tokio::test(start_paused = true)]
async fn a_counter_of_another_kind_is_parked() {
    let (created, a, log) = creation().await;
    let base = storex_sync::Stamp { hlc: created.hlc, device: created.device };
    let counted = storex_sync::Counted { base, from: 0.into(), sum: Amount::Float(0.5, 0.0) };
    let odd = Relative::Increment { by: 1.into(), counted: Some(counted) };
    apply(&log, change(odd, &created).encode(), &a).await;
    assert_eq!((stars(&a).await, parked_count(&a).await), (40, 1));
}

/// A database from before there were counters: its clocks list fields with the stamps of increments. They are read as they
/// are, and become counters with the next increment.
#[tokio::test(start_paused = true)]
async fn clocks_of_before_are_read_as_they_are() {
    let (log, [a, b]) = devices(5).await;
    // What an increment of that time has left behind is what a set leaves today.
    set(&a, 6).await;
    settle(&[&a, &b], &log).await;
    let clock = dump_all(&a).await["_storex_clock"][0].get(2).as_bytes().unwrap().to_vec();
    assert_eq!(clock[0], 1, "the form of before: it begins with the life");
    let a = a.reopened(crate::support::schema()).await;
    add(&a, 1).await;
    add(&b, 2).await;
    settle(&[&a, &b], &log).await;
    assert_in_step(&[&a, &b]).await;
    assert_eq!(stars(&a).await, 9);
    let clock = dump_all(&a).await["_storex_clock"][0].get(2).as_bytes().unwrap().to_vec();
    assert_eq!(clock[0], 0, "with counters");
}

/// Nothing of it is in a transaction without increments: devices of before read those on.
#[tokio::test(start_paused = true)]
async fn transactions_without_changes_have_the_form_of_before() {
    let (_, [a]) = devices(5).await;
    set(&a, 6).await;
    let rows = a.storage.find(Query::new("_storex_log")).await.unwrap();
    let bytes = rows[0].get(1).as_bytes().unwrap();
    assert_eq!(bytes[..2], [0x94, 0x01], "version 1");
    assert_eq!(bytes[bytes.len() - 4..], [0x92, 0xa1, b'n', 0x06], "plain values");
}
