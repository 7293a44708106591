//! Tables that are written anew, in batches; see the module above.

use rusqlite::types::Value as SqlValue;
use rusqlite::{Connection, OptionalExtension};
use storex_core::{CollectionPlan, Error, ErrorKind, Plan, Registry, Result, Value};

use crate::error;
use crate::read;
use crate::schema::alter::{self, rename};
use crate::schema::check::mismatch;
use crate::schema::ddl::{columns, create_table, is_own_index};
use crate::schema::inspect::{self, LiveTable, quote};
use crate::schema::look::{failed, is_rebuilt};
use crate::schema::pragma;
use crate::schema::stored::{self, Moved, Unfinished};
use crate::search;
use crate::table::Table;
use crate::value::Bound;

/// So many rows are one transaction, …
const ROWS: usize = 1000;
/// … or fewer, if their texts and bytes are this many together.
const BYTES: usize = 16 << 20;

/// Renames the tables away, makes their successors, and writes down that this has begun.
pub(super) fn begin(conn: &Connection, plan: &Plan) -> Result<()> {
    let mut moved = Vec::new();
    for plan in plan.collections.iter().filter(|it| is_rebuilt(it)) {
        let Some((name, stored)) = &plan.stored else { continue };
        let collection = &plan.collection;
        let live = table(conn, &stored.table)?;
        refuse_strangers(conn, plan, &live)?;
        let (kept, made) = (
            format!("_storex_old:{}", stored.table),
            format!("_storex_new:{}", collection.table()),
        );
        let one = Moved { collection: name.to_string(), table: live.name, kept, made };
        rename_alone(conn, &one.table, &one.kept)?;
        conn.execute_batch(&create_table(collection, &one.made)).map_err(failed)?;
        moved.push(one);
    }
    stored::begin(conn, &plan.stored, &Unfinished { target: plan.target.clone(), moved })
}

/// Takes the next rows over; `false`: there are none.
pub(super) fn batch(conn: &Connection, plan: &Plan, unfinished: &Unfinished) -> Result<bool> {
    for moved in &unfinished.moved {
        if copy(conn, of(plan, moved)?, moved)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The last transaction: the new tables get their names, and everything else is done that there is to do.
pub(super) fn finish(
    conn: &Connection,
    registry: &Registry,
    plan: &Plan,
    unfinished: &Unfinished,
) -> Result<()> {
    pragma(conn, LEAVE_VIEWS)?;
    let mut made = Vec::new();
    for moved in &unfinished.moved {
        let collection = of(plan, moved)?;
        if count(conn, &moved.kept)? != count(conn, &moved.made)? {
            let reason = "the new table does not have as many rows as the old one";
            return Err(mismatch(&collection.collection, reason));
        }
        conn.execute_batch(&format!("DROP TABLE {}", quote(&moved.kept))).map_err(failed)?;
        made.push((moved.made.as_str(), &**collection.collection.table()));
    }
    alter::all(conn, registry, plan, &made)?;
    pragma(conn, TAKE_VIEWS_ALONG)
}

/// The old tables come back, and it is as if nothing had begun.
pub(super) fn take_back(conn: &Connection, unfinished: &Unfinished) -> Result<()> {
    for moved in &unfinished.moved {
        conn.execute_batch(&format!("DROP TABLE IF EXISTS {}", quote(&moved.made)))
            .map_err(failed)?;
    }
    for moved in &unfinished.moved {
        rename_alone(conn, &moved.kept, &moved.table)?;
    }
    stored::finish(conn)
}

/// Renames a table, but not in the views and triggers that name it: they are to see its successor.
fn rename_alone(conn: &Connection, from: &str, to: &str) -> Result<()> {
    pragma(conn, LEAVE_VIEWS)?;
    conn.execute_batch(&rename(from, to)).map_err(failed)?;
    pragma(conn, TAKE_VIEWS_ALONG)
}

const LEAVE_VIEWS: &str = "legacy_alter_table = ON";
const TAKE_VIEWS_ALONG: &str = "legacy_alter_table = OFF";

fn of<'p>(plan: &'p Plan, moved: &Moved) -> Result<&'p CollectionPlan> {
    let is_it = |it: &&CollectionPlan| {
        it.stored.as_ref().is_some_and(|(name, _)| **name == *moved.collection)
    };
    plan.collections
        .iter()
        .find(is_it)
        .ok_or_else(|| Error::UnknownCollection { collection: moved.collection.as_str().into() })
}

fn table(conn: &Connection, name: &str) -> Result<LiveTable> {
    inspect::table(conn, name).map_err(failed)?.ok_or_else(|| {
        error::other(
            "migrate the database",
            ErrorKind::Corrupt,
            format!("the table `{name}` of an unfinished migration is gone; restore a backup"),
            "a table is gone",
        )
    })
}

