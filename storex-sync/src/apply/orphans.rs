//! Objects whose parents are gone, after an initial sync: it brings parents and children in an order of its own, so no rule
//! could be judged on the way.

use storex_core::{Filter, Step};

use super::page::How;
use super::{Applied, Replica, is_about_data};
use crate::error::{During, Result, SyncError};
use crate::meta::{META, Numbers, meta_query};
use crate::stamp::Device;
use crate::state::StatePage;
use crate::tombstones::{Deleted, Tombstones};
use crate::transaction::{Header, Shape};

/// The row of `_storex_meta` that is there from the end of an initial sync until the children of everything deleted were judged.
pub(crate) const ORPHANS: &str = "orphans";

const DURING: &str = "judging what points to deleted objects";

/// How many clocks are looked at at once.
const CLOCKS: u64 = 500;

impl Replica {
    /// Does what the rules say of everything that points to a deleted object, if an initial sync has come to its end since the
    /// last time.
    pub(crate) async fn judge_orphans(&self) -> Result<Applied> {
        let mut applied = Applied::default();
        let noted = self.storage.find(meta_query(&[ORPHANS])).await.during(DURING)?;
        if noted.is_empty() {
            return Ok(applied);
        }
        for collection in self.storage.registry().collections() {
            let Some(numbers) = self.numbers.get(collection.name()) else { continue };
            if self.rules.children(collection.name()).next().is_none() {
                continue;
            }
            let key = collection.primary_key().iter().filter_map(|at| collection.fields().get(*at));
            let shape = Shape {
                collection: collection.name().clone(),
                key_len: collection.primary_key().len(),
                fields: key.map(|field| field.name.clone()).collect(),
            };
            let mut tombstones = Tombstones::of(self, numbers, CLOCKS)?;
            while let Some(deleted) = tombstones.next(self).await? {
                applied.add(self.judge_children(&shape, numbers, deleted).await?);
            }
        }
        let judged = Step::Delete { collection: META.into(), filter: Filter::key(ORPHANS) };
        self.write(vec![judged], DURING).await?;
        Ok(Applied { resolutions: applied.resolutions, ..Applied::default() })
    }

    /// As if the deletions had arrived once more.
    async fn judge_children(
        &self,
        shape: &Shape,
        numbers: &Numbers,
        deleted: Deleted,
    ) -> Result<Applied> {
        let mut applied = Applied::default();
        let Deleted { devices, objects, newest: hlc } = deleted;
        let mut pages = vec![objects];
        while let Some(mut first) = pages.pop() {
            let page = StatePage {
                header: Header { device: Device::NOBODY, hlc, ..Header::default() },
                shape: shape.clone(),
                numbers: numbers.fields.iter().take(shape.key_len).copied().collect(),
                devices: devices.clone(),
                living: Vec::new(),
                deleted: first.clone(),
            };
            let one = self.resolve(page.sealed_as_nobodys()?);
            match self.apply_page(vec![one], None, How::Again).await {
                Ok(judged) => applied.add(judged),
                Err(SyncError::Storage { source, .. }) if is_about_data(source.kind()) => {
                    let second = first.split_off(first.len() / 2);
                    if first.is_empty() {
                        tracing::warn!(error = %source, "what points to a deleted object stays");
                    } else {
                        pages.extend([second, first]);
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(applied)
    }
}
