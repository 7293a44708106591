//! The names of the objects of a log, and what a listing tells.
//!
//! ```text
//! log/<created>-<id>                            who the log is
//! members/<device>                              a member, and what it has acknowledged
//! segments/<device>/<first>-<count>-<checksum>  transactions of a device; written once
//! floors/<device>/<number>                      the device's transactions below this number may be gone
//! snapshots/<device>/<number>/<page>            a page of a snapshot that the device has made; written once
//! snapshots/<device>/<number>/manifest          the snapshot is whole; written last
//! snapshots/<device>/<number>/given-up          the snapshot was not published, and its pages are being deleted
//! keys/<name>-<checksum>                        a sealed key; written once
//! ```
//!
//! Whatever has another name (temporary files, conflict copies, what a system leaves in folders) is passed over.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::vector::Vector;
use crate::hex::{Hex, unhex_array};
use crate::shared_log::{LogId, SealedKeyName, SnapshotId};
use crate::stamp::Device;

const LOG: &str = "log";
const SEGMENTS: &str = "segments";
const SNAPSHOTS: &str = "snapshots";
const MANIFEST: &str = "manifest";
const GIVEN_UP: &str = "given-up";
/// What the names of sealed keys begin with.
pub(super) const KEYS: &str = "keys";

/// What an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Name {
    Log {
        created: u64,
        id: LogId,
    },
    Member(Device),
    Segment(Segment),
    Floor(Device, u64),
    SnapshotPage(SnapshotId, u64),
    Manifest(SnapshotId),
    GivenUp(SnapshotId),
    /// With a checksum of the contents.
    Key(SealedKeyName, u64),
}

/// The name of some transactions of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Segment {
    pub(super) device: Device,
    /// The number of the first transaction.
    pub(super) first: u64,
    pub(super) count: u64,
    /// Of the contents: an object that has not arrived whole is noticed.
    pub(super) checksum: u64,
}

impl Segment {
    /// The number behind the last transaction.
    pub(super) fn end(&self) -> u64 {
        self.first.saturating_add(self.count)
    }

    fn covers(&self, number: u64) -> bool {
        (self.first..self.end()).contains(&number)
    }
}

/// What the names of a device's segments begin with.
pub(super) fn segments_of(device: Device) -> String {
    format!("{SEGMENTS}/{}", OfDevice(device))
}

/// What the names of the snapshots that a device has made begin with.
pub(super) fn snapshots_of(maker: Device) -> String {
    format!("{SNAPSHOTS}/{}", OfDevice(maker))
}

struct OfDevice(Device);

impl fmt::Display for OfDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", Hex(&self.0.id), self.0.incarnation)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Log { created, id } => write!(f, "{LOG}/{created:015}-{}", Hex(&id.0)),
            Self::Member(device) => write!(f, "members/{}", OfDevice(*device)),
            Self::Segment(Segment { device, first, count, checksum }) => {
                write!(f, "{}/{first:020}-{count}-{checksum:016x}", segments_of(*device))
            }
            Self::Floor(device, number) => {
                write!(f, "floors/{}/{number:020}", OfDevice(*device))
            }
            Self::SnapshotPage(SnapshotId { maker, number }, page) => {
                write!(f, "{}/{number:016x}/{page:020}", snapshots_of(*maker))
            }
            Self::Manifest(SnapshotId { maker, number }) => {
                write!(f, "{}/{number:016x}/{MANIFEST}", snapshots_of(*maker))
            }
            Self::GivenUp(SnapshotId { maker, number }) => {
                write!(f, "{}/{number:016x}/{GIVEN_UP}", snapshots_of(*maker))
            }
            Self::Key(name, checksum) => write!(f, "{KEYS}/{name}-{checksum:016x}"),
        }
    }
}

