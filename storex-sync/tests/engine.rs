//! The engine as a state machine, under random events: what it promises, whatever happens in whatever order.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;
use storex_core::Timestamp;
use storex_sync::engine::{
    Action, Backoff, Caller, Config, Effect, Engine, Event, Look, Next, Outbox, Outcome,
    Remembered, Rescoped, Round, Timer, Triggers,
};
use storex_sync::{
    Applied, Compacted, Cursor, Device, InitialSyncReport, LogId, MissingWrite, Page, Phase, Place,
    SealedTransaction, SyncError, WriteId,
};

/// What may happen.
#[derive(Debug, Clone, Copy)]
enum Happens {
    /// Something is written here, and it is told.
    Write,
    /// Something arrives in the shared log.
    Arrive,
    /// Something of it cannot be given from now on (`true`), or can again.
    Lack(bool),
    News,
    Online(bool),
    Awake(bool),
    SyncNow,
    Pause(bool),
    /// Another instance does, which nobody tells.
    PauseElsewhere(bool),
    LoggedIn,
    /// What is under way ends well.
    Done,
    /// It fails.
    Fails(Fails),
    /// The log was compacted, or not.
    Compacted(bool),
    /// The next timer runs out.
    Wait,
    Stop,
}

#[derive(Debug, Clone, Copy)]
enum Fails {
    Transport,
    RateLimited,
    Unauthorized,
    Replaced,
    Elsewhere,
}

fn happens() -> impl Strategy<Value = Happens> {
    let fails = prop_oneof![
        4 => Just(Fails::Transport),
        1 => Just(Fails::RateLimited),
        1 => Just(Fails::Unauthorized),
        1 => Just(Fails::Replaced),
        2 => Just(Fails::Elsewhere),
    ];
    prop_oneof![
        6 => Just(Happens::Write),
        2 => Just(Happens::Arrive),
        1 => any::<bool>().prop_map(Happens::Lack),
        1 => Just(Happens::News),
        2 => any::<bool>().prop_map(Happens::Online),
        2 => any::<bool>().prop_map(Happens::Awake),
        2 => Just(Happens::SyncNow),
        1 => any::<bool>().prop_map(Happens::Pause),
        1 => any::<bool>().prop_map(Happens::PauseElsewhere),
        1 => Just(Happens::LoggedIn),
        20 => Just(Happens::Done),
        3 => fails.prop_map(Happens::Fails),
        1 => any::<bool>().prop_map(Happens::Compacted),
        8 => Just(Happens::Wait),
    ]
}

fn triggers() -> impl Strategy<Value = Triggers> {
    any::<[bool; 5]>().prop_map(|[startup, timer, local_change, remote_news, online]| Triggers {
        startup,
        timer,
        local_change,
        remote_news,
        online,
    })
}

/// The world around an engine.
struct World {
    engine: Engine,
    triggers: Triggers,
    now: u64,
    timers: BTreeMap<Timer, u64>,
    looking: bool,
    action: Option<Action>,
    compacting: bool,
    acknowledging: bool,
    /// To be sent; how many of them the log has already.
    unsent: u64,
    arrived: u64,
    /// Something of the log cannot be given; and so said the last page.
    lacks: bool,
    told_lack: bool,
    paused: bool,
    /// What the engine was told.
    online: bool,
    awake: bool,
    login: bool,
    /// There was a login since the exchange began.
    logged_in: bool,
    hold_until: u64,
    waiting: BTreeSet<Caller>,
    callers: u64,
    failed: bool,
    place: Option<Place>,
    stopped: bool,
}

impl World {
    fn new(triggers: Triggers, seed: u64) -> Self {
        let config = Config {
            triggers,
            shortest_interval: Duration::from_secs(10),
            longest_interval: Duration::from_secs(40),
            gather: Duration::from_millis(100),
            backoff: Backoff::default(),
            compact_every: Some(Duration::from_secs(60)),
        };
        let mut world = Self {
            engine: Engine::new(config, seed, Remembered::default()),
            triggers,
            now: 1_000_000,
            timers: BTreeMap::new(),
            looking: false,
            action: None,
            compacting: false,
            acknowledging: false,
            unsent: 0,
            arrived: 0,
            lacks: false,
            told_lack: false,
            paused: false,
            online: true,
            awake: true,
            login: false,
            logged_in: false,
            hold_until: 0,
            waiting: BTreeSet::new(),
            callers: 0,
            failed: true,
            place: None,
            stopped: false,
        };
        world.tell(Event::Started);
        world
    }

