//! [`serve_tabs`]: the worker's side.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use js_sys::Reflect;
use storex_core::{BoxFuture, Runtime, Source};
use tokio::sync::watch;
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{EventTarget, MessageEvent, MessagePort};

use super::ending_channel::EndingChannel;
use super::following::following;
use super::hosted::{Hosted, Started, Starting};
use super::name::WorkerName;
use super::port::{self, Port, Said};
use crate::channel::MessagePortChannel;
use crate::continuous::ContinuousSync;
use crate::driver::or_never;
use crate::engine::status::{Phase, SyncStatus};
use crate::error::{Result, describe};
use crate::exclusive::Exclusive;
use crate::exclusive::web_lock::{self, LockManager};

/// What a tab says to a dedicated worker, together with a port; a shared worker is told of each port by the browser.
pub(super) const CONNECT: &str = "storex:connect";

/// In the script of a worker, shared or dedicated: serves each [`TabSync`](super::TabSync) that names the script. The sync is started with the
/// first tab, by the function given here, and ends with the last; the tab after that starts it once more.
///
/// Call it as soon as the program is loaded. Tabs that come before are not lost: they ask again.
///
/// ```js
/// // sync-worker.js
/// import init, { serve } from './app.js';
/// await init();
/// serve();
/// ```
///
/// ```
/// # #[cfg(all(target_family = "wasm", feature = "web"))]
/// # mod example {
/// # use std::sync::Arc;
/// # use storex_core::{Registry, Source, Storage};
/// # async fn open_storage() -> Result<Storage, Source> { unimplemented!() }
/// # async fn shared_log() -> Result<Arc<storex_sync::MemorySharedLog>, Source> { unimplemented!() }
/// # fn runtime() -> Arc<dyn storex_core::Runtime> { unimplemented!() }
/// use std::time::Duration;
/// use storex_sync::{ContinuousSync, Exclusive, LeaseTimes, Sync, serve_tabs};
///
/// /// The same in a shared worker, a dedicated one, and a tab: `Exclusive::tabs` is what lets one of them sync at a time.
/// async fn start() -> Result<ContinuousSync, Source> {
///     let storage = open_storage().await?;
///     let exclusive = Exclusive::tabs(&storage, "notes", LeaseTimes::default()).await?;
///     let sync = Sync::open(&storage, shared_log().await?).await?.exclusive(exclusive);
///     Ok(ContinuousSync::start(sync, Duration::from_secs(60)))
/// }
///
/// // #[wasm_bindgen]
/// pub fn serve() {
///     serve_tabs(runtime(), start);
/// }
/// # }
/// ```
pub fn serve_tabs<F, Fut>(runtime: Arc<dyn Runtime>, start: F)
where
    F: Fn() -> Fut + 'static,
    Fut: Future<Output = std::result::Result<ContinuousSync, Source>> + 'static,
{
    let Ok(worker) = js_sys::global().dyn_into::<EventTarget>() else { return };
    let locks = web_lock::manager();
    let name = Reflect::get(&worker, &"name".into()).ok().and_then(|name| name.as_string());
    let name = name.as_deref().and_then(WorkerName::from_text);
    // A dedicated worker is seen by its own tab alone, which ends it when it hangs.
    let is_shared = Reflect::has(&worker, &"onconnect".into()).unwrap_or(false);
    if let (true, Some(locks), Some(name)) = (is_shared, &locks, &name) {
        runtime.spawn(Box::pin(show(locks.clone(), name.clone())));
    }
    let hosted = Hosted::new(Replacing { start, name, runtime: Arc::clone(&runtime) });
    let server = Rc::new(Server { runtime, locks, hosted });
    let on_port = Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| {
        let is_ours =
            event.type_() == "connect" || event.data().as_string().as_deref() == Some(CONNECT);
        let Some(port) = port::port_of(&event).filter(|_| is_ours) else { return };
        let serving = Rc::clone(&server).serve(Port::new(port));
        server.runtime.spawn(Box::pin(serving));
    });
    for event in ["connect", "message"] {
        let added =
            worker.add_event_listener_with_callback(event, on_port.as_ref().unchecked_ref());
        if let Err(error) = added {
            tracing::error!(?error, event, "no tab can be heard here");
        }
    }
    // For as long as the worker lives.
    on_port.forget();
}

/// Shows for ever that this worker is there, so that tabs can tell one that hangs from one that was not loaded yet.
async fn show(locks: LockManager, name: WorkerName) {
    // One that was ended may not be quite gone.
    match web_lock::hold(&locks, &name.to_text()).await {
        Ok(lock) => {
            std::future::pending::<()>().await;
            drop(lock);
        }
        Err(error) => {
            tracing::warn!(error = %describe(&error), "the browser keeps no lock of this worker's")
        }
    }
}

