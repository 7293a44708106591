//! The receiving side of a leg.

use std::sync::{Arc, Mutex, PoisonError};

use storex_core::{Batch, Collection, Name, Record, Step, Timestamp, Value};

use super::arriving::{Arriving, ArrivingPage};
use super::event::{Count, InitialSyncEvent, Role};
use super::fit::{Fit, Target};
use super::frame::{Frame, Hello, Rows, Tombstones, translate};
use super::hooks::PassingObject;
use super::line::Line;
use super::refused::Committed;
use super::resume::{Noting, Phase};
use super::session::Agreed;
use super::{InitialSync, InitialSyncReport, difference};
use crate::before::BEFORE;
use crate::clock_rows::{find_clocks, look_for_clocks};
use crate::error::{During, Result, SyncError};
use crate::failure::Failure;
use crate::journal::CONFLICTS;
use crate::key_code;
use crate::log::CLOCK;
use crate::meta::{DEVICES, Devices, HEAD, Head, META, read_meta};
use crate::parked::{PARKED, Parked, park_up_to};
use crate::scope::{Pending, SCOPES};
use crate::stamp::Device;
use crate::state::{StatePage, is_state};

pub(super) const DURING: &str = "receiving the initial sync";

/// Receives everything, or what differs; `None`: from a recording.
pub(super) async fn run(
    sync: &InitialSync,
    line: &mut Line<'_>,
    agreed: Option<&Agreed>,
) -> Result<InitialSyncReport> {
    let resumes = agreed.is_some_and(Agreed::resumes);
    let noting = if resumes { Some(Noting::begin(sync).await?) } else { None };
    let compares = agreed.is_some_and(Agreed::compares);
    let mut receiver = Receiver::run(sync, line, noting, compares).await?;
    receiver.take_over().await?;
    // The sender may forget what it has sent once we say so.
    sync.replica.storage.flush().await.during("making what arrived durable")?;
    line.send(&Frame::Finished).await?;
    Ok(receiver.report)
}

/// Takes the objects, and takes nothing over from the sender.
pub(super) async fn fill(sync: &InitialSync, line: &mut Line<'_>) -> Result<()> {
    Receiver::run(sync, line, None, false).await.map(drop)
}

#[derive(Debug)]
pub(super) struct Receiver<'a> {
    pub(super) sync: &'a InitialSync,
    pub(super) hello: Hello,
    pub(super) fit: Fit,
    /// What of scopes that were added was still to be brought at the beginning.
    pub(super) pending: Option<Pending>,
    pub(super) report: InitialSyncReport,
    pub(super) count: Count<'a>,
    /// How far it is, for the case that it is cut; `None`: it is not noted.
    pub(super) noting: Option<Noting>,
    /// Whether objects were dropped on the way.
    pub(super) is_sifted: bool,
}

/// A page of rows that is ready to be committed.
#[derive(Debug)]
struct ReadyRows {
    collection: usize,
    number: u64,
    /// How many were sent.
    count: u64,
    /// The key of the last one, as the sender has it.
    last: Option<Vec<Value>>,
    page: ArrivingPage,
    /// Whether the application has dropped any.
    is_sifted: bool,
}

impl<'a> Receiver<'a> {
    /// Takes everything that is sent, up to the end.
    async fn run(
        sync: &'a InitialSync,
        line: &mut Line<'_>,
        noting: Option<Noting>,
        compares: bool,
    ) -> Result<Self> {
        let pending = sync.replica.pending().await?;
        let hello = match line.receive(DURING).await? {
            Frame::Hello(hello) => hello,
            other => return Err(other.unexpected(DURING)),
        };
        let widths = hello.collections.iter().map(|it| it.fields.len());
        line.most_values = widths.max().unwrap_or(0);
        let mut receiver = Self::new(sync, hello, pending, noting)?;
        let accept = receiver.accept();
        line.send(&Frame::Accept(accept)).await?;
        if compares {
            receiver.report.compared = Some(difference::answer(&sync.replica, line).await?);
        }
        let mut ahead = None;
        loop {
            line.wait_while_paused(DURING).await?;
            let rows = match ahead.take() {
                Some(rows) => rows,
                None => match line.receive(DURING).await? {
                    Frame::Finish if !receiver.is_catching_up() => break,
                    Frame::Resumable { ticket, resumes } => {
                        receiver.resumable(ticket, resumes)?;
                        continue;
                    }
                    Frame::CaughtUp => {
                        receiver.caught_up()?;
                        continue;
                    }
                    Frame::Rows(rows) => receiver.ready(rows).await?,
                    frame => {
                        receiver.take(frame).await?;
                        receiver.answer(line).await?;
                        continue;
                    }
                },
            };
            ahead = receiver.take_rows(rows, line).await?;
            receiver.answer(line).await?;
        }
        receiver.count.end();
        Ok(receiver)
    }

