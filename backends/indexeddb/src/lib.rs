//! The IndexedDB backend: in a page or a worker of a browser, every batch one transaction of the browser's own.
//!
//! ```text
//!   Storage ──▶ Batch ──▶ one readwrite transaction over exactly the stores that the batch names
//!                           │  requests are sent without awaiting each; continuations run between them
//!                           ▼
//!   note           { id: "…", title: "Milk", at: Date, _storex_index_at: "…" }     plain objects
//!   _storex_log    …                                                              what sync needs
//!   _storex_indexeddb                                                             schema version, identity
//! ```
//!
//! ```no_run
//! # #[cfg(target_family = "wasm")]
//! # async fn open() -> storex_core::Result<()> {
//! use std::sync::Arc;
//! use serde_json::json;
//! use storex_core::{AutoPk, Definition, FieldType, Registry, Storage, WebRuntime};
//! use storex_indexeddb::IndexedDbBackend;
//!
//! let note = Definition::new("note").field("title", FieldType::String).field("at", FieldType::Timestamp).index(["at"]);
//! let registry = Registry::builder().collection(note).build()?;
//! let storage = Storage::builder(IndexedDbBackend::open("notes")?, registry, Arc::new(WebRuntime))
//!     .middleware(AutoPk::new())
//!     .open()
//!     .await?;
//! let notes = storage.dynamic("note")?;
//! notes.create(json!({ "title": "Milk", "at": 1_795_178_096_789_i64 })).await?;
//! assert_eq!(notes.find(&json!({ "at": { "$gt": 0 } })).await?.len(), 1);
//! # Ok(()) }
//! ```
//!
//! Another tab that upgrades the database closes this connection: see `IndexedDbBuilder::on_lost`. How objects, keys and
//! indices lie in the database is told in `docs/decisions/0010-objects-in-indexeddb.md`.
//!
//! On native targets this crate is empty, so that a workspace can name it for all of them.

#![cfg(target_family = "wasm")]

mod adopt;
mod aggregate;
mod backend;
mod commit;
mod config;
mod connect;
mod counter;
mod error;
mod identity;
mod json;
mod layout;
mod migrate;
mod multi;
mod native;
mod news;
mod order_code;
mod path;
mod persistence;
mod plan;
mod property;
mod raw;
mod read;
mod recorded;
mod schema;
mod value;
mod walk;
mod wanted;
mod words;
mod write;

pub use adopt::{Adoption, LeftOut, Note, adopt};
pub use backend::{IndexedDbBackend, databases};
pub use config::{Durability, IndexedDbBuilder, Lost};
pub use identity::DatabaseId;
pub use persistence::{StorageEstimate, estimate, is_persisted, persist};
pub use raw::DatabaseInfo;
