//! Does the steps of an exchange over the storage and the shared log.

use std::sync::{Arc, Mutex, PoisonError};

use storex_core::{Batch, BoxFuture, Direction, Query, Step, Value, field};

use crate::apply::{Decoded, PutAside, Refused, Replica};
use crate::before::{BEFORE, forget_up_to};
use crate::deadline::in_time;
use crate::engine::{Action, Outcome, Retry};
use crate::error::{During, Result, SyncError};
use crate::exclusive::HOLDER;
use crate::failure::Failure;
use crate::lane::Lane;
use crate::log::LOG;
use crate::meta::{DEVICES, Devices, HEAD, Head, meta_query, read_meta};
use crate::parked::{parked, waiting};
use crate::place::{CURSOR, Move, Place, place_among, read_place};
use crate::renewal::Renewal;
use crate::scope::SCOPED;
use crate::shared_log::{Cursor, ENCRYPTED, LogId, LogRequest, Page, SealedTransaction};
use crate::stamp::Device;
use crate::sync::{Sync, Turn};
use crate::writes::WriteId;

impl Sync {
    /// Does one step of an exchange. For drivers of one's own.
    ///
    /// # Errors
    /// The storage's, the shared log's, [`SyncError::Timeout`], and [`SyncError::LeaseLost`] when another program has taken
    /// over meanwhile.
    pub async fn perform(&self, turn: &Turn, action: Action) -> Result<Outcome> {
        self.step(turn, action).await
    }

    /// In a box, so that it is compiled once for all that drive exchanges: it is the largest function there is.
    fn step<'a>(&'a self, turn: &'a Turn, action: Action) -> BoxFuture<'a, Result<Outcome>> {
        Box::pin(async move {
            let replica = self.replica.guarded(turn.guard());
            let storage = &replica.storage;
            Ok(match action {
                Action::ReadPlace => read_where(turn, &replica).await?,
                Action::Register(device) => {
                    let registered = self.log.register(device);
                    let log = self.in_time("registering", registered).await?;
                    self.refuse_log_of_another_lane(storage, device, log).await?;
                    Outcome::Registered(log)
                }
                Action::Reidentify(known) => {
                    if self.keeps_log {
                        return Err(SyncError::LogReplaced);
                    }
                    let identified = self.log.reidentify(known);
                    let during = "giving the shared log another identity";
                    Outcome::Registered(self.in_time(during, identified).await?)
                }
                Action::SavePlace(place) => {
                    if let Some(lane) = save_first_place(&replica, place).await? {
                        let (head, devices) = replica.head().await?;
                        let device = devices.device(head.me).ok_or(SyncError::NoSyncLog)?;
                        return Err(self.leave_log_of(lane, device).await);
                    }
                    Outcome::PlaceSaved
                }
                Action::ReadOutbox(device) => self.read_outbox(turn, device).await?,
                Action::Flush => {
                    storage.flush().await.during("making the database durable")?;
                    Outcome::Durable
                }
                Action::Exchange(request) => {
                    #[cfg(feature = "deliberate-faults")]
                    replica.before_append(&request.append).await?;
                    self.ask(turn, &replica, &request).await?
                }
                Action::Trim(device, last) => trim(&replica, device, last).await?,
                Action::Restore(device) => {
                    tracing::trace!(target: "storex::step", step = "sync.before_restore");
                    let report = self.restore(&replica, device).await?;
                    tracing::trace!(target: "storex::step", step = "sync.after_restore");
                    Outcome::Restored(report)
                }
                Action::Apply(transactions, cursor) => {
                    #[cfg(feature = "deliberate-faults")]
                    replica.before_apply(&cursor).await?;
                    if !transactions.is_empty() {
                        // Before it is: whoever gives up waiting does not learn whether it was.
                        turn.applies();
                    }
                    let ahead = turn.ahead();
                    let applying = apply(&replica, transactions, ahead.decoded(), cursor);
                    ahead.beside(self, &replica, applying).await?
                }
                Action::Renew(device, renewal) => {
                    tracing::trace!(target: "storex::step", step = "sync.before_renew");
                    let renewed = self.renew(&replica, device, renewal).await?;
                    tracing::trace!(target: "storex::step", step = "sync.after_renew");
                    Outcome::Renewed(renewed)
                }
                Action::PutAside(refused) => {
                    tracing::warn!(write = %refused.write, reason = refused.reason, "the shared log refuses a write");
                    let aside = replica.put_aside(refused).await?;
                    tracing::trace!(target: "storex::step", step = "sync.after_put_aside");
                    match aside {
                        PutAside::Done(rejected) => Outcome::PutAside(rejected),
                        PutAside::Renewed(now) => Outcome::Renewed(Some(now)),
                    }
                }
                Action::LogState => {
                    replica.log_state(self.limits.bytes).await?;
                    tracing::trace!(target: "storex::step", step = "sync.after_log_state");
                    Outcome::StateLogged
                }
                Action::RetryParked(which) => {
                    let parked = match which {
                        Retry::All => parked(storage).await?,
                        Retry::WaitingForChange => waiting(storage).await?,
                    };
                    Outcome::Retried(replica.retry_parked(parked).await?)
                }
                Action::Rescope { missing } => {
                    Outcome::Rescoped(self.rescope(&replica, &missing).await?)
                }
            })
        })
    }

