//! The difference between one collection as it is stored and as it is to be.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::schema::{
    Collection, CollectionPlan, Default, Field, Migration, PlanStep, Registry, SchemaVersion,
    StoredCollection, StoredField, StoredIndex, StoredKind, StoredSchema,
};
use crate::value::Name;

/// Where the objects of a collection are stored.
pub(super) struct Origin<'s> {
    pub(super) name: &'s str,
    stored: &'s StoredCollection,
    /// The names that the collection had, newest first.
    names: Vec<Name>,
}

/// Where the objects of a collection are stored: under its name, or under one that it had before.
pub(super) fn origin<'s>(
    stored: &'s StoredSchema,
    registry: &Registry,
    collection: &Name,
) -> Option<Origin<'s>> {
    let mut names = vec![Name::clone(collection)];
    let mut renamed_at = SchemaVersion(u64::MAX);
    loop {
        let name = names.last()?;
        let found = stored.collections.get_key_value(&**name);
        // A collection that is younger than the renaming is another one.
        if let Some((name, stored)) = found.filter(|(_, it)| it.version < renamed_at.0) {
            return Some(Origin { name, stored, names });
        }
        let mut newest_first = registry.migrations().iter().rev();
        let renaming =
            newest_first.find(|it| it.collection() == name && it.old_name().is_some())?;
        let before = renaming.old_name().filter(|before| !names.contains(before))?;
        renamed_at = renaming.version();
        names.push(Name::clone(before));
    }
}

/// What becomes of a collection; what there is to be read of it is added to the steps.
pub(super) fn collection(
    collection: &Arc<Collection>,
    registry: &Registry,
    origin: Option<Origin<'_>>,
    steps: &mut Vec<PlanStep>,
) -> Result<CollectionPlan> {
    let mut plan = CollectionPlan {
        collection: Arc::clone(collection),
        stored: None,
        migrations: Vec::new(),
        carried: Vec::new(),
        added: Vec::new(),
        rewrites: false,
    };
    let name = Name::clone(collection.name());
    let Some(Origin { name: old_name, stored, names }) = origin else {
        plan.added = (0..collection.fields().len()).collect();
        steps.push(PlanStep::CreateCollection { collection: name });
        return Ok(plan);
    };
    plan.stored = Some((old_name.into(), stored.clone()));
    let due = registry.migrations().iter().filter(|it| {
        let reached = it.version().0 > stored.version && it.version() <= collection.version();
        reached && !it.is_removal() && names.contains(it.collection())
    });
    plan.migrations = due.cloned().collect();
    let from = SchemaVersion(stored.version);
    if from != collection.version() {
        steps.push(PlanStep::SetVersion {
            collection: Name::clone(&name),
            from,
            to: collection.version(),
        });
    }
    if old_name != &*name {
        let from = old_name.into();
        steps.push(PlanStep::RenameCollection { from, to: name });
    }
    let mut diff = Diff { plan: &mut plan, stored, steps };
    diff.key()?;
    diff.fields()?;
    diff.indices();
    Ok(plan)
}

struct Diff<'a> {
    plan: &'a mut CollectionPlan,
    stored: &'a StoredCollection,
    steps: &'a mut Vec<PlanStep>,
}

