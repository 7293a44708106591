//! [`Directory`]: which devices are shut out, remembered for a second.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use storex_core::Timestamp;

use crate::error::Result;
use crate::store::{DeviceId, Store};
use crate::user::User;

/// For how many milliseconds an answer of the store counts.
const REMEMBERED_FOR: u64 = 1000;
/// So many answers are remembered.
const REMEMBERED: usize = 10_000;

/// Which devices are shut out, as the store says, which is asked once a second at most for each.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    known: Mutex<HashMap<(User, DeviceId), Known>>,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    at: Timestamp,
    revoked: bool,
}

impl Known {
    fn counts(self, now: Timestamp) -> bool {
        self.at.0.abs_diff(now.0) < REMEMBERED_FOR
    }
}

impl Directory {
    /// Notes that a device is here, and tells whether it was revoked.
    pub(crate) async fn is_revoked(
        &self,
        store: &dyn Store,
        user: &User,
        device: DeviceId,
        now: Timestamp,
    ) -> Result<bool> {
        let key = (user.clone(), device);
        if let Some(known) = self.get(&key).filter(|it| it.counts(now)) {
            return Ok(known.revoked);
        }
        let revoked = store.note_device(user, device, None, now).await?.revoked_at.is_some();
        self.remember(key, Known { at: now, revoked });
        Ok(revoked)
    }

    /// What was remembered of a device counts no more.
    pub(crate) fn forget(&self, user: &User, device: DeviceId) {
        self.lock().remove(&(user.clone(), device));
    }

    fn get(&self, key: &(User, DeviceId)) -> Option<Known> {
        self.lock().get(key).copied()
    }

    fn remember(&self, key: (User, DeviceId), what: Known) {
        let mut known = self.lock();
        if known.len() >= REMEMBERED {
            known.retain(|_, it| it.counts(what.at));
        }
        if known.len() < REMEMBERED {
            known.insert(key, what);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<(User, DeviceId), Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
