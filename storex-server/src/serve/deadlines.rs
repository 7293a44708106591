//! [`Deadlines`]: a stream whose other side has to take what is sent.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use storex_core::{Runtime, Timestamp};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::timer::Sleeping;

/// How much patience there is with the other side of a stream.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// For how long it may take nothing.
    pub(super) most: Duration,
    /// How many bytes it takes per second, at least, while something waits to be sent.
    pub(super) bytes_per_second: u32,
}

/// A stream that fails when the other side takes nothing of what is sent to it for a while, or little for a long while. Without it, whoever
/// asks for much and reads nothing, or a drop now and then, holds the answer in memory for as long as it likes.
///
/// The time that a write waits is taken from what is left of the patience; each byte that is taken gives some of it back, and so does the time
/// in which nothing waits.
pub(super) struct Deadlines<S> {
    stream: S,
    runtime: Arc<dyn Runtime>,
    patience: Patience,
    left: Duration,
    /// When the last wait ended.
    rests_since: Timestamp,
    /// Runs while a write waits.
    waiting: Option<Waiting>,
}

struct Waiting {
    since: Timestamp,
    ends: Sleeping,
}

impl<S> Deadlines<S> {
    pub(super) fn new(stream: S, runtime: Arc<dyn Runtime>, patience: Patience) -> Self {
        let (left, rests_since) = (patience.most, runtime.now());
        Self { stream, runtime, patience, left, rests_since, waiting: None }
    }

    fn watch<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
        bytes: impl Fn(&T) -> usize,
    ) -> Poll<io::Result<T>> {
        match written {
            Poll::Ready(written) => {
                self.took(written.as_ref().map_or(0, bytes));
                Poll::Ready(written)
            }
            Poll::Pending => {
                let mut waiting = self.waiting.take().unwrap_or_else(|| self.wait());
                match Pin::new(&mut waiting.ends).poll(cx) {
                    Poll::Pending => self.waiting = Some(waiting),
                    Poll::Ready(()) => {
                        self.left = Duration::ZERO;
                        return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                    }
                }
                Poll::Pending
            }
        }
    }

    fn wait(&mut self) -> Waiting {
        let since = self.runtime.now();
        self.give_back(passed(self.rests_since, since));
        Waiting { since, ends: Sleeping::new(self.runtime.sleep(self.left)) }
    }

    fn took(&mut self, bytes: usize) {
        if let Some(Waiting { since, .. }) = self.waiting.take() {
            self.rests_since = self.runtime.now();
            self.left = self.left.saturating_sub(passed(since, self.rests_since));
        }
        let per_second = u64::from(self.patience.bytes_per_second.max(1));
        self.give_back(Duration::from_micros(
            (bytes as u64).saturating_mul(1_000_000) / per_second,
        ));
    }

    fn give_back(&mut self, some: Duration) {
        self.left = self.left.saturating_add(some).min(self.patience.most);
    }
}

fn passed(from: Timestamp, to: Timestamp) -> Duration {
    Duration::from_millis(u64::try_from(to.0.saturating_sub(from.0)).unwrap_or(0))
}

impl<S: AsyncRead + Unpin> AsyncRead for Deadlines<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Deadlines<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.watch(cx, written, |bytes| *bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bytes);
        self.watch(cx, written, |bytes| *bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.watch(cx, flushed, |()| 0)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.watch(cx, shut, |()| 0)
    }
}