    fn new(
        sync: &'a InitialSync,
        hello: Hello,
        pending: Option<Pending>,
        noting: Option<Noting>,
    ) -> Result<Self> {
        let fit = Fit::new(sync, &hello)?;
        let count = Count::begin(
            &sync.observers,
            Role::Receiver,
            hello.collections.iter().map(|collection| collection.count),
        );
        let (receiver_lacks, sender_lacks) = (fit.receiver_lacks.clone(), fit.sender_lacks.clone());
        if !(receiver_lacks.is_empty() && sender_lacks.is_empty()) {
            sync.observers.tell(&InitialSyncEvent::SchemasDiffer { receiver_lacks, sender_lacks });
        }
        let objects = hello.collections.iter().map(|it| (Name::clone(&it.name), 0)).collect();
        let report = InitialSyncReport { objects, ..InitialSyncReport::default() };
        Ok(Self { sync, hello, fit, pending, report, count, noting, is_sifted: false })
    }

    /// Says that a page was taken.
    async fn answer(&self, line: &mut Line<'_>) -> Result<()> {
        // Before the answer, with which more would come.
        line.follow().await?;
        line.send(&Frame::Received).await
    }

    /// Commits a page of rows. Meanwhile the next one, if it has arrived, is made ready: so a backend with a thread of its own is kept
    /// busy. Gives that one.
    async fn take_rows(
        &mut self,
        rows: ReadyRows,
        line: &mut Line<'_>,
    ) -> Result<Option<ReadyRows>> {
        self.expect(rows.number)?;
        self.is_sifted |= rows.is_sifted;
        let note = self.note(Phase::Rows, rows.collection, rows.last, rows.count);
        let next = async {
            match line.rows_ahead().await? {
                Some(rows) => self.ready(rows).await.map(Some),
                None => Ok(None),
            }
        };
        let (committed, ahead) = tokio::join!(self.commit(rows.page, note), next);
        self.tally(&committed?).await?;
        self.add(rows.collection, rows.count);
        ahead
    }

    async fn tally(&mut self, committed: &Committed) -> Result<()> {
        self.report.kept += committed.kept;
        self.report.parked += committed.parked;
        if committed.is_noted { Ok(()) } else { self.write_note().await }
    }

    /// Takes what is no page of rows.
    async fn take(&mut self, frame: Frame) -> Result<()> {
        match frame {
            Frame::Tombstones(tombstones) => {
                self.report.tombstones += tombstones.objects.len() as u64;
                self.expect(tombstones.number)?;
                let at = tombstones.collection;
                let last =
                    tombstones.objects.last().map(|(code, _)| vec![Value::Bytes(code.clone())]);
                let page = self.tombstones(tombstones)?;
                let note = self.note(Phase::Tombstones, at, last, 0);
                let committed = self.commit(page, note).await?;
                self.tally(&committed).await?;
            }
            Frame::Parked(parked) => {
                let told = self.counted(&parked);
                self.park(parked).await?;
                for (at, count) in told {
                    self.report.parked += count;
                    self.add(at, count);
                }
            }
            Frame::KeptBack { collection, count } => {
                self.is_sifted = true;
                if let Some(theirs) = self.hello.collections.get(collection) {
                    self.count.add(&theirs.name, count);
                }
            }
            other => return Err(other.unexpected(DURING)),
        }
        Ok(())
    }

