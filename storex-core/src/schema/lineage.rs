//! [`Lineage`]: what becomes of a stored collection, version by version.
//!
//! A name that a migration gives up may be taken again by a later definition, so a name means something only together with
//! a version. What is stored is therefore never looked up by the names of today: it is followed through the history.

use std::collections::BTreeSet;

use crate::schema::definition::Definition;
use crate::schema::{
    Collection, Default, Field, Migration, Properties, Registry, SchemaVersion, StoredCollection,
};
use crate::value::{Name, Value};

/// The way of a collection from a version to today.
#[derive(Debug)]
pub(super) struct Lineage<'r> {
    /// What it is called in the end; `None`: it is removed.
    pub(super) name: Option<Name>,
    pub(super) events: Vec<Event<'r>>,
}

/// What happens to a collection at one version.
#[derive(Debug)]
pub(super) struct Event<'r> {
    version: SchemaVersion,
    migration: Option<&'r Migration>,
    definition: Option<&'r Definition>,
}

impl<'r> Lineage<'r> {
    /// Follows what was called `name` at a version.
    pub(super) fn of(registry: &'r Registry, name: &str, since: SchemaVersion) -> Self {
        let migrated = registry.migrations().iter().map(Migration::version);
        let versions: BTreeSet<SchemaVersion> =
            registry.history().map(|(version, _)| version).chain(migrated).collect();
        let mut name: Name = name.into();
        let mut events = Vec::new();
        for version in versions.into_iter().filter(|version| *version > since) {
            let now = || registry.migrations().iter().filter(|it| it.version() == version);
            if now().any(|it| it.is_removal() && *it.collection() == name) {
                return Self { name: None, events };
            }
            // Who takes the name at the same version is another one: two collections may change names.
            let renaming = now().find(|it| it.old_name() == Some(&name));
            let staying = || now().find(|it| *it.collection() == name && it.old_name().is_none());
            let migration = renaming.or_else(staying);
            if let Some(renaming) = renaming {
                name = Name::clone(renaming.collection());
            }
            let definition = registry.defined_at(&name, version);
            if migration.is_some() || definition.is_some() {
                events.push(Event { version, migration, definition });
            }
        }
        Self { name: Some(name), events }
    }

    /// The migrations on the way, oldest first.
    pub(super) fn migrations(&self) -> impl Iterator<Item = &'r Migration> {
        self.events.iter().filter_map(|event| event.migration)
    }
}

/// What becomes of an object at one version.
#[derive(Debug, Clone)]
pub(super) struct Stage {
    pub(super) migration: Option<Migration>,
    /// Fields that have another name and the same column, with no migration saying so.
    renamed: Vec<(Name, Name)>,
    /// The fields of the definition, which objects have then; none of the last version, whose definition is the
    /// collection itself.
    fields: Vec<StageField>,
}

/// A field of a definition on the way.
#[derive(Debug, Clone)]
struct StageField {
    name: Name,
    column: Name,
    nullable: bool,
    default: Option<Value>,
}

/// A field on its way through the versions.
#[derive(Debug, Clone)]
pub(super) struct FieldLine {
    /// Its stored name; `None`: it came on the way.
    pub(super) stored: Option<String>,
    /// Its name in the end; `None`: it was removed.
    pub(super) name: Option<Name>,
    pub(super) column: Name,
    /// What the objects that are there have in it, if it came on the way and no function has changed them.
    pub(super) value: Value,
    /// Whether it was required on the way, so that nulls became its default.
    pub(super) filled: bool,
    nullable: bool,
}

/// Follows the stored fields of a collection, and those that come on the way, through its versions.
pub(super) fn follow_fields(
    stored: &StoredCollection,
    lineage: &Lineage<'_>,
    collection: &Collection,
) -> (Vec<FieldLine>, Vec<Stage>) {
    let fields = stored.fields.iter().map(|(name, field)| FieldLine {
        stored: Some(name.clone()),
        name: Some(name.as_str().into()),
        column: field.column.as_str().into(),
        value: Value::Null,
        filled: false,
        nullable: field.nullable,
    });
    let mut lines: Vec<FieldLine> = fields.collect();
    let mut stages = Vec::new();
    for event in &lineage.events {
        if let Some(migration) = event.migration {
            lines.iter_mut().for_each(|line| line.migrate(migration));
        }
        let passed =
            event.definition.filter(|it| event.version < collection.version() && !it.adopted);
        let fields = passed.map(|it| stage_fields(it, collection)).unwrap_or_default();
        let renamed = if passed.is_some() { pass(&mut lines, &fields) } else { Vec::new() };
        stages.push(Stage { migration: event.migration.cloned(), renamed, fields });
    }
    (lines, stages)
}

