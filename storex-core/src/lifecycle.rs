//! [`Lifecycle`]: whether a storage is open, suspended or closed.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::{Error, Result};
use crate::storage::Storage;

/// Whether a storage is open.
#[derive(Debug, Default)]
pub(crate) struct Lifecycle {
    state: Mutex<State>,
    /// One change of the state at a time.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Open,
    Suspended,
    Closed,
}

impl Lifecycle {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why nothing can be done, if so.
    pub(crate) fn check(&self) -> Result<()> {
        match *self.state() {
            State::Open => Ok(()),
            State::Suspended => Err(Error::Suspended),
            State::Closed => Err(Error::Closed),
        }
    }

    /// What was under way while the storage was suspended finds the backend closed.
    pub(crate) fn explain<T>(&self, result: Result<T>) -> Result<T> {
        result.map_err(|error| match (&error, *self.state()) {
            (Error::Closed, State::Suspended) => Error::Suspended,
            _ => error,
        })
    }

    /// Whether it was not closed before.
    pub(crate) fn close(&self) -> bool {
        std::mem::replace(&mut *self.state(), State::Closed) != State::Closed
    }
}

impl Storage {
    /// Finishes what is running and lets go of the database, its files and its locks, until it is resumed: for a program that
    /// the system is about to stop. Until then everything fails with [`Error::Suspended`]. Whoever listens to changes goes on
    /// listening. Suspending twice is harmless.
    ///
    /// Stop a continuous sync before: it gives up its lease then.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use storex_core::{Definition, FieldType, Query, Registry, Storage};
    /// # use storex_memory::{MemoryBackend, TestRuntime};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storex_core::Result<()> {
    /// # let registry = Registry::builder().collection(Definition::new("note").field("title", FieldType::String)).build()?;
    /// # let storage = Storage::builder(MemoryBackend::new(), registry, Arc::new(TestRuntime::new(1))).open().await?;
    /// storage.suspend().await?;
    /// assert!(storage.count(Query::new("note")).await.is_err());
    /// storage.resume().await?;
    /// assert_eq!(storage.count(Query::new("note")).await?, 0);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error::Closed`]; what the backend fails with: it may hold on to the database then, and is suspended all the same.
    pub async fn suspend(&self) -> Result<()> {
        let life = self.lifecycle();
        let _turn = life.turn.lock().await;
        match life.check() {
            Err(Error::Suspended) => return Ok(()),
            checked => checked?,
        }
        *life.state() = State::Suspended;
        // What is in memory only would be gone, and holds nothing that others wait for.
        if self.backend().capabilities().persistent { self.backend().close().await } else { Ok(()) }
    }

    /// Opens the database again. Whoever listens to changes is told that others may have written meanwhile
    /// ([`ChangeEvent::Elsewhere`](crate::ChangeEvent::Elsewhere)). Resuming twice is harmless.
    ///
    /// # Errors
    /// [`Error::Closed`]; what the backend fails with: another program may have brought the database to a newer schema
    /// meanwhile. It is still suspended then.
    pub async fn resume(&self) -> Result<()> {
        let life = self.lifecycle();
        let _turn = life.turn.lock().await;
        match life.check() {
            Err(Error::Suspended) => {}
            checked => return checked,
        }
        if self.backend().capabilities().persistent {
            self.backend().open(self.registry().clone()).await?;
        }
        let version = self.backend().data_version().await?;
        self.watch().begin_anew(version);
        {
            let mut state = life.state();
            if *state == State::Suspended {
                *state = State::Open;
            }
        }
        self.feed().elsewhere();
        match life.check() {
            Ok(()) => Ok(()),
            // It was closed meanwhile, and found nothing to close.
            Err(error) => self.backend().close().await.and(Err(error)),
        }
    }
}
