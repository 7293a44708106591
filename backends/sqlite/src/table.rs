//! [`Table`]: what there is to know about one collection's table, worked out once when the database is opened.
//!
//! The SQL of the everyday statements is kept here, so that a step builds no text: the same text finds its prepared
//! statement in the connection's cache.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

use storex_core::{Collection, Name};

use crate::error::Violated;
use crate::schema::inspect::{LiveTable, quote};
use crate::value::Reading;

/// The tables of a registry, by collection.
pub(crate) type Tables = HashMap<Name, Arc<Table>>;

/// One collection's table.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) collection: Arc<Collection>,
    pub(crate) name: String,
    /// By field.
    pub(crate) columns: Vec<Column>,
    pub(crate) sql: Texts,
    /// SQLite's words for each rule of uniqueness that a write may break.
    uniques: Vec<(String, Violated)>,
}

/// A field's column.
#[derive(Debug)]
pub(crate) struct Column {
    /// Its name, quoted.
    pub(crate) name: String,
    pub(crate) reading: Reading,
    pub(crate) never_null: bool,
    /// Whether SQLite compares its texts byte by byte, as storex does, without being told so.
    pub(crate) binary: bool,
}

/// The SQL of everyday statements. Keys are the last parameters, in the order of the key's fields.
#[derive(Debug)]
pub(crate) struct Texts {
    /// Every field is a parameter.
    pub(crate) insert: String,
    /// As `insert`; an object with the same key stays.
    pub(crate) insert_or_skip: String,
    /// As `insert`; an object with the same key gets the values. It keeps its rowid, and nothing is deleted, so that no
    /// trigger and no cascade runs.
    pub(crate) insert_or_replace: String,
    /// All fields but the key's, then the key; `None` when there are no other fields.
    pub(crate) replace: Option<String>,
    /// All fields, by key.
    pub(crate) select_key: String,
    /// Whether there is an object with the key.
    pub(crate) exists_key: String,
    pub(crate) delete_key: String,
    /// `SELECT` all fields `FROM` the table.
    pub(crate) select: String,
    /// The key's columns, for RETURNING.
    pub(crate) key_columns: String,
}

impl Table {
    pub(crate) fn new(collection: &Arc<Collection>, live: &LiveTable) -> Self {
        let columns: Vec<Column> = collection
            .fields()
            .iter()
            .map(|field| {
                let column = live.column(&field.column);
                Column {
                    name: quote(&field.column),
                    reading: Reading::of(&field.field_type),
                    never_null: column.is_some_and(|column| live.never_null(column)),
                    binary: column.is_none_or(|column| column.collation.eq_ignore_ascii_case("BINARY")),
                }
            })
            .collect();
        let name = quote(&live.name);
        Self {
            sql: Texts::new(collection, &name, &columns),
            uniques: uniques(collection, live),
            collection: Arc::clone(collection),
            name,
            columns,
        }
    }

    /// Which rule of uniqueness SQLite's message is about. The messages are compared whole, as column names may hold
    /// commas and dots themselves.
    pub(crate) fn violated(&self, message: &str) -> Violated {
        let known = self.uniques.iter().find(|(known, _)| known == message);
        known.map_or_else(
            || Violated::Index(message.trim_start_matches("UNIQUE constraint failed: ").to_owned()),
            |(_, violated)| violated.clone(),
        )
    }

    /// The key's fields, for messages.
    pub(crate) fn key_label(&self) -> String {
        let key = self.collection.primary_key().iter().filter_map(|at| self.collection.fields().get(*at));
        key.map(|field| &*field.name).collect::<Vec<_>>().join(", ")
    }

    /// `"k1" = ?n AND "k2" = ?n+1 ..`
    pub(crate) fn where_key(&self, first: usize) -> String {
        where_key(&self.collection, &self.columns, first)
    }

    /// A column of a field; the registry's positions are always there.
    pub(crate) fn column(&self, at: usize) -> &Column {
        &self.columns[at]
    }
}

