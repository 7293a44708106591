//! How a conflict is stored.

use storex_core::{Key, Name, Record, Timestamp, Value};

use super::{Conflict, ConflictId, Content, NotedConflict, Standing, Version};
use crate::error::{Result, SyncError};
use crate::key_code;
use crate::pack::{Packer, Unpacker};
use crate::stamp::Stamp;

const WHAT: &str = "a conflict in the journal";
/// The version of the form.
const VERSION: u64 = 1;

const VALUE: u64 = 0;
const OBJECT: u64 = 1;
const DELETED: u64 = 2;

impl Standing {
    pub(crate) fn code(self) -> i64 {
        match self {
            Self::Noted => 0,
            Self::Kept => 1,
            Self::Asked => 2,
        }
    }
}

pub(super) fn record(number: u64, at: Timestamp, standing: Standing, it: &Conflict) -> Record {
    let number = i64::try_from(number).unwrap_or(i64::MAX);
    Record::new(vec![
        Value::Int(number),
        Value::Timestamp(at),
        Value::Int(standing.code()),
        Value::Text(it.collection.to_string()),
        Value::Bytes(key_code::encode(it.key.values())),
        Value::Bytes(encode(it)),
    ])
}

pub(super) fn read(record: &Record) -> Result<NotedConflict> {
    let wrong = || SyncError::corrupt(WHAT, "its row has the wrong types");
    let number = record.get(0).as_int().and_then(|it| u64::try_from(it).ok()).ok_or_else(wrong)?;
    let (Value::Timestamp(at), Some(collection)) = (record.get(1), record.get(3).as_text()) else {
        return Err(wrong());
    };
    let conflict = decode(collection.into(), record.get(5).as_bytes().ok_or_else(wrong)?)?;
    let kept = record.get(2).as_int() == Some(Standing::Kept.code());
    Ok(NotedConflict { id: ConflictId(number), at: *at, conflict, kept })
}

fn encode(conflict: &Conflict) -> Vec<u8> {
    let mut packer = Packer::default();
    packer.array(7);
    packer.uint(VERSION);
    packer.array(conflict.key.values().len());
    conflict.key.values().iter().for_each(|value| packer.value(value));
    // A field has a name.
    packer.str(conflict.field.as_deref().unwrap_or_default());
    packer.device(conflict.device);
    packer.uint(u64::from(conflict.incoming_won));
    write_version(&mut packer, &conflict.won);
    write_version(&mut packer, &conflict.lost);
    packer.out
}

fn write_version(packer: &mut Packer, version: &Version) {
    packer.array(4);
    packer.device(version.stamp.device);
    packer.uint(version.stamp.hlc.0);
    match &version.content {
        Content::Value(value) => {
            packer.uint(VALUE);
            packer.value(value);
        }
        Content::Object(fields) => {
            packer.uint(OBJECT);
            packer.array(fields.len());
            for (name, value) in fields {
                packer.array(2);
                packer.str(name);
                packer.value(value);
            }
        }
        Content::Deleted => {
            packer.uint(DELETED);
            packer.value(&Value::Null);
        }
    }
}

fn decode(collection: Name, bytes: &[u8]) -> Result<Conflict> {
    let mut unpacker = Unpacker::new(bytes, WHAT);
    unpacker.tuple(7)?;
    let version = unpacker.uint()?;
    if version != VERSION {
        let reason =
            format!("it has version {version}, of which this program knows nothing; update it");
        return Err(SyncError::corrupt(WHAT, reason));
    }
    let parts = unpacker.array()?;
    let mut key = Vec::new();
    for _ in 0..parts {
        key.push(unpacker.value()?);
    }
    let field = Some(unpacker.str()?).filter(|name| !name.is_empty()).map(Name::from);
    let device = unpacker.device()?;
    let incoming_won = unpacker.uint()? == 1;
    let (won, lost) = (read_version(&mut unpacker)?, read_version(&mut unpacker)?);
    unpacker.end()?;
    let key = Key::compound(key);
    Ok(Conflict { collection, key, field, device, incoming_won, won, lost })
}

fn read_version(unpacker: &mut Unpacker<'_>) -> Result<Version> {
    unpacker.tuple(4)?;
    let device = unpacker.device()?;
    let hlc = unpacker.hlc()?;
    let content = match unpacker.uint()? {
        VALUE => Content::Value(unpacker.value()?),
        OBJECT => {
            let count = unpacker.array()?;
            let mut fields = Vec::new();
            for _ in 0..count {
                unpacker.tuple(2)?;
                fields.push((Name::from(unpacker.str()?), unpacker.value()?));
            }
            Content::Object(fields)
        }
        DELETED => {
            unpacker.skip()?;
            Content::Deleted
        }
        other => return Err(SyncError::corrupt(WHAT, format!("the kind {other} is not known"))),
    };
    Ok(Version { stamp: Stamp { hlc, device }, content })
}
