//! The schema, as `lib/schema.js` writes it down from storex's definitions.

use serde::Deserialize;
use storex_core::{
    AutoPk, Definition, FieldOption, FieldType, KeyFormat, KeyGenerator, Registry,
    RelationDefinition,
};

use crate::error::{Result, ToJs, invalid};

/// One version of a collection.
#[derive(Debug, Deserialize)]
struct Written {
    name: String,
    version: u64,
    fields: Vec<WrittenField>,
    key: Vec<String>,
    /// Whether the key is an integer that storex draws.
    counted: bool,
    indices: Vec<WrittenIndex>,
    relations: Vec<WrittenRelation>,
}

#[derive(Debug, Deserialize)]
struct WrittenField {
    name: String,
    #[serde(rename = "type")]
    field_type: String,
    optional: bool,
}

#[derive(Debug, Deserialize)]
struct WrittenIndex {
    fields: Vec<String>,
    unique: bool,
}

#[derive(Debug, Deserialize)]
struct WrittenRelation {
    kind: String,
    target: String,
    alias: String,
    reverse: String,
    column: String,
    optional: bool,
}

/// The registry, and what draws the keys.
pub(crate) fn read(json: &str) -> Result<(Registry, AutoPk)> {
    let written: Vec<Written> = serde_json::from_str(json).to_js()?;
    let mut auto_pk = AutoPk::new();
    let mut registry = Registry::builder();
    for collection in written {
        if collection.counted {
            // Exact in JavaScript.
            auto_pk = auto_pk.with(collection.name.as_str(), KeyGenerator::Int53);
        }
        registry = registry.collection(definition(collection)?);
    }
    Ok((registry.build().to_js()?, auto_pk))
}

fn definition(written: Written) -> Result<Definition> {
    let mut definition =
        Definition::new(written.name).version(written.version).primary_key(written.key);
    for field in written.fields {
        let optional = field.optional.then_some(FieldOption::Optional);
        definition = definition.field_with(field.name, field_type(&field.field_type)?, optional);
    }
    for index in written.indices {
        definition = match index.unique {
            true => definition.unique(index.fields),
            false => definition.index(index.fields),
        };
    }
    for relation in written.relations {
        definition = definition.relation(self::relation(relation)?);
    }
    Ok(definition)
}

fn relation(written: WrittenRelation) -> Result<RelationDefinition> {
    let relation = match written.kind.as_str() {
        "childOf" => RelationDefinition::child_of(written.target),
        "singleChildOf" => RelationDefinition::single_child_of(written.target),
        "connects" => RelationDefinition::connects(written.target),
        kind => return Err(invalid(&format!("there is no relationship `{kind}`"))),
    };
    let relation =
        relation.alias(written.alias).reverse_alias(written.reverse).column(written.column);
    Ok(if written.optional { relation.optional() } else { relation })
}

fn field_type(name: &str) -> Result<FieldType> {
    Ok(match name {
        "auto-pk" => FieldType::AutoPk(KeyFormat::Text),
        "auto-int" => FieldType::AutoPk(KeyFormat::Int),
        "foreign-key" => FieldType::ForeignKey(KeyFormat::Text),
        "text" => FieldType::Text,
        "string" => FieldType::String,
        "json" => FieldType::Json,
        "datetime" => FieldType::DateTime,
        "timestamp" => FieldType::Timestamp,
        "boolean" => FieldType::Boolean,
        "float" => FieldType::Float,
        "int" => FieldType::Int,
        "blob" => FieldType::Blob,
        "binary" => FieldType::Binary,
        "random-key" => FieldType::RandomKey,
        "url" => FieldType::Url,
        "media" => FieldType::Media,
        name => return Err(invalid(&format!("there is no field type `{name}`"))),
    })
}
