//! [`ScriptedStore`]: a blob store that does what a script says, and remembers what was asked of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use storex_sync::{BlobRef, BlobStore, MemoryBlobStore, Result, SyncError};
use tokio::sync::Semaphore;

/// A blob store that does what a script says, and remembers what was asked of it.
#[derive(Debug)]
pub struct ScriptedStore {
    pub inner: MemoryBlobStore,
    state: Mutex<State>,
    /// Each transfer of a chunk takes one; closed: nothing waits.
    gate: Semaphore,
}

#[derive(Debug, Default)]
struct State {
    /// What every request is answered with.
    refusal: Option<fn() -> SyncError>,
    /// Every blob is said to be whole.
    claims_all: bool,
    /// Finishing waits as a chunk does.
    gates_finishing: bool,
    hanging: BTreeSet<BlobRef>,
    failing: BTreeSet<BlobRef>,
    panicking: BTreeSet<BlobRef>,
    /// Of these every second request for a chunk fails; whether the next one does.
    stumbling: BTreeMap<BlobRef, bool>,
    /// So many more requests for chunks go through.
    left: Option<usize>,
    /// Which byte of which chunk is wrong.
    damaged: BTreeMap<(BlobRef, u64), usize>,
    running: usize,
    most_running: usize,
    sent: BTreeMap<(BlobRef, u64), usize>,
    read: BTreeMap<(BlobRef, u64), usize>,
    order: Vec<BlobRef>,
    requests: usize,
    asked: usize,
}

impl ScriptedStore {
    pub fn new() -> Arc<Self> {
        let gate = Semaphore::new(0);
        gate.close();
        Self::gated(gate)
    }

    /// A store in which chunks wait until they are let through.
    pub fn closed() -> Arc<Self> {
        Self::gated(Semaphore::new(0))
    }

    fn gated(gate: Semaphore) -> Arc<Self> {
        Arc::new(Self { inner: MemoryBlobStore::new(), state: Mutex::default(), gate })
    }

    /// Lets so many more chunks through.
    pub fn let_through(&self, chunks: usize) {
        self.gate.add_permits(chunks);
    }

    /// From now on nothing waits.
    pub fn open(&self) {
        self.gate.close();
    }

    pub fn offline(&self, offline: bool) {
        self.lock().refusal = offline.then_some(out_of_reach as fn() -> SyncError);
    }

    /// Every request is answered with this error.
    pub fn refuse(&self, refusal: fn() -> SyncError) {
        self.lock().refusal = Some(refusal);
    }

    /// Says of every blob that it is whole, as a mark does that has outlived its chunks.
    pub fn claim_all(&self) {
        self.lock().claims_all = true;
    }

    /// Finishing a blob waits until it is let through, as its chunks do.
    pub fn gate_finishing(&self) {
        self.lock().gates_finishing = true;
    }

    /// The chunks of this blob cannot be transferred.
    pub fn fail(&self, blob: BlobRef) {
        self.lock().failing.insert(blob);
    }

    /// Every second chunk of this blob cannot be transferred.
    pub fn stumble(&self, blob: BlobRef) {
        self.lock().stumbling.insert(blob, false);
    }

    /// Requests for chunks of this blob panic.
    pub fn panic_at(&self, blob: BlobRef) {
        self.lock().panicking.insert(blob);
    }

    /// Requests for chunks of this blob are never answered.
    pub fn hang(&self, blob: BlobRef) {
        self.lock().hanging.insert(blob);
    }

    /// The connection is cut behind so many chunks.
    pub fn cut_after(&self, chunks: usize) {
        self.lock().left = Some(chunks);
    }

    /// A chunk of this blob arrives with a wrong byte.
    pub fn damage(&self, blob: BlobRef, chunk: u64, byte: usize) {
        self.lock().damaged.insert((blob, chunk), byte);
    }

    /// Everything goes well from now on.
    pub fn heal(&self) {
        let mut state = self.lock();
        state.refusal = None;
        state.left = None;
        state.failing.clear();
        state.panicking.clear();
        state.stumbling.clear();
        state.hanging.clear();
        state.damaged.clear();
    }

    pub fn most_running(&self) -> usize {
        self.lock().most_running
    }

