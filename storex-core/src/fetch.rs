//! Objects with their related objects, in one call.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use crate::error::{Error, Result};
use crate::filter::Filter;
use crate::maybe::BoxFuture;
use crate::query::{Direction, Query};
use crate::record::{Key, Record};
use crate::related::{End, resolve};
use crate::schema::Collection;
use crate::serde_face::{from_tree, seen_record};
use crate::storage::Storage;
use crate::value::{Name, Value};

/// An object with those related objects that were asked for.
#[derive(Debug, Clone)]
pub struct Tree {
    collection: Arc<Collection>,
    record: Record,
    branches: Vec<(Name, Branch)>,
}

/// What is at the other end of a relation.
#[derive(Debug, Clone)]
pub enum Branch {
    /// The parent, or a single child; `None`: there is none.
    One(Option<Box<Tree>>),
    /// The children, by key.
    Many(Vec<Tree>),
}

impl Tree {
    /// The object's collection.
    #[must_use]
    pub fn collection(&self) -> &Arc<Collection> {
        &self.collection
    }

    /// The object itself, with the keys of its parents.
    #[must_use]
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// What is at the other end of a relation that was asked for.
    #[must_use]
    pub fn branch(&self, relation: &str) -> Option<&Branch> {
        self.branches.iter().find(|(name, _)| **name == *relation).map(|(_, branch)| branch)
    }

    /// All that was asked for, by alias or reverse alias.
    pub fn branches(&self) -> impl Iterator<Item = (&str, &Branch)> {
        self.branches.iter().map(|(name, branch)| (&**name, branch))
    }

    /// Whether some object has a field of a custom type.
    pub(crate) fn has_custom(&self) -> bool {
        self.collection.has_custom()
            || self.branches.iter().any(|(_, branch)| match branch {
                Branch::One(tree) => tree.as_ref().is_some_and(|tree| tree.has_custom()),
                Branch::Many(trees) => trees.iter().any(Self::has_custom),
            })
    }

    /// The objects as the application sees them.
    pub(crate) fn seen(&self) -> Result<Self> {
        let all: Vec<usize> = (0..self.collection.fields().len()).collect();
        let branches = self.branches.iter().map(|(name, branch)| {
            let seen = match branch {
                Branch::One(None) => Branch::One(None),
                Branch::One(Some(tree)) => Branch::One(Some(Box::new(tree.seen()?))),
                Branch::Many(trees) => {
                    Branch::Many(trees.iter().map(Self::seen).collect::<Result<_>>()?)
                }
            };
            Ok((Name::clone(name), seen))
        });
        Ok(Self {
            collection: Arc::clone(&self.collection),
            record: seen_record(&self.collection, &all, &self.record)?,
            branches: branches.collect::<Result<_>>()?,
        })
    }

    /// As JSON, in the form that a nested create takes; parents stand in the place of their keys.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] for a stored value that its custom type cannot show.
    pub fn to_json(&self) -> Result<Json> {
        let all: Vec<usize> = (0..self.collection.fields().len()).collect();
        let mut object = self.collection.record_to_json(&all, &self.record)?;
        for (name, branch) in self.branches() {
            let json = match branch {
                Branch::One(None) => Json::Null,
                Branch::One(Some(tree)) => tree.to_json()?,
                Branch::Many(trees) => {
                    Json::Array(trees.iter().map(Self::to_json).collect::<Result<_>>()?)
                }
            };
            object.insert(name.to_owned(), json);
        }
        Ok(Json::Object(object))
    }
}

/// The relations to follow, and from there further ones.
#[derive(Debug, Default, Clone)]
pub(crate) struct Paths(BTreeMap<Name, Self>);

impl Paths {
    /// Paths of aliases and reverse aliases, joined by dots.
    pub(crate) fn new<P: AsRef<str>>(paths: impl IntoIterator<Item = P>) -> Self {
        let mut all = Self::default();
        for path in paths {
            let mut at = &mut all;
            for name in path.as_ref().split('.') {
                at = at.0.entry(name.into()).or_default();
            }
        }
        all
    }
}

impl Storage {
    /// Reads objects with related ones: parents by alias, children by reverse alias, and from there on, as in
    /// `["author", "comments.author"]`.
    ///
    /// It takes one read for the objects and one per relation, however many objects there are. Each is a read of its own: what
    /// is written in between may be seen by the later ones. The fields that point should have an index.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storex_core::Result<()> {
    /// # use storex_core::{AutoPk, Branch, Definition, FieldType, Query, Registry, RelationDefinition, Storage};
    /// # use serde_json::json;
    /// # let registry = Registry::builder()
    /// #     .collection(Definition::new("user").field("name", FieldType::String))
    /// #     .collection(Definition::new("email").field("address", FieldType::String)
    /// #         .relation(RelationDefinition::child_of("user").reverse_alias("emails")).index(["user"]))
    /// #     .build()?;
    /// # let storage = Storage::builder(storex_memory::MemoryBackend::new(), registry,
    /// #     Arc::new(storex_memory::TestRuntime::new(1))).middleware(AutoPk::new()).open().await?;
    /// let ann = json!({"name": "Ann", "emails": [{"address": "a@a"}, {"address": "b@b"}]});
    /// storage.dynamic("user")?.create(ann).await?;
    /// let users = storage.find_with(Query::new("user"), ["emails"]).await?;
    /// assert!(matches!(users[0].branch("emails"), Some(Branch::Many(emails)) if emails.len() == 2));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error::InvalidOperation`] for a relation that is not there, and for a query that selects fields.
    pub async fn find_with<P: AsRef<str>>(
        &self,
        query: Query,
        paths: impl IntoIterator<Item = P>,
    ) -> Result<Vec<Tree>> {
        self.find_trees(query, &Paths::new(paths)).await
    }