    fn tell(&mut self, event: Event) {
        let now = Timestamp(self.now.try_into().unwrap());
        for effect in self.engine.step(now, event) {
            self.perform(effect);
        }
        self.check();
    }

    fn perform(&mut self, effect: Effect) {
        let ends = matches!(effect, Effect::Disarm(_) | Effect::StopCompacting);
        assert!(!self.stopped || ends, "after its end: {effect:?}");
        match effect {
            Effect::Look => {
                assert!(!self.is_busy(), "two things at once");
                self.looking = true;
            }
            Effect::Perform(action) => {
                assert!(!self.is_busy(), "two things at once");
                if action == Action::ReadPlace {
                    assert!(self.awake, "an exchange in its sleep");
                    assert!(self.online, "an exchange without a connection");
                    assert!(!self.login, "an exchange without a login");
                    self.logged_in = false;
                    assert!(self.now >= self.hold_until, "an exchange that the log does not want");
                }
                self.action = Some(action);
            }
            Effect::Acknowledge => {
                assert!(!self.is_busy(), "two things at once");
                assert!(self.awake && self.online && !self.login && self.now >= self.hold_until);
                self.acknowledging = true;
            }
            Effect::RoundOver { went_through } => self.failed = !went_through,
            Effect::Arm(timer, after) => {
                let after = u64::try_from(after.as_millis()).unwrap();
                self.timers.insert(timer, self.now + after);
            }
            Effect::Disarm(timer) => {
                self.timers.remove(&timer);
            }
            Effect::Answer(callers, _) => {
                for caller in callers {
                    assert!(self.waiting.remove(&caller), "answered twice, or never asked");
                }
            }
            Effect::Remember(_) | Effect::Tell(_) => {}
            Effect::BreakOff => {
                assert!(!self.awake && self.is_busy(), "nothing is broken off");
                (self.looking, self.acknowledging, self.action) = (false, false, None);
            }
            Effect::Compact => {
                assert!(!self.compacting, "twice at once");
                assert!(self.online && !self.login && self.now >= self.hold_until);
                assert_eq!((self.unsent, self.failed), (0, false), "not in step");
                self.compacting = true;
            }
            Effect::StopCompacting => {
                assert!(std::mem::take(&mut self.compacting), "nothing is stopped");
            }
            Effect::Stopped => {
                self.stopped = true;
                self.waiting.clear();
            }
        }
    }

    fn is_busy(&self) -> bool {
        self.looking || self.acknowledging || self.action.is_some()
    }

    fn check(&self) {
        let status = self.engine.status();
        let busy = self.is_busy();
        assert_eq!(self.engine.is_busy(), busy);
        let asks = self.online && !self.login && self.now >= self.hold_until;
        let may = self.awake && asks && !self.stopped;
        assert!(self.awake || self.action.is_none(), "it goes on in its sleep");
        assert!(!self.compacting || may, "it is compacted where nothing may be asked of the log");
        if self.stopped {
            assert_eq!((status.phase, busy), (Phase::Stopped, false));
            return;
        }
        if status.in_step {
            assert_eq!((self.unsent, self.failed), (0, false), "in step with something to send");
            assert!(self.awake && self.online && !self.login && !self.failed);
            assert!(!self.told_lack, "in step with something missing");
        }
        assert_eq!(status.missing.is_empty(), status.missing_since.is_none());
        let awake = busy || !self.timers.is_empty();
        let free = self.awake && self.online && !self.login && !self.paused;
        let automatic = self.triggers.local_change || self.triggers.timer;
        let trying = status.failures > 0 || status.phase == Phase::StandingBy;
        let pending = (self.unsent > 0 && automatic) || trying;
        // A pause that another instance has taken away is found by the timer only.
        if free && pending && status.phase != Phase::Paused {
            assert!(awake, "asleep with something to do: {:?}", self.engine);
        }
        let forgotten = !self.waiting.is_empty() && self.awake && !awake;
        assert!(!forgotten, "somebody waits and is forgotten");
    }

