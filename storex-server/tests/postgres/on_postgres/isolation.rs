//! What is done for one user is nothing to another, whatever names their devices and snapshots have.

use super::support::{ALL, device, log, read_all, run, soon, store, transaction, user};
use storex_core::Timestamp;
use storex_server::Store;
use storex_sync::{Cursor, LogRequest, SealedKeyName, SharedSyncLog, Snapshot, SnapshotId, Usage};

/// What somebody could see of a log.
async fn all_of(log: &dyn SharedSyncLog) -> String {
    let snapshots = log.snapshots().unwrap();
    let snapshot = snapshots.published().await.unwrap();
    let id = SnapshotId { maker: device(1), number: 7 };
    let page = snapshots.page(id, 0).await.unwrap();
    // It may be refused, where something was dropped.
    let read = log.read(device(9), &Cursor::default(), ALL).await;
    let members = log.members().await.unwrap();
    let keys = log.keys().unwrap();
    let key = (keys.names().await.unwrap(), keys.get(SealedKeyName([3; 16])).await.unwrap());
    format!(
        "{read:?} {members:?} {key:?} {snapshot:?} {page:?} {:?}",
        snapshots.usage().await.unwrap()
    )
}

/// Everything that a log can be asked to do.
async fn do_everything(log: &dyn SharedSyncLog, payload: &str) {
    let written = |sequence| {
        let payload = format!("{payload}{sequence}").into_bytes();
        storex_sync::SealedTransaction { payload, ..transaction(device(1), sequence) }
    };
    let id = log.register(device(2)).await.unwrap();
    log.append(&[written(1), written(2), written(3)]).await.unwrap();
    let request = LogRequest {
        device: device(1),
        acknowledge: Some(Cursor::at(0)),
        append: vec![written(4)],
        read: Some(Cursor::default()),
    };
    log.exchange(&request, ALL).await.unwrap();
    let (_, place) = read_all(log, device(2)).await;
    log.acknowledge(device(2), &place).await.unwrap();
    log.register(device(3)).await.unwrap();
    log.dismiss(device(3)).await.unwrap();
    let snapshots = log.snapshots().unwrap();
    log.keys().unwrap().put(SealedKeyName([3; 16]), payload.as_bytes()).await.unwrap();
    let snapshot = Snapshot { id: SnapshotId { maker: device(1), number: 7 }, pages: 1, place };
    snapshots.put_page(snapshot.id, 0, payload.as_bytes()).await.unwrap();
    assert!(snapshots.publish(&snapshot).await.unwrap());
    assert_eq!(log.trim().await.unwrap().transactions, 3);
    assert_ne!(log.reidentify(id).await.unwrap(), id);
}

#[test]
fn what_one_user_does_changes_nothing_for_another() {
    run(soon(async {
        let store = store().await;
        let (ada, eve) = (user(), user());
        let (of_ada, of_eve) = (log(&store, &ada).await, log(&store, &eve).await);
        let empty = all_of(&*of_eve).await;
        do_everything(&*of_ada, "Ada's ").await;
        assert_eq!(all_of(&*of_eve).await, empty, "Eve sees nothing");

        let full = all_of(&*of_ada).await;
        do_everything(&*of_eve, "Eve's ").await;
        assert_eq!(all_of(&*of_ada).await, full, "Eve changes nothing");
        let usage = of_ada.snapshots().unwrap().usage().await.unwrap();
        let one = Usage { transactions: 1, droppable: 0, lacks_beginning: false };
        assert_eq!(usage, one, "the last transaction, which stays");
    }));
}

#[test]
fn a_place_of_another_users_log_gives_only_what_is_ones_own() {
    run(soon(async {
        let store = store().await;
        let (of_ada, of_eve) = (log(&store, &user()).await, log(&store, &user()).await);
        of_ada.append(&[transaction(device(1), 1), transaction(device(1), 2)]).await.unwrap();
        of_eve.append(&[transaction(device(5), 1)]).await.unwrap();
        let first = of_ada.read(device(2), &Cursor::default(), 1).await.unwrap();
        assert!(first.more);
        let page = of_eve.read(device(2), &Cursor::default(), ALL).await.unwrap();
        assert_eq!(page.transactions, [transaction(device(5), 1)]);
        let page = of_eve.read(device(2), &first.cursor, ALL).await.unwrap();
        assert_eq!(page.transactions, [], "nothing of Ada's follows");
    }));
}

#[test]
fn the_directories_are_apart() {
    run(soon(async {
        let store = store().await;
        let (ada, eve, now) = (user(), user(), Timestamp(1_000));
        store.note_device(&ada, [1; 16], Some("Ada's phone"), now).await.unwrap();
        assert_eq!(store.devices(&eve).await.unwrap(), []);
        store.revoke(&eve, [1; 16], now).await.unwrap();
        let of_ada = store.devices(&ada).await.unwrap();
        assert_eq!((of_ada.len(), of_ada[0].revoked_at), (1, None));
        let of_eve = store.devices(&eve).await.unwrap();
        assert_eq!((of_eve.len(), of_eve[0].name.as_str()), (1, ""));
    }));
}
