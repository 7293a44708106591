//! What one transaction does: tables, columns and indices made, renamed and removed, without a look at the objects.

use rusqlite::{Connection, ErrorCode};
use storex_core::{Collection, CollectionPlan, Error, Plan, Registry, Result};

use crate::error;
use crate::schema::check::{check, mismatch};
use crate::schema::ddl::{add_column, create_index, create_table, index_name, name_of};
use crate::schema::inspect::quote;
use crate::schema::live;
use crate::schema::look::{failed, is_rebuilt, missing_indices};
use crate::schema::stored;

/// Names while others change places.
const MEANWHILE: &str = "_storex_meanwhile:";

/// Brings everything to the schema. Of tables that were written anew only the names are left to do: `made` are those that
/// they have and those that they get.
pub(super) fn all(
    conn: &Connection,
    registry: &Registry,
    plan: &Plan,
    made: &[(&str, &str)],
) -> Result<()> {
    for removed in &plan.removed {
        run(conn, &format!("DROP TABLE {}", quote(&removed.table)))?;
    }
    rename_tables(conn, plan, made)?;
    for collection in &plan.collections {
        match &collection.stored {
            None => {
                run(conn, &create_table(&collection.collection, collection.collection.table()))?;
            }
            Some(_) if !is_rebuilt(collection) => change_columns(conn, collection)?,
            Some(_) => {}
        }
    }
    // Names of indices are one set for all tables: first all go that go.
    for collection in &plan.collections {
        drop_indices(conn, collection)?;
    }
    for collection in &plan.collections {
        make_indices(conn, &collection.collection)?;
    }
    for collection in registry.collections() {
        let table = live(conn, collection)?;
        let table = table.ok_or_else(|| {
            mismatch(collection, format!("table `{}` is gone", collection.table()))
        })?;
        check(collection, &table)?;
    }
    stored::write(conn, &plan.target)
}

fn run(conn: &Connection, sql: &str) -> Result<()> {
    conn.execute_batch(sql).map_err(failed)
}

fn rename_tables(conn: &Connection, plan: &Plan, made: &[(&str, &str)]) -> Result<()> {
    let kept = plan.collections.iter().filter(|it| !is_rebuilt(it));
    let renamed: Vec<(&str, &str)> = kept
        .filter_map(|it| Some((it.stored.as_ref()?.1.table.as_str(), &**it.collection.table())))
        .filter(|(from, to)| from != to)
        .chain(made.iter().copied())
        .collect();
    // Two tables may change names.
    for (from, to) in &renamed {
        run(conn, &rename(from, &format!("{MEANWHILE}{to}")))?;
    }
    for (_, to) in &renamed {
        run(conn, &rename(&format!("{MEANWHILE}{to}"), to))?;
    }
    Ok(())
}

/// Gives a table another name.
pub(super) fn rename(from: &str, to: &str) -> String {
    format!("ALTER TABLE {} RENAME TO {}", quote(from), quote(to))
}

fn change_columns(conn: &Connection, plan: &CollectionPlan) -> Result<()> {
    let collection = &plan.collection;
    let rename = |from: &str, to: &str| {
        let (table, from, to) = (quote(collection.table()), quote(from), quote(to));
        run(conn, &format!("ALTER TABLE {table} RENAME COLUMN {from} TO {to}"))
    };
    let renamed = plan.renamed_columns();
    for (from, to) in &renamed {
        rename(from, &format!("{MEANWHILE}{to}"))?;
    }
    for (_, to) in &renamed {
        rename(&format!("{MEANWHILE}{to}"), to)?;
    }
    let added = plan.added.iter().map(|at| &collection.fields()[*at]);
    added.filter_map(|field| add_column(collection, field)).try_for_each(|sql| run(conn, &sql))
}

/// Removes the indices that the schema does not have any more, and those that would have another name today.
fn drop_indices(conn: &Connection, plan: &CollectionPlan) -> Result<()> {
    let Some((_, stored)) = &plan.stored else { return Ok(()) };
    let collection = &plan.collection;
    let Some(table) = live(conn, collection)? else { return Ok(()) };
    for index in &stored.indices {
        let columns = index.columns.iter().map(String::as_str);
        let name = index_name(&stored.table, index.unique, columns);
        let Some(there) = table.indices.iter().find(|it| it.name == name) else { continue };
        // Its columns may have changed names, and it went with them.
        let is_wanted = collection.indices().iter().any(|index| {
            let columns = index.fields.iter().map(|at| &*collection.fields()[*at].column);
            let there = there.columns.iter().map(|column| column.as_deref().unwrap_or_default());
            name_of(collection, index) == name && columns.eq(there)
        });
        if !is_wanted {
            run(conn, &format!("DROP INDEX {}", quote(&name)))?;
        }
    }
    Ok(())
}

fn make_indices(conn: &Connection, collection: &Collection) -> Result<()> {
    let Some(table) = live(conn, collection)? else { return Ok(()) };
    for at in missing_indices(collection, &table) {
        let index = &collection.indices()[at];
        conn.execute_batch(&create_index(collection, index)).map_err(|source| match &source {
            rusqlite::Error::SqliteFailure(code, _)
                if code.code == ErrorCode::ConstraintViolation =>
            {
                Error::UniqueViolation {
                    collection: collection.name().clone(),
                    index: collection.index_label(index),
                    values: Vec::new(),
                }
            }
            _ => error::failed("make an index", Some(collection.name()), source),
        })?;
    }
    Ok(())
}
