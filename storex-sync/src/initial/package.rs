//! Packages: what the applications of the two sides have to say to each other before an initial sync.

use super::InitialSync;
use super::frame::Frame;
use super::line::Line;
use crate::channel::Channel;
use crate::error::{Result, SyncError};

impl InitialSync {
    /// Sends something of the application's, say a key or a name, which the other side takes with
    /// [`receive_package`](Self::receive_package). It is for before [`send`](Self::send), [`receive`](Self::receive) and
    /// [`both_ways`](Self::both_ways), or behind them; it must be small (a channel holds one frame while nobody takes it).
    ///
    /// ```
    /// # async fn example(storage: &storex_core::Storage, channel: &mut dyn storex_sync::Channel) -> storex_sync::Result<()> {
    /// let sync = storex_sync::InitialSync::open(storage).await?;
    /// sync.send_package(channel, "device-name", b"My phone").await?;
    /// let theirs = sync.receive_package(channel, "device-name").await?;
    /// # let _ = theirs; Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`SyncError::Closed`], [`SyncError::Transport`], [`SyncError::Timeout`], [`SyncError::Cancelled`], [`SyncError::Remote`].
    pub async fn send_package(
        &self,
        channel: &mut dyn Channel,
        kind: &str,
        bytes: &[u8],
    ) -> Result<()> {
        let mut line = Line::watched(channel, self.watch());
        let package = Frame::Package { kind: kind.to_owned(), bytes: bytes.to_vec() };
        // What has arrived is left for whoever asks for it.
        let result = line.send_at_once(&package).await;
        if let Err(error) = &result {
            line.give_up(error).await;
        }
        result
    }

    /// Receives something of the other application's, of this kind.
    ///
    /// # Errors
    /// [`SyncError::Protocol`]: it is of another kind, or no package; the other side is told. And those of
    /// [`send_package`](Self::send_package).
    pub async fn receive_package(&self, channel: &mut dyn Channel, kind: &str) -> Result<Vec<u8>> {
        let mut line = Line::watched(channel, self.watch());
        let result = receive(&mut line, kind).await;
        if let Err(error) = &result {
            line.give_up(error).await;
        }
        result
    }
}

async fn receive(line: &mut Line<'_>, kind: &str) -> Result<Vec<u8>> {
    let during = "waiting for a package of the application's";
    match line.receive(during).await? {
        Frame::Package { kind: theirs, bytes } if theirs == kind => Ok(bytes),
        Frame::Package { kind: theirs, .. } => {
            let reason = format!("a package `{theirs}` came where a package `{kind}` was expected");
            Err(SyncError::Protocol { during, reason })
        }
        other => Err(other.unexpected(during)),
    }
}
