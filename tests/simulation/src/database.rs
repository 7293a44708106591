//! [`Database`]: the database of a device. It outlives the processes that use it.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use async_trait::async_trait;
use storex_core::{
    Backend, Batch, BatchOutcome, Capabilities, Error, ErrorKind, Query, Record, Registry, Result,
    Snapshot,
};
use storex_memory::MemoryBackend;

use crate::model::{Held, Model, Rows, Taken, check_equal, row};
use crate::random::Random;
use crate::schema::{COLLECTIONS, LEFT, RIGHT};
use crate::sim::{Sim, lock};

const LOG: &str = "_storex_log";
const META: &str = "_storex_meta";
pub(crate) const PARKED: &str = "_storex_parked";

/// How the disk behaves.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Disk {
    /// So many requests in a hundred take a while.
    pub(crate) slow: u64,
    /// So many in ten thousand fail, before anything has happened.
    pub(crate) fails: u64,
}

/// A copy of a database.
#[derive(Debug)]
pub(crate) struct Backup {
    copy: MemoryBackend,
    held: Held,
}

/// The database of a device, and what is checked at each of its commits.
#[derive(Debug)]
pub(crate) struct Database {
    sim: Arc<Sim>,
    number: usize,
    name: String,
    place: Mutex<Place>,
    /// What there is after a loss of power, where that is simulated.
    durable: Option<Mutex<Durable>>,
    model: Arc<Mutex<Model>>,
    state: Mutex<State>,
}

/// Where a database is.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    Memory(Arc<MemoryBackend>),
    Elsewhere(Arc<dyn Backend>),
}

/// The last flush.
#[derive(Debug, Default)]
struct Durable {
    copy: MemoryBackend,
    held: Held,
    /// Whether there was one at all.
    flushed: bool,
}

#[derive(Debug)]
struct State {
    random: Random,
    disk: Disk,
    /// What is in the own log, by number.
    logged: BTreeMap<i64, Vec<u8>>,
    unsent: u64,
    /// Writes of the application that have not returned.
    writing: u64,
    /// Which of them is going on at this moment.
    write: Option<u64>,
    rows: Rows,
}

impl Database {
    pub(crate) fn new(
        sim: &Arc<Sim>,
        number: usize,
        place: Place,
        model: &Arc<Mutex<Model>>,
        (random, disk): (Random, Disk),
        loses_power: bool,
    ) -> Arc<Self> {
        let (logged, rows) = (BTreeMap::new(), Rows::new());
        let state = State { random, disk, logged, unsent: 0, writing: 0, write: None, rows };
        let name = format!("device {number}");
        let (sim, model, state) = (Arc::clone(sim), Arc::clone(model), Mutex::new(state));
        let (place, durable) = (Mutex::new(place), loses_power.then(Mutex::default));
        Arc::new(Self { sim, number, name, place, durable, model, state })
    }

    fn backend(&self) -> Arc<dyn Backend> {
        match &*lock(&self.place) {
            Place::Memory(backend) => Arc::clone(backend) as _,
            Place::Elsewhere(backend) => Arc::clone(backend),
        }
    }

    /// Everything so far is durable.
    fn flushed(&self) {
        if let (Some(durable), Place::Memory(backend)) = (&self.durable, &*lock(&self.place)) {
            let held = lock(&self.model).held(self.number);
            *lock(durable) = Durable { copy: backend.copied(), held, flushed: true };
        }
    }

    /// What was not flushed is gone. No process may run.
    pub(crate) fn lose_power(&self) {
        let Some(durable) = &self.durable else { return };
        let durable = lock(durable);
        let backup = Backup { copy: durable.copy.copied(), held: durable.held.clone() };
        self.put_back(&backup, durable.flushed, true);
    }

    /// A copy of everything, if it can be copied.
    pub(crate) fn backup(&self) -> Option<Backup> {
        let Place::Memory(backend) = &*lock(&self.place) else { return None };
        Some(Backup { copy: backend.copied(), held: lock(&self.model).held(self.number) })
    }

    /// Puts a copy, of this database or of another, in place of everything. No process may run.
    pub(crate) fn restore(&self, backup: &Backup) {
        self.put_back(backup, true, false);
        // What was copied is on the disk.
        self.flushed();
    }

