//! Which writes go with one that the shared log has refused.

use std::collections::{BTreeMap, HashMap, HashSet};

use storex_core::{Key, Name, Value};

use crate::counter::Amount;
use crate::field_state::FieldState;
use crate::relative::Relative;
use crate::rules::Rules;
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
    /// Objects of which no create is left.
    missing: HashSet<Named>,
    contributed: HashSet<(Named, Name)>,
}

/// The object that an entry is about.
pub(crate) fn object_of(shapes: &[Shape], entry: &Entry) -> Option<Named> {
    let shape = shapes.get(entry.shape).filter(|_| !entry.is_taken_out())?;
    let key = entry.values.iter().take(shape.key_len).map(|value| value.value().clone());
    Some((Name::clone(&shape.collection), Key::compound(key)))
}

impl Fate {
    /// The first of them is refused. What builds on it is refused with it: an update of an object that it has created, an increment of
    /// a number that it has set, what points to an object that it has created, and what tells again of what it has written.
    pub(crate) fn of(unsent: &[Option<Transaction>], rules: &Rules) -> Self {
        let mut fate = Self::default();
        for (place, transaction) in unsent.iter().enumerate() {
            let Some(transaction) = transaction else {
                if place == 0 {
                    fate.refused.push(0);
                }
                continue;
            };
            if place == 0 || fate.builds_on_it(transaction, rules) {
                fate.refuse(place, transaction);
                continue;
            }
            match fate.without_increments(transaction) {
                Some(corrected) => {
                    fate.corrected.extend(corrected.map(|corrected| (place, corrected)));
                    fate.stays(transaction);
                }
                None => fate.refuse(place, transaction),
            }
        }
        fate
    }

    fn builds_on_it(&self, transaction: &Transaction, rules: &Rules) -> bool {
        let shapes = &transaction.shapes;
        transaction.entries.iter().any(|entry| {
            let Some(object) = object_of(shapes, entry) else { return false };
            let needs_it = entry.kind == EntryKind::Update || entry.is_brought_back();
            let known = (object, entry.life);
            let lacks_object = needs_it && self.created.contains(&known);
            let mut bases = entry.values.iter().filter_map(base_of);
            lacks_object
                || bases.any(|base| self.stamps.contains(&base))
                || values(shapes, entry).any(|(name, value)| self.tells(&known.0, name, value))
                || self.points_to_it(shapes, entry, rules)
        })
    }

    /// Whether a value that was written before is, or has in it, what is refused.
    fn tells(&self, object: &Named, field: &Name, value: &EntryValue) -> bool {
        let EntryValue::Changed { change, .. } = value else { return false };
        let Relative::Written { at, counter, state } = &**change else { return false };
        let is_refused = |stamp: Stamp| self.stamps.contains(&stamp);
        let mut sums = counter.iter().flat_map(|counter| &counter.sums);
        let mut states = state.iter().flat_map(FieldState::stamps);
        let field = || (object.clone(), Name::clone(field));
        let (known, name) = field();
        is_refused(*at)
            || sums.any(|sum| is_refused(sum.at))
            || self.added.contains_key(&(known, name, *at))
            || states.any(is_refused)
            || (state.is_some() && self.contributed.contains(&field()))
    }

    /// Whether an entry has its object point to one that nobody has.
    fn points_to_it(&self, shapes: &[Shape], entry: &Entry, rules: &Rules) -> bool {
        let Some(shape) = shapes.get(entry.shape).filter(|_| !self.missing.is_empty()) else {
            return false;
        };
        rules.pointers(&shape.collection).any(|link| {
            let value = |at: &usize| {
                let name = &link.child.fields().get(*at)?.name;
                let found = values(shapes, entry).find(|(known, _)| *known == name);
                found.map(|(_, value)| value.value().clone())
            };
            let key: Option<Vec<Value>> = link.fields.iter().map(value).collect();
            let parent = key.map(|key| (Name::clone(&link.parent), Key::compound(key)));
            parent.is_some_and(|parent| self.missing.contains(&parent))
        })
    }

    /// What it creates is there, whatever was refused before.
    fn stays(&mut self, transaction: &Transaction) {
        let creates = transaction.entries.iter().filter(|it| it.kind == EntryKind::Create);
        for object in creates.filter_map(|it| object_of(&transaction.shapes, it)) {
            self.missing.remove(&object);
        }
    }

    fn refuse(&mut self, place: usize, transaction: &Transaction) {
        self.refused.push(place);
        let mut changed = HashSet::new();
        for (n, entry) in transaction.entries.iter().enumerate() {
            self.stamps.insert(transaction.stamp(n));
            let Some(object) = object_of(&transaction.shapes, entry) else { continue };
            // An object that is told behind its own change was there.
            let is_told =
                entry.is_brought_back() && changed.contains(&(object.clone(), entry.life));
            if entry.kind == EntryKind::Create && !is_told {
                self.created.insert((object.clone(), entry.life));
                self.missing.insert(object.clone());
            }
            changed.insert((object.clone(), entry.life));
            for (name, value) in values(&transaction.shapes, entry) {
                if value.joined().is_some() {
                    self.contributed.insert((object.clone(), Name::clone(name)));
                }
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
