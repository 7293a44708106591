//! IndexedDB as futures that tell the truth: requests, transactions, connections.
//!
//! Opening goes through `indexed_db_futures` (its maintained fork); requests and transactions go under it, to web-sys.
//! `docs/decisions/0009-under-the-binding.md` says where and why, and `tests/` shows each fault.

mod connection;
mod dom_error;
mod existing;
mod factory;
mod open;
mod request;
#[cfg(test)]
mod tests;
mod transaction;

pub(crate) use connection::{Closed, Connection};
pub(crate) use dom_error::DomError;
pub(crate) use existing::open_existing;
pub use factory::DatabaseInfo;
pub(crate) use factory::{DeleteError, databases, delete, factory};
pub(crate) use open::{OpenError, open};
pub(crate) use request::Request;
#[cfg(test)]
pub(crate) use request::unwatched;
pub(crate) use transaction::{Durability, Mode, Transaction};
