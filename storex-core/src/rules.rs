//! The rules of relations, looked at when a batch has come to its end: whoever is pointed to is there, and nobody points to
//! an object that is gone.

use std::collections::{BTreeMap, BTreeSet};

use crate::cascade;
use crate::error::{Error, Result};
use crate::filter::Filter;
use crate::query::Query;
use crate::record::{Key, Record};
use crate::run::{Executed, StepOutcome, created};
use crate::schema::{Collection, OnDelete, Referrer, Registry};
use crate::value::Name;
use crate::{Change, Step};

/// What has to be looked at.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    /// Per collection: the keys that were written into relations which point there, each with one place where it stands.
    pointed_to: BTreeMap<Name, BTreeMap<Key, Pointer>>,
    /// Per collection: the objects that are gone and that others must not point to.
    gone: BTreeMap<Name, BTreeMap<Key, Record>>,
}

/// A field that points.
#[derive(Debug, Clone)]
pub(crate) struct Pointer {
    collection: Name,
    field: Name,
}

/// A question to the database, and what its answer has to be.
#[derive(Debug)]
pub(crate) enum Question {
    /// All of these are there.
    AreThere { collection: Name, keys: BTreeMap<Key, Pointer> },
    /// Nothing is found that points to an object which is gone.
    NobodyPoints { collection: Name, referrer: Referrer },
}

impl Rules {
    /// Takes note of what a step has done.
    pub(crate) fn note(&mut self, executed: &Executed, registry: &Registry) {
        let Some(collection) = executed.step.collection().and_then(|name| registry.find(name))
        else {
            return;
        };
        match (&executed.step, &executed.outcome) {
            (Step::Create(create), StepOutcome::Created { skipped }) => {
                for relation in enforced(collection) {
                    let Some(at) = collection.position(&relation.alias) else { continue };
                    let keys = created(create, skipped).map(|record| record.get(at).clone());
                    self.points(collection, relation, keys.map(Key::single));
                }
                if let Some(gone) = self.gone.get_mut(collection.name()) {
                    for record in created(create, skipped) {
                        gone.remove(&collection.key_of(record));
                    }
                }
            }
            (Step::Update { changes, .. }, StepOutcome::Updated { keys, .. })
                if !keys.is_empty() =>
            {
                for relation in enforced(collection) {
                    let set = changes.iter().find(|(field, _)| **field == relation.alias);
                    if let Some((_, Change::Set(value))) = set {
                        self.points(collection, relation, [Key::single(value.clone())]);
                    }
                }
            }
            (_, StepOutcome::Deleted { keys }) => {
                if let Some(pointed_to) = self.pointed_to.get_mut(collection.name()) {
                    // Whoever pointed to them was deleted or changed with them, or is found by what follows.
                    keys.iter().for_each(|key| {
                        pointed_to.remove(key);
                    });
                }
            }
            _ => {}
        }
    }

    /// Takes note of objects that are about to be deleted.
    pub(crate) fn deleting(&mut self, collection: &Collection, records: &[Record]) {
        if collection.referrers().iter().any(|it| it.on_delete == OnDelete::Restrict) {
            let gone = self.gone.entry(Name::clone(collection.name())).or_default();
            gone.extend(records.iter().map(|record| (collection.key_of(record), record.clone())));
        }
    }

    fn points(
        &mut self,
        collection: &Collection,
        relation: &crate::Relation,
        keys: impl IntoIterator<Item = Key>,
    ) {
        let pointer = Pointer {
            collection: Name::clone(collection.name()),
            field: Name::clone(&relation.alias),
        };
        let keys = keys.into_iter().filter(|key| !key.values().iter().any(crate::Value::is_null));
        let keys: Vec<(Key, Pointer)> = keys.map(|key| (key, pointer.clone())).collect();
        if !keys.is_empty() {
            self.pointed_to.entry(Name::clone(&relation.parent)).or_default().extend(keys);
        }
    }

    /// The questions that are left, and nothing is left to note afterwards.
    pub(crate) fn questions(&mut self, registry: &Registry) -> Vec<(Question, Query)> {
        let mut questions = Vec::new();
        for (collection, keys) in std::mem::take(&mut self.pointed_to) {
            if !keys.is_empty() {
                let filter = Filter::Keys(keys.keys().cloned().collect());
                let query = Query::new(Name::clone(&collection)).filter(filter);
                questions.push((Question::AreThere { collection, keys }, query));
            }
        }
        for (collection, gone) in std::mem::take(&mut self.gone) {
            let Some(schema) = registry.find(&collection) else { continue };
            let records: Vec<&Record> = gone.values().collect();
            for referrer in schema.referrers() {
                let filter = cascade::pointing(referrer, &records);
                let Some(filter) = filter.filter(|_| referrer.on_delete == OnDelete::Restrict)
                else {
                    continue;
                };
                let query = Query::new(Name::clone(&referrer.child)).filter(filter).limit(1);
                let question = Question::NobodyPoints {
                    collection: Name::clone(&collection),
                    referrer: referrer.clone(),
                };
                questions.push((question, query));
            }
        }
        questions
    }
}

fn enforced(collection: &Collection) -> impl Iterator<Item = &crate::Relation> {
    collection.relations().iter().filter(|relation| relation.on_delete.is_some())
}

impl Question {
    /// Judges the answer.
    pub(crate) fn judge(&self, found: &[Record], registry: &Registry) -> Result<()> {
        match self {
            Self::AreThere { collection, keys } => {
                let schema = registry.collection(collection)?;
                let there: BTreeSet<Key> =
                    found.iter().map(|record| schema.key_of(record)).collect();
                match keys.iter().find(|(key, _)| !there.contains(key)) {
                    None => Ok(()),
                    Some((key, pointer)) => Err(Error::Relation {
                        collection: Name::clone(&pointer.collection),
                        field: Name::clone(&pointer.field),
                        reason: format!(
                            "it points to {key} in `{collection}`, which is not there; create that first, or in the same batch"
                        ),
                    }),
                }
            }
            Self::NobodyPoints { collection, referrer } => {
                let schema = registry.collection(&referrer.child)?;
                let Some(record) = found.first() else { return Ok(()) };
                Err(Error::Relation {
                    collection: Name::clone(&referrer.child),
                    field: referrer.fields.first().map(Name::clone).unwrap_or_default(),
                    reason: format!(
                        "object {} points to an object of `{collection}`, which cannot be deleted before it",
                        schema.key_of(record)
                    ),
                })
            }
        }
    }
}
