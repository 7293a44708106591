//! The directory of devices as rows of a storex database.

use storex_core::{
    Definition, Direction, FieldType, Filter, Key, Query, Record, Step, Timestamp, Value, field,
};

use super::{DeviceId, DeviceInfo};
use crate::user::User;

pub(super) const DEVICES: &str = "server_device";

pub(super) fn definition() -> Definition {
    Definition::new(DEVICES)
        .field("user", FieldType::String)
        .field("device", FieldType::Binary)
        // The first device of a user is 1, and so on.
        .field("came", FieldType::Int)
        .field("name", FieldType::String)
        .field("registered_at", FieldType::Timestamp)
        .field("last_seen", FieldType::Timestamp)
        .optional("revoked_at", FieldType::Timestamp)
        .primary_key(["user", "device"])
}

/// What is known of a device, and when it came.
#[derive(Debug, Clone)]
pub(super) struct DeviceRow {
    pub(super) came: i64,
    pub(super) info: DeviceInfo,
}

impl DeviceRow {
    /// `None`: the row is none of ours.
    pub(super) fn read(row: &Record) -> Option<Self> {
        let revoked_at = match row.get(6) {
            Value::Null => None,
            value => Some(timestamp(value)?),
        };
        let info = DeviceInfo {
            id: row.get(1).as_bytes()?.try_into().ok()?,
            name: row.get(3).as_text()?.to_owned(),
            registered_at: timestamp(row.get(4))?,
            last_seen: timestamp(row.get(5))?,
            revoked_at,
        };
        Some(Self { came: row.get(2).as_int()?, info })
    }

    pub(super) fn record(&self, user: &User) -> Record {
        let DeviceInfo { id, name, registered_at, last_seen, revoked_at } = &self.info;
        Record::new(vec![
            Value::from(user.as_str()),
            Value::Bytes(id.to_vec()),
            Value::Int(self.came),
            Value::from(name.as_str()),
            Value::Timestamp(*registered_at),
            Value::Timestamp(*last_seen),
            revoked_at.map_or(Value::Null, Value::Timestamp),
        ])
    }
}

fn timestamp(value: &Value) -> Option<Timestamp> {
    match value {
        Value::Timestamp(at) => Some(*at),
        _ => None,
    }
}

pub(super) fn find(user: &User, device: DeviceId) -> Query {
    let key = Key::compound([Value::from(user.as_str()), Value::Bytes(device.to_vec())]);
    Query::new(DEVICES).filter(Filter::Keys(vec![key]))
}

/// The keys of some of them.
pub(super) fn find_some(user: &User) -> Query {
    let of_user = field("user").eq(user.as_str());
    Query::new(DEVICES).filter(of_user).select(["user", "device"]).limit(1000)
}

/// Deletes those with the keys that were found.
pub(super) fn delete(found: &[Record]) -> Step {
    let keys = found.iter().map(|row| Key::compound(row.values().iter().cloned()));
    Step::Delete { collection: DEVICES.into(), filter: Filter::Keys(keys.collect()) }
}

/// In the order in which they came.
pub(super) fn find_all(user: &User) -> Query {
    let of_user = field("user").eq(user.as_str());
    Query::new(DEVICES).filter(of_user).order_by("came", Direction::Ascending)
}

/// The last one that came.
pub(super) fn find_last(user: &User) -> Query {
    let of_user = field("user").eq(user.as_str());
    Query::new(DEVICES).filter(of_user).order_by("came", Direction::Descending).limit(1)
}
