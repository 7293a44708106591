//! [`Module`]: what a library brings along: collections, their history, and named operations.

use std::any::TypeId;
use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value as Json;

use crate::backend::Backend;
use crate::error::{Error, Result};
use crate::maybe::{Kept, MaybeSend, MaybeSync};
use crate::schema::{Definition, Migration};
use crate::storage::Storage;
use crate::value::Name;

/// What a library brings along, as one bundle: its collections with their history, and its named operations.
///
/// An application adds it with [`StorageBuilder::module`](crate::StorageBuilder::module); a middleware brings one of its
/// own ([`Middleware::module`](crate::Middleware::module)), as the sync log does.
///
/// **Names of operations** have the form `[project:][backend.]operation`. Each part begins with a letter and goes on with
/// letters, digits, `-` and `_`. The project keeps the operations of libraries apart. An operation that names a backend is
/// there only when that backend is open; elsewhere it is refused as unsupported.
///
/// ```
/// # use std::sync::Arc;
/// use serde_json::json;
/// use storex_core::{Definition, FieldType, Module, Query, Registry, Storage};
/// use storex_memory::{MemoryBackend, TestRuntime};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> storex_core::Result<()> {
/// let tags = Module::new("tags")
///     .collection(Definition::new("tag").field("name", FieldType::String).primary_key(["name"]))
///     .operation("tags:count", |storage: Storage, _| async move {
///         Ok(json!(storage.count(Query::new("tag")).await?))
///     });
/// let registry = Registry::builder().build()?;
/// let storage = Storage::builder(MemoryBackend::new(), registry, Arc::new(TestRuntime::new(1)))
///     .module(tags)
///     .open()
///     .await?;
/// storage.dynamic("tag")?.create(json!({"name": "red"})).await?;
/// assert_eq!(storage.custom("tags:count", json!(null)).await?, 1);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Default)]
pub struct Module {
    name: Name,
    collections: Vec<Definition>,
    migrations: Vec<Migration>,
    operations: Vec<(Name, Handler)>,
    extensions: Extensions,
}

/// What modules leave in a storage for their libraries, by type.
#[derive(Clone, Default)]
pub(crate) struct Extensions(HashMap<TypeId, Kept>);

impl fmt::Debug for Extensions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Extensions").field(&self.0.len()).finish()
    }
}

impl Extensions {
    pub(crate) fn of(modules: &[Module]) -> Self {
        let all = modules.iter().flat_map(|module| &module.extensions.0);
        Self(all.map(|(id, extension)| (*id, Kept::clone(extension))).collect())
    }

    pub(crate) fn get<T: 'static>(&self) -> Option<&T> {
        self.0.get(&TypeId::of::<T>())?.downcast_ref()
    }
}

/// A named operation: called by [`Storage::custom`].
///
/// It passes the chain of middleware as any operation, and what it does with the storage passes it too, operation by
/// operation. It is not atomic by itself: what has to happen at once belongs into one batch. A function of a [`Storage`]
/// (a clone, of its own) and the arguments that gives a future is one.
#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
pub trait OperationHandler: MaybeSend + MaybeSync + 'static {
    /// Does it.
    ///
    /// # Errors
    /// Whatever the operation fails with.
    async fn call(&self, storage: &Storage, arguments: Json) -> Result<Json>;
}

#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
impl<F, Fut> OperationHandler for F
where
    F: Fn(Storage, Json) -> Fut + MaybeSend + MaybeSync + 'static,
    Fut: Future<Output = Result<Json>> + MaybeSend,
{
    async fn call(&self, storage: &Storage, arguments: Json) -> Result<Json> {
        self(storage.clone(), arguments).await
    }
}

#[derive(Clone)]
struct Handler(Arc<dyn OperationHandler>);

impl fmt::Debug for Handler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OperationHandler")
    }
}

