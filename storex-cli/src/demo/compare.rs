//! Compares two databases by content, with plain SQL: what storex says about itself is not asked.

use std::cmp::Ordering;
use std::fmt::Write as _;
use std::path::Path;

use rusqlite::Connection;
use rusqlite::types::ValueRef;

use super::quote;
use super::report::TableRows;
use crate::database::open_to_read;
use crate::error::{Result, With};

/// After so many differences the rest is only counted.
const TOLD: usize = 20;

/// A table to compare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComparedTable {
    /// Its name.
    pub name: String,
    /// The columns that tell its rows apart.
    pub key: Vec<String>,
}

/// The application's own part of a schema: everything but what begins with `_storex_` or is SQLite's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnSchema {
    /// Type, name and SQL of its tables, indices, triggers and views, ordered by type and name.
    objects: Vec<(String, String, Option<String>)>,
    /// What applications note of their own: `user_version` and `application_id`.
    numbers: [i64; 2],
}

impl OwnSchema {
    /// Reads it.
    ///
    /// # Errors
    /// [`CliError::Sqlite`](crate::CliError::Sqlite).
    pub fn read(path: &Path) -> Result<Self> {
        let read = || -> rusqlite::Result<Self> {
            let conn = open_to_read(path)?;
            let number = |sql: &str| conn.query_row(sql, [], |row| row.get(0));
            let numbers = [number("PRAGMA user_version")?, number("PRAGMA application_id")?];
            let objects = conn
                .prepare(
                    "SELECT type, name, sql FROM sqlite_schema \
                     WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND tbl_name NOT LIKE '\\_storex\\_%' ESCAPE '\\' \
                     ORDER BY type, name",
                )?
                .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
                .collect::<rusqlite::Result<_>>()?;
            conn.close().map_err(|(_, error)| error)?;
            Ok(Self { objects, numbers })
        };
        read().with("reading the schema of", path)
    }

    /// The names of the tables.
    pub fn tables(&self) -> impl Iterator<Item = &str> {
        self.objects.iter().filter(|(kind, ..)| kind == "table").map(|(_, name, _)| name.as_str())
    }

    /// Whether there are triggers.
    #[must_use]
    pub fn has_triggers(&self) -> bool {
        self.objects.iter().any(|(kind, ..)| kind == "trigger")
    }

    /// What is not as in `other`, in sentences about `who`.
    #[must_use]
    pub fn differences(&self, other: &Self, who: &str) -> Vec<String> {
        let mut told = Vec::new();
        for (kind, name, sql) in &other.objects {
            match self.objects.iter().find(|(k, n, _)| (k, n) == (kind, name)) {
                None => told.push(format!("{who} has no {kind} `{name}`, which the original has")),
                Some((.., own)) if own != sql => {
                    told.push(format!(
                        "{kind} `{name}` of {who} is not declared as in the original"
                    ));
                }
                Some(_) => {}
            }
        }
        for (kind, name, _) in &self.objects {
            if !other.objects.iter().any(|(k, n, _)| (k, n) == (kind, name)) {
                told.push(format!("{who} has a {kind} `{name}`, which the original has not"));
            }
        }
        for (n, name) in ["user_version", "application_id"].iter().enumerate() {
            let (own, its) = (self.numbers[n], other.numbers[n]);
            if own != its {
                told.push(format!("{name} is {own} in {who} and {its} in the original"));
            }
        }
        told
    }
}

/// What a comparison has found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Rows per table.
    pub tables: Vec<TableRows>,
    /// What differs, in sentences; empty: nothing.
    pub differences: Vec<String>,
}

