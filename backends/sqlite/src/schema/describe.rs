//! Tables that no description tells of: those of a database that is older than descriptions, and what was made by hand.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use rusqlite::Connection;
use storex_core::{
    Collection, Migration, Name, Registry, Result, StoredCollection, StoredField, StoredIndex,
    StoredKind, StoredSchema,
};

use crate::error;
use crate::schema::ddl::{declared_type, has_index, is_stored};
use crate::schema::inspect::{self, Kind, LiveColumn, LiveTable};

/// Brings a description up to what is there: tables that are gone are left out, those that it does not tell of are described
/// by what they are.
pub(super) fn complete(
    conn: &Connection,
    registry: &Registry,
    written: Option<StoredSchema>,
) -> Result<StoredSchema> {
    let failed = |source| error::failed("read the schema", None, source);
    let is_new = written.is_none();
    let mut schema = written.unwrap_or_default();
    let there = tables(conn).map_err(failed)?;
    schema.collections.retain(|_, it| there.contains(&it.table.to_ascii_lowercase()));
    let current = registry.collections().iter().filter(|it| !it.is_adopted()).map(|it| it.name());
    let former = registry
        .migrations()
        .iter()
        .filter_map(|it| if it.is_removal() { Some(it.collection()) } else { it.old_name() });
    // Where storex writes down what it has made, a table of a former name is somebody else's.
    for name in current.chain(former.filter(|_| is_new)) {
        let adopted = registry.collections().iter().any(|it| it.is_adopted() && it.table() == name);
        if schema.collections.contains_key(&**name) || adopted {
            continue;
        }
        let live = inspect::table(conn, name).map_err(failed)?;
        if let Some(live) = live.filter(|live| live.kind == Kind::Table) {
            let described = describe(registry, name, &live)?;
            if is_new && !name.starts_with("_storex_") {
                schema.version = schema.version.max(described.version);
            }
            schema.collections.insert(name.to_string(), described);
        }
    }
    Ok(schema)
}

fn tables(conn: &Connection) -> rusqlite::Result<HashSet<String>> {
    let mut statement =
        conn.prepare("SELECT lower(name) FROM sqlite_schema WHERE type IN ('table', 'view')")?;
    statement.query_map([], |row| row.get(0))?.collect()
}

fn describe(registry: &Registry, name: &Name, live: &LiveTable) -> Result<StoredCollection> {
    let current = registry.find(name).cloned();
    let mut known: Vec<_> = current.iter().cloned().collect();
    let mut versions: Vec<_> = registry.history().map(|(version, _)| version).collect();
    versions.reverse();
    for version in versions {
        let definitions = registry.at_version(version).into_values().cloned();
        // Definitions of old need not fit each other any more.
        let then = Registry::builder().collections(definitions).build();
        known.extend(then.ok().and_then(|then| then.find(name).cloned()));
    }
    for collection in &known {
        if let Some(described) = fitting(collection, live) {
            return Ok(described);
        }
    }
    Ok(guessed(registry, name, current.as_deref(), live))
}

/// The description of a collection, if the table is what it would be stored in.
fn fitting(collection: &Collection, live: &LiveTable) -> Option<StoredCollection> {
    let described = StoredCollection::of(collection);
    let fits = collection.fields().iter().all(|field| {
        live.column(&field.column).is_some_and(|column| {
            let declared = declared_type(&field.field_type);
            column.declared.eq_ignore_ascii_case(declared)
                && field.nullable != live.never_null(column)
        })
    });
    let strange = |column: &LiveColumn| {
        described.field_of(&column.name).is_none() && live.must_be_given(column)
    };
    let fits = fits && !live.columns.iter().any(strange) && described.key == key(live);
    fits.then(|| {
        let kept = collection
            .indices()
            .iter()
            .filter(|index| !is_stored(collection, index) || has_index(live, collection, index));
        let column = |at: &usize| collection.fields()[*at].column.to_string();
        let indices = kept.map(|index| StoredIndex {
            columns: index.fields.iter().map(column).collect(),
            unique: index.unique,
            multi_entry: index.multi_entry,
        });
        StoredCollection { indices: indices.collect(), ..described }
    })
}

/// A table that fits no definition that is known: its columns, as far as anything is said of them.
fn guessed(
    registry: &Registry,
    name: &Name,
    current: Option<&Collection>,
    live: &LiveTable,
) -> StoredCollection {
    let about: Vec<&Migration> = registry
        .migrations()
        .iter()
        .filter(|it| it.collection() == name || it.old_name() == Some(name))
        .collect();
    let becomes = about.iter().find(|it| it.old_name() == Some(name)).map(|it| it.collection());
    let today = current.or_else(|| registry.find(becomes?).map(|it| &**it));
    let new_name = |column: &str| {
        let mut renamed = about.iter().flat_map(|it| it.renamed_fields());
        renamed.find(|(from, _)| **from == *column).map(|(_, to)| to)
    };
    let is_removed = |column: &str| {
        about.iter().any(|it| it.removed_fields().iter().any(|field| **field == *column))
    };
    let mut fields = BTreeMap::new();
    for column in &live.columns {
        let renamed = new_name(&column.name);
        let field = today.and_then(|it| {
            it.fields().iter().find(|field| match renamed {
                Some(renamed) => field.name == *renamed,
                None => field.column.eq_ignore_ascii_case(&column.name),
            })
        });
        let is_ours = field.is_some() || renamed.is_some() || is_removed(&column.name);
        if !is_ours && column.key == 0 && !live.must_be_given(column) {
            continue;
        }
        let wanted =
            field.filter(|it| column.declared.eq_ignore_ascii_case(declared_type(&it.field_type)));
        let kind =
            wanted.map_or_else(|| kind(&column.declared), |it| StoredKind::of(&it.field_type));
        let nullable = !live.never_null(column);
        let stored = StoredField { column: column.name.clone(), kind, nullable };
        let name = field.filter(|_| renamed.is_none()).map_or(&*column.name, |it| &it.name);
        fields.insert(name.to_owned(), stored);
    }
    let defined = registry.history().filter(|(_, all)| all.contains_key(name)).map(|(it, _)| it.0);
    let before = about.iter().map(|it| it.version().0.saturating_sub(1));
    StoredCollection {
        version: defined.chain(before).min().unwrap_or(0),
        table: live.name.clone(),
        key: key(live),
        fields,
        indices: BTreeSet::new(),
    }
}

fn key(live: &LiveTable) -> Vec<String> {
    live.primary_key().iter().map(|column| column.name.clone()).collect()
}

fn kind(declared: &str) -> StoredKind {
    match declared.to_ascii_uppercase().as_str() {
        "TEXT" => StoredKind::Text,
        "INTEGER" | "INT" => StoredKind::Integer,
        "REAL" => StoredKind::Float,
        "BLOB" => StoredKind::Bytes,
        _ => StoredKind::Dynamic,
    }
}
