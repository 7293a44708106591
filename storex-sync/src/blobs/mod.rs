//! [`Blobs`]: what is too large for a row, beside the rows.
//!
//! ```text
//!   put ──▶ chunks in the database ──▶ BlobStore ──▶ chunks in the database ──▶ get
//!    └────▶ BlobRef ──▶ a field of a row ──▶ shared log ──▶ the row ───────────┘
//! ```
//!
//! A row holds the name of a blob, which is made from its contents, and is synced as any other. The contents go their own way, by
//! another store, in chunks, when there is time for it or when somebody reads them.

mod builder;
mod counting;
mod evicting;
mod flights;
mod forgetting;
mod local;
mod memory;
#[cfg(all(feature = "object-store", not(target_family = "wasm")))]
mod objects;
mod pass;
mod reader;
pub(crate) mod reference;
mod rows;
mod status;
mod store;
mod transfer;
mod writer;

pub use builder::BlobsBuilder;
pub use memory::MemoryBlobStore;
#[cfg(all(feature = "object-store", not(target_family = "wasm")))]
pub use objects::ObjectBlobStore;
pub use reader::BlobReader;
pub use reference::{BLOB_CHUNK_LIMIT, BlobRef};
pub use status::{BlobReport, BlobStatus, BlobsWaiting, DeadBlob};
pub use store::BlobStore;
pub use writer::BlobWriter;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use storex_core::{Batch, Module, Storage};
use tokio::sync::{Notify, Semaphore, watch};

use crate::error::{During, Result};
use builder::Settings;
use flights::Flights;
use local::Local;
use rows::{BlobRow, Contents, Loose, State, definitions, revive_all};

/// The blobs of a storage: contents that are too large for a row, and are named in one.
///
/// They are kept in collections of their own in the same database, in chunks of 1 MiB, so that a blob of any size takes one or two
/// chunks of memory while it is written, read or transferred. They are no part of sync: a row that names one is sent and
/// applied at once, and its blob comes later, or never.
///
/// Cheap to clone; all clones are the same. Two values that were opened on one storage know nothing of each other's transfers:
/// no harm is done, but a blob may be received twice.
///
/// ```
/// # use std::sync::Arc;
/// # use serde_json::json;
/// # use storex_core::{Definition, FieldType, Registry, Storage};
/// # use storex_memory::{MemoryBackend, TestRuntime};
/// # use storex_sync::SyncLog;
/// use storex_sync::{BlobRef, Blobs, MemoryBlobStore};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let photo = Definition::new("photo").field("id", FieldType::String).field("image", FieldType::String).primary_key(["id"]);
/// # let registry = Registry::builder().collection(photo).build()?;
/// let storage = Storage::builder(MemoryBackend::new(), registry, Arc::new(TestRuntime::new(1)))
///     .module(Blobs::module())
///     .middleware(SyncLog::new())
///     .open()
///     .await?;
/// let store = Arc::new(MemoryBlobStore::new()); // the same for all devices
/// let blobs = Blobs::open(&storage, store).await?;
///
/// let image = blobs.put(b"a picture").await?;
/// storage.dynamic("photo")?.create(json!({"id": "1", "image": image})).await?;
/// blobs.sync_once().await?; // or `blobs.run()`, which goes on
///
/// // On any device that has the row:
/// let photo = storage.dynamic("photo")?.get("1").await?.ok_or("no photo")?;
/// let image: BlobRef = serde_json::from_value(photo["image"].clone())?;
/// assert_eq!(blobs.get(&image).await?.read_to_end().await?, b"a picture");
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Blobs {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    local: Local,
    store: Arc<dyn BlobStore>,
    settings: Settings,
    /// One for each transfer that may be under way.
    permits: Semaphore,
    flights: Flights,
    /// How far the transfers have come that are under way: whether it is being sent, and bytes.
    progress: Mutex<HashMap<BlobRef, (bool, u64)>>,
    /// How many chunks of a blob have come through at most, for as long as it is not transferred.
    furthest: Mutex<HashMap<BlobRef, u64>>,
    status: watch::Sender<BlobStatus>,
    /// Counting takes turns, so that no older count replaces a later one.
    counting: tokio::sync::Mutex<()>,
    /// Something may be due.
    nudge: Notify,
}

