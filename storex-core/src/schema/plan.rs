//! [`plan()`]: what is to be done so that a database has the schema of a registry.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::schema::diff::Origin;
use crate::schema::lineage::{Lineage, Stage};
use crate::schema::{
    Collection, Migration, Registry, SchemaVersion, StoredCollection, StoredKind, StoredSchema,
    Transform, diff,
};
use crate::value::Name;

/// What is to be done so that a database has the schema of a registry: the steps to read, and what a backend needs to take them.
///
/// Shown, it is a list:
///
/// ```
/// use storex_core::{Definition, FieldType, Migration, Registry, StoredSchema, plan};
///
/// let old = Registry::builder().collection(Definition::new("note").field("title", FieldType::String)).build()?;
/// let new = Registry::builder()
///     .collection(Definition::new("note").version(2).field("headline", FieldType::String).index(["headline"]))
///     .migration(Migration::new("note", 2).rename_field("title", "headline"))
///     .build()?;
/// assert_eq!(
///     plan(&StoredSchema::of(&old), &new)?.to_string(),
///     "from version 1 to version 2\n\
///      - note: from version 1 to version 2\n\
///      - note: rename field `title` to `headline`\n\
///      - note: make an index on (headline)\n"
/// );
/// # Ok::<(), storex_core::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// The application's version in the database; 0 for one without anything.
    pub from: SchemaVersion,
    /// The application's version afterwards.
    pub to: SchemaVersion,
    /// What is to be done.
    pub steps: Vec<PlanStep>,
    /// Every collection of the registry that is not adopted, and what becomes of it.
    pub collections: Vec<CollectionPlan>,
    /// Collections to remove.
    pub removed: Vec<StoredCollection>,
    /// The schema that is stored.
    pub stored: StoredSchema,
    /// The schema afterwards.
    pub target: StoredSchema,
}

/// A step of a [`Plan`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[allow(missing_docs)] // the names say it
pub enum PlanStep {
    CreateCollection {
        collection: Name,
    },
    RenameCollection {
        from: Name,
        to: Name,
    },
    RemoveCollection {
        collection: Name,
    },
    SetVersion {
        collection: Name,
        from: SchemaVersion,
        to: SchemaVersion,
    },
    AddField {
        collection: Name,
        field: Name,
    },
    RenameField {
        collection: Name,
        from: Name,
        to: Name,
    },
    RemoveField {
        collection: Name,
        field: Name,
    },
    ChangeType {
        collection: Name,
        field: Name,
        from: StoredKind,
        to: StoredKind,
    },
    MakeOptional {
        collection: Name,
        field: Name,
    },
    MakeRequired {
        collection: Name,
        field: Name,
    },
    /// Every object passes through the functions of these versions.
    ChangeObjects {
        collection: Name,
        versions: Vec<SchemaVersion>,
    },
    MakeIndex {
        collection: Name,
        columns: Vec<String>,
        unique: bool,
    },
    RemoveIndex {
        collection: Name,
        columns: Vec<String>,
        unique: bool,
    },
}

/// What becomes of one collection.
#[derive(Debug, Clone)]
pub struct CollectionPlan {
    /// The collection as it is to be.
    pub collection: Arc<Collection>,
    /// The collection as it is stored, with its name; `None`: it is to be made.
    pub stored: Option<(Name, StoredCollection)>,
    /// The migrations that are due, oldest first.
    pub migrations: Vec<Migration>,
    /// Fields that stay: the stored name, and the position in the collection.
    pub carried: Vec<(String, usize)>,
    /// Positions of fields that are not stored yet.
    pub added: Vec<usize>,
    /// Whether every object has to be read and written; otherwise it is done by columns and indices alone.
    pub rewrites: bool,
    /// What becomes of its objects, version by version.
    pub(super) stages: Vec<Stage>,
    /// Fields that have another name in the collection than after the stages, where they have the same column.
    pub(super) by_column: Vec<(Name, Name)>,
    /// Fields that came on the way and are gone again.
    pub(super) dropped: Vec<Name>,
}

