//! The schema of a database that has no description of it yet, or has one.

use std::collections::{BTreeMap, BTreeSet};

use storex_core::{
    Collection, Registry, Result, SchemaVersion, StoredCollection, StoredField, StoredKind,
    StoredSchema,
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
        let today = registry.becomes(store, SchemaVersion(recorded.version));
        let today = today.and_then(|name| registry.find(&name).filter(|it| !it.is_adopted()));
        let Some(today) = today else { continue };
        collections.insert(store.clone(), collection(recorded.version, store, shape, today));
    }
    StoredSchema { version: recorded.version, collections }
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
