//! What a channel over a connection has read and nobody has received yet, and how the connection ended.

use std::collections::VecDeque;

use crate::error::{Result, SyncError};

/// Frames that are read ahead, at most.
const FRAMES: usize = 8;

/// Reading ahead stops when the frames that wait hold so many bytes. A frame that has begun is read whole.
const BYTES: usize = 8 << 20;

/// How one direction of a connection ended.
#[derive(Debug, Clone)]
pub(super) enum Ended {
    /// The other side said so.
    InOrder,
    /// The connection broke, and nobody had said that it ends.
    Cut,
    /// The connection failed.
    Failed(String),
    /// The other side sent what is not allowed.
    Rubbish(String),
}

impl Ended {
    /// What a failed reading or writing of a stream means.
    #[cfg(any(feature = "stream", all(feature = "websocket", not(target_family = "wasm"))))]
    pub(super) fn by(error: &std::io::Error) -> Self {
        use std::io::ErrorKind;
        match error.kind() {
            ErrorKind::BrokenPipe
            | ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionReset
            | ErrorKind::NotConnected
            | ErrorKind::UnexpectedEof
            | ErrorKind::WriteZero => Self::Cut,
            // As streams over another protocol say it: TLS, a data channel.
            ErrorKind::InvalidData => Self::Rubbish(error.to_string()),
            _ => Self::Failed(error.to_string()),
        }
    }

    /// The error of a frame that can't be sent any more.
    pub(super) fn of_sending(self) -> SyncError {
        let during = "sending a frame";
        match self {
            Self::InOrder | Self::Cut => SyncError::Closed { during },
            Self::Failed(reason) => SyncError::Transport { during, reason },
            Self::Rubbish(reason) => SyncError::Protocol { during, reason },
        }
    }

    fn of_receiving(self) -> Result<()> {
        let during = "receiving a frame";
        let cut = "the connection was cut: the other side has not said that it ends";
        match self {
            Self::InOrder => Ok(()),
            Self::Cut => Err(SyncError::Transport { during, reason: cut.to_owned() }),
            Self::Failed(reason) => Err(SyncError::Transport { during, reason }),
            Self::Rubbish(reason) => Err(SyncError::Protocol { during, reason }),
        }
    }
}

/// Frames that were read and not received yet.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    frames: VecDeque<Vec<u8>>,
    bytes: usize,
    ended: Option<Ended>,
}

impl Inbox {
    /// Whether more is to be read.
    pub(super) fn has_room(&self) -> bool {
        self.ended.is_none() && self.frames.len() < FRAMES && self.bytes < BYTES
    }

    /// Whether there is nothing to be received yet, not even the end.
    #[cfg(feature = "http")]
    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty() && self.ended.is_none()
    }

    /// Whether nothing more comes.
    #[cfg(feature = "http")]
    pub(super) fn has_ended(&self) -> bool {
        self.ended.is_some()
    }

    pub(super) fn push(&mut self, frame: Vec<u8>) {
        self.bytes += frame.len();
        self.frames.push_back(frame);
    }

    /// No more frames come; the first reason counts.
    pub(super) fn end(&mut self, ended: Ended) {
        self.ended.get_or_insert(ended);
    }

    /// The next frame, or what came instead; `None`: nothing yet.
    pub(super) fn take(&mut self) -> Option<Result<Option<Vec<u8>>>> {
        if let Some(frame) = self.frames.pop_front() {
            self.bytes -= frame.len();
            return Some(Ok(Some(frame)));
        }
        self.ended.clone().map(|ended| ended.of_receiving().map(|()| None))
    }

    /// Whether the other side closed in order: it may still take what is sent.
    pub(super) fn ended_in_order(&self) -> bool {
        matches!(self.ended, Some(Ended::InOrder))
    }

    /// Why nothing can be sent any more, as far as it is known from reading.
    pub(super) fn broken(&self) -> Option<&Ended> {
        self.ended.as_ref().filter(|ended| !matches!(ended, Ended::InOrder))
    }
}
