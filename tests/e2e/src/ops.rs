//! What the devices do: writes whose effects can be told from the rows alone.
//!
//! - The members of a team come, change and go in one batch: at any time a team has all its members or none, and all of
//!   them have the same title and stars.
//! - Transfers between the accounts of a device leave their sum as it is.
//! - Documents on the shelf `common` are written by all devices, and so is the account `common`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::json;
use storex_core::{
    Batch, BatchOutcome, Change, Changes, Error, Filter, Key, Query, Record, Registry, Result,
    Step, StepOutcome, Storage, Value, created, field,
};

use crate::rng::Rng;
use crate::schema::Member;

/// A write.
#[allow(missing_docs)] // the fields say what they are
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// A team comes: many creates at once, their keys by `AutoPk`.
    Gather { team: String, size: i64 },
    /// An update by filter.
    Retitle { team: String, title: String },
    /// An increment by filter.
    Praise { team: String },
    /// A delete by filter.
    Disband { team: String },
    /// A create.
    OpenAccount { name: String, balance: i64 },
    /// An increment.
    Count { name: String },
    /// A batch over two collections: preconditions, two increments, a create.
    Transfer { from: String, to: String, amount: i64, number: i64 },
    /// A create with a compound key, which may be there already.
    Put { shelf: String, number: i64, x: String, y: i64 },
    /// Changes one field or the other.
    Edit { shelf: String, number: i64, x: Option<String>, y: Option<i64> },
    /// A delete by key.
    Drop { shelf: String, number: i64 },
    /// A batch that fails at its end, after writing.
    Refused { team: String },
    /// An increment of the account `receipts`, with a document that stands for it: both or none.
    Receipt { shelf: String, number: i64 },
}

/// What an operation did to one object, as the caller was told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Touched {
    /// `create`, `update` or `delete`.
    pub kind: String,
    /// The collection.
    pub collection: String,
    /// The key, each value as [`cell`] writes it.
    pub key: Vec<String>,
    /// The values that were asked for, where the call tells; an increment with a `+` in front.
    pub set: BTreeMap<String, String>,
}

/// A value in a form that can be compared with what SQLite stores.
#[must_use]
pub fn cell(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(it) => format!("i{}", i64::from(*it)),
        Value::Int(it) => format!("i{it}"),
        Value::Float(it) => format!("r{:016x}", it.to_bits()),
        Value::Text(it) => format!("t{it}"),
        Value::Bytes(it) => bytes_cell(it),
        Value::Timestamp(it) => format!("i{}", it.0),
        Value::Json(it) => format!("t{it}"),
    }
}

