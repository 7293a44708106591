//! [`Registry`]: all collections, checked once.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::schema::definition::{Definition, FieldDefinition};
use crate::schema::lineage::Lineage;
use crate::schema::migration::{self, Migration};
use crate::schema::{
    Collection, CustomField, Default, Field, FieldType, Index, KeyFormat, OnDelete, Referrer,
    Relation, RelationDefinition, RelationKind,
};
use crate::value::Name;

/// The prefix of the names that storex keeps for itself.
pub(crate) const RESERVED_PREFIX: &str = "_storex_";

/// A schema version: one number for the whole application, which only grows. A date such as `20261120` serves well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct SchemaVersion(pub u64);

/// All collections of an application: built once, checked once, immutable, shared.
#[derive(Debug, Clone)]
pub struct Registry {
    collections: Vec<Arc<Collection>>,
    by_name: HashMap<Name, usize>,
    history: BTreeMap<SchemaVersion, BTreeMap<Name, Definition>>,
    definitions: Vec<Definition>,
    migrations: Vec<Migration>,
}

impl Registry {
    /// Starts an empty registry.
    #[must_use]
    pub fn builder() -> RegistryBuilder {
        RegistryBuilder { definitions: Vec::new(), migrations: Vec::new() }
    }

    /// The current collections, in the order in which they were first defined.
    #[must_use]
    pub fn collections(&self) -> &[Arc<Collection>] {
        &self.collections
    }

    /// A collection, if there is one of this name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Arc<Collection>> {
        self.by_name.get(name).and_then(|at| self.collections.get(*at))
    }

    /// A collection.
    ///
    /// # Errors
    /// [`Error::UnknownCollection`].
    pub fn collection(&self, name: &str) -> Result<&Arc<Collection>> {
        self.find(name).ok_or_else(|| Error::UnknownCollection { collection: name.into() })
    }

    /// The definitions that held at a version: per collection the newest that is not younger.
    #[must_use]
    pub fn at_version(&self, version: SchemaVersion) -> BTreeMap<Name, &Definition> {
        let mut current = BTreeMap::new();
        for definitions in self.history.range(..=version).map(|(_, definitions)| definitions) {
            for (name, definition) in definitions {
                current.insert(Name::clone(name), definition);
            }
        }
        current
    }

    /// What each version changed, oldest first.
    pub fn history(&self) -> impl Iterator<Item = (SchemaVersion, &BTreeMap<Name, Definition>)> {
        self.history.iter().map(|(version, definitions)| (*version, definitions))
    }

    /// The definition that a collection got at a version, if it got one there.
    pub(super) fn defined_at(&self, name: &str, version: SchemaVersion) -> Option<&Definition> {
        self.history.get(&version)?.get(name)
    }

    /// What a collection of this name, as it was at a version, is called today; `None`: it was removed since. A name that was
    /// given up may have been taken again since, by another collection.
    #[must_use]
    pub fn becomes(&self, name: &str, since: SchemaVersion) -> Option<Name> {
        Lineage::of(self, name, since).name
    }

    /// The migrations of a collection of this name since a version, oldest first, under whatever names it had since.
    #[must_use]
    pub fn migrations_of(&self, name: &str, since: SchemaVersion) -> Vec<&Migration> {
        Lineage::of(self, name, since).migrations().collect()
    }

    /// The newest version of the application's collections. Those of storex's own (`_storex_…`) have versions of their own,
    /// which do not count.
    #[must_use]
    pub fn version(&self) -> SchemaVersion {
        let defined = self.definitions.iter().filter(|it| !it.reserved).map(|it| it.version);
        let migrated = self.migrations.iter().filter(|it| !it.is_reserved());
        defined.chain(migrated.map(Migration::version)).max().unwrap_or(SchemaVersion(0))
    }

    /// The migrations, oldest first.
    #[must_use]
    pub fn migrations(&self) -> &[Migration] {
        &self.migrations
    }

    /// This registry with more collections and migrations.
    ///
    /// # Errors
    /// As [`RegistryBuilder::build`].
    pub fn with(
        &self,
        collections: impl IntoIterator<Item = Definition>,
        migrations: impl IntoIterator<Item = Migration>,
    ) -> Result<Self> {
        let own = RegistryBuilder {
            definitions: self.definitions.clone(),
            migrations: self.migrations.clone(),
        };
        own.collections(collections).migrations(migrations).build()
    }

    /// A number that two registries share exactly when the application's collections have the same names, fields,
    /// types and keys. It travels with what is sent, so that another schema is noticed.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        let mut names: Vec<&Arc<Collection>> =
            self.collections.iter().filter(|collection| !collection.reserved).collect();
        names.sort_by(|a, b| a.name.cmp(&b.name));
        let mut hash = Fnv::new();
        for collection in names {
            hash.text(&collection.name);
            let mut fields: Vec<&Field> = collection.fields.iter().collect();
            fields.sort_by(|a, b| a.name.cmp(&b.name));
            for field in fields {
                hash.text(&field.name);
                hash.text(&format!("{:?}", field.field_type));
                hash.text(if field.nullable { "?" } else { "!" });
                if let Some(custom) = &field.custom {
                    hash.text(custom.custom_type().name());
                }
            }
            for position in &collection.primary_key {
                hash.text(&collection.fields[*position].name);
            }
        }
        hash.0
    }
}

