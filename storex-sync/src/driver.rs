//! Drives the [`Engine`] over a storage and a shared log.

use std::collections::{HashMap, VecDeque};
use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use storex_core::{BoxFuture, ChangeEvent, ChangeSet, ChangeStream, Origin, Runtime};
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use crate::compact::Compacted;
use crate::engine::status::{Phase, SyncEvent, SyncStatus};
use crate::engine::{Action, Caller, Config, Effect, Engine, Event, Look, Remembered, Timer};
use crate::error::{Result, SyncError, describe};
use crate::exclusive::Guard;
use crate::lane::Lane;
use crate::place::read_place;
use crate::recovery::Recovery;
use crate::report::SyncReport;
use crate::sync::{Sync, Turn};

/// What is asked of a running continuous sync.
#[derive(Debug)]
pub(crate) enum Command {
    SyncNow(oneshot::Sender<Result<SyncReport>>),
    /// Answered when nothing is under way.
    Paused(oneshot::Sender<()>),
    Resumed,
    LoggedIn,
    /// Where nobody has said who tells whether this program runs.
    #[cfg(any(test, all(target_family = "wasm", feature = "web")))]
    Follow(watch::Receiver<bool>),
    /// Answered when it has ended.
    Stop(oneshot::Sender<()>),
}

/// What it tells, and whom it listens to.
#[derive(Debug)]
pub(crate) struct Wires {
    pub(crate) commands: mpsc::UnboundedReceiver<Command>,
    pub(crate) online: Option<watch::Receiver<bool>>,
    pub(crate) awake: Option<watch::Receiver<bool>>,
    pub(crate) status: watch::Sender<SyncStatus>,
    pub(crate) events: broadcast::Sender<SyncEvent>,
    /// Why the last exchange failed.
    pub(crate) failure: watch::Sender<Option<Arc<SyncError>>>,
}

/// Keeps a storage in step until it is told to stop.
pub(crate) async fn run(sync: Sync, config: Config, wires: Wires) {
    let storage = sync.replica.storage.clone();
    let runtime = Arc::clone(storage.runtime());
    // Before the first look, so that nothing is missed.
    let changes = Some(storage.changes());
    let remembered = Remembered::read(&storage).await.unwrap_or_else(|error| {
        tracing::debug!(error = %describe(&error), "what sync remembers cannot be read");
        Remembered::default()
    });
    let mut seed = [0; 8];
    runtime.fill_random(&mut seed);
    let engine = Engine::new(config, u64::from_le_bytes(seed), remembered);
    let driver = Driver {
        listens: config.triggers.remote_news,
        sync,
        storage,
        runtime,
        engine,
        wires,
        changes,
        dropped: false,
        doing: None,
        turn: None,
        holds: None,
        news: None,
        compacting: None,
        timers: Timers::default(),
        callers: HashMap::new(),
        last_caller: 0,
        quiet: Vec::new(),
    };
    driver.run().await;
}

struct Driver {
    sync: Sync,
    storage: Lane,
    runtime: Arc<dyn Runtime>,
    engine: Engine,
    wires: Wires,
    changes: Option<ChangeStream>,
    /// Whether to ask the shared log to tell of news.
    listens: bool,
    /// The application has let go of it.
    dropped: bool,
    /// The look or step that is under way.
    doing: Option<BoxFuture<'static, Done>>,
    /// While an exchange is under way, and no step of it.
    turn: Option<Turn>,
    /// Between exchanges, so that no other program takes over without need.
    holds: Option<Guard>,
    news: Option<BoxFuture<'static, Result<()>>>,
    compacting: Option<BoxFuture<'static, Result<Compacted>>>,
    timers: Timers,
    callers: HashMap<Caller, oneshot::Sender<Result<SyncReport>>>,
    last_caller: u64,
    /// Those who wait until nothing is under way.
    quiet: Vec<oneshot::Sender<()>>,
}

struct Done {
    event: Event,
    turn: Option<Turn>,
}

