//! The sealed keys of a log in a database.

use std::sync::Arc;

use async_trait::async_trait;
use storex_core::{Batch, Direction, Filter, Key, Query, Record, Step, Trace, Value};

use super::BackendSharedLog;
use super::rows::KEYS;
use crate::error::{During, Result, SyncError};
use crate::shared_log::{SealedKeyName, SealedKeys};

const READING: &str = "reading the keys in the shared log";
const WRITING: &str = "writing a key into the shared log";

fn key_of(name: SealedKeyName) -> Value {
    Value::Bytes(name.0.to_vec())
}

fn find(name: SealedKeyName) -> Query {
    Query::new(KEYS).filter(Filter::Keys(vec![Key::compound([key_of(name)])]))
}

fn wrong() -> SyncError {
    SyncError::corrupt("a key in the shared log", "its row is of another form")
}

fn put_steps(trace: &Trace, name: SealedKeyName, item: &[u8]) -> Result<Vec<Step>> {
    match trace.found(0).first() {
        Some(there) if there.get(1).as_bytes() == Some(item) => Ok(Vec::new()),
        Some(_) => Err(SyncError::KeyExists { name }),
        None => {
            let row = Record::new(vec![key_of(name), Value::Bytes(item.to_vec())]);
            Ok(vec![Step::create(KEYS, vec![row])])
        }
    }
}

#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
impl SealedKeys for BackendSharedLog {
    async fn names(&self) -> Result<Vec<SealedKeyName>> {
        let query = Query::new(KEYS).order_by("name", Direction::Ascending).select(["name"]);
        let rows = self.storage.find(query).await.during(READING)?;
        let name = |row: &Record| row.get(0).as_bytes()?.try_into().ok().map(SealedKeyName);
        rows.iter().map(|row| name(row).ok_or_else(wrong)).collect()
    }

    async fn get(&self, name: SealedKeyName) -> Result<Option<Vec<u8>>> {
        let rows = self.storage.find(find(name)).await.during(READING)?;
        let item = rows.first().map(|row| row.get(1).as_bytes().ok_or_else(wrong));
        Ok(item.transpose()?.map(<[u8]>::to_vec))
    }

    async fn put(&self, name: SealedKeyName, bytes: &[u8]) -> Result<()> {
        let item: Arc<[u8]> = bytes.into();
        let decide = move |trace: &Trace| put_steps(trace, name, &item);
        let look = Batch::new().find(find(name)).touching([KEYS]);
        self.execute_then(look, WRITING, decide).await.map(drop)
    }
}
