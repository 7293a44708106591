//! The writer: one thread that owns the one connection that writes.
//!
//! SQLite has one writer at a time, so one thread is all it can use. A thread of our own, and not a lock around a
//! connection: a write waits for the disk, and an asynchronous program must not wait with it; a batch runs to its end in
//! one go, continuations included, so that it costs one hop instead of one per statement.
//!
//! **Group commit.** A commit waits for the disk, which costs more than the writes in it. So the batches that wait while
//! a transaction is open are run in it too, each behind a savepoint, and one commit answers them all:
//!
//! ```text
//! BEGIN IMMEDIATE   job 1   SAVEPOINT job 2 RELEASE   SAVEPOINT job 3 ROLLBACK TO   ..   COMMIT   answers
//! ```
//!
//! - A job that fails is rolled back to its savepoint; its neighbours do not notice. (The first one has no savepoint:
//!   when it fails nothing else is in the transaction yet.)
//! - An answer of `Ok` is given after COMMIT has succeeded, never before.
//! - When SQLite rolls back the whole transaction (a full disk) or COMMIT fails, nothing was written, and each job is
//!   run again on its own: batches can be cloned and continuations called again. Only small batches share a commit, as a
//!   large one would cost more to clone than the commit costs.
//! - Batches of [`Origin::Sync`] run without foreign keys. SQLite switches them between transactions only, so jobs of
//!   different origin are not grouped.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender, TryRecvError, unbounded};
use futures_channel::oneshot;
use rusqlite::Connection;
use storex_core::{
    Batch, BatchOutcome, BatchRun, Error, ErrorKind, Origin, Registry, Result, Step,
};

use crate::config::Config;
use crate::connection;
use crate::error;
use crate::overtaken::SchemaWatch;
use crate::readers::Readers;
use crate::schema;
use crate::search;
use crate::trace;
use crate::write;

/// At most so many jobs share a commit, so that the first does not wait for long.
const GROUP_MAX: usize = 256;

/// How often the writer looks for a job before it sleeps: some 20 µs.
const SPINS: usize = 1000;

/// A batch with more records than this commits alone.
const SMALL_BATCH_RECORDS: usize = 32;

/// What the writer is asked for.
pub(crate) enum Job {
    Execute {
        batch: Batch,
        reply: Reply,
    },
    /// `PRAGMA data_version`, outside of a transaction.
    DataVersion {
        reply: oneshot::Sender<Result<u64>>,
    },
    /// Finish: everything sent before has run.
    Close {
        readers: Arc<Readers>,
        reply: oneshot::Sender<Result<()>>,
    },
}

type Reply = oneshot::Sender<Result<BatchOutcome>>;

/// What the writer's thread hands over when it has opened the database.
pub(crate) type Opened = oneshot::Receiver<Result<Arc<SchemaWatch>>>;

/// Starts the thread; it opens the database and makes missing tables first.
pub(crate) fn start(
    config: Config,
    registry: Arc<Registry>,
) -> Result<(Sender<Job>, Opened, JoinHandle<()>)> {
    let (jobs, inbox) = unbounded();
    let (reply, opened) = oneshot::channel();
    let thread = thread::Builder::new()
        .name("storex-sqlite-writer".to_owned())
        .spawn(move || {
            let prepared = connection::open(&config).and_then(|conn| {
                let mut tables =
                    schema::prepare(&conn, &registry, || connection::make_writer(&conn, &config))?;
                if connection::is_utf16(&conn)? {
                    tables.values_mut().filter_map(Arc::get_mut).for_each(|it| it.is_utf16 = true);
                }
                search::catch_up(&conn, &tables)?;
                let watch = SchemaWatch::new(&conn, Arc::clone(&registry), Arc::new(tables))?;
                Ok((conn, Arc::new(watch)))
            });
            match prepared {
                Ok((conn, watch)) => {
                    let writer = Writer {
                        conn,
                        registry,
                        watch: Arc::clone(&watch),
                        inbox,
                        waiting: VecDeque::new(),
                        foreign_keys: true,
                    };
                    if reply.send(Ok(watch)).is_ok() {
                        writer.run();
                    }
                }
                Err(error) => {
                    let _ = reply.send(Err(error));
                }
            }
        })
        .map_err(|source| {
            error::other(
                "start the writer thread",
                ErrorKind::Io,
                "the system gives no more threads",
                source,
            )
        })?;
    Ok((jobs, opened, thread))
}

struct Writer {
    conn: Connection,
    registry: Arc<Registry>,
    watch: Arc<SchemaWatch>,
    inbox: Receiver<Job>,
    /// Jobs that were taken out of the inbox and could not join the group.
    waiting: VecDeque<Job>,
    foreign_keys: bool,
}

