//! [`Answers`]: how many bytes of answers may be in memory at once.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::response::Response;
use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::failure::{Failure, Outcome};

/// An answer of fewer bytes is not counted: there is one for each connection at most.
const COUNTED: usize = 4 << 10;

/// How many bytes of answers may be in memory at once, until they were taken by whoever asked. What is beyond waits, for as long as a
/// request may take.
#[derive(Debug)]
pub(crate) struct Answers {
    /// A permit for each byte.
    room: Arc<Semaphore>,
    most: usize,
}

/// Room for an answer. It is free again when the answer was taken, or given up.
#[derive(Debug, Clone)]
pub(crate) struct Room(Arc<OwnedSemaphorePermit>);

impl Room {
    /// This answer is what the room is for.
    pub(crate) fn of(self, mut answer: Response) -> Response {
        answer.extensions_mut().insert(self);
        answer
    }
}

impl Answers {
    pub(crate) fn new(most: usize) -> Self {
        Self { room: Arc::new(Semaphore::new(most)), most }
    }

    /// Waits for room, before what is to be answered is read.
    pub(crate) async fn room(&self, bytes: usize) -> Outcome<Room> {
        self.take(bytes).await.map(|permit| Room(Arc::new(permit)))
    }

    async fn take(&self, bytes: usize) -> Outcome<OwnedSemaphorePermit> {
        let bytes = u32::try_from(bytes.min(self.most)).unwrap_or(u32::MAX);
        let taken = Arc::clone(&self.room).acquire_many_owned(bytes).await;
        taken.map_err(|_| Failure::busy("the server stops"))
    }

    /// Counts an answer, whose body is in memory already, until it was taken.
    pub(super) async fn count(&self, mut answer: Response) -> Outcome<Response> {
        let room = answer.extensions_mut().remove::<Room>();
        let (parts, body) = answer.into_parts();
        let Ok(bytes) = to_bytes(body, usize::MAX).await else {
            return Ok(Response::from_parts(parts, Body::empty()));
        };
        if bytes.len() < COUNTED {
            return Ok(Response::from_parts(parts, Body::from(bytes)));
        }
        let taken = match room.and_then(|Room(room)| Arc::into_inner(room)) {
            // What it had more is free.
            Some(mut room) => room.split(bytes.len().min(room.num_permits())),
            None => Some(self.take(bytes.len()).await?),
        };
        let counted = Bytes::from_owner(Counted { bytes, _room: taken });
        Ok(Response::from_parts(parts, Body::from(counted)))
    }
}

/// Bytes that count as long as they are there.
struct Counted {
    bytes: Bytes,
    _room: Option<OwnedSemaphorePermit>,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}
