//! Trying again what is parked.

use std::collections::{BTreeMap, HashMap, HashSet};

use storex_core::{Error, Filter, Key, Name, Query};

use super::held::values_of;
use super::page::How;
use super::resolve::IncomingTransaction;
use super::{Applied, Replica, is_about_data};
use crate::error::{During, Result, SyncError};
use crate::key_code;
use crate::parked::{Parked, WaitsFor};
use crate::shared_log::SealedTransaction;
use crate::stamp::Device;
use crate::transaction::EntryKind;

impl Replica {
    /// Tries parked transactions again; those that can be applied now are no longer parked. One may wait for another, so
    /// it goes on as long as it helps.
    ///
    /// Those that are about the same objects are tried together first: an object that was created with a value that is taken,
    /// and got another one later, can only come as both.
    pub(crate) async fn retry_parked(&self, parked: Vec<Parked>) -> Result<Applied> {
        let mut applied = Applied::default();
        let (rest, parked): (Vec<Parked>, Vec<Parked>) =
            parked.into_iter().partition(|it| it.waits_for == WaitsFor::InitialSync);
        for one in rest {
            self.retry_unjudged(one, &mut applied).await?;
        }
        let waiting = parked.into_iter().map(|parked| self.resolve(parked.sealed()));
        let mut waiting: Vec<IncomingTransaction> =
            waiting.filter(|incoming| incoming.refused.is_none()).collect();
        loop {
            let before = waiting.len();
            let mut still = Vec::new();
            let holders = self.holders(&waiting).await?;
            for group in groups(waiting, &holders) {
                still.extend(self.retry_group(group, &mut applied).await?);
            }
            if still.len() == before {
                applied.add(self.judge_orphans().await?);
                // Also about what the program has not come to before it ended.
                self.decide().await?;
                return Ok(applied);
            }
            waiting = still;
        }
    }

