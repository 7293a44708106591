//! A music shop: five collections that point to each other, shaped like Chinook, with made-up rows; the same in every run.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value as Json, json};
use storex_core::{
    AutoPk, Backend, Definition, ErrorKind, FieldType, OnDelete, Query, Record, Registry,
    RegistryBuilder, RelationDefinition, Result, Storage, TokioRuntime,
};
use storex_sqlite::SqliteBackend;
use storex_sync::{SyncLog, UniqueRule};

use crate::rng::Rng;

fn definitions() -> RegistryBuilder {
    let child_of = |parent| RelationDefinition::child_of(parent).on_delete(OnDelete::Cascade);
    Registry::builder()
        .collection(Definition::new("artist").field("name", FieldType::String))
        .collection(
            Definition::new("album")
                .field("title", FieldType::String)
                .relation(child_of("artist"))
                .index(["artist"]),
        )
        .collection(
            Definition::new("track")
                .field("name", FieldType::String)
                .field("milliseconds", FieldType::Int)
                .optional("price", FieldType::Float)
                .optional("composer", FieldType::Text)
                .relation(child_of("album"))
                .index(["album"]),
        )
        .collection(
            Definition::new("customer")
                .field("name", FieldType::String)
                .field("email", FieldType::String)
                .unique(["email"]),
        )
        .collection(
            Definition::new("line")
                .field("quantity", FieldType::Int)
                .relation(
                    RelationDefinition::child_of("track").optional().on_delete(OnDelete::SetNull),
                )
                .relation(RelationDefinition::child_of("customer").on_delete(OnDelete::Cascade))
                .index(["track"])
                .index(["customer"]),
        )
}

/// A device on any backend. Of two customers with one e-mail address the one that arrives later waits.
///
/// # Errors
/// The backend's.
pub async fn open_on(backend: impl Backend) -> Result<Storage> {
    let registry = definitions().build()?;
    let log = SyncLog::new().on_unique("customer", ["email"], UniqueRule::Park);
    Storage::builder(backend, registry, Arc::new(TokioRuntime))
        .middleware(AutoPk::new())
        .middleware(log)
        .open()
        .await
}

/// A device on a SQLite file.
///
/// # Errors
/// The backend's.
pub async fn open(path: &Path) -> Result<Storage> {
    open_on(SqliteBackend::open(path)?).await
}

/// The database as it was before there was sync in the program: what is written has no clock.
///
/// # Errors
/// The backend's.
pub async fn open_before_sync(path: &Path) -> Result<Storage> {
    let registry = definitions().build()?;
    let storage = Storage::builder(SqliteBackend::open(path)?, registry, Arc::new(TokioRuntime));
    storage.middleware(AutoPk::new()).open().await
}

/// The key of a made-up object.
#[must_use]
pub fn key(collection: &str, number: u64) -> String {
    // Anywhere in the order.
    format!("{:08x}-{collection}-{number}", number.wrapping_mul(0x9e37_79b1) & 0xffff_ffff)
}

/// How many made-up objects of a collection a shop of about so many rows has.
#[must_use]
pub fn share(collection: &str, rows: u64) -> u64 {
    let parts = match collection {
        "artist" => 1,
        "album" => 4,
        "customer" => 5,
        "track" => 40,
        _ => 50,
    };
    (rows * parts / 100).max(1)
}

/// The collections, parents first.
pub const COLLECTIONS: [&str; 5] = ["artist", "album", "customer", "track", "line"];

fn made_up(collection: &str, n: u64, rows: u64) -> Json {
    let id = key(collection, n);
    let parent = |parent: &str| key(parent, n % share(parent, rows));
    match collection {
        "artist" => json!({"id": id, "name": format!("Artist {n} \u{1f3b8}")}),
        "album" => json!({"id": id, "title": format!("Album {n}"), "artist": parent("artist")}),
        "customer" => json!({"id": id, "name": "C", "email": format!("{n}@example.org")}),
        "track" => {
            let composer = (!n.is_multiple_of(3)).then(|| "somebody, ".repeat((n % 7) as usize));
            let (ms, price) = (200_000 + n % 999, n as f64 / 100.0);
            json!({"id": id, "name": format!("Track {n}"), "milliseconds": ms, "price": price,
                "composer": composer, "album": parent("album")})
        }
        _ => {
            // Of those tracks that every shop has.
            let tracks = share("track", rows);
            let track = key("track", tracks * 2 / 5 + n % (tracks / 10).max(1));
            let track = (!n.is_multiple_of(10)).then_some(track);
            json!({"id": id, "quantity": n % 5, "track": track, "customer": parent("customer")})
        }
    }
}

