//! [`Schema`]: the tables of a database as they travel to a device that has none.
//!
//! They travel as the `CREATE TABLE` and `CREATE INDEX` statements of the sender, and the receiver does not trust them: it runs
//! them in a scratch database first, one statement each, where SQLite's authorizer allows making ordinary tables and indices and nothing
//! else (no SELECT, trigger, view, virtual table, pragma, ATTACH, insert or delete). What came of that is what is copied.

use std::path::Path;

use rusqlite::Connection;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use serde::{Deserialize, Serialize};
use storex_sqlite::{Adoption, copy_schema, is_reserved};

use crate::database::open_to_read;
use crate::error::{CliError, During as _, Result, With as _};

/// The encodings that SQLite has.
const ENCODINGS: [&str; 3] = ["UTF-8", "UTF-16le", "UTF-16be"];

/// The tables of a database.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Schema {
    /// What makes the tables and indices that storex takes in, in an order that works.
    statements: Vec<String>,
    /// What makes the other tables, which may be pointed to; those that need what is not there are not made.
    if_possible: Vec<String>,
    encoding: String,
    application_id: i32,
    user_version: i32,
}

impl Schema {
    /// The ordinary tables, and the indices of those that storex takes in. Views and triggers are the application's own affair.
    pub(super) fn read(file: &Path, adoption: &Adoption) -> Result<Self> {
        let read = || -> rusqlite::Result<Self> {
            let mut conn = open_to_read(file)?;
            // All of it as it is at one moment.
            let conn = conn.transaction()?;
            let taken_in =
                |table: &str| adoption.definitions.iter().any(|it| &**it.name() == table);
            let (mut statements, mut if_possible) = (Vec::new(), Vec::new());
            for (kind, table, sql) in objects(&conn)? {
                if taken_in(&table) {
                    statements.push(sql);
                } else if kind == "table" {
                    if_possible.push(sql);
                }
            }
            let number =
                |pragma: &str| conn.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get(0));
            Ok(Self {
                statements,
                if_possible,
                encoding: conn.query_row("PRAGMA encoding", [], |row| row.get(0))?,
                application_id: number("application_id")?,
                user_version: number("user_version")?,
            })
        };
        read().with("reading the schema of", file)
    }

    /// Makes the tables in a file that has none.
    pub(super) fn make(&self, file: &Path) -> Result<()> {
        let scratch = tempfile::tempdir().with("making a folder beside", &std::env::temp_dir())?;
        let tables = scratch.path().join("tables.db");
        self.try_out(&tables)?;
        let left_out = copy_schema(&tables, file).during("making the tables")?;
        debug_assert!(left_out.is_empty(), "{left_out:?}");
        Ok(())
    }

    /// Runs the statements where they can do no harm.
    fn try_out(&self, scratch: &Path) -> Result<()> {
        let refuse = |reason: String| CliError::Peer {
            reason: format!("the other side's tables cannot be made here: {reason}"),
        };
        if !ENCODINGS.contains(&self.encoding.as_str()) {
            return Err(refuse(format!("there is no encoding {:?}", self.encoding)));
        }
        let mut conn = Connection::open(scratch).with("making", scratch)?;
        let settings = format!(
            "PRAGMA encoding = '{}'; PRAGMA application_id = {}; PRAGMA user_version = {}; BEGIN",
            self.encoding, self.application_id, self.user_version
        );
        conn.execute_batch(&settings).with("preparing", scratch)?;
        conn.authorizer(Some(only_tables_and_indices)).with("preparing", scratch)?;
        for sql in &self.statements {
            let made = conn.execute(sql, []);
            made.map_err(|error| refuse(format!("{error}, in {:?}", shortened(sql))))?;
        }
        for sql in &self.if_possible {
            if let Err(error) = conn.execute(sql, []) {
                tracing::warn!(%error, "a table that is not synced was not made");
            }
        }
        let open_again: Option<fn(AuthContext<'_>) -> Authorization> = None;
        conn.authorizer(open_again).with("preparing", scratch)?;
        conn.execute_batch("COMMIT").with("preparing", scratch)?;
        conn.close().map_err(|(_, error)| error).with("closing", scratch)
    }
}

/// What statements of somebody else's may do.
fn only_tables_and_indices(context: AuthContext<'_>) -> Authorization {
    let is_schema = |table: &str| ["sqlite_master", "sqlite_schema"].contains(&table);
    let allowed = match context.action {
        AuthAction::CreateTable { table_name } => !is_reserved(table_name),
        AuthAction::CreateIndex { index_name, table_name } => {
            !is_reserved(index_name) && !is_reserved(table_name)
        }
        // An index, when it is made, is built.
        AuthAction::Reindex { .. }
        // Expressions of checks, defaults, generated columns and indices. The scratch database has nothing else to read.
        | AuthAction::Read { .. }
        | AuthAction::Function { .. } => true,
        AuthAction::Insert { table_name } | AuthAction::Update { table_name, .. } => {
            is_schema(table_name)
        }
        _ => false,
    };
    if allowed { Authorization::Allow } else { Authorization::Deny }
}

/// Whether there is no file, or no table of an application in it.
pub(super) fn is_empty(file: &Path) -> Result<bool> {
    if !file.exists() {
        return Ok(true);
    }
    let count = |conn: Connection| {
        conn.query_row(
            "SELECT count(*) FROM sqlite_schema WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\' \
             AND tbl_name NOT LIKE '\\_storex\\_%' ESCAPE '\\'",
            [],
            |row| row.get::<_, i64>(0),
        )
    };
    Ok(open_to_read(file).and_then(count).with("reading", file)? == 0)
}

