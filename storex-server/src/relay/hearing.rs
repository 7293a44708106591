//! [`Hearing`]: what a guest's messages mean.

use storex_sync::http::messages::WatchToken;
use tokio_tungstenite::tungstenite::{Error, Message};

/// What a guest's messages mean.
#[derive(Debug)]
pub(crate) struct Hearing {
    /// Whether the next message may be a token, which nobody has asked for.
    token_may_come: bool,
}

/// What was heard.
#[derive(Debug)]
pub(super) enum Heard {
    /// What goes to the other one.
    Frame(Message),
    /// What is not the other one's concern.
    Nothing,
    /// What is not allowed.
    Wrong,
    /// The end.
    Left,
}

impl Hearing {
    /// Of somebody who has said who it is.
    pub(super) fn of_user() -> Self {
        Self { token_may_come: false }
    }

    /// Of somebody who was let in unasked. A client that has a token tells it first all the same.
    pub(super) fn of_stranger() -> Self {
        Self { token_may_come: true }
    }

    pub(super) fn hear(&mut self, message: Option<Result<Message, Error>>) -> Heard {
        match message {
            Some(Ok(message @ Message::Binary(_))) => {
                self.token_may_come = false;
                Heard::Frame(message)
            }
            Some(Ok(Message::Text(text))) => {
                let may_come = std::mem::take(&mut self.token_may_come);
                match may_come && serde_json::from_str::<WatchToken>(&text).is_ok() {
                    true => Heard::Nothing,
                    false => Heard::Wrong,
                }
            }
            Some(Ok(Message::Close(_)) | Err(_)) | None => Heard::Left,
            Some(Ok(_)) => Heard::Nothing,
        }
    }
}
