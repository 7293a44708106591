//! Reading: finds and counts on a connection. The same code serves readers and steps inside a write.

use std::borrow::Cow;

use rusqlite::{CachedStatement, Connection, Row, Rows};
use storex_core::{Error, Filter, Key, Name, Query, Record, Result, finish_query};

use crate::error;
use crate::related::resolve;
use crate::sql::{Sql, TooLarge};
use crate::table::{Table, Tables};
use crate::value::{bind_all, bind_key};

/// The table of a collection.
pub(crate) fn table<'t>(tables: &'t Tables, name: &Name) -> Result<&'t Table> {
    let table = tables.get(name);
    table.map(|table| &**table).ok_or_else(|| Error::UnknownCollection { collection: name.clone() })
}

/// The objects of a query.
pub(crate) fn find(conn: &Connection, tables: &Tables, query: &Query) -> Result<Vec<Record>> {
    let table = table(tables, &query.collection)?;
    let collection = &table.collection;
    if let Filter::Keys(keys) = &query.filter {
        let records = by_keys(conn, table, keys)?;
        return Ok(if query.is_ordered() || query.select.is_some() {
            finish_query(query, collection, records)
        } else {
            records
        });
    }
    match select(conn, tables, table, query) {
        Some(records) => records,
        // SQLite cannot take the filter, so the records are gone through here.
        None => Ok(finish_query(query, collection, scan(conn, tables, table, &query.filter)?)),
    }
}

/// How many objects a query gives.
pub(crate) fn count(conn: &Connection, tables: &Tables, query: &Query) -> Result<u64> {
    let table = table(tables, &query.collection)?;
    if query.after.is_some() {
        return Ok(find(conn, tables, query)?.len() as u64);
    }
    let matching = match &query.filter {
        Filter::Keys(keys) => count_keys(conn, table, keys)?,
        filter => match count_sql(conn, tables, table, filter) {
            Some(count) => count?,
            None => scan(conn, tables, table, filter)?.len() as u64,
        },
    };
    let behind = matching.saturating_sub(query.offset);
    Ok(query.limit.map_or(behind, |limit| behind.min(limit)))
}

/// All matching objects, whole, in the order of the keys for a filter of keys, else in the database's own.
pub(crate) fn matching(
    conn: &Connection,
    tables: &Tables,
    table: &Table,
    filter: &Filter,
) -> Result<Vec<Record>> {
    find(conn, tables, &Query::new(table.collection.name().clone()).filter(filter.clone()))
}

/// All matching objects of a filter that SQLite cannot take.
pub(crate) fn scan(
    conn: &Connection,
    tables: &Tables,
    table: &Table,
    filter: &Filter,
) -> Result<Vec<Record>> {
    let mut filter = Cow::Borrowed(filter);
    if filter.has_related() {
        resolve(conn, tables, &table.collection, filter.to_mut())?;
    }
    let mut statement = prepare(conn, table, &table.sql.select)?;
    let mut rows = statement.raw_query();
    let mut records = Vec::new();
    while let Some(row) = next(&mut rows, table)? {
        let record = record(table, &table.all, row)?;
        if filter.matches(&table.collection, &record) {
            records.push(record);
        }
    }
    Ok(records)
}

/// The keys in the first columns of a statement's rows.
pub(crate) fn returned_keys(
    table: &Table,
    rows: &mut Rows<'_>,
    operation: &'static str,
) -> Result<Vec<Key>> {
    let mut keys = Vec::new();
    loop {
        let row =
            rows.next().map_err(|source| error::failed_write(operation, table, None, source))?;
        let Some(row) = row else { return Ok(keys) };
        let values = record(table, table.collection.primary_key(), row)?.into_values();
        keys.push(Key::compound(values));
    }
}

fn by_keys(conn: &Connection, table: &Table, keys: &[Key]) -> Result<Vec<Record>> {
    let mut statement = prepare(conn, table, &table.sql.select_key)?;
    let mut records = Vec::with_capacity(keys.len());
    for key in keys {
        bind_key(&mut statement, 1, key).map_err(|source| failed(table, source))?;
        let mut rows = statement.raw_query();
        if let Some(row) = next(&mut rows, table)? {
            records.push(record(table, &table.all, row)?);
        }
    }
    Ok(records)
}