/// What somebody has added to the table by hand would be lost with it.
fn refuse_strangers(conn: &Connection, plan: &CollectionPlan, live: &LiveTable) -> Result<()> {
    let Some((_, stored)) = &plan.stored else { return Ok(()) };
    let refuse = |what: String| {
        let reason = format!(
            "the table `{}` has to be written anew, and {what} would be lost, which storex has not made; remove it, and make it again \
             afterwards",
            live.name
        );
        Err(mismatch(&plan.collection, reason))
    };
    if let Some(column) = live.columns.iter().find(|it| stored.field_of(&it.name).is_none()) {
        return refuse(format!("the column `{}`", column.name));
    }
    let own = |name: &str| is_own_index(&live.name, name);
    if let Some(index) = live.indices.iter().find(|it| !it.primary && !own(&it.name)) {
        return refuse(format!("the index `{}`", index.name));
    }
    if let Some(column) = live.primary_key().iter().find(|it| it.collation != "BINARY") {
        return refuse(format!("the collation of the column `{}`", column.name));
    }
    match triggers(conn, &live.name)?.iter().find(|name| !search::is_own(name)) {
        Some(trigger) => refuse(format!("the trigger `{trigger}`")),
        None => Ok(()),
    }
}

fn triggers(conn: &Connection, table: &str) -> Result<Vec<String>> {
    let sql =
        "SELECT name FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = ?1 COLLATE NOCASE";
    let mut statement = conn.prepare(sql).map_err(failed)?;
    let names = statement.query_map([table], |row| row.get(0)).map_err(failed)?;
    names.collect::<rusqlite::Result<_>>().map_err(failed)
}

fn count(conn: &Connection, table: &str) -> Result<i64> {
    let sql = format!("SELECT count(*) FROM {}", quote(table));
    conn.query_row(&sql, [], |row| row.get(0)).map_err(failed)
}

/// Takes over the rows that come next by key; whether there were any.
fn copy(conn: &Connection, plan: &CollectionPlan, moved: &Moved) -> Result<bool> {
    let Some(transform) = plan.transform()? else { return Ok(false) };
    let old = Table::new(transform.old(), &table(conn, &moved.kept)?);
    let new = Table::new(&plan.collection, &table(conn, &moved.made)?);
    let cursor = cursor(conn, &new)?;
    let mut statement = read::prepare(conn, &old, &next_rows(&old, cursor.len()))?;
    for (n, value) in cursor.iter().enumerate() {
        statement.raw_bind_parameter(n + 1, value).map_err(failed)?;
    }
    let mut insert = read::prepare(conn, &new, &new.sql.insert)?;
    let (mut rows, mut bytes) = (0, 0);
    let mut found = statement.raw_query();
    while rows < ROWS && bytes < BYTES {
        let Some(row) = read::next(&mut found, &old)? else { break };
        let record = transform.record(read::record(&old, &old.all, row)?)?;
        for (n, value) in record.values().iter().enumerate() {
            bytes += size(value);
            insert.raw_bind_parameter(n + 1, Bound(value)).map_err(failed)?;
        }
        insert
            .raw_execute()
            .map_err(|source| error::failed_write("migrate", &new, None, source))?;
        rows += 1;
    }
    Ok(rows > 0)
}

/// How far the copy has come: the last key in the new table, as rows are taken over in the order of their keys. Rows and
/// cursor can so never differ.
fn cursor(conn: &Connection, new: &Table) -> Result<Vec<SqlValue>> {
    let key = new.collection.primary_key();
    let last: Vec<String> = key.iter().map(|at| format!("{} DESC", new.column(*at).name)).collect();
    let sql = format!(
        "SELECT {} FROM {} ORDER BY {} LIMIT 1",
        columns(&new.collection, key),
        new.name,
        last.join(", ")
    );
    let values = |row: &rusqlite::Row<'_>| (0..key.len()).map(|n| row.get(n)).collect();
    conn.query_row(&sql, [], values).optional().map_err(failed).map(Option::unwrap_or_default)
}

/// The statement that reads the rows behind a key; from the first one if it has no values.
fn next_rows(old: &Table, key_values: usize) -> String {
    let key = columns(&old.collection, old.collection.primary_key());
    let behind = if key_values == 0 {
        String::new()
    } else {
        format!(" WHERE ({key}) > ({})", vec!["?"; key_values].join(", "))
    };
    format!("{}{behind} ORDER BY {key}", old.sql.select)
}

/// The bytes of a value, where they matter.
fn size(value: &Value) -> usize {
    match value {
        Value::Text(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        Value::Json(json) => json.to_string().len(),
        _ => 8,
    }
}
