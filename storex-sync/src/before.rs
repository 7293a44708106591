//! [`Before`]: what an object was before an own write that is still to be sent, so that the write can be taken back.
//!
//! There is one for each object of each transaction in the own log, where the application wants that
//! ([`SyncLog::reversible`](crate::SyncLog::reversible)). What arrives of others is folded into it too, see [`crate::apply`]: it stays what
//! the object would be without this write and those behind it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use storex_core::{
    Collection, Definition, FieldType, Filter, Key, Name, ObjectImages, Observer, Query, Record,
    Step, Timestamp, Value, field,
};

use crate::clock::Clock;
use crate::clock_rows::Stored;
use crate::error::{Result, SyncError};
use crate::lane::Names;
use crate::meta::{Devices, Numbers};
use crate::numbers::AllNumbers;
use crate::pack::{Packer, Unpacker};
use crate::scope::Marker;

pub(crate) const BEFORE: &str = "_storex_before";

pub(crate) fn before_definition(names: &Names) -> Definition {
    Definition::new(names.own(BEFORE))
        .reserved()
        .field("sequence", FieldType::Int)
        .field("collection", FieldType::Int)
        .field("key", FieldType::Binary)
        .optional("object", FieldType::Binary)
        .optional("clock", FieldType::Binary)
        .primary_key(["sequence", "collection", "key"])
}

/// An object as it would be without an own write, and without those behind it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Before {
    /// The number of the write's transaction.
    pub(crate) sequence: u64,
    /// The number of the object's collection.
    pub(crate) collection: i64,
    /// The code of its key.
    pub(crate) code: Vec<u8>,
    /// Its values, by the numbers of their fields; `None`: it is not there.
    pub(crate) values: Option<Vec<(u32, Value)>>,
    /// Its clock, if it has one.
    pub(crate) clock: Option<Clock>,
    /// What was kept of it where it had gone to a scope that is not held; it has no clock then.
    pub(crate) marker: Option<Marker>,
}

impl Before {
    pub(crate) fn record(&self, devices: &mut Devices) -> Record {
        let packed = self.values.as_ref().map(|values| {
            let mut packer = Packer::default();
            packer.array(values.len());
            for (number, value) in values {
                packer.array(2);
                packer.uint(u64::from(*number));
                packer.value(value);
            }
            Value::Bytes(packer.out)
        });
        let clock = Stored::encode(self.clock.as_ref(), self.marker.as_ref(), devices);
        Record::new(vec![
            int(self.sequence),
            Value::Int(self.collection),
            Value::Bytes(self.code.clone()),
            packed.unwrap_or(Value::Null),
            clock.map_or(Value::Null, Value::Bytes),
        ])
    }

    pub(crate) fn read(row: &Record, devices: &Devices) -> Result<Self> {
        let wrong = || SyncError::corrupt("what was before a write", "its row has the wrong types");
        let sequence = row.get(0).as_int().and_then(|int| u64::try_from(int).ok());
        let (Some(sequence), Some(collection), Some(code)) =
            (sequence, row.get(1).as_int(), row.get(2).as_bytes())
        else {
            return Err(wrong());
        };
        let values = row.get(3).as_bytes().map(read_values).transpose()?;
        let kept = row.get(4).as_bytes().map(|it| Stored::decode(it, devices)).transpose()?;
        let (clock, marker) = match kept {
            Some(Stored::Clock(clock)) => (Some(clock), None),
            Some(Stored::Marker(marker)) => (None, Some(marker)),
            None => (None, None),
        };
        Ok(Self { sequence, collection, code: code.to_vec(), values, clock, marker })
    }

    /// The key of its row.
    pub(crate) fn key(&self) -> Key {
        let code = Value::Bytes(self.code.clone());
        Key::compound([int(self.sequence), Value::Int(self.collection), code])
    }

    /// The object.
    pub(crate) fn object(&self, collection: &Collection, numbers: &Numbers) -> Option<Record> {
        let values = self.values.as_ref()?;
        let mut record = collection.blank_record(Timestamp(0));
        for (at, number) in numbers.fields.iter().enumerate() {
            if let Some((_, value)) = values.iter().find(|(known, _)| known == number) {
                record.set(at, value.clone());
            }
        }
        Some(record)
    }

    /// Takes what the object is by now.
    pub(crate) fn set(
        &mut self,
        object: Option<&Record>,
        clock: Option<&Clock>,
        marker: Option<&Marker>,
        numbers: &Numbers,
    ) {
        self.values = object.map(|record| values_of(record, numbers));
        (self.clock, self.marker) = (clock.cloned(), marker.cloned());
    }
}

fn int(number: u64) -> Value {
    Value::Int(i64::try_from(number).unwrap_or(i64::MAX))
}

fn values_of(record: &Record, numbers: &Numbers) -> Vec<(u32, Value)> {
    numbers.fields.iter().copied().zip(record.values().iter().cloned()).collect()
}

fn read_values(bytes: &[u8]) -> Result<Vec<(u32, Value)>> {
    let mut unpacker = Unpacker::new(bytes, "what was before a write");
    let mut values = Vec::new();
    for _ in 0..unpacker.array()? {
        unpacker.tuple(2)?;
        values.push((unpacker.u32()?, unpacker.value()?));
    }
    unpacker.end()?;
    Ok(values)
}

/// What finds all that is kept from this transaction on.
pub(crate) fn before_from(sequence: u64) -> Query {
    Query::new(BEFORE).filter(field("sequence").gte(int(sequence)))
}

/// A step that forgets what was before the transactions up to this number: they cannot be taken back any more.
pub(crate) fn forget_up_to(sequence: i64) -> Step {
    let sent = field("sequence").lte(Value::Int(sequence));
    Step::Delete { collection: BEFORE.into(), filter: sent }
}

/// A step that forgets all of it.
pub(crate) fn forget_all() -> Step {
    Step::Delete { collection: BEFORE.into(), filter: Filter::All }
}

/// What was seen of each object, in the order in which it was seen.
type Seen = BTreeMap<(Name, Key), Vec<ObjectImages>>;

/// Sees what a batch changes, before it does.
#[derive(Debug, Clone)]
pub(crate) struct Witness {
    numbers: Arc<AllNumbers>,
    /// Per object, in the order in which it was changed.
    seen: Arc<Mutex<Seen>>,
}

impl Witness {
    pub(crate) fn new(numbers: Arc<AllNumbers>) -> Self {
        Self { numbers, seen: Arc::default() }
    }

    /// An object as it was when the batch began. The batch may have been run before, in vain: what was seen then does not lead up to
    /// what was seen last.
    pub(crate) fn before(&self, collection: &Name, key: &Key) -> Option<Vec<(u32, Value)>> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let mut of_it = seen.get(&(Name::clone(collection), key.clone()))?.iter().rev();
        let mut first = of_it.next()?;
        for earlier in of_it {
            if earlier.after != first.before {
                break;
            }
            first = earlier;
        }
        let numbers = self.numbers.get(collection)?;
        first.before.as_ref().map(|record| values_of(record, numbers))
    }
}

#[cfg_attr(not(target_family = "wasm"), async_trait::async_trait)]
#[cfg_attr(target_family = "wasm", async_trait::async_trait(?Send))]
impl Observer for Witness {
    fn observes(&self, collection: &Collection) -> bool {
        self.numbers.get(collection.name()).is_some()
    }

    fn after(&self, _: &Collection, changes: &[ObjectImages]) -> storex_core::Result<()> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        for change in changes {
            let object = (Name::clone(&change.collection), change.key.clone());
            seen.entry(object).or_default().push(change.clone());
        }
        Ok(())
    }
}
