//! [`EncryptedSharedLog`]: a shared log that sees sizes and times only.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use storex_core::Runtime;

use super::data_key::KeyId;
use super::envelope::{Envelope, Subject, encrypted_len, seal};
use super::found::Found;
use super::ring::KeyRing;
use super::rotation::Made;
use crate::device_key::DeviceKey;
use crate::error::{Result, SyncError};
use crate::shared_log::{
    Cursor, LogId, LogRequest, Member, Page, SealedKeys, SealedTransaction, SharedSyncLog,
    Snapshots, Trimmed,
};
use crate::stamp::Device;

/// End-to-end encryption around a shared log of any kind: what a device puts into it is encrypted on the device, and only devices that have
/// the keys read it. The log sees sizes (padded) and times, which device writes, and how many transactions; no collection, key or value.
///
/// Each payload and each page of a snapshot is encrypted with XChaCha20-Poly1305 under its name: the log cannot give one for another, or
/// as another device's. What it gives changed is refused ([`SyncError::NotAuthentic`]). Nothing of a page with such a transaction is applied.
///
/// The keys are in a [`KeyRing`]. A device comes by them
///
/// - by making the first ([`create`](Self::create)), on one device,
/// - by a passphrase ([`open`](Self::open)), where the log keeps [sealed keys](SharedSyncLog::keys),
/// - from another device ([`new`](Self::new), with the ring that was handed over by pairing), or
/// - from where the application has kept them ([`new`](Self::new) with [`KeyRing::from_bytes`]).
///
/// [`rotate`](Self::rotate) leaves devices out of what comes after.
///
/// An encrypted payload has 58 bytes more than it would have, and is padded: to 256 bytes, and by 12 % at most above that. So a read brings
/// a little less within its limit, and limits of the log are about encrypted bytes. A log is encrypted from its beginning or not at all: to
/// begin with encryption, give the devices another log ([`Sync`](crate::Sync) sends everything to it).
///
/// ```
/// # use std::sync::Arc;
/// # use storex_core::{Definition, FieldType, Registry, Storage};
/// # use storex_memory::{MemoryBackend, TestRuntime};
/// # use storex_sync::{PassphraseCost, SyncLog};
/// use serde_json::json;
/// use storex_sync::{Access, EncryptedSharedLog, LogId, MemorySharedLog, Passphrase, Sync};
///
/// # async fn device(seed: u64) -> Storage {
/// #     let note = Definition::new("note").field("title", FieldType::String);
/// #     let registry = Registry::builder().collection(note).build().unwrap();
/// #     Storage::builder(MemoryBackend::new(), registry, Arc::new(TestRuntime::new(seed)))
/// #         .middleware(SyncLog::new()).open().await.unwrap()
/// # }
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (a, b) = (device(1).await, device(2).await);
/// # let (runtime, other_runtime) = (Arc::new(TestRuntime::new(3)), Arc::new(TestRuntime::new(4)));
/// let log = Arc::new(MemorySharedLog::new(LogId([7; 16]))); // or any other
///
/// // On the first device:
/// let access = Access::by(Passphrase::new("correct horse battery staple"));
/// # let access = access.cost(PassphraseCost { memory: 64, passes: 1 });
/// let on_a = EncryptedSharedLog::create(log.clone(), &access, runtime).await?;
/// a.dynamic("note")?.create(json!({"id": "1", "title": "Hello"})).await?;
/// Sync::open(&a, Arc::new(on_a)).await?.sync_once().await?;
///
/// // On another:
/// let typed = Passphrase::new("correct horse battery staple");
/// let on_b = EncryptedSharedLog::open(log, &typed, other_runtime).await?;
/// Sync::open(&b, Arc::new(on_b)).await?.sync_once().await?;
/// assert_eq!(b.dynamic("note")?.count(&json!({"title": "Hello"})).await?, 1);
/// # Ok(()) }
/// ```
pub struct EncryptedSharedLog {
    pub(super) log: Arc<dyn SharedSyncLog>,
    pub(super) runtime: Arc<dyn Runtime>,
    pub(super) device: Option<DeviceKey>,
    pub(super) state: Mutex<State>,
}

