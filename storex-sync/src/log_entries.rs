//! From what a batch has executed to the entries of its log row.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use storex_core::{
    Change, Collection, Filter, Key, Name, Query, Record, Registry, Step, StepOutcome, Trace,
    Value, created,
};

use crate::clock::{Clock, next_life};
use crate::contribute::{Corrections, OwnWrite, Said};
use crate::error::Result;
use crate::key_code;
use crate::merging::Merging;
use crate::meta::Numbers;
use crate::numbers::AllNumbers;
use crate::relative::Relative;
use crate::scope::{Marker, Moved, Subscriptions};
use crate::stamp::Stamp;
use crate::transaction::{EntryKind, Header, Shape, TransactionWriter};

/// What one executed step has done to objects that are logged.
#[derive(Debug)]
pub(crate) enum Touched<'a> {
    Created {
        collection: &'a Arc<Collection>,
        numbers: &'a Arc<Numbers>,
        records: Vec<&'a Record>,
    },
    Updated {
        collection: &'a Arc<Collection>,
        numbers: &'a Arc<Numbers>,
        keys: Vec<&'a Key>,
        /// Without those that changed nothing: what is no write takes no stamp, and so never wins over another device's.
        changes: Vec<(&'a Name, &'a Change)>,
        /// After a relative change: the objects as they are now.
        after: Vec<&'a Record>,
    },
    Deleted {
        collection: &'a Arc<Collection>,
        numbers: &'a Arc<Numbers>,
        keys: &'a [Key],
    },
}

/// What the executed steps have done to objects that are logged, in order.
pub(crate) fn touched<'a>(
    trace: &'a Trace,
    registry: &'a Registry,
    all: &'a AllNumbers,
) -> impl Iterator<Item = Touched<'a>> {
    let known = trace.executed().iter().filter_map(|executed| {
        let name = executed.step.collection()?;
        Some((executed, registry.find(name)?, all.get(name)?))
    });
    let touched = known.flat_map(|(executed, collection, numbers)| {
        match (&executed.step, &executed.outcome) {
            (Step::Create(create), StepOutcome::Created { skipped }) => vec![Touched::Created {
                collection,
                numbers,
                records: created(create, skipped).collect(),
            }],
            (Step::Update { changes, .. }, StepOutcome::Updated { keys, records, unchanged }) => {
                let is_synced = |field: &Name| {
                    numbers.local.is_empty()
                        || collection.position(field).is_none_or(|at| !numbers.is_local(at))
                };
                grouped(unchanged, keys.len())
                    .into_iter()
                    .map(|(idle, places)| Touched::Updated {
                        collection,
                        numbers,
                        keys: places.iter().filter_map(|at| keys.get(*at)).collect(),
                        changes: changes
                            .iter()
                            .filter(|(name, _)| !idle.contains(name) && is_synced(name))
                            .collect(),
                        after: places.iter().filter_map(|at| records.get(*at)).collect(),
                    })
                    .collect()
            }
            (_, StepOutcome::Deleted { keys }) => {
                vec![Touched::Deleted { collection, numbers, keys }]
            }
            _ => Vec::new(),
        }
    });
    touched.filter(|touched| touched.len() > 0)
}

/// The places of the objects of an update, by the fields whose changes changed nothing in them: mostly one group.
fn grouped(unchanged: &[(usize, Name)], objects: usize) -> BTreeMap<Vec<&Name>, Vec<usize>> {
    let mut groups: BTreeMap<Vec<&Name>, Vec<usize>> = BTreeMap::new();
    let mut unchanged = unchanged.iter().peekable();
    for at in 0..objects {
        let mut idle = Vec::new();
        while let Some((_, field)) = unchanged.next_if(|(place, _)| *place <= at) {
            idle.push(field);
        }
        groups.entry(idle).or_default().push(at);
    }
    groups
}

