//! [`Exclusive`]: one syncer at a time over the programs that share a database.

#[cfg(not(target_family = "wasm"))]
mod file;
mod guard;
mod lease;
#[cfg(all(target_family = "wasm", feature = "web"))]
pub(crate) mod web_lock;

pub use guard::Guard;
pub use lease::LeaseTimes;
pub(crate) use lease::{Fence, HOLDER};

use std::fmt;
#[cfg(not(target_family = "wasm"))]
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;

use self::guard::Held;
use self::lease::HolderId;
use crate::error::{Result, SyncError};
use crate::lane::Lane;

/// Lets one of the programs that share a database sync it, and takes over when that one is gone.
///
/// All programs on one database must use the same means. Each value is an instance of its own, with an identity that is
/// drawn when it is made; its clones are the same instance, and may hold it together.
///
/// Whatever the means, a holding has a *fencing token*, a number that grows with each change of hands. It is checked in
/// every transaction that sync makes, so a holder that was stopped while another took over (SIGSTOP, a laptop's lid)
/// cannot commit as if it were still the holder: it gets [`SyncError::LeaseLost`].
///
/// ```
/// # use std::sync::Arc;
/// # use std::time::Duration;
/// # use storex_core::{Definition, FieldType, Registry, Storage};
/// # use storex_memory::{MemoryBackend, TestRuntime};
/// use storex_sync::{Exclusive, LeaseTimes, SyncLog};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let note = Definition::new("note").field("title", FieldType::String);
/// # let registry = Registry::builder().collection(note).build()?;
/// let storage = Storage::builder(MemoryBackend::new(), registry, Arc::new(TestRuntime::new(1)))
///     .middleware(SyncLog::new()).open().await?;
/// let (one, other) = (
///     Exclusive::lease(&storage, LeaseTimes::default()).await?,
///     Exclusive::lease(&storage, LeaseTimes::default()).await?,
/// );
/// let guard = one.try_acquire().await?.expect("nobody holds it");
/// assert!(other.try_acquire().await?.is_none());
/// guard.release().await?;
/// assert!(other.acquire(Duration::from_secs(1)).await?.is_dirty(), "somebody else held it since");
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Exclusive {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    storage: Lane,
    holder: HolderId,
    means: Means,
    /// What this instance holds now, and the fencing token of what it held last (or found when it was made).
    state: tokio::sync::Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    held: Weak<Held>,
    seen: u64,
}

#[derive(Debug)]
enum Means {
    SingleProcess,
    Lease(LeaseTimes),
    #[cfg(not(target_family = "wasm"))]
    File(PathBuf),
    #[cfg(all(target_family = "wasm", feature = "web"))]
    WebLock {
        locks: web_lock::LockManager,
        name: String,
    },
}

impl fmt::Debug for Exclusive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exclusive").field("means", &self.inner.means).finish_non_exhaustive()
    }
}

/// How often somebody who waits looks again whether it is free.
const LOOK: Duration = Duration::from_millis(50);

impl Exclusive {
    /// For a program that has the database to itself: always held, without a read or a write.
    #[must_use]
    pub fn single_process(storage: impl Into<Lane>) -> Self {
        Self::with(storage.into(), Means::SingleProcess, State::default())
    }

    /// By a row in the database that the holder renews: works on every backend. Somebody who dies without releasing it
    /// is taken over from when the lease ends.
    ///
    /// # Errors
    /// [`SyncError::NoSyncLog`], [`SyncError::Storage`].
    pub async fn lease(storage: impl Into<Lane>, times: LeaseTimes) -> Result<Self> {
        Self::noted(storage.into(), Means::Lease(times)).await
    }

    /// By a lock on a file beside the database, which the operating system releases as soon as the holder is gone. It
    /// must be on a local disk. The file is made when it is missing, and stays.
    ///
    /// A holder that is stopped (SIGSTOP) keeps the lock; where that must not hold up the others, use
    /// [`Exclusive::lease`].
    ///
    /// # Errors
    /// [`SyncError::NoSyncLog`], [`SyncError::Storage`].
    #[cfg(not(target_family = "wasm"))]
    pub async fn file(storage: impl Into<Lane>, path: impl Into<PathBuf>) -> Result<Self> {
        Self::noted(storage.into(), Means::File(path.into())).await
    }

