//! What is on disk: tables, columns and indices, as SQLite's own pragmas tell them.

use rusqlite::{Connection, OptionalExtension};

/// What kind of thing a name in the schema is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Table,
    View,
    Virtual,
    /// A table that a virtual table keeps its data in.
    Shadow,
}

/// A table on disk.
#[derive(Debug, Clone)]
pub(crate) struct LiveTable {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) without_rowid: bool,
    pub(crate) strict: bool,
    pub(crate) columns: Vec<LiveColumn>,
    pub(crate) indices: Vec<LiveIndex>,
}

/// A column on disk.
#[derive(Debug, Clone)]
pub(crate) struct LiveColumn {
    pub(crate) name: String,
    pub(crate) declared: String,
    /// Declared NOT NULL.
    pub(crate) not_null: bool,
    /// Its place in the primary key, from 1; 0 outside of it.
    pub(crate) key: i64,
    pub(crate) default: Option<String>,
    /// A generated column, virtual or stored.
    pub(crate) generated: Option<&'static str>,
    /// A hidden column of a virtual table.
    pub(crate) hidden: bool,
    pub(crate) collation: String,
}

/// An index on disk.
#[derive(Debug, Clone)]
pub(crate) struct LiveIndex {
    pub(crate) name: String,
    pub(crate) unique: bool,
    /// It is the primary key's.
    pub(crate) primary: bool,
    pub(crate) partial: bool,
    /// The indexed columns; `None` for an expression.
    pub(crate) columns: Vec<Option<String>>,
    /// The collation of each.
    pub(crate) collations: Vec<String>,
}

impl LiveTable {
    pub(crate) fn column(&self, name: &str) -> Option<&LiveColumn> {
        self.columns.iter().find(|column| column.name.eq_ignore_ascii_case(name))
    }

    /// The columns of the declared primary key, in its order.
    pub(crate) fn primary_key(&self) -> Vec<&LiveColumn> {
        let mut key: Vec<&LiveColumn> =
            self.columns.iter().filter(|column| column.key > 0).collect();
        key.sort_by_key(|column| column.key);
        key
    }

    /// Whether the primary key is another name for the rowid (an `INTEGER PRIMARY KEY`): it then has no index of its own.
    pub(crate) fn has_rowid_key(&self) -> bool {
        !self.without_rowid
            && self.primary_key().len() == 1
            && !self.indices.iter().any(|index| index.primary)
    }

    /// Whether a column can never hold null. (A primary key can in SQLite, unless something else forbids it.)
    pub(crate) fn never_null(&self, column: &LiveColumn) -> bool {
        column.not_null
            || (column.key > 0 && (self.without_rowid || self.strict || self.has_rowid_key()))
    }
}

impl LiveTable {
    /// Whether a row cannot be made without a value for the column.
    pub(crate) fn must_be_given(&self, column: &LiveColumn) -> bool {
        column.generated.is_none()
            && !column.hidden
            && column.default.is_none()
            && self.never_null(column)
            && !(self.has_rowid_key() && column.key > 0)
    }
}

/// A table by name (SQLite's names do not distinguish ASCII case), with columns and indices.
pub(crate) fn table(conn: &Connection, name: &str) -> rusqlite::Result<Option<LiveTable>> {
    let head = conn
        .query_row(
            "SELECT name, type, wr, strict FROM pragma_table_list WHERE schema = 'main' AND name = ?1 COLLATE NOCASE",
            [name],
            head,
        )
        .optional()?;
    head.map(|head| fill(conn, head)).transpose()
}

/// All tables, views and virtual tables in the order in which they were made, SQLite's own left out.
pub(crate) fn tables(conn: &Connection) -> rusqlite::Result<Vec<LiveTable>> {
    let mut statement = conn.prepare(
        "SELECT l.name, l.type, l.wr, l.strict FROM pragma_table_list l \
         JOIN sqlite_schema s ON s.name = l.name AND s.type IN ('table', 'view') \
         WHERE l.schema = 'main' AND l.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY s.rowid",
    )?;
    let heads: Vec<LiveTable> = statement.query_map([], head)?.collect::<rusqlite::Result<_>>()?;
    heads.into_iter().map(|head| fill(conn, head)).collect()
}

fn head(row: &rusqlite::Row<'_>) -> rusqlite::Result<LiveTable> {
    let kind: String = row.get(1)?;
    Ok(LiveTable {
        name: row.get(0)?,
        kind: match kind.as_str() {
            "view" => Kind::View,
            "virtual" => Kind::Virtual,
            "shadow" => Kind::Shadow,
            _ => Kind::Table,
        },
        without_rowid: row.get(2)?,
        strict: row.get(3)?,
        columns: Vec::new(),
        indices: Vec::new(),
    })
}

