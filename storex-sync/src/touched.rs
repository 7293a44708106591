//! [`Touched`]: what the steps of a batch have done to objects that are logged.

use std::collections::BTreeMap;
use std::sync::Arc;

use storex_core::{
    Change, Collection, Key, Name, Record, Registry, Step, StepOutcome, Trace, Value, created,
};

use crate::contribute::Said;
use crate::key_code;
use crate::merging::Merging;
use crate::meta::Numbers;
use crate::numbers::AllNumbers;
use crate::relative::Relative;
use crate::scope::Subscriptions;
use crate::transaction::{EntryKind, Shape};
use crate::transaction_code::TransactionWriter;
use crate::weight::weight_of_all;

/// What one executed step has done to objects that are logged.
#[derive(Debug)]
pub(crate) enum Touched<'a> {
    Created {
        collection: &'a Arc<Collection>,
        numbers: &'a Arc<Numbers>,
        records: Vec<&'a Record>,
    },
    Updated {
        collection: &'a Arc<Collection>,
        numbers: &'a Arc<Numbers>,
        keys: Vec<&'a Key>,
        /// Without those that changed nothing: what is no write takes no stamp, and so never wins over another device's.
        changes: Vec<(&'a Name, &'a Change)>,
        /// After a relative change: the objects as they are now.
        after: Vec<&'a Record>,
    },
    Deleted {
        collection: &'a Arc<Collection>,
        numbers: &'a Arc<Numbers>,
        keys: &'a [Key],
    },
}

/// What the executed steps have done to objects that are logged, in order.
pub(crate) fn touched<'a>(
    trace: &'a Trace,
    registry: &'a Registry,
    all: &'a AllNumbers,
) -> impl Iterator<Item = Touched<'a>> {
    let known = trace.executed().iter().filter_map(|executed| {
        let name = executed.step.collection()?;
        Some((executed, registry.find(name)?, all.get(name)?))
    });
    let touched = known.flat_map(|(executed, collection, numbers)| {
        match (&executed.step, &executed.outcome) {
            (Step::Create(create), StepOutcome::Created { skipped }) => vec![Touched::Created {
                collection,
                numbers,
                records: created(create, skipped).collect(),
            }],
            (Step::Update { changes, .. }, StepOutcome::Updated { keys, records, unchanged }) => {
                let is_synced = |field: &Name| {
                    numbers.local.is_empty()
                        || collection.position(field).is_none_or(|at| !numbers.is_local(at))
                };
                grouped(unchanged, keys.len())
                    .into_iter()
                    .map(|(idle, places)| Touched::Updated {
                        collection,
                        numbers,
                        keys: places.iter().filter_map(|at| keys.get(*at)).collect(),
                        changes: changes
                            .iter()
                            .filter(|(name, _)| !idle.contains(name) && is_synced(name))
                            .collect(),
                        after: places.iter().filter_map(|at| records.get(*at)).collect(),
                    })
                    .collect()
            }
            (_, StepOutcome::Deleted { keys }) => {
                vec![Touched::Deleted { collection, numbers, keys }]
            }
            _ => Vec::new(),
        }
    });
    touched.filter(|touched| touched.len() > 0)
}

/// The places of the objects of an update, by the fields whose changes changed nothing in them: mostly one group.
fn grouped(unchanged: &[(usize, Name)], objects: usize) -> BTreeMap<Vec<&Name>, Vec<usize>> {
    let mut groups: BTreeMap<Vec<&Name>, Vec<usize>> = BTreeMap::new();
    let mut unchanged = unchanged.iter().peekable();
    for at in 0..objects {
        let mut idle = Vec::new();
        while let Some((_, field)) = unchanged.next_if(|(place, _)| *place <= at) {
            idle.push(field);
        }
        groups.entry(idle).or_default().push(at);
    }
    groups
}

