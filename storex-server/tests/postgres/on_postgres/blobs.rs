//! Blobs: the suite, what nobody has finished, and removing while somebody sends.

use std::sync::Arc;

use futures_util::future::join;
use storex_conformance::blob_store::BlobHarness;
use storex_conformance::blob_store_conformance;
use storex_core::{Runtime as _, Timestamp};
use storex_server::{Store, User};
use storex_sync::BlobRef;

use super::support::{
    RealTime, address, connect, empty_database, run, soon, store, store_at, unique, user,
};
use crate::served::Served;

const CHUNK: usize = 1 << 20;

/// Each store that a case opens is of another server.
fn postgres() -> BlobHarness {
    let user = User::new(unique()).unwrap();
    BlobHarness::new(move || {
        let user = user.clone();
        Box::pin(async move { store().await.blobs(&user).await.unwrap() })
    })
}

mod of_a_user {
    use super::*;

    blob_store_conformance!(postgres);
}

mod over_http {
    use super::*;

    fn http() -> BlobHarness {
        let name = unique();
        let served =
            Served::over(async move |_| Arc::new(store_at(&address()).await) as Arc<dyn Store>);
        BlobHarness::new(move || {
            let store = served.blobs(&name);
            Box::pin(async move { store })
        })
    }

    blob_store_conformance!(http);
}

#[test]
fn blobs_that_nobody_has_finished_are_dropped_and_no_others() {
    run(soon(async {
        let address = empty_database().await;
        let store = store_at(&address).await;
        let (of_ada, of_bob) =
            (store.blobs(&user()).await.unwrap(), store.blobs(&user()).await.unwrap());
        let (begun, whole) = (BlobRef::of(&vec![7; CHUNK + 1]), BlobRef::of(b"whole"));
        for blobs in [&of_ada, &of_bob] {
            blobs.put_chunk(&whole, 0, b"whole".to_vec()).await.unwrap();
            blobs.finish(&whole).await.unwrap();
            blobs.put_chunk(&begun, 0, vec![7; CHUNK]).await.unwrap();
        }
        let now = RealTime.now().0;
        assert_eq!(store.drop_unfinished_blobs(Timestamp(now - 3_600_000)).await.unwrap(), 0);
        assert_eq!(of_ada.sent(&begun).await.unwrap(), 1);
        assert_eq!(store.drop_unfinished_blobs(Timestamp(now + 3_600_000)).await.unwrap(), 2);
        for blobs in [&of_ada, &of_bob] {
            assert_eq!(blobs.sent(&begun).await.unwrap(), 0);
            assert!(blobs.has(&whole).await.unwrap());
        }
        let left = "SELECT count(*) FROM storex.blob_chunk";
        let left: i64 = connect(&address).await.query_one(left, &[]).await.unwrap().get(0);
        assert_eq!(left, 2, "the chunks went with them");
    }));
}

#[test]
fn no_chunk_stays_behind_that_belongs_to_no_blob() {
    run(soon(async {
        let address = empty_database().await;
        let (one, other) = (store_at(&address).await, store_at(&address).await);
        let user = user();
        let (sending, removing) =
            (one.blobs(&user).await.unwrap(), other.blobs(&user).await.unwrap());
        let blob = BlobRef::of(&vec![7; 40 * CHUNK]);
        let sending = async {
            for number in 0..40 {
                sending.put_chunk(&blob, number, vec![7; CHUNK]).await.unwrap();
            }
        };
        let removing = async {
            for _ in 0..40 {
                removing.remove(&blob).await.unwrap();
            }
        };
        join(sending, removing).await;
        let orphans = "SELECT count(*) FROM storex.blob_chunk AS chunk WHERE NOT EXISTS (
            SELECT FROM storex.blob WHERE blob.account = chunk.account AND blob.name = chunk.name)";
        let orphans: i64 = connect(&address).await.query_one(orphans, &[]).await.unwrap().get(0);
        assert_eq!(orphans, 0);
    }));
}
