//! [`RelayChannel`]: a channel through a room of a server.

use std::fmt;

use async_trait::async_trait;

use super::inbox::{Ended, Inbox};
use super::{Channel, refuse_larger};
use crate::error::{Result, SyncError};
use crate::http::messages::{
    CLOSE_GOING_AWAY, CLOSE_NO_SUCH_ROOM, CLOSE_REVOKED, CLOSE_ROOM_FULL, CLOSE_UNAUTHORIZED,
};
use crate::http::{Socket, SocketMessage};

/// The bytes of a frame, at most, unless a channel is told otherwise: what a server passes on unless it is told otherwise.
const LIMIT: usize = 2 << 20;

/// Close codes of RFC 6455: done, and none that was said.
const DONE: u16 = 1000;
const NO_CODE: u16 = 1005;
/// Close code of RFC 6455: the connection is gone.
const CUT: u16 = 1006;

/// A [`Channel`] between two devices that are in the same room of a server: each frame is a message of a WebSocket, which the server passes
/// on as it is. [`HttpClient::join_room`](crate::http::HttpClient::join_room) opens it.
///
/// The server could read what passes, and change it: put a `SecureChannel` around it. As it is the server that holds the connections, the
/// end of the other side's is an end in order; the secure channel tells whether it was meant.
///
/// Giving up and both sides sending at once are as in `WebSocketChannel`. A frame has at most 2 MiB, as a server passes on, or what
/// [`limit`](Self::limit) says.
pub struct RelayChannel {
    socket: Socket,
    inbox: Inbox,
    limit: usize,
    closed: bool,
}

impl fmt::Debug for RelayChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RelayChannel").field("closed", &self.closed).finish_non_exhaustive()
    }
}

impl RelayChannel {
    pub(crate) fn new(socket: Socket) -> Self {
        Self { socket, inbox: Inbox::default(), limit: LIMIT, closed: false }
    }

    /// The bytes of a frame, at most: what the server is told to pass on (`relay.message_bytes`).
    #[must_use]
    pub fn limit(mut self, bytes: usize) -> Self {
        self.limit = bytes;
        self
    }

    /// Waits until the other device is in the room and has sent something, however long somebody takes to type its number: what pairs or
    /// greets has a deadline, which is to begin behind this. When the room ends before, it returns too, and the next
    /// [`recv`](Channel::recv) tells. Cancel-safe.
    pub async fn spoken_to(&mut self) {
        while self.inbox.is_empty() {
            self.hear().await;
        }
    }

    async fn hear(&mut self) {
        let heard = self.socket.receiver.recv().await;
        note(&mut self.inbox, heard);
    }

    /// Sends, and reads ahead meanwhile, so that two that send at once do not wait for each other.
    async fn say(&mut self, message: SocketMessage) -> Result<()> {
        let Self { socket: Socket { sender, receiver }, inbox, .. } = self;
        let mut sending = sender.send(message);
        loop {
            tokio::select! {
                biased;
                sent = &mut sending => return sent,
                heard = receiver.recv(), if inbox.has_room() => note(inbox, heard),
            }
            if let Some(broken) = inbox.broken() {
                return Err(broken.clone().of_sending());
            }
            if inbox.ended_in_order() {
                return Err(Ended::InOrder.of_sending());
            }
        }
    }
}

fn note(inbox: &mut Inbox, heard: Result<SocketMessage>) {
    match heard {
        Ok(SocketMessage::Binary(frame)) => inbox.push(frame),
        Ok(SocketMessage::Text(_)) => {
            inbox.end(Ended::Rubbish("a text message, where all are binary".to_owned()));
        }
        Ok(SocketMessage::Closed { code, reason }) => inbox.end(closed(code, reason)),
        Err(error) => inbox.end(Ended::Failed(error.to_string())),
    }
}

fn closed(code: u16, reason: String) -> Ended {
    Ended::Failed(match code {
        DONE | NO_CODE | CLOSE_GOING_AWAY => return Ended::InOrder,
        CUT => return Ended::Cut,
        CLOSE_NO_SUCH_ROOM => {
            "there is no such room: its number is another, or its time is over".to_owned()
        }
        CLOSE_ROOM_FULL => "two are in the room already".to_owned(),
        CLOSE_UNAUTHORIZED => "the server wants a token that it accepts".to_owned(),
        CLOSE_REVOKED => "this device was revoked".to_owned(),
        _ => format!("the server closed the room with {code}: {reason:?}"),
    })
}

#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
impl Channel for RelayChannel {
    async fn send(&mut self, frame: Vec<u8>) -> Result<()> {
        let during = "sending a frame";
        if self.closed || self.inbox.ended_in_order() {
            return Err(SyncError::Closed { during });
        }
        refuse_larger(&frame, self.limit)?;
        match self.say(SocketMessage::Binary(frame)).await {
            Err(SyncError::Transport { reason, .. }) => {
                Err(SyncError::Transport { during, reason })
            }
            Err(SyncError::Closed { .. }) => Err(SyncError::Closed { during }),
            sent => sent,
        }
    }

    async fn recv(&mut self) -> Result<Option<Vec<u8>>> {
        loop {
            if let Some(taken) = self.inbox.take() {
                return taken;
            }
            self.hear().await;
        }
    }

    async fn close(&mut self) -> Result<()> {
        if std::mem::replace(&mut self.closed, true) {
            return Ok(());
        }
        let end = SocketMessage::Closed { code: DONE, reason: String::new() };
        let closed = self.say(end).await;
        if let Err(SyncError::Closed { .. }) = closed {
            // Both have closed, and the other side was quicker, if that is what it has said last.
            while !self.inbox.has_ended() {
                self.hear().await;
            }
            if self.inbox.ended_in_order() {
                return Ok(());
            }
        }
        closed
    }
}
