//! From what a batch has executed to the entries of its log row.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use storex_core::{Collection, Filter, Key, Name, Query, Record, Step, Value};

use crate::clock::{Clock, next_life};
use crate::contribute::{Corrections, OwnWrite, Said};
use crate::error::Result;
use crate::merging::Merging;
use crate::scope::{Marker, Moved};
use crate::stamp::Stamp;
use crate::touched::Touched;
use crate::transaction::{EntryKind, Header, Shape};
use crate::transaction_code::TransactionWriter;

/// The objects' clocks, by collection number and key code.
pub(crate) type Clocks = HashMap<(i64, Vec<u8>), Clock>;

/// What is stored of the objects that were touched.
#[derive(Debug, Default)]
pub(crate) struct Known {
    pub(crate) clocks: Clocks,
    /// What is kept of those that have gone to a scope that is not held here.
    pub(crate) gone: HashMap<(i64, Vec<u8>), Marker>,
    /// The objects as they are now, of which a part of a group of fields was changed, or that may have come to another scope.
    pub(crate) rows: HashMap<(Name, Key), Record>,
}

impl Known {
    /// The n-th object of an update as it is now, if it is there and was read.
    fn row(&self, touched: &Touched<'_>, n: usize) -> Option<&Record> {
        match touched {
            Touched::Updated { collection, keys, .. } => {
                self.rows.get(&(Name::clone(collection.name()), (*keys.get(n)?).clone()))
            }
            _ => None,
        }
    }
}

/// Reads the objects of which a part of a group of fields was changed, or that may have come to another scope; one step for each of
/// these collections.
pub(crate) fn companions<'a>(
    merging: &Merging,
    all: impl Iterator<Item = Touched<'a>>,
) -> (Vec<Step>, Vec<Arc<Collection>>) {
    let mut wanted: BTreeMap<Name, (Arc<Collection>, BTreeSet<Key>)> = BTreeMap::new();
    if merging.groups.is_empty() && merging.scopes.is_empty() {
        return (Vec::new(), Vec::new());
    }
    for touched in all {
        if touched.moves(merging) || !touched.companions(merging).is_empty() {
            let collection = touched.collection();
            let name = Name::clone(collection.name());
            let known =
                wanted.entry(name).or_insert_with(|| (Arc::clone(collection), BTreeSet::new()));
            known.1.extend(touched.keys());
        }
    }
    let find = |(name, (collection, keys)): (Name, (Arc<Collection>, BTreeSet<Key>))| {
        let filter = Filter::Keys(keys.into_iter().collect());
        (Step::Find(Query::new(name).filter(filter)), collection)
    };
    wanted.into_iter().map(find).unzip()
}

/// Rows by their object.
pub(crate) fn rows_of<'a>(
    collection: &'a Collection,
    rows: &'a [Record],
) -> impl Iterator<Item = ((Name, Key), Record)> + 'a {
    let object = |row: &Record| (Name::clone(collection.name()), collection.key_of(row));
    rows.iter().map(move |row| (object(row), row.clone()))
}

/// A transaction as it is logged.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) payload: Vec<u8>,
    pub(crate) entries: usize,
    /// The clocks of everything touched, unless they are written already.
    pub(crate) clocks: Option<Clocks>,
    /// Fields that hold something else than what was written.
    pub(crate) corrections: Corrections,
    /// Objects that may have come to another scope, as they are now.
    pub(crate) moved: Vec<Moved>,
}

