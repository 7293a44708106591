//! [`Target`]: a collection of the sender in the receiver's schema, and what is done where it does not fit.

use std::collections::HashMap;
use std::sync::Arc;

use storex_core::{Collection, FieldDefault, Name, Record, Timestamp, Value};

use super::InitialSync;
use super::event::Lack;
use super::frame::{Accept, CollectionHello, Hello, Take, translate};
use super::supply::{Arriving, Content};
use crate::error::{During, Result, SyncError};
use crate::key_code;
use crate::meta::{Devices, Numbers};

/// What a receiver does about a collection or field of the sender that its own schema does not have ([`InitialSync::missing`]).
///
/// Both sides are told of it before the first row ([`InitialSyncEvent::SchemasDiffer`](crate::InitialSyncEvent::SchemasDiffer)). That a
/// collection has another primary key is refused in any case.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Missing {
    /// Both sides fail before the first row.
    #[default]
    Refuse,
    /// It is not sent. What the sender has seen is not taken for seen then: the receiver reads a shared log from its beginning. A
    /// collection for which the sender lacks a field that is required here is not sent either.
    Skip,
    /// The objects of the collection are parked ([`parked`](crate::parked())) until an update of the program knows it and its fields.
    Park,
}

/// A collection of the sender, in this schema.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) collection: Arc<Collection>,
    pub(super) numbers: Arc<Numbers>,
    /// Where each value of a row goes; `None`: nowhere, the field is kept local here.
    pub(super) positions: Vec<Option<usize>>,
    /// From the sender's field numbers to ours.
    pub(super) translation: HashMap<u32, u32>,
    /// The numbers of our fields that do not arrive.
    pub(super) others: Vec<u32>,
}

/// Rows that have arrived.
#[derive(Debug)]
pub(super) struct ArrivedRows {
    pub(super) objects: Vec<Arriving>,
    /// The key of the last one, as the sender has it.
    pub(super) last: Option<Vec<Value>>,
}

/// How all that the sender has fits.
#[derive(Debug, Default)]
pub(super) struct Fit {
    /// By their places in the hello; `None`: no rows of it come.
    pub(super) targets: Vec<Option<Arc<Target>>>,
    pub(super) accept: Accept,
    pub(super) receiver_lacks: Vec<Lack>,
    pub(super) sender_lacks: Vec<Lack>,
}

impl Fit {
    /// Finds every collection and field of the sender in our schema. What is missing is told before the first row.
    pub(super) fn new(sync: &InitialSync, hello: &Hello) -> Result<Self> {
        let mut fit = Self::default();
        for theirs in &hello.collections {
            let target = fit.add(sync, theirs)?;
            fit.targets.push(target.map(Arc::new));
        }
        for (ours, _) in sync.collections() {
            if !hello.collections.iter().any(|theirs| theirs.name == *ours.name()) {
                fit.sender_lacks.push(Lack { collection: Name::clone(ours.name()), field: None });
            }
        }
        Ok(fit)
    }

    /// Whether objects are not sent that the sender has.
    pub(super) fn skips(&self) -> bool {
        self.accept.otherwise.iter().any(|(_, take)| *take != Take::Parked)
    }

    /// Whether objects are parked that have no place here yet.
    pub(super) fn parks(&self) -> bool {
        self.accept.otherwise.iter().any(|(_, take)| *take == Take::Parked)
    }

    fn add(&mut self, sync: &InitialSync, theirs: &CollectionHello) -> Result<Option<Target>> {
        let name = &theirs.name;
        let found = sync.replica.storage.registry().find(name);
        let found = found.filter(|collection| !collection.is_reserved());
        let (Some(collection), Some(numbers)) = (found, sync.replica.numbers.get(name)) else {
            let why = if found.is_some() { "keeps to itself" } else { "does not have" };
            let reason = format!("the sender has a collection `{name}`, which this device {why}");
            self.receiver_lacks.push(Lack { collection: Name::clone(name), field: None });
            // What is kept local here will never be taken.
            let parks = sync.missing == Missing::Park && found.is_none();
            return self.otherwise(sync, if parks { Take::Parked } else { Take::Nothing }, reason);
        };
        let missing = |field: &&Name| collection.position(field).is_none();
        let lacked: Vec<&Name> = theirs.fields.iter().filter(missing).collect();
        let lack =
            |field: &&Name| Lack { collection: Name::clone(name), field: Some(Name::clone(field)) };
        self.receiver_lacks.extend(lacked.iter().map(lack));
        if let Some(field) = lacked.first() {
            let reason = format!(
                "the sender has a field `{field}` in collection `{name}`, which this device does not have"
            );
            let take = match sync.missing {
                Missing::Park => Take::Parked,
                _ => Take::Without(
                    (0..theirs.fields.len())
                        .filter(|n| theirs.fields.get(*n).is_some_and(|field| missing(&field)))
                        .collect(),
                ),
            };
            self.otherwise(sync, take, reason)?;
        }
        let target = Target::new(collection, numbers, theirs);
        if !collection.primary_key().iter().all(|at| target.positions.contains(&Some(*at))) {
            let reason = format!("collection `{name}` has another primary key at the sender");
            return Err(refused(reason));
        }
        self.sender_lacks.extend(target.lacks_of_sender());
        if let (Some(field), false) = (target.required(), self.is_parked()) {
            let reason = format!(
                "this device requires a field `{field}` in collection `{name}`, which the sender does not have"
            );
            if sync.missing != Missing::Skip {
                return Err(refused(reason));
            }
            let place = self.targets.len();
            self.accept.otherwise.retain(|(at, _)| *at != place);
            return self.otherwise(sync, Take::Nothing, reason);
        }
        Ok(Some(target).filter(|_| !self.is_parked()))
    }

