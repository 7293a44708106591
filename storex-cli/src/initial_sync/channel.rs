//! [`Connection`]: a channel over TCP or a WebSocket, which counts what goes over it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use storex_sync::{Channel, Result, StreamChannel, WebSocketChannel};
use tokio::net::TcpStream;

/// The bytes of all frames, as they go over the network.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    sent: AtomicU64,
    received: AtomicU64,
}

impl Traffic {
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
        Self::over(StreamChannel::new(stream))
    }

    /// Over a WebSocket to the server at the other end of the stream, whose address this is.
    pub(super) async fn to_server(stream: TcpStream, address: &str) -> Result<Self> {
        let channel = WebSocketChannel::connect(stream, &format!("ws://{address}/")).await?;
        Ok(Self::over(channel))
    }

    /// Over a WebSocket that the client at the other end of the stream asks for.
    pub(super) async fn to_client(stream: TcpStream) -> Result<Self> {
        Ok(Self::over(WebSocketChannel::accept(stream).await?))
    }

    fn over(channel: impl Channel) -> Self {
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
