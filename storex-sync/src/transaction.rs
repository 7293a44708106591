//! [`Transaction`]: what one batch has changed, as it is logged and as it travels. `docs/wire-format.md` describes it.

use storex_core::{Name, Value};

use crate::clock::LAST_LIFE;
use crate::counter::Counted;
use crate::error::{Result, SyncError};
use crate::field_state::Joined;
use crate::pack::{Packer, Unpacker};
use crate::relative::Relative;
use crate::stamp::{Device, Hlc, Stamp};

/// The version of the form. A reader refuses what is newer.
const VERSION: u64 = 1;

/// The version of a transaction with a contribution to a field with a strategy, or with an entry that was taken out: a program
/// that knows nothing of these must not apply the rest.
const VERSION_3: u8 = 3;

/// What one batch has changed: whole, or not at all.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Transaction {
    /// What is known of the transaction as a whole.
    pub header: Header,
    /// What kinds of entries there are: which fields of which collection.
    pub shapes: Vec<Shape>,
    /// The entries, in the order of the writes.
    pub entries: Vec<Entry>,
}

/// What is known of a transaction as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Header {
    /// The device that wrote it.
    pub device: Device,
    /// Its number: dense per device, from 1.
    pub sequence: u64,
    /// The stamp of the first entry; each further entry's is one later.
    pub hlc: Hlc,
    /// What the device had seen: the last reading applied of every other device. Two writes are concurrent when
    /// neither had seen the other.
    pub seen: Vec<(Device, Hlc)>,
    /// The version of the schema under which it was written ([`Registry::version`](storex_core::Registry::version)): its names are
    /// of that version.
    pub schema: u64,
}

/// The fields that an entry has values for: first those of the primary key, in the key's order.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Shape {
    /// The collection.
    pub collection: Name,
    /// How many of the fields are the primary key.
    pub key_len: usize,
    /// The fields.
    pub fields: Vec<Name>,
}

/// What happened to one object.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// What happened.
    pub kind: EntryKind,
    /// Which of the transaction's shapes the values have.
    pub shape: usize,
    /// The causal length of the object's existence after this entry; 0 if the entry was taken out.
    pub life: u32,
    /// The values.
    pub values: Vec<EntryValue>,
}

/// A value of an entry.
#[derive(Debug, Clone, PartialEq)]
pub enum EntryValue {
    /// The field has this value.
    Set(Value),
    /// The field was changed in a way that depends on the value before.
    Changed {
        /// In this way. Few values are; the others are not to be as large.
        change: Box<Relative>,
        /// To this value.
        to: Value,
    },
}

impl EntryValue {
    /// The value of the field after the entry.
    #[must_use]
    pub fn value(&self) -> &Value {
        match self {
            Self::Set(value) | Self::Changed { to: value, .. } => value,
        }
    }

    /// The last reading of the writes that a value which comes back consists of.
    fn written(&self) -> Option<Hlc> {
        let Self::Changed { change, .. } = self else { return None };
        let Relative::Written { at, counter, state } = &**change else { return None };
        let sums = counter.iter().flat_map(|counter| &counter.sums);
        let state = state.as_ref().map(|state| state.newest().hlc);
        Some(sums.map(|sum| sum.at.hlc).chain(state).fold(at.hlc, Hlc::max))
    }

    /// What an increment says to be counted.
    #[must_use]
    pub fn counted(&self) -> Option<&Counted> {
        match self {
            Self::Changed { change, .. } => change.counted(),
            Self::Set(_) => None,
        }
    }

    /// The application's function that joins the values of the field.
    pub(crate) fn function(&self) -> Option<&Name> {
        match self {
            Self::Changed { change, .. } => match &**change {
                Relative::Joined(joined) => joined.contribution.function(),
                Relative::Written { state, .. } => state.as_ref()?.function(),
                _ => None,
            },
            Self::Set(_) => None,
        }
    }

    /// What it contributes to a field with a [`Strategy`](crate::Strategy).
    #[must_use]
    pub fn joined(&self) -> Option<&Joined> {
        match self {
            Self::Changed { change, .. } => change.joined(),
            Self::Set(_) => None,
        }
    }
}

impl Entry {
    /// Stands in the place of an entry that was taken out, so that those behind it keep their stamps.
    pub(crate) fn taken_out() -> Self {
        Self { kind: EntryKind::Update, shape: 0, life: 0, values: Vec::new() }
    }

    /// Whether it brings an object with values that were written before.
    pub(crate) fn is_brought_back(&self) -> bool {
        self.kind == EntryKind::Create && self.values.iter().any(|value| value.written().is_some())
    }

    /// Whether a processor has taken it out: there is nothing in it, and nothing comes of it.
    #[must_use]
    pub fn is_taken_out(&self) -> bool {
        self.life == 0
    }
}

