//! A shared log over HTTP: the forms that client and server share.
//!
//! - [`wire`]: the binary forms of what is exchanged.
//! - [`messages`]: everything else, in JSON.
//! - [`Problem`]: errors, as they travel.
//!
//! `docs/wire-format.md` describes the bytes, `docs/decisions/0039-the-server.md` the requests.

pub mod messages;
mod problem;
mod text;
pub mod wire;

#[cfg(test)]
mod tests;

pub use problem::{Code, PROBLEM_TYPE, Problem};
pub use text::{device_of_text, device_text, id_of_text, id_text};
