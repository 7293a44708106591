//! Filters on related objects.

use std::collections::HashSet;

use rusqlite::Connection;
use storex_core::{Collection, FieldType, Filter, Key, Query, RelationEnd, Result};

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

/// The same filter with what there is in the place of related objects: for records that are gone through one by one. (Such
/// a filter may be very deep; each level takes as little of the stack as it can.)
pub(crate) fn resolve(
    conn: &Connection,
    tables: &Tables,
    collection: &Collection,
    filter: &mut Filter,
) -> Result<()> {
    match filter {
        Filter::Related { relation, filter: inner } => {
            let found = answer(conn, tables, collection, relation, inner)?;
            *filter = found;
            Ok(())
        }
        Filter::And(parts) | Filter::Or(parts) => {
            parts.iter_mut().try_for_each(|part| resolve(conn, tables, collection, part))
        }
        Filter::Not(part) => resolve(conn, tables, collection, part),
        _ => Ok(()),
    }
}

/// The objects that have a related object which the filter matches.
#[inline(never)]
fn answer(
    conn: &Connection,
    tables: &Tables,
    collection: &Collection,
    relation: &str,
    filter: &Filter,
) -> Result<Filter> {
    let Some(Followed { own, other, field }) = follow(tables, collection, relation) else {
        return Ok(Filter::Or(Vec::new()));
    };
    let query = Query::new(other.collection.name().clone()).filter(filter.clone()).select([other
        .collection
        .fields()[field]
        .name
        .clone()]);
    let own = &collection.fields()[own];
    let mut seen = HashSet::new();
    let mut values = Vec::new();
    for record in read::find(conn, tables, &query)? {
        let mut value = record.get(0).clone();
        // A value that the field cannot hold is no object's.
        if !value.is_null()
            && collection.check_value(own, &mut value).is_ok()
            && seen.insert(Key::single(value.clone()))
        {
            values.push(value);
        }
    }
    Ok(Filter::In { field: own.name.clone(), values })
}
