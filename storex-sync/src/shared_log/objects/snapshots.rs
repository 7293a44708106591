//! Snapshots of a log in an object store.
//!
//! There is no lock, so several may be there at once: made at the same time, or not yet arrived whole. The one counts that
//! is whole and furthest on. Who publishes drops those that are not as far, pages first: what is left when that is cut short
//! still has its manifest, and the next one finds it.
//!
//! What was not published may be published at the moment at which it is dropped. So who drops it says so first and then looks whether
//! there is a manifest, and who publishes it writes the manifest first and then looks whether somebody drops it: one of the two, at least,
//! sees the other, and leaves it.
//!
//! Who drops may die between the two, and its mark then stays at a snapshot that is published. Nobody can tell whether it is dead or still about
//! to delete pages, as it may have looked before the manifest was there. So the mark is not taken away and nobody waits for that: the snapshot is
//! offered to readers as long as it is whole, its maker is told that it does not count, and the next one drops it together with the mark.

use async_trait::async_trait;

use super::ObjectSharedLog;
use super::names::{Listing, Name, SnapshotObjects};
use super::segment::{Manifest, write_manifest};
use super::store::Objects;
use super::trimming::count_droppable;
use super::vector::Vector;
use crate::error::Result;
use crate::shared_log::{Snapshot, SnapshotId, Snapshots, Usage};

const WRITING: &str = "writing a snapshot into the shared log";
const READING: &str = "reading a snapshot of the shared log";

/// The snapshots that there are.
pub(super) struct Candidates {
    /// The one that counts.
    pub(super) best: Option<(SnapshotId, Manifest)>,
    /// Others that were published.
    others: Vec<(SnapshotId, Option<Manifest>)>,
    /// Whether one was published that is not whole.
    pub(super) broken: bool,
}

/// Any two devices that see the same say the same of which is further on.
fn rank(id: SnapshotId, place: &Vector) -> (u64, SnapshotId) {
    (place.transactions(), id)
}

pub(super) async fn candidates(objects: &Objects, listing: &Listing) -> Result<Candidates> {
    let mut candidates = Candidates { best: None, others: Vec::new(), broken: false };
    for (id, there) in listing.snapshots.iter().filter(|(_, there)| there.manifest) {
        let manifest = objects.manifest(*id).await?;
        let manifest = match manifest {
            Some(it) if there.is_whole(it.pages) && listing.follows(&it.place) => it,
            other => {
                candidates.broken = true;
                candidates.others.push((*id, other));
                continue;
            }
        };
        let further = match &candidates.best {
            Some((best, known)) => rank(*id, &manifest.place) > rank(*best, &known.place),
            None => true,
        };
        if further {
            let former = candidates.best.replace((*id, manifest));
            candidates.others.extend(former.map(|(id, manifest)| (id, Some(manifest))));
        } else {
            candidates.others.push((*id, Some(manifest)));
        }
    }
    Ok(candidates)
}

impl ObjectSharedLog {
    async fn drop_snapshot(&self, id: SnapshotId, there: &SnapshotObjects) -> Result<()> {
        for page in &there.pages {
            self.objects.delete(Name::SnapshotPage(id, *page), WRITING).await?;
        }
        if there.manifest {
            self.objects.delete(Name::Manifest(id), WRITING).await?;
        }
        match there.given_up {
            true => self.objects.delete(Name::GivenUp(id), WRITING).await,
            false => Ok(()),
        }
    }

    /// Drops a snapshot that was not published, unless it is published at this moment.
    async fn give_up(&self, id: SnapshotId) -> Result<()> {
        self.objects.mark(Name::GivenUp(id), WRITING).await?;
        let listing = self.objects.list_snapshots(id.maker).await?;
        match listing.snapshots.get(&id) {
            Some(there) if !there.manifest => self.drop_snapshot(id, there).await,
            _ => self.objects.delete(Name::GivenUp(id), WRITING).await,
        }
    }

