//! Keys that go from device to device, over a channel of two that were paired.

use zeroize::Zeroizing;

use super::ring::KeyRing;
use crate::channel::Channel;
use crate::error::{Result, SyncError};
use crate::pairing::SecureChannel;

/// What the frame begins with.
const TITLE: &[u8] = b"storex-keys";

const RECEIVING: &str = "receiving keys";

impl KeyRing {
    /// Hands the keys over to the device at the other end of a channel, which [receives](Self::receive) them: it can read everything in the
    /// log then. The channel goes on; `send` may be dropped while it waits, as that of the channel.
    ///
    /// # Errors
    /// Those of [`Channel::send`].
    pub async fn send<C: Channel>(&self, channel: &mut SecureChannel<C>) -> Result<()> {
        let keys = self.to_bytes();
        channel.send([TITLE, &keys].concat()).await
    }

    /// Receives the keys that the other side [sends](Self::send). The channel goes on.
    ///
    /// # Errors
    /// [`SyncError::Closed`], [`SyncError::Protocol`] when something else arrives; and those of [`Channel::recv`].
    pub async fn receive<C: Channel>(channel: &mut SecureChannel<C>) -> Result<Self> {
        let frame = channel.recv().await?.ok_or(SyncError::Closed { during: RECEIVING })?;
        let frame = Zeroizing::new(frame);
        let wrong = |reason: String| SyncError::Protocol { during: RECEIVING, reason };
        let keys = frame.strip_prefix(TITLE).ok_or_else(|| wrong("no keys".to_owned()))?;
        Self::from_bytes(keys).map_err(|error| wrong(error.to_string()))
    }
}
