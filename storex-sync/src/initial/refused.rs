//! What of a page is refused is parked, object by object; the rest goes on.

use std::sync::Arc;

use storex_core::{Error, ErrorKind};

use super::arriving::ArrivingPage;
use super::receive::Receiver;
use super::supply::Content;
use super::unclaimed::Unclaimed;
use crate::apply::is_about_data;
use crate::clock::Clock;
use crate::error::{Result, SyncError};
use crate::parked::{Parked, WaitsFor};
use crate::shared_log::SealedTransaction;

/// What became of the objects of a page that were not written.
#[derive(Debug, Default)]
pub(super) struct Committed {
    /// They were newer here.
    pub(super) kept: u64,
    pub(super) parked: u64,
    /// Whether how far it is was noted with them, or nothing is to be noted.
    pub(super) is_noted: bool,
}

impl Receiver<'_> {
    /// Commits a page, but for the objects that break a rule of the schema together with what is here, or that the application
    /// refuses: they are parked. What is in their way may be about to move, so they are judged when everything is here.
    ///
    /// It is noted with the page how far the initial sync is, unless the page is taken apart or consists of several transactions.
    pub(super) async fn commit(
        &self,
        page: ArrivingPage,
        note: Option<Vec<u8>>,
    ) -> Result<Committed> {
        let mut committed = Committed::default();
        let is_noted = note.is_some();
        let is_whole = !self.sync.replica.rules.update_wins(page.collection.name());
        let page = ArrivingPage { note: note.filter(|_| is_whole), ..page };
        let mut is_through = !is_noted;
        let mut pages = vec![Arc::new(page)];
        while let Some(page) = pages.pop() {
            is_through |= page.note.is_some();
            match self.commit_whole(&page).await {
                Ok(kept) => committed.kept += kept,
                Err(SyncError::Storage { source, .. }) if is_about_data(source.kind()) => {
                    is_through = !is_noted;
                    if let Some((first, second)) = page.halves()? {
                        pages.extend([Arc::new(second), Arc::new(first)]);
                    } else {
                        self.park(vec![page.parked(&source)?]).await?;
                        committed.parked += 1;
                    }
                }
                Err(error) => return Err(error),
            }
        }
        committed.is_noted = is_through;
        Ok(committed)
    }

    async fn commit_whole(&self, page: &Arc<ArrivingPage>) -> Result<u64> {
        let replica = &self.sync.replica;
        if replica.rules.update_wins(page.collection.name()) {
            // Whether what ends an object's life had seen all of it is not asked of whole objects otherwise.
            return replica.apply_objects(page.sealed()?).await.map(|()| 0);
        }
        self.merge_page(Arc::clone(page)).await
    }
}

impl ArrivingPage {
    /// The page in two; `None`: it is one object.
    fn halves(&self) -> Result<Option<(Self, Self)>> {
        let mut first = self.objects.take()?;
        let second = first.split_off(first.len() / 2);
        Ok((!first.is_empty()).then(|| (self.with(first), self.with(second))))
    }

    fn parked(&self, why: &Error) -> Result<Parked> {
        let SealedTransaction { device, sequence, payload } = self.sealed()?;
        let waits_for = match why.kind() {
            ErrorKind::Conflict => WaitsFor::InitialSync,
            _ => WaitsFor::Update,
        };
        Ok(Parked { device, sequence, waits_for, reason: why.to_string(), payload })
    }

    /// The objects as a transaction of nobody's.
    fn sealed(&self) -> Result<SealedTransaction> {
        let collection = &self.collection;
        let places: Vec<usize> =
            collection.primary_key().iter().chain(&self.values).copied().collect();
        let mut devices = self.theirs.clone();
        let (mut living, mut deleted) = (Vec::new(), Vec::new());
        for object in self.objects.take()? {
            let clock = object.clock.unwrap_or_else(Clock::unstamped).encode(&mut devices);
            match object.content {
                Content::Living(record) => {
                    living.push((places.iter().map(|at| record.get(*at).clone()).collect(), clock));
                }
                Content::Deleted(_) => deleted.push((object.code.into_vec(), clock)),
            }
        }
        let objects = Unclaimed { living, deleted, devices };
        objects.sealed(collection, &self.numbers, &places)
    }
}