    /// Whether the collection that is looked at is parked.
    fn is_parked(&self) -> bool {
        let last = self.accept.otherwise.last();
        last.is_some_and(|(at, take)| *at == self.targets.len() && *take == Take::Parked)
    }

    fn otherwise(
        &mut self,
        sync: &InitialSync,
        take: Take,
        reason: String,
    ) -> Result<Option<Target>> {
        if sync.missing == Missing::Refuse {
            return Err(refused(reason));
        }
        self.accept.otherwise.push((self.targets.len(), take));
        Ok(None)
    }
}

fn refused(reason: String) -> SyncError {
    SyncError::Protocol { during: "comparing the schemas", reason }
}

impl Target {
    /// The fields that are here too.
    fn new(collection: &Arc<Collection>, numbers: &Arc<Numbers>, theirs: &CollectionHello) -> Self {
        let mut positions = Vec::new();
        let mut translation = HashMap::new();
        for (field, number) in theirs.fields.iter().zip(&theirs.numbers) {
            let Some(at) = collection.position(field) else { continue };
            let at = Some(at).filter(|at| !numbers.is_local(*at));
            positions.push(at);
            let ours = at.and_then(|at| numbers.fields.get(at));
            translation.extend(ours.map(|ours| (*number, *ours)));
        }
        let arrives = |at: &usize| positions.contains(&Some(*at));
        let others = (0..collection.fields().len()).filter(|at| !arrives(at));
        let others = others.filter_map(|at| numbers.fields.get(at).copied()).collect();
        let (collection, numbers) = (Arc::clone(collection), Arc::clone(numbers));
        Self { collection, numbers, positions, translation, others }
    }

    /// The objects of rows, in the form that they have here.
    pub(super) fn arriving(
        &self,
        rows: Vec<(Vec<Value>, Vec<u8>)>,
        devices: &Devices,
    ) -> Result<ArrivedRows> {
        let collection = &self.collection;
        let (count, mut last) = (rows.len(), None);
        let mut objects = Vec::with_capacity(count);
        let (blank, mut scratch) = (collection.blank_record(Timestamp(0)), Vec::new());
        let is_whole = self.positions.len() == blank.values().len()
            && self.positions.iter().enumerate().all(|(n, at)| *at == Some(n));
        for (n, (values, clock)) in rows.into_iter().enumerate() {
            if values.len() != self.positions.len() {
                let reason = "a row has another number of values than its collection".to_owned();
                return Err(SyncError::Protocol { during: super::receive::DURING, reason });
            }
            let mut record = match is_whole {
                true => Record::new(values),
                false => self.placed(values, &blank),
            };
            if n + 1 == count {
                // The sender goes on behind the key as it has it.
                let key = collection.primary_key().iter();
                last = Some(key.map(|at| record.get(*at).clone()).collect());
            }
            // Brings the key to the form that it has here, before its clock is looked up.
            collection.check_record(&mut record).during("checking a row of the sender")?;
            let key = collection.primary_key().iter().map(|at| record.get(*at));
            scratch.clear();
            key_code::encode_to(&mut scratch, key);
            let code = scratch.as_slice().into();
            let clock = translate(&clock, devices, &self.translation)?;
            objects.push(Arriving { code, content: Content::Living(record), clock });
        }
        Ok(ArrivedRows { objects, last })
    }

    /// A record with these values, each in its place.
    fn placed(&self, values: Vec<Value>, blank: &Record) -> Record {
        let mut record = blank.clone();
        for (at, value) in self.positions.iter().zip(values) {
            if let Some(at) = at {
                record.set(*at, value);
            }
        }
        record
    }

    /// The positions of our fields that are synced and do not arrive.
    fn absent(&self) -> impl Iterator<Item = usize> + '_ {
        self.numbers.synced().filter(|at| !self.positions.contains(&Some(*at)))
    }

    fn lacks_of_sender(&self) -> impl Iterator<Item = Lack> + '_ {
        self.absent().filter_map(|at| self.collection.fields().get(at)).map(|field| Lack {
            collection: Name::clone(self.collection.name()),
            field: Some(Name::clone(&field.name)),
        })
    }

    /// A field that is required here and does not arrive.
    fn required(&self) -> Option<&Name> {
        let fields = self.absent().filter_map(|at| self.collection.fields().get(at));
        let mut required = fields.filter(|field| {
            !field.nullable && matches!(field.default, None | Some(FieldDefault::Null))
        });
        required.next().map(|field| &field.name)
    }
}
