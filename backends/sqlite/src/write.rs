//! Writing: the steps of a batch on the writer's connection.

use std::sync::Arc;

use rusqlite::Connection;
use storex_core::{
    BatchRun, Change, Changes, Collection, Create, Error, Filter, Key, OnConflict, Record, Result,
    Step, StepOutcome, Value, apply_changes,
};

use crate::error::{self, BACKEND, failed_write};
use crate::read;
use crate::sql::{Sql, TooLarge};
use crate::table::{Table, Tables};
use crate::trace;
use crate::value::{Bound, bind_all, bind_key};

/// Runs a batch to its end inside the transaction that is open.
pub(crate) fn run(conn: &Connection, tables: &Tables, run: &mut BatchRun) -> Result<()> {
    while let Some(step) = run.next_step()? {
        let outcome = execute(conn, tables, step)?;
        run.record(outcome)?;
        trace::step("sqlite.step");
    }
    Ok(())
}

fn execute(conn: &Connection, tables: &Tables, step: &Step) -> Result<StepOutcome> {
    let table = |name: &storex_core::Name| -> Result<&Arc<Table>> {
        tables.get(name).ok_or_else(|| Error::UnknownCollection { collection: name.clone() })
    };
    match step {
        Step::Create(it) => create(conn, table(&it.collection)?, it),
        Step::Update { collection, filter, changes } => {
            let table = table(collection)?;
            if changes.is_relative() {
                update_relative(conn, table, filter, changes)
            } else {
                update(conn, table, filter, changes)
            }
        }
        Step::Delete { collection, filter } => delete(conn, table(collection)?, filter),
        Step::Find(query) => {
            Ok(StepOutcome::Found(read::find(conn, table(&query.collection)?, query)?))
        }
        Step::Count(query) => {
            Ok(StepOutcome::Counted(read::count(conn, table(&query.collection)?, query)?))
        }
        other => Err(Error::Unsupported { backend: BACKEND, what: format!("the step {other:?}") }),
    }
}

fn create(conn: &Connection, table: &Table, create: &Create) -> Result<StepOutcome> {
    const OPERATION: &str = "create";
    let text = match create.on_conflict {
        OnConflict::Fail => &table.sql.insert,
        OnConflict::Skip => &table.sql.insert_or_skip,
        OnConflict::Replace => &table.sql.insert_or_replace,
    };
    let mut skipped = Vec::new();
    let mut statement = read::prepare(conn, table, text)?;
    for (at, record) in create.records.iter().enumerate() {
        for (n, value) in record.values().iter().enumerate() {
            statement
                .raw_bind_parameter(n + 1, Bound(value))
                .map_err(|source| error::failed(OPERATION, Some(table.collection.name()), source))?;
        }
        let written = match statement.raw_execute() {
            Ok(rows) => rows > 0,
            Err(source) => resolve(conn, table, create.on_conflict, record, source)?,
        };
        match create.on_conflict {
            OnConflict::Skip if !written => skipped.push(at),
            // A table without other fields than its key has nothing to replace.
            OnConflict::Replace if table.sql.replace.is_none() => {}
            _ if !written => return Err(ignored(table)),
            _ => {}
        }
    }
    Ok(StepOutcome::Created { skipped })
}

/// An insert that broke a rule of uniqueness. Which rule SQLite notices first is its own affair; ours is that the key
/// comes first: an object with the same key is skipped or replaced, whatever else it has in common with the record.
fn resolve(
    conn: &Connection,
    table: &Table,
    on_conflict: OnConflict,
    record: &Record,
    source: rusqlite::Error,
) -> Result<bool> {
    const OPERATION: &str = "create";
    let key = table.collection.key_of(record);
    let error = failed_write(OPERATION, table, Some(&|| key.to_string()), source);
    if !matches!(error, Error::UniqueViolation { .. }) || conn.is_autocommit() {
        return Err(error);
    }
    if !read::exists(conn, table, &key)? {
        return Err(error);
    }
    match (on_conflict, &table.sql.replace) {
        (OnConflict::Fail, _) => Err(Error::AlreadyExists {
            collection: table.collection.name().clone(),
            key: key.to_string(),
        }),
        (OnConflict::Replace, Some(text)) => {
            let mut statement = read::prepare(conn, table, text)?;
            let others = record.values().iter().enumerate().filter(|(at, _)| !table.collection.is_key(*at));
            write_by_key(&mut statement, table, others.map(|(_, value)| value), &key)
        }
        _ => Ok(false),
    }
}

/// Nothing was written, and nothing complained: a trigger of an adopted table raised IGNORE.
fn ignored(table: &Table) -> Error {
    Error::ConstraintViolation {
        collection: table.collection.name().clone(),
        reason: "a trigger of the table ignored the object".to_owned(),
    }
}

/// Binds values and then the key, and executes: whether the object was there.
fn write_by_key<'v>(
    statement: &mut rusqlite::Statement<'_>,
    table: &Table,
    values: impl Iterator<Item = &'v Value>,
    key: &Key,
) -> Result<bool> {
    let execute = || {
        let mut first = 1;
        for value in values {
            statement.raw_bind_parameter(first, Bound(value))?;
            first += 1;
        }
        bind_key(statement, first, key)?;
        statement.raw_execute()
    };
    execute().map(|rows| rows > 0).map_err(|source| failed_write("update", table, None, source))
}

