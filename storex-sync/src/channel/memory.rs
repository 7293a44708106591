//! [`MemoryChannel`]: a channel inside one program.

use async_trait::async_trait;
use tokio::sync::mpsc;

use super::Channel;
use crate::error::{Result, SyncError};

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
