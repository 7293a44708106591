//! [`Sync::sign_out`]: gives a database up as this device's copy of what is in the shared log.
//!
//! ```text
//! sign_out               sends ─▶ anything left? ─▶ Unsent, and nothing was changed
//! sign_out_discarding                     └──────▶ one transaction: synced collections, log, clocks, place, identity
//! ```
//!
//! What the program has chosen (which collections are local, rules, lanes, the numbers of fields) stays, because a storage that
//! is open works with it; so does the fencing token, because other programs may look at it. What is kept of blobs
//! (`_storex_blob`, `_storex_blob_chunk`, `_storex_blob_loose`) is no part of sync, and stays: [`Blobs::forget_all`](crate::Blobs::forget_all).

use std::sync::Arc;

use storex_core::{
    Batch, Filter, MaybeSend, MaybeSync, Name, Query, Step, StepOutcome, Trace, field,
};

use crate::apply::Replica;
use crate::before::BEFORE;
use crate::clock_rows::{clock_key, clocks_at, read_clock_rows};
use crate::engine::Purpose;
use crate::error::{During, Result, SyncError};
use crate::exclusive::{Fence, HOLDER};
use crate::failure::Failure;
use crate::journal::CONFLICTS;
use crate::key_code;
use crate::log::{CLOCK, LOG};
use crate::meta::{
    CATALOGUE, FOLLOWED, LANES, LOCAL_FIELDS, LOCAL_ONLY, META, RULES, meta_row, newcomer,
    read_meta, write_meta,
};
use crate::parked::PARKED;
use crate::rejected::REJECTED;
use crate::state::PROGRESS;
use crate::sync::Sync;

const DURING: &str = "signing out";

/// The rows of `_storex_meta` that are not about this device or its place in a shared log.
const STAY: [&str; 7] = [CATALOGUE, FOLLOWED, LOCAL_ONLY, LOCAL_FIELDS, RULES, LANES, HOLDER];

/// How many objects are looked at at once.
const OBJECTS: u64 = 500;

impl Sync {
    /// Signs out: sends what is still to be sent, and then removes from this database all that is in the synced collections, and
    /// all that sync knows. Collections that are [local](crate::SyncLog::local_only) stay as they are. Afterwards the database can
    /// join any shared log, as a new device. The shared log is told that this one is no member any more, if it can be reached.
    ///
    /// [Blobs](crate::Blobs) stay too, as they have a store of their own: those that were not sent would go to that of the next
    /// account. [`Blobs::forget_all`](crate::Blobs::forget_all) gives them up.
    ///
    /// Stop each [`ContinuousSync`](crate::ContinuousSync) of this database first, in every program: one that runs would fetch
    /// everything again. Where there are [lanes](crate::Lane) each has to be signed out.
    ///
    /// What is removed is removed in one transaction. Cancel-safe: it has happened, or it has not.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use serde_json::json;
    /// # use storex_core::{Definition, FieldType, Registry, Storage};
    /// # use storex_memory::{MemoryBackend, TestRuntime};
    /// # use storex_sync::{LogId, MemorySharedLog, SyncLog};
    /// use storex_sync::{Sync, SyncError};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let note = Definition::new("note").field("title", FieldType::String);
    /// # let registry = Registry::builder().collection(note).build()?;
    /// # let storage = Storage::builder(MemoryBackend::new(), registry, Arc::new(TestRuntime::new(1)))
    /// #     .middleware(SyncLog::new()).open().await?;
    /// # let log = Arc::new(MemorySharedLog::new(LogId([7; 16])));
    /// storage.dynamic("note")?.create(json!({"id": "1", "title": "Hello"})).await?;
    /// let sync = Sync::open(&storage, log).await?;
    /// match sync.sign_out().await {
    ///     Ok(()) => {}
    ///     // Ask the user whether to lose it, and if so:
    ///     Err(SyncError::Unsent { .. }) => sync.sign_out_discarding().await?,
    ///     Err(error) => return Err(error.into()),
    /// }
    /// assert_eq!(storage.dynamic("note")?.count(&json!({})).await?, 0);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`SyncError::Unsent`] when something could not be sent: nothing was changed. [`SyncError::HeldElsewhere`] when another program
    /// syncs this database; [`SyncError::Storage`].
    pub async fn sign_out(&self) -> Result<()> {
        let mut turn = self.turn().await?;
        if let Err(error) = self.make_round(&turn, Purpose::Send).await {
            tracing::debug!(%error, "what is to be sent before signing out could not be sent");
        }
        let replica = self.replica.guarded(turn.guard());
        let unlogged = replica.unlogged().await?;
        let device = self.device().await?;
        let unsent = Unsent::Refused { unlogged };
        replica.checked(unsent, Vec::new, []).await?;
        // While the database still knows who asks. If nothing comes of it, its next acknowledgement makes it a member again.
        if let Err(error) = self.in_time("leaving the shared log", self.log.dismiss(device)).await {
            tracing::debug!(%error, "the shared log does not know that this device leaves it");
        }
        replica.clear(unsent).await?;
        turn.failed();
        Ok(())
    }