    /// For the tabs and workers of a browser: by a [Web Lock] of this name, which the browser releases as soon as its holder
    /// is gone; where the browser has no such locks (it is too old, or the address is not secure), by a lease. Which of the
    /// two it is, is the same in all contexts of an origin.
    ///
    /// A name is one lock in the whole origin, so make it of the database's name. A context that hangs keeps it until it is
    /// closed.
    ///
    /// [Web Lock]: https://w3c.github.io/web-locks/
    ///
    /// # Errors
    /// [`SyncError::NoSyncLog`], [`SyncError::Storage`].
    #[cfg(all(target_family = "wasm", feature = "web"))]
    pub async fn tabs(
        storage: impl Into<Lane>,
        name: impl Into<String>,
        otherwise: LeaseTimes,
    ) -> Result<Self> {
        let means = match web_lock::manager() {
            Some(locks) => Means::WebLock { locks, name: name.into() },
            None => Means::Lease(otherwise),
        };
        Self::noted(storage.into(), means).await
    }

    /// Refuses a lock that is another lane's: it would be lost as soon as it is taken.
    pub(crate) fn check(&self, lane: &Lane) -> Result<()> {
        let name = |lane: &Lane| lane.name().unwrap_or_default().to_owned();
        let (lock, lane) = (name(&self.inner.storage), name(lane));
        if lock == lane { Ok(()) } else { Err(SyncError::LockOfAnotherLane { lock, lane }) }
    }

    /// Where it is a Web Lock: the browser's locks and its name.
    #[cfg(all(target_family = "wasm", feature = "web"))]
    pub(crate) fn web_lock(&self) -> Option<(&web_lock::LockManager, &str)> {
        match &self.inner.means {
            Means::WebLock { locks, name } => Some((locks, name)),
            _ => None,
        }
    }

    async fn noted(storage: Lane, means: Means) -> Result<Self> {
        let seen = lease::token(&storage).await?;
        Ok(Self::with(storage, means, State { seen, ..State::default() }))
    }

    fn with(storage: Lane, means: Means, state: State) -> Self {
        let holder = HolderId::draw(&**storage.runtime());
        let inner = Inner { storage, holder, means, state: state.into() };
        Self { inner: Arc::new(inner) }
    }

    /// Takes it, if nobody else holds it. An instance that holds it already gets another guard of the same holding.
    ///
    /// Cancel-safe: a lease that was taken for a caller who went away ends by itself.
    ///
    /// # Errors
    /// [`SyncError::Storage`], [`SyncError::LockFile`] for a file that cannot be opened, and [`SyncError::WebLock`] where the
    /// browser refuses.
    pub async fn try_acquire(&self) -> Result<Option<Guard>> {
        let mut state = self.inner.state.lock().await;
        if let Some(held) = state.held.upgrade().filter(|held| !held.is_lost()) {
            return Ok(Some(Guard::of(held)));
        }
        let Some(held) = self.take().await? else { return Ok(None) };
        if let Some(token) = held.token() {
            if token != state.seen.saturating_add(1) {
                held.mark_dirty();
            }
            state.seen = token;
        }
        state.held = Arc::downgrade(&held);
        Ok(Some(Guard::of(held)))
    }

    /// Takes it as soon as nobody else holds it.
    ///
    /// # Errors
    /// [`SyncError::HeldElsewhere`] when `limit` has passed, and those of [`Exclusive::try_acquire`].
    pub async fn acquire(&self, limit: Duration) -> Result<Guard> {
        let runtime = Arc::clone(self.inner.storage.runtime());
        let waiting = async {
            loop {
                if let Some(guard) = self.try_acquire().await? {
                    return Ok(guard);
                }
                runtime.sleep(LOOK).await;
            }
        };
        tokio::select! {
            biased;
            guard = waiting => guard,
            () = runtime.sleep(limit) => Err(SyncError::HeldElsewhere),
        }
    }

    /// Takes it by whatever means.
    async fn take(&self) -> Result<Option<Arc<Held>>> {
        let Inner { storage, holder, means, .. } = &*self.inner;
        Ok(match means {
            Means::SingleProcess => Some(Held::single_process()),
            Means::Lease(times) => lease::take(storage, *holder, *times)
                .await?
                .map(|fence| Held::lease(storage, fence, *times)),
            #[cfg(not(target_family = "wasm"))]
            Means::File(path) => {
                let Some(file) = file::lock(path)? else { return Ok(None) };
                let fence = lease::take_protected(storage, *holder).await?;
                Some(Held::file(fence, file))
            }
            #[cfg(all(target_family = "wasm", feature = "web"))]
            Means::WebLock { locks, name } => {
                let Some((lock, ended)) = web_lock::lock(locks, name).await? else {
                    return Ok(None);
                };
                let fence = lease::take_protected(storage, *holder).await?;
                Some(Held::web_lock(&**storage.runtime(), fence, lock, ended))
            }
        })
    }
}