    async fn ask(&self, turn: &Turn, replica: &Replica, request: &LogRequest) -> Result<Outcome> {
        let LogRequest { acknowledge, append, read, .. } = request;
        let sends = !append.is_empty();
        let during = match (sends, read) {
            (true, _) => "sending",
            (false, Some(_)) => "reading the shared log",
            (false, None) => "acknowledging",
        };
        if sends {
            tracing::trace!(target: "storex::step", step = "sync.before_append");
        }
        let answer = match turn.ahead().answer(request).await {
            Some(answer) => answer,
            None => self.in_time(during, self.log.exchange(request, self.limits.bytes)).await,
        };
        if sends {
            tracing::trace!(target: "storex::step", step = "sync.after_append");
        }
        match answer {
            Ok(None) if read.is_some() => {
                let reason = "it gives no page, although one was asked for".to_owned();
                Err(SyncError::Protocol { during, reason })
            }
            Ok(page) => {
                refuse_encrypted(page.as_ref())?;
                turn.ahead().answered(request.device, page.as_ref());
                if acknowledge.is_some() {
                    turn.acknowledged();
                    tracing::trace!(target: "storex::step", step = "sync.after_acknowledge");
                }
                Ok(Outcome::Exchanged(page))
            }
            Err(SyncError::Forked { sequence, .. }) if sends => Ok(Outcome::Forked(sequence)),
            Err(SyncError::Rejected { device, sequence, reason, is_too_large }) if sends => {
                let write = WriteId { device, sequence };
                Ok(Outcome::Refused(Refused { write, reason, is_too_large }))
            }
            // It does not have what it had confirmed: it was put back to an older state.
            Err(SyncError::Gap { .. }) if sends => Ok(Outcome::LogReplaced),
            Err(SyncError::LogReplaced) => Ok(Outcome::LogReplaced),
            Err(error @ SyncError::BelowFloor { .. }) => match read {
                Some(after) => self.below_floor(replica, after, error).await,
                None => Err(error),
            },
            Err(error) => Err(error),
        }
    }

    /// A lane that comes to a log in which another one of this storage is would park all that is there, for ever. This is about one that
    /// was in another log before; for one that was in none see [`save_first_place`].
    async fn refuse_log_of_another_lane(
        &self,
        storage: &Lane,
        device: Device,
        log: LogId,
    ) -> Result<()> {
        if read_place(storage).await?.is_none_or(|own| own.log == log) {
            return Ok(());
        }
        for other in storage.others() {
            if read_place(&other).await?.is_some_and(|there| there.log == log) {
                let lane = other.name().unwrap_or_default().to_owned();
                return Err(self.leave_log_of(lane, device).await);
            }
        }
        Ok(())
    }

