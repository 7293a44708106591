//! [`Sync::subscribe`]: what this device is to hold.

use std::collections::BTreeSet;
use std::sync::Arc;

use storex_core::{Batch, Error, Key, Name, Value};

use super::backfill::{BACKFILL, Pending};
use super::leaving::leave;
use super::subscriptions::{SCOPES, Subscriptions};
use crate::error::{During, Result};
use crate::failure::Failure;
use crate::initial::resume::begin_anew;
use crate::meta::{Numbers, meta_query, read_meta, write_meta};
use crate::sync::Sync;

const DURING: &str = "choosing what this device holds";

/// What a device holds of a collection.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Scope {
    /// Everything.
    #[default]
    All,
    /// The objects with one of these values in the field that says to which scope they belong
    /// ([`SyncLog::scoped`](crate::SyncLog::scoped)). Null is a value like any other. With none of them: nothing.
    Only(Vec<Value>),
}

impl Scope {
    /// Some scopes.
    ///
    /// ```
    /// use storex_sync::Scope;
    ///
    /// let scope = Scope::only(["work", "home"]);
    /// # let _ = scope;
    /// ```
    pub fn only<V: Into<Value>>(values: impl IntoIterator<Item = V>) -> Self {
        Self::Only(values.into_iter().map(Into::into).collect())
    }
}

/// Whether the objects of scopes that were added are here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backfill {
    /// They are.
    Complete,
    /// They come with the next exchange, or once the shared log can give what is missing ([`Page::missing`](crate::Page::missing)).
    Pending,
    /// They cannot come: the shared log has dropped its beginning, and has no snapshot of use. It is tried again with each exchange.
    /// What helps: [`Sync::compact`](crate::Sync::compact) on a device that holds everything, which puts a snapshot into the log, or an
    /// initial sync from such a device.
    NoBeginning,
}

impl Sync {
    /// Chooses what this device holds of a collection whose objects belong to scopes ([`SyncLog::scoped`](crate::SyncLog::scoped)). It
    /// is noted in the database, and holds for all programs that share it, over restarts, until it is chosen anew. Without it, everything.
    ///
    /// The next exchange does what follows:
    /// - Objects of scopes that were *dropped* go from here, and only from here. Those to which something was written that is still to be
    ///   sent go when it is, and none goes while the shared log could not give it back: see [`Sync::is_letting_go`].
    /// - Objects of scopes that were *added* are brought: the shared log, or its snapshot, is read again from the beginning.
    ///   [`SyncReport::backfill`](crate::SyncReport::backfill) tells when they are here, and [`Sync::backfill`] at any time.
    ///
    /// From then on only objects of these scopes arrive. One that is moved away (or created outside) by this device itself goes at the end
    /// of the exchange that has sent it.
    ///
    /// A device that does not hold everything makes no snapshot of itself for others, see [`Sync::compact`](crate::Sync::compact).
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use storex_core::{Definition, FieldType, Registry, Storage};
    /// # use storex_memory::{MemoryBackend, TestRuntime};
    /// use serde_json::json;
    /// use storex_sync::{Backfill, LogId, MemorySharedLog, Scope, Sync, SyncLog};
    ///
    /// # async fn device(seed: u64) -> Storage {
    /// #     let note = Definition::new("note").field("title", FieldType::String).field("notebook", FieldType::String);
    /// #     let registry = Registry::builder().collection(note).build().unwrap();
    /// #     Storage::builder(MemoryBackend::new(), registry, Arc::new(TestRuntime::new(seed)))
    /// #         .middleware(SyncLog::new().scoped("note", "notebook")).open().await.unwrap()
    /// # }
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (a, b) = (device(1).await, device(2).await); // with `SyncLog::new().scoped("note", "notebook")`
    /// let log = Arc::new(MemorySharedLog::new(LogId([7; 16])));
    /// a.dynamic("note")?.create(json!({"id": "1", "title": "Call", "notebook": "work"})).await?;
    /// a.dynamic("note")?.create(json!({"id": "2", "title": "Cook", "notebook": "home"})).await?;
    /// Sync::open(&a, log.clone()).await?.sync_once().await?;
    ///
    /// let sync = Sync::open(&b, log).await?;
    /// sync.subscribe("note", Scope::only(["home"])).await?;
    /// sync.sync_once().await?;
    /// assert_eq!(b.dynamic("note")?.count(&json!({})).await?, 1);
    ///
    /// sync.subscribe("note", Scope::only(["home", "work"])).await?;
    /// assert_eq!(sync.sync_once().await?.backfill, Some(Backfill::Complete));
    /// assert_eq!(b.dynamic("note")?.count(&json!({})).await?, 2);
    /// # Ok(()) }
    /// ```
    ///
    /// Cancel-safe: it is noted whole or not at all. Continuous sync does what follows with its next exchange; ask for one with
    /// [`SyncHandle::sync_now`](crate::SyncHandle::sync_now).
    ///
    /// # Errors
    /// [`SyncError::Storage`](crate::SyncError::Storage): of a collection that is not known or has no scopes, of a value that its field does not take, and of the
    /// database.
    pub async fn subscribe(&self, collection: &str, scope: Scope) -> Result<()> {
        let (numbers, scopes) = self.scopes_of(collection, scope).during(DURING)?;
        let runtime = Arc::clone(self.replica.storage.runtime());
        let failure = Failure::default();
        let kept = failure.clone();
        let batch = Batch::new().step(read_meta(&[SCOPES])).then(move |trace| {
            let mut held = kept.keep(Subscriptions::among(trace.found(0)))?;
            let before = held.set(numbers.collection, scopes.clone());
            if before == scopes {
                return Ok(Vec::new());
            }
            let mut rows = vec![(SCOPES, held.encode())];
            let is_within = |one: &Option<BTreeSet<Key>>, other: &Option<BTreeSet<Key>>| {
                other
                    .as_ref()
                    .is_none_or(|other| one.as_ref().is_some_and(|it| it.is_subset(other)))
            };
            if !is_within(&before, &scopes) {
                rows.push(leave(&*runtime));
            }
            // Also where nothing was read from a log yet: an initial sync may have brought the rest, or be under way.
            if !is_within(&scopes, &before) {
                rows.push((BACKFILL, Pending::new(&*runtime).encode()));
            }
            // An initial sync that was cut does not know what goes from here meanwhile.
            Ok(vec![write_meta(rows), begin_anew()])
        });
        failure.or(self.replica.storage.apply(batch).await, DURING).map(drop)
    }

