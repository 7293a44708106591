//! [`HttpTransport`]: how requests get to a server.

use std::fmt;

use async_trait::async_trait;
use storex_core::{MaybeSend, MaybeSync};

use crate::error::Result;

/// How requests and WebSockets get to a server. `NativeTransport` (feature `http-native`) and `WebTransport` (feature `http-web`, in a
/// browser) are two; one of your own has proxies, certificates or a stack of its own.
///
/// It only carries: what is asked, how long it may take, who asks and what an answer means is the business of whoever uses it. Redirects
/// are not followed: an answer that redirects is given as it is.
#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
pub trait HttpTransport: fmt::Debug + MaybeSend + MaybeSync + 'static {
    /// Makes a request and reads the whole answer. Dropping the future gives the request up, and ends it where that can be done.
    ///
    /// # Errors
    /// [`SyncError::Transport`](crate::SyncError::Transport) when there is no answer, only a part of it, or more than
    /// [`Request::most_bytes`].
    async fn request(&self, request: Request) -> Result<Response>;

    /// Opens a WebSocket to `ws://..` or `wss://..`. Of the subprotocols the server chooses one, or none. Dropping the future gives it up.
    ///
    /// # Errors
    /// [`SyncError::Transport`](crate::SyncError::Transport).
    async fn connect(&self, url: &str, protocols: &[&str]) -> Result<Socket>;
}

/// The methods that are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// `GET`
    Get,
    /// `PUT`
    Put,
    /// `POST`
    Post,
    /// `DELETE`
    Delete,
}

impl Method {
    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Put => "PUT",
            Self::Post => "POST",
            Self::Delete => "DELETE",
        }
    }
}

/// A request. `Debug` shows neither its headers nor its body.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// Its method.
    pub method: Method,
    /// `http://..` or `https://..`.
    pub url: String,
    /// Names in lower case, and values.
    pub headers: Vec<(&'static str, String)>,
    /// Empty: none.
    pub body: Vec<u8>,
    /// The most bytes that the body of the answer may have.
    pub most_bytes: usize,
}

impl Request {
    /// The value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(it, _)| *it == name).map(|(_, value)| value.as_str())
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ({} bytes)", self.method.as_str(), self.url, self.body.len())
    }
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Response {
    /// Its status, from 100 to 999.
    pub status: u16,
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Vec<u8>,
}

impl Response {
    /// The value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(it, _)| it == name).map(|(_, value)| value.as_str())
    }

    /// Whether the body is of this media type.
    #[must_use]
    pub fn is_of_type(&self, media_type: &str) -> bool {
        let whole = self.header("content-type").unwrap_or_default();
        let found = whole.split(';').next().unwrap_or_default().trim();
        found.eq_ignore_ascii_case(media_type)
    }
}

/// A WebSocket. Dropping both halves closes it.
#[derive(Debug)]
pub struct Socket {
    /// What goes out.
    pub sender: Box<dyn SocketSender>,
    /// What comes in.
    pub receiver: Box<dyn SocketReceiver>,
}

/// A message of a [`Socket`]. `Debug` shows no contents.
#[derive(Clone, PartialEq, Eq)]
pub enum SocketMessage {
    /// A text.
    Text(String),
    /// Bytes.
    Binary(Vec<u8>),
    /// The other side has closed, or the connection is gone (code 1006); nothing follows.
    Closed {
        /// The close code of RFC 6455; 1005: it said none.
        code: u16,
        /// Why, for people.
        reason: String,
    },
}

impl fmt::Debug for SocketMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "a text of {} bytes", text.len()),
            Self::Binary(bytes) => write!(f, "{} bytes", bytes.len()),
            Self::Closed { code, reason } => write!(f, "closed with {code}: {reason}"),
        }
    }
}

/// The half of a [`Socket`] that sends.
#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
pub trait SocketSender: fmt::Debug + MaybeSend + MaybeSync {
    /// Sends a message; waits while too much is under way. A message whose sending was given up is sent whole, if need be by the next call,
    /// or not at all. [`SocketMessage::Closed`] closes the WebSocket with that code.
    ///
    /// # Errors
    /// [`SyncError::Closed`](crate::SyncError::Closed) when it is closed, [`SyncError::Transport`](crate::SyncError::Transport).
    async fn send(&mut self, message: SocketMessage) -> Result<()>;
}

/// The half of a [`Socket`] that receives.
#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
pub trait SocketReceiver: fmt::Debug + MaybeSend + MaybeSync {
    /// Receives a message; of the end it tells again and again. Cancel-safe.
    ///
    /// # Errors
    /// [`SyncError::Transport`](crate::SyncError::Transport), [`SyncError::Protocol`](crate::SyncError::Protocol).
    async fn recv(&mut self) -> Result<SocketMessage>;
}
