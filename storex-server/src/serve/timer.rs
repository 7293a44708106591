//! hyper's timers, made of the `Runtime`'s.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hyper::rt::{Sleep, Timer};
use storex_core::{BoxFuture, Runtime};

/// hyper's timers, made of the `Runtime`'s.
#[derive(Debug)]
pub(super) struct RuntimeTimer {
    runtime: Arc<dyn Runtime>,
    /// hyper says until when, and the runtime is asked for how long: from here on.
    origin: Instant,
}

impl RuntimeTimer {
    #[allow(clippy::disallowed_methods)] // a name for "now" that never moves; the time is the runtime's
    pub(super) fn new(runtime: Arc<dyn Runtime>) -> Self {
        Self { runtime, origin: Instant::now() }
    }
}

impl Timer for RuntimeTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        Box::pin(Sleeping::new(self.runtime.sleep(duration)))
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        self.sleep(deadline.saturating_duration_since(self.origin))
    }

    fn now(&self) -> Instant {
        self.origin
    }
}

/// A sleep that hyper takes, which wants it to be `Sync`. The mutex is never locked.
pub(super) struct Sleeping(Mutex<BoxFuture<'static, ()>>);

impl Sleeping {
    pub(super) fn new(sleep: BoxFuture<'static, ()>) -> Self {
        Self(Mutex::new(sleep))
    }
}

impl Future for Sleeping {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner).as_mut().poll(cx)
    }
}

impl Sleep for Sleeping {}
