//! Nested creates: an object with its children, as one batch.

use std::sync::Arc;

use serde_json::{Map, Value as Json};

use crate::batch::{Batch, Create, Link, OnConflict, Step};
use crate::error::{Error, Result};
use crate::run::{BatchOutcome, Executed, StepOutcome, created};
use crate::schema::{Collection, FieldType, Registry, RelationKind};
use crate::value::{Name, Timestamp};

/// Takes nested JSON objects apart into creates, parents before children.
///
/// Children stand in their parent under the relation's reverse alias: a list for [`RelationKind::ChildOf`], one object
/// for [`RelationKind::SingleChildOf`]. In the batch they refer to their parent by placeholder.
///
/// A field may be `{"$placeholder": "name"}`: it gets the key of the object that an earlier create of the same batch
/// made under that name.
#[derive(Debug)]
pub(crate) struct Dissection<'a> {
    registry: &'a Registry,
    now: Timestamp,
    steps: Vec<Create>,
    paths: Vec<Vec<PathPart>>,
    prefix: String,
}

#[derive(Debug, Clone)]
enum PathPart {
    Field(String),
    Item(usize),
}

impl<'a> Dissection<'a> {
    /// `prefix` keeps the placeholders of several dissections in one batch apart.
    pub(crate) fn new(registry: &'a Registry, now: Timestamp, prefix: impl Into<String>) -> Self {
        Self { registry, now, steps: Vec::new(), paths: Vec::new(), prefix: prefix.into() }
    }

    /// Takes an object apart. Its own create gets `placeholder`, when one is given.
    pub(crate) fn add(
        &mut self,
        collection: &Arc<Collection>,
        object: &Json,
        placeholder: Option<Name>,
    ) -> Result<()> {
        self.visit(collection, object, placeholder, None, Vec::new())
    }

    fn visit(
        &mut self,
        collection: &Arc<Collection>,
        object: &Json,
        placeholder: Option<Name>,
        parent: Option<(Name, Name)>,
        path: Vec<PathPart>,
    ) -> Result<()> {
        let Json::Object(object) = object else {
            return Err(Error::invalid(collection.name(), "an object to create is a JSON object"));
        };
        let mut own = Map::new();
        let mut links: Vec<Link> = Vec::new();
        let mut link = |field: &str, placeholder: &str| {
            links.push(Link { record: 0, field: field.into(), placeholder: placeholder.into() });
        };
        if let Some((alias, parent)) = &parent {
            link(alias, parent);
        }
        let mut nested = Vec::new();
        for (name, value) in object {
            let mut children =
                collection.children().iter().filter(|relation| *relation.reverse_alias == **name);
            if let Some(relation) = children.next() {
                if let Some(other) = children.next() {
                    let reason = format!(
                        "`{name}` may mean the children by `{}` of `{}` or by `{}` of `{}`; give one another reverse alias",
                        relation.alias, relation.child, other.alias, other.child
                    );
                    return Err(Error::invalid(collection.name(), reason));
                }
                nested.push((relation.clone(), value));
                continue;
            }
            // In a JSON field it is the application's own data.
            let is_json = collection.position(name).is_some_and(|at| {
                matches!(collection.fields()[at].seen().field_type, FieldType::Json)
            });
            let earlier = value.get("$placeholder").and_then(Json::as_str).filter(|_| !is_json);
            if let Some(earlier) = earlier {
                link(name, earlier);
            }
            own.insert(name.clone(), if earlier.is_some() { Json::Null } else { value.clone() });
        }
        let placeholder = match placeholder {
            Some(placeholder) => Some(placeholder),
            None if nested.is_empty() => None,
            None => Some(Name::from(format!("{}{}", self.prefix, self.steps.len()))),
        };
        let record = collection.record_from_json(self.now, &own)?;
        self.steps.push(Create {
            collection: Name::clone(collection.name()),
            records: vec![record],
            on_conflict: OnConflict::Fail,
            placeholders: placeholder.iter().map(|name| (0, Name::clone(name))).collect(),
            links,
        });
        self.paths.push(path.clone());
        for (relation, value) in nested {
            let child = Arc::clone(self.registry.collection(&relation.child)?);
            let mut path = path.clone();
            path.push(PathPart::Field(relation.reverse_alias.to_string()));
            let Some(placeholder) = &placeholder else { continue };
            let parent = Some((Name::clone(&relation.alias), Name::clone(placeholder)));
            match (relation.kind, value) {
                (RelationKind::SingleChildOf, value) => {
                    self.visit(&child, value, None, parent, path)?;
                }
                (_, Json::Array(list)) => {
                    for (n, value) in list.iter().enumerate() {
                        let mut path = path.clone();
                        path.push(PathPart::Item(n));
                        self.visit(&child, value, None, parent.clone(), path)?;
                    }
                }
                _ => {
                    let reason = format!("`{}` takes a list of objects", relation.reverse_alias);
                    return Err(Error::invalid(collection.name(), reason));
                }
            }
        }
        Ok(())
    }

