//! Rotation: who is left out reads nothing of what comes after.

use std::sync::Arc;
use std::time::Duration;

use storex_sync::{
    Access, ContinuousSync, DeviceKey, EncryptedSharedLog, KeyRing, MemorySharedLog, SealedKeyName,
    SealedTransaction, SharedSyncLog, SyncError,
};

use super::{FIRST, SECOND, by, create, current, items, open, passphrase, runtime, with_ring};
use crate::support::{Device, another_log, assert_in_step, dump_all, shared_log};

fn device_key(seed: u64) -> DeviceKey {
    DeviceKey::generate(&*runtime(seed))
}

/// A device with its key, that came by the keys by passphrase.
async fn follower(
    log: &Arc<MemorySharedLog>,
    key: &DeviceKey,
    seed: u64,
) -> Arc<EncryptedSharedLog> {
    let opened = EncryptedSharedLog::open(log.clone(), &passphrase(FIRST), runtime(seed)).await;
    Arc::new(opened.unwrap().device(key.clone()))
}

#[tokio::test]
async fn a_revoked_device_reads_nothing_that_comes_after_and_the_others_go_on() {
    let log = shared_log();
    let tablets_key = device_key(31);
    let laptop = create(&log, 11).await;
    let tablet = follower(&log, &tablets_key, 12).await;
    let phone = follower(&log, &device_key(32), 13).await;
    let (a, b, lost) = (Device::new(1).await, Device::new(2).await, Device::new(3).await);
    a.note("1", "before").await;
    for (device, on) in [(&a, &laptop), (&b, &tablet), (&lost, &phone)] {
        device.sync(on).await;
    }

    laptop.rotate(&by(SECOND).and_devices([tablets_key.public()])).await.unwrap();
    a.note("2", "after").await;
    a.sync(&laptop).await;
    let held = dump_all(&lost).await;
    let error = lost.join(&phone).await.sync_once().await.unwrap_err();
    assert!(matches!(error, SyncError::UnknownKey { .. }), "{error}");
    assert!(phone.unlock(&passphrase(FIRST)).await.is_err());
    let before = [&held["note"], &held["_storex_clock"]];
    let now = dump_all(&lost).await;
    assert_eq!([&now["note"], &now["_storex_clock"]], before, "nothing was applied");

    // The tablet follows by its key, and a new device by the new passphrase, which opens the old keys too.
    b.sync(&tablet).await;
    b.note("3", "from the tablet").await;
    b.sync(&tablet).await;
    let (c, new) = (Device::new(4).await, open(&log, SECOND, 14).await.unwrap());
    c.sync(&new).await;
    a.sync(&laptop).await;
    assert_in_step(&[&a, &b, &c]).await;
    // What the tablet wrote is of the new key as well.
    let error = lost.join(&phone).await.sync_once().await.unwrap_err();
    assert!(matches!(error, SyncError::UnknownKey { .. }), "{error}");
    let old = open(&log, FIRST, 15).await.unwrap();
    let error = Device::new(5).await.join(&old).await.sync_once().await.unwrap_err();
    assert!(matches!(error, SyncError::UnknownKey { .. }), "the former passphrase: {error}");
}

#[tokio::test]
async fn a_passphrase_that_was_in_use_is_refused() {
    let log = shared_log();
    let laptop = create(&log, 11).await;
    let keys = laptop.key_ring().to_bytes();
    let error = laptop.rotate(&by(FIRST)).await.unwrap_err();
    assert!(matches!(error, SyncError::FormerPassphrase), "{error}");
    assert_eq!(laptop.key_ring().to_bytes(), keys, "nothing has changed");
    laptop.rotate(&by(SECOND)).await.unwrap();
    assert_ne!(laptop.key_ring().to_bytes(), keys);
}