    /// Signs out as [`sign_out`](Self::sign_out) does, and loses what was not sent. Makes no request.
    ///
    /// # Errors
    /// [`SyncError::HeldElsewhere`] when another program syncs this database; [`SyncError::Storage`].
    pub async fn sign_out_discarding(&self) -> Result<()> {
        let mut turn = self.turn().await?;
        self.replica.guarded(turn.guard()).clear(Unsent::Discarded).await?;
        turn.failed();
        Ok(())
    }

    /// How many objects of the synced collections no log has ever heard of: they are older than sync, or were created while the
    /// storage was open without a [`SyncLog`](crate::SyncLog). [`send_state`](Self::send_state) sends them. Looks at every object.
    ///
    /// # Errors
    /// [`SyncError::Storage`].
    pub async fn unlogged(&self) -> Result<u64> {
        self.replica.unlogged().await
    }
}

/// What becomes of what was not sent.
#[derive(Debug, Clone, Copy)]
enum Unsent {
    Refused { unlogged: u64 },
    Discarded,
}

impl Replica {
    /// Objects without a clock that says that they live.
    async fn unlogged(&self) -> Result<u64> {
        let mut count = 0;
        let (_, devices) = self.head().await?;
        for collection in self.storage.registry().collections() {
            let Some(numbers) = self.numbers.get(collection.name()) else { continue };
            let number = numbers.collection;
            let key = collection.primary_key();
            let mut after = None;
            loop {
                let query = Query::new(Arc::clone(collection.name())).limit(OBJECTS);
                let rows = self.storage.find(Query { after, ..query }).await.during(DURING)?;
                let keys =
                    rows.iter().map(|row| clock_key(number, key_code::of(row, key))).collect();
                let clocks = clocks_at(keys);
                let clocks = self.storage.find(clocks).await.during(DURING)?;
                let clocks = read_clock_rows(&clocks, &devices)?;
                // What has a tombstone was created again without a log.
                let living = clocks.values().filter(|clock| clock.is_alive()).count();
                count += rows.len().saturating_sub(living) as u64;
                let Some(last) = rows.last().filter(|_| rows.len() as u64 == OBJECTS) else {
                    break;
                };
                let values = collection.key_of(last).values().to_vec();
                after = Some(storex_core::Position { values });
            }
        }
        Ok(count)
    }

    /// Removes everything that is this device's, in one transaction.
    async fn clear(&self, unsent: Unsent) -> Result<()> {
        let mut id = [0; 16];
        self.storage.runtime().fill_random(&mut id);
        let all = self.storage.registry().collections().iter();
        let synced = all.filter(|it| self.numbers.get(it.name()).is_some());
        let synced: Vec<Name> = synced.map(|it| Arc::clone(it.name())).collect();
        let own = [META, LOG, CLOCK, BEFORE, PARKED, REJECTED, CONFLICTS].map(Name::from);
        let touched: Vec<Name> = synced.iter().cloned().chain(own).collect();
        self.checked(unsent, move || removing(&synced, id), touched).await?;
        tracing::trace!(target: "storex::step", step = "sign_out.after_clear");
        Ok(())
    }

    /// Does this if this program may, and nothing would be lost.
    async fn checked(
        &self,
        unsent: Unsent,
        steps: impl Fn() -> Vec<Step> + MaybeSend + MaybeSync + 'static,
        touched: impl IntoIterator<Item = Name>,
    ) -> Result<()> {
        let (failure, fence) = (Failure::default(), self.fence());
        let batch = {
            let failure = failure.clone();
            Batch::new()
                .step(read_meta(&[PROGRESS, HOLDER]))
                .step(Step::Count(Query::new(LOG)))
                .step(Step::Count(Query::new(REJECTED)))
                .touching(touched)
                .then(move |trace| {
                    failure.keep(check(trace, fence, unsent))?;
                    Ok(steps())
                })
        };
        failure.or(self.storage.apply(batch).await, DURING)?;
        Ok(())
    }
}

/// Whether this program may do it, and nothing would be lost.
fn check(trace: &Trace, fence: Option<Fence>, unsent: Unsent) -> Result<()> {
    let meta = trace.found(2);
    if let Some(fence) = fence {
        fence.check(meta)?;
    }
    let Unsent::Refused { unlogged } = unsent else { return Ok(()) };
    // What the log has refused is nowhere else either.
    let counted = trace.executed().iter().filter_map(|it| match it.outcome {
        StepOutcome::Counted(count) => Some(count),
        _ => None,
    });
    let logged: u64 = counted.sum();
    // A state that was begun and is not through has at least one page to come.
    let pages = u64::from(meta_row(meta, PROGRESS).is_some());
    let transactions = logged + pages;
    match transactions + unlogged {
        0 => Ok(()),
        _ => Err(SyncError::Unsent { transactions, unlogged }),
    }
}

/// The steps that leave a database that was never in touch with anybody.
fn removing(synced: &[Name], id: [u8; 16]) -> Vec<Step> {
    let everything = |collection: Name| Step::Delete { collection, filter: Filter::All };
    let own = [LOG, CLOCK, BEFORE, PARKED, REJECTED, CONFLICTS].map(Name::from);
    let mut steps: Vec<Step> = synced.iter().cloned().chain(own).map(everything).collect();
    let filter = Filter::Not(Box::new(field("name").is_in(STAY)));
    steps.push(Step::Delete { collection: META.into(), filter });
    steps.push(write_meta(newcomer(id).into()));
    steps
}
