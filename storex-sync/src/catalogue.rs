//! [`Catalogue`]: what the collections and fields of this database are called in clocks: by number, so that clocks need no names.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use storex_core::{Collection, Migration, Name, Registry, SchemaVersion};

use crate::bytes::{Reader, write_varint};
use crate::error::{Result, SyncError};
use crate::meta::{Numbers, read_name, write_name};

/// Collections and fields by number.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Catalogue {
    collections: Vec<CatalogueEntry>,
    by_name: HashMap<Name, usize>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct CatalogueEntry {
    name: Name,
    fields: Vec<Name>,
}

impl Catalogue {
    /// Numbers for everything in the registry that has none yet; whether something was added.
    pub(crate) fn extend(&mut self, registry: &Registry) -> bool {
        let mut added = false;
        for collection in
            registry.collections().iter().filter(|collection| !collection.is_reserved())
        {
            let at = match self.by_name.get(collection.name()) {
                Some(at) => *at,
                None => {
                    added = true;
                    let name = Name::clone(collection.name());
                    self.by_name.insert(Name::clone(&name), self.collections.len());
                    self.collections.push(CatalogueEntry { name, fields: Vec::new() });
                    self.collections.len() - 1
                }
            };
            let entry = &mut self.collections[at];
            for field in collection.fields() {
                if !entry.fields.contains(&field.name) {
                    entry.fields.push(Name::clone(&field.name));
                    added = true;
                }
            }
        }
        added
    }

    /// Follows the migrations since the catalogue was last brought up to date, as the storage follows them: what they have
    /// renamed keeps its number, and so its clocks. Before [`Catalogue::extend`], which would take new names for new things.
    /// Whether something was changed.
    pub(crate) fn follow(&mut self, registry: &Registry, since: &Followed) -> bool {
        let before = self.clone();
        for (at, entry) in self.collections.iter_mut().enumerate().filter(|(_, it)| !it.is_gone()) {
            let version = since.of(at);
            for migration in registry.migrations_of(&entry.name, version) {
                entry.rename_fields(migration);
            }
            entry.name =
                registry.becomes(&entry.name, version).unwrap_or_else(|| former(&entry.name));
        }
        // Of two that have become one the number is kept that was not moved, as the storage keeps those objects.
        for at in 0..self.collections.len() {
            let name = &self.collections[at].name;
            let moved = before.collections[at].name != *name;
            let held = |(other, it): (usize, &CatalogueEntry)| other != at && it.name == *name;
            if moved && self.collections.iter().enumerate().any(held) {
                self.collections[at].name = former(&before.collections[at].name);
            }
        }
        let names = self.collections.iter().enumerate();
        self.by_name = names.map(|(at, entry)| (Name::clone(&entry.name), at)).collect();
        *self != before
    }

    /// The versions of the collections, to follow migrations from the next time.
    pub(crate) fn followed(&self, registry: &Registry, before: &Followed) -> Followed {
        let version = |(at, entry): (usize, &CatalogueEntry)| {
            // Perhaps a program with more collections uses the same database.
            registry.find(&entry.name).map_or_else(|| before.of(at), |it| it.version())
        };
        Followed {
            each: self.collections.iter().enumerate().map(version).collect(),
            all: registry.version(),
        }
    }

    /// The number of a collection that is there.
    pub(crate) fn number(&self, collection: &str) -> Option<u64> {
        self.by_name.get(collection).map(|at| *at as u64)
    }

    /// The collections that are there, and their numbers.
    pub(crate) fn living(&self) -> impl Iterator<Item = (&Name, u64)> {
        let all = self.collections.iter().zip(0_u64..).filter(|(it, _)| !it.is_gone());
        all.map(|(it, number)| (&it.name, number))
    }

    /// The numbers of a collection of the registry.
    pub(crate) fn numbers(&self, collection: &Arc<Collection>) -> Result<Numbers> {
        let missing = || {
            SyncError::corrupt("the catalogue", format!("`{}` has no number", collection.name()))
        };
        let at = *self.by_name.get(collection.name()).ok_or_else(missing)?;
        let entry = self.collections.get(at).ok_or_else(missing)?;
        let number = |name: &Name| entry.fields.iter().position(|known| known == name);
        let fields = collection
            .fields()
            .iter()
            .map(|field| {
                number(&field.name).and_then(|n| u32::try_from(n).ok()).ok_or_else(missing)
            })
            .collect::<Result<_>>()?;
        let (local, scope) = (BTreeSet::new(), None);
        let collection = i64::try_from(at).map_err(|_| missing())?;
        Ok(Numbers { collection, fields, local, scope })
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for entry in &self.collections {
            write_name(&mut out, &entry.name);
            write_varint(&mut out, entry.fields.len() as u64);
            entry.fields.iter().for_each(|field| write_name(&mut out, field));
        }
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        let what = "the catalogue";
        let mut reader = Reader::new(bytes, what);
        let mut catalogue = Self::default();
        while !reader.is_empty() {
            let name = read_name(&mut reader, what)?;
            let count = reader.varint_usize()?;
            let mut fields = Vec::new();
            for _ in 0..count {
                fields.push(read_name(&mut reader, what)?);
            }
            catalogue.by_name.insert(Name::clone(&name), catalogue.collections.len());
            catalogue.collections.push(CatalogueEntry { name, fields });
        }
        Ok(catalogue)
    }
}

impl CatalogueEntry {
    /// All at once: two fields may change names. Whoever has a name that another one gets is gone.
    fn rename_fields(&mut self, migration: &Migration) {
        let before = self.fields.clone();
        let renamed = migration.renamed_fields().iter();
        let given: Vec<&Name> =
            renamed.filter(|(from, _)| before.contains(from)).map(|(_, to)| to).collect();
        for (field, was) in self.fields.iter_mut().zip(&before) {
            *field = match migration.field_becomes(was) {
                Some(to) if to != *was => to,
                Some(_) if !given.contains(&was) => continue,
                _ => former(was),
            };
        }
    }

    fn is_gone(&self) -> bool {
        self.name.starts_with(GONE)
    }
}

/// How far the catalogue has followed migrations.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Followed {
    /// The application's version.
    all: SchemaVersion,
    /// Per collection of the catalogue the version of its definition, which may be older: a migration to a version in
    /// between may be written later.
    each: Vec<SchemaVersion>,
}

impl Followed {
    fn of(&self, at: usize) -> SchemaVersion {
        self.each.get(at).copied().unwrap_or(self.all)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = self.all.0.to_be_bytes().to_vec();
        self.each.iter().for_each(|version| write_varint(&mut out, version.0));
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader::new(bytes, "the versions of the catalogue");
        let mut followed =
            Self { all: SchemaVersion(u64::from_be_bytes(reader.array()?)), each: Vec::new() };
        while !reader.is_empty() {
            followed.each.push(SchemaVersion(reader.varint()?));
        }
        Ok(followed)
    }
}

/// No field and no collection has such a name.
const GONE: &str = "$gone:";

/// The name of something that is gone, whose number nobody else gets.
fn former(name: &str) -> Name {
    format!("{GONE}{name}").into()
}
