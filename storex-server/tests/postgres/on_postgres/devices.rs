//! The directory of devices, which all servers share.

use super::support::{run, soon, store, user};
use storex_core::Timestamp;
use storex_server::{DeviceInfo, Store};

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
