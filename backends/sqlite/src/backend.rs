//! [`SqliteBackend`]: the backend as the rest of storex sees it.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use async_trait::async_trait;
use crossbeam_channel::Sender;
use futures_channel::oneshot;
use rusqlite::Connection;
use serde_json::Value as Json;
use storex_core::{
    Aggregation, Backend, Batch, BatchOutcome, Capabilities, CustomOperation, Error, ErrorKind,
    Filter, Plan, Query, Record, Registry, Result, Snapshot, StoredSchema,
};

use crate::aggregate;
use crate::backup;
use crate::config::{Config, Durability, SqliteBuilder};
use crate::connection;
use crate::custom;
use crate::error::{self, BACKEND};
use crate::overtaken::SchemaWatch;
use crate::read;
use crate::readers::Readers;
use crate::schema;
use crate::snapshot::SqliteSnapshot;
use crate::table::Tables;
use crate::writer::{self, Job};

/// A read of at most so many keys runs on the caller's own thread.
const INLINE_KEYS: usize = 16;

/// Keeps collections in a SQLite database.
///
/// The database is put into write-ahead mode (which it keeps), so that reading and writing do not wait for each other;
/// beside it lie a `-wal` and a `-shm` file while it is open. Other programs may use it at the same time.
///
/// A [snapshot](Backend::snapshot) is a read transaction. While one is held, no checkpoint gets behind its moment, so that the
/// `-wal` file grows by all that is written; it is cut down again by the first checkpoint afterwards.
///
/// ```
/// # fn main() -> storex_core::Result<()> {
/// use std::time::Duration;
/// use storex_sqlite::{Durability, SqliteBackend};
///
/// # let dir = tempfile::tempdir().expect("a directory");
/// # let path = dir.path().join("notes.db");
/// let backend = SqliteBackend::builder(path)
///     .durability(Durability::Normal)
///     .busy_timeout(Duration::from_secs(1))
///     .build()?;
/// # let _ = backend; Ok(()) }
/// ```
#[derive(Debug)]
pub struct SqliteBackend {
    config: Config,
    running: Mutex<Option<Arc<Running>>>,
}

/// What there is between `open` and `close`.
#[derive(Debug)]
struct Running {
    registry: Arc<Registry>,
    watch: Arc<SchemaWatch>,
    readers: Arc<Readers>,
    writer: Mutex<Option<Sender<Job>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl SqliteBackend {
    /// A backend on this file, with the defaults of [`SqliteBackend::builder`]. Nothing happens on disk before
    /// [`Backend::open`].
    ///
    /// # Errors
    /// As [`SqliteBuilder::build`].
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        Self::builder(path).build()
    }

    /// Begins a backend on this file: durable to the last write, five seconds of patience, four readers.
    pub fn builder(path: impl Into<PathBuf>) -> SqliteBuilder {
        SqliteBuilder::new(path.into())
    }

    pub(crate) fn with(config: Config) -> Result<Self> {
        if config.path.as_os_str().is_empty() || config.path.is_dir() {
            return Err(error::other(
                "open the database",
                ErrorKind::Io,
                format!(
                    "`{}` is a directory or empty; give the path of a database file",
                    config.path.display()
                ),
                "not the path of a file",
            ));
        }
        Ok(Self { config, running: Mutex::new(None) })
    }

