//! Applying what was seen before, for objects of scopes that were not held then; see [`crate::scope`].

use std::collections::HashSet;
use std::sync::Arc;

use storex_core::{Filter, Query};

use super::page::How;
use super::resolve::{IncomingTransaction, Refusal, ResolvedShape};
use super::retry::objects_of;
use super::scoped::is_seen;
use super::{Replica, is_about_data};
use crate::error::{During, Result, SyncError};
use crate::meta::{DEVICES, Devices, HEAD, Head, meta_query, meta_row};
use crate::parked::{PARKED, WaitsFor, parked_key, parked_name, waiting};
use crate::quarantine::discarded_name;
use crate::scope::SCOPES;
use crate::shared_log::SealedTransaction;
use crate::transaction::Entry;
use crate::writes::WriteId;

const DURING: &str = "applying again what was seen before";

impl IncomingTransaction {
    /// What is about an object that waits, waits too.
    fn wait_with(&mut self, waiting: &HashSet<(i64, Vec<u8>)>) {
        if self.refused.is_none() && !objects_of(self).is_disjoint(waiting) {
            self.refuse("an object that it changes waits for others".to_owned());
        }
    }

    fn refuse(&mut self, reason: String) {
        self.refused = Some(Refusal { reason, waits_for: WaitsFor::Change });
    }
}

impl Replica {
    /// Applies once more what comes from the log and is taken for seen already: an initial sync, or a state, has said so, and of objects
    /// in scopes that were not held at that moment nothing was taken.
    pub(super) async fn apply_claimed(&self, sealed: &[SealedTransaction]) -> Result<()> {
        if self.merging.scopes.is_empty() || sealed.is_empty() {
            return Ok(());
        }
        let meta = self.storage.find(meta_query(&[HEAD, DEVICES, SCOPES])).await.during(DURING)?;
        if meta_row(&meta, SCOPES).is_none() {
            return Ok(()); // no choice was ever made: nothing was left out
        }
        let (head, devices) = (Head::among(&meta)?, Devices::among(&meta)?);
        let me = devices.device(head.me).ok_or(SyncError::NoSyncLog)?;
        let is_claimed =
            |it: &&SealedTransaction| it.device != me && is_seen(it, me, &head, &devices);
        let claimed: Vec<SealedTransaction> = sealed.iter().filter(is_claimed).cloned().collect();
        match claimed.is_empty() {
            true => Ok(()),
            false => self.apply_old(claimed, How::Claimed).await,
        }
    }

    /// Applies what was seen before, as far as it is about collections with scopes.
    pub(crate) async fn refill(&self, sealed: Vec<SealedTransaction>) -> Result<()> {
        self.apply_old(sealed, How::Refill).await
    }

    async fn apply_old(&self, sealed: Vec<SealedTransaction>, how: How) -> Result<()> {
        let sealed = self.without_put_aside(sealed).await?;
        if sealed.is_empty() {
            return Ok(());
        }
        let mut waiting = self.objects_waiting().await?;
        let incoming = sealed.into_iter().filter_map(|sealed| self.scoped_part(sealed));
        let mut incoming: Vec<IncomingTransaction> = incoming.collect();
        incoming.iter_mut().for_each(|one| one.wait_with(&waiting));
        let incoming: Arc<[IncomingTransaction]> = incoming.into();
        match self.apply_page(Arc::clone(&incoming), None, how).await {
            Err(SyncError::Storage { source, .. }) if is_about_data(source.kind()) => {}
            result => return result.map(drop),
        }
        for one in &*incoming {
            let mut one = one.clone();
            one.wait_with(&waiting);
            match self.apply_page([one.clone()].into(), None, how).await {
                Err(SyncError::Storage { source, .. }) if is_about_data(source.kind()) => {
                    // It may be in order with what follows: it is tried again at the end.
                    if one.refused.is_none() {
                        waiting.extend(objects_of(&one));
                    }
                    one.refuse(source.to_string());
                    self.apply_page([one].into(), None, how).await?;
                }
                result => drop(result?),
            }
        }
        Ok(())
    }

    /// Without what is parked, which is tried again by itself, and what the application has discarded.
    async fn without_put_aside(
        &self,
        mut sealed: Vec<SealedTransaction>,
    ) -> Result<Vec<SealedTransaction>> {
        let keys = sealed.iter().map(|it| parked_key(it.device, it.sequence)).collect();
        let parked = Query::new(PARKED).filter(Filter::Keys(keys));
        let parked = parked.select(["device", "incarnation", "sequence"]);
        let parked = self.storage.find(parked).await.during(DURING)?;
        let parked = parked.iter().map(parked_name).collect::<Result<HashSet<_>>>()?;
        let name = |it: &SealedTransaction| {
            discarded_name(WriteId { device: it.device, sequence: it.sequence })
        };
        let names: Vec<String> = sealed.iter().map(name).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let discarded = self.storage.find(meta_query(&names)).await.during(DURING)?;
        sealed.retain(|it| {
            !parked.contains(&(it.device, it.sequence)) && meta_row(&discarded, &name(it)).is_none()
        });
        Ok(sealed)
    }

    /// The objects of what is parked: what they become is judged with all that was written to them.
    async fn objects_waiting(&self) -> Result<HashSet<(i64, Vec<u8>)>> {
        let parked = waiting(&self.storage).await?.into_iter();
        let parked = parked.filter_map(|parked| self.scoped_part(parked.sealed()));
        let parked = parked.filter(|one| one.refused.is_none());
        Ok(parked.flat_map(|one| objects_of(&one)).collect())
    }

    /// A transaction without what is about other collections. `None`: nothing is left of it. What cannot be read is whole, and parked: what
    /// it is about is not known.
    fn scoped_part(&self, sealed: SealedTransaction) -> Option<IncomingTransaction> {
        let mut one = self.resolve(sealed);
        if one.refused.is_some() {
            return Some(one);
        }
        let shapes: &[Arc<ResolvedShape>] = &one.shapes;
        let is_scoped =
            |entry: &Entry| shapes.get(entry.shape).is_some_and(|it| it.numbers.scope.is_some());
        let entries = one.transaction.entries.iter_mut();
        let mut left = 0;
        for entry in entries {
            if is_scoped(entry) && !entry.is_taken_out() {
                left += 1;
            } else {
                *entry = Entry::taken_out();
            }
        }
        one.handed_over.clear();
        (left > 0).then_some(one)
    }
}
