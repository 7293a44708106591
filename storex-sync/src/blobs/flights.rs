//! One transfer of a blob at a time, however many wait for it.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::Inner;
use super::reference::BlobRef;
use crate::error::{Result, SyncError};

/// How an attempt to transfer a blob has ended.
#[derive(Debug, Clone)]
pub(super) enum Ended {
    Done,
    /// The blob could not be transferred. That is noted with it, and others may go on.
    Failed(Arc<SyncError>),
    /// Something is wrong that no blob can help, as a store that is out of reach.
    Halted(Arc<SyncError>),
}

impl Ended {
    pub(super) fn result(self) -> Result<()> {
        match self {
            Self::Done => Ok(()),
            Self::Failed(error) | Self::Halted(error) => Err(SyncError::Joined(error)),
        }
    }
}

type Landing = watch::Sender<Option<Ended>>;

/// The transfers that are under way.
#[derive(Debug, Default)]
pub(super) struct Flights(Mutex<HashMap<BlobRef, Landing>>);

impl Flights {
    fn lock(&self) -> MutexGuard<'_, HashMap<BlobRef, Landing>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the end of the transfer of a blob that is under way, if there is one.
    pub(super) async fn landed(&self, blob: &BlobRef) {
        let landing = self.lock().get(blob).map(watch::Sender::subscribe);
        if let Some(mut landing) = landing {
            // Its sender is gone: that is an end too.
            let _ = landing.wait_for(Option::is_some).await;
        }
    }
}

impl Inner {
    /// Waits for the transfer of a blob, which is begun if it is not under way. It is given up when nobody waits for it any more.
    pub(super) async fn fly(self: Arc<Self>, blob: BlobRef) -> Ended {
        let mut landing = self.board(blob);
        let ended = landing.wait_for(Option::is_some).await.ok().and_then(|ended| ended.clone());
        // The task has panicked, or its executor has ended.
        let lost = || SyncError::Closed { during: "transferring a blob" };
        ended.unwrap_or_else(|| Ended::Halted(Arc::new(lost())))
    }

    fn board(self: &Arc<Self>, blob: BlobRef) -> watch::Receiver<Option<Ended>> {
        let (landing, receiver) = watch::channel(None);
        {
            let mut flights = self.flights.lock();
            if let Some(landing) = flights.get(&blob) {
                return landing.subscribe();
            }
            flights.insert(blob, landing.clone());
        }
        let flight = Flight { inner: Arc::clone(self), blob, landing };
        self.local.runtime().spawn(Box::pin(flight.run()));
        receiver
    }
}

struct Flight {
    inner: Arc<Inner>,
    blob: BlobRef,
    landing: Landing,
}

impl Flight {
    async fn run(self) {
        let mut attempt = pin!(self.inner.attempt(&self.blob));
        let ended = loop {
            tokio::select! {
                biased;
                ended = &mut attempt => break ended,
                () = self.landing.closed() => if self.leave() { return },
            }
        };
        // Not before: whoever comes behind this begins another one.
        self.take_off_the_list();
        self.landing.send_replace(Some(ended));
    }

    /// Gives up, unless somebody has come meanwhile.
    fn leave(&self) -> bool {
        let mut flights = self.inner.flights.lock();
        let unused = self.landing.receiver_count() == 0;
        if unused {
            flights.remove(&self.blob);
        }
        unused
    }

    fn take_off_the_list(&self) {
        let mut flights = self.inner.flights.lock();
        // There may be a later one.
        if flights.get(&self.blob).is_some_and(|it| it.same_channel(&self.landing)) {
            flights.remove(&self.blob);
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.take_off_the_list();
        self.inner.rest(&self.blob);
        self.inner.publish(|_| {});
    }
}
