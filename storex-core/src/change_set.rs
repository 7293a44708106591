//! [`ChangeSet`]: what was changed, told after the commit and only then.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::{broadcast, watch as news};

use crate::batch::{Origin, Step};
use crate::key_news::KeyWaiters;
use crate::record::Key;
use crate::run::{BatchOutcome, StepOutcome};
use crate::schema::Registry;
use crate::storage::WeakStorage;
use crate::value::Name;
use crate::watch;

/// What one batch has changed. Emitted after its commit; a batch that was rolled back emits nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct ChangeSet {
    /// The application on this device, or sync.
    pub origin: Origin,
    /// The changes, in the order in which they were made.
    pub changes: Vec<ObjectChange>,
}

/// Objects of one collection that one step has changed.
#[derive(Debug, Clone, PartialEq)]
pub struct ObjectChange {
    /// The collection.
    pub collection: Name,
    /// What happened.
    pub kind: ChangeKind,
    /// The objects.
    pub keys: Vec<Key>,
}

/// What happened to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChangeKind {
    /// It was created.
    Created,
    /// Some of its fields were changed.
    Updated,
    /// It was deleted.
    Deleted,
}

impl ChangeSet {
    /// The changes of a batch to the application's collections; `None` where there are none.
    #[must_use]
    pub fn of(registry: &Registry, origin: Origin, outcome: &BatchOutcome) -> Option<Self> {
        let mut changes = Vec::new();
        for executed in outcome.executed() {
            let kind = match (&executed.step, &executed.outcome) {
                (Step::Create(_), StepOutcome::Created { .. }) => ChangeKind::Created,
                (_, StepOutcome::Updated { .. }) => ChangeKind::Updated,
                (_, StepOutcome::Deleted { .. }) => ChangeKind::Deleted,
                _ => continue,
            };
            let collection = executed.step.collection().and_then(|name| registry.find(name));
            let Some(collection) = collection.filter(|collection| !collection.is_reserved()) else {
                continue;
            };
            let keys = executed.keys(collection);
            if !keys.is_empty() {
                changes.push(ObjectChange {
                    collection: Name::clone(collection.name()),
                    kind,
                    keys,
                });
            }
        }
        (!changes.is_empty()).then_some(Self { origin, changes })
    }
}

/// Tells every receiver what happens to a storage.
#[derive(Debug)]
pub(crate) struct Feed {
    sender: Mutex<Option<broadcast::Sender<ChangeEvent>>>,
    waiters: KeyWaiters,
}

/// How many events a slow receiver may fall behind before it is told that it has missed some.
const EVENTS_KEPT: usize = 1024;

