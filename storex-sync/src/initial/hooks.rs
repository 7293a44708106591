//! [`InitialSyncHooks`]: what the application may say to the objects of an initial sync.

use std::fmt;

use async_trait::async_trait;
use storex_core::{Collection, Error, Key, MaybeSend, MaybeSync, Name, Record, Value};

use crate::error::{Result, SyncError};
use crate::hooks::Verdict;

/// What the application may say to the objects of an initial sync ([`InitialSync::hooks`](crate::InitialSync::hooks)); both functions let
/// everything pass unless they are written anew.
///
/// They may take their time: the other side hears of it ([`InitialSyncEvent::Stalled`](crate::InitialSyncEvent::Stalled)) and gives up after
/// its [deadline](crate::InitialSync::deadline). Tombstones are not shown, and neither is what is parked.
///
/// **What is dropped is not taken for seen**: the receiver reads a shared log from its beginning then, and gets from there what
/// the log has of it. An object that is changed counts as seen, and differs from then on until somebody writes to it.
///
/// ```
/// use storex_sync::{InitialSyncHooks, PassingObject, Verdict};
///
/// #[derive(Debug)]
/// struct WithoutDrafts;
///
/// #[async_trait::async_trait]
/// impl InitialSyncHooks for WithoutDrafts {
///     async fn before_send(&self, object: &mut PassingObject<'_>) -> Result<Verdict, String> {
///         object.set("screenshot", None::<Vec<u8>>);
///         let is_draft = object.value("draft").is_some_and(|it| it.as_bool() == Some(true));
///         Ok(if is_draft { Verdict::Drop } else { Verdict::Pass })
///     }
/// }
/// ```
#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
pub trait InitialSyncHooks: fmt::Debug + MaybeSend + MaybeSync + 'static {
    /// An object is about to be sent. It may be changed, or dropped: then it is not sent.
    ///
    /// # Errors
    /// The reason why the initial sync cannot go on; both sides fail with it.
    async fn before_send(
        &self,
        object: &mut PassingObject<'_>,
    ) -> std::result::Result<Verdict, String> {
        let _ = object;
        Ok(Verdict::Pass)
    }

    /// An object has arrived, and is about to be merged. It may be changed, or dropped: then it is not taken.
    ///
    /// # Errors
    /// As in [`before_send`](Self::before_send).
    async fn after_receive(
        &self,
        object: &mut PassingObject<'_>,
    ) -> std::result::Result<Verdict, String> {
        let _ = object;
        Ok(Verdict::Pass)
    }
}

/// An object on its way.
#[derive(Debug)]
pub struct PassingObject<'a> {
    collection: &'a Collection,
    record: &'a mut Record,
    is_changed: bool,
}

impl<'a> PassingObject<'a> {
    pub(super) fn new(collection: &'a Collection, record: &'a mut Record) -> Self {
        Self { collection, record, is_changed: false }
    }

    /// Its collection.
    #[must_use]
    pub fn collection(&self) -> &Name {
        self.collection.name()
    }

    /// Its key.
    #[must_use]
    pub fn key(&self) -> Key {
        self.collection.key_of(self.record)
    }

    /// What a field holds; `None`: the collection has no such field.
    #[must_use]
    pub fn value(&self, field: &str) -> Option<&Value> {
        self.collection.position(field).map(|at| self.record.get(at))
    }

    /// Gives a field another value; whether the collection has it. A field of the key stays as it is.
    pub fn set(&mut self, field: &str, value: impl Into<Value>) -> bool {
        let at = self.collection.position(field).filter(|at| !self.collection.is_key(*at));
        if let Some(at) = at {
            self.record.set(at, value.into());
            self.is_changed = true;
        }
        at.is_some()
    }

    /// What the application says: whether the object goes on, after its values were checked if they were changed.
    pub(super) fn judged(
        self,
        during: &'static str,
        verdict: std::result::Result<Verdict, String>,
    ) -> Result<bool> {
        let wrong = |source| SyncError::Storage { during, source };
        let verdict = verdict.map_err(|reason| wrong(Error::Aborted { reason }))?;
        if self.is_changed && verdict == Verdict::Pass {
            self.collection.check_record(self.record).map_err(wrong)?;
        }
        Ok(verdict == Verdict::Pass)
    }
}
