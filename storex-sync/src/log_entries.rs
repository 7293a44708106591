//! From what a batch has executed to the entries of its log row.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use storex_core::{
    Change, Collection, Key, Name, Record, Registry, Step, StepOutcome, Trace, Value, created,
};

use crate::clock::Clock;
use crate::counter::Counted;
use crate::key_code;
use crate::log::AllNumbers;
use crate::meta::Numbers;
use crate::relative::Relative;
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
                grouped(unchanged, keys.len())
                    .into_iter()
                    .map(|(idle, places)| Touched::Updated {
                        collection,
                        numbers,
                        keys: places.iter().filter_map(|at| keys.get(*at)).collect(),
                        changes: changes.iter().filter(|(name, _)| !idle.contains(name)).collect(),
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

    pub(crate) fn numbers(&self) -> &Numbers {
        match self {
            Self::Created { numbers, .. }
            | Self::Updated { numbers, .. }
            | Self::Deleted { numbers, .. } => numbers,
        }
    }

    fn collection(&self) -> &Collection {
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
            Self::Created { collection, records, .. } => records
                .iter()
                .map(|record| {
                    key_code::encode(collection.primary_key().iter().map(|at| record.get(*at)))
                })
                .collect(),
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
            Self::Created { .. } => {
                (0..collection.fields().len()).filter(|at| !collection.is_key(*at)).collect()
            }
            Self::Updated { changes, .. } => {
                changes.iter().filter_map(|(name, _)| collection.position(name)).collect()
            }
            Self::Deleted { .. } => Vec::new(),
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
        counted: Vec<Option<Counted>>,
    ) {
        match self {
            Self::Created { collection, records, .. } => {
                for at in collection.primary_key().iter().chain(positions) {
                    writer.value(records[n].get(*at));
                }
            }
            Self::Updated { keys, changes, .. } => {
                keys[n].values().iter().for_each(|value| writer.value(value));
                let mut counted = counted.into_iter();
                for ((_, change), at) in changes.iter().zip(positions) {
                    let counted = counted.next().flatten();
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

/// Writes the transaction, and folds its entries into the clocks.
///
/// `clocks` are the stored clocks of everything touched; `None` stands for fresh creates whose clocks are written
/// already.
pub(crate) fn write(
    header: &Header,
    all: &[Touched<'_>],
    clocks: Option<Clocks>,
) -> (Vec<u8>, usize, Option<Clocks>) {
    let mut shapes: Vec<Shape> = Vec::new();
    let mut shape_of = Vec::with_capacity(all.len());
    let positions: Vec<Vec<usize>> = all.iter().map(Touched::value_positions).collect();
    let mut known: HashMap<Shape, usize> = HashMap::new();
    for (touched, positions) in all.iter().zip(&positions) {
        let shape = touched.shape(positions);
        let at = *known.entry(shape).or_insert_with_key(|shape| {
            shapes.push(shape.clone());
            shapes.len() - 1
        });
        shape_of.push(at);
    }
    let entries = all.iter().map(Touched::len).sum();
    let size = all.iter().map(Touched::size_hint).sum();
    let mut writer = TransactionWriter::new(header, &shapes, entries, size);
    let mut folded = clocks;
    let mut stamp = Stamp { hlc: header.hlc, device: header.device };
    for ((touched, positions), shape) in all.iter().zip(&positions).zip(shape_of) {
        let values = touched.collection().primary_key().len() + positions.len();
        let codes = if folded.is_some() { touched.codes() } else { Vec::new() };
        let mut codes = codes.into_iter();
        for n in 0..touched.len() {
            let (life, counted) = match (&mut folded, codes.next()) {
                (Some(clocks), Some(code)) => {
                    let object = (touched.numbers().collection, code);
                    fold(clocks, object, touched, n, positions, stamp)
                }
                _ => (1, Vec::new()),
            };
            writer.entry(touched.kind(), shape, life, values);
            touched.write_values(&mut writer, n, positions, counted);
            stamp.hlc = stamp.hlc.plus(1);
        }
    }
    (writer.finish(), entries, folded)
}

/// Folds one of our own writes into the object's clock; tells its life, and, change by change if any is relative, what each
/// increment says to be counted.
fn fold(
    clocks: &mut Clocks,
    object: (i64, Vec<u8>),
    touched: &Touched<'_>,
    n: usize,
    positions: &[usize],
    stamp: Stamp,
) -> (u32, Vec<Option<Counted>>) {
    let stored = clocks.get(&object);
    let mut counted = Vec::new();
    let clock = match touched {
        Touched::Created { .. } => {
            let life = stored
                .map_or(1, |clock| if clock.is_alive() { clock.life } else { clock.life + 1 });
            Clock::created(life, stamp)
        }
        Touched::Updated { numbers, changes, .. } => {
            let mut clock = stored.cloned().unwrap_or_else(Clock::unstamped);
            if !clock.is_alive() {
                // The row is there although its clock says deleted: it was put back behind our back.
                clock = Clock::created(clock.life + 1, Stamp::ZERO);
            }
            let relative = changes.iter().any(|(_, it)| !matches!(it, Change::Set(_)));
            for ((_, change), at) in changes.iter().zip(positions) {
                let Some(field) = numbers.fields.get(*at).copied() else { continue };
                let increment = if let Change::Increment(by) = change {
                    clock.increment(field, stamp, by, touched.after(n, *at))
                } else {
                    clock.set(field, stamp);
                    None
                };
                if relative {
                    counted.push(increment);
                }
            }
            clock
        }
        Touched::Deleted { .. } => {
            let life = stored.map_or(1, |clock| clock.life);
            Clock::created(if life % 2 == 1 { life + 1 } else { life + 2 }, stamp)
        }
    };
    let life = clock.life;
    clocks.insert(object, clock);
    (life, counted)
}
