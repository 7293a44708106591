//! What a transaction of another device is about in this schema.

use std::sync::Arc;

use storex_core::{Collection, Record, Timestamp};

use super::Replica;
use crate::clock::Clock;
use crate::counter::{Counted, Counter, Sum};
use crate::error::{Result, describe};
use crate::field_state::Joined;
use crate::merge::{Action, Incoming, Merged, merge};
use crate::meta::Numbers;
use crate::parked::WaitsFor;
use crate::shared_log::SealedTransaction;
use crate::stamp::{Device, Hlc, Stamp};
use crate::state::{StatePage, is_state};
use crate::strategy::Joins;
use crate::transaction::{Entry, EntryKind, EntryValue, Shape, Transaction};

/// A transaction, and what its shapes mean in this schema.
#[derive(Debug, Clone)]
pub(super) struct IncomingTransaction {
    pub(super) sealed: SealedTransaction,
    /// Its content; empty when it cannot be read.
    pub(super) transaction: Transaction,
    pub(super) shapes: Vec<Arc<ResolvedShape>>,
    /// The objects' clocks, entry by entry, where it is a page of a device's state.
    pub(super) clocks: Option<Vec<Clock>>,
    /// What whoever has applied it has seen of every device, where it is the last page of a state.
    pub(super) handed_over: Vec<(Device, Hlc)>,
    /// Why it cannot be applied.
    pub(super) refused: Option<Refusal>,
}

/// Why a transaction cannot be applied, and what would help.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    pub(super) reason: String,
    pub(super) waits_for: WaitsFor,
}

#[derive(Debug)]
pub(super) struct ResolvedShape {
    pub(super) collection: Arc<Collection>,
    pub(super) numbers: Arc<Numbers>,
    /// Positions of the fields behind the key.
    pub(super) values: Vec<usize>,
    /// Their numbers.
    pub(super) fields: Vec<u32>,
    /// The numbers of the collection's other fields: the author's schema does not have them, or they were not changed.
    pub(super) others: Vec<u32>,
}

impl IncomingTransaction {
    /// The clock of the n-th entry's object, where it is a page of a device's state.
    pub(super) fn clock(&self, n: usize) -> Option<&Clock> {
        self.clocks.as_ref()?.get(n)
    }

    /// The last reading of its author's clock that it tells of.
    pub(super) fn last_reading(&self) -> Hlc {
        let hlc = self.transaction.header.hlc;
        if self.clocks.is_some() {
            return hlc;
        }
        hlc.plus((self.transaction.entries.len() as u64).saturating_sub(1))
    }
}

impl Replica {
    /// Finds out what a transaction is about in this schema. Whatever is wrong with it becomes the reason to park it.
    pub(super) fn resolve(&self, sealed: SealedTransaction) -> IncomingTransaction {
        let one = self.resolve_asking(&sealed, |it| self.merging.arriving(it));
        IncomingTransaction { sealed, ..one }
    }

    /// As [`Replica::resolve`], of a transaction of this device: the application is not asked.
    pub(super) fn resolve_own(&self, sealed: SealedTransaction) -> IncomingTransaction {
        let one = self.resolve_asking(&sealed, |_| Ok(()));
        IncomingTransaction { sealed, ..one }
    }

    /// Its bytes are not among what it gives.
    pub(super) fn resolve_asking(
        &self,
        sealed: &SealedTransaction,
        ask: impl FnOnce(&mut Transaction) -> Result<()>,
    ) -> IncomingTransaction {
        let mut shapes = Vec::new();
        let (mut clocks, mut handed_over) = (None, Vec::new());
        let (transaction, refused) = match self.decode(&sealed.payload) {
            Ok(Content { mut transaction, state }) => {
                let passed = match &state {
                    None => ask(&mut transaction).map_err(|it| describe(&it)),
                    Some(_) => Ok(()),
                };
                let resolved = passed
                    .and_then(|()| self.resolve_transaction(sealed, &mut transaction, &mut shapes));
                let resolved = resolved.and_then(|()| {
                    let Some(state) = state else { return Ok(()) };
                    handed_over = state.handed_over().collect();
                    let Some(shape) = shapes.first() else { return Ok(()) };
                    let known = state.clocks(&shape.fields).map_err(|error| error.to_string())?;
                    let states = known.iter().flat_map(|clock| &clock.states);
                    let functions = states.filter_map(|(_, state)| state.function());
                    let joins = &self.merging.joins;
                    if let Some(name) = functions.into_iter().find(|name| !joins.knows(name)) {
                        return Err(no_function(name, &shape.collection));
                    }
                    clocks = Some(known);
                    Ok(())
                });
                (transaction, resolved.err())
            }
            Err(error) => (Transaction::default(), Some(error.to_string())),
        };
        let refused = refused.map(|reason| Refusal { reason, waits_for: WaitsFor::Update });
        let sealed = SealedTransaction { payload: Vec::new(), ..*sealed };
        IncomingTransaction { sealed, transaction, shapes, clocks, handed_over, refused }
    }