    /// `unsent`: nothing of what is lost can have been sent.
    fn put_back(&self, backup: &Backup, opened: bool, unsent: bool) {
        *lock(&self.place) = Place::Memory(Arc::new(backup.copy.copied()));
        {
            let mut state = lock(&self.state);
            state.rows.clear();
            state.logged.clear();
            state.unsent = 0;
        }
        match lock(&self.model).put_back(self.number, backup.held.clone(), unsent) {
            Ok(gone) => self.sim.note(&self.name, format_args!("loses {gone} transactions")),
            Err(why) => self.sim.violate(format!("{}: {why}", self.name)),
        }
        if !opened {
            return;
        }
        // What is in it was committed before.
        match self.logged() {
            Ok(logged) => lock(&self.state).logged = logged,
            Err(why) => self.sim.violate(format!("{}: {why}", self.name)),
        }
        self.committed();
    }

    /// From now on the disk is as good as can be.
    pub(crate) fn heal(&self) {
        lock(&self.state).disk = Disk::default();
    }

    /// Transactions in the own log, but for those whose writers have not been told yet.
    pub(crate) fn surely_unsent(&self) -> u64 {
        let state = lock(&self.state);
        state.unsent.saturating_sub(state.writing)
    }

    pub(crate) fn unsent(&self) -> u64 {
        lock(&self.state).unsent
    }

    pub(crate) fn begin_write(&self) {
        lock(&self.state).writing += 1;
    }

    pub(crate) fn end_write(&self) {
        let mut state = lock(&self.state);
        state.writing = state.writing.saturating_sub(1);
    }

    /// No process is left.
    pub(crate) fn forget_writers(&self) {
        lock(&self.state).writing = 0;
    }

    /// Which write is going on at this moment.
    pub(crate) fn attribute(&self, write: Option<u64>) {
        lock(&self.state).write = write;
    }

    /// What the application sees.
    pub(crate) fn rows(&self) -> Rows {
        lock(&self.state).rows.clone()
    }

    /// All rows of a collection, as they are.
    pub(crate) fn read(&self, collection: &str) -> Result<Vec<Record>> {
        wait(self.backend().find(Query::new(collection)))
    }

    /// A request takes a while.
    async fn pause(&self) {
        let slow = {
            let mut state = lock(&self.state);
            let slow = state.disk.slow;
            state.random.chance(slow).then(|| state.random.between(0, 40))
        };
        if let Some(milliseconds) = slow {
            self.sim.sleep(Duration::from_millis(milliseconds)).await;
        }
    }

    fn may_fail(&self, operation: &'static str) -> Result<()> {
        let fails = {
            let mut state = lock(&self.state);
            let fails = state.disk.fails;
            state.random.rarely(fails)
        };
        if !fails {
            return Ok(());
        }
        self.sim.note(&self.name, format_args!("disk fails to {operation}"));
        let (hint, source) = ("the simulated disk failed".to_owned(), "simulated".into());
        let (kind, collection) = (ErrorKind::Io, None);
        Err(Error::Backend { backend: "simulated", operation, collection, kind, hint, source })
    }

    /// Looks at the database after a commit.
    fn committed(&self) {
        if let Err(why) = self.look() {
            self.sim.violate(format!("{}: {why}", self.name));
        }
    }

    fn look(&self) -> std::result::Result<(), String> {
        let logged = self.logged()?;
        let rows = self.show()?;
        let taken = if lock(&self.model).follows { Some(self.taken()?) } else { None };
        let mut state = lock(&self.state);
        let mut model = lock(&self.model);
        for (sequence, payload) in &logged {
            if state.logged.get(sequence) != Some(payload) {
                let here = (self.number, &state.rows);
                let what = model.commit(payload.clone(), state.write, here)?;
                self.sim.note(&self.name, format_args!("commits {what}"));
            }
        }
        if let Some(taken) = taken {
            // A state that is sent again comes in pages, so what belongs together may be seen apart.
            let queue = state.logged.keys().map(|number| number.unsigned_abs());
            model.take(self.number, taken, queue);
            check_equal(&rows, &model.must_hold(self.number))?;
        } else {
            check_pairs(&rows)?;
        }
        drop(model);
        state.unsent = logged.len() as u64;
        (state.logged, state.rows) = (logged, rows);
        Ok(())
    }

    /// What is in the own log.
    fn logged(&self) -> std::result::Result<BTreeMap<i64, Vec<u8>>, String> {
        let rows = self.read(LOG).map_err(|error| format!("the log cannot be read: {error}"))?;
        let logged = rows.iter().map(|row| {
            let payload = row.get(1).as_bytes().unwrap_or_default().to_vec();
            (row.get(0).as_int().unwrap_or(0), payload)
        });
        Ok(logged.collect())
    }

