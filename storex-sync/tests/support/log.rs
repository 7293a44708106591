//! [`ScriptedLog`]: a shared log that does what a script says.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use storex_core::BoxFuture;
use storex_sync::{
    Cursor, Device, LogId, LogRequest, Member, Page, Result, SealedKeys, SealedTransaction,
    SharedSyncLog, Snapshot, SnapshotId, Snapshots, SyncError, Trimmed, Usage,
};

/// A kind of request. One that does several things is of the kind that comes first of append, read, acknowledge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Call {
    Register,
    Append,
    Read,
    Acknowledge,
    Dismiss,
    Trim,
    PutPage,
    Publish,
    Published,
    Page,
    Usage,
}

/// What happens to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It goes through.
    None,
    /// It never arrives.
    Fail,
    /// It arrives, but its answer is lost.
    DropAnswer,
    /// It arrives twice.
    Duplicate,
    /// It takes so long.
    Delay(Duration),
    /// The log wants to be left alone for so long.
    RateLimit(Duration),
    /// The log does not know who asks.
    Refuse,
    /// The log is another one.
    Replace,
}

/// Something that happens before or after a request.
type Hook = Arc<dyn Fn() -> BoxFuture<'static, ()> + Send + std::marker::Sync>;

/// A shared log that does what a script says, and remembers what was asked of it.
pub struct ScriptedLog {
    inner: Arc<dyn SharedSyncLog>,
    keeps_snapshots: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    script: HashMap<Call, VecDeque<Fault>>,
    before: HashMap<Call, VecDeque<Hook>>,
    after: HashMap<Call, VecDeque<Hook>>,
    calls: Vec<Call>,
    running: usize,
    most_running: usize,
    appended: Vec<Vec<(Device, u64)>>,
    requests: Vec<LogRequest>,
    delivered: Vec<(Device, Vec<SealedTransaction>)>,
    place: HashMap<Device, Cursor>,
    left_out: Option<(Device, u64)>,
    largest_page: Option<usize>,
}

impl fmt::Debug for ScriptedLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScriptedLog").finish_non_exhaustive()
    }
}

impl ScriptedLog {
    pub fn new(inner: &Arc<impl SharedSyncLog>) -> Arc<Self> {
        Self::over(Arc::clone(inner) as _)
    }

    pub fn over(inner: Arc<dyn SharedSyncLog>) -> Arc<Self> {
        Arc::new(Self { inner, keeps_snapshots: true, state: Mutex::default() })
    }

    pub fn without_snapshots(inner: &Arc<impl SharedSyncLog>) -> Arc<Self> {
        let inner = Arc::clone(inner) as _;
        Arc::new(Self { inner, keeps_snapshots: false, state: Mutex::default() })
    }

    fn snapshots_inside(&self) -> &dyn Snapshots {
        self.inner.snapshots().expect("the log inside keeps snapshots")
    }

    /// What happens to the next requests of a kind, in order; then everything goes through.
    pub fn script(&self, call: Call, faults: impl IntoIterator<Item = Fault>) {
        self.lock().script.entry(call).or_default().extend(faults);
    }

    /// Forgets the rest of the script.
    pub fn heal(&self) {
        self.lock().script.clear();
    }

    /// Does something before the next request of a kind.
    pub fn before<F>(&self, call: Call, hook: impl Fn() -> F + Send + std::marker::Sync + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.lock().before.entry(call).or_default().push_back(Arc::new(move || Box::pin(hook())));
    }

    /// Does something after the next request of a kind was carried out, and before its answer arrives.
    pub fn after<F>(&self, call: Call, hook: impl Fn() -> F + Send + std::marker::Sync + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.lock().after.entry(call).or_default().push_back(Arc::new(move || Box::pin(hook())));
    }

    /// All requests so far.
    pub fn calls(&self) -> Vec<Call> {
        self.lock().calls.clone()
    }

    /// Forgets the requests so far.
    pub fn forget(&self) {
        let mut state = self.lock();
        state.calls.clear();
        state.appended.clear();
        state.requests.clear();
        state.delivered.clear();
    }

    /// Those that append, read or acknowledge, with what they asked for.
    pub fn requests(&self) -> Vec<LogRequest> {
        self.lock().requests.clone()
    }

    /// How many requests of a kind there were.
    pub fn count(&self, call: Call) -> usize {
        self.lock().calls.iter().filter(|known| **known == call).count()
    }

    /// The most requests that were under way at once.
    pub fn most_running(&self) -> usize {
        self.lock().most_running
    }

    /// What was appended, request by request.
    pub fn appended(&self) -> Vec<Vec<(Device, u64)>> {
        self.lock().appended.clone()
    }

    /// What was delivered, page by page.
    pub fn delivered(&self) -> Vec<(Device, Vec<SealedTransaction>)> {
        self.lock().delivered.clone()
    }

    /// Everything in front of this place was delivered to the device.
    pub fn place(&self, device: Device) -> u64 {
        let cursor = self.lock().place.get(&device).cloned().unwrap_or_default();
        cursor.0.try_into().map_or(0, u64::from_be_bytes)
    }

    /// From now on the log has a hole.
    pub fn leave_out(&self, device: Device, sequence: u64) {
        self.lock().left_out = Some((device, sequence));
    }