    /// Makes it visible. `false`: somebody has dropped it meanwhile, or does so now.
    async fn show(&self, id: SnapshotId, manifest: &Manifest) -> Result<bool> {
        self.objects.put(Name::Manifest(id), write_manifest(manifest), WRITING).await?;
        let listing = self.objects.list_snapshots(id.maker).await?;
        let there = listing.snapshots.get(&id);
        if there.is_some_and(|there| !there.given_up && there.is_whole(manifest.pages)) {
            return Ok(true);
        }
        self.objects.delete(Name::Manifest(id), WRITING).await?;
        Ok(false)
    }
}

#[async_trait]
impl Snapshots for ObjectSharedLog {
    async fn put_page(&self, id: SnapshotId, page: u64, bytes: &[u8]) -> Result<()> {
        if page == 0 {
            let listing = self.objects.list_snapshots(id.maker).await?;
            for (known, there) in listing.snapshots {
                if known == id && there.manifest {
                    return Ok(());
                }
                if known != id && !there.manifest {
                    self.give_up(known).await?;
                }
            }
        }
        self.objects.put(Name::SnapshotPage(id, page), bytes.to_vec(), WRITING).await
    }

    async fn publish(&self, snapshot: &Snapshot) -> Result<bool> {
        let Snapshot { id, pages, place } = snapshot;
        let manifest = Manifest { pages: *pages, place: Vector::read(place)? };
        let listing = self.objects.list().await?;
        let Candidates { best, others, .. } = candidates(&self.objects, &listing).await?;
        let Some(there) = listing.snapshots.get(id) else { return Ok(false) };
        let later = best.as_ref().is_some_and(|(best, known)| {
            best != id && known.place.transactions() > manifest.place.transactions()
        });
        let is_dropped = there.given_up && !there.manifest;
        if later || is_dropped || !there.is_whole(*pages) || !listing.follows(&manifest.place) {
            self.drop_snapshot(*id, there).await?;
            return Ok(false);
        }
        let is_new = !there.manifest;
        if !is_new && there.given_up {
            return Ok(false);
        }
        if is_new && !self.show(*id, &manifest).await? {
            return Ok(false);
        }
        let best = best.map(|(id, manifest)| (id, Some(manifest)));
        for (other, known) in best.into_iter().chain(others).filter(|(other, _)| other != id) {
            // One that is further on may not have arrived whole yet, and so may one of another device that cannot be read. Of two at the
            // same place the new one stays; two that are published once more at the same moment must not drop each other.
            let stays = known.map_or(other.maker != id.maker, |known| {
                let (theirs, own) = (known.place.transactions(), manifest.place.transactions());
                theirs > own || (theirs == own && !is_new)
            });
            if let (false, Some(there)) = (stays, listing.snapshots.get(&other)) {
                self.drop_snapshot(other, there).await?;
            }
        }
        Ok(true)
    }

    async fn published(&self) -> Result<Option<Snapshot>> {
        let listing = self.objects.list().await?;
        let Candidates { best, .. } = candidates(&self.objects, &listing).await?;
        Ok(best.map(|(id, Manifest { pages, place })| Snapshot {
            id,
            pages,
            place: place.cursor(),
        }))
    }

    async fn page(&self, id: SnapshotId, page: u64) -> Result<Option<Vec<u8>>> {
        self.objects.get(Name::SnapshotPage(id, page), READING).await
    }

    async fn usage(&self) -> Result<Usage> {
        let listing = self.objects.list().await?;
        let segments = listing.segments.values().flatten().map(|segment| segment.count);
        let transactions = segments.fold(0, u64::saturating_add);
        let droppable = count_droppable(&self.objects, &listing).await?;
        let Candidates { best, .. } = candidates(&self.objects, &listing).await?;
        let lacks_beginning = best.is_none() && listing.has_floors();
        Ok(Usage { transactions, droppable, lacks_beginning })
    }
}
