//! [`Connection`]: a channel over TCP, a WebSocket or a relay, which counts what goes over it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use async_trait::async_trait;
use storex_sync::{Channel, RelayChannel, Result, StreamChannel, WebSocketChannel};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Bytes that are read from somebody who was not let in yet: far more than a handshake has, far less than what could hurt.
const BEFORE_PAIRING: usize = 16 << 10;

/// The bytes of all frames, as they go over the network.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    sent: AtomicU64,
    received: AtomicU64,
    /// The other side was let in, and may send as much as it likes.
    let_in: AtomicBool,
}

impl Traffic {
    /// From now on the other side may send more than a handshake has.
    pub(super) fn let_in(&self) {
        self.let_in.store(true, Ordering::Relaxed);
    }

    /// Sent, and received.
    pub(super) fn total(&self) -> (u64, u64) {
        (self.sent.load(Ordering::Relaxed), self.received.load(Ordering::Relaxed))
    }
}

/// A connection to the other machine.
#[derive(Debug)]
pub(super) struct Connection {
    inner: Box<dyn Channel>,
    traffic: Arc<Traffic>,
}

impl Connection {
    /// Over TCP.
    pub(super) fn tcp(stream: TcpStream) -> Self {
        let (gate, traffic) = Gate::before(stream);
        Self { inner: Box::new(StreamChannel::new(gate)), traffic }
    }

    /// Over a WebSocket to the server at the other end of the stream, whose address this is.
    pub(super) async fn to_server(stream: TcpStream, address: &str) -> Result<Self> {
        let (gate, traffic) = Gate::before(stream);
        let channel = WebSocketChannel::connect(gate, &format!("ws://{address}/")).await?;
        Ok(Self { inner: Box::new(channel), traffic })
    }

    /// Over a WebSocket that the client at the other end of the stream asks for.
    pub(super) async fn to_client(stream: TcpStream) -> Result<Self> {
        let (gate, traffic) = Gate::before(stream);
        let channel = WebSocketChannel::accept(gate).await?;
        Ok(Self { inner: Box::new(channel), traffic })
    }

    /// Through a relay, which lets nobody in but the same user.
    pub(super) fn relayed(channel: RelayChannel) -> Self {
        Self { inner: Box::new(channel), traffic: Arc::default() }
    }

    /// What goes over it.
    pub(super) fn traffic(&self) -> Arc<Traffic> {
        Arc::clone(&self.traffic)
    }
}

#[async_trait]
impl Channel for Connection {
    async fn send(&mut self, frame: Vec<u8>) -> Result<()> {
        let bytes = frame.len() as u64;
        self.inner.send(frame).await?;
        self.traffic.sent.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }

    async fn recv(&mut self) -> Result<Option<Vec<u8>>> {
        let frame = self.inner.recv().await?;
        let bytes = frame.as_ref().map_or(0, Vec::len) as u64;
        self.traffic.received.fetch_add(bytes, Ordering::Relaxed);
        Ok(frame)
    }

    async fn close(&mut self) -> Result<()> {
        self.inner.close().await
    }
}

/// A stream from which no more is read than a handshake has, until the other side was let in: strangers get no memory.
struct Gate {
    stream: TcpStream,
    traffic: Arc<Traffic>,
    /// Bytes that may still be read until then.
    left: usize,
}

impl Gate {
    fn before(stream: TcpStream) -> (Self, Arc<Traffic>) {
        let traffic = Arc::<Traffic>::default();
        (Self { stream, traffic: Arc::clone(&traffic), left: BEFORE_PAIRING }, traffic)
    }
}

impl AsyncRead for Gate {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { stream, traffic, left } = self.get_mut();
        if traffic.let_in.load(Ordering::Relaxed) {
            return Pin::new(stream).poll_read(cx, buffer);
        }
        let most = buffer.remaining().min(*left);
        if most == 0 {
            let error = "it sends more than a handshake has";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, error)));
        }
        let mut some = ReadBuf::new(buffer.initialize_unfilled_to(most));
        ready!(Pin::new(stream).poll_read(cx, &mut some))?;
        let read = some.filled().len();
        buffer.advance(read);
        *left -= read;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Gate {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
