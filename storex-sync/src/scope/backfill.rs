//! Bringing the objects of scopes that were added: the shared log is read again from its beginning, or from its snapshot.
//!
//! What counts as seen is applied once more, as far as it is about collections with scopes; it merges by stamp, so it changes nothing
//! where an object is known. What this device itself wrote is read too: it may have let go of it. What is not seen yet is passed over, and
//! comes as ever.
//!
//! It is read twice: not every log gives transactions in an order in which what was created comes before what was changed. After the
//! first time every object is here that may be of a scope that is held, after the second everything that was written to it.
//!
//! How far it has come is noted with each page, so it goes on there after a restart.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use storex_core::{Batch, Changes, Filter, Query, Record, Runtime, Step, Value, field};

use super::Rescoped;
use super::subscribe::Backfill;
use crate::apply::{ORPHANS, Replica};
use crate::error::{During, Result, SyncError};
use crate::exclusive::HOLDER;
use crate::failure::Failure;
use crate::initial::InitialSync;
use crate::lane::Lane;
use crate::meta::{Devices, Head, META, fresh_mark, meta_query, meta_row, read_meta, write_meta};
use crate::outbox::offered;
use crate::pack::{Packer, Unpacker};
use crate::parked::waiting;
use crate::place::{Place, read_place};
use crate::shared_log::{Cursor, LogId};
use crate::snapshot::Playing;
use crate::stamp::Device;
use crate::sync::Sync;

/// The row that is there until everything was brought.
pub(crate) const BACKFILL: &str = "backfill";

const WHAT: &str = "how much of the scopes that were added is here";
const DURING: &str = "bringing the scopes that were added";

/// How often a snapshot is taken in one exchange: a log that drops what follows it is not followed without end.
const SNAPSHOTS: u32 = 3;

/// What is still to be brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pending {
    /// Drawn anew when a scope is added: what was read before does not count then.
    number: u64,
    /// Which log is read, from where on (behind a snapshot that was taken), and up to where it was.
    log: LogId,
    begins: Cursor,
    cursor: Cursor,
    /// Whether it is read the second time.
    again: bool,
    /// Whether the log had a beginning when it was last asked.
    pub(crate) has_beginning: bool,
}

impl Pending {
    pub(crate) fn new(runtime: &dyn Runtime) -> Self {
        let mut number = [0; 8];
        runtime.fill_random(&mut number);
        Self {
            number: u64::from_be_bytes(number),
            log: LogId([0; 16]),
            begins: Cursor::default(),
            cursor: Cursor::default(),
            again: false,
            has_beginning: true,
        }
    }

    /// The same in another log.
    fn anew(&self, log: LogId) -> Self {
        let (begins, cursor) = (Cursor::default(), Cursor::default());
        Self { number: self.number, log, begins, cursor, again: false, has_beginning: true }
    }

    pub(crate) async fn read(storage: &Lane) -> Result<Option<Self>> {
        let rows = storage.find(meta_query(&[BACKFILL])).await.during(DURING)?;
        meta_row(&rows, BACKFILL).map(Self::decode).transpose()
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut packer = Packer::default();
        packer.array(6);
        packer.uint(self.number);
        packer.bin(&self.log.0);
        packer.bin(&self.begins.0);
        packer.bin(&self.cursor.0);
        packer.uint(u64::from(self.again));
        packer.uint(u64::from(self.has_beginning));
        packer.out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        let mut unpacker = Unpacker::new(bytes, WHAT);
        unpacker.tuple(6)?;
        let number = unpacker.uint()?;
        let log = unpacker.bin()?.try_into();
        let log = log.map_err(|_| SyncError::corrupt(WHAT, "the log's id is cut"))?;
        let begins = Cursor(unpacker.bin()?.to_vec());
        let cursor = Cursor(unpacker.bin()?.to_vec());
        let again = unpacker.uint()? > 0;
        let has_beginning = unpacker.uint()? > 0;
        Ok(Self { number, log: LogId(log), begins, cursor, again, has_beginning })
    }

    /// A step that notes how far it has come, unless more scopes were added meanwhile.
    fn to(&self, next: &Self) -> Step {
        let changes = Changes::new().set("value", Value::Bytes(next.encode()));
        Step::Update { collection: META.into(), filter: self.is_here(), changes }
    }

    fn is_here(&self) -> Filter {
        field("name").eq(BACKFILL).and(field("value").eq(Value::Bytes(self.encode())))
    }
}

/// What came of one request.
enum Filled {
    More,
    Complete,
    NoBeginning,
    /// The log cannot give some of it now.
    Missing,
    /// It is another log than the one that this device is in touch with; the next exchange finds out.
    AnotherLog,
}

impl Sync {
    /// Brings what is still to be brought.
    pub(super) async fn fill(&self, replica: &Replica) -> Result<Rescoped> {
        let mut rescoped = Rescoped::default();
        let Some(Place { log, .. }) = read_place(&replica.storage).await? else {
            return Ok(rescoped);
        };
        let mut snapshots = 0;
        while let Some(mut pending) = Pending::read(&replica.storage).await? {
            if pending.log != log {
                let fresh = pending.anew(log);
                replica.write(vec![pending.to(&fresh)], DURING).await?;
                pending = fresh;
            }
            match self.fill_page(replica, pending, &mut snapshots).await? {
                Filled::More => {}
                Filled::Complete => {
                    rescoped.backfill = Some(Backfill::Complete);
                    // What could not be taken on the way can be judged now.
                    let parked = waiting(&replica.storage).await?;
                    rescoped.applied = replica.retry_parked(parked).await?;
                }
                Filled::NoBeginning => {
                    rescoped.backfill = Some(Backfill::NoBeginning);
                    return Ok(rescoped);
                }
                Filled::Missing => {
                    rescoped.backfill = Some(Backfill::Pending);
                    return Ok(rescoped);
                }
                Filled::AnotherLog => return Ok(rescoped),
            }
        }
        Ok(rescoped)
    }

