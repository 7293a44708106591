//! [`Watch`]: what a line is watched for: what the application asks, pauses, silence.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use storex_core::{BoxFuture, Runtime};
use tokio::sync::watch;

use super::control::{Asked, InitialSyncControl};
use super::event::{InitialSyncEvent, Observers};
use super::frame::Frame;
use crate::error::{Result, SyncError};

/// How long silence is borne.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// After this it is told.
    pub(super) stall: Duration,
    /// After this it is over.
    pub(super) deadline: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { stall: Duration::from_secs(10), deadline: Duration::from_secs(180) }
    }
}

/// How long this side works without saying a word.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Watch {
    runtime: Arc<dyn Runtime>,
    observers: Observers,
    asked: watch::Receiver<Asked>,
    patience: Patience,
    /// How many pages this side takes unanswered.
    pub(super) window: usize,
    pub(super) pauses_here: bool,
    pauses_there: bool,
}

impl Watch {
    pub(super) fn new(
        runtime: Arc<dyn Runtime>,
        observers: Observers,
        control: &InitialSyncControl,
        patience: Patience,
        window: usize,
    ) -> Self {
        let asked = control.listen();
        let (pauses_here, pauses_there) = (false, false);
        Self { runtime, observers, asked, patience, window, pauses_here, pauses_there }
    }

    pub(super) fn tell(&self, event: &InitialSyncEvent) {
        self.observers.tell(event);
    }

    pub(super) fn is_paused(&self) -> bool {
        self.pauses_here || self.pauses_there
    }

    fn pauses(&mut self, here: bool, there: bool) {
        let before = self.is_paused();
        (self.pauses_here, self.pauses_there) = (here, there);
        match (before, self.is_paused()) {
            (false, true) => self.tell(&InitialSyncEvent::Paused),
            (true, false) => self.tell(&InitialSyncEvent::Resumed),
            _ => {}
        }
    }

    pub(super) fn other_pauses(&mut self, pauses: bool) {
        self.pauses(self.pauses_here, pauses);
    }

    /// What the other side is to be told of what the application asks.
    pub(super) fn follow(&mut self) -> Result<Option<Frame>> {
        let asked = *self.asked.borrow_and_update();
        if asked.cancelled {
            return Err(SyncError::Cancelled);
        }
        if asked.paused == self.pauses_here {
            return Ok(None);
        }
        self.pauses(asked.paused, self.pauses_there);
        Ok(Some(if asked.paused { Frame::Paused } else { Frame::Running }))
    }

    /// Completes when the application asks for something.
    pub(super) async fn asked(&mut self) {
        if self.asked.changed().await.is_err() {
            // Nobody can ask any more.
            std::future::pending::<()>().await;
        }
    }

    /// Completes when this side has worked for so long that it should say a word.
    pub(super) fn sign_of_life(&self) -> BoxFuture<'static, ()> {
        self.runtime.sleep(SIGN_OF_LIFE.min(self.patience.deadline / 3))
    }

    /// Silence that begins now.
    pub(super) fn silence(&self, during: &'static str) -> Silence {
        let Patience { stall, deadline } = self.patience;
        let runtime = Arc::clone(&self.runtime);
        let timer = runtime.sleep(stall.min(deadline));
        Silence { runtime, timer, during, waited: stall, deadline }
    }

    /// Completes when a frame that the other side does not take is given up. What was cancelled meanwhile waits a moment for the frame.
    pub(super) async fn give_up_sending(&mut self) -> SyncError {
        let mut silence = self.silence("handing a frame to the other side");
        loop {
            if self.asked.borrow_and_update().cancelled {
                self.for_a_moment().await;
                return SyncError::Cancelled;
            }
            tokio::select! {
                () = self.asked() => {}
                lapse = silence.lapse() => match lapse {
                    Lapse::Stalled(event) => self.observers.tell(&event),
                    Lapse::Over(error) => return error,
                },
            }
        }
    }

    /// Completes after a while, for what is not worth waiting for.
    pub(super) async fn for_a_moment(&self) -> SyncError {
        let after = self.patience.stall.min(self.patience.deadline);
        self.runtime.sleep(after).await;
        SyncError::Timeout { during: "telling the other side of the end", after }
    }
}

/// That nothing is heard.
pub(super) struct Silence {
    runtime: Arc<dyn Runtime>,
    timer: BoxFuture<'static, ()>,
    during: &'static str,
    /// How long it will have been when the timer ends.
    waited: Duration,
    deadline: Duration,
}

/// What comes of silence.
#[derive(Debug)]
pub(super) enum Lapse {
    Stalled(InitialSyncEvent),
    Over(SyncError),
}

impl Silence {
    pub(super) async fn lapse(&mut self) -> Lapse {
        (&mut self.timer).await;
        if self.waited >= self.deadline {
            let (during, after) = (self.during, self.deadline);
            return Lapse::Over(SyncError::Timeout { during, after });
        }
        let waited = std::mem::replace(&mut self.waited, self.deadline);
        self.timer = self.runtime.sleep(self.deadline.saturating_sub(waited));
        Lapse::Stalled(InitialSyncEvent::Stalled { waited })
    }
}

impl fmt::Debug for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Silence").field("waited", &self.waited).finish_non_exhaustive()
    }
}
