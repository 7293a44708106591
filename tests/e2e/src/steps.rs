//! The named steps of the library, as `tracing` events with the target `storex::step`: counted, and one of them fatal.

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// The target of the events.
pub const TARGET: &str = "storex::step";

static SEEN: AtomicU64 = AtomicU64::new(0);
static PHASE: Mutex<&str> = Mutex::new("start");
static APPENDING: AtomicBool = AtomicBool::new(false);
static NAMES: Mutex<Vec<String>> = Mutex::new(Vec::new());
static INSTALLED: OnceLock<Killer> = OnceLock::new();

/// Ends this process with SIGKILL at the `at`-th step (0: never), and first says in the file where that was.
#[derive(Debug, Clone)]
pub struct Killer {
    at: u64,
    told: PathBuf,
}

/// Installs the [`Killer`] for all threads of this process.
///
/// # Panics
/// When it is called twice.
pub fn kill_at(at: u64, told: PathBuf) {
    let killer = Killer { at, told };
    INSTALLED.set(killer.clone()).expect("kill_at is called once");
    tracing::subscriber::set_global_default(killer).expect("no other subscriber");
}

/// Names the part of the script that begins.
pub fn phase(name: &'static str) {
    *PHASE.lock().unwrap_or_else(PoisonError::into_inner) = name;
}

/// A step of the test's own.
pub fn step(step: &'static str) {
    tracing::trace!(target: "storex::step", step);
}

/// The steps that went by, each as `phase/step`, in order.
#[must_use]
pub fn seen() -> Vec<String> {
    NAMES.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Ends this process as `kill -9` does.
pub fn kill_this_process() -> ! {
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    loop {
        // The signal may take a moment; nothing else may happen on this thread meanwhile.
        std::thread::park();
    }
}

struct StepName(Option<String>);

impl Visit for StepName {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "step" {
            self.0 = Some(value.to_owned());
        }
    }

    fn record_debug(&mut self, _field: &Field, _value: &dyn fmt::Debug) {}
}

impl Subscriber for Killer {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == TARGET
    }

    fn event(&self, event: &Event<'_>) {
        let mut name = StepName(None);
        event.record(&mut name);
        let Some(step) = name.0 else { return };
        // The shared log is a SQLite database too: its steps are those while an append is going on.
        match step.as_str() {
            "sync.before_append" => APPENDING.store(true, Ordering::SeqCst),
            "sync.after_append" => APPENDING.store(false, Ordering::SeqCst),
            _ => {}
        }
        let phase = *PHASE.lock().unwrap_or_else(PoisonError::into_inner);
        let append = if APPENDING.load(Ordering::SeqCst) { " append" } else { "" };
        let label = format!("{phase}{append}/{step}");
        // Two threads never both see the fatal number, and none goes past it.
        let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
        names.push(label.clone());
        if SEEN.fetch_add(1, Ordering::SeqCst) + 1 == self.at {
            let _ = std::fs::write(&self.told, label);
            kill_this_process();
        }
    }

    fn new_span(&self, _span: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _span: &Id, _values: &Record<'_>) {}
    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}
    fn enter(&self, _span: &Id) {}
    fn exit(&self, _span: &Id) {}
}
