//! Logs that number what they hold: a cursor is the position of the last transaction in front of it.

use super::Cursor;
use crate::error::{Result, SyncError};
use crate::stamp::Device;

impl Cursor {
    pub(super) fn at(position: u64) -> Self {
        Self(position.to_be_bytes().to_vec())
    }

    pub(super) fn position(&self) -> Result<u64> {
        let wrong = || SyncError::corrupt("a cursor", "it is of another kind of log");
        match self.0.as_slice() {
            [] => Ok(0),
            bytes => bytes.try_into().map(u64::from_be_bytes).map_err(|_| wrong()),
        }
    }
}

/// Up to which position all members know what a device wrote; `members` tells what each has acknowledged.
pub(super) fn known_to_all(members: &[(Device, u64)], author: Device) -> u64 {
    let others = members.iter().filter(|(device, _)| *device != author);
    match others.map(|(_, acknowledged)| *acknowledged).min() {
        Some(least) => least,
        None if members.is_empty() => 0,
        None => u64::MAX,
    }
}

/// Refuses a reader that has missed what was trimmed; `floors` tells the last position that was trimmed of each device.
pub(super) fn check_floor(
    floors: impl IntoIterator<Item = (Device, u64)>,
    reader: Device,
    position: u64,
) -> Result<()> {
    match floors.into_iter().any(|(author, floor)| author != reader && floor > position) {
        true => Err(SyncError::BelowFloor { reader }),
        false => Ok(()),
    }
}
