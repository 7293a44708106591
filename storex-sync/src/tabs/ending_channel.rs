//! [`EndingChannel`]: a channel to a tab or a worker, which ends with it.

use async_trait::async_trait;
use tokio::sync::watch;

use crate::channel::{Channel, MessagePortChannel};
use crate::error::{Result, SyncError};

/// A channel that ends with the other side, of which the port itself does not tell.
#[derive(Debug)]
pub(super) struct EndingChannel {
    channel: MessagePortChannel,
    /// Ends with the other side.
    gone: watch::Receiver<()>,
}

impl EndingChannel {
    /// Ends when the sender is dropped.
    pub(super) fn new(channel: MessagePortChannel, gone: watch::Receiver<()>) -> Self {
        Self { channel, gone }
    }
}

#[async_trait(?Send)]
impl Channel for EndingChannel {
    async fn send(&mut self, frame: Vec<u8>) -> Result<()> {
        tokio::select! {
            biased;
            _ = self.gone.changed() => Err(SyncError::Closed { during: "sending a frame" }),
            sent = self.channel.send(frame) => sent,
        }
    }

    async fn recv(&mut self) -> Result<Option<Vec<u8>>> {
        tokio::select! {
            biased;
            _ = self.gone.changed() => Ok(None),
            frame = self.channel.recv() => frame,
        }
    }

    async fn close(&mut self) -> Result<()> {
        self.channel.close().await
    }
}