impl Feed {
    pub(crate) fn new() -> Self {
        let sender = Mutex::new(Some(broadcast::channel(EVENTS_KEPT).0));
        Self { sender, waiters: KeyWaiters::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Option<broadcast::Sender<ChangeEvent>>> {
        self.sender.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The sender, while somebody listens: gathering keys costs a copy of each, and nobody pays it without need.
    fn listened_to(&self) -> Option<broadcast::Sender<ChangeEvent>> {
        self.lock().clone().filter(|sender| sender.receiver_count() > 0)
    }

    pub(crate) fn has_listeners(&self) -> bool {
        self.listened_to().is_some() || !self.waiters.is_empty()
    }

    /// What a committed batch has changed.
    pub(crate) fn changed(&self, registry: &Registry, origin: Origin, outcome: &BatchOutcome) {
        if self.has_listeners()
            && let Some(set) = ChangeSet::of(registry, origin, outcome)
        {
            self.tell(set);
        }
    }

    fn tell(&self, set: ChangeSet) {
        self.waiters.changed(&set);
        self.send(ChangeEvent::Changed(set));
    }

    /// Somebody else has written.
    pub(crate) fn elsewhere(&self) {
        self.waiters.elsewhere();
        self.send(ChangeEvent::Elsewhere);
    }

    fn send(&self, event: ChangeEvent) {
        if let Some(sender) = self.listened_to() {
            // An error means that the last receiver has just gone.
            let _ = sender.send(event);
        }
    }

    /// From now on nothing is told; receivers end.
    pub(crate) fn close(&self) {
        let mut sender = self.lock();
        sender.take();
        self.waiters.close();
    }

    fn subscribe(&self) -> broadcast::Receiver<ChangeEvent> {
        // Of a closed one the receiver has ended.
        let ended = || broadcast::channel(1).1;
        self.lock().as_ref().map_or_else(ended, broadcast::Sender::subscribe)
    }

    /// Adds somebody who waits for keys, unless it is closed.
    pub(crate) fn wait_for(
        &self,
        collection: &Name,
        beginning: &Key,
    ) -> Option<news::Receiver<()>> {
        // Held meanwhile, so that nobody comes behind the closing.
        let sender = self.lock();
        sender.as_ref().map(|_| self.waiters.subscribe(collection, beginning))
    }

    pub(crate) fn waiters(&self) -> &KeyWaiters {
        &self.waiters
    }
}

/// Where a backend tells what others have committed to its database; see [`Backend::tell_changes`](crate::Backend::tell_changes).
/// It does not hold the storage, and may outlive it.
#[derive(Debug, Clone)]
pub struct ChangeSink(Weak<Feed>);

impl ChangeSink {
    pub(crate) fn new(feed: &Arc<Feed>) -> Self {
        Self(Arc::downgrade(feed))
    }

    /// Whether somebody listens: what nobody hears need not be unpacked. Who begins to listen later reads afterwards, and
    /// needs nothing that was told before.
    #[must_use]
    pub fn is_heard(&self) -> bool {
        self.0.upgrade().is_some_and(|feed| feed.has_listeners())
    }

    /// Somebody else has committed this: the keys as the objects have them in the database.
    pub fn changed(&self, set: ChangeSet) {
        if let Some(feed) = self.0.upgrade() {
            feed.tell(set);
        }
    }

    /// Somebody else has committed something, or perhaps has, and nobody knows what.
    pub fn elsewhere(&self) {
        if let Some(feed) = self.0.upgrade() {
            feed.elsewhere();
        }
    }
}

/// Receives what happens to a storage; see [`Storage::changes`](crate::Storage::changes).
#[derive(Debug)]
pub struct Changes {
    receiver: broadcast::Receiver<ChangeEvent>,
    storage: WeakStorage,
}

/// What [`Changes::next`] gives.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum ChangeEvent {
    /// A batch was committed: by this storage, or by another tab or worker where the backend hears of them.
    Changed(ChangeSet),
    /// Another process, tab or worker has written to the database, or perhaps has, and nobody knows what: read again what
    /// matters.
    Elsewhere,
    /// The receiver was too slow and has missed so many events: read again what matters.
    Missed(u64),
}

impl Changes {
    pub(crate) fn new(feed: &Feed, storage: WeakStorage) -> Self {
        Self { receiver: feed.subscribe(), storage }
    }

    /// The next event; `None` when the storage is closed or gone. Cancel-safe.
    ///
    /// While somebody waits here, the storage looks ten times a second whether another process has written, where the
    /// backend can be asked for that ([`Backend::data_version`](crate::Backend::data_version)).
    pub async fn next(&mut self) -> Option<ChangeEvent> {
        watch::start(&self.storage);
        match self.receiver.recv().await {
            Ok(event) => Some(event),
            Err(broadcast::error::RecvError::Lagged(missed)) => Some(ChangeEvent::Missed(missed)),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }

    /// The next event, if one is there already.
    pub fn try_next(&mut self) -> Option<ChangeEvent> {
        match self.receiver.try_recv() {
            Ok(event) => Some(event),
            Err(broadcast::error::TryRecvError::Lagged(missed)) => {
                Some(ChangeEvent::Missed(missed))
            }
            Err(_) => None,
        }
    }
}