    pub(crate) async fn find_trees(&self, query: Query, paths: &Paths) -> Result<Vec<Tree>> {
        let collection = Arc::clone(self.registry().collection(&query.collection)?);
        if query.select.is_some() {
            let reason = "a query that selects fields has no place for related objects";
            return Err(Error::invalid(collection.name(), reason));
        }
        check(self, &collection, paths)?;
        let records = self.find(query).await?;
        grow(self, collection, records, paths).await
    }
}

/// Refuses what is not there before anything is read.
fn check(storage: &Storage, collection: &Collection, paths: &Paths) -> Result<()> {
    paths.0.iter().try_for_each(|(name, further)| {
        let other = resolve(collection, name)?.other();
        check(storage, storage.registry().collection(other)?, further)
    })
}

fn grow<'a>(
    storage: &'a Storage,
    collection: Arc<Collection>,
    records: Vec<Record>,
    paths: &'a Paths,
) -> BoxFuture<'a, Result<Vec<Tree>>> {
    Box::pin(async move {
        let leaf =
            |record| Tree { collection: Arc::clone(&collection), record, branches: Vec::new() };
        let mut trees: Vec<Tree> = records.into_iter().map(leaf).collect();
        for (name, further) in &paths.0 {
            let end = resolve(&collection, name)?;
            let own = collection.require(&end.own_field(storage.registry())?)?;
            let mut there = other_end(storage, end, &trees, own, further).await?;
            for tree in &mut trees {
                let key = Key::single(tree.record.get(own).clone());
                let branch = match end {
                    // Several children may have the same parent.
                    End::Parent(_) => Branch::One(
                        there.get(&key).and_then(|it| it.first()).cloned().map(Box::new),
                    ),
                    End::Children(_) => {
                        let children = there.remove(&key).unwrap_or_default();
                        if end.is_single() {
                            Branch::One(children.into_iter().next().map(Box::new))
                        } else {
                            Branch::Many(children)
                        }
                    }
                };
                tree.branches.push((Name::clone(name), branch));
            }
        }
        Ok(trees)
    })
}

/// What is at the other end of a relation of all these objects, by the value that leads there.
async fn other_end(
    storage: &Storage,
    end: End<'_>,
    trees: &[Tree],
    own: usize,
    further: &Paths,
) -> Result<HashMap<Key, Vec<Tree>>> {
    let registry = storage.registry();
    let mut seen = HashSet::new();
    let values = trees.iter().map(|tree| tree.record.get(own)).filter(|value| !value.is_null());
    let values: Vec<Value> =
        values.filter(|value| seen.insert(Key::single((*value).clone()))).cloned().collect();
    let mut there: HashMap<Key, Vec<Tree>> = HashMap::new();
    if values.is_empty() {
        return Ok(there);
    }
    let other = Arc::clone(registry.collection(end.other())?);
    let field = end.other_field(registry)?;
    let at = other.require(&field)?;
    let filter = match end {
        End::Parent(_) => Filter::Keys(values.into_iter().map(Key::single).collect()),
        End::Children(_) => Filter::In { field, values },
    };
    let mut query = Query::new(Name::clone(other.name())).filter(filter);
    for at in other.primary_key() {
        query = query.order_by(Name::clone(&other.fields()[*at].name), Direction::Ascending);
    }
    let found = storage.find(query).await?;
    for tree in grow(storage, other, found, further).await? {
        there.entry(Key::single(tree.record.get(at).clone())).or_default().push(tree);
    }
    Ok(there)
}

/// A query whose results are structs with related objects in them; see
/// [`Select::with`](crate::Select::with).
pub struct SelectWith<T> {
    storage: Storage,
    collection: Arc<Collection>,
    query: Query,
    paths: Paths,
    object: PhantomData<fn() -> T>,
}

impl<T> fmt::Debug for SelectWith<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SelectWith")
            .field("query", &self.query)
            .field("paths", &self.paths)
            .finish()
    }
}

impl<T: DeserializeOwned> SelectWith<T> {
    pub(crate) fn new(
        storage: Storage,
        collection: Arc<Collection>,
        query: Query,
        paths: Paths,
    ) -> Self {
        Self { storage, collection, query, paths, object: PhantomData }
    }

    async fn trees(self) -> Result<Vec<Tree>> {
        let mut query = self.query;
        query.filter = self.collection.stored_filter(query.filter)?;
        self.storage.find_trees(query, &self.paths).await
    }

    /// All of them.
    ///
    /// # Errors
    /// As [`Storage::find_with`].
    pub async fn all(self) -> Result<Vec<T>> {
        self.trees().await?.iter().map(from_tree).collect()
    }

    /// The first one.
    ///
    /// # Errors
    /// As [`Storage::find_with`].
    pub async fn first(mut self) -> Result<Option<T>> {
        if !matches!(self.query.filter, Filter::Keys(_)) {
            self.query.limit = Some(1);
        }
        self.trees().await?.first().map(from_tree).transpose()
    }
}
