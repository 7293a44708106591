//! Where the keys come from, and who gets them.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use storex_core::Runtime;

use super::access::Access;
use super::data_key::DataKey;
use super::found::{Found, Named, fetch, take};
use super::item::{Item, name_of};
use super::log::{EncryptedSharedLog, State};
use super::passphrase::Passphrase;
use super::ring::{By, Generation, KeyRing};
use crate::error::{Result, SyncError};
use crate::shared_log::{SealedKeyName, SealedKeys, SealedTransaction, SharedSyncLog};

/// How many sealed keys a passphrase is tried on, the latest first: each takes as long as its maker wanted.
const ATTEMPTS: u32 = 16;

impl EncryptedSharedLog {
    /// Makes the first key of a log, and leaves it there for others. On one device: the others [`open`](Self::open) the log. If two do it
    /// at the same moment with one passphrase, both keys are good, and all devices choose the same one to go on with.
    ///
    /// # Errors
    /// [`SyncError::HasKeys`] when the log has keys; [`SyncError::KeepsNoKeys`]; those of the log.
    pub async fn create(
        log: Arc<dyn SharedSyncLog>,
        access: &Access,
        runtime: Arc<dyn Runtime>,
    ) -> Result<Self> {
        let store = log.keys().ok_or(SyncError::KeepsNoKeys)?;
        if !store.names().await?.is_empty() {
            return Err(SyncError::HasKeys);
        }
        let this = Self::new(log, KeyRing::generate(&*runtime), runtime);
        this.grant(access).await?;
        if let Some(passphrase) = &access.passphrase {
            this.join_rivals(passphrase).await?;
        }
        Ok(this)
    }

    /// Opens a log with a passphrase that its keys are sealed by. This takes as long as trying a passphrase is to take, 0.1 to 1 second as a
    /// rule; on native targets a thread of its own does it, in a browser the page or worker stands still meanwhile.
    ///
    /// # Errors
    /// [`SyncError::WrongPassphrase`]; [`SyncError::NoKeys`] when the log has none for a passphrase; [`SyncError::KeepsNoKeys`]; those of
    /// the log. Nothing was sent.
    pub async fn open(
        log: Arc<dyn SharedSyncLog>,
        passphrase: &Passphrase,
        runtime: Arc<dyn Runtime>,
    ) -> Result<Self> {
        let store = log.keys().ok_or(SyncError::KeepsNoKeys)?;
        let mut found = Found::default();
        for (name, bytes) in fetch(store, |_| true).await?.1 {
            found.add(name, &bytes);
        }
        let items = found.items();
        if !items.iter().any(Item::is_opened_by_passphrases) {
            return Err(SyncError::NoKeys);
        }
        let mut attempts = ATTEMPTS;
        for item in &items {
            if let Some(key) = item.open_with_passphrase(passphrase, &mut attempts).await? {
                let key = Generation { number: item.number, key: Arc::new(key) };
                let this = Self::new(log, KeyRing::of(key.clone()), runtime);
                this.state().ring.adopt(key.clone(), item.former(&key.key)?, By::Passphrase);
                this.state().found = found;
                this.try_passphrase(passphrase, attempts).await?;
                return Ok(this);
            }
        }
        Err(SyncError::WrongPassphrase)
    }

    /// Takes up keys that a passphrase opens: after [`SyncError::UnknownKey`], with the passphrase that is in force since. Then make an
    /// exchange ([`ContinuousSync::sync_now`](crate::ContinuousSync::sync_now)). See [`open`](Self::open) for how long it takes.
    ///
    /// # Errors
    /// [`SyncError::WrongPassphrase`] when it opens none of the keys that are missing here; [`SyncError::KeepsNoKeys`]; those of the log.
    pub async fn unlock(&self, passphrase: &Passphrase) -> Result<()> {
        self.log.keys().ok_or(SyncError::KeepsNoKeys)?;
        self.look_for_keys().await?;
        let ring = self.key_ring();
        if self.found_items().iter().all(|item| ring.get(item.id).is_some()) {
            return Ok(());
        }
        match self.try_passphrase(passphrase, ATTEMPTS).await? {
            0 => Err(SyncError::WrongPassphrase),
            _ => Ok(()),
        }
    }

    /// Takes up the keys of another device that was handed over ([`KeyRing::receive`](crate::KeyRing), feature `pairing`).
    pub fn learn(&self, keys: KeyRing) {
        self.state().ring.merge(keys);
    }

    /// Lets others come by the key that is in force, and by those before it: a device, or whoever knows a passphrase. Nobody is left out by
    /// it; a former passphrase goes on opening what it has opened.
    ///
    /// # Errors
    /// [`SyncError::KeepsNoKeys`]; those of the log. Nobody was let in then.
    pub async fn grant(&self, access: &Access) -> Result<()> {
        let (current, former) = self.current();
        let item = Item::new(&current, &former, &*self.runtime)?;
        let item = item.seal_to(access, &current.key, &*self.runtime).await?;
        self.leave(&item).await
    }