    /// Leaves the log of another lane: else what others write there would be kept for this one.
    async fn leave_log_of(&self, lane: String, device: Device) -> SyncError {
        let left = self.in_time("leaving the shared log", self.log.dismiss(device)).await;
        left.err().unwrap_or(SyncError::LogOfAnotherLane { lane })
    }

    async fn below_floor(
        &self,
        replica: &Replica,
        after: &Cursor,
        error: SyncError,
    ) -> Result<Outcome> {
        let place = read_place(&replica.storage).await?;
        let Some(place) = place.filter(|it| it.cursor != Cursor::default()) else {
            return Ok(Outcome::BelowFloor);
        };
        // A log that is read anew, and lacks its beginning: the gap may pass, unless there is something better.
        if place.cursor != *after && !self.has_snapshot().await? {
            return Err(error);
        }
        lose_place(replica, place).await?;
        Ok(Outcome::BelowFloor)
    }

    async fn renew(
        &self,
        replica: &Replica,
        device: Device,
        renewal: Renewal,
    ) -> Result<Option<Device>> {
        if self.keeps_log && matches!(renewal, Renewal::Replaced { .. }) {
            return Err(SyncError::LogReplaced);
        }
        let reason = format!("{renewal:?}");
        let renewed = replica.renew(device, renewal).await?;
        if let Some(now) = renewed {
            tracing::warn!(%device, %now, reason, "the device begins a new incarnation");
        }
        Ok(renewed)
    }

    /// A request that is not answered is given up: the next one finds out what became of it.
    pub(crate) async fn in_time<T>(
        &self,
        during: &'static str,
        request: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        in_time(&**self.replica.storage.runtime(), self.deadline, during, request).await
    }
}

/// What nobody has decrypted is not parked as if it were damaged: this program does not know that the log is encrypted.
fn refuse_encrypted(page: Option<&Page>) -> Result<()> {
    let transactions = page.map_or(&[][..], |page| &page.transactions);
    match transactions.iter().find(|it| it.payload.first() == Some(&ENCRYPTED)) {
        Some(SealedTransaction { device, sequence, .. }) => {
            let what = format!("transaction {sequence} of device {device}");
            Err(SyncError::UnknownKey { what })
        }
        None => Ok(()),
    }
}

/// Where this device stands, in as few reads as can be: an exchange with nothing to do does little else.
async fn read_where(turn: &Turn, replica: &Replica) -> Result<Outcome> {
    let names = [[HEAD, DEVICES, CURSOR], SCOPED].concat();
    let meta = replica.storage.find(meta_query(&names)).await;
    let meta = meta.during("reading where this device stands")?;
    let (head, devices) = (Head::among(&meta)?, Devices::among(&meta)?);
    let device = devices.device(head.me).ok_or(SyncError::NoSyncLog)?;
    let (place, scoped) = (place_among(&meta)?, replica.is_scoped(&meta));
    let ahead = replica.farthest().is_some_and(|farthest| head.hlc > farthest);
    let unsent = Query::new(LOG).order_by("sequence", Direction::Ascending).limit(1);
    let unsent = replica.storage.find(unsent.select(["sequence"])).await;
    let unsent = unsent.during("looking for what is to be sent")?;
    let oldest = unsent.first().and_then(|row| u64::try_from(row.get(0).as_int()?).ok());
    let sent_to = oldest.unwrap_or(head.next);
    let first = turn.is_first();
    if first && place.is_some() {
        // Nobody knows what was told before.
        turn.applies();
    }
    let untold = turn.owes_acknowledgement();
    Ok(Outcome::Place { device, sent_to, place, first, ahead, untold, scoped })
}