impl FieldLine {
    fn migrate(&mut self, migration: &Migration) {
        self.name = self.name.take().and_then(|name| migration.field_becomes(&name));
    }
}

impl Migration {
    /// What a field is called afterwards; `None`: it is removed.
    #[must_use]
    pub fn field_becomes(&self, name: &Name) -> Option<Name> {
        if let Some((_, to)) = self.renamed_fields().iter().find(|(from, _)| from == name) {
            return Some(Name::clone(to));
        }
        (!self.removed_fields().contains(name)).then(|| Name::clone(name))
    }
}

/// Brings the fields to a definition on the way. Gives the names that changed without a migration saying so.
fn pass(lines: &mut Vec<FieldLine>, fields: &[StageField]) -> Vec<(Name, Name)> {
    let mut renamed = Vec::new();
    let held =
        |lines: &[FieldLine], name: &Name| lines.iter().any(|it| it.name.as_ref() == Some(name));
    for at in 0..lines.len() {
        let Some(name) = lines[at].name.clone() else { continue };
        if fields.iter().any(|field| field.name == name) {
            continue;
        }
        let same = |it: &&StageField| it.column == lines[at].column && !held(lines, &it.name);
        if let Some(field) = fields.iter().find(same) {
            lines[at].name = Some(Name::clone(&field.name));
            renamed.push((name, Name::clone(&field.name)));
        }
    }
    for field in fields {
        match lines.iter_mut().find(|line| line.name.as_ref() == Some(&field.name)) {
            Some(line) => line.take(field),
            None => lines.push(FieldLine {
                stored: None,
                name: Some(Name::clone(&field.name)),
                column: Name::clone(&field.column),
                value: filled(None, field.nullable, field.default.as_ref()),
                filled: false,
                nullable: field.nullable,
            }),
        }
    }
    renamed
}

impl FieldLine {
    fn take(&mut self, field: &StageField) {
        self.filled |= self.nullable && !field.nullable && field.default.is_some();
        self.nullable = field.nullable;
        self.column = Name::clone(&field.column);
        let value = std::mem::take(&mut self.value);
        self.value = filled(Some(value), field.nullable, field.default.as_ref());
    }
}

/// The value of a field for an object that has this one, or none.
pub(super) fn filled(value: Option<Value>, nullable: bool, default: Option<&Value>) -> Value {
    match (value, default) {
        (None, Some(default)) => default.clone(),
        (Some(Value::Null), Some(default)) if !nullable => default.clone(),
        (value, _) => value.unwrap_or_default(),
    }
}

/// The value that a field has by itself.
pub(super) fn default_value(field: &Field) -> Option<&Value> {
    match &field.default {
        Some(Default::Value(value)) => Some(value),
        _ => None,
    }
}

/// The fields of a definition on the way; its defaults in the form in which they are stored.
fn stage_fields(definition: &Definition, collection: &Collection) -> Vec<StageField> {
    definition
        .all_fields()
        .into_iter()
        .map(|field| StageField {
            default: default_value(&field).map(|value| {
                let mut value = value.clone();
                let stored = collection.check_value(&field, &mut value);
                if stored.is_ok() { value } else { Value::Null }
            }),
            nullable: field.nullable,
            column: field.column,
            name: field.name,
        })
        .collect()
}

impl Stage {
    /// Brings an object that is through the migration to the definition.
    pub(super) fn settle(&self, object: &mut Properties) {
        rename(object, &self.renamed);
        for field in &self.fields {
            let value = object.remove(&*field.name);
            let value = filled(value, field.nullable, field.default.as_ref());
            object.insert(field.name.to_string(), value);
        }
    }
}

/// Gives fields of an object other names. All are taken out first: two may change names.
pub(super) fn rename(object: &mut Properties, names: &[(Name, Name)]) {
    let values: Vec<_> = names.iter().map(|(from, to)| (to, object.remove(&**from))).collect();
    for (to, value) in values {
        if let Some(value) = value {
            object.insert(to.to_string(), value);
        }
    }
}
