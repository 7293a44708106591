//! `explain`: how SQLite goes about a query.

use rusqlite::Connection;
use serde_json::{Value as Json, json};
use storex_core::{Error, Filter, Query, Registry, Result};

use crate::read;
use crate::sql::TooLarge;
use crate::table::Tables;
use crate::value::bind_all;

/// The query of `{"collection": .., "filter": {..}, "options": {..}}`.
pub(crate) fn query(arguments: &Json, registry: &Registry) -> Result<Query> {
    let Some(name) = arguments.get("collection").and_then(Json::as_str) else {
        return Err(Error::invalid(
            &"(explain)".into(),
            "it takes {\"collection\": name, \"filter\": {..}, \"options\": {..}}",
        ));
    };
    let (nothing, everything) = (Json::Null, json!({}));
    let filter = arguments.get("filter").unwrap_or(&everything);
    let options = arguments.get("options").unwrap_or(&nothing);
    let mut query = registry.collection(name)?.query_from_json(filter, options, registry)?;
    query.check(registry)?;
    Ok(query)
}

/// `{"sql": .., "plan": [..]}`: the statement, and what SQLite says that it will do, line by line.
pub(crate) fn explain(conn: &Connection, tables: &Tables, query: &Query) -> Result<Json> {
    let table = read::table(tables, &query.collection)?;
    let sql = match &query.filter {
        Filter::Keys(_) => None,
        _ => match read::select_sql(tables, table, query) {
            Ok(sql) => Some(sql),
            Err(TooLarge) => {
                let plan = "every object is read: the filter is larger than SQLite takes";
                return Ok(json!({ "sql": table.sql.select, "plan": [plan] }));
            }
        },
    };
    let text = sql.as_ref().map_or(&table.sql.select_key, |sql| &sql.text);
    let plan = || -> rusqlite::Result<Vec<String>> {
        let mut statement = conn.prepare(&format!("EXPLAIN QUERY PLAN {text}"))?;
        if let Some(sql) = &sql {
            bind_all(&mut statement, &sql.params)?;
        }
        let mut rows = statement.raw_query();
        let mut plan = Vec::new();
        while let Some(row) = rows.next()? {
            plan.push(row.get("detail")?);
        }
        Ok(plan)
    };
    let plan = plan().map_err(|source| read::failed(table, source))?;
    Ok(json!({ "sql": text, "plan": plan }))
}
