//! Writing: the steps of a batch on the writer's connection.

use std::collections::BTreeMap;
use std::sync::Arc;

use rusqlite::{CachedStatement, Connection, Statement};
use storex_core::{
    BatchRun, Change, Changes, Collection, Create, Error, Filter, Key, Name, OnConflict, Record,
    Result, Step, StepOutcome, Value, apply_changes,
};

use crate::error::{self, BACKEND, failed_write};
use crate::read;
use crate::sql::{Sql, TooLarge};
use crate::table::{Table, Tables};
use crate::trace;
use crate::value::{Bound, Param, bind_all, bind_key};
use crate::violation;

/// So many statements are at hand during a batch.
const HELD: usize = 8;

/// Beside its own, a batch brings the words of so many objects up to date which another program has written.
const STRANGERS_DRAINED: usize = 1_000;

/// Runs a batch to its end inside the transaction that is open.
pub(crate) fn run(conn: &Connection, tables: &Tables, run: &mut BatchRun) -> Result<()> {
    let mut writing =
        Writing { conn, tables, held: Vec::with_capacity(HELD), searched: BTreeMap::new() };
    while let Some(step) = run.next_step()? {
        let outcome = writing.execute(step)?;
        writing.count_searched(step, &outcome);
        run.record(outcome)?;
        trace::step("sqlite.step");
    }
    writing.drain()
}

/// One batch.
struct Writing<'c> {
    conn: &'c Connection,
    tables: &'c Tables,
    /// The statements that were used last, by the text that the table keeps. A batch of a thousand small steps uses a few
    /// of them over and over; finding them in the connection's cache costs a sixteenth of such a step.
    held: Vec<(Arc<str>, CachedStatement<'c>)>,
    /// How many objects of tables with a search index were written.
    searched: BTreeMap<Name, usize>,
}

impl<'c> Writing<'c> {
    fn execute(&mut self, step: &Step) -> Result<StepOutcome> {
        match step {
            Step::Create(it) => self.create(self.table(&it.collection)?, it),
            Step::Update { collection, filter, changes } => {
                let table = self.table(collection)?;
                if changes.is_relative()
                    || matches!(filter, Filter::Keys(_)) && changes.tells_objects()
                {
                    self.update_relative(table, filter, changes)
                } else {
                    self.update(table, filter, changes)
                }
            }
            Step::Delete { collection, filter } => self.delete(self.table(collection)?, filter),
            Step::Find(query) => Ok(StepOutcome::Found(read::find(self.conn, self.tables, query)?)),
            Step::Count(query) => {
                Ok(StepOutcome::Counted(read::count(self.conn, self.tables, query)?))
            }
            other => {
                Err(Error::Unsupported { backend: BACKEND, what: format!("the step {other:?}") })
            }
        }
    }

    fn count_searched(&mut self, step: &Step, outcome: &StepOutcome) {
        let written = match (step, outcome) {
            (Step::Create(create), _) => create.records.len(),
            (_, StepOutcome::Updated { keys, .. } | StepOutcome::Deleted { keys }) => keys.len(),
            _ => return,
        };
        if let Some(name) = step.collection()
            && self.tables.get(name).is_some_and(|table| table.search.is_some())
        {
            *self.searched.entry(name.clone()).or_default() += written;
        }
    }

    /// Brings the search indices of what was written up to date.
    fn drain(&mut self) -> Result<()> {
        for (name, written) in &self.searched {
            let table = self.table(name)?;
            if let Some(index) = &table.search {
                index
                    .drain(self.conn, written + STRANGERS_DRAINED)
                    .map_err(|source| error::failed("fill the search index", Some(name), source))?;
            }
        }
        Ok(())
    }

