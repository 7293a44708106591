//! [`Pump`]: the task of a [`RemoteSync`](crate::RemoteSync), which has the channel.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use storex_core::{BoxFuture, Runtime};
use tokio::sync::{mpsc, oneshot};

use super::WINDOW;
use super::audience::Audience;
use super::code::{Bytes, decode, encode};
use super::message::{Message, Request, ToClient, ToHost};
use crate::channel::Channel;
use crate::driver::or_never;
use crate::error::{Result, SyncError, describe};

/// How long a client waits for signs of life.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// How often the host is asked for one while nothing else is asked.
    pub(crate) heartbeat: Duration,
    /// How long it may give none before it counts as gone.
    pub(crate) patience: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { heartbeat: Duration::from_secs(5), patience: Duration::from_secs(20) }
    }
}

/// Messages to a frame, at most.
const MOST_TOGETHER: usize = 64;

/// The number of the request that the pump makes itself, when nobody holds the proxy any more.
const FAREWELL: u64 = u64::MAX;

/// What a proxy wants.
pub(super) enum Command {
    Ask { id: u64, request: Request, answer: oneshot::Sender<Vec<u8>> },
    GiveUp { id: u64 },
}

pub(super) struct Pump {
    channel: Box<dyn Channel>,
    runtime: Arc<dyn Runtime>,
    /// `None` when nobody holds the proxy any more.
    commands: Option<mpsc::UnboundedReceiver<Command>>,
    audience: Audience,
    pace: Pace,
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
        audience: Audience,
        pace: Pace,
        lost: Arc<OnceLock<String>>,
    ) -> Self {
        Self {
            channel,
            runtime,
            commands: Some(commands),
            audience,
            pace,
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
                Next::OutOfTime => return Err(out_of_time(self.pace)),
                Next::Heartbeat => self.asks_for_life = self.untaken == 0,
            }
        }
    }

    /// Sends what may be sent: never so much that it would have to wait, see [`WINDOW`]. A channel that makes it wait all the
    /// same gives no sign of life.
    async fn send(&mut self) -> Result<()> {
        let pace = self.pace;
        while self.untaken < WINDOW && (self.asks_for_life || !self.outgoing.is_empty()) {
            let together = self.outgoing.len().min(MOST_TOGETHER);
            let messages: Vec<Bytes> = self.outgoing.drain(..together).collect();
            self.asks_for_life = false;
            let deadline = self.deadline.get_or_insert_with(|| self.runtime.sleep(pace.patience));
            tokio::select! {
                biased;
                sent = self.channel.send(encode(&messages)) => sent?,
                () = deadline => return Err(out_of_time(pace)),
            }
            self.untaken += 1;
        }
        self.heartbeat.get_or_insert_with(|| self.runtime.sleep(pace.heartbeat));
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
            Some(ToClient::Ended) => self.audience.end(),
            Some(ToClient::Welcome { .. } | ToClient::Refused { .. }) => {
                let reason = "it greets twice".to_owned();
                return Err(SyncError::Protocol { during: "asking it", reason });
            }
            None => tracing::debug!("the place where sync runs says what is not known here"),
        }
        // Whatever it says is a sign of life.
        self.deadline = (self.untaken > 0).then(|| self.runtime.sleep(self.pace.patience));
        Ok(false)
    }

    fn taken(&mut self) -> Result<()> {
        self.untaken = self.untaken.checked_sub(1).ok_or_else(|| SyncError::Protocol {
            during: "asking it",
            reason: "it has taken more than it was sent".to_owned(),
        })?;
        Ok(())
    }

    fn status(&self, bytes: &[u8]) {
        match decode(bytes) {
            Ok(now) => self.audience.status(now),
            Err(error) => {
                // Of a later version, perhaps.
                tracing::debug!(error = %describe(&error), "a status cannot be read");
                self.audience.in_doubt();
            }
        }
    }

    fn event(&self, bytes: &[u8]) {
        match decode(bytes) {
            Ok(event) => self.audience.event(event),
            // Of a later version, perhaps.
            Err(error) => tracing::debug!(error = %describe(&error), "an event cannot be read"),
        }
    }
}

impl Drop for Pump {
    /// Also of one whose task was dropped, with its runtime. Those who wait are let go after it.
    fn drop(&mut self) {
        let _ = self.lost.set("its task is gone".to_owned());
        self.audience.lost();
    }
}

fn out_of_time(pace: Pace) -> SyncError {
    SyncError::Timeout { during: "asking for a sign of life", after: pace.patience }
}

async fn next_command(commands: &mut Option<mpsc::UnboundedReceiver<Command>>) -> Option<Command> {
    match commands {
        Some(commands) => commands.recv().await,
        None => std::future::pending().await,
    }
}