impl Blobs {
    /// The collections for blobs; for [`StorageBuilder::module`](storex_core::StorageBuilder::module).
    #[must_use]
    pub fn module() -> Module {
        Module::new("storex-blobs").collections(definitions())
    }

    /// Opens the blobs of a storage, with everything as it is without a choice.
    ///
    /// # Errors
    /// As of [`BlobsBuilder::open`].
    pub async fn open(storage: &Storage, store: Arc<dyn BlobStore>) -> Result<Self> {
        Self::builder(storage, store).open().await
    }

    /// Begins with choices of your own.
    #[must_use]
    pub fn builder(storage: &Storage, store: Arc<dyn BlobStore>) -> BlobsBuilder {
        BlobsBuilder::new(storage.clone(), store)
    }

    /// Makes a blob of these contents: it is here, durably, and waits to be sent. Contents that are here already are kept once.
    ///
    /// Dropping the future leaves all or nothing.
    ///
    /// # Errors
    /// As of [`BlobWriter::write`].
    pub async fn put(&self, contents: &[u8]) -> Result<BlobRef> {
        let mut writer = self.writer().await?;
        writer.write(contents).await?;
        writer.finish().await
    }

    /// Begins a blob whose contents come in parts: from a file, a camera, a download.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use storex_core::{Registry, Storage};
    /// # use storex_memory::{MemoryBackend, TestRuntime};
    /// # use storex_sync::{Blobs, MemoryBlobStore};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let storage = Storage::builder(MemoryBackend::new(), Registry::builder().build()?, Arc::new(TestRuntime::new(1)))
    /// #     .module(Blobs::module()).open().await?;
    /// # let blobs = Blobs::open(&storage, Arc::new(MemoryBlobStore::new())).await?;
    /// # let mut film = std::io::Cursor::new(b"a film");
    /// use std::io::Read;
    ///
    /// let mut writer = blobs.writer().await?;
    /// let mut part = vec![0; 64 << 10];
    /// loop {
    ///     let read = film.read(&mut part)?;
    ///     if read == 0 {
    ///         break;
    ///     }
    ///     writer.write(&part[..read]).await?;
    /// }
    /// let film = writer.finish().await?;
    /// assert_eq!(film.length(), 6);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`SyncError::Storage`](crate::SyncError::Storage).
    pub async fn writer(&self) -> Result<BlobWriter> {
        let local = &self.inner.local;
        let loose = Loose { contents: local.new_contents(), chunks: 0, touched: local.now() };
        let begun = Batch::new().step(loose.write());
        local.storage.apply(begun).await.during("beginning a blob")?;
        Ok(BlobWriter::new(self.clone(), loose))
    }

    /// Gives the contents of a blob, which is received first if it is not here. However many ask for it at once, it is received once;
    /// those who no longer want it leave the others theirs.
    ///
    /// Nobody gets anything of a blob before all of it is here and is what its name says. What was received stays when it is interrupted,
    /// and the blob stays wanted.
    ///
    /// # Errors
    /// [`SyncError::Storage`](crate::SyncError::Storage); as [`SyncError::Joined`](crate::SyncError::Joined) why it could not be received, as
    /// [`SyncError::BlobMissing`](crate::SyncError::BlobMissing) when the store does not have it (yet). It is tried again by itself
    /// then, unless it is [`dead`](Self::dead).
    pub async fn get(&self, blob: &BlobRef) -> Result<BlobReader> {
        let contents = self.fetch(blob).await?;
        Ok(BlobReader::new(self.clone(), *blob, contents))
    }

    async fn fetch(&self, blob: &BlobRef) -> Result<Contents> {
        let inner = &self.inner;
        loop {
            match inner.local.row(blob).await? {
                Some(row) if row.whole => return Ok(row.contents),
                Some(_) => {}
                None => self.want(blob).await?,
            }
            Arc::clone(inner).fly(*blob).await.result()?;
        }
    }

    /// Says that a blob is to be received when there is time for it. One that is here already, or wanted already, stays as it is;
    /// one that could not be transferred is tried anew.
    ///
    /// # Errors
    /// [`SyncError::Storage`](crate::SyncError::Storage).
    pub async fn want(&self, blob: &BlobRef) -> Result<()> {
        self.inner.want(blob).await?;
        self.inner.changed().await;
        Ok(())
    }

