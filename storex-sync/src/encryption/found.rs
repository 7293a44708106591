//! [`Found`]: the sealed keys that were seen in the log.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::data_key::{DataKey, KeyId};
use super::item::{Item, name_of};
use super::ring::{Generation, KeyRing};
use super::rotation::Made;
use crate::device_key::DeviceKey;
use crate::error::Result;
use crate::shared_log::{SealedKeyName, SealedKeys};

/// Items that are looked at, at most: a log cannot make a device hold more.
const MOST_ITEMS: usize = 512;

/// The sealed keys that were seen in the log.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// `None` is one that cannot be read.
    items: BTreeMap<SealedKeyName, Option<Item>>,
    /// What the key of this device opens of them.
    to_device: BTreeMap<SealedKeyName, Option<Arc<DataKey>>>,
}

impl Found {
    pub(super) fn has(&self, name: SealedKeyName) -> bool {
        self.items.contains_key(&name)
    }

    pub(super) fn add(&mut self, name: SealedKeyName, bytes: &[u8]) {
        let item = Item::decode(bytes);
        if let Err(error) = &item {
            tracing::warn!(%name, %error, "a sealed key in the shared log is passed over");
        }
        self.items.insert(name, item.ok());
    }

    fn readable(&self) -> impl Iterator<Item = (SealedKeyName, &Item)> {
        self.items.iter().filter_map(|(name, item)| Some((*name, item.as_ref()?)))
    }

    /// The latest keys first, of those that were made at once the greatest: any two devices go through them in the same order.
    pub(super) fn items(&self) -> Vec<Item> {
        let mut items: Vec<_> = self.readable().map(|(_, item)| item.clone()).collect();
        items.sort_by_key(|item| std::cmp::Reverse((item.number, item.id)));
        items
    }

    /// Those whose keys are in the ring, to be left in a log that lacks them.
    pub(super) fn known(&self, ring: &KeyRing) -> Result<Vec<Named>> {
        let known = self.items().into_iter().filter(|item| ring.get(item.id).is_some());
        let encoded = known.map(|item| item.encode().map(|bytes| (name_of(&bytes), bytes)));
        encoded.collect()
    }

    /// Whether somebody has made a key that is not here. Whoever makes one that is to be followed gives the ring all those before it; so
    /// what is missing may be the latest one, whatever number stands in the others. A first key comes behind nothing.
    pub(super) fn is_left_out(&self, ring: &KeyRing) -> bool {
        self.readable().any(|(_, it)| it.number > 1 && ring.get(it.id).is_none())
    }

    /// Takes the keys that can be opened with what is here, `made` being those that this device has made itself.
    pub(super) fn open(&mut self, ring: &mut KeyRing, device: Option<&DeviceKey>, made: &[Made]) {
        if let Some(device) = device {
            for (name, item) in &self.items {
                let open = || item.as_ref()?.open_with_device(device).map(Arc::new);
                self.to_device.entry(*name).or_insert_with(open);
            }
        }
        loop {
            let before = ring.len();
            for (name, item) in self.readable() {
                self.open_one(ring, name, item, made);
            }
            if before == ring.len() {
                return;
            }
        }
    }

    fn open_one(&self, ring: &mut KeyRing, name: SealedKeyName, item: &Item, made: &[Made]) {
        let own = || made.iter().find(|it| it.id() == item.id).map(Made::key);
        let by_key = || item.open_with_key(|id| ring.get(id)).map(Arc::new);
        if let Some(key) = ring.shared(item.id).or_else(own).or_else(by_key) {
            take(ring, item, key);
        } else if let Some(Some(key)) = self.to_device.get(&name) {
            let former = item.former(key).unwrap_or_default();
            match former.iter().any(|it| ring.get(it.key.id()).is_some()) {
                true => take(ring, item, Arc::clone(key)),
                // Anybody who knows the device's public key can seal something to it.
                false => {
                    tracing::warn!(%name, "a key in the shared log is of nobody who has ours");
                }
            }
        }
    }

    /// Those of the keys in the ring that may have come after the current one and before no other: each is for this device or made here,
    /// and its maker had the current one. What only another key opens is for reading: whoever was left out can seal a key that way.
    pub(super) fn successors(&self, ring: &KeyRing, made: &[Made]) -> Vec<KeyId> {
        let current = ring.current().key.id();
        let past = self.before(ring, current);
        let mut after = BTreeMap::<_, BTreeSet<_>>::new();
        for (name, item) in self.readable().filter(|(_, it)| it.id != current) {
            let is_ours = matches!(self.to_device.get(&name), Some(Some(_)))
                || made.iter().any(|it| it.id() == item.id);
            let before = former(ring, item);
            if is_ours && before.contains(&current) && !past.contains(&item.id) {
                after.entry(item.id).or_default().extend(before);
            }
        }
        let is_last =
            |id: &KeyId| after.iter().all(|(it, before)| it == id || !before.contains(id));
        after.keys().copied().filter(is_last).collect()
    }

    /// The keys that were there when this one was made, or granted to somebody.
    pub(super) fn before(&self, ring: &KeyRing, id: KeyId) -> BTreeSet<KeyId> {
        let of_key = self.readable().filter(|(_, item)| item.id == id);
        of_key.flat_map(|(_, item)| former(ring, item)).collect()
    }
}

/// The names of the keys before that of an item, as far as it can be opened.
fn former(ring: &KeyRing, item: &Item) -> BTreeSet<KeyId> {
    let former = ring.get(item.id).and_then(|key| item.former(key).ok()).unwrap_or_default();
    former.iter().map(|it| it.key.id()).collect()
}

/// Takes a key that was opened, and those before it. One of which these cannot be read is passed over.
pub(super) fn take(ring: &mut KeyRing, item: &Item, key: Arc<DataKey>) {
    match item.former(&key) {
        Ok(former) => {
            former.into_iter().for_each(|it| ring.insert(it));
            ring.insert(Generation { number: item.number, key });
        }
        Err(error) => tracing::warn!(%error, "a key in the shared log is passed over"),
    }
}

/// A sealed key with its name.
pub(super) type Named = (SealedKeyName, Vec<u8>);

/// The names of what is in a log, and the items that were not seen yet.
pub(super) async fn fetch(
    store: &dyn SealedKeys,
    is_new: impl Fn(SealedKeyName) -> bool,
) -> Result<(Vec<SealedKeyName>, Vec<Named>)> {
    let (names, mut items) = (store.names().await?, Vec::new());
    for name in names.iter().copied().take(MOST_ITEMS).filter(|name| is_new(*name)) {
        // What has not arrived whole comes later.
        items.extend(store.get(name).await?.map(|bytes| (name, bytes)));
    }
    Ok((names, items))
}
