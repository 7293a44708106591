//! Looks whether another process has written to the database, while somebody listens to the changes.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::storage::{Storage, WeakStorage};

/// How long a write of another process may stay unnoticed.
const INTERVAL: Duration = Duration::from_millis(100);

/// What the storage knows of writes by others.
#[derive(Debug)]
pub(crate) struct Watch(Mutex<State>);

#[derive(Debug)]
struct State {
    /// The number that was seen last, be it by a task that has ended: whatever was written since is told. `None`: the
    /// backend tells none.
    version: Option<u64>,
    /// Whether a task is looking.
    running: bool,
}

impl Watch {
    pub(crate) fn new(version: Option<u64>) -> Self {
        Self(Mutex::new(State { version, running: false }))
    }

    /// The backend was opened again: its numbers mean something else now.
    pub(crate) fn begin_anew(&self, version: Option<u64>) {
        self.lock().version = version;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts the task that looks, unless it runs or there is nothing to look for. It ends when nobody listens any more, and
/// with the storage.
pub(crate) fn start(storage: &WeakStorage) {
    let Some(alive) = storage.upgrade() else { return };
    {
        let mut state = alive.watch().lock();
        if state.running || state.version.is_none() {
            return;
        }
        state.running = true;
    }
    let running = Running(storage.clone());
    let runtime = alive.runtime().clone();
    alive.runtime().spawn(Box::pin(async move {
        while running.look().await {
            runtime.sleep(INTERVAL).await;
        }
    }));
}

/// The task. It holds the storage only while it looks, and may be dropped with the runtime that it runs on.
struct Running(WeakStorage);

impl Running {
    /// Whether there is a reason to look again.
    async fn look(&self) -> bool {
        let Some(storage) = self.0.upgrade() else { return false };
        if !is_listened_to(&storage) {
            return false;
        }
        let version = storage.data_version().await;
        note(&storage, version)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(storage) = self.0.upgrade() {
            storage.watch().lock().running = false;
        }
    }
}

/// Under the lock: who begins to listen now starts another task.
fn is_listened_to(storage: &Storage) -> bool {
    let mut state = storage.watch().lock();
    state.running = storage.feed().has_listeners();
    state.running
}

fn note(storage: &Storage, version: Result<Option<u64>>) -> bool {
    match version {
        Ok(version @ Some(_)) => {
            let before = std::mem::replace(&mut storage.watch().lock().version, version);
            if before != version {
                storage.feed().elsewhere();
            }
            true
        }
        Ok(None) | Err(Error::Closed) => false,
        Err(Error::Suspended) => true,
        Err(error) => {
            tracing::debug!(%error, "cannot tell whether another process has written");
            true
        }
    }
}
