//! [`Device`]: a database, a wall clock, and the processes that use them.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use storex_core::{AutoPk, Runtime, Storage};
use storex_sync::engine::Backoff;
use storex_sync::{
    ContinuousSync, Exclusive, LeaseTimes, Limits, Phase, Sync, SyncError, SyncLog, SyncStatus,
};
use tokio::sync::watch;

use crate::database::{Backup, Connection, Database};
use crate::model::{Model, WriteState};
use crate::network::{Network, Remote};
use crate::random::Random;
use crate::runtime::{SimRuntime, WallClock};
use crate::schema::schema;
use crate::sim::{Group, Sim, lock};
use crate::workload::Write;

/// How the devices sync.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Habits {
    pub(crate) limits: Limits,
    pub(crate) deadline: Duration,
    pub(crate) shortest: Duration,
    pub(crate) longest: Duration,
    pub(crate) gather: Duration,
    pub(crate) backoff: Backoff,
    /// Several processes share each database.
    pub(crate) shared: bool,
    #[cfg(feature = "deliberate-faults")]
    pub(crate) fault: Option<storex_sync::DeliberateFault>,
}

/// What all devices of a run have in common.
#[derive(Debug)]
pub(crate) struct Surroundings {
    pub(crate) sim: Arc<Sim>,
    pub(crate) network: Arc<Network>,
    pub(crate) model: Arc<Mutex<Model>>,
    pub(crate) habits: Habits,
    pub(crate) seed: u64,
}

/// A device.
#[derive(Debug)]
pub(crate) struct Device {
    number: usize,
    surroundings: Arc<Surroundings>,
    pub(crate) database: Arc<Database>,
    pub(crate) clock: Arc<WallClock>,
    processes: Vec<Process>,
    starts: u64,
    /// Whether there is a connection, as far as the device knows.
    online: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct Process {
    group: Option<Group>,
    running: Arc<Mutex<Option<Running>>>,
}

/// The parts of a process that others talk to.
#[derive(Debug, Clone)]
struct Running {
    storage: Storage,
    sync: Arc<ContinuousSync>,
}

impl Device {
    pub(crate) fn new(
        number: usize,
        surroundings: &Arc<Surroundings>,
        database: Arc<Database>,
        clock: Arc<WallClock>,
    ) -> Self {
        let count = if surroundings.habits.shared { 2 } else { 1 };
        let processes = (0..count).map(|_| Process::default()).collect();
        let surroundings = Arc::clone(surroundings);
        let online = watch::Sender::new(true);
        Self { number, surroundings, database, clock, processes, starts: 0, online }
    }

    pub(crate) fn name(&self) -> String {
        format!("device {}", self.number)
    }

    fn sim(&self) -> &Arc<Sim> {
        &self.surroundings.sim
    }

    /// Starts the processes that do not run.
    pub(crate) fn start(&mut self) {
        for at in 0..self.processes.len() {
            if self.processes[at].group.is_none() {
                self.start_process(at);
            }
        }
    }

    fn start_process(&mut self, at: usize) {
        let group = self.sim().group();
        self.sim().note(&self.name(), format_args!("starts"));
        let start = self.boot(at, group);
        self.processes[at].group = Some(group);
        self.surroundings.sim.spawn(group, Box::pin(start));
    }

    /// Opens the storage and starts continuous sync, however often it takes.
    fn boot(&mut self, at: usize, group: Group) -> impl Future<Output = ()> + Send + use<> {
        self.starts += 1;
        let (sim, part) = (self.sim(), 1000 * self.number as u64 + self.starts);
        let random = Random::of(self.surroundings.seed, part);
        let runtime = Arc::new(SimRuntime::new(sim, group, &self.clock, random));
        let running = Arc::clone(&self.processes[at].running);
        let (surroundings, name) = (Arc::clone(&self.surroundings), self.name());
        let remote = Remote { network: Arc::clone(&surroundings.network), device: self.number };
        let parts = Parts {
            database: Arc::clone(&self.database),
            runtime,
            remote: Arc::new(remote),
            online: self.online.subscribe(),
        };
        async move {
            let sim = &surroundings.sim;
            loop {
                match run(parts.clone(), &surroundings.habits).await {
                    Ok(started) => break *lock(&running) = Some(started),
                    Err(error) => sim.note(&name, format_args!("cannot start: {error}")),
                }
                sim.sleep(Duration::from_secs(1)).await;
            }
        }
    }

