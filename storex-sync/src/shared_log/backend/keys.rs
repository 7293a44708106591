//! The sealed keys of a shared log in a database.

use std::sync::Arc;

use async_trait::async_trait;
use storex_core::{Batch, Direction, Filter, Key, Name, Query, Record, Step, Trace, Value};

use super::BackendSharedLog;
use super::removing::check_not_removed;
use super::rows::{KEYS, of_log, wrong};
use crate::error::{During, Result, SyncError};
use crate::shared_log::{SealedKeyName, SealedKeys};

const READING: &str = "reading the keys in the shared log";
const WRITING: &str = "writing a key into the shared log";

fn key_of(log: &str, SealedKeyName(name): SealedKeyName) -> [Value; 2] {
    [Value::from(log), Value::Bytes(name.to_vec())]
}

fn find(log: &str, name: SealedKeyName) -> Query {
    let key = Key::compound(key_of(log, name));
    Query::new(KEYS).filter(Filter::Keys(vec![key]))
}

fn put_steps(trace: &Trace, log: &str, name: SealedKeyName, item: &[u8]) -> Result<Vec<Step>> {
    check_not_removed(trace.found(1))?;
    match trace.found(0).first() {
        Some(there) if there.get(2).as_bytes() == Some(item) => Ok(Vec::new()),
        Some(_) => Err(SyncError::KeyExists { name }),
        None => {
            let mut row = key_of(log, name).to_vec();
            row.push(Value::Bytes(item.to_vec()));
            Ok(vec![Step::create(KEYS, vec![Record::new(row)])])
        }
    }
}

#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
impl SealedKeys for BackendSharedLog {
    async fn names(&self) -> Result<Vec<SealedKeyName>> {
        let query = Query::new(KEYS).filter(of_log(&self.name));
        let query = query.order_by("name", Direction::Ascending).select(["name"]);
        let rows = self.storage.find(query).await.during(READING)?;
        let name = |row: &Record| row.get(0).as_bytes()?.try_into().ok().map(SealedKeyName);
        rows.iter().map(|row| name(row).ok_or_else(wrong)).collect()
    }

    async fn get(&self, name: SealedKeyName) -> Result<Option<Vec<u8>>> {
        let rows = self.storage.find(find(&self.name, name)).await.during(READING)?;
        let item = rows.first().map(|row| row.get(2).as_bytes().ok_or_else(wrong));
        Ok(item.transpose()?.map(<[u8]>::to_vec))
    }

    async fn put(&self, name: SealedKeyName, bytes: &[u8]) -> Result<()> {
        let bytes: Arc<[u8]> = bytes.into();
        let put = async || {
            let (log, item) = (Name::clone(&self.name), Arc::clone(&bytes));
            let decide = move |trace: &Trace| put_steps(trace, &log, name, &item);
            let look = Batch::new()
                .find(self.find_identity())
                .find(find(&self.name, name))
                .touching([KEYS]);
            self.execute_then(look, WRITING, decide).await.map(drop)
        };
        self.in_a_log(put).await
    }
}
