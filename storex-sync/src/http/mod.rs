//! A shared log over HTTP: the client, and the forms that client and server share.
//!
//! - [`HttpSharedLog`]: the shared log of a server, which [`HttpClient`] asks over a [`HttpTransport`] in the name of [`Credentials`].
//! - [`HttpBlobStore`]: its blobs, by the same client.
//! - Transports: `NativeTransport` (feature `http-native`: TCP, TLS by rustls), `WebTransport` (feature `http-web`, in a browser).
//! - Credentials: [`StaticToken`], one that does not change; [`SharedToken`], which is renewed once for all programs and tabs.
//! - [`Room`]: where two devices meet, over a [`RelayChannel`](crate::RelayChannel); `RoomCode` (feature `pairing`) is what people type.
//! - [`wire`]: the binary forms of what is exchanged.
//! - [`messages`]: everything else, in JSON.
//! - [`Problem`]: errors, as they travel.
//!
//! `docs/wire-format.md` describes the bytes, `docs/decisions/0039-the-server.md` the requests.

mod blobs;
mod client;
mod compress;
mod credentials;
mod keys;
mod link;
mod log;
pub mod messages;
#[cfg(all(feature = "http-native", not(target_family = "wasm")))]
mod native;
mod problem;
mod refusal;
mod room;
mod shared_token;
mod snapshots;
mod text;
mod token_row;
mod transport;
mod watch;
#[cfg(all(feature = "http-web", target_family = "wasm"))]
mod web;
pub mod wire;

#[cfg(test)]
mod tests;

pub use blobs::HttpBlobStore;
pub use client::HttpClient;
pub use credentials::{Credentials, StaticToken, Token};
pub use log::HttpSharedLog;
#[cfg(all(feature = "http-native", not(target_family = "wasm")))]
pub use native::NativeTransport;
pub use problem::{Code, PROBLEM_TYPE, Problem};
pub use room::Room;
#[cfg(feature = "pairing")]
pub use room::RoomCode;
#[cfg(all(feature = "http-native", not(target_family = "wasm")))]
pub use rustls;
pub use shared_token::{SharedToken, TokenSource};
pub use text::{device_of_text, device_text, id_of_text, id_text};
pub use token_row::Tokens;
pub use transport::{
    HttpTransport, Method, Request, Response, Socket, SocketMessage, SocketReceiver, SocketSender,
};
#[cfg(all(feature = "http-web", target_family = "wasm"))]
pub use web::WebTransport;
