//! [`DataStream`]: a data channel as a stream of bytes, so that [`StreamChannel`](crate::StreamChannel) makes frames of it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::peer::Peer;
use crate::channel::inbox::Ended;

/// The bytes of a message, at most: what every browser takes (RFC 8841).
const MESSAGE: usize = 64 << 10;

#[derive(Debug)]
pub(super) struct DataStream(pub(super) Peer);

fn error(ended: Ended) -> io::Error {
    match ended {
        Ended::InOrder | Ended::Cut => io::ErrorKind::BrokenPipe.into(),
        Ended::Failed(reason) => io::Error::other(reason),
        Ended::Rubbish(reason) => io::Error::new(io::ErrorKind::InvalidData, reason),
    }
}

impl AsyncRead for DataStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = self.0.poll_read(cx, |bytes| {
            let bytes = bytes.get(..buffer.remaining()).unwrap_or(bytes);
            buffer.put_slice(bytes);
            bytes.len()
        });
        read.map_ok(drop).map_err(error)
    }
}

impl AsyncWrite for DataStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let message = bytes.get(..MESSAGE).unwrap_or(bytes);
        self.0.poll_write(cx, message).map_err(error)
    }

    /// The browser sends by itself, and no more than a window waits for it.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_sent(cx).map(Ok)
    }
}