    /// The database file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.config.path
    }

    /// Makes a copy of the database as it is at one moment, while it is read and written by whomever: a file of its own, without a
    /// write-ahead log beside it and without unused pages. It is on the disk when this returns. The backend need not be
    /// open; the copy has everything that was committed before.
    ///
    /// The copy is made under a name of its own beside it, `<to>.….part`; one that is left behind by a program that was killed may be deleted.
    /// Of several at once to one path one succeeds. Dropping the future leaves it to its end. While it is made, the `-wal` file grows by what is
    /// written.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use serde_json::json;
    /// # use storex_core::{AutoPk, Definition, FieldType, Registry, Storage, TokioRuntime};
    /// use storex_sqlite::SqliteBackend;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = tempfile::tempdir()?;
    /// # let registry = || {
    /// #     let note = Definition::new("note").field("title", FieldType::String);
    /// #     Registry::builder().collection(note).build()
    /// # };
    /// let backend = Arc::new(SqliteBackend::open(dir.path().join("notes.db"))?);
    /// let storage = Storage::builder(Arc::clone(&backend), registry()?, Arc::new(TokioRuntime))
    ///     .middleware(AutoPk::new())
    ///     .open()
    ///     .await?;
    /// storage.dynamic("note")?.create(json!({"title": "Hello"})).await?;
    /// backend.back_up_to(dir.path().join("copy.db")).await?;
    ///
    /// let copy = SqliteBackend::open(dir.path().join("copy.db"))?;
    /// let copy = Storage::builder(copy, registry()?, Arc::new(TokioRuntime)).open().await?;
    /// assert_eq!(copy.dynamic("note")?.count(&json!({})).await?, 1);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error::Backend`]: there is no database, there is a file of this name already (it stays as it is), or the copy cannot be written.
    pub async fn back_up_to(&self, to: impl Into<PathBuf>) -> Result<()> {
        let (config, to) = (self.config.clone(), to.into());
        let (reply, answer) = oneshot::channel();
        thread::Builder::new()
            .name("storex-sqlite-backup".to_owned())
            .spawn(move || {
                // Nobody waits for the answer of a dropped future.
                let _ = reply.send(backup::back_up(&config, &to));
            })
            .map_err(no_thread)?;
        answer.await.unwrap_or(Err(Error::Closed))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<Running>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn running(&self) -> Result<Arc<Running>> {
        self.lock().clone().ok_or(Error::Closed)
    }
}

#[async_trait]
impl Backend for SqliteBackend {
    fn name(&self) -> &'static str {
        BACKEND
    }

    fn capabilities(&self) -> Capabilities {
        let is_utf16 = self.lock().as_ref().is_some_and(|it| it.watch.is_utf16());
        let capabilities = Capabilities::default().persistent().snapshots();
        capabilities.custom_operations(custom::OPERATIONS).other_text_order(is_utf16)
    }

    async fn open(&self, registry: Arc<Registry>) -> Result<()> {
        self.close().await?;
        let (sender, opened, thread) = writer::start(self.config.clone(), Arc::clone(&registry))?;
        let watch = opened.await.unwrap_or(Err(Error::Closed))?;
        *self.lock() = Some(Arc::new(Running {
            registry,
            watch,
            readers: Arc::new(Readers::new(self.config.clone())),
            writer: Mutex::new(Some(sender)),
            thread: Mutex::new(Some(thread)),
        }));
        Ok(())
    }

    async fn plan(&self, registry: Arc<Registry>) -> Result<Plan> {
        let (config, (reply, answer)) = (self.config.clone(), oneshot::channel());
        let thread = thread::Builder::new()
            .name("storex-sqlite-plan".to_owned())
            .spawn(move || {
                // Nobody waits for the answer of a dropped future.
                let _ = reply.send(connection::open_to_plan(&config).and_then(|conn| match conn {
                    Some(conn) => schema::plan(&conn, &registry),
                    None => storex_core::plan(&StoredSchema::default(), &registry),
                }));
            })
            .map_err(no_thread)?;
        let plan = answer.await.unwrap_or(Err(Error::Closed));
        let _ = thread.join();
        plan
    }

    async fn find(&self, query: Query) -> Result<Vec<Record>> {
        self.running()?.read(query, read::find).await
    }

    async fn count(&self, query: Query) -> Result<u64> {
        self.running()?.read(query, read::count).await
    }

    async fn aggregate(
        &self,
        aggregation: Aggregation,
        _registry: &Registry,
    ) -> Result<Vec<Record>> {
        let running = self.running()?;
        let watch = Arc::clone(&running.watch);
        let work = move |conn: &Connection| {
            watch.read(conn, |tables| aggregate::aggregate(conn, tables, &aggregation))
        };
        running.readers.run(work).await
    }

    async fn execute(&self, batch: Batch) -> Result<BatchOutcome> {
        let answer = {
            let (reply, answer) = oneshot::channel();
            self.running()?.send(Job::Execute { batch, reply })?;
            answer
        };
        // A job that was dropped unanswered came behind the closing, and was not executed.
        answer.await.unwrap_or(Err(Error::Closed))
    }

    async fn custom(&self, operation: CustomOperation) -> Result<Json> {
        let running = self.running()?;
        let work = custom::operation(&operation, &running.registry)?;
        let watch = Arc::clone(&running.watch);
        running.readers.run(move |conn| work(conn, &watch)).await
    }

    async fn flush(&self) -> Result<()> {
        let running = self.running()?;
        match self.config.durability {
            Durability::Full => Ok(()),
            Durability::Normal => {
                let path = self.config.path.clone();
                running.readers.run(move |_| flush(&path)).await
            }
        }
    }

    async fn data_version(&self) -> Result<Option<u64>> {
        let (reply, answer) = oneshot::channel();
        self.running()?.send(Job::DataVersion { reply })?;
        answer.await.unwrap_or(Err(Error::Closed)).map(Some)
    }

    async fn snapshot(&self) -> Result<Box<dyn Snapshot>> {
        let running = self.running()?;
        let (readers, watch) = (Arc::clone(&running.readers), Arc::clone(&running.watch));
        Ok(Box::new(SqliteSnapshot::take(self.config.clone(), readers, watch).await?))
    }

    async fn close(&self) -> Result<()> {
        let Some(running) = self.lock().take() else { return Ok(()) };
        let (reply, closed) = oneshot::channel();
        // A writer that is gone has nothing to close.
        let sent = running.send(Job::Close { readers: Arc::clone(&running.readers), reply });
        let outcome = if sent.is_ok() { closed.await.unwrap_or(Ok(())) } else { Ok(()) };
        // The thread has nothing left to do but to end.
        running.join();
        outcome
    }
}