    fn resolve_transaction(
        &self,
        sealed: &SealedTransaction,
        transaction: &mut Transaction,
        shapes: &mut Vec<Arc<ResolvedShape>>,
    ) -> Result<(), String> {
        let header = &transaction.header;
        if (header.device, header.sequence) != (sealed.device, sealed.sequence) {
            return Err(format!(
                "it says that it is transaction {} of device {}, but came as transaction {} of device {}",
                header.sequence, header.device, sealed.sequence, sealed.device
            ));
        }
        for shape in &transaction.shapes {
            shapes.push(Arc::new(self.resolve_shape(shape)?));
        }
        check_values(transaction, shapes).map_err(|error| error.to_string())?;
        self.check_joined(transaction, shapes)
    }

    /// That this program can join what is contributed.
    fn check_joined(
        &self,
        transaction: &Transaction,
        shapes: &[Arc<ResolvedShape>],
    ) -> Result<(), String> {
        for entry in &transaction.entries {
            let functions = entry.values.iter().filter_map(EntryValue::function);
            let missing = functions.into_iter().find(|name| !self.merging.joins.knows(name));
            if let Some((name, shape)) = missing.zip(shapes.get(entry.shape)) {
                return Err(no_function(name, &shape.collection));
            }
        }
        Ok(())
    }

    fn resolve_shape(&self, shape: &Shape) -> Result<ResolvedShape, String> {
        let registry = self.storage.registry();
        let collection = registry
            .find(&shape.collection)
            .filter(|collection| !collection.is_reserved())
            .ok_or_else(|| format!("collection `{}` is not known here", shape.collection))?;
        let numbers = self.numbers.get(&shape.collection).ok_or_else(|| {
            format!("collection `{}` is kept local here, or is in another lane", shape.collection)
        })?;
        let positions = shape
            .fields
            .iter()
            .map(|field| {
                collection.position(field).ok_or_else(|| {
                    format!(
                        "field `{field}` of collection `{}` is not known here",
                        shape.collection
                    )
                })
            })
            .collect::<Result<Vec<usize>, String>>()?;
        let (key, values) = positions.split_at(shape.key_len.min(positions.len()));
        if key != collection.primary_key() || values.iter().any(|at| collection.is_key(*at)) {
            return Err(format!("collection `{}` has another primary key here", shape.collection));
        }
        let number = |at: &usize| numbers.fields.get(*at).copied();
        let others = (0..collection.fields().len()).filter(|at| !positions.contains(at));
        Ok(ResolvedShape {
            collection: Arc::clone(collection),
            numbers: Arc::clone(numbers),
            fields: values.iter().filter_map(number).collect(),
            others: others.filter_map(|at| number(&at)).collect(),
            values: values.to_vec(),
        })
    }
}

/// What a transaction's bytes are: writes, or a page of a device's state.
struct Content {
    transaction: Transaction,
    state: Option<StatePage>,
}

impl Replica {
    fn decode(&self, payload: &[u8]) -> Result<Content> {
        let registry = self.storage.registry();
        if !is_state(payload) {
            let mut transaction = Transaction::decode(payload)?;
            transaction.rename(registry);
            self.numbers.without_local(registry, &mut transaction);
            return Ok(Content { transaction, state: None });
        }
        let mut page = StatePage::decode(payload)?;
        let is_there = page.rename(registry);
        self.numbers.without_local_state(registry, &mut page);
        let mut transaction = page.transaction()?;
        if !is_there {
            transaction.shapes.clear();
        }
        Ok(Content { transaction, state: Some(page) })
    }
}

