//! [`MemorySharedLog`]: the reference.

mod keys;
mod snapshots;

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::sync::watch;

use super::{
    Cursor, LogId, Member, Page, SealedKeyName, SealedKeys, SealedTransaction, SharedSyncLog,
    Snapshots, Trimmed,
};
use crate::error::{Result, SyncError};
use crate::log_rules::{self, check_floor, known_to_all};
use crate::stamp::Device;

/// A log in memory, for tests and for devices in one process.
#[derive(Debug)]
pub struct MemorySharedLog {
    state: Mutex<State>,
    news: watch::Sender<()>,
}

#[derive(Debug)]
struct State {
    id: LogId,
    /// By position.
    transactions: BTreeMap<u64, SealedTransaction>,
    /// The position of the last transaction.
    position: u64,
    authors: HashMap<Device, Author>,
    /// What each of the members has acknowledged.
    members: BTreeMap<Device, u64>,
    snapshots: snapshots::Kept,
    keys: BTreeMap<SealedKeyName, Vec<u8>>,
}

/// What is known of the transactions of a device.
#[derive(Debug, Default)]
struct Author {
    /// The number of the last.
    last: u64,
    /// The positions of those that are held, by number.
    positions: HashMap<u64, u64>,
    /// The last position that was trimmed.
    floor: u64,
}

impl MemorySharedLog {
    /// An empty log with this identity.
    #[must_use]
    pub fn new(id: LogId) -> Self {
        let state = State {
            id,
            transactions: BTreeMap::new(),
            position: 0,
            authors: HashMap::new(),
            members: BTreeMap::new(),
            snapshots: snapshots::Kept::default(),
            keys: BTreeMap::new(),
        };
        Self { state: Mutex::new(state), news: watch::Sender::new(()) }
    }

    /// How many transactions it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().transactions.len()
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn append(&mut self, transactions: &[SealedTransaction]) -> Result<()> {
        let Some(device) = log_rules::author(transactions)? else { return Ok(()) };
        let author = self.authors.entry(device).or_default();
        let held = |sequence| {
            let position = author.positions.get(&sequence)?;
            self.transactions.get(position).map(|it| it.payload.as_slice())
        };
        for transaction in log_rules::fresh(transactions, author.last, held)? {
            self.position += 1;
            author.last = transaction.sequence;
            author.positions.insert(transaction.sequence, self.position);
            self.transactions.insert(self.position, transaction.clone());
        }
        Ok(())
    }

    fn after(&self, position: u64) -> impl Iterator<Item = (&u64, &SealedTransaction)> {
        self.transactions.range((Bound::Excluded(position), Bound::Unbounded))
    }

    fn for_reader(
        &self,
        reader: Device,
        position: u64,
    ) -> impl Iterator<Item = &SealedTransaction> {
        self.after(position).map(|(_, it)| it).filter(move |it| it.device != reader)
    }

    fn check_floor(&self, reader: Device, position: u64) -> Result<()> {
        let floors = self.authors.iter().map(|(device, author)| (*device, author.floor));
        check_floor(floors, reader, position)
    }

    fn trim(&mut self) -> Result<Trimmed> {
        let in_snapshot = self.snapshot_position()?;
        let members: Vec<_> = self.members.iter().map(|(device, at)| (*device, *at)).collect();
        let before = self.transactions.len();
        self.transactions.retain(|position, SealedTransaction { device, sequence, .. }| {
            let Some(author) = self.authors.get_mut(device) else { return true };
            let known = known_to_all(&members, *device).min(in_snapshot);
            if *position > known || *sequence == author.last {
                return true;
            }
            author.floor = author.floor.max(*position);
            author.positions.remove(sequence);
            false
        });
        Ok(Trimmed { transactions: (before - self.transactions.len()) as u64 })
    }
}

#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
impl SharedSyncLog for MemorySharedLog {
    async fn register(&self, device: Device) -> Result<LogId> {
        let mut state = self.lock();
        state.members.entry(device).or_default();
        Ok(state.id)
    }

    async fn append(&self, transactions: &[SealedTransaction]) -> Result<()> {
        self.lock().append(transactions)?;
        self.news.send_replace(());
        Ok(())
    }

    async fn read(&self, reader: Device, after: &Cursor, limit: usize) -> Result<Page> {
        let state = self.lock();
        let mut at = after.position()?;
        if at > state.position {
            return Err(SyncError::LogReplaced);
        }
        state.check_floor(reader, at)?;
        let (mut transactions, mut bytes, mut more) = (Vec::new(), 0, false);
        for (position, transaction) in state.after(at) {
            if transaction.device != reader {
                if !transactions.is_empty() && bytes + transaction.payload.len() > limit {
                    more = true;
                    break;
                }
                bytes += transaction.payload.len();
                transactions.push(transaction.clone());
            }
            at = *position;
        }
        let own = state.authors.get(&reader).map_or(0, |author| author.last);
        let (cursor, missing) = (Cursor::at(at), Vec::new());
        Ok(Page { log: state.id, transactions, cursor, more, own, missing })
    }

    async fn acknowledge(&self, reader: Device, cursor: &Cursor) -> Result<()> {
        let position = cursor.position()?;
        let mut state = self.lock();
        let known = state.members.entry(reader).or_default();
        *known = (*known).max(position);
        Ok(())
    }

    async fn changed(&self, reader: Device, after: &Cursor) -> Result<()> {
        let position = after.position()?;
        // Before the look, so that nothing falls between the two.
        let mut news = self.news.subscribe();
        loop {
            {
                let state = self.lock();
                let below = state.check_floor(reader, position).is_err();
                if below || state.for_reader(reader, position).next().is_some() {
                    return Ok(());
                }
            }
            let closed = |_| SyncError::Closed { during: "waiting for news" };
            news.changed().await.map_err(closed)?;
        }
    }

    async fn members(&self) -> Result<Vec<Member>> {
        let state = self.lock();
        let behind = |device, at| state.for_reader(device, at).count() as u64;
        let member = |(device, at): (&Device, &u64)| Member {
            device: *device,
            behind: behind(*device, *at),
        };
        Ok(state.members.iter().map(member).collect())
    }

    async fn dismiss(&self, device: Device) -> Result<bool> {
        Ok(self.lock().members.remove(&device).is_some())
    }

    async fn reidentify(&self, known: LogId) -> Result<LogId> {
        let mut state = self.lock();
        if state.id == known {
            state.id = LogId(u128::from_be_bytes(known.0).wrapping_add(1).to_be_bytes());
            self.news.send_replace(());
        }
        Ok(state.id)
    }

    async fn trim(&self) -> Result<Trimmed> {
        self.lock().trim()
    }

    fn snapshots(&self) -> Option<&dyn Snapshots> {
        Some(self)
    }

    fn keys(&self) -> Option<&dyn SealedKeys> {
        Some(self)
    }
}
