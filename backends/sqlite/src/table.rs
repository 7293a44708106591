//! [`Table`]: what there is to know about one collection's table, worked out once when the database is opened.
//!
//! The SQL of the everyday statements is kept here, so that a step builds no text: the same text finds its prepared
//! statement in the connection's cache.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use storex_core::{Collection, Name};

use crate::error::Violated;
use crate::schema::inspect::{LiveTable, quote, quote_in_statement};
use crate::search::SearchIndex;
use crate::value::Reading;

/// How many kinds of updates of a table are remembered.
const UPDATES_KEPT: usize = 256;

/// The tables of a registry, by collection.
pub(crate) type Tables = HashMap<Name, Arc<Table>>;

/// One collection's table.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) collection: Arc<Collection>,
    pub(crate) name: String,
    /// By field.
    pub(crate) columns: Vec<Column>,
    /// All fields.
    pub(crate) all: Vec<usize>,
    pub(crate) sql: Texts,
    /// `UPDATE .. SET ..` by the fields that are set: an application has few kinds of updates, and uses them often.
    updates: Mutex<HashMap<Vec<usize>, Arc<UpdateTexts>>>,
    /// The index of the words in its texts.
    pub(crate) search: Option<SearchIndex>,
    /// The database keeps texts as UTF-16, and so in another order than storex.
    pub(crate) is_utf16: bool,
    /// SQLite's words for each rule of uniqueness that a write may break.
    pub(crate) uniques: Vec<(String, Violated)>,
}

/// A field's column.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    /// Its name, quoted.
    pub(crate) name: String,
    pub(crate) reading: Reading,
    pub(crate) never_null: bool,
    /// Whether SQLite compares its texts byte by byte, as storex does, without being told so.
    pub(crate) binary: bool,
}

/// The SQL of an update. The new values are the first parameters.
#[derive(Debug)]
pub(crate) struct UpdateTexts {
    /// Of everything; a WHERE may follow.
    pub(crate) set: String,
    /// Of one object: the key's values are the last parameters.
    pub(crate) set_key: Arc<str>,
}

