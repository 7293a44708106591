//! The sealed keys of a log.

use async_trait::async_trait;
use futures_util::future::join;
use storex_sync::{SealedKeyName, SealedKeys, SyncError};
use tokio_postgres::types::ToSql;

use super::log::PostgresLog;
use super::rows::Columns;

const READING: &str = "reading the keys in the shared log";
const WRITING: &str = "writing a key into the shared log";

const NAMES: &str = "SELECT name FROM storex.sealed_key WHERE account = $1 ORDER BY name";

const ONE: &str = "SELECT bytes FROM storex.sealed_key WHERE account = $1 AND name = $2";

/// One that is there stays.
const PUT: &str = "INSERT INTO storex.sealed_key (account, name, bytes)
    SELECT id, $2, $3 FROM storex.account WHERE id = $1
    ON CONFLICT (account, name) DO NOTHING";

#[async_trait]
impl SealedKeys for PostgresLog {
    async fn names(&self) -> Result<Vec<SealedKeyName>, SyncError> {
        let session = self.session(READING).await?;
        let rows = session.ask(NAMES, &[&self.account]).await?;
        let name = |row| Ok(SealedKeyName(Columns { session: &session, row }.octets(0)?));
        rows.iter().map(name).collect()
    }

    async fn get(&self, name: SealedKeyName) -> Result<Option<Vec<u8>>, SyncError> {
        let session = self.session(READING).await?;
        let rows = session.ask(ONE, &[&self.account, &name.0.as_slice()]).await?;
        let bytes = rows.first().map(|row| Columns { session: &session, row }.get(0));
        Ok(bytes.transpose()?)
    }

    async fn put(&self, name: SealedKeyName, bytes: &[u8]) -> Result<(), SyncError> {
        let session = self.session(WRITING).await?;
        let [put, one] = session.prepare([PUT, ONE]).await?;
        let octets = name.0.as_slice();
        let values: [&(dyn ToSql + Sync); 3] = [&self.account, &octets, &bytes];
        // One behind the other: the second sees what another server has put there meanwhile.
        let (put, there) =
            join(session.query(&put, &values), session.query(&one, &values[..2])).await;
        put?;
        let there = there?;
        let row = there.first().ok_or_else(|| session.gone())?;
        match (Columns { session: &session, row }).get::<&[u8]>(0)? == bytes {
            true => Ok(()),
            false => Err(SyncError::KeyExists { name }),
        }
    }
}
