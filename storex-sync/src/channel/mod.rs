//! [`Channel`]: an ordered pipe of frames between two devices.

#[cfg(any(feature = "stream", all(feature = "websocket", not(target_family = "wasm"))))]
mod connection;
mod heartbeat;
#[cfg(any(
    feature = "http",
    feature = "stream",
    all(feature = "websocket", not(target_family = "wasm"))
))]
mod inbox;
mod memory;
#[cfg(all(feature = "web", target_family = "wasm"))]
mod message_port;
mod own;
#[cfg(feature = "stream")]
mod pieces;
#[cfg(feature = "http")]
mod relay;
#[cfg(feature = "webrtc")]
mod rtc;
#[cfg(feature = "stream")]
mod stream;
#[cfg(all(feature = "websocket", not(target_family = "wasm")))]
mod websocket;
#[cfg(all(feature = "zstd", not(target_family = "wasm")))]
mod zstd;

pub use heartbeat::HeartbeatChannel;
pub use memory::MemoryChannel;
#[cfg(all(feature = "web", target_family = "wasm"))]
pub use message_port::MessagePortChannel;
#[cfg(feature = "http")]
pub use relay::RelayChannel;
#[cfg(all(feature = "webrtc", target_family = "wasm"))]
pub use rtc::{RtcChannel, RtcConfig};
#[cfg(feature = "stream")]
pub use stream::StreamChannel;
#[cfg(all(feature = "websocket", not(target_family = "wasm")))]
pub use websocket::WebSocketChannel;
#[cfg(all(feature = "zstd", not(target_family = "wasm")))]
pub use zstd::ZstdChannel;

use std::fmt;

use async_trait::async_trait;
use storex_core::{MaybeSend, MaybeSync};

use crate::error::Result;

/// An ordered, reliable pipe of frames between two devices. Everything else, framing of messages included, lives above.
///
/// What holds of every channel, and what `channel_conformance!` of `storex-conformance` tests:
///
/// - Two sides that each send a frame before they receive one do not wait for each other, however large the frames are. How much more is
///   under way while nobody receives is up to the channel, and bounded.
/// - A `send` or `recv` that is given up (its future is dropped) loses nothing and tears nothing: what was to be received is received by
///   the next call; what was to be sent is sent whole, if need be by the next call, or not at all.
/// - What arrived before the other side closed, or the connection broke, is still received.
#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
pub trait Channel: fmt::Debug + MaybeSend + MaybeSync + 'static {
    /// Sends a frame; waits while the other side takes no more. Cancel-safe, see above.
    ///
    /// # Errors
    /// [`SyncError::Closed`](crate::SyncError::Closed) when the other side is gone, or this one was closed;
    /// [`SyncError::FrameTooLarge`](crate::SyncError::FrameTooLarge), after which smaller ones can be sent;
    /// [`SyncError::Transport`](crate::SyncError::Transport); [`SyncError::Protocol`](crate::SyncError::Protocol) when what arrived
    /// meanwhile is not allowed; [`SyncError::Timeout`](crate::SyncError::Timeout) of a channel that keeps a deadline.
    async fn send(&mut self, frame: Vec<u8>) -> Result<()>;

    /// Receives a frame; `None` when the other side closed in order. Cancel-safe.
    ///
    /// # Errors
    /// [`SyncError::Transport`](crate::SyncError::Transport), also when the connection was cut and the channel can tell that from its
    /// end; [`SyncError::Closed`](crate::SyncError::Closed) of a sealed channel that ended without the other side's word;
    /// [`SyncError::Protocol`](crate::SyncError::Protocol) when something arrived that is no frame of this channel;
    /// [`SyncError::Timeout`](crate::SyncError::Timeout) of a channel that keeps a deadline.
    async fn recv(&mut self) -> Result<Option<Vec<u8>>>;

    /// Closes in order: what was sent still arrives, and what the other side sends is still received. Once more does nothing.
    ///
    /// # Errors
    /// [`SyncError::Transport`](crate::SyncError::Transport), [`SyncError::Closed`](crate::SyncError::Closed) when the other side was gone
    /// before; otherwise those of [`send`](Self::send), but for a frame that is too large.
    async fn close(&mut self) -> Result<()>;
}

/// Whichever channel it is.
#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
impl Channel for Box<dyn Channel> {
    async fn send(&mut self, frame: Vec<u8>) -> Result<()> {
        (**self).send(frame).await
    }

    async fn recv(&mut self) -> Result<Option<Vec<u8>>> {
        (**self).recv().await
    }

    async fn close(&mut self) -> Result<()> {
        (**self).close().await
    }
}

/// The bytes of a frame, at most, unless a channel is told otherwise: far more than a page of an initial sync, far less than
/// what a device has no memory for.
#[cfg(any(
    feature = "stream",
    feature = "pairing",
    all(any(feature = "websocket", feature = "zstd"), not(target_family = "wasm"))
))]
pub(crate) const FRAME_LIMIT: usize = 64 << 20;

/// A frame that is larger than the other side takes is not sent.
#[cfg(any(
    feature = "http",
    feature = "stream",
    feature = "pairing",
    all(any(feature = "websocket", feature = "zstd"), not(target_family = "wasm"))
))]
pub(crate) fn refuse_larger(frame: &[u8], limit: usize) -> Result<()> {
    if frame.len() > limit {
        let (bytes, limit) = (frame.len() as u64, limit as u64);
        return Err(crate::error::SyncError::FrameTooLarge { bytes, limit });
    }
    Ok(())
}
