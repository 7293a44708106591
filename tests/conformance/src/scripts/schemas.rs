//! The schemas of scripts.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use storex_core::{Affinity, Definition, FieldOption, FieldType, Registry, RelationDefinition};

use super::Script;

/// A collection of a script.
#[derive(Debug, Clone, PartialEq)]
pub struct CollectionSpec {
    /// The primary key.
    pub key: KeySpec,
    /// The fields beside the key.
    pub fields: Vec<FieldSpec>,
    /// The indices.
    pub indices: Vec<IndexSpec>,
    /// The relation to a parent, if there is one.
    pub parent: Option<ParentSpec>,
}

/// The primary key of a script's collection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeySpec {
    /// One text.
    Text,
    /// One integer.
    Int,
    /// An integer and a text.
    Compound,
}

/// A field of a script's collection; its name tells its type and place.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldSpec {
    /// Its type.
    pub field_type: FieldType,
    /// Whether it must have a value.
    pub required: bool,
    /// Whether it is stored under another name.
    pub renamed: bool,
}

/// An index of a script's collection: over the elements where its one field holds JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexSpec {
    /// The places of its fields.
    pub fields: Vec<usize>,
    /// Whether two objects may not have the same values.
    pub unique: bool,
}

/// A relation of a script's collection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParentSpec {
    /// Which collection: this one or one before it.
    pub collection: usize,
    /// Whether a parent has one child or many.
    pub single: bool,
    /// Whether there may be no parent.
    pub optional: bool,
}

impl FieldSpec {
    fn name(&self, at: usize) -> String {
        let word = match self.field_type {
            FieldType::Dynamic(_) => "any".to_owned(),
            ref other => format!("{other:?}").to_lowercase(),
        };
        format!("{word}{at}")
    }

    fn add_to(&self, definition: Definition, at: usize) -> Definition {
        let mut options = Vec::new();
        if !self.required {
            options.push(FieldOption::Optional);
        }
        if self.renamed {
            options.push(FieldOption::Column(format!("the \"{at}\"").into()));
        }
        definition.field_with(self.name(at), self.field_type.clone(), options)
    }
}

impl CollectionSpec {
    fn definition(&self, at: usize) -> Definition {
        let mut definition = Definition::new(format!("collection{at}"));
        definition = match self.key {
            KeySpec::Text => definition.field("key", FieldType::String).primary_key(["key"]),
            KeySpec::Int => definition.field("key", FieldType::Int).primary_key(["key"]),
            KeySpec::Compound => definition
                .field("number", FieldType::Int)
                .field("text", FieldType::String)
                .primary_key(["text", "number"]),
        };
        for (n, field) in self.fields.iter().enumerate() {
            definition = field.add_to(definition, n);
        }
        for index in &self.indices {
            let names: Vec<String> =
                index.fields.iter().map(|n| self.fields[*n].name(*n)).collect();
            let is_json = |n: &usize| self.fields[*n].field_type == FieldType::Json;
            definition = match (index.fields.iter().any(is_json), index.unique) {
                (true, _) => definition.multi_entry(names[0].as_str()),
                (false, true) => definition.unique(names),
                (false, false) => definition.index(names),
            };
        }
        match self.parent {
            Some(parent) => definition.relation(parent.relation(at)),
            None => definition,
        }
    }

    /// Without what cannot be, once it is known which collections there are.
    fn made_possible(mut self, at: usize, before: &[Self]) -> Self {
        let fields = &self.fields;
        let mut seen: Vec<Vec<usize>> = Vec::new();
        self.indices.retain_mut(|index| {
            index.fields.dedup();
            let is_json = |n: &usize| fields[*n].field_type == FieldType::Json;
            let possible = index.fields.len() == 1 || !index.fields.iter().any(is_json);
            let is_new = !seen.contains(&index.fields);
            seen.push(index.fields.clone());
            possible && is_new
        });
        self.parent = self
            .parent
            .map(|parent| ParentSpec { collection: parent.collection % (at + 1), ..parent });
        let key = |parent: &ParentSpec| before.get(parent.collection).map_or(self.key, |it| it.key);
        self.parent = self.parent.filter(|parent| key(parent) != KeySpec::Compound);
        self
    }
}

impl ParentSpec {
    fn relation(self, at: usize) -> RelationDefinition {
        let target = format!("collection{}", self.collection);
        let relation = match self.single {
            true => RelationDefinition::single_child_of(target),
            false => RelationDefinition::child_of(target),
        };
        let relation = relation.alias("parent").reverse_alias(format!("children{at}"));
        if self.optional { relation.optional() } else { relation }
    }
}

impl Script {
    /// The schema of the script.
    #[must_use]
    pub fn registry(&self) -> Registry {
        registry_of(&self.schema)
    }
}

pub(super) fn registry_of(schema: &[CollectionSpec]) -> Registry {
    let definitions = schema.iter().enumerate().map(|(at, spec)| spec.definition(at));
    Registry::builder().collections(definitions).build().expect("the schema of a script is right")
}

fn field() -> impl Strategy<Value = FieldSpec> {
    let field_type = prop_oneof![
        3 => Just(FieldType::Int),
        2 => Just(FieldType::String),
        2 => Just(FieldType::Text),
        2 => Just(FieldType::Float),
        3 => Just(FieldType::Json),
        2 => Just(FieldType::Dynamic(Affinity::Blob)),
        1 => Just(FieldType::Url),
        1 => Just(FieldType::Boolean),
        1 => Just(FieldType::Timestamp),
        1 => Just(FieldType::DateTime),
        1 => Just(FieldType::Binary),
    ];
    (field_type, prop::bool::weighted(0.1), prop::bool::weighted(0.1))
        .prop_map(|(field_type, required, renamed)| FieldSpec { field_type, required, renamed })
}

fn collection() -> impl Strategy<Value = CollectionSpec> {
    let key = select(&[KeySpec::Text, KeySpec::Int, KeySpec::Int, KeySpec::Compound][..]);
    let index = (vec(any::<Index>(), 1..=2), prop::bool::weighted(0.2));
    let parent = (0..3_usize, prop::bool::weighted(0.2), prop::bool::weighted(0.8))
        .prop_map(|(collection, single, optional)| ParentSpec { collection, single, optional });
    (key, vec(field(), 2..=7), vec(index, 0..=3), option::weighted(0.7, parent)).prop_map(
        |(key, fields, indices, parent)| {
            let at = |it: &Index| it.index(fields.len());
            let indices = indices.iter().map(|(places, unique)| IndexSpec {
                fields: places.iter().map(at).collect(),
                unique: *unique,
            });
            CollectionSpec { key, indices: indices.collect(), fields, parent }
        },
    )
}

pub(super) fn schema() -> impl Strategy<Value = Vec<CollectionSpec>> {
    vec(collection(), 1..=3).prop_map(|collections| {
        let mut schema: Vec<CollectionSpec> = Vec::new();
        for (at, collection) in collections.into_iter().enumerate() {
            schema.push(collection.made_possible(at, &schema));
        }
        schema
    })
}