#[derive(Default)]
struct Timers {
    round: Option<BoxFuture<'static, ()>>,
    gather: Option<BoxFuture<'static, ()>>,
    hold: Option<BoxFuture<'static, ()>>,
}

impl Driver {
    async fn run(mut self) {
        // What is not known to be off-line is on-line, and what is not known to sleep is awake.
        let known = |signal: &mut Option<watch::Receiver<bool>>| {
            signal.as_mut().is_none_or(|signal| *signal.borrow_and_update())
        };
        let (online, awake) = (known(&mut self.wires.online), known(&mut self.wires.awake));
        let mut next = Some(Event::Started);
        if !online && !self.step(Event::Online(false)).await {
            return;
        }
        if !awake && !self.step(Event::Awake(false)).await {
            return;
        }
        loop {
            if let Some(event) = next.take()
                && !self.step(event).await
            {
                return;
            }
            next = self.next().await;
        }
    }

    /// What happens next. What was written comes before what was found out by looking.
    async fn next(&mut self) -> Option<Event> {
        let Self { wires, changes, dropped, doing, timers, news, compacting, .. } = self;
        tokio::select! {
            biased;
            command = wires.commands.recv(), if !*dropped => self.command(command),
            change = next_change(changes) => self.change(change),
            online = next_told(&mut wires.online) => Some(Event::Online(online)),
            awake = next_told(&mut wires.awake) => Some(Event::Awake(awake)),
            Done { event, turn } = or_never(doing) => {
                self.turn = turn;
                Some(event)
            }
            () = or_never(&mut timers.hold) => Some(Event::Fired(Timer::Hold)),
            () = or_never(&mut timers.round) => Some(Event::Fired(Timer::Round)),
            () = or_never(&mut timers.gather) => Some(Event::Fired(Timer::Gather)),
            news = or_never(news) => match news {
                Ok(()) => Some(Event::News),
                // An exchange is told the same, and says what follows from it.
                Err(error) if error.recovery() == Recovery::LogIn => Some(Event::News),
                Err(error) => {
                    tracing::debug!(error = %describe(&error), "the shared log tells no news");
                    None
                }
            },
            compacted = or_never(compacting) => Some(Event::Compacted(compacted)),
        }
    }

    fn command(&mut self, command: Option<Command>) -> Option<Event> {
        Some(match command {
            Some(Command::SyncNow(answer)) => {
                self.last_caller += 1;
                let caller = Caller(self.last_caller);
                self.callers.insert(caller, answer);
                Event::SyncNow(caller)
            }
            Some(Command::Paused(answer)) => {
                self.quiet.push(answer);
                Event::Paused
            }
            Some(Command::Resumed) => Event::Resumed,
            Some(Command::LoggedIn) => Event::LoggedIn,
            #[cfg(any(test, all(target_family = "wasm", feature = "web")))]
            Some(Command::Follow(mut awake)) => {
                if self.wires.awake.is_some() {
                    return None;
                }
                let is_awake = *awake.borrow_and_update();
                self.wires.awake = Some(awake);
                return (!is_awake).then_some(Event::Awake(false));
            }
            Some(Command::Stop(answer)) => {
                self.quiet.push(answer);
                Event::Stop
            }
            None => {
                self.dropped = true;
                Event::Stop
            }
        })
    }

    fn change(&mut self, change: Option<ChangeEvent>) -> Option<Event> {
        match change {
            // What sync has applied is not to be sent.
            Some(ChangeEvent::Changed(set)) if set.origin == Origin::Sync => None,
            // Nor is what another lane sends, or nobody.
            Some(ChangeEvent::Changed(set)) if !self.sends(&set) => None,
            Some(_) => Some(Event::Changed),
            // The storage is closed.
            None => {
                self.changes = None;
                Some(Event::Stop)
            }
        }
    }

    fn sends(&self, set: &ChangeSet) -> bool {
        let numbers = &self.sync.replica.numbers;
        set.changes.iter().any(|change| numbers.get(&change.collection).is_some())
    }

