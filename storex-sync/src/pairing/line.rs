//! [`Line`]: the frames of a handshake over a channel, each within a deadline, and the word of refusal.

use std::sync::Arc;
use std::time::Duration;

use storex_core::{ErrorKind, Runtime};

use crate::channel::Channel;
use crate::deadline::in_time;
use crate::error::{Result, SyncError};

/// What is going on, in errors.
pub(super) const PAIRING: &str = "pairing";

/// How long the other side may take for a message.
pub(super) const DEADLINE: Duration = Duration::from_secs(10);

/// Longer than any frame of a handshake.
const LONGEST: usize = 512;

/// The first byte of each frame but the greeting.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Tag {
    Refused = 0,
    Point = 1,
    Noise = 2,
    Welcome = 3,
}

/// Why a side gives up, as far as the other one is told. Nothing here is of a secret, and nobody vouches for it: it tells people
/// what to do, and ends what would otherwise end by a deadline.
#[derive(Clone, Copy)]
enum Refusal {
    Differs = 1,
    Spent = 2,
    NotUnderstood = 3,
}

/// A channel on which a handshake is made.
pub(super) struct Line<C> {
    pub(super) channel: C,
    runtime: Arc<dyn Runtime>,
    /// What a refusal by the other side means here.
    told: fn(u8) -> SyncError,
}

impl<C: Channel> Line<C> {
    pub(super) fn of_guest(channel: C, runtime: Arc<dyn Runtime>) -> Self {
        Self { channel, runtime, told: told_by_host }
    }

    pub(super) fn of_host(channel: C, runtime: Arc<dyn Runtime>) -> Self {
        Self { channel, runtime, told: told_by_guest }
    }

    pub(super) fn runtime(&self) -> &dyn Runtime {
        &*self.runtime
    }

    /// Sends bytes as they are.
    pub(super) async fn send_raw(&mut self, frame: Vec<u8>) -> Result<()> {
        within(&*self.runtime, self.channel.send(frame)).await
    }

    pub(super) async fn send(&mut self, tag: Tag, body: &[u8]) -> Result<()> {
        self.send_raw(frame(tag as u8, body)).await
    }

    /// Receives bytes as they are, or why the other side gave up.
    pub(super) async fn recv_raw(&mut self) -> Result<Vec<u8>> {
        let frame = within(&*self.runtime, self.channel.recv()).await?;
        let frame = frame.ok_or(SyncError::Closed { during: PAIRING })?;
        if frame.len() > LONGEST {
            return Err(wrong(format!("a frame of {} bytes", frame.len())));
        }
        match frame.as_slice() {
            [tag, code] if *tag == Tag::Refused as u8 => Err((self.told)(*code)),
            _ => Ok(frame),
        }
    }

    pub(super) async fn recv(&mut self, tag: Tag) -> Result<Vec<u8>> {
        let mut frame = self.recv_raw().await?;
        if frame.first() != Some(&(tag as u8)) {
            return Err(wrong("a message that is not the next one".to_owned()));
        }
        frame.remove(0);
        Ok(frame)
    }

    /// Tells the other side that nothing comes of it, as far as that can be told, and closes.
    pub(super) async fn give_up(&mut self, error: &SyncError) {
        let refusal = match error {
            SyncError::PairingRefused { .. } => Some(Refusal::Differs),
            SyncError::PairingCodeSpent { .. } => Some(Refusal::Spent),
            SyncError::Protocol { .. } => Some(Refusal::NotUnderstood),
            _ => None,
        };
        if let Some(refusal) = refusal
            && let Err(error) = self.send(Tag::Refused, &[refusal as u8]).await
        {
            tracing::debug!(%error, "the other side could not be told that it was refused");
        }
        if let Err(error) = within(&*self.runtime, self.channel.close()).await {
            tracing::debug!(%error, "a channel on which nobody was paired could not be closed");
        }
    }
}

fn frame(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(1 + body.len());
    frame.push(tag);
    frame.extend_from_slice(body);
    frame
}

pub(super) fn wrong(reason: String) -> SyncError {
    SyncError::Protocol { during: PAIRING, reason }
}

/// What the host says when it gives up.
fn told_by_host(code: u8) -> SyncError {
    if code == Refusal::Differs as u8 {
        let reason =
            "it says that the codes differ, or that it does not know this device".to_owned();
        SyncError::PairingRefused { reason }
    } else if code == Refusal::Spent as u8 {
        SyncError::PairingCodeSpent { reason: "so says the device that shows it".to_owned() }
    } else {
        let reason = "it cannot make out what this device sent while pairing".to_owned();
        SyncError::Remote { kind: ErrorKind::Other, reason }
    }
}

/// A guest that gives up: whether a code was right, or is still good, is not its to say, as anybody can say it.
fn told_by_guest(_: u8) -> SyncError {
    let reason = "it has given up pairing".to_owned();
    SyncError::Remote { kind: ErrorKind::Other, reason }
}

async fn within<T>(runtime: &dyn Runtime, step: impl Future<Output = Result<T>>) -> Result<T> {
    in_time(runtime, DEADLINE, PAIRING, step).await
}