    /// Kills the processes where they are.
    pub(crate) fn crash(&mut self) {
        self.sim().note(&self.name(), format_args!("crashes"));
        for process in &mut self.processes {
            if let Some(group) = process.group.take() {
                let running = lock(&process.running).take();
                self.surroundings.sim.kill(group);
                drop(running);
            }
        }
        self.database.forget_writers();
    }

    /// Kills the processes, and takes back what no flush has made durable.
    pub(crate) fn lose_power(&mut self) {
        self.crash();
        self.database.lose_power();
    }

    /// Puts a copy of a database, its own or another's, in place of its database, and starts with it.
    pub(crate) fn restore(&mut self, backup: &Backup) {
        self.crash();
        self.database.restore(backup);
        self.surroundings.network.forget_delivered(self.number);
        self.start();
    }

    /// The processes close their storages in order, and open them again.
    pub(crate) fn restart(&mut self) {
        self.sim().note(&self.name(), format_args!("ends in order"));
        for at in 0..self.processes.len() {
            let Some(running) = lock(&self.processes[at].running).take() else { continue };
            let Some(group) = self.processes[at].group else { continue };
            let start = self.boot(at, group);
            let sim = Arc::clone(self.sim());
            let again = async move {
                running.sync.stop().await;
                drop(running);
                start.await;
            };
            sim.spawn(group, Box::pin(again));
        }
    }

    /// Does something with a process, if it runs.
    fn with<F>(&self, process: usize, act: impl FnOnce(Running) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let Some(process) = self.processes.get(process % self.processes.len()) else { return };
        let running = lock(&process.running).clone();
        if let (Some(running), Some(group)) = (running, process.group) {
            self.sim().spawn(group, Box::pin(act(running)));
        }
    }

    /// The application writes.
    pub(crate) fn write(&self, write: Write) {
        let (surroundings, database) = (Arc::clone(&self.surroundings), Arc::clone(&self.database));
        let name = self.name();
        let number = write.number;
        let process = usize::try_from(number).unwrap_or(0);
        self.with(process, |running| async move {
            let Surroundings { sim, model, .. } = &*surroundings;
            sim.note(&name, format_args!("begins {write}"));
            let state = WriteState { write: write.clone(), committed: 0 };
            lock(model).writes.insert(number, state);
            database.begin_write();
            let future = write.execute(&running.storage);
            let future = Box::pin(future);
            let result = Attributed { database: &database, write: number, future }.await;
            database.end_write();
            let committed = lock(model).writes.get(&number).map_or(0, |state| state.committed);
            let expected = match &result {
                Ok(touched) => usize::from(*touched > 0),
                Err(_) => 0,
            };
            let told = result.map(|_| "done").unwrap_or_else(|error| match error.kind() {
                storex_core::ErrorKind::Conflict => "refused",
                _ => "failed",
            });
            sim.note(&name, format_args!("write {number} is {told}"));
            if committed != expected {
                sim.violate(format!(
                    "{name}: {write} is {told}, and has logged {committed} transactions instead of {expected}"
                ));
            }
        });
    }

    pub(crate) fn sync_now(&self) {
        let (sim, name) = (Arc::clone(self.sim()), self.name());
        self.with(0, |running| async move {
            sim.note(&name, format_args!("is asked to sync now"));
            match running.sync.sync_now().await {
                Some(Ok(report)) => sim.note(
                    &name,
                    format_args!(
                        "synced: sent {}, received {}",
                        report.sent_transactions, report.received.transactions
                    ),
                ),
                Some(Err(error)) => sim.note(&name, format_args!("did not sync: {error}")),
                None => sim.note(&name, format_args!("did not sync: it was stopped")),
            }
        });
    }

    pub(crate) fn pause(&self, paused: bool) {
        let (sim, name) = (Arc::clone(self.sim()), self.name());
        self.with(0, |running| async move {
            let what = if paused { "paused" } else { "resumed" };
            let done =
                if paused { running.sync.pause().await } else { running.sync.resume().await };
            match done {
                Ok(()) => sim.note(&name, format_args!("is {what}")),
                Err(error) => sim.note(&name, format_args!("is not {what}: {error}")),
            }
        });
    }