#[tokio::test]
async fn whoever_waits_for_the_new_passphrase_goes_on_where_it_was() {
    let log = shared_log();
    let (laptop, tablet) = (create(&log, 11).await, open(&log, FIRST, 12).await.unwrap());
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    a.note("1", "before").await;
    a.sync(&laptop).await;
    let sync = b.join(&tablet).await;
    sync.sync_once().await.unwrap();
    laptop.rotate(&by(SECOND)).await.unwrap();
    a.note("2", "after").await;
    a.sync(&laptop).await;

    b.note("3", "written meanwhile").await;
    for _ in 0..2 {
        let error = sync.sync_once().await.unwrap_err();
        assert!(matches!(error, SyncError::UnknownKey { .. }), "{error}");
    }
    let error = tablet.unlock(&passphrase("guessed")).await.unwrap_err();
    assert!(matches!(error, SyncError::WrongPassphrase), "{error}");
    tablet.unlock(&passphrase(SECOND)).await.unwrap();
    sync.sync_once().await.unwrap();
    a.sync(&laptop).await;
    assert_in_step(&[&a, &b]).await;
    assert_eq!(a.title("3").await.as_deref(), Some("written meanwhile"));
}

#[tokio::test(start_paused = true)]
async fn the_status_says_that_a_key_is_missing_until_it_is_there() {
    let log = shared_log();
    let (laptop, tablet) = (create(&log, 11).await, open(&log, FIRST, 12).await.unwrap());
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    let sync = ContinuousSync::start(b.join(&tablet).await, Duration::from_secs(3600));
    sync.sync_now().await.unwrap().unwrap();
    laptop.rotate(&by(SECOND)).await.unwrap();
    a.note("1", "after").await;
    a.sync(&laptop).await;
    let error = sync.sync_now().await.unwrap().unwrap_err();
    assert!(matches!(error.cause(), SyncError::UnknownKey { .. }), "{error}");
    let status = sync.status().borrow().clone();
    assert!(!status.in_step && status.last_error.unwrap().contains("new passphrase"));
    tablet.unlock(&passphrase(SECOND)).await.unwrap();
    sync.sync_now().await.unwrap().unwrap();
    let status = sync.status().borrow().clone();
    assert_eq!(status.last_error, None);
    sync.stop().await;
    assert_in_step(&[&a, &b]).await;
}

/// One that was away encrypts nothing with a key that somebody else was left out for.
#[tokio::test]
async fn whoever_was_away_learns_of_it_before_it_sends() {
    let log = shared_log();
    let laptop = create(&log, 11).await;
    let (b, kept) = (Device::new(2).await, laptop.key_ring());
    laptop.rotate(&by(SECOND)).await.unwrap();
    b.note("1", "for the others only").await;
    let tablet = with_ring(&log, &kept, 12);
    let error = b.join(&tablet).await.sync_once().await.unwrap_err();
    assert!(matches!(error, SyncError::UnknownKey { .. }), "{error}");
    assert!(log.is_empty());
    tablet.unlock(&passphrase(SECOND)).await.unwrap();
    b.sync(&tablet).await;
    let phone = with_ring(&log, &kept, 13);
    let error = Device::new(3).await.join(&phone).await.sync_once().await.unwrap_err();
    assert!(matches!(error, SyncError::UnknownKey { .. }), "{error}");
}

#[tokio::test]
async fn two_that_rotate_at_once_read_each_other_and_the_next_rotation_unites_them() {
    let log = shared_log();
    let keys = [device_key(31), device_key(32), device_key(33)];
    let all = || Access::of_devices(keys.iter().map(DeviceKey::public));
    let laptop = Arc::new(
        EncryptedSharedLog::create(log.clone(), &by(FIRST), runtime(11))
            .await
            .unwrap()
            .device(keys[0].clone()),
    );
    let tablet = follower(&log, &keys[1], 12).await;
    let third = follower(&log, &keys[2], 13).await;
    // Neither sees what the other leaves: each in a copy of the log, which are brought together then.
    let apart = another_log();
    for name in log.keys().unwrap().names().await.unwrap() {
        let item = log.keys().unwrap().get(name).await.unwrap().unwrap();
        apart.keys().unwrap().put(name, &item).await.unwrap();
    }
    let elsewhere = with_ring(&apart, &tablet.key_ring(), 12);
    elsewhere.rotate(&all()).await.unwrap();
    laptop.rotate(&all()).await.unwrap();
    for name in apart.keys().unwrap().names().await.unwrap() {
        let item = apart.keys().unwrap().get(name).await.unwrap().unwrap();
        log.keys().unwrap().put(name, &item).await.unwrap();
    }
    let tablet = Arc::new(
        EncryptedSharedLog::new(log.clone(), elsewhere.key_ring(), runtime(14))
            .device(keys[1].clone()),
    );
    let (a, b, c) = (Device::new(1).await, Device::new(2).await, Device::new(3).await);
    a.note("1", "from A").await;
    b.note("2", "from B").await;
    c.note("3", "from C").await;
    for (device, on) in [(&a, &laptop), (&b, &tablet)].iter().cycle().take(4) {
        device.sync(on).await;
    }
    assert_in_step(&[&a, &b]).await;
    // Who has made neither cannot tell which one counts.
    let error = c.join(&third).await.sync_once().await.unwrap_err();
    assert!(matches!(error, SyncError::RivalKeys), "{error}");
    let places = [(&a, &laptop), (&b, &tablet), (&c, &third)];

    third.rotate(&all()).await.unwrap();
    c.note("4", "with a key that all follow to").await;
    c.sync(&third).await;
    for (device, on) in places.iter().cycle().take(6) {
        device.sync(on).await;
    }
    assert_in_step(&[&a, &b, &c]).await;
    assert_eq!([current(&laptop), current(&tablet)], [current(&third), current(&third)]);
}

