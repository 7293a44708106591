//! What goes in at one end of a room comes out at the other.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio_tungstenite::tungstenite::Message;

use super::hearing::{Heard, Hearing};
use super::rooms::RoomGuard;
use crate::app::App;
use crate::http::{Close, Socket};
use crate::sessions::{Ending, Session};

/// One of the two in a room.
#[derive(Debug)]
pub(crate) struct Guest {
    socket: Socket,
    seat: Seat,
    hearing: Hearing,
}

impl Guest {
    pub(crate) fn new(socket: Socket, seat: Seat) -> Self {
        let hearing = match &seat {
            Seat::User(_) => Hearing::of_user(),
            Seat::Stranger(_) => Hearing::of_stranger(),
        };
        Self { socket, seat, hearing }
    }
}

/// What counts a guest among all that is open.
#[derive(Debug)]
pub(crate) enum Seat {
    /// Of a user.
    User(Session),
    /// Of somebody whom nobody knows, where the relay is open.
    Stranger(#[allow(dead_code)] OwnedSemaphorePermit), // which it holds
}

impl Seat {
    async fn ended(&mut self, app: &App) -> Ending {
        match self {
            Self::User(session) => session.ended().await,
            Self::Stranger(_) => {
                app.sessions.stopped().await;
                Ending::GoingAway
            }
        }
    }
}

/// The first one waits for the other, and then passes on what either says. The room is gone when this returns.
pub(crate) async fn wait_for_other(
    app: &App,
    mut first: Guest,
    comes: oneshot::Receiver<Guest>,
    _room: RoomGuard,
) {
    let (mut comes, mut said) = (comes, None);
    let waits = app.runtime.sleep(app.config.relay.waits);
    tokio::pin!(waits);
    loop {
        tokio::select! {
            biased;
            ending = first.seat.ended(app) => return Close::from(ending).tell(first.socket).await,
            second = &mut comes => return match second {
                Ok(second) => pass_on(app, [first, second], said).await,
                Err(_) => Close::DONE.tell(first.socket).await,
            },
            () = &mut waits => return Close::SILENT.tell(first.socket).await,
            // One message is taken early; the next one waits in the other side's buffers.
            message = first.socket.next(), if said.is_none() => match first.hearing.hear(message) {
                Heard::Frame(message) => said = Some(message),
                Heard::Nothing => {}
                Heard::Wrong => return Close::MALFORMED.tell(first.socket).await,
                Heard::Left => return,
            },
        }
    }
}

/// The second one goes to the first.
pub(crate) async fn join(second: Guest, waiting: oneshot::Sender<Guest>) {
    if let Err(Guest { socket, .. }) = waiting.send(second) {
        Close::DONE.tell(socket).await;
    }
}

async fn pass_on(app: &App, [first, second]: [Guest; 2], said: Option<Message>) {
    let (mut one, mut other) = (first.seat, second.seat);
    let (mut to_first, mut from_first) = first.socket.split();
    let (mut to_second, mut from_second) = second.socket.split();
    let (mut hears_first, mut hears_second) = (first.hearing, second.hearing);
    let passed = Passed { app, messages: AtomicU64::new(0) };
    let close = tokio::select! {
        biased;
        ending = one.ended(app) => ending.into(),
        ending = other.ended(app) => ending.into(),
        close = passed.forward(&mut from_first, &mut hears_first, &mut to_second, said) => close,
        close = passed.forward(&mut from_second, &mut hears_second, &mut to_first, None) => close,
        () = passed.rests() => Close::SILENT,
    };
    let told = (to_first.send(close.message()), to_second.send(close.message()));
    // Whoever is gone need not be told.
    let _ = futures_util::future::join(told.0, told.1).await;
}

struct Passed<'a> {
    app: &'a App,
    messages: AtomicU64,
}

impl Passed<'_> {
    /// The next message is read when the last one was taken.
    async fn forward(
        &self,
        from: &mut SplitStream<Socket>,
        hearing: &mut Hearing,
        to: &mut SplitSink<Socket, Message>,
        said: Option<Message>,
    ) -> Close {
        let mut next = said;
        loop {
            if let Some(message) = next.take() {
                self.app.metrics.relayed_bytes.add(message.len() as u64);
                if to.send(message).await.is_err() {
                    return Close::DONE;
                }
            }
            self.messages.fetch_add(1, Relaxed);
            match hearing.hear(from.next().await) {
                Heard::Frame(message) => next = Some(message),
                Heard::Nothing => {}
                Heard::Wrong => return Close::MALFORMED,
                Heard::Left => return Close::DONE,
            }
        }
    }

    /// Completes when nothing has come for long.
    async fn rests(&self) {
        let mut seen = self.messages.load(Relaxed);
        loop {
            self.app.runtime.sleep(self.app.config.relay.rests).await;
            let now = self.messages.load(Relaxed);
            if now == seen {
                return;
            }
            seen = now;
        }
    }
}
