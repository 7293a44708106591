//! [`Client`]: serves one client of a [`SyncHost`](crate::SyncHost).

use std::collections::HashMap;
use std::future::pending;
use std::sync::Arc;

use storex_core::ErrorKind;
use tokio::sync::{mpsc, oneshot, watch};

use super::code::{Bytes, decode, encode};
use super::host::Shared;
use super::message::{Hello, Message, Request, ToClient, ToHost, VERSION};
use crate::channel::Channel;
use crate::continuous::{ContinuousSync, SyncEvents};
use crate::engine::status::{Phase, SyncEvent, SyncStatus};
use crate::error::{Result, SyncError, describe};
use crate::handle::SyncHandle;
use crate::report::SyncReport;
use crate::writes::{WriteId, WriteState};

/// Requests of one client that may be under way at once.
const MOST_RUNNING: usize = 1000;

/// A request was carried out.
struct Answered {
    id: u64,
    answer: Vec<u8>,
    /// It was the one to stop.
    stopped: bool,
}

/// A request that is being carried out: whatever becomes of its task, it is answered, since nobody else would end the call.
struct Unanswered {
    id: u64,
    stopped: bool,
    /// `None` when nothing is to be said any more.
    done: Option<mpsc::UnboundedSender<Answered>>,
}

impl Unanswered {
    fn answer(mut self, answer: Vec<u8>) {
        self.tell(answer);
    }

    /// Nobody waits for it any more.
    fn give_up(mut self) {
        self.done = None;
    }

    fn tell(&mut self, answer: Vec<u8>) {
        let Self { id, stopped, .. } = *self;
        if let Some(done) = self.done.take() {
            // The client may be gone.
            let _ = done.send(Answered { id, answer, stopped });
        }
    }
}

impl Drop for Unanswered {
    /// It panicked, if it was not answered.
    fn drop(&mut self) {
        let reason = "what was asked of the place where sync runs ended without an answer";
        let error = elsewhere(ErrorKind::Other, reason.to_owned());
        self.tell(encode(&Result::<()>::Err(error)));
    }
}

/// Serves one client.
pub(super) struct Client {
    shared: Arc<Shared>,
    channel: Box<dyn Channel>,
    /// The host is dropped.
    closed: watch::Receiver<()>,
    /// `None` when nothing more is told.
    status: Option<watch::Receiver<SyncStatus>>,
    events: Option<SyncEvents>,
    /// Whether the client has stopped.
    left: watch::Sender<bool>,
    /// Whether the host counts the client.
    counted: bool,
    /// Dropping one of them gives the request up.
    running: HashMap<u64, oneshot::Sender<()>>,
    done: mpsc::UnboundedSender<Answered>,
    answers: mpsc::UnboundedReceiver<Answered>,
}

/// What a client is served with.
enum Next {
    Closed,
    Status(bool),
    Event(Option<SyncEvent>),
    Answer(Answered),
    Frame(Option<Vec<u8>>),
}

impl Client {
    pub(super) fn new(
        shared: Arc<Shared>,
        channel: Box<dyn Channel>,
        closed: watch::Receiver<()>,
    ) -> Self {
        shared.enter();
        let (done, answers) = mpsc::unbounded_channel();
        Self {
            status: Some(shared.sync.status()),
            events: Some(shared.sync.events()),
            shared,
            channel,
            closed,
            left: watch::Sender::new(false),
            counted: true,
            running: HashMap::new(),
            done,
            answers,
        }
    }

    /// Until the client goes, or the host is dropped.
    pub(super) async fn run(mut self) {
        let mut closed = self.closed.clone();
        let served = tokio::select! {
            biased;
            // There is nothing to change in it, so that is its end.
            _ = closed.changed() => Ok(()),
            served = self.serve() => served,
        };
        if let Err(error) = served {
            tracing::debug!(error = %describe(&error), "a client of sync is let go");
        }
        let (ends, shared) = (self.leave(), Arc::clone(&self.shared));
        // What it has asked for is given up, and its channel ends, before anything is waited for.
        drop(self);
        if ends {
            shared.sync.stop().await;
        }
    }

    async fn serve(&mut self) -> Result<()> {
        if !self.greet().await? {
            return Ok(());
        }
        loop {
            match self.next().await? {
                Next::Closed | Next::Frame(None) => return Ok(()),
                Next::Status(true) => self.tell_status().await?,
                Next::Status(false) => self.status = None,
                Next::Event(Some(event)) => {
                    self.send(&ToClient::Event { event: Bytes(encode(&event)) }).await?;
                }
                Next::Event(None) => {
                    self.tell_what_is_new().await?;
                    self.end().await?;
                }
                Next::Answer(answered) => self.answer(answered).await?,
                Next::Frame(Some(frame)) => self.take(&frame).await?,
            }
        }
    }

