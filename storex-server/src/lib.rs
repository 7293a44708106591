//! The server of storex: a shared log for each user, over HTTP and WebSocket.
//!
//! ```text
//!    devices of a user ──HTTP, WebSocket──▶ storex-server ──▶ Store: a log for each user, and the list of its devices
//! ```

mod error;
mod store;
mod user;

pub use error::{Result, ServerError};
pub use store::{DeviceId, DeviceInfo, Store};
#[cfg(feature = "postgres")]
pub use store::{PostgresOptions, PostgresStore};
pub use user::User;
