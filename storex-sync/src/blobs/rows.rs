//! What a device keeps of blobs in its database.
//!
//! ```text
//! _storex_blob         one row per blob that is here, or is to be: what is still to be done, which contents it has
//! _storex_blob_chunk   contents, in chunks; they have a number of their own, as the name of a blob is known only at its end
//! _storex_blob_loose   contents that belong to no blob: they are being written, or are to be deleted
//! ```
//!
//! Contents become those of a blob, or cease to be, in one transaction; deleting the chunks takes its time behind that.

use storex_core::{
    Changes, Definition, Direction, FieldType, Filter, Key, OnConflict, Query, Record, Step,
    Timestamp, Value, field,
};

use super::reference::BlobRef;
use crate::error::{Result, SyncError};

pub(super) const BLOB: &str = "_storex_blob";
pub(super) const CHUNK: &str = "_storex_blob_chunk";
pub(super) const LOOSE: &str = "_storex_blob_loose";

pub(super) fn definitions() -> [Definition; 3] {
    [
        Definition::new(BLOB)
            .reserved()
            .field("name", FieldType::String)
            .field("length", FieldType::Int)
            .field("state", FieldType::Int)
            .field("whole", FieldType::Boolean)
            .field("contents", FieldType::Binary)
            .field("here", FieldType::Int)
            .field("failures", FieldType::Int)
            .field("since", FieldType::Int)
            .field("due", FieldType::Int)
            .field("reason", FieldType::String)
            .primary_key(["name"])
            .index(["state", "due"]),
        Definition::new(CHUNK)
            .reserved()
            .field("contents", FieldType::Binary)
            .field("number", FieldType::Int)
            .field("bytes", FieldType::Binary)
            .primary_key(["contents", "number"]),
        Definition::new(LOOSE)
            .reserved()
            .field("contents", FieldType::Binary)
            .field("chunks", FieldType::Int)
            .field("touched", FieldType::Int)
            .primary_key(["contents"]),
    ]
}

/// Which contents: a random number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Contents(pub(super) [u8; 16]);

impl Contents {
    fn value(self) -> Value {
        Value::Bytes(self.0.to_vec())
    }
}

/// What is to be done for a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum State {
    /// Nothing: it is here, and the store has it.
    Kept = 0,
    ToSend = 1,
    ToReceive = 2,
    /// It could not be sent.
    Unsendable = 3,
    /// It could not be received.
    Unreceivable = 4,
}

impl State {
    pub(super) fn is_dead(self) -> bool {
        matches!(self, Self::Unsendable | Self::Unreceivable)
    }

    pub(super) fn sends(self) -> bool {
        matches!(self, Self::ToSend | Self::Unsendable)
    }

    /// Where no more attempts are made.
    pub(super) fn given_up(self) -> Self {
        if self.sends() { Self::Unsendable } else { Self::Unreceivable }
    }

    /// Where attempts are made anew.
    pub(super) fn revived(self) -> Self {
        match self {
            Self::Unsendable => Self::ToSend,
            Self::Unreceivable => Self::ToReceive,
            other => other,
        }
    }

    pub(super) fn value(self) -> Value {
        Value::Int(self as i64)
    }

    pub(super) fn read(value: &Value) -> Result<Self> {
        let all = [Self::Kept, Self::ToSend, Self::ToReceive, Self::Unsendable, Self::Unreceivable];
        all.into_iter().find(|state| value.as_int() == Some(*state as i64)).ok_or_else(wrong)
    }
}

/// What is known of a blob.
#[derive(Debug, Clone)]
pub(super) struct BlobRow {
    pub(super) blob: BlobRef,
    pub(super) state: State,
    /// All contents are here, and are what the name says.
    pub(super) whole: bool,
    pub(super) contents: Contents,
    /// How many chunks of the contents are here, from the front.
    pub(super) here: u64,
    /// Failures in a row.
    pub(super) failures: u32,
    /// When it was asked for.
    pub(super) since: Timestamp,
    /// When it may be tried.
    pub(super) due: Timestamp,
    /// Why the last attempt failed.
    pub(super) reason: String,
}

impl BlobRow {
    /// One of which nothing is here, to be received.
    pub(super) fn wanted(blob: BlobRef, contents: Contents, now: Timestamp) -> Self {
        Self {
            blob,
            state: State::ToReceive,
            whole: false,
            contents,
            here: 0,
            failures: 0,
            since: now,
            due: now,
            reason: String::new(),
        }
    }

    /// One that was written here, to be sent.
    pub(super) fn written(blob: BlobRef, contents: Contents, now: Timestamp) -> Self {
        let here = blob.chunks();
        Self { state: State::ToSend, whole: true, here, ..Self::wanted(blob, contents, now) }
    }

    /// The store does not have it any more.
    pub(super) fn unsent(self, now: Timestamp) -> Self {
        Self { state: State::ToSend, ..self }.revived(now)
    }

    /// Nothing is to be done any more.
    pub(super) fn kept(self) -> Self {
        Self { state: State::Kept, failures: 0, reason: String::new(), ..self }
    }

    /// Attempts begin anew.
    pub(super) fn revived(self, now: Timestamp) -> Self {
        let state = self.state.revived();
        Self { state, failures: 0, since: now, due: now, reason: String::new(), ..self }
    }

