//! [`Line`]: a channel on which frames are sent and received, and what both sides may say at any time.
//!
//! Two sides that both wait until the other takes a frame would wait for ever. So whoever sends first takes in what has arrived: of two
//! that send, the one that began later has made room for the other. A channel that holds one frame in each direction is enough for that,
//! and what is taken in is bounded by the window.

use std::collections::VecDeque;
use std::future::ready;
use std::pin::pin;

use super::frame::{Frame, Rows};
use super::pages::PAGE_BYTES;
use super::watch::{Lapse, Watch};
use crate::channel::Channel;
use crate::error::{Result, SyncError, describe};

/// Frames beside the pages of a window that may have arrived and wait to be looked at.
const BESIDE_PAGES: usize = 8;

/// Bytes of frames that may wait to be looked at; one frame always may.
const WAITING_BYTES: usize = 32 << 20;

/// Bytes of a page that is made ready while another one is committed, at most: its frame is kept beside its rows until it is committed.
const MOST_AHEAD: usize = 8 * PAGE_BYTES;

/// One end of a channel.
#[derive(Debug)]
pub(super) struct Line<'a> {
    channel: &'a mut dyn Channel,
    /// What has arrived and was not looked at yet.
    inbox: VecDeque<Vec<u8>>,
    /// `None`: nobody is at the other end, the frames are recorded or played.
    watch: Option<Watch>,
    /// The other side has ended, or a frame is perhaps half on its way: nothing can be said any more.
    is_over: bool,
    /// Bytes of all frames that were sent, or looked at.
    pub(super) bytes: u64,
    /// The most values that a row may have.
    pub(super) most_values: usize,
}

/// What was heard.
#[derive(Debug)]
pub(super) enum Heard {
    Frame(Frame),
    /// One of the sides has paused, or goes on.
    Pause,
}

impl<'a> Line<'a> {
    /// A line to somebody.
    pub(super) fn watched(channel: &'a mut dyn Channel, watch: Watch) -> Self {
        Self::new(channel, Some(watch))
    }

    /// A line to a recording.
    pub(super) fn to_recording(channel: &'a mut dyn Channel) -> Self {
        Self::new(channel, None)
    }

    fn new(channel: &'a mut dyn Channel, watch: Option<Watch>) -> Self {
        let inbox = VecDeque::new();
        Self { channel, inbox, watch, is_over: false, bytes: 0, most_values: usize::MAX }
    }

    pub(super) fn is_paused(&self) -> bool {
        self.watch.as_ref().is_some_and(Watch::is_paused)
    }

    /// Whatever goes wrong from here on is no concern of the other side.
    pub(super) fn is_through(&mut self) {
        self.is_over = true;
    }

    /// Sends a frame.
    pub(super) async fn send(&mut self, frame: &Frame) -> Result<()> {
        let taken_in = self.take_in().await;
        self.why(taken_in)?;
        self.send_at_once(frame).await
    }

    /// Sends a frame without taking in what has arrived.
    pub(super) async fn send_at_once(&mut self, frame: &Frame) -> Result<()> {
        let bytes = frame.encode();
        self.bytes += bytes.len() as u64;
        let Some(watch) = &mut self.watch else { return self.channel.send(bytes).await };
        let sent = tokio::select! {
            biased;
            sent = self.channel.send(bytes) => sent,
            error = watch.give_up_sending() => {
                self.is_over = true;
                return Err(error);
            }
        };
        if sent.is_err() {
            // Why the other side has gone it has perhaps said before.
            let _ = self.take_in().await;
        }
        self.why(sent)
    }

    /// Takes in what has arrived.
    async fn take_in(&mut self) -> Result<()> {
        let Some(watch) = &self.watch else { return Ok(()) };
        while has_room(&self.inbox, watch) {
            let arrived = tokio::select! {
                biased;
                arrived = self.channel.recv() => arrived?,
                () = ready(()) => None,
            };
            let Some(bytes) = arrived else { break };
            self.inbox.push_back(bytes);
        }
        Ok(())
    }

    /// The reason that the other side gave for going, instead of its being gone.
    fn why(&mut self, result: Result<()>) -> Result<()> {
        let Err(SyncError::Closed { .. } | SyncError::Transport { .. }) = &result else {
            return result;
        };
        self.is_over = true;
        let told = self.inbox.iter().rev().find_map(|bytes| farewell_in(bytes));
        told.map_or(result, Err)
    }

