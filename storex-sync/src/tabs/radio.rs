//! [`Radio`]: what the tabs of a database tell each other when each has an engine of its own.
//!
//! A tab whose engine stands by asks what the one that syncs is doing, and has it sync. Where nobody stands by (one shared worker), nothing
//! is said.
//!
//! ```text
//!    "storex:ask"                  what is the one that syncs doing? Tell from now on
//!    "storex:status", BYTES        it is doing that
//!    "storex:sync", NUMBER         sync now
//!    "storex:synced", NUMBER+BYTES the answer
//! ```

use std::collections::HashMap;
use std::sync::Arc;

use js_sys::{Array, Uint8Array};
use storex_core::{BoxFuture, Runtime};
use tokio::sync::{mpsc, oneshot, watch};
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{BroadcastChannel, MessageEvent};

use super::keeper::{Current, Poke};
use crate::engine::status::{Phase, SyncStatus};
use crate::error::{Result, describe};
use crate::handle::SyncHandle;
use crate::proxy::{Audience, decode, encode};
use crate::recovery::Recovery;

const ASK: &str = "storex:ask";
const STATUS: &str = "storex:status";
const SYNC: &str = "storex:sync";
const SYNCED: &str = "storex:synced";

/// The station of one tab.
pub(super) struct Radio {
    channel: BroadcastChannel,
    heard: mpsc::UnboundedReceiver<(String, Vec<u8>)>,
    /// What the browser calls.
    _on_message: Closure<dyn FnMut(MessageEvent)>,
    runtime: Arc<dyn Runtime>,
    audience: Audience,
    current: watch::Sender<Current>,
    /// Whether somebody stands by who wants to know.
    is_asked: bool,
    /// Those who wait for an answer, by their numbers.
    waiting: HashMap<Vec<u8>, Poke>,
}

impl Radio {
    /// `None` where the browser has no `BroadcastChannel`: an engine that stands by says no more than that.
    pub(super) fn new(
        database: &str,
        runtime: Arc<dyn Runtime>,
        audience: Audience,
        current: watch::Sender<Current>,
    ) -> Option<Self> {
        let channel = BroadcastChannel::new(&format!("storex-sync:{database}")).ok()?;
        let (hear, heard) = mpsc::unbounded_channel();
        let on_message = Closure::new(move |event: MessageEvent| {
            let Ok(data) = event.data().dyn_into::<Array>() else { return };
            let (Some(what), Ok(bytes)) = (data.get(0).as_string(), data.get(1).dyn_into()) else {
                return;
            };
            // An error means that nobody listens any more.
            let _ = hear.send((what, Uint8Array::to_vec(&bytes)));
        });
        channel.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        Some(Self {
            channel,
            heard,
            _on_message: on_message,
            runtime,
            audience,
            current,
            is_asked: false,
            waiting: HashMap::new(),
        })
    }

    /// Listens, and tells; for ever.
    pub(super) fn run(
        mut self,
        mut pokes: mpsc::UnboundedReceiver<Poke>,
    ) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let Some(mut own) = self.audience.own() else { return };
            self.own(&own.borrow_and_update().clone());
            loop {
                tokio::select! {
                    biased;
                    Ok(()) = own.changed() => self.own(&own.borrow_and_update().clone()),
                    Some((what, bytes)) = self.heard.recv() => self.hear(&what, bytes),
                    Some(poke) = pokes.recv() => self.poke(poke),
                    else => return,
                }
            }
        })
    }

    /// What the engine of this tab does is told where somebody wants to know.
    fn own(&mut self, status: &SyncStatus) {
        match status.phase {
            Phase::StandingBy => self.say(ASK, &[]),
            Phase::Disconnected | Phase::Stopped => {}
            _ if self.is_asked => self.say(STATUS, &encode(status)),
            _ => {}
        }
    }

    fn hear(&mut self, what: &str, bytes: Vec<u8>) {
        match what {
            ASK => {
                self.is_asked = true;
                if let Some(own) = self.status().filter(|own| own.phase != Phase::StandingBy) {
                    self.own(&own);
                }
            }
            STATUS => match decode(&bytes) {
                Ok(status) => self.audience.heard(status),
                // Of another version, perhaps.
                Err(error) => tracing::debug!(error = %describe(&error), "a status cannot be read"),
            },
            SYNC => self.sync(bytes),
            SYNCED if bytes.len() >= NUMBER => {
                let (number, answer) = bytes.split_at(NUMBER);
                if let Some(poke) = self.waiting.remove(number) {
                    // It may have been given up.
                    let _ = poke.send(answer.to_vec());
                }
            }
            _ => {}
        }
    }

    /// Has the one that syncs do it.
    fn poke(&mut self, poke: oneshot::Sender<Vec<u8>>) {
        let mut number = vec![0; NUMBER];
        self.runtime.fill_random(&mut number);
        self.waiting.retain(|_, poke| !poke.is_closed());
        self.say(SYNC, &number);
        self.waiting.insert(number, poke);
    }

    fn sync(&self, number: Vec<u8>) {
        let idle = [Phase::StandingBy, Phase::Disconnected, Phase::Stopped];
        if self.status().is_none_or(|own| idle.contains(&own.phase)) {
            return;
        }
        let (sync, channel) = (self.current.borrow().connection.sync.clone(), self.channel.clone());
        self.runtime.spawn(Box::pin(async move {
            let report: Result<_> = sync.sync_now().await.transpose();
            if report.as_ref().is_err_and(|error| error.recovery() == Recovery::StandBy) {
                return; // the one that does sync answers
            }
            say(&channel, SYNCED, &[number, encode(&report)].concat());
        }));
    }

    fn status(&self) -> Option<SyncStatus> {
        Some(self.audience.own()?.borrow().clone())
    }

    fn say(&self, what: &str, bytes: &[u8]) {
        say(&self.channel, what, bytes);
    }
}

/// The bytes of the number of a question.
const NUMBER: usize = 16;

fn say(channel: &BroadcastChannel, what: &str, bytes: &[u8]) {
    let said = Array::of2(&what.into(), &Uint8Array::from(bytes));
    if let Err(error) = channel.post_message(&JsValue::from(said)) {
        tracing::debug!(?error, "the other tabs cannot be told");
    }
}

impl Drop for Radio {
    fn drop(&mut self) {
        self.channel.set_onmessage(None);
        self.channel.close();
    }
}
