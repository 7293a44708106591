//! Folding a page's transactions into its objects.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, PoisonError};

use storex_core::{Error, Key, Name, Record, Step};

use super::Applied;
use super::noted::{Clashes, Meeting};
use super::resolve::{IncomingTransaction, Refusal};
use super::revive::{brought_back, had_seen_all};
use super::row::{Object, Row, Work};
use super::scoped::{Scoping, is_seen};
use crate::clock::LAST_LIFE;
use crate::error::{Result, SyncError};
use crate::hooks::WrittenAs;
use crate::journal::note;
use crate::merge::{Action, FieldConflict, Merged, merge_object, object_conflicts};
use crate::meta::{Devices, Head};
use crate::parked::{Parked, WaitsFor};
use crate::scope::Marker;
use crate::shared_log::SealedTransaction;
use crate::stamp::{Device, Hlc, Stamp};
use crate::transaction::{Entry, EntryKind};

use super::page::{Folded, How, Page};

impl Page {
    /// Folds the transactions into the objects, and gives what is to be written.
    pub(super) fn fold(
        self: Arc<Self>,
        mut head: Head,
        mut devices: Devices,
        mut works: Vec<Work>,
        rows: Vec<Option<Record>>,
    ) -> Result<Vec<Step>> {
        let me = devices.device(head.me).ok_or(SyncError::NoSyncLog)?;
        let mut applied = Applied::default();
        let mut clashes = Clashes::default();
        let mut parked: Vec<Parked> = Vec::new();
        let owing = self.owing.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut redated = BTreeSet::new();
        let scoping = self.scoping(me, &works);
        let mut taken = Vec::new();
        let mut refills = false;
        let known = head.hlc;
        #[cfg(feature = "deliberate-faults")]
        let mut again = Vec::new();
        for (one, places) in self.incoming.iter().zip(&self.object_of) {
            let SealedTransaction { device, sequence, .. } = one.sealed;
            if self.how.is_old() {
                if !is_seen(&one.sealed, me, &head, &devices) {
                    continue; // it comes as ever
                }
            } else if device == me && self.how != How::Again {
                // A log does not give us back what is ours; whatever it is, it is here already.
                continue;
            }
            if !self.is_again() && !self.how.is_old() {
                let known = devices.find(device).map_or(0, |known| known.sequence);
                if sequence <= known {
                    #[cfg(feature = "deliberate-faults")]
                    again.extend(self.again(one, places));
                    continue;
                }
                let gap = sequence != known + 1;
                #[cfg(feature = "deliberate-faults")]
                let gap =
                    gap && self.fault != Some(crate::deliberate::DeliberateFault::GapPassedOver);
                if gap {
                    return Err(SyncError::Gap { device, expected: known + 1, found: sequence });
                }
            }
            let count = one.transaction.entries.len() as u64;
            let (mut last, mut seen) = (Hlc::ZERO, Hlc::ZERO);
            let passes = scoping.passes_over(one, &devices);
            let refused = one
                .refused
                .clone()
                .or_else(|| self.bound.refusal(one, known))
                .or_else(|| missing(one, places, &works, passes));
            match refused {
                // They stay parked as they were.
                Some(_) if self.is_again() => return Ok(Vec::new()),
                Some(Refusal { reason, waits_for }) => {
                    let payload = one.sealed.payload.clone();
                    parked.push(Parked { device, sequence, waits_for, reason, payload });
                    applied.parked += 1;
                }
                None => {
                    let we_had_seen = |it: Stamp| it.device == me || devices.has_applied(it);
                    refills |= scoping.is_untold_move(one, places, &works);
                    let mut into = Into { works: &mut works, clashes: &mut clashes };
                    self.fold_transaction(one, places, &mut into, &scoping, we_had_seen)?;
                    refills |= scoping.is_late(one);
                    applied.transactions += 1;
                    applied.entries += count;
                    taken.push((device, sequence));
                    if one.clocks.is_some() && device.incarnation > 0 {
                        redated.insert(device);
                    }
                    last = one.last_reading();
                    // Of a state, its last page tells what is here then.
                    seen = if one.clocks.is_some() { Hlc::ZERO } else { last };
                    let owes =
                        owing.contains(&device) || parked.iter().any(|it| it.device == device);
                    let others = one.handed_over.iter().filter(|(it, _)| *it != me && !owes);
                    others.for_each(|(device, hlc)| devices.advance(*device, 0, *hlc));
                }
            }
            let is_news = device != Device::NOBODY || !self.is_again();
            if is_news && !self.how.is_old() && device != me {
                devices.advance(device, sequence, seen);
            }
            head.hlc = head.hlc.max(last);
        }
        let (leaves, markers) = self.keep_in_scope(&scoping, &mut works);
        refills |= self.how == How::Claimed && (!parked.is_empty() || scoping.has_come(&works));
        applied.restated = works.iter().filter(|work| work.restated).count() as u64;
        for (object, work) in self.objects.iter().zip(&works) {
            self.ask(object, &work.row)?;
        }
        let doubts = scoping.doubts(&devices);
        let is_undated = works.iter().any(Work::is_undated);
        let folded = Folded {
            me,
            head,
            devices,
            applied,
            parked,
            taken,
            redated,
            markers,
            leaves,
            doubts,
            refills,
            is_undated,
        };
        let this = Arc::clone(&self);
        let steps = match self.how {
            How::Together => {
                let look = self.look_at_links(&works, &folded.devices)?;
                let steps = self.write(folded, works);
                #[cfg(feature = "deliberate-faults")]
                let steps = steps.into_iter().chain(again).collect();
                Ok(match look {
                    Some(look) => self.unless_links_break(look, steps),
                    None => steps,
                })
            }
            _ => self.begin_settlement(folded, works, rows),
        }?;
        Ok(if clashes.is_empty() { steps } else { this.noting(clashes, me, steps) })
    }