/// FNV-1a (Fowler, Noll, Vo; <https://www.rfc-editor.org/rfc/rfc9923>): the same on every platform and version, which
/// `std`'s hasher does not promise.
struct Fnv(u64);

impl Fnv {
    fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn text(&mut self, text: &str) {
        for byte in text.bytes().chain([0xff]) {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}

/// Collects definitions and checks them all at once.
#[derive(Debug, Clone)]
pub struct RegistryBuilder {
    definitions: Vec<Definition>,
    migrations: Vec<Migration>,
}

impl RegistryBuilder {
    /// Adds a definition. The same collection may be defined again for another version.
    #[must_use]
    pub fn collection(mut self, definition: Definition) -> Self {
        self.definitions.push(definition);
        self
    }

    /// Adds several definitions.
    #[must_use]
    pub fn collections(mut self, definitions: impl IntoIterator<Item = Definition>) -> Self {
        self.definitions.extend(definitions);
        self
    }

    /// Adds what becomes of the objects that are there when a collection reaches a version.
    #[must_use]
    pub fn migration(self, migration: Migration) -> Self {
        self.migrations([migration])
    }

    /// Adds several migrations.
    #[must_use]
    pub fn migrations(mut self, migrations: impl IntoIterator<Item = Migration>) -> Self {
        self.migrations.extend(migrations);
        self
    }

    /// Checks the definitions and migrations.
    ///
    /// # Errors
    /// [`Error::Definition`] that names the collection and field: a name twice, an index or key on a field that is
    /// not there, a relation to a collection that is not there, a key that may be null; a migration to a version that no
    /// definition of its collection has, or of fields that are not there.
    pub fn build(mut self) -> Result<Registry> {
        self.migrations.sort_by_key(Migration::version);
        let mut history: BTreeMap<SchemaVersion, BTreeMap<Name, Definition>> = BTreeMap::new();
        let mut order: Vec<Name> = Vec::new();
        for definition in &self.definitions {
            if !order.contains(&definition.name) {
                order.push(Name::clone(&definition.name));
            }
            let previous = history
                .entry(definition.version)
                .or_default()
                .insert(Name::clone(&definition.name), definition.clone());
            if previous.is_some() {
                return Err(wrong(definition, None, "is defined twice for the same version"));
            }
        }
        let current: Vec<&Definition> = order
            .iter()
            .filter_map(|name| history.values().rev().find_map(|definitions| definitions.get(name)))
            .filter(|definition| !migration::is_gone(definition, self.migrations.iter()))
            .collect();
        let mut collections: Vec<Collection> = current
            .iter()
            .map(|definition| build_collection(definition, &current))
            .collect::<Result<_>>()?;
        check_tables(&collections)?;
        connect_children(&mut collections)?;
        connect_referrers(&mut collections, &current)?;
        let by_name =
            collections.iter().enumerate().map(|(at, it)| (Name::clone(&it.name), at)).collect();
        let registry = Registry {
            collections: collections.into_iter().map(Arc::new).collect(),
            by_name,
            history,
            definitions: self.definitions,
            migrations: self.migrations,
        };
        migration::check(&registry, &registry.migrations)?;
        Ok(registry)
    }
}

fn wrong(definition: &Definition, field: Option<&Name>, reason: impl Into<String>) -> Error {
    Error::Definition {
        collection: Name::clone(&definition.name),
        field: field.cloned(),
        reason: reason.into(),
    }
}

fn build_collection(definition: &Definition, all: &[&Definition]) -> Result<Collection> {
    check_names(definition)?;
    let mut fields: Vec<Field> = definition.fields.iter().map(build_field).collect();
    let mut relations = Vec::new();
    for relation in &definition.relations {
        let alias = relation.field();
        let Some(target) = all.iter().find(|it| it.name == relation.target) else {
            let reason = format!(
                "the relation points to collection `{}`, which is not there",
                relation.target
            );
            return Err(wrong(definition, Some(&alias), reason));
        };
        fields.push(relation_field(relation, key_format(target, all, all.len())));
        let own = &definition.name;
        relations.push(Relation {
            kind: relation.kind,
            child: Name::clone(own),
            alias,
            parent: Name::clone(&relation.target),
            reverse_alias: relation.reverse_alias.clone().unwrap_or_else(|| match relation.kind {
                RelationKind::SingleChildOf => Name::clone(own),
                RelationKind::ChildOf | RelationKind::Connects => format!("{own}s").into(),
            }),
            on_delete: relation.on_delete,
        });
    }
    let primary_key = build_key(definition, &mut fields)?;
    let mut positions = HashMap::new();
    for (at, field) in fields.iter().enumerate() {
        if positions.insert(Name::clone(&field.name), at).is_some() {
            return Err(wrong(definition, Some(&field.name), "is defined twice"));
        }
    }
    check_fields(definition, &fields)?;
    let indices = build_indices(definition, &positions, &fields)?;
    let must_be_given =
        fields.iter().enumerate().filter(|(_, it)| it.nullable && it.default.is_none());
    let must_be_given = must_be_given.map(|(at, _)| at).collect();
    let has_custom = fields.iter().any(|field| field.custom.is_some());
    let mut collection = Collection {
        has_custom,
        name: Name::clone(&definition.name),
        table: definition.table.clone().unwrap_or_else(|| Name::clone(&definition.name)),
        version: definition.version,
        fields,
        positions,
        primary_key,
        indices,
        relations,
        children: Vec::new(),
        referrers: Vec::new(),
        must_be_given,
        checks: definition.checks.clone(),
        adopted: definition.adopted,
        reserved: definition.reserved,
    };
    settle_checks(definition, &mut collection)?;
    check_defaults(definition, &mut collection)?;
    Ok(collection)
}

/// Refuses checks that no value of the field could pass or fail, such as the length of a number.
fn settle_checks(definition: &Definition, collection: &mut Collection) -> Result<()> {
    for at in 0..collection.fields.len() {
        let mut checks = collection.fields[at].checks.clone();
        let field = &collection.fields[at];
        for check in &mut checks {
            check.settle(collection, field).map_err(|reason| {
                wrong(definition, Some(&field.name), format!("its check {reason}"))
            })?;
        }
        collection.fields[at].checks = checks;
    }
    Ok(())
}

/// Brings the defaults to the form in which they are stored.
fn check_defaults(definition: &Definition, collection: &mut Collection) -> Result<()> {
    for at in 0..collection.fields.len() {
        let field = &collection.fields[at];
        let refuse = |reason: String| Err(wrong(definition, Some(&field.name), reason));
        match &field.default {
            Some(Default::Value(value)) => {
                let mut value = value.clone();
                match collection.check_value(field, &mut value) {
                    Err(Error::InvalidValue { reason, .. }) => {
                        return refuse(format!("its default: it {reason}"));
                    }
                    Err(error) => return refuse(error.to_string()),
                    // SQLite lets a column be `NOT NULL DEFAULT NULL`.
                    Ok(()) if value.is_null() && !field.nullable && !definition.adopted => {
                        return refuse("its default is null, which it cannot be".to_owned());
                    }
                    Ok(()) => match collection.check_constraints(field, &value) {
                        Err(Error::InvalidValue { reason, .. }) => {
                            return refuse(format!("its default: it {reason}"));
                        }
                        Err(error) => return refuse(error.to_string()),
                        Ok(()) => collection.fields[at].default = Some(Default::Value(value)),
                    },
                }
            }
            Some(Default::CurrentTimestamp) => match field.field_type {
                FieldType::DateTime
                | FieldType::Timestamp
                | FieldType::Text
                | FieldType::String
                | FieldType::Dynamic(_) => {}
                _ => return refuse("its default is a time, which it does not take".to_owned()),
            },
            Some(Default::Null) | None => {}
        }
    }
    Ok(())
}

fn check_names(definition: &Definition) -> Result<()> {
    if definition.name.is_empty() {
        return Err(wrong(definition, None, "has an empty name"));
    }
    if definition.name.starts_with(RESERVED_PREFIX) != definition.reserved {
        return Err(wrong(
            definition,
            None,
            format!(
                "names that begin with `{RESERVED_PREFIX}` are kept for storex itself; choose another"
            ),
        ));
    }
    Ok(())
}

fn check_fields(definition: &Definition, fields: &[Field]) -> Result<()> {
    // SQL does not tell names apart that differ only in case.
    let mut columns = HashMap::new();
    for field in fields {
        if field.name.is_empty() || field.name.starts_with('$') {
            return Err(wrong(
                definition,
                Some(&field.name),
                "a field's name is not empty and does not begin with `$`",
            ));
        }
        if field.column.is_empty() {
            return Err(wrong(definition, Some(&field.name), "its column has an empty name"));
        }
        if let Some(custom) = &field.custom {
            let custom = custom.custom_type();
            if custom.stored_as() != field.field_type {
                let reason = format!(
                    "its custom type `{}` is stored as {:?}, not as {:?}",
                    custom.name(),
                    custom.stored_as(),
                    field.field_type
                );
                return Err(wrong(definition, Some(&field.name), reason));
            }
        }
        if let Some(other) = columns.insert(field.column.to_ascii_lowercase(), &field.name) {
            let reason = format!(
                "has the column `{}`, which field `{other}` has too (case does not count)",
                field.column
            );
            return Err(wrong(definition, Some(&field.name), reason));
        }
    }
    Ok(())
}

fn relation_field(relation: &RelationDefinition, key: KeyFormat) -> Field {
    let name = relation.field();
    Field {
        column: relation.column.clone().unwrap_or_else(|| Name::clone(&name)),
        name,
        field_type: FieldType::ForeignKey(key),
        nullable: relation.optional,
        default: relation.optional.then_some(Default::Null),
        checks: Vec::new(),
        custom: None,
    }
}

fn default_key(name: &Name) -> Field {
    Field {
        name: Name::clone(name),
        column: Name::clone(name),
        field_type: FieldType::AutoPk(KeyFormat::Text),
        nullable: false,
        default: None,
        checks: Vec::new(),
        custom: None,
    }
}

impl Definition {
    /// All fields, of a definition that may hold no more: what its relations point to need not be there. The form of keys is
    /// left open.
    pub(super) fn all_fields(&self) -> Vec<Field> {
        let relations = self.relations.iter().map(|it| relation_field(it, KeyFormat::Text));
        let mut fields: Vec<Field> = self.fields.iter().map(build_field).chain(relations).collect();
        let key = match self.primary_key.as_slice() {
            [] => Some("id".into()),
            [name] => Some(Name::clone(name)),
            _ => None,
        };
        if let Some(key) = key.filter(|key| !fields.iter().any(|field| field.name == *key)) {
            fields.insert(0, default_key(&key));
        }
        fields
    }
}

fn build_field(definition: &FieldDefinition) -> Field {
    let mut field = Field {
        name: Name::clone(&definition.name),
        column: definition.column.clone().unwrap_or_else(|| Name::clone(&definition.name)),
        field_type: definition.field_type.clone(),
        nullable: definition.nullable,
        default: definition.default.clone(),
        checks: definition.checks.clone(),
        custom: None,
    };
    let custom = definition.custom.as_ref();
    field.custom = custom.map(|custom| CustomField::new(&field, Arc::clone(custom)));
    field
}

/// The form of a collection's own key, for the fields that point to it. The key may be a relation in turn.
fn key_format(definition: &Definition, all: &[&Definition], depth: usize) -> KeyFormat {
    let key = match definition.primary_key.as_slice() {
        [] => "id",
        [name, ..] => name,
    };
    let relation = definition
        .relations
        .iter()
        .find(|relation| relation.alias.as_deref().unwrap_or(&relation.target) == key);
    if let Some(relation) = relation
        && let Some(target) = all.iter().find(|it| it.name == relation.target)
        && depth > 0
    {
        return key_format(target, all, depth - 1);
    }
    let field = definition.fields.iter().find(|field| &*field.name == key);
    match field.map(|field| &field.field_type) {
        Some(FieldType::AutoPk(format) | FieldType::ForeignKey(format)) => *format,
        Some(FieldType::Int | FieldType::Timestamp | FieldType::DateTime) => KeyFormat::Int,
        Some(FieldType::Binary | FieldType::Blob) => KeyFormat::Bytes,
        _ => KeyFormat::Text,
    }
}

fn build_key(definition: &Definition, fields: &mut Vec<Field>) -> Result<Vec<usize>> {
    let default: [Name; 1] = ["id".into()];
    let names: &[Name] =
        if definition.primary_key.is_empty() { &default } else { &definition.primary_key };
    let mut positions = Vec::new();
    for (n, name) in names.iter().enumerate() {
        let found = fields.iter().position(|field| field.name == *name);
        let at = match found {
            Some(at) => at,
            None if names.len() == 1 => {
                // The key comes first, as people expect of a table.
                fields.insert(0, default_key(name));
                0
            }
            None => {
                return Err(wrong(
                    definition,
                    Some(name),
                    "is part of the primary key but no field",
                ));
            }
        };
        let field = &fields[at];
        if field.nullable {
            return Err(wrong(
                definition,
                Some(name),
                "is part of the primary key and so cannot be optional",
            ));
        }
        if matches!(field.field_type, FieldType::Json) {
            return Err(wrong(definition, Some(name), "JSON cannot be part of a primary key"));
        }
        if let Some(custom) = &field.custom {
            let reason = format!(
                "is part of the primary key and so cannot have the custom type `{}`",
                custom.custom_type().name()
            );
            return Err(wrong(definition, Some(name), reason));
        }
        if names[..n].contains(name) {
            return Err(wrong(definition, Some(name), "stands twice in the primary key"));
        }
        positions.push(at);
    }
    Ok(positions)
}

fn build_indices(
    definition: &Definition,
    positions: &HashMap<Name, usize>,
    all: &[Field],
) -> Result<Vec<Index>> {
    let mut indices = Vec::new();
    for index in &definition.indices {
        let mut fields = Vec::new();
        for name in &index.fields {
            let Some(at) = positions.get(name) else {
                let reason = "is named by an index but is neither a field nor a relation";
                return Err(wrong(definition, Some(name), reason));
            };
            fields.push(*at);
        }
        if fields.is_empty() {
            return Err(wrong(definition, None, "has an index without fields"));
        }
        let json = |at: &usize| matches!(all[*at].field_type, FieldType::Json);
        if index.multi_entry && !fields.iter().all(json) {
            let reason = "has an index over its elements, but holds no JSON";
            return Err(wrong(definition, index.fields.first(), reason));
        }
        indices.push(Index { fields, unique: index.unique, multi_entry: index.multi_entry });
    }
    Ok(indices)
}

fn check_tables(collections: &[Collection]) -> Result<()> {
    let mut tables = HashMap::new();
    for collection in collections {
        if let Some(other) = tables.insert(collection.table.to_ascii_lowercase(), &collection.name)
        {
            return Err(Error::Definition {
                collection: Name::clone(&collection.name),
                field: None,
                reason: format!(
                    "is stored in the table `{}`, as collection `{other}` is (case does not count)",
                    collection.table
                ),
            });
        }
    }
    Ok(())
}

fn connect_children(collections: &mut [Collection]) -> Result<()> {
    let relations: Vec<Relation> =
        collections.iter().flat_map(|collection| collection.relations.clone()).collect();
    for relation in relations {
        let Some(parent) = collections.iter_mut().find(|it| it.name == relation.parent) else {
            continue;
        };
        if parent.primary_key.len() != 1 {
            return Err(Error::Definition {
                collection: relation.child,
                field: Some(relation.alias),
                reason: format!(
                    "the relation points to collection `{}`, whose key has several fields; declare the fields yourself",
                    relation.parent
                ),
            });
        }
        if parent.positions.contains_key(&relation.reverse_alias) {
            return Err(Error::Definition {
                collection: relation.child,
                field: Some(relation.alias),
                reason: format!(
                    "the reverse alias `{}` is a field of `{}` already; give another",
                    relation.reverse_alias, relation.parent
                ),
            });
        }
        parent.children.push(relation);
    }
    Ok(())
}

/// Tells every collection which foreign keys point to it.
fn connect_referrers(collections: &mut [Collection], definitions: &[&Definition]) -> Result<()> {
    for definition in definitions {
        for key in &definition.foreign_keys {
            let child = collections.iter().find(|it| it.name == definition.name);
            let Some(child) = child else { continue };
            for field in &key.fields {
                let Some(at) = child.position(field) else {
                    return Err(wrong(
                        definition,
                        Some(field),
                        "is named by a foreign key but is no field",
                    ));
                };
                if key.on_delete == OnDelete::SetNull && !child.fields[at].nullable {
                    let reason = "is to become null when its target is deleted, but is required";
                    return Err(wrong(definition, Some(field), reason));
                }
            }
            let Some(target) = collections.iter_mut().find(|it| it.name == key.target) else {
                let reason = format!(
                    "a foreign key points to collection `{}`, which is not there",
                    key.target
                );
                return Err(wrong(definition, key.fields.first(), reason));
            };
            let positions: Option<Vec<usize>> = match key.target_fields.as_slice() {
                [] => Some(target.primary_key.clone()),
                fields => fields.iter().map(|field| target.position(field)).collect(),
            };
            let positions = positions.filter(|it| it.len() == key.fields.len());
            let Some(positions) = positions else {
                let reason = format!(
                    "a foreign key points to fields that `{}` does not have, or not to as many as its own",
                    key.target
                );
                return Err(wrong(definition, key.fields.first(), reason));
            };
            target.referrers.push(Referrer {
                child: Name::clone(&definition.name),
                fields: key.fields.clone(),
                target: positions,
                on_delete: key.on_delete,
            });
        }
    }
    connect_rules(collections)
}

/// Relations that are kept by a rule are foreign keys too.
fn connect_rules(collections: &mut [Collection]) -> Result<()> {
    let relations: Vec<Relation> =
        collections.iter().flat_map(|collection| collection.relations.clone()).collect();
    for relation in relations {
        let Some(on_delete) = relation.on_delete else { continue };
        let child = collections.iter().find(|it| it.name == relation.child);
        let optional = child.is_some_and(|child| {
            child.position(&relation.alias).is_some_and(|at| child.fields[at].nullable)
        });
        if on_delete == OnDelete::SetNull && !optional {
            return Err(Error::Definition {
                collection: relation.child,
                field: Some(relation.alias),
                reason: "is to become null when its target is deleted, but is required".to_owned(),
            });
        }
        let Some(parent) = collections.iter_mut().find(|it| it.name == relation.parent) else {
            continue;
        };
        parent.referrers.push(Referrer {
            child: relation.child,
            fields: vec![relation.alias],
            target: parent.primary_key.clone(),
            on_delete,
        });
    }
    Ok(())
}
