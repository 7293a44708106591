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

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use storex_core::{
    Batch, Context, Definition, Error, FieldType, Key, Middleware, Module, Name, Next, OpenContext,
    Operation, Origin, Outcome, Query, Record, Registry, Value,
};

use crate::clock::Clock;
use crate::error::{Result, SyncError, abort};
use crate::hooks::SyncHooks;
use crate::local_fields::LocalFields;
use crate::log_writer::LogWriter;
use crate::merging::Merging;
use crate::meta::{
    CATALOGUE, Catalogue, DEVICES, Devices, FOLLOWED, Followed, HEAD, Head, LOCAL_FIELDS,
    LOCAL_ONLY, META, Numbers, RULES, decode_names, encode_names, meta_definition, meta_query,
    meta_row, read_meta, write_meta,
};
use crate::rules::{Chosen, RelationRule, UniqueRule};
use crate::scope::ScopeFields;
use crate::stamp::{Device, Hlc};
use crate::strategy::Strategy;

/// The transactions that are still to be sent: number, bytes, how many entries.
pub(crate) const LOG: &str = "_storex_log";
/// One clock per object.
pub(crate) const CLOCK: &str = "_storex_clock";

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
    opened: OnceLock<Opened>,
}

/// What is the same for every transaction.
#[derive(Debug, Clone)]
struct Opened {
    numbers: Arc<AllNumbers>,
    schema: u64,
    merging: Arc<Merging>,
}

/// The numbers of all synced collections, read once when the storage is opened; those kept local are not among them.
#[derive(Debug, Default)]
pub(crate) struct AllNumbers(HashMap<Name, Arc<Numbers>>);

impl AllNumbers {
    pub(crate) fn new(
        registry: &Registry,
        catalogue: &Catalogue,
        local_only: &BTreeSet<Name>,
        local_fields: &LocalFields,
        scopes: &ScopeFields,
    ) -> Result<Self> {
        let synced = registry
            .collections()
            .iter()
            .filter(|it| !it.is_reserved() && !local_only.contains(it.name()));
        let numbers = synced.map(|it| {
            let (local, scope) = (local_fields.of(it), scopes.of(it));
            let numbers = Numbers { local, scope, ..catalogue.numbers(it)? };
            Ok((Name::clone(it.name()), Arc::new(numbers)))
        });
        Ok(Self(numbers.collect::<Result<_>>()?))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Numbers>> {
        self.0.values()
    }

    pub(crate) fn get(&self, collection: &str) -> Option<&Arc<Numbers>> {
        self.0.get(collection)
    }
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

    /// Makes what is missing: an identity for this database, numbers for new collections and fields.
    async fn prepare(&self, cx: &OpenContext<'_>) -> storex_core::Result<()> {
        let mut id = [0; 16];
        cx.runtime.fill_random(&mut id);
        let registry = Arc::clone(cx.registry);
        let local = [
            (LOCAL_ONLY, encode_names(&self.local_only)),
            (LOCAL_FIELDS, self.local_fields.encode()),
        ];
        let rules = self.rules.encode();
        let read =
            read_meta(&[HEAD, DEVICES, CATALOGUE, LOCAL_ONLY, LOCAL_FIELDS, FOLLOWED, RULES]);
        let batch = Batch::new().step(read).then(move |trace| {
            let rows = trace.found(0);
            let mut write = Vec::new();
            if meta_row(rows, HEAD).is_none() {
                let mut devices = Devices::new();
                let me = devices.number(Device { id, incarnation: 0 });
                write.push((DEVICES, devices.encode()));
                write.push((HEAD, Head { me, next: 1, hlc: Hlc::ZERO }.encode()));
            }
            let mut catalogue = match meta_row(rows, CATALOGUE) {
                Some(bytes) => Catalogue::decode(bytes).map_err(|error| abort(&error))?,
                None => Catalogue::default(),
            };
            let known = match meta_row(rows, FOLLOWED) {
                Some(bytes) => Followed::decode(bytes).map_err(|error| abort(&error))?,
                None => Followed::default(),
            };
            let followed = catalogue.follow(&registry, &known);
            let extended = catalogue.extend(&registry);
            let now = catalogue.followed(&registry, &known);
            if now != known {
                write.push((FOLLOWED, now.encode()));
            }
            if followed || extended || meta_row(rows, CATALOGUE).is_none() {
                write.push((CATALOGUE, catalogue.encode()));
            }
            let changed =
                local.iter().filter(|(name, it)| meta_row(rows, name).unwrap_or_default() != *it);
            write.extend(changed.cloned());
            if meta_row(rows, RULES).unwrap_or_default() != rules {
                write.push((RULES, rules.clone()));
            }
            Ok(if write.is_empty() { Vec::new() } else { vec![write_meta(write)] })
        });
        cx.backend.execute(batch).await?;
        Ok(())
    }
}

/// Reads the numbers of all synced collections.
pub(crate) async fn read_numbers(
    backend_find: impl Future<Output = storex_core::Result<Vec<Record>>>,
    registry: &Registry,
    scopes: &ScopeFields,
) -> Result<AllNumbers> {
    let rows = backend_find
        .await
        .map_err(|source| SyncError::Storage { during: "reading the catalogue", source })?;
    let bytes = meta_row(&rows, CATALOGUE).ok_or(SyncError::NoSyncLog)?;
    let local_only = decode_names(meta_row(&rows, LOCAL_ONLY).unwrap_or_default())?;
    let local_fields = LocalFields::decode(meta_row(&rows, LOCAL_FIELDS).unwrap_or_default())?;
    AllNumbers::new(registry, &Catalogue::decode(bytes)?, &local_only, &local_fields, scopes)
}

pub(crate) fn catalogue_query() -> Query {
    meta_query(&[CATALOGUE, LOCAL_ONLY, LOCAL_FIELDS])
}

#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
impl Middleware for SyncLog {
    fn module(&self) -> Module {
        Module::new("storex-sync")
            .collections([
                meta_definition(),
                Definition::new(LOG)
                    .reserved()
                    .field("sequence", FieldType::Int)
                    .field("transaction", FieldType::Binary)
                    .field("entries", FieldType::Int)
                    .primary_key(["sequence"]),
                Definition::new(CLOCK)
                    .reserved()
                    .field("collection", FieldType::Int)
                    .field("key", FieldType::Binary)
                    .field("clock", FieldType::Binary)
                    .primary_key(["collection", "key"]),
                crate::parked::parked_definition(),
                crate::journal::conflicts_definition(),
            ])
            .extension(Arc::new(self.merging.clone()))
    }

