//! [`SyncLog`]: logs every write in the transaction that makes it.
//!
//! ```text
//!   the application's steps                        executed first
//!   ──▶ continuation: what was touched?            exactly the rows, from the outcomes
//!        read head and devices                     two point reads
//!        write clocks                              optimistic for plain creates, else read, fold, write
//!        append one log row, move the head
//! ```
//!
//! One row per transaction holds all its entries, so that logging a batch costs one write, and nothing can tear a
//! transaction apart. The stamp is drawn inside the transaction, from the stored head, so two processes on one database
//! never draw the same one.

mod middleware;

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use storex_core::{Name, Record, Value};

pub(crate) use self::middleware::refusal;
use crate::hooks::SyncHooks;
use crate::lane::Names;
use crate::lanes::Lanes;
use crate::local_fields::LocalFields;
use crate::merging::Merging;
use crate::numbers::AllNumbers;
use crate::rules::{Chosen, RelationRule, UniqueRule};
use crate::strategy::Strategy;

/// The transactions that are still to be sent: number, bytes, how many entries.
pub(crate) const LOG: &str = "_storex_log";
/// One clock per object.
pub(crate) const CLOCK: &str = "_storex_clock";

/// A row of [`LOG`].
pub(crate) fn log_row(sequence: u64, payload: Vec<u8>, entries: usize) -> Record {
    let int = |number: u64| Value::Int(i64::try_from(number).unwrap_or(i64::MAX));
    Record::new(vec![int(sequence), Value::Bytes(payload), int(entries as u64)])
}

/// Logs every write of the application in the same transaction: what was created, exactly the rows that an update or
/// delete touched, the result of every increment, whatever batch or continuation they came from.
///
/// It keeps its data in reserved collections (`_storex_…`) of the same database; the application's own are not altered.
/// Register it behind `AutoPk` and whatever else rewrites operations, so that it sees what is really executed.
///
/// ```
/// use storex_sync::SyncLog;
///
/// let log = SyncLog::new().local_only(["window_position"]);
/// # let _ = log;
/// ```
#[derive(Debug, Default)]
pub struct SyncLog {
    local_only: BTreeSet<Name>,
    local_fields: LocalFields,
    merging: Merging,
    rules: Chosen,
    lanes: Lanes,
    opened: OnceLock<Opened>,
}

/// What is the same for every transaction.
#[derive(Debug, Clone)]
struct Opened {
    /// Each lane's names, and the numbers of its collections; first the one that is always there.
    lanes: Arc<[(Names, Arc<AllNumbers>)]>,
    schema: u64,
    merging: Arc<Merging>,
}

impl SyncLog {
    /// Logs all collections.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Leaves collections out: they are neither logged nor sent, and what others hold under the same name is not taken.
    #[must_use]
    pub fn local_only<N: Into<Name>>(mut self, collections: impl IntoIterator<Item = N>) -> Self {
        self.local_only.extend(collections.into_iter().map(Into::into));
        self
    }

    /// Makes a lane: these collections are logged and kept in step on their own, by a [`Sync`](crate::Sync) of the lane, so that what is
    /// urgent never waits for them; see [`Lane`](crate::Lane). Those that are in no lane so made are in the one without a name.
    ///
    /// A transaction that writes to collections of several lanes is one here; others get the part of each lane whole, but perhaps not
    /// at the same time. No rule holds for a relation from one lane to another: an object may arrive before what it points to, and
    /// stay when that is deleted. All devices make the same lanes, and collections are not moved from one to another later; both
    /// names and collections are checked when the storage is opened.
    #[must_use]
    pub fn lane<N: Into<Name>>(
        mut self,
        lane: impl Into<Name>,
        collections: impl IntoIterator<Item = N>,
    ) -> Self {
        self.lanes.add(lane.into(), collections.into_iter().map(Into::into));
        self
    }

    /// Leaves fields out: they are neither logged nor sent, and what others say of them is not taken. An object that arrives has
    /// their defaults. They may be chosen anew at each start; a field that is no longer local has on each device what it had there,
    /// until it is written again.
    ///
    /// That the fields are there, and that the others can do without them, is checked when the storage is opened: they are not
    /// of the key, a unique index or a relation, and may be null or have a default.
    ///
    /// ```
    /// use storex_sync::SyncLog;
    ///
    /// let log = SyncLog::new().local_fields("note", ["scroll_position", "is_open"]);
    /// # let _ = log;
    /// ```
    #[must_use]
    pub fn local_fields<N: Into<Name>>(
        mut self,
        collection: impl Into<Name>,
        fields: impl IntoIterator<Item = N>,
    ) -> Self {
        self.local_fields.add(collection.into(), fields.into_iter().map(Into::into));
        self
    }

    /// The field that says to which scope an object of a collection belongs. A device may then hold some scopes only:
    /// [`Sync::subscribe`](crate::Sync::subscribe). It is the same on all devices, and one field per collection; objects that hang on
    /// others (the comments of a note) have such a field of their own.
    ///
    /// A write of the field moves the object: the whole object is sent with it, so that a device which holds the new scope only has all
    /// of it. Leave the field out of updates that do not move.
    ///
    /// That the field is there, is not local, has no strategy and is in no group of fields is checked when the storage is opened.
    ///
    /// What it does not do yet, for devices that hold a part:
    /// - An initial sync from a device that is behind may bring an object that was never here in a scope in which it is no more. It stays
    ///   until it is written to.
    /// - What the sender of an initial sync has written and not sent yet may be in no log; this device lets go of it all the same. Sync a
    ///   device with the log before it is such a sender.
    ///
    /// ```
    /// use storex_sync::SyncLog;
    ///
    /// let log = SyncLog::new().scoped("note", "notebook").scoped("comment", "notebook");
    /// # let _ = log;
    /// ```
    #[must_use]
    pub fn scoped(mut self, collection: impl Into<Name>, field: impl Into<Name>) -> Self {
        self.merging.scopes.add(collection.into(), field.into());
        self
    }

