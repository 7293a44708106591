//! Keys that go over a channel of two paired devices.

use storex_sync::{
    Channel, DeviceKey, EncryptedSharedLog, KeyRing, MemoryChannel, Pairing, PairingCode,
    SecureChannel, SyncError,
};

use super::{SECOND, by, create, runtime, with_ring};
use crate::support::{Device, assert_in_step, shared_log};

/// Both ends of a channel between two devices that have just been paired.
async fn paired() -> (SecureChannel<MemoryChannel>, SecureChannel<MemoryChannel>) {
    let (here, there) = MemoryChannel::pair();
    let mut pairing = Pairing::new(runtime(1));
    let code: PairingCode = pairing.code().to_string().parse().unwrap();
    let (host, guest) = (DeviceKey::generate(&*runtime(2)), DeviceKey::generate(&*runtime(3)));
    let guest = SecureChannel::pair(there, &code, &guest, runtime(4));
    let (host, guest) = tokio::join!(pairing.accept(here, &host), guest);
    (host.unwrap(), guest.unwrap())
}

#[tokio::test]
async fn no_passphrase_and_nothing_in_the_log() {
    let log = shared_log();
    let keys = KeyRing::generate(&*runtime(11));
    let (mut here, mut there) = paired().await;
    let (sent, received) = tokio::join!(keys.send(&mut here), KeyRing::receive(&mut there));
    sent.unwrap();
    let on_b = with_ring(&log, &received.unwrap(), 12);
    let on_a = with_ring(&log, &keys, 13);
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    a.note("1", "Hello").await;
    a.sync(&on_a).await;
    b.sync(&on_b).await;
    assert_in_step(&[&a, &b]).await;
    assert!(matches!(
        EncryptedSharedLog::open(log, &super::passphrase(""), runtime(1)).await.unwrap_err(),
        SyncError::NoKeys
    ));
}

#[tokio::test]
async fn after_a_rotation_a_device_gets_the_new_keys_without_a_passphrase() {
    let log = shared_log();
    let on_a = create(&log, 11).await;
    let on_b = with_ring(&log, &on_a.key_ring(), 12);
    on_a.rotate(&by(SECOND)).await.unwrap();
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    a.note("1", "Hello").await;
    a.sync(&on_a).await;
    b.join(&on_b).await.sync_once().await.unwrap_err();
    let (mut here, mut there) = paired().await;
    let keys = on_a.key_ring();
    let (sent, received) = tokio::join!(keys.send(&mut here), KeyRing::receive(&mut there));
    sent.unwrap();
    on_b.learn(received.unwrap());
    b.sync(&on_b).await;
    assert_in_step(&[&a, &b]).await;
}

#[tokio::test]
async fn something_else_is_refused() {
    let (mut here, mut there) = paired().await;
    for frame in [
        Vec::new(),
        b"storex-keys".to_vec(),
        b"storex-keys\x01".to_vec(),
        b"storex-keys\x01\x01abc".to_vec(),
    ] {
        here.send(frame).await.unwrap();
        let error = KeyRing::receive(&mut there).await.unwrap_err();
        assert!(matches!(error, SyncError::Protocol { .. }), "{error}");
    }
    here.close().await.unwrap();
    let error = KeyRing::receive(&mut there).await.unwrap_err();
    assert!(matches!(error, SyncError::Closed { .. }), "{error}");
}
