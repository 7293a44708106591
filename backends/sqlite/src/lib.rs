//! The SQLite backend of storex: new databases, and existing ones in place.
//!
//! ```text
//!   execute(batch) ──▶ queue ──▶ writer thread ──▶ BEGIN IMMEDIATE · batch · batch · batch · COMMIT ──▶ answers
//!                                (one connection)   what waits shares one commit, each behind its savepoint
//!
//!   find, count    ──▶ by a few keys: on the caller's thread, if a connection is free
//!                  └─▶ queue ──▶ reader threads (a small pool of connections, read only)
//!
//!   snapshot       ──▶ a connection of its own in one read transaction, used by the reader threads
//!
//!                                     shop.db   shop.db-wal   shop.db-shm     write-ahead log: nobody waits for a reader
//! ```
//!
//! - [`SqliteBackend`] keeps collections in STRICT tables which it makes when they are missing, and works on the tables
//!   of an existing database as they are. [`adopt`] reads such a database's schema into definitions, [`copy_schema`] makes
//!   an empty database with the same tables.
//! - An index on a field of type [`FieldType::Text`](storex_core::FieldType::Text) is a search index (FTS5): the words of
//!   `_storex_search:<table>`, kept up to date by triggers that need nothing of storex. A table has one, of the program
//!   that has opened the database last; another one that runs searches without it.
//! - Custom operations: `integrity_check` gives `{"ok": true, "messages": []}`; `explain` takes `{"collection": name,
//!   "filter": {..}, "options": {..}}` and gives `{"sql": "SELECT ..", "plan": ["SEARCH .. USING INDEX ..", ..]}`.
//! - [`SqliteBackend::back_up_to`] copies a database while it is used.
//! - [`Durability`] says when a write is safe: at once, or when it is flushed.
//! - Every failure is an [`Error`](storex_core::Error) with a kind and a hint what to do; a write that fails has written
//!   nothing.
//!
//! ```
//! use std::sync::Arc;
//!
//! use serde_json::json;
//! use storex_core::{AutoPk, Definition, Direction, FieldType, Query, Registry, Storage, TokioRuntime, field};
//! use storex_sqlite::SqliteBackend;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let path = dir.path().join("notes.db");
//! let registry = Registry::builder()
//!     .collection(
//!         Definition::new("note")
//!             .field("title", FieldType::String)
//!             .field("stars", FieldType::Int)
//!             .index(["stars"]),
//!     )
//!     .build()?;
//! let storage = Storage::builder(SqliteBackend::open(&path)?, registry, Arc::new(TokioRuntime))
//!     .middleware(AutoPk::new())
//!     .open()
//!     .await?;
//!
//! storage.dynamic("note")?.create(json!({"title": "Hello", "stars": 5})).await?;
//! let best = Query::new("note").filter(field("stars").gte(3)).order_by("stars", Direction::Descending);
//! assert_eq!(storage.find(best).await?.len(), 1);
//!
//! let report = storage.custom("integrity_check", json!({})).await?;
//! assert_eq!(report["ok"], true);
//! let arguments = json!({"collection": "note", "filter": {"stars": 5}});
//! let explained = storage.custom("explain", arguments).await?;
//! assert_eq!(explained["plan"][0], "SEARCH note USING INDEX note:index:stars (stars=?)");
//! storage.close().await?; // leaves `notes.db` alone, without a lock and without a log beside it
//! # Ok(()) }
//! ```

mod adopt;
mod aggregate;
mod backend;
mod backup;
mod config;
mod connection;
mod content;
mod custom;
mod error;
mod explain;
mod functions;
mod overtaken;
mod read;
mod readers;
mod related;
mod schema;
mod search;
mod snapshot;
mod sql;
mod table;
mod trace;
mod value;
mod violation;
mod write;
mod writer;

pub use adopt::{
    Adoption, ForeignKey, ForeignKeyAction, LeftOut, Note, adopt, copy_schema, is_reserved,
};
pub use backend::SqliteBackend;
pub use config::{Durability, SqliteBuilder};