/// What happened to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// It was created; the values are all its fields.
    Create,
    /// Some fields were changed; the values are the key and the changed fields.
    Update,
    /// It was deleted; the values are the key.
    Delete,
}

impl Transaction {
    /// The stamp of an entry.
    #[must_use]
    pub fn stamp(&self, entry: usize) -> Stamp {
        Stamp { hlc: self.header.hlc.plus(entry as u64), device: self.header.device }
    }

    /// What is left of it where its values are not sent: its number and its reading.
    pub(crate) fn without_entries(&self) -> Self {
        let header = Header { seen: Vec::new(), ..self.header.clone() };
        Self { header, ..Self::default() }
    }

    /// Whether the device had seen a write with this stamp.
    #[must_use]
    pub fn had_seen(&self, stamp: Stamp) -> bool {
        stamp.device == self.header.device
            || stamp == Stamp::ZERO
            || self
                .header
                .seen
                .iter()
                .any(|(device, hlc)| *device == stamp.device && *hlc >= stamp.hlc)
    }

    /// The transaction's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = TransactionWriter::new(
            &self.header,
            &self.shapes,
            self.entries.len(),
            self.entries.len() * 64,
        );
        for entry in &self.entries {
            if entry.is_taken_out() {
                writer.taken_out();
                continue;
            }
            writer.entry(entry.kind, entry.shape, entry.life, entry.values.len());
            for value in &entry.values {
                match value {
                    EntryValue::Set(value) => writer.value(value),
                    EntryValue::Changed { change, to } => writer.changed(change, to),
                }
            }
        }
        writer.finish()
    }

    /// Reads a transaction.
    ///
    /// # Errors
    /// [`SyncError::Corrupt`]; no input panics or makes it reserve more memory than a small multiple of its length.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let what = "a transaction";
        let mut unpacker = Unpacker::new(bytes, what);
        let parts = unpacker.array()?;
        let version = unpacker.uint()?;
        if version != VERSION && version != u64::from(VERSION_3) {
            let reason =
                format!("it has version {version}, of which this program knows nothing; update it");
            return Err(SyncError::corrupt(what, reason));
        }
        if parts != 4 {
            return Err(SyncError::corrupt(what, "it has another number of parts than four"));
        }
        let header = read_header(&mut unpacker)?;
        let shapes = read_shapes(&mut unpacker)?;
        let count = unpacker.array()?;
        let mut entries = Vec::new();
        for _ in 0..count {
            entries.push(read_entry(&mut unpacker, &shapes)?);
        }
        unpacker.end()?;
        header.hlc.plus(entries.len() as u64).checked(what)?;
        let transaction = Self { header, shapes, entries };
        transaction.check_bases()?;
        Ok(transaction)
    }
}

impl Transaction {
    /// What is incremented was set before: otherwise whoever believes it could set nothing after it.
    fn check_bases(&self) -> Result<()> {
        for (n, entry) in self.entries.iter().enumerate() {
            let when = self.stamp(n).hlc;
            let counted = entry.values.iter().filter_map(EntryValue::counted).map(|it| it.base);
            let joined = entry.values.iter().filter_map(EntryValue::joined).map(|it| it.base);
            if counted.chain(joined).any(|base| base.hlc >= when) {
                let reason = "an increment comes before what it increments";
                return Err(SyncError::corrupt("a transaction", reason));
            }
            if entry.values.iter().filter_map(EntryValue::written).any(|hlc| hlc >= when) {
                let reason = "an object comes back before it was written";
                return Err(SyncError::corrupt("a transaction", reason));
            }
        }
        Ok(())
    }
}

pub(crate) fn read_header(unpacker: &mut Unpacker<'_>) -> Result<Header> {
    unpacker.tuple(5)?;
    let device = unpacker.device()?;
    let sequence = unpacker.uint()?;
    let hlc = unpacker.hlc()?;
    let schema = unpacker.uint()?;
    let count = unpacker.array()?;
    let mut seen = Vec::new();
    for _ in 0..count {
        unpacker.tuple(2)?;
        seen.push((unpacker.device()?, unpacker.hlc()?.checked("a transaction")?));
    }
    Ok(Header { device, sequence, hlc, seen, schema })
}

/// Who has written a transaction, or a page of its state.
pub(crate) fn author(payload: &[u8]) -> Result<Device> {
    let mut unpacker = Unpacker::new(payload, "a transaction");
    unpacker.array()?;
    unpacker.uint()?;
    Ok(read_header(&mut unpacker)?.device)
}

fn read_shapes(unpacker: &mut Unpacker<'_>) -> Result<Vec<Shape>> {
    let count = unpacker.array()?;
    let mut shapes = Vec::new();
    for _ in 0..count {
        shapes.push(read_shape(unpacker)?);
    }
    Ok(shapes)
}

