//! [`Aggregation`]: what many objects come to.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::filter::Filter;
use crate::query::Query;
use crate::record::{Key, Record};
use crate::schema::{Collection, FieldType, Registry};
use crate::value::{Name, Value};

/// What the objects that a filter matches come to: counts, least and greatest values, sums, for all of them or by group.
///
/// The result is one record per group: the group's values, then one value for each of [`Aggregation::values`]; ordered by the
/// group's values. Without groups there is exactly one record, also when no object matches. Groups without values are the
/// distinct values of the fields.
///
/// ```
/// use storex_core::{Aggregate, Aggregation, field};
///
/// let per_author = Aggregation::new("note")
///     .filter(field("stars").gte(1))
///     .by(["author"])
///     .value(Aggregate::Count)
///     .value(Aggregate::Sum("stars".into()));
/// let authors = Aggregation::new("note").by(["author"]);
/// # let _ = (per_author, authors);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Aggregation {
    /// The collection.
    pub collection: Name,
    /// Which objects.
    pub filter: Filter,
    /// Objects with the same values of these fields are one group.
    pub by: Vec<Name>,
    /// What is asked of each group.
    pub values: Vec<Aggregate>,
}

/// What is asked of a group of objects.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Aggregate {
    /// How many there are.
    Count,
    /// The least value of a field, by [`Value::compare`]; nulls do not count, null where there is nothing else.
    Min(Name),
    /// The greatest value of a field; nulls do not count, null where there is nothing else.
    Max(Name),
    /// The sum of a field's numbers; zero where there are none. Integers are added exactly and never wrap: the aggregation
    /// fails instead. Floats are added in the order in which the database gives them, so the last digits may differ from one
    /// backend to the next.
    Sum(Name),
}

impl Aggregate {
    pub(crate) fn field(&self) -> Option<&Name> {
        match self {
            Self::Count => None,
            Self::Min(field) | Self::Max(field) | Self::Sum(field) => Some(field),
        }
    }

    /// An [`Aggregate::Sum`] from the exact sum of a field's integers and the sum of its floats, if it had any.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] for a sum that no 64-bit integer holds.
    #[allow(clippy::cast_precision_loss)]
    pub fn total(
        collection: &Collection,
        field: &Name,
        integers: i128,
        floats: Option<f64>,
    ) -> Result<Value> {
        let definition = collection.position(field).and_then(|at| collection.fields().get(at));
        let is_float = definition.is_some_and(|field| field.field_type == FieldType::Float);
        let refuse = |reason: String| Error::InvalidValue {
            collection: Name::clone(collection.name()),
            field: Name::clone(field),
            reason,
        };
        match (floats.map(|floats| floats + integers as f64), i64::try_from(integers)) {
            // Of both infinities.
            (Some(sum), _) if sum.is_nan() => Err(refuse("the sum is not a number".to_owned())),
            (Some(sum), _) => Ok(Value::from(sum)),
            (None, _) if is_float => Ok(Value::from(integers as f64)),
            (None, Ok(sum)) => Ok(Value::Int(sum)),
            (None, Err(_)) => {
                Err(refuse(format!("the sum {integers} leaves the range of a 64-bit integer")))
            }
        }
    }
}

