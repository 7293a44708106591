//! The readers: a pool of connections, and a few threads that use them.
//!
//! In write-ahead mode readers and the writer do not wait for each other: each read sees all that was committed when it
//! began, so a read after an acknowledged write sees it.
//!
//! A read runs on a thread of ours, as it may wait for the disk, and an asynchronous program must not. But a hop to a
//! thread and back costs some 10 µs, and reading an object by its key 3 µs; so a read by a few keys runs on the caller's
//! own thread when a connection is free. Connections and threads are made when they are needed first.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender, unbounded};
use futures_channel::oneshot;
use rusqlite::Connection;
use storex_core::{Error, ErrorKind, Result};

use crate::config::Config;
use crate::connection;
use crate::error;

/// Connections that read, and the threads that use them.
#[derive(Debug)]
pub(crate) struct Readers {
    pool: Arc<Pool>,
    threads: Mutex<Threads>,
    queue: Receiver<Work>,
}

#[derive(Debug)]
struct Threads {
    /// `None` once closed: the threads end when the queue is empty.
    work: Option<Sender<Work>>,
    handles: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Pool {
    config: Config,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    idle: Vec<Connection>,
    /// Connections in use.
    lent: usize,
    /// Those of somebody's own.
    owned: Vec<Weak<Mutex<Option<Connection>>>>,
    /// Reads that wait or run.
    pending: usize,
    closed: bool,
}

/// A connection of somebody's own; `None`: closed, as everything is.
pub(crate) type Owned = Arc<Mutex<Option<Connection>>>;

/// What is to be done with a connection, or with the reason why there is none.
type Read = Box<dyn FnOnce(Result<&Connection>) + Send>;

/// A read on its way to a thread.
struct Work {
    run: Read,
    /// Dropped when it is done.
    _ticket: Ticket,
}

/// A read that was let in; `close` waits until all are gone.
struct Ticket(Arc<Pool>);

/// A connection in use; it goes back when it is dropped.
struct Lent<'a> {
    pool: &'a Pool,
    conn: Option<Connection>,
}

impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Work")
    }
}

impl Readers {
    pub(crate) fn new(config: Config) -> Self {
        let (work, queue) = unbounded();
        Self {
            pool: Arc::new(Pool { config, state: Mutex::default(), changed: Condvar::new() }),
            threads: Mutex::new(Threads { work: Some(work), handles: Vec::new() }),
            queue,
        }
    }

    /// Reads on the caller's thread; `None` when no connection is free.
    pub(crate) fn inline<T>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T>,
    ) -> Option<Result<T>> {
        let _ticket = match self.pool.admit() {
            Ok(ticket) => ticket,
            Err(error) => return Some(Err(error)),
        };
        // One connection more than there are threads, so that an inline read finds one while all threads are busy.
        match self.pool.lend(self.pool.config.readers + 1) {
            Ok(lent) => lent?.conn.as_ref().map(read),
            Err(error) => Some(Err(error)),
        }
    }

    /// Reads on one of the threads. Dropping the future gives up the answer, not the read.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        let run = Box::new(move |conn: Result<&Connection>| {
            let _ = reply.send(conn.and_then(read));
        });
        self.submit(Work { run, _ticket: self.pool.admit()? })?;
        answer.await.unwrap_or_else(|_| {
            let hint = "the read was given up; please report this";
            Err(error::other("read", ErrorKind::Other, hint, "a reader thread panicked"))
        })
    }

    fn submit(&self, work: Work) -> Result<()> {
        let mut threads = self.lock_threads();
        let sender = threads.work.as_ref().ok_or(Error::Closed)?;
        sender.send(work).map_err(|_| Error::Closed)?;
        if threads.handles.len() < self.pool.config.readers && !self.queue.is_empty() {
            self.start(&mut threads)?;
        }
        Ok(())
    }

    fn start(&self, threads: &mut Threads) -> Result<()> {
        let (pool, queue) = (Arc::clone(&self.pool), self.queue.clone());
        let started = thread::Builder::new()
            .name(format!("storex-sqlite-reader-{}", threads.handles.len() + 1))
            .spawn(move || {
                for work in queue {
                    // A panic costs its read, not the thread.
                    let _ = catch_unwind(AssertUnwindSafe(|| pool.run(work)));
                }
            });
        match started {
            Ok(handle) => threads.handles.push(handle),
            // Those that there are will do it.
            Err(error) if !threads.handles.is_empty() => {
                tracing::warn!(%error, "no further reader thread")
            }
            Err(source) => {
                let hint = "the system gives no more threads";
                return Err(error::other("start a reader thread", ErrorKind::Io, hint, source));
            }
        }
        Ok(())
    }

    /// Closes a connection that is kept by somebody when everything is closed.
    pub(crate) fn own(&self, conn: Connection) -> Result<Owned> {
        let mut state = self.pool.lock();
        if state.closed {
            return Err(Error::Closed);
        }
        let owned = Arc::new(Mutex::new(Some(conn)));
        state.owned.retain(|other| other.strong_count() > 0);
        state.owned.push(Arc::downgrade(&owned));
        Ok(owned)
    }

    /// Takes no more reads, waits for those that there are, closes the connections and ends the threads.
    pub(crate) fn close(&self) {
        self.pool.close();
        let handles = {
            let mut threads = self.lock_threads();
            threads.work = None;
            std::mem::take(&mut threads.handles)
        };
        let own = thread::current().id();
        for handle in handles.into_iter().filter(|handle| handle.thread().id() != own) {
            let _ = handle.join();
        }
    }

    fn lock_threads(&self) -> MutexGuard<'_, Threads> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pool {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn admit(self: &Arc<Self>) -> Result<Ticket> {
        let mut state = self.lock();
        if state.closed {
            return Err(Error::Closed);
        }
        state.pending += 1;
        Ok(Ticket(Arc::clone(self)))
    }

    /// A connection; `None` when `most` are in use.
    fn lend(&self, most: usize) -> Result<Option<Lent<'_>>> {
        let conn = {
            let mut state = self.lock();
            if state.lent >= most {
                return Ok(None);
            }
            state.lent += 1;
            state.idle.pop()
        };
        let mut lent = Lent { pool: self, conn };
        if lent.conn.is_none() {
            lent.conn = Some(connection::open_reader(&self.config)?);
        }
        Ok(Some(lent))
    }

    fn run(&self, work: Work) {
        // Always one for a thread: there are no more threads than connections.
        match self.lend(usize::MAX) {
            Ok(lent) => {
                (work.run)(lent.as_ref().and_then(|lent| lent.conn.as_ref()).ok_or(Error::Closed))
            }
            Err(error) => (work.run)(Err(error)),
        }
    }

    fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        while state.pending > 0 {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.idle.clear();
        // No read is left that could hold one.
        for owned in state.owned.drain(..).filter_map(|owned| owned.upgrade()) {
            owned.lock().unwrap_or_else(PoisonError::into_inner).take();
        }
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let mut state = self.pool.lock();
        state.lent -= 1;
        state.idle.extend(self.conn.take());
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.lock().pending -= 1;
        self.0.changed.notify_all();
    }
}
