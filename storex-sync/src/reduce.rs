//! Reduction before sending: a transaction that the next one overwrites whole is sent without its values.
//!
//! ```text
//!   log      1: title=a   2: title=b   3: stars+1   4: title=c, body=x   5: title=d, body=y
//!   sent     1: -         2: title=b   3: stars+1   4: -                 5: title=d, body=y
//! ```
//!
//! Only what the *next* transaction sets again, every field of every object, in the same life, is left out. So whoever has seen
//! the log up to any place holds what this device has held at some time: no transaction is torn, and none is seen without one that
//! came before it. Relative changes, creates and deletes are never left out, and nothing is left out across them. Nor are fields
//! that a unique index or a relation is about: what others do about a broken rule may depend on them.
//!
//! The transaction keeps its number (numbers are dense) and its reading. What was perhaps given to a log already stays as it
//! is, byte by byte: before anything is given to a log, its number is noted (`offered` in `_storex_meta`), and only what is beyond
//! it is reduced, in the same transaction of the database that notes it.

use std::collections::{BTreeMap, BTreeSet};

use storex_core::{Key, Name};

use crate::rules::Rules;
use crate::transaction::{Entry, EntryKind, EntryValue, Header, Transaction};

/// What a transaction sets, when it does nothing else: fields by object.
type Sets = BTreeMap<(Name, Key, u32), BTreeSet<Name>>;

/// What is larger was no edit, but a batch: nobody writes it again, and to look whether somebody has costs as much as to send it.
const LARGEST: usize = 16 * 1024;

/// Which of some transactions in a row are overwritten whole by the next: their bytes without values, by place.
pub(crate) fn reduce(payloads: &[&[u8]], rules: &Rules) -> Vec<(usize, Vec<u8>)> {
    let mut reduced = Vec::new();
    let mut next: Option<(Sets, Header)> = None;
    for (at, payload) in payloads.iter().enumerate().rev() {
        // Whatever is no transaction of writes overwrites nothing.
        let small = payload.len() <= LARGEST;
        let Some(transaction) = small.then(|| Transaction::decode(payload).ok()).flatten() else {
            next = None;
            continue;
        };
        let sets = sets(&transaction);
        match (&sets, &next) {
            // Of a write that had not seen what the next had seen, somebody else has to hear: it is a conflict.
            (Some(sets), Some((next, header)))
                if header.seen == transaction.header.seen
                    // Under another schema the same names may mean something else.
                    && header.schema == transaction.header.schema
                    && covers(next, sets)
                    && !is_watched(sets, rules) =>
            {
                reduced.push((at, transaction.without_entries().encode()));
            }
            _ => next = sets.map(|sets| (sets, transaction.header)),
        }
    }
    reduced
}

fn sets(transaction: &Transaction) -> Option<Sets> {
    let mut sets = Sets::new();
    for entry in &transaction.entries {
        let shape = transaction.shapes.get(entry.shape)?;
        let (key, fields) = shape.fields.split_at_checked(shape.key_len)?;
        if entry.kind != EntryKind::Update || !entry.values.iter().all(is_set) {
            return None;
        }
        let key = key_of(entry, key.len());
        let object = (Name::clone(&shape.collection), key, entry.life);
        sets.entry(object).or_default().extend(fields.iter().cloned());
    }
    // Nothing to leave out, and nothing that overwrites: a page of a database's own, say.
    (!sets.is_empty()).then_some(sets)
}

fn key_of(entry: &Entry, len: usize) -> Key {
    Key::compound(entry.values.iter().take(len).map(|value| value.value().clone()))
}

fn is_set(value: &EntryValue) -> bool {
    matches!(value, EntryValue::Set(_))
}

fn covers(next: &Sets, sets: &Sets) -> bool {
    sets.iter().all(|(object, fields)| next.get(object).is_some_and(|it| it.is_superset(fields)))
}

fn is_watched(sets: &Sets, rules: &Rules) -> bool {
    sets.iter().any(|((collection, ..), fields)| {
        fields.iter().any(|field| rules.is_about(collection, field))
    })
}
