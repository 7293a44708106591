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
    answers: Mutex<Answers>,
}

#[derive(Debug, Default)]
struct Answers {
    known: HashMap<(User, DeviceId), Known>,
    /// How often something was forgotten. An answer to what was asked before that may be of before it.
    forgotten: u64,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    at: Timestamp,
    revoked: bool,
}

impl Known {
    fn counts(&self, now: Timestamp) -> bool {
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
        let forgotten = {
            let answers = self.lock();
            if let Some(known) = answers.known.get(&key).filter(|it| it.counts(now)) {
                return Ok(known.revoked);
            }
            answers.forgotten
        };
        let revoked = store.note_device(user, device, None, now).await?.revoked_at.is_some();
        self.remember(key, Known { at: now, revoked }, forgotten);
        Ok(revoked)
    }

    /// What was remembered of a device counts no more.
    pub(crate) fn forget(&self, user: &User, device: DeviceId) {
        let mut answers = self.lock();
        answers.known.remove(&(user.clone(), device));
        answers.forgotten += 1;
    }

    fn remember(&self, key: (User, DeviceId), what: Known, forgotten: u64) {
        let mut answers = self.lock();
        if answers.forgotten != forgotten {
            return;
        }
        let known = &mut answers.known;
        if known.len() >= REMEMBERED {
            known.retain(|_, it| it.counts(what.at));
        }
        if known.len() < REMEMBERED {
            known.insert(key, what);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Answers> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
