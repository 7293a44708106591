//! Blobs as rows of a storex database.

use storex_core::{
    Changes, Definition, Direction, FieldType, Filter, Key, OnConflict, Query, Record, Step,
    Timestamp, Value, field,
};
use storex_sync::BlobRef;

use crate::user::User;

/// One row per blob.
pub(super) const BLOBS: &str = "server_blob";
/// One row per chunk.
pub(super) const CHUNKS: &str = "server_blob_chunk";

pub(super) fn definitions() -> [Definition; 2] {
    [
        Definition::new(BLOBS)
            .field("user", FieldType::String)
            .field("blob", FieldType::String)
            .field("whole", FieldType::Boolean)
            // When something was last sent of it.
            .field("touched", FieldType::Timestamp)
            .primary_key(["user", "blob"])
            .index(["whole", "touched"]),
        Definition::new(CHUNKS)
            .field("user", FieldType::String)
            .field("blob", FieldType::String)
            .field("number", FieldType::Int)
            // Of this type SQLite keeps them beside the index, which is counted and walked without reading them.
            .field("bytes", FieldType::Blob)
            .primary_key(["user", "blob", "number"]),
    ]
}

/// When nobody sends anything, and what nobody waits for was touched.
const GIVEN_UP: Timestamp = Timestamp(0);

/// A blob of a user, by the texts that its rows have.
#[derive(Debug, Clone)]
pub(super) struct BlobKey {
    user: String,
    blob: String,
}

impl BlobKey {
    pub(super) fn new(user: &User, blob: &BlobRef) -> Self {
        Self { user: user.as_str().to_owned(), blob: blob.to_string() }
    }

    /// `None`: the row is none of ours.
    pub(super) fn read(row: &Record) -> Option<Self> {
        let text = |at: usize| row.get(at).as_text().map(str::to_owned);
        Some(Self { user: text(0)?, blob: text(1)? })
    }

    fn texts(&self) -> [Value; 2] {
        [Value::from(self.user.as_str()), Value::from(self.blob.as_str())]
    }

    fn chunk(&self, number: u64) -> Key {
        Key::compound(self.texts().into_iter().chain([int(number)]))
    }

    fn row(&self) -> Filter {
        Filter::Keys(vec![Key::compound(self.texts())])
    }

    pub(super) fn find(&self) -> Query {
        Query::new(BLOBS).filter(self.row()).select(["whole"])
    }

    pub(super) fn chunks(&self) -> Query {
        let of_blob =
            field("user").eq(self.user.as_str()).and(field("blob").eq(self.blob.as_str()));
        Query::new(CHUNKS).filter(of_blob)
    }

    pub(super) fn find_numbers(&self) -> Query {
        self.chunks().select(["number"]).order_by("number", Direction::Ascending)
    }

    pub(super) fn find_chunk(&self, number: u64) -> Query {
        Query::new(CHUNKS).filter(Filter::Keys(vec![self.chunk(number)])).select(["bytes"])
    }

    fn write_as(&self, whole: bool, touched: Timestamp, on_conflict: OnConflict) -> Step {
        let values =
            self.texts().into_iter().chain([Value::Bool(whole), Value::Timestamp(touched)]);
        Step::create_or(BLOBS, vec![Record::new(values.collect())], on_conflict)
    }

    /// Notes that something of it was sent; one that is whole stays so.
    pub(super) fn touch(&self, now: Timestamp) -> [Step; 2] {
        let changes = Changes::new().set("touched", Value::Timestamp(now));
        let begun = self.write_as(false, now, OnConflict::Skip);
        [begun, Step::Update { collection: BLOBS.into(), filter: self.row(), changes }]
    }

    pub(super) fn write_chunk(&self, number: u64, bytes: Vec<u8>) -> Step {
        let values = self.texts().into_iter().chain([int(number), Value::Bytes(bytes)]);
        Step::create_or(CHUNKS, vec![Record::new(values.collect())], OnConflict::Replace)
    }

    /// Makes it whole if it has so many chunks.
    pub(super) fn finish(&self, chunks: u64, now: Timestamp) -> [Step; 2] {
        let whole = self.write_as(true, now, OnConflict::Replace);
        [Step::Require { query: self.chunks(), count: chunks }, whole]
    }

    /// If it is among these, it is not whole any more, and whoever clears up goes on with it.
    pub(super) fn give_up(&self, among: Filter) -> Step {
        let changes = Changes::new().set("whole", false).set("touched", Value::Timestamp(GIVEN_UP));
        Step::Update { collection: BLOBS.into(), filter: self.row().and(among), changes }
    }

    /// Nobody has sent anything of it since it was given up.
    pub(super) fn is_given_up(&self) -> Step {
        let given_up = unfinished(Timestamp(GIVEN_UP.0 + 1));
        Step::Require { query: Query::new(BLOBS).filter(self.row().and(given_up)), count: 1 }
    }

    pub(super) fn delete_chunks(&self, numbers: &[u64]) -> Step {
        let keys = numbers.iter().map(|number| self.chunk(*number)).collect();
        Step::Delete { collection: CHUNKS.into(), filter: Filter::Keys(keys) }
    }

    /// Unless it has chunks.
    pub(super) fn delete(&self) -> [Step; 2] {
        let emptied = Step::Require { query: self.chunks(), count: 0 };
        [emptied, Step::Delete { collection: BLOBS.into(), filter: self.row() }]
    }
}

/// Those of a user, whole or not.
pub(super) fn of_user(user: &User) -> Filter {
    field("user").eq(user.as_str())
}

/// Those that are not whole, and that nobody has sent anything of since then.
pub(super) fn unfinished(before: Timestamp) -> Filter {
    field("whole").eq(false).and(field("touched").lt(Value::Timestamp(before)))
}

/// Some of these.
pub(super) fn find(among: Filter) -> Query {
    Query::new(BLOBS).filter(among).select(["user", "blob"]).limit(100)
}

fn int(number: u64) -> Value {
    Value::Int(i64::try_from(number).unwrap_or(i64::MAX))
}
