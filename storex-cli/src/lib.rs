//! What the `storex` command does, as functions: the command itself only reads arguments and prints.

mod adopted;
pub mod backup;
mod database;
pub mod demo;
mod error;
pub mod initial_sync;
pub mod serve;
pub mod simulate;
mod terminal;

pub use error::{CliError, Result, describe};
pub use terminal::for_terminal;

/// The examples of the README are compiled and run with the tests.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
mod readme {}

/// The examples of the guide are compiled and run with the tests.
#[cfg(doctest)]
mod guide {
    #[doc = include_str!("../../docs/guide.md")]
    mod start {}
    #[doc = include_str!("../../docs/guide/blobs.md")]
    mod blobs {}
    #[doc = include_str!("../../docs/guide/channels.md")]
    mod channels {}
    #[doc = include_str!("../../docs/guide/encryption.md")]
    mod encryption {}
    #[doc = include_str!("../../docs/guide/initial-sync.md")]
    mod initial_sync {}
    #[doc = include_str!("../../docs/guide/live.md")]
    mod live {}
    #[doc = include_str!("../../docs/guide/merging.md")]
    mod merging {}
    #[doc = include_str!("../../docs/guide/merge-rules.md")]
    mod merge_rules {}
    #[doc = include_str!("../../docs/guide/middleware.md")]
    mod middleware {}
    #[doc = include_str!("../../docs/guide/migrations.md")]
    mod migrations {}
    #[doc = include_str!("../../docs/guide/pairing.md")]
    mod pairing {}
    #[doc = include_str!("../../docs/guide/queries.md")]
    mod queries {}
    #[doc = include_str!("../../docs/guide/relations.md")]
    mod relations {}
    #[doc = include_str!("../../docs/guide/schema.md")]
    mod schema {}
    #[doc = include_str!("../../docs/guide/server.md")]
    mod server {}
    #[doc = include_str!("../../docs/guide/server-client.md")]
    mod server_client {}
    #[doc = include_str!("../../docs/guide/server-postgres.md")]
    mod server_postgres {}
    #[doc = include_str!("../../docs/guide/shared-logs.md")]
    mod shared_logs {}
    #[doc = include_str!("../../docs/guide/simulator.md")]
    mod simulator {}
    #[doc = include_str!("../../docs/guide/syncing.md")]
    mod syncing {}
    #[doc = include_str!("../../docs/guide/tabs.md")]
    mod tabs {}
    #[doc = include_str!("../../docs/guide/transactions.md")]
    mod transactions {}
}
