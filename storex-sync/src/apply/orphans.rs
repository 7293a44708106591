//! Objects whose parents are gone, after an initial sync: it brings parents and children in an order of its own, so no rule
//! could be judged on the way.

use storex_core::{Batch, Filter, Step, field};

use super::page::How;
use super::{Applied, Replica, is_about_data};
use crate::error::{During, Result, SyncError};
use crate::failure::Failure;
use crate::meta::{
    DEVICES, Devices, HEAD, Head, META, Numbers, meta_query, meta_row, read_meta, write_meta,
};
use crate::parked::parked_of;
use crate::stamp::Device;
use crate::state::StatePage;
use crate::tombstones::{Deleted, Tombstones};
use crate::transaction::{Header, Shape};

/// The row of `_storex_meta` that is there from the end of an initial sync until the children of everything deleted were judged.
pub(crate) const ORPHANS: &str = "orphans";

/// The row with what an initial sync has brought of every device, until it may be claimed.
pub(crate) const WITHHELD: &str = "withheld";

const DURING: &str = "judging what points to deleted objects";

/// How many clocks are looked at at once.
const CLOCKS: u64 = 500;

impl Replica {
    /// Does what the rules say of everything that points to a deleted object, if an initial sync has come to its end since the
    /// last time.
    pub(crate) async fn judge_orphans(&self) -> Result<Applied> {
        let mut applied = Applied::default();
        let noted = self.storage.find(meta_query(&[ORPHANS, WITHHELD])).await.during(DURING)?;
        if meta_row(&noted, WITHHELD).is_some() {
            self.claim_withheld().await?;
        }
        let Some(mark) = meta_row(&noted, ORPHANS) else { return Ok(applied) };
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
        // Unless another initial sync has come to its end meanwhile.
        let same = field("name").eq(ORPHANS).and(field("value").eq(mark));
        let judged = Step::Delete { collection: META.into(), filter: same };
        self.write(vec![judged], DURING).await?;
        Ok(Applied { resolutions: applied.resolutions, ..Applied::default() })
    }

    /// Once nothing of nobody's is parked any more, this device has seen what its initial sync has brought.
    async fn claim_withheld(&self) -> Result<()> {
        let parked = self.storage.find(parked_of(Device::NOBODY, 1)).await.during(DURING)?;
        if !parked.is_empty() {
            return Ok(());
        }
        let failure = Failure::default();
        let kept = failure.clone();
        let batch = Batch::new().step(read_meta(&[HEAD, DEVICES, WITHHELD])).then(move |trace| {
            let meta = trace.found(0);
            let Some(withheld) = meta_row(meta, WITHHELD) else { return Ok(Vec::new()) };
            let read = || -> Result<Devices> {
                let mut devices = Devices::among(meta)?;
                let me = devices.device(Head::among(meta)?.me);
                for known in Devices::decode(withheld)?.iter().filter(|it| Some(it.device) != me) {
                    devices.advance(known.device, 0, known.hlc);
                }
                Ok(devices)
            };
            let devices = kept.keep(read())?;
            let claimed = Step::Delete { collection: META.into(), filter: Filter::key(WITHHELD) };
            Ok(vec![write_meta(vec![(DEVICES, devices.encode())]), claimed])
        });
        failure.or(self.storage.apply(batch).await, DURING).map(drop)
    }

    /// As if the deletions had arrived once more.
    async fn judge_children(
        &self,
        shape: &Shape,
        numbers: &Numbers,
        deleted: Deleted,
    ) -> Result<Applied> {
        let mut applied = Applied::default();
        let schema = self.storage.registry().version().0;
        let Deleted { devices, objects, newest: hlc } = deleted;
        let mut pages = vec![objects];
        while let Some(mut first) = pages.pop() {
            let page = StatePage {
                header: Header { device: Device::NOBODY, hlc, schema, ..Header::default() },
                shape: shape.clone(),
                numbers: numbers.fields.iter().take(shape.key_len).copied().collect(),
                devices: devices.clone(),
                living: Vec::new(),
                deleted: first.clone(),
            };
            let one = self.resolve(page.sealed_as_nobodys()?);
            match self.apply_page([one].into(), None, How::Again).await {
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
