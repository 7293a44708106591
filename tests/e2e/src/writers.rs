//! Several writers of one database, each with notes of its own.

use std::collections::HashSet;

use storex_sync::Transaction;

use crate::ops::Touched;
use crate::place::Place;
use crate::process::Notes;
use crate::{audit, ops, story};

/// What was acknowledged to one of several writers is logged, in its order, among what the others have written.
fn assert_logged(place: &Place, name: &str, own: &[&Transaction]) -> usize {
    let told = Notes::writes(&Notes::read(&place.file(&format!("notes-{name}"))));
    let told: Vec<_> = told.into_iter().filter(|touched| !touched.is_empty()).collect();
    assert_in_order(name, &told, own);
    told.len()
}

/// What was acknowledged to a writer is among these transactions, in its order.
///
/// # Panics
/// When something is not there.
pub fn assert_in_order(name: &str, told: &[Vec<Touched>], own: &[&Transaction]) {
    let mut logged = own.iter();
    for touched in told {
        let same = |transaction: &&&Transaction| {
            let keys = transaction.entries.iter().map(|entry| {
                let shape = &transaction.shapes[entry.shape];
                let key = entry.values.iter().take(shape.key_len);
                (&*shape.collection, key.map(|it| ops::cell(it.value())).collect())
            });
            let told = touched.iter().map(|it| (it.collection.as_str(), it.key.clone()));
            keys.collect::<Vec<(&str, Vec<String>)>>() == told.collect::<Vec<_>>()
        };
        let found = logged.find(same);
        assert!(found.is_some(), "{name}: an acknowledged write is not in the log: {touched:?}");
    }
}

/// A's rows are what it has logged, no two entries have one stamp, and what was acknowledged to each writer is there. Tells
/// how many writes were acknowledged.
///
/// # Panics
/// When something is wrong.
#[must_use]
pub fn check(place: &Place, names: &[&str]) -> usize {
    let universe = story::read(place);
    audit::check_device(&place.a(), &universe, None);
    let standing = audit::standing(&place.a()).unwrap();
    // Dense: `of` asks for every number.
    let own = universe.of(standing.me);
    let mut stamps = HashSet::new();
    for transaction in &own {
        for n in 0..transaction.entries.len() {
            assert!(stamps.insert(transaction.stamp(n)), "two entries have one stamp");
        }
    }
    let told: usize = names.iter().map(|name| assert_logged(place, name, &own)).sum();
    assert!(own.len() >= told && own.len() <= told + names.len(), "{} of {told}", own.len());
    told
}
