//! What many objects come to, as `GROUP BY`.

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};
use storex_core::{Aggregate, Aggregation, Aggregator, Name, Record, Result, Value};

use crate::read;
use crate::sql::{Sql, TooLarge, binary};
use crate::table::{Table, Tables};
use crate::value::bind_all;

/// One record per group, by the group's values.
pub(crate) fn aggregate(
    conn: &Connection,
    tables: &Tables,
    aggregation: &Aggregation,
) -> Result<Vec<Record>> {
    let table = read::table(tables, &aggregation.collection)?;
    let Ok(sql) = sql(tables, table, aggregation)? else {
        // SQLite cannot take the filter, so the records are gone through here.
        let found = read::find(conn, tables, &aggregation.query())?;
        let mut aggregator = Aggregator::new(aggregation, &table.collection);
        found.iter().for_each(|record| aggregator.add(record));
        return aggregator.finish();
    };
    let failed = |source| read::failed(table, source);
    let mut statement = read::prepare(conn, table, &sql.text)?;
    bind_all(&mut statement, &sql.params).map_err(failed)?;
    let mut rows = statement.raw_query();
    let mut records = Vec::new();
    while let Some(row) = rows.next().map_err(failed)? {
        records.push(record(table, aggregation, row)?);
    }
    Ok(records)
}

/// `Ok(Err(TooLarge))`: SQLite cannot take the filter.
pub(crate) fn sql<'a>(
    tables: &'a Tables,
    table: &Table,
    aggregation: &'a Aggregation,
) -> Result<Result<Sql<'a>, TooLarge>> {
    let at = |field: &Name| table.collection.require(field);
    let by = aggregation.by.iter().map(at).collect::<Result<Vec<usize>>>()?;
    let mut asked: Vec<String> = by.iter().map(|at| table.column(*at).name.clone()).collect();
    for value in &aggregation.values {
        asked.push(match value {
            Aggregate::Count => "count(*)".to_owned(),
            Aggregate::Min(field) => format!("min({})", binary(table, at(field)?)),
            Aggregate::Max(field) => format!("max({})", binary(table, at(field)?)),
            Aggregate::Sum(field) => format!("storex_sum({})", table.column(at(field)?).name),
            other => {
                return Err(storex_core::Error::Unsupported {
                    backend: crate::error::BACKEND,
                    what: format!("the aggregate {other:?}"),
                });
            }
        });
    }
    let mut sql = Sql::new(tables, &format!("SELECT {} FROM {}", asked.join(", "), table.name));
    if let Err(TooLarge) = sql.filter(table, &aggregation.filter, None) {
        return Ok(Err(TooLarge));
    }
    if !by.is_empty() {
        let by: Vec<_> = by.iter().map(|at| binary(table, *at)).collect();
        let by = by.join(", ");
        sql.push(" GROUP BY ");
        sql.push(&by);
        sql.push(" ORDER BY ");
        sql.push(&by);
    }
    Ok(Ok(sql))
}

fn record(table: &Table, aggregation: &Aggregation, row: &Row<'_>) -> Result<Record> {
    let mut values = Vec::with_capacity(aggregation.by.len() + aggregation.values.len());
    let cell = |n: usize| row.get_ref(n).map_err(|source| read::failed(table, source));
    let read = |field: &Name, cell: ValueRef<'_>| {
        let at = table.collection.require(field)?;
        table.column(at).reading.value(&table.collection, at, cell)
    };
    for field in &aggregation.by {
        values.push(read(field, cell(values.len())?)?);
    }
    for value in &aggregation.values {
        let cell = cell(values.len())?;
        values.push(match value {
            Aggregate::Min(field) | Aggregate::Max(field) => read(field, cell)?,
            Aggregate::Sum(field) => sum(table, field, cell)?,
            _ => Value::Int(cell.as_i64().unwrap_or_default()),
        });
    }
    Ok(Record::new(values))
}

/// What `storex_sum` gave.
fn sum(table: &Table, field: &Name, cell: ValueRef<'_>) -> Result<Value> {
    let (integers, floats) = match cell {
        ValueRef::Integer(int) => (i128::from(int), None),
        ValueRef::Real(float) => (0, Some(float)),
        ValueRef::Text(_) => {
            (cell.as_str().ok().and_then(|text| text.parse().ok()).unwrap_or_default(), None)
        }
        // SQLite has no other word for infinities of both signs, added up.
        _ => (0, Some(f64::NAN)),
    };
    Aggregate::total(&table.collection, field, integers, floats)
}