    /// Whether it goes on.
    async fn step(&mut self, event: Event) -> bool {
        if let Event::Performed(Err(error)) | Event::Looked(Err(error)) = &event {
            tracing::debug!(error = %describe(error), "an exchange failed");
            // What stood in the way before does so no more.
            if error.recovery() != Recovery::Intervene {
                self.wires.failure.send_if_modified(|failure| failure.take().is_some());
            }
        }
        let mut goes_on = true;
        let mut effects = VecDeque::from(self.engine.step(self.runtime.now(), event));
        // Whoever gets an answer finds the status that belongs to it.
        self.publish();
        while let Some(effect) = effects.pop_front() {
            goes_on &= !matches!(effect, Effect::Stopped);
            match effect {
                Effect::Remember(remembered) => effects.extend(self.remember(remembered).await),
                effect => self.perform(effect),
            }
        }
        let phase = self.engine.status().phase;
        if !matches!(phase, Phase::Waiting | Phase::Sending | Phase::Receiving) {
            // To listen is a request too.
            self.news = None;
        }
        self.give_up_unused().await;
        if !self.engine.is_busy() {
            // Nobody waiting any more is fine.
            for answer in self.quiet.drain(..) {
                let _ = answer.send(());
            }
        }
        goes_on
    }

    fn publish(&self) {
        let status = self.engine.status();
        self.wires.status.send_if_modified(|known| {
            let changed = known != status;
            if changed {
                known.clone_from(status);
            }
            changed
        });
    }