/// With a log of its own, somebody who was left out makes as many keys as it likes, and slips them in.
async fn slip_keys_in(
    log: &Arc<MemorySharedLog>,
    stolen: &KeyRing,
    to: &DeviceKey,
) -> Arc<EncryptedSharedLog> {
    let mine = another_log();
    let thief = with_ring(&mine, stolen, 66);
    for _ in 0..5 {
        thief.rotate(&Access::of_devices([to.public()])).await.unwrap();
    }
    for item in items(&mine).await {
        log.keys().unwrap().put(name_of(&item), &item).await.unwrap();
    }
    thief
}

/// One of its own for each item.
fn name_of(item: &[u8]) -> SealedKeyName {
    SealedKeyName(item[5..21].try_into().unwrap())
}

/// It sees the key of the others and those of the thief at once, and cannot tell which ones are good.
#[tokio::test]
async fn a_key_that_a_revoked_device_makes_is_not_followed_by_one_that_was_away() {
    let log = shared_log();
    let tablets_key = device_key(31);
    let laptop = create(&log, 11).await;
    let stolen = laptop.key_ring();
    laptop.rotate(&by(SECOND).and_devices([tablets_key.public()])).await.unwrap();
    let thief = slip_keys_in(&log, &stolen, &tablets_key).await;
    for n in 0..3 {
        let on = EncryptedSharedLog::new(log.clone(), stolen.clone(), runtime(15));
        let tablet = Arc::new(on.device(tablets_key.clone()));
        let b = Device::new(2 + n).await;
        b.note("1", "not for the thief").await;
        let (sync, before) = (b.join(&tablet).await, log.len());
        for _ in 0..2 {
            let error = sync.sync_once().await.unwrap_err();
            assert!(matches!(error, SyncError::RivalKeys), "{error}");
        }
        let error = tablet.grant(&by("of a guest")).await.unwrap_err();
        assert!(matches!(error, SyncError::RivalKeys), "{error}");
        assert_eq!(log.len(), before, "nothing was sent");
        let error = tablet.unlock(&passphrase(FIRST)).await.unwrap_err();
        assert!(matches!(error, SyncError::WrongPassphrase), "{error}");
        match n {
            0 => tablet.unlock(&passphrase(SECOND)).await.unwrap(),
            1 => tablet.learn(laptop.key_ring()),
            _ => tablet.rotate(&by("seven green boats")).await.unwrap(),
        }
        sync.sync_once().await.unwrap();
        assert_eq!(current(&tablet) == current(&laptop), n < 2);
        assert_ne!(current(&tablet), current(&thief));
        let error =
            Device::new(6).await.join(&thief_at(&log, &thief)).await.sync_once().await.unwrap_err();
        assert!(matches!(error, SyncError::UnknownKey { .. }), "{error}");
    }
}

fn one() -> SealedTransaction {
    let device = storex_sync::Device { id: [1; 16], incarnation: 0 };
    SealedTransaction { device, sequence: 1, payload: b"not for the thief".to_vec() }
}

