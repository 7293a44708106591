//! [`WebSocketChannel`]: a channel over a WebSocket.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use async_trait::async_trait;
use futures_util::{Sink, Stream};
use storex_core::MaybeSend;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Bytes, Error, Message};

use super::connection::{Carrier, Connection};
use super::inbox::{Ended, Inbox};
use super::own::Own;
use super::{Channel, FRAME_LIMIT};
use crate::error::{Result, SyncError};

/// The bytes of a WebSocket frame that we send: a longer frame of ours is a message of several.
const FRAGMENT: usize = 64 << 10;

/// A [`Channel`] over a WebSocket (RFC 6455), as client or as server: each frame is a binary message.
///
/// The stream below it is yours: a `TcpStream`, or TLS over one. The handshake has no deadline of its own; drop its future when it
/// takes too long. What a server has to look at (a path, an origin, who it is that comes) it does in front of it.
///
/// Limit, giving up, both sides sending at once, and the end are as in `StreamChannel`: 64 MiB, or what
/// [`connect_limited`](Self::connect_limited) and [`accept_limited`](Self::accept_limited) say; cancel-safe; eight frames or 8 MiB are read ahead. But a
/// WebSocket closes as a whole: when one side has closed, the other cannot send any more either ([`SyncError::Closed`]). Pings are
/// answered while somebody calls `send` or `recv`. Text messages, messages beyond the limit, frames that should be masked and are not (or
/// the other way round) and whatever else is no WebSocket end the channel with [`SyncError::Protocol`].
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> storex_sync::Result<()> {
/// use storex_sync::{Channel, WebSocketChannel};
///
/// let (here, there) = tokio::io::duplex(4096); // or two `TcpStream`s, or TLS over them
/// let client = WebSocketChannel::connect(here, "ws://example.org/sync");
/// let (client, server) = tokio::join!(client, WebSocketChannel::accept(there));
/// let (mut client, mut server) = (client?, server?);
/// client.send(b"a frame".to_vec()).await?;
/// client.close().await?;
/// assert_eq!(server.recv().await?, Some(b"a frame".to_vec()));
/// assert_eq!(server.recv().await?, None);
/// # Ok(()) }
/// ```
pub struct WebSocketChannel<S> {
    connection: Connection<Messages<S>>,
}

impl<S> fmt::Debug for WebSocketChannel<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocketChannel").field("connection", &self.connection).finish()
    }
}

impl<S: AsyncRead + AsyncWrite> WebSocketChannel<S> {
    /// The client's end: asks the server at the other end of the stream for a WebSocket. The address (`ws://host/path`, or `wss://` where the
    /// stream is TLS) is what the server is told; nothing is connected to.
    ///
    /// # Errors
    /// [`SyncError::Transport`] when the server refuses, or is none.
    pub async fn connect(stream: S, address: &str) -> Result<Self> {
        Self::connect_limited(stream, address, FRAME_LIMIT).await
    }

    /// [`connect`](Self::connect), with so many bytes in a frame at most.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn connect_limited(stream: S, address: &str, limit: usize) -> Result<Self> {
        let (stream, config) = (Box::pin(stream), Some(config(limit)));
        let made = tokio_tungstenite::client_async_with_config(address, stream, config).await;
        let (socket, _) = made.map_err(|error| refused("asking for a WebSocket", &error))?;
        Ok(Self::over(socket, limit))
    }

    /// The server's end: waits for the client at the other end of the stream to ask for a WebSocket, whatever path it names.
    ///
    /// # Errors
    /// [`SyncError::Transport`] when it asks for something else, or goes.
    pub async fn accept(stream: S) -> Result<Self> {
        Self::accept_limited(stream, FRAME_LIMIT).await
    }

    /// [`accept`](Self::accept), with so many bytes in a frame at most.
    ///
    /// # Errors
    /// As [`accept`](Self::accept).
    pub async fn accept_limited(stream: S, limit: usize) -> Result<Self> {
        let (stream, config) = (Box::pin(stream), Some(config(limit)));
        let made = tokio_tungstenite::accept_async_with_config(stream, config).await;
        let socket = made.map_err(|error| refused("accepting a WebSocket", &error))?;
        Ok(Self::over(socket, limit))
    }

    fn over(socket: WebSocketStream<Pin<Box<S>>>, limit: usize) -> Self {
        let messages =
            Messages { socket: Own::new(socket), frame: None, fragments: 0, ending: false };
        Self { connection: Connection::new(messages, limit) }
    }
}

fn config(limit: usize) -> WebSocketConfig {
    WebSocketConfig::default().max_message_size(Some(limit)).max_frame_size(Some(limit))
}