    /// What it says that it has taken of others.
    fn taken(&self) -> std::result::Result<Taken, String> {
        let read = |collection| self.read(collection).map_err(|error| error.to_string());
        let taken = Taken::read(&read(META)?, &read(PARKED)?);
        taken.ok_or_else(|| "what it has taken cannot be read".to_owned())
    }

    fn show(&self) -> std::result::Result<Rows, String> {
        let mut rows = Rows::new();
        for collection in COLLECTIONS {
            let found = self.read(collection).map_err(|error| error.to_string())?;
            if found.is_empty() {
                continue;
            }
            let names = fields_of(collection);
            let keyed = found.iter().map(|record| {
                let key = record.get(0).as_text().unwrap_or_default().to_owned();
                (key, row(names, "id", record))
            });
            rows.insert(collection.to_owned(), keyed.collect());
        }
        Ok(rows)
    }
}

fn fields_of(collection: &str) -> &'static [&'static str] {
    match collection {
        "note" => &["id", "title", "body", "stars"],
        "tally" => &["id", "count"],
        "parent" => &["id", "name"],
        "child" => &["id", "name", "parent"],
        _ => &["id", "value"],
    }
}

/// What is always written together is never seen apart.
fn check_pairs(rows: &Rows) -> std::result::Result<(), String> {
    let none = BTreeMap::new();
    let (left, right) = (rows.get(LEFT).unwrap_or(&none), rows.get(RIGHT).unwrap_or(&none));
    let mut keys = left.keys().chain(right.keys());
    match keys.find(|key| left.get(*key) != right.get(*key)) {
        Some(key) => Err(format!(
            "a transaction was torn: the halves of {key} are {:?} and {:?}",
            left.get(key),
            right.get(key)
        )),
        None => Ok(()),
    }
}

/// The database as a process sees it.
#[derive(Debug)]
pub(crate) struct Connection(pub(crate) Arc<Database>);

#[async_trait]
impl Backend for Connection {
    fn name(&self) -> &'static str {
        self.0.backend().name()
    }

    fn capabilities(&self) -> Capabilities {
        self.0.backend().capabilities()
    }

    async fn open(&self, registry: Arc<Registry>) -> Result<()> {
        self.0.pause().await;
        self.0.may_fail("open")?;
        wait(self.0.backend().open(registry))
    }

    async fn find(&self, query: Query) -> Result<Vec<Record>> {
        self.0.pause().await;
        self.0.may_fail("read")?;
        let found = wait(self.0.backend().find(query));
        self.0.pause().await;
        found
    }

    async fn count(&self, query: Query) -> Result<u64> {
        self.0.pause().await;
        self.0.may_fail("count")?;
        wait(self.0.backend().count(query))
    }

    async fn execute(&self, batch: Batch) -> Result<BatchOutcome> {
        self.0.pause().await;
        self.0.may_fail("write")?;
        let outcome = wait(self.0.backend().execute(batch))?;
        self.0.committed();
        // A process may be killed after the commit and before it knows of it.
        self.0.pause().await;
        Ok(outcome)
    }

    async fn flush(&self) -> Result<()> {
        self.0.pause().await;
        self.0.may_fail("flush")?;
        wait(self.0.backend().flush())?;
        self.0.flushed();
        Ok(())
    }

    async fn snapshot(&self) -> Result<Box<dyn Snapshot>> {
        self.0.pause().await;
        self.0.may_fail("take a snapshot")?;
        let snapshot = wait(self.0.backend().snapshot())?;
        Ok(Box::new(SnapshotConnection { database: Arc::clone(&self.0), snapshot }))
    }

    /// The database stays for the next process.
    async fn close(&self) -> Result<()> {
        Ok(())
    }
}

/// What a process holds of the database as it was.
#[derive(Debug)]
struct SnapshotConnection {
    database: Arc<Database>,
    snapshot: Box<dyn Snapshot>,
}

#[async_trait]
impl Snapshot for SnapshotConnection {
    async fn find(&self, query: Query) -> Result<Vec<Record>> {
        self.database.pause().await;
        self.database.may_fail("read")?;
        wait(self.snapshot.find(query))
    }

    async fn count(&self, query: Query) -> Result<u64> {
        self.database.pause().await;
        self.database.may_fail("count")?;
        wait(self.snapshot.count(query))
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// A backend may have threads of its own; for the simulator it answers at once.
pub(crate) fn wait<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut cx = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut cx) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}