impl Name {
    /// What the object of this name is; `None`: none of ours.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.split('/').collect();
        let name = match parts.as_slice() {
            [LOG, name] => {
                let (created, id) = name.split_once('-')?;
                Self::Log { created: created.parse().ok()?, id: LogId(unhex_array(id)?) }
            }
            ["members", device] => Self::Member(parse_device(device)?),
            ["floors", device, number] => Self::Floor(parse_device(device)?, number.parse().ok()?),
            [KEYS, name] => {
                let (name, checksum) = name.split_once('-')?;
                let checksum = u64::from_str_radix(checksum, 16).ok()?;
                Self::Key(SealedKeyName(unhex_array(name)?), checksum)
            }
            [SEGMENTS, device, name] => {
                let mut numbers = name.splitn(3, '-');
                Self::Segment(Segment {
                    device: parse_device(device)?,
                    first: numbers.next()?.parse().ok()?,
                    count: numbers.next()?.parse().ok()?,
                    checksum: u64::from_str_radix(numbers.next()?, 16).ok()?,
                })
            }
            [SNAPSHOTS, maker, number, name] => {
                let number = u64::from_str_radix(number, 16).ok()?;
                let id = SnapshotId { maker: parse_device(maker)?, number };
                match *name {
                    MANIFEST => Self::Manifest(id),
                    GIVEN_UP => Self::GivenUp(id),
                    page => Self::SnapshotPage(id, page.parse().ok()?),
                }
            }
            _ => return None,
        };
        // Exactly as we write it, so that no two names are one thing.
        (name.to_string() == text).then_some(name)
    }
}

fn parse_device(text: &str) -> Option<Device> {
    let (id, incarnation) = text.split_once('-')?;
    Some(Device { id: unhex_array(id)?, incarnation: incarnation.parse().ok()? })
}

/// The objects of a log.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// When it was made, and who it is: of each of those that made it at once.
    logs: BTreeSet<(u64, [u8; 16])>,
    pub(super) members: BTreeSet<Device>,
    pub(super) segments: BTreeMap<Device, BTreeSet<Segment>>,
    floors: BTreeMap<Device, BTreeSet<u64>>,
    /// Those that are whole, those that are being made, and what is left of others.
    pub(super) snapshots: BTreeMap<SnapshotId, SnapshotObjects>,
    pub(super) keys: BTreeSet<(SealedKeyName, u64)>,
}

/// The objects of a snapshot.
#[derive(Debug, Default)]
pub(super) struct SnapshotObjects {
    pub(super) pages: BTreeSet<u64>,
    pub(super) manifest: bool,
    pub(super) given_up: bool,
}

impl SnapshotObjects {
    pub(super) fn is_whole(&self, pages: u64) -> bool {
        self.pages.range(..pages).count() as u64 == pages
    }
}

impl Listing {
    pub(super) fn new(names: impl IntoIterator<Item = Name>) -> Self {
        let mut listing = Self::default();
        for name in names {
            match name {
                Name::Log { created, id } => {
                    listing.logs.insert((created, id.0));
                }
                Name::Member(device) => {
                    listing.members.insert(device);
                }
                Name::Segment(segment) => {
                    listing.segments.entry(segment.device).or_default().insert(segment);
                }
                Name::Floor(device, number) => {
                    listing.floors.entry(device).or_default().insert(number);
                }
                Name::SnapshotPage(id, page) => {
                    listing.snapshots.entry(id).or_default().pages.insert(page);
                }
                Name::Manifest(id) => listing.snapshots.entry(id).or_default().manifest = true,
                Name::GivenUp(id) => listing.snapshots.entry(id).or_default().given_up = true,
                Name::Key(name, checksum) => {
                    listing.keys.insert((name, checksum));
                }
            }
        }
        listing
    }

    /// Who the log is: the one that was made first, if several devices made it at once. `None`: there is no log.
    pub(super) fn id(&self) -> Option<LogId> {
        self.logs.first().map(|(_, id)| LogId(*id))
    }

    /// The names of the objects that say who it is.
    pub(super) fn logs(&self) -> impl Iterator<Item = Name> {
        self.logs.iter().map(|(created, id)| Name::Log { created: *created, id: LogId(*id) })
    }

    /// Whether the log, or one that was made at the same time, is this one.
    pub(super) fn knows(&self, id: LogId) -> bool {
        self.logs.iter().any(|(_, known)| *known == id.0)
    }

    /// The sealed keys of a name: one, unless two devices wrote at once.
    pub(super) fn keys_named(
        &self,
        name: SealedKeyName,
    ) -> impl Iterator<Item = (SealedKeyName, u64)> {
        self.keys.range((name, 0)..=(name, u64::MAX)).copied()
    }

