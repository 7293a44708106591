//! The part of storex that has no I/O: values, schema, queries, operations, middleware, storage.
//!
//! ```text
//!   application      storage.collection::<Note>()   storage.dynamic("note")   storage.execute(batch)
//!        │                          └──────────── an Operation (data) ─────────────┘
//!        ▼
//!   middleware       AutoPk ──▶ SyncLog ──▶ your own …      first registered is outermost
//!        │                       adds the log to the same batch
//!        ▼
//!   backend          one transaction: steps, and continuations from what was found to further steps
//!        │
//!        ▼
//!   storage.changes()             after the commit, and only then
//! ```
//!
//! An application describes its collections in a [`Registry`], opens a [`Storage`] over a [`Backend`] (`storex-sqlite`,
//! `storex-memory`), and works with the typed face (serde structs), the dynamic face (JSON), or whole [`Batch`]es.
//! Everything that is written is all or nothing.
//!
//! ```
//! # use std::sync::Arc;
//! use serde::{Deserialize, Serialize};
//! use storex_core::{AutoPk, Changes, Definition, Direction, FieldType, Object, Registry, Storage, field};
//! use storex_memory::{MemoryBackend, TestRuntime};
//!
//! #[derive(Serialize, Deserialize)]
//! struct Note {
//!     #[serde(default)]
//!     id: String,
//!     title: String,
//!     stars: i64,
//! }
//!
//! impl Object for Note {
//!     const COLLECTION: &'static str = "note";
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> storex_core::Result<()> {
//! let registry = Registry::builder()
//!     .collection(
//!         Definition::new("note")
//!             .field("title", FieldType::String)
//!             .field("stars", FieldType::Int)
//!             .index(["stars"]),
//!     )
//!     .build()?;
//! let storage = Storage::builder(MemoryBackend::new(), registry, Arc::new(TestRuntime::new(1)))
//!     .middleware(AutoPk::new())
//!     .open()
//!     .await?;
//!
//! let notes = storage.collection::<Note>()?;
//! let key = notes.create(&Note { id: String::new(), title: "Hello".into(), stars: 1 }).await?;
//! notes.update_one(key.clone(), Changes::new().increment("stars", 4)).await?;
//! let best = notes.query().filter(field("stars").gte(3)).order_by("stars", Direction::Descending).all().await?;
//! assert_eq!(best[0].stars, 5);
//! notes.delete_one(key).await?;
//! storage.close().await?;
//! # Ok(()) }
//! ```

// What a browser's one thread holds need not be `Send`, and an `Arc` of it serves as well as an `Rc`; see `maybe`.
#![cfg_attr(target_family = "wasm", allow(clippy::arc_with_non_send_sync))]

mod aggregate;
mod apply;
mod auto_pk;
mod backend;
mod batch;
mod cascade;
mod change_set;
mod changes;
mod dynamic;
mod error;
mod eval;
mod filter;
mod json;
mod json_changes;
mod json_query;
mod maybe;
mod middleware;
mod nested;
mod operation;
mod query;
mod record;
mod related;
mod run;
mod runtime;
mod schema;
mod scope;
mod search;
mod serde_face;
mod storage;
mod typed;
mod value;

pub use aggregate::{Aggregate, Aggregation, Aggregator};
pub use apply::{apply_changes, increment};
pub use auto_pk::{AutoPk, CustomKeys, KeyGenerator};
pub use backend::{Backend, Capabilities};
pub use batch::{Batch, Continuation, Create, Link, OnConflict, Origin, Step};
pub use change_set::{ChangeEvent, ChangeKind, ChangeSet, Changes as ChangeStream, ObjectChange};
pub use changes::{Change, Changes};
pub use dynamic::DynamicCollection;
pub use error::{Error, ErrorKind, Result, Source};
pub use eval::{compare_ordered, finish_query, json_element};
pub use filter::{Comparison, ElementCondition, FieldRef, Filter, TextMatch, field, related};
pub use maybe::{BoxFuture, MaybeSend, MaybeSync};
pub use middleware::{Context, Middleware, Next, OpenContext};
pub use operation::{CustomOperation, Operation, Outcome};
pub use query::{Direction, Position, Query};
pub use record::{Key, Record, compare_all};
pub use related::End as RelationEnd;
pub use run::{BatchOutcome, BatchRun, Executed, StepOutcome, Trace, created};
pub use runtime::Runtime;
#[cfg(all(feature = "tokio-runtime", not(target_family = "wasm")))]
pub use runtime::TokioRuntime;
#[cfg(all(feature = "web-runtime", target_family = "wasm"))]
pub use runtime::WebRuntime;
pub use schema::{
    Affinity, Collection, Default as FieldDefault, Definition, Field, FieldOption, FieldType,
    Index, IndexDefinition, KeyFormat, OnDelete, Referrer, Registry, RegistryBuilder, Relation,
    RelationDefinition, RelationKind, SchemaVersion,
};
pub use search::{Word, Words, fold_case, words_of};
pub use storage::{Storage, StorageBuilder};
pub use typed::{Object, Select, TypedCollection};
pub use value::{Name, Timestamp, Value};