impl Touched<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Created { records, .. } => records.len(),
            Self::Updated { changes, .. } if changes.is_empty() => 0,
            Self::Updated { keys, .. } => keys.len(),
            Self::Deleted { keys, .. } => keys.len(),
        }
    }

    pub(crate) fn numbers(&self) -> &Arc<Numbers> {
        match self {
            Self::Created { numbers, .. }
            | Self::Updated { numbers, .. }
            | Self::Deleted { numbers, .. } => numbers,
        }
    }

    /// The name of the collection.
    pub(crate) fn name(&self) -> &Name {
        self.collection().name()
    }

    fn keys(&self) -> Vec<Key> {
        match self {
            Self::Created { collection, records, .. } => {
                records.iter().map(|record| collection.key_of(record)).collect()
            }
            Self::Updated { keys, .. } => keys.iter().map(|key| (*key).clone()).collect(),
            Self::Deleted { keys, .. } => keys.to_vec(),
        }
    }

    fn collection(&self) -> &Arc<Collection> {
        match self {
            Self::Created { collection, .. }
            | Self::Updated { collection, .. }
            | Self::Deleted { collection, .. } => collection,
        }
    }

    fn kind(&self) -> EntryKind {
        match self {
            Self::Created { .. } => EntryKind::Create,
            Self::Updated { .. } => EntryKind::Update,
            Self::Deleted { .. } => EntryKind::Delete,
        }
    }

    /// The codes of the objects' keys.
    pub(crate) fn codes(&self) -> Vec<Vec<u8>> {
        match self {
            Self::Created { collection, records, .. } => {
                records.iter().map(|it| key_code::of(it, collection.primary_key())).collect()
            }
            Self::Updated { keys, .. } => {
                keys.iter().map(|key| key_code::encode(key.values())).collect()
            }
            Self::Deleted { keys, .. } => {
                keys.iter().map(|key| key_code::encode(key.values())).collect()
            }
        }
    }

    /// Positions of the fields behind the key, in the order of the entry's values.
    fn value_positions(&self) -> Vec<usize> {
        let collection = self.collection();
        match self {
            Self::Created { numbers, .. } => {
                numbers.synced().filter(|at| !collection.is_key(*at)).collect()
            }
            Self::Updated { changes, .. } => {
                changes.iter().filter_map(|(name, _)| collection.position(name)).collect()
            }
            Self::Deleted { .. } => Vec::new(),
        }
    }

    /// Whether objects may have come to another scope.
    fn moves(&self, merging: &Merging) -> bool {
        let Some(scope) = self.numbers().scope else { return false };
        match self {
            // One that was there already: the entry has all of it, but for what others have contributed to a strategy.
            Self::Created { collection, .. } => merging.strategies.contains_key(collection.name()),
            Self::Updated { collection, changes, .. } => {
                changes.iter().any(|(name, _)| collection.position(name) == Some(scope))
            }
            Self::Deleted { .. } => false,
        }
    }

    /// Whether objects were created in a scope that this device does not hold.
    pub(crate) fn has_created_outside(&self, held: &Subscriptions) -> bool {
        match self {
            Self::Created { numbers, records, .. } => {
                records.iter().any(|record| held.exclude(numbers, record))
            }
            _ => false,
        }
    }

    /// Positions of the fields that change with those that were changed.
    fn companions(&self, merging: &Merging) -> Vec<usize> {
        match self {
            Self::Updated { collection, changes, .. } => {
                merging.companions(collection, changes.iter().map(|(name, _)| *name))
            }
            _ => Vec::new(),
        }
    }

    /// The n-th object as it is now, if it is there and was read.
    fn row<'a>(&self, n: usize, known: &'a Known) -> Option<&'a Record> {
        match self {
            Self::Updated { collection, keys, .. } => {
                known.rows.get(&(Name::clone(collection.name()), (*keys.get(n)?).clone()))
            }
            _ => None,
        }
    }

    fn shape(&self, positions: &[usize]) -> Shape {
        let collection = self.collection();
        let name = |at: &usize| collection.fields().get(*at).map(|field| Name::clone(&field.name));
        Shape {
            collection: Name::clone(collection.name()),
            key_len: collection.primary_key().len(),
            fields: collection.primary_key().iter().chain(positions).filter_map(name).collect(),
        }
    }

    fn write_values(
        &self,
        writer: &mut TransactionWriter,
        n: usize,
        positions: &[usize],
        said: Vec<Option<Said>>,
    ) {
        let mut said = said.into_iter();
        match self {
            Self::Created { collection, records, .. } => {
                for at in collection.primary_key() {
                    writer.value(records[n].get(*at));
                }
                for at in positions {
                    match said.next().flatten() {
                        Some(Said::Joined(joined, to)) => {
                            writer.changed(&Relative::Joined(joined), &to);
                        }
                        _ => writer.value(records[n].get(*at)),
                    }
                }
            }
            Self::Updated { keys, changes, .. } => {
                keys[n].values().iter().for_each(|value| writer.value(value));
                for ((_, change), at) in changes.iter().zip(positions) {
                    let counted = match said.next().flatten() {
                        Some(Said::Joined(joined, to)) => {
                            writer.changed(&Relative::Joined(joined), &to);
                            continue;
                        }
                        Some(Said::Counted(counted)) => Some(counted),
                        None => None,
                    };
                    match (change, Relative::of(change)) {
                        (Change::Set(value), _) => writer.value(value),
                        (_, Some(Relative::Increment { by, .. })) => {
                            let change = Relative::Increment { by, counted };
                            writer.changed(&change, self.after(n, *at));
                        }
                        (_, Some(change)) => writer.changed(&change, self.after(n, *at)),
                        // A change that this version does not know is logged by its result.
                        (_, None) => writer.value(self.after(n, *at)),
                    }
                }
            }
            Self::Deleted { keys, .. } => {
                keys[n].values().iter().for_each(|value| writer.value(value));
            }
        }
    }

    /// What a field of the n-th object is after a relative change.
    fn after(&self, n: usize, at: usize) -> &Value {
        match self {
            Self::Updated { after, .. } => after.get(n).map_or(&Value::Null, |it| it.get(at)),
            _ => &Value::Null,
        }
    }

    /// Roughly how many bytes the entries take.
    fn size_hint(&self) -> usize {
        let per_entry = match self {
            Self::Created { records, .. } => records
                .first()
                .map_or(64, |record| record.values().iter().map(value_size).sum::<usize>() + 16),
            _ => 64,
        };
        self.len() * per_entry
    }
}

fn value_size(value: &Value) -> usize {
    match value {
        Value::Text(text) => text.len() + 5,
        Value::Bytes(bytes) => bytes.len() + 5,
        _ => 9,
    }
}

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
            let row = touched.row(n, &fold.known).zip(fields.with_companions);
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
                if touched.row(n, &self.known).is_some() {
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