fn fill(conn: &Connection, mut table: LiveTable) -> rusqlite::Result<LiveTable> {
    // A view or a virtual table may name things that are not there; its columns are of no use to us.
    if table.kind == Kind::Table {
        table.columns = columns(conn, &table.name)?;
        table.indices = indices(conn, &table.name)?;
    }
    Ok(table)
}

fn columns(conn: &Connection, table: &str) -> rusqlite::Result<Vec<LiveColumn>> {
    let mut statement = conn.prepare(
        "SELECT name, type, \"notnull\", pk, dflt_value, hidden FROM pragma_table_xinfo(?1, 'main') ORDER BY cid",
    )?;
    let mut columns: Vec<LiveColumn> = statement
        .query_map([table], |row| {
            let hidden: i64 = row.get(5)?;
            Ok(LiveColumn {
                name: row.get(0)?,
                declared: row.get::<_, Option<String>>(1)?.unwrap_or_default(),
                not_null: row.get(2)?,
                key: row.get(3)?,
                default: row.get(4)?,
                generated: match hidden {
                    2 => Some("virtual"),
                    3 => Some("stored"),
                    _ => None,
                },
                hidden: hidden == 1,
                collation: String::new(),
            })
        })?
        .collect::<rusqlite::Result<_>>()?;
    for column in &mut columns {
        let (_, collation, ..) = conn.column_metadata(Some("main"), table, &column.name)?;
        column.collation = collation
            .map_or_else(|| "BINARY".to_owned(), |name| name.to_string_lossy().into_owned());
    }
    Ok(columns)
}

fn indices(conn: &Connection, table: &str) -> rusqlite::Result<Vec<LiveIndex>> {
    let mut statement = conn.prepare(
        "SELECT name, \"unique\", origin, partial FROM pragma_index_list(?1, 'main') ORDER BY seq DESC",
    )?;
    let mut indices: Vec<LiveIndex> = statement
        .query_map([table], |row| {
            Ok(LiveIndex {
                name: row.get(0)?,
                unique: row.get(1)?,
                primary: row.get::<_, String>(2)? == "pk",
                partial: row.get(3)?,
                columns: Vec::new(),
                collations: Vec::new(),
            })
        })?
        .collect::<rusqlite::Result<_>>()?;
    let mut statement = conn.prepare(
        "SELECT cid, name, coll FROM pragma_index_xinfo(?1, 'main') WHERE key ORDER BY seqno",
    )?;
    for index in &mut indices {
        let mut rows = statement.query([&index.name])?;
        while let Some(row) = rows.next()? {
            index.columns.push(row.get(1)?);
            index.collations.push(row.get(2)?);
        }
    }
    Ok(indices)
}

/// A name in SQL.
pub(crate) fn quote(name: &str) -> String {
    let mut quoted = String::with_capacity(name.len() + 2);
    quoted.push('"');
    for c in name.chars() {
        if c == '"' {
            quoted.push('"');
        }
        quoted.push(c);
    }
    quoted.push('"');
    quoted
}

/// The name of a column in a statement. Where there is no column of that name, SQLite takes what stands between double quotes
/// for a text (<https://sqlite.org/quirks.html>), and a program that was overtaken by a migration would read that.
pub(crate) fn quote_in_statement(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted() {
        assert_eq!(quote("say \"hi\""), "\"say \"\"hi\"\"\"");
    }

    #[test]
    fn a_rowid_key_is_known_from_one_that_is_not() {
        let conn = Connection::open_in_memory().unwrap();
        conn.execute_batch(
            "CREATE TABLE a(id INTEGER PRIMARY KEY); CREATE TABLE b(id INTEGER PRIMARY KEY DESC);
             CREATE TABLE c(id INT PRIMARY KEY); CREATE TABLE d(id INTEGER PRIMARY KEY) WITHOUT ROWID;
             CREATE TABLE e(id TEXT PRIMARY KEY) STRICT;",
        )
        .unwrap();
        let facts = |name| {
            let table = table(&conn, name).unwrap().unwrap();
            (table.has_rowid_key(), table.never_null(&table.columns[0]))
        };
        assert_eq!(facts("a"), (true, true));
        assert_eq!(facts("b"), (false, false), "a trap of SQLite: DESC makes it an ordinary key");
        assert_eq!(facts("c"), (false, false));
        assert_eq!(facts("D"), (false, true));
        assert_eq!(facts("e"), (false, true));
    }
}