    async fn open(&self, cx: &OpenContext<'_>) -> storex_core::Result<()> {
        for name in &self.local_only {
            cx.registry.collection(name)?;
        }
        self.merging.check(cx.registry, &self.local_only)?;
        self.local_fields.check(cx.registry, &self.local_only, &self.merging)?;
        self.merging.scopes.check(
            cx.registry,
            &self.local_only,
            &self.local_fields,
            &self.merging,
        )?;
        self.rules.check(cx.registry)?;
        self.prepare(cx).await?;
        let rows = cx.backend.find(catalogue_query());
        let numbers = read_numbers(rows, cx.registry, &self.merging.scopes).await.map_err(
            // Its class must not be lost: a lock, say, may be free later.
            refusal,
        )?;
        let opened = Opened {
            numbers: Arc::new(numbers),
            schema: cx.registry.fingerprint(),
            merging: Arc::new(self.merging.clone()),
        };
        // A builder opens its middleware once.
        let _ = self.opened.set(opened);
        Ok(())
    }

    async fn process(
        &self,
        cx: &mut Context,
        operation: Operation,
        next: Next<'_>,
    ) -> storex_core::Result<Outcome> {
        let Operation::Execute(mut batch) = operation else { return next.run(cx, operation).await };
        if batch.origin != Origin::Local {
            return next.run(cx, Operation::Execute(batch)).await;
        }
        let Opened { numbers, schema, merging } =
            self.opened.get().cloned().ok_or(Error::Closed)?;
        merging.adapt(&mut batch);
        let own_steps = batch.steps.len();
        let writer = Arc::new(LogWriter {
            registry: Arc::clone(cx.registry()),
            runtime: Arc::clone(cx.runtime()),
            numbers,
            schema,
            merging,
        });
        batch =
            batch.touching([META, CLOCK, LOG]).then(move |trace| Arc::clone(&writer).begin(trace));
        let outcome = next.run(cx, Operation::Execute(batch)).await?;
        Ok(match outcome {
            Outcome::Executed(mut executed) => {
                executed.hide_from(own_steps);
                Outcome::Executed(executed)
            }
            other => other,
        })
    }
}

/// What the storage is told: its own error, with its class, or why the log gives up.
pub(crate) fn refusal(error: SyncError) -> Error {
    match error {
        SyncError::Storage { source, .. } => source,
        other => abort(&other),
    }
}

pub(crate) fn clock_key(collection: i64, code: Vec<u8>) -> Key {
    Key::compound([Value::Int(collection), Value::Bytes(code)])
}

pub(crate) fn clock_record(collection: i64, code: Vec<u8>, clock: Vec<u8>) -> Record {
    Record::new(vec![Value::Int(collection), Value::Bytes(code), Value::Bytes(clock)])
}

/// Ascending keys touch each page of the database once.
pub(crate) fn sort_clock_records(records: &mut [Record]) {
    records.sort_by(|a, b| storex_core::compare_all(&a.values()[..2], &b.values()[..2]));
}

/// The clocks in rows of `_storex_clock`, by object.
pub(crate) fn read_clock_rows(
    rows: &[Record],
    devices: &Devices,
) -> Result<HashMap<(i64, Vec<u8>), Clock>> {
    let mut clocks = HashMap::with_capacity(rows.len());
    for row in rows {
        let (Value::Int(collection), Value::Bytes(code), Value::Bytes(clock)) =
            (row.get(0), row.get(1), row.get(2))
        else {
            return Err(SyncError::corrupt("a clock row", "its values have the wrong types"));
        };
        clocks.insert((*collection, code.clone()), Clock::decode(clock, devices)?);
    }
    Ok(clocks)
}