/// Kind, table and statement of the application's own tables and indices, tables first.
fn objects(conn: &Connection) -> rusqlite::Result<Vec<(String, String, String)>> {
    let mut statement = conn.prepare(
        "SELECT s.type, s.tbl_name, s.sql FROM sqlite_schema s JOIN pragma_table_list t \
         ON t.schema = 'main' AND t.type = 'table' AND t.name = s.tbl_name \
         WHERE s.sql IS NOT NULL AND s.type IN ('table', 'index') \
         AND s.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND s.tbl_name NOT LIKE '\\_storex\\_%' ESCAPE '\\' \
         ORDER BY s.type = 'index', s.rowid",
    )?;
    statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?.collect()
}

/// As much of a statement as belongs in a message.
fn shortened(sql: &str) -> String {
    sql.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(statements: &[&str]) -> Schema {
        Schema {
            statements: statements.iter().map(|it| (*it).to_owned()).collect(),
            if_possible: Vec::new(),
            encoding: "UTF-8".to_owned(),
            application_id: 7,
            user_version: 42,
        }
    }

    #[test]
    fn a_schema_travels_with_its_constraints_and_numbers() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("a.db"), folder.path().join("b.db"));
        let conn = Connection::open(&from).unwrap();
        conn.execute_batch(
            "PRAGMA user_version = 42;
             CREATE TABLE person(id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL CHECK (length(name) > 0));
             CREATE TABLE note(id TEXT PRIMARY KEY, person INTEGER REFERENCES person, at TEXT DEFAULT (datetime('now')),
                               size INTEGER GENERATED ALWAYS AS (length(id)) STORED) STRICT;
             CREATE INDEX note_person ON note(person) WHERE person IS NOT NULL;
             CREATE UNIQUE INDEX person_name ON person(lower(name));
             CREATE VIEW names AS SELECT name FROM person;
             CREATE TRIGGER no_more AFTER INSERT ON note BEGIN DELETE FROM note; END;",
        )
        .unwrap();
        let adoption = storex_sqlite::adopt(&from).unwrap();
        let schema = Schema::read(&from, &adoption).unwrap();
        let sent = serde_json::to_vec(&schema).unwrap();
        assert!(is_empty(&to).unwrap());
        serde_json::from_slice::<Schema>(&sent).unwrap().make(&to).unwrap();
        assert!(!is_empty(&to).unwrap());
        let made = objects(&Connection::open(&to).unwrap()).unwrap();
        assert_eq!(made, objects(&conn).unwrap());
        assert_eq!(made.len(), 4, "neither the view nor the trigger: {made:?}");
        let version: i32 = Connection::open(&to)
            .unwrap()
            .query_row("PRAGMA user_version", [], |row| row.get(0))
            .unwrap();
        assert_eq!(version, 42);
    }

    #[test]
    fn statements_that_do_anything_else_are_refused_and_nothing_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("b.db");
        for evil in [
            "DROP TABLE t",
            "INSERT INTO t VALUES (1)",
            "DELETE FROM sqlite_schema",
            "SELECT 1",
            "CREATE TABLE u AS SELECT * FROM t",
            "CREATE TABLE u(id INTEGER PRIMARY KEY); DROP TABLE t",
            "CREATE TEMP TABLE u(id INTEGER PRIMARY KEY)",
            "CREATE VIEW v AS SELECT * FROM t",
            "CREATE TRIGGER r AFTER INSERT ON t BEGIN DELETE FROM t; END",
            "CREATE VIRTUAL TABLE f USING fts5(x)",
            "ATTACH 'other.db' AS other",
            "VACUUM INTO 'other.db'",
            "PRAGMA writable_schema = ON",
            "CREATE TABLE _storex_log(id INTEGER PRIMARY KEY)",
            "CREATE TABLE \"_Storex_LOG\"(id INTEGER PRIMARY KEY)",
            "CREATE INDEX _STOREX_i ON t(id)",
            "COMMIT",
            "not SQL at all",
        ] {
            let schema = schema(&["CREATE TABLE t(id INTEGER PRIMARY KEY)", evil]);
            let error = schema.make(&target).unwrap_err().to_string();
            assert!(error.contains("cannot be made here"), "{evil}: {error}");
            assert!(!target.exists(), "{evil}");
        }
        let wrong = Schema { encoding: "UTF-8'; DROP TABLE t; --".to_owned(), ..schema(&[]) };
        assert!(wrong.make(&target).unwrap_err().to_string().contains("no encoding"));
    }

    #[test]
    fn a_table_that_is_not_synced_holds_up_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("b.db");
        let if_possible =
            ["CREATE TABLE u(x CHECK (not_there(x)))", "CREATE TABLE line(text)", "DROP TABLE t"];
        let if_possible = if_possible.map(str::to_owned).to_vec();
        let schema = Schema { if_possible, ..schema(&["CREATE TABLE t(id INTEGER PRIMARY KEY)"]) };
        schema.make(&target).unwrap();
        let made = objects(&Connection::open(&target).unwrap()).unwrap();
        let tables: Vec<&str> = made.iter().map(|(_, table, _)| table.as_str()).collect();
        assert_eq!(tables, ["t", "line"]);
    }

    #[test]
    fn tables_that_are_there_are_not_touched() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("b.db");
        Connection::open(&target).unwrap().execute_batch("CREATE TABLE mine(id)").unwrap();
        assert!(!is_empty(&target).unwrap());
        assert!(schema(&["CREATE TABLE t(id INTEGER PRIMARY KEY)"]).make(&target).is_err());
    }
}
