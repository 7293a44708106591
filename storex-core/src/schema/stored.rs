//! [`StoredSchema`]: the schema that a database was last brought to, as it is written down in it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::schema::registry::RESERVED_PREFIX;
use crate::schema::{
    Affinity, Collection, Definition, FieldOption, FieldType, Index, KeyFormat, Registry,
};

/// The form of the description itself.
const FORMAT: u32 = 1;

/// The schema that a database was last brought to. Backends keep it in the database; applications have no use for it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredSchema {
    /// The application's version; 0 where there is nothing of an application yet.
    pub version: u64,
    /// What is there, by collection: also what the registry of today does not know.
    pub collections: BTreeMap<String, StoredCollection>,
}

/// A collection as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredCollection {
    /// The version of its definition.
    pub version: u64,
    /// The table or object store.
    pub table: String,
    /// The columns of the primary key, in order.
    pub key: Vec<String>,
    /// By field.
    pub fields: BTreeMap<String, StoredField>,
    /// The secondary indices.
    pub indices: BTreeSet<StoredIndex>,
}

/// A field as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredField {
    /// The column or property.
    pub column: String,
    /// What it holds.
    pub kind: StoredKind,
    /// Whether it may be null.
    pub nullable: bool,
}

/// An index as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct StoredIndex {
    /// The columns, in order.
    pub columns: Vec<String>,
    /// Whether two objects may not have the same values.
    pub unique: bool,
    /// Whether each element of the field has an entry of its own.
    pub multi_entry: bool,
}

/// What a field holds, as far as it matters to a database: types that are stored alike are one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)] // the names say it
pub enum StoredKind {
    Integer,
    Float,
    Text,
    Bytes,
    Boolean,
    Moment,
    Json,
    Dynamic,
}

#[derive(Serialize, Deserialize)]
struct Envelope<S> {
    format: u32,
    schema: S,
}

impl StoredSchema {
    /// The schema of a registry, adopted collections left out: those are not ours to describe.
    #[must_use]
    pub fn of(registry: &Registry) -> Self {
        let own = registry.collections().iter().filter(|it| !it.is_adopted());
        let collections: BTreeMap<_, _> =
            own.map(|it| (it.name().to_string(), StoredCollection::of(it))).collect();
        // Adopted tables have versions of their own, if any.
        let version = if collections.is_empty() { 0 } else { registry.version().0 };
        Self { version, collections }
    }

    /// The description as text (JSON).
    #[must_use]
    pub fn to_text(&self) -> String {
        // Numbers, texts and lists of them: nothing here can fail to become JSON.
        serde_json::to_string(&Envelope { format: FORMAT, schema: self }).unwrap_or_default()
    }

    /// Reads the description.
    ///
    /// # Errors
    /// [`Error::NewerSchema`] for a form that is younger than this program, [`Error::SchemaMismatch`] for a text that is no
    /// description.
    pub fn from_text(text: &str) -> Result<Self> {
        let damaged = |error: serde_json::Error| Error::SchemaMismatch {
            collection: "(all)".into(),
            reason: format!("the description of the schema in the database is damaged: {error}"),
        };
        let envelope: Envelope<serde_json::Value> = serde_json::from_str(text).map_err(damaged)?;
        if envelope.format > FORMAT {
            return Err(Error::NewerSchema {
                collection: Some("_storex_schema".into()),
                stored: envelope.format.into(),
                known: FORMAT.into(),
            });
        }
        serde_json::from_value(envelope.schema).map_err(damaged)
    }
}

