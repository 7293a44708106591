//! Fields that a device keeps to itself: they are neither logged nor sent, and what others say of them is not taken.
//!
//! To the others it looks as if this program's schema did not have them, and to this device as if theirs did not. Only where a
//! whole object is written something has to be done: its local fields stay as they are.

use std::collections::{BTreeMap, BTreeSet};

use storex_core::{
    Changes, Collection, Error, FieldDefault, Filter, Name, OnConflict, Record, Registry, Step,
};

use crate::bytes::Reader;
use crate::error::Result;
use crate::merging::Merging;
use crate::meta::{Numbers, read_name, write_name};
use crate::numbers::AllNumbers;
use crate::state::StatePage;
use crate::transaction::{Shape, Transaction};

/// The fields that are kept local, by collection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct LocalFields(BTreeMap<Name, BTreeSet<Name>>);

impl LocalFields {
    pub(crate) fn add(&mut self, collection: Name, fields: impl IntoIterator<Item = Name>) {
        self.0.entry(collection).or_default().extend(fields);
    }

    /// The positions of the fields that are kept local; what the schema no longer has is passed over.
    pub(crate) fn of(&self, collection: &Collection) -> BTreeSet<usize> {
        let names = self.0.get(collection.name()).into_iter().flatten();
        names.filter_map(|name| collection.position(name)).collect()
    }

    /// Refuses what the schema does not have, and fields that the others could not do without.
    pub(crate) fn check(
        &self,
        registry: &Registry,
        local_only: &BTreeSet<Name>,
        merging: &Merging,
    ) -> storex_core::Result<()> {
        for (name, fields) in &self.0 {
            let collection = registry.collection(name)?;
            for field in fields {
                let at = collection.require(field)?;
                let refers = registry.collections().iter().flat_map(|it| it.referrers());
                let mut refers = refers.filter(|it| it.child == *name && it.fields.contains(field));
                let why = match refers.next() {
                    Some(_) => Some("refers to another object"),
                    None => hindrance(collection, at, local_only, merging),
                };
                if let Some(why) = why {
                    let reason = format!("field `{field}` cannot be kept local: it {why}");
                    return Err(Error::invalid(name, reason));
                }
            }
        }
        Ok(())
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for (collection, field) in
            self.0.iter().flat_map(|(name, it)| it.iter().map(move |f| (name, f)))
        {
            write_name(&mut out, collection);
            write_name(&mut out, field);
        }
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        let what = "the list of local fields";
        let mut reader = Reader::new(bytes, what);
        let mut fields = Self::default();
        while !reader.is_empty() {
            let collection = read_name(&mut reader, what)?;
            fields.add(collection, [read_name(&mut reader, what)?]);
        }
        Ok(fields)
    }
}

fn hindrance(
    collection: &Collection,
    at: usize,
    local_only: &BTreeSet<Name>,
    merging: &Merging,
) -> Option<&'static str> {
    let field = collection.fields().get(at)?;
    let filled = !matches!(field.default, None | Some(FieldDefault::Null));
    let is_merged = merging.strategy(collection.name(), &field.name).is_some()
        || merging.is_in_group(collection.name(), &field.name);
    if collection.is_reserved() || local_only.contains(collection.name()) {
        Some("is of a collection that is not synced")
    } else if collection.is_key(at) {
        Some("is of the primary key")
    } else if !field.nullable && !filled {
        Some("is required and has no default, and objects of other devices arrive without it")
    } else if collection.indices().iter().any(|it| it.unique && it.fields.contains(&at)) {
        Some("is of a unique index")
    } else if collection.relations().iter().any(|it| it.alias == field.name) {
        Some("is a relation")
    } else if is_merged {
        Some("has a strategy, or is in a group of fields")
    } else {
        None
    }
}

impl Numbers {
    /// Whether a field is kept local.
    pub(crate) fn is_local(&self, at: usize) -> bool {
        self.local.contains(&at)
    }

