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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use storex_core::{
        Aggregate, Aggregation, Definition, Direction, FieldType, Position, RelationDefinition,
        field, related,
    };

    use super::*;
    use crate::sql::Sql;
    use crate::{SqliteBackend, aggregate, connection, schema};

    fn registry() -> Arc<Registry> {
        let author = Definition::new("author").field("name", FieldType::String).index(["name"]);
        let note = Definition::new("note")
            .field("title", FieldType::String)
            .field("stars", FieldType::Int)
            .relation(RelationDefinition::child_of("author"))
            .index(["stars"])
            .index(["title", "stars"]);
        Arc::new(Registry::builder().collections([author, note]).build().unwrap())
    }

    /// The plan of what `sql` makes, as one text.
    fn plan_of(sql: impl for<'t> FnOnce(&'t Tables) -> Sql<'t>) -> String {
        let dir = tempfile::tempdir().unwrap();
        let config = SqliteBackend::builder(dir.path().join("test.db")).config;
        let conn = connection::open(&config).unwrap();
        let tables = schema::prepare(&conn, &registry(), || Ok(())).unwrap();
        let sql = sql(&tables);
        let mut statement = conn.prepare(&format!("EXPLAIN QUERY PLAN {}", sql.text)).unwrap();
        bind_all(&mut statement, &sql.params).unwrap();
        let mut rows = statement.raw_query();
        let mut lines = Vec::new();
        while let Some(row) = rows.next().unwrap() {
            lines.push(row.get::<_, String>("detail").unwrap());
        }
        lines.join("\n")
    }

    #[test]
    fn a_page_begins_at_its_position_in_the_index() {
        let after = |values: [storex_core::Value; 2], direction| {
            let query = Query::new("note")
                .order_by("stars", direction)
                .limit(10)
                .after(Position { values: values.to_vec() });
            let query: &'static Query = Box::leak(Box::new(query));
            plan_of(|tables| read::select_sql(tables, &tables["note"], query).unwrap())
        };
        let plan = after([7.into(), "k".into()], Direction::Ascending);
        assert!(plan.starts_with("SEARCH note USING INDEX note:index:stars (stars>?)"), "{plan}");
        let plan = after([7.into(), "k".into()], Direction::Descending);
        assert!(plan.starts_with("SEARCH note USING INDEX note:index:stars (stars<?)"), "{plan}");
    }

    #[test]
    fn a_page_among_equal_values_begins_at_its_position() {
        let pages = |filter, place: &[storex_core::Value]| {
            let query = Query::new("note").filter(filter).order_by("title", Direction::Ascending);
            let query = query.order_by("stars", Direction::Ascending).limit(10);
            let query = query.after(Position { values: place.to_vec() });
            let query: &'static Query = Box::leak(Box::new(query));
            plan_of(|tables| read::select_sql(tables, &tables["note"], query).unwrap())
        };
        let place = ["a".into(), 7.into(), "k".into()];
        let plan = pages(field("title").eq("a"), &place);
        let index = "SEARCH note USING INDEX note:index:title,stars";
        assert!(plan.starts_with(&format!("{index} (title=? AND stars>?)")), "{plan}");
        let narrow = field("title").eq("a").and(field("stars").eq(7));
        let plan = pages(narrow, &place);
        assert!(plan.starts_with(&format!("{index} (title=? AND stars=?)")), "{plan}");
    }

    #[test]
    fn the_least_and_the_greatest_are_looked_up() {
        for value in [Aggregate::Min("stars".into()), Aggregate::Max("stars".into())] {
            let asked = Aggregation::new("note").value(value);
            let asked: &'static Aggregation = Box::leak(Box::new(asked));
            let plan =
                plan_of(|tables| aggregate::sql(tables, &tables["note"], asked).unwrap().unwrap());
            assert_eq!(plan, "SEARCH note USING COVERING INDEX note:index:stars");
        }
    }

    #[test]
    fn groups_of_an_indexed_field_need_no_sorting() {
        let asked = Aggregation::new("note").by(["title"]).value(Aggregate::Sum("stars".into()));
        let asked: &'static Aggregation = Box::leak(Box::new(asked));
        let plan =
            plan_of(|tables| aggregate::sql(tables, &tables["note"], asked).unwrap().unwrap());
        assert_eq!(plan, "SCAN note USING COVERING INDEX note:index:title,stars");
    }

    #[test]
    fn writes_by_filter_use_indices_too() {
        let filter = field("stars").gte(3).and(related("author", field("name").eq("Ann")));
        let filter: &'static Filter = Box::leak(Box::new(filter));
        let plan = plan_of(|tables| {
            let mut sql = Sql::new(tables, "DELETE FROM note");
            sql.filter(&tables["note"], filter, None).unwrap();
            sql
        });
        assert!(plan.starts_with("SEARCH note USING INDEX note:index:stars (stars>?)"), "{plan}");
        assert!(plan.contains("SEARCH author USING INDEX author:index:name (name=?)"), "{plan}");
    }
}
