//! [`Settlement`]: brings a page in line with the rules that devices have broken together.
//!
//! ```text
//!   the page, folded into its objects
//!   ──▶ what else has their unique values? who points to what was deleted, and what was deleted that they point to?
//!   ──▶ the clocks of those
//!   ──▶ judge: change who has to give way, as a write of our own ──▶ ask again, until nothing is left to ask
//!   ──▶ rows, clocks, our own transaction
//! ```
//!
//! What is changed depends on nothing but the stamps and keys of the objects, and is logged: a device that does not see the
//! broken rule, because the writes came to it in another order, is told of the change all the same. Several devices may make the
//! same one; the later stamp wins, and says the same. It comes to an end: a value that was renamed has the object's own suffix, one
//! that was cleared breaks no rule, and what was deleted stays deleted.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use storex_core::{Collection, Comparison, Error, Filter, Key, Name, Query, Record, Step, Value};

use super::held::{Held, values_of};
use super::own::OwnWrites;
use super::page::{Folded, Page};
use super::row::Object;
use super::ruling::{Cause, Resolution, Ruling};
use crate::clock::Clock;
use crate::clock_rows::{clock_key, clocks_at, read_clock_rows};
use crate::error::Result;
use crate::key_code;
use crate::meta::Numbers;
use crate::numbers::AllNumbers;
use crate::rules::{Link, RelationRule, Rules, UniqueIndex, UniqueRule};

/// How often it is asked again at most: a chain of deletes may be so long.
const MOST_ROUNDS: u32 = 64;

/// A page on its way to keep the rules.
#[derive(Debug, Clone)]
pub(super) struct Settlement {
    pub(super) held: Vec<Held>,
    pub(super) own: OwnWrites,
    pub(super) resolutions: Vec<Resolution>,
    /// What came of folding the page into its objects.
    pub(super) folded: Folded,
    known: HashMap<(i64, Vec<u8>), usize>,
    /// Objects that were deleted, and that nothing else is known of.
    gone: HashSet<(i64, Vec<u8>)>,
    rounds: u32,
}

/// What has to be known before it can be judged.
#[derive(Debug, Default)]
struct Questions {
    /// Who has these values in these fields of a collection: of a unique index, or such that point to an object.
    finds: BTreeMap<(Name, Vec<usize>), BTreeSet<Key>>,
    /// What of these was deleted.
    parents: BTreeSet<(i64, Vec<u8>)>,
}

impl Questions {
    fn find(&mut self, collection: &Name, fields: &[usize], values: Key) {
        let place = (Name::clone(collection), fields.to_vec());
        self.finds.entry(place).or_default().insert(values);
    }
}

impl Settlement {
    pub(super) fn new(held: Vec<Held>, own: OwnWrites, folded: Folded) -> Self {
        let objects = held.iter().map(|it| (it.object.number, it.object.code.clone()));
        let known = objects.enumerate().map(|(at, object)| (object, at)).collect();
        let (resolutions, gone) = (Vec::new(), HashSet::new());
        Self { held, own, resolutions, folded, known, gone, rounds: 0 }
    }

    /// Logs an object that somebody has deleted without having seen all of it.
    pub(super) fn bring_back(&mut self, at: usize, numbers: &AllNumbers) {
        self.restate(at, numbers);
        if self.held[at].after.is_some() && self.held[at].clock.is_some() {
            self.resolved(at, Ruling::Revived, Cause::Updated);
        }
    }

    /// Logs an object with its values as they were written.
    pub(super) fn restate(&mut self, at: usize, numbers: &AllNumbers) {
        let one = &self.held[at];
        let name = one.object.collection.name();
        let (Some(numbers), Some(clock), Some(record)) =
            (numbers.get(name), &one.clock, &one.after)
        else {
            return;
        };
        self.own.bring_back(&one.object, numbers, clock, record);
    }