    /// The creates as steps, and what puts their outcome together again.
    pub(crate) fn finish(self) -> (Vec<Step>, Reassembly) {
        let steps = self.steps.into_iter().map(Step::Create).collect();
        (steps, Reassembly { paths: self.paths })
    }
}

/// Puts created objects together again as the application nested them, now with keys and defaults.
#[derive(Debug)]
pub(crate) struct Reassembly {
    paths: Vec<Vec<PathPart>>,
}

impl Reassembly {
    /// The root object of the creates that begin at the batch's step `first`.
    pub(crate) fn assemble(
        &self,
        registry: &Registry,
        outcome: &BatchOutcome,
        first: usize,
    ) -> Result<Json> {
        self.assemble_from(registry, |n| {
            outcome.of_step(first + n).find(|executed| matches!(executed.step, Step::Create(_)))
        })
    }

    /// The root object of creates, the `n`-th of which did this.
    pub(crate) fn assemble_from<'a>(
        &self,
        registry: &Registry,
        created: impl Fn(usize) -> Option<&'a Executed>,
    ) -> Result<Json> {
        let mut root = Json::Null;
        for (n, path) in self.paths.iter().enumerate() {
            let object = created(n).and_then(|executed| object(registry, executed));
            place(&mut root, path, object.transpose()?.unwrap_or(Json::Null));
        }
        Ok(root)
    }
}

/// The object that a create of one has created.
fn object(registry: &Registry, executed: &Executed) -> Option<Result<Json>> {
    let (Step::Create(create), StepOutcome::Created { skipped }) =
        (&executed.step, &executed.outcome)
    else {
        return None;
    };
    let collection = registry.find(&create.collection)?;
    let record = created(create, skipped).next()?;
    let all: Vec<usize> = (0..collection.fields().len()).collect();
    Some(collection.record_to_json(&all, record).map(Json::Object))
}

fn place(target: &mut Json, path: &[PathPart], object: Json) {
    match path.split_first() {
        None => *target = object,
        Some((PathPart::Field(name), rest)) => {
            if let Json::Object(map) = target {
                place(map.entry(name.clone()).or_insert(Json::Null), rest, object);
            }
        }
        Some((PathPart::Item(n), rest)) => {
            if !target.is_array() {
                *target = Json::Array(Vec::new());
            }
            if let Json::Array(list) = target {
                while list.len() <= *n {
                    list.push(Json::Null);
                }
                place(&mut list[*n], rest, object);
            }
        }
    }
}

impl Batch {
    /// Adds the create of a JSON object, with its nested children, under a placeholder.
    ///
    /// A field of it may be `{"$placeholder": "earlier"}`. What was created is read with
    /// [`BatchOutcome::key`](crate::BatchOutcome::key).
    ///
    /// # Errors
    /// [`Error::UnknownCollection`], [`Error::UnknownField`], [`Error::InvalidValue`].
    pub fn create_json(
        mut self,
        storage: &crate::Storage,
        collection: &str,
        placeholder: &str,
        object: &Json,
    ) -> Result<Self> {
        let registry = storage.registry();
        let prefix = format!("{placeholder}.");
        let mut dissection = Dissection::new(registry, storage.runtime().now(), prefix);
        dissection.add(registry.collection(collection)?, object, Some(placeholder.into()))?;
        self.steps.extend(dissection.finish().0);
        Ok(self)
    }
}