/// Compares every row and every column of the tables of two databases.
///
/// # Errors
/// [`CliError::Sqlite`](crate::CliError::Sqlite).
pub fn compare(a: &Path, b: &Path, tables: &[ComparedTable]) -> Result<Comparison> {
    let conn_a = open_to_read(a).with("opening", a)?;
    let conn_b = open_to_read(b).with("opening", b)?;
    let mut comparison = Comparison::default();
    let mut untold = 0;
    for table in tables {
        let rows_a = Rows::read(&conn_a, table).with("reading", a)?;
        let rows_b = Rows::read(&conn_b, table).with("reading", b)?;
        if rows_a.columns != rows_b.columns {
            comparison.differences.push(format!("table `{}` has other columns in B", table.name));
            continue;
        }
        let mut told = Told {
            table: &table.name,
            differences: &mut comparison.differences,
            untold: &mut untold,
        };
        let (a, b) = compare_table(&conn_a, &conn_b, &rows_a, &mut told).with("reading", b)?;
        comparison.tables.push(TableRows { table: table.name.clone(), a, b });
    }
    if untold > 0 {
        comparison.differences.push(format!("and {untold} more"));
    }
    conn_a.close().map_err(|(_, error)| error).with("closing", a)?;
    conn_b.close().map_err(|(_, error)| error).with("closing", b)?;
    Ok(comparison)
}

/// How many rows point to rows that are not there; `None`: SQLite cannot tell, as a foreign key points to nothing that
/// could be unique.
pub(super) fn dangling(path: &Path) -> Result<Option<i64>> {
    let conn = open_to_read(path).with("opening", path)?;
    let count =
        conn.query_row("SELECT count(*) FROM pragma_foreign_key_check", [], |row| row.get(0));
    conn.close().map_err(|(_, error)| error).with("closing", path)?;
    Ok(count.ok())
}

/// How a table is read.
#[derive(Debug)]
struct Rows {
    columns: Vec<String>,
    key_len: usize,
    /// All columns, the key's first, ordered by the key.
    sql: String,
}

impl Rows {
    fn read(conn: &Connection, table: &ComparedTable) -> rusqlite::Result<Self> {
        // Generated columns count; hidden ones (1) are those of virtual tables only.
        let others: Vec<String> = conn
            .prepare("SELECT name FROM pragma_table_xinfo(?1) WHERE hidden <> 1 ORDER BY cid")?
            .query_map([&table.name], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        let others = others.into_iter().filter(|column| !table.key.contains(column));
        let columns: Vec<String> = table.key.iter().cloned().chain(others).collect();
        let list: Vec<String> = columns.iter().map(|column| quote(column)).collect();
        let order: Vec<String> =
            table.key.iter().map(|column| format!("{} COLLATE BINARY", quote(column))).collect();
        let sql = format!(
            "SELECT {} FROM {} ORDER BY {}",
            list.join(", "),
            quote(&table.name),
            order.join(", ")
        );
        Ok(Self { columns, key_len: table.key.len(), sql })
    }
}

/// Where differences of one table are told.
struct Told<'a> {
    table: &'a str,
    differences: &'a mut Vec<String>,
    untold: &'a mut u64,
}

impl Told<'_> {
    fn tell(&mut self, what: impl FnOnce(&str) -> String) {
        if self.differences.len() < TOLD {
            self.differences.push(what(self.table));
        } else {
            *self.untold += 1;
        }
    }
}

fn compare_table(
    conn_a: &Connection,
    conn_b: &Connection,
    rows: &Rows,
    told: &mut Told<'_>,
) -> rusqlite::Result<(u64, u64)> {
    let (mut statement_a, mut statement_b) =
        (conn_a.prepare(&rows.sql)?, conn_b.prepare(&rows.sql)?);
    let (mut of_a, mut of_b) = (statement_a.query([])?, statement_b.query([])?);
    let (mut count_a, mut count_b) = (0, 0);
    let (mut a, mut b) = (of_a.next()?, of_b.next()?);
    loop {
        let order = match (a, b) {
            (None, None) => return Ok((count_a, count_b)),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(a), Some(b)) => compare_keys(a, b, rows.key_len)?,
        };
        match (order, a, b) {
            (Ordering::Less, Some(row), _) => {
                let key = describe_key(row, rows.key_len)?;
                told.tell(|table| format!("`{table}` {key} is in A only"));
            }
            (Ordering::Greater, _, Some(row)) => {
                let key = describe_key(row, rows.key_len)?;
                told.tell(|table| format!("`{table}` {key} is in B only"));
            }
            (_, Some(row_a), Some(row_b)) => {
                for (n, column) in rows.columns.iter().enumerate() {
                    let (in_a, in_b) = (row_a.get_ref(n)?, row_b.get_ref(n)?);
                    if !same(in_a, in_b) {
                        let key = describe_key(row_a, rows.key_len)?;
                        told.tell(|table| {
                            let (in_a, in_b) = (shown(in_a), shown(in_b));
                            format!("`{table}` {key}, column `{column}`: {in_a} in A, {in_b} in B")
                        });
                    }
                }
            }
            _ => {}
        }
        if order.is_le() {
            count_a += 1;
            a = of_a.next()?;
        }
        if order.is_ge() {
            count_b += 1;
            b = of_b.next()?;
        }
    }
}

