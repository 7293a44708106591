//! [`InitialSyncEvent`]: what an initial sync tells while it runs.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use storex_core::{MaybeSend, MaybeSync, Name};

/// How far an initial sync has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The collection that is under way.
    pub collection: Name,
    /// Objects that are through, of all collections.
    pub done: u64,
    /// Objects that there were at the beginning, of all collections.
    pub total: u64,
}

/// What a side of an initial sync does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// It sends its contents.
    Sender,
    /// It receives the other's.
    Receiver,
}

impl Role {
    /// What the other side does.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Sender => Self::Receiver,
            Self::Receiver => Self::Sender,
        }
    }
}

/// A collection, or a field of one, that one side has and the other has not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lack {
    /// The collection.
    pub collection: Name,
    /// The field; `None`: the whole collection.
    pub field: Option<Name>,
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.field {
            Some(field) => write!(f, "field `{field}` of collection `{}`", self.collection),
            None => write!(f, "collection `{}`", self.collection),
        }
    }
}

/// What an initial sync tells while it runs ([`InitialSync::on_event`](crate::InitialSync::on_event)).
///
/// ```text
///   Prepared  (SchemasDiffer)  Progress 0 … total  (RoleSwitch  …the same again)  Finished
///   at any time:     Paused  Resumed  Stalled
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum InitialSyncEvent {
    /// The schemas differ; told before the first row, unless it is [refused](crate::Missing::Refuse).
    SchemasDiffer {
        /// What the receiver lacks. On the sender: as far as it is not sent for that reason.
        receiver_lacks: Vec<Lack>,
        /// What the sender lacks; known on the receiver only.
        sender_lacks: Vec<Lack>,
    },
    /// It is known what is to come.
    Prepared {
        /// What this side does.
        role: Role,
        /// Objects that are to come.
        objects: u64,
        /// Collections that they are in.
        collections: u64,
    },
    /// So much is through. It begins with 0, or where one that was cut goes on with what is there already; never goes back, and ends
    /// with all.
    Progress {
        /// What this side does.
        role: Role,
        /// The collection that is under way; `None` at the beginning and at the end.
        collection: Option<Name>,
        /// Objects that are through, of all collections. On the sender those that a hook keeps back count too.
        done: u64,
        /// Objects that there were at the beginning; more when some were created meanwhile.
        total: u64,
    },
    /// One direction is through, and the other begins.
    RoleSwitch {
        /// What this side has done.
        before: Role,
        /// What it does now.
        after: Role,
    },
    /// One of the sides has paused.
    Paused,
    /// Neither side pauses any more.
    Resumed,
    /// The other side has said nothing for a while; see [`InitialSync::stall`](crate::InitialSync::stall).
    Stalled {
        /// For how long.
        waited: Duration,
    },
    /// Everything is through.
    Finished,
}

trait EventFn: MaybeSend + MaybeSync {
    fn call(&self, event: &InitialSyncEvent);
}

impl<F: Fn(&InitialSyncEvent) + MaybeSend + MaybeSync> EventFn for F {
    fn call(&self, event: &InitialSyncEvent) {
        self(event);
    }
}

/// Those who want to be told.
#[derive(Clone, Default)]
pub(super) struct Observers(Vec<Arc<dyn EventFn>>);

impl Observers {
    pub(super) fn add(
        &mut self,
        function: impl Fn(&InitialSyncEvent) + MaybeSend + MaybeSync + 'static,
    ) {
        self.0.push(Arc::new(function));
    }

    pub(super) fn tell(&self, event: &InitialSyncEvent) {
        tracing::debug!(?event, "initial sync");
        self.0.iter().for_each(|observer| observer.call(event));
    }
}

impl fmt::Debug for Observers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} observers", self.0.len())
    }
}

/// Counts what is through, and tells it.
#[derive(Debug)]
pub(super) struct Count<'a> {
    observers: &'a Observers,
    role: Role,
    done: u64,
    total: u64,
    /// Objects that there were at the beginning.
    announced: u64,
    /// Objects that were through already.
    earlier: u64,
    /// Objects that went through since.
    since: u64,
    /// What is sent was through before.
    pub(super) is_catching_up: bool,
}

impl<'a> Count<'a> {
    /// Tells what is to come.
    pub(super) fn begin(
        observers: &'a Observers,
        role: Role,
        counts: impl ExactSizeIterator<Item = u64>,
    ) -> Self {
        let collections = counts.len() as u64;
        let total = counts.fold(0, u64::saturating_add);
        observers.tell(&InitialSyncEvent::Prepared { role, objects: total, collections });
        Self {
            observers,
            role,
            done: 0,
            total,
            announced: total,
            earlier: 0,
            since: 0,
            is_catching_up: false,
        }
    }

    /// So many objects are through already, of an earlier run; 0: it begins anew.
    pub(super) fn start(&mut self, earlier: u64) {
        self.earlier = earlier;
        self.done = earlier.min(self.total);
        self.tell(None);
    }

    /// Whether as many are through as there were. Where some were through earlier, of which some may be gone, the number has to be right.
    pub(super) fn is_whole(&self) -> bool {
        match self.earlier {
            0 => self.since >= self.announced,
            _ => self.through() == self.announced,
        }
    }

    /// How many objects are through, those of earlier runs included.
    pub(super) fn through(&self) -> u64 {
        self.earlier.saturating_add(self.since)
    }

    /// So many objects of a collection are through.
    pub(super) fn add(&mut self, collection: &Name, objects: u64) {
        if self.is_catching_up {
            return;
        }
        self.since = self.since.saturating_add(objects);
        self.done = self.done.saturating_add(objects);
        // Objects that were created meanwhile come on top.
        self.total = self.total.max(self.done);
        self.tell(Some(Name::clone(collection)));
    }

    /// Everything is through; what is missing was deleted meanwhile.
    pub(super) fn end(&mut self) {
        if self.done < self.total {
            self.done = self.total;
            self.tell(None);
        }
    }

    fn tell(&self, collection: Option<Name>) {
        let Self { role, done, total, .. } = *self;
        self.observers.tell(&InitialSyncEvent::Progress { role, collection, done, total });
    }
}
