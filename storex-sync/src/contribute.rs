//! What a write of our own does to the clock of its object, and what the log says of it.

use std::collections::BTreeMap;

use storex_core::{Change, Changes, Collection, Error, Filter, Key, Name, Registry, Step, Value};

use crate::clock::{Clock, next_life};
use crate::counter::Counted;
use crate::error::{Result, SyncError};
use crate::field_state::{Contribution, Joined, NoArray};
use crate::merging::Merging;
use crate::stamp::Stamp;

/// What the log says of a field beside the value that was written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Said {
    /// What others need to count an increment beside their own.
    Counted(Counted),
    /// What the write contributes to a field with a strategy, and what the field holds then.
    Joined(Joined, Value),
}

/// A write of our own to one object.
pub(crate) struct OwnWrite<'a> {
    pub(crate) merging: &'a Merging,
    pub(crate) collection: &'a Collection,
    pub(crate) key: &'a Key,
    pub(crate) stamp: Stamp,
}

/// Fields that hold something else than what was written to them: what the strategy makes of it, together with what was there.
#[derive(Debug, Default)]
pub(crate) struct Corrections(BTreeMap<(Name, Key), BTreeMap<usize, Value>>);

impl Corrections {
    /// The object is gone.
    pub(crate) fn forget(&mut self, collection: &Collection, key: &Key) {
        if !self.0.is_empty() {
            self.0.remove(&(Name::clone(collection.name()), key.clone()));
        }
    }

    fn note(&mut self, write: &OwnWrite<'_>, at: usize, value: &Value, written: &Value) {
        let object = || (Name::clone(write.collection.name()), write.key.clone());
        if value != written {
            self.0.entry(object()).or_default().insert(at, value.clone());
        } else if !self.0.is_empty()
            && let Some(fields) = self.0.get_mut(&object())
        {
            fields.remove(&at);
        }
    }

    /// The steps that make them.
    pub(crate) fn steps(self, registry: &Registry) -> Vec<Step> {
        let mut steps = Vec::new();
        for ((name, key), fields) in self.0.into_iter().filter(|(_, fields)| !fields.is_empty()) {
            let Some(known) = registry.find(&name) else { continue };
            let changes =
                fields.into_iter().fold(Changes::new(), |changes, (at, value)| {
                    match known.fields().get(at) {
                        Some(field) => changes.set(Name::clone(&field.name), value),
                        None => changes,
                    }
                });
            let filter = Filter::Keys(vec![key]);
            steps.push(Step::Update { collection: name, filter, changes });
        }
        steps
    }
}

impl OwnWrite<'_> {
    /// Folds a create into the clock that the object had, and gives the one that it has now.
    pub(crate) fn create(
        &self,
        stored: Option<&Clock>,
        fields: impl Iterator<Item = (usize, u32)>,
        value: impl Fn(usize) -> Value,
        corrections: &mut Corrections,
    ) -> Result<(Clock, Vec<Option<Said>>)> {
        let alive = stored.filter(|clock| clock.is_alive());
        let life =
            stored.map_or(1, |clock| if clock.is_alive() { clock.life } else { clock.life + 1 });
        let mut clock = Clock::created(next_life(life)?, self.stamp);
        if !self.merging.has_strategies() && alive.is_none_or(|alive| alive.states.is_empty()) {
            return Ok((clock, Vec::new()));
        }
        let mut said = Vec::new();
        for (at, field) in fields {
            let value = value(at);
            let contribution = self.contribution(alive, at, field, &value)?;
            said.push(contribution.map(|contribution| {
                // In a new life nobody has set it.
                clock.set(field, alive.map_or(Stamp::ZERO, |alive| alive.stamp(field)));
                if let Some(state) = alive.and_then(|alive| alive.state(field)) {
                    clock.join(field, state, &self.merging.joins);
                }
                self.contribute(&mut clock, (at, field), contribution, &value, corrections)
            }));
        }
        Ok((clock, said))
    }

    /// Folds the change of a field into the clock.
    pub(crate) fn change(
        &self,
        clock: &mut Clock,
        (at, field): (usize, u32),
        change: &Change,
        after: &Value,
        corrections: &mut Corrections,
    ) -> Result<Option<Said>> {
        let after = if let Change::Set(value) = change { value } else { after };
        if (self.merging.has_strategies() || !clock.states.is_empty())
            && let Some(contribution) = self.contribution(Some(clock), at, field, after)?
        {
            let place = (at, field);
            return Ok(Some(self.contribute(clock, place, contribution, after, corrections)));
        }
        // In a group the fields of one device count, and no sums of several.
        let is_alone = || {
            let name = self.collection.fields().get(at).map(|field| &field.name);
            name.is_none_or(|name| self.merging.group(self.collection.name(), name).is_none())
        };
        if let Change::Increment(by) = change
            && is_alone()
        {
            return Ok(clock.increment(field, self.stamp, by, after).map(Said::Counted));
        }
        clock.set(field, self.stamp);
        Ok(None)
    }

    fn contribution(
        &self,
        clock: Option<&Clock>,
        at: usize,
        field: u32,
        value: &Value,
    ) -> Result<Option<Contribution>> {
        let Some(schema) = self.collection.fields().get(at) else { return Ok(None) };
        let strategy = self.merging.strategy(self.collection.name(), &schema.name);
        let state = clock.and_then(|clock| clock.state(field));
        Contribution::of(strategy, state, value, &self.merging.joins).map_err(|NoArray| {
            SyncError::Storage {
                during: "logging a write",
                source: Error::InvalidValue {
                    collection: Name::clone(self.collection.name()),
                    field: Name::clone(&schema.name),
                    reason: "has a strategy for arrays, and holds JSON that is none".to_owned(),
                },
            }
        })
    }

    fn contribute(
        &self,
        clock: &mut Clock,
        (at, field): (usize, u32),
        contribution: Contribution,
        written: &Value,
        corrections: &mut Corrections,
    ) -> Said {
        let base = clock.stamp(field);
        clock.join(field, &contribution.state(self.stamp), &self.merging.joins);
        let mut value = clock.value(field).unwrap_or(Value::Null);
        if let Some(schema) = self.collection.fields().get(at) {
            // A value that does not fit stays as it is, and the storage refuses it with the reason.
            let _ = self.collection.check_value(schema, &mut value);
        }
        corrections.note(self, at, &value, written);
        Said::Joined(Joined { base, contribution }, value)
    }
}
