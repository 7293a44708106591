//! The SQL of tables and indices.
//!
//! A table that storex makes is STRICT, so that whatever else writes to it cannot store a value of another type.
//!
//! Which kind of table, as measured (rows of 330 bytes with a UUID as text and one index, batches of 1,000, rows a second):
//!
//! ```text
//!                         keys that ascend (v7)    random keys (v4)
//! rowid table             200,000                  40,000
//! WITHOUT ROWID           190,000                  18,000
//! ```
//!
//! With random keys whole rows and not only keys move when a page splits. So an object's table is a rowid table, and only
//! what is small or has a compound key (storex's own clocks and cursors, link tables) is kept WITHOUT ROWID, which saves
//! the second copy of the key. A row of more than a quarter of a page does not fit into such a table, and most of it goes into a page of
//! its own. So rows with a blob in them are in a rowid table, whatever their key (a shared log's transactions, one append each):
//!
//! ```text
//!                         300 bytes        1,500 bytes        6,000 bytes
//! rowid table             26 µs, 396 B     31 µs, 2,107 B     44 µs, 6,203 B
//! WITHOUT ROWID           24 µs, 411 B     41 µs, 4,720 B     54 µs, 8,816 B
//! ```

use std::fmt::Write as _;

use storex_core::{Collection, Field, FieldDefault, FieldType, Index, KeyFormat, Value};

use crate::schema::inspect::{LiveTable, quote};

/// The type that a column of ours is declared with.
pub(crate) fn declared_type(field_type: &FieldType) -> &'static str {
    match field_type {
        FieldType::AutoPk(format) | FieldType::ForeignKey(format) => match format {
            KeyFormat::Text => "TEXT",
            KeyFormat::Bytes => "BLOB",
            KeyFormat::Int => "INTEGER",
        },
        FieldType::Text
        | FieldType::String
        | FieldType::Json
        | FieldType::Url
        | FieldType::RandomKey => "TEXT",
        FieldType::DateTime | FieldType::Timestamp | FieldType::Boolean | FieldType::Int => {
            "INTEGER"
        }
        FieldType::Float => "REAL",
        FieldType::Blob | FieldType::Binary | FieldType::Media => "BLOB",
        // In a STRICT table ANY keeps every value as it is.
        _ => "ANY",
    }
}

/// Makes the table of a collection, under this name.
pub(super) fn create_table(collection: &Collection, table: &str) -> String {
    let key = collection.primary_key();
    let mut parts: Vec<String> = Vec::new();
    for (at, field) in collection.fields().iter().enumerate() {
        let primary = if key == [at] { " PRIMARY KEY" } else { "" };
        parts.push(format!("{}{primary}{}", column(field), not_null(field)));
    }
    if key.len() > 1 {
        parts.push(format!("PRIMARY KEY ({})", columns(collection, key)));
    }
    // An INTEGER PRIMARY KEY is the rowid itself; there is nothing to save.
    let rowid_key =
        matches!(key, [at] if declared_type(&collection.fields()[*at].field_type) == "INTEGER");
    let is_small = collection.is_reserved() || (key.len() > 1 && !has_blob(collection));
    let without_rowid = is_small && !rowid_key;
    let options = if without_rowid { "STRICT, WITHOUT ROWID" } else { "STRICT" };
    format!("CREATE TABLE {} (\n  {}\n) {options}", quote(table), parts.join(",\n  "))
}

/// Whether rows are meant to be large. (What is `Binary` is mostly an identity or a hash.)
fn has_blob(collection: &Collection) -> bool {
    let mut fields = collection.fields().iter();
    fields.any(|field| matches!(field.field_type, FieldType::Blob | FieldType::Media))
}

fn column(field: &Field) -> String {
    format!("{} {}", quote(&field.column), declared_type(&field.field_type))
}

fn not_null(field: &Field) -> &'static str {
    if field.nullable { "" } else { " NOT NULL" }
}