/// What is known of the keys.
pub(super) struct State {
    pub(super) ring: KeyRing,
    pub(super) found: Found,
    /// Keys that were made here, and of which nobody knows yet whether they are in the log.
    pub(super) made: Vec<Made>,
    /// Several keys have come after the current one, and neither's maker knew the other.
    pub(super) has_rivals: bool,
    /// How often the log may have become another one, or have got other keys; and how much of that was looked at.
    pub(super) doubts: u64,
    pub(super) settled: u64,
}

impl State {
    fn new(ring: KeyRing) -> Self {
        let (found, made) = (Found::default(), Vec::new());
        Self { ring, found, made, has_rivals: false, doubts: 1, settled: 0 }
    }

    /// The keys that were found to have come after the current one, if it cannot be told which of them counts.
    pub(super) fn undecided(&self) -> Vec<KeyId> {
        match self.has_rivals {
            true => self.found.successors(&self.ring, &self.made),
            false => Vec::new(),
        }
    }

    /// Takes the keys of another device that is trusted, and goes on with its current one unless that is before ours: then it is here already.
    /// Where nothing was seen of how two that are here came about, and for first keys, the numbers have to do.
    pub(super) fn merge(&mut self, other: KeyRing) {
        let (ours, theirs) = (self.ring.current().clone(), other.current().clone());
        let (our_id, their_id) = (ours.key.id(), theirs.key.id());
        let is_news = self.ring.get(their_id).is_none();
        self.ring.merge(other);
        let before_theirs = self.found.before(&self.ring, their_id);
        let before_ours = self.found.before(&self.ring, our_id);
        let is_known_as_another = !before_theirs.is_empty() || theirs.rank() > ours.rank();
        let is_later = (is_news && theirs.number > 1)
            || before_theirs.contains(&our_id)
            || (is_known_as_another && !before_ours.contains(&their_id));
        if is_later {
            self.ring.go_on_with(their_id);
        }
    }

    /// Takes up the keys that can be opened with what is here.
    pub(super) fn take_up(&mut self, device: Option<&DeviceKey>) {
        self.found.open(&mut self.ring, device, &self.made);
        self.follow();
    }

    /// Goes on with the key that has come after the current one, as long as there is one only, and none that is not here: that may be the one
    /// which the others use, and this one of somebody who was left out.
    pub(super) fn follow(&mut self) {
        self.has_rivals = false;
        while !self.found.is_left_out(&self.ring) {
            match self.found.successors(&self.ring, &self.made).as_slice() {
                [] => return,
                [next] => self.ring.go_on_with(*next),
                _ => {
                    self.has_rivals = true;
                    return;
                }
            }
        }
    }
}

impl EncryptedSharedLog {
    /// Around a log whose keys are here already. Nothing is asked of the log yet.
    #[must_use]
    pub fn new(log: Arc<dyn SharedSyncLog>, keys: KeyRing, runtime: Arc<dyn Runtime>) -> Self {
        Self { log, runtime, device: None, state: Mutex::new(State::new(keys)) }
    }

    /// With the key of this device: later keys that are sealed to it are taken up when they are found in the log.
    #[must_use]
    pub fn device(mut self, key: DeviceKey) -> Self {
        self.device = Some(key);
        self
    }

    /// The keys as they are now, to be kept or handed over. They change when keys are rotated, and when new ones are found.
    #[must_use]
    pub fn key_ring(&self) -> KeyRing {
        self.state().ring.clone()
    }

