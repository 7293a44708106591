//! A PostgreSQL of their own for the tests of storex.
//!
//! Only the standard library is used: xtask is built with it, before anything else is.

mod cluster;
mod programs;
mod unix;

pub use cluster::{Cluster, Durability, handed_over};
pub use programs::Programs;

/// The error is a sentence for the person at the terminal.
pub type Result<T> = std::result::Result<T, String>;

/// The variable that hands the address of a cluster over to tests, so that not each of them starts one. It is not the variable
/// of `storex serve`: whoever has set that one does not want tests in that database.
pub const ADDRESS: &str = "STOREX_TEST_POSTGRES";
