//! What writes come to, by the documented rules: the greatest life of an object decides whether it is there; of the writes of
//! that life the latest sets each field; increments on what that write has set are added up.

use std::collections::BTreeMap;

use storex_core::{Record, Value};
use storex_sync::{EntryKind, EntryValue, Relative, Stamp, Transaction};

/// Rows by collection and key, field by field.
pub(crate) type Rows = BTreeMap<String, BTreeMap<String, BTreeMap<String, Value>>>;

/// An object: its collection and its key.
pub(crate) type ObjectName = (String, String);

/// One write to one object.
#[derive(Debug, Clone, Copy)]
pub(super) struct Touch<'a> {
    pub(super) transaction: &'a Transaction,
    pub(super) entry: usize,
}

impl<'a> Touch<'a> {
    fn life(&self) -> u32 {
        self.transaction.entries[self.entry].life
    }

    pub(super) fn kind(&self) -> EntryKind {
        self.transaction.entries[self.entry].kind
    }

    pub(super) fn stamp(&self) -> Stamp {
        self.transaction.stamp(self.entry)
    }

    /// Which object it is about.
    pub(super) fn object(&self) -> Option<ObjectName> {
        let entry = &self.transaction.entries[self.entry];
        let key = text(entry.values.first()?.value());
        Some((self.transaction.shapes[entry.shape].collection.to_string(), key))
    }

    /// The object that it increments, and on which write.
    pub(super) fn counts_on(&self) -> Option<(ObjectName, Stamp)> {
        let base = self.fields().find_map(|(_, value)| Some(increment(value)?.base))?;
        Some((self.object()?, base))
    }

    /// The fields behind the key, and their values.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&'a str, &'a EntryValue)> + use<'a> {
        let entry = &self.transaction.entries[self.entry];
        let shape = &self.transaction.shapes[entry.shape];
        let names = shape.fields.iter().map(|name| &**name);
        names.zip(&entry.values).skip(shape.key_len)
    }
}

/// What all these writes come to, in whatever order.
pub(super) fn rows_of<'a>(touches: impl IntoIterator<Item = Touch<'a>>) -> Rows {
    let mut objects: BTreeMap<ObjectName, Vec<Touch<'_>>> = BTreeMap::new();
    for touch in touches {
        if let Some(object) = touch.object() {
            objects.entry(object).or_default().push(touch);
        }
    }
    let mut rows = Rows::new();
    for ((collection, key), mut touches) in objects {
        let life = touches.iter().map(Touch::life).max().unwrap_or(0);
        if life % 2 == 0 {
            continue;
        }
        touches.retain(|touch| touch.life() == life && touch.kind() != EntryKind::Delete);
        rows.entry(collection).or_default().insert(key, row_of(&touches));
    }
    rows
}

fn row_of(touches: &[Touch<'_>]) -> BTreeMap<String, Value> {
    let mut set: BTreeMap<&str, (Stamp, Value)> = BTreeMap::new();
    let mut added: BTreeMap<&str, Vec<Added>> = BTreeMap::new();
    for touch in touches {
        for (field, value) in touch.fields() {
            match (touch.kind(), increment(value)) {
                (EntryKind::Update, Some(add)) => added.entry(field).or_default().push(add),
                _ => {
                    let known = set.entry(field).or_insert((Stamp::ZERO, Value::Null));
                    if touch.stamp() > known.0 {
                        *known = (touch.stamp(), value.value().clone());
                    }
                }
            }
        }
    }
    for (field, adds) in added {
        let (base, value) = set.entry(field).or_insert((Stamp::ZERO, Value::Null));
        // What was set may be still to come, where a state is sent again. Whoever adds to it tells what it was.
        if let Some(add) = adds.iter().max_by_key(|add| add.base).filter(|add| add.base > *base) {
            (*base, *value) = (add.base, Value::Int(add.from));
        }
        let sum: i64 = adds.iter().filter(|add| add.base == *base).map(|add| add.by).sum();
        *value = Value::Int(value.as_int().unwrap_or(0) + sum);
    }
    set.into_iter().map(|(field, (_, value))| (field.to_owned(), value)).collect()
}

/// An increment.
struct Added {
    /// The stamp of the write that has set the number.
    base: Stamp,
    /// What it was set to.
    from: i64,
    by: i64,
}

fn increment(value: &EntryValue) -> Option<Added> {
    let EntryValue::Changed { change, .. } = value else { return None };
    let Relative::Increment { by, counted } = &**change else { return None };
    let counted = counted.as_ref()?;
    Some(Added { base: counted.base, from: counted.from.as_int()?, by: by.as_int()? })
}

/// A record as a row of the model.
pub(crate) fn row(names: &[&str], key: &str, record: &Record) -> BTreeMap<String, Value> {
    let fields = names.iter().zip(record.values());
    fields
        .filter(|(name, _)| **name != key)
        .map(|(name, value)| ((*name).to_owned(), value.clone()))
        .collect()
}

pub(super) fn text(value: &Value) -> String {
    match value {
        Value::Text(text) => text.clone(),
        other => format!("{other:?}"),
    }
}

/// Where rows differ from what they must be.
pub(crate) fn check_equal(rows: &Rows, expected: &Rows) -> Result<(), String> {
    let none = BTreeMap::new();
    for collection in rows.keys().chain(expected.keys()) {
        let here = rows.get(collection).unwrap_or(&none);
        let must = expected.get(collection).unwrap_or(&none);
        for key in here.keys().chain(must.keys()) {
            let (here, must) = (here.get(key), must.get(key));
            if here != must {
                return Err(format!("{collection} {key} is {here:?} and must be {must:?}"));
            }
        }
    }
    Ok(())
}