    /// Heeds how the other side has ended: nothing can be said any more.
    fn ended(&mut self, told: Option<SyncError>) -> Result<()> {
        self.is_over |= told.is_some();
        told.map_or(Ok(()), Err)
    }

    /// Does what takes its time without a word: the other side is not to take that for silence, and is heard if it gives up, as the
    /// application is if it cancels.
    pub(super) async fn alive<T>(&mut self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let mut work = std::pin::pin!(work);
        loop {
            let Some(watch) = &mut self.watch else { return work.await };
            let sign = watch.sign_of_life();
            tokio::select! {
                biased;
                done = &mut work => return done,
                () = watch.asked() => {
                    self.follow().await?;
                    continue;
                }
                () = sign => {}
            }
            let taken_in = self.take_in().await;
            self.why(taken_in)?;
            let told = self.inbox.iter().find_map(|bytes| farewell_in(bytes));
            self.ended(told)?;
            // Whoever pauses is not waited for.
            if !self.follow().await? && !self.watch.as_ref().is_some_and(|it| it.pauses_here) {
                self.send(&Frame::Running).await?;
            }
        }
    }

    /// Receives the next frame; waits while one of the sides pauses. That the other side gave up is an error, and so is its going away.
    pub(super) async fn receive(&mut self, during: &'static str) -> Result<Frame> {
        loop {
            if let Heard::Frame(frame) = self.hear(during).await? {
                return Ok(frame);
            }
        }
    }

    /// A frame that is here already, if any.
    pub(super) async fn arrived(&mut self) -> Result<Option<Frame>> {
        self.follow().await?;
        let taken_in = self.take_in().await;
        self.why(taken_in)?;
        while let Some(heard) = self.next()? {
            if let Heard::Frame(frame) = heard {
                return Ok(Some(frame));
            }
        }
        Ok(None)
    }

    /// The page of rows that is next, if it is here already and not too large to be held beside another one. Nothing else is looked at, and no pause is heard: each in its turn.
    pub(super) async fn rows_ahead(&mut self) -> Result<Option<Rows>> {
        let taken_in = self.take_in().await;
        self.why(taken_in)?;
        let next = self
            .inbox
            .front()
            .filter(|bytes| bytes.len() <= MOST_AHEAD && Frame::may_be_rows(bytes))
            .map(|bytes| Frame::decode_narrow(bytes, self.most_values));
        let Some(Ok(Frame::Rows(rows))) = next else { return Ok(None) };
        let Some(frame) = self.inbox.pop_front() else { return Ok(None) };
        self.bytes += frame.len() as u64;
        Ok(Some(Rows { frame, ..rows }))
    }

    /// Whether something has arrived that was not looked at yet.
    pub(super) fn has_arrived(&self) -> bool {
        !self.inbox.is_empty()
    }

    /// Does some work until the next frame is taken in, which is not looked at yet: `None`. It is done first where there is no room for
    /// a frame, or none will come.
    pub(super) async fn arrival_or<T>(
        &mut self,
        work: impl Future<Output = T>,
    ) -> Result<Option<T>> {
        let has_room = self.watch.as_ref().is_some_and(|watch| has_room(&self.inbox, watch));
        let mut work = pin!(work);
        let arrived = tokio::select! {
            biased;
            done = &mut work => return Ok(Some(done)),
            arrived = self.channel.recv(), if has_room => arrived,
        };
        let arrived = arrived.map(|frame| frame.map(|frame| self.inbox.push_back(frame)));
        let is_here = arrived.as_ref().is_ok_and(Option::is_some);
        self.why(arrived.map(drop))?;
        Ok(if is_here { None } else { Some(work.await) })
    }

    /// Waits while this side pauses.
    pub(super) async fn wait_while_paused(&mut self, during: &'static str) -> Result<()> {
        // Meanwhile no frame is heard.
        while self.watch.as_ref().is_some_and(|watch| watch.pauses_here) {
            self.hear(during).await?;
        }
        Ok(())
    }

