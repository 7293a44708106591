//! The database is restarted, and killed.

use super::support::{
    connect, device, empty_database, log, own_cluster, read_all, run, soon, store_at, transaction,
    until_done, user,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use storex_core::Timestamp;
use storex_postgres_cluster::{Cluster, Durability};
use storex_server::{Store, User};
use storex_sync::{Cursor, SealedKeyName, SharedSyncLog, SyncError};

const DEVICES: u8 = 4;

/// Devices that append one transaction after the other, each again until it is acknowledged, until they are told to stop.
struct Writers {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
    tasks: Vec<tokio::task::JoinHandle<u64>>,
}

impl Writers {
    fn start(log: &Arc<dyn SharedSyncLog>) -> Self {
        let (stop, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let task = |n| {
            let (log, stop) = (Arc::clone(log), Arc::clone(&stop));
            let acknowledged = Arc::clone(&acknowledged);
            tokio::runtime::Handle::current().spawn(async move {
                let mut sequence = 0;
                while !stop.load(Ordering::SeqCst) {
                    sequence += 1;
                    let one = [transaction(device(n), sequence)];
                    until_done(|| log.append(&one)).await;
                    acknowledged.fetch_add(1, Ordering::SeqCst);
                }
                sequence
            })
        };
        let tasks = (1..=DEVICES).map(task).collect();
        Self { stop, acknowledged, tasks }
    }

    /// Until so many more are acknowledged.
    async fn make(&self, more: u64) {
        let enough = self.acknowledged.load(Ordering::SeqCst) + more;
        let made = async {
            while self.acknowledged.load(Ordering::SeqCst) < enough {
                tokio::task::yield_now().await;
            }
        };
        soon(made).await;
    }

    /// How many each device has appended.
    async fn stop(self) -> Vec<u64> {
        self.stop.store(true, Ordering::SeqCst);
        let mut last = Vec::new();
        for task in self.tasks {
            last.push(task.await.unwrap());
        }
        last
    }
}

async fn is_whole(log: &dyn SharedSyncLog, last: &[u64]) {
    let (read, _) = read_all(log, device(200)).await;
    let mut of_device: BTreeMap<_, Vec<u64>> = BTreeMap::new();
    for transaction in read {
        of_device.entry(transaction.device).or_default().push(transaction.sequence);
    }
    for ((_, sequences), last) in of_device.iter().zip(last) {
        let all: Vec<u64> = (1..=*last).collect();
        assert_eq!(*sequences, all, "each once, in order");
    }
    assert_eq!(of_device.len(), last.len());
}

async fn goes_on_after(cluster: &Cluster, break_it: impl Fn(&Cluster)) {
    let user = User::new("ada").unwrap();
    let (one, two) = (store_at(cluster.address()).await, store_at(cluster.address()).await);
    let here = log(&one, &user).await;
    let there = log(&two, &user).await;
    let writers = Writers::start(&here);
    for _ in 0..3 {
        writers.make(100).await;
        break_it(cluster);
        cluster.start_again().unwrap();
        writers.make(100).await;
    }
    let last = writers.stop().await;
    is_whole(&*here, &last).await;
    is_whole(&*there, &last).await;

    // And who waits on another server is woken again.
    let (_, cursor) = read_all(&*there, device(200)).await;
    here.append(&[transaction(device(100), 1)]).await.unwrap();
    until_done(|| there.changed(device(200), &cursor)).await;
}

#[test]
fn a_database_that_is_restarted_costs_nothing_but_another_try() {
    let cluster = own_cluster(Durability::ProcessOnly);
    run(goes_on_after(&cluster, |cluster| cluster.stop().unwrap()));
}

#[test]
fn a_database_that_is_killed_has_what_it_acknowledged() {
    let cluster = own_cluster(Durability::Full);
    run(goes_on_after(&cluster, |cluster| cluster.kill().unwrap()));
}

#[test]
fn while_the_database_is_away_everything_may_be_tried_again() {
    let cluster = own_cluster(Durability::ProcessOnly);
    run(soon(async {
        let (store, user) = (store_at(cluster.address()).await, user());
        let log = log(&store, &user).await;
        log.append(&[transaction(device(1), 1)]).await.unwrap();
        let (_, cursor) = read_all(&*log, device(2)).await;
        cluster.stop().unwrap();
        let passing = |error: SyncError| assert!(error.is_retryable(), "{error:?}");
        passing(log.append(&[transaction(device(1), 2)]).await.unwrap_err());
        passing(log.read(device(2), &cursor, 1).await.unwrap_err());
        passing(log.acknowledge(device(2), &cursor).await.unwrap_err());
        passing(log.changed(device(2), &cursor).await.unwrap_err());
        passing(log.trim().await.unwrap_err());
        passing(log.snapshots().unwrap().published().await.unwrap_err());
        let errors = [
            store.ready().await.unwrap_err(),
            store.devices(&user).await.unwrap_err(),
            store.note_device(&user, [1; 16], None, Timestamp(1)).await.unwrap_err(),
            store.revoke(&user, [1; 16], Timestamp(1)).await.unwrap_err(),
        ];
        assert!(errors.iter().all(storex_server::ServerError::is_retryable), "{errors:?}");
        cluster.start_again().unwrap();
        store.ready().await.unwrap();
        let (read, _) = read_all(&*log, device(2)).await;
        assert_eq!(read, [transaction(device(1), 1)]);
    }));
}

#[test]
fn what_is_written_for_a_user_whom_the_database_does_not_know_any_more_may_be_tried_again() {
    run(soon(async {
        let (address, user, now) = (empty_database().await, user(), Timestamp(1));
        let store = store_at(&address).await;
        // As when the database was put back to a state in which the user was not there.
        let forget = async || {
            let log = log(&store, &user).await;
            log.register(device(1)).await.unwrap();
            let client = connect(&address).await;
            client.batch_execute("DELETE FROM storex.account").await.unwrap();
            log
        };
        let gone = |error: SyncError| assert!(error.is_retryable(), "{error:?}");
        let key = SealedKeyName([3; 16]);
        gone(forget().await.keys().unwrap().put(key, b"key").await.unwrap_err());
        gone(forget().await.acknowledge(device(2), &Cursor::at(0)).await.unwrap_err());
        gone(forget().await.append(&[transaction(device(1), 1)]).await.unwrap_err());
        forget().await;
        let noted = store.note_device(&user, [1; 16], None, now).await;
        assert!(noted.unwrap_err().is_retryable());
        forget().await;
        assert!(store.revoke(&user, [1; 16], now).await.unwrap_err().is_retryable());
        // And then it is written where it is found again.
        store.revoke(&user, [1; 16], now).await.unwrap();
        assert_eq!(store.devices(&user).await.unwrap().len(), 1);
        log(&store, &user).await.keys().unwrap().put(key, b"key").await.unwrap();
    }));
}