fn count_keys(conn: &Connection, table: &Table, keys: &[Key]) -> Result<u64> {
    let mut count = 0;
    for key in keys {
        count += u64::from(exists(conn, table, key)?);
    }
    Ok(count)
}

/// Whether there is an object with this key.
pub(crate) fn exists(conn: &Connection, table: &Table, key: &Key) -> Result<bool> {
    let mut statement = prepare(conn, table, &table.sql.exists_key)?;
    bind_key(&mut statement, 1, key).map_err(|source| failed(table, source))?;
    let mut rows = statement.raw_query();
    Ok(next(&mut rows, table)?.is_some())
}

/// `None`: SQLite cannot take the filter.
fn select(
    conn: &Connection,
    tables: &Tables,
    table: &Table,
    query: &Query,
) -> Option<Result<Vec<Record>>> {
    let selected = query.selected(&table.collection);
    let sql = select_sql(tables, table, query).ok()?;
    Some(rows_of(conn, table, &sql, &selected))
}

/// A query as SQL.
pub(crate) fn select_sql<'a>(
    tables: &'a Tables,
    table: &Table,
    query: &'a Query,
) -> Result<Sql<'a>, TooLarge> {
    let order = query.full_order(&table.collection);
    let mut sql = match &query.select {
        None => Sql::new(tables, &table.sql.select),
        Some(_) => Sql::new(tables, &select_columns(table, &query.selected(&table.collection))),
    };
    let after = query.after.as_ref().map(|position| (order.as_slice(), position));
    sql.filter(table, &query.filter, after)?;
    if query.is_ordered() {
        sql.order(table, &order);
        sql.page(query.limit, query.offset);
    }
    Ok(sql)
}

fn select_columns(table: &Table, selected: &[usize]) -> String {
    let columns: Vec<&str> = selected.iter().map(|at| table.column(*at).name.as_str()).collect();
    // A projection on nothing still gives one (empty) record per object.
    let columns = if columns.is_empty() { "1".to_owned() } else { columns.join(", ") };
    format!("SELECT {columns} FROM {}", table.name)
}

fn rows_of(
    conn: &Connection,
    table: &Table,
    sql: &Sql<'_>,
    selected: &[usize],
) -> Result<Vec<Record>> {
    let mut statement = prepare(conn, table, &sql.text)?;
    bind_all(&mut statement, &sql.params).map_err(|source| failed(table, source))?;
    let mut rows = statement.raw_query();
    let mut records = Vec::new();
    while let Some(row) = next(&mut rows, table)? {
        records.push(record(table, selected, row)?);
    }
    Ok(records)
}

fn count_sql(
    conn: &Connection,
    tables: &Tables,
    table: &Table,
    filter: &Filter,
) -> Option<Result<u64>> {
    let mut sql = Sql::new(tables, "SELECT count(*) FROM ");
    sql.push(&table.name);
    if let Err(TooLarge) = sql.filter(table, filter, None) {
        return None;
    }
    let counted = || -> rusqlite::Result<u64> {
        let mut statement = conn.prepare_cached(&sql.text)?;
        bind_all(&mut statement, &sql.params)?;
        let mut rows = statement.raw_query();
        rows.next()?.map_or(Ok(0), |row| row.get::<_, i64>(0)).map(|count| count.unsigned_abs())
    };
    Some(counted().map_err(|source| failed(table, source)))
}

pub(crate) fn prepare<'c>(
    conn: &'c Connection,
    table: &Table,
    sql: &str,
) -> Result<CachedStatement<'c>> {
    conn.prepare_cached(sql).map_err(|source| failed(table, source))
}

pub(crate) fn next<'r>(rows: &'r mut Rows<'_>, table: &Table) -> Result<Option<&'r Row<'r>>> {
    rows.next().map_err(|source| failed(table, source))
}

pub(crate) fn record(table: &Table, selected: &[usize], row: &Row<'_>) -> Result<Record> {
    let mut values = Vec::with_capacity(selected.len());
    for (n, at) in selected.iter().enumerate() {
        let cell = row.get_ref(n).map_err(|source| failed(table, source))?;
        values.push(table.column(*at).reading.value(&table.collection, *at, cell)?);
    }
    Ok(Record::new(values))
}

pub(crate) fn failed(table: &Table, source: rusqlite::Error) -> Error {
    error::failed("read", Some(table.collection.name()), source)
}