    fn questions(&mut self, rules: &Rules) -> Questions {
        let mut questions = Questions::default();
        for one in &mut self.held {
            if std::mem::take(&mut one.fresh) {
                ask(one, rules, &mut questions);
            }
        }
        questions
    }

    /// The objects found that are not held yet.
    fn strangers(&self, found: &[(Arc<Collection>, i64, Vec<Record>)]) -> Vec<Held> {
        let mut seen = HashSet::new();
        let mut strangers = Vec::new();
        for (collection, number, records) in found {
            for record in records {
                let key = collection.key_of(record);
                let code = key_code::encode(key.values());
                let object = (*number, code.clone());
                if self.known.contains_key(&object) || !seen.insert(object) {
                    continue;
                }
                strangers.push(Held {
                    object: Object {
                        collection: Arc::clone(collection),
                        number: *number,
                        key,
                        code,
                    },
                    clock: None,
                    clock_changed: false,
                    before: Some(record.clone()),
                    after: Some(record.clone()),
                    fresh: false,
                });
            }
        }
        strangers
    }

    fn add(&mut self, strangers: Vec<Held>, mut clocks: HashMap<(i64, Vec<u8>), Clock>) {
        for mut one in strangers {
            let object = (one.object.number, one.object.code.clone());
            one.clock = clocks.remove(&object);
            self.known.insert(object, self.held.len());
            self.held.push(one);
        }
        let dead = clocks.into_iter().filter(|(_, clock)| !clock.is_alive());
        self.gone.extend(dead.map(|(object, _)| object));
    }

    /// Changes who has to give way.
    fn judge(&mut self, rules: &Rules, numbers: &AllNumbers) -> storex_core::Result<()> {
        for at in 0..self.held.len() {
            let name = Name::clone(self.held[at].object.collection.name());
            for link in rules.parents(&name) {
                self.judge_link(at, link);
            }
        }
        let mut holders: BTreeMap<(Name, usize, Key), Vec<usize>> = BTreeMap::new();
        for (at, one) in self.held.iter().enumerate() {
            let (name, Some(after)) = (one.object.collection.name(), &one.after) else { continue };
            for (n, index) in rules.unique(name).iter().enumerate() {
                if let Some(values) = values_of(after, &index.fields) {
                    holders.entry((Name::clone(name), n, values)).or_default().push(at);
                }
            }
        }
        for ((name, n, _), mut holders) in holders.into_iter().filter(|(_, it)| it.len() > 1) {
            let (Some(index), Some(numbers)) = (rules.unique(&name).get(n), numbers.get(&name))
            else {
                continue;
            };
            let rank = |at: &usize| {
                (self.held[*at].since(index, numbers), self.held[*at].object.key.clone())
            };
            holders.sort_by_key(rank);
            let kept = self.held[holders[0]].object.key.clone();
            for at in holders.into_iter().skip(1) {
                self.give_way(at, index, numbers, &kept)?;
            }
        }
        Ok(())
    }

    fn judge_link(&mut self, at: usize, link: &Link) {
        let one = &self.held[at];
        let Some(values) = one.after.as_ref().and_then(|after| values_of(after, &link.fields))
        else {
            return;
        };
        let parent = (link.parent_number, key_code::encode(values.values()));
        let gone = match self.known.get(&parent) {
            Some(parent) => self.held[*parent].is_deleted(),
            None => self.gone.contains(&parent),
        };
        if !gone {
            return;
        }
        let cause = Cause::Relation { parent: Name::clone(&link.parent), key: values };
        match link.rule {
            RelationRule::Keep => {}
            RelationRule::DeleteChild => self.delete(at, cause),
            RelationRule::SetNull => {
                for field in &link.fields {
                    self.set(at, *field, Value::Null, &link.child_numbers, cause.clone());
                }
            }
        }
    }