/// Writes the transaction, and folds its entries into the clocks.
///
/// `known` is what is stored of everything touched; `None` stands for fresh creates whose clocks are written already.
pub(crate) fn write(
    header: &Header,
    all: &[Touched<'_>],
    known: Option<Known>,
    merging: &Merging,
) -> Result<Written> {
    let is_folded = known.is_some();
    let known = known.unwrap_or_default();
    let mut shapes = Shapes::default();
    let fields: Vec<Fields> =
        all.iter().map(|touched| Fields::of(touched, merging, &known, &mut shapes)).collect();
    let moved = moved(all, &known, merging, &mut shapes);
    let entries = all.iter().map(Touched::len).sum::<usize>() + moved.len();
    let size = all.iter().map(Touched::size_hint).sum();
    let mut writer = TransactionWriter::new(header, &shapes.list, entries, size);
    let mut fold = Fold { known, merging, corrections: Corrections::default() };
    let mut stamp = Stamp { hlc: header.hlc, device: header.device };
    for (touched, fields) in all.iter().zip(&fields) {
        let codes = if is_folded { touched.codes() } else { Vec::new() };
        let mut codes = codes.into_iter();
        let key_len = touched.collection().primary_key().len();
        for n in 0..touched.len() {
            let (life, said) = match codes.next() {
                Some(code) => {
                    let object = (touched.numbers().collection, code);
                    fold.write(object, touched, n, fields, stamp)?
                }
                None => (1, Vec::new()),
            };
            let row = fold.known.row(touched, n).zip(fields.with_companions);
            let companions = row.map_or(&[][..], |_| &fields.companions);
            let shape = row.map_or(fields.shape, |(_, shape)| shape);
            let values = key_len + fields.positions.len() + companions.len();
            writer.entry(touched.kind(), shape, life, values);
            touched.write_values(&mut writer, n, &fields.positions, said);
            for at in companions {
                writer.value(row.map_or(&Value::Null, |(row, _)| row.get(*at)));
            }
            stamp.hlc = stamp.hlc.plus(1);
        }
    }
    for one in &moved {
        if let Some(clock) = fold.known.clocks.get(&one.object) {
            one.write(&mut writer, clock);
        }
    }
    let clocks = is_folded.then_some(fold.known.clocks);
    let payload = writer.finish();
    Ok(Written { payload, entries, clocks, corrections: fold.corrections, moved })
}

/// The objects that may have come to another scope and are there now: whoever gains one lacks all of it.
fn moved(all: &[Touched<'_>], known: &Known, merging: &Merging, shapes: &mut Shapes) -> Vec<Moved> {
    let mut moved: BTreeMap<(i64, Vec<u8>), Moved> = BTreeMap::new();
    for touched in all.iter().filter(|touched| touched.moves(merging)) {
        let (collection, numbers) = (touched.collection(), touched.numbers());
        let was_created = touched.kind() == EntryKind::Create;
        for (key, code) in touched.keys().into_iter().zip(touched.codes()) {
            let object = (numbers.collection, code);
            let was_there = known.clocks.get(&object).is_some_and(Clock::is_alive);
            let row = known.rows.get(&(Name::clone(collection.name()), key));
            let Some(row) = row.filter(|_| was_there || !was_created) else { continue };
            let one = Moved::new(object.clone(), collection, numbers, row);
            moved.entry(object).or_insert(one);
        }
    }
    let mut moved: Vec<Moved> = moved.into_values().collect();
    moved.iter_mut().for_each(|one| one.shape = shapes.place(one.shape()));
    moved
}

/// The shapes of a transaction.
#[derive(Debug, Default)]
struct Shapes {
    list: Vec<Shape>,
    known: HashMap<Shape, usize>,
}

impl Shapes {
    fn place(&mut self, shape: Shape) -> usize {
        *self.known.entry(shape).or_insert_with_key(|shape| {
            self.list.push(shape.clone());
            self.list.len() - 1
        })
    }
}

/// The fields of the entries that come of a step.
#[derive(Debug)]
struct Fields {
    /// Positions of the fields behind the key.
    positions: Vec<usize>,
    shape: usize,
    /// Positions of the fields that change with these.
    companions: Vec<usize>,
    /// The shape of the entries that have them; `None`: no entry has any.
    with_companions: Option<usize>,
}

impl Fields {
    fn of(touched: &Touched<'_>, merging: &Merging, known: &Known, shapes: &mut Shapes) -> Self {
        let positions = touched.value_positions();
        let companions =
            if known.rows.is_empty() { Vec::new() } else { touched.companions(merging) };
        let shape = shapes.place(touched.shape(&positions));
        let with_companions = (!companions.is_empty()).then(|| {
            let all: Vec<usize> = positions.iter().chain(&companions).copied().collect();
            shapes.place(touched.shape(&all))
        });
        Self { positions, shape, companions, with_companions }
    }
}

struct Fold<'a> {
    known: Known,
    merging: &'a Merging,
    corrections: Corrections,
}

impl Fold<'_> {
    /// Folds one of our own writes into the object's clock; tells its life, and, field by field if there is any such, what the log
    /// says beside the values.
    fn write(
        &mut self,
        object: (i64, Vec<u8>),
        touched: &Touched<'_>,
        n: usize,
        fields: &Fields,
        stamp: Stamp,
    ) -> Result<(u32, Vec<Option<Said>>)> {
        let positions = &fields.positions;
        let stored = self.known.clocks.get(&object);
        let (merging, corrections) = (self.merging, &mut self.corrections);
        let (clock, said) = match touched {
            Touched::Created { collection, numbers, records } => {
                let record = records[n];
                let key = &collection.key_of(record);
                let write = OwnWrite { merging, collection, key, stamp };
                let all = positions.iter().filter_map(|at| Some((*at, *numbers.fields.get(*at)?)));
                // It is there elsewhere, and nothing else is known of it here.
                let gone = self.known.gone.get(&object).map(|it| it.life().saturating_sub(1));
                let gone = gone.map(|life| Clock::created(life, Stamp::ZERO));
                let stored = stored.or(gone.as_ref());
                write.create(stored, all, |at| record.get(at).clone(), corrections)?
            }
            Touched::Updated { collection, numbers, changes, keys, .. } => {
                let mut clock = stored.cloned().unwrap_or_else(Clock::unstamped);
                if !clock.is_alive() {
                    // The row is there although its clock says deleted: it was put back behind our back.
                    clock = Clock::created(clock.life + 1, Stamp::ZERO);
                }
                let write = OwnWrite { merging, collection, key: keys[n], stamp };
                let mut all = Vec::new();
                for ((_, change), at) in changes.iter().zip(positions) {
                    let Some(field) = numbers.fields.get(*at).copied() else { continue };
                    let after = touched.after(n, *at);
                    all.push(write.change(&mut clock, (*at, field), change, after, corrections)?);
                }
                if self.known.row(touched, n).is_some() {
                    let companions = fields.companions.iter();
                    let numbers = companions.filter_map(|at| numbers.fields.get(*at));
                    numbers.for_each(|field| clock.set(*field, stamp));
                }
                (clock, all)
            }
            Touched::Deleted { collection, keys, .. } => {
                corrections.forget(collection, &keys[n]);
                let life = stored.map_or(1, |clock| clock.life);
                let life = if life % 2 == 1 { life + 1 } else { life + 2 };
                (Clock::created(next_life(life)?, stamp), Vec::new())
            }
        };
        let life = clock.life;
        self.known.clocks.insert(object, clock);
        Ok((life, said))
    }
}
