//! [`SecureChannel`]: a channel in a channel, sealed.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use storex_core::Runtime;

use super::code::PairingCode;
use super::handshake;
use super::line::{Line, wrong};
use super::sealed::{Opened, RECEIVING, SENDING, Sealed};
use crate::channel::{Channel, FRAME_LIMIT, refuse_larger};
use crate::device_key::{DeviceKey, PairedDevice};
use crate::error::{Result, SyncError};

/// A [`Channel`] inside another one, which only two devices that were paired can read and write.
///
/// One side is the **host**, the other the **guest**. The first time the host shows a code ([`Pairing`](crate::Pairing)) that is typed on the
/// guest ([`SecureChannel::pair`]); later they know each other by their keys ([`SecureChannel::accept`], [`SecureChannel::connect`]). Each
/// message of such a handshake has 10 seconds; then it ends with [`SyncError::Timeout`].
///
/// Nobody between them can read a frame, change, repeat, reorder or drop one, or end the channel, without an error on the other
/// side: [`SyncError::Protocol`], or [`SyncError::Closed`] where the end was cut off. Nothing is delivered from then on. What can be
/// seen is how much is sent, and when.
///
/// `recv` is cancel-safe. Of a `send` that is dropped, the frame is sent whole or not at all, and the channel goes on. `close` waits
/// until the other side takes the end.
///
/// ```
/// # use std::sync::Arc;
/// # use storex_memory::TestRuntime;
/// use storex_sync::{Channel, DeviceKey, MemoryChannel, Pairing, PairingCode, SecureChannel};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let runtime = Arc::new(TestRuntime::new(1));
/// let (here, there) = MemoryChannel::pair(); // or one over a network
/// let (laptop, phone) = (DeviceKey::generate(&*runtime), DeviceKey::generate(&*runtime));
///
/// let mut pairing = Pairing::new(runtime.clone());
/// let code: PairingCode = pairing.code().to_string().parse()?; // shown here, typed there
/// let (on_laptop, on_phone) = tokio::join!(
///     pairing.accept(here, &laptop),
///     SecureChannel::pair(there, &code, &phone, runtime.clone()),
/// );
/// let (mut on_laptop, mut on_phone) = (on_laptop?, on_phone?);
/// assert_eq!((on_laptop.peer(), on_phone.peer()), (phone.public(), laptop.public()));
///
/// on_laptop.send(b"Hello".to_vec()).await?;
/// assert_eq!(on_phone.recv().await?, Some(b"Hello".to_vec()));
/// # Ok(()) }
/// ```
pub struct SecureChannel<C> {
    channel: C,
    sealed: Sealed,
    peer: PairedDevice,
    limit: usize,
    /// We have begun to close.
    closing: bool,
    /// We have closed.
    closed: bool,
    /// The other side has closed.
    ended: bool,
    /// Something was wrong with what arrived.
    broken: bool,
}

impl<C: Channel> SecureChannel<C> {
    /// The guest's side of pairing: with the code that the host shows ([`Pairing::accept`](crate::Pairing::accept) there).
    ///
    /// Whoever is on the other side can try one code by it, so it is not to be repeated without somebody who asks for it.
    ///
    /// # Errors
    /// [`SyncError::PairingRefused`]: the code is another one. [`SyncError::PairingCodeSpent`]: the host lets nobody in by it any more.
    /// [`SyncError::Timeout`], [`SyncError::Closed`], [`SyncError::Protocol`], [`SyncError::Remote`], and those of the channel.
    pub async fn pair(
        channel: C,
        code: &PairingCode,
        key: &DeviceKey,
        runtime: Arc<dyn Runtime>,
    ) -> Result<Self> {
        let mut line = Line::of_guest(channel, runtime);
        let done = handshake::guest_with_code(&mut line, code, key).await;
        Self::settle(line, done).await
    }

    /// The guest's side of a channel to a device that this one was paired with ([`SecureChannel::accept`] there).
    ///
    /// # Errors
    /// [`SyncError::PairingRefused`]: it is not that device, or does not know this one. Otherwise as [`SecureChannel::pair`].
    pub async fn connect(
        channel: C,
        host: &PairedDevice,
        key: &DeviceKey,
        runtime: Arc<dyn Runtime>,
    ) -> Result<Self> {
        let mut line = Line::of_guest(channel, runtime);
        let done = handshake::guest_with_key(&mut line, host, key).await;
        Self::settle(line, done).await
    }