/// From whom the rotation is hidden: until then the thief is one of those who have the key.
#[tokio::test]
async fn who_has_followed_a_revoked_device_is_brought_back_by_keys_that_are_handed_over() {
    brought_back_by_keys_that_are_handed_over(false).await;
    brought_back_by_keys_that_are_handed_over(true).await;
}

async fn brought_back_by_keys_that_are_handed_over(is_seen: bool) {
    let log = shared_log();
    let tablets_key = device_key(31);
    let laptop = create(&log, 11).await;
    let tablet = follower(&log, &tablets_key, 12).await;
    let thief = slip_keys_in(&log, &laptop.key_ring(), &tablets_key).await;
    let b = Device::new(2).await;
    b.note("1", "the thief reads this").await;
    b.sync(&tablet).await;
    assert_eq!(current(&tablet), current(&thief));

    let hidden = another_log();
    let laptop = with_ring(&hidden, &laptop.key_ring(), 14);
    laptop.rotate(&by(SECOND).and_devices([tablets_key.public()])).await.unwrap();
    for item in items(&hidden).await {
        log.keys().unwrap().put(name_of(&item), &item).await.unwrap();
    }
    if is_seen {
        b.note("3", "the thief reads this too").await;
    }
    b.sync(&tablet).await;
    tablet.learn(laptop.key_ring());
    assert_eq!(current(&tablet), current(&laptop));
    b.note("2", "not for the thief").await;
    b.sync(&tablet).await;
    let error = Device::new(6).await.join(&thief_at(&log, &thief)).await.sync_once().await;
    assert!(matches!(error.unwrap_err(), SyncError::UnknownKey { .. }));
}

fn thief_at(log: &Arc<MemorySharedLog>, thief: &EncryptedSharedLog) -> Arc<EncryptedSharedLog> {
    with_ring(log, &thief.key_ring(), 67)
}

/// Numbers count for nothing, and cannot be used up.
#[tokio::test]
async fn a_key_with_the_greatest_number_is_refused() {
    let log = shared_log();
    let tablets_key = device_key(31);
    let stolen = create(&log, 11).await.key_ring();
    let tablet = follower(&log, &tablets_key, 12).await;
    let greatest_but_one = [&[0xfe][..], &[0xff; 8], &[1]].concat();
    let bytes = [&[1][..], &greatest_but_one, &stolen.to_bytes()[2..]].concat();
    let thief = with_ring(&log, &KeyRing::from_bytes(&bytes).unwrap(), 66);
    drop(thief.rotate(&Access::of_devices([tablets_key.public()])).await);
    assert_eq!(items(&log).await.len(), 2);
    let before = current(&tablet);
    for refused in [tablet.rotate(&by(SECOND)).await, tablet.append(&[one()]).await] {
        let error = refused.unwrap_err();
        assert!(matches!(error, SyncError::UnknownKey { .. }), "{error}");
    }
    assert!(current(&tablet) == before && log.is_empty());
}

/// Who was left out still has the key of before, and knows the public keys of the others.
#[tokio::test]
async fn a_key_that_a_revoked_device_makes_is_not_followed() {
    let log = shared_log();
    let tablets_key = device_key(31);
    let laptop = create(&log, 11).await;
    let tablet = follower(&log, &tablets_key, 12).await;
    let stolen = laptop.key_ring();
    laptop.rotate(&by(SECOND).and_devices([tablets_key.public()])).await.unwrap();
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    a.note("1", "after").await;
    a.sync(&laptop).await;
    b.sync(&tablet).await;
    let before = current(&tablet);

    let thief = slip_keys_in(&log, &stolen, &tablets_key).await;
    let tablet = Arc::new(
        EncryptedSharedLog::new(log.clone(), tablet.key_ring(), runtime(15)).device(tablets_key),
    );
    b.note("2", "not for the thief").await;
    b.sync(&tablet).await;
    assert_eq!(current(&tablet), before);
    let reading = with_ring(&log, &thief.key_ring(), 67);
    let error = Device::new(6).await.join(&reading).await.sync_once().await.unwrap_err();
    assert!(matches!(error, SyncError::UnknownKey { .. }), "{error}");
}
