//! The two halves of a WebSocket.

use std::{fmt, io};

use async_trait::async_trait;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::super::transport::{Socket, SocketMessage, SocketReceiver, SocketSender};
use super::connector::Stream;
use crate::error::{Result, SyncError, describe};

/// The close code of a connection that ends without one (RFC 6455).
const CUT: u16 = 1006;
/// The close code of a close that says none (RFC 6455).
const NO_CODE: u16 = 1005;

pub(super) fn halves(socket: WebSocketStream<Stream>) -> Socket {
    let (sink, stream) = socket.split();
    Socket { sender: Box::new(Sender(sink)), receiver: Box::new(Receiver { stream, ended: None }) }
}

/// Why a WebSocket was not opened.
pub(super) fn refused(error: &Error) -> SyncError {
    let reason = match error {
        Error::Http(response) => format!("the server answered {}", response.status()),
        error => describe(error),
    };
    SyncError::Transport { during: "opening a WebSocket", reason }
}

struct Sender(SplitSink<WebSocketStream<Stream>, Message>);

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sender")
    }
}

#[async_trait]
impl SocketSender for Sender {
    async fn send(&mut self, message: SocketMessage) -> Result<()> {
        let message = match message {
            SocketMessage::Text(text) => Message::text(text),
            SocketMessage::Binary(bytes) => Message::binary(bytes),
            SocketMessage::Closed { code, reason } => {
                let code = CloseCode::from(code);
                Message::Close(Some(CloseFrame { code, reason: reason.into() }))
            }
        };
        let during = "sending a message";
        self.0.send(message).await.map_err(|error| match error {
            Error::ConnectionClosed
            | Error::AlreadyClosed
            | Error::Protocol(ProtocolError::SendAfterClosing) => SyncError::Closed { during },
            // What the other side has said before it went is still to be received.
            Error::Io(error) if is_gone(&error) => SyncError::Closed { during },
            error => SyncError::Transport { during, reason: describe(&error) },
        })
    }
}

/// Whether nobody is at the other end any more.
fn is_gone(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, WriteZero};
    matches!(
        error.kind(),
        BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected | WriteZero
    )
}

struct Receiver {
    stream: SplitStream<WebSocketStream<Stream>>,
    /// How it ended.
    ended: Option<SocketMessage>,
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("ended", &self.ended).finish_non_exhaustive()
    }
}

#[async_trait]
impl SocketReceiver for Receiver {
    async fn recv(&mut self) -> Result<SocketMessage> {
        loop {
            if let Some(ended) = &self.ended {
                return Ok(ended.clone());
            }
            let cut = |reason: String| SocketMessage::Closed { code: CUT, reason };
            self.ended = Some(match self.stream.next().await {
                Some(Ok(Message::Text(text))) => {
                    return Ok(SocketMessage::Text(text.as_str().to_owned()));
                }
                Some(Ok(Message::Binary(bytes))) => {
                    return Ok(SocketMessage::Binary(bytes.into()));
                }
                // Pings are answered by the crate.
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
                Some(Ok(Message::Close(why))) => match why {
                    Some(why) => SocketMessage::Closed {
                        code: why.code.into(),
                        reason: why.reason.as_str().to_owned(),
                    },
                    None => SocketMessage::Closed { code: NO_CODE, reason: String::new() },
                },
                Some(Err(error)) => cut(describe(&error)),
                None => cut("the connection was cut".to_owned()),
            });
        }
    }
}