    /// How many bytes the log gets of a payload, or a page of a snapshot, of so many.
    #[must_use]
    pub fn encrypted_len(bytes: usize) -> usize {
        encrypted_len(bytes)
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Decrypts; where the key is not here, it looks for it in the log once.
    pub(super) async fn open_one(&self, subject: Subject, bytes: &[u8]) -> Result<Vec<u8>> {
        let envelope = Envelope::read(subject, bytes)?;
        if self.state().ring.get(envelope.key).is_none() {
            self.look_for_keys().await?;
        }
        let ring = self.key_ring();
        let unknown = || SyncError::UnknownKey { what: subject.to_string() };
        envelope.open(ring.get(envelope.key).ok_or_else(unknown)?)
    }

    async fn open_page(&self, page: Page) -> Result<Page> {
        let mut transactions = Vec::with_capacity(page.transactions.len());
        for transaction in page.transactions {
            let subject = Subject::of(&transaction);
            let payload = self.open_one(subject, &transaction.payload).await?;
            transactions.push(SealedTransaction { payload, ..transaction });
        }
        Ok(Page { transactions, ..page })
    }
}

/// With the current key of a ring.
pub(super) fn seal_all(
    ring: &KeyRing,
    transactions: &[SealedTransaction],
) -> Result<Vec<SealedTransaction>> {
    let key = &ring.current().key;
    let sealed = transactions.iter().map(|transaction| {
        let payload = seal(key, Subject::of(transaction), &transaction.payload)?;
        Ok(SealedTransaction { payload, ..*transaction })
    });
    sealed.collect()
}

impl fmt::Debug for EncryptedSharedLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("EncryptedSharedLog");
        shown.field("log", &self.log).field("keys", &self.key_ring()).finish_non_exhaustive()
    }
}

#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
impl SharedSyncLog for EncryptedSharedLog {
    async fn register(&self, device: Device) -> Result<LogId> {
        self.doubt_keys();
        self.log.register(device).await
    }

    async fn append(&self, transactions: &[SealedTransaction]) -> Result<()> {
        self.check_keys(transactions).await?;
        let ring = self.key_ring();
        match self.log.append(&seal_all(&ring, transactions)?).await {
            Err(forked @ SyncError::Forked { .. }) => {
                self.append_again(&ring, transactions, None, forked).await
            }
            done => done,
        }
    }

    async fn read(&self, reader: Device, after: &Cursor, limit: usize) -> Result<Page> {
        let page = self.log.read(reader, after, limit).await?;
        self.open_page(page).await
    }

    async fn acknowledge(&self, reader: Device, cursor: &Cursor) -> Result<()> {
        self.log.acknowledge(reader, cursor).await
    }

    async fn exchange(&self, request: &LogRequest, limit: usize) -> Result<Option<Page>> {
        let LogRequest { device, acknowledge, append, read } = request;
        self.check_keys(append).await?;
        let ring = self.key_ring();
        let mut sealed = LogRequest {
            device: *device,
            acknowledge: acknowledge.clone(),
            append: seal_all(&ring, append)?,
            read: read.clone(),
        };
        let answer = match self.log.exchange(&sealed, limit).await {
            Err(forked @ SyncError::Forked { .. }) => {
                self.append_again(&ring, append, read.as_ref(), forked).await?;
                sealed.append.clear();
                self.log.exchange(&sealed, limit).await?
            }
            answer => answer?,
        };
        match answer {
            Some(page) => Ok(Some(self.open_page(page).await?)),
            None => Ok(None),
        }
    }

    async fn changed(&self, reader: Device, after: &Cursor) -> Result<()> {
        self.log.changed(reader, after).await
    }

    async fn members(&self) -> Result<Vec<Member>> {
        self.log.members().await
    }

    async fn dismiss(&self, device: Device) -> Result<bool> {
        self.log.dismiss(device).await
    }

    async fn reidentify(&self, known: LogId) -> Result<LogId> {
        self.log.reidentify(known).await
    }

    async fn trim(&self) -> Result<Trimmed> {
        self.log.trim().await
    }

    fn snapshots(&self) -> Option<&dyn Snapshots> {
        self.log.snapshots().map(|_| self as _)
    }

    fn keys(&self) -> Option<&dyn SealedKeys> {
        self.log.keys()
    }
}