/// A job that has run and waits for the commit.
struct Done {
    /// To run it again should the commit fail; `None` for a large batch, which commits alone.
    batch: Option<Batch>,
    outcome: BatchOutcome,
    reply: Reply,
}

impl Writer {
    /// Until all senders are gone or the backend is closed.
    fn run(mut self) {
        while let Some(job) = self.next_job() {
            match job {
                Job::Execute { batch, reply } => self.group(batch, reply),
                Job::DataVersion { reply } => {
                    let _ = reply.send(self.data_version());
                }
                Job::Close { readers, reply } => {
                    let _ = reply.send(self.close(&readers));
                    return;
                }
            }
        }
    }

    /// The next job. Whoever writes one by one sends the next within microseconds of the answer, so it pays to look out
    /// for it for a moment before going to sleep: waking up costs more than the write.
    fn next_job(&mut self) -> Option<Job> {
        if let Some(job) = self.waiting.pop_front() {
            return Some(job);
        }
        for _ in 0..SPINS {
            match self.inbox.try_recv() {
                Ok(job) => return Some(job),
                Err(TryRecvError::Disconnected) => return None,
                Err(TryRecvError::Empty) => std::hint::spin_loop(),
            }
        }
        self.inbox.recv().ok()
    }

    /// Takes the next job into the group if it fits.
    fn join(&mut self, origin: Origin) -> Option<(Batch, Reply)> {
        let next = self.waiting.pop_front().or_else(|| self.inbox.try_recv().ok())?;
        match next {
            Job::Execute { batch, reply } if batch.origin == origin && is_small(&batch) => {
                Some((batch, reply))
            }
            other => {
                self.waiting.push_front(other);
                None
            }
        }
    }

    /// One transaction: this job, and those that wait.
    fn group(&mut self, batch: Batch, reply: Reply) {
        // Whoever waits now has waited as long as we do, should the database be busy.
        self.waiting.extend(self.inbox.try_iter());
        let origin = batch.origin;
        if let Err(source) = self.begin(origin) {
            return self.refuse(reply, &source);
        }
        // A lone job needs no copy: nobody can make its transaction fail but itself.
        let kept = (is_small(&batch) && !self.waiting.is_empty()).then(|| batch.clone());
        let outcome = match self.attempt(batch) {
            Ok(outcome) => outcome,
            Err(error) => {
                self.roll_back();
                return answer(reply, Err(error));
            }
        };
        let mut done = vec![Done { batch: kept, outcome, reply }];
        while done.len() < GROUP_MAX && done[0].batch.is_some() {
            let Some((batch, reply)) = self.join(origin) else { break };
            if !self.run_in_savepoint(batch, reply, &mut done) {
                return self.one_by_one(done);
            }
        }
        self.commit(done);
    }

    /// Whether the transaction is still there afterwards.
    fn run_in_savepoint(&mut self, batch: Batch, reply: Reply, done: &mut Vec<Done>) -> bool {
        let kept = batch.clone();
        let outcome = self
            .sql("SAVEPOINT job", "begin a job")
            .and_then(|()| self.attempt(batch))
            .and_then(|outcome| self.sql("RELEASE job", "end a job").map(|()| outcome));
        match outcome {
            Ok(outcome) => done.push(Done { batch: Some(kept), outcome, reply }),
            Err(error) => {
                let alive = !self.conn.is_autocommit()
                    && self.sql("ROLLBACK TO job", "take a job back").is_ok()
                    && self.sql("RELEASE job", "end a job").is_ok();
                answer(reply, Err(error));
                if !alive {
                    self.roll_back();
                }
                return alive;
            }
        }
        true
    }

    fn commit(&mut self, done: Vec<Done>) {
        trace::step("sqlite.before_commit");
        match self.cached("COMMIT") {
            Ok(()) => {
                trace::step("sqlite.after_commit");
                for Done { outcome, reply, .. } in done {
                    answer(reply, Ok(outcome));
                }
            }
            Err(source) => {
                self.roll_back();
                match <[Done; 1]>::try_from(done) {
                    Ok([Done { reply, .. }]) => answer(reply, Err(self.commit_error(source))),
                    Err(done) => self.one_by_one(done),
                }
            }
        }
    }

    /// A deferred foreign key is found broken at the commit only; it is the batch's fault.
    fn commit_error(&self, source: rusqlite::Error) -> Error {
        match &source {
            rusqlite::Error::SqliteFailure(code, _)
                if code.extended_code & 0xff == rusqlite::ffi::SQLITE_CONSTRAINT =>
            {
                Error::ConstraintViolation {
                    collection: "(batch)".into(),
                    reason: source.to_string(),
                }
            }
            _ => error::failed("commit", None, source),
        }
    }

    /// The transaction is gone, and nothing of it was written: each job gets one of its own.
    fn one_by_one(&mut self, done: Vec<Done>) {
        for Done { batch, reply, .. } in done {
            let Some(batch) = batch else { continue };
            let outcome = self.alone(batch);
            answer(reply, outcome);
        }
    }

