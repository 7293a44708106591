//! [`Query`]: which objects to read, in which order, and how much of them.

use crate::error::{Error, Result};
use crate::filter::Filter;
use crate::record::Record;
use crate::schema::{Collection, Registry};
use crate::value::{Name, Value};

/// Which way a field is ordered. Nulls come first when ascending, last when descending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Smallest first.
    Ascending,
    /// Largest first.
    Descending,
}

/// Which objects to read, in which order, and how much of them.
///
/// With an order, a limit, an offset or a page position the result has one order on every backend: the given fields,
/// then the primary key ascending. Without any of these the order is the backend's own, except that a filter of
/// [`Filter::Keys`] alone gives the objects in the order of the keys, leaving out those that are not there.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// The collection.
    pub collection: Name,
    /// Which objects.
    pub filter: Filter,
    /// The order.
    pub order: Vec<(Name, Direction)>,
    /// At most so many objects.
    pub limit: Option<u64>,
    /// Leave out so many objects at the beginning.
    pub offset: u64,
    /// Begin behind this position.
    pub after: Option<Position>,
    /// Only these fields, in this order; `None`: all.
    pub select: Option<Vec<Name>>,
}

/// A place in an ordered result: key-set paging goes on behind it, at the same cost however far it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Position {
    /// The values of the order's fields, then of the key's.
    pub values: Vec<Value>,
}

impl Query {
    /// All objects of a collection.
    pub fn new(collection: impl Into<Name>) -> Self {
        Self {
            collection: collection.into(),
            filter: Filter::All,
            order: Vec::new(),
            limit: None,
            offset: 0,
            after: None,
            select: None,
        }
    }

    /// Only what the filter matches (and what an earlier filter matches).
    #[must_use]
    pub fn filter(mut self, filter: Filter) -> Self {
        self.filter = match self.filter {
            Filter::All => filter,
            earlier => earlier.and(filter),
        };
        self
    }

    /// Ordered by a field, after the fields given before.
    #[must_use]
    pub fn order_by(mut self, field: impl Into<Name>, direction: Direction) -> Self {
        self.order.push((field.into(), direction));
        self
    }

    /// Ordered by several fields, after those given before; see [`Property::asc`](crate::Property::asc).
    #[must_use]
    pub fn order(mut self, order: impl IntoIterator<Item = (Name, Direction)>) -> Self {
        self.order.extend(order);
        self
    }

    /// At most `limit` objects.
    #[must_use]
    pub fn limit(mut self, limit: u64) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Without the first `offset` objects. To walk a large result, page with [`Query::after`] instead.
    #[must_use]
    pub fn offset(mut self, offset: u64) -> Self {
        self.offset = offset;
        self
    }

    /// Behind a position; see [`Query::position_of`].
    #[must_use]
    pub fn after(mut self, position: Position) -> Self {
        self.after = Some(position);
        self
    }

    /// Only these fields.
    #[must_use]
    pub fn select<N: Into<Name>>(mut self, fields: impl IntoIterator<Item = N>) -> Self {
        self.select = Some(fields.into_iter().map(Into::into).collect());
        self
    }

    /// Whether the result has one order on every backend.
    #[must_use]
    pub fn is_ordered(&self) -> bool {
        !self.order.is_empty() || self.limit.is_some() || self.offset > 0 || self.after.is_some()
    }

    /// The order in full: the fields asked for, then the key's fields that are not among them.
    #[must_use]
    pub fn full_order(&self, collection: &Collection) -> Vec<(usize, Direction)> {
        let asked = self
            .order
            .iter()
            .filter_map(|(field, direction)| collection.position(field).map(|at| (at, *direction)));
        let mut order: Vec<(usize, Direction)> = Vec::new();
        for (at, direction) in
            asked.chain(collection.primary_key().iter().map(|at| (*at, Direction::Ascending)))
        {
            if !order.iter().any(|(known, _)| *known == at) {
                order.push((at, direction));
            }
        }
        order
    }

    /// The position of a full record (one with all fields) in this query's order.
    #[must_use]
    pub fn position_of(&self, collection: &Collection, record: &Record) -> Position {
        let values =
            self.full_order(collection).into_iter().map(|(at, _)| record.get(at).clone()).collect();
        Position { values }
    }

    /// The positions of the fields that the result holds.
    #[must_use]
    pub fn selected(&self, collection: &Collection) -> Vec<usize> {
        match &self.select {
            None => (0..collection.fields().len()).collect(),
            Some(names) => names.iter().filter_map(|name| collection.position(name)).collect(),
        }
    }

    /// Checks fields and values, and brings values to their stored form.
    ///
    /// # Errors
    /// [`Error::UnknownCollection`], [`Error::UnknownField`], [`Error::InvalidValue`], [`Error::InvalidOperation`].
    pub fn check(&mut self, registry: &Registry) -> Result<()> {
        let collection = registry.collection(&self.collection)?;
        self.filter.check(collection, registry)?;
        for (field, _) in &self.order {
            let at = collection.require(field)?;
            if matches!(collection.fields()[at].field_type, crate::FieldType::Json) {
                let reason = format!("field `{field}` holds JSON, which has no order");
                return Err(Error::invalid(&self.collection, reason));
            }
        }
        for field in self.select.iter().flatten() {
            collection.require(field)?;
        }
        if let Some(position) = &self.after {
            let expected = self.full_order(collection).len();
            if position.values.len() != expected {
                let reason = format!(
                    "a page position has {} values where the query's order has {expected}: it belongs to another query",
                    position.values.len()
                );
                return Err(Error::invalid(&self.collection, reason));
            }
        }
        Ok(())
    }
}
