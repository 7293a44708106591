//! [`PostgresLog`]: the log of a user.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::join;
use storex_sync::{
    Cursor, Device, LogId, LogRequest, Member, Page, SealedKeys, SealedTransaction, SharedSyncLog,
    Snapshots, SyncError, Trimmed, log_rules,
};

use super::appending::{Append, append};
use super::database::Session;
use super::reading::{ReadStatements, Reading, has_news};
use super::{Shared, members, news};

type Result<T> = std::result::Result<T, SyncError>;

const APPENDING: &str = "appending to the shared log";

/// The log of a user. It names its user in whatever it asks of the database.
#[derive(Debug)]
pub(super) struct PostgresLog {
    pub(super) shared: Arc<Shared>,
    pub(super) account: i64,
}

impl PostgresLog {
    pub(super) async fn session(&self, during: &'static str) -> Result<Session<'_>> {
        Ok(self.shared.database.session(during).await?)
    }

    fn reading(&self, reader: Device, position: u64, limit: usize) -> Reading {
        Reading { account: self.account, reader, position, limit }
    }

    /// Acknowledges and reads, in one round trip.
    async fn acknowledge_and_read(
        &self,
        device: Device,
        acknowledged: Option<u64>,
        read: Option<Reading>,
    ) -> Result<Option<Page>> {
        let session = self.session("reading the shared log").await?;
        // Both are prepared before one of them is asked: see `Session::prepare`.
        session.prepare([members::ADMIT]).await?;
        let statements = ReadStatements::prepare(&session).await?;
        let acknowledge = async {
            match acknowledged {
                Some(at) => members::admit(&session, self.account, device, at).await,
                None => Ok(()),
            }
        };
        let read = async {
            match read {
                Some(reading) => statements.read(&session, reading).await.map(Some),
                None => Ok(None),
            }
        };
        let (acknowledged, page) = join(acknowledge, read).await;
        acknowledged?;
        page
    }
}

#[async_trait]
impl SharedSyncLog for PostgresLog {
    async fn register(&self, device: Device) -> Result<LogId> {
        let session = self.session("registering the device").await?;
        members::register(&session, self.account, device).await
    }

    async fn append(&self, transactions: &[SealedTransaction]) -> Result<()> {
        let Some(device) = log_rules::author(transactions)? else { return Ok(()) };
        let it = Append { account: self.account, device, acknowledged: None, transactions };
        append(&self.session(APPENDING).await?, it, None).await.map(drop)
    }

    async fn read(&self, reader: Device, after: &Cursor, limit: usize) -> Result<Page> {
        let session = self.session("reading the shared log").await?;
        let statements = ReadStatements::prepare(&session).await?;
        statements.read(&session, self.reading(reader, after.position()?, limit)).await
    }

    async fn acknowledge(&self, reader: Device, cursor: &Cursor) -> Result<()> {
        let position = cursor.position()?;
        let session = self.session("acknowledging").await?;
        Ok(members::admit(&session, self.account, reader, position).await?)
    }

    /// One round trip, or two where something is appended.
    async fn exchange(&self, request: &LogRequest, limit: usize) -> Result<Option<Page>> {
        let LogRequest { device, acknowledge, append: transactions, read } = request;
        let acknowledged = acknowledge.as_ref().map(Cursor::position).transpose()?;
        // A place that is none is told after what stands in front of it was done.
        let position = read.as_ref().map(Cursor::position).transpose();
        let reading = |at: u64| self.reading(*device, at, limit);
        let readable = position.as_ref().ok().copied().flatten().map(reading);
        let page = match log_rules::author(transactions) {
            Ok(None) => self.acknowledge_and_read(*device, acknowledged, readable).await?,
            Ok(Some(author)) => {
                let (account, acknowledged) = (self.account, acknowledged.map(|at| (*device, at)));
                let it = Append { account, device: author, acknowledged, transactions };
                append(&self.session(APPENDING).await?, it, readable).await?
            }
            Err(refused) => {
                self.acknowledge_and_read(*device, acknowledged, None).await?;
                return Err(refused);
            }
        };
        position.map(|_| page)
    }

    async fn changed(&self, reader: Device, after: &Cursor) -> Result<()> {
        let reading = self.reading(reader, after.position()?, 0);
        // Before the look, so that nothing falls between the two.
        let mut listener = self.shared.hub.listen(self.account);
        loop {
            {
                let session = self.session("waiting for news").await?;
                if has_news(&session, reading).await? {
                    return Ok(());
                }
            }
            listener.next().await;
        }
    }

    async fn members(&self) -> Result<Vec<Member>> {
        let session = self.session("listing the members").await?;
        members::list(&session, self.account).await
    }

    async fn dismiss(&self, device: Device) -> Result<bool> {
        let session = self.session("dismissing the device").await?;
        Ok(members::dismiss(&session, self.account, device).await?)
    }

    async fn reidentify(&self, known: LogId) -> Result<LogId> {
        let mut other = [0; 16];
        self.shared.database.runtime.fill_random(&mut other);
        let session = self.session("giving the shared log another identity").await?;
        let log = members::reidentify(&session, self.account, known, LogId(other)).await?;
        session.execute(&news::tell(self.account)).await?;
        Ok(log)
    }

    async fn trim(&self) -> Result<Trimmed> {
        let session = self.session("trimming the shared log").await?;
        members::trim(&session, self.account).await
    }

    fn snapshots(&self) -> Option<&dyn Snapshots> {
        Some(self)
    }

    fn keys(&self) -> Option<&dyn SealedKeys> {
        Some(self)
    }
}