    fn alone(&mut self, batch: Batch) -> Result<BatchOutcome> {
        self.begin(batch.origin).map_err(|source| error::failed("begin", None, source))?;
        let outcome = self.attempt(batch).and_then(|outcome| {
            trace::step("sqlite.before_commit");
            self.cached("COMMIT").map_err(|source| self.commit_error(source))?;
            trace::step("sqlite.after_commit");
            Ok(outcome)
        });
        if outcome.is_err() {
            self.roll_back();
        }
        outcome
    }

    fn begin(&mut self, origin: Origin) -> rusqlite::Result<()> {
        let wanted = origin == Origin::Local;
        if self.foreign_keys != wanted {
            let text =
                if wanted { "PRAGMA foreign_keys = ON" } else { "PRAGMA foreign_keys = OFF" };
            self.conn.execute_batch(text)?;
            self.foreign_keys = wanted;
        }
        self.cached("BEGIN IMMEDIATE")?;
        trace::step("sqlite.begin");
        Ok(())
    }

    /// Runs a batch in the open transaction. A continuation that panics fails its batch, not the writer.
    fn attempt(&self, batch: Batch) -> Result<BatchOutcome> {
        // A newer program may have migrated the database while we had it open: then we must not write any more.
        let tables = self.watch.tables(&self.conn)?;
        let mut run = BatchRun::new(Arc::clone(&self.registry), batch).keeping_related();
        // Nothing that could be left half changed survives: the run is dropped, and the database rolled back.
        let ran = catch_unwind(AssertUnwindSafe(|| write::run(&self.conn, &tables, &mut run)));
        match ran {
            Ok(result) => result.map(|()| run.finish()),
            Err(panic) => Err(Error::Aborted { reason: format!("it panicked: {}", said(&*panic)) }),
        }
    }

    /// The database could not be had: for this job, and for those that waited meanwhile.
    fn refuse(&mut self, reply: Reply, source: &rusqlite::Error) {
        let busy = error::classify(source).0 == ErrorKind::Busy;
        answer(reply, Err(error::failed("begin", None, error::again(source))));
        if busy {
            let waited = std::mem::take(&mut self.waiting);
            for job in waited {
                match job {
                    Job::Execute { reply, .. } => {
                        answer(reply, Err(error::failed("begin", None, error::again(source))));
                    }
                    other => self.waiting.push_back(other),
                }
            }
        }
    }

    /// A number that changes when another connection has committed; the commits of this one do not change it.
    fn data_version(&self) -> Result<u64> {
        self.conn
            .prepare_cached("PRAGMA data_version")
            .and_then(|mut statement| statement.query_row([], |row| row.get::<_, i64>(0)))
            .map(i64::cast_unsigned)
            .map_err(|source| error::failed("look for writes by others", None, source))
    }

    fn roll_back(&self) {
        // After a full disk SQLite has done so already.
        if !self.conn.is_autocommit()
            && let Err(error) = self.cached("ROLLBACK")
        {
            tracing::error!(%error, "rolling back failed");
        }
    }

    fn cached(&self, text: &'static str) -> rusqlite::Result<()> {
        self.conn.prepare_cached(text)?.execute([]).map(|_| ())
    }

    fn sql(&self, text: &'static str, operation: &'static str) -> Result<()> {
        self.cached(text).map_err(|source| error::failed(operation, None, source))
    }

    /// Closes the readers and then this connection; the last one to close takes the `-wal` file away.
    fn close(self, readers: &Readers) -> Result<()> {
        readers.close();
        let failed = |source| error::failed("close the database", None, source);
        // Another process that reads can hold up a checkpoint, and so can a full disk. Nothing is lost: what was written
        // stays in the `-wal` file, and whoever uses the database next goes on from there.
        let checkpointed = self
            .conn
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
            .or_else(|error| match error::classify(&error).0 {
                ErrorKind::Busy | ErrorKind::Full => {
                    tracing::warn!(%error, "the checkpoint was left to the next who opens the database");
                    Ok(())
                }
                _ => Err(error),
            });
        let closed = self.conn.close().map_err(|(_, source)| source);
        checkpointed.and(closed).map_err(failed)
    }
}

/// An answer that nobody waits for any more is no loss: the batch was executed or not, as a whole.
fn answer(reply: Reply, outcome: Result<BatchOutcome>) {
    let _ = reply.send(outcome);
}

fn is_small(batch: &Batch) -> bool {
    let records = |step: &Step| match step {
        Step::Create(create) => create.records.len(),
        _ => 1,
    };
    batch.steps.iter().map(records).sum::<usize>() <= SMALL_BATCH_RECORDS
}

fn said(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("it said nothing")
}

#[cfg(test)]
mod tests;