impl Texts {
    fn new(collection: &Collection, table: &str, columns: &[Column]) -> Self {
        let all = columns.iter().map(|column| column.name.as_str()).collect::<Vec<_>>().join(", ");
        let marks = vec!["?"; columns.len()].join(", ");
        let key: Vec<&str> =
            collection.primary_key().iter().map(|at| columns[*at].name.as_str()).collect();
        let key_columns = key.join(", ");
        let others: Vec<&Column> = columns
            .iter()
            .enumerate()
            .filter(|(at, _)| !collection.is_key(*at))
            .map(|(_, column)| column)
            .collect();
        let by_key = where_key(collection, columns, 1);
        let insert = format!("INSERT INTO {table}({all}) VALUES ({marks})");
        let update = others
            .iter()
            .map(|column| format!("{0} = excluded.{0}", column.name))
            .collect::<Vec<_>>()
            .join(", ");
        let on_conflict =
            if update.is_empty() { "NOTHING".to_owned() } else { format!("UPDATE SET {update}") };
        let replace = (!others.is_empty()).then(|| {
            let set: Vec<String> =
                others.iter().enumerate().map(|(n, column)| format!("{} = ?{}", column.name, n + 1)).collect();
            let by_key = where_key(collection, columns, others.len() + 1);
            format!("UPDATE {table} SET {} WHERE {by_key}", set.join(", "))
        });
        Self {
            insert_or_skip: format!("{insert} ON CONFLICT({key_columns}) DO NOTHING"),
            insert_or_replace: format!("{insert} ON CONFLICT({key_columns}) DO {on_conflict}"),
            insert,
            replace,
            select_key: format!("SELECT {all} FROM {table} WHERE {by_key}"),
            exists_key: format!("SELECT 1 FROM {table} WHERE {by_key}"),
            delete_key: format!("DELETE FROM {table} WHERE {by_key}"),
            select: format!("SELECT {all} FROM {table}"),
            key_columns,
        }
    }
}

/// Equality of the key. In a column of another collation than BINARY the index finds candidates (`=` in the column's own
/// collation is true for equal bytes), and the second comparison leaves the one with the same bytes.
fn where_key(collection: &Collection, columns: &[Column], first: usize) -> String {
    let mut sql = String::new();
    for (n, at) in collection.primary_key().iter().enumerate() {
        let Column { name, binary, .. } = &columns[*at];
        let (and, n) = (if n > 0 { " AND " } else { "" }, first + n);
        // Writing to a String cannot fail.
        let _ = write!(sql, "{and}{name} = ?{n}");
        if !binary {
            let _ = write!(sql, " AND {name} COLLATE BINARY = ?{n}");
        }
    }
    sql
}

fn uniques(collection: &Collection, live: &LiveTable) -> Vec<(String, Violated)> {
    let field_of = |column: &str| {
        let field = collection.fields().iter().find(|field| field.column.eq_ignore_ascii_case(column));
        field.map_or_else(|| column.to_owned(), |field| field.name.to_string())
    };
    let key: Vec<&str> =
        collection.primary_key().iter().map(|at| &*collection.fields()[*at].column).collect();
    let is_key = |columns: &[&str]| {
        columns.len() == key.len()
            && columns.iter().all(|column| key.iter().any(|own| own.eq_ignore_ascii_case(column)))
    };
    let message = |columns: &[&str]| {
        let named: Vec<String> = columns.iter().map(|column| format!("{}.{column}", live.name)).collect();
        format!("UNIQUE constraint failed: {}", named.join(", "))
    };
    let primary: Vec<&str> = live.primary_key().iter().map(|column| column.name.as_str()).collect();
    let mut rules: Vec<Vec<&str>> = vec![primary];
    let mut uniques = Vec::new();
    for index in live.indices.iter().filter(|index| index.unique) {
        match index.columns.iter().map(Option::as_deref).collect::<Option<Vec<&str>>>() {
            Some(columns) => rules.push(columns),
            None => uniques.push((
                format!("UNIQUE constraint failed: index '{}'", index.name),
                Violated::Index(index.name.clone()),
            )),
        }
    }
    for columns in rules.iter().filter(|columns| !columns.is_empty()) {
        let violated = if is_key(columns) {
            Violated::Key
        } else {
            Violated::Index(columns.iter().map(|column| field_of(column)).collect::<Vec<_>>().join(", "))
        };
        uniques.push((message(columns), violated));
    }
    uniques
}
