//! Noticing that another program has brought the database to a newer schema while we had it open.
//!
//! Columns are read by name, and a migration may give names to other columns: what an older program reads then looks right
//! and is not. SQLite counts every change of a schema (`PRAGMA schema_version`), and the count only grows. So it is enough
//! to look at it *behind* a read: where it is what it was before the read, the schema was the same all the while. Where it
//! is not, the schema that is written down decides; a change that is not storex's (an index that the application has made
//! by hand) does not matter.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use rusqlite::Connection;
use storex_core::{ErrorKind, Registry, Result};

use crate::error;
use crate::schema;

/// What readers have seen of the schema.
#[derive(Debug)]
pub(crate) struct SchemaWatch {
    registry: Arc<Registry>,
    /// SQLite's count of changes when the schema was last found to be ours; none at first.
    seen: AtomicI64,
}

impl SchemaWatch {
    pub(crate) fn new(registry: Arc<Registry>) -> Self {
        Self { registry, seen: AtomicI64::new(-1) }
    }

    /// Reads, and refuses what was read of a newer schema.
    pub(crate) fn read<T>(&self, conn: &Connection, read: impl FnOnce() -> Result<T>) -> Result<T> {
        let outcome = read();
        if let Err(error) = &outcome
            && !matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Other)
        {
            return outcome;
        }
        // What fails because it does not fit any more has the newer schema as its reason.
        match self.check(conn) {
            Err(reason) if outcome.is_ok() || reason.kind() == ErrorKind::Invalid => Err(reason),
            _ => outcome,
        }
    }

    fn check(&self, conn: &Connection) -> Result<()> {
        let failed = |source| error::failed("read the schema", None, source);
        let mut statement = conn.prepare_cached("PRAGMA schema_version").map_err(failed)?;
        let version = statement.query_row([], |row| row.get(0)).map_err(failed)?;
        if self.seen.load(Ordering::Relaxed) == version {
            return Ok(());
        }
        schema::refuse_newer(conn, &self.registry)?;
        // Read before the check: what was changed since is noticed the next time.
        self.seen.store(version, Ordering::Relaxed);
        Ok(())
    }
}
