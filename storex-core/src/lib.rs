//! The part of storex that has no I/O: values, schema, queries, operations, middleware, storage.
//!
//! ```text
//!   application      storage.collection::<Note>()   storage.dynamic("note")   storage.execute(batch)
//!        │                          └──────────── an Operation (data) ─────────────┘
//!        ▼
//!   middleware       AutoPk ──▶ your own … ──▶ SyncLog      first registered is outermost
//!        │                                     adds the log to the same batch
//!        ▼
//!   backend          one transaction: steps, and continuations from what was found to further steps
//!        │
//!        ▼
//!   storage.changes()             after the commit, and only then
//! ```
//!
//! An application describes its collections in a [`Registry`] (by hand, or by the [derive macro](derive@Collection)), opens a
//! [`Storage`] over a [`Backend`] (`storex-sqlite`, `storex-memory`), and works with the typed face (serde structs), the dynamic face (JSON), or whole [`Batch`]es.
//! Everything that is written is all or nothing.
//!
//! ```
//! # use std::sync::Arc;
//! use serde::{Deserialize, Serialize};
//! use storex_core::{AutoPk, Collection, Registry, Storage};
//! use storex_memory::{MemoryBackend, TestRuntime};
//!
//! #[derive(Serialize, Deserialize, Collection)]
//! struct Note {
//!     id: String,
//!     title: String,
//!     #[storex(index)]
//!     stars: i64,
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> storex_core::Result<()> {
//! let registry = Registry::builder().collection(Note::definition()).build()?;
//! let storage = Storage::builder(MemoryBackend::new(), registry, Arc::new(TestRuntime::new(1)))
//!     .middleware(AutoPk::new())
//!     .open()
//!     .await?;
//!
//! let notes = storage.collection::<Note>()?;
//! let key = notes.create(&Note { id: String::new(), title: "Hello".into(), stars: 1 }).await?;
//! notes.update_one(key.clone(), Note::STARS.increment(4)).await?;
//! let best = notes.query().filter(Note::STARS.gte(3)).order([Note::STARS.desc()]).all().await?;
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
mod conditional;
mod dynamic;
mod error;
mod eval;
mod fetch;
mod filter;
mod json;
mod json_changes;
mod json_query;
mod key_news;
mod lifecycle;
mod live;
mod maybe;
mod middleware;
mod module;
mod nested;
mod observe;
mod operation;
mod property;
mod query;
mod record;
mod related;
mod rules;
mod run;
mod runtime;
mod schema;
mod scope;
mod search;
mod serde_face;
mod snapshot;
mod storage;
mod stream;
mod summaries;
mod to_the_end;
mod transaction;
mod typed;
mod upsert;
mod value;
mod watch;

pub use aggregate::{Aggregate, Aggregation, Aggregator};
pub use apply::{apply_changes, increment};
pub use auto_pk::{AutoPk, CustomKeys, KeyGenerator};
pub use backend::{Backend, Capabilities};
pub use batch::{Batch, Continuation, Create, Link, OnConflict, Origin, Step};
pub use change_set::{
    ChangeEvent, ChangeKind, ChangeSet, ChangeSink, Changes as ChangeStream, ObjectChange,
};
pub use changes::{Change, Changes};
pub use dynamic::DynamicCollection;
pub use error::{Error, ErrorKind, Result, Source, describe};
pub use eval::{compare_ordered, finish_query, json_element};
pub use fetch::{Branch, SelectWith, Tree};
pub use filter::{Comparison, ElementCondition, FieldRef, Filter, TextMatch, field, related};
pub use key_news::KeyNews;
pub use live::Live;
pub use maybe::{BoxFuture, MaybeSend, MaybeSync};
pub use middleware::{
    ChangeWatch, Context, Middleware, Next, OpenContext, ReadOnly, RetryBusy, RetryPolicy, Traced,
    Validate,
};
pub use module::{Module, OperationHandler};
pub use observe::{ObjectImages, Observer, Planned};
pub use operation::{CustomOperation, Operation, Outcome};
pub use property::{AsJson, JsonArray, Number, Operand, Property};
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
    Affinity, Check, Collection, CollectionPlan, CustomCheck, CustomField, CustomType,
    Default as FieldDefault, Definition, Field, FieldOption, FieldType, Index, IndexDefinition,
    KeyFormat, Migration, ObjectCheck, ObjectView, OnDelete, Plan, PlanStep, Properties, Referrer,
    Registry, RegistryBuilder, Relation, RelationDefinition, RelationKind, SchemaVersion,
    StoredCollection, StoredField, StoredIndex, StoredKind, StoredSchema, Transform, plan,
};
pub use search::{Word, Words, fold_case, word_rules, words_of};
pub use snapshot::{Snapshot, StorageSnapshot};
pub use storage::{Storage, StorageBuilder};
#[cfg(feature = "derive")]
pub use storex_derive::Collection;
pub use stream::ObjectStream;
pub use transaction::{Transaction, TransactionCollection, TransactionDynamic};
pub use typed::{Object, Select, TypedCollection};
pub use value::{Name, Timestamp, Value};
