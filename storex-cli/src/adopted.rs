//! The tables of a database that storex takes in, and those that it does not.

use std::path::Path;

use serde::Serialize;
use storex_core::Registry;
use storex_sqlite::Adoption;

use crate::database::refuse;
use crate::error::{During as _, Result};

/// A table that is not synced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftOutTable {
    /// The table.
    pub table: String,
    /// Why.
    pub reason: String,
}

/// The tables that cannot be taken in.
pub(crate) fn left_out(adoption: &Adoption) -> Vec<LeftOutTable> {
    let left_out = adoption.left_out.iter();
    left_out.map(|it| LeftOutTable { table: it.table.clone(), reason: it.reason.clone() }).collect()
}

/// Those that can be; refuses the file when there is none.
pub(crate) fn registry(path: &Path, adoption: &Adoption) -> Result<Registry> {
    if adoption.definitions.is_empty() {
        let reasons = adoption.left_out.iter().map(|it| format!("\n  {}: {}", it.table, it.reason));
        let reasons: String = reasons.collect();
        return Err(refuse(path, format!("has no table that storex can take in{reasons}")));
    }
    let registry = Registry::builder().collections(adoption.definitions.iter().cloned()).build();
    registry.during("taking in the tables")
}
