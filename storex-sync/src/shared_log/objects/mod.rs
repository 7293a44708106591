//! [`ObjectSharedLog`]: a shared log in a folder or an object store.

mod keys;
mod names;
mod reading;
mod segment;
mod snapshots;
mod store;
mod trimming;
mod vector;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use storex_core::Runtime;

use super::{
    Cursor, LogId, Member, Page, SealedKeys, SealedTransaction, SharedSyncLog, Snapshots, Trimmed,
};
use crate::error::{Result, SyncError, describe};
use crate::log_rules;
use crate::stamp::Device;
use names::{Listing, Name};
use segment::write_segment;
use store::{Objects, missing};
use vector::Vector;

/// A shared log in a folder, be it on a shared disk or one that another program keeps in step (Syncthing, Dropbox, iCloud
/// Drive, Nextcloud), or in an object store (S3 and what speaks its protocol, Google Cloud Storage, Azure Blob Storage).
///
/// There is no server, no lock and no conditional write: **each append is an object of its own, written once**, under a
/// name that tells device, numbers and a checksum. The only object that is ever overwritten is the one in which a device
/// keeps what it has acknowledged, and nobody else writes that. So the objects may arrive late, in any order and in parts:
///
/// - A segment that has not arrived whole, or has not arrived while a later one has, is waited for: the reader goes on with
///   the other devices, and is told what it waits for ([`Page::missing`]).
/// - Names that are not the log's own are passed over: conflict copies, temporary files, what a system leaves in folders.
///
/// A cursor counts each device for itself. Each device's transactions come in their own order; between devices there is
/// none. Nothing depends on one: the merge gives the same for every order, and what needs a row that has not arrived is
/// parked until it has.
///
/// # What it costs
///
/// A read without news is one listing of the whole log; an append is a listing of the device's own segments and a write (and another listing the first time);
/// each new segment is a read. A listing grows with the number of appends that are not trimmed, so have some device call
/// [`trim`](SharedSyncLog::trim) now and then. It tells no news ([`changed`](SharedSyncLog::changed) never returns).
///
/// # What it promises
///
/// An append is as durable as the store makes a write before it returns. [`in_folder`](Self::in_folder) flushes file and
/// folder to the disk (on Windows the file only, and its name is durable a little later).
///
/// Two things need an application's care. When devices *make* a log in folders that have not been brought together yet,
/// the one that was made first by their clocks is the log, and whoever joined another sends its
/// whole state again ([`Renewal::Replaced`](crate::engine::Renewal::Replaced)): better let the folder arrive before the second device opens it. And two copies of one database
/// that append at the same moment are told [`SyncError::Forked`] only once one sees the other's segment.
#[derive(Debug)]
pub struct ObjectSharedLog {
    objects: Objects,
    runtime: Arc<dyn Runtime>,
    /// The log that was found last.
    id: Mutex<LogId>,
}

impl ObjectSharedLog {
    /// Opens the log in a store, and makes it when there is none. For a log under a prefix, give a
    /// [`PrefixStore`](object_store::prefix::PrefixStore).
    ///
    /// # Errors
    /// [`SyncError::Transport`].
    pub async fn open(store: Arc<dyn ObjectStore>, runtime: Arc<dyn Runtime>) -> Result<Self> {
        Self::over(Objects::new(store, None), runtime).await
    }

    async fn over(objects: Objects, runtime: Arc<dyn Runtime>) -> Result<Self> {
        let id = match objects.list().await?.id() {
            Some(id) => id,
            None => create(&objects, &*runtime).await?,
        };
        Ok(Self { objects, runtime, id: Mutex::new(id) })
    }

    /// Opens the log in a folder, and makes it when there is none. The folder itself must be there, now and later: one that is missing is
    /// an error, because it may be on a disk or a share that is not mounted. Where that leaves an *empty* folder in its place, use
    /// [`Sync::keep_log`](crate::Sync::keep_log): without it an empty folder is taken for a log that was wiped, and gets everything again.
    ///
    /// Give the log a folder of its own, below the one that is kept in step or the root of a disk: what cannot be listed
    /// there (a name that is not Unicode or has a control character in it, a folder that may not be read) makes every
    /// request fail. Where a program leaves placeholders instead of files (iCloud Drive's "Optimize Storage"), have it keep
    /// the folder downloaded.
    ///
    /// # Errors
    /// [`SyncError::Transport`].
    pub async fn in_folder(path: impl AsRef<Path>, runtime: Arc<dyn Runtime>) -> Result<Self> {
        let path = path.as_ref();
        let failed = |error: &dyn std::error::Error| SyncError::Transport {
            during: "opening the folder of the shared log",
            reason: format!("{}: {}", path.display(), describe(error)),
        };
        if !path.is_dir() {
            return Err(missing(path));
        }
        let folder = LocalFileSystem::new_with_prefix(path).map_err(|error| failed(&error))?;
        let objects = Objects::new(Arc::new(folder.with_fsync(true)), Some(path.to_owned()));
        Self::over(objects, runtime).await
    }

