//! [`Connection`]: what channels over a connection have in common.

use std::fmt;
use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use super::inbox::{Ended, Inbox};
use super::refuse_larger;
use crate::error::{Result, SyncError};

/// What carries frames over a connection. It is polled by one task at a time, and keeps what is half done.
pub(super) trait Carrier {
    /// Begins to send a frame. The one before is written.
    fn begin(&mut self, frame: Vec<u8>);
    /// Begins to say that no more frames come; behind the frame that was begun, if it is not yet written.
    fn end(&mut self);
    /// Ready when all that was begun is on its way.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ended>>;
    /// Reads a little; frames that are whole, and the end, are put into the inbox.
    fn poll_read(&mut self, cx: &mut Context<'_>, inbox: &mut Inbox) -> Poll<()>;
    /// Ready when the connection is told that nothing more is written.
    fn poll_shut(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ended>>;
}

/// How far the closing has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// The end is being written.
    Closing,
    Closed,
}

/// Sends and receives by a carrier, so that what is given up goes on with the next call, and what waits to be sent reads ahead.
pub(super) struct Connection<C> {
    pub(super) carrier: C,
    /// The bytes of a frame that is sent, at most.
    pub(super) limit: usize,
    inbox: Inbox,
    /// Whether something was begun and not written to its end.
    unwritten: bool,
    state: State,
    /// Why nothing can be written any more.
    broken: Option<Ended>,
}

impl<C> fmt::Debug for Connection<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Connection");
        debug.field("limit", &self.limit).field("state", &self.state).finish_non_exhaustive()
    }
}

impl<C: Carrier> Connection<C> {
    pub(super) fn new(carrier: C, limit: usize) -> Self {
        let inbox = Inbox::default();
        Self { carrier, limit, inbox, unwritten: false, state: State::Open, broken: None }
    }

    pub(super) async fn send(&mut self, frame: Vec<u8>) -> Result<()> {
        if self.state != State::Open {
            return Err(Ended::InOrder.of_sending());
        }
        refuse_larger(&frame, self.limit)?;
        self.written().await?; // what a send that was given up has left
        self.carrier.begin(frame);
        self.unwritten = true;
        self.written().await
    }

    pub(super) async fn recv(&mut self) -> Result<Option<Vec<u8>>> {
        poll_fn(|cx| {
            loop {
                if let Some(taken) = self.inbox.take() {
                    return Poll::Ready(taken);
                }
                if self.unwritten && self.broken.is_none() {
                    // What a send that was given up has left; should it fail, the next one tells.
                    let _ = self.poll_write(cx);
                }
                ready!(self.carrier.poll_read(cx, &mut self.inbox));
            }
        })
        .await
    }

    pub(super) async fn close(&mut self) -> Result<()> {
        match self.state {
            State::Closed => return Ok(()),
            State::Closing => {}
            State::Open => {
                self.state = State::Closing;
                self.carrier.end();
                self.unwritten = true;
            }
        }
        let ended = self.write_end().await;
        self.state = State::Closed;
        if ended.is_err() {
            // Whether the other side has closed may be known, and nobody has looked.
            poll_fn(|cx| {
                self.read_ahead(cx);
                Poll::Ready(())
            })
            .await;
        }
        match ended {
            // Both have closed, and the other side was quicker.
            Err(SyncError::Closed { .. }) if self.inbox.ended_in_order() => Ok(()),
            ended => ended,
        }
    }

    async fn write_end(&mut self) -> Result<()> {
        self.written().await?;
        poll_fn(|cx| self.carrier.poll_shut(cx)).await.map_err(Ended::of_sending)
    }

    /// Writes what was begun, and reads ahead while it waits.
    async fn written(&mut self) -> Result<()> {
        poll_fn(|cx| {
            self.check()?;
            if self.poll_write(cx).is_pending() {
                self.read_ahead(cx);
                self.check()?;
                return Poll::Pending;
            }
            Poll::Ready(self.broken.clone().map_or(Ok(()), |ended| Err(ended.of_sending())))
        })
        .await
    }

    /// Whether something can be written, as far as is known.
    fn check(&self) -> Result<()> {
        let why = self.broken.as_ref().or(self.inbox.broken()).cloned();
        why.map_or(Ok(()), |ended| Err(ended.of_sending()))
    }

    /// Ready when everything is written, or nothing can be any more.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match ready!(self.carrier.poll_write(cx)) {
            Ok(()) => self.unwritten = false,
            Err(ended) => self.broken = Some(ended),
        }
        Poll::Ready(())
    }

    fn read_ahead(&mut self, cx: &mut Context<'_>) {
        while self.inbox.has_room() && self.carrier.poll_read(cx, &mut self.inbox).is_ready() {}
    }
}
