//! A real database, where it is there: Chinook, made by another program, with integer keys, compound keys and foreign keys.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;
use storex_core::{ErrorKind, Registry, Storage, TokioRuntime};
use storex_e2e::disk::not_run;
use storex_e2e::place::Place;
use storex_e2e::rng::Rng;
use storex_sqlite::{SqliteBackend, adopt, copy_schema};
use storex_sync::SyncLog;

use crate::writers::beside;
use crate::{assert_in_step, both_ways, exchange, one_way};

fn chinook() -> Option<PathBuf> {
    let found = storex_e2e::chinook::found();
    if found.is_none() {
        not_run("an initial sync of Chinook", "shared/data/chinook.sqlite is not there");
    }
    found
}

async fn open(path: &Path) -> Storage {
    let definitions = adopt(path).unwrap().definitions;
    let registry = Registry::builder().collections(definitions).build().unwrap();
    let backend = SqliteBackend::open(path).unwrap();
    let storage = Storage::builder(backend, registry, Arc::new(TokioRuntime));
    storage.middleware(SyncLog::new()).open().await.unwrap()
}

/// Writes until it is stopped. Keys of new objects begin at `first`, which is another one on each device.
async fn write(storage: &Storage, first: i64, stop: &AtomicBool) -> u64 {
    let mut rng = Rng::new(first.unsigned_abs());
    let mut written = 0_i64;
    while !stop.load(Ordering::SeqCst) {
        let any = json!({"TrackId": 1 + rng.below(3503)});
        let outcome = match rng.below(8) {
            0..4 => {
                let name = json!({"Name": format!("{first} {written}")});
                storage.dynamic("Track").unwrap().update(&any, &name).await.map(drop)
            }
            4..6 => {
                let (artist, album) = (first + 2 * written, first + 2 * written + 1);
                let new = json!({"ArtistId": artist, "Name": "new"});
                storage.dynamic("Artist").unwrap().create(new).await.unwrap();
                let new = json!({"AlbumId": album, "Title": "new", "ArtistId": artist});
                storage.dynamic("Album").unwrap().create(new).await.map(drop)
            }
            _ => storage.dynamic("PlaylistTrack").unwrap().delete(&any).await.map(drop),
        };
        if let Err(error) = outcome {
            assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
        }
        written += 1;
        tokio::task::yield_now().await;
    }
    written.unsigned_abs()
}

async fn with_writers(a: &Storage, b: &Storage, sync: impl Future<Output = ()>) {
    let stop = AtomicBool::new(false);
    beside(sync, &stop, write(a, 1_000_000, &stop), write(b, 2_000_000, &stop)).await;
}

#[tokio::test]
async fn chinook_goes_one_way_with_writers_at_work_on_both_sides() {
    let Some(chinook) = chinook() else { return };
    let place = Place::new();
    std::fs::copy(&chinook, place.a()).unwrap();
    copy_schema(place.a(), place.b()).unwrap();
    let (a, b) = (open(&place.a()).await, open(&place.b()).await);
    with_writers(&a, &b, one_way(&a, &b)).await;
    exchange(&place, &[&a, &b]).await;
    assert_in_step(&[(&a, &place.a()), (&b, &place.b())]).await;
}

#[tokio::test]
async fn two_copies_of_chinook_go_both_ways_with_writers_at_work_on_both_sides() {
    let Some(chinook) = chinook() else { return };
    let place = Place::new();
    std::fs::copy(&chinook, place.a()).unwrap();
    std::fs::copy(&chinook, place.b()).unwrap();
    let (a, b) = (open(&place.a()).await, open(&place.b()).await);
    with_writers(&a, &b, both_ways(&a, &b)).await;
    exchange(&place, &[&a, &b]).await;
    assert_in_step(&[(&a, &place.a()), (&b, &place.b())]).await;
}