impl Touched<'_> {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Created { records, .. } => records.len(),
            Self::Updated { changes, .. } if changes.is_empty() => 0,
            Self::Updated { keys, .. } => keys.len(),
            Self::Deleted { keys, .. } => keys.len(),
        }
    }

    pub(crate) fn numbers(&self) -> &Arc<Numbers> {
        match self {
            Self::Created { numbers, .. }
            | Self::Updated { numbers, .. }
            | Self::Deleted { numbers, .. } => numbers,
        }
    }

    /// The name of the collection.
    pub(crate) fn name(&self) -> &Name {
        self.collection().name()
    }

    pub(crate) fn keys(&self) -> Vec<Key> {
        match self {
            Self::Created { collection, records, .. } => {
                records.iter().map(|record| collection.key_of(record)).collect()
            }
            Self::Updated { keys, .. } => keys.iter().map(|key| (*key).clone()).collect(),
            Self::Deleted { keys, .. } => keys.to_vec(),
        }
    }

    pub(crate) fn collection(&self) -> &Arc<Collection> {
        match self {
            Self::Created { collection, .. }
            | Self::Updated { collection, .. }
            | Self::Deleted { collection, .. } => collection,
        }
    }

    pub(crate) fn kind(&self) -> EntryKind {
        match self {
            Self::Created { .. } => EntryKind::Create,
            Self::Updated { .. } => EntryKind::Update,
            Self::Deleted { .. } => EntryKind::Delete,
        }
    }

    /// The codes of the objects' keys.
    pub(crate) fn codes(&self) -> Vec<Vec<u8>> {
        match self {
            Self::Created { collection, records, .. } => {
                records.iter().map(|it| key_code::of(it, collection.primary_key())).collect()
            }
            Self::Updated { keys, .. } => {
                keys.iter().map(|key| key_code::encode(key.values())).collect()
            }
            Self::Deleted { keys, .. } => {
                keys.iter().map(|key| key_code::encode(key.values())).collect()
            }
        }
    }

    /// Positions of the fields behind the key, in the order of the entry's values.
    pub(crate) fn value_positions(&self) -> Vec<usize> {
        let collection = self.collection();
        match self {
            Self::Created { numbers, .. } => {
                numbers.synced().filter(|at| !collection.is_key(*at)).collect()
            }
            Self::Updated { changes, .. } => {
                changes.iter().filter_map(|(name, _)| collection.position(name)).collect()
            }
            Self::Deleted { .. } => Vec::new(),
        }
    }

    /// Whether objects may have come to another scope.
    pub(crate) fn moves(&self, merging: &Merging) -> bool {
        let Some(scope) = self.numbers().scope else { return false };
        match self {
            // One that was there already: the entry has all of it, but for what others have contributed to a strategy.
            Self::Created { collection, .. } => merging.strategies.contains_key(collection.name()),
            Self::Updated { collection, changes, .. } => {
                changes.iter().any(|(name, _)| collection.position(name) == Some(scope))
            }
            Self::Deleted { .. } => false,
        }
    }

    /// Whether objects were created in a scope that this device does not hold.
    pub(crate) fn has_created_outside(&self, held: &Subscriptions) -> bool {
        match self {
            Self::Created { numbers, records, .. } => {
                records.iter().any(|record| held.exclude(numbers, record))
            }
            _ => false,
        }
    }

    /// Positions of the fields that change with those that were changed.
    pub(crate) fn companions(&self, merging: &Merging) -> Vec<usize> {
        match self {
            Self::Updated { collection, changes, .. } => {
                merging.companions(collection, changes.iter().map(|(name, _)| *name))
            }
            _ => Vec::new(),
        }
    }

    pub(crate) fn shape(&self, positions: &[usize]) -> Shape {
        let collection = self.collection();
        let name = |at: &usize| collection.fields().get(*at).map(|field| Name::clone(&field.name));
        Shape {
            collection: Name::clone(collection.name()),
            key_len: collection.primary_key().len(),
            fields: collection.primary_key().iter().chain(positions).filter_map(name).collect(),
        }
    }

    pub(crate) fn write_values(
        &self,
        writer: &mut TransactionWriter,
        n: usize,
        positions: &[usize],
        said: Vec<Option<Said>>,
    ) {
        let mut said = said.into_iter();
        match self {
            Self::Created { collection, records, .. } => {
                for at in collection.primary_key() {
                    writer.value(records[n].get(*at));
                }
                for at in positions {
                    match said.next().flatten() {
                        Some(Said::Joined(joined, to)) => {
                            writer.changed(&Relative::Joined(joined), &to);
                        }
                        _ => writer.value(records[n].get(*at)),
                    }
                }
            }
            Self::Updated { keys, changes, .. } => {
                keys[n].values().iter().for_each(|value| writer.value(value));
                for ((_, change), at) in changes.iter().zip(positions) {
                    let counted = match said.next().flatten() {
                        Some(Said::Joined(joined, to)) => {
                            writer.changed(&Relative::Joined(joined), &to);
                            continue;
                        }
                        Some(Said::Counted(counted)) => Some(counted),
                        None => None,
                    };
                    match (change, Relative::of(change)) {
                        (Change::Set(value), _) => writer.value(value),
                        (_, Some(Relative::Increment { by, .. })) => {
                            let change = Relative::Increment { by, counted };
                            writer.changed(&change, self.after(n, *at));
                        }
                        (_, Some(change)) => writer.changed(&change, self.after(n, *at)),
                        // A change that this version does not know is logged by its result.
                        (_, None) => writer.value(self.after(n, *at)),
                    }
                }
            }
            Self::Deleted { keys, .. } => {
                keys[n].values().iter().for_each(|value| writer.value(value));
            }
        }
    }

    /// What a field of the n-th object is after a relative change.
    pub(crate) fn after(&self, n: usize, at: usize) -> &Value {
        match self {
            Self::Updated { after, .. } => after.get(n).map_or(&Value::Null, |it| it.get(at)),
            _ => &Value::Null,
        }
    }

    /// Roughly how many bytes the entries take.
    pub(crate) fn size_hint(&self) -> usize {
        let per_entry = match self {
            Self::Created { records, .. } => {
                records.first().map_or(64, |record| weight_of_all(record.values()) + 16)
            }
            _ => 64,
        };
        self.len() * per_entry
    }
}
