//! The SQLite backend of storex.

mod adopt;
mod backend;
mod config;
mod connection;
mod custom;
mod error;
mod read;
mod readers;
mod schema;
mod sql;
mod table;
mod trace;
mod value;
mod write;
mod writer;

pub use adopt::{Adoption, ForeignKey, ForeignKeyAction, LeftOut, Note, adopt, copy_schema};
pub use backend::SqliteBackend;
pub use config::{Durability, SqliteBuilder};
