//! [`Audience`]: those who are told what a sync does that runs in another place.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{broadcast, watch};

use crate::continuous::EVENTS_KEPT;
use crate::engine::status::{Phase, SyncEvent, SyncStatus};

/// Those who listen to status and events, over as many connections as there are, one after the other.
#[derive(Clone)]
pub(crate) struct Audience(Arc<Mutex<Option<Told>>>);

/// By what they are told; gone when nothing more is told.
struct Told {
    status: watch::Sender<SyncStatus>,
    /// What its own engine does, also while another one syncs.
    own: watch::Sender<SyncStatus>,
    /// What the one does that syncs while its own stands by.
    heard: Option<SyncStatus>,
    events: broadcast::Sender<SyncEvent>,
}

impl Told {
    fn tell(&self) {
        let own = self.own.borrow().clone();
        let heard = self.heard.clone().filter(|_| own.phase == Phase::StandingBy);
        // Who syncs may not have heard of what was written here: it may be frozen, and say nothing more.
        let heard = heard.map(|heard| {
            let in_step = heard.in_step && own.unsent == 0;
            SyncStatus { in_step, unsent: heard.unsent.max(own.unsent), ..heard }
        });
        let now = heard.unwrap_or(own);
        self.status.send_if_modified(|known| {
            let changed = *known != now;
            *known = now;
            changed
        });
    }

    fn change(&mut self, how: impl FnOnce(&mut SyncStatus)) {
        self.own.send_modify(how);
        if self.own.borrow().phase != Phase::StandingBy {
            // It is the past when the own one stands by the next time.
            self.heard = None;
        }
        self.tell();
    }
}

impl Default for Audience {
    fn default() -> Self {
        let told = Told {
            status: watch::Sender::new(SyncStatus::default()),
            own: watch::Sender::new(SyncStatus::default()),
            heard: None,
            events: broadcast::Sender::new(EVENTS_KEPT),
        };
        Self(Arc::new(Mutex::new(Some(told))))
    }
}

impl fmt::Debug for Audience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Audience")
    }
}

impl Audience {
    /// What is told from now on; `None` when nothing more is.
    pub(crate) fn listen(
        &self,
    ) -> Option<(watch::Receiver<SyncStatus>, broadcast::Receiver<SyncEvent>)> {
        let told = self.locked();
        let Told { status, events, .. } = told.as_ref()?;
        Some((status.subscribe(), events.subscribe()))
    }

    pub(crate) fn status(&self, now: SyncStatus) {
        self.tell(|told| told.change(|known| *known = now));
    }

    /// What the one does that syncs, for as long as the own one stands by.
    #[cfg(any(test, all(target_family = "wasm", feature = "web")))]
    pub(crate) fn heard(&self, now: SyncStatus) {
        self.tell(|told| {
            told.heard = Some(now);
            told.tell();
        });
    }

    /// What its own engine does, whatever the others are told; `None` when nothing more is told.
    #[cfg(any(test, all(target_family = "wasm", feature = "web")))]
    pub(crate) fn own(&self) -> Option<watch::Receiver<SyncStatus>> {
        self.locked().as_ref().map(|told| told.own.subscribe())
    }

    pub(crate) fn event(&self, event: SyncEvent) {
        // Nobody listening is fine.
        self.tell(|told| drop(told.events.send(event)));
    }

    /// What it is doing is not known.
    pub(crate) fn in_doubt(&self) {
        self.tell(|told| told.change(|known| known.in_step = false));
    }

    /// The connection is lost. There may be another one.
    pub(crate) fn lost(&self) {
        self.tell(|told| {
            told.heard = None;
            told.change(|status| {
                status.phase = Phase::Disconnected;
                status.in_step = false;
                status.next_attempt = None;
                status.progress = None;
            });
        });
    }

    /// Nothing follows that could say that it is not in step any more.
    pub(crate) fn end(&self) {
        let Some(Told { status, .. }) = self.locked().take() else { return };
        status.send_if_modified(|known| std::mem::take(&mut known.in_step));
    }

    /// It is not used any more.
    #[cfg(any(test, all(target_family = "wasm", feature = "web")))]
    pub(crate) fn stop(&self) {
        self.tell(|told| told.change(|status| status.phase = Phase::Stopped));
        self.end();
    }

    /// Returns when nothing more is told. Cancel-safe.
    #[cfg(any(test, all(target_family = "wasm", feature = "web")))]
    pub(crate) async fn until_ended(&self) {
        let Some((mut status, _)) = self.listen() else { return };
        while status.changed().await.is_ok() {}
    }

    /// Whether nothing more is told.
    #[cfg(any(test, all(target_family = "wasm", feature = "web")))]
    pub(crate) fn has_ended(&self) -> bool {
        self.locked().is_none()
    }

    fn tell(&self, how: impl FnOnce(&mut Told)) {
        if let Some(told) = &mut *self.locked() {
            how(told);
        }
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, Option<Told>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