impl Running {
    fn send(&self, job: Job) -> Result<()> {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        writer.as_ref().ok_or(Error::Closed)?.send(job).map_err(|_| Error::Closed)
    }

    /// A read: on this thread where it is a matter of microseconds, else on a reader's.
    async fn read<T: Send + 'static>(
        &self,
        query: Query,
        read: fn(&Connection, &Tables, &Query) -> Result<T>,
    ) -> Result<T> {
        if matches!(&query.filter, Filter::Keys(keys) if keys.len() <= INLINE_KEYS)
            && let Some(outcome) = self
                .readers
                .inline(|conn| self.watch.read(conn, |tables| read(conn, tables, &query)))
        {
            return outcome;
        }
        let watch = Arc::clone(&self.watch);
        self.readers.run(move |conn| watch.read(conn, |tables| read(conn, tables, &query))).await
    }

    fn join(&self) {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        let handle = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        // The last handle on the backend may be dropped by a continuation, on the writer's own thread.
        if let Some(handle) = handle.filter(|handle| handle.thread().id() != thread::current().id())
        {
            let _ = handle.join();
        }
    }
}

impl Drop for Running {
    /// Without `close`: what was sent is executed, then the threads end.
    fn drop(&mut self) {
        self.join();
        self.readers.close();
    }
}

pub(crate) fn no_thread(source: io::Error) -> Error {
    error::other("start a thread", ErrorKind::Io, "the system gives no more threads", source)
}

/// Makes everything that was committed safe from a loss of power.
///
/// In write-ahead mode a commit is in the `-wal` file, or it has been copied to the database by a checkpoint, which waits
/// for the disk before the `-wal` file may be written from its beginning again, `synchronous = NORMAL` included. So it is
/// enough that the disk has the `-wal` file and its name in the directory. (A PASSIVE checkpoint would not do: it stops
/// where a reader holds on to an older state.) The database file itself must not be opened here: closing a second handle
/// on it would let go of SQLite's own locks (<https://sqlite.org/howtocorrupt.html>, 2.2).
fn flush(path: &Path) -> Result<()> {
    let mut wal = path.as_os_str().to_owned();
    wal.push("-wal");
    let flushed = match File::open(&wal) {
        Ok(file) => file.sync_all(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    };
    flushed.and_then(|()| flush_directory(path)).map_err(|source| {
        error::other("flush", ErrorKind::Io, "the disk did not take it; check the disk", source)
    })
}

#[cfg(unix)]
pub(crate) fn flush_directory(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}

/// Elsewhere a directory cannot be opened, and needs no flushing.
#[cfg(not(unix))]
pub(crate) fn flush_directory(_path: &Path) -> io::Result<()> {
    Ok(())
}