    /// Waits for a frame, or for the beginning or end of a pause.
    pub(super) async fn hear(&mut self, during: &'static str) -> Result<Heard> {
        let mut silence = self.watch.as_ref().map(|watch| watch.silence(during));
        loop {
            if self.follow().await? {
                return Ok(Heard::Pause);
            }
            if let Some(heard) = self.next()? {
                return Ok(heard);
            }
            let closed = SyncError::Closed { during };
            let (Some(watch), Some(silence)) = (&mut self.watch, &mut silence) else {
                self.inbox.push_back(self.channel.recv().await?.ok_or(closed)?);
                continue;
            };
            let (has_room, pauses) = (has_room(&self.inbox, watch), watch.is_paused());
            tokio::select! {
                biased;
                arrived = self.channel.recv(), if has_room => {
                    let arrived = arrived.and_then(|arrived| arrived.ok_or(closed));
                    let arrived = arrived.map(|bytes| self.inbox.push_back(bytes));
                    self.why(arrived)?;
                }
                () = watch.asked() => {}
                lapse = silence.lapse(), if !pauses => match lapse {
                    Lapse::Stalled(event) => watch.tell(&event),
                    Lapse::Over(error) => return Err(error),
                },
            }
        }
    }

    /// Does what the application asks for; whether it has paused, or goes on.
    pub(super) async fn follow(&mut self) -> Result<bool> {
        let Some(watch) = &mut self.watch else { return Ok(false) };
        let Some(frame) = watch.follow()? else { return Ok(false) };
        self.send(&frame).await?;
        Ok(true)
    }

    /// Looks at what has arrived. While this side pauses nothing is taken from it.
    fn next(&mut self) -> Result<Option<Heard>> {
        if self.watch.as_ref().is_some_and(|watch| watch.pauses_here) {
            let told = self.inbox.back().and_then(|bytes| farewell_in(bytes));
            return self.ended(told).map(|()| None);
        }
        let Some(bytes) = self.inbox.pop_front() else { return Ok(None) };
        self.bytes += bytes.len() as u64;
        let mut frame = Frame::decode_narrow(&bytes, self.most_values)?;
        if let Frame::Rows(rows) = &mut frame {
            rows.frame = bytes;
        }
        self.ended(farewell(&frame))?;
        match (&frame, &mut self.watch) {
            (Frame::Paused | Frame::Running, Some(watch)) => {
                watch.other_pauses(frame == Frame::Paused);
                Ok(Some(Heard::Pause))
            }
            _ => Ok(Some(Heard::Frame(frame))),
        }
    }

    /// Tells the other side why this side gives up; it may be gone, which is no further error.
    pub(super) async fn give_up(&mut self, error: &SyncError) {
        if self.is_over || matches!(error, SyncError::Closed { .. }) {
            return;
        }
        let frame = match error {
            SyncError::Cancelled => Frame::Cancel,
            error => Frame::Failed { kind: error.kind(), reason: describe(error) },
        };
        // Whatever the other side is sending makes room for this.
        self.inbox.clear();
        let _ = self.take_in().await;
        let Some(watch) = &self.watch else { return };
        let told = tokio::select! {
            biased;
            told = self.channel.send(frame.encode()) => told,
            error = watch.for_a_moment() => Err(error),
        };
        if let Err(error) = told {
            tracing::debug!(%error, "the other side could not be told of the failure");
        }
    }
}

/// Whether one more frame is taken in.
fn has_room(inbox: &VecDeque<Vec<u8>>, watch: &Watch) -> bool {
    let bytes: usize = inbox.iter().map(Vec::len).sum();
    inbox.len() < watch.window + BESIDE_PAGES && bytes <= WAITING_BYTES
}

/// As [`farewell`], for a frame that is not looked at otherwise: a page is not decoded for it.
fn farewell_in(bytes: &[u8]) -> Option<SyncError> {
    Frame::may_be_farewell(bytes).then(|| Frame::decode(bytes).ok())?.as_ref().and_then(farewell)
}

/// The error that a side has at its end by what the other has said; `None`: it goes on.
fn farewell(frame: &Frame) -> Option<SyncError> {
    match frame {
        Frame::Cancel => Some(SyncError::Cancelled),
        Frame::Failed { kind, reason } => {
            Some(SyncError::Remote { kind: *kind, reason: reason.clone() })
        }
        _ => None,
    }
}
