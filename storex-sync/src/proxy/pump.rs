//! [`Pump`]: the task of a [`RemoteSync`](crate::RemoteSync), which has the channel.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use storex_core::{BoxFuture, Runtime};
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use super::WINDOW;
use super::code::{Bytes, decode, encode};
use super::message::{Message, Request, ToClient, ToHost};
use super::remote::PATIENCE;
use crate::channel::Channel;
use crate::driver::or_never;
use crate::engine::status::{Phase, SyncEvent, SyncStatus};
use crate::error::{Result, SyncError, describe};

/// How often the host is asked for a sign of life while nothing else is.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// Messages to a frame, at most.
const MOST_TOGETHER: usize = 64;

/// The number of the request that the pump makes itself, when nobody holds the proxy any more.
const FAREWELL: u64 = u64::MAX;

/// What a proxy wants.
pub(super) enum Command {
    Ask { id: u64, request: Request, answer: oneshot::Sender<Vec<u8>> },
    GiveUp { id: u64 },
}

/// To whom it tells what sync is doing.
pub(super) struct Told {
    pub(super) status: watch::Sender<SyncStatus>,
    pub(super) events: broadcast::Sender<SyncEvent>,
}

pub(super) struct Pump {
    channel: Box<dyn Channel>,
    runtime: Arc<dyn Runtime>,
    /// `None` when nobody holds the proxy any more.
    commands: Option<mpsc::UnboundedReceiver<Command>>,
    /// `None` when sync has ended.
    told: Option<Told>,
    /// Why the connection has ended.
    lost: Arc<OnceLock<String>>,
    waiting: HashMap<u64, oneshot::Sender<Vec<u8>>>,
    outgoing: VecDeque<Bytes>,
    /// Whether a frame is to be sent though there is nothing to say.
    asks_for_life: bool,
    /// Frames that the host has not taken in.
    untaken: usize,
    /// When the host is given up, while there are such.
    deadline: Option<BoxFuture<'static, ()>>,
    heartbeat: Option<BoxFuture<'static, ()>>,
}

enum Next {
    Frame(Option<Vec<u8>>),
    Command(Option<Command>),
    OutOfTime,
    Heartbeat,
}

impl Pump {
    pub(super) fn new(
        channel: Box<dyn Channel>,
        runtime: Arc<dyn Runtime>,
        commands: mpsc::UnboundedReceiver<Command>,
        told: Told,
        lost: Arc<OnceLock<String>>,
    ) -> Self {
        Self {
            channel,
            runtime,
            commands: Some(commands),
            told: Some(told),
            lost,
            waiting: HashMap::new(),
            outgoing: VecDeque::new(),
            asks_for_life: false,
            untaken: 0,
            deadline: None,
            heartbeat: None,
        }
    }

    /// Until the channel breaks, or nobody holds the proxy any more.
    pub(super) async fn run(mut self) {
        let reason = match self.pump().await {
            Ok(()) => "the channel was closed".to_owned(),
            Err(error) => describe(&error),
        };
        tracing::debug!(reason, "the place where sync runs is not reached any more");
        // It is set only here, and when it is dropped.
        let _ = self.lost.set(reason);
    }

    async fn pump(&mut self) -> Result<()> {
        loop {
            self.send().await?;
            match self.next().await? {
                Next::Frame(Some(frame)) => {
                    if self.take(&frame)? {
                        return self.channel.close().await;
                    }
                }
                Next::Frame(None) => return Ok(()),
                Next::Command(Some(command)) => {
                    self.command(command);
                    while let Some(Ok(command)) =
                        self.commands.as_mut().map(mpsc::UnboundedReceiver::try_recv)
                    {
                        self.command(command);
                    }
                }
                Next::Command(None) => {
                    self.commands = None;
                    // Who listens to the status yet learns that it was stopped.
                    self.outgoing.push_back(Request::Stop {}.ask(FAREWELL));
                }
                Next::OutOfTime => return Err(out_of_time()),
                Next::Heartbeat => self.asks_for_life = self.untaken == 0,
            }
        }
    }

    /// Sends what may be sent: never so much that it would have to wait, see [`WINDOW`]. A channel that makes it wait all the
    /// same gives no sign of life.
    async fn send(&mut self) -> Result<()> {
        while self.untaken < WINDOW && (self.asks_for_life || !self.outgoing.is_empty()) {
            let together = self.outgoing.len().min(MOST_TOGETHER);
            let messages: Vec<Bytes> = self.outgoing.drain(..together).collect();
            self.asks_for_life = false;
            let deadline = self.deadline.get_or_insert_with(|| self.runtime.sleep(PATIENCE));
            tokio::select! {
                biased;
                sent = self.channel.send(encode(&messages)) => sent?,
                () = deadline => return Err(out_of_time()),
            }
            self.untaken += 1;
        }
        self.heartbeat.get_or_insert_with(|| self.runtime.sleep(HEARTBEAT));
        Ok(())
    }