    fn give_way(
        &mut self,
        at: usize,
        index: &UniqueIndex,
        numbers: &Numbers,
        kept: &Key,
    ) -> storex_core::Result<()> {
        let Some(after) = &self.held[at].after else { return Ok(()) };
        let object = &self.held[at].object;
        let cause = Cause::Unique { index: index.label.clone(), kept: kept.clone() };
        let renamed = index.renamed.and_then(|at| Some((at, renamed(object, after, at)?)));
        match (index.rule, renamed, index.cleared) {
            (UniqueRule::Delete, _, _) => self.delete(at, cause),
            (UniqueRule::Rename, Some((field, name)), _) => {
                self.set(at, field, name, numbers, cause);
            }
            (UniqueRule::Clear, _, Some(field)) | (UniqueRule::Rename, None, Some(field)) => {
                self.set(at, field, Value::Null, numbers, cause);
            }
            (UniqueRule::Park | UniqueRule::Clear | UniqueRule::Rename, _, _) => {
                return Err(Error::UniqueViolation {
                    collection: Name::clone(object.collection.name()),
                    index: index.label.clone(),
                    values: index.fields.iter().map(|at| after.get(*at).clone()).collect(),
                });
            }
        }
        Ok(())
    }

    fn set(&mut self, at: usize, field: usize, to: Value, numbers: &Numbers, cause: Cause) {
        let stamp = self.own.stamp();
        let one = &mut self.held[at];
        let Some(after) = &mut one.after else { return };
        let from = after.get(field).clone();
        after.set(field, to.clone());
        one.fresh = true;
        let clock = one.living_clock();
        if let Some(number) = numbers.fields.get(field) {
            clock.set(*number, stamp);
        }
        let life = clock.life;
        self.own.set(&one.object, life, field, to.clone());
        if let (Some(clock), Some(after), true) =
            (&one.clock, &one.after, numbers.scope == Some(field))
        {
            // Whoever gains it lacks all of it.
            self.own.bring_back(&one.object, numbers, clock, after);
        }
        // Perhaps to where this device does not hold it.
        self.folded.leaves |= numbers.scope == Some(field);
        let name = one.object.collection.fields().get(field).map(|it| Name::clone(&it.name));
        self.resolved(at, Ruling::Set { field: name.unwrap_or_default(), from, to }, cause);
    }

    fn delete(&mut self, at: usize, cause: Cause) {
        let stamp = self.own.stamp();
        let one = &mut self.held[at];
        let Some(object) = one.after.take() else { return };
        one.fresh = true;
        let clock = one.living_clock();
        *clock = Clock::created(clock.life + 1, stamp);
        let life = clock.life;
        self.own.delete(&one.object, life);
        self.resolved(at, Ruling::Deleted { object }, cause);
    }

    fn resolved(&mut self, at: usize, ruling: Ruling, cause: Cause) {
        let Object { collection, key, .. } = &self.held[at].object;
        tracing::debug!(collection = %collection.name(), ?cause, "a rule that devices have broken is kept again");
        let (collection, key) = (Name::clone(collection.name()), key.clone());
        self.resolutions.push(Resolution { collection, key, ruling, cause });
    }
}

/// What has to be known of an object that was changed.
fn ask(one: &Held, rules: &Rules, questions: &mut Questions) {
    let collection = &one.object.collection;
    let name = collection.name();
    if let Some(after) = &one.after {
        for index in rules.unique(name) {
            let values = values_of(after, &index.fields);
            let before = one.before.as_ref().and_then(|it| values_of(it, &index.fields));
            if let Some(values) = values.filter(|it| before.as_ref() != Some(it)) {
                questions.find(name, &index.fields, values);
            }
        }
        for link in rules.parents(name) {
            questions.parents.extend(parent_of(link, after));
        }
    } else if one.is_deleted() {
        for link in rules.children(name) {
            questions.find(link.child.name(), &link.fields, one.object.key.clone());
        }
    }
}

/// The object that an object points to.
pub(super) fn parent_of(link: &Link, child: &Record) -> Option<(i64, Vec<u8>)> {
    let values = values_of(child, &link.fields)?;
    Some((link.parent_number, key_code::encode(values.values())))
}

