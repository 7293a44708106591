//! Looking at the database: what is to be done next.

use std::sync::Arc;

use rusqlite::Connection;
use storex_core::{Collection, CollectionPlan, Error, Plan, Registry, Result, StoredSchema, plan};

use crate::error;
use crate::schema::check::{check, mismatch};
use crate::schema::ddl::{add_column, has_index, is_stored};
use crate::schema::inspect::LiveTable;
use crate::schema::stored::{self, Unfinished};
use crate::schema::{describe, live};

/// What was seen.
#[derive(Debug)]
pub(super) struct Look {
    /// From the schema that is stored to the one of the registry.
    pub(super) plan: Plan,
    pub(super) todo: Todo,
}

/// What is to be done next.
#[derive(Debug)]
pub(super) enum Todo {
    Nothing,
    /// Everything, in one transaction.
    Alter,
    /// Tables have to be written anew.
    Begin,
    /// That has begun.
    GoOn(Unfinished),
    /// That has begun, but to another schema than ours, which is older.
    TakeBack(Unfinished),
}

/// Looks at the database. Changes nothing; an error where it cannot be made to fit.
pub(super) fn look(conn: &Connection, registry: &Registry) -> Result<Look> {
    check_names(registry)?;
    let written = stored::read(conn)?;
    if let Some(unfinished) = written.unfinished {
        return look_unfinished(registry, written.schema.unwrap_or_default(), unfinished);
    }
    let known = written.schema.clone();
    let plan = plan(&describe::complete(conn, registry, written.schema)?, registry)?;
    let mut complete = plan.is_empty() && is_written(known.as_ref(), &plan);
    for collection in registry.collections().iter().filter(|it| it.is_adopted()) {
        let table = live(conn, collection)?.ok_or_else(|| {
            mismatch(collection, format!("there is no table `{}`", collection.table()))
        })?;
        check(collection, &table)?;
    }
    for collection in &plan.collections {
        complete &= check_table(conn, &plan, collection)?;
    }
    let todo = if complete {
        Todo::Nothing
    } else if plan.collections.iter().any(is_rebuilt) {
        Todo::Begin
    } else {
        Todo::Alter
    };
    Ok(Look { plan, todo })
}

/// A database with nothing of ours in it needs no description.
fn is_written(known: Option<&StoredSchema>, plan: &Plan) -> bool {
    match known {
        Some(known) => *known == plan.target,
        None => plan.target.collections.is_empty(),
    }
}

/// Whether the table of a collection has to be written anew.
pub(super) fn is_rebuilt(plan: &CollectionPlan) -> bool {
    let (collection, fields) = (&plan.collection, plan.collection.fields());
    let cannot_add = |at: &usize| add_column(collection, &fields[*at]).is_none();
    plan.stored.is_some() && (plan.rewrites || plan.added.iter().any(cannot_add))
}

/// Refuses a table that is not what it is said to be. Whether it is there with all its indices.
fn check_table(conn: &Connection, all: &Plan, plan: &CollectionPlan) -> Result<bool> {
    let Some((name, stored)) = &plan.stored else {
        // The table of this name is another collection's, which gives it up.
        if all.frees(plan.collection.table()) {
            return Ok(false);
        }
        // A table would have been described: this is a view, or part of a virtual table.
        return match live(conn, &plan.collection)? {
            Some(live) => check(&plan.collection, &live).map(|()| false),
            None => Ok(false),
        };
    };
    let old = stored.collection(name)?;
    let table = live(conn, &old)?
        .ok_or_else(|| mismatch(&plan.collection, format!("table `{}` is gone", stored.table)))?;
    if plan.keeps_shape() {
        check(&plan.collection, &table)?;
        return Ok(missing_indices(&plan.collection, &table).next().is_none());
    }
    check(&old, &table)?;
    Ok(false)
}

/// Positions of the indices that are not there.
pub(super) fn missing_indices<'a>(
    collection: &'a Collection,
    table: &'a LiveTable,
) -> impl Iterator<Item = usize> {
    let indices = collection.indices().iter().enumerate();
    let missing = indices
        .filter(|(_, index)| is_stored(collection, index) && !has_index(table, collection, index));
    missing.map(|(at, _)| at)
}

fn look_unfinished(
    registry: &Registry,
    from: StoredSchema,
    unfinished: Unfinished,
) -> Result<Look> {
    unfinished.target.refuse_newer(registry)?;
    let plan = plan(&from, registry)?;
    if plan.target == unfinished.target {
        return Ok(Look { plan, todo: Todo::GoOn(unfinished) });
    }
    // Only who knows what was there may take it back.
    let knows = |name: &str| {
        registry.find(name).is_some()
            || registry.migrations().iter().any(|it| {
                it.old_name().is_some_and(|old| **old == *name)
                    || (it.is_removal() && **it.collection() == *name)
            })
    };
    match unfinished.moved.iter().find(|it| !knows(&it.collection)) {
        None => Ok(Look { plan, todo: Todo::TakeBack(unfinished) }),
        Some(moved) => Err(Error::SchemaMismatch {
            collection: moved.collection.as_str().into(),
            reason: format!(
                "a migration from version {} to version {} has begun and is not finished, and this program (version {}) does not \
                 know it; open the database with the program that has begun it",
                from.version,
                unfinished.target.version,
                registry.version().0
            ),
        }),
    }
}

fn check_names(registry: &Registry) -> Result<()> {
    let kept = |collection: &&Arc<Collection>| {
        let begin = collection.table().get(..7);
        begin.is_some_and(|begin| begin.eq_ignore_ascii_case("sqlite_"))
    };
    if let Some(collection) = registry.collections().iter().find(kept) {
        return Err(mismatch(
            collection,
            "SQLite keeps names that begin with `sqlite_` for itself; choose another table",
        ));
    }
    match registry.collections().iter().find(|it| **it.table() == *stored::TABLE) {
        Some(collection) => {
            Err(mismatch(collection, "the schema itself is kept in a table of that name"))
        }
        None => Ok(()),
    }
}

/// A failure of the migration itself.
pub(super) fn failed(source: rusqlite::Error) -> Error {
    error::failed("migrate the database", None, source)
}
