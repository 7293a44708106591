//! [`Merging`]: what the application has configured about merging; the middleware leaves it in the storage, where sync finds it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use storex_core::{Batch, Change, Changes, Collection, Error, Name, Registry, Step, Storage};

use crate::hooks::SyncHooks;
use crate::journal::{Conflict, Standing};
use crate::scope::ScopeFields;
use crate::stamp::Device;
use crate::strategy::{Joins, Strategy};

/// Conflicts that the journal holds unless told otherwise.
const JOURNAL: u64 = 1000;

/// What is configured about merging.
#[derive(Debug, Clone)]
pub(crate) struct Merging {
    /// How many conflicts the journal holds.
    pub(crate) journal: u64,
    /// Per collection and field.
    pub(crate) strategies: BTreeMap<Name, BTreeMap<Name, Strategy>>,
    /// The functions among them.
    pub(crate) joins: Joins,
    /// Per collection the fields that change together.
    pub(crate) groups: BTreeMap<Name, Vec<Vec<Name>>>,
    pub(crate) hooks: Option<Arc<dyn SyncHooks>>,
    /// Whether own writes can be taken back until they are sent.
    pub(crate) reversible: bool,
    /// Per collection the field that says to which scope an object belongs.
    pub(crate) scopes: ScopeFields,
}

impl Default for Merging {
    fn default() -> Self {
        Self {
            journal: JOURNAL,
            strategies: BTreeMap::new(),
            joins: Joins::default(),
            groups: BTreeMap::new(),
            hooks: None,
            reversible: false,
            scopes: ScopeFields::default(),
        }
    }
}

impl Merging {
    /// Those of a storage.
    pub(crate) fn of(storage: &Storage) -> Arc<Self> {
        storage.extension::<Arc<Self>>().cloned().unwrap_or_default()
    }

    pub(crate) fn add_strategy(&mut self, collection: Name, field: Name, strategy: Strategy) {
        self.strategies.entry(collection).or_default().insert(field, strategy);
        self.joins = Joins::of(self.strategies.values().flat_map(BTreeMap::values));
    }

    pub(crate) fn has_strategies(&self) -> bool {
        !self.strategies.is_empty()
    }

    pub(crate) fn strategy(&self, collection: &str, field: &str) -> Option<&Strategy> {
        self.strategies.get(collection)?.get(field)
    }

    /// Makes relative what is written to a greatest or least value: so it meets also what was there before there was a strategy.
    pub(crate) fn adapt(&self, batch: &mut Batch) {
        for step in &mut batch.steps {
            let Step::Update { collection, changes, .. } = step else { continue };
            let Some(fields) = self.strategies.get(collection) else { continue };
            let strategy = |name: &Name, change: &Change| match (fields.get(name)?, change) {
                (Strategy::Max, Change::Set(value)) if !value.is_null() => {
                    Some(Change::Max(value.clone()))
                }
                (Strategy::Min, Change::Set(value)) if !value.is_null() => {
                    Some(Change::Min(value.clone()))
                }
                _ => None,
            };
            if changes.iter().any(|(name, change)| strategy(name, change).is_some()) {
                *changes = changes.iter().fold(Changes::new(), |adapted, (name, change)| {
                    let change = strategy(name, change).unwrap_or_else(|| change.clone());
                    adapted.with(Name::clone(name), change)
                });
            }
        }
    }

    /// The group of a field: all that change with it.
    pub(crate) fn group(&self, collection: &str, field: &str) -> Option<&[Name]> {
        let groups = self.groups.get(collection)?.iter();
        groups.map(Vec::as_slice).find(|group| group.iter().any(|member| &**member == field))
    }

    /// Positions of the fields that change with these, and are not among them.
    pub(crate) fn companions<'a>(
        &self,
        collection: &Collection,
        fields: impl Iterator<Item = &'a Name> + Clone,
    ) -> Vec<usize> {
        if !self.groups.contains_key(collection.name()) {
            return Vec::new();
        }
        let groups = fields.clone().filter_map(|field| self.group(collection.name(), field));
        let others =
            groups.flatten().filter(|member| !fields.clone().any(|field| field == *member));
        let positions: BTreeSet<usize> =
            others.filter_map(|member| collection.position(member)).collect();
        positions.into_iter().collect()
    }

    /// What is to become of a conflict in the journal of this device.
    pub(crate) fn standing(&self, conflict: &Conflict, me: Device) -> Standing {
        let field = conflict.field.as_deref();
        let strategy = field.and_then(|field| self.strategy(&conflict.collection, field));
        match strategy {
            Some(Strategy::KeepBoth) => Standing::Kept,
            _ if self.hooks.is_some() && conflict.lost.stamp.device == me => Standing::Asked,
            _ => Standing::Noted,
        }
    }

    /// Whether a field changes together with others.
    pub(crate) fn is_in_group(&self, collection: &Name, field: &Name) -> bool {
        self.groups.get(collection).into_iter().flatten().any(|group| group.contains(field))
    }

    /// That everything that is configured is there and fits.
    pub(crate) fn check(
        &self,
        registry: &Registry,
        local_only: &BTreeSet<Name>,
    ) -> storex_core::Result<()> {
        for (name, fields) in &self.strategies {
            let collection = synced(registry, local_only, name)?;
            for (name, strategy) in fields {
                let at = field(collection, name)?;
                strategy.check(collection, &collection.fields()[at])?;
            }
        }
        for (name, groups) in &self.groups {
            let collection = synced(registry, local_only, name)?;
            let mut known = BTreeSet::new();
            for member in groups.iter().flatten() {
                field(collection, member)?;
                let refuse =
                    |reason: &str| Error::invalid(name, format!("field `{member}` {reason}"));
                if !known.insert(member) {
                    return Err(refuse("is in a group of fields twice, or in two groups"));
                }
                let strategy = self.strategy(name, member);
                if !matches!(strategy, None | Some(Strategy::LastWriter | Strategy::KeepBoth)) {
                    return Err(refuse(
                        "is in a group of fields, and has a strategy that merges it alone",
                    ));
                }
            }
        }
        Ok(())
    }
}

fn synced<'a>(
    registry: &'a Registry,
    local_only: &BTreeSet<Name>,
    name: &Name,
) -> storex_core::Result<&'a Arc<Collection>> {
    let collection = registry.collection(name)?;
    if collection.is_reserved() || local_only.contains(name) {
        return Err(Error::invalid(name, "it is not synced, so nothing of it can be merged"));
    }
    Ok(collection)
}

fn field(collection: &Collection, name: &Name) -> storex_core::Result<usize> {
    let at = collection.require(name)?;
    if collection.is_key(at) {
        let reason = format!("field `{name}` is of the primary key, which never changes");
        return Err(Error::invalid(collection.name(), reason));
    }
    Ok(at)
}
