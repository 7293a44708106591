//! [`SqliteSnapshot`]: a read transaction that is held open.
//!
//! In write-ahead mode a read transaction sees the database as it was when it began, and holds up nobody that writes. What it
//! does hold up is the checkpoint, which must not get behind what it sees: the `-wal` file grows meanwhile.

use std::sync::{Arc, PoisonError};

use async_trait::async_trait;
use rusqlite::Connection;
use storex_core::{Error, Query, Record, Result, Snapshot};

use crate::config::Config;
use crate::connection;
use crate::error;
use crate::overtaken::SchemaWatch;
use crate::read;
use crate::readers::{Owned, Readers};
use crate::table::Tables;

/// What was in the database at one moment.
#[derive(Debug)]
pub(crate) struct SqliteSnapshot {
    conn: Owned,
    /// The tables as they are in the transaction.
    tables: Arc<Tables>,
    readers: Arc<Readers>,
}

impl SqliteSnapshot {
    /// Begins the transaction, on a reader's thread.
    pub(crate) async fn take(
        config: Config,
        readers: Arc<Readers>,
        watch: Arc<SchemaWatch>,
    ) -> Result<Self> {
        let begin = move |_: &Connection| {
            let conn = connection::open_reader(&config)?;
            conn.execute_batch("BEGIN")
                .map_err(|source| error::failed("take a snapshot", None, source))?;
            // The first read is what begins it.
            let tables = watch.tables(&conn)?;
            Ok((conn, tables))
        };
        let (conn, tables) = readers.run(begin).await?;
        Ok(Self { conn: readers.own(conn)?, tables, readers })
    }

    async fn read<T: Send + 'static>(
        &self,
        query: Query,
        read: fn(&Connection, &Tables, &Query) -> Result<T>,
    ) -> Result<T> {
        let (conn, tables) = (Arc::clone(&self.conn), Arc::clone(&self.tables));
        let work = move |_: &Connection| {
            let conn = conn.lock().unwrap_or_else(PoisonError::into_inner);
            read(conn.as_ref().ok_or(Error::Closed)?, &tables, &query)
        };
        self.readers.run(work).await
    }
}

#[async_trait]
impl Snapshot for SqliteSnapshot {
    async fn find(&self, query: Query) -> Result<Vec<Record>> {
        self.read(query, read::find).await
    }

    async fn count(&self, query: Query) -> Result<u64> {
        self.read(query, read::count).await
    }
}
