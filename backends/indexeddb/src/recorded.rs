//! The schema of a database that has no description of it yet, or has one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use storex_core::{
    Collection, Registry, Result, StoredCollection, StoredField, StoredKind, StoredSchema,
};

use crate::identity::Recorded;

/// What is written down, without the stores that are gone.
pub(crate) fn schema(
    recorded: Recorded,
    registry: &Registry,
    there: &BTreeSet<String>,
) -> Result<StoredSchema> {
    let mut schema = match recorded.schema {
        Some(text) => StoredSchema::from_text(&text)?,
        None => described(&recorded, registry),
    };
    schema.collections.retain(|_, it| there.contains(&it.table));
    Ok(schema)
}

/// Before there were descriptions only the version and the properties were written down.
fn described(recorded: &Recorded, registry: &Registry) -> StoredSchema {
    let mut collections = BTreeMap::new();
    for (store, shape) in &recorded.stores {
        let Some(today) = today(registry, store) else { continue };
        collections.insert(store.clone(), collection(recorded.version, store, shape, &today));
    }
    StoredSchema { version: recorded.version, collections }
}

/// What has become of a collection that was called so.
fn today(registry: &Registry, name: &str) -> Option<Arc<Collection>> {
    let renamed = |it: &&storex_core::Migration| it.old_name().is_some_and(|old| **old == *name);
    let renamed = registry.migrations().iter().find(renamed).map(|it| &**it.collection());
    registry.find(renamed.unwrap_or(name)).filter(|it| !it.is_adopted()).cloned()
}

fn collection(
    version: u64,
    store: &str,
    shape: &BTreeMap<String, String>,
    today: &Collection,
) -> StoredCollection {
    let mut stored = StoredCollection::of(today);
    let known = std::mem::take(&mut stored.fields);
    for (column, kind) in shape {
        let today = known.iter().find(|(_, field)| field.column == *column);
        let kind: Option<StoredKind> =
            serde_json::from_value(serde_json::Value::from(kind.as_str())).ok();
        let field = StoredField {
            column: column.clone(),
            kind: kind.unwrap_or(StoredKind::Dynamic),
            nullable: today.is_none_or(|(_, field)| field.nullable),
        };
        stored.fields.insert(today.map_or(column, |(name, _)| name).clone(), field);
    }
    StoredCollection { version: version.min(stored.version), table: store.to_owned(), ..stored }
}
