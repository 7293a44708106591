//! What a transaction tells whole, and what it should: objects that come to another scope.

use super::resolve::{IncomingTransaction, ResolvedShape};
use super::row::Work;
use super::scoped::Scoping;
use crate::clock::Clock;
use crate::stamp::Stamp;
use crate::transaction::{Entry, EntryKind};

impl Scoping {
    /// Whether a whole object that somebody tells lacks something of what is here. What its author had seen does not say so: who holds a
    /// part has passed over some of it.
    pub(super) fn is_behind(
        &self,
        at: usize,
        told: &Clock,
        here: Option<&Clock>,
        shape: &ResolvedShape,
    ) -> bool {
        let Some(here) = here.filter(|it| it.is_alive() && it.life == told.life) else {
            return false;
        };
        if self.is_old || shape.numbers.scope.is_none() {
            return false;
        }
        let lacks = |field: &&u32| {
            here.stamp(**field) > told.stamp(**field)
                || here.counter(**field) != told.counter(**field)
                || here.state(**field) != told.state(**field)
        };
        let mut lacking = shape.fields.iter().filter(lacks).peekable();
        let is_whole = !self.is_part.get(at).copied().unwrap_or(false);
        let is_mine = |stamp: Stamp| stamp.device.id == self.me.id;
        // Of what was added it may have all but a later sum of this device.
        let added = |field: u32, clock: &Clock| {
            let counter = clock.counter(field);
            counter.and_then(|it| it.sums.iter().map(|sum| sum.at).find(|at| at.device == self.me))
        };
        let lacks_mine =
            |field: u32| is_mine(here.stamp(field)) || added(field, here) > added(field, told);
        lacking.peek().is_some() && (is_whole || lacking.any(|field| lacks_mine(*field)))
    }

    /// Whether a transaction moves objects to scopes that are held here, does not tell them, and they are not here: they are in the log.
    pub(super) fn is_untold_move(
        &self,
        one: &IncomingTransaction,
        places: &[usize],
        works: &[Work],
    ) -> bool {
        let entries = || one.transaction.entries.iter().zip(places);
        let moves_in = |entry: &Entry| {
            let Some(shape) = one.shapes.get(entry.shape) else { return false };
            let scope = shape.numbers.scope;
            let behind = shape.values.iter().position(|at| Some(*at) == scope);
            let key = shape.collection.primary_key().len();
            let value = behind.and_then(|n| entry.values.get(key + n));
            let subscriptions = &self.held.subscriptions;
            value.is_some_and(|it| subscriptions.holds(shape.numbers.collection, it.value()))
        };
        !self.is_old
            && entries().any(|(entry, at)| {
                let is_here = |it: &Work| it.clock.as_ref().is_some_and(|it| it.life >= entry.life);
                entry.kind == EntryKind::Update
                    && !works.get(*at).is_none_or(is_here)
                    && !entries().any(|(it, place)| place == at && it.kind == EntryKind::Create)
                    && moves_in(entry)
            })
    }
}
