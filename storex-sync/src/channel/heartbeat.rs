//! [`HeartbeatChannel`]: a channel that notices that the other side is gone.
//!
//! The last byte of each frame of the channel inside says what it is: docs/wire-format.md, "Heartbeats".

use std::fmt;
use std::future::{poll_fn, ready};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use storex_core::{BoxFuture, Runtime};

use super::Channel;
use super::own::Own;
use crate::error::{Result, SyncError};

/// The last byte of a frame that is nothing but a heartbeat.
const BEAT: u8 = 0;
/// The last byte behind a frame of the application.
const FRAME: u8 = 1;

const INTERVAL: Duration = Duration::from_secs(15);
const DEADLINE: Duration = Duration::from_secs(60);

/// A [`Channel`] around another one that fails with [`SyncError::Timeout`] when the other side is silent for too long: its program
/// hangs, its cable was pulled, a router on the way has forgotten the connection. Without it, nobody is told of that, and whoever
/// waits waits for ever. Both ends have to be wrapped.
///
/// - Where nothing was sent, a heartbeat is: after 15 s, or [`interval`](Self::interval), at the latest after two of them. One that would
///   have to wait is left out, as what is in front of it tells the same.
/// - When nothing has come for 60 s, or [`deadline`](Self::deadline), `recv` fails, and so does a `send` or `close` that the other side
///   does not take for as long. A whole frame has to get through in that time, so set it by the slowest connection. Once it
///   has failed, every further call does.
/// - **Somebody has to call it.** There is no task behind it: heartbeats are sent while somebody waits in `recv`, and time counts
///   against the other side only while somebody waits. A device that is busy for longer than the other side's deadline between
///   two calls is taken for one that is gone. What arrived while nobody waited is looked at before anything is said to be late:
///   however long a pause was, it counts as one interval.
///
/// Cancel-safe, as the channel inside is. Time that a `recv` has waited counts on in the next one; a `send` or `close` that follows one
/// that was given up has the whole deadline again.
///
/// ```
/// # use std::{sync::Arc, time::Duration};
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> storex_sync::Result<()> {
/// # let runtime = Arc::new(storex_memory::TestRuntime::new(1));
/// use storex_sync::{Channel, HeartbeatChannel, MemoryChannel, SyncError};
///
/// let (here, _there) = MemoryChannel::pair(); // nobody ever looks at the other end
/// let mut here = HeartbeatChannel::new(here, runtime)
///     .interval(Duration::from_secs(5))
///     .deadline(Duration::from_secs(20));
/// assert!(matches!(here.recv().await, Err(SyncError::Timeout { .. })));
/// # Ok(()) }
/// ```
pub struct HeartbeatChannel<C> {
    inner: C,
    ticks: Ticks,
    deadline: Duration,
    /// Intervals in a row in which nothing came while somebody waited for it.
    silent: u32,
    /// Whether something was sent in this interval.
    sent: bool,
    closed: bool,
    failed: bool,
}

impl<C: fmt::Debug> fmt::Debug for HeartbeatChannel<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("HeartbeatChannel");
        debug.field("inner", &self.inner).field("interval", &self.ticks.interval);
        debug.field("deadline", &self.deadline).finish_non_exhaustive()
    }
}

impl<C: Channel> HeartbeatChannel<C> {
    /// Around a channel whose other end is wrapped too.
    #[must_use]
    pub fn new(inner: C, runtime: Arc<dyn Runtime>) -> Self {
        let ticks = Ticks { runtime, interval: INTERVAL, timer: Own::new(None) };
        let (silent, sent, closed, failed) = (0, false, false, false);
        Self { inner, ticks, deadline: DEADLINE, silent, sent, closed, failed }
    }

    /// After how long a heartbeat is sent where nothing else was; 15 s unless told otherwise, and at least 1 ms. A fourth of the other
    /// side's deadline is a good choice.
    #[must_use]
    pub fn interval(mut self, interval: Duration) -> Self {
        self.ticks.interval = interval.max(Duration::from_millis(1));
        self
    }

    /// After how long the other side is taken for gone; 60 s unless told otherwise. It is counted in whole intervals, two at least.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Intervals until the deadline.
    fn patience(&self) -> u32 {
        let intervals = self.deadline.as_nanos().div_ceil(self.ticks.interval.as_nanos().max(1));
        u32::try_from(intervals).unwrap_or(u32::MAX).max(2)
    }