struct Server {
    runtime: Arc<dyn Runtime>,
    locks: Option<LockManager>,
    hosted: Hosted,
}

impl Server {
    /// Serves a tab until it is gone.
    async fn serve(self: Rc<Self>, mut port: Port) {
        // Dropped when the tab is gone.
        let (_here, gone) = watch::channel(());
        let mut until_gone: Option<BoxFuture<'static, ()>> = None;
        loop {
            let said = tokio::select! {
                biased;
                () = or_never(&mut until_gone) => break,
                said = port.hear() => said,
            };
            match said {
                Said { what, .. } if what == port::HELLO => told(port.say(port::HERE)),
                Said { what, with, port: Some(channel) } if what == port::ATTACH => {
                    until_gone = self.until_free(with);
                    let channel = MessagePortChannel::new(channel);
                    let channel = EndingChannel::new(channel, gone.clone());
                    let attaching = Rc::clone(&self).attach(port.speaker(), channel);
                    // Beside the rest: it says that it is here all the same.
                    self.runtime.spawn(Box::pin(attaching));
                }
                Said { what, .. } => tracing::debug!(what, "a tab says what is not known here"),
            }
        }
    }

    /// When the tab that holds a lock is gone. Where the browser has no locks nothing tells of that, but for a tab that says farewell.
    fn until_free(&self, lock: String) -> Option<BoxFuture<'static, ()>> {
        let locks = self.locks.clone().filter(|_| !lock.is_empty())?;
        Some(Box::pin(async move {
            if let Err(error) = web_lock::until_free(&locks, &lock).await {
                tracing::warn!(error = %describe(&error), "the end of a tab would not be noticed");
                std::future::pending().await
            }
        }))
    }

    async fn attach(self: Rc<Self>, tab: MessagePort, channel: EndingChannel) {
        told(match self.hosted.serve(channel).await {
            Ok(()) => port::say(&tab, port::ATTACHED, ""),
            Err(error) => port::say(&tab, port::FAILED, &describe(&*error)),
        });
    }
}

fn told(said: std::result::Result<(), JsValue>) {
    if let Err(error) = said {
        tracing::debug!(?error, "a tab could not be told");
    }
}

/// Starts the sync, and takes the right to sync away from workers that this one takes the place of.
struct Replacing<F> {
    start: F,
    name: Option<WorkerName>,
    runtime: Arc<dyn Runtime>,
}

impl<F: Starting> Starting for Replacing<F> {
    fn start(&self) -> BoxFuture<'_, Started> {
        Box::pin(async {
            let sync = following(self.start.start(), &self.runtime).await?;
            let lock = sync.sync().lock().and_then(Exclusive::web_lock);
            // The first of all workers takes nobody's place.
            let name = self.name.as_ref().filter(|name| name.generation > 0);
            if let (Some(name), Some((locks, lock))) = (name, lock) {
                let (locks, lock) = (locks.clone(), lock.to_owned());
                let former = Former { locks, lock, name: name.clone() };
                let runtime = Arc::clone(&self.runtime);
                self.runtime.spawn(Box::pin(former.keep_from(sync.status(), runtime)));
            }
            Ok(sync)
        })
    }
}

/// How often a worker that stands by looks who keeps it from syncing.
const LOOK: Duration = Duration::from_secs(1);

/// The workers before this one. That there is a later generation means that a tab has found the one before hanging. What it comes to when it
/// goes on, the fencing token says: it has lost the lock, and writes nothing.
struct Former {
    locks: LockManager,
    lock: String,
    name: WorkerName,
}

impl Former {
    /// Keeps them from holding up this one's sync, until that ends. Once is not enough: one that was slow and no more takes the lock
    /// back as soon as it is free, and may hang then.
    async fn keep_from(self, mut status: watch::Receiver<SyncStatus>, runtime: Arc<dyn Runtime>) {
        loop {
            // Without it this one stands by until the other is closed.
            if let Err(error) = self.take_over().await {
                tracing::warn!(error = %describe(&error), "the lock of a worker that hangs stays");
            }
            runtime.sleep(LOOK).await;
            if status.wait_for(|status| status.phase == Phase::StandingBy).await.is_err() {
                return;
            }
        }
    }

    async fn take_over(&self) -> Result<()> {
        let Self { locks, lock, name } = self;
        let holders = web_lock::holders(locks).await?;
        let is_former =
            |held: &str| name.generation_of(held).is_some_and(|it| it < name.generation);
        let former =
            |context: &str| holders.iter().any(|(held, by)| by == context && is_former(held));
        if holders.iter().any(|(held, by)| held == lock && former(by)) {
            tracing::warn!(lock, "the worker that holds it hangs: it is taken away");
            web_lock::take_away(locks, lock).await?;
        }
        Ok(())
    }
}