    /// Writes what is remembered. The database may take its time, and what the application writes meanwhile is known at
    /// once: the status does not say that all is in step. Gives what follows from that.
    async fn remember(&mut self, remembered: Remembered) -> Vec<Effect> {
        let storage = self.storage.clone();
        let mut writing = pin!(remembered.write(&storage));
        let mut effects = Vec::new();
        loop {
            let change = tokio::select! {
                biased;
                change = next_change(&mut self.changes) => change,
                awake = next_told(&mut self.wires.awake) => {
                    effects.extend(self.engine.step(self.runtime.now(), Event::Awake(awake)));
                    self.publish();
                    if awake { continue } else { return effects }
                }
                written = &mut writing => {
                    if let Err(error) = written {
                        tracing::debug!(error = %describe(&error), "the status is not remembered");
                    }
                    return effects;
                }
            };
            if let Some(event) = self.change(change) {
                effects.extend(self.engine.step(self.runtime.now(), event));
                self.publish();
            }
        }
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Look => {
                let storage = self.storage.clone();
                self.doing = Some(Box::pin(async move {
                    let event = Event::Looked(Look::at(&storage).await);
                    Done { event, turn: None }
                }));
            }
            Effect::Perform(action) => self.doing = Some(self.act(action)),
            Effect::RoundOver { went_through } => self.round_over(went_through),
            Effect::Acknowledge => {
                let sync = self.sync.clone();
                self.doing = Some(Box::pin(async move {
                    sync.acknowledge_quickly().await;
                    Done { event: Event::Acknowledged, turn: None }
                }));
            }
            Effect::Compact => {
                let sync = self.sync.clone();
                self.compacting = Some(Box::pin(async move { sync.compact_in_step().await }));
            }
            Effect::BreakOff => (self.doing, self.turn) = (None, None),
            Effect::StopCompacting => self.compacting = None,
            Effect::Arm(timer, after) => self.arm(timer, Some(after)),
            Effect::Disarm(timer) => self.arm(timer, None),
            Effect::Answer(callers, result) => self.answer(callers, &result),
            // It takes a while: see `remember`.
            Effect::Remember(_) => {}
            Effect::Tell(event) => {
                match &event {
                    SyncEvent::Failed { error, attempts } => {
                        let said = describe(&**error);
                        tracing::warn!(error = %said, attempts, "devices are not kept in step");
                        self.wires.failure.send_replace(Some(Arc::clone(error)));
                    }
                    SyncEvent::Exchanged(_) => {
                        self.wires.failure.send_replace(None);
                    }
                    SyncEvent::Compacted(_) => {}
                }
                // Nobody listening is fine.
                let _ = self.wires.events.send(event);
            }
            Effect::Stopped => self.callers.clear(),
        }
    }

    fn act(&mut self, action: Action) -> BoxFuture<'static, Done> {
        let (sync, turn) = (self.sync.clone(), self.turn.take());
        Box::pin(async move {
            let turn = match turn {
                Some(turn) => turn,
                None => match sync.turn().await {
                    Ok(turn) => turn,
                    Err(error) => return Done { event: Event::Performed(Err(error)), turn: None },
                },
            };
            let event = Event::Performed(sync.perform(&turn, action).await);
            Done { event, turn: Some(turn) }
        })
    }

    fn round_over(&mut self, went_through: bool) {
        if let Some(mut turn) = self.turn.take() {
            if went_through {
                turn.went_through();
            } else {
                turn.failed();
            }
            self.holds = turn.guard().cloned();
        }
        if went_through && self.listens {
            let sync = self.sync.clone();
            self.news = Some(Box::pin(async move { sync.news().await }));
        }
    }

    /// Another program may sync while this one does not.
    async fn give_up_unused(&mut self) {
        let phase = self.engine.status().phase;
        let unused = matches!(
            phase,
            Phase::Paused
                | Phase::Offline
                | Phase::NeedsLogin
                | Phase::BackingOff { .. }
                | Phase::StandingBy
                | Phase::Stopped
        );
        if !unused {
            return;
        }
        let Some(guard) = self.holds.take() else { return };
        if phase == Phase::StandingBy {
            // Put to sleep, it writes nothing any more: dropped, a lease is released when timers run, or ends by itself.
            return drop(guard);
        }
        if let Err(error) = guard.release().await {
            tracing::debug!(error = %describe(&error), "the lease could not be released; it ends by itself");
        }
    }

    fn arm(&mut self, timer: Timer, after: Option<Duration>) {
        #[cfg(feature = "deliberate-faults")]
        if self.sync.replica.fault == Some(crate::deliberate::DeliberateFault::NoTimerAfterFailure)
            && self.engine.status().failures > 0
        {
            return;
        }
        let slot = match timer {
            Timer::Round => &mut self.timers.round,
            Timer::Gather => &mut self.timers.gather,
            Timer::Hold => &mut self.timers.hold,
        };
        *slot = after.map(|after| self.runtime.sleep(after));
    }

    fn answer(&mut self, callers: Vec<Caller>, result: &Result<Arc<SyncReport>, Arc<SyncError>>) {
        for answer in callers.iter().filter_map(|caller| self.callers.remove(caller)) {
            let answered = match result {
                Ok(report) => Ok(SyncReport::clone(report)),
                Err(error) => Err(SyncError::Joined(Arc::clone(error))),
            };
            // Nobody listening any more is fine.
            let _ = answer.send(answered);
        }
    }
}

impl Sync {
    /// Returns when the shared log has something behind the place where this device is.
    async fn news(&self) -> Result<()> {
        let device = self.device().await?;
        match read_place(&self.replica.storage).await? {
            Some(place) => self.log.changed(device, &place.cursor).await,
            None => pending().await,
        }
    }
}

/// What a future gives, once; never where there is none.
pub(crate) async fn or_never<T>(slot: &mut Option<BoxFuture<'static, T>>) -> T {
    let Some(future) = slot else { return pending().await };
    let output = future.await;
    *slot = None;
    output
}

async fn next_change(changes: &mut Option<ChangeStream>) -> Option<ChangeEvent> {
    match changes {
        Some(changes) => changes.next().await,
        None => pending().await,
    }
}

/// A signal that nobody can give any more stays at "on-line", or "awake".
async fn next_told(signal: &mut Option<watch::Receiver<bool>>) -> bool {
    let Some(receiver) = signal else { return pending().await };
    match receiver.changed().await {
        Ok(()) => *receiver.borrow_and_update(),
        Err(_) => {
            *signal = None;
            true
        }
    }
}