/// The SQL of everyday statements. Keys are the last parameters, in the order of the key's fields.
#[derive(Debug, Clone)]
pub(crate) struct Texts {
    /// Every field is a parameter.
    pub(crate) insert: Arc<str>,
    /// As `insert`; an object with the same key stays.
    pub(crate) insert_or_skip: Arc<str>,
    /// As `insert`; an object with the same key gets the values. It keeps its rowid, and nothing is deleted, so that no
    /// trigger and no cascade runs.
    pub(crate) insert_or_replace: Arc<str>,
    /// The fields that are not part of the key.
    pub(crate) others: Vec<usize>,
    /// All fields, by key.
    pub(crate) select_key: String,
    /// Whether there is an object with the key.
    pub(crate) exists_key: String,
    pub(crate) delete_key: Arc<str>,
    /// `SELECT` all fields `FROM` the table.
    pub(crate) select: String,
    /// All columns, for RETURNING.
    pub(crate) all_columns: String,
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
                    name: quote_in_statement(&field.column),
                    reading: Reading::of(&field.field_type),
                    never_null: column.is_some_and(|column| live.never_null(column)),
                    binary: column
                        .is_none_or(|column| column.collation.eq_ignore_ascii_case("BINARY")),
                }
            })
            .collect();
        let name = quote(&live.name);
        Self {
            all: (0..columns.len()).collect(),
            sql: Texts::new(collection, &name, &columns),
            updates: Mutex::default(),
            search: SearchIndex::of(collection),
            is_utf16: false,
            uniques: uniques(collection, live),
            collection: Arc::clone(collection),
            name,
            columns,
        }
    }

    /// The same table, for a program whose search index it has not.
    pub(crate) fn without_search(&self) -> Self {
        Self {
            collection: Arc::clone(&self.collection),
            name: self.name.clone(),
            columns: self.columns.clone(),
            all: self.all.clone(),
            sql: self.sql.clone(),
            updates: Mutex::default(),
            search: None,
            is_utf16: self.is_utf16,
            uniques: self.uniques.clone(),
        }
    }

    /// Which rule of uniqueness SQLite's message is about. The messages are compared whole, as column names may hold
    /// commas and dots themselves.
    pub(crate) fn violated(&self, message: &str) -> Violated {
        let known = self.uniques.iter().find(|(known, _)| known == message);
        known.map_or_else(
            || Violated::Index {
                label: message.trim_start_matches("UNIQUE constraint failed: ").to_owned(),
                fields: Vec::new(),
            },
            |(_, violated)| violated.clone(),
        )
    }

    /// The key's fields, for messages.
    pub(crate) fn key_label(&self) -> String {
        let key =
            self.collection.primary_key().iter().filter_map(|at| self.collection.fields().get(*at));
        key.map(|field| &*field.name).collect::<Vec<_>>().join(", ")
    }

    /// The SQL of an update of these fields.
    pub(crate) fn update(&self, fields: &[usize]) -> Arc<UpdateTexts> {
        let mut updates = self.updates.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(texts) = updates.get(fields) {
            return Arc::clone(texts);
        }
        let columns = fields.iter().map(|at| self.column(*at));
        let set: Vec<String> = columns
            .enumerate()
            .map(|(n, column)| format!("{} = ?{}", column.name, n + 1))
            .collect();
        let set = format!("UPDATE {} SET {}", self.name, set.join(", "));
        let by_key = where_key(&self.collection, &self.columns, fields.len() + 1);
        let texts = Arc::new(UpdateTexts { set_key: format!("{set} WHERE {by_key}").into(), set });
        // A program that makes up ever new combinations of fields does not fill the memory with them.
        if updates.len() >= UPDATES_KEPT {
            updates.clear();
        }
        updates.insert(fields.to_vec(), Arc::clone(&texts));
        texts
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
        let others: Vec<usize> = (0..columns.len()).filter(|at| !collection.is_key(*at)).collect();
        let by_key = where_key(collection, columns, 1);
        let insert = format!("INSERT INTO {table}({all}) VALUES ({marks})");
        let update = others
            .iter()
            .map(|at| format!("{0} = excluded.{0}", columns[*at].name))
            .collect::<Vec<_>>()
            .join(", ");
        let on_conflict =
            if update.is_empty() { "NOTHING".to_owned() } else { format!("UPDATE SET {update}") };
        Self {
            insert_or_skip: format!("{insert} ON CONFLICT({key_columns}) DO NOTHING").into(),
            insert_or_replace: format!("{insert} ON CONFLICT({key_columns}) DO {on_conflict}")
                .into(),
            insert: insert.into(),
            others,
            select_key: format!("SELECT {all} FROM {table} WHERE {by_key}"),
            exists_key: format!("SELECT 1 FROM {table} WHERE {by_key}"),
            delete_key: format!("DELETE FROM {table} WHERE {by_key}").into(),
            select: format!("SELECT {all} FROM {table}"),
            all_columns: all,
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
    let position = |column: &str| {
        collection.fields().iter().position(|field| field.column.eq_ignore_ascii_case(column))
    };
    let label = |column: &str| {
        position(column).map_or(column, |at| &*collection.fields()[at].name).to_owned()
    };
    let key: Vec<&str> =
        collection.primary_key().iter().map(|at| &*collection.fields()[*at].column).collect();
    let is_key = |columns: &[&str]| {
        columns.len() == key.len()
            && columns.iter().all(|column| key.iter().any(|own| own.eq_ignore_ascii_case(column)))
    };
    let message = |columns: &[&str]| {
        let named: Vec<String> =
            columns.iter().map(|column| format!("{}.{column}", live.name)).collect();
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
                Violated::Index { label: index.name.clone(), fields: Vec::new() },
            )),
        }
    }
    for columns in rules.iter().filter(|columns| !columns.is_empty()) {
        let violated = if is_key(columns) {
            Violated::Key
        } else {
            let positions: Option<Vec<usize>> = columns.iter().map(|it| position(it)).collect();
            Violated::Index {
                label: columns.iter().map(|column| label(column)).collect::<Vec<_>>().join(", "),
                fields: positions.unwrap_or_default(),
            }
        };
        uniques.push((message(columns), violated));
    }
    uniques
}