fn no_function(name: &str, collection: &Collection) -> String {
    format!(
        "a field of collection `{}` is joined by a function `{name}`, which this program does not have: \
         give it to the sync log with `strategy` and `Strategy::custom`",
        collection.name()
    )
}

/// Brings values to the form that their fields have here.
fn check_values(
    transaction: &mut Transaction,
    shapes: &[Arc<ResolvedShape>],
) -> storex_core::Result<()> {
    for entry in &mut transaction.entries {
        let Some(shape) = shapes.get(entry.shape) else { continue };
        let positions = shape.collection.primary_key().iter().chain(&shape.values);
        for (at, value) in positions.zip(&mut entry.values) {
            let field = &shape.collection.fields()[*at];
            if let Some(counted) = value.counted() {
                // Whatever others add to it, it stays a number of this kind.
                let mut counter = Counter::new(counted.from.clone());
                counter.sums.push(Sum { at: Stamp::ZERO, amount: counted.sum });
                shape.collection.check_value(field, &mut counter.value())?;
            }
            if let Some(joined) = value.joined() {
                // Whatever others contribute, it stays a value of this kind.
                let mut alone = joined.contribution.state(Stamp::ZERO).value();
                shape.collection.check_value(field, &mut alone)?;
            }
            let (EntryValue::Set(value) | EntryValue::Changed { to: value, .. }) = value;
            shape.collection.check_value(field, value)?;
        }
    }
    Ok(())
}

impl ResolvedShape {
    /// The object that an entry says there is.
    pub(super) fn record(&self, entry: &Entry) -> Record {
        let mut record = self.collection.blank_record(Timestamp(0));
        let positions = self.collection.primary_key().iter().chain(&self.values);
        for (at, value) in positions.zip(&entry.values) {
            record.set(*at, value.value().clone());
        }
        record
    }

    /// What an entry that does not tell the whole object makes of one whose clock is `own`.
    pub(super) fn merge(
        &self,
        own: Option<&Clock>,
        entry: &Entry,
        stamp: Stamp,
        joins: &Joins,
        had_seen: impl Fn(Stamp) -> bool,
    ) -> Merged {
        let incoming = Incoming {
            kind: entry.kind,
            life: entry.life,
            stamp,
            fields: &self.fields,
            counted: &self.counted(entry),
            joined: &self.joined(entry),
            joins,
        };
        merge(own, incoming, had_seen)
    }

    /// The clock that an object has then. What is older than sync here and where it came from stays without one.
    pub(super) fn clock_after(
        &self,
        merged: Merged,
        entry: &Entry,
        is_whole: bool,
    ) -> Option<Clock> {
        let mut clock = merged.clock.filter(|clock| *clock != Clock::unstamped())?;
        if entry.kind == EntryKind::Create && !is_whole {
            self.settle(&merged.action, &mut clock);
        }
        Some(clock)
    }

    /// The fields that an entry increments. A create sets all of its fields, whatever it says.
    fn counted<'a>(&self, entry: &'a Entry) -> Vec<(u32, &'a Counted)> {
        if entry.kind != EntryKind::Update {
            return Vec::new();
        }
        let values = entry.values.iter().skip(self.collection.primary_key().len());
        let fields = self.fields.iter().zip(values);
        fields.filter_map(|(field, value)| Some((*field, value.counted()?))).collect()
    }

    /// The fields with a strategy, and what an entry contributes to them.
    fn joined<'a>(&self, entry: &'a Entry) -> Vec<(u32, &'a Joined)> {
        let values = entry.values.iter().skip(self.collection.primary_key().len());
        let fields = self.fields.iter().zip(values);
        fields.filter_map(|(field, value)| Some((*field, value.joined()?))).collect()
    }

    /// What a create says of fields that its author does not have: where it made the object they were never written. With
    /// all fields in it, one stamp may say it all.
    fn settle(&self, action: &Action, clock: &mut Clock) {
        if *action == Action::Put {
            self.others.iter().for_each(|field| clock.set(*field, Stamp::ZERO));
        } else if self.others.is_empty() {
            clock.compact(&self.fields);
        }
    }
}
