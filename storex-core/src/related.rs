//! Relations followed: from a filter on related objects to one on the objects themselves.

use std::collections::HashSet;

use crate::error::{Error, Result};
use crate::filter::Filter;
use crate::query::Query;
use crate::record::{Key, Record};
use crate::schema::{Collection, Registry, Relation, RelationKind};
use crate::value::{Name, Value};

/// A relation, seen from one of its ends.
#[derive(Debug, Clone, Copy)]
pub enum End<'a> {
    /// From the child, by the alias.
    Parent(&'a Relation),
    /// From the parent, by the reverse alias.
    Children(&'a Relation),
}

impl<'a> End<'a> {
    /// The collection at the other end.
    #[must_use]
    pub fn other(self) -> &'a Name {
        match self {
            Self::Parent(relation) => &relation.parent,
            Self::Children(relation) => &relation.child,
        }
    }

    /// Whether there is at most one object at the other end.
    #[must_use]
    pub fn is_single(self) -> bool {
        match self {
            Self::Parent(_) => true,
            Self::Children(relation) => relation.kind == RelationKind::SingleChildOf,
        }
    }

    /// The field of the other collection whose value names objects of this one, or is their key.
    pub(crate) fn other_field(self, registry: &Registry) -> Result<Name> {
        match self {
            Self::Parent(relation) => key_field(registry.collection(&relation.parent)?),
            Self::Children(relation) => Ok(Name::clone(&relation.alias)),
        }
    }

    /// The field of this collection that has the same value.
    pub(crate) fn own_field(self, registry: &Registry) -> Result<Name> {
        match self {
            Self::Parent(relation) => Ok(Name::clone(&relation.alias)),
            Self::Children(relation) => key_field(registry.collection(&relation.parent)?),
        }
    }
}

impl Collection {
    /// The relation that a [`Filter::Related`] of this collection means, by its alias or reverse alias.
    ///
    /// # Errors
    /// [`Error::InvalidOperation`] when there is none, or more than one.
    pub fn follow(&self, relation: &str) -> Result<End<'_>> {
        resolve(self, relation)
    }
}

/// A relation points to a key of one field; the registry has seen to it.
fn key_field(collection: &Collection) -> Result<Name> {
    match collection.primary_key() {
        [at] => Ok(Name::clone(&collection.fields()[*at].name)),
        _ => Err(Error::invalid(collection.name(), "its key has several fields: no relation fits")),
    }
}

/// The relation that a collection knows by this alias or reverse alias.
pub(crate) fn resolve<'a>(collection: &'a Collection, name: &str) -> Result<End<'a>> {
    if let Some(relation) = collection.relations().iter().find(|it| *it.alias == *name) {
        return Ok(End::Parent(relation));
    }
    let mut children = collection.children().iter().filter(|it| *it.reverse_alias == *name);
    match (children.next(), children.next()) {
        (Some(relation), None) => Ok(End::Children(relation)),
        (Some(relation), Some(other)) => {
            let reason = format!(
                "`{name}` may mean the children by `{}` of `{}` or by `{}` of `{}`; give one another reverse alias",
                relation.alias, relation.child, other.alias, other.child
            );
            Err(Error::invalid(collection.name(), reason))
        }
        (None, _) => {
            let reason =
                format!("it has no relation `{name}`, neither as alias nor as reverse alias");
            Err(Error::invalid(collection.name(), reason))
        }
    }
}

/// The question whose answer turns a filter on related objects into one on the objects themselves: those at the other end
/// that match, and of each the field that leads back.
pub(crate) fn question(
    collection: &Collection,
    relation: &str,
    filter: Filter,
    registry: &Registry,
) -> Result<Query> {
    let end = resolve(collection, relation)?;
    Ok(Query::new(Name::clone(end.other())).filter(filter).select([end.other_field(registry)?]))
}

/// The filter that the answer makes of it.
pub(crate) fn answer(
    collection: &Collection,
    relation: &str,
    found: &[Record],
    registry: &Registry,
) -> Result<Filter> {
    let field = resolve(collection, relation)?.own_field(registry)?;
    let mut seen = HashSet::with_capacity(found.len());
    let values = found.iter().map(|record| record.get(0)).filter(|value| !value.is_null());
    let values: Vec<Value> =
        values.filter(|value| seen.insert(Key::single((*value).clone()))).cloned().collect();
    Ok(Filter::In { field, values })
}