    /// The device notices that there is a connection, or that there is none.
    pub(crate) fn online(&self, online: bool) {
        let now = if online { "on-line" } else { "off-line" };
        self.sim().note(&self.name(), format_args!("{now}"));
        self.online.send_replace(online);
    }

    /// The user does what only a user can: logs in, and resumes what is paused.
    pub(crate) fn help(&self) {
        self.surroundings.network.log_in(self.number);
        let statuses = self.statuses();
        for (process, status) in statuses.iter().enumerate() {
            match status.as_ref().map(|status| status.phase) {
                Some(Phase::NeedsLogin) => {
                    self.sim().note(&self.name(), format_args!("logs in"));
                    self.with(process, |running| async move { running.sync.logged_in() });
                }
                Some(Phase::Paused) => self.pause(false),
                _ => {}
            }
        }
    }

    /// What the processes say of themselves.
    pub(crate) fn statuses(&self) -> Vec<Option<SyncStatus>> {
        let status = |process: &Process| {
            let running = lock(&process.running);
            running.as_ref().map(|running| running.sync.status().borrow().clone())
        };
        self.processes.iter().map(status).collect()
    }

    /// No process may say that all is in step while a write of which the application knows is to be sent.
    pub(crate) fn check_status(&self) {
        // One that shares the database learns of the other's writes at its next look.
        if self.processes.len() > 1 {
            return;
        }
        let unsent = self.database.surely_unsent();
        if unsent > 0 && self.statuses().iter().flatten().any(|status| status.in_step) {
            let name = self.name();
            self.sim().violate(format!("{name} says that it is in step with {unsent} to be sent"));
        }
    }

    /// Whether it says that it is in step, and why not if it does not.
    pub(crate) fn check_in_step(&self) -> Result<(), String> {
        let name = self.name();
        let statuses = self.statuses();
        let running: Vec<&SyncStatus> = statuses.iter().flatten().collect();
        if running.len() < statuses.len() {
            return Err(format!("{name} does not run"));
        }
        match running.iter().any(|status| status.in_step) {
            true if self.database.unsent() == 0 => Ok(()),
            true => Err(format!("{name} has something to be sent")),
            false => Err(format!("{name} is not in step: {:?}", running[0])),
        }
    }
}

/// What a process is made of.
#[derive(Debug, Clone)]
struct Parts {
    database: Arc<Database>,
    runtime: Arc<SimRuntime>,
    remote: Arc<Remote>,
    online: watch::Receiver<bool>,
}

async fn run(parts: Parts, habits: &Habits) -> Result<Running, SyncError> {
    let Parts { database, runtime, remote, online } = parts;
    let opening = |source| SyncError::Storage { during: "opening", source };
    let registry = schema().build().map_err(opening)?;
    let runtime: Arc<dyn Runtime> = runtime;
    let storage = Storage::builder(Connection(database), registry, runtime)
        .middleware(AutoPk::new())
        .middleware(SyncLog::new())
        .open()
        .await
        .map_err(opening)?;
    let mut sync = Sync::open(&storage, remote).await?;
    sync = sync.limits(habits.limits).deadline(habits.deadline);
    #[cfg(feature = "deliberate-faults")]
    if let Some(fault) = habits.fault {
        sync = sync.deliberate_fault(fault);
    }
    if habits.shared {
        sync = sync.exclusive(Exclusive::lease(&storage, LeaseTimes::default()).await?);
    }
    let sync = ContinuousSync::builder(sync)
        .intervals(habits.shortest, habits.longest)
        .gather(habits.gather)
        .backoff(habits.backoff)
        .online(online)
        .start();
    Ok(Running { storage, sync: Arc::new(sync) })
}

/// A write of the application: whatever is committed while it is polled is its own.
struct Attributed<'a, F> {
    database: &'a Database,
    write: u64,
    future: Pin<Box<F>>,
}

impl<F: Future> Future for Attributed<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.database.attribute(Some(self.write));
        let polled = self.future.as_mut().poll(cx);
        self.database.attribute(None);
        polled
    }
}
