//! [`Stamp`]: when something was written, in an order that all devices agree on.
//!
//! A hybrid logical clock (Kulkarni, Demirbas, Madappa, Avva, Leone: "Logical Physical Clocks", 2014) in 64 bits: 48 bits
//! of milliseconds, 16 bits of counter. It never goes back, and what is written after something else was *seen* always
//! has the later stamp, whatever the wall clocks say.

use std::fmt;

use storex_core::Timestamp;

use crate::error::{Result, SyncError};
use crate::hex::Hex;

/// A device, and which life of it: a database that is restored from a backup begins a new incarnation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Device {
    /// 16 random bytes, drawn when the sync log is first opened on a database.
    pub id: [u8; 16],
    /// Counts the lives.
    pub incarnation: u32,
}

impl Device {
    /// Nobody: whose stamp is that of data older than sync.
    pub const NOBODY: Self = Self { id: [0; 16], incarnation: 0 };
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Hex(&self.id[..4]))?;
        if self.incarnation > 0 {
            write!(f, ".{}", self.incarnation)?;
        }
        Ok(())
    }
}

/// A hybrid logical clock's reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Hlc(pub u64);

/// The last millisecond that is believed of a wall clock: the end of the year 9999.
const LAST_WALL: u64 = 253_402_300_799_999;

impl Hlc {
    /// Older than everything that was ever stamped: what was in the database before sync.
    pub const ZERO: Self = Self(0);

    /// No clock comes so far: the wall clock ends with the year 9999, and the counter has centuries from there to here. A
    /// greater reading is damaged or forged, and is refused, because nothing could be stamped after it.
    pub(crate) const LIMIT: Self = Self((LAST_WALL + (1 << 44)) << 16);

    /// The first of the readings that follow both the wall clock and the last reading.
    #[must_use]
    pub fn next(self, now: Timestamp) -> Self {
        let wall = u64::try_from(now.0).unwrap_or(0).min(LAST_WALL) << 16;
        Self(wall.max(self.0.saturating_add(1)))
    }

    /// The reading `n` later; the counter carries into the milliseconds.
    #[must_use]
    pub fn plus(self, n: u64) -> Self {
        Self(self.0.saturating_add(n))
    }

    /// A reading that came from elsewhere, unless it is beyond [`Hlc::LIMIT`].
    pub(crate) fn checked(self, what: &'static str) -> Result<Self> {
        if self <= Self::LIMIT {
            return Ok(self);
        }
        let reason = format!("no clock has come to {} yet", self.0);
        Err(SyncError::corrupt(what, reason))
    }

    /// The milliseconds of the reading.
    #[must_use]
    pub fn millis(self) -> Timestamp {
        Timestamp(i64::try_from(self.0 >> 16).unwrap_or(i64::MAX))
    }
}

/// When something was written, and by whom. Two different writes never have the same stamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Stamp {
    /// When.
    pub hlc: Hlc,
    /// By whom: decides between equal readings, the same way everywhere.
    pub device: Device,
}

impl Stamp {
    /// Older than everything that was ever stamped.
    pub const ZERO: Self = Self { hlc: Hlc::ZERO, device: Device { id: [0; 16], incarnation: 0 } };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_goes_back_when_the_wall_clock_does() {
        let first = Hlc::ZERO.next(Timestamp(5_000));
        let second = first.next(Timestamp(1_000));
        assert!(second > first);
        assert_eq!(second.millis(), Timestamp(5_000));
    }

    #[test]
    fn the_counter_carries_into_the_milliseconds() {
        let first = Hlc::ZERO.next(Timestamp(5_000));
        assert_eq!(first.plus(1 << 16).millis(), Timestamp(5_001));
    }

    #[test]
    fn times_before_1970_and_after_the_range_are_clamped() {
        assert_eq!(Hlc::ZERO.next(Timestamp(-1)), Hlc(1));
        let last = Hlc::ZERO.next(Timestamp(i64::MAX));
        assert_eq!(last.millis(), Timestamp(253_402_300_799_999));
        assert!(last.next(Timestamp(i64::MAX)) > last, "time goes on after the end of the range");
        assert!(last.plus(1 << 50) < Hlc::LIMIT);
        assert!(Hlc::LIMIT.plus(1 << 40) > Hlc::LIMIT, "no overflow near the limit");
        assert_eq!(Hlc(u64::MAX).next(Timestamp(0)), Hlc(u64::MAX));
    }
}