    /// The devices that have written.
    pub(super) fn authors(&self) -> BTreeSet<Device> {
        self.segments.keys().chain(self.floors.keys()).copied().collect()
    }

    /// The first number of a device that is not known to be gone.
    pub(super) fn floor(&self, author: Device) -> u64 {
        self.floors.get(&author).and_then(|floors| floors.last()).copied().unwrap_or(1)
    }

    /// Whether nothing that follows the place is known to be gone, of whatever device.
    pub(super) fn follows(&self, place: &Vector) -> bool {
        self.floors.keys().all(|author| self.floor(*author) <= place.next(*author))
    }

    /// Whether something is known to be gone.
    pub(super) fn has_floors(&self) -> bool {
        self.floors.keys().any(|author| self.floor(*author) > 1)
    }

    /// Floors of a device that a higher one stands for.
    pub(super) fn old_floors(&self, author: Device) -> impl Iterator<Item = u64> {
        let highest = self.floor(author);
        self.floors.get(&author).into_iter().flatten().copied().filter(move |it| *it < highest)
    }

    /// The first number that two segments of an author have: an append was repeated, or two devices take themselves for one.
    pub(super) fn twice(&self, author: Device) -> Option<u64> {
        let mut end = 0;
        let segments = self.segments.get(&author)?;
        let twice = segments.iter().find(|segment| {
            let overlaps = segment.first < end;
            end = end.max(segment.end());
            overlaps
        });
        twice.map(|segment| segment.first)
    }

    /// The segments in which this number may be: one, unless an append was repeated or two devices take themselves for one.
    pub(super) fn covering(&self, author: Device, number: u64) -> impl Iterator<Item = &Segment> {
        let end = Segment { device: author, first: number, count: u64::MAX, checksum: u64::MAX };
        let known = self.segments.get(&author).map(|segments| segments.range(..=end).rev());
        known.into_iter().flatten().filter(move |segment| segment.covers(number))
    }

    /// The number behind the last transaction of a device.
    pub(super) fn end(&self, author: Device) -> u64 {
        let ends = self.segments.get(&author).into_iter().flatten().map(Segment::end);
        ends.max().unwrap_or(1).max(self.floor(author))
    }

    /// How many transactions of others it holds that follow the place.
    pub(super) fn behind(&self, reader: Device, place: &Vector) -> u64 {
        let others = self.authors().into_iter().filter(|author| *author != reader);
        let behind = others.map(|author| {
            let next = place.next(author).max(self.floor(author));
            self.end(author).saturating_sub(next)
        });
        behind.fold(0, u64::saturating_add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        let device = Device { id: [0xa7; 16], incarnation: 3 };
        let segment = Segment { device, first: 17, count: 4, checksum: 0xfe };
        for name in [
            Name::Log { created: 1_767_225_600_000, id: LogId([7; 16]) },
            Name::Member(device),
            Name::Segment(segment),
            Name::Floor(device, 12),
            Name::SnapshotPage(SnapshotId { maker: device, number: 0xfe }, 12),
            Name::Manifest(SnapshotId { maker: device, number: u64::MAX }),
            Name::GivenUp(SnapshotId { maker: device, number: 1 }),
            Name::Key(SealedKeyName([0x1c; 16]), 0xfe),
        ] {
            assert_eq!(Name::parse(&name.to_string()), Some(name));
        }
    }

    #[test]
    fn other_names_are_nothing() {
        let device = Device { id: [0xa7; 16], incarnation: 0 };
        let segment = Name::Segment(Segment { device, first: 1, count: 1, checksum: 1 });
        for text in [
            String::new(),
            "log/".to_owned(),
            ".DS_Store".to_owned(),
            "segments/.stfolder".to_owned(),
            format!("{segment} (conflicted copy 2026-01-01)"),
            format!("{segment}.tmp"),
            format!("{segment}#1"),
            format!("{segment}").replace("-1-", "-01-"),
            format!("{segment}").replace("-1-", "-+1-"),
            format!("{segment}").to_uppercase(),
            format!("{segment}/x"),
            format!("members/{}", "é".repeat(16)),
        ] {
            assert_eq!(Name::parse(&text), None, "{text}");
        }
    }
}
