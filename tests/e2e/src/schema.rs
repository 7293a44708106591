//! The collections of the tests, and how a device is opened.

use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use storex_core::{
    AutoPk, Backend, Definition, FieldType, Object, Registry, Result, Runtime, Storage,
};
use storex_sqlite::SqliteBackend;
use storex_sync::SyncLog;

/// A text key made by `AutoPk`, a compound key, a key that is given; all kinds of values; an index.
///
/// # Panics
/// Never: the definitions are sound.
#[must_use]
pub fn registry() -> Registry {
    Registry::builder()
        .collection(
            Definition::new("member")
                .field("team", FieldType::String)
                .field("size", FieldType::Int)
                .field("title", FieldType::String)
                .field("stars", FieldType::Int)
                .optional("body", FieldType::Text)
                .index(["team"]),
        )
        .collection(
            Definition::new("account")
                .field("name", FieldType::String)
                .field("balance", FieldType::Int)
                .primary_key(["name"]),
        )
        .collection(
            Definition::new("doc")
                .field("shelf", FieldType::String)
                .field("number", FieldType::Int)
                .field("x", FieldType::String)
                .field("y", FieldType::Int)
                .optional("weight", FieldType::Float)
                .optional("data", FieldType::Binary)
                .optional("meta", FieldType::Json)
                .primary_key(["shelf", "number"]),
        )
        .build()
        .expect("the definitions are sound")
}

/// An object of `member`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Member {
    /// Made by `AutoPk`.
    #[serde(default)]
    pub id: String,
    /// Members come and go by the team.
    pub team: String,
    /// How many members the team has.
    pub size: i64,
    /// The same for all members of a team.
    pub title: String,
    /// The same for all members of a team.
    pub stars: i64,
    /// Some text.
    pub body: Option<String>,
}

impl Object for Member {
    const COLLECTION: &'static str = "member";
}

/// A device over any backend.
///
/// # Errors
/// The backend's.
pub async fn open(backend: impl Backend, runtime: Arc<dyn Runtime>) -> Result<Storage> {
    Storage::builder(backend, registry(), runtime)
        .middleware(AutoPk::new())
        .middleware(SyncLog::new())
        .open()
        .await
}

/// A device on a SQLite file.
///
/// # Errors
/// The backend's.
pub async fn open_sqlite(path: &Path, runtime: Arc<dyn Runtime>) -> Result<Storage> {
    open(SqliteBackend::open(path)?, runtime).await
}