    /// What happens next. What has arrived comes before the end of the patience, which may have passed while all slept.
    async fn next(&mut self) -> Result<Next> {
        let Self { channel, commands, deadline, heartbeat, .. } = self;
        Ok(tokio::select! {
            biased;
            frame = channel.recv() => Next::Frame(frame?),
            command = next_command(commands) => Next::Command(command),
            () = or_never(deadline) => Next::OutOfTime,
            () = or_never(heartbeat) => Next::Heartbeat,
        })
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Ask { id, request, answer } => {
                self.waiting.insert(id, answer);
                self.outgoing.push_back(request.ask(id));
            }
            // It may have its answer already.
            Command::GiveUp { id } => {
                if self.waiting.remove(&id).is_some() {
                    self.outgoing.push_back(Bytes(encode(&ToHost::GiveUp { id })));
                }
            }
        }
    }

    /// Whether that was the last one.
    fn take(&mut self, frame: &[u8]) -> Result<bool> {
        match ToClient::read_message(frame)? {
            Some(ToClient::Taken) => self.taken()?,
            Some(ToClient::Answer { id: FAREWELL, .. }) => return Ok(true),
            Some(ToClient::Answer { id, answer }) => {
                if let Some(waiting) = self.waiting.remove(&id) {
                    // It may have been given up a moment ago.
                    let _ = waiting.send(answer.0);
                }
            }
            Some(ToClient::Status { status }) => self.status(&status.0),
            Some(ToClient::Event { event }) => self.event(&event.0),
            Some(ToClient::Ended) => self.ended(),
            Some(ToClient::Welcome { .. } | ToClient::Refused { .. }) => {
                let reason = "it greets twice".to_owned();
                return Err(SyncError::Protocol { during: "asking it", reason });
            }
            None => tracing::debug!("the place where sync runs says what is not known here"),
        }
        // Whatever it says is a sign of life.
        self.deadline = (self.untaken > 0).then(|| self.runtime.sleep(PATIENCE));
        Ok(false)
    }

    fn taken(&mut self) -> Result<()> {
        self.untaken = self.untaken.checked_sub(1).ok_or_else(|| SyncError::Protocol {
            during: "asking it",
            reason: "it has taken more than it was sent".to_owned(),
        })?;
        Ok(())
    }

    fn status(&mut self, bytes: &[u8]) {
        let Some(Told { status, .. }) = &self.told else { return };
        match decode(bytes) {
            Ok(now) => {
                status.send_if_modified(|known| {
                    let changed = *known != now;
                    *known = now;
                    changed
                });
            }
            Err(error) => {
                // Of a later version, perhaps.
                tracing::debug!(error = %describe(&error), "a status cannot be read");
                status.send_modify(|known| known.in_step = false);
            }
        }
    }

    /// Nothing follows that could say that it is not in step any more.
    fn ended(&mut self) {
        let Some(Told { status, .. }) = self.told.take() else { return };
        status.send_if_modified(|known| std::mem::take(&mut known.in_step));
    }

    fn event(&mut self, bytes: &[u8]) {
        let Some(Told { events, .. }) = &self.told else { return };
        match decode(bytes) {
            // Nobody listening is fine.
            Ok(event) => drop(events.send(event)),
            // Of a later version, perhaps.
            Err(error) => tracing::debug!(error = %describe(&error), "an event cannot be read"),
        }
    }
}

impl Drop for Pump {
    /// Also of one whose task was dropped, with its runtime. Those who wait are let go after it.
    fn drop(&mut self) {
        let _ = self.lost.set("its task is gone".to_owned());
        if let Some(Told { status, .. }) = self.told.take() {
            status.send_modify(|status| {
                status.phase = Phase::Disconnected;
                status.in_step = false;
                status.next_attempt = None;
                status.progress = None;
            });
        }
    }
}

fn out_of_time() -> SyncError {
    SyncError::Timeout { during: "asking for a sign of life", after: PATIENCE }
}

async fn next_command(commands: &mut Option<mpsc::UnboundedReceiver<Command>>) -> Option<Command> {
    match commands {
        Some(commands) => commands.recv().await,
        None => std::future::pending().await,
    }
}
