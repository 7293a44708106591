//! [`Listener`]: where connections come from.

use std::io;
use std::net::IpAddr;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;

/// Where the connections of a [`Server`](crate::Server) come from: TCP, or a way of one's own, such as a Unix socket behind a proxy, or a
/// pipe in memory in a test.
pub trait Listener: Send + Sync + 'static {
    /// A connection.
    type Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static;

    /// The next connection, and the address that it comes from; all that come from one address share the limits of those who have no
    /// credential. Cancel-safe.
    ///
    /// # Errors
    /// That of the system. The server goes on to accept a moment later.
    fn accept(&self) -> impl Future<Output = io::Result<(Self::Stream, IpAddr)>> + Send;
}

impl Listener for TcpListener {
    type Stream = tokio::net::TcpStream;

    async fn accept(&self) -> io::Result<(Self::Stream, IpAddr)> {
        let (stream, peer) = Self::accept(self).await?;
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY");
        }
        Ok((stream, peer.ip()))
    }
}
