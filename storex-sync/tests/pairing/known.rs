//! Devices that were paired before.

use storex_memory::TestRuntime;
use storex_sync::{Channel, DeviceKey, MemoryChannel, PairedDevice, SecureChannel, SyncError};

use super::{Secure, Two};

/// Somebody with this key knocks, who takes the host for that one.
async fn knock(
    two: &Two,
    guest: &DeviceKey,
    host: &PairedDevice,
    known: &[PairedDevice],
) -> (Result<Secure, SyncError>, Result<Secure, SyncError>) {
    let (here, there) = MemoryChannel::pair();
    tokio::join!(
        SecureChannel::accept(here, known, &two.host, two.runtime.clone()),
        SecureChannel::connect(there, host, guest, two.runtime.clone()),
    )
}

#[tokio::test(start_paused = true)]
async fn they_need_no_code_and_the_keys_may_have_been_stored() {
    let mut two = Two::new(1);
    let (host, guest) = two.paired().await;
    let stored = (host.peer().to_bytes(), guest.peer().to_bytes(), *two.guest.to_bytes());
    drop((host, guest));

    let known = [two.host.public(), PairedDevice::from_bytes(stored.0)];
    let guest = DeviceKey::from_bytes(stored.2);
    let (host, guest) = knock(&two, &guest, &PairedDevice::from_bytes(stored.1), &known).await;
    let (mut host, mut guest) = (host.unwrap(), guest.unwrap());
    assert_eq!((host.peer(), guest.peer()), (two.guest.public(), two.host.public()));
    guest.send(b"again".to_vec()).await.unwrap();
    assert_eq!(host.recv().await.unwrap().unwrap(), b"again");
    host.send(b"and again".to_vec()).await.unwrap();
    assert_eq!(guest.recv().await.unwrap().unwrap(), b"and again");
}

#[tokio::test(start_paused = true)]
async fn a_stranger_is_refused_on_both_sides() {
    let two = Two::new(1);
    let stranger = DeviceKey::generate(&TestRuntime::new(5));
    for known in [vec![], vec![two.guest.public()]] {
        let (host, guest) = knock(&two, &stranger, &two.host.public(), &known).await;
        assert!(matches!(host, Err(SyncError::PairingRefused { .. })), "{host:?}");
        assert!(matches!(guest, Err(SyncError::PairingRefused { .. })), "{guest:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_host_that_is_another_one_is_refused_on_both_sides() {
    let two = Two::new(1);
    let other = DeviceKey::generate(&TestRuntime::new(5)).public();
    let (host, guest) = knock(&two, &two.guest, &other, &[two.guest.public()]).await;
    assert!(matches!(host, Err(SyncError::PairingRefused { .. })), "{host:?}");
    assert!(matches!(guest, Err(SyncError::PairingRefused { .. })), "{guest:?}");
}

/// Keys with which every secret would be the same.
#[tokio::test(start_paused = true)]
async fn a_key_of_small_order_is_refused() {
    let two = Two::new(1);
    let nothing = PairedDevice::from_bytes([0; 32]);
    let (host, guest) = knock(&two, &two.guest, &nothing, &[two.guest.public()]).await;
    assert!(host.is_err() && guest.is_err());
}

#[tokio::test(start_paused = true)]
async fn who_comes_the_other_way_is_told_so() {
    let mut two = Two::new(1);
    let (here, there) = MemoryChannel::pair();
    let host = two.host.public();
    let (on_host, on_guest) = tokio::join!(
        two.pairing.accept(here, &two.host),
        SecureChannel::connect(there, &host, &two.guest, two.runtime.clone()),
    );
    assert!(matches!(on_host, Err(SyncError::Protocol { .. })), "{on_host:?}");
    assert!(matches!(on_guest, Err(SyncError::Remote { .. })), "{on_guest:?}");

    let (here, there) = MemoryChannel::pair();
    let (known, code) = ([two.guest.public()], two.code());
    let (on_host, on_guest) = tokio::join!(
        SecureChannel::accept(here, &known, &two.host, two.runtime.clone()),
        SecureChannel::pair(there, &code, &two.guest, two.runtime.clone()),
    );
    assert!(matches!(on_host, Err(SyncError::Protocol { .. })), "{on_host:?}");
    assert!(matches!(on_guest, Err(SyncError::Remote { .. })), "{on_guest:?}");
}
