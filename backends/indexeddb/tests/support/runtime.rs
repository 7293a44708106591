//! [`Virtual`]: a runtime whose sleeps take no time.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use storex_conformance::CaseRuntime;
use storex_core::{BoxFuture, Runtime, Timestamp};

/// A runtime whose sleeps take no time and are kept. What else happens meanwhile, the test says.
#[derive(Clone)]
pub(crate) struct Virtual {
    case: Arc<CaseRuntime>,
    slept: Arc<Mutex<Vec<u64>>>,
    meanwhile: Rc<dyn Fn() -> BoxFuture<'static, ()>>,
}

impl Virtual {
    /// Randomness begins at the seed.
    pub(crate) fn new(seed: u64) -> Self {
        let nothing = || -> BoxFuture<'static, ()> { Box::pin(std::future::ready(())) };
        Self {
            case: Arc::new(CaseRuntime::new(seed)),
            slept: Arc::default(),
            meanwhile: Rc::new(nothing),
        }
    }

    /// A sleep lasts until what happens meanwhile is over.
    pub(crate) fn meanwhile(
        mut self,
        happens: impl Fn() -> BoxFuture<'static, ()> + 'static,
    ) -> Self {
        self.meanwhile = Rc::new(happens);
        self
    }

    /// The sleeps so far, in milliseconds.
    pub(crate) fn slept(&self) -> Vec<u64> {
        self.slept.lock().unwrap().clone()
    }
}

impl std::fmt::Debug for Virtual {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Virtual").field("slept", &self.slept()).finish_non_exhaustive()
    }
}

impl Runtime for Virtual {
    fn now(&self) -> Timestamp {
        self.case.now()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.slept.lock().unwrap().push(u64::try_from(duration.as_millis()).unwrap());
        (self.meanwhile)()
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.case.spawn(task);
    }

    fn fill_random(&self, buffer: &mut [u8]) {
        self.case.fill_random(buffer);
    }
}
