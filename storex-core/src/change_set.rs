//! [`ChangeSet`]: what was changed, told after the commit and only then.

use tokio::sync::broadcast;

use crate::batch::{Origin, Step};
use crate::record::Key;
use crate::run::{BatchOutcome, StepOutcome};
use crate::schema::Registry;
use crate::value::Name;

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

/// Tells the receivers what a committed batch has changed.
pub(crate) fn announce(
    changes: &broadcast::Sender<ChangeSet>,
    registry: &Registry,
    origin: Origin,
    outcome: &BatchOutcome,
) {
    // Gathering keys costs a copy of each; nobody pays it while nobody listens.
    if changes.receiver_count() == 0 {
        return;
    }
    if let Some(set) = ChangeSet::of(registry, origin, outcome) {
        // An error means that the last receiver has just gone.
        let _ = changes.send(set);
    }
}

/// Receives [`ChangeSet`]s; see [`Storage::changes`](crate::Storage::changes).
#[derive(Debug)]
pub struct Changes {
    receiver: broadcast::Receiver<ChangeSet>,
}

/// What [`Changes::next`] gives.
#[derive(Debug, Clone, PartialEq)]
pub enum ChangeEvent {
    /// A batch was committed.
    Changed(ChangeSet),
    /// The receiver was too slow and has missed so many change sets: read again what matters.
    Missed(u64),
}

impl Changes {
    pub(crate) fn new(receiver: broadcast::Receiver<ChangeSet>) -> Self {
        Self { receiver }
    }

    /// The next event; `None` when the storage is gone. Cancel-safe.
    pub async fn next(&mut self) -> Option<ChangeEvent> {
        match self.receiver.recv().await {
            Ok(changes) => Some(ChangeEvent::Changed(changes)),
            Err(broadcast::error::RecvError::Lagged(missed)) => Some(ChangeEvent::Missed(missed)),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }

    /// The next event, if one is there already.
    pub fn try_next(&mut self) -> Option<ChangeEvent> {
        match self.receiver.try_recv() {
            Ok(changes) => Some(ChangeEvent::Changed(changes)),
            Err(broadcast::error::TryRecvError::Lagged(missed)) => {
                Some(ChangeEvent::Missed(missed))
            }
            Err(_) => None,
        }
    }
}
