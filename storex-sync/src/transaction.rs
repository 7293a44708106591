//! [`Transaction`]: what one batch has changed, as it is logged and as it travels. `docs/wire-format.md` describes it.

use storex_core::{Name, Value};

use crate::counter::Counted;
use crate::field_state::Joined;
use crate::relative::Relative;
use crate::stamp::{Device, Hlc, Stamp};

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
    pub(crate) fn written(&self) -> Option<Hlc> {
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
}