    pub(super) fn read(row: &Record) -> Result<Self> {
        let Value::Bool(whole) = *row.get(3) else { return Err(wrong()) };
        Ok(Self {
            blob: row.get(0).as_text().ok_or_else(wrong)?.parse()?,
            state: State::read(row.get(2))?,
            whole,
            contents: read_contents(row.get(4))?,
            here: uint(row.get(5))?,
            failures: u32::try_from(uint(row.get(6))?).map_err(|_| wrong())?,
            since: Timestamp(row.get(7).as_int().ok_or_else(wrong)?),
            due: Timestamp(row.get(8).as_int().ok_or_else(wrong)?),
            reason: row.get(9).as_text().ok_or_else(wrong)?.to_owned(),
        })
    }

    /// Writes it in place of what was there.
    pub(super) fn write(self) -> Step {
        let record = Record::new(vec![
            Value::Text(self.blob.to_string()),
            int(self.blob.length()),
            self.state.value(),
            Value::Bool(self.whole),
            self.contents.value(),
            int(self.here),
            Value::Int(i64::from(self.failures)),
            Value::Int(self.since.0),
            Value::Int(self.due.0),
            Value::Text(self.reason),
        ]);
        Step::create_or(BLOB, vec![record], OnConflict::Replace)
    }

    /// Gives its contents up.
    pub(super) fn loosen(&self) -> Step {
        Loose { contents: self.contents, chunks: self.here, touched: Timestamp(0) }.write()
    }

    pub(super) fn delete(&self) -> Step {
        Step::Delete { collection: BLOB.into(), filter: only(&self.blob) }
    }
}

pub(super) fn only(blob: &BlobRef) -> Filter {
    Filter::key(blob.to_string())
}

/// A blob, as long as so many of its chunks are here and it is not whole.
pub(super) fn receiving(blob: &BlobRef, contents: Contents, here: u64) -> Query {
    let as_known = field("contents")
        .eq(contents.value())
        .and(field("here").eq(int(here)))
        .and(field("whole").eq(false));
    Query::new(BLOB).filter(only(blob)).filter(as_known)
}

/// For all that are to be transferred in this direction attempts begin anew.
pub(super) fn revive_all(state: State, now: Timestamp) -> Step {
    let changes = Changes::new()
        .set("state", state.value())
        .set("failures", 0)
        .set("since", now.0)
        .set("due", now.0)
        .set("reason", "");
    let filter = field("state").is_in([state.value(), state.given_up().value()]);
    Step::Update { collection: BLOB.into(), filter, changes }
}

pub(super) fn set_here(blob: &BlobRef, here: u64) -> Step {
    let changes = Changes::new().set("here", int(here));
    Step::Update { collection: BLOB.into(), filter: only(blob), changes }
}

/// The blobs in a state, those first that are due first.
pub(super) fn in_order(state: State) -> Query {
    Query::new(BLOB).filter(field("state").eq(state.value())).order_by("due", Direction::Ascending)
}

pub(super) fn chunk_record(contents: Contents, number: u64, bytes: Vec<u8>) -> Record {
    Record::new(vec![contents.value(), int(number), Value::Bytes(bytes)])
}

pub(super) fn chunk_key(contents: Contents, number: u64) -> Key {
    Key::compound([contents.value(), int(number)])
}

/// Contents that belong to no blob.
#[derive(Debug, Clone, Copy)]
pub(super) struct Loose {
    pub(super) contents: Contents,
    pub(super) chunks: u64,
    /// When something was last written of them. 0: they are to be deleted.
    pub(super) touched: Timestamp,
}

impl Loose {
    pub(super) fn read(row: &Record) -> Result<Self> {
        Ok(Self {
            contents: read_contents(row.get(0))?,
            chunks: uint(row.get(1))?,
            touched: Timestamp(row.get(2).as_int().ok_or_else(wrong)?),
        })
    }

    pub(super) fn write(self) -> Step {
        let record =
            Record::new(vec![self.contents.value(), int(self.chunks), Value::Int(self.touched.0)]);
        Step::create_or(LOOSE, vec![record], OnConflict::Replace)
    }

    pub(super) fn delete(self) -> Step {
        Step::Delete { collection: LOOSE.into(), filter: Filter::key(self.contents.value()) }
    }

    /// A precondition: nobody has begun to clear them away.
    pub(super) fn require(self) -> Step {
        let query = Query::new(LOOSE)
            .filter(Filter::key(self.contents.value()))
            .filter(field("touched").gt(0));
        Step::Require { query, count: 1 }
    }
}

/// Makes those that nobody has touched for so long ones that are to be deleted.
pub(super) fn abandon(now: Timestamp, after: i64) -> Step {
    let too_old = field("touched").lt(now.0.saturating_sub(after));
    // The clock was set back.
    let too_new = field("touched").gt(now.0.saturating_add(after));
    Step::Update {
        collection: LOOSE.into(),
        filter: field("touched").gt(0).and(too_old.or(too_new)),
        changes: Changes::new().set("touched", 0),
    }
}

/// One that is to be deleted.
pub(super) fn to_clear() -> Query {
    Query::new(LOOSE).filter(field("touched").eq(0)).limit(1)
}

fn read_contents(value: &Value) -> Result<Contents> {
    let bytes = value.as_bytes().and_then(|bytes| bytes.try_into().ok());
    bytes.map(Contents).ok_or_else(wrong)
}

fn int(value: u64) -> Value {
    Value::Int(i64::try_from(value).unwrap_or(i64::MAX))
}

pub(super) fn uint(value: &Value) -> Result<u64> {
    value.as_int().and_then(|int| u64::try_from(int).ok()).ok_or_else(wrong)
}

pub(super) fn wrong() -> SyncError {
    SyncError::corrupt("what is known of blobs", "a row has the wrong types")
}
