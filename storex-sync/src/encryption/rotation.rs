//! [`EncryptedSharedLog::rotate`]: another key, for fewer devices.

use std::sync::Arc;

use super::access::Access;
use super::data_key::{DataKey, KeyId};
use super::item::Item;
use super::log::EncryptedSharedLog;
use super::passphrase::Passphrase;
use super::ring::{Generation, KeyRing};
use crate::device_key::PairedDevice;
use crate::error::{Result, SyncError};

/// How many passphrases of before a new one is compared with.
const MOST_FORMER: u32 = 256;

/// A key that was made here, until it is known to be in the log.
#[derive(Debug)]
pub(super) struct Made {
    generation: Generation,
    item: Item,
    devices: Vec<PairedDevice>,
    has_passphrase: bool,
    /// The key that it was made after, and how many there were.
    after: (KeyId, usize),
}

impl Made {
    pub(super) fn id(&self) -> KeyId {
        self.generation.key.id()
    }

    pub(super) fn key(&self) -> Arc<DataKey> {
        Arc::clone(&self.generation.key)
    }

    /// Whether it is the latest still, or would be if it were in the log.
    fn is_in_time(&self, ring: &KeyRing) -> bool {
        let current = ring.current().key.id();
        current == self.id() || (current, ring.len()) == self.after
    }

    fn is_for(&self, access: &Access) -> bool {
        self.devices == access.devices && self.has_passphrase == access.passphrase.is_some()
    }
}

impl EncryptedSharedLog {
    /// Goes on with another key, which only these get (and this device). Whoever else has the keys up to now, a device that was lost say,
    /// cannot read what is encrypted from then on; what was encrypted before, it can. Devices that are in the access and were told their
    /// [device key](Self::device) follow by themselves; others need the new passphrase ([`unlock`](Self::unlock)), or the keys of a device
    /// that has them ([`learn`](Self::learn)).
    ///
    /// A passphrase has to be one that was not in use here before: whoever is left out may know that one.
    ///
    /// The other devices learn of it when they open the log again or read something that was encrypted with the new key. So make an exchange
    /// behind it that sends something, and keep the [`key_ring`](Self::key_ring) if the application keeps it. Where two devices rotate at
    /// once, each goes on with its own key, and whoever gets both sends nothing ([`SyncError::RivalKeys`]) until the next rotation brings
    /// them together, or somebody has said which one it is.
    ///
    /// Dropped while it waits, or failed because the log cannot be reached, it has happened or not. Called again with the same access it
    /// brings the same key to its end, as long as this `EncryptedSharedLog` is kept. Behind a restart of the program a rotation that
    /// has happened is taken up by [`unlock`](Self::unlock), and by itself where this device was told its device key.
    ///
    /// # Errors
    /// [`SyncError::FormerPassphrase`]; [`SyncError::UnknownKey`] when somebody has made keys that are not here;
    /// [`SyncError::RivalKeys`] when another rotation happened meanwhile; [`SyncError::KeepsNoKeys`]; [`SyncError::Corrupt`] when there are
    /// too many passphrases of before to try, or devices in the access; those of the log. After those of the log the key in force is as
    /// before, or the new one.
    pub async fn rotate(&self, access: &Access) -> Result<()> {
        self.look_for_keys().await?;
        let (id, item) = match self.made_for(access).await? {
            Some(made) => made,
            None => self.make(access).await?,
        };
        self.leave(&item).await?;
        self.settle_rotation(id)
    }

    async fn make(&self, access: &Access) -> Result<(KeyId, Item)> {
        self.refuse_if_left_out()?;
        if let Some(passphrase) = &access.passphrase {
            self.refuse_former(passphrase).await?;
        }
        let (ring, former) = {
            let state = self.state();
            // Those that were made and did not arrive may still do so, late.
            let mut all = state.ring.clone();
            state.made.iter().for_each(|it| all.insert(it.generation.clone()));
            (state.ring.clone(), all)
        };
        let number = former.last_number().saturating_add(1);
        let generation = Generation { number, key: Arc::new(DataKey::generate(&*self.runtime)) };
        let item = Item::new(&generation, &former.all(), &*self.runtime)?;
        let to = self.with_this_device(access);
        let item = item.seal_to(&to, &generation.key, &*self.runtime).await?;
        let made = Made {
            generation,
            item: item.clone(),
            devices: access.devices.clone(),
            has_passphrase: access.passphrase.is_some(),
            after: (ring.current().key.id(), ring.len()),
        };
        let id = made.id();
        // Before it is in the log: whoever is interrupted behind that still has it.
        self.state().made.push(made);
        Ok((id, item))
    }

    /// So that this device has the key also if it is restarted before anybody has kept it.
    fn with_this_device(&self, access: &Access) -> Access {
        let own = self.device.as_ref().map(|it| it.public());
        let missing = own.filter(|own| !access.devices.contains(own));
        access.clone().and_devices(missing)
    }

    /// A key that was made for these before, and is to be left in the log again as nobody knows whether it is there.
    async fn made_for(&self, access: &Access) -> Result<Option<(KeyId, Item)>> {
        let made: Vec<_> = {
            let state = self.state();
            let fitting = state.made.iter().filter(|it| it.is_for(access));
            let fitting = fitting.filter(|it| it.is_in_time(&state.ring));
            fitting.map(|it| (it.id(), it.item.clone())).collect()
        };
        for (id, item) in made {
            match &access.passphrase {
                None => return Ok(Some((id, item))),
                Some(passphrase) => {
                    if item.open_with_passphrase(passphrase, &mut 1).await?.is_some() {
                        return Ok(Some((id, item)));
                    }
                }
            }
        }
        Ok(None)
    }

    /// It is in the log.
    fn settle_rotation(&self, id: KeyId) -> Result<()> {
        let mut state = self.state();
        let after = state.made.iter().find(|it| it.id() == id).map(|it| it.after.0);
        if after == Some(state.ring.current().key.id()) {
            state.ring.go_on_with(id);
            state.follow();
        }
        if state.ring.current().key.id() != id {
            return Err(SyncError::RivalKeys);
        }
        let made = std::mem::take(&mut state.made);
        made.into_iter().for_each(|it| state.ring.insert(it.generation));
        Ok(())
    }

    /// Tries all that may be one of before: whoever is left out may know any of them.
    async fn refuse_former(&self, passphrase: &Passphrase) -> Result<()> {
        match self.opens_known(passphrase).await? {
            true => Err(SyncError::FormerPassphrase),
            false => Ok(()),
        }
    }

    /// Whether a passphrase opens one of the keys that are here.
    pub(super) async fn opens_known(&self, passphrase: &Passphrase) -> Result<bool> {
        let known: Vec<_> = {
            let state = self.state();
            let is_sound =
                |it: &Item| state.ring.get(it.id).is_some_and(|key| it.former(key).is_ok());
            let undecided = state.undecided();
            let known = state.found.items().into_iter();
            known.filter(|it| is_sound(it) && !undecided.contains(&it.id)).collect()
        };
        let mut attempts = MOST_FORMER;
        for item in known {
            if item.passphrases() > attempts as usize {
                let reason = format!("more than {MOST_FORMER} passphrases open them");
                return Err(SyncError::corrupt("the keys in the shared log", reason));
            }
            if item.open_with_passphrase(passphrase, &mut attempts).await?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