    async fn fill_page(
        &self,
        replica: &Replica,
        pending: Pending,
        snapshots: &mut u32,
    ) -> Result<Filled> {
        // Whoever is nobody reads what this device wrote too.
        let read = self.log.read(Device::NOBODY, &pending.cursor, self.limits.bytes);
        let page = match self.in_time("reading the shared log again", read).await {
            Err(SyncError::BelowFloor { .. }) => {
                *snapshots += 1;
                return self.fill_from_snapshot(replica, pending, *snapshots).await;
            }
            page => page?,
        };
        if page.log != pending.log {
            return Ok(Filled::AnotherLog);
        }
        if page.more && page.transactions.is_empty() && page.cursor == pending.cursor {
            let reason = "it says that more follows, and gives nothing".to_owned();
            return Err(SyncError::Protocol { during: DURING, reason });
        }
        replica.refill(page.transactions).await?;
        if !page.more && !page.missing.is_empty() {
            let next = Pending { cursor: page.cursor, has_beginning: true, ..pending.clone() };
            if next != pending {
                replica.write(vec![pending.to(&next)], DURING).await?;
            }
            return Ok(Filled::Missing);
        }
        if !page.more && pending.again {
            return replica.end_fill(&pending).await;
        }
        let cursor = if page.more { page.cursor } else { pending.begins.clone() };
        let again = pending.again || !page.more;
        let next = Pending { cursor, again, has_beginning: true, ..pending.clone() };
        replica.write(vec![pending.to(&next)], DURING).await?;
        Ok(Filled::More)
    }

    /// Goes on from the shared log's snapshot, if there is one of use.
    async fn fill_from_snapshot(
        &self,
        replica: &Replica,
        pending: Pending,
        tried: u32,
    ) -> Result<Filled> {
        let looking = "looking for a snapshot in the shared log";
        let published = match self.log.snapshots().filter(|_| tried <= SNAPSHOTS) {
            Some(snapshots) => self.in_time(looking, snapshots.published()).await?,
            None => None,
        };
        let Some(snapshot) = published else { return replica.note_lack(pending).await };
        let begins = snapshot.place.clone();
        let mut playing = Playing::new(self.clone(), snapshot, pending.log);
        match (InitialSync::of(replica.clone()).fill(&mut playing).await, playing.lost()) {
            (Ok(()), _) => {
                let cursor = begins.clone();
                let next = Pending { begins, cursor, has_beginning: true, ..pending.clone() };
                replica.write(vec![pending.to(&next)], DURING).await?;
                Ok(Filled::More)
            }
            (Err(_), Some(reason)) => {
                tracing::warn!(reason, "the shared log's snapshot is of no use");
                replica.note_lack(pending).await
            }
            (Err(error), None) => Err(error),
        }
    }
}

/// Whether an initial sync has brought all that was still to be brought: its sender had applied what was applied here, and has what was
/// given to a log here, and no more scopes were added meanwhile.
pub(crate) fn is_filled(
    meta: &[Record],
    at_beginning: Option<&Pending>,
    sender: &Devices,
) -> Result<bool> {
    let Some(now) = meta_row(meta, BACKFILL).map(Pending::decode).transpose()? else {
        return Ok(false);
    };
    if at_beginning.is_none_or(|before| before.number != now.number) {
        return Ok(false);
    }
    let (head, devices) = (Head::among(meta)?, Devices::among(meta)?);
    let me = devices.device(head.me).ok_or(SyncError::NoSyncLog)?;
    let theirs = |device| sender.find(device).map_or(0, |known| known.sequence);
    let given = u64::try_from(offered(meta)).unwrap_or(0);
    let mut others = devices.iter().filter(|known| known.device != me);
    Ok(theirs(me) >= given && others.all(|known| theirs(known.device) >= known.sequence))
}

impl Replica {
    async fn note_lack(&self, pending: Pending) -> Result<Filled> {
        if pending.has_beginning {
            tracing::warn!(
                "the shared log has dropped its beginning, so objects of scopes that were added are missing"
            );
            let next = Pending { has_beginning: false, ..pending.clone() };
            self.write(vec![pending.to(&next)], DURING).await?;
        }
        Ok(Filled::NoBeginning)
    }

    /// Notes that everything was brought, unless more scopes were added meanwhile. What points to deleted objects is to be judged.
    async fn end_fill(&self, pending: &Pending) -> Result<Filled> {
        let mark = fresh_mark(&**self.storage.runtime());
        let (is_here, filled) = (pending.is_here(), Arc::new(AtomicBool::new(false)));
        let (fence, failure) = (self.fence(), Failure::default());
        let (kept, ended) = (failure.clone(), Arc::clone(&filled));
        let batch = Batch::new()
            .step(read_meta(&[HOLDER]))
            .find(Query::new(META).filter(is_here.clone()))
            .then(move |trace| {
                kept.keep(fence.map_or(Ok(()), |fence| fence.check(trace.found(1))))?;
                let is_same = !trace.found(0).is_empty();
                ended.store(is_same, Ordering::Relaxed);
                if !is_same {
                    return Ok(Vec::new());
                }
                let filter = is_here.clone();
                let end = Step::Delete { collection: META.into(), filter };
                Ok(vec![end, write_meta(vec![(ORPHANS, mark.clone())])])
            });
        failure.or(self.storage.apply(batch).await, DURING)?;
        Ok(if filled.load(Ordering::Relaxed) { Filled::Complete } else { Filled::More })
    }
}
