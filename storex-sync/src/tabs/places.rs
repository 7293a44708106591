//! [`Places`]: where sync may run for a tab, the best one first.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use storex_core::{BoxFuture, Runtime};
use tokio::sync::{mpsc, watch};

use super::SyncPlace;
use super::ending_channel::EndingChannel;
use super::generation::{advance, catch_up};
use super::hosted::Hosted;
use super::keeper::{Connect, Connection, Current, Poke};
use super::link::{HEARTBEAT, Lacking, Link};
use super::name::WorkerName;
use super::radio::Radio;
use super::worker::Worker;
use crate::awake::page_awake;
use crate::channel::{Channel, MemoryChannel, MessagePortChannel};
use crate::error::{Result, SyncError, describe};
use crate::exclusive::web_lock::{self, Ended, WebLock};
use crate::hex::Hex;
use crate::js;
use crate::proxy::{Audience, Pace, RemoteSync};

/// How long a script may take to be loaded.
const LOADING: Duration = Duration::from_secs(30);

/// How many workers that hang are replaced in a row, before it is tried in another place.
const MOST_REPLACED: usize = 3;

pub(super) struct Places {
    pub(super) runtime: Arc<dyn Runtime>,
    pub(super) name: WorkerName,
    pub(super) script: Option<String>,
    pub(super) here: Option<Hosted>,
    pub(super) patience: Duration,
    /// By this the workers know that the tab is there.
    pub(super) shown: Option<Shown>,
    pub(super) link: Option<(SyncPlace, Link)>,
    /// Whether the page runs, where that matters.
    pub(super) awake: Option<watch::Receiver<bool>>,
}

/// That the tab is there: a lock, for as long as this lives.
pub(super) struct Shown {
    lock: String,
    _held: WebLock,
    ended: Ended,
}

/// Why it is not to be had in a place.
type Reason = String;

#[async_trait(?Send)]
impl Connect for Places {
    async fn connect(&mut self, audience: &Audience) -> Result<Connection> {
        let _former = self.show().await;
        let mut reasons = Vec::new();
        for place in [SyncPlace::SharedWorker, SyncPlace::Worker, SyncPlace::Tab] {
            let connected = match place {
                SyncPlace::SharedWorker => self.in_shared_worker(audience).await,
                SyncPlace::Worker => self.in_worker(audience).await,
                SyncPlace::Tab => self.in_tab(audience).await,
            };
            match connected {
                Ok(sync) => return Ok(Connection { sync: Arc::new(sync), place }),
                Err(reason) => {
                    tracing::info!(%place, reason, "sync is not to be had there");
                    reasons.push(format!("{place}: {reason}"));
                }
            }
        }
        Err(SyncError::NotStarted { reason: reasons.join("; ") })
    }

    fn beside(
        &self,
        audience: &Audience,
        current: &watch::Sender<Current>,
        pokes: mpsc::UnboundedReceiver<Poke>,
    ) -> BoxFuture<'static, ()> {
        let runtime = Arc::clone(&self.runtime);
        match Radio::new(&self.name.database, runtime, audience.clone(), current.clone()) {
            Some(radio) => radio.run(pokes),
            None => Box::pin(std::future::pending()),
        }
    }
}

impl Places {
    /// Shows for as long as this lives that the tab is there. To its worker, one whose lock was stolen is gone: that has let go of it, and is
    /// well. What is given then keeps it until it is come to once more.
    async fn show(&mut self) -> Option<(SyncPlace, Link)> {
        let mut former = None;
        if let Some(Shown { lock, ended, .. }) = &self.shown
            && ended.is_over().await
        {
            tracing::warn!(lock, "the lock by which this tab is known was stolen");
            former = self.link.take_if(|(place, _)| *place == SyncPlace::SharedWorker);
            (self.shown, self.link) = (None, None);
        }
        let (None, Some(locks)) = (&self.shown, web_lock::manager()) else { return former };
        let mut drawn = [0; 16];
        self.runtime.fill_random(&mut drawn);
        let lock = format!("storex-tab:{}", Hex(&drawn));
        match web_lock::lock(&locks, &lock).await {
            Ok(Some((held, ended))) => self.shown = Some(Shown { lock, _held: held, ended }),
            Ok(None) => tracing::warn!("two tabs have drawn the same number"),
            Err(error) => tracing::warn!(error = %describe(&error), "the browser keeps no lock"),
        }
        former
    }

    async fn in_shared_worker(&mut self, audience: &Audience) -> Result<RemoteSync, Reason> {
        let script = self.script.clone().ok_or_else(no_script)?;
        let former = self.name.generation;
        catch_up(&mut self.name);
        if former != self.name.generation {
            // Another tab has found that it hangs.
            self.link = None;
        }
        for _ in 0..MOST_REPLACED {
            let link = match self.link_to(SyncPlace::SharedWorker).await {
                Some(link) => Ok(link),
                None => self.open_shared(&script).await,
            };
            match self.attach(link, SyncPlace::SharedWorker, audience).await {
                Err(Lacking::Silent(_)) => self.replace(),
                Err(Lacking::Failed(reason)) => return Err(reason),
                Ok(sync) => return Ok(sync),
            }
        }
        Err("one after the other hangs".to_owned())
    }

    /// One that is silent hangs, if it was there; it may as well not be loaded yet.
    async fn open_shared(&self, script: &str) -> Result<Link, Lacking> {
        let name = self.name.to_text();
        let worker = Worker::shared(script, &name);
        let runtime = || Arc::clone(&self.runtime);
        match Link::open(worker, runtime(), self.patience.min(LOADING)).await {
            Err((worker, Lacking::Silent(_))) if !is_shown(&name).await => {
                let left = LOADING.saturating_sub(self.patience);
                let opened = Link::open(worker, runtime(), left).await;
                opened.map_err(|(_, lacking)| failed(lacking))
            }
            opened => opened.map_err(|(_, lacking)| lacking),
        }
    }

