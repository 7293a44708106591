//! Who is let in by a code, how often it may be tried, and for how long.

use storex_core::ErrorKind;
use storex_memory::TestRuntime;
use storex_sync::{Channel, MemoryChannel, SecureChannel, SyncError};

use super::{Two, another_code};

fn is_refused<T>(result: &Result<T, SyncError>) -> bool {
    matches!(result, Err(error @ SyncError::PairingRefused { .. })
        if error.kind() == ErrorKind::Other && !error.is_retryable())
}

fn is_spent<T>(result: &Result<T, SyncError>) -> bool {
    matches!(result, Err(SyncError::PairingCodeSpent { .. }))
}

#[tokio::test(start_paused = true)]
async fn with_the_code_both_are_in_and_know_each_other() {
    let mut two = Two::new(1);
    let (mut host, mut guest) = two.paired().await;
    assert_eq!(host.peer(), two.guest.public());
    assert_eq!(guest.peer(), two.host.public());
    host.send(b"from the host".to_vec()).await.unwrap();
    guest.send(b"from the guest".to_vec()).await.unwrap();
    assert_eq!(guest.recv().await.unwrap().unwrap(), b"from the host");
    assert_eq!(host.recv().await.unwrap().unwrap(), b"from the guest");
}

#[tokio::test(start_paused = true)]
async fn a_wrong_code_is_refused_on_both_sides_and_the_right_one_is_still_good() {
    let mut two = Two::new(1);
    let (host, guest) = two.pair(&another_code()).await;
    assert!(is_refused(&host) && is_refused(&guest), "{host:?} {guest:?}");
    two.paired().await;
}

#[tokio::test(start_paused = true)]
async fn after_three_attempts_the_code_is_spent_even_for_who_has_it() {
    let mut two = Two::new(1);
    for _ in 0..3 {
        let (host, guest) = two.pair(&another_code()).await;
        assert!(is_refused(&host) && is_refused(&guest), "{host:?} {guest:?}");
    }
    let (host, guest) = two.pair(&two.code()).await;
    assert!(is_spent(&host) && is_spent(&guest), "{host:?} {guest:?}");
}

#[tokio::test(start_paused = true)]
async fn a_code_lets_one_device_in() {
    let mut two = Two::new(1);
    two.paired().await;
    let (host, guest) = two.pair(&two.code()).await;
    assert!(is_spent(&host) && is_spent(&guest), "{host:?} {guest:?}");
}

#[tokio::test(start_paused = true)]
async fn a_code_is_good_for_five_minutes() {
    for (passed, good) in [(299_999, true), (300_000, false), (-1, false)] {
        let mut two = Two::new(1);
        two.runtime.advance(passed);
        let (host, guest) = two.pair(&two.code()).await;
        assert_eq!((host.is_ok(), guest.is_ok()), (good, good), "after {passed} ms");
        assert_eq!((is_spent(&host), is_spent(&guest)), (!good, !good));
    }
}

#[tokio::test(start_paused = true)]
async fn attempts_and_time_can_be_chosen() {
    let runtime = std::sync::Arc::new(TestRuntime::new(1));
    let mut two = Two::new(1);
    let minute = std::time::Duration::from_secs(60);
    two.pairing = storex_sync::Pairing::new(runtime.clone()).attempts(1).lasts(minute);
    two.runtime = runtime.clone();
    let (host, _) = two.pair(&another_code()).await;
    assert!(is_refused(&host));
    let (host, _) = two.pair(&two.code()).await;
    assert!(is_spent(&host));

    two.pairing = storex_sync::Pairing::new(runtime.clone()).lasts(minute);
    runtime.advance(60_000);
    let (host, _) = two.pair(&two.code()).await;
    assert!(is_spent(&host));
}

/// The time is looked at again when the guest shows what it has.
#[tokio::test(start_paused = true)]
async fn a_code_that_ends_while_a_guest_is_let_in_is_spent() {
    let mut two = Two::new(1);
    two.runtime.advance(295_000);
    let (here, mut relay_host) = MemoryChannel::pair();
    let (mut relay_guest, there) = MemoryChannel::pair();
    let (code, runtime) = (two.code(), two.runtime.clone());
    let slow_line = async {
        relay_host.send(relay_guest.recv().await.unwrap().unwrap()).await.unwrap();
        relay_guest.send(relay_host.recv().await.unwrap().unwrap()).await.unwrap();
        runtime.advance(5_000);
        relay_host.send(relay_guest.recv().await.unwrap().unwrap()).await.unwrap();
        relay_guest.send(relay_host.recv().await.unwrap().unwrap()).await.unwrap();
    };
    let guest = SecureChannel::pair(there, &code, &two.guest, runtime.clone());
    let (host, guest, ()) = tokio::join!(two.pairing.accept(here, &two.host), guest, slow_line);
    assert!(is_spent(&host) && is_spent(&guest), "{host:?} {guest:?}");
}