    fn add(&mut self, collection: usize, count: u64) {
        if let Some((name, objects)) = self.report.objects.get_mut(collection) {
            *objects += count;
            if count > 0 {
                self.count.add(name, count);
            }
        }
    }

    /// How many objects there are of the collections that are parked.
    fn counted(&self, parked: &[Parked]) -> Vec<(usize, u64)> {
        if !self.fit.parks() {
            return Vec::new();
        }
        let nobodys = parked.iter().filter(|it| it.device == Device::NOBODY);
        let pages = nobodys.filter(|it| is_state(&it.payload));
        let pages = pages.filter_map(|it| StatePage::decode(&it.payload).ok());
        let counted = pages.filter_map(|page| {
            let mut theirs = self.hello.collections.iter();
            let at = theirs.position(|theirs| theirs.name == page.shape.collection)?;
            self.fit.targets.get(at)?.is_none().then_some((at, page.living.len() as u64))
        });
        counted.collect()
    }

    fn find(&self, at: usize) -> Result<&Target> {
        self.fit.targets.get(at).and_then(Option::as_ref).ok_or_else(|| SyncError::Protocol {
            during: DURING,
            reason: format!(
                "there is no collection {at} in the hello, or not one that was asked for"
            ),
        })
    }

    fn page(
        &self,
        target: &Target,
        devices: &Devices,
        objects: Vec<Arriving>,
    ) -> Result<ArrivingPage> {
        let mut theirs = self.hello.devices.clone();
        devices.iter().for_each(|known| theirs.advance(known.device, known.sequence, known.hlc));
        let merging = Arc::clone(&self.sync.replica.merging);
        let states = objects.iter().filter_map(|it| it.clock.as_ref()).flat_map(|it| &it.states);
        let functions = states.filter_map(|(_, state)| state.function());
        if let Some(name) = functions.into_iter().find(|name| !merging.joins.knows(name)) {
            let reason = format!(
                "a field of collection `{}` is joined by a function `{name}`, which this device does not have",
                target.collection.name()
            );
            return Err(SyncError::Protocol { during: DURING, reason });
        }
        let collection = &target.collection;
        let values: Vec<usize> = target
            .positions
            .iter()
            .flatten()
            .copied()
            .filter(|at| !collection.is_key(*at))
            .collect();
        Ok(ArrivingPage {
            collection: Arc::clone(collection),
            numbers: Arc::clone(&target.numbers),
            fields: values.iter().map(|at| target.numbers.fields[*at]).collect(),
            values,
            others: target.others.clone(),
            objects,
            note: None,
            merging,
            theirs,
            now: self.sync.replica.storage.runtime().now(),
            runtime: Arc::clone(self.sync.replica.storage.runtime()),
        })
    }

    /// Makes rows ready to be committed.
    async fn ready(&self, rows: Rows) -> Result<ReadyRows> {
        let target = self.find(rows.collection)?;
        let collection = &target.collection;
        let (count, mut is_sifted) = (rows.rows.len() as u64, false);
        let mut objects = Vec::with_capacity(rows.rows.len());
        let mut last = None;
        for (values, clock) in rows.rows {
            if values.len() != target.positions.len() {
                let reason = "a row has another number of values than its collection".to_owned();
                return Err(SyncError::Protocol { during: DURING, reason });
            }
            let mut record = collection.blank_record(Timestamp(0));
            for (at, value) in target.positions.iter().zip(values) {
                if let Some(at) = at {
                    record.set(*at, value);
                }
            }
            // The sender goes on behind the key as it has it.
            last =
                Some(collection.primary_key().iter().map(|at| record.get(*at).clone()).collect());
            // Brings the key to the form that it has here, before its clock is looked up.
            collection.check_record(&mut record).during("checking a row of the sender")?;
            let key = collection.key_of(&record);
            let code = key_code::encode(key.values());
            let clock = translate(&clock, &rows.devices, &target.translation)?;
            if show(self.sync, collection, &mut record).await? {
                objects.push(Arriving { key, code, record: Some(record), clock });
            } else {
                is_sifted = true;
            }
        }
        let page = self.page(target, &rows.devices, objects)?;
        let (collection, number) = (rows.collection, rows.number);
        Ok(ReadyRows { collection, number, count, last, page, is_sifted })
    }

