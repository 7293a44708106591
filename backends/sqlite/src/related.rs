//! Filters on related objects.

use std::collections::HashSet;

use rusqlite::Connection;
use storex_core::{Collection, FieldType, Filter, Key, Name, Query, RelationEnd, Result, Value};

use crate::read;
use crate::sql::{Sql, TooLarge, binary};
use crate::table::{Table, Tables};

/// A relation, followed: `own` of this collection's objects equals `field` of the other's.
struct Followed<'t> {
    own: usize,
    other: &'t Table,
    field: usize,
}

/// `None`: there is no such relation, which the check of the filter would have said.
fn follow<'t>(tables: &'t Tables, collection: &Collection, relation: &str) -> Option<Followed<'t>> {
    let key_of = |collection: &Collection| match collection.primary_key() {
        [at] => Some(*at),
        _ => None,
    };
    match collection.follow(relation).ok()? {
        RelationEnd::Parent(relation) => {
            let other = tables.get(&relation.parent)?;
            let field = key_of(&other.collection)?;
            Some(Followed { own: collection.position(&relation.alias)?, other, field })
        }
        RelationEnd::Children(relation) => {
            let other = tables.get(&relation.child)?;
            let field = other.collection.position(&relation.alias)?;
            Some(Followed { own: key_of(collection)?, other, field })
        }
    }
}

impl<'a> Sql<'a> {
    /// `own IN (SELECT field FROM other WHERE ..)`
    pub(crate) fn related(
        &mut self,
        table: &Table,
        relation: &str,
        filter: &'a Filter,
        depth: usize,
    ) -> Result<(), TooLarge> {
        let Some(Followed { own, other, field }) = follow(self.tables, &table.collection, relation)
        else {
            self.push("0");
            return Ok(());
        };
        self.push(&binary(table, own));
        self.push(" IN (SELECT ");
        // Columns of any type may differ in how they convert what they are compared with: the own one's way counts.
        let is_any = |table: &Table, at: usize| {
            matches!(table.collection.fields()[at].field_type, FieldType::Dynamic(_))
        };
        self.push(if is_any(table, own) || is_any(other, field) { "+" } else { "" });
        self.push(&other.column(field).name);
        self.push(" FROM ");
        self.push(&other.name);
        if !matches!(filter, Filter::All) {
            self.push(" WHERE ");
            self.condition(other, filter, depth)?;
        }
        self.push(")");
        Ok(())
    }
}

/// The same filter with what there is in the place of related objects: for records that are gone through one by one.
pub(crate) fn resolved(
    conn: &Connection,
    tables: &Tables,
    collection: &Collection,
    filter: &Filter,
) -> Result<Filter> {
    let all = |parts: &[Filter]| {
        parts
            .iter()
            .map(|part| resolved(conn, tables, collection, part))
            .collect::<Result<Vec<_>>>()
    };
    Ok(match filter {
        Filter::Related { relation, filter } => {
            let Some(Followed { own, other, field }) = follow(tables, collection, relation) else {
                return Ok(Filter::Or(Vec::new()));
            };
            let name = |collection: &Collection, at: usize| -> Name {
                collection.fields()[at].name.clone()
            };
            let query = Query::new(other.collection.name().clone())
                .filter((**filter).clone())
                .select([name(&other.collection, field)]);
            let found = read::find(conn, tables, &query)?;
            let mut seen = HashSet::with_capacity(found.len());
            let values = found.iter().map(|record| record.get(0)).filter(|it| !it.is_null());
            let values: Vec<Value> = values
                .filter(|value| seen.insert(Key::single((*value).clone())))
                .cloned()
                .collect();
            let mut answer = Filter::In { field: name(collection, own), values };
            if let Filter::In { field, values } = &mut answer {
                let at = collection.require(field)?;
                values.retain_mut(|value| {
                    collection.check_value(&collection.fields()[at], value).is_ok()
                });
            }
            answer
        }
        Filter::And(parts) => Filter::And(all(parts)?),
        Filter::Or(parts) => Filter::Or(all(parts)?),
        Filter::Not(part) => resolved(conn, tables, collection, part)?.negate(),
        other => other.clone(),
    })
}