/// Notes the first place in a shared log, unless another lane has noted one in the same log by now; gives its name then. Of lanes that
/// begin at the same time one is the first.
async fn save_first_place(replica: &Replica, place: Place) -> Result<Option<String>> {
    let storage = &replica.storage;
    let (failure, taken) = (Failure::default(), Arc::new(Mutex::new(None)));
    let (kept, found, fence) = (failure.clone(), Arc::clone(&taken), replica.fence());
    let others: Vec<Lane> = storage.others().collect();
    let mut batch = Batch::new().step(storage.own_step(read_meta(&[HOLDER])));
    for other in &others {
        batch = batch.step(other.own_step(read_meta(&[CURSOR])));
    }
    let write = storage.own_step(place.write());
    let batch = batch.then(move |trace| {
        kept.keep(fence.map_or(Ok(()), |fence| fence.check(trace.found(others.len()))))?;
        let mut lane = None;
        for (n, other) in others.iter().rev().enumerate() {
            let there = kept.keep(place_among(trace.found(n)))?;
            if there.is_some_and(|there| there.log == place.log) {
                lane = Some(other.name().unwrap_or_default().to_owned());
            }
        }
        let steps = if lane.is_none() { vec![write.clone()] } else { Vec::new() };
        *found.lock().unwrap_or_else(PoisonError::into_inner) = lane;
        Ok(steps)
    });
    // The names are those of several lanes.
    let executed = storage.storage().apply(batch).await;
    failure.or(executed, "noting the place in the shared log")?;
    Ok(taken.lock().unwrap_or_else(PoisonError::into_inner).take())
}

/// Trims the log, if this device is still who sent from it: the numbers of a new incarnation are others.
pub(crate) async fn trim(replica: &Replica, device: Device, last: u64) -> Result<Outcome> {
    let last = i64::try_from(last).unwrap_or(i64::MAX);
    let (failure, now) = (Failure::default(), Arc::new(Mutex::new(device)));
    let (kept, found, fence) = (failure.clone(), Arc::clone(&now), replica.fence());
    let reversible = replica.merging.reversible;
    let begun = Batch::new().step(read_meta(&[HEAD, DEVICES, HOLDER])).touching([LOG, BEFORE]);
    let batch = begun.then(move |trace| {
        let meta = trace.found(0);
        let me = fence.map_or(Ok(()), |fence| fence.check(meta)).and_then(|()| {
            let (head, devices) = (Head::among(meta)?, Devices::among(meta)?);
            devices.device(head.me).ok_or(SyncError::NoSyncLog)
        });
        let me = kept.keep(me)?;
        *found.lock().unwrap_or_else(PoisonError::into_inner) = me;
        let sent = field("sequence").lte(Value::Int(last));
        let delete = Step::Delete { collection: LOG.into(), filter: sent };
        let forget = reversible.then(|| forget_up_to(last));
        Ok([delete].into_iter().chain(forget).filter(|_| me == device).collect())
    });
    failure.or(replica.storage.apply(batch).await, "trimming the log")?;
    tracing::trace!(target: "storex::step", step = "sync.after_trim");
    let now = *now.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(if now == device { Outcome::Trimmed } else { Outcome::Renewed(Some(now)) })
}

async fn apply(
    replica: &Replica,
    transactions: Vec<SealedTransaction>,
    ahead: Option<Decoded>,
    cursor: Move,
) -> Result<Outcome> {
    tracing::trace!(target: "storex::step", step = "sync.before_apply");
    let applied = match replica.apply(transactions, ahead, Some(cursor)).await {
        Err(SyncError::Gap { device, expected, found }) => {
            return Ok(Outcome::Missed { device, expected, found });
        }
        applied => applied?,
    };
    tracing::trace!(target: "storex::step", step = "sync.after_apply");
    Ok(Outcome::Applied(applied))
}

/// What followed our place is gone: an initial sync is to give us another.
async fn lose_place(replica: &Replica, place: Place) -> Result<()> {
    let lost = Place { cursor: Cursor::default(), ..place.clone() };
    let lost = Move { from: Some(place), to: lost };
    replica.write(vec![lost.write()], "forgetting the place in the shared log").await
}