    fn tombstones(&self, tombstones: Tombstones) -> Result<ArrivingPage> {
        let target = self.find(tombstones.collection)?;
        let mut objects = Vec::with_capacity(tombstones.objects.len());
        for (code, clock) in tombstones.objects {
            let key = key_code::decode(&code)?;
            let clock = translate(&clock, &tombstones.devices, &target.translation)?;
            let deleted = clock.as_ref().is_some_and(|clock| !clock.is_alive());
            if !deleted {
                let reason = "a tombstone's clock says that its object lives".to_owned();
                return Err(SyncError::Protocol { during: DURING, reason });
            }
            objects.push(Arriving { key, code, record: None, clock });
        }
        self.page(target, &tombstones.devices, objects)
    }

    /// Merges a page and commits it whole; tells how many objects were newer here.
    pub(super) async fn merge_page(&self, page: Arc<ArrivingPage>) -> Result<u64> {
        let (kept, failure) = (Arc::new(Mutex::new(0)), Failure::default());
        let (result, refused) = (Arc::clone(&kept), failure.clone());
        let collection = Name::clone(page.collection.name());
        let codes: Vec<Vec<u8>> = page.objects.iter().map(|object| object.code.clone()).collect();
        let number = page.numbers.collection;
        let begun = Batch::new().step(read_meta(&[HEAD, DEVICES, SCOPES]));
        let begun = begun.find(look_for_clocks(number, &codes));
        let begun = begun.touching([CLOCK, CONFLICTS, META, BEFORE]).touching([collection]);
        let batch = begun.then(move |trace| {
            let meta = trace.found(1).to_vec();
            let clocks = find_clocks(number, codes.clone(), trace.found(0));
            let (page, result, refused) = (Arc::clone(&page), Arc::clone(&result), refused.clone());
            let mut steps: Vec<Step> = page.find_images().into_iter().collect();
            steps.push(Step::Find(clocks));
            steps.push(Step::then(move |trace| {
                let (steps, kept) = refused.keep(Arc::clone(&page).merge(&meta, trace))?;
                *result.lock().unwrap_or_else(PoisonError::into_inner) = kept;
                Ok(steps)
            }));
            Ok(steps)
        });
        failure.or(self.sync.replica.storage.apply(batch).await, "committing a page")?;
        tracing::trace!(target: "storex::step", step = "initial.after_commit");
        Ok(*kept.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Parks what the sender could not apply, unless it came here another way.
    pub(super) async fn park(&self, parked: Vec<Parked>) -> Result<()> {
        let most = self.sync.replica.most_parked;
        let failure = Failure::default();
        let kept = failure.clone();
        let begun = Batch::new().step(read_meta(&[HEAD, DEVICES])).touching([PARKED]);
        let batch = begun.then(move |trace| {
            let read = || -> Result<(Head, Devices)> {
                Ok((Head::among(trace.found(0))?, Devices::among(trace.found(0))?))
            };
            let (head, devices) = kept.keep(read())?;
            let me = devices.device(head.me);
            let unknown = parked.iter().filter(|parked| {
                let known = devices.find(parked.device).map_or(0, |known| known.sequence);
                // What is nobody's has no order.
                let is_new = parked.device == Device::NOBODY || parked.sequence > known;
                Some(parked.device) != me && is_new
            });
            let unknown: Vec<Parked> = unknown.cloned().collect();
            Ok(if unknown.is_empty() {
                Vec::new()
            } else {
                park_up_to(most, unknown, &kept).to_vec()
            })
        });
        let parked = self.sync.replica.storage.apply(batch).await;
        failure.or(parked, "parking what could not be taken").map(drop)
    }
}

/// Shows an object to the application; whether it is taken.
async fn show(sync: &InitialSync, collection: &Collection, record: &mut Record) -> Result<bool> {
    let Some(hooks) = &sync.hooks else { return Ok(true) };
    let mut object = PassingObject::new(collection, record);
    let verdict = hooks.after_receive(&mut object).await;
    object.judged("asking the application about what has arrived", verdict)
}
