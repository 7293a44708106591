//! [`Channel`]: an ordered pipe of frames between two devices.

mod memory;
#[cfg(all(feature = "web", target_family = "wasm"))]
mod message_port;

pub use memory::MemoryChannel;
#[cfg(all(feature = "web", target_family = "wasm"))]
pub use message_port::MessagePortChannel;

use std::fmt;

use async_trait::async_trait;
use storex_core::{MaybeSend, MaybeSync};

use crate::error::Result;

/// An ordered, reliable pipe of frames between two devices. Everything else, framing of messages included, lives above.
#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
pub trait Channel: fmt::Debug + MaybeSend + MaybeSync + 'static {
    /// Sends a frame; waits while the other side takes no more.
    ///
    /// # Errors
    /// [`SyncError::Closed`](crate::SyncError::Closed) when the other side is gone.
    async fn send(&mut self, frame: Vec<u8>) -> Result<()>;

    /// Receives a frame; `None` when the other side closed in order. Cancel-safe.
    ///
    /// # Errors
    /// [`SyncError::Transport`](crate::SyncError::Transport).
    async fn recv(&mut self) -> Result<Option<Vec<u8>>>;

    /// Closes in order: what was sent still arrives.
    ///
    /// # Errors
    /// [`SyncError::Transport`](crate::SyncError::Transport).
    async fn close(&mut self) -> Result<()>;
}