/// `UPDATE t SET a = ?1, b = ?2`
fn update_text(table: &Table, fields: &[usize]) -> String {
    let set: Vec<String> = fields
        .iter()
        .enumerate()
        .map(|(n, at)| format!("{} = ?{}", table.column(*at).name, n + 1))
        .collect();
    format!("UPDATE {} SET {}", table.name, set.join(", "))
}

fn changed_fields(collection: &Collection, changes: &Changes) -> Result<Vec<usize>> {
    changes.iter().map(|(name, _)| collection.require(name)).collect()
}

fn update(conn: &Connection, table: &Table, filter: &Filter, changes: &Changes) -> Result<StepOutcome> {
    let fields = changed_fields(&table.collection, changes)?;
    let text = update_text(table, &fields);
    let values = || {
        changes.iter().map(|(_, change)| match change {
            Change::Set(value) => value,
            // Relative changes go another way.
            _ => &Value::Null,
        })
    };
    let keys = match filter {
        Filter::Keys(keys) => keys.clone(),
        filter => {
            let mut sql = Sql::new(&text);
            sql.params.extend(values().map(crate::value::Param::Value));
            match sql.filter(table, filter, None) {
                Ok(()) => return Ok(updated(returning(conn, table, sql, "update")?)),
                Err(TooLarge) => keys_of(table, &read::scan(conn, table, filter)?),
            }
        }
    };
    let text = format!("{text} WHERE {}", table.where_key(fields.len() + 1));
    let mut statement = read::prepare(conn, table, &text)?;
    let mut touched = Vec::with_capacity(keys.len());
    for key in keys {
        if write_by_key(&mut statement, table, values(), &key)? {
            touched.push(key);
        }
    }
    Ok(updated(touched))
}

fn updated(keys: Vec<Key>) -> StepOutcome {
    StepOutcome::Updated { keys, records: Vec::new() }
}

fn keys_of(table: &Table, records: &[Record]) -> Vec<Key> {
    records.iter().map(|record| table.collection.key_of(record)).collect()
}

/// Runs a statement with `RETURNING` the key: exactly the rows it has touched, by key.
fn returning(conn: &Connection, table: &Table, mut sql: Sql<'_>, operation: &'static str) -> Result<Vec<Key>> {
    sql.push(" RETURNING ");
    sql.push(&table.sql.key_columns);
    let mut statement = read::prepare(conn, table, &sql.text)?;
    bind_all(&mut statement, &sql.params)
        .map_err(|source| error::failed(operation, Some(table.collection.name()), source))?;
    let mut keys = read::returned_keys(table, &mut statement.raw_query(), operation)?;
    keys.sort();
    Ok(keys)
}

/// Increments are core's arithmetic: SQLite would turn an overflow into a float.
fn update_relative(conn: &Connection, table: &Table, filter: &Filter, changes: &Changes) -> Result<StepOutcome> {
    let collection = &table.collection;
    let fields = changed_fields(collection, changes)?;
    let text =
        format!("{} WHERE {}", update_text(table, &fields), table.where_key(fields.len() + 1));
    let mut found = read::matching(conn, table, filter)?;
    if !matches!(filter, Filter::Keys(_)) {
        found.sort_by_cached_key(|record| collection.key_of(record));
    }
    let mut statement = read::prepare(conn, table, &text)?;
    let (mut keys, mut records) = (Vec::with_capacity(found.len()), Vec::with_capacity(found.len()));
    for mut record in found {
        let key = collection.key_of(&record);
        apply_changes(collection, changes, &mut record)?;
        if write_by_key(&mut statement, table, fields.iter().map(|at| record.get(*at)), &key)? {
            keys.push(key);
            records.push(record);
        }
    }
    Ok(StepOutcome::Updated { keys, records })
}

fn delete(conn: &Connection, table: &Table, filter: &Filter) -> Result<StepOutcome> {
    const OPERATION: &str = "delete";
    let keys = match filter {
        Filter::Keys(keys) => keys.clone(),
        filter => {
            let mut sql = Sql::new("DELETE FROM ");
            sql.push(&table.name);
            match sql.filter(table, filter, None) {
                Ok(()) => {
                    return Ok(StepOutcome::Deleted { keys: returning(conn, table, sql, OPERATION)? });
                }
                Err(TooLarge) => keys_of(table, &read::scan(conn, table, filter)?),
            }
        }
    };
    let mut statement = read::prepare(conn, table, &table.sql.delete_key)?;
    let mut deleted = Vec::with_capacity(keys.len());
    for key in keys {
        let mut execute = || {
            bind_key(&mut statement, 1, &key)?;
            statement.raw_execute()
        };
        if execute().map_err(|source| failed_write(OPERATION, table, None, source))? > 0 {
            deleted.push(key);
        }
    }
    Ok(StepOutcome::Deleted { keys: deleted })
}
