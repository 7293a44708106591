//! The difference between one collection as it is stored and as it is to be.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::schema::lineage::{FieldLine, Lineage, default_value, filled, follow_fields};
use crate::schema::{
    Collection, CollectionPlan, Default, Field, Migration, PlanStep, SchemaVersion,
    StoredCollection, StoredField, StoredIndex, StoredKind,
};
use crate::value::{Name, Value};

/// Where the objects of a collection are stored: under its name, or under one that it had before.
pub(super) struct Origin<'s> {
    pub(super) name: &'s String,
    pub(super) stored: &'s StoredCollection,
    pub(super) lineage: Lineage<'s>,
}

/// What becomes of a collection; what there is to be read of it is added to the steps.
pub(super) fn collection(
    collection: &Arc<Collection>,
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
        stages: Vec::new(),
        by_column: Vec::new(),
        dropped: Vec::new(),
    };
    let name = Name::clone(collection.name());
    let Some(Origin { name: old_name, stored, lineage }) = origin else {
        plan.added = (0..collection.fields().len()).collect();
        steps.push(PlanStep::CreateCollection { collection: name });
        return Ok(plan);
    };
    plan.stored = Some((old_name.as_str().into(), stored.clone()));
    plan.migrations = lineage.migrations().cloned().collect();
    let (lines, stages) = follow_fields(stored, &lineage, collection);
    plan.stages = stages;
    let from = SchemaVersion(stored.version);
    if from != collection.version() {
        steps.push(PlanStep::SetVersion {
            collection: Name::clone(&name),
            from,
            to: collection.version(),
        });
    }
    if **old_name != *name {
        let from = old_name.as_str().into();
        steps.push(PlanStep::RenameCollection { from, to: name });
    }
    let mut diff = Diff { plan: &mut plan, stored, steps };
    diff.key()?;
    diff.fields(lines)?;
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

    fn fields(&mut self, lines: Vec<FieldLine>) -> Result<()> {
        let collection = Arc::clone(&self.plan.collection);
        let mut free: BTreeSet<usize> = (0..collection.fields().len()).collect();
        let (own, born): (Vec<_>, Vec<_>) = lines.into_iter().partition(|it| it.stored.is_some());
        self.keep(own, &mut free)?;
        let mut added: BTreeMap<usize, Option<Value>> = free.iter().map(|at| (*at, None)).collect();
        for line in born {
            let Some(name) = line.name else { continue };
            let by_name = collection.position(&name).filter(|at| free.remove(at));
            let Some(at) = by_name.or_else(|| self.by_column(&name, &line.column, &mut free))
            else {
                self.plan.dropped.push(name);
                continue;
            };
            added.insert(at, Some(line.value));
        }
        for (at, value) in added {
            self.add(at, &collection.fields()[at], value)?;
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

    /// Finds the stored fields in the definition.
    fn keep(&mut self, lines: Vec<FieldLine>, free: &mut BTreeSet<usize>) -> Result<()> {
        let collection = Arc::clone(&self.plan.collection);
        let mut left = Vec::new();
        for line in lines {
            let stored = line.stored.clone().unwrap_or_default();
            self.plan.rewrites |= line.filled;
            let Some(name) = line.name.clone() else {
                self.plan.rewrites = true;
                let field = stored.into();
                self.steps.push(PlanStep::RemoveField { collection: self.name(), field });
                continue;
            };
            match collection.position(&name).filter(|at| free.remove(at)) {
                Some(at) => self.plan.carried.push((stored, at)),
                None => left.push((stored, name, line.column)),
            }
        }
        for (stored, name, column) in left {
            let Some(at) = self.by_column(&name, &column, free) else {
                let what = format!("field `{name}` is stored, and the definition does not have it");
                let remedy = format!(
                    ".remove_field(\"{name}\")` if its values may go, or `.rename_field(\"{name}\", \"…\")`"
                );
                return Err(self.untold(&what, &remedy));
            };
            self.plan.carried.push((stored, at));
        }
        Ok(())
    }

    /// The same column under another name is the same field.
    fn by_column(
        &mut self,
        name: &Name,
        column: &str,
        free: &mut BTreeSet<usize>,
    ) -> Option<usize> {
        let fields = self.plan.collection.fields();
        let at = free.iter().copied().find(|at| *fields[*at].column == *column)?;
        let becomes = Name::clone(&fields[at].name);
        free.remove(&at);
        self.plan.by_column.push((Name::clone(name), becomes));
        Some(at)
    }

    /// A field that is not stored; where it came on the way, objects have got a value there, which may be another one than
    /// they would get today.
    fn add(&mut self, at: usize, field: &Field, on_the_way: Option<Value>) -> Result<()> {
        let today = filled(None, field.nullable, default_value(field));
        let value =
            on_the_way.map(|value| filled(Some(value), field.nullable, default_value(field)));
        let value = value.unwrap_or_else(|| today.clone());
        self.plan.rewrites |= value != today;
        let can_be_missing = field.nullable || !value.is_null();
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
