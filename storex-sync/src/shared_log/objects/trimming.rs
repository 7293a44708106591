//! Dropping what all members have.

use std::collections::BTreeSet;

use super::names::{Listing, Name, Segment};
use super::snapshots::{Candidates, candidates};
use super::store::Objects;
use super::vector::Vector;
use crate::error::Result;
use crate::shared_log::Trimmed;
use crate::stamp::Device;

const DURING: &str = "trimming the shared log";

/// Drops the segments that all members know whole, of whatever device: one that is gone for ever trims nothing itself.
/// Several devices may do so at once.
pub(super) async fn trim(objects: &Objects, listing: &Listing) -> Result<Trimmed> {
    let mut trimmed = Trimmed::default();
    let candidates = candidates(objects, listing).await?;
    let in_snapshot = match &candidates {
        Candidates { best: Some((_, manifest)), .. } => Some(&manifest.place),
        Candidates { broken: true, .. } => {
            // It may still arrive whole, and then everything that follows it must be there.
            tracing::debug!("nothing is trimmed: no snapshot is whole");
            return Ok(trimmed);
        }
        Candidates { .. } => None,
    };
    let members = acknowledged(objects, listing).await?;
    for (author, segments) in &listing.segments {
        let known = known_to_all(&members, *author);
        let known = in_snapshot.map_or(known, |place| known.min(place.next(*author)));
        let dropped = droppable(segments, known, listing.end(*author));
        if let Some(floor) = dropped.iter().map(|segment| segment.end()).max() {
            // First: whoever finds nothing where something was has to find out why.
            objects.mark(Name::Floor(*author, floor), DURING).await?;
        }
        for segment in dropped {
            objects.delete(Name::Segment(*segment), DURING).await?;
            trimmed.transactions = trimmed.transactions.saturating_add(segment.count);
        }
        for floor in listing.old_floors(*author) {
            objects.delete(Name::Floor(*author, floor), DURING).await?;
        }
    }
    Ok(trimmed)
}

/// How many transactions all members have, and the log still holds.
pub(super) async fn count_droppable(objects: &Objects, listing: &Listing) -> Result<u64> {
    let members = acknowledged(objects, listing).await?;
    let counts = listing.segments.iter().map(|(author, segments)| {
        let known = known_to_all(&members, *author);
        let dropped = droppable(segments, known, listing.end(*author));
        dropped.iter().map(|segment| segment.count).fold(0, u64::saturating_add)
    });
    Ok(counts.fold(0, u64::saturating_add))
}

/// What each member has acknowledged.
async fn acknowledged(objects: &Objects, listing: &Listing) -> Result<Vec<(Device, Vector)>> {
    let mut members = Vec::new();
    for member in &listing.members {
        members.push((*member, objects.acknowledged(*member).await?));
    }
    Ok(members)
}

/// The number up to which all members know what a device wrote.
fn known_to_all(members: &[(Device, Vector)], author: Device) -> u64 {
    let others = members.iter().filter(|(member, _)| *member != author);
    match others.map(|(_, place)| place.next(author)).min() {
        Some(least) => least,
        None if members.is_empty() => 1,
        None => u64::MAX,
    }
}

/// The last stays, for an append that is repeated to be told from another.
fn droppable(segments: &BTreeSet<Segment>, known: u64, end: u64) -> Vec<&Segment> {
    segments.iter().filter(|segment| segment.end() <= known && segment.end() < end).collect()
}