    /// How often each chunk was taken.
    pub fn sent(&self) -> BTreeMap<(BlobRef, u64), usize> {
        self.lock().sent.clone()
    }

    /// How often each chunk was given.
    pub fn read(&self) -> BTreeMap<(BlobRef, u64), usize> {
        self.lock().read.clone()
    }

    /// The blobs of all chunks that were taken or given, in order.
    pub fn order(&self) -> Vec<BlobRef> {
        self.lock().order.clone()
    }

    /// How many requests of any kind there were.
    pub fn asked(&self) -> usize {
        self.lock().asked
    }

    /// How many requests for chunks there were, be it that they failed.
    pub fn requests(&self) -> usize {
        self.lock().requests
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn reachable(&self) -> Result<()> {
        let mut state = self.lock();
        state.asked += 1;
        state.refusal.map_or(Ok(()), |refusal| Err(refusal()))
    }

    async fn pass(&self, blob: &BlobRef) -> Result<Running<'_>> {
        let hangs = {
            let mut state = self.lock();
            state.requests += 1;
            state.hanging.contains(blob)
        };
        if hangs {
            std::future::pending::<()>().await;
        }
        self.reachable()?;
        let running = Running::new(self);
        // Others get their turn, so that what runs at once does.
        tokio::task::yield_now().await;
        if let Ok(permit) = self.gate.acquire().await {
            permit.forget();
        }
        let mut state = self.lock();
        if state.panicking.contains(blob) {
            drop(state);
            panic!("this blob makes the store panic");
        }
        if let Some(fails) = state.stumbling.get_mut(blob) {
            *fails = !*fails;
            if !*fails {
                return Err(broken("every second one is lost"));
            }
        }
        if state.failing.contains(blob) {
            return Err(broken("this blob is cursed"));
        }
        match &mut state.left {
            Some(0) => {
                state.refusal = Some(out_of_reach);
                return Err(broken("the connection is cut"));
            }
            Some(left) => *left -= 1,
            None => {}
        }
        drop(state);
        Ok(running)
    }
}

struct Running<'a>(&'a ScriptedStore);

impl<'a> Running<'a> {
    fn new(store: &'a ScriptedStore) -> Self {
        let mut state = store.lock();
        state.running += 1;
        state.most_running = state.most_running.max(state.running);
        Self(store)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.lock().running -= 1;
    }
}

fn out_of_reach() -> SyncError {
    broken("the store is out of reach")
}

fn broken(reason: &str) -> SyncError {
    SyncError::Transport { during: "testing", reason: reason.to_owned() }
}

#[async_trait]
impl BlobStore for ScriptedStore {
    async fn has(&self, blob: &BlobRef) -> Result<bool> {
        self.reachable()?;
        if self.lock().claims_all {
            return Ok(true);
        }
        self.inner.has(blob).await
    }

    async fn sent(&self, blob: &BlobRef) -> Result<u64> {
        self.reachable()?;
        self.inner.sent(blob).await
    }

    async fn put_chunk(&self, blob: &BlobRef, number: u64, bytes: Vec<u8>) -> Result<()> {
        let _running = self.pass(blob).await?;
        {
            let mut state = self.lock();
            *state.sent.entry((*blob, number)).or_default() += 1;
            state.order.push(*blob);
        }
        self.inner.put_chunk(blob, number, bytes).await
    }

    async fn finish(&self, blob: &BlobRef) -> Result<()> {
        let gated = self.lock().gates_finishing;
        if gated {
            let _running = self.pass(blob).await?;
        }
        self.reachable()?;
        self.inner.finish(blob).await
    }

    async fn chunk(&self, blob: &BlobRef, number: u64) -> Result<Vec<u8>> {
        let _running = self.pass(blob).await?;
        let mut bytes = self.inner.chunk(blob, number).await?;
        let mut state = self.lock();
        *state.read.entry((*blob, number)).or_default() += 1;
        state.order.push(*blob);
        if let Some(at) = state.damaged.get(&(*blob, number)) {
            bytes[*at] ^= 1;
        }
        Ok(bytes)
    }

    async fn remove(&self, blob: &BlobRef) -> Result<()> {
        self.reachable()?;
        self.inner.remove(blob).await
    }
}