    /// The host's side of a channel to a device that this one was paired with ([`SecureChannel::connect`] there); which one of them it
    /// is, [`SecureChannel::peer`] says.
    ///
    /// # Errors
    /// [`SyncError::PairingRefused`]: it is none of these. Otherwise as [`SecureChannel::pair`].
    pub async fn accept(
        channel: C,
        known: &[PairedDevice],
        key: &DeviceKey,
        runtime: Arc<dyn Runtime>,
    ) -> Result<Self> {
        let mut line = Line::of_host(channel, runtime);
        let done = handshake::host_with_keys(&mut line, known, key).await;
        Self::settle(line, done).await
    }

    /// Takes the channel over when the handshake has succeeded, and says farewell when it has not.
    pub(super) async fn settle(mut line: Line<C>, done: Result<Sealed>) -> Result<Self> {
        let done = done.and_then(|sealed| {
            let peer = sealed.remote().ok_or_else(|| wrong("no key of it".to_owned()))?;
            Ok((sealed, PairedDevice::from_bytes(peer)))
        });
        match done {
            Ok((sealed, peer)) => {
                let (closing, closed, ended, broken) = (false, false, false, false);
                let channel = line.channel;
                Ok(Self {
                    channel,
                    sealed,
                    peer,
                    limit: FRAME_LIMIT,
                    closing,
                    closed,
                    ended,
                    broken,
                })
            }
            Err(error) => {
                line.give_up(&error).await;
                Err(error)
            }
        }
    }

    /// The bytes of a frame, at most, sent or received; 64 MiB unless told otherwise. A larger one is not sent
    /// ([`SyncError::FrameTooLarge`], and the channel goes on), or ends the channel where it arrives ([`SyncError::Protocol`]). The channel
    /// inside has a limit of its own, which a sealed frame has to keep to: it has 29 bytes more for each 65,514 that are begun.
    #[must_use]
    pub fn limit(mut self, bytes: usize) -> Self {
        self.limit = bytes;
        self
    }

    /// The device on the other side.
    #[must_use]
    pub fn peer(&self) -> PairedDevice {
        self.peer
    }
}

impl<C: fmt::Debug> fmt::Debug for SecureChannel<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("SecureChannel");
        shown.field("channel", &self.channel).field("peer", &self.peer).finish_non_exhaustive()
    }
}

#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
impl<C: Channel> Channel for SecureChannel<C> {
    async fn send(&mut self, frame: Vec<u8>) -> Result<()> {
        if self.closing || self.broken {
            return Err(SyncError::Closed { during: SENDING });
        }
        refuse_larger(&frame, self.limit)?;
        let sealed = self.sealed.seal_frame(&frame)?;
        drop(frame);
        self.channel.send(sealed).await?;
        self.sealed.sent();
        Ok(())
    }

    async fn recv(&mut self) -> Result<Option<Vec<u8>>> {
        let closed = || SyncError::Closed { during: RECEIVING };
        if self.ended {
            return Ok(None);
        }
        if self.broken {
            return Err(closed());
        }
        // Without the word of the other side this is no end: somebody cut it off.
        let message = self.channel.recv().await?.ok_or_else(closed)?;
        let opened = self.sealed.open(&message, self.limit);
        self.ended = matches!(opened, Ok(Opened::End));
        self.broken = !matches!(opened, Ok(Opened::Frame(_) | Opened::End));
        match opened? {
            Opened::Frame(frame) => Ok(Some(frame)),
            Opened::End => Ok(None),
            Opened::Welcome => Err(wrong("a second welcome".to_owned())),
        }
    }

    async fn close(&mut self) -> Result<()> {
        if self.closed {
            return Ok(());
        }
        self.closing = true;
        if !self.broken {
            let end = self.sealed.seal_end()?;
            match self.channel.send(end).await {
                Ok(()) => self.sealed.sent(),
                // It is gone, and needs no end.
                Err(SyncError::Closed { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        self.channel.close().await?;
        self.closed = true;
        Ok(())
    }
}
