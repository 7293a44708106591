//! [`StreamChannel`]: a channel over any stream of bytes.

use std::fmt;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use async_trait::async_trait;
use storex_core::MaybeSend;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::connection::{Carrier, Connection};
use super::inbox::{Ended, Inbox};
use super::own::Own;
use super::pieces::{Found, Reader, Writer};
use super::{Channel, FRAME_LIMIT};
use crate::error::Result;

/// Bytes that are read at once.
const READ: usize = 64 << 10;

/// A [`Channel`] over any stream of bytes: TCP, a Unix socket, a pair of pipes, TLS, whatever is [`AsyncRead`] and [`AsyncWrite`].
/// The other end is a `StreamChannel` too.
///
/// - **Limit.** A frame has at most 64 MiB, unless [`StreamChannel::limit`] says otherwise; both ends should have the same limit. A
///   larger one is not sent ([`SyncError::FrameTooLarge`](crate::SyncError::FrameTooLarge)), and one that arrives ends the channel ([`SyncError::Protocol`](crate::SyncError::Protocol)) before
///   memory is taken for it.
/// - **Cancel-safe**, all of it. What was half read stays in the channel. A frame whose `send` was given up is either not
///   sent at all, or it goes on with the next call, whichever that is; half a frame is never left on the way.
/// - **Both at once.** While it waits to send, it reads ahead: eight frames, or 8 MiB (and the rest of the frame that has
///   begun). So two sides that both send before they receive do not wait for each other.
/// - **The end.** `close` tells the other side, whose `recv` then gives `None`; it may still send. A connection that ends without
///   that was cut: [`SyncError::Transport`](crate::SyncError::Transport) from `recv`, [`SyncError::Closed`](crate::SyncError::Closed) from `send`. What had arrived before is still received.
///
/// Nothing is encrypted, nobody is asked who they are, and no deadline is kept; see the chapter on channels of the guide. For TCP, call
/// `set_nodelay(true)` on the stream, or small frames wait for the answer to the one before.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> storex_sync::Result<()> {
/// use storex_sync::{Channel, StreamChannel};
///
/// let (here, there) = tokio::io::duplex(4096); // or two `TcpStream`s, `UnixStream`s, ..
/// let (mut here, mut there) = (StreamChannel::new(here), StreamChannel::new(there));
/// here.send(b"a frame".to_vec()).await?;
/// here.close().await?;
/// assert_eq!(there.recv().await?, Some(b"a frame".to_vec()));
/// assert_eq!(there.recv().await?, None);
/// # Ok(()) }
/// ```
pub struct StreamChannel<S> {
    connection: Connection<Pieces<S>>,
}

impl<S> fmt::Debug for StreamChannel<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamChannel").field("connection", &self.connection).finish()
    }
}

impl<S: AsyncRead + AsyncWrite> StreamChannel<S> {
    /// Takes over a stream.
    #[must_use]
    pub fn new(stream: S) -> Self {
        let pieces = Pieces {
            stream: Own::new(Box::pin(stream)),
            reader: Reader::new(FRAME_LIMIT),
            buffer: vec![0; READ].into_boxed_slice(),
            unread: 0..0,
            writer: Writer::default(),
        };
        Self { connection: Connection::new(pieces, FRAME_LIMIT) }
    }

    /// The bytes of a frame, at most; 64 MiB unless told otherwise.
    #[must_use]
    pub fn limit(mut self, bytes: usize) -> Self {
        self.connection.limit = bytes;
        self.connection.carrier.reader.limit(bytes);
        self
    }
}

#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
impl<S: AsyncRead + AsyncWrite + MaybeSend + 'static> Channel for StreamChannel<S> {
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

/// Frames in pieces over a stream.
struct Pieces<S> {
    stream: Own<Pin<Box<S>>>,
    reader: Reader,
    buffer: Box<[u8]>,
    /// What of the buffer was read from the stream and not yet looked at.
    unread: Range<usize>,
    writer: Writer,
}

impl<S: AsyncRead + AsyncWrite> Pieces<S> {
    fn poll_write_all(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let mut stream = self.stream.get().as_mut();
        loop {
            let bytes = self.writer.next();
            if bytes.is_empty() {
                return stream.poll_flush(cx);
            }
            match ready!(stream.as_mut().poll_write(cx, bytes))? {
                0 => return Poll::Ready(Err(std::io::ErrorKind::WriteZero.into())),
                written => self.writer.advance(written),
            }
        }
    }

    fn take_in(&mut self, inbox: &mut Inbox) {
        let mut bytes = self.buffer.get(self.unread.clone()).unwrap_or_default();
        match self.reader.read(&mut bytes) {
            Ok(Some(Found::Frame(frame))) => inbox.push(frame),
            Ok(Some(Found::End)) => inbox.end(Ended::InOrder),
            Ok(None) => {}
            Err(reason) => inbox.end(Ended::Rubbish(reason)),
        }
        self.unread.start = self.unread.end - bytes.len();
    }
}

impl<S: AsyncRead + AsyncWrite> Carrier for Pieces<S> {
    fn begin(&mut self, frame: Vec<u8>) {
        self.writer.begin(frame);
    }

    fn end(&mut self) {
        self.writer.end();
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ended>> {
        self.poll_write_all(cx).map_err(|error| Ended::by(&error))
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, inbox: &mut Inbox) -> Poll<()> {
        if self.unread.is_empty() {
            let mut buffer = ReadBuf::new(&mut self.buffer);
            match ready!(self.stream.get().as_mut().poll_read(cx, &mut buffer)) {
                Ok(()) if buffer.filled().is_empty() => inbox.end(Ended::Cut),
                Ok(()) => self.unread = 0..buffer.filled().len(),
                Err(error) => inbox.end(Ended::by(&error)),
            }
        }
        self.take_in(inbox);
        Poll::Ready(())
    }

    fn poll_shut(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ended>> {
        self.stream.get().as_mut().poll_shutdown(cx).map_err(|error| Ended::by(&error))
    }
}
