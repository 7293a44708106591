//! A database with 100,000 objects of the first version of a schema, and its second version.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use storex_core::{
    Batch, Definition, Error, FieldType, Migration, Properties, Record, Registry, Result, Storage,
    StorageBuilder, TokioRuntime, Value,
};
use storex_sqlite::{Durability, SqliteBackend};

/// So many objects there are.
pub const ROWS: i64 = 100_000;

fn first() -> [Definition; 2] {
    let person = Definition::new("people")
        .field("id", FieldType::Int)
        .primary_key(["id"])
        .field("name", FieldType::String)
        .field("number", FieldType::String)
        .index(["number"]);
    let tag = Definition::new("tag")
        .field("team", FieldType::String)
        .field("n", FieldType::Int)
        .primary_key(["team", "n"])
        .field("text", FieldType::String);
    [person, tag]
}

fn second() -> [Definition; 3] {
    let person = Definition::new("person")
        .version(2)
        .field("id", FieldType::Int)
        .primary_key(["id"])
        .field("full_name", FieldType::String)
        .field("number", FieldType::Int)
        .unique(["number"]);
    let tag = Definition::new("tag")
        .version(2)
        .field("team", FieldType::String)
        .field("n", FieldType::Int)
        .primary_key(["team", "n"])
        .field("text", FieldType::String)
        .field("length", FieldType::Int)
        .index(["length"]);
    let more = Definition::new("more").version(2).optional("x", FieldType::Int);
    [person, tag, more]
}

/// The schema of a version, up to the third.
///
/// # Panics
/// Never: the definitions are sound.
#[must_use]
pub fn registry(version: u64) -> Registry {
    let mut builder = Registry::builder().collections(first());
    if version >= 2 {
        let person = Migration::new("person", 2)
            .renamed_from("people")
            .rename_field("name", "full_name")
            .change(to_number);
        let tag = Migration::new("tag", 2).change(|tag| {
            let length = tag.get("text").and_then(Value::as_text).map_or(0, str::len);
            tag.insert("length".to_owned(), i64::try_from(length).unwrap_or_default().into());
            Ok(())
        });
        builder = builder.collections(second()).migrations([person, tag]);
    }
    if version >= 3 {
        let [person, ..] = second();
        let person = person.version(3).optional("note", FieldType::String);
        let note = Migration::new("person", 3).change(|person| {
            person.insert("note".to_owned(), "third".into());
            Ok(())
        });
        builder = builder.collection(person).migration(note);
    }
    builder.build().expect("the definitions are sound")
}

/// The text of a number counts down, the number counts up: in the middle two objects would have one.
fn to_number(person: &mut Properties) -> Result<()> {
    let number =
        person.get("number").and_then(Value::as_text).and_then(|it| it.parse::<i64>().ok());
    let number = number.ok_or_else(|| Error::Aborted { reason: "no number".to_owned() })?;
    person.insert("number".to_owned(), (ROWS - number).into());
    Ok(())
}

/// Opens the database with the schema of a version.
///
/// # Errors
/// What it is refused with.
pub async fn open(path: &Path, version: u64) -> Result<Storage> {
    builder(path, version)?.open().await
}

/// The database with the schema of a version, not opened yet.
///
/// # Errors
/// The backend's.
pub fn builder(path: &Path, version: u64) -> Result<StorageBuilder> {
    let backend = SqliteBackend::builder(path).durability(Durability::Normal);
    let backend = backend.busy_timeout(Duration::from_secs(60)).build()?;
    Ok(Storage::builder(backend, registry(version), Arc::new(TokioRuntime)))
}

/// Makes the database with its objects.
///
/// # Errors
/// The backend's.
pub async fn make(path: &Path) -> Result<()> {
    let storage = open(path, 1).await?;
    let people = (0..ROWS).map(|n| {
        let name = format!("First{n} Last{}", n % 1000);
        Record::new(vec![Value::Int(n), name.into(), n.to_string().into()])
    });
    let tags = (0..3000_i64).map(|n| {
        let (team, text) =
            (format!("team {}", n % 7), "x".repeat(usize::try_from(n % 90).unwrap_or(0)));
        Record::new(vec![team.into(), n.into(), text.into()])
    });
    storage
        .execute(Batch::new().create("people", people.collect()).create("tag", tags.collect()))
        .await?;
    storage.close().await
}
