//! Where the keys come from, and who gets them.

use std::collections::BTreeSet;
use std::sync::Arc;

use storex_core::Runtime;

use super::access::Access;
use super::data_key::KeyId;
use super::found::{Found, Named, fetch, take};
use super::item::{Item, name_of};
use super::log::EncryptedSharedLog;
use super::passphrase::Passphrase;
use super::ring::{Generation, KeyRing};
use crate::error::{Result, SyncError};
use crate::shared_log::{SealedKeyName, SealedKeys, SealedTransaction, SharedSyncLog};

/// How many sealed keys a passphrase is tried on, the latest first: each takes as long as its maker wanted.
const ATTEMPTS: u32 = 16;

impl EncryptedSharedLog {
    /// Makes the first key of a log, and leaves it there for others. On one device: the others [`open`](Self::open) the log. If two do it
    /// at the same moment with one passphrase, both keys are good: whoever has one of them comes by the other.
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
        if !items.iter().any(|it| it.passphrases() > 0) {
            return Err(SyncError::NoKeys);
        }
        let mut attempts = ATTEMPTS;
        for item in &items {
            if let Some(key) = item.open_with_passphrase(passphrase, &mut attempts).await? {
                let Ok(former) = item.former(&key) else { continue };
                let mut ring = KeyRing::of(Generation { number: item.number, key: Arc::new(key) });
                former.into_iter().for_each(|it| ring.insert(it));
                let this = Self::new(log, ring, runtime);
                this.state().found = found;
                for id in this.try_passphrase(passphrase, attempts).await? {
                    this.state().ring.go_on_with_first(id);
                }
                return Ok(this);
            }
        }
        Err(SyncError::WrongPassphrase)
    }

    /// Takes up keys that a passphrase opens: after [`SyncError::UnknownKey`] or [`SyncError::RivalKeys`], with the passphrase that is in
    /// force since. Then make an exchange ([`ContinuousSync::sync_now`](crate::ContinuousSync::sync_now)). The passphrase is tried on the
    /// keys that are here too, as one of before says nothing about which key is in force; see [`open`](Self::open) for how long
    /// each takes.
    ///
    /// # Errors
    /// [`SyncError::WrongPassphrase`] when it opens none of the keys that are missing or undecided here; [`SyncError::KeepsNoKeys`];
    /// [`SyncError::Corrupt`] when there are too many passphrases to try; those of the log.
    pub async fn unlock(&self, passphrase: &Passphrase) -> Result<()> {
        self.log.keys().ok_or(SyncError::KeepsNoKeys)?;
        self.look_for_keys().await?;
        if self.unopened().is_empty() {
            return Ok(());
        }
        let is_former = self.opens_known(passphrase).await?;
        let opened = self.try_passphrase(passphrase, ATTEMPTS).await?;
        if opened.is_empty() {
            return Err(SyncError::WrongPassphrase);
        }
        let mut state = self.state();
        for id in &opened {
            state.ring.go_on_with_first(*id);
        }
        // Whoever makes a key that is to be followed takes a new passphrase.
        let mut later = opened.iter().filter(|id| !is_former && !state.ring.is_first(**id));
        if let Some(id) = later.next().copied() {
            state.ring.go_on_with(id);
        }
        state.take_up(self.device.as_ref());
        Ok(())
    }

    /// Takes up the keys of another device that was handed over ([`KeyRing::receive`](crate::KeyRing), feature `pairing`).
    pub fn learn(&self, keys: KeyRing) {
        let mut state = self.state();
        state.merge(keys);
        state.take_up(self.device.as_ref());
    }

    /// Lets others come by the key that is in force, and by those before it: a device, or whoever knows a passphrase. Nobody is left out by
    /// it; a former passphrase goes on opening what it has opened.
    ///
    /// # Errors
    /// [`SyncError::UnknownKey`] and [`SyncError::RivalKeys`] when it is not known which key is in force; [`SyncError::KeepsNoKeys`]; those of
    /// the log. Nobody was let in then.
    pub async fn grant(&self, access: &Access) -> Result<()> {
        self.refuse_if_undecided()?;
        let (current, former) = self.current();
        let item = Item::new(&current, &former, &*self.runtime)?;
        let item = item.seal_to(access, &current.key, &*self.runtime).await?;
        self.leave(&item).await
    }

    /// Keeps a sealed key in the log, and takes note of it.
    pub(super) async fn leave(&self, item: &Item) -> Result<()> {
        let bytes = item.encode()?;
        let name = name_of(&bytes);
        self.store()?.put(name, &bytes).await?;
        self.take_note([(name, bytes)]);
        Ok(())
    }

    fn take_note(&self, items: impl IntoIterator<Item = Named>) {
        let mut state = self.state();
        items.into_iter().for_each(|(name, bytes)| state.found.add(name, &bytes));
        state.take_up(self.device.as_ref());
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
        let opened = self.try_passphrase(passphrase, ATTEMPTS).await?;
        if opened.is_empty() {
            return Ok(());
        }
        opened.into_iter().for_each(|id| self.state().ring.go_on_with_first(id));
        let rivals: Vec<_> = {
            let state = self.state();
            state.ring.all().into_iter().filter(|it| it.key.id() != own.key.id()).collect()
        };
        let mut item = Item::new(&own, &[], &*self.runtime)?;
        for rival in rivals {
            item = item.seal_to_key(&rival.key, &own.key, &*self.runtime)?;
        }
        self.leave(&item).await
    }

    /// Tries a passphrase on what is not open yet, or undecided; the keys that it has opened, the latest first.
    async fn try_passphrase(
        &self,
        passphrase: &Passphrase,
        mut attempts: u32,
    ) -> Result<Vec<KeyId>> {
        let (mut opened, mut seen) = (Vec::new(), BTreeSet::new());
        for item in self.unopened() {
            if seen.contains(&item.id) {
                continue;
            }
            if let Some(key) = item.open_with_passphrase(passphrase, &mut attempts).await? {
                let mut state = self.state();
                take(&mut state.ring, &item, Arc::new(key));
                if state.ring.get(item.id).is_some() {
                    opened.push(item.id);
                    // Those before it are open by that.
                    seen.extend(state.found.before(&state.ring, item.id));
                    seen.insert(item.id);
                }
            }
        }
        Ok(opened)
    }

    /// The items whose key is not here, or of which it cannot be told whether they count.
    fn unopened(&self) -> Vec<Item> {
        let state = self.state();
        let undecided = state.undecided();
        let is_open = |it: &Item| state.ring.get(it.id).is_some() && !undecided.contains(&it.id);
        state.found.items().into_iter().filter(|it| !is_open(it)).collect()
    }

    /// Somebody has made a key that is not here.
    pub(super) fn refuse_if_left_out(&self) -> Result<()> {
        let state = self.state();
        if state.found.is_left_out(&state.ring) {
            let what = "the latest key in the shared log".to_owned();
            return Err(SyncError::UnknownKey { what });
        }
        Ok(())
    }

    fn refuse_if_undecided(&self) -> Result<()> {
        self.refuse_if_left_out()?;
        match self.state().has_rivals {
            true => Err(SyncError::RivalKeys),
            false => Ok(()),
        }
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
        let mut state = self.state();
        state.doubts = state.doubts.wrapping_add(1);
    }

    /// Before something is encrypted for the log.
    pub(super) async fn check_keys(&self, transactions: &[SealedTransaction]) -> Result<()> {
        match transactions {
            [] => Ok(()),
            _ => self.leave_keys().await,
        }
    }

    /// Sees to it that nothing is encrypted with a key that others were left out for. Once for each time that the log was entered it looks for
    /// later keys, and leaves those that are known, which a log that was wiped has not.
    pub(super) async fn leave_keys(&self) -> Result<()> {
        let (doubts, settled) = {
            let state = self.state();
            (state.doubts, state.settled)
        };
        let Some(store) = self.log.keys().filter(|_| doubts != settled) else {
            return self.refuse_if_undecided();
        };
        let there = self.look_for_keys().await?;
        self.refuse_if_undecided()?;
        let known = {
            let state = self.state();
            state.found.known(&state.ring)?
        };
        for (name, bytes) in known.into_iter().filter(|(name, _)| !there.contains(name)) {
            store.put(name, &bytes).await?;
        }
        // Not what came up meanwhile.
        self.state().settled = doubts;
        Ok(())
    }
}