pub(crate) fn read_shape(unpacker: &mut Unpacker<'_>) -> Result<Shape> {
    unpacker.tuple(3)?;
    let collection = Name::from(unpacker.str()?);
    let key_len = unpacker.uint()?;
    let names = unpacker.array()?;
    let mut fields = Vec::new();
    for _ in 0..names {
        fields.push(Name::from(unpacker.str()?));
    }
    let key_len = usize::try_from(key_len).ok().filter(|len| (1..=fields.len()).contains(len));
    let key_len =
        key_len.ok_or_else(|| SyncError::corrupt("a transaction", "a shape has no key"))?;
    Ok(Shape { collection, key_len, fields })
}

fn read_entry(unpacker: &mut Unpacker<'_>, shapes: &[Shape]) -> Result<Entry> {
    if unpacker.take_nil()? {
        return Ok(Entry::taken_out());
    }
    unpacker.tuple(4)?;
    let kind = match unpacker.uint()? {
        0 => EntryKind::Create,
        1 => EntryKind::Update,
        2 => EntryKind::Delete,
        other => {
            let reason = format!(
                "an entry has the kind {other}, of which this program knows nothing; update it"
            );
            return Err(SyncError::corrupt("a transaction", reason));
        }
    };
    let shape = unpacker.index(shapes.len())?;
    let life = unpacker.u32()?;
    if life == 0 || life > LAST_LIFE || (life % 2 == 0) != (kind == EntryKind::Delete) {
        return Err(SyncError::corrupt("a transaction", "an entry's life contradicts its kind"));
    }
    let expected = shapes[shape].fields.len();
    let count = unpacker.array()?;
    // An incremented field takes two values behind a marker, so the count says nothing about memory.
    let mut values = Vec::with_capacity(expected.min(count));
    if count != expected {
        return Err(SyncError::corrupt(
            "a transaction",
            "an entry has another number of values than its shape",
        ));
    }
    for _ in 0..count {
        values.push(read_value(unpacker)?);
    }
    Ok(Entry { kind, shape, life, values })
}

fn read_value(unpacker: &mut Unpacker<'_>) -> Result<EntryValue> {
    if unpacker.next_is_array() {
        let (change, to) = Relative::read(unpacker)?;
        return Ok(EntryValue::Changed { change: Box::new(change), to });
    }
    unpacker.value().map(EntryValue::Set)
}

pub(crate) fn write_header(packer: &mut Packer, header: &Header) {
    packer.array(5);
    packer.device(header.device);
    packer.uint(header.sequence);
    packer.uint(header.hlc.0);
    packer.uint(header.schema);
    packer.array(header.seen.len());
    for (device, hlc) in &header.seen {
        packer.array(2);
        packer.device(*device);
        packer.uint(hlc.0);
    }
}

pub(crate) fn write_shape(packer: &mut Packer, shape: &Shape) {
    packer.array(3);
    packer.str(&shape.collection);
    packer.uint(shape.key_len as u64);
    packer.array(shape.fields.len());
    shape.fields.iter().for_each(|field| packer.str(field));
}

/// Writes a transaction entry by entry, without a [`Transaction`] in memory.
#[derive(Debug)]
pub(crate) struct TransactionWriter {
    packer: Packer,
    /// Whether something is in it that version 1 does not have.
    is_version_3: bool,
}

impl TransactionWriter {
    pub(crate) fn new(header: &Header, shapes: &[Shape], entries: usize, size_hint: usize) -> Self {
        let mut packer = Packer::with_capacity(128 + size_hint);
        packer.array(4);
        packer.uint(VERSION);
        write_header(&mut packer, header);
        packer.array(shapes.len());
        shapes.iter().for_each(|shape| write_shape(&mut packer, shape));
        packer.array(entries);
        Self { packer, is_version_3: false }
    }

    pub(crate) fn taken_out(&mut self) {
        self.is_version_3 = true;
        self.packer.value(&Value::Null);
    }

    pub(crate) fn entry(&mut self, kind: EntryKind, shape: usize, life: u32, values: usize) {
        self.packer.array(4);
        self.packer.uint(match kind {
            EntryKind::Create => 0,
            EntryKind::Update => 1,
            EntryKind::Delete => 2,
        });
        self.packer.uint(shape as u64);
        self.packer.uint(u64::from(life));
        self.packer.array(values);
    }

    pub(crate) fn value(&mut self, value: &Value) {
        self.packer.value(value);
    }

    pub(crate) fn changed(&mut self, change: &Relative, to: &Value) {
        self.is_version_3 |= change.joined().is_some();
        change.write(&mut self.packer, to);
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        let mut out = self.packer.out;
        // It stands behind the head of a short list, in one byte.
        if let Some(version) = out.get_mut(1).filter(|_| self.is_version_3) {
            *version = VERSION_3;
        }
        out
    }
}