    /// Whether the whole blob is here.
    ///
    /// # Errors
    /// [`SyncError::Storage`](crate::SyncError::Storage).
    pub async fn is_here(&self, blob: &BlobRef) -> Result<bool> {
        Ok(self.inner.local.row(blob).await?.is_some_and(|row| row.whole))
    }

    /// The blobs that were given up, those that could not be sent first. They are listed until somebody [wants](Self::want),
    /// [gets](Self::get) or [forgets](Self::forget) them, or [retries](Self::retry) to send them.
    ///
    /// # Errors
    /// [`SyncError::Storage`](crate::SyncError::Storage).
    pub async fn dead(&self) -> Result<Vec<DeadBlob>> {
        status::read_dead(&self.inner.local).await
    }

    /// Tries a blob anew at the next opportunity, be it dead or still in its wait after a failure. Others are passed over.
    ///
    /// # Errors
    /// [`SyncError::Storage`](crate::SyncError::Storage).
    pub async fn retry(&self, blob: &BlobRef) -> Result<()> {
        let now = self.inner.local.now();
        let revived = move |row: Option<BlobRow>| {
            let row = row.filter(|row| row.state != State::Kept);
            row.map(|row| row.revived(now).write()).into_iter().collect()
        };
        self.inner.local.change(blob, revived).await?;
        self.inner.changed().await;
        Ok(())
    }

    /// Tries all blobs anew at the next opportunity that are dead or still in their wait after a failure: when the store has been
    /// mended, or has room again.
    ///
    /// # Errors
    /// [`SyncError::Storage`](crate::SyncError::Storage).
    pub async fn retry_all(&self) -> Result<()> {
        let now = self.inner.local.now();
        let batch = [State::ToSend, State::ToReceive]
            .into_iter()
            .fold(Batch::new(), |batch, state| batch.step(revive_all(state, now)));
        self.inner.local.storage.apply(batch).await.during("trying blobs anew")?;
        self.inner.changed().await;
        Ok(())
    }

    /// Deletes the contents of a blob here, to save space; they are received again when somebody reads them. Only of a blob that the
    /// store has, which is asked: one that it has lost is sent again. One of which nothing is here is passed over.
    ///
    /// # Errors
    /// [`SyncError::BlobNotSent`](crate::SyncError::BlobNotSent) when there is no other copy; what the store fails with; [`SyncError::Storage`](crate::SyncError::Storage).
    pub async fn evict(&self, blob: &BlobRef) -> Result<()> {
        evicting::evict(&self.inner, blob).await
    }

    /// Deletes everything of a blob here, **also when there is no other copy**, and no longer sends or receives it. What the
    /// store has stays there.
    ///
    /// # Errors
    /// [`SyncError::Storage`](crate::SyncError::Storage).
    pub async fn forget(&self, blob: &BlobRef) -> Result<()> {
        let gone =
            |row: Option<BlobRow>| row.map_or(Vec::new(), |row| vec![row.loosen(), row.delete()]);
        self.inner.local.change(blob, gone).await?;
        self.inner.local.clear().await?;
        self.inner.changed().await;
        Ok(())
    }

    /// Deletes a blob here and in the store. **Only the application can tell that it may**: a row of another device, which has not
    /// been synced yet, may name the blob too. Whoever still names it finds it missing, unless it is here.
    ///
    /// A transfer of it that is under way is waited for: it ends with the chunk that is being sent.
    ///
    /// # Errors
    /// What the store fails with; it is forgotten here then. [`SyncError::Storage`](crate::SyncError::Storage).
    pub async fn remove(&self, blob: &BlobRef) -> Result<()> {
        self.forget(blob).await?;
        // Else what is being sent would be there behind it.
        self.inner.flights.landed(blob).await;
        self.inner.store.remove(blob).await
    }

    /// What is still to be done, now and from now on.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<BlobStatus> {
        self.inner.status.subscribe()
    }
}

impl Inner {
    async fn want(&self, blob: &BlobRef) -> Result<()> {
        let (now, contents, blob) = (self.local.now(), self.local.new_contents(), *blob);
        let wanted = move |row: Option<BlobRow>| match row {
            None => vec![BlobRow::wanted(blob, contents, now).write()],
            Some(row) if row.state.is_dead() => vec![row.revived(now).write()],
            Some(_) => Vec::new(),
        };
        self.local.change(&blob, wanted).await
    }
}
