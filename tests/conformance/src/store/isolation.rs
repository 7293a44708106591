//! Nothing of one user is ever seen by another.

use std::collections::HashSet;
use std::sync::Arc;

use storex_core::Timestamp;
use storex_server::User;
use storex_sync::{
    BlobRef, Cursor, Page, SealedTransaction, SharedSyncLog, Snapshot, SnapshotId, SyncError,
};

use super::{StoreHarness, alike, user};
use crate::shared_log::device;

const ALL: usize = 1 << 20;

/// A transaction that tells whose it is. All users have the same devices.
fn of(user: &User, sequence: u64) -> SealedTransaction {
    let payload = format!("{user}/{sequence}").into_bytes();
    SealedTransaction { device: device(1), sequence, payload }
}

async fn read(log: &dyn SharedSyncLog) -> Page {
    log.read(device(2), &Cursor::default(), ALL).await.unwrap()
}

/// The logs of all of them, each with as many transactions as it has users in front of it.
async fn written(harness: &StoreHarness) -> Vec<(User, Arc<dyn SharedSyncLog>, u64)> {
    let store = harness.store().await;
    let mut logs = Vec::new();
    for (count, user) in (1..).zip(alike()) {
        let log = store.log(&user).await.unwrap();
        log.register(device(2)).await.unwrap();
        let transactions: Vec<_> = (1..=count).map(|sequence| of(&user, sequence)).collect();
        log.append(&transactions).await.unwrap();
        logs.push((user, log, count));
    }
    logs
}

pub async fn nobody_reads_what_another_user_wrote(harness: StoreHarness) {
    let mut identities = HashSet::new();
    for (user, log, count) in written(&harness).await {
        let page = read(&*log).await;
        let expected: Vec<_> = (1..=count).map(|sequence| of(&user, sequence)).collect();
        assert_eq!(page.transactions, expected);
        assert!(identities.insert(page.log), "{user} has the log of another");
        let own = log.read(device(1), &Cursor::default(), ALL).await.unwrap().own;
        assert_eq!(own, count);
    }
}

pub async fn places_and_counts_tell_nothing_of_others(harness: StoreHarness) {
    let store = harness.store().await;
    let alone = user("alone");
    let log = store.log(&alone).await.unwrap();
    log.register(device(2)).await.unwrap();
    log.append(&[of(&alone, 1)]).await.unwrap();
    let (page, members) = (read(&*log).await, log.members().await.unwrap());
    let logs = written(&harness).await;
    assert_eq!(read(&*log).await, page);
    assert_eq!(log.members().await.unwrap(), members);
    log.append(&[of(&alone, 2)]).await.unwrap();
    // Whoever has written two transactions is where everybody is who has written two, however much others have.
    let (_, of_two, _) = logs.iter().find(|(_, _, count)| *count == 2).unwrap();
    assert_eq!(read(&*log).await.cursor, read(&**of_two).await.cursor);
    for (_, log, count) in &logs {
        let [member] = log.members().await.unwrap()[..] else { panic!("one has registered") };
        assert_eq!((member.device, member.behind), (device(2), *count));
        let usage = log.snapshots().unwrap().usage().await.unwrap();
        assert_eq!(usage.transactions, *count);
    }
}

pub async fn what_is_done_to_one_log_is_done_to_no_other(harness: StoreHarness) {
    let logs = written(&harness).await;
    let mut before = Vec::new();
    for (_, log, _) in &logs {
        before.push((read(&**log).await, log.members().await.unwrap()));
    }
    let place = logs.iter().position(|(user, _, _)| user.as_str() == "ada%").unwrap();
    let (_, log, count) = &logs[place];
    log.acknowledge(device(2), &before[place].0.cursor).await.unwrap();
    assert_eq!(log.trim().await.unwrap().transactions, count - 1);
    let other = log.reidentify(before[place].0.log).await.unwrap();
    assert_ne!(other, before[place].0.log);
    log.dismiss(device(2)).await.unwrap();
    for (at, (_, log, _)) in logs.iter().enumerate().filter(|(at, _)| *at != place) {
        assert_eq!((read(&**log).await, log.members().await.unwrap()), before[at]);
        assert_eq!(log.trim().await.unwrap().transactions, 0);
    }
}

