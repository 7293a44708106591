//! Two programs that make snapshots of one log in an object store at once, interleaved at every request: some snapshot is there, and whole.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // these are tests
#![allow(missing_docs)]

use std::sync::Arc;

use storex_e2e::interrupted::Interrupted;
use storex_memory::TestRuntime;
use storex_sync::{
    Cursor, Device, ObjectSharedLog, SealedTransaction, SharedSyncLog, Snapshot, SnapshotId,
};

const PAGES: u64 = 3;

/// More requests than either of the two makes.
const REQUESTS: usize = 16;

fn device(n: u8) -> Device {
    Device { id: [n; 16], incarnation: 0 }
}

struct Site {
    store: Interrupted,
    log: Arc<ObjectSharedLog>,
    /// Behind the second transaction, and behind the fourth.
    places: [Cursor; 2],
}

/// A log with four transactions that both members have.
async fn site() -> Site {
    let store = Interrupted::default();
    let runtime = Arc::new(TestRuntime::new(1));
    let log = ObjectSharedLog::open(Arc::new(store.clone()), runtime).await.unwrap();
    let mut places = Vec::new();
    for sequence in [1, 3] {
        for sequence in [sequence, sequence + 1] {
            let payload = vec![7; 10];
            let one = SealedTransaction { device: device(1), sequence, payload };
            log.append(&[one]).await.unwrap();
        }
        let page = log.read(device(2), &Cursor::default(), 1 << 20).await.unwrap();
        for n in [1, 2] {
            log.acknowledge(device(n), &page.cursor).await.unwrap();
        }
        places.push(page.cursor);
    }
    Site { store, log: Arc::new(log), places: places.try_into().unwrap() }
}

async fn put(log: &ObjectSharedLog, id: SnapshotId) {
    for page in 0..PAGES {
        log.snapshots().unwrap().put_page(id, page, b"a page").await.unwrap();
    }
}

async fn publish(log: &ObjectSharedLog, id: SnapshotId, place: &Cursor) -> bool {
    let snapshot = Snapshot { id, pages: PAGES, place: place.clone() };
    log.snapshots().unwrap().publish(&snapshot).await.unwrap_or(false)
}

/// Which one there is. Its pages are all there.
async fn published(log: &ObjectSharedLog) -> Option<SnapshotId> {
    let snapshot = log.snapshots().unwrap().published().await.unwrap()?;
    for page in 0..snapshot.pages {
        assert!(log.snapshots().unwrap().page(snapshot.id, page).await.unwrap().is_some());
    }
    Some(snapshot.id)
}

/// Both are at the same place, and each is published once more, as its answer was lost.
#[tokio::test]
async fn two_that_are_published_at_once_do_not_drop_each_other() {
    let ids = [2, 3].map(|n| SnapshotId { maker: device(n), number: u64::from(n) });
    for (first, second) in [(0, 1), (1, 0)] {
        for (begin, again) in (0..REQUESTS).flat_map(|n| (0..REQUESTS).map(move |m| (n, m))) {
            let Site { store, log, places: [_, place] } = site().await;
            for id in ids {
                put(&log, id).await;
            }
            for requests in [begin, again] {
                let (other, at) = (Arc::clone(&log), place.clone());
                store.after(requests, async move {
                    publish(&other, ids[second], &at).await;
                });
                publish(&log, ids[first], &place).await;
                store.forget();
            }
            assert!(published(&log).await.is_some(), "{begin}, {again}");
        }
    }
}

/// One program of a device publishes what another one takes for abandoned; both trim behind what they have.
#[tokio::test]
async fn what_is_published_while_it_is_cleared_away_is_whole_or_not_published() {
    let of_other = SnapshotId { maker: device(2), number: 1 };
    let [old, new] = [5, 6].map(|number| SnapshotId { maker: device(1), number });
    for publishes in [true, false] {
        for requests in 0..REQUESTS {
            let Site { store, log, places: [earlier, place] } = site().await;
            put(&log, of_other).await;
            assert!(publish(&log, of_other, &earlier).await);
            put(&log, old).await;
            let other = Arc::clone(&log);
            let at = place.clone();
            let is_published = if publishes {
                // It is being published, and the other one begins its next in the middle of that.
                store.after(requests, async move { put(&other, new).await });
                publish(&log, old, &place).await
            } else {
                let (told, hears) = std::sync::mpsc::channel();
                store.after(requests, async move {
                    let is_published = publish(&other, old, &at).await;
                    if is_published {
                        other.trim().await.unwrap();
                    }
                    told.send(is_published).unwrap();
                });
                put(&log, new).await;
                store.forget();
                hears.recv().unwrap_or(false)
            };
            store.forget();
            let expected = if is_published { old } else { of_other };
            assert_eq!(published(&log).await, Some(expected), "{publishes}, {requests}");
            // Whatever becomes of the next one, a device that is new has something to begin with.
            publish(&log, new, &place).await;
            assert!(published(&log).await.is_some(), "{publishes}, {requests}");
        }
    }
}

/// A program that clears away what another one of its device publishes dies in the middle of that: whoever publishes once more hears whether it
/// is the log's, and the next snapshot takes the place of what is left.
#[tokio::test]
async fn publishing_comes_to_an_end_when_the_one_who_clears_away_is_gone() {
    let [old, new, next] = [5, 6, 7].map(|number| SnapshotId { maker: device(1), number });
    let mut not_told = 0;
    for (publishes, dies) in (0..REQUESTS).flat_map(|n| (0..REQUESTS).map(move |m| (n, m))) {
        let Site { store, log, places: [_, place] } = site().await;
        put(&log, old).await;
        let (gone, is_gone) = tokio::sync::oneshot::channel();
        let (other, at, after) = (Arc::clone(&log), place.clone(), store.clone());
        // The other one publishes after so many requests; after so many more this one makes none any longer.
        store.after(publishes, async move {
            publish(&other, old, &at).await;
            after.after(dies, async move {
                let _ = gone.send(());
                std::future::pending::<()>().await;
            });
        });
        tokio::select! {
            biased;
            () = put(&log, new) => {}
            told = is_gone => told.unwrap(),
        }
        store.forget();
        let case = format!("{publishes}, {dies}");
        let snapshot = Snapshot { id: old, pages: PAGES, place: place.clone() };
        let snapshots = log.snapshots().unwrap();
        let again = snapshots.publish(&snapshot).await;
        let is_published = again.unwrap_or_else(|error| panic!("{case}: {error}"));
        if is_published {
            assert_eq!(published(&log).await, Some(old), "{case}");
        } else if published(&log).await == Some(old) {
            // It stays of use until there is another one.
            not_told += 1;
        }
        put(&log, next).await;
        assert!(publish(&log, next, &place).await, "{case}");
        assert_eq!(published(&log).await, Some(next), "{case}");
        put(&log, old).await;
        assert!(publish(&log, old, &place).await, "nothing is left of it: {case}");
    }
    assert!(not_told > 0, "nobody died between the two");
}