/// What finds the objects that have one of these values in these fields.
pub(super) fn with_values<'a>(
    collection: &Collection,
    fields: &[usize],
    values: impl IntoIterator<Item = &'a Key>,
) -> Vec<Step> {
    let name = |at: &usize| collection.fields().get(*at).map(|field| Name::clone(&field.name));
    let find = |filter| Step::Find(Query::new(Name::clone(collection.name())).filter(filter));
    if let [field] = fields {
        let values = values.into_iter().flat_map(|key| key.values().iter().cloned()).collect();
        return name(field).map(|field| find(Filter::In { field, values })).into_iter().collect();
    }
    // One each: not every backend finds several at once by an index.
    let equal = |values: &Key| {
        let parts = fields.iter().zip(values.values()).filter_map(|(at, value)| {
            Some(Filter::Compare { field: name(at)?, op: Comparison::Eq, value: value.clone() })
        });
        find(Filter::And(parts.collect()))
    };
    values.into_iter().map(equal).collect()
}

/// The name that an object gets that has to give way: the same on all devices. `None`: its field takes no such name.
fn renamed(object: &Object, record: &Record, at: usize) -> Option<Value> {
    let text = record.get(at).as_text()?;
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325; // FNV-1a
    for byte in &object.code {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    let name = Value::Text(format!("{text}~{:08x}", (hash >> 32) ^ (hash & 0xffff_ffff)));
    let field = object.collection.fields().get(at)?;
    object.collection.check_constraints(field, &name).ok().map(|()| name)
}

impl Page {
    /// Asks what has to be known of everything that was changed; with nothing left to ask, gives what is to be written.
    pub(super) fn settle(self: Arc<Self>, mut settlement: Settlement) -> Result<Vec<Step>> {
        let Questions { finds, parents } = settlement.questions(&self.rules);
        if finds.is_empty() && parents.is_empty() {
            return Ok(self.finish(settlement));
        }
        settlement.rounds += 1;
        let mut steps = Vec::new();
        let mut asked = Vec::new();
        for ((name, fields), values) in finds {
            let known = self.registry.find(&name).zip(self.numbers.get(&name));
            if let Some((collection, numbers)) = known {
                steps.extend(with_values(collection, &fields, &values));
                asked.resize(steps.len(), (Arc::clone(collection), numbers.collection));
            }
        }
        let finds = steps.len();
        steps.push(Step::then(move |trace| {
            let found = asked.iter().enumerate().map(|(n, (collection, number))| {
                (Arc::clone(collection), *number, trace.found(finds - 1 - n).to_vec())
            });
            let strangers = settlement.strangers(&found.collect::<Vec<_>>());
            Ok(Arc::clone(&self).ask_clocks(&settlement, strangers, &parents))
        }));
        Ok(steps)
    }

    fn ask_clocks(
        self: Arc<Self>,
        settlement: &Settlement,
        strangers: Vec<Held>,
        parents: &BTreeSet<(i64, Vec<u8>)>,
    ) -> Vec<Step> {
        let settlement = settlement.clone();
        let clocks = strangers.iter().map(|one| (one.object.number, one.object.code.clone()));
        let clocks: BTreeSet<(i64, Vec<u8>)> = clocks.chain(parents.iter().cloned()).collect();
        let keys = clocks.into_iter().map(|(number, code)| clock_key(number, code)).collect();
        let next = Step::then(move |trace| {
            let clocks = read_clock_rows(trace.found(0), &settlement.folded.devices);
            let clocks = self.failure.keep(clocks)?;
            let mut settlement = settlement.clone();
            settlement.add(strangers.clone(), clocks);
            settlement.judge(&self.rules, &self.numbers)?;
            if settlement.rounds > MOST_ROUNDS {
                let reason = "what devices have written does not come to keep the rules";
                return Err(Error::Aborted { reason: reason.to_owned() });
            }
            self.failure.keep(Arc::clone(&self).settle(settlement))
        });
        vec![Step::Find(clocks_at(keys)), next]
    }
}