    /// What this device holds of a collection.
    ///
    /// # Errors
    /// [`SyncError::Storage`](crate::SyncError::Storage).
    pub async fn subscription(&self, collection: &str) -> Result<Scope> {
        let (numbers, _) = self.scopes_of(collection, Scope::All).during(DURING)?;
        let rows = self.replica.storage.find(meta_query(&[SCOPES])).await.during(DURING)?;
        let held = Subscriptions::among(&rows)?;
        Ok(held.of(numbers.collection).map_or(Scope::All, |scopes| {
            Scope::Only(scopes.iter().flat_map(Key::values).cloned().collect())
        }))
    }

    /// Whether the objects of all scopes that were added are here.
    ///
    /// # Errors
    /// [`SyncError::Storage`](crate::SyncError::Storage).
    pub async fn backfill(&self) -> Result<Backfill> {
        let pending = Pending::read(&self.replica.storage).await?;
        Ok(pending.map_or(Backfill::Complete, |pending| match pending.has_beginning {
            true => Backfill::Pending,
            false => Backfill::NoBeginning,
        }))
    }

    fn scopes_of(
        &self,
        collection: &str,
        scope: Scope,
    ) -> storex_core::Result<(Arc<Numbers>, Option<BTreeSet<Key>>)> {
        let name = Name::from(collection);
        let collection = self.replica.storage.registry().collection(&name)?;
        let numbers = self.replica.numbers.get(&name);
        let known = numbers.and_then(|it| Some((it, collection.fields().get(it.scope?)?)));
        let Some((numbers, field)) = known else {
            let reason =
                "no field of it says to which scope an object belongs: see `SyncLog::scoped`";
            return Err(Error::invalid(&name, reason));
        };
        let scopes = match scope {
            Scope::All => None,
            Scope::Only(values) => {
                let checked = values.into_iter().map(|mut value| {
                    collection.check_value(field, &mut value).map(|()| Key::single(value))
                });
                Some(checked.collect::<storex_core::Result<_>>()?)
            }
        };
        Ok((Arc::clone(numbers), scopes))
    }
}
