//! How a WebSocket begins, and how it is closed.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use storex_sync::http::Code;
use storex_sync::http::messages::{
    CLOSE_GOING_AWAY, CLOSE_MALFORMED, CLOSE_NO_SUCH_ROOM, CLOSE_RATE_LIMITED, CLOSE_REVOKED,
    CLOSE_ROOM_FULL, CLOSE_TIMEOUT, CLOSE_UNAUTHORIZED, WatchToken,
};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::caller::{Caller, authenticate};
use super::failure::Failure;
use super::websocket::Socket;
use crate::app::App;
use crate::sessions::Ending;

/// For how long a WebSocket may say nothing of who it is.
const GREETING: Duration = Duration::from_secs(5);
/// Close code of a WebSocket: the server failed (RFC 6455).
const CLOSE_FAILED: u16 = 1011;
/// Close code of a WebSocket: it is done (RFC 6455).
const CLOSE_DONE: u16 = 1000;

/// Why the server closes a WebSocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Close {
    code: u16,
    why: &'static str,
}

impl Close {
    pub(crate) const DONE: Self = Self { code: CLOSE_DONE, why: "the other side has left" };
    pub(crate) const SILENT: Self = Self { code: CLOSE_GOING_AWAY, why: "nothing was heard" };
    pub(crate) const MALFORMED: Self = Self { code: CLOSE_MALFORMED, why: "that cannot be read" };

    pub(crate) fn message(self) -> Message {
        let (code, reason) = (CloseCode::from(self.code), self.why.into());
        Message::Close(Some(CloseFrame { code, reason }))
    }

    /// Closes the socket. That the other side reads it is not waited for.
    pub(crate) async fn tell(self, mut socket: Socket) {
        // Whoever is gone need not be told.
        let _ = socket.send(self.message()).await;
    }
}

impl From<Failure> for Close {
    fn from(failure: Failure) -> Self {
        let (code, why) = match failure.code() {
            Code::Unauthorized => (CLOSE_UNAUTHORIZED, "the token is not accepted"),
            Code::Forbidden => (CLOSE_UNAUTHORIZED, "the token is for another device"),
            Code::Revoked => (CLOSE_REVOKED, "this device was revoked"),
            Code::RateLimited => (CLOSE_RATE_LIMITED, "too many requests"),
            Code::Malformed | Code::WrongCursor => (CLOSE_MALFORMED, "that cannot be read"),
            Code::NoSuchRoom => (CLOSE_NO_SUCH_ROOM, "there is no such room"),
            Code::RoomFull => (CLOSE_ROOM_FULL, "two are in the room already"),
            _ => (CLOSE_FAILED, "the server cannot go on"),
        };
        Self { code, why }
    }
}

impl From<Ending> for Close {
    fn from(ending: Ending) -> Self {
        match ending {
            Ending::Revoked => Self { code: CLOSE_REVOKED, why: "this device was revoked" },
            Ending::GoingAway => Self { code: CLOSE_GOING_AWAY, why: "the server stops" },
        }
    }
}

/// Waits for the first message, which says who it is.
pub(crate) async fn greet(app: &App, socket: &mut Socket) -> Result<Caller, Close> {
    let late = Close { code: CLOSE_TIMEOUT, why: "no token came in time" };
    let message = tokio::select! {
        message = socket.next() => message,
        () = app.runtime.sleep(GREETING) => return Err(late),
        () = app.sessions.stopped() => return Err(Ending::GoingAway.into()),
    };
    let Some(Ok(Message::Text(text))) = message else { return Err(Close::MALFORMED) };
    let read = serde_json::from_str::<WatchToken>(&text);
    let WatchToken { token } = read.map_err(|_| Close::MALFORMED)?;
    Ok(authenticate(app, &token).await?)
}
