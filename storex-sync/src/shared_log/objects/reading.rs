//! A page of a log in an object store.

use super::names::{Listing, Name, segments_of};
use super::store::Objects;
use super::vector::Vector;
use crate::error::{Result, SyncError};
use crate::shared_log::{LogId, MissingWrite, Page, SealedTransaction};
use crate::stamp::Device;
use crate::writes::WriteId;

/// Reads what follows a place, device by device.
pub(super) async fn read(
    objects: &Objects,
    listing: &Listing,
    log: LogId,
    reader: Device,
    mut place: Vector,
    limit: usize,
) -> Result<Page> {
    check_floor(listing, reader, &place)?;
    pass_over_own(listing, reader, &mut place);
    let own = listing.end(reader).saturating_sub(1);
    let mut missing = Vec::new();
    let mut filling = Filling { transactions: Vec::new(), bytes: 0, limit };
    for author in listing.authors().into_iter().filter(|author| *author != reader) {
        while let Some(transactions) = segment_at(objects, listing, author, &place).await? {
            let taken = filling.take(transactions);
            place.advance(author, taken.next);
            if !taken.whole {
                let (cursor, missing) = (place.cursor(), Vec::new());
                let Filling { transactions, .. } = filling;
                return Ok(Page { log, transactions, cursor, more: true, own, missing });
            }
        }
        missing.extend(missing_at(listing, author, &place));
    }
    let (cursor, Filling { transactions, .. }) = (place.cursor(), filling);
    Ok(Page { log, transactions, cursor, more: false, own, missing })
}

fn check_floor(listing: &Listing, reader: Device, place: &Vector) -> Result<()> {
    let others = listing.authors().into_iter().filter(|author| *author != reader);
    match others.into_iter().any(|author| place.next(author) < listing.floor(author)) {
        true => Err(SyncError::BelowFloor { reader }),
        false => Ok(()),
    }
}

/// A place says of the reader's own transactions too how far it is: it may be handed to another device.
fn pass_over_own(listing: &Listing, reader: Device, place: &mut Vector) {
    place.advance(reader, listing.floor(reader));
    while let Some(segment) = listing.covering(reader, place.next(reader)).next() {
        place.advance(reader, segment.end());
    }
}

/// The transactions of a device from the place on, as far as one segment has them; `None` when the next has not arrived.
async fn segment_at(
    objects: &Objects,
    listing: &Listing,
    author: Device,
    place: &Vector,
) -> Result<Option<Vec<SealedTransaction>>> {
    let next = place.next(author);
    for segment in listing.covering(author, next) {
        if let Some(mut transactions) = objects.segment(segment).await? {
            transactions.retain(|it| it.sequence >= next);
            return Ok(Some(transactions));
        }
    }
    Ok(None)
}

/// What of a device could not be read at the place, if it has written something there.
fn missing_at(listing: &Listing, author: Device, place: &Vector) -> Option<MissingWrite> {
    let next = place.next(author);
    if listing.end(author) <= next {
        return None;
    }
    let reason = match listing.covering(author, next).next() {
        Some(segment) => {
            format!("{} has not arrived whole yet, or is damaged", Name::Segment(*segment))
        }
        None => {
            let folder = segments_of(author);
            format!("{folder}/{next:020}-… has not arrived yet, although later ones have")
        }
    };
    tracing::debug!(reason, "something of the shared log is waited for");
    Some(MissingWrite { write: WriteId { device: author, sequence: next }, reason })
}

/// A page that is being filled.
struct Filling {
    transactions: Vec<SealedTransaction>,
    bytes: usize,
    limit: usize,
}

/// What of a segment has found room.
struct Taken {
    /// The number behind it.
    next: u64,
    whole: bool,
}

impl Filling {
    /// Takes as many as fit, but one at least into an empty page.
    fn take(&mut self, transactions: Vec<SealedTransaction>) -> Taken {
        let mut next = 1;
        for transaction in transactions {
            let bytes = self.bytes + transaction.payload.len();
            if !self.transactions.is_empty() && bytes > self.limit {
                return Taken { next, whole: false };
            }
            self.bytes = bytes;
            next = transaction.sequence.saturating_add(1);
            self.transactions.push(transaction);
        }
        Taken { next, whole: true }
    }
}
