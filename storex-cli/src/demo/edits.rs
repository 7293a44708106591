//! The script: what is written on both sides while they are apart, and what must come of it.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params_from_iter};
use storex_core::{
    Batch, Changes, Collection, Direction, ErrorKind, Filter, Key, Name, Query, Record, Runtime,
    Storage, Value, field,
};
use storex_sqlite::ForeignKey;

use super::choose::{Side, Table};
use super::report::{ConflictOutcome, EditCounts, Sides};
use super::{compare, quote};
use crate::error::{During, Result};

/// So many tables are edited, so that a database with very many does not make a very long report.
const TABLES: usize = 24;
/// So many rows of each are looked at.
const ROWS: u64 = 64;
/// So many rows are tried when the database refuses an edit.
const TRIES: usize = 4;
/// New rows per table and side.
const INSERTS: usize = 2;
/// In how many tables each of the other kinds of edits is made.
const EDITED_TABLES: usize = 3;
/// In a smaller table nothing is deleted.
const ROWS_TO_DELETE_FROM: usize = 8;

/// What was written, and what must come of it.
#[derive(Debug, Default)]
pub(crate) struct Script {
    pub(crate) counts: Sides<EditCounts>,
    conflicts: Vec<Conflict>,
    expected: Vec<Expected>,
}

/// What must be in both databases at the end.
#[derive(Debug)]
struct Expected {
    row: Place,
    what: &'static str,
    /// The values of some columns; `None`: the row is not there.
    values: Option<Vec<(Name, Value)>>,
}

/// A row, by the names that the database uses.
#[derive(Debug, Clone)]
struct Place {
    collection: Name,
    table: Name,
    key_columns: Vec<Name>,
    key: Key,
}

/// Two writes of which neither side had seen the other's.
#[derive(Debug)]
struct Conflict {
    row: Place,
    /// The field's name and column.
    field: (Name, Name),
    /// What each side wrote; `None`: it deleted the row.
    written: Sides<Option<Value>>,
    /// Who must win.
    winner: Side,
}

impl Place {
    fn new(collection: &Collection, key: Key) -> Self {
        let key_columns = collection.primary_key().iter();
        let key_columns =
            key_columns.map(|at| Name::clone(&collection.fields()[*at].column)).collect();
        Self {
            collection: Name::clone(collection.name()),
            table: Name::clone(collection.table()),
            key_columns,
            key,
        }
    }
}

/// Writes on both sides.
pub(crate) struct Editor<'a> {
    pub(crate) devices: Sides<&'a Storage>,
    pub(crate) runtime: &'a dyn Runtime,
    script: Script,
}

impl<'a> Editor<'a> {
    pub(crate) fn new(devices: Sides<&'a Storage>, runtime: &'a dyn Runtime) -> Self {
        Self { devices, runtime, script: Script::default() }
    }

    /// Writes the whole script.
    pub(crate) async fn run(mut self, foreign_keys: &[ForeignKey]) -> Result<Script> {
        let mut tables = self.read_tables(foreign_keys).await?;
        self.delete_against_update(&mut tables).await?;
        self.same_field(&mut tables).await?;
        self.different_fields(&mut tables).await?;
        self.deletes(&mut tables).await?;
        for table in &tables {
            self.inserts(table, Side::A).await?;
            self.inserts(table, Side::B).await?;
        }
        Ok(self.script)
    }

    /// Both sides are equal now, so it does not matter whose rows are looked at.
    async fn read_tables(&self, foreign_keys: &[ForeignKey]) -> Result<Vec<Table>> {
        let mut tables = Vec::new();
        for collection in self.devices.a.registry().collections() {
            if collection.is_reserved() {
                continue;
            }
            let query = Query::new(Name::clone(collection.name())).limit(ROWS);
            let rows = self.devices.a.find(query).await.during("reading rows to edit")?;
            if !rows.is_empty() {
                let mut table = Table::new(collection, rows, foreign_keys);
                if table.is_link() {
                    table.linked = self.read_linked(&table).await?;
                }
                tables.push(table);
            }
            if tables.len() == TABLES {
                break;
            }
        }
        Ok(tables)
    }