/// Who leaves before it was told anything has learnt nothing, and costs no attempt.
#[tokio::test(start_paused = true)]
async fn a_connection_that_ends_early_is_no_attempt() {
    let mut two = Two::new(1);
    for _ in 0..10 {
        let (here, there) = MemoryChannel::pair();
        drop(there);
        let host = two.pairing.accept(here, &two.host).await;
        assert!(matches!(host, Err(SyncError::Closed { .. })), "{host:?}");
    }
    two.paired().await;
}

/// Anybody can say that a code is wrong or spent. Of the host's own code only the host knows.
#[tokio::test(start_paused = true)]
async fn a_refusal_by_a_stranger_is_neither_an_attempt_nor_the_end_of_the_code() {
    let mut two = Two::new(1);
    for why in 0..=255 {
        let (here, mut there) = MemoryChannel::pair();
        there.send(vec![0, why]).await.unwrap();
        let host = two.pairing.accept(here, &two.host).await;
        assert!(matches!(host, Err(SyncError::Remote { .. })), "{host:?}");
        let (here, mut there) = MemoryChannel::pair();
        there.send(vec![0, why]).await.unwrap();
        let known = [two.guest.public()];
        let host = SecureChannel::accept(here, &known, &two.host, two.runtime.clone()).await;
        assert!(matches!(host, Err(SyncError::Remote { .. })), "{host:?}");
    }
    assert_eq!(two.pairing.attempts_left(), 3);
    two.pairing.still_valid().unwrap();
    two.paired().await;
}

#[tokio::test(start_paused = true)]
async fn a_host_can_ask_what_its_code_is_still_good_for() {
    let mut two = Two::new(1);
    for left in [2, 1, 0] {
        two.pairing.still_valid().unwrap();
        assert!(two.pair(&another_code()).await.0.is_err());
        assert_eq!(two.pairing.attempts_left(), left);
    }
    assert!(is_spent(&two.pairing.still_valid()));
    let mut two = Two::new(1);
    two.paired().await;
    assert!(is_spent(&two.pairing.still_valid()));
    let two = Two::new(1);
    two.runtime.advance(300_000);
    assert!(is_spent(&two.pairing.still_valid()));
}

/// Whoever has shown what it made of its code has used an attempt, also if it does not wait for the answer.
#[tokio::test(start_paused = true)]
async fn an_attempt_that_is_broken_off_counts() {
    let mut two = Two::new(1);
    for _ in 0..3 {
        let (here, mut relay_host) = MemoryChannel::pair();
        let (mut relay_guest, there) = MemoryChannel::pair();
        let code = another_code();
        let line = async {
            relay_host.send(relay_guest.recv().await.unwrap().unwrap()).await.unwrap();
            relay_guest.send(relay_host.recv().await.unwrap().unwrap()).await.unwrap();
            relay_host.send(relay_guest.recv().await.unwrap().unwrap()).await.unwrap();
            drop((relay_host, relay_guest));
        };
        let guest = SecureChannel::pair(there, &code, &two.guest, two.runtime.clone());
        let (host, guest, ()) = tokio::join!(two.pairing.accept(here, &two.host), guest, line);
        assert!(host.is_err() && guest.is_err());
    }
    let (host, _) = two.pair(&two.code()).await;
    assert!(is_spent(&host), "{host:?}");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_says_nothing_is_given_up_after_ten_seconds() {
    let mut two = Two::new(1);
    let begun = tokio::time::Instant::now();
    let (here, _silent) = MemoryChannel::pair();
    let host = two.pairing.accept(here, &two.host).await;
    assert!(matches!(host, Err(SyncError::Timeout { .. })), "{host:?}");
    let (_silent, there) = MemoryChannel::pair();
    let guest = SecureChannel::pair(there, &two.code(), &two.guest, two.runtime.clone()).await;
    assert!(matches!(guest, Err(SyncError::Timeout { .. })), "{guest:?}");
    assert_eq!(begun.elapsed().as_secs(), 20);
    two.paired().await;
}

/// A host that drops the future goes on with the next one.
#[tokio::test(start_paused = true)]
async fn an_accept_that_is_dropped_ends_that_attempt_only() {
    let mut two = Two::new(1);
    let (here, mut there) = MemoryChannel::pair();
    let second = std::time::Duration::from_secs(1);
    let accepting = tokio::time::timeout(second, two.pairing.accept(here, &two.host)).await;
    assert!(accepting.is_err());
    assert!(there.recv().await.unwrap().is_none(), "its channel is gone");
    two.paired().await;
}