    /// The number of its last transaction, and the payloads that are held from a number on.
    async fn held(&self, listing: &Listing, author: Device, from: u64) -> Result<Held> {
        let mut payloads: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
        let segments = listing.segments.get(&author).into_iter().flatten();
        for segment in segments.filter(|segment| segment.end() > from) {
            // One that cannot be read cannot be compared.
            for it in self.objects.segment(segment).await?.unwrap_or_default() {
                let (device, sequence) = (author, it.sequence);
                let there = payloads.entry(sequence).or_insert_with(|| it.payload.clone());
                if *there != it.payload {
                    return Err(SyncError::Forked { device, sequence });
                }
            }
        }
        Ok(Held { last: listing.end(author) - 1, payloads })
    }

    fn id(&self) -> MutexGuard<'_, LogId> {
        self.id.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the log was wiped or replaced since a device has registered.
    async fn check_identity(&self) -> Result<()> {
        let listing = self.objects.list().await?;
        let known = *self.id();
        match listing.knows(known) {
            true => Ok(()),
            false => Err(SyncError::LogReplaced),
        }
    }
}

struct Held {
    last: u64,
    payloads: BTreeMap<u64, Vec<u8>>,
}

/// Makes the log. If others do so at this moment, the first of them counts.
async fn create(objects: &Objects, runtime: &dyn Runtime) -> Result<LogId> {
    let mut id = [0; 16];
    runtime.fill_random(&mut id);
    let name = Name::Log { created: u64::try_from(runtime.now().0).unwrap_or(0), id: LogId(id) };
    objects.mark(name, "making the shared log").await?;
    Ok(objects.list().await?.id().unwrap_or(LogId(id)))
}

#[async_trait]
impl SharedSyncLog for ObjectSharedLog {
    async fn register(&self, device: Device) -> Result<LogId> {
        let listing = self.objects.list().await?;
        let id = match listing.id() {
            Some(id) => id,
            None => create(&self.objects, &*self.runtime).await?,
        };
        if !listing.members.contains(&device) {
            self.objects.acknowledge(device, &Vector::default()).await?;
        }
        *self.id() = id;
        Ok(id)
    }

    async fn append(&self, transactions: &[SealedTransaction]) -> Result<()> {
        let (Some(device), Some(first)) = (log_rules::author(transactions)?, transactions.first())
        else {
            return Ok(());
        };
        let listing = self.objects.list_segments(device).await?;
        if listing.segments.is_empty() {
            // Nothing else would tell an empty folder (a share that is not mounted, say) from the log.
            self.check_identity().await?;
        }
        // What is there twice is compared, however long ago it was appended: another may take itself for this device.
        let from = listing.twice(device).unwrap_or(u64::MAX).min(first.sequence);
        let Held { last, payloads } = self.held(&listing, device, from).await?;
        let held = |sequence| payloads.get(&sequence).map(Vec::as_slice);
        let fresh = match log_rules::fresh(transactions, last, held) {
            Err(error @ SyncError::Gap { .. }) => {
                self.check_identity().await?;
                return Err(error);
            }
            fresh => fresh?,
        };
        match write_segment(fresh) {
            Some((segment, bytes)) => {
                let name = Name::Segment(segment);
                self.objects.put(name, bytes, "appending to the shared log").await
            }
            None => Ok(()),
        }
    }

    async fn read(&self, reader: Device, after: &Cursor, limit: usize) -> Result<Page> {
        let place = Vector::read(after)?;
        let listing = self.objects.list().await?;
        let log = listing.id().ok_or(SyncError::LogReplaced)?;
        reading::read(&self.objects, &listing, log, reader, place, limit).await
    }

    async fn acknowledge(&self, reader: Device, cursor: &Cursor) -> Result<()> {
        let place = Vector::read(cursor)?;
        let known = self.objects.acknowledged(reader).await?;
        let mut later = known.clone();
        later.merge(&place);
        // The beginning is written too: it makes the reader a member.
        match later == known && known != Vector::default() {
            true => Ok(()),
            false => self.objects.acknowledge(reader, &later).await,
        }
    }

    async fn members(&self) -> Result<Vec<Member>> {
        let listing = self.objects.list().await?;
        let mut members = Vec::new();
        for device in &listing.members {
            let place = self.objects.acknowledged(*device).await?;
            members.push(Member { device: *device, behind: listing.behind(*device, &place) });
        }
        Ok(members)
    }

    async fn dismiss(&self, device: Device) -> Result<bool> {
        let is_member = self.objects.list().await?.members.contains(&device);
        if is_member {
            self.objects.delete(Name::Member(device), "dismissing the device").await?;
        }
        Ok(is_member)
    }

    async fn reidentify(&self, known: LogId) -> Result<LogId> {
        let listing = self.objects.list().await?;
        if listing.id() == Some(known) {
            create(&self.objects, &*self.runtime).await?;
            for name in listing.logs() {
                self.objects.delete(name, "giving the shared log another identity").await?;
            }
        }
        let id = self.objects.list().await?.id().ok_or(SyncError::LogReplaced)?;
        *self.id() = id;
        Ok(id)
    }

    async fn trim(&self) -> Result<Trimmed> {
        trimming::trim(&self.objects, &self.objects.list().await?).await
    }

    fn snapshots(&self) -> Option<&dyn Snapshots> {
        Some(self)
    }

    fn keys(&self) -> Option<&dyn SealedKeys> {
        Some(self)
    }
}
