//! Several at once.

use serde_json::json;
use storex_core::{Batch, Changes, Error, Filter, Query, Step, field};

use crate::Harness;
use crate::support::{OBJECT, ids, join, join_all, numbers, record, records};

pub async fn two_batches_both_land(h: Harness) {
    let (storage, _) = numbers(&h, &[(0, 0)]).await;
    let batch = |ids: [i64; 2]| {
        Batch::new()
            .create(OBJECT, vec![record![ids[0], 1]])
            .update(OBJECT, Filter::key(0), Changes::new().increment("n", 1))
            .create(OBJECT, vec![record![ids[1], 1]])
    };
    let (first, second) =
        join(storage.execute(batch([1, 2])), storage.execute(batch([3, 4]))).await;
    first.unwrap();
    second.unwrap();
    assert_eq!(ids(&records(&storage, OBJECT).await), [0, 1, 2, 3, 4]);
    assert_eq!(records(&storage, OBJECT).await[0], record![0, 2]);
}

pub async fn fifty_increments_all_count(h: Harness) {
    let (storage, objects) = numbers(&h, &[(1, 0)]).await;
    let (all, increment) = (json!({}), json!({ "n": { "$inc": 1 } }));
    let all = join_all((0..50).map(|_| objects.update(&all, &increment))).await;
    assert!(all.iter().all(Result::is_ok), "{all:?}");
    assert_eq!(records(&storage, OBJECT).await, [record![1, 50]]);
}

/// The same where each reads and then writes what it read plus one.
pub async fn fifty_read_and_write_and_all_count(h: Harness) {
    let (storage, _) = numbers(&h, &[(1, 0)]).await;
    let batch = Batch::new().find(Query::new(OBJECT)).then(|trace| {
        let n = trace.found(0)[0].get(1).as_int().unwrap();
        let changes = Changes::new().set("n", n + 1);
        Ok(vec![Step::Update { collection: OBJECT.into(), filter: Filter::key(1), changes }])
    });
    let all = join_all((0..50).map(|_| storage.execute(batch.clone()))).await;
    assert!(all.iter().all(Result::is_ok), "{all:?}");
    assert_eq!(records(&storage, OBJECT).await, [record![1, 50]]);
}

pub async fn of_twenty_with_one_key_one_wins(h: Harness) {
    let (storage, objects) = numbers::<i64>(&h, &[]).await;
    let all = join_all((0..20).map(|n| objects.create(json!({ "id": 1, "n": n })))).await;
    let won: Vec<_> = all.iter().filter_map(|result| result.as_ref().ok()).collect();
    assert_eq!(won.len(), 1);
    for result in &all {
        assert!(matches!(result, Ok(_) | Err(Error::AlreadyExists { .. })), "{result:?}");
    }
    let stored = storage.dynamic(OBJECT).unwrap().get(1).await.unwrap();
    assert_eq!(stored.as_ref(), won.first().copied());
}

/// One that fails does not take its neighbours along, which may be in the same commit.
pub async fn a_failing_batch_fails_alone(h: Harness) {
    let (storage, _) = numbers(&h, &[(1000, 0)]).await;
    let all = join_all((0..60_i64).map(|n| {
        let batch = Batch::new().create(OBJECT, vec![record![n, n]]).update(
            OBJECT,
            Filter::key(1000),
            Changes::new().increment("n", 1),
        );
        // Every third one fails at its end.
        let batch = if n % 3 == 0 { batch.create(OBJECT, vec![record![n, n]]) } else { batch };
        storage.execute(batch)
    }))
    .await;
    for (n, result) in all.iter().enumerate() {
        assert_eq!(result.is_err(), n % 3 == 0, "{n}: {result:?}");
    }
    let mut expected: Vec<i64> = (0..60).filter(|n| n % 3 != 0).collect();
    expected.push(1000);
    assert_eq!(ids(&records(&storage, OBJECT).await), expected);
    let counter = storage.find(Query::new(OBJECT).filter(Filter::key(1000))).await.unwrap();
    assert_eq!(counter, [record![1000, 40]]);
}

/// Whoever has written reads what was written.
pub async fn writers_read_their_own_writes(h: Harness) {
    let (storage, objects) = numbers::<i64>(&h, &[]).await;
    join_all((0..30_i64).map(|id| {
        let (storage, objects) = (storage.clone(), objects.clone());
        async move {
            objects.create(json!({ "id": id, "n": 0 })).await.unwrap();
            assert!(objects.get(id).await.unwrap().is_some(), "{id} is not there yet");
            objects.update_one(&json!({ "id": id }), &json!({ "n": 1 })).await.unwrap();
            let query = Query::new(OBJECT).filter(Filter::key(id).and(field("n").eq(1)));
            assert_eq!(storage.count(query).await.unwrap(), 1, "{id} is not changed yet");
            objects.delete_one(&json!({ "id": id })).await.unwrap();
            assert!(objects.get(id).await.unwrap().is_none(), "{id} is still there");
        }
    }))
    .await;
    assert_eq!(storage.count(Query::new(OBJECT)).await.unwrap(), 0);
}

/// Everything that was begun is finished before the storage is closed.
pub async fn closing_waits_for_what_is_running(h: Harness) {
    let (storage, objects) = numbers::<i64>(&h, &[]).await;
    let writes = join_all((0..20_i64).map(|id| objects.create(json!({ "id": id }))));
    let (written, closed) = join(writes, storage.close()).await;
    closed.unwrap();
    for (id, result) in written.iter().enumerate() {
        // One that came too late says so.
        assert!(matches!(result, Ok(_) | Err(Error::Closed)), "{id}: {result:?}");
    }
    if h.backend().capabilities().persistent {
        let there = written.iter().filter(|result| result.is_ok()).count();
        let storage = h.open(registry_again()).await;
        assert_eq!(records(&storage, OBJECT).await.len(), there);
    }
}

fn registry_again() -> storex_core::Registry {
    crate::support::registry([crate::support::numbered()])
}
