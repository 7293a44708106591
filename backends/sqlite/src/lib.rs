//! The SQLite backend of storex.

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

pub use backend::SqliteBackend;
pub use config::{Durability, SqliteBuilder};