    fn happens(&mut self, happens: Happens) {
        match happens {
            Happens::Write => {
                self.unsent += 1;
                self.tell(Event::Changed);
            }
            Happens::Arrive => self.arrived += 1,
            Happens::Lack(lacks) => self.lacks = lacks,
            Happens::News => self.tell(Event::News),
            Happens::Online(online) => {
                self.online = online;
                self.tell(Event::Online(online));
            }
            Happens::Awake(awake) => {
                self.awake = awake;
                self.tell(Event::Awake(awake));
            }
            Happens::SyncNow => {
                self.callers += 1;
                let caller = Caller(self.callers);
                self.waiting.insert(caller);
                self.tell(Event::SyncNow(caller));
            }
            Happens::Pause(pause) => {
                self.paused = pause;
                self.tell(if pause { Event::Paused } else { Event::Resumed });
            }
            Happens::PauseElsewhere(pause) => self.paused = pause,
            Happens::LoggedIn => {
                (self.login, self.logged_in) = (false, true);
                self.tell(Event::LoggedIn);
            }
            Happens::Done => self.done(),
            Happens::Fails(fails) => self.fails(fails),
            Happens::Compacted(well) => {
                if std::mem::take(&mut self.compacting) {
                    let failed = SyncError::LogReplaced;
                    let result = if well { Ok(Compacted::default()) } else { Err(failed) };
                    self.tell(Event::Compacted(result));
                }
            }
            Happens::Wait => self.wait(),
            Happens::Stop => self.tell(Event::Stop),
        }
    }

    fn wait(&mut self) {
        let next = self.timers.iter().min_by_key(|(_, at)| **at);
        let Some((timer, at)) = next.map(|(timer, at)| (*timer, *at)) else { return };
        self.timers.remove(&timer);
        self.now = self.now.max(at);
        self.tell(Event::Fired(timer));
    }

    fn done(&mut self) {
        if std::mem::take(&mut self.looking) {
            let look = Look { unsent: self.unsent, paused: self.paused, ..Look::default() };
            return self.tell(Event::Looked(Ok(look)));
        }
        if std::mem::take(&mut self.acknowledging) {
            return self.tell(Event::Acknowledged);
        }
        let Some(action) = self.action.take() else { return };
        let outcome = match action {
            Action::ReadPlace => {
                let (device, place) = (Device::default(), self.place.clone());
                Outcome::Place {
                    device,
                    sent_to: 1,
                    place,
                    first: false,
                    ahead: false,
                    untold: false,
                    scoped: false,
                }
            }
            Action::Register(_) | Action::Reidentify(_) => Outcome::Registered(LogId([1; 16])),
            Action::SavePlace(place) => {
                self.place = Some(place);
                Outcome::PlaceSaved
            }
            Action::ReadOutbox(device) => Outcome::Outbox(self.outbox(device)),
            Action::Flush => Outcome::Durable,
            Action::Exchange(request) => Outcome::Exchanged(request.read.map(|at| self.page(at))),
            Action::Trim(_, count) => {
                self.unsent -= count;
                Outcome::Trimmed
            }
            Action::Apply(transactions, cursor) => {
                self.place = Some(cursor.to);
                let transactions = transactions.len() as u64;
                Outcome::Applied(Applied { transactions, ..Applied::default() })
            }
            Action::Renew(..) => Outcome::Renewed(None),
            Action::LogState => Outcome::StateLogged,
            Action::PutAside(_) => Outcome::PutAside(Vec::new()),
            Action::Restore(_) => Outcome::Restored(InitialSyncReport::default()),
            Action::RetryParked(_) => Outcome::Retried(Applied::default()),
            Action::Rescope { .. } => Outcome::Rescoped(Rescoped::default()),
        };
        self.tell(Event::Performed(Ok(outcome)));
    }