/// The same kind and the same content, bit by bit.
pub(super) fn same(a: ValueRef<'_>, b: ValueRef<'_>) -> bool {
    match (a, b) {
        (ValueRef::Real(a), ValueRef::Real(b)) => a.to_bits() == b.to_bits(),
        (a, b) => a == b,
    }
}

/// SQLite's order of values: null, numbers, texts, bytes.
fn compare_keys(
    a: &rusqlite::Row<'_>,
    b: &rusqlite::Row<'_>,
    len: usize,
) -> rusqlite::Result<Ordering> {
    for n in 0..len {
        let order = compare_values(a.get_ref(n)?, b.get_ref(n)?);
        if order.is_ne() {
            return Ok(order);
        }
    }
    Ok(Ordering::Equal)
}

fn compare_values(a: ValueRef<'_>, b: ValueRef<'_>) -> Ordering {
    let class = |value: ValueRef<'_>| match value {
        ValueRef::Null => 0,
        ValueRef::Integer(_) | ValueRef::Real(_) => 1,
        ValueRef::Text(_) => 2,
        ValueRef::Blob(_) => 3,
    };
    match (a, b) {
        (ValueRef::Integer(a), ValueRef::Integer(b)) => a.cmp(&b),
        (ValueRef::Text(a), ValueRef::Text(b)) | (ValueRef::Blob(a), ValueRef::Blob(b)) => a.cmp(b),
        _ => match (number(a), number(b)) {
            (Some(a), Some(b)) => a.total_cmp(&b),
            _ => class(a).cmp(&class(b)),
        },
    }
}

#[allow(
    clippy::cast_precision_loss,
    reason = "rows are only lined up by it; they are compared exactly"
)]
fn number(value: ValueRef<'_>) -> Option<f64> {
    match value {
        ValueRef::Integer(int) => Some(int as f64),
        // The zeros are one.
        ValueRef::Real(real) => Some(real + 0.0),
        _ => None,
    }
}

fn describe_key(row: &rusqlite::Row<'_>, len: usize) -> rusqlite::Result<String> {
    let mut key = String::new();
    for n in 0..len {
        if n > 0 {
            key.push('/');
        }
        key.push_str(&shown(row.get_ref(n)?));
    }
    Ok(key)
}

