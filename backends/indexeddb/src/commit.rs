//! Committing a batch so that the other tabs and workers learn of it: on the channel, or by the count.

use storex_core::ChangeSet;

use crate::backend::Running;
use crate::counter;
use crate::error;
use crate::identity::OWN;
use crate::raw::{DomError, Mode, Transaction};

impl Running {
    /// Commits a batch that has changed this, and tells the other tabs and workers.
    pub(crate) async fn commit(
        &self,
        transaction: Transaction,
        set: Option<ChangeSet>,
        counts: bool,
    ) -> Result<(), DomError> {
        let counts = counts && set.is_some();
        if counts {
            counter::raise(&transaction.store(OWN)?).await?;
        }
        let told = set.and_then(|set| Some(self.news.borrow().as_ref()?.begin(set)));
        let committed = transaction.commit().await;
        if committed.is_ok() {
            tracing::trace!(target: "storex::step", step = "indexeddb.after_commit");
            if counts {
                self.counter.counted();
            }
        }
        if let Some(told) = told {
            told.end(committed.is_ok());
        }
        committed
    }

    /// Counts from now on, and one for what was committed before and not counted.
    pub(crate) async fn begin_to_count(&self) -> storex_core::Result<()> {
        self.counter.begin();
        let failed = |source| error::failed("count commits", None, source);
        let transaction = self.begin(&[OWN], Mode::ReadWrite, "count commits").await?;
        counter::raise(&transaction.store(OWN).map_err(failed)?).await.map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
        self.counter.counted();
        Ok(())
    }

    /// What others have counted of their commits.
    pub(crate) async fn counted_by_others(&self) -> storex_core::Result<u64> {
        if let Some(known) = self.counter.known() {
            return Ok(known);
        }
        let failed = |source| error::failed("look at the commits", None, source);
        let transaction = self.begin(&[OWN], Mode::ReadOnly, "look at the commits").await?;
        let count = counter::read(&transaction.store(OWN).map_err(failed)?).await;
        let (others, is_news) = self.counter.looked(count.map_err(failed)?);
        if is_news && !self.counter.counts() {
            self.begin_to_count().await?;
        }
        Ok(others)
    }
}