    /// Values of the key's fields from both ends of the table.
    async fn read_linked(&self, table: &Table) -> Result<Vec<Vec<Value>>> {
        let mut linked = Vec::new();
        for at in table.collection.primary_key() {
            let field = &table.field(*at).name;
            let mut values = Vec::new();
            for direction in [Direction::Ascending, Direction::Descending] {
                let query = Query::new(Name::clone(table.name()))
                    .order_by(Name::clone(field), direction)
                    .limit(ROWS)
                    .select([Name::clone(field)]);
                let found = self.devices.a.find(query).await.during("reading rows to link")?;
                values.extend(found.into_iter().map(|record| record.get(0).clone()));
            }
            linked.push(values);
        }
        Ok(linked)
    }

    /// One side deletes a row, the other changes it later: it is gone.
    async fn delete_against_update(&mut self, tables: &mut [Table]) -> Result<()> {
        let mut done = 0;
        for table in tables {
            if done == EDITED_TABLES {
                break;
            }
            let deleter = if done % 2 == 0 { Side::A } else { Side::B };
            if self.delete_against_update_in(table, deleter).await? {
                done += 1;
            }
        }
        Ok(())
    }

    async fn delete_against_update_in(&mut self, table: &mut Table, deleter: Side) -> Result<bool> {
        for (row, at) in choices(table) {
            let record = table.rows[row].clone();
            let Some(value) = table.edited(&record, at, deleter.other()) else { continue };
            let place = Place::new(&table.collection, table.collection.key_of(&record));
            if !self.may_delete(table, &record).await? || !self.delete(deleter, &place).await? {
                continue;
            }
            table.take(row);
            self.expect(&place, "deleted", None);
            self.pause().await;
            if self.update(deleter.other(), &place, table, at, &value).await? {
                let mut written = Sides { a: None, b: None };
                *written.of_mut(deleter.other()) = Some(value);
                let field =
                    (Name::clone(&table.field(at).name), Name::clone(&table.field(at).column));
                self.script.conflicts.push(Conflict {
                    row: place,
                    field,
                    written,
                    winner: deleter,
                });
            }
            return Ok(true);
        }
        Ok(false)
    }

    /// Both sides change one field of one row: the later one wins.
    async fn same_field(&mut self, tables: &mut [Table]) -> Result<()> {
        let mut done = 0;
        for table in tables {
            if done == EDITED_TABLES {
                break;
            }
            let first = if done % 2 == 0 { Side::A } else { Side::B };
            if self.same_field_in(table, first).await? {
                done += 1;
            }
        }
        Ok(())
    }

    async fn same_field_in(&mut self, table: &mut Table, first: Side) -> Result<bool> {
        for (row, at) in choices(table) {
            let record = table.rows[row].clone();
            let place = Place::new(&table.collection, table.collection.key_of(&record));
            let (Some(earlier), Some(later)) =
                (table.edited(&record, at, first), table.edited(&record, at, first.other()))
            else {
                continue;
            };
            if !self.update(first, &place, table, at, &earlier).await? {
                continue;
            }
            table.take(row);
            self.pause().await;
            let column = Name::clone(&table.field(at).column);
            if !self.update(first.other(), &place, table, at, &later).await? {
                self.expect(&place, "changed on one side", Some(vec![(column, earlier)]));
                continue;
            }
            let winner = first.other();
            self.expect(
                &place,
                "changed on both sides",
                Some(vec![(column.clone(), later.clone())]),
            );
            let mut written = Sides { a: Some(earlier.clone()), b: Some(earlier) };
            *written.of_mut(winner) = Some(later);
            let field = (Name::clone(&table.field(at).name), column);
            self.script.conflicts.push(Conflict { row: place, field, written, winner });
            return Ok(true);
        }
        Ok(false)
    }

    /// The sides change different fields of one row: both changes stay.
    async fn different_fields(&mut self, tables: &mut [Table]) -> Result<()> {
        let mut done = 0;
        for table in tables.iter_mut() {
            if done < EDITED_TABLES && self.different_fields_in(table).await? {
                done += 1;
            }
        }
        Ok(())
    }

