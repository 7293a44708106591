//! How transactions are written down: docs/wire-format.md, "Transactions".

use storex_core::{Name, Value};

use crate::clock::LAST_LIFE;
use crate::error::{Result, SyncError};
use crate::pack::{Packer, Unpacker};
use crate::relative::Relative;
use crate::stamp::Device;
use crate::transaction::{Entry, EntryKind, EntryValue, Header, Shape, Transaction};

/// The version of the form. A reader refuses what is newer.
const VERSION: u64 = 1;

/// The version of a transaction with a contribution to a field with a strategy, or with an entry that was taken out: a program
/// that knows nothing of these must not apply the rest.
const VERSION_3: u8 = 3;

impl Transaction {
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
