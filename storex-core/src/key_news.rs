//! [`KeyNews`]: wakes whoever waits for objects whose key begins with a value, and nobody else.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::watch;

use crate::change_set::{ChangeSet, Feed};
use crate::record::Key;
use crate::storage::WeakStorage;
use crate::value::{Name, Value};
use crate::watch as elsewhere;

/// Who waits, by collection and beginning of the keys.
#[derive(Debug, Default)]
pub(crate) struct KeyWaiters(Mutex<HashMap<Name, HashMap<Key, watch::Sender<()>>>>);

impl KeyWaiters {
    fn lock(&self) -> MutexGuard<'_, HashMap<Name, HashMap<Key, watch::Sender<()>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    pub(crate) fn subscribe(&self, collection: &Name, beginning: &Key) -> watch::Receiver<()> {
        let mut waiters = self.lock();
        let of_collection = waiters.entry(Name::clone(collection)).or_default();
        of_collection.entry(beginning.clone()).or_default().subscribe()
    }

    /// Wakes those whom a change set is about.
    pub(crate) fn changed(&self, set: &ChangeSet) {
        let waiters = self.lock();
        for change in &set.changes {
            let Some(of_collection) = waiters.get(&change.collection) else { continue };
            let mut last = None;
            for beginning in change.keys.iter().filter_map(|key| key.values().first()) {
                // A batch has mostly keys of one beginning.
                if last.replace(beginning) != Some(beginning)
                    && let Some(news) = of_collection.get(&Key::single(beginning.clone()))
                {
                    news.send_replace(());
                }
            }
        }
    }

    /// Wakes all: nobody knows what was changed.
    pub(crate) fn elsewhere(&self) {
        for news in self.lock().values().flat_map(HashMap::values) {
            news.send_replace(());
        }
    }

    /// Nothing is told any more; those who wait learn of it.
    pub(crate) fn close(&self) {
        self.lock().clear();
    }

    /// A waiter has gone.
    fn leave(&self, collection: &Name, beginning: &Key) {
        let mut waiters = self.lock();
        let Some(of_collection) = waiters.get_mut(collection) else { return };
        if of_collection.get(beginning).is_some_and(|news| news.receiver_count() == 0) {
            of_collection.remove(beginning);
        }
        if of_collection.is_empty() {
            waiters.remove(collection);
        }
    }
}

/// Tells that objects of a collection have changed whose key begins with a value, and not which; see
/// [`Storage::key_news`](crate::Storage::key_news).
#[derive(Debug)]
pub struct KeyNews {
    collection: Name,
    beginning: Key,
    /// `None`: the storage was closed before.
    news: Option<watch::Receiver<()>>,
    feed: Weak<Feed>,
    storage: WeakStorage,
}

impl KeyNews {
    pub(crate) fn new(
        feed: &Arc<Feed>,
        storage: WeakStorage,
        collection: Name,
        beginning: Value,
    ) -> Self {
        let beginning = Key::single(beginning);
        let news = feed.wait_for(&collection, &beginning);
        Self { collection, beginning, news, feed: Arc::downgrade(feed), storage }
    }

    /// Returns when such objects have changed since it returned last (or since it was made), or perhaps have: another process has
    /// written. `None` when the storage is closed or gone. Cancel-safe.
    ///
    /// While somebody waits here, the storage looks whether another process has written, as in [`Changes::next`](crate::ChangeStream::next).
    pub async fn next(&mut self) -> Option<()> {
        elsewhere::start(&self.storage);
        self.news.as_mut()?.changed().await.ok()
    }
}

impl Drop for KeyNews {
    fn drop(&mut self) {
        // It counts as a receiver until then.
        self.news = None;
        if let Some(feed) = self.feed.upgrade() {
            feed.waiters().leave(&self.collection, &self.beginning);
        }
    }
}
