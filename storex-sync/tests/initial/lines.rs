//! Channels that do what a test asks: hold few frames, swallow them, put others in their place.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use storex_sync::{Channel, MemoryChannel, Result, SyncError};
use tokio::sync::{mpsc, oneshot};

/// A channel that holds one frame in each direction, or none: then whoever sends waits until it is taken.
#[derive(Debug)]
pub(crate) struct Narrow {
    outgoing: mpsc::Sender<(Vec<u8>, oneshot::Sender<()>)>,
    incoming: mpsc::Receiver<(Vec<u8>, oneshot::Sender<()>)>,
    holds_one: bool,
}

impl Narrow {
    pub(crate) fn pair(holds_one: bool) -> (Self, Self) {
        let (there, from_here) = mpsc::channel(1);
        let (here, from_there) = mpsc::channel(1);
        let end = |outgoing, incoming| Self { outgoing, incoming, holds_one };
        (end(there, from_there), end(here, from_here))
    }
}

#[async_trait]
impl Channel for Narrow {
    async fn send(&mut self, frame: Vec<u8>) -> Result<()> {
        let closed = || SyncError::Closed { during: "sending a frame" };
        let (taken, is_taken) = oneshot::channel();
        self.outgoing.send((frame, taken)).await.map_err(|_| closed())?;
        if !self.holds_one {
            is_taken.await.map_err(|_| closed())?;
        }
        Ok(())
    }

    async fn recv(&mut self) -> Result<Option<Vec<u8>>> {
        let Some((frame, taken)) = self.incoming.recv().await else { return Ok(None) };
        let _ = taken.send(());
        Ok(Some(frame))
    }

    async fn close(&mut self) -> Result<()> {
        Ok(())
    }
}

/// What becomes of a frame, by its number among those of both sides.
type Fate = Arc<dyn Fn(usize, Vec<u8>) -> Option<Vec<u8>> + Send + Sync>;

/// A channel that changes or swallows frames.
pub(crate) struct Tampered {
    inner: MemoryChannel,
    frames: Arc<AtomicUsize>,
    fate: Fate,
}

impl fmt::Debug for Tampered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tampered").field("frames", &self.frames).finish_non_exhaustive()
    }
}

impl Tampered {
    /// A frame of which the function makes nothing is swallowed: its sender hears of nothing.
    pub(crate) fn pair(
        fate: impl Fn(usize, Vec<u8>) -> Option<Vec<u8>> + Send + Sync + 'static,
    ) -> (Self, Self) {
        let (here, there) = MemoryChannel::pair();
        let (frames, fate): (_, Fate) = (Arc::<AtomicUsize>::default(), Arc::new(fate));
        let end = |inner| Self { inner, frames: Arc::clone(&frames), fate: Arc::clone(&fate) };
        (end(here), end(there))
    }
}

#[async_trait]
impl Channel for Tampered {
    async fn send(&mut self, frame: Vec<u8>) -> Result<()> {
        let number = self.frames.fetch_add(1, Ordering::SeqCst);
        match (self.fate)(number, frame) {
            Some(frame) => self.inner.send(frame).await,
            None => Ok(()),
        }
    }

    async fn recv(&mut self) -> Result<Option<Vec<u8>>> {
        self.inner.recv().await
    }

    async fn close(&mut self) -> Result<()> {
        self.inner.close().await
    }
}
