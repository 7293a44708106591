//! [`Migration`]: what becomes of the objects that are there when a collection reaches a version.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::schema::definition::Definition;
use crate::schema::registry::RESERVED_PREFIX;
use crate::schema::{Registry, SchemaVersion};
use crate::value::{Name, Value};

/// The values of one object by field, while it is migrated.
pub type Properties = BTreeMap<String, Value>;

/// What becomes of a collection when its schema reaches a version.
///
/// A definition says what the schema is, a migration says what cannot be seen from two definitions: that a field has
/// another name now and is not a new one, that its values may go, how the values of one type become values of another.
///
/// ```
/// use storex_core::{Definition, FieldType, Migration, Registry, Value};
///
/// let registry = Registry::builder()
///     .collection(Definition::new("people").field("name", FieldType::String).field("age", FieldType::String))
///     .collection(
///         Definition::new("person")
///             .version(2)
///             .field("full_name", FieldType::String)
///             .optional("age", FieldType::Int),
///     )
///     .migration(
///         Migration::new("person", 2)
///             .renamed_from("people")
///             .rename_field("name", "full_name")
///             .change(|person| {
///                 let age = person.get("age").and_then(Value::as_text).and_then(|age| age.parse::<i64>().ok());
///                 person.insert("age".to_owned(), age.into());
///                 Ok(())
///             }),
///     )
///     .build()?;
/// assert_eq!(registry.migrations().len(), 1);
/// # Ok::<(), storex_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Migration {
    collection: Name,
    version: SchemaVersion,
    removes: bool,
    renamed_from: Option<Name>,
    renamed_fields: Vec<(Name, Name)>,
    removed_fields: Vec<Name>,
    change: Option<Change>,
}

/// A function that changes an object. It may cross threads on every target: a registry does.
#[derive(Clone)]
struct Change(Arc<ChangeFn>);

type ChangeFn = dyn Fn(&mut Properties) -> Result<()> + Send + Sync;

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Change")
    }
}

impl Migration {
    /// The migration to this version of a collection, which a definition of the collection has.
    pub fn new(collection: impl Into<Name>, version: u64) -> Self {
        Self {
            collection: collection.into(),
            version: SchemaVersion(version),
            removes: false,
            renamed_from: None,
            renamed_fields: Vec::new(),
            removed_fields: Vec::new(),
            change: None,
        }
    }

    /// From this version of the schema on the collection is not there any more: it is removed **with all its objects**.
    pub fn remove(collection: impl Into<Name>, version: u64) -> Self {
        Self { removes: true, ..Self::new(collection, version) }
    }

    /// The collection had another name before.
    #[must_use]
    pub fn renamed_from(mut self, collection: impl Into<Name>) -> Self {
        self.renamed_from = Some(collection.into());
        self
    }

    /// A field has another name; its values stay. (A field of the primary key keeps its column: give it the option
    /// [`FieldOption::Column`](crate::FieldOption::Column) with the old name.)
    #[must_use]
    pub fn rename_field(mut self, from: impl Into<Name>, to: impl Into<Name>) -> Self {
        self.renamed_fields.push((from.into(), to.into()));
        self
    }

    /// A field is not there any more: **its values are lost**. A function of the same migration still sees them.
    #[must_use]
    pub fn remove_field(mut self, field: impl Into<Name>) -> Self {
        self.removed_fields.push(field.into());
        self
    }

    /// Every object that is there passes through the function, once.
    ///
    /// It sees the object with its old fields, renamed already, and leaves it with values for the new ones: null or a
    /// default is filled in for those that it leaves out, values of removed fields go by themselves. What is left is checked as
    /// in a create. The key cannot change.
    ///
    /// **Write a pure function.** After a kill, or in a second process, it is called again for an object that it was called
    /// for before; it may depend on nothing but the object. An error that it returns, or a panic, takes the whole migration
    /// back: the database is then as it was.
    #[must_use]
    pub fn change(
        mut self,
        change: impl Fn(&mut Properties) -> Result<()> + Send + Sync + 'static,
    ) -> Self {
        self.change = Some(Change(Arc::new(change)));
        self
    }

    /// The collection, by the name that it has from this version on.
    #[must_use]
    pub fn collection(&self) -> &Name {
        &self.collection
    }

    /// The version that is reached.
    #[must_use]
    pub fn version(&self) -> SchemaVersion {
        self.version
    }

    /// Whether the collection is removed.
    #[must_use]
    pub fn is_removal(&self) -> bool {
        self.removes
    }

    /// The name that the collection had before, if it had another one.
    #[must_use]
    pub fn old_name(&self) -> Option<&Name> {
        self.renamed_from.as_ref()
    }

    /// The fields that have another name, each with its old and its new one.
    #[must_use]
    pub fn renamed_fields(&self) -> &[(Name, Name)] {
        &self.renamed_fields
    }

    /// The fields that are removed.
    #[must_use]
    pub fn removed_fields(&self) -> &[Name] {
        &self.removed_fields
    }

    /// Whether objects pass through a function.
    #[must_use]
    pub fn has_change(&self) -> bool {
        self.change.is_some()
    }

    /// Takes an object one version further: renames, the function, removals.
    pub(super) fn apply(&self, object: &mut Properties) -> Result<()> {
        // Taken out first, so that two fields can change names.
        let renamed: Vec<_> =
            self.renamed_fields.iter().map(|(from, to)| (to, object.remove(&**from))).collect();
        for (to, value) in renamed {
            if let Some(value) = value {
                object.insert(to.to_string(), value);
            }
        }
        if let Some(change) = &self.change {
            change.0(object)?;
        }
        for field in &self.removed_fields {
            object.remove(&**field);
        }
        Ok(())
    }