    /// Goes on with another key, which only these get (and this device). Whoever else has the keys up to now, a device that was lost say,
    /// cannot read what is encrypted from then on; what was encrypted before, it can. Devices that are in the access and were told their
    /// [device key](Self::device) follow by themselves; others need the new passphrase ([`unlock`](Self::unlock)), or the keys of a device
    /// that has them ([`learn`](Self::learn)).
    ///
    /// A passphrase has to be one that was not in use here before: whoever is left out may know that one.
    ///
    /// The other devices learn of it when they open the log again or read something that was encrypted with the new key. So make an exchange
    /// behind it that sends something, and keep the [`key_ring`](Self::key_ring) if the application keeps it. Where two devices rotate at
    /// once, each goes on with its own key, both are read by whoever gets both, and the next rotation brings them together.
    ///
    /// Dropped while it waits, it has happened or not; called again, it makes yet another key.
    ///
    /// # Errors
    /// [`SyncError::FormerPassphrase`]; [`SyncError::UnknownKey`] when there are later keys that are not here; [`SyncError::KeepsNoKeys`];
    /// those of the log. The key in force is as before then.
    pub async fn rotate(&self, access: &Access) -> Result<()> {
        self.look_for_keys().await?;
        self.refuse_if_left_out()?;
        if let Some(passphrase) = &access.passphrase {
            self.refuse_former(passphrase).await?;
        }
        let (current, mut former) = self.current();
        former.insert(0, current);
        let number = self.state().ring.last_number().saturating_add(1);
        let key = Generation { number, key: Arc::new(DataKey::generate(&*self.runtime)) };
        let item = Item::new(&key, &former, &*self.runtime)?;
        let item = item.seal_to(access, &key.key, &*self.runtime).await?;
        // Before it is in the log: whoever is interrupted behind that still has it.
        self.state().ring.insert(key);
        self.leave(&item).await
    }

    /// Keeps a sealed key in the log, and takes note of it.
    async fn leave(&self, item: &Item) -> Result<()> {
        let bytes = item.encode()?;
        let name = name_of(&bytes);
        self.store()?.put(name, &bytes).await?;
        self.take_note([(name, bytes)]);
        Ok(())
    }

    fn take_note(&self, items: impl IntoIterator<Item = Named>) {
        let mut state = self.state();
        let State { ring, found } = &mut *state;
        items.into_iter().for_each(|(name, bytes)| found.add(name, &bytes));
        found.open(ring, self.device.as_ref());
    }

    fn store(&self) -> Result<&dyn SealedKeys> {
        self.log.keys().ok_or(SyncError::KeepsNoKeys)
    }

    fn current(&self) -> (Generation, Vec<Generation>) {
        let state = self.state();
        (state.ring.current().clone(), state.ring.former())
    }

    /// Another device may have made the first key at the same moment: whoever has one of the two gets the other.
    async fn join_rivals(&self, passphrase: &Passphrase) -> Result<()> {
        let (own, _) = self.current();
        self.look_for_keys().await?;
        if self.try_passphrase(passphrase, ATTEMPTS).await? == 0 {
            return Ok(());
        }
        let rivals: Vec<_> = {
            let state = self.state();
            let all = std::iter::once(state.ring.current().clone()).chain(state.ring.former());
            all.filter(|it| it.key.id() != own.key.id()).collect()
        };
        let mut item = Item::new(&own, &[], &*self.runtime)?;
        for rival in rivals {
            item = item.seal_to_key(&rival.key, &own.key, &*self.runtime)?;
        }
        self.leave(&item).await
    }

    /// Tries a passphrase on what is not open yet; how many it has opened.
    async fn try_passphrase(&self, passphrase: &Passphrase, mut attempts: u32) -> Result<u32> {
        let mut opened = 0;
        for item in self.found_items() {
            if self.state().ring.get(item.id).is_some() {
                continue;
            }
            if let Some(key) = item.open_with_passphrase(passphrase, &mut attempts).await? {
                opened += 1;
                take(&mut self.state().ring, &item, Arc::new(key), By::Passphrase);
            }
        }
        Ok(opened)
    }

    fn found_items(&self) -> Vec<Item> {
        self.state().found.items()
    }

    async fn refuse_former(&self, passphrase: &Passphrase) -> Result<()> {
        let mut attempts = ATTEMPTS;
        for item in self.found_items() {
            if item.open_with_passphrase(passphrase, &mut attempts).await?.is_some() {
                return Err(SyncError::FormerPassphrase);
            }
        }
        Ok(())
    }

    fn refuse_if_left_out(&self) -> Result<()> {
        let state = self.state();
        if state.found.is_left_out(&state.ring) {
            let what = "the latest key in the shared log".to_owned();
            return Err(SyncError::UnknownKey { what });
        }
        Ok(())
    }

    /// Looks for keys in the log that were not seen yet. Gives the names of all that are there.
    pub(super) async fn look_for_keys(&self) -> Result<Vec<SealedKeyName>> {
        let Some(store) = self.log.keys() else { return Ok(Vec::new()) };
        let (names, items) = fetch(store, |name| !self.state().found.has(name)).await?;
        self.take_note(items);
        Ok(names)
    }

    /// The log may be another one from here on, or others may have left keys in it.
    pub(super) fn doubt_keys(&self) {
        self.unsure.store(true, Ordering::Relaxed);
    }

    /// Before something is encrypted for the log.
    pub(super) async fn check_keys(&self, transactions: &[SealedTransaction]) -> Result<()> {
        match transactions {
            [] => Ok(()),
            _ => self.leave_keys().await,
        }
    }

    /// Once for each time that the log was entered: takes up later keys, so that nothing is encrypted with one that others were left out
    /// for; and sees to it that the log has the keys which are known, as one that was wiped has not.
    pub(super) async fn leave_keys(&self) -> Result<()> {
        let Some(store) = self.log.keys().filter(|_| self.unsure.load(Ordering::Relaxed)) else {
            return Ok(());
        };
        let there = self.look_for_keys().await?;
        self.refuse_if_left_out()?;
        let known = {
            let state = self.state();
            state.found.known(&state.ring)?
        };
        for (name, bytes) in known.into_iter().filter(|(name, _)| !there.contains(name)) {
            store.put(name, &bytes).await?;
        }
        self.unsure.store(false, Ordering::Relaxed);
        Ok(())
    }
}