    fn late(&mut self, during: &'static str) -> SyncError {
        self.failed = true;
        SyncError::Timeout { during, after: self.ticks.interval.saturating_mul(self.patience()) }
    }

    fn check(&mut self, during: &'static str) -> Result<()> {
        if self.failed { Err(self.late(during)) } else { Ok(()) }
    }

    /// At the end of an interval: a heartbeat, if nothing was sent and it can be sent at once.
    async fn beat(&mut self) {
        if std::mem::take(&mut self.sent) || self.closed {
            return;
        }
        let mut sending = pin!(self.inner.send(vec![BEAT]));
        let sent = poll_fn(|cx| Poll::Ready(sending.as_mut().poll(cx))).await;
        if let Poll::Ready(Err(error)) = sent {
            // Receiving tells what has happened, behind what arrived before it.
            tracing::debug!(%error, "a heartbeat could not be sent");
        }
    }
}

#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
impl<C: Channel> Channel for HeartbeatChannel<C> {
    async fn send(&mut self, mut frame: Vec<u8>) -> Result<()> {
        let during = "sending a frame";
        self.check(during)?;
        frame.push(FRAME);
        let patience = self.patience();
        let sent = within(patience, &mut self.ticks, self.inner.send(frame)).await;
        self.sent = true;
        sent.unwrap_or_else(|| Err(self.late(during)))
    }

    async fn recv(&mut self) -> Result<Option<Vec<u8>>> {
        let during = "receiving a frame";
        self.check(during)?;
        loop {
            let arrived = tokio::select! {
                biased;
                arrived = self.inner.recv() => arrived?,
                () = self.ticks.next() => {
                    self.silent += 1;
                    if self.silent >= self.patience() {
                        return Err(self.late(during));
                    }
                    self.beat().await;
                    continue;
                }
            };
            self.silent = 0;
            if self.ticks.is_over().await {
                self.beat().await;
            }
            let Some(mut frame) = arrived else { return Ok(None) };
            match frame.pop() {
                Some(FRAME) => return Ok(Some(frame)),
                Some(BEAT) if frame.is_empty() => {}
                _ => {
                    let reason = "a frame that says neither that it is one nor that it is a heartbeat (is the other end wrapped?)";
                    return Err(SyncError::Protocol { during, reason: reason.to_owned() });
                }
            }
        }
    }

    async fn close(&mut self) -> Result<()> {
        let during = "closing a channel";
        self.check(during)?;
        self.closed = true;
        let patience = self.patience();
        let closed = within(patience, &mut self.ticks, self.inner.close()).await;
        closed.unwrap_or_else(|| Err(self.late(during)))
    }
}

/// `None`: it takes more than so many intervals.
async fn within<T>(patience: u32, ticks: &mut Ticks, task: impl Future<Output = T>) -> Option<T> {
    let mut task = pin!(task);
    let mut waited = 0;
    while waited < patience {
        tokio::select! {
            biased;
            done = &mut task => return Some(done),
            () = ticks.next() => waited += 1,
        }
    }
    None
}

/// The ends of intervals, one behind the other, whoever waits for them.
struct Ticks {
    runtime: Arc<dyn Runtime>,
    interval: Duration,
    timer: Own<Option<BoxFuture<'static, ()>>>,
}

impl Ticks {
    /// Waits for the end of the interval. Cancel-safe: the interval goes on.
    async fn next(&mut self) {
        let timer = self.timer.get();
        timer.get_or_insert_with(|| self.runtime.sleep(self.interval)).await;
        *timer = None;
    }

    /// Whether the interval is over; if it is, another one begins.
    async fn is_over(&mut self) -> bool {
        tokio::select! {
            biased;
            () = self.next() => true,
            () = ready(()) => false,
        }
    }
}

#[cfg(all(test, not(target_family = "wasm")))]
mod tests {
    use storex_memory::TestRuntime;

    use super::*;
    use crate::channel::MemoryChannel;
    use crate::codec_tests::assert_vector;

    #[tokio::test(start_paused = true)]
    async fn the_bytes_are_those_of_the_description() {
        let (mut plain, there) = MemoryChannel::pair();
        let mut there = HeartbeatChannel::new(there, Arc::new(TestRuntime::new(1)));
        there.send(b"why".to_vec()).await.unwrap();
        assert_vector("heartbeat, frame", &plain.recv().await.unwrap().unwrap());
        assert!(there.recv().await.is_err(), "nobody answers");
        assert_vector("heartbeat", &plain.recv().await.unwrap().unwrap());
    }
}