impl Aggregation {
    /// Of all objects of a collection, nothing yet.
    pub fn new(collection: impl Into<Name>) -> Self {
        Self {
            collection: collection.into(),
            filter: Filter::All,
            by: Vec::new(),
            values: Vec::new(),
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

    /// By the values of these fields.
    #[must_use]
    pub fn by<N: Into<Name>>(mut self, fields: impl IntoIterator<Item = N>) -> Self {
        self.by.extend(fields.into_iter().map(Into::into));
        self
    }

    /// Asks for a value of each group.
    #[must_use]
    pub fn value(mut self, value: Aggregate) -> Self {
        self.values.push(value);
        self
    }

    /// Checks fields and values, and brings values to their stored form.
    ///
    /// # Errors
    /// [`Error::UnknownField`], [`Error::InvalidValue`], [`Error::InvalidOperation`].
    pub fn check(&mut self, registry: &Registry) -> Result<()> {
        let collection = registry.collection(&self.collection)?;
        self.filter.check(collection, registry)?;
        if self.by.is_empty() && self.values.is_empty() {
            return Err(Error::invalid(&self.collection, "the aggregation asks for nothing"));
        }
        for field in self.by.iter().chain(self.values.iter().filter_map(Aggregate::field)) {
            let at = collection.require(field)?;
            if matches!(collection.fields()[at].field_type, FieldType::Json) {
                let reason = format!("field `{field}` holds JSON, which has no order and no sum");
                return Err(Error::invalid(&self.collection, reason));
            }
        }
        for value in &self.values {
            let Aggregate::Sum(field) = value else { continue };
            let at = collection.require(field)?;
            let field_type = &collection.fields()[at].field_type;
            if !matches!(field_type, FieldType::Int | FieldType::Float | FieldType::Dynamic(_)) {
                let reason = format!("field `{field}` holds no numbers that could be added");
                return Err(Error::invalid(&self.collection, reason));
            }
        }
        Ok(())
    }

    /// The query whose records an [`Aggregator`] takes: the fields that are asked for, of the objects that the filter
    /// matches.
    #[must_use]
    pub fn query(&self) -> Query {
        let asked = self.values.iter().filter_map(Aggregate::field);
        Query::new(Name::clone(&self.collection))
            .filter(self.filter.clone())
            .select(self.by.iter().chain(asked).map(Name::clone))
    }
}

/// Adds up the records of [`Aggregation::query`] one by one.
#[derive(Debug)]
pub struct Aggregator<'a> {
    aggregation: &'a Aggregation,
    collection: &'a Collection,
    groups: BTreeMap<Key, Vec<Running>>,
}

/// What a group comes to so far.
#[derive(Debug)]
enum Running {
    Count(u64),
    Min(Value),
    Max(Value),
    Sum { integers: i128, floats: Option<f64> },
}

impl<'a> Aggregator<'a> {
    /// Begins with nothing.
    #[must_use]
    pub fn new(aggregation: &'a Aggregation, collection: &'a Collection) -> Self {
        let mut groups = BTreeMap::new();
        if aggregation.by.is_empty() {
            groups.insert(Key::compound([]), begin(aggregation));
        }
        Self { aggregation, collection, groups }
    }

    /// Adds a record.
    pub fn add(&mut self, record: &Record) {
        let groups = self.aggregation.by.len();
        let key = Key::compound((0..groups).map(|at| record.get(at).clone()));
        let running = self.groups.entry(key).or_insert_with(|| begin(self.aggregation));
        let mut at = groups;
        for (value, running) in self.aggregation.values.iter().zip(running) {
            if value.field().is_none() {
                running.add(&Value::Null);
            } else {
                running.add(record.get(at));
                at += 1;
            }
        }
    }

    /// One record per group.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] for a sum that no 64-bit integer holds, and for one of both infinities.
    pub fn finish(self) -> Result<Vec<Record>> {
        let (aggregation, collection) = (self.aggregation, self.collection);
        let records = self.groups.into_iter().map(|(key, running)| {
            let mut values = key.values().to_vec();
            for (running, value) in running.into_iter().zip(&aggregation.values) {
                values.push(running.finish(value, collection)?);
            }
            Ok(Record::new(values))
        });
        records.collect()
    }
}

fn begin(aggregation: &Aggregation) -> Vec<Running> {
    let running = aggregation.values.iter().map(|value| match value {
        Aggregate::Count => Running::Count(0),
        Aggregate::Min(_) => Running::Min(Value::Null),
        Aggregate::Max(_) => Running::Max(Value::Null),
        Aggregate::Sum(_) => Running::Sum { integers: 0, floats: None },
    });
    running.collect()
}

impl Running {
    #[allow(clippy::cast_precision_loss)]
    fn add(&mut self, value: &Value) {
        match self {
            Self::Count(count) => *count += 1,
            Self::Min(least) => {
                if !value.is_null() && (least.is_null() || value.compare(least).is_lt()) {
                    *least = value.clone();
                }
            }
            Self::Max(greatest) => {
                if value.compare(greatest).is_gt() {
                    *greatest = value.clone();
                }
            }
            Self::Sum { integers, floats } => match value {
                Value::Int(int) => *integers += i128::from(*int),
                Value::Float(float) => *floats = Some(floats.unwrap_or(0.0) + float),
                _ => {}
            },
        }
    }

    fn finish(self, value: &Aggregate, collection: &Collection) -> Result<Value> {
        let (integers, floats) = match self {
            Self::Count(count) => return Ok(Value::Int(i64::try_from(count).unwrap_or(i64::MAX))),
            Self::Min(value) | Self::Max(value) => return Ok(value),
            Self::Sum { integers, floats } => (integers, floats),
        };
        match value.field() {
            Some(field) => Aggregate::total(collection, field, integers, floats),
            None => Ok(Value::Null),
        }
    }
}
