//! Snapshots in the shared log: an initial sync that is recorded, and played back.
//!
//! ```text
//!    InitialSync::record ──▶ Recording ──▶ pages ──▶ the shared log ──▶ pages ──▶ Playing ──▶ InitialSync::play
//!                            answers by itself                         takes the answers
//! ```
//!
//! So what arrives merges by stamp, what was parked is parked, the place is handed over, and what was written here and not
//! sent stays, all as in an initial sync between two devices.
//!
//! The frames are one stream, which begins with [`MAGIC`] and the version; each has its length before it. The stream is cut
//! into pages, whatever frames they hold, so a page has a bounded size. Each page begins with the checksum of its name and
//! the rest of it: what was damaged or has not arrived whole is noticed, in whatever log.

mod playing;
mod recording;

pub(crate) use playing::Playing;
pub(crate) use recording::Recording;

use crate::bytes::checksum;
use crate::shared_log::SnapshotId;

pub(crate) const MAGIC: &[u8; 4] = b"stxf";
pub(crate) const VERSION: u8 = 1;

const WHAT: &str = "a snapshot of the shared log";

/// The length of a checksum.
const CHECKSUM: usize = 8;

/// Of what a page holds, under the name that it has.
pub(crate) fn page_checksum(id: SnapshotId, page: u64, contents: &[u8]) -> [u8; CHECKSUM] {
    let SnapshotId { maker, number } = id;
    let incarnation = maker.incarnation.to_be_bytes();
    checksum([&maker.id[..], &incarnation, &number.to_be_bytes(), &page.to_be_bytes(), contents])
        .to_be_bytes()
}