/// A value for people: short, on one line.
pub(super) fn shown(value: ValueRef<'_>) -> String {
    const LEN: usize = 48;
    match value {
        ValueRef::Null => "null".to_owned(),
        ValueRef::Integer(int) => int.to_string(),
        ValueRef::Real(real) => format!("{real:?}"),
        ValueRef::Text(bytes) => {
            let text = String::from_utf8_lossy(bytes);
            let len = text.chars().count();
            if len <= LEN {
                return format!("{text:?}");
            }
            // What differs is as often at the end as at the beginning.
            let begin: String = text.chars().take(LEN / 2).collect();
            let end: String = text.chars().skip(len - LEN / 2).collect();
            format!("{:?}", format!("{begin}…{end}"))
        }
        ValueRef::Blob(bytes) => {
            let mut hex = String::from("x'");
            for byte in bytes.iter().take(LEN / 4) {
                let _ = write!(hex, "{byte:02x}");
            }
            hex.push_str(if bytes.len() > LEN / 4 { "…'" } else { "'" });
            hex
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database(folder: &Path, name: &str, sql: &str) -> std::path::PathBuf {
        let path = folder.join(name);
        Connection::open(&path).unwrap().execute_batch(sql).unwrap();
        path
    }

    fn differences(a: &str, b: &str) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let table = "CREATE TABLE \"a \"\"b\"(k PRIMARY KEY, v, g AS (v || '!'));";
        let a = database(folder.path(), "a.db", &format!("{table}{a}"));
        let b = database(folder.path(), "b.db", &format!("{table}{b}"));
        let table = ComparedTable { name: "a \"b".to_owned(), key: vec!["k".to_owned()] };
        compare(&a, &b, &[table]).unwrap().differences
    }

    #[test]
    fn equal_content_is_equal_whatever_the_order_of_the_rows() {
        let a =
            r#"INSERT INTO "a ""b"(k, v) VALUES (1, x'00'), ('x', NULL), (x'01', 2.5), (0, 'ü');"#;
        let b =
            r#"INSERT INTO "a ""b"(k, v) VALUES (x'01', 2.5), (0, 'ü'), (1, x'00'), ('x', NULL);"#;
        assert_eq!(differences(a, b), Vec::<String>::new());
    }

    #[test]
    fn a_row_too_many_on_either_side_is_told() {
        let a = r#"INSERT INTO "a ""b"(k) VALUES (1), (2), (4);"#;
        let b = r#"INSERT INTO "a ""b"(k) VALUES (2), (3), (4);"#;
        assert_eq!(differences(a, b), ["`a \"b` 1 is in A only", "`a \"b` 3 is in B only"]);
    }

    #[test]
    fn another_type_is_another_value() {
        let a = r#"INSERT INTO "a ""b"(k, v) VALUES (1, 1);"#;
        let b = r#"INSERT INTO "a ""b"(k, v) VALUES (1, '1');"#;
        assert_eq!(differences(a, b), ["`a \"b` 1, column `v`: 1 in A, \"1\" in B"]);
        let b = r#"INSERT INTO "a ""b"(k, v) VALUES (1, NULL);"#;
        assert_eq!(differences(a, b).len(), 2, "the generated column differs too");
    }

    #[test]
    fn a_long_text_is_shown_by_both_its_ends() {
        let text = format!("begin{}end", "ü".repeat(100));
        let shown = shown(ValueRef::Text(text.as_bytes()));
        assert!(
            shown.starts_with("\"beginü") && shown.contains("ü…ü") && shown.ends_with("üend\""),
            "{shown}"
        );
    }

    #[test]
    fn many_differences_are_counted() {
        let a = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 30)
                 INSERT INTO \"a \"\"b\"(k) SELECT i FROM n;";
        let found = differences(a, "");
        assert_eq!((found.len(), found.last().map(String::as_str)), (21, Some("and 10 more")));
    }

    #[test]
    fn a_schema_that_was_changed_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let sql = "CREATE TABLE t(k PRIMARY KEY); CREATE INDEX i ON t(k);";
        let a = OwnSchema::read(&database(folder.path(), "a.db", sql)).unwrap();
        let with_ours =
            format!("{sql} CREATE TABLE _storex_log(k); CREATE INDEX j ON _storex_log(k);");
        let b = OwnSchema::read(&database(folder.path(), "b.db", &with_ours)).unwrap();
        assert_eq!(b.differences(&a, "B"), Vec::<String>::new());
        let other =
            "CREATE TABLE t(k PRIMARY KEY, v); CREATE VIEW w AS SELECT 1; PRAGMA user_version = 3;";
        let c = OwnSchema::read(&database(folder.path(), "c.db", other)).unwrap();
        assert_eq!(
            c.differences(&a, "C"),
            [
                "C has no index `i`, which the original has",
                "table `t` of C is not declared as in the original",
                "C has a view `w`, which the original has not",
                "user_version is 3 in C and 0 in the original",
            ]
        );
    }
}
