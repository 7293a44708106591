//! What the objects of a query come to, on both faces; see [`Aggregation`].

use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json};

use crate::aggregate::{Aggregate, Aggregation};
use crate::dynamic::DynamicCollection;
use crate::error::{Error, Result};
use crate::record::Record;
use crate::schema::Collection;
use crate::typed::Select;
use crate::value::{Name, Value};

impl<T: DeserializeOwned> Select<T> {
    /// The least value of a field; null where no object has one.
    ///
    /// # Errors
    /// [`Error::UnknownField`]; [`Error::InvalidOperation`] for a field that holds JSON, and for a query with a limit, an
    /// offset or a position.
    pub async fn min(self, field: impl Into<Name>) -> Result<Value> {
        self.one(Aggregate::Min(field.into())).await
    }

    /// The greatest value of a field; null where no object has one.
    ///
    /// # Errors
    /// As [`Select::min`].
    pub async fn max(self, field: impl Into<Name>) -> Result<Value> {
        self.one(Aggregate::Max(field.into())).await
    }

    /// The sum of a field's numbers; see [`Aggregate::Sum`].
    ///
    /// # Errors
    /// As [`Select::min`]; also for a field that holds no numbers, and [`Error::InvalidValue`] for a sum that leaves its
    /// range.
    pub async fn sum(self, field: impl Into<Name>) -> Result<Value> {
        self.one(Aggregate::Sum(field.into())).await
    }

    /// The different values of a field, ascending; null is one of them where some object has none.
    ///
    /// # Errors
    /// As [`Select::min`].
    pub async fn distinct(self, field: impl Into<Name>) -> Result<Vec<Value>> {
        let (collection, field) = (Arc::clone(&self.collection), field.into());
        let records = self.aggregate(|it| it.by([Name::clone(&field)])).await?;
        records.iter().map(|record| seen(&collection, Some(&*field), record.get(0))).collect()
    }

    async fn one(self, value: Aggregate) -> Result<Value> {
        let (collection, field) = (Arc::clone(&self.collection), value.field().cloned());
        let records = self.aggregate(|it| it.value(value)).await?;
        match records.first() {
            Some(record) => seen(&collection, field.as_deref(), record.get(0)),
            None => Ok(Value::Null),
        }
    }

    async fn aggregate(self, ask: impl FnOnce(Aggregation) -> Aggregation) -> Result<Vec<Record>> {
        let query = self.query;
        if query.limit.is_some() || query.offset > 0 || query.after.is_some() {
            let reason = "an aggregation is of all objects that the filter matches: leave out limit, offset and position";
            return Err(Error::invalid(&query.collection, reason));
        }
        let filter = self.collection.stored_filter(query.filter)?;
        let aggregation = Aggregation::new(query.collection).filter(filter);
        self.storage.aggregate(ask(aggregation)).await
    }
}

/// A value as the application sees it.
fn seen(collection: &Collection, field: Option<&str>, value: &Value) -> Result<Value> {
    let field = field.and_then(|field| collection.position(field));
    match field.and_then(|at| collection.fields().get(at)) {
        Some(field) => collection.seen_value(field, value),
        None => Ok(value.clone()),
    }
}

