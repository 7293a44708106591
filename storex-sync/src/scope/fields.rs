//! [`ScopeFields`]: which field says to which scope an object belongs.

use std::collections::{BTreeMap, BTreeSet};

use storex_core::{Collection, Error, Name, Registry};

use crate::local_fields::LocalFields;
use crate::merging::Merging;
use crate::strategy::Strategy;

/// Per collection the field that says to which scope an object belongs.
#[derive(Debug, Clone, Default)]
pub(crate) struct ScopeFields(BTreeMap<Name, BTreeSet<Name>>);

impl ScopeFields {
    pub(crate) fn add(&mut self, collection: Name, field: Name) {
        self.0.entry(collection).or_default().insert(field);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The position of a collection's field.
    pub(crate) fn of(&self, collection: &Collection) -> Option<usize> {
        let field = self.0.get(collection.name())?.first()?;
        collection.position(field)
    }

    /// Refuses what the schema does not have, and fields that do not say the same on all devices.
    pub(crate) fn check(
        &self,
        registry: &Registry,
        local_only: &BTreeSet<Name>,
        local_fields: &LocalFields,
        merging: &Merging,
    ) -> storex_core::Result<()> {
        for (name, fields) in &self.0 {
            let collection = registry.collection(name)?;
            let refuse = |field: &Name, why: &str| {
                let reason =
                    format!("field `{field}` cannot say to which scope an object belongs: {why}");
                Err(Error::invalid(name, reason))
            };
            if let (Some(field), true) = (fields.last(), fields.len() > 1) {
                return refuse(field, "another field does already");
            }
            for field in fields {
                let at = collection.require(field)?;
                if collection.is_reserved() || local_only.contains(name) {
                    return refuse(field, "it is of a collection that is not synced");
                }
                if local_fields.of(collection).contains(&at) {
                    return refuse(field, "it is kept local");
                }
                let strategy = merging.strategy(name, field);
                if !matches!(strategy, None | Some(Strategy::LastWriter | Strategy::KeepBoth))
                    || merging.is_in_group(name, field)
                {
                    return refuse(field, "it has a strategy, or is in a group of fields");
                }
            }
        }
        Ok(())
    }
}
