//! Which devices a user has.

use futures_util::future::join;
use storex_core::Timestamp;
use storex_server::{DeviceId, DeviceInfo, Store};

use super::{StoreHarness, user};

const PHONE: DeviceId = [1; 16];
const LAPTOP: DeviceId = [2; 16];
const MINUTE: i64 = 60_000;
const START: i64 = 1_767_225_600_000;

fn at(milliseconds: i64) -> Timestamp {
    Timestamp(START + milliseconds)
}

async fn only(store: &dyn Store) -> DeviceInfo {
    let devices = store.devices(&user("ada")).await.unwrap();
    let [device] = devices.as_slice() else { panic!("{devices:?}") };
    device.clone()
}

pub async fn nobody_is_there_at_first(harness: StoreHarness) {
    let store = harness.store().await;
    assert_eq!(store.devices(&user("ada")).await.unwrap(), []);
}

pub async fn who_came_is_listed_in_the_order_of_coming(harness: StoreHarness) {
    let store = harness.store().await;
    let ids: Vec<DeviceId> = [9, 1, 5, 255, 0].map(|n| [n; 16]).to_vec();
    for id in &ids {
        // At one time, so that only the order tells.
        store.note_device(&user("ada"), *id, None, at(0)).await.unwrap();
    }
    store.note_device(&user("ada"), ids[0], None, at(5 * MINUTE)).await.unwrap();
    let devices = store.devices(&user("ada")).await.unwrap();
    assert_eq!(devices.iter().map(|device| device.id).collect::<Vec<_>>(), ids);
    assert!(devices.iter().all(|device| device.registered_at == at(0)));
}

pub async fn a_device_that_comes_again_is_the_same(harness: StoreHarness) {
    let store = harness.store().await;
    let first = store.note_device(&user("ada"), PHONE, Some("Ada's phone"), at(0)).await.unwrap();
    let name = "Ada's phone".to_owned();
    let expected =
        DeviceInfo { id: PHONE, name, registered_at: at(0), last_seen: at(0), revoked_at: None };
    assert_eq!(first, expected);
    let again = store.note_device(&user("ada"), PHONE, None, at(MINUTE)).await.unwrap();
    let expected = DeviceInfo { last_seen: at(MINUTE), ..expected };
    assert_eq!(again, expected);
    assert_eq!(only(&*store).await, expected);
}

pub async fn it_is_called_what_it_was_called_last(harness: StoreHarness) {
    let store = harness.store().await;
    let unnamed = store.note_device(&user("ada"), PHONE, None, at(0)).await.unwrap();
    assert_eq!(unnamed.name, "");
    for name in ["Ada's phone", "Àdá's \"phone\" 日本 🦀 %_\\", ""] {
        let named = store.note_device(&user("ada"), PHONE, Some(name), at(1)).await.unwrap();
        assert_eq!(named.name, name);
        let seen = store.note_device(&user("ada"), PHONE, None, at(2)).await.unwrap();
        assert_eq!(seen.name, name, "who does not tell a name changes none");
        assert_eq!(only(&*store).await.name, name);
    }
}

pub async fn that_it_was_seen_is_written_once_a_minute(harness: StoreHarness) {
    let store = harness.store().await;
    let mut written = 0;
    for now in (0..=5 * MINUTE).step_by(7_000) {
        store.note_device(&user("ada"), PHONE, None, at(now)).await.unwrap();
        if now - written >= MINUTE {
            written = now;
        }
        assert_eq!(only(&*store).await.last_seen, at(written), "after {now} ms");
    }
    assert!(written > 4 * MINUTE);
}

pub async fn a_clock_that_steps_back_changes_nothing(harness: StoreHarness) {
    let store = harness.store().await;
    store.note_device(&user("ada"), PHONE, None, at(0)).await.unwrap();
    store.note_device(&user("ada"), PHONE, None, at(-10 * MINUTE)).await.unwrap();
    store.note_device(&user("ada"), PHONE, Some("phone"), at(-9 * MINUTE)).await.unwrap();
    let device = only(&*store).await;
    assert_eq!((device.registered_at, device.last_seen), (at(0), at(0)));
    assert_eq!(device.name, "phone");
}

pub async fn who_is_shut_out_stays_so(harness: StoreHarness) {
    let store = harness.store().await;
    store.note_device(&user("ada"), PHONE, Some("phone"), at(0)).await.unwrap();
    store.note_device(&user("ada"), LAPTOP, None, at(0)).await.unwrap();
    for now in [1, 2 * MINUTE] {
        store.revoke(&user("ada"), PHONE, at(now)).await.unwrap();
        let noted = store.note_device(&user("ada"), PHONE, None, at(now + MINUTE)).await.unwrap();
        assert_eq!(noted.revoked_at, Some(at(1)), "since when stays as it is");
        assert_eq!(noted.name, "phone");
    }
    let devices = store.devices(&user("ada")).await.unwrap();
    let shut_out: Vec<_> = devices.iter().map(|device| device.revoked_at).collect();
    assert_eq!(shut_out, [Some(at(1)), None]);
}

pub async fn one_that_never_came_is_shut_out_too(harness: StoreHarness) {
    let store = harness.store().await;
    store.revoke(&user("ada"), PHONE, at(0)).await.unwrap();
    assert_eq!(only(&*store).await.revoked_at, Some(at(0)));
    let noted = store.note_device(&user("ada"), PHONE, Some("phone"), at(1)).await.unwrap();
    assert_eq!(noted.revoked_at, Some(at(0)));
}

pub async fn what_two_do_at_once_counts(harness: StoreHarness) {
    let (one, other) = (harness.store().await, harness.another_server().await);
    let ada = user("ada");
    for n in 0..20 {
        let id = [n; 16];
        let noting = one.note_device(&ada, id, Some("phone"), at(0));
        let (noted, revoked) = join(noting, other.revoke(&ada, id, at(0))).await;
        noted.unwrap();
        revoked.unwrap();
    }
    let devices = one.devices(&ada).await.unwrap();
    assert_eq!(devices.len(), 20);
    for device in devices {
        assert_eq!((&*device.name, device.revoked_at), ("phone", Some(at(0))), "{device:?}");
    }
}

pub async fn what_one_server_notes_another_one_knows(harness: StoreHarness) {
    let (one, other) = (harness.store().await, harness.another_server().await);
    let ada = user("ada");
    let noted = one.note_device(&ada, PHONE, Some("phone"), at(0)).await.unwrap();
    assert_eq!(other.note_device(&ada, PHONE, None, at(1)).await.unwrap(), noted);
    one.revoke(&ada, PHONE, at(2)).await.unwrap();
    let seen = other.note_device(&ada, PHONE, None, at(3)).await.unwrap();
    assert_eq!(seen.revoked_at, Some(at(2)));
    assert_eq!(other.devices(&ada).await.unwrap(), one.devices(&ada).await.unwrap());
}
