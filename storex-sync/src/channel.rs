//! [`Channel`]: an ordered pipe of frames between two devices.

use std::fmt;

use async_trait::async_trait;
use storex_core::{MaybeSend, MaybeSync};
use tokio::sync::mpsc;

use crate::error::{Result, SyncError};

/// An ordered, reliable pipe of frames between two devices. Everything else, framing of messages included, lives above.
#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
pub trait Channel: fmt::Debug + MaybeSend + MaybeSync + 'static {
    /// Sends a frame; waits while the other side takes no more.
    ///
    /// # Errors
    /// [`SyncError::Closed`] when the other side is gone.
    async fn send(&mut self, frame: Vec<u8>) -> Result<()>;

    /// Receives a frame; `None` when the other side closed in order. Cancel-safe.
    ///
    /// # Errors
    /// [`SyncError::Transport`].
    async fn recv(&mut self) -> Result<Option<Vec<u8>>>;

    /// Closes in order: what was sent still arrives.
    ///
    /// # Errors
    /// [`SyncError::Transport`].
    async fn close(&mut self) -> Result<()>;
}

/// One end of a channel in memory.
#[derive(Debug)]
pub struct MemoryChannel {
    outgoing: Option<mpsc::Sender<Vec<u8>>>,
    incoming: mpsc::Receiver<Vec<u8>>,
}

/// Frames that may be under way in each direction.
const CAPACITY: usize = 8;

impl MemoryChannel {
    /// Two ends of one channel.
    #[must_use]
    pub fn pair() -> (Self, Self) {
        let (there, from_here) = mpsc::channel(CAPACITY);
        let (here, from_there) = mpsc::channel(CAPACITY);
        (
            Self { outgoing: Some(there), incoming: from_there },
            Self { outgoing: Some(here), incoming: from_here },
        )
    }
}

#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
impl Channel for MemoryChannel {
    async fn send(&mut self, frame: Vec<u8>) -> Result<()> {
        let closed = SyncError::Closed { during: "sending a frame" };
        match &self.outgoing {
            Some(outgoing) => outgoing.send(frame).await.map_err(|_| closed),
            None => Err(closed),
        }
    }

    async fn recv(&mut self) -> Result<Option<Vec<u8>>> {
        Ok(self.incoming.recv().await)
    }

    async fn close(&mut self) -> Result<()> {
        self.outgoing = None;
        Ok(())
    }
}