impl Diff<'_> {
    fn name(&self) -> Name {
        Name::clone(self.plan.collection.name())
    }

    fn is_newer(&self) -> bool {
        self.stored.version < self.plan.collection.version().0
    }

    fn has_change(&self) -> bool {
        self.plan.migrations.iter().any(Migration::has_change)
    }

    fn mismatch(&self, reason: String) -> Error {
        Error::SchemaMismatch { collection: self.name(), reason }
    }

    /// A change that cannot be made without being told: with the words that tell it.
    fn untold(&self, what: &str, remedy: &str) -> Error {
        let (name, version) = (self.name(), self.plan.collection.version().0);
        let mut version_there = version;
        let mut reason = format!("{what}; ");
        if !self.is_newer() {
            version_there = version.saturating_add(1);
            reason += &format!("give the definition a new version, such as {version_there}");
            reason += if remedy.is_empty() { "" } else { ", and " };
        }
        if !remedy.is_empty() {
            reason += &format!("write `Migration::new(\"{name}\", {version_there}){remedy}");
        }
        self.mismatch(reason)
    }

    fn fields(&mut self) -> Result<()> {
        let collection = Arc::clone(&self.plan.collection);
        let mut free: BTreeSet<usize> = (0..collection.fields().len()).collect();
        let mut left = Vec::new();
        for (name, becomes) in self.names_of_today() {
            let Some(becomes) = becomes else {
                self.plan.rewrites = true;
                let field = name.as_str().into();
                self.steps.push(PlanStep::RemoveField { collection: self.name(), field });
                continue;
            };
            match collection.position(&becomes).filter(|at| free.remove(at)) {
                Some(at) => self.plan.carried.push((name, at)),
                None => left.push(name),
            }
        }
        for name in left {
            // The same column under another name is the same field.
            let column = self.stored.fields.get(&name).map_or("", |field| field.column.as_str());
            let same = |at: &usize| *collection.fields()[*at].column == *column;
            let Some(at) = free.iter().copied().find(same) else {
                let what = format!("field `{name}` is stored, and the definition does not have it");
                let remedy = format!(
                    ".remove_field(\"{name}\")` if its values may go, or `.rename_field(\"{name}\", \"…\")`"
                );
                return Err(self.untold(&what, &remedy));
            };
            free.remove(&at);
            self.plan.carried.push((name, at));
        }
        for at in free {
            self.add(at, &collection.fields()[at])?;
        }
        for (name, at) in self.plan.carried.clone() {
            if let Some(stored) = self.stored.fields.get(&name) {
                self.carry(&name, stored, &collection.fields()[at])?;
            }
        }
        let functions = self.plan.migrations.iter().filter(|it| it.has_change());
        let versions: Vec<SchemaVersion> = functions.map(Migration::version).collect();
        if !versions.is_empty() {
            self.plan.rewrites = true;
            self.steps.push(PlanStep::ChangeObjects { collection: self.name(), versions });
        }
        Ok(())
    }

    /// The stored fields, each with the name that it has after the migrations; `None`: it is removed.
    fn names_of_today(&self) -> Vec<(String, Option<Name>)> {
        let names = self.stored.fields.keys();
        let mut names: Vec<(String, Option<Name>)> =
            names.map(|name| (name.clone(), Some(name.as_str().into()))).collect();
        for migration in &self.plan.migrations {
            for becomes in names.iter_mut().map(|(_, becomes)| becomes) {
                let Some(name) = becomes else { continue };
                let mut renamed = migration.renamed_fields().iter();
                if let Some((_, to)) = renamed.find(|(from, _)| from == name) {
                    *name = Name::clone(to);
                } else if migration.removed_fields().contains(name) {
                    *becomes = None;
                }
            }
        }
        names
    }

    fn add(&mut self, at: usize, field: &Field) -> Result<()> {
        let can_be_missing = field.nullable || matches!(field.default, Some(Default::Value(_)));
        let is_filled = self.is_newer() && self.has_change();
        if !can_be_missing && !is_filled {
            let what = format!(
                "field `{}` is required, and the objects that are there do not have it; make it optional, give it a default, or fill it",
                field.name
            );
            return Err(self.untold(&what, ".change(|object| …)`"));
        }
        self.plan.added.push(at);
        let field = Name::clone(&field.name);
        self.steps.push(PlanStep::AddField { collection: self.name(), field });
        Ok(())
    }

    fn carry(&mut self, name: &str, stored: &StoredField, field: &Field) -> Result<()> {
        let (collection, told) = (self.name(), self.is_newer() && self.has_change());
        let kind = StoredKind::of(&field.field_type);
        if *name != *field.name {
            let (from, to) = (name.into(), Name::clone(&field.name));
            self.steps.push(PlanStep::RenameField { collection: self.name(), from, to });
        }
        if stored.column != *field.column && !self.is_newer() {
            let what = format!(
                "field `{}` is stored in the column `{}`, the definition has the column `{}`",
                field.name, stored.column, field.column
            );
            return Err(self.untold(&what, ""));
        }
        if stored.kind != kind {
            if !told {
                let what = format!(
                    "field `{}` is stored as {}, the definition has {}",
                    field.name,
                    stored.kind.name(),
                    kind.name()
                );
                return Err(self.untold(&what, ".change(|object| …)`"));
            }
            self.plan.rewrites = true;
            let (field, from) = (Name::clone(&field.name), stored.kind);
            self.steps.push(PlanStep::ChangeType { collection, field, from, to: kind });
        }
        if stored.nullable == field.nullable {
            return Ok(());
        }
        let has_default = matches!(field.default, Some(Default::Value(_)));
        if field.nullable && !self.is_newer() {
            let what = format!("field `{}` may be null, where it is stored it may not", field.name);
            return Err(self.untold(&what, ""));
        }
        let is_filled = told || (self.is_newer() && has_default);
        if !field.nullable && !is_filled {
            let what = format!(
                "field `{}` is required, where it is stored it may be null; give it a default, or fill it",
                field.name
            );
            return Err(self.untold(&what, ".change(|object| …)`"));
        }
        self.plan.rewrites = true;
        let (collection, name) = (self.name(), Name::clone(&field.name));
        self.steps.push(match field.nullable {
            true => PlanStep::MakeOptional { collection, field: name },
            false => PlanStep::MakeRequired { collection, field: name },
        });
        Ok(())
    }

    /// Objects are found, logged and synced by their keys.
    fn key(&self) -> Result<()> {
        let collection = &self.plan.collection;
        let column = |at: &usize| &*collection.fields()[*at].column;
        let wanted: Vec<&str> = collection.primary_key().iter().map(column).collect();
        let retyped = |at: &usize| {
            let field = &collection.fields()[*at];
            let stored = self.stored.field_of(&field.column);
            stored.is_none_or(|(_, stored)| stored.kind != StoredKind::of(&field.field_type))
        };
        let same = wanted.len() == self.stored.key.len()
            && wanted.iter().zip(&self.stored.key).all(|(a, b)| a.eq_ignore_ascii_case(b))
            && !collection.primary_key().iter().any(retyped);
        if same {
            return Ok(());
        }
        Err(self.mismatch(format!(
            "another primary key is stored: the columns ({}), the definition has ({}); a key, its type and its columns cannot change (a new \
             name for a key field keeps the column: `FieldOption::Column`); make another collection",
            self.stored.key.join(", "),
            wanted.join(", ")
        )))
    }

    fn indices(&mut self) {
        let wanted = StoredCollection::of(&self.plan.collection).indices;
        let today = |column: &String| {
            let (name, _) = self.stored.field_of(column)?;
            let (_, at) = self.plan.carried.iter().find(|(carried, _)| carried == name)?;
            Some(self.plan.collection.fields()[*at].column.to_string())
        };
        let mut there = BTreeSet::new();
        for index in &self.stored.indices {
            let columns: Option<Vec<String>> = index.columns.iter().map(today).collect();
            let index = StoredIndex {
                columns: columns.unwrap_or_else(|| index.columns.clone()),
                ..index.clone()
            };
            there.insert(index);
        }
        let collection = self.name();
        self.steps.extend(there.difference(&wanted).map(|index| PlanStep::RemoveIndex {
            collection: Name::clone(&collection),
            columns: index.columns.clone(),
            unique: index.unique,
        }));
        self.steps.extend(wanted.difference(&there).map(|index| PlanStep::MakeIndex {
            collection: Name::clone(&collection),
            columns: index.columns.clone(),
            unique: index.unique,
        }));
    }
}
