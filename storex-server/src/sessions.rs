//! [`Sessions`]: what is open for long, WebSockets and long polls; how many there may be, and how they are ended.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::config::Limits;
use crate::store::DeviceId;
use crate::user::User;

/// One of so many sockets may be waited for to say whose it is.
const GREETING_SHARE: usize = 20;

/// Everything that is open for long.
#[derive(Debug)]
pub(crate) struct Sessions {
    by_user: Mutex<HashMap<User, HashMap<u64, Open>>>,
    slots: Arc<Semaphore>,
    /// Places for those who have not said yet who they are: strangers fill these, and no others.
    greeting: Arc<Semaphore>,
    most_in_all: usize,
    most_per_user: usize,
    stopping: watch::Sender<bool>,
}

#[derive(Debug)]
struct Open {
    device: Option<DeviceId>,
    revoked: watch::Sender<bool>,
}

/// Why a session is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Its device was revoked.
    Revoked,
    /// The server stops.
    GoingAway,
}

impl Sessions {
    pub(crate) fn new(limits: &Limits) -> Arc<Self> {
        Arc::new(Self {
            by_user: Mutex::default(),
            slots: Arc::new(Semaphore::new(limits.sockets)),
            greeting: Arc::new(Semaphore::new(limits.sockets.div_ceil(GREETING_SHARE))),
            most_in_all: limits.sockets,
            most_per_user: limits.sockets_per_user,
            stopping: watch::Sender::new(false),
        })
    }

    /// A place for one who has yet to say who it is. `None`: there are too many.
    pub(crate) fn greeting(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.greeting).try_acquire_owned().ok()
    }

    /// A place for one more. `None`: there are too many.
    pub(crate) fn slot(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.slots).try_acquire_owned().ok()
    }

    /// Takes the place for a user. `None`: the user has too many.
    pub(crate) fn begin(
        self: &Arc<Self>,
        slot: OwnedSemaphorePermit,
        user: User,
    ) -> Option<Session> {
        let mut by_user = self.lock();
        let open = by_user.entry(user.clone()).or_default();
        if open.len() >= self.most_per_user {
            return None;
        }
        let key = open.keys().max().map_or(0, |last| last + 1);
        let revoked = watch::Sender::new(false);
        let session = Session {
            sessions: Arc::clone(self),
            revoked: revoked.subscribe(),
            stopping: self.stopping.subscribe(),
            user,
            key,
            _slot: slot,
        };
        open.insert(key, Open { device: None, revoked });
        Some(session)
    }

    /// Ends what is open of a device.
    pub(crate) fn revoke(&self, user: &User, device: DeviceId) {
        let by_user = self.lock();
        let open = by_user.get(user).into_iter().flat_map(HashMap::values);
        for it in open.filter(|it| it.device == Some(device)) {
            it.revoked.send_replace(true);
        }
    }

    /// Every device that something is open of.
    pub(crate) fn devices(&self) -> Vec<(User, DeviceId)> {
        let by_user = self.lock();
        let of = |(user, open): (&User, &HashMap<u64, Open>)| -> Vec<_> {
            open.values().filter_map(|it| Some((user.clone(), it.device?))).collect()
        };
        by_user.iter().flat_map(of).collect()
    }

    /// Ends everything, and whatever begins later.
    pub(crate) fn stop(&self) {
        self.stopping.send_replace(true);
    }

    /// Completes when everything is to end.
    pub(crate) async fn stopped(&self) {
        // The sender is ours.
        let _ = self.stopping.subscribe().wait_for(|stopping| *stopping).await;
    }

    pub(crate) fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }

    pub(crate) fn open(&self) -> usize {
        self.most_in_all - self.slots.available_permits()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<User, HashMap<u64, Open>>> {
        self.by_user.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Something of a user's that is open for long. It counts until it is dropped.
#[derive(Debug)]
pub(crate) struct Session {
    sessions: Arc<Sessions>,
    revoked: watch::Receiver<bool>,
    stopping: watch::Receiver<bool>,
    user: User,
    key: u64,
    _slot: OwnedSemaphorePermit,
}

impl Session {
    /// Ends when this device is revoked from now on.
    pub(crate) fn of_device(&self, device: DeviceId) {
        let mut by_user = self.sessions.lock();
        if let Some(open) = by_user.get_mut(&self.user).and_then(|open| open.get_mut(&self.key)) {
            open.device = Some(device);
        }
    }

    /// Completes when it is to end. Cancel-safe.
    pub(crate) async fn ended(&mut self) -> Ending {
        let Self { revoked, stopping, .. } = self;
        tokio::select! {
            biased;
            Ok(_) = revoked.wait_for(|it| *it) => Ending::Revoked,
            _ = stopping.wait_for(|it| *it) => Ending::GoingAway,
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let mut by_user = self.sessions.lock();
        if let Some(open) = by_user.get_mut(&self.user) {
            open.remove(&self.key);
            if open.is_empty() {
                by_user.remove(&self.user);
            }
        }
    }
}