    /// Whether the collection is one of storex's own, whose versions are not the application's.
    pub(super) fn is_reserved(&self) -> bool {
        self.collection.starts_with(RESERVED_PREFIX)
    }

    fn wrong(&self, field: Option<&Name>, reason: impl Into<String>) -> Error {
        Error::Definition {
            collection: Name::clone(&self.collection),
            field: field.cloned(),
            reason: format!("the migration to version {}: {}", self.version.0, reason.into()),
        }
    }
}

/// Whether a definition holds no more, because its collection was removed or renamed since.
pub(super) fn is_gone<'m>(
    definition: &Definition,
    mut migrations: impl Iterator<Item = &'m Migration>,
) -> bool {
    migrations.any(|migration| {
        let removed = migration.removes && migration.collection == definition.name;
        let renamed = migration.renamed_from.as_ref() == Some(&definition.name);
        (removed || renamed) && migration.version > definition.version
    })
}

/// Refuses migrations that cannot be meant.
pub(super) fn check(registry: &Registry, migrations: &[Migration]) -> Result<()> {
    for (n, migration) in migrations.iter().enumerate() {
        let twice = migrations[..n].iter().any(|other| {
            other.collection == migration.collection && other.version == migration.version
        });
        if twice {
            return Err(migration.wrong(None, "is there twice; make one of them"));
        }
        if migration.removes {
            check_removal(registry, migration)?;
        } else {
            check_fields(registry, migration)?;
        }
    }
    Ok(())
}

fn check_removal(registry: &Registry, migration: &Migration) -> Result<()> {
    if registry.defined_at(&migration.collection, migration.version).is_some() {
        let reason =
            "removes the collection, and a definition has this version; give one of them another";
        return Err(migration.wrong(None, reason));
    }
    Ok(())
}

fn check_fields(registry: &Registry, migration: &Migration) -> Result<()> {
    let Some(after) = registry.defined_at(&migration.collection, migration.version) else {
        return Err(migration.wrong(
            None,
            "there is no definition of the collection with this version; add it to the registry, or mend the number",
        ));
    };
    if after.adopted {
        let reason = "the collection is adopted, and adopted tables are never changed; change it with the program that has made it";
        return Err(migration.wrong(None, reason));
    }
    let old_name = migration.renamed_from.as_ref().unwrap_or(&migration.collection);
    if migration.renamed_from.as_ref() == Some(&migration.collection) {
        return Err(migration.wrong(None, "the collection is renamed to the name that it has"));
    }
    if old_name.starts_with(RESERVED_PREFIX) != migration.is_reserved() {
        return Err(migration.wrong(
            None,
            format!("names that begin with `{RESERVED_PREFIX}` are kept for storex itself"),
        ));
    }
    let before = definition_before(registry, old_name, migration.version);
    let has = |definition: &Definition, name: &Name| {
        definition.all_fields().iter().any(|field| field.name == *name)
    };
    let is_old = |field: &Name| match before {
        Before::Unknown => true,
        Before::Gone => false,
        Before::Is(before) => has(before, field),
    };
    check_name_is_free(registry, migration)?;
    let left = |field: &Name| migration.renamed_fields.iter().any(|(from, _)| from == field);
    for (from, to) in &migration.renamed_fields {
        if !is_old(from) {
            return Err(migration.wrong(Some(from), "is to be renamed and is no field before"));
        }
        if !has(after, to) {
            return Err(
                migration.wrong(Some(to), "is the new name of a field and is no field then")
            );
        }
        let others = migration.renamed_fields.iter().filter(|it| it.0 == *from || it.1 == *to);
        if others.count() > 1 {
            return Err(migration.wrong(Some(from), "is renamed twice, or two fields get one name"));
        }
        if matches!(before, Before::Is(before) if has(before, to)) && !left(to) {
            let reason = "is the new name of a field and is a field before; rename or remove that one in an earlier version";
            return Err(migration.wrong(Some(to), reason));
        }
    }
    for field in &migration.removed_fields {
        if !is_old(field) {
            return Err(migration.wrong(Some(field), "is to be removed and is no field before"));
        }
        if has(after, field) || left(field) {
            let reason = "is to be removed, and is there in the new definition or under a new name";
            return Err(migration.wrong(Some(field), reason));
        }
    }
    Ok(())
}

/// A collection cannot take the name of one that is there.
fn check_name_is_free(registry: &Registry, migration: &Migration) -> Result<()> {
    if migration.renamed_from.is_none() {
        return Ok(());
    }
    let name = &migration.collection;
    let Before::Is(_) = definition_before(registry, name, migration.version) else {
        return Ok(());
    };
    let now = registry.migrations().iter().filter(|it| it.version == migration.version);
    if now.filter_map(|it| it.renamed_from.as_ref()).any(|it| it == name) {
        return Ok(());
    }
    let reason = "the collection gets the name of another one that is there; rename or remove that one in an earlier version";
    Err(migration.wrong(None, reason))
}

/// What a collection was before a version, as far as the registry knows.
#[derive(Clone, Copy)]
enum Before<'r> {
    Unknown,
    /// Its name was given up: what comes under it is another collection.
    Gone,
    Is(&'r Definition),
}

fn definition_before<'r>(
    registry: &'r Registry,
    collection: &Name,
    version: SchemaVersion,
) -> Before<'r> {
    let older = registry.history().filter(|(at, _)| *at < version);
    let Some(before) = older.filter_map(|(_, all)| all.get(collection)).last() else {
        return Before::Unknown;
    };
    let earlier = registry.migrations().iter().filter(|it| it.version < version);
    if is_gone(before, earlier) { Before::Gone } else { Before::Is(before) }
}