    /// One that a page has for itself is frozen with it, in the middle of whatever it does. So there is none while the page is frozen:
    /// it would keep its lock, and the database, from the others.
    async fn in_worker(&mut self, audience: &Audience) -> Result<RemoteSync, Reason> {
        let script = self.script.clone().ok_or_else(no_script)?;
        let mut awake = self.awake();
        loop {
            // An error means that nobody tells any more: it runs.
            let _ = awake.wait_for(|awake| *awake).await;
            tokio::select! {
                biased;
                () = until_asleep(awake.clone()) => {} // what was begun is given up
                connected = self.in_worker_of(&script, audience) => return connected,
            }
        }
    }

    async fn in_worker_of(
        &mut self,
        script: &str,
        audience: &Audience,
    ) -> Result<RemoteSync, Reason> {
        let link = match self.link_to(SyncPlace::Worker).await {
            Some(link) => Ok(link),
            None => {
                let worker = Worker::dedicated(script, &self.name.to_text());
                let worker = worker.map_err(|error| js::said(&error))?;
                let opened = Link::open(worker, Arc::clone(&self.runtime), LOADING).await;
                opened.map_err(|(_, lacking)| lacking)
            }
        };
        let attached = self.attach(link, SyncPlace::Worker, audience).await;
        attached.map_err(|lacking| lacking.to_string())
    }

    async fn in_tab(&self, audience: &Audience) -> Result<RemoteSync, Reason> {
        let here = self.here.as_ref().ok_or("no function was given that starts it here")?;
        let (tab, host) = MemoryChannel::pair();
        here.serve(host).await.map_err(|error| describe(&*error))?;
        self.greet(tab, audience).await.map_err(|error| describe(&error))
    }

    /// The link of a connection that is lost, if the worker behind it is well: both may have slept, say. One that gives no sign of life
    /// hangs.
    async fn link_to(&mut self, place: SyncPlace) -> Option<Link> {
        let (at, mut link) = self.link.take()?;
        if at != place {
            self.link = Some((at, link));
            return None;
        }
        if link.answers(self.patience / 2).await {
            return Some(link);
        }
        if place == SyncPlace::SharedWorker && link.is_in_reach() {
            self.replace();
        }
        None
    }

    /// Whether the page runs.
    fn awake(&mut self) -> watch::Receiver<bool> {
        self.awake.get_or_insert_with(|| page_awake(&self.runtime)).clone()
    }

    /// The channel to a worker that is ended when the page is put to sleep, and the channel with it.
    fn ends_asleep(&mut self, channel: MessagePortChannel, link: &Link) -> EndingChannel {
        let (here, gone) = watch::channel(());
        let ending = end_asleep(Rc::clone(link.worker()), self.awake(), here);
        self.runtime.spawn(Box::pin(ending));
        EndingChannel::new(channel, gone)
    }

    fn replace(&mut self) {
        tracing::warn!(name = self.name.to_text(), "a worker hangs: another takes its place");
        advance(&mut self.name);
    }

    async fn attach(
        &mut self,
        link: Result<Link, Lacking>,
        place: SyncPlace,
        audience: &Audience,
    ) -> Result<RemoteSync, Lacking> {
        let mut link = link?;
        let lock = self.shown.as_ref().map(|shown| shown.lock.as_str());
        let channel = link.attach(lock.unwrap_or_default(), self.patience).await?;
        let channel: Box<dyn Channel> = match place {
            SyncPlace::Worker => Box::new(self.ends_asleep(channel, &link)),
            _ => Box::new(channel),
        };
        match self.greet(channel, audience).await {
            Ok(sync) => {
                self.link = Some((place, link));
                Ok(sync)
            }
            // The first exchange may be what it hangs in.
            Err(SyncError::Timeout { .. }) if !link.answers(self.patience / 2).await => {
                Err(Lacking::Silent(self.patience))
            }
            Err(error) => Err(Lacking::Failed(describe(&error))),
        }
    }

    async fn greet(&self, channel: impl Channel, audience: &Audience) -> Result<RemoteSync> {
        let pace = Pace { heartbeat: HEARTBEAT, patience: self.patience / 2 };
        RemoteSync::connect_for(audience, channel, Arc::clone(&self.runtime), pace).await
    }
}

/// Whether a worker of this name is there, and has got as far as to serve tabs.
async fn is_shown(name: &str) -> bool {
    let Some(locks) = web_lock::manager() else { return false };
    let holders = web_lock::holders(&locks).await.unwrap_or_default();
    holders.iter().any(|(held, _)| held == name)
}

/// Ends a worker when the page is put to sleep while the connection lasts, which ends with it.
async fn end_asleep(worker: Rc<Worker>, awake: watch::Receiver<bool>, here: watch::Sender<()>) {
    tokio::select! {
        biased;
        () = here.closed() => {}
        () = until_asleep(awake) => {
            tracing::debug!("the page is put to sleep: its worker is ended");
            worker.end();
        }
    }
}

async fn until_asleep(mut awake: watch::Receiver<bool>) {
    if awake.wait_for(|awake| !awake).await.is_err() {
        std::future::pending().await
    }
}

fn no_script() -> Reason {
    "no script of a worker was named".to_owned()
}

/// It does not hang, but cannot be had.
fn failed(lacking: Lacking) -> Lacking {
    Lacking::Failed(lacking.to_string())
}
