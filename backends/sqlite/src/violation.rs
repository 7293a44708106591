//! Which values broke a rule of uniqueness. SQLite tells the columns only.

use std::collections::BTreeSet;

use rusqlite::Connection;
use storex_core::{Changes, Error, Filter, Key, Query, Record, Value, apply_changes, field};

use crate::error::Violated;
use crate::read;
use crate::table::{Table, Tables};

impl Table {
    /// The error, with the values of the record that could not be written.
    pub(crate) fn with_values(&self, mut error: Error, record: &Record) -> Error {
        if let Error::UniqueViolation { index, values, .. } = &mut error {
            *values = values_of(self.unique_fields(index), record);
        }
        error
    }

    /// The positions of the fields of a unique index; none where it has others than fields.
    fn unique_fields(&self, index: &str) -> &[usize] {
        let fields = self.uniques.iter().find_map(|(_, violated)| match violated {
            Violated::Index { label, fields } if *label == index => Some(fields.as_slice()),
            _ => None,
        });
        fields.unwrap_or_default()
    }
}

/// The error of an update of all objects that a filter matches, with the values that two objects would have.
pub(crate) fn of_update(
    conn: &Connection,
    tables: &Tables,
    table: &Table,
    (filter, changes): (&Filter, &Changes),
    mut error: Error,
) -> Error {
    if let Error::UniqueViolation { index, values, .. } = &mut error
        && !conn.is_autocommit()
    {
        let fields = table.unique_fields(index);
        if let Some(twice) = twice(conn, tables, table, (filter, changes), fields) {
            *values = twice;
        }
    }
    error
}

fn twice(
    conn: &Connection,
    tables: &Tables,
    table: &Table,
    (filter, changes): (&Filter, &Changes),
    fields: &[usize],
) -> Option<Vec<Value>> {
    let collection = &table.collection;
    let found = read::matching(conn, tables, table, filter).ok()?;
    let changed: BTreeSet<Key> = found.iter().map(|record| collection.key_of(record)).collect();
    let mut seen = BTreeSet::new();
    for mut record in found {
        apply_changes(collection, changes, &mut record).ok()?;
        let values = values_of(fields, &record);
        if values.is_empty() || values.iter().any(Value::is_null) {
            continue;
        }
        let names = fields.iter().map(|at| collection.fields()[*at].name.clone());
        let same = names.zip(&values).map(|(name, value)| field(name).eq(value.clone()));
        let same = Query::new(collection.name().clone()).filter(Filter::And(same.collect()));
        let others = read::find(conn, tables, &same).ok()?;
        let is_held = others.iter().any(|other| !changed.contains(&collection.key_of(other)));
        if is_held || !seen.insert(Key::compound(values.clone())) {
            return Some(values);
        }
    }
    None
}

fn values_of(fields: &[usize], record: &Record) -> Vec<Value> {
    fields.iter().map(|at| record.get(*at).clone()).collect()
}
