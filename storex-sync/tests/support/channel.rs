//! [`Watched`]: a channel that can be cut, and that lets tests act between frames.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use storex_core::BoxFuture;
use storex_sync::{Channel, MemoryChannel, Result, SyncError};

type OnFrame = Arc<dyn Fn(usize) -> BoxFuture<'static, ()> + Send + Sync>;

/// What both ends share.
#[derive(Debug, Default)]
struct Line {
    cut: AtomicBool,
    frames: AtomicUsize,
    woken: tokio::sync::Notify,
}

/// One end of a channel in memory that breaks when so many frames, of both directions, were sent.
pub struct Watched {
    inner: MemoryChannel,
    line: Arc<Line>,
    cut_at: usize,
    on_frame: Option<OnFrame>,
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched").field("line", &self.line).finish_non_exhaustive()
    }
}

impl Watched {
    /// Two ends of a channel that breaks instead of carrying frame number `cut_at` (from 0).
    pub fn pair(cut_at: usize) -> (Self, Self) {
        let (here, there) = MemoryChannel::pair();
        let line = Arc::new(Line::default());
        let end = |inner| Self { inner, line: Arc::clone(&line), cut_at, on_frame: None };
        (end(here), end(there))
    }

    /// Does something before each frame that this end sends; the frame's number is given.
    pub fn on_frame<F>(mut self, hook: impl Fn(usize) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.on_frame = Some(Arc::new(move |n| Box::pin(hook(n))));
        self
    }

    /// Frames that were sent so far, in both directions.
    pub fn frames(&self) -> usize {
        self.line.frames.load(Ordering::SeqCst)
    }

    fn is_cut(&self) -> bool {
        self.line.cut.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Channel for Watched {
    async fn send(&mut self, frame: Vec<u8>) -> Result<()> {
        let closed = SyncError::Closed { during: "sending over a broken line" };
        if self.is_cut() {
            return Err(closed);
        }
        let number = self.line.frames.fetch_add(1, Ordering::SeqCst);
        if number >= self.cut_at {
            self.line.cut.store(true, Ordering::SeqCst);
            self.line.woken.notify_waiters();
            return Err(closed);
        }
        if let Some(hook) = &self.on_frame {
            hook(number).await;
        }
        self.inner.send(frame).await
    }

    async fn recv(&mut self) -> Result<Option<Vec<u8>>> {
        let line = Arc::clone(&self.line);
        loop {
            let woken = line.woken.notified();
            if self.is_cut() {
                return Ok(None);
            }
            tokio::select! {
                frame = self.inner.recv() => return frame,
                () = woken => {}
            }
        }
    }

    async fn close(&mut self) -> Result<()> {
        self.inner.close().await
    }
}