/// The form of bytes.
#[must_use]
pub fn bytes_cell(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    // Long ones by length and a checksum (FNV-1a), so that a difference can be read.
    if bytes.len() > 16 {
        let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
        return format!("b{} bytes, {hash:016x}", bytes.len());
    }
    bytes.iter().fold(String::from("b"), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Does it and tells what was touched. An operation that its preconditions refuse touches nothing.
///
/// # Errors
/// What the storage fails with otherwise.
pub async fn perform(storage: &Storage, op: &Op) -> Result<Vec<Touched>> {
    match attempt(storage, op).await {
        Err(Error::Precondition { .. } | Error::AlreadyExists { .. }) => Ok(Vec::new()),
        result => result,
    }
}

async fn attempt(storage: &Storage, op: &Op) -> Result<Vec<Touched>> {
    let team_filter = |team: &str| field("team").eq(team);
    let batch = match op {
        Op::Gather { team, size } => {
            let query = Query::new("member").filter(team_filter(team));
            let body = Value::Text(format!("the text of {team} ").repeat(8));
            let member = |n: &i64| {
                let body = if n % 2 == 0 { Value::Null } else { body.clone() };
                let title = format!("title of {team}");
                let values = [Value::Null, team.as_str().into(), (*size).into(), title.into()];
                Record::new(values.into_iter().chain([0.into(), body]).collect())
            };
            let members = (0..*size).collect::<Vec<_>>().iter().map(member).collect();
            Batch::new().require(query, 0).create("member", members)
        }
        Op::Retitle { team, title } => {
            // The typed face.
            let changes = Changes::new().set("title", title.as_str());
            let members = storage.collection::<Member>()?;
            let keys = members.update(team_filter(team), changes).await?;
            let set = BTreeMap::from([("title".to_owned(), format!("t{title}"))]);
            return Ok(by_keys("update", "member", &keys, &set));
        }
        Op::Praise { team } => {
            // The dynamic face.
            let members = storage.dynamic("member")?;
            let keys = members.update(&json!({"team": team}), &json!({"$inc": {"stars": 1}})).await;
            let set = BTreeMap::from([("stars".to_owned(), "+i1".to_owned())]);
            return Ok(by_keys("update", "member", &keys?, &set));
        }
        Op::Disband { team } => {
            let keys = storage.dynamic("member")?.delete(&json!({"team": team})).await?;
            return Ok(by_keys("delete", "member", &keys, &BTreeMap::new()));
        }
        Op::OpenAccount { name, balance } => {
            let record = Record::new(vec![name.as_str().into(), (*balance).into()]);
            Batch::new().create("account", vec![record])
        }
        Op::Count { name } => {
            let changes = Changes::new().increment("balance", 1);
            Batch::new().update("account", Filter::key(name.as_str()), changes)
        }
        Op::Transfer { from, to, amount, number } => {
            let both = vec![Key::single(from.as_str()), Key::single(to.as_str())];
            let by = |amount: i64| Changes::new().increment("balance", amount);
            let journal = vec![doc("journal", *number, &format!("{from}>{to}"), *amount)];
            Batch::new()
                .require(Query::new("account").filter(Filter::Keys(both)), 2)
                .update("account", Filter::key(from.as_str()), by(-amount))
                .update("account", Filter::key(to.as_str()), by(*amount))
                .create("doc", journal)
        }
        Op::Put { shelf, number, x, y } => {
            Batch::new().create("doc", vec![doc(shelf, *number, x, *y)])
        }
        Op::Edit { shelf, number, x, y } => {
            let mut changes = Changes::new();
            if let Some(x) = x {
                changes = changes.set("x", x.as_str()).set("meta", Value::Json(json!({"by": x})));
            }
            if let Some(y) = y {
                changes = changes.set("y", *y).unset("weight");
            }
            Batch::new().update("doc", Filter::Keys(vec![doc_key(shelf, *number)]), changes)
        }
        Op::Drop { shelf, number } => {
            Batch::new().delete("doc", Filter::Keys(vec![doc_key(shelf, *number)]))
        }
        Op::Refused { team } => {
            let twice = Record::new(vec!["refused".into(), 0.into()]);
            let title = Changes::new().set("title", "never").set("stars", -1);
            Batch::new()
                .update("member", team_filter(team), title)
                .delete("doc", field("shelf").eq("common"))
                .create("account", vec![twice.clone(), twice])
        }
        Op::Receipt { shelf, number } => Batch::new()
            .require(Query::new("account").filter(Filter::key("receipts")), 1)
            .update("account", Filter::key("receipts"), Changes::new().increment("balance", 1))
            .create("doc", vec![doc(shelf, *number, "receipt", 1)]),
    };
    Ok(told(storage.registry(), &storage.execute(batch).await?))
}

fn doc(shelf: &str, number: i64, x: &str, y: i64) -> Record {
    let data = [0, 255, 1].repeat(usize::try_from(number.rem_euclid(7)).unwrap_or(0) * 30);
    Record::new(vec![
        shelf.into(),
        number.into(),
        x.into(),
        y.into(),
        Value::Float(1.0 / (1.0 + y.unsigned_abs() as f64)),
        Value::Bytes(data),
        Value::Json(json!({"list": [1, null, "ü"], "x": x})),
    ])
}

fn doc_key(shelf: &str, number: i64) -> Key {
    Key::compound([shelf.into(), number.into()])
}

fn by_keys(
    kind: &str,
    collection: &str,
    keys: &[Key],
    set: &BTreeMap<String, String>,
) -> Vec<Touched> {
    let touched = |key: &Key| Touched {
        kind: kind.to_owned(),
        collection: collection.to_owned(),
        key: key.values().iter().map(cell).collect(),
        set: set.clone(),
    };
    keys.iter().map(touched).collect()
}

/// What the outcome of a batch tells its caller.
fn told(registry: &Registry, outcome: &BatchOutcome) -> Vec<Touched> {
    let mut all = Vec::new();
    for executed in outcome.executed() {
        let Some(collection) = executed.step.collection().and_then(|name| registry.find(name))
        else {
            continue;
        };
        let keys = executed.keys(collection);
        match (&executed.step, &executed.outcome) {
            (Step::Create(create), StepOutcome::Created { skipped }) => {
                for (record, key) in created(create, skipped).zip(&keys) {
                    let fields = collection.fields().iter().zip(record.values()).enumerate();
                    let set = fields
                        .filter(|(at, _)| !collection.is_key(*at))
                        .map(|(_, (field, value))| (field.name.to_string(), cell(value)))
                        .collect();
                    all.extend(by_keys(
                        "create",
                        collection.name(),
                        std::slice::from_ref(key),
                        &set,
                    ));
                }
            }
            (Step::Update { changes, .. }, StepOutcome::Updated { .. }) => {
                let set = changes
                    .iter()
                    .map(|(name, change)| {
                        let asked = match change {
                            Change::Set(value) => cell(value),
                            Change::Increment(by) => format!("+{}", cell(by)),
                            other => panic!("a change of an unknown kind: {other:?}"),
                        };
                        (name.to_string(), asked)
                    })
                    .collect();
                all.extend(by_keys("update", collection.name(), &keys, &set));
            }
            (Step::Delete { .. }, StepOutcome::Deleted { .. }) => {
                all.extend(by_keys("delete", collection.name(), &keys, &BTreeMap::new()));
            }
            _ => {}
        }
    }
    all
}

/// What a device does first: its accounts, a team, a document.
#[must_use]
pub fn beginning(device: &str) -> Vec<Op> {
    let account =
        |name: &str, balance| Op::OpenAccount { name: format!("{device}-{name}"), balance };
    vec![
        account("one", 1000),
        account("two", 500),
        account("counted", 0),
        Op::Gather { team: format!("{device}-0"), size: 4 },
        Op::Put { shelf: device.to_owned(), number: 1, x: "first".to_owned(), y: 1 },
        Op::Transfer {
            from: format!("{device}-one"),
            to: format!("{device}-two"),
            amount: 10,
            number: -journal_number(device, 0),
        },
    ]
}

/// Journal entries of different devices and numbers have different keys.
fn journal_number(device: &str, number: u64) -> i64 {
    let device = device.bytes().fold(7_u64, |hash, byte| hash * 31 + u64::from(byte));
    i64::try_from(device % 1000 * 1_000_000_000 + number).unwrap_or(0)
}

/// Some write of a device. `number` must be a new one each time.
pub fn random(rng: &mut Rng, device: &str, number: u64) -> Op {
    let team = format!("{device}-{}", rng.below(4));
    let text = format!("{device} {number}");
    let small = i64::try_from(rng.below(5)).unwrap_or(0);
    let shelf = if rng.below(3) == 0 { device } else { "common" }.to_owned();
    match rng.below(20) {
        0..=2 => Op::Gather { team, size: 2 + small },
        3 | 4 => Op::Retitle { team, title: text },
        5 => Op::Praise { team },
        6 | 7 => Op::Disband { team },
        8 => Op::Count { name: format!("{device}-counted") },
        9 => Op::Count { name: "common".to_owned() },
        10 | 11 => {
            let (from, to) = (format!("{device}-one"), format!("{device}-two"));
            let number = journal_number(device, number);
            if small % 2 == 0 {
                Op::Transfer { from, to, amount: small + 1, number }
            } else {
                Op::Transfer { from: to, to: from, amount: small + 1, number }
            }
        }
        12..=14 => Op::Put { shelf, number: small, x: text, y: small },
        15 => Op::Edit { shelf, number: small, x: Some(text), y: None },
        16 => Op::Edit { shelf, number: small, x: None, y: i64::try_from(number).ok() },
        17 => Op::Edit { shelf, number: small, x: Some(text), y: Some(-small) },
        18 => Op::Drop { shelf, number: small },
        _ => Op::Refused { team },
    }
}