    async fn different_fields_in(&mut self, table: &mut Table) -> Result<bool> {
        let fields = table.editable.clone();
        if fields.len() < 2 {
            return Ok(false);
        }
        for row in table.unused().into_iter().take(TRIES) {
            let record = table.rows[row].clone();
            let place = Place::new(&table.collection, table.collection.key_of(&record));
            let mut values = Vec::new();
            for at in &fields {
                let side = if values.is_empty() { Side::A } else { Side::B };
                let Some(value) = table.edited(&record, *at, side) else { continue };
                if self.update(side, &place, table, *at, &value).await? {
                    values.push((Name::clone(&table.field(*at).column), value));
                }
                if values.len() == 2 {
                    break;
                }
            }
            if values.is_empty() {
                continue;
            }
            table.take(row);
            let both = values.len() == 2;
            self.expect(&place, "changed in different fields", Some(values));
            if both {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Each side deletes a row: both are gone.
    async fn deletes(&mut self, tables: &mut [Table]) -> Result<()> {
        let mut done = 0;
        for table in tables.iter_mut() {
            if done == EDITED_TABLES {
                break;
            }
            let mut deleted = 0;
            for row in table.unused().into_iter().rev() {
                let side = if deleted == 0 { Side::A } else { Side::B };
                let record = table.rows[row].clone();
                let place = Place::new(&table.collection, table.collection.key_of(&record));
                if deleted < 2
                    && self.may_delete(table, &record).await?
                    && self.delete(side, &place).await?
                {
                    table.take(row);
                    self.expect(&place, "deleted", None);
                    deleted += 1;
                }
            }
            done += usize::from(deleted > 0);
        }
        Ok(())
    }

    /// Creates rows after the model of others: in one transaction, or one by one where the database refuses some.
    async fn inserts(&mut self, table: &Table, side: Side) -> Result<()> {
        // What was edited is there to be seen as it was edited, and what was deleted is no model.
        let models = table.unused();
        let models = models.iter().cycle().take(models.len().min(1) * INSERTS * TRIES);
        let mut records: Vec<Record> = models
            .filter_map(|model| table.new_row(&table.rows[*model], side, self.runtime))
            .collect();
        if table.is_link() {
            records = self.not_there(table, side, records).await?;
        }
        let all: Vec<Record> = records.iter().take(INSERTS).cloned().collect();
        if self.create(table, side, all).await? > 0 {
            return Ok(());
        }
        let mut created = 0;
        for record in records {
            if created < INSERTS {
                created += self.create(table, side, vec![record]).await?;
            }
        }
        Ok(())
    }

    /// Leaves out what is there already, and what stands there twice.
    async fn not_there(
        &self,
        table: &Table,
        side: Side,
        mut records: Vec<Record>,
    ) -> Result<Vec<Record>> {
        let mut known: Vec<Key> = Vec::new();
        let keys = records.iter().map(|record| table.collection.key_of(record)).collect();
        let query = Query::new(Name::clone(table.name())).filter(Filter::Keys(keys));
        let there = self.devices.of(side).find(query).await.during("looking for linked rows")?;
        known.extend(there.iter().map(|record| table.collection.key_of(record)));
        records.retain(|record| {
            let key = table.collection.key_of(record);
            let new = !known.contains(&key);
            known.push(key);
            new
        });
        Ok(records)
    }

    /// Creates rows, all or none, and tells how many.
    async fn create(&mut self, table: &Table, side: Side, records: Vec<Record>) -> Result<usize> {
        if records.is_empty() {
            return Ok(0);
        }
        let batch = Batch::new().create(Name::clone(table.name()), records.clone());
        let outcome = match self.devices.of(side).execute(batch).await {
            Err(error) if is_refusal(error.kind()) => {
                tracing::debug!(%error, table = %table.name(), "new rows were refused");
                return Ok(0);
            }
            outcome => outcome.during("creating rows")?,
        };
        let keys = outcome.of_step(0).flat_map(|executed| executed.keys(&table.collection));
        for (key, record) in keys.zip(&records) {
            let values = (0..table.collection.fields().len())
                .filter(|at| !table.collection.is_key(*at))
                .map(|at| (Name::clone(&table.field(at).column), record.get(at).clone()))
                .collect();
            self.expect(&Place::new(&table.collection, key), "created", Some(values));
        }
        self.script.counts.of_mut(side).inserts += records.len() as u64;
        Ok(records.len())
    }

    /// Whether nothing points to the row, and the table does not become much emptier.
    async fn may_delete(&self, table: &Table, row: &Record) -> Result<bool> {
        if table.rows.len() < ROWS_TO_DELETE_FROM {
            return Ok(false);
        }
        for key in &table.referrers {
            let registry = self.devices.a.registry();
            let child = registry
                .collections()
                .iter()
                .find(|it| !it.is_reserved() && it.table().eq_ignore_ascii_case(&key.table));
            let Some(child) = child else { return Ok(false) };
            let targets = table.targets(key);
            let mut filter = Filter::All;
            for (column, target) in key.columns.iter().zip(&targets) {
                let pointing =
                    child.fields().iter().find(|it| it.column.eq_ignore_ascii_case(column));
                // A generated column may point too; nothing can be asked of it.
                let Some(pointing) = pointing else { return Ok(false) };
                let equal = field(Name::clone(&pointing.name)).eq(row.get(*target).clone());
                filter = if filter == Filter::All { equal } else { filter.and(equal) };
            }
            if filter == Filter::All {
                return Ok(false);
            }
            let query = Query::new(Name::clone(child.name())).filter(filter).limit(1);
            for side in [Side::A, Side::B] {
                let count = self.devices.of(side).count(query.clone()).await;
                if count.during("looking for rows that point to one")? > 0 {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    async fn update(
        &mut self,
        side: Side,
        place: &Place,
        table: &Table,
        at: usize,
        value: &Value,
    ) -> Result<bool> {
        let changes = Changes::new().set(Name::clone(&table.field(at).name), value.clone());
        let filter = Filter::Keys(vec![place.key.clone()]);
        let batch = Batch::new().update(Name::clone(&place.collection), filter, changes);
        let done = self.write(side, batch).await?;
        self.script.counts.of_mut(side).updates += u64::from(done);
        Ok(done)
    }

    async fn delete(&mut self, side: Side, place: &Place) -> Result<bool> {
        let filter = Filter::Keys(vec![place.key.clone()]);
        let done =
            self.write(side, Batch::new().delete(Name::clone(&place.collection), filter)).await?;
        self.script.counts.of_mut(side).deletes += u64::from(done);
        Ok(done)
    }

    /// Whether the database took it.
    async fn write(&self, side: Side, batch: Batch) -> Result<bool> {
        match self.devices.of(side).execute(batch).await {
            Ok(_) => Ok(true),
            Err(error) if is_refusal(error.kind()) => {
                tracing::debug!(%error, side = side.name(), "an edit was refused");
                Ok(false)
            }
            Err(error) => Err(error).during("editing a row"),
        }
    }

    /// So that what follows is later by the clock too.
    async fn pause(&self) {
        self.runtime.sleep(Duration::from_millis(3)).await;
    }

    fn expect(&mut self, row: &Place, what: &'static str, values: Option<Vec<(Name, Value)>>) {
        self.script.expected.push(Expected { row: row.clone(), what, values });
    }
}

/// Rows and fields to try, the best first.
fn choices(table: &Table) -> Vec<(usize, usize)> {
    let rows = table.unused();
    let fields = table.editable.iter().take(TRIES);
    fields.flat_map(|at| rows.iter().map(|row| (*row, *at)).collect::<Vec<_>>()).collect()
}

/// A rule of the database that the registry does not know.
fn is_refusal(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Conflict | ErrorKind::Invalid)
}

impl Script {
    /// Reads what came of it, with plain SQL: what differs from what was expected, and who won each conflict.
    pub(crate) fn check(&self, conn: &Connection, who: Side) -> rusqlite::Result<Vec<String>> {
        let mut differences = Vec::new();
        for expected in &self.expected {
            let Expected { row, what, values } = expected;
            let place = format!("`{}` {}, {what}", row.table, row.key);
            let columns: Vec<Name> =
                values.iter().flatten().map(|(column, _)| Name::clone(column)).collect();
            match (read_row(conn, row, &columns)?, values) {
                (None, None) => {}
                (Some(_), None) => {
                    differences.push(format!("{place}, is still there in {}", who.name()))
                }
                (None, Some(_)) => {
                    differences.push(format!("{place}, is not there in {}", who.name()))
                }
                (Some(found), Some(values)) => {
                    for ((column, wanted), found) in values.iter().zip(&found) {
                        let wanted = sql_value(wanted);
                        if !compare::same((&wanted).into(), found.into()) {
                            let (wanted, found) =
                                (compare::shown((&wanted).into()), compare::shown(found.into()));
                            differences.push(format!(
                                "{place}: column `{column}` is {found} in {} where {wanted} was expected",
                                who.name()
                            ));
                        }
                    }
                }
            }
        }
        Ok(differences)
    }

    /// Who won, by what is in the database.
    pub(crate) fn conflicts(&self, conn: &Connection) -> rusqlite::Result<Vec<ConflictOutcome>> {
        self.conflicts.iter().map(|conflict| conflict.outcome(conn)).collect()
    }
}

impl Conflict {
    fn outcome(&self, conn: &Connection) -> rusqlite::Result<ConflictOutcome> {
        let found = read_row(conn, &self.row, std::slice::from_ref(&self.field.1))?;
        let found = found.and_then(|mut values| values.pop());
        let won = |written: &Option<Value>| match (written, &found) {
            (None, None) => true,
            (Some(written), Some(found)) => {
                compare::same((&sql_value(written)).into(), found.into())
            }
            _ => false,
        };
        let winner = match (won(&self.written.a), won(&self.written.b)) {
            (true, false) => "A",
            (false, true) => "B",
            _ => "nobody",
        };
        let said = |written: &Option<Value>| match written {
            None => "deleted the row".to_owned(),
            Some(value) => format!("wrote {}", compare::shown((&sql_value(value)).into())),
        };
        let deleted = self.written.a.is_none() || self.written.b.is_none();
        let because = match (winner == self.winner.name(), deleted) {
            (false, _) => "which is not as it must be",
            (true, true) => "a delete wins over a change that had not seen it",
            (true, false) => "it wrote later",
        };
        Ok(ConflictOutcome {
            collection: self.row.collection.to_string(),
            key: self.row.key.to_string(),
            field: self.field.0.to_string(),
            a: said(&self.written.a),
            b: said(&self.written.b),
            winner,
            because,
        })
    }
}

/// Some columns of a row; `None`: it is not there.
fn read_row(
    conn: &Connection,
    row: &Place,
    columns: &[Name],
) -> rusqlite::Result<Option<Vec<rusqlite::types::Value>>> {
    let list: Vec<String> = columns.iter().map(|column| quote(column)).collect();
    let list = if list.is_empty() { "1".to_owned() } else { list.join(", ") };
    let key: Vec<String> =
        row.key_columns.iter().map(|column| format!("{} = ?", quote(column))).collect();
    let sql = format!("SELECT {list} FROM {} WHERE {}", quote(&row.table), key.join(" AND "));
    conn.prepare_cached(&sql)?
        .query_row(params_from_iter(row.key.values().iter().map(sql_value)), |found| {
            (0..columns.len()).map(|n| found.get(n)).collect()
        })
        .optional()
}

/// A value as SQLite keeps it in an adopted table.
fn sql_value(value: &Value) -> rusqlite::types::Value {
    use rusqlite::types::Value as Sql;
    match value {
        Value::Null => Sql::Null,
        Value::Bool(bool) => Sql::Integer(i64::from(*bool)),
        Value::Int(int) => Sql::Integer(*int),
        Value::Float(float) => Sql::Real(*float),
        Value::Text(text) => Sql::Text(text.clone()),
        Value::Bytes(bytes) => Sql::Blob(bytes.clone()),
        Value::Timestamp(at) => Sql::Integer(at.as_millis()),
        Value::Json(json) => Sql::Text(json.to_string()),
    }
}