pub async fn snapshots_are_of_one_user(harness: StoreHarness) {
    let id = SnapshotId { maker: device(1), number: 1 };
    let logs = written(&harness).await;
    for (user, log, _) in &logs {
        let page = user.as_str().as_bytes();
        log.snapshots().unwrap().put_page(id, 0, page).await.unwrap();
        assert_eq!(log.snapshots().unwrap().published().await.unwrap(), None);
    }
    let (_, first, _) = &logs[0];
    let snapshot = Snapshot { id, pages: 1, place: read(&**first).await.cursor };
    assert!(first.snapshots().unwrap().publish(&snapshot).await.unwrap());
    for (at, (user, log, _)) in logs.iter().enumerate() {
        let snapshots = log.snapshots().unwrap();
        let expected = (at == 0).then(|| snapshot.clone());
        assert_eq!(snapshots.published().await.unwrap(), expected);
        let page = snapshots.page(id, 0).await.unwrap();
        assert_eq!(page.as_deref(), Some(user.as_str().as_bytes()));
    }
}

pub async fn blobs_are_of_one_user(harness: StoreHarness) {
    let (store, other) = (harness.store().await, harness.another_server().await);
    let blob = BlobRef::of(b"the same name for all");
    for (at, user) in alike().iter().enumerate() {
        let blobs = store.blobs(user).await.unwrap();
        assert_eq!((blobs.has(&blob).await.unwrap(), blobs.sent(&blob).await.unwrap()), (false, 0));
        let missing = blobs.chunk(&blob, 0).await;
        assert!(matches!(missing, Err(SyncError::BlobMissing { .. })), "{user}: {missing:?}");
        // A store does not check contents, so they can tell whose they are.
        blobs.put_chunk(&blob, 0, vec![at as u8; 21]).await.unwrap();
        blobs.finish(&blob).await.unwrap();
    }
    store.blobs(&user("ada%")).await.unwrap().remove(&blob).await.unwrap();
    for (at, user) in alike().iter().enumerate() {
        let blobs = other.blobs(user).await.unwrap();
        let is_there = user.as_str() != "ada%";
        assert_eq!(blobs.has(&blob).await.unwrap(), is_there, "{user}");
        if is_there {
            assert_eq!(blobs.chunk(&blob, 0).await.unwrap(), vec![at as u8; 21], "{user}");
        }
    }
}

pub async fn nobody_sees_the_devices_of_another_user(harness: StoreHarness) {
    let store = harness.store().await;
    let users = alike();
    for user in &users {
        store.note_device(user, [1; 16], Some(user.as_str()), Timestamp(1)).await.unwrap();
    }
    store.revoke(&users[0], [1; 16], Timestamp(2)).await.unwrap();
    store.note_device(&users[1], [2; 16], None, Timestamp(3)).await.unwrap();
    for (at, user) in users.iter().enumerate() {
        let devices = store.devices(user).await.unwrap();
        assert_eq!(devices.len(), if at == 1 { 2 } else { 1 }, "{user}");
        assert_eq!(devices[0].name, user.as_str());
        assert_eq!(devices[0].revoked_at.is_some(), at == 0, "{user}");
    }
    assert_eq!(store.devices(&user("nobody")).await.unwrap(), []);
}

pub async fn the_log_of_a_user_is_one(harness: StoreHarness) {
    let (one, other) = (harness.store().await, harness.another_server().await);
    let ada = user("ada");
    let id = one.log(&ada).await.unwrap().register(device(2)).await.unwrap();
    assert_eq!(other.log(&ada).await.unwrap().register(device(3)).await.unwrap(), id);
    one.log(&ada).await.unwrap().append(&[of(&ada, 1)]).await.unwrap();
    let page = read(&*other.log(&ada).await.unwrap()).await;
    assert_eq!((page.log, page.transactions), (id, vec![of(&ada, 1)]));
}

/// A device that was cloned, or that two people use: nothing that one of them does concerns the other.
pub async fn the_same_devices_may_be_of_several_users(harness: StoreHarness) {
    let store = harness.store().await;
    let (ada, bob) = (user("ada"), user("bob"));
    let (of_ada, of_bob) = (store.log(&ada).await.unwrap(), store.log(&bob).await.unwrap());
    of_ada.append(&[of(&ada, 1), of(&ada, 2)]).await.unwrap();
    // Neither known nor forked: these numbers are free here.
    of_bob.append(&[of(&bob, 1)]).await.unwrap();
    assert_eq!(read(&*of_bob).await.transactions, [of(&bob, 1)]);
    assert_eq!(read(&*of_ada).await.transactions, [of(&ada, 1), of(&ada, 2)]);
}
