//! [`Rooms`]: the rooms that there are, and who is in them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use storex_core::{Runtime, Timestamp};
use storex_sync::http::Code;
use tokio::sync::oneshot;

use super::pump::Guest;
use crate::config::Relay;
use crate::http::{Failure, Outcome};
use crate::limiter::Who;
use crate::user::User;

/// The digits of a number where anybody may try one.
const MOST_DIGITS: usize = 6;

/// The rooms that there are.
#[derive(Debug)]
pub(crate) struct Rooms {
    rooms: Mutex<HashMap<String, Room>>,
    config: Relay,
}

#[derive(Debug)]
struct Room {
    /// The user who alone may enter; none where the relay is open.
    owner: Option<User>,
    maker: Who,
    until: Timestamp,
    who: InRoom,
}

#[derive(Debug)]
enum InRoom {
    Nobody,
    /// One, which waits for the other.
    One(oneshot::Sender<Guest>),
    Both,
}

/// What somebody finds who enters.
pub(crate) enum Entered {
    /// Nobody: the other one will come. The room is there as long as the guard is.
    First(oneshot::Receiver<Guest>, RoomGuard),
    /// The other one, who waits.
    Second(oneshot::Sender<Guest>),
}

impl Rooms {
    pub(crate) fn new(config: &Relay) -> Arc<Self> {
        Arc::new(Self { rooms: Mutex::default(), config: config.clone() })
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    /// Makes a room, and tells its number.
    pub(crate) fn make(
        &self,
        owner: Option<User>,
        maker: Who,
        runtime: &dyn Runtime,
    ) -> Outcome<String> {
        let now = runtime.now();
        let mut rooms = self.lock();
        rooms.retain(|_, room| !(room.until < now && matches!(room.who, InRoom::Nobody)));
        let of_maker = rooms.values().filter(|room| room.maker == maker).count();
        if rooms.len() >= self.config.rooms || of_maker >= self.config.rooms_per_user {
            let after = Duration::from_secs(30);
            return Err(Failure::rate_limited(
                Code::TooManyRooms,
                "there are too many rooms",
                after,
            ));
        }
        let digits = if self.config.open { MOST_DIGITS } else { digits_for(rooms.len()) };
        let number = free_number(&rooms, digits, runtime)?;
        let waits = i64::try_from(self.config.waits.as_millis()).unwrap_or(i64::MAX);
        let until = Timestamp(now.0.saturating_add(waits));
        rooms.insert(number.clone(), Room { owner, maker, until, who: InRoom::Nobody });
        Ok(number)
    }

    /// Goes into a room. Another's is as one that is not there.
    pub(crate) fn enter(
        self: &Arc<Self>,
        number: &str,
        who: Option<&User>,
        now: Timestamp,
    ) -> Outcome<Entered> {
        let mut rooms = self.lock();
        let room = rooms.get_mut(number);
        let room = room.filter(|room| room.owner.as_ref() == who);
        let none = || Failure::new(Code::NoSuchRoom, "there is no such room");
        let room = room.ok_or_else(none)?;
        match std::mem::replace(&mut room.who, InRoom::Both) {
            InRoom::Nobody if room.until < now => {
                rooms.remove(number);
                Err(none())
            }
            InRoom::Nobody => {
                let (other, comes) = oneshot::channel();
                room.who = InRoom::One(other);
                let guard = RoomGuard { rooms: Arc::clone(self), number: number.to_owned() };
                Ok(Entered::First(comes, guard))
            }
            InRoom::One(waiting) => Ok(Entered::Second(waiting)),
            InRoom::Both => Err(Failure::new(Code::RoomFull, "two are in the room already")),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Room>> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// As few as leave nine of ten numbers free.
fn digits_for(rooms: usize) -> usize {
    match rooms {
        0..1_000 => 4,
        1_000..10_000 => 5,
        _ => MOST_DIGITS,
    }
}

/// A number that is not taken.
fn free_number(
    rooms: &HashMap<String, Room>,
    digits: usize,
    runtime: &dyn Runtime,
) -> Outcome<String> {
    let numbers = (0..digits).fold(1, |numbers: u64, _| numbers * 10);
    // Nine of ten draws find one; as many as this never fail.
    for _ in 0..100 {
        let mut drawn = [0; 8];
        runtime.fill_random(&mut drawn);
        let number = format!("{:0digits$}", u64::from_le_bytes(drawn) % numbers);
        if !rooms.contains_key(&number) {
            return Ok(number);
        }
    }
    Err(Failure::busy("no number is free"))
}

/// The room is there as long as this is.
#[derive(Debug)]
pub(crate) struct RoomGuard {
    rooms: Arc<Rooms>,
    number: String,
}

impl Drop for RoomGuard {
    fn drop(&mut self) {
        self.rooms.lock().remove(&self.number);
    }
}