    /// From now on larger pages of snapshots are refused.
    pub fn take_pages_of(&self, bytes: usize) {
        self.lock().largest_page = Some(bytes);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    async fn through<T, F>(&self, call: Call, request: impl Fn() -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let (fault, before, after) = {
            let mut state = self.lock();
            state.calls.push(call);
            state.running += 1;
            state.most_running = state.most_running.max(state.running);
            let fault = state.script.get_mut(&call).and_then(VecDeque::pop_front);
            let before = state.before.get_mut(&call).and_then(VecDeque::pop_front);
            let after = state.after.get_mut(&call).and_then(VecDeque::pop_front);
            (fault.unwrap_or(Fault::None), before, after)
        };
        if let Some(hook) = before {
            hook().await;
        }
        let failed =
            || SyncError::Transport { during: "a scripted request", reason: "lost".into() };
        let result = match fault {
            Fault::None => request().await,
            Fault::Fail => Err(failed()),
            Fault::RateLimit(retry_after) => Err(SyncError::RateLimited { retry_after }),
            Fault::Refuse => Err(SyncError::Unauthorized { reason: "expired".into() }),
            Fault::Replace => Err(SyncError::LogReplaced),
            Fault::DropAnswer => request().await.and(Err(failed())),
            Fault::Duplicate => {
                let first = request().await;
                request().await.and(first)
            }
            Fault::Delay(duration) => {
                #[allow(clippy::disallowed_methods)]
                tokio::time::sleep(duration).await;
                request().await
            }
        };
        if let Some(hook) = after {
            hook().await;
        }
        self.lock().running -= 1;
        result
    }
}

#[async_trait]
impl SharedSyncLog for ScriptedLog {
    async fn register(&self, device: Device) -> Result<LogId> {
        self.through(Call::Register, || self.inner.register(device)).await
    }

    async fn append(&self, transactions: &[SealedTransaction]) -> Result<()> {
        self.through(Call::Append, || self.inner.append(transactions)).await
    }

    async fn read(&self, reader: Device, after: &Cursor, limit: usize) -> Result<Page> {
        self.through(Call::Read, || self.inner.read(reader, after, limit)).await
    }

    async fn acknowledge(&self, reader: Device, cursor: &Cursor) -> Result<()> {
        self.through(Call::Acknowledge, || self.inner.acknowledge(reader, cursor)).await
    }

    async fn exchange(&self, request: &LogRequest, limit: usize) -> Result<Option<Page>> {
        let call = match request {
            LogRequest { append, .. } if !append.is_empty() => Call::Append,
            LogRequest { read: Some(_), .. } => Call::Read,
            _ => Call::Acknowledge,
        };
        let names: Vec<_> = request.append.iter().map(|it| (it.device, it.sequence)).collect();
        self.lock().appended.extend((!names.is_empty()).then_some(names));
        self.lock().requests.push(request.clone());
        let page = self.through(call, || self.inner.exchange(request, limit)).await?;
        let Some(mut page) = page else { return Ok(None) };
        let mut state = self.lock();
        page.transactions.retain(|it| Some((it.device, it.sequence)) != state.left_out);
        state.delivered.push((request.device, page.transactions.clone()));
        state.place.insert(request.device, page.cursor.clone());
        Ok(Some(page))
    }

    async fn changed(&self, reader: Device, after: &Cursor) -> Result<()> {
        self.inner.changed(reader, after).await
    }

    async fn members(&self) -> Result<Vec<Member>> {
        self.inner.members().await
    }

    async fn dismiss(&self, device: Device) -> Result<bool> {
        self.through(Call::Dismiss, || self.inner.dismiss(device)).await
    }

    async fn reidentify(
        &self,
        known: storex_sync::LogId,
    ) -> storex_sync::Result<storex_sync::LogId> {
        self.inner.reidentify(known).await
    }

    async fn trim(&self) -> Result<Trimmed> {
        self.through(Call::Trim, || self.inner.trim()).await
    }

    fn snapshots(&self) -> Option<&dyn Snapshots> {
        self.keeps_snapshots.then_some(self as &dyn Snapshots)
    }

    fn keys(&self) -> Option<&dyn SealedKeys> {
        self.inner.keys()
    }
}

#[async_trait]
impl Snapshots for ScriptedLog {
    async fn put_page(&self, id: SnapshotId, page: u64, bytes: &[u8]) -> Result<()> {
        let (inner, most) = (self.snapshots_inside(), self.lock().largest_page);
        if let Some(limit) = most.filter(|most| bytes.len() > *most) {
            let (bytes, limit) = (bytes.len() as u64, Some(limit as u64));
            return Err(SyncError::BodyTooLarge { bytes, limit });
        }
        self.through(Call::PutPage, || inner.put_page(id, page, bytes)).await
    }

    async fn publish(&self, snapshot: &Snapshot) -> Result<bool> {
        let inner = self.snapshots_inside();
        self.through(Call::Publish, || inner.publish(snapshot)).await
    }

    async fn published(&self) -> Result<Option<Snapshot>> {
        let inner = self.snapshots_inside();
        self.through(Call::Published, || inner.published()).await
    }

    async fn page(&self, id: SnapshotId, page: u64) -> Result<Option<Vec<u8>>> {
        let inner = self.snapshots_inside();
        self.through(Call::Page, || inner.page(id, page)).await
    }

    async fn usage(&self) -> Result<Usage> {
        let inner = self.snapshots_inside();
        self.through(Call::Usage, || inner.usage()).await
    }
}