    /// What an initial sync has left behind that did not come to its end: it goes in when the shared log has brought what was in its
    /// way, or it.
    async fn retry_unjudged(&self, parked: Parked, applied: &mut Applied) -> Result<()> {
        let one = self.resolve(parked.sealed());
        match self.apply_page([one].into(), None, How::Arriving).await {
            Ok(done) => applied.add(done),
            Err(SyncError::Storage { source, .. }) if is_about_data(source.kind()) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Applies objects that an initial sync has brought, with a look at who had seen what.
    pub(crate) async fn apply_objects(&self, sealed: SealedTransaction) -> Result<()> {
        let one = self.resolve(sealed);
        let why = one.refused.as_ref().map(|refusal| refusal.reason.clone());
        let applied = self.apply_page([one].into(), None, How::Arriving).await?;
        if applied.transactions > 0 {
            return Ok(());
        }
        let reason = why.unwrap_or_else(|| "it is far ahead of this device's clock".to_owned());
        let source = Error::Aborted { reason };
        Err(SyncError::Storage { during: "applying objects of an initial sync", source })
    }

    /// Tries transactions together, then each alone; gives those that still wait.
    async fn retry_group(
        &self,
        group: Vec<IncomingTransaction>,
        applied: &mut Applied,
    ) -> Result<Vec<IncomingTransaction>> {
        if self.retry_together(group.clone(), applied).await? {
            return Ok(Vec::new());
        }
        if group.len() == 1 {
            return Ok(group);
        }
        let mut still = Vec::new();
        for one in group {
            if !self.retry_together(vec![one.clone()], applied).await? {
                still.push(one);
            }
        }
        Ok(still)
    }

    async fn retry_together(
        &self,
        group: Vec<IncomingTransaction>,
        applied: &mut Applied,
    ) -> Result<bool> {
        match self.apply_page(group.into(), None, How::Again).await {
            Ok(done) => {
                let helped = done.transactions > 0;
                applied.add(done);
                Ok(helped)
            }
            Err(SyncError::Storage { source, .. }) if is_about_data(source.kind()) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Per transaction the objects that hold unique values which it gives to others.
type Holders = HashMap<(Device, u64), Vec<(i64, Vec<u8>)>>;

impl Replica {
    /// Of what is nobody's, which objects hold the unique values that others are to get: what is in the way of one may move with
    /// another, as both were one state.
    async fn holders(&self, waiting: &[IncomingTransaction]) -> Result<Holders> {
        let mut arriving = Vec::new();
        let mut keys: BTreeMap<Name, Vec<Key>> = BTreeMap::new();
        for one in waiting.iter().filter(|one| one.sealed.device == Device::NOBODY) {
            for entry in one.transaction.entries.iter().filter(|it| it.kind == EntryKind::Create) {
                let shape = &one.shapes[entry.shape];
                let name = shape.collection.name();
                if self.rules.unique(name).is_empty() {
                    continue;
                }
                let record = shape.record(entry);
                keys.entry(Name::clone(name)).or_default().push(shape.collection.key_of(&record));
                arriving.push(((one.sealed.device, one.sealed.sequence), name, record));
            }
        }
        let mut held: HashMap<(Name, usize, Key), (i64, Vec<u8>)> = HashMap::new();
        for (name, keys) in keys {
            let known = self.storage.registry().find(&name).zip(self.numbers.get(&name));
            let Some((collection, numbers)) = known else { continue };
            let rows = self.storage.find(Query::new(Name::clone(&name)).filter(Filter::Keys(keys)));
            for row in rows.await.during("looking for what is in the way")? {
                let object = (numbers.collection, key_code::of(&row, collection.primary_key()));
                for (n, index) in self.rules.unique(&name).iter().enumerate() {
                    if let Some(values) = values_of(&row, &index.fields) {
                        held.insert((Name::clone(&name), n, values), object.clone());
                    }
                }
            }
        }
        let mut holders = Holders::new();
        for (transaction, name, record) in arriving {
            for (n, index) in self.rules.unique(name).iter().enumerate() {
                let values = values_of(&record, &index.fields);
                let holder = values.and_then(|it| held.get(&(Name::clone(name), n, it)));
                holders.entry(transaction).or_default().extend(holder.cloned());
            }
        }
        Ok(holders)
    }
}

/// Transactions that are about the same objects, in their order.
fn groups(waiting: Vec<IncomingTransaction>, holders: &Holders) -> Vec<Vec<IncomingTransaction>> {
    let mut group_of: HashMap<(i64, Vec<u8>), usize> = HashMap::new();
    let mut groups: Vec<Vec<IncomingTransaction>> = Vec::new();
    for one in waiting {
        let mut objects = objects_of(&one);
        let name = (one.sealed.device, one.sealed.sequence);
        objects.extend(holders.get(&name).into_iter().flatten().cloned());
        let joined: HashSet<usize> =
            objects.iter().filter_map(|object| group_of.get(object).copied()).collect();
        let at = joined.iter().copied().min().unwrap_or(groups.len());
        if at == groups.len() {
            groups.push(Vec::new());
        }
        for other in joined.into_iter().filter(|other| *other != at) {
            let moved = std::mem::take(&mut groups[other]);
            groups[at].extend(moved);
            group_of.values_mut().filter(|it| **it == other).for_each(|it| *it = at);
        }
        groups[at].push(one);
        group_of.extend(objects.into_iter().map(|object| (object, at)));
    }
    groups.retain(|group| !group.is_empty());
    for group in &mut groups {
        group.sort_by_key(|one| (one.sealed.device, one.sealed.sequence));
    }
    groups
}

pub(super) fn objects_of(one: &IncomingTransaction) -> HashSet<(i64, Vec<u8>)> {
    let entries = one.transaction.entries.iter().filter(|entry| !entry.is_taken_out());
    let objects = entries.map(|entry| {
        let shape = &one.shapes[entry.shape];
        let key = entry.values.iter().take(shape.collection.primary_key().len());
        (shape.numbers.collection, key_code::encode(key.map(|value| value.value())))
    });
    objects.collect()
}
