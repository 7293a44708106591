//! [`Answers`]: how many bytes of answers may be in memory at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use axum::body::{Body, to_bytes};
use axum::response::Response;
use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::user::User;

/// An answer of fewer bytes is not counted: there is one for each connection at most.
const COUNTED: usize = 4 << 10;

/// So many users who take nothing of what they have asked for have all the room; each of them alone has this part of it.
const SHARES: usize = 4;

/// How many bytes of answers may be in memory at once, until they were taken by whoever asked: of all, and of one user. What is beyond waits,
/// for as long as a request may take.
#[derive(Debug)]
pub(crate) struct Answers {
    all: Room,
    /// Of those who have something under way.
    of_users: Mutex<HashMap<User, Weak<Semaphore>>>,
}

/// A permit for each byte.
#[derive(Debug)]
struct Room {
    permits: Arc<Semaphore>,
    most: usize,
}

impl Room {
    fn new(most: usize) -> Self {
        Self { permits: Arc::new(Semaphore::new(most)), most }
    }

    async fn take(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let bytes = u32::try_from(bytes.min(self.most)).unwrap_or(u32::MAX);
        // It is never closed.
        Arc::clone(&self.permits).acquire_many_owned(bytes).await.ok()
    }
}

/// Room for an answer. It is free again when the answer was taken, or given up.
#[derive(Debug, Clone)]
pub(crate) struct Reserved(Arc<[Option<OwnedSemaphorePermit>; 2]>);

impl Reserved {
    /// This answer is what the room is for.
    pub(crate) fn of(self, mut answer: Response) -> Response {
        answer.extensions_mut().insert(self);
        answer
    }
}

impl Answers {
    pub(crate) fn new(most: usize) -> Self {
        Self { all: Room::new(most), of_users: Mutex::default() }
    }

    /// Waits for room, before what is to be answered is read.
    pub(crate) async fn reserve(&self, user: &User, bytes: usize) -> Reserved {
        let of_user = self.of_user(user).take(bytes).await;
        Reserved(Arc::new([of_user, self.all.take(bytes).await]))
    }

    fn of_user(&self, user: &User) -> Room {
        let mut users = self.of_users.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(permits) = users.get(user).and_then(Weak::upgrade) {
            return Room { permits, most: self.all.most / SHARES };
        }
        users.retain(|_, permits| permits.strong_count() > 0);
        let room = Room::new(self.all.most / SHARES);
        users.insert(user.clone(), Arc::downgrade(&room.permits));
        room
    }

    /// Counts an answer, whose body is in memory already, until it was taken.
    pub(super) async fn count(&self, mut answer: Response) -> Response {
        let reserved = answer.extensions_mut().remove::<Reserved>();
        let (parts, body) = answer.into_parts();
        let Ok(bytes) = to_bytes(body, usize::MAX).await else {
            return Response::from_parts(parts, Body::empty());
        };
        if bytes.len() < COUNTED {
            return Response::from_parts(parts, Body::from(bytes));
        }
        let held = match reserved.and_then(|Reserved(held)| Arc::into_inner(held)) {
            // What it had more is free.
            Some(held) => held.map(|it| only(it?, bytes.len())),
            None => [self.all.take(bytes.len()).await, None],
        };
        let counted = Bytes::from_owner(Counted { bytes, _held: held });
        Response::from_parts(parts, Body::from(counted))
    }
}

/// So many of the permits; the others are given back.
fn only(mut permits: OwnedSemaphorePermit, most: usize) -> Option<OwnedSemaphorePermit> {
    permits.split(most.min(permits.num_permits()))
}

/// Bytes that count as long as they are there.
struct Counted {
    bytes: Bytes,
    _held: [Option<OwnedSemaphorePermit>; 2],
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}