    /// At most three at once; the last is called by their number.
    fn outbox(&self, device: Device) -> Outbox {
        let count = self.unsent.min(3);
        let sealed = |sequence| SealedTransaction { device, sequence, payload: Vec::new() };
        let transactions = (1..=count).map(sealed).collect();
        Outbox {
            transactions,
            entries: count,
            more: self.unsent > count,
            next: count + 1,
            state: false,
        }
    }

    fn page(&mut self, Cursor(mut cursor): Cursor) -> Page {
        let count = self.arrived.min(2);
        self.arrived -= count;
        let device = Device { incarnation: 9, ..Device::default() };
        let sealed = |sequence| SealedTransaction { device, sequence, payload: Vec::new() };
        cursor.extend((0..count).map(|_| 0));
        let more = self.arrived > 0;
        self.told_lack = self.lacks && !more;
        let missing =
            MissingWrite { write: WriteId { device, sequence: 9 }, reason: "damaged".to_owned() };
        Page {
            log: LogId([1; 16]),
            transactions: (0..count).map(sealed).collect(),
            cursor: Cursor(cursor),
            more,
            own: 0,
            missing: self.told_lack.then_some(missing).into_iter().collect(),
        }
    }

    fn fails(&mut self, fails: Fails) {
        let during = "testing";
        let reason = || "because".to_owned();
        if std::mem::take(&mut self.looking) {
            self.failed = true;
            let error = SyncError::Transport { during, reason: reason() };
            return self.tell(Event::Looked(Err(error)));
        }
        if self.action.take().is_none() {
            return;
        }
        self.failed = true;
        let error = match fails {
            Fails::Transport => SyncError::Transport { during, reason: reason() },
            Fails::RateLimited => {
                self.hold_until = self.now + 5_000;
                SyncError::RateLimited { retry_after: Duration::from_secs(5) }
            }
            Fails::Unauthorized => {
                self.login = !std::mem::take(&mut self.logged_in);
                SyncError::Unauthorized { reason: reason() }
            }
            Fails::Replaced => SyncError::LogReplaced,
            Fails::Elsewhere => SyncError::HeldElsewhere,
        };
        self.tell(Event::Performed(Err(error)));
    }

    /// Everything is well from now on.
    fn heal(&mut self) {
        self.happens(Happens::Lack(false));
        self.happens(Happens::LoggedIn);
        self.happens(Happens::Awake(true));
        self.happens(Happens::Online(true));
        self.happens(Happens::Pause(false));
        for _ in 0..500 {
            if self.is_busy() {
                self.done();
            } else if self.settled() {
                return;
            } else {
                self.wait();
            }
        }
    }

