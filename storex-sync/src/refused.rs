//! Which writes go with one that the shared log has refused.

use std::collections::{BTreeMap, HashMap, HashSet};

use storex_core::{Key, Name};

use crate::counter::Amount;
use crate::stamp::Stamp;
use crate::transaction::{Entry, EntryKind, EntryValue, Shape, Transaction};

/// An object, by the name of its collection and its key.
pub(crate) type Named = (Name, Key);

/// What is refused with a transaction, and what has to be said otherwise by those behind it.
#[derive(Debug, Default)]
pub(crate) struct Fate {
    /// The places of those that are refused.
    pub(crate) refused: Vec<usize>,
    /// Those that count increments which are refused: without these, by place.
    pub(crate) corrected: BTreeMap<usize, Transaction>,
    created: HashSet<(Named, u32)>,
    stamps: HashSet<Stamp>,
    added: HashMap<(Named, Name, Stamp), Amount>,
}

/// The object that an entry is about.
pub(crate) fn object_of(shapes: &[Shape], entry: &Entry) -> Option<Named> {
    let shape = shapes.get(entry.shape).filter(|_| !entry.is_taken_out())?;
    let key = entry.values.iter().take(shape.key_len).map(|value| value.value().clone());
    Some((Name::clone(&shape.collection), Key::compound(key)))
}

impl Fate {
    /// The first of them is refused. What builds on it is refused with it: an update of an object that it has created, an increment of
    /// a number that it has set.
    pub(crate) fn of(unsent: &[Option<Transaction>]) -> Self {
        let mut fate = Self::default();
        for (place, transaction) in unsent.iter().enumerate() {
            let Some(transaction) = transaction else {
                if place == 0 {
                    fate.refused.push(0);
                }
                continue;
            };
            if place == 0 || fate.builds_on_it(transaction) {
                fate.refuse(place, transaction);
                continue;
            }
            match fate.without_increments(transaction) {
                Some(None) => {}
                Some(Some(corrected)) => drop(fate.corrected.insert(place, corrected)),
                None => fate.refuse(place, transaction),
            }
        }
        fate
    }

    fn builds_on_it(&self, transaction: &Transaction) -> bool {
        transaction.entries.iter().any(|entry| {
            let object = object_of(&transaction.shapes, entry);
            let lacks_object = entry.kind == EntryKind::Update
                && object.is_some_and(|object| self.created.contains(&(object, entry.life)));
            let mut bases = entry.values.iter().filter_map(base_of);
            lacks_object || bases.any(|base| self.stamps.contains(&base))
        })
    }

    fn refuse(&mut self, place: usize, transaction: &Transaction) {
        self.refused.push(place);
        for (n, entry) in transaction.entries.iter().enumerate() {
            self.stamps.insert(transaction.stamp(n));
            let Some(object) = object_of(&transaction.shapes, entry) else { continue };
            if entry.kind == EntryKind::Create {
                self.created.insert((object.clone(), entry.life));
            }
            for (name, value) in values(&transaction.shapes, entry) {
                let Some((base, by)) = increment(value) else { continue };
                let added = self.added.entry((object.clone(), Name::clone(name), base));
                let sum = added.or_insert(Amount::Int(0));
                *sum = sum.plus(by).unwrap_or(*sum);
            }
        }
    }

    /// The transaction without the increments that are refused: their author's sum is in it. `None`: it cannot be said without
    /// them; `Some(None)`: they are not in it.
    fn without_increments(&self, transaction: &Transaction) -> Option<Option<Transaction>> {
        let mut corrected = transaction.clone();
        let mut any = false;
        let Transaction { shapes, entries, .. } = &mut corrected;
        for entry in entries {
            let Some(object) = object_of(shapes, entry) else { continue };
            let Some(shape) = shapes.get(entry.shape) else { continue };
            for (name, value) in shape.fields.iter().zip(&mut entry.values) {
                let EntryValue::Changed { change, .. } = value else { continue };
                let Some(counted) = change.counted_mut() else { continue };
                let known = (object.clone(), Name::clone(name), counted.base);
                if let Some(added) = self.added.get(&known) {
                    counted.sum = counted.sum.minus(*added)?;
                    any = true;
                }
            }
        }
        Some(any.then_some(corrected))
    }
}

fn values<'a>(
    shapes: &'a [Shape],
    entry: &'a Entry,
) -> impl Iterator<Item = (&'a Name, &'a EntryValue)> {
    let fields = shapes.get(entry.shape).map_or(&[][..], |shape| &shape.fields);
    fields.iter().zip(&entry.values)
}

/// The stamp of the write that has set what this changes.
fn base_of(value: &EntryValue) -> Option<Stamp> {
    value.counted().map(|it| it.base).or_else(|| value.joined().map(|it| it.base))
}

fn increment(value: &EntryValue) -> Option<(Stamp, Amount)> {
    let EntryValue::Changed { change, .. } = value else { return None };
    Some((change.counted()?.base, Amount::of(change.by()?)?))
}
