//! The directory of devices, which all servers share.

use super::news::Named;
use super::support::{RealTime, run, soon, store, user};
use storex_core::{Runtime, Timestamp};
use storex_server::{DeviceId, DeviceInfo, Store, User};
use tokio::sync::broadcast;

#[test]
fn servers_share_the_directory() {
    run(soon(async {
        let (one, two, user) = (store().await, store().await, user());
        let at = Timestamp;
        one.note_device(&user, [9; 16], Some("laptop"), at(1_000)).await.unwrap();
        two.note_device(&user, [1; 16], None, at(2_000)).await.unwrap();
        // Within a minute nothing is written, but for a name.
        two.note_device(&user, [9; 16], None, at(30_000)).await.unwrap();
        let named = one.note_device(&user, [1; 16], Some("pho\0ne"), at(3_000)).await.unwrap();
        assert_eq!((named.name.as_str(), named.last_seen), ("phone", at(3_000)));
        one.revoke(&user, [1; 16], at(4_000)).await.unwrap();
        two.revoke(&user, [1; 16], at(5_000)).await.unwrap();
        let seen = two.note_device(&user, [9; 16], None, at(90_000)).await.unwrap();
        let laptop = DeviceInfo {
            id: [9; 16],
            name: "laptop".to_owned(),
            registered_at: at(1_000),
            last_seen: at(90_000),
            revoked_at: None,
        };
        assert_eq!(seen, laptop);
        let phone = DeviceInfo {
            id: [1; 16],
            name: "phone".to_owned(),
            registered_at: at(2_000),
            last_seen: at(3_000),
            revoked_at: Some(at(4_000)),
        };
        for store in [&one, &two] {
            assert_eq!(store.devices(&user).await.unwrap(), [laptop.clone(), phone.clone()]);
        }
        let back = two.note_device(&user, [1; 16], None, at(100_000)).await.unwrap();
        assert_eq!(back.revoked_at, Some(at(4_000)), "for good");
    }));
}

/// Until one of this user's devices is revoked. Other tests revoke theirs, and who is told may be told twice.
async fn hears_of(
    revocations: &mut broadcast::Receiver<(User, DeviceId)>,
    user: &User,
) -> DeviceId {
    loop {
        let (of, device) = revocations.recv().await.unwrap();
        if of == *user {
            return device;
        }
    }
}

#[test]
fn other_servers_hear_who_is_revoked() {
    run(soon(async {
        let (one, two, user) = (store().await, store().await, user());
        let mut revocations = two.revocations().unwrap();
        one.revoke(&user, [0xfe; 16], Timestamp(1)).await.unwrap();
        assert_eq!(hears_of(&mut revocations, &user).await, [0xfe; 16]);
    }));
}

#[test]
fn a_server_that_did_not_listen_hears_of_it_later() {
    run(soon(async {
        let (one, two, user) = (store().await, Named::open().await, user());
        let mut revocations = two.store.revocations().unwrap();
        two.stops_listening().await;
        one.revoke(&user, [7; 16], RealTime.now()).await.unwrap();
        assert_eq!(hears_of(&mut revocations, &user).await, [7; 16]);
    }));
}
