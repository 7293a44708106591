//! The relay: rooms in which the two ends of an initial sync meet, as neither can be connected to.

mod hearing;
mod pump;
mod rooms;

pub(crate) use pump::{Guest, Seat, join, wait_for_other};
pub(crate) use rooms::{Entered, Rooms};
