//! The end of a leg: the receiver goes on from where the sender was.

use storex_core::{Batch, Filter, Step};

use super::receive::Receiver;
use crate::apply::{ORPHANS, WITHHELD};
use crate::error::Result;
use crate::failure::Failure;
use crate::meta::{DEVICES, Devices, HEAD, Head, META, OFFERED, fresh_mark, read_meta, write_meta};
use crate::parked::{PARKED, all_is_here};
use crate::place::{Place, read_place};
use crate::scope::{BACKFILL, is_filled};
use crate::shared_log::Cursor;
use crate::stamp::{Device, Hlc};

impl Receiver<'_> {
    /// Goes on from where the sender was when it began: what it had applied is here now.
    ///
    /// Where something was parked, nothing is taken for seen until that was let in, so that no write of ours claims it. A sender
    /// that keeps to itself what we sync knows less than the log, and so do we of what was not taken: then we read that ourselves.
    pub(super) async fn take_over(&mut self) -> Result<()> {
        let replica = &self.sync.replica;
        let (was_sifted, was_parked) = self.before_the_cut();
        let is_parked = self.report.parked > 0 || was_parked;
        let noted = self.note_end();
        let keeps_back = self.hello.local.iter().any(|(collection, field)| {
            let known =
                replica.storage.registry().find(collection).zip(replica.numbers.get(collection));
            known.is_some_and(|(it, numbers)| {
                it.position(field).is_some_and(|at| !numbers.is_local(at))
            })
        });
        let is_complete = !(keeps_back || self.fit.skips() || self.is_sifted || was_sifted);
        let own_place = read_place(&replica.storage).await?;
        // One that has read on keeps its place: it knows what comes before it, and the sender may be behind.
        let theirs = self.hello.place.as_ref().filter(|place| match &own_place {
            Some(own) => own.log == place.log && own.cursor == Cursor::default(),
            None => true,
        });
        let place = theirs.filter(|_| is_complete).map(Place::write);
        let unshared = replica.unshared(own_place.as_ref(), self.hello.place.as_ref());
        let theirs = self.hello.devices.clone();
        let mark = fresh_mark(&**replica.storage.runtime());
        let failure = Failure::default();
        let kept = failure.clone();
        let meta = read_meta(&[HEAD, DEVICES, BACKFILL, OFFERED]);
        let begun = Batch::new().step(meta).touching([PARKED]);
        let pending = self.pending.clone().filter(|_| is_complete);
        let batch = begun.then(move |trace| {
            let read = || -> Result<(Head, Devices)> {
                Ok((Head::among(trace.found(0))?, Devices::among(trace.found(0))?))
            };
            let is_filled = kept.keep(is_filled(trace.found(0), pending.as_ref(), &theirs))?;
            let (mut head, mut devices) = kept.keep(read())?;
            let me = devices.device(head.me);
            let others =
                theirs.iter().filter(|it| Some(it.device) != me && it.device != Device::NOBODY);
            for known in others.filter(|_| is_complete) {
                let seen = if is_parked { Hlc::ZERO } else { known.hlc };
                devices.advance(known.device, known.sequence, seen);
                head.hlc = head.hlc.max(known.hlc);
            }
            let mut rows =
                vec![(HEAD, head.encode()), (DEVICES, devices.encode()), (ORPHANS, mark.clone())];
            rows.extend(unshared.clone());
            if is_parked && is_complete {
                rows.push((WITHHELD, theirs.encode()));
            }
            let filled = Step::Delete { collection: META.into(), filter: Filter::key(BACKFILL) };
            let filled = Some(filled).filter(|_| is_filled);
            let steps = [write_meta(rows), all_is_here()].into_iter();
            Ok(steps.chain(place.clone()).chain(filled).chain(noted.clone()).collect())
        });
        failure.or(replica.storage.apply(batch).await, "taking over from the sender").map(drop)
    }
}
