//! [`Found`]: the sealed keys that were seen in the log.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::data_key::DataKey;
use super::item::{Item, name_of};
use super::ring::{By, Generation, KeyRing};
use crate::device_key::DeviceKey;
use crate::error::Result;
use crate::shared_log::{SealedKeyName, SealedKeys};

/// Items that are looked at, at most: a log cannot make a device hold more.
const MOST_ITEMS: usize = 512;

/// The sealed keys that were seen in the log; `None` is one that cannot be read.
#[derive(Debug, Default)]
pub(super) struct Found(BTreeMap<SealedKeyName, Option<Item>>);

impl Found {
    pub(super) fn has(&self, name: SealedKeyName) -> bool {
        self.0.contains_key(&name)
    }

    pub(super) fn add(&mut self, name: SealedKeyName, bytes: &[u8]) {
        let item = Item::decode(bytes);
        if let Err(error) = &item {
            tracing::warn!(%name, %error, "a sealed key in the shared log is passed over");
        }
        self.0.insert(name, item.ok());
    }

    /// The latest keys first, of those that were made at once the greatest: any two devices go through them in the same order.
    pub(super) fn items(&self) -> Vec<Item> {
        let mut items: Vec<_> = self.0.values().flatten().cloned().collect();
        items.sort_by_key(|item| std::cmp::Reverse((item.number, item.id)));
        items
    }

    /// Those whose keys are in the ring, to be left in a log that lacks them.
    pub(super) fn known(&self, ring: &KeyRing) -> Result<Vec<Named>> {
        let known = self.items().into_iter().filter(|item| ring.get(item.id).is_some());
        let encoded = known.map(|item| item.encode().map(|bytes| (name_of(&bytes), bytes)));
        encoded.collect()
    }

    /// Whether there is a later key than all in the ring, which is not for this device.
    pub(super) fn is_left_out(&self, ring: &KeyRing) -> bool {
        let last = ring.last_number();
        self.0.values().flatten().any(|it| it.number > last && ring.get(it.id).is_none())
    }

    /// Takes the keys that can be opened with what is here.
    pub(super) fn open(&self, ring: &mut KeyRing, device: Option<&DeviceKey>) {
        loop {
            let before = (ring.len(), ring.current().key.id());
            for item in self.items() {
                if let Some((key, by)) = open(&item, ring, device) {
                    take(ring, &item, key, by);
                }
            }
            if before == (ring.len(), ring.current().key.id()) {
                return;
            }
        }
    }
}

fn open(item: &Item, ring: &KeyRing, device: Option<&DeviceKey>) -> Option<(Arc<DataKey>, By)> {
    if item.id == ring.current().key.id() {
        return None;
    }
    // Its maker had it and was interrupted, or somebody has handed it over.
    let known = ring.shared(item.id).map(|key| (key, By::Device));
    let by_key = || item.open_with_key(|id| ring.get(id)).map(|key| (Arc::new(key), By::Key));
    let by_device = || item.open_with_device(device?).map(|key| (Arc::new(key), By::Device));
    known.or_else(by_key).or_else(by_device)
}

/// Takes a key that was opened. One whose maker's keys cannot be read is passed over.
pub(super) fn take(ring: &mut KeyRing, item: &Item, key: Arc<DataKey>, by: By) {
    match item.former(&key) {
        Ok(former) => ring.adopt(Generation { number: item.number, key }, former, by),
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
