//! Objects that arrive, and have gone from here before: they are merged with their [`Marker`].

use storex_core::Record;

use super::arriving::ArrivingPage;
use super::supply::Arriving;
use crate::clock::Clock;
use crate::error::Result;
use crate::merge::merge_object;
use crate::scope::{Marker, Subscriptions};
use crate::stamp::Device;

/// What becomes of an object that has gone from here.
pub(super) enum Returning {
    /// It stays away; with what is known of it now, if that is news.
    Away(Option<Marker>),
    Here(Record, Clock),
    Deleted(Clock),
}

impl ArrivingPage {
    /// Merges an object that arrives with what is marked of it.
    pub(super) fn returning(
        &self,
        object: &Arriving,
        mut marker: Marker,
        held: &Subscriptions,
        me: Device,
    ) -> Result<Returning> {
        let unstamped = Clock::unstamped();
        let arriving = object.clock.as_ref().unwrap_or(&unstamped);
        if arriving.life < marker.life() {
            return Ok(Returning::Away(None));
        }
        let known = marker.clone();
        if arriving.life > marker.life() {
            marker.end(arriving.life);
        }
        let joins = &self.merging.joins;
        let merged = merge_object(None, arriving, &self.fields, &self.others, joins);
        let mut clock = merged.clock.clone().unwrap_or(unstamped);
        let Some(mut record) = object.record().cloned() else {
            self.ask(object, &merged)?;
            return Ok(Returning::Deleted(clock));
        };
        marker.join((&mut clock, &mut record), &self.collection, &self.numbers, joins);
        if held.exclude(&self.numbers, &record) {
            let now = Marker::of(&clock, &record, &self.numbers, me);
            return Ok(Returning::Away(now.filter(|now| *now != known)));
        }
        self.ask(object, &merged)?;
        Ok(Returning::Here(record, clock))
    }
}
