//! The server of storex: a shared log and blobs for each user, over HTTP and WebSocket.
//!
//! ```text
//!    devices of a user ──HTTP, WebSocket──▶ storex-server ──▶ Store: a log for each user, its blobs, and the list of its devices
//! ```
//!
//! - [`Server`] answers, with what a [`Store`] keeps, those whom a [`Verifier`] lets in, as far as a [`Config`] allows it.
//! - `SqliteStore` (feature `sqlite`, on by default) keeps everything in one SQLite file, `PostgresStore` (feature `postgres`) in a PostgreSQL database
//!   that several servers share, [`BackendStore`] in any storex database. A [`Store`] of your own is tested by `store_conformance!` of the crate
//!   `storex-conformance`.
//! - `Objects` (feature `objects`) keeps the pages of snapshots, and blobs, in an object store beside any of them.
//! - `TlsFiles` (feature `tls`, on by default): the server speaks TLS itself. Without it, a proxy in front does.
//! - The requests are those of `docs/decisions/0039-the-server.md`; a running server describes them at `/openapi.json`.

mod app;
mod config;
mod directory;
mod error;
mod http;
mod identity;
mod limiter;
mod metrics;
#[cfg(feature = "objects")]
mod objects;
mod openapi;
mod relay;
mod reread;
mod routes;
mod serve;
mod sessions;
mod store;
mod user;

pub use config::{Config, IdentityConfig, Limits, Relay, Retention, Timeouts};
pub use error::{Result, ServerError};
pub use identity::{
    FetchKeys, Identity, JwtRules, JwtVerifier, KeyFile, KeySet, TokenFile, Tokens, Verifier,
    VerifyWith,
};
#[cfg(feature = "objects")]
pub use objects::Objects;
#[cfg(feature = "tls")]
pub use serve::TlsFiles;
pub use serve::{Listener, Server};
#[cfg(feature = "sqlite")]
pub use store::SqliteStore;
pub use store::{BackendStore, DeviceId, DeviceInfo, Store};
#[cfg(feature = "postgres")]
pub use store::{PostgresOptions, PostgresStore};
pub use user::User;
