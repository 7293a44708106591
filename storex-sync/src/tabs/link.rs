//! [`Link`]: the way from a tab to a worker that has answered.

use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use storex_core::{BoxFuture, Runtime};
use wasm_bindgen::JsValue;
use web_sys::MessageChannel;

use super::port::{self, Port, Said};
use super::worker::Worker;
use crate::channel::MessagePortChannel;
use crate::js;

/// How long to wait for the first answer before a worker is asked once more; twice as long each time.
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// How long an application's sync may take to start.
const START: Duration = Duration::from_secs(60);

/// How often a worker is asked for a sign of life.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(2);

pub(super) struct Link {
    port: Port,
    /// Left with the link.
    worker: Rc<Worker>,
    runtime: Arc<dyn Runtime>,
}

/// Why there is no link.
pub(super) enum Lacking {
    /// The browser says so, or the worker.
    Failed(String),
    /// Nobody has answered in that time.
    Silent(Duration),
}

impl fmt::Display for Lacking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(reason) => f.write_str(reason),
            Self::Silent(time) => write!(f, "it does not answer within {} s", time.as_secs_f64()),
        }
    }
}

impl Link {
    /// Comes to a worker whose script may not be loaded yet. Who connects before that is heard by nobody, so it is tried again and again.
    pub(super) async fn open(
        worker: Worker,
        runtime: Arc<dyn Runtime>,
        within: Duration,
    ) -> Result<Self, (Worker, Lacking)> {
        let asked = tokio::select! {
            biased;
            port = greeted(&worker, &*runtime) => port.map_err(|error| Lacking::Failed(js::said(&error))),
            reason = worker.failed() => Err(Lacking::Failed(reason)),
            () = silence(&runtime, within) => Err(Lacking::Silent(within)),
        };
        match asked {
            Ok(port) => Ok(Self { port, worker: Rc::new(worker), runtime }),
            Err(lacking) => Err((worker, lacking)),
        }
    }

    /// Whether a worker that is silent hangs: nothing is heard of one that this tab cannot come to any more.
    pub(super) fn is_in_reach(&self) -> bool {
        self.worker.is_in_reach()
    }

    pub(super) fn worker(&self) -> &Rc<Worker> {
        &self.worker
    }

    /// Whether it gives a sign of life.
    pub(super) async fn answers(&mut self, within: Duration) -> bool {
        if !self.is_in_reach() || self.port.say(port::HELLO).is_err() {
            return false;
        }
        tokio::select! {
            biased;
            () = here(&mut self.port) => true,
            () = silence(&self.runtime, within) => false,
        }
    }

    /// A channel over which the worker serves this tab, until nobody holds a lock any more. The sync may have to be started first.
    pub(super) async fn attach(
        &mut self,
        lock: &str,
        patience: Duration,
    ) -> Result<MessagePortChannel, Lacking> {
        let failed = |error: JsValue| Lacking::Failed(js::said(&error));
        let ports = MessageChannel::new().map_err(failed)?;
        // Made before it is handed over: a worker that is not waited for any more is told so.
        let channel = MessagePortChannel::new(ports.port1());
        self.port.hand(port::ATTACH, lock, &ports.port2()).map_err(failed)?;
        let (mut start, mut ask) = (self.runtime.sleep(START), self.runtime.sleep(HEARTBEAT));
        let mut silent = silence(&self.runtime, patience);
        loop {
            tokio::select! {
                biased;
                Said { what, with, .. } = self.port.hear() => match what.as_str() {
                    port::ATTACHED => return Ok(channel),
                    port::FAILED => return Err(Lacking::Failed(with)),
                    _ => silent = silence(&self.runtime, patience),
                },
                () = &mut ask => {
                    self.port.say(port::HELLO).map_err(failed)?;
                    ask = self.runtime.sleep(HEARTBEAT);
                }
                () = &mut silent => return Err(Lacking::Silent(patience)),
                () = &mut start => {
                    let reason = format!("it has not started within {} s", START.as_secs());
                    return Err(Lacking::Failed(reason));
                }
            }
        }
    }
}

/// So long somebody may be silent who was asked.
///
/// The timers of a tab that is not seen fire once a minute, all at once, and so do those of one that was busy or has slept: a question is asked
/// and its time is over in the same moment. Between two that follow one another whoever is well has answered.
fn silence(runtime: &Arc<dyn Runtime>, time: Duration) -> BoxFuture<'static, ()> {
    let (first, runtime) = (runtime.sleep(time / 2), Arc::clone(runtime));
    Box::pin(async move {
        first.await;
        runtime.sleep(time / 2).await;
    })
}

/// A port on which the worker has answered.
async fn greeted(worker: &Worker, runtime: &dyn Runtime) -> Result<Port, JsValue> {
    let mut wait = FIRST_WAIT;
    loop {
        let mut port = Port::new(worker.port().await?);
        port.say(port::HELLO)?;
        tokio::select! {
            biased;
            () = here(&mut port) => return Ok(port),
            () = runtime.sleep(wait) => wait = (wait * 2).min(LONGEST_WAIT),
        }
    }
}

async fn here(port: &mut Port) {
    while port.hear().await.what != port::HERE {}
}
