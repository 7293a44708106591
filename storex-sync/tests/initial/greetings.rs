//! What the two sides agree upon, or do not.

use std::sync::Arc;

use storex_sync::{Channel, MemoryChannel, SyncError};

use super::lines::Tampered;
use super::support::{Device, dump_all};
use super::told::{both_ways, one_way, opened, two};

/// Both want to send, or to receive, or do not mean the same.
#[tokio::test(start_paused = true)]
async fn both_sides_sending_or_receiving_fail_and_say_so() {
    let (a, b) = two().await;
    let before = (dump_all(&a).await, dump_all(&b).await);
    let (one, other) = (opened(&a).await, opened(&b).await);
    let (mut here, mut there) = MemoryChannel::pair();
    let (x, y) = tokio::join!(one.send(&mut here), other.send(&mut there));
    let (mut here, mut there) = MemoryChannel::pair();
    let (v, w) = tokio::join!(one.receive(&mut here), other.receive(&mut there));
    let cases = [(x, "both sides want to send"), (y, "both sides want to send")];
    let cases = cases
        .into_iter()
        .chain([(v, "both sides want to receive"), (w, "both sides want to receive")]);
    for (result, reason) in cases {
        let error = result.unwrap_err();
        assert!(matches!(error, SyncError::Protocol { .. }), "{error:?}");
        assert!(error.to_string().contains(reason), "{error}");
    }
    let (mut here, mut there) = MemoryChannel::pair();
    let (x, y) = tokio::join!(one.both_ways(&mut here), other.receive(&mut there));
    for error in [x.map(drop).unwrap_err(), y.map(drop).unwrap_err()] {
        assert!(error.to_string().contains("both ways"), "{error}");
    }
    // With itself.
    let (x, y) = both_ways(&one, &one, MemoryChannel::pair()).await;
    for error in [x.unwrap_err(), y.unwrap_err()] {
        assert!(error.to_string().contains("same device"), "{error}");
    }
    assert_eq!((dump_all(&a).await, dump_all(&b).await), before);
}

/// The first byte of a greeting's versions is the third of the frame.
#[tokio::test(start_paused = true)]
async fn programs_without_a_common_version_say_which_one_is_older() {
    let (a, b) = two().await;
    let newer = |n, mut frame: Vec<u8>| {
        if n == 0 {
            frame[2] = 2;
            frame[3] = 3;
        }
        Some(frame)
    };
    let sender = opened(&a).await;
    let (sent, received) = one_way(&sender, &opened(&b).await, Tampered::pair(newer)).await;
    let received = received.unwrap_err();
    assert!(matches!(received, SyncError::Protocol { .. }), "{received:?}");
    let text = received.to_string();
    assert!(text.contains("2 to 3") && text.contains("this program is older"), "{text}");
    // It was told; by itself it would have said the same the other way round.
    let sent = sent.unwrap_err().to_string();
    assert!(sent.contains("older"), "{sent}");
    // A program of before there were greetings.
    let (mut here, mut there) = MemoryChannel::pair();
    here.send(hello_of(&a).await).await.unwrap();
    let error = opened(&b).await.receive(&mut there).await.unwrap_err();
    assert!(error.to_string().contains("older"), "{error}");
}

/// The hello of a device.
async fn hello_of(device: &Device) -> Vec<u8> {
    let hello = Arc::new(std::sync::Mutex::new(Vec::new()));
    let kept = Arc::clone(&hello);
    let ends = Tampered::pair(move |n, frame| {
        if n == 2 {
            kept.lock().unwrap().clone_from(&frame);
        }
        Some(frame)
    });
    let to = Device::new(9).await;
    let (sent, _) = one_way(&opened(device).await, &opened(&to).await, ends).await;
    sent.unwrap();
    let hello = hello.lock().unwrap().clone();
    assert_eq!(hello[1], 0, "a hello");
    hello
}