    fn settled(&self) -> bool {
        let status = self.engine.status();
        status.in_step || self.timers.is_empty()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn it_never_sleeps_with_work_to_do_and_never_lies(
        triggers in triggers(),
        seed in any::<u64>(),
        events in proptest::collection::vec(happens(), 1..120),
    ) {
        let mut world = World::new(triggers, seed);
        for event in events {
            world.happens(event);
        }
        world.heal();
        prop_assert!(world.waiting.is_empty(), "somebody was not answered");
        // A resume makes an exchange even where nothing else does.
        prop_assert!(world.engine.status().in_step, "{:?}", world.engine);
        prop_assert_eq!(world.unsent, 0);
    }

    /// Stopping ends it, whatever is under way, and then nothing happens any more.
    #[test]
    fn it_ends_when_it_is_told_to(
        triggers in triggers(),
        events in proptest::collection::vec(happens(), 1..60),
        after in proptest::collection::vec(happens(), 1..30),
    ) {
        let mut world = World::new(triggers, 1);
        for event in events {
            world.happens(event);
        }
        world.happens(Happens::Stop);
        for event in after {
            world.happens(event);
        }
        while world.engine.is_busy() {
            world.done();
        }
        prop_assert!(world.stopped);
    }

    /// C55.
    #[test]
    fn c55_each_wait_is_between_half_and_the_whole(failures in 1_u32..2000, random in any::<u64>()) {
        let backoff = Backoff::default();
        let exponent = i32::try_from(failures - 1).unwrap();
        let whole = 2_f64.powi(exponent).min(backoff.cap.as_secs_f64());
        let delay = backoff.delay(failures, random).as_secs_f64();
        prop_assert!(delay >= whole / 2.0 - 1e-6 && delay <= whole + 1e-6, "{delay} of {whole}");
    }
}

const NOW: Timestamp = Timestamp(1_000_000);

fn looked(engine: &mut Engine, paused: bool) -> Vec<Effect> {
    engine.step(NOW, Event::Looked(Ok(Look { paused, ..Look::default() })))
}

/// An engine whose first exchange has begun.
fn exchanging() -> Engine {
    let mut engine = Engine::new(Config::default(), 1, Remembered::default());
    engine.step(NOW, Event::Started);
    let effects = looked(&mut engine, false);
    assert!(matches!(effects[..], [Effect::Perform(Action::ReadPlace)]), "{effects:?}");
    engine
}

/// The exchange fails, and the database is looked at behind it.
fn fails(engine: &mut Engine, error: SyncError) -> Vec<Effect> {
    engine.step(NOW, Event::Performed(Err(error)));
    looked(engine, false)
}

#[test]
fn c50_one_that_stands_by_looks_every_second_whatever_failed_before() {
    let mut engine = exchanging();
    for _ in 0..9 {
        let reason = "no route".to_owned();
        fails(&mut engine, SyncError::Transport { during: "testing", reason });
        engine.step(NOW, Event::Fired(Timer::Round));
        looked(&mut engine, false);
    }
    let effects = fails(&mut engine, SyncError::HeldElsewhere);
    let second = Duration::from_secs(1);
    let armed =
        |effect: &Effect| matches!(effect, Effect::Arm(Timer::Round, after) if *after == second);
    assert!(effects.iter().any(armed), "{effects:?}");
    assert_eq!(engine.status().phase, Phase::StandingBy);
}

#[test]
fn c75_a_login_while_the_old_one_is_refused_counts() {
    let refused = || SyncError::Unauthorized { reason: "it is over".to_owned() };
    let mut engine = exchanging();
    engine.step(NOW, Event::LoggedIn);
    let effects = fails(&mut engine, refused());
    assert!(matches!(effects[..], [.., Effect::Look]), "it tries again: {effects:?}");
    looked(&mut engine, false);
    fails(&mut engine, refused());
    assert_eq!(engine.status().phase, Phase::NeedsLogin, "the new one is refused, too");
}

#[test]
fn c74_a_look_from_before_a_resume_does_not_overrule_it() {
    let mut engine = Engine::new(Config::default(), 1, Remembered::default());
    engine.step(NOW, Event::Started);
    engine.step(NOW, Event::Resumed);
    let effects = looked(&mut engine, true);
    assert!(matches!(effects[..], [Effect::Perform(Action::ReadPlace)]), "{effects:?}");
}

/// Another program has sent and trimmed what was read, before it was noted as given to the log: what is behind it is read.
#[test]
fn an_outbox_that_is_empty_for_now_is_read_again() {
    let mut round = Round::new();
    let place = Some(Place { log: LogId([1; 16]), cursor: Cursor::default() });
    let device = Device::default();
    let begun = Outcome::Place {
        device,
        sent_to: 1,
        place,
        first: false,
        ahead: false,
        untold: false,
        scoped: false,
    };
    assert_eq!(round.step(begun).unwrap(), Next::Do(Action::ReadOutbox(device)));
    let empty = Outbox { more: true, next: 3, ..Outbox::default() };
    let next = round.step(Outcome::Outbox(empty)).unwrap();
    assert_eq!(next, Next::Do(Action::ReadOutbox(device)));
    let next = round.step(Outcome::Outbox(Outbox { next: 3, ..Outbox::default() })).unwrap();
    assert!(matches!(next, Next::Do(Action::Exchange(..))), "{next:?}");
}