    /// Asks the application whether an object may be written.
    fn ask(&self, object: &Object, row: &Row) -> Result<()> {
        if self.merging.hooks.is_none() {
            return Ok(());
        }
        let name = |at: &usize| object.collection.fields().get(*at).map(|field| &field.name);
        let change = match row {
            Row::Keep => return Ok(()),
            Row::Put(record) => WrittenAs::Whole(record),
            Row::Delete => WrittenAs::Deleted,
            Row::Set(values) => {
                let fields = values.iter().filter_map(|(at, value)| Some((name(at)?, value)));
                WrittenAs::Fields(fields.collect())
            }
        };
        self.merging.may_write(&object.collection, &object.key, change)
    }

    /// Reads what gives way before it is overwritten, and notes it in the journal.
    fn noting(self: Arc<Self>, mut clashes: Clashes, me: Device, steps: Vec<Step>) -> Vec<Step> {
        let mut all = clashes.finds(&self.objects);
        all.push(Step::then(move |trace| {
            let conflicts = clashes.conflicts(&self.objects, trace);
            let losses = conflicts.iter().filter(|it| it.is_loss()).cloned();
            let losses = losses.map(|it| (self.merging.standing(&it, me), it));
            let losses = losses.map(|(standing, it)| (it, standing)).collect();
            *self.conflicts.lock().unwrap_or_else(PoisonError::into_inner) = conflicts;
            let mut all = steps.clone();
            all.extend(note(losses, self.merging.journal, self.bound.now));
            Ok(all)
        }));
        all
    }

    /// Folds a transaction into the objects.
    fn fold_transaction(
        &self,
        one: &IncomingTransaction,
        places: &[usize],
        into: &mut Into<'_>,
        scoping: &Scoping,
        we_had_seen: impl Fn(Stamp) -> bool,
    ) -> Result<()> {
        let transaction = &one.transaction;
        for (n, (entry, at)) in transaction.entries.iter().zip(places).enumerate() {
            let (Some(shape), Some(work)) = (one.shapes.get(entry.shape), into.works.get_mut(*at))
            else {
                continue; // it was taken out
            };
            self.fold_into_images(one, n, *at);
            let stamp = transaction.stamp(n);
            #[cfg(feature = "deliberate-faults")]
            let stamp = self.fault.map_or(stamp, |it| it.stamp(stamp, work.clock.as_ref(), entry));
            let joins = &self.merging.joins;
            let had_seen = |stamp| transaction.had_seen(stamp);
            let update_wins = self.rules.update_wins(shape.collection.name());
            let outlives = |marker: &Marker| {
                update_wins && entry.life < LAST_LIFE && !marker.stamps().all(&had_seen)
            };
            if work.is_over(entry, outlives) {
                continue;
            }
            // A page of a state has the objects' clocks, and so has an object that is brought back.
            let arriving = one.clock(n);
            let told = match arriving {
                Some(_) => None,
                None => brought_back(shape, entry, stamp, joins),
            };
            let with_clock = arriving.or(told.as_ref());
            let is_whole = with_clock.is_some();
            if !is_whole && scoping.is_unseen_move(*at, work, one, entry) {
                self.restate(work, shape)?;
            }
            let stays = update_wins && self.outlives(work, one, entry)?;
            let merged = if stays && entry.kind == EntryKind::Delete {
                let conflict = FieldConflict { field: None, incoming_won: false };
                Merged { action: Action::Keep, clock: None, conflicts: vec![conflict] }
            } else if let Some(clock) = with_clock {
                let own = work.clock.as_ref();
                let merged = merge_object(own, clock, &shape.fields, &shape.others, joins);
                // Of an object that is brought back nothing is lost, nor where updates win.
                let conflicts = own.zip(arriving.filter(|_| !update_wins)).map(|(own, clock)| {
                    object_conflicts(own, clock, &shape.fields, &we_had_seen, had_seen)
                });
                Merged { conflicts: conflicts.unwrap_or_default(), ..merged }
            } else {
                shape.merge(work.clock.as_ref(), entry, stamp, joins, had_seen)
            };
            if !merged.conflicts.is_empty() && !self.how.is_old() {
                let (own, row, object) = (work.clock.as_ref(), &work.row, *at);
                let stamp = transaction.stamp(n);
                let meeting = Meeting { object, shape, entry, stamp, arriving, own, row };
                into.clashes.extend(meeting.clashes(&merged));
            }
            let was_away = work.clock.is_none();
            work.row.act(&merged, shape, entry);
            if let Some(clock) = shape.clock_after(merged, entry, is_whole) {
                work.clock = Some(clock);
                work.clock_changed = true;
            }
            if was_away {
                work.join_marked(shape, joins);
            }
            if told.is_some_and(|told| scoping.is_behind(*at, &told, work.clock.as_ref(), shape)) {
                self.restate(work, shape)?;
            }
        }
        Ok(())
    }

