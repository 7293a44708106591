//! Bytes that are nothing.

use proptest::collection::vec;
use proptest::prelude::*;
use storex_sync::{Channel, MemoryChannel, SecureChannel, SyncError};

use super::{Two, run};

/// Frames that begin like real ones go further in.
fn frame() -> impl Strategy<Value = Vec<u8>> {
    let body = vec(any::<u8>(), 0..120);
    prop_oneof![
        body.clone(),
        body.clone().prop_map(|body| [b"storex-pairing\x01\x01A".to_vec(), body].concat()),
        (0..2u8, body.clone())
            .prop_map(|(by, it)| [b"storex-pairing\x01", &[by][..], &it].concat()),
        (0..4u8, body.clone()).prop_map(|(tag, body)| [&[tag][..], &body].concat()),
        (0..4u8, vec(any::<u8>(), 32)).prop_map(|(tag, point)| [&[tag, b'B'][..], &point].concat()),
        (0..3u64, body).prop_map(|(number, body)| [&number.to_be_bytes()[..], &body].concat()),
        Just(vec![0; 70_000]),
    ]
}

/// A channel on which these have arrived, and its other end, which says nothing more.
async fn filled(frames: &[Vec<u8>]) -> (MemoryChannel, MemoryChannel) {
    let (here, mut there) = MemoryChannel::pair();
    for frame in frames {
        there.send(frame.clone()).await.unwrap();
    }
    (here, there)
}

proptest! {
    #[test]
    fn nobody_is_let_in_by_rubbish(frames in vec(frame(), 0..7)) {
        run(async {
            let mut two = Two::new(1);
            let shared = two.runtime.clone();
            let runtime = || shared.clone();
            let (code, host) = (two.code(), two.host.public());
            let (here, _there) = filled(&frames).await;
            assert!(SecureChannel::pair(here, &code, &two.guest, runtime()).await.is_err());
            let (here, _there) = filled(&frames).await;
            assert!(SecureChannel::connect(here, &host, &two.guest, runtime()).await.is_err());
            let (here, _there) = filled(&frames).await;
            let known = [two.guest.public()];
            assert!(SecureChannel::accept(here, &known, &two.host, runtime()).await.is_err());
            let (here, _there) = filled(&frames).await;
            assert!(two.pairing.accept(here, &two.host).await.is_err());
        });
    }

    #[test]
    fn rubbish_between_two_that_are_paired_is_no_frame(frame in frame()) {
        run(async {
            let mut two = Two::new(1);
            let (here, mut line) = MemoryChannel::pair();
            let (mut back, there) = MemoryChannel::pair();
            let (code, runtime) = (two.code(), two.runtime.clone());
            let carrying = async {
                for _ in 0..3 {
                    line.send(back.recv().await.unwrap().unwrap()).await.unwrap();
                    back.send(line.recv().await.unwrap().unwrap()).await.unwrap();
                }
            };
            let guest = SecureChannel::pair(there, &code, &two.guest, runtime);
            let (host, guest, ()) = tokio::join!(two.pairing.accept(here, &two.host), guest, carrying);
            for (channel, line) in [(host, &mut line), (guest, &mut back)] {
                line.send(frame.clone()).await.unwrap();
                let received = channel.unwrap().recv().await;
                assert!(matches!(received, Err(SyncError::Protocol { .. })), "{received:?}");
            }
        });
    }
}