/// Adds the column of a field to a table with rows in it; `None` where SQLite cannot do so, and the rows have to be written
/// anew.
pub(super) fn add_column(collection: &Collection, field: &Field) -> Option<String> {
    let mut sql = format!(
        "ALTER TABLE {} ADD COLUMN {}{}",
        quote(collection.table()),
        column(field),
        not_null(field)
    );
    match &field.default {
        Some(FieldDefault::Value(value)) if !value.is_null() => {
            let _ = write!(sql, " DEFAULT {}", literal(value)?); // a String takes everything
        }
        _ if !field.nullable => return None,
        _ => {}
    }
    Some(sql)
}

/// A value in SQL.
fn literal(value: &Value) -> Option<String> {
    Some(match value {
        Value::Bool(it) => i64::from(*it).to_string(),
        Value::Int(it) => it.to_string(),
        Value::Timestamp(it) => it.0.to_string(),
        Value::Float(it) if it.is_finite() => format!("{it:?}"),
        Value::Text(it) if !it.contains('\0') => format!("'{}'", it.replace('\'', "''")),
        Value::Json(it) => format!("'{}'", it.to_string().replace('\'', "''")),
        Value::Bytes(it) => {
            let digits: Vec<String> = it.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("x'{}'", digits.concat())
        }
        _ => return None,
    })
}

pub(super) fn create_index(collection: &Collection, index: &Index) -> String {
    format!(
        "CREATE {}INDEX {} ON {} ({})",
        if index.unique { "UNIQUE " } else { "" },
        quote(&name_of(collection, index)),
        quote(collection.table()),
        columns(collection, &index.fields)
    )
}

/// The name of an index.
pub(super) fn name_of(collection: &Collection, index: &Index) -> String {
    let columns = index.fields.iter().map(|at| &*collection.fields()[*at].column);
    index_name(collection.table(), index.unique, columns)
}

/// The same for the same index, always; no two indices share one.
pub(super) fn index_name<'n>(
    table: &str,
    unique: bool,
    columns: impl IntoIterator<Item = &'n str>,
) -> String {
    let kind = if unique { "unique" } else { "index" };
    let columns: Vec<String> = columns.into_iter().map(|it| it.replace(',', ",,")).collect();
    format!("{}:{kind}:{}", table.replace(':', "::"), columns.join(","))
}

/// Whether an index has a name of those that storex gives to the indices of a table.
pub(super) fn is_own_index(table: &str, name: &str) -> bool {
    let kind = name.strip_prefix(&table.replace(':', "::"));
    kind.is_some_and(|kind| kind.starts_with(":index:") || kind.starts_with(":unique:"))
}

pub(super) fn columns(collection: &Collection, positions: &[usize]) -> String {
    positions
        .iter()
        .map(|at| quote(&collection.fields()[*at].column))
        .collect::<Vec<_>>()
        .join(", ")
}

/// An index on a long text is a full-text index, which is not SQLite's ordinary one: a copy of all texts, sorted, would
/// help no search. Elements of JSON have no index either.
pub(super) fn is_stored(collection: &Collection, index: &Index) -> bool {
    let is_text = |at: &usize| collection.fields()[*at].field_type == FieldType::Text;
    let is_long_text = matches!(index.fields.as_slice(), [at] if is_text(at));
    !index.multi_entry && (index.unique || !is_long_text)
}

/// Whether a table has an index like this one.
pub(super) fn has_index(live: &LiveTable, collection: &Collection, index: &Index) -> bool {
    let name = name_of(collection, index);
    let same = |columns: &[Option<String>]| {
        columns.len() == index.fields.len()
            && columns.iter().zip(&index.fields).all(|(column, at)| {
                column.as_ref().is_some_and(|column| {
                    column.eq_ignore_ascii_case(&collection.fields()[*at].column)
                })
            })
    };
    // A name alone tells nothing: an index goes with its columns when they change names.
    live.indices.iter().any(|known| {
        known.unique == index.unique
            && same(&known.columns)
            && (!known.partial || known.name.eq_ignore_ascii_case(&name))
    })
}