    /// Whether an object stays where updates win, because whoever ends its life had not seen all of it; it is in the next life
    /// then, and is brought back.
    fn outlives(&self, work: &mut Work, one: &IncomingTransaction, entry: &Entry) -> Result<bool> {
        let shape = &one.shapes[entry.shape];
        let Some(clock) = &mut work.clock else { return Ok(false) };
        // An update of a greater life waits for its create.
        let ends = entry.kind != EntryKind::Update && entry.life > clock.life;
        let had_seen = |stamp| one.transaction.had_seen(stamp);
        let key = shape.collection.primary_key();
        // A life that nobody has lived is not answered with the next one, which the others would refuse.
        let ends = ends && entry.life < LAST_LIFE;
        if !ends || !clock.is_alive() || had_seen_all(clock, key, &shape.numbers, had_seen) {
            return Ok(false);
        }
        if self.how == How::Together {
            let reason = "an object was updated without its deletion having been seen".to_owned();
            let source =
                Error::Precondition { collection: Name::clone(shape.collection.name()), reason };
            return Err(SyncError::Storage {
                during: "applying transactions of other devices",
                source,
            });
        }
        clock.life = entry.life | 1;
        (work.clock_changed, work.stays) = (true, true);
        Ok(true)
    }

    /// What a planted mistake does with a transaction that was applied before.
    #[cfg(feature = "deliberate-faults")]
    fn again(&self, one: &IncomingTransaction, places: &[usize]) -> Vec<Step> {
        let (Some(fault), transaction) = (self.fault, &one.transaction) else { return Vec::new() };
        let entries = transaction.entries.iter().zip(places);
        let steps = entries.filter_map(|(entry, at)| {
            let (object, shape) = (&self.objects[*at], &transaction.shapes[entry.shape]);
            let key = storex_core::Filter::Keys(vec![object.key.clone()]);
            fault.again(object.collection.name(), &shape.fields, key, entry)
        });
        steps.collect()
    }
}

/// What a transaction is folded into.
struct Into<'a> {
    works: &'a mut [Work],
    clashes: &'a mut Clashes,
}

/// Why a transaction cannot be applied: an object that it changes is not here. Looked up before the first of its entries
/// is applied, so that it is applied whole or parked whole.
///
/// What an object is told with is never missing, and what does not concern this device is passed over.
fn missing(
    one: &IncomingTransaction,
    places: &[usize],
    works: &[Work],
    passes: impl Fn(usize) -> bool,
) -> Option<Refusal> {
    // What creates and deletes lacks nothing.
    if one.transaction.entries.iter().all(|it| it.kind != EntryKind::Update) {
        return None;
    }
    let mut life_of: HashMap<usize, u32> = HashMap::new();
    let mut ends: HashMap<usize, u32> = HashMap::new();
    for (entry, at) in one.transaction.entries.iter().zip(places) {
        let life = ends.entry(*at).or_default();
        *life = entry.life.max(*life);
    }
    for (entry, at) in one.transaction.entries.iter().zip(places) {
        let Some(work) = works.get(*at) else { continue }; // it was taken out
        let stored = work.clock.as_ref().map_or(0, |clock| clock.life);
        let life = life_of.get(at).copied().unwrap_or(stored);
        // What the same transaction deletes may be gone everywhere: a state that is sent again does not tell of it then.
        let counts = ends.get(at) == Some(&entry.life);
        let is_told = |n: usize, it: &Entry| {
            places.get(n) == Some(at) && it.is_brought_back() && it.life >= entry.life
        };
        let mut told = one.transaction.entries.iter().enumerate();
        if entry.kind == EntryKind::Update
            && entry.life > life
            && counts
            && !passes(*at)
            && !told.any(|(n, it)| is_told(n, it))
        {
            let shape = &one.shapes[entry.shape];
            let key = Key::compound(
                entry
                    .values
                    .iter()
                    .take(shape.collection.primary_key().len())
                    .map(|value| value.value().clone()),
            );
            let reason = format!(
                "object {key} of collection `{}` is not here, although it was there where it was changed: \
                 its creation is still to come, or this device needs an initial sync",
                shape.collection.name()
            );
            return Some(Refusal { reason, waits_for: WaitsFor::Change });
        }
        life_of.insert(*at, life.max(entry.life));
    }
    None
}