    fn table(&self, name: &Name) -> Result<&'c Table> {
        read::table(self.tables, name)
    }

    /// A statement; [`Writing::keep`] it after use.
    fn statement(&mut self, table: &Table, text: &Arc<str>) -> Result<CachedStatement<'c>> {
        match self.held.iter().position(|(held, _)| Arc::ptr_eq(held, text)) {
            Some(at) => Ok(self.held.swap_remove(at).1),
            None => read::prepare(self.conn, table, text),
        }
    }

    fn keep(&mut self, text: &Arc<str>, statement: CachedStatement<'c>) {
        if self.held.len() == HELD {
            self.held.remove(0);
        }
        self.held.push((Arc::clone(text), statement));
    }

    fn create(&mut self, table: &Table, create: &Create) -> Result<StepOutcome> {
        let text = match create.on_conflict {
            OnConflict::Fail => &table.sql.insert,
            OnConflict::Skip => &table.sql.insert_or_skip,
            OnConflict::Replace => &table.sql.insert_or_replace,
        };
        let mut skipped = Vec::new();
        let mut statement = self.statement(table, text)?;
        for (at, record) in create.records.iter().enumerate() {
            for (n, value) in record.values().iter().enumerate() {
                statement.raw_bind_parameter(n + 1, Bound(value)).map_err(|source| {
                    error::failed("create", Some(table.collection.name()), source)
                })?;
            }
            let written = match statement.raw_execute() {
                Ok(rows) => rows > 0,
                Err(source) => self.resolve(table, create.on_conflict, record, source)?,
            };
            match create.on_conflict {
                OnConflict::Skip if !written => skipped.push(at),
                // A table without other fields than its key has nothing to replace.
                OnConflict::Replace if table.sql.others.is_empty() => {}
                _ if !written => return Err(ignored(table)),
                _ => {}
            }
        }
        self.keep(text, statement);
        Ok(StepOutcome::Created { skipped })
    }

    /// An insert that broke a rule of uniqueness. Which rule SQLite notices first is its own affair; ours is that the key
    /// comes first: an object with the same key is skipped or replaced, whatever else it has in common with the record.
    fn resolve(
        &mut self,
        table: &Table,
        on_conflict: OnConflict,
        record: &Record,
        source: rusqlite::Error,
    ) -> Result<bool> {
        let key = table.collection.key_of(record);
        let error = failed_write("create", table, Some(&|| key.to_string()), source);
        let error = table.with_values(error, record);
        if !matches!(error, Error::UniqueViolation { .. }) || self.conn.is_autocommit() {
            return Err(error);
        }
        if !read::exists(self.conn, table, &key)? {
            return Err(error);
        }
        match on_conflict {
            OnConflict::Fail => Err(Error::AlreadyExists {
                collection: table.collection.name().clone(),
                key: key.to_string(),
            }),
            OnConflict::Skip => Ok(false),
            OnConflict::Replace => {
                let others = &table.sql.others;
                let mut statement = self.statement(table, &table.update(others).set_key)?;
                let values = others.iter().map(|at| record.get(*at));
                write_by_key(&mut statement, table, values, &key)
                    .map_err(|error| table.with_values(error, record))
            }
        }
    }

    fn update(&mut self, table: &Table, filter: &Filter, changes: &Changes) -> Result<StepOutcome> {
        let (conn, tables) = (self.conn, self.tables);
        self.update_all(table, filter, changes)
            .map_err(|error| violation::of_update(conn, tables, table, (filter, changes), error))
    }

    fn update_all(
        &mut self,
        table: &Table,
        filter: &Filter,
        changes: &Changes,
    ) -> Result<StepOutcome> {
        let texts = table.update(&changed_fields(&table.collection, changes)?);
        let values = || {
            changes.iter().map(|(_, change)| match change {
                Change::Set(value) => value,
                // Relative changes go another way.
                _ => &Value::Null,
            })
        };
        let scanned;
        let keys = match filter {
            Filter::Keys(keys) => keys,
            filter => {
                let mut sql = Sql::new(self.tables, &texts.set);
                sql.params.extend(values().map(Param::Value));
                match sql.filter(table, filter, None) {
                    Ok(()) if changes.tells_objects() => return self.returning_objects(table, sql),
                    Ok(()) => return Ok(updated(self.returning(table, sql, "update")?)),
                    Err(TooLarge) if changes.tells_objects() => {
                        return self.update_relative(table, filter, changes);
                    }
                    Err(TooLarge) => scanned = self.scanned_keys(table, filter)?,
                }
                &scanned
            }
        };
        let mut statement = self.statement(table, &texts.set_key)?;
        let mut touched = Vec::with_capacity(keys.len());
        for key in keys {
            if write_by_key(&mut statement, table, values(), key)? {
                touched.push(key.clone());
            }
        }
        self.keep(&texts.set_key, statement);
        Ok(updated(touched))
    }

    /// Reads, changes and writes object by object. Increments are core's arithmetic: SQLite would turn an overflow into a
    /// float.
    fn update_relative(
        &mut self,
        table: &Table,
        filter: &Filter,
        changes: &Changes,
    ) -> Result<StepOutcome> {
        let collection = &table.collection;
        let fields = changed_fields(collection, changes)?;
        let mut found = read::matching(self.conn, self.tables, table, filter)?;
        if !matches!(filter, Filter::Keys(_)) {
            found.sort_by_cached_key(|record| collection.key_of(record));
        }
        let text = &table.update(&fields).set_key;
        let mut statement = self.statement(table, text)?;
        let mut keys = Vec::with_capacity(found.len());
        let mut records = Vec::with_capacity(found.len());
        let mut unchanged = Vec::new();
        for mut record in found {
            let key = collection.key_of(&record);
            let idle = apply_changes(collection, changes, &mut record)?;
            let values = fields.iter().map(|at| record.get(*at));
            let written = write_by_key(&mut statement, table, values, &key);
            if written.map_err(|error| table.with_values(error, &record))? {
                unchanged.extend(idle.into_iter().map(|field| (keys.len(), field)));
                keys.push(key);
                records.push(record);
            }
        }
        self.keep(text, statement);
        Ok(StepOutcome::Updated { keys, records, unchanged })
    }

    fn delete(&mut self, table: &Table, filter: &Filter) -> Result<StepOutcome> {
        let scanned;
        let keys = match filter {
            Filter::Keys(keys) => keys,
            filter => {
                let mut sql = Sql::new(self.tables, "DELETE FROM ");
                sql.push(&table.name);
                match sql.filter(table, filter, None) {
                    Ok(()) => {
                        let keys = self.returning(table, sql, "delete")?;
                        return Ok(StepOutcome::Deleted { keys });
                    }
                    Err(TooLarge) => scanned = self.scanned_keys(table, filter)?,
                }
                &scanned
            }
        };
        let text = &table.sql.delete_key;
        let mut statement = self.statement(table, text)?;
        let mut deleted = Vec::with_capacity(keys.len());
        for key in keys {
            let rows = bind_key(&mut statement, 1, key).and_then(|()| statement.raw_execute());
            if rows.map_err(|source| failed_write("delete", table, None, source))? > 0 {
                deleted.push(key.clone());
            }
        }
        self.keep(text, statement);
        Ok(StepOutcome::Deleted { keys: deleted })
    }

    /// Runs a statement with `RETURNING` the key: exactly the rows it has touched, by key.
    fn returning(
        &self,
        table: &Table,
        mut sql: Sql<'_>,
        operation: &'static str,
    ) -> Result<Vec<Key>> {
        sql.push(" RETURNING ");
        sql.push(&table.sql.key_columns);
        let mut statement = read::prepare(self.conn, table, &sql.text)?;
        bind_all(&mut statement, &sql.params)
            .map_err(|source| error::failed(operation, Some(table.collection.name()), source))?;
        let mut keys = read::returned_keys(table, &mut statement.raw_query(), operation)?;
        keys.sort();
        Ok(keys)
    }

    /// Runs an update with `RETURNING` all fields: the objects as they are afterwards, by key.
    fn returning_objects(&self, table: &Table, mut sql: Sql<'_>) -> Result<StepOutcome> {
        let failed = |source| failed_write("update", table, None, source);
        sql.push(" RETURNING ");
        sql.push(&table.sql.all_columns);
        let mut statement = read::prepare(self.conn, table, &sql.text)?;
        bind_all(&mut statement, &sql.params).map_err(failed)?;
        let mut rows = statement.raw_query();
        let mut objects = Vec::new();
        while let Some(row) = rows.next().map_err(failed)? {
            let record = read::record(table, &table.all, row)?;
            objects.push((table.collection.key_of(&record), record));
        }
        objects.sort_by(|(a, _), (b, _)| a.cmp(b));
        let (keys, records) = objects.into_iter().unzip();
        Ok(StepOutcome::Updated { keys, records, unchanged: Vec::new() })
    }

    /// The keys that a filter matches which SQLite cannot take.
    fn scanned_keys(&self, table: &Table, filter: &Filter) -> Result<Vec<Key>> {
        let records = read::scan(self.conn, self.tables, table, filter)?;
        Ok(records.iter().map(|record| table.collection.key_of(record)).collect())
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
    statement: &mut Statement<'_>,
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

fn changed_fields(collection: &Collection, changes: &Changes) -> Result<Vec<usize>> {
    changes.iter().map(|(name, _)| collection.require(name)).collect()
}

fn updated(keys: Vec<Key>) -> StepOutcome {
    StepOutcome::Updated { keys, records: Vec::new(), unchanged: Vec::new() }
}