    /// Whether it is a client that can be served.
    async fn greet(&mut self) -> Result<bool> {
        let Some(frame) = self.channel.recv().await? else { return Ok(false) };
        let Hello { version } = decode(&frame)?;
        if version != VERSION {
            let reason =
                format!("it speaks version {VERSION} of the protocol, and not version {version}");
            self.send(&ToClient::Refused { reason }).await?;
            self.channel.close().await?;
            return Ok(false);
        }
        let mut status = self.shared.sync.status();
        let now = encode(&*status.borrow_and_update());
        self.status = Some(status);
        self.send(&ToClient::Welcome { version: VERSION, status: Bytes(now) }).await?;
        self.shared.greeted();
        Ok(true)
    }

    /// What happens next.
    async fn next(&mut self) -> Result<Next> {
        let Self { channel, status, events, answers, .. } = self;
        Ok(tokio::select! {
            biased;
            is_there = changed(status) => Next::Status(is_there),
            event = next_event(events) => Next::Event(event),
            answer = answers.recv() => answer.map_or(Next::Closed, Next::Answer),
            frame = channel.recv() => Next::Frame(frame?),
        })
    }

    async fn send(&mut self, message: &ToClient) -> Result<()> {
        self.channel.send(encode(message)).await
    }

    async fn tell_status(&mut self) -> Result<()> {
        let Some(status) = &mut self.status else { return Ok(()) };
        let now = encode(&*status.borrow_and_update());
        self.send(&ToClient::Status { status: Bytes(now) }).await
    }

    /// What is new in the status, whatever has been looked at before: it may have changed since.
    async fn tell_what_is_new(&mut self) -> Result<()> {
        let status = self.status.as_ref().map(watch::Receiver::has_changed);
        // When nothing more will come, there may be a last one.
        if matches!(status, None | Some(Ok(false))) { Ok(()) } else { self.tell_status().await }
    }

    /// Tells that nothing more is told.
    async fn end(&mut self) -> Result<()> {
        if self.events.take().is_none() {
            return Ok(());
        }
        self.status = None;
        self.send(&ToClient::Ended).await
    }

    /// Whoever gets an answer has been told the status that belongs to it.
    async fn answer(&mut self, answered: Answered) -> Result<()> {
        let Answered { id, answer, stopped } = answered;
        self.tell_what_is_new().await?;
        if stopped {
            self.say_farewell().await?;
        }
        self.running.remove(&id);
        self.send(&ToClient::Answer { id, answer: Bytes(answer) }).await
    }

    /// For this client sync is stopped, whether others use it or not.
    async fn say_farewell(&mut self) -> Result<()> {
        self.left.send_replace(true);
        if self.events.is_none() {
            return Ok(());
        }
        let known = self.shared.sync.status().borrow().clone();
        let stopped = SyncStatus {
            phase: Phase::Stopped,
            in_step: false,
            next_attempt: None,
            progress: None,
            ..known
        };
        self.send(&ToClient::Status { status: Bytes(encode(&stopped)) }).await?;
        self.end().await
    }

    async fn take(&mut self, frame: &[u8]) -> Result<()> {
        for message in decode::<Vec<Bytes>>(frame)? {
            match ToHost::read_message(&message.0)? {
                Some(ToHost::Ask { id, name, arguments }) => self.ask(id, &name, &arguments),
                Some(ToHost::GiveUp { id }) => drop(self.running.remove(&id)),
                None => tracing::debug!("a client of sync says what is not known here"),
            }
        }
        self.send(&ToClient::Taken).await
    }

    fn ask(&mut self, id: u64, name: &str, arguments: &Bytes) {
        let result = match Request::read(name, arguments) {
            Ok(Some(Request::Stop {})) => return self.stop(id),
            // At once, and not beside what is asked after it.
            Ok(Some(Request::LoggedIn {})) => {
                self.shared.sync.logged_in();
                Ok(())
            }
            Ok(Some(request)) if self.running.len() < MOST_RUNNING => {
                return self.start(id, request);
            }
            Ok(Some(_)) => {
                let reason = "too many requests are under way at once";
                Err(elsewhere(ErrorKind::Busy, reason.to_owned()))
            }
            Ok(None) => {
                let reason = format!("the place where sync runs does not know `{name}`: update it");
                Err(elsewhere(ErrorKind::Unsupported, reason))
            }
            Err(error) => Err(error),
        };
        // This client is there.
        let _ = self.done.send(Answered { id, answer: encode(&result), stopped: false });
    }

    /// Carries a request out beside everything else, so that a client that does not read what it is told holds nothing up.
    fn start(&mut self, id: u64, request: Request) {
        let (running, given_up) = oneshot::channel();
        self.running.insert(id, running);
        let (shared, left) = (Arc::clone(&self.shared), self.left.subscribe());
        let unanswered = self.unanswered(id, false);
        self.spawn(async move {
            tokio::select! {
                biased;
                _ = given_up => unanswered.give_up(),
                answer = perform(&shared.sync, left, request) => unanswered.answer(answer),
            }
        });
    }

