//! [`copy_schema`]: an empty database with the same tables.

use std::path::Path;

use rusqlite::Connection;
use storex_core::{ErrorKind, Result};

use super::{LeftOut, is_reserved, open_to_read};
use crate::error::{self, failed, failed_to_open};

/// Makes the application's tables, indices, views and triggers of one database in another, without their rows: so a
/// device begins that gets its rows by sync. The new database also gets the old one's encoding, `application_id` and
/// `user_version`.
///
/// storex's own tables are not copied (a device has its own), and virtual tables only where their module is there; what
/// was left out is returned.
///
/// # Errors
/// [`Error::Backend`](storex_core::Error::Backend) when `from` cannot be read, when `to` cannot be written, or has tables
/// of an application already; nothing is changed then.
pub fn copy_schema(from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<Vec<LeftOut>> {
    let (from, to) = (from.as_ref(), to.as_ref());
    let source = Source::read(from).map_err(|error| failed_to_open(from, error))?;
    let mut conn = Connection::open(to).map_err(|error| failed_to_open(to, error))?;
    let there = objects(&conn).map_err(|error| failed_to_open(to, error))?;
    if let Some(object) = there.first() {
        return Err(error::other(
            "copy a schema",
            ErrorKind::Conflict,
            format!(
                "{} is not empty: it has the {} `{}`; give a new file",
                to.display(),
                object.kind,
                object.name
            ),
            "the database has tables",
        ));
    }
    source.write(&mut conn).map_err(|error| failed("copy a schema", None, error))
}

struct Source {
    objects: Vec<Object>,
    encoding: String,
    application_id: i64,
    user_version: i64,
}

struct Object {
    kind: String,
    name: String,
    /// The table that it belongs to.
    table: String,
    sql: String,
}

impl Source {
    fn read(path: &Path) -> rusqlite::Result<Self> {
        let conn = open_to_read(path)?;
        conn.execute_batch("BEGIN")?;
        let number =
            |pragma: &str| conn.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get(0));
        Ok(Self {
            objects: objects(&conn)?,
            encoding: conn.query_row("PRAGMA encoding", [], |row| row.get(0))?,
            application_id: number("application_id")?,
            user_version: number("user_version")?,
        })
    }

    fn write(&self, conn: &mut Connection) -> rusqlite::Result<Vec<LeftOut>> {
        // Has an effect only while nothing is in the database.
        conn.execute_batch(&format!("PRAGMA encoding = '{}'", self.encoding))?;
        let transaction = conn.transaction()?;
        let mut left_out: Vec<LeftOut> = Vec::new();
        for object in &self.objects {
            // What belongs to a table that is not there cannot be.
            if left_out.iter().any(|gone| gone.table == object.table) {
                continue;
            }
            match transaction.execute_batch(&object.sql) {
                Ok(()) => {}
                Err(error) if object.is_virtual() => left_out.push(LeftOut {
                    table: object.name.clone(),
                    reason: format!("is a virtual table that cannot be made here: {error}"),
                }),
                Err(error) => return Err(error),
            }
        }
        transaction.execute_batch(&format!(
            "PRAGMA application_id = {}; PRAGMA user_version = {}",
            self.application_id, self.user_version
        ))?;
        transaction.commit()?;
        Ok(left_out)
    }
}

impl Object {
    fn is_virtual(&self) -> bool {
        let begin = self.sql.get(..20).unwrap_or_default();
        begin.to_ascii_uppercase().starts_with("CREATE VIRTUAL TABLE")
    }
}

/// The application's own objects, in an order in which they can be made. Shadow tables come with their virtual table.
fn objects(conn: &Connection) -> rusqlite::Result<Vec<Object>> {
    let mut statement = conn.prepare(
        "SELECT s.type, s.name, s.tbl_name, s.sql FROM sqlite_schema s \
         WHERE s.sql IS NOT NULL AND s.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' \
         AND s.tbl_name NOT IN (SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'shadow') \
         ORDER BY CASE s.type WHEN 'table' THEN 0 WHEN 'index' THEN 1 WHEN 'view' THEN 2 ELSE 3 END, s.rowid",
    )?;
    let objects = statement.query_map([], |row| {
        Ok(Object { kind: row.get(0)?, name: row.get(1)?, table: row.get(2)?, sql: row.get(3)? })
    })?;
    let own = |object: &Object| is_reserved(&object.name) || is_reserved(&object.table);
    objects.filter(|object| !object.as_ref().is_ok_and(&own)).collect()
}
