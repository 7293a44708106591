//! [`Link`]: the WebSocket of a watch.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::Serialize;
use storex_core::{Runtime, Timestamp};

use super::client::HttpClient;
use super::credentials::Token;
use super::messages::{WatchNews, WatchPlace};
use super::transport::{Socket, SocketMessage};
use super::watch::{State, broken, lock, since_then};
use crate::error::Result;

/// A WebSocket from which nothing was heard for so long is dead: the server says something every 20 seconds.
const SILENCE: Duration = Duration::from_secs(50);
/// What was said while nobody listened is there at once, so much later at most.
const WAITING: Duration = Duration::from_secs(1);

/// The WebSocket of a watch, and what was said over it.
#[derive(Debug)]
pub(super) struct Link {
    socket: Socket,
    /// Who was named.
    token: Option<Token>,
    /// What news is waited for; `None` when it has come.
    told: Option<WatchPlace>,
    heard_at: Timestamp,
}

/// What was heard.
pub(super) enum Heard {
    News,
    Closed { code: u16, reason: String },
}

impl Link {
    pub(super) fn new(socket: Socket, token: Option<Token>, now: Timestamp) -> Self {
        Self { socket, token, told: None, heard_at: now }
    }

    pub(super) async fn say(
        &mut self,
        client: &HttpClient,
        message: &impl Serialize,
    ) -> Result<()> {
        // What is said has no maps, and no numbers that JSON lacks.
        let text = SocketMessage::Text(serde_json::to_string(message).unwrap_or_default());
        let during = "telling what news is waited for";
        client.in_time(during, Duration::ZERO, self.socket.sender.send(text)).await
    }
}

/// A link that somebody listens to. Dropped, it is put back for the next one, unless it was spoiled.
pub(super) struct Lent<'a> {
    link: Option<Link>,
    state: &'a Mutex<State>,
    runtime: &'a Arc<dyn Runtime>,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        if let Some(link) = self.link.take() {
            lock(self.state).put_back(link, self.runtime.now());
        }
    }
}

impl<'a> Lent<'a> {
    pub(super) fn new(link: Link, state: &'a Mutex<State>, runtime: &'a Arc<dyn Runtime>) -> Self {
        Self { link: Some(link), state, runtime }
    }

    /// It is of no use any more. Tells who was named.
    pub(super) fn spoil(mut self) -> Option<Token> {
        self.link.take()?.token
    }

    /// Tells what news is waited for, if that is another than before.
    pub(super) async fn tell(&mut self, client: &HttpClient, place: &WatchPlace) -> Result<()> {
        let Some(link) = &mut self.link else { return Err(gone()) };
        if link.told.as_ref() != Some(place) {
            // Not what is told, while it is not known whether it was.
            link.told = None;
            link.say(client, place).await?;
            link.told = Some(place.clone());
        }
        Ok(())
    }

    /// Waits for news.
    pub(super) async fn hear(&mut self) -> Result<Heard> {
        loop {
            let Some(link) = &mut self.link else { return Err(gone()) };
            let silent = since_then(link.heard_at, self.runtime.now());
            let left = SILENCE.saturating_sub(silent).max(WAITING);
            let message = tokio::select! {
                biased;
                message = link.socket.receiver.recv() => message?,
                () = self.runtime.sleep(left) => {
                    let reason = format!("nothing was heard for {} s", SILENCE.as_secs());
                    return Err(broken(reason));
                }
            };
            let text = match message {
                SocketMessage::Text(text) => text,
                SocketMessage::Binary(_) => {
                    return Err(broken("the server says what makes no sense".to_owned()));
                }
                SocketMessage::Closed { code, reason } => {
                    return Ok(Heard::Closed { code, reason });
                }
            };
            let said: WatchNews = serde_json::from_str(&text)
                .map_err(|_| broken("the server says what makes no sense".to_owned()))?;
            link.heard_at = self.runtime.now();
            lock(self.state).heard();
            if said.news {
                link.told = None;
                return Ok(Heard::News);
            }
        }
    }
}

fn gone() -> crate::error::SyncError {
    broken("the WebSocket is gone".to_owned())
}