impl DynamicCollection {
    /// What objects come to: one JSON object per group, ordered by the group's values; see [`Aggregation`].
    ///
    /// The form is `{"filter": {..}, "by": ["author"], "values": {"notes": {"$count": true}, "stars": {"$sum": "stars"}}}`,
    /// where each part may be missing. Values are asked for by `$count`, `$min`, `$max` and `$sum`.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use storex_core::{AutoPk, Definition, FieldType, Registry, Storage};
    /// # use storex_memory::{MemoryBackend, TestRuntime};
    /// # use serde_json::json;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storex_core::Result<()> {
    /// # let definition = Definition::new("note").field("author", FieldType::String).field("stars", FieldType::Int);
    /// # let registry = Registry::builder().collection(definition).build()?;
    /// # let runtime = Arc::new(TestRuntime::new(1));
    /// # let storage = Storage::builder(MemoryBackend::new(), registry, runtime).middleware(AutoPk::new()).open().await?;
    /// let notes = storage.dynamic("note")?;
    /// for (author, stars) in [("Ann", 3), ("Bob", 1), ("Ann", 2)] {
    ///     notes.create(json!({"author": author, "stars": stars})).await?;
    /// }
    /// let per_author = json!({"by": ["author"], "values": {"notes": {"$count": true}, "stars": {"$sum": "stars"}}});
    /// let found = notes.aggregate(&per_author).await?;
    /// assert_eq!(found[0], json!({"author": "Ann", "notes": 2, "stars": 5}));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error::InvalidOperation`] for a form that is not known, [`Error::UnknownField`], [`Error::InvalidValue`] for a sum
    /// that leaves its range.
    pub async fn aggregate(&self, aggregation: &Json) -> Result<Vec<Json>> {
        let (aggregation, names) = self.aggregation_from_json(aggregation)?;
        let groups = aggregation.by.iter().zip(&aggregation.by);
        let values = names.iter().zip(&aggregation.values);
        let mut columns: Vec<(Name, Option<Name>)> =
            groups.map(|(name, field)| (Name::clone(name), Some(Name::clone(field)))).collect();
        columns.extend(values.map(|(name, value)| (Name::clone(name), value.field().cloned())));
        let records = self.storage.aggregate(aggregation).await?;
        let objects = records.iter().map(|record| {
            let members = columns.iter().zip(record.values());
            let members = members.map(|((name, of), value)| {
                Ok((name.to_string(), self.told(of.as_deref(), value)?))
            });
            members.collect::<Result<_>>().map(Json::Object)
        });
        objects.collect()
    }

    fn told(&self, field: Option<&str>, value: &Value) -> Result<Json> {
        let field = field.and_then(|field| self.collection.position(field));
        match (field.and_then(|at| self.collection.fields().get(at)), value) {
            (Some(field), value) => self.collection.value_to_json(field, value),
            (None, Value::Int(count)) => Ok(Json::from(*count)),
            (None, _) => Ok(Json::Null),
        }
    }

    /// The aggregation, and the names of its values.
    fn aggregation_from_json(&self, json: &Json) -> Result<(Aggregation, Vec<Name>)> {
        let wrong = |reason: String| Error::invalid(self.collection.name(), reason);
        let Json::Object(parts) = json else {
            return Err(wrong("an aggregation is a JSON object".to_owned()));
        };
        let mut aggregation = Aggregation::new(self.name());
        let mut names: Vec<Name> = Vec::new();
        for (part, json) in parts {
            match (part.as_str(), json) {
                ("filter", json) => aggregation = aggregation.filter(self.filter_from_json(json)?),
                ("by", Json::Array(fields)) => {
                    for field in fields {
                        let Some(field) = field.as_str() else {
                            return Err(wrong(format!("`by` takes names of fields, not {field}")));
                        };
                        aggregation = aggregation.by([field]);
                    }
                }
                ("values", Json::Object(values)) => {
                    for (name, value) in values {
                        aggregation = aggregation.value(self.value_asked(value)?);
                        names.push(name.as_str().into());
                    }
                }
                ("by" | "values", _) => {
                    return Err(wrong(format!("the part `{part}` cannot be {json}")));
                }
                _ => return Err(wrong(format!("the part `{part}` is not known"))),
            }
        }
        if let Some(name) = names.iter().find(|name| aggregation.by.contains(name)) {
            return Err(wrong(format!("`{name}` is the name of a group and of a value")));
        }
        Ok((aggregation, names))
    }

    fn value_asked(&self, json: &Json) -> Result<Aggregate> {
        let single = json.as_object().filter(|it| it.len() == 1).and_then(|it: &Map<_, _>| {
            let (operator, operand) = it.iter().next()?;
            Some((operator.as_str(), operand))
        });
        match single {
            Some(("$count", Json::Bool(true))) => Ok(Aggregate::Count),
            Some(("$min", Json::String(field))) => Ok(Aggregate::Min(field.as_str().into())),
            Some(("$max", Json::String(field))) => Ok(Aggregate::Max(field.as_str().into())),
            Some(("$sum", Json::String(field))) => Ok(Aggregate::Sum(field.as_str().into())),
            _ => {
                let reason = format!(
                    "a value is {{\"$count\": true}}, or `$min`, `$max` or `$sum` of a field, not {json}"
                );
                Err(Error::invalid(self.collection.name(), reason))
            }
        }
    }
}