/// Makes up objects of these collections: those whose numbers are in this part (hundredths) of their collection.
async fn fill(storage: &Storage, rows: u64, of: &[&str], part: Range<u64>) -> Result<()> {
    for collection in of {
        let count = share(collection, rows);
        let numbers: Vec<u64> = (count * part.start / 100..count * part.end / 100).collect();
        for page in numbers.chunks(5000) {
            let page: Vec<Json> = page.iter().map(|n| made_up(collection, *n, rows)).collect();
            storage.dynamic(collection)?.create_many(&page).await?;
        }
    }
    Ok(())
}

/// A shop with all artists, albums and customers, and these parts (hundredths) of the tracks and lines. The former and a part
/// of the latter are older than sync. `old` must have what is between 40 and 50.
///
/// # Errors
/// The storage's.
pub async fn found(path: &Path, rows: u64, old: Range<u64>, new: Range<u64>) -> Result<Storage> {
    let (parents, children) = COLLECTIONS.split_at(3);
    let before = open_before_sync(path).await?;
    fill(&before, rows, parents, 0..100).await?;
    fill(&before, rows, children, old).await?;
    before.close().await?;
    let storage = open(path).await?;
    fill(&storage, rows, children, new).await?;
    Ok(storage)
}

/// A random write, by a device of this name: creates, updates, deletes. What it meets may be gone already.
///
/// # Errors
/// The storage's, but for a parent that is not there (any more).
pub async fn write(storage: &Storage, rng: &mut Rng, name: &str, rows: u64) -> Result<()> {
    let fresh = format!("{name}-{:x}", rng.bits());
    let mut any = |collection: &str| key(collection, rng.below(share(collection, rows)));
    let (album, track, line, customer) = (any("album"), any("track"), any("line"), any("customer"));
    let tracks = storage.dynamic("track")?;
    let written = match rng.below(20) {
        0..6 => {
            let new = json!({"name": fresh, "milliseconds": 1, "album": album});
            tracks.create(new).await.map(drop)
        }
        6..8 => {
            let new = json!({"quantity": 1, "track": track, "customer": customer});
            storage.dynamic("line")?.create(new).await.map(drop)
        }
        8..12 => tracks.update(&json!({"id": track}), &json!({"name": fresh})).await.map(drop),
        12..15 => {
            let more = json!({"milliseconds": {"$inc": 1}});
            tracks.update(&json!({"id": track}), &more).await.map(drop)
        }
        15..17 => storage.dynamic("line")?.delete(&json!({"id": line})).await.map(drop),
        17..19 => tracks.delete(&json!({"id": track})).await.map(drop),
        _ if rng.below(5) == 0 => {
            storage.dynamic("album")?.delete(&json!({"id": album})).await.map(drop)
        }
        _ => {
            let new = json!({"name": fresh, "albums": [{"title": fresh, "tracks":
                [{"name": "1", "milliseconds": 1}, {"name": "2", "milliseconds": 2}]}]});
            storage.dynamic("artist")?.create(new).await.map(drop)
        }
    };
    // Where the parent was deleted meanwhile, or is not there yet.
    written.or_else(|error| if error.kind() == ErrorKind::Conflict { Ok(()) } else { Err(error) })
}

/// All objects of the application: what devices must agree on.
pub type Contents = BTreeMap<(String, String), Record>;

/// What a storage holds.
///
/// # Errors
/// The storage's.
pub async fn contents(storage: &Storage) -> Result<Contents> {
    let mut all = Contents::new();
    for collection in storage.registry().collections().iter().filter(|it| !it.is_reserved()) {
        let name = collection.name();
        for row in storage.find(Query::new(name.clone())).await? {
            let key = format!("{:?}", collection.key_of(&row));
            all.insert((name.to_string(), key), row);
        }
    }
    Ok(all)
}

/// Says what differs, a bit of it.
///
/// # Panics
/// When something does, or when there is nothing.
pub fn assert_equal(found: &Contents, expected: &Contents, what: &str) {
    assert!(!expected.is_empty(), "{what}: nothing to compare");
    let objects: BTreeSet<_> = found.keys().chain(expected.keys()).collect();
    let count = objects.len();
    let differ: Vec<_> =
        objects.into_iter().filter(|it| found.get(it) != expected.get(it)).collect();
    let lines = differ.iter().take(5).map(|it| {
        format!("{it:?}\n  found    {:?}\n  expected {:?}", found.get(it), expected.get(it))
    });
    let lines: Vec<String> = lines.collect();
    assert!(differ.is_empty(), "{what}: {} of {count}:\n{}", differ.len(), lines.join("\n"));
}