    /// It is not given up, as stopping where sync runs is not.
    fn stop(&mut self, id: u64) {
        self.leave();
        let (shared, unanswered) = (Arc::clone(&self.shared), self.unanswered(id, true));
        self.spawn(async move {
            if shared.is_over() {
                shared.sync.stop().await;
            }
            unanswered.answer(encode(&Result::Ok(())));
        });
    }

    fn unanswered(&self, id: u64, stopped: bool) -> Unanswered {
        Unanswered { id, stopped, done: Some(self.done.clone()) }
    }

    /// Whether that ends the sync.
    fn leave(&mut self) -> bool {
        std::mem::take(&mut self.counted) && self.shared.leave()
    }

    fn spawn(&self, task: impl Future<Output = ()> + storex_core::MaybeSend + 'static) {
        self.shared.sync.sync().replica.storage.runtime().spawn(Box::pin(task));
    }
}

impl Drop for Client {
    /// Also of one whose task was dropped.
    fn drop(&mut self) {
        self.leave();
    }
}

async fn perform(sync: &ContinuousSync, left: watch::Receiver<bool>, request: Request) -> Vec<u8> {
    match request {
        Request::SyncNow {} => encode(&sync_now(sync, left).await),
        Request::AwaitSynced { write } => encode(&await_synced(sync, left, write).await),
        Request::Pause {} => encode(&sync.pause().await),
        Request::Resume {} => encode(&sync.resume().await),
        // These are seen to where they arrive.
        Request::LoggedIn {} | Request::Stop {} => encode(&Result::Ok(())),
        Request::Device {} => encode(&sync.device().await),
        Request::Unsent {} => encode(&sync.unsent().await),
        Request::LastWrite {} => encode(&sync.last_write().await),
        Request::WriteState { write } => encode(&sync.write_state(write).await),
        Request::Parked {} => encode(&sync.parked().await),
        Request::RetryParked {} => encode(&sync.retry_parked().await),
        Request::Retry { write } => encode(&sync.retry(write).await),
        Request::Discard { write } => encode(&sync.discard(write).await),
        Request::Rejected {} => encode(&sync.rejected().await),
        Request::RetryRejected { write } => encode(&sync.retry_rejected(write).await),
        Request::DiscardRejected { write } => encode(&sync.discard_rejected(write).await),
        Request::Conflicts { which } => encode(&sync.conflicts(&which).await),
        Request::UndoConflict { conflict } => encode(&sync.undo_conflict(conflict).await),
        Request::ReplaceConflict { conflict, value } => {
            encode(&sync.replace_conflict(conflict, value).await)
        }
        Request::ForgetConflict { conflict } => encode(&sync.forget_conflict(conflict).await),
        Request::Digest {} => encode(&sync.digest().await),
        Request::Compact {} => encode(&sync.compact().await),
        Request::SendState {} => encode(&sync.send_state().await),
    }
}

/// `None` for one that has stopped, though others go on.
async fn sync_now(
    sync: &ContinuousSync,
    mut left: watch::Receiver<bool>,
) -> Result<Option<SyncReport>> {
    tokio::select! {
        biased;
        _ = left.wait_for(|left| *left) => Ok(None),
        report = sync.sync_now() => report.transpose(),
    }
}

/// One that has stopped learns what it would learn where sync runs.
async fn await_synced(
    sync: &ContinuousSync,
    mut left: watch::Receiver<bool>,
    write: WriteId,
) -> Result<()> {
    tokio::select! {
        biased;
        result = sync.await_synced(write) => return result,
        _ = left.wait_for(|left| *left) => {}
    }
    match sync.write_state(write).await? {
        WriteState::Sent | WriteState::Applied => Ok(()),
        WriteState::Unknown => {
            let WriteId { device, sequence } = write;
            Err(SyncError::UnknownWrite { device, sequence })
        }
        WriteState::Rejected => Err(sync.sync().rejection(write).await?),
        WriteState::Waiting | WriteState::Parked => Err(SyncError::Stopped),
    }
}

async fn changed(status: &mut Option<watch::Receiver<SyncStatus>>) -> bool {
    match status {
        Some(status) => status.changed().await.is_ok(),
        None => pending().await,
    }
}

async fn next_event(events: &mut Option<SyncEvents>) -> Option<SyncEvent> {
    match events {
        Some(events) => events.next().await,
        None => pending().await,
    }
}

fn elsewhere(kind: ErrorKind, message: String) -> SyncError {
    let retryable = kind == ErrorKind::Busy;
    SyncError::Elsewhere { kind, retryable, message, source: None }
}