impl Module {
    /// A module without anything; the name is for messages.
    #[must_use]
    pub fn new(name: impl Into<Name>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Brings a collection. Older versions of it are added too, as in [`Registry`](crate::Registry).
    #[must_use]
    pub fn collection(self, definition: Definition) -> Self {
        self.collections([definition])
    }

    /// Brings several collections.
    #[must_use]
    pub fn collections(mut self, definitions: impl IntoIterator<Item = Definition>) -> Self {
        self.collections.extend(definitions);
        self
    }

    /// Adds what becomes of the objects of its collections when their definitions change.
    #[must_use]
    pub fn migration(mut self, migration: Migration) -> Self {
        self.migrations.push(migration);
        self
    }

    /// Brings a named operation. A name that cannot be, that is registered already, or that the backend has for an
    /// operation of its own, is refused when the storage is opened.
    #[must_use]
    pub fn operation(mut self, name: impl Into<Name>, handler: impl OperationHandler) -> Self {
        self.operations.push((name.into(), Handler(Arc::new(handler))));
        self
    }

    /// Leaves a value in the storage that the library asks for later, by its type
    /// ([`Storage::extension`](crate::Storage::extension)): what a middleware was configured with, say.
    #[must_use]
    pub fn extension<T: MaybeSend + MaybeSync + 'static>(mut self, value: T) -> Self {
        self.extensions.0.insert(TypeId::of::<T>(), Arc::new(value));
        self
    }

    pub(crate) fn migrations(&self) -> impl Iterator<Item = Migration> + '_ {
        self.migrations.iter().cloned()
    }

    pub(crate) fn definitions(&self) -> impl Iterator<Item = Definition> + '_ {
        self.collections.iter().cloned()
    }

    fn refuse(&self, reason: String) -> Error {
        Error::Module { module: Name::clone(&self.name), reason }
    }
}

/// The operations of all modules of a storage, by name.
#[derive(Debug, Default)]
pub(crate) struct Operations(HashMap<Name, Handler>);

impl Operations {
    /// Checks the names, and leaves out what is for other backends.
    pub(crate) fn new(modules: &[Module], backend: &dyn Backend) -> Result<Self> {
        let mut operations: HashMap<Name, Handler> = HashMap::new();
        let mut owners: HashMap<&Name, &Module> = HashMap::new();
        for module in modules {
            for (name, handler) in &module.operations {
                let Some(parts) = NameParts::parse(name) else {
                    return Err(module.refuse(format!(
                        "`{name}` is no name of an operation; it is `[project:][backend.]operation`, each part of letters, digits, `-` and `_` after a letter"
                    )));
                };
                if let Some(other) = owners.insert(name, module) {
                    return Err(module.refuse(format!(
                        "the operation `{name}` is registered by the module `{}` already",
                        other.name
                    )));
                }
                if backend.capabilities().custom_operations.contains(&&**name) {
                    return Err(module.refuse(format!(
                        "the operation `{name}` is one of the backend `{}`; put a project before it, as in `my-project:{name}`",
                        backend.name()
                    )));
                }
                if parts.backend.is_none_or(|only| only == backend.name()) {
                    operations.insert(Name::clone(name), handler.clone());
                }
            }
        }
        Ok(Self(operations))
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Arc<dyn OperationHandler>> {
        self.0.get(name).map(|handler| &handler.0)
    }
}

/// The parts of an operation's name that mean something.
struct NameParts<'a> {
    backend: Option<&'a str>,
}

impl<'a> NameParts<'a> {
    fn parse(name: &'a str) -> Option<Self> {
        let (project, rest) = match name.split_once(':') {
            Some((project, rest)) => (Some(project), rest),
            None => (None, name),
        };
        let (backend, operation) = match rest.split_once('.') {
            Some((backend, operation)) => (Some(backend), operation),
            None => (None, rest),
        };
        let is_part = |part: &str| {
            part.starts_with(|c: char| c.is_ascii_alphabetic())
                && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
        };
        let parts = [project, backend, Some(operation)];
        parts.into_iter().flatten().all(is_part).then_some(Self { backend })
    }
}
