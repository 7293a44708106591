//! [`Bound`]: what is so far ahead that it is not believed.

use std::time::Duration;

use storex_core::Timestamp;

use super::PLAUSIBLE;
use super::resolve::{IncomingTransaction, Refusal};
use crate::parked::WaitsFor;
use crate::stamp::Hlc;

/// How far another device's clock may be ahead.
///
/// Whoever applies a stamp of the year 2099 stamps everything later than that from then on, and so does everybody who
/// hears of it: nobody's clock means anything any more.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bound {
    /// What this device's clock says.
    pub(super) now: Timestamp,
    pub(super) skew: Duration,
}

impl Bound {
    /// Why a transaction waits, if it is too far ahead. `known` is the last reading that was believed: a clock that has
    /// fallen back to 1970 is no reason to believe nobody.
    pub(super) fn refusal(&self, one: &IncomingTransaction, known: Hlc) -> Option<Refusal> {
        if self.now < PLAUSIBLE {
            return None;
        }
        let skew = i64::try_from(self.skew.as_millis()).unwrap_or(i64::MAX);
        let reference = self.now.max(known.millis());
        let ahead = one.last_reading().millis().0.saturating_sub(reference.0);
        (ahead > skew).then(|| Refusal {
            reason: format!(
                "it was written {} hours ahead of this device's clock: set the clock of device {}, or of this one",
                ahead / 3_600_000,
                one.sealed.device
            ),
            waits_for: WaitsFor::Time,
        })
    }
}
