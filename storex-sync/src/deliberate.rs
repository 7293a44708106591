//! [`DeliberateFault`]: mistakes that tests plant, to see that the simulator finds them. Only with the feature
//! `deliberate-faults`.

use storex_core::{Changes, Filter, Name, Step};

use crate::apply::Replica;
use crate::clock::Clock;
use crate::error::Result;
use crate::perform::trim;
use crate::place::Move;
use crate::relative::Relative;
use crate::shared_log::SealedTransaction;
use crate::stamp::Stamp;
use crate::sync::Sync;
use crate::transaction::{Entry, EntryValue};

/// A mistake that is planted in the engine. For tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliberateFault {
    /// The place in the shared log is noted before the page is applied.
    CursorBeforePage,
    /// The own log is trimmed before the shared log has acknowledged what is sent.
    TrimBeforeAppend,
    /// A transaction that is missing is passed over.
    GapPassedOver,
    /// Of two writes with the same reading the one that arrives wins, whatever the devices.
    ArrivingWinsTies,
    /// What is delivered again is counted again.
    IncrementsTwice,
    /// After a failure no timer is started.
    NoTimerAfterFailure,
}

impl DeliberateFault {
    /// All of them.
    pub const EVERY: [Self; 6] = [
        Self::CursorBeforePage,
        Self::TrimBeforeAppend,
        Self::GapPassedOver,
        Self::ArrivingWinsTies,
        Self::IncrementsTwice,
        Self::NoTimerAfterFailure,
    ];

    /// The stamp that an arriving entry gets.
    pub(crate) fn stamp(self, stamp: Stamp, own: Option<&Clock>, entry: &Entry) -> Stamp {
        let fields = own.into_iter().flat_map(|clock| clock.fields.iter().map(|(_, at)| *at));
        let mut known = own.map(|clock| clock.row).into_iter().chain(fields);
        let sets = entry.values.iter().all(|value| value.counted().is_none());
        if self != Self::ArrivingWinsTies || !sets || !known.any(|known| known.hlc == stamp.hlc) {
            return stamp;
        }
        let mut stamp = stamp;
        stamp.device.id = [0xff; 16];
        stamp
    }

    /// What is written for an entry that was applied before.
    pub(crate) fn again(
        self,
        collection: &Name,
        fields: &[Name],
        key: Filter,
        entry: &Entry,
    ) -> Option<Step> {
        let mut changes = Changes::new();
        for (field, value) in fields.iter().zip(&entry.values) {
            if let EntryValue::Changed { change, .. } = value
                && let Relative::Increment { by, .. } = &**change
            {
                changes = changes.increment(Name::clone(field), by.clone());
            }
        }
        let planted = self == Self::IncrementsTwice && !changes.is_empty();
        let collection = Name::clone(collection);
        planted.then_some(Step::Update { collection, filter: key, changes })
    }
}

impl Sync {
    /// Plants a mistake. For tests.
    #[must_use]
    pub fn deliberate_fault(mut self, fault: DeliberateFault) -> Self {
        self.replica.fault = Some(fault);
        self
    }
}

impl Replica {
    pub(crate) async fn before_append(&self, sent: &[SealedTransaction]) -> Result<()> {
        if let (Some(DeliberateFault::TrimBeforeAppend), Some(last)) = (self.fault, sent.last()) {
            trim(self, last.device, last.sequence).await?;
        }
        Ok(())
    }

    pub(crate) async fn before_apply(&self, cursor: &Move) -> Result<()> {
        if self.fault == Some(DeliberateFault::CursorBeforePage) {
            self.write(vec![cursor.write()], "noting the place too early").await?;
        }
        Ok(())
    }
}