impl StoredCollection {
    /// A collection of a registry.
    #[must_use]
    pub fn of(collection: &Collection) -> Self {
        let column = |at: &usize| {
            collection.fields().get(*at).map_or_else(String::new, |field| field.column.to_string())
        };
        let field = |field: &crate::schema::Field| {
            let stored = StoredField {
                column: field.column.to_string(),
                kind: StoredKind::of(&field.field_type),
                nullable: field.nullable,
            };
            (field.name.to_string(), stored)
        };
        let index = |index: &Index| StoredIndex {
            columns: index.fields.iter().map(column).collect(),
            unique: index.unique,
            multi_entry: index.multi_entry,
        };
        Self {
            version: collection.version().0,
            table: collection.table().to_string(),
            key: collection.primary_key().iter().map(column).collect(),
            fields: collection.fields().iter().map(field).collect(),
            indices: collection.indices().iter().map(index).collect(),
        }
    }

    /// The field of a column; case does not count.
    #[must_use]
    pub fn field_of(&self, column: &str) -> Option<(&String, &StoredField)> {
        self.fields.iter().find(|(_, field)| field.column.eq_ignore_ascii_case(column))
    }

    /// The collection as it was, to read its objects with. (Its table is called as the collection is; it may lie elsewhere.)
    ///
    /// # Errors
    /// [`Error::Definition`] for a description that was damaged.
    pub fn collection(&self, name: &str) -> Result<Arc<Collection>> {
        let mut definition = Definition::new(name).version(self.version);
        if name.starts_with(RESERVED_PREFIX) {
            definition = definition.reserved();
        }
        for (name, field) in &self.fields {
            let is_key = self.key.contains(&field.column);
            let null = (field.nullable && !is_key).then_some(FieldOption::Optional);
            let column = FieldOption::Column(field.column.as_str().into());
            let options = null.into_iter().chain([column]);
            definition = definition.field_with(name.as_str(), field.kind.field_type(), options);
        }
        let field = |column: &String| self.field_of(column).map(|(name, _)| name.as_str());
        let key: Option<Vec<&str>> = self.key.iter().map(field).collect();
        definition = definition.primary_key(key.unwrap_or_default());
        for index in &self.indices {
            let fields: Option<Vec<&str>> = index.columns.iter().map(field).collect();
            definition = match fields {
                Some(fields) if index.unique => definition.unique(fields),
                Some(fields) if !index.multi_entry => definition.index(fields),
                _ => definition,
            };
        }
        let registry = Registry::builder().collection(definition).build()?;
        registry.collection(name).cloned()
    }
}

impl StoredKind {
    /// The kind of a type.
    #[must_use]
    pub fn of(field_type: &FieldType) -> Self {
        match field_type {
            FieldType::AutoPk(format) | FieldType::ForeignKey(format) => match format {
                KeyFormat::Text => Self::Text,
                KeyFormat::Bytes => Self::Bytes,
                KeyFormat::Int => Self::Integer,
            },
            FieldType::Text | FieldType::String | FieldType::Url | FieldType::RandomKey => {
                Self::Text
            }
            FieldType::Json => Self::Json,
            FieldType::DateTime | FieldType::Timestamp => Self::Moment,
            FieldType::Boolean => Self::Boolean,
            FieldType::Float => Self::Float,
            FieldType::Int => Self::Integer,
            FieldType::Blob | FieldType::Binary | FieldType::Media => Self::Bytes,
            FieldType::Dynamic(_) => Self::Dynamic,
        }
    }

    /// A type of this kind.
    #[must_use]
    pub fn field_type(self) -> FieldType {
        match self {
            Self::Integer => FieldType::Int,
            Self::Float => FieldType::Float,
            Self::Text => FieldType::String,
            Self::Bytes => FieldType::Binary,
            Self::Boolean => FieldType::Boolean,
            Self::Moment => FieldType::Timestamp,
            Self::Json => FieldType::Json,
            Self::Dynamic => FieldType::Dynamic(Affinity::Blob),
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Integer => "integer",
            Self::Float => "float",
            Self::Text => "text",
            Self::Bytes => "bytes",
            Self::Boolean => "boolean",
            Self::Moment => "moment",
            Self::Json => "json",
            Self::Dynamic => "dynamic",
        }
    }
}
