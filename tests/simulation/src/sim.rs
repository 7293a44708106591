//! [`Sim`]: virtual time, and tasks on one thread.
//!
//! Nothing here knows a real clock: time moves only from one timer to the next. Of the tasks that can go on, the oldest is
//! polled first, and not the one that was woken first: whoever waits for one thing is woken in an order that a seed does not
//! decide (`tokio::sync::watch` draws it). So the same seed gives the same run.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use storex_core::BoxFuture;

use crate::trace::Trace;

/// Tasks that die together: those of one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Group(u64);

/// What is not on a device: the network and the shared log. It never dies.
pub(crate) const WORLD: Group = Group(0);

/// Virtual time, the tasks, and what has happened so far.
pub(crate) struct Sim {
    state: Mutex<State>,
    ready: Arc<Ready>,
    trace: Mutex<Trace>,
    violation: Mutex<Option<String>>,
}

#[derive(Default)]
struct State {
    now: Duration,
    serial: u64,
    timers: BTreeMap<(Duration, u64), Waker>,
    tasks: BTreeMap<u64, Task>,
    alive: BTreeSet<Group>,
}

struct Task {
    group: Group,
    /// Not while it is polled.
    future: Option<BoxFuture<'static, ()>>,
    waker: Arc<TaskWaker>,
}

type Ready = Mutex<BTreeSet<u64>>;

struct TaskWaker {
    task: u64,
    queued: AtomicBool,
    ready: Arc<Ready>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        if !self.queued.swap(true, Ordering::SeqCst) {
            lock(&self.ready).insert(self.task);
        }
    }
}

pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Sim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sim").field("now", &self.now()).finish_non_exhaustive()
    }
}

impl Sim {
    pub(crate) fn new(trace: Trace) -> Arc<Self> {
        let state = State { alive: BTreeSet::from([WORLD]), ..State::default() };
        let (ready, violation) = (Arc::default(), Mutex::default());
        Arc::new(Self { state: Mutex::new(state), ready, trace: Mutex::new(trace), violation })
    }

    /// How long it runs.
    pub(crate) fn now(&self) -> Duration {
        lock(&self.state).now
    }

    /// Begins a process.
    pub(crate) fn group(&self) -> Group {
        let mut state = lock(&self.state);
        state.serial += 1;
        let group = Group(state.serial);
        state.alive.insert(group);
        group
    }

    /// Ends a process where it stands: its tasks are dropped, and whatever their ends would still start is not.
    pub(crate) fn kill(&self, group: Group) {
        let dead: Vec<Task> = {
            let mut state = lock(&self.state);
            state.alive.remove(&group);
            let ids = state.tasks.iter().filter(|(_, task)| task.group == group);
            let ids: Vec<u64> = ids.map(|(id, _)| *id).collect();
            ids.iter().filter_map(|id| state.tasks.remove(id)).collect()
        };
        drop(dead);
    }

    /// Runs a task, unless its process is dead.
    pub(crate) fn spawn(&self, group: Group, future: BoxFuture<'static, ()>) {
        let mut state = lock(&self.state);
        if !state.alive.contains(&group) {
            drop(state);
            return drop(future);
        }
        state.serial += 1;
        let id = state.serial;
        let ready = Arc::clone(&self.ready);
        let waker = Arc::new(TaskWaker { task: id, queued: AtomicBool::new(true), ready });
        state.tasks.insert(id, Task { group, future: Some(future), waker });
        lock(&self.ready).insert(id);
    }

    /// Polls all tasks that can go on, until none can.
    pub(crate) fn run_ready(&self) {
        loop {
            let Some(id) = lock(&self.ready).pop_first() else { return };
            let taken = lock(&self.state).tasks.get_mut(&id).and_then(|task| {
                task.waker.queued.store(false, Ordering::SeqCst);
                Some((task.future.take()?, Arc::clone(&task.waker)))
            });
            let Some((mut future, waker)) = taken else { continue };
            let waker = Waker::from(waker);
            let polled = future.as_mut().poll(&mut Context::from_waker(&waker));
            let mut state = lock(&self.state);
            let gone = match polled {
                Poll::Ready(()) => (state.tasks.remove(&id), Some(future)),
                Poll::Pending => match state.tasks.get_mut(&id) {
                    Some(task) => {
                        task.future = Some(future);
                        (None, None)
                    }
                    None => (None, Some(future)),
                },
            };
            // What is dropped may come back here.
            drop(state);
            drop(gone);
        }
    }

    /// When the next timer runs out.
    pub(crate) fn next_timer(&self) -> Option<Duration> {
        lock(&self.state).timers.first_key_value().map(|((at, _), _)| *at)
    }

    /// Moves time on, and lets the first timer run out if it is due by then.
    pub(crate) fn advance(&self, to: Duration) {
        let fired = {
            let mut state = lock(&self.state);
            state.now = state.now.max(to);
            match state.timers.first_key_value() {
                Some(((at, _), _)) if *at <= state.now => state.timers.pop_first(),
                _ => None,
            }
        };
        if let Some((_, waker)) = fired {
            waker.wake();
        }
    }

    pub(crate) fn sleep(self: &Arc<Self>, duration: Duration) -> Sleep {
        let at = self.now().saturating_add(duration);
        Sleep { sim: Arc::clone(self), at, timer: None }
    }

    /// Notes what has happened.
    pub(crate) fn note(&self, who: &str, what: fmt::Arguments<'_>) {
        let now = self.now();
        lock(&self.trace).line(now, who, what);
    }

    /// Notes that a promise was broken; the first one counts.
    pub(crate) fn violate(&self, what: String) {
        self.note("simulator", format_args!("VIOLATION: {what}"));
        lock(&self.violation).get_or_insert(what);
    }

    pub(crate) fn violation(&self) -> Option<String> {
        lock(&self.violation).clone()
    }

    pub(crate) fn take_trace(&self) -> Trace {
        std::mem::take(&mut *lock(&self.trace))
    }

    /// Ends everything.
    pub(crate) fn end(&self) {
        let groups: Vec<Group> = lock(&self.state).alive.iter().copied().collect();
        for group in groups.into_iter().rev() {
            self.kill(group);
        }
        lock(&self.state).timers.clear();
    }
}

/// A timer.
#[derive(Debug)]
pub(crate) struct Sleep {
    sim: Arc<Sim>,
    at: Duration,
    timer: Option<u64>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let sim = Arc::clone(&self.sim);
        let mut state = lock(&sim.state);
        if state.now >= self.at {
            return Poll::Ready(());
        }
        let timer = *self.timer.get_or_insert_with(|| {
            state.serial += 1;
            state.serial
        });
        state.timers.insert((self.at, timer), cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(timer) = self.timer {
            let waker = lock(&self.sim.state).timers.remove(&(self.at, timer));
            drop(waker);
        }
    }
}