impl Plan {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty() && self.from == self.to
    }
}

impl Plan {
    /// Whether what is stored in this table is renamed or removed, so that another collection can have its name.
    #[must_use]
    pub fn frees(&self, table: &str) -> bool {
        let kept = self.collections.iter().filter_map(|plan| {
            let (_, stored) = plan.stored.as_ref()?;
            (*stored.table != **plan.collection.table()).then_some(&stored.table)
        });
        let mut gone = self.removed.iter().map(|it| &it.table).chain(kept);
        gone.any(|gone| gone.eq_ignore_ascii_case(table))
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return writeln!(f, "nothing to do, the schema has version {}", self.to.0);
        }
        writeln!(f, "from version {} to version {}", self.from.0, self.to.0)?;
        self.steps.iter().try_for_each(|step| writeln!(f, "- {step}"))
    }
}

impl fmt::Display for PlanStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let index = |unique: &bool| if *unique { "a unique index" } else { "an index" };
        match self {
            Self::CreateCollection { collection } => write!(f, "{collection}: make it"),
            Self::RenameCollection { from, to } => write!(f, "{from}: rename it to `{to}`"),
            Self::RemoveCollection { collection } => {
                write!(f, "{collection}: remove it with all its objects")
            }
            Self::SetVersion { collection, from, to } => {
                write!(f, "{collection}: from version {} to version {}", from.0, to.0)
            }
            Self::AddField { collection, field } => write!(f, "{collection}: add field `{field}`"),
            Self::RenameField { collection, from, to } => {
                write!(f, "{collection}: rename field `{from}` to `{to}`")
            }
            Self::RemoveField { collection, field } => {
                write!(f, "{collection}: remove field `{field}` with its values")
            }
            Self::ChangeType { collection, field, from, to } => {
                write!(f, "{collection}: field `{field}` from {} to {}", from.name(), to.name())
            }
            Self::MakeOptional { collection, field } => {
                write!(f, "{collection}: field `{field}` may be null")
            }
            Self::MakeRequired { collection, field } => {
                write!(f, "{collection}: field `{field}` may not be null any more")
            }
            Self::ChangeObjects { collection, versions } => {
                let versions: Vec<String> = versions.iter().map(|it| it.0.to_string()).collect();
                let versions = versions.join(", ");
                write!(f, "{collection}: change every object (the function of version {versions})")
            }
            Self::MakeIndex { collection, columns, unique } => {
                write!(f, "{collection}: make {} on ({})", index(unique), columns.join(", "))
            }
            Self::RemoveIndex { collection, columns, unique } => {
                write!(f, "{collection}: remove {} on ({})", index(unique), columns.join(", "))
            }
        }
    }
}

impl CollectionPlan {
    /// The columns that get another name: the old one and the new one.
    #[must_use]
    pub fn renamed_columns(&self) -> Vec<(&str, &str)> {
        let Some((_, stored)) = &self.stored else { return Vec::new() };
        let pairs = self.carried.iter().filter_map(|(name, at)| {
            let old = stored.fields.get(name)?;
            Some((old.column.as_str(), &*self.collection.fields().get(*at)?.column))
        });
        pairs.filter(|(old, new)| old != new).collect()
    }

    /// Whether a stored collection stays as it is, its version and its indices aside.
    #[must_use]
    pub fn keeps_shape(&self) -> bool {
        let same_table =
            |(_, stored): &(Name, StoredCollection)| *stored.table == **self.collection.table();
        self.stored.as_ref().is_some_and(same_table)
            && self.added.is_empty()
            && !self.rewrites
            && self.renamed_columns().is_empty()
    }

    /// What takes its objects from the old to the new schema; `None` for a collection that is to be made.
    ///
    /// # Errors
    /// [`Error::Definition`] for a description that was damaged.
    pub fn transform(&self) -> Result<Option<Transform>> {
        let stored = self.stored.as_ref();
        stored.map(|(name, stored)| Transform::new(self, name, stored)).transpose()
    }
}