    /// The positions of the fields that are synced.
    pub(crate) fn synced(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.fields.len()).filter(|at| !self.is_local(*at))
    }

    /// Takes the local fields of an object as they were.
    pub(crate) fn keep_local(&self, before: Option<&Record>, after: Option<&mut Record>) {
        if let (Some(before), Some(after)) = (before, after) {
            self.local.iter().for_each(|at| after.set(*at, before.get(*at).clone()));
        }
    }

    /// The steps that write whole objects. Those that are there keep their local fields.
    pub(crate) fn put(&self, collection: &Collection, records: Vec<Record>) -> Vec<Step> {
        let fields = self.synced().filter(|at| !collection.is_key(*at));
        self.put_fields(collection, records, &fields.collect::<Vec<_>>())
    }

    /// The steps that write objects of which these fields are known. Those that are there keep the others.
    pub(crate) fn put_fields(
        &self,
        collection: &Collection,
        records: Vec<Record>,
        fields: &[usize],
    ) -> Vec<Step> {
        let name = || Name::clone(collection.name());
        if fields.len() + collection.primary_key().len() == self.fields.len() {
            return vec![Step::create_or(name(), records, OnConflict::Replace)];
        }
        let update = |record: &Record| {
            let changes = fields.iter().fold(Changes::new(), |changes, at| {
                let field = &collection.fields()[*at].name;
                changes.set(Name::clone(field), record.get(*at).clone())
            });
            let filter = Filter::Keys(vec![collection.key_of(record)]);
            Step::Update { collection: name(), filter, changes }
        };
        let updated = records.iter().filter(|_| !fields.is_empty());
        let mut steps: Vec<Step> = updated.map(update).collect();
        steps.push(Step::create_or(name(), records, OnConflict::Skip));
        steps
    }
}

impl AllNumbers {
    /// The places behind the key of the fields that are kept local here.
    fn local_places(&self, registry: &Registry, shape: &Shape) -> Vec<usize> {
        let known = registry.find(&shape.collection).zip(self.get(&shape.collection));
        let Some((collection, numbers)) = known.filter(|(_, it)| !it.local.is_empty()) else {
            return Vec::new();
        };
        let fields = shape.fields.iter().enumerate().skip(shape.key_len);
        let local = fields
            .filter(|(_, name)| collection.position(name).is_some_and(|at| numbers.is_local(at)));
        local.map(|(place, _)| place).collect()
    }

    /// Leaves out what others say of fields that are kept local here.
    /// Whether there was anything.
    pub(crate) fn without_local(&self, registry: &Registry, transaction: &mut Transaction) -> bool {
        let Transaction { shapes, entries, .. } = transaction;
        let mut any = false;
        for (n, shape) in shapes.iter_mut().enumerate() {
            let local = self.local_places(registry, shape);
            for place in local.into_iter().rev() {
                any = true;
                shape.fields.remove(place);
                let values = entries.iter_mut().filter(|it| it.shape == n).map(|it| &mut it.values);
                values.filter(|it| place < it.len()).for_each(|it| drop(it.remove(place)));
            }
        }
        any
    }

    /// Whether any field is kept local.
    pub(crate) fn has_local(&self) -> bool {
        self.iter().any(|numbers| !numbers.local.is_empty())
    }

    /// As [`AllNumbers::without_local`], of a page of a state.
    pub(crate) fn without_local_state(&self, registry: &Registry, page: &mut StatePage) -> bool {
        let local = self.local_places(registry, &page.shape);
        let any = !local.is_empty();
        for place in local.into_iter().rev() {
            page.shape.fields.remove(place);
            if place < page.numbers.len() {
                page.numbers.remove(place);
            }
            let values = page.living.iter_mut().map(|(values, _)| values);
            values.filter(|it| place < it.len()).for_each(|it| drop(it.remove(place)));
        }
        any
    }
}