fn refused(during: &'static str, error: &Error) -> SyncError {
    let reason = match error {
        Error::Http(response) => format!("the server answered {}", response.status()),
        error => error.to_string(),
    };
    SyncError::Transport { during, reason }
}

#[async_trait]
impl<S: AsyncRead + AsyncWrite + MaybeSend + 'static> Channel for WebSocketChannel<S> {
    async fn send(&mut self, frame: Vec<u8>) -> Result<()> {
        self.connection.send(frame).await
    }

    async fn recv(&mut self) -> Result<Option<Vec<u8>>> {
        self.connection.recv().await
    }

    async fn close(&mut self) -> Result<()> {
        self.connection.close().await
    }
}

/// Frames as messages of a WebSocket.
struct Messages<S> {
    socket: Own<WebSocketStream<Pin<Box<S>>>>,
    /// What is left of the frame that is being sent.
    frame: Option<Bytes>,
    /// How many fragments of it were sent.
    fragments: usize,
    /// Whether the end is to follow.
    ending: bool,
}

impl<S: AsyncRead + AsyncWrite> Messages<S> {
    fn socket(&mut self) -> Pin<&mut WebSocketStream<Pin<Box<S>>>> {
        Pin::new(self.socket.get())
    }

    /// What is to be sent next.
    fn next(&mut self) -> Option<Message> {
        let Some(rest) = &mut self.frame else {
            return std::mem::take(&mut self.ending).then_some(Message::Close(None));
        };
        let kind = if self.fragments == 0 { Data::Binary } else { Data::Continue };
        let fragment = rest.split_to(rest.len().min(FRAGMENT));
        let last = rest.is_empty();
        if last {
            self.frame = None;
        }
        self.fragments += 1;
        Some(Message::Frame(Frame::message(fragment, OpCode::Data(kind), last)))
    }

    fn poll_write_all(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        loop {
            ready!(self.socket().poll_ready(cx))?;
            match self.next() {
                Some(message) => self.socket().start_send(message)?,
                None => return self.socket().poll_flush(cx),
            }
        }
    }

    /// Tells the other side, as far as that can be done at once, why nothing more is taken from it.
    fn say_why(&mut self, cx: &mut Context<'_>, code: CloseCode, why: &'static str) {
        let close = Message::Close(Some(CloseFrame { code, reason: why.into() }));
        if self.frame.is_none() && self.socket().start_send(close).is_ok() {
            let _ = self.socket().poll_flush(cx);
        }
    }
}

impl<S: AsyncRead + AsyncWrite> Carrier for Messages<S> {
    fn begin(&mut self, frame: Vec<u8>) {
        (self.frame, self.fragments) = (Some(frame.into()), 0);
    }

    fn end(&mut self) {
        self.ending = true;
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ended>> {
        self.poll_write_all(cx).map_err(|error| ended_by(&error))
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, inbox: &mut Inbox) -> Poll<()> {
        match ready!(self.socket().poll_next(cx)) {
            Some(Ok(Message::Binary(bytes))) => inbox.push(bytes.into()),
            Some(Ok(Message::Text(_))) => {
                inbox.end(Ended::Rubbish("a text message, where all are binary".to_owned()));
                self.say_why(cx, CloseCode::Unsupported, "a text message");
            }
            Some(Ok(Message::Close(why))) => {
                inbox.end(closed_because(why));
                // The answer, without which the other side does not know that it was heard.
                let _ = self.socket().poll_flush(cx);
            }
            Some(Ok(_)) => {} // a ping, which is answered by the crate, or a pong
            Some(Err(error)) => {
                inbox.end(ended_by(&error));
                if matches!(error, Error::Capacity(_)) {
                    self.say_why(cx, CloseCode::Size, "a message beyond the limit");
                }
            }
            None => inbox.end(Ended::InOrder),
        }
        Poll::Ready(())
    }

    /// The stream stays open for what the other side answers; dropping the channel ends it.
    fn poll_shut(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Ended>> {
        Poll::Ready(Ok(()))
    }
}

fn closed_because(why: Option<CloseFrame>) -> Ended {
    match why {
        None => Ended::InOrder,
        Some(why) if matches!(why.code, CloseCode::Normal | CloseCode::Away) => Ended::InOrder,
        Some(why) => Ended::Failed(format!(
            "the other side closed the WebSocket with {}: {:?}",
            u16::from(why.code),
            why.reason.as_str()
        )),
    }
}

fn ended_by(error: &Error) -> Ended {
    match error {
        Error::ConnectionClosed | Error::AlreadyClosed => Ended::InOrder,
        Error::Protocol(ProtocolError::SendAfterClosing) => Ended::InOrder,
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Ended::Cut,
        Error::Io(error) => Ended::by(error),
        error => Ended::Rubbish(error.to_string()),
    }
}