    /// How the writes of several devices to a field come together; see [`Strategy`]. That the field is there and can have the
    /// strategy is checked when the storage is opened.
    ///
    /// ```
    /// use storex_sync::{Strategy, SyncLog};
    ///
    /// let log = SyncLog::new()
    ///     .strategy("note", "tags", Strategy::Set)
    ///     .strategy("game", "best_score", Strategy::Max);
    /// # let _ = log;
    /// ```
    #[must_use]
    pub fn strategy(
        mut self,
        collection: impl Into<Name>,
        field: impl Into<Name>,
        strategy: Strategy,
    ) -> Self {
        self.merging.add_strategy(collection.into(), field.into(), strategy);
        self
    }

    /// Fields that change together: a write of one of them counts as a write of all, with the values that they have, so that a merge
    /// never mixes those of two devices. That the fields are there, and have no strategy that merges them one by one, is checked when
    /// the storage is opened.
    ///
    /// ```
    /// use storex_sync::SyncLog;
    ///
    /// let log = SyncLog::new().together("person", ["street", "zip", "city"]);
    /// # let _ = log;
    /// ```
    #[must_use]
    pub fn together<N: Into<Name>>(
        mut self,
        collection: impl Into<Name>,
        fields: impl IntoIterator<Item = N>,
    ) -> Self {
        let fields = fields.into_iter().map(Into::into).collect();
        self.merging.groups.entry(collection.into()).or_default().push(fields);
        self
    }

    /// What the application says to what is sent, received, applied and merged; see [`SyncHooks`].
    #[must_use]
    pub fn hooks(mut self, hooks: impl SyncHooks) -> Self {
        self.merging.hooks = Some(Arc::new(hooks));
        self
    }

    /// Keeps what was there before each write until it is sent, so that a write which the shared log refuses for good
    /// ([`SyncError::Rejected`](crate::SyncError::Rejected)) is taken back here too: the objects are as if it had never been written.
    /// Without this it is kept aside and told, and stays here.
    ///
    /// It costs two reads of the objects with each write, and room for as much as is still to be sent; nothing is
    /// [reduced](crate::Sync::unreduced) then.
    ///
    /// ```
    /// use storex_sync::SyncLog;
    ///
    /// let log = SyncLog::new().reversible();
    /// # let _ = log;
    /// ```
    #[must_use]
    pub fn reversible(mut self) -> Self {
        self.merging.reversible = true;
        self
    }

    /// How many conflicts the [journal](crate::ConflictJournal) holds, the oldest ones making room; 1,000 unless told
    /// otherwise. None at all with 0.
    #[must_use]
    pub fn journal(mut self, conflicts: u64) -> Self {
        self.merging.journal = conflicts;
        self
    }

    /// Chooses what becomes of an object whose unique value another device has given to another object meanwhile. The fields
    /// are those of the unique index. Without this a text is renamed, else what may be null is cleared, else the transaction
    /// is parked.
    ///
    /// Such a change is a write of this device: it is logged and sent like any other, so that all devices come to the same.
    ///
    /// ```
    /// use storex_sync::{RelationRule, SyncLog, UniqueRule};
    ///
    /// let log = SyncLog::new()
    ///     .on_unique("user", ["email"], UniqueRule::Clear)
    ///     .on_unique("subscription", ["reader", "newsletter"], UniqueRule::Delete)
    ///     .on_relation("email", ["user"], RelationRule::DeleteChild)
    ///     .update_wins(["note"]);
    /// # let _ = log;
    /// ```
    #[must_use]
    pub fn on_unique<N: Into<Name>>(
        mut self,
        collection: impl Into<Name>,
        fields: impl IntoIterator<Item = N>,
        rule: UniqueRule,
    ) -> Self {
        let fields = fields.into_iter().map(Into::into).collect();
        self.rules.unique(collection.into(), fields, rule);
        self
    }

    /// Chooses what becomes of an object that points to one which another device has deleted meanwhile. The field is the
    /// relation's alias, or the fields are those of a foreign key to a primary key. Without this it is what the schema says of
    /// deletes ([`OnDelete`](storex_core::OnDelete)), and nothing where it says nothing.
    #[must_use]
    pub fn on_relation<N: Into<Name>>(
        mut self,
        collection: impl Into<Name>,
        fields: impl IntoIterator<Item = N>,
        rule: RelationRule,
    ) -> Self {
        let fields = fields.into_iter().map(Into::into).collect();
        self.rules.relation(collection.into(), fields, rule);
        self
    }

    /// In these collections an update wins over a delete that had not seen it: the object comes back, with everything that it
    /// had. Without this the delete wins. All devices should choose the same.
    #[must_use]
    pub fn update_wins<N: Into<Name>>(mut self, collections: impl IntoIterator<Item = N>) -> Self {
        self.rules.update_wins(collections.into_iter().map(Into::into));
        self
    }
}