/// What is to be done so that a database with the stored schema has the schema of the registry.
///
/// Without a migration only such things are done as lose nothing and guess nothing: a field that may be null or has a default is added, a
/// collection is made, indices are made and removed. A collection that the registry does not know stays as it is.
///
/// # Errors
/// - [`Error::NewerSchema`] when the stored schema is younger than the registry;
/// - [`Error::SchemaMismatch`] for a change that needs a migration, with the migration to write; for a change of a primary key.
pub fn plan(stored: &StoredSchema, registry: &Registry) -> Result<Plan> {
    stored.refuse_newer(registry)?;
    let mut target = StoredSchema::of(registry);
    if target.version == 0 {
        target.version = stored.version;
    }
    let mut plan = Plan {
        from: SchemaVersion(stored.version),
        to: SchemaVersion(target.version),
        stored: stored.clone(),
        ..Plan::default()
    };
    let Today { mut origins, removed, left } = follow(stored, registry)?;
    for collection in registry.collections().iter().filter(|it| !it.is_adopted()) {
        let origin = origins.remove(collection.name());
        plan.collections.push(diff::collection(collection, origin, &mut plan.steps)?);
    }
    for (name, collection) in removed {
        plan.steps.push(PlanStep::RemoveCollection { collection: name.as_str().into() });
        plan.removed.push(collection.clone());
    }
    for (name, collection) in left {
        target.collections.entry(name.clone()).or_insert_with(|| collection.clone());
    }
    plan.target = target;
    Ok(plan)
}

/// What the stored collections are today.
#[derive(Default)]
struct Today<'s> {
    /// By the name of today.
    origins: BTreeMap<Name, Origin<'s>>,
    removed: Vec<(&'s String, &'s StoredCollection)>,
    /// Not declared as removed: perhaps a program with more collections uses the same database.
    left: Vec<(&'s String, &'s StoredCollection)>,
}

fn follow<'s>(stored: &'s StoredSchema, registry: &'s Registry) -> Result<Today<'s>> {
    let mut today = Today::default();
    for (name, collection) in &stored.collections {
        let lineage = Lineage::of(registry, name, SchemaVersion(collection.version));
        let Some(becomes) = lineage.name.clone() else {
            today.removed.push((name, collection));
            continue;
        };
        let current = registry.find(&becomes).filter(|it| !it.is_adopted());
        let Some(current) = current else {
            today.left.push((name, collection));
            continue;
        };
        let origin = Origin { name, stored: collection, lineage };
        let Some(other) = today.origins.remove(&becomes) else {
            today.origins.insert(becomes, origin);
            continue;
        };
        // Where one of the two is what the definition says, the other one is another program's.
        let is_current = |it: &Origin<'_>| it.stored.version == current.version().0;
        let (origin, other) = if is_current(&other) { (other, origin) } else { (origin, other) };
        if !is_current(&origin) {
            return Err(Error::SchemaMismatch {
                reason: format!(
                    "both `{}` and `{}` are stored, and both become this collection; write `Migration::remove` for one of them, to an \
                     earlier version",
                    origin.name, other.name
                ),
                collection: becomes,
            });
        }
        let (name, collection) = (other.name, other.stored);
        today.left.push((name, collection));
        today.origins.insert(becomes, origin);
    }
    Ok(today)
}

impl StoredSchema {
    /// An older program must not write what a newer one has to read.
    ///
    /// # Errors
    /// [`Error::NewerSchema`].
    pub fn refuse_newer(&self, registry: &Registry) -> Result<()> {
        for collection in registry.collections().iter().filter(|it| !it.is_adopted()) {
            let known = collection.version().0;
            if let Some(stored) = self.collections.get(&**collection.name())
                && stored.version > known
            {
                return Err(Error::NewerSchema {
                    collection: Some(Name::clone(collection.name())),
                    stored: stored.version,
                    known,
                });
            }
        }
        // Who knows nothing of an application (version 0) does not touch its collections.
        let known = registry.version().0;
        if known > 0 && self.version > known {
            return Err(Error::NewerSchema { collection: None, stored: self.version, known });
        }
        Ok(())
    }
}
