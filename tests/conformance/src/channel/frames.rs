//! Frames.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use futures_util::future::join;
use storex_sync::SyncError;

use super::ChannelHarness;

pub async fn arrive_in_order_and_whole(harness: ChannelHarness) {
    let (mut here, mut there) = harness.ends().await;
    let sending = async {
        for n in 0..500u32 {
            here.send(n.to_be_bytes().to_vec()).await.unwrap();
        }
    };
    let receiving = async {
        for n in 0..500u32 {
            assert_eq!(there.recv().await.unwrap(), Some(n.to_be_bytes().to_vec()));
        }
    };
    join(sending, receiving).await;
}

pub async fn both_ways_at_once(harness: ChannelHarness) {
    let (mut here, mut there) = harness.ends().await;
    for n in 0..50u8 {
        here.send(vec![n]).await.unwrap();
        there.send(vec![n, n]).await.unwrap();
        assert_eq!(there.recv().await.unwrap(), Some(vec![n]));
        assert_eq!(here.recv().await.unwrap(), Some(vec![n, n]));
    }
}

pub async fn of_every_size(harness: ChannelHarness) {
    let (mut here, mut there) = harness.ends().await;
    for size in [0, 1, 125, 126, 65_535, 65_536, 3 << 20] {
        let frame: Vec<u8> = (0..size).map(|n| u8::try_from(n % 251).unwrap()).collect();
        let (sent, received) = join(here.send(frame.clone()), there.recv()).await;
        sent.unwrap();
        assert_eq!(received.unwrap(), Some(frame));
    }
}

pub async fn sent_before_closing_still_arrive(harness: ChannelHarness) {
    let (mut here, mut there) = harness.ends().await;
    here.send(vec![1]).await.unwrap();
    here.send(vec![2]).await.unwrap();
    here.close().await.unwrap();
    assert_eq!(there.recv().await.unwrap(), Some(vec![1]));
    assert_eq!(there.recv().await.unwrap(), Some(vec![2]));
    assert_eq!(there.recv().await.unwrap(), None);
    assert_eq!(there.recv().await.unwrap(), None, "and it stays closed");
}

pub async fn after_closing_there_are_none(harness: ChannelHarness) {
    let (mut here, _there) = harness.ends().await;
    here.close().await.unwrap();
    here.close().await.unwrap();
    assert!(matches!(here.send(vec![1]).await, Err(SyncError::Closed { .. })));
}

pub async fn the_other_side_gone_is_told(harness: ChannelHarness) {
    let (mut here, there) = harness.ends().await;
    drop(there);
    assert!(!matches!(here.recv().await, Ok(Some(_))));
    let mut refused = false;
    for _ in 0..1000 {
        refused |= here.send(vec![0; 1024]).await.is_err();
        if refused {
            break;
        }
    }
    assert!(refused, "sending to nobody does not go on for ever");
}

pub async fn a_receive_given_up_loses_nothing(harness: ChannelHarness) {
    let (mut here, mut there) = harness.ends().await;
    {
        let mut receiving = pin!(there.recv());
        let polled = poll_fn(|cx| Poll::Ready(receiving.as_mut().poll(cx).is_ready())).await;
        assert!(!polled, "nothing was sent yet");
    }
    here.send(vec![7]).await.unwrap();
    assert_eq!(there.recv().await.unwrap(), Some(vec![7]));
}

pub async fn a_slow_reader_holds_the_writer(harness: ChannelHarness) {
    let (mut here, mut there) = harness.ends().await;
    let frames = 4096;
    let mut sent = 0;
    {
        let mut sending = pin!(async {
            for _ in 0..frames {
                here.send(vec![0; 64 << 10]).await.unwrap();
                sent += 1;
            }
        });
        let done = poll_fn(|cx| Poll::Ready(sending.as_mut().poll(cx).is_ready())).await;
        assert!(!done, "256 MiB that nobody reads are not taken in");
    }
    assert!(sent < frames);
    let first = there.recv().await.unwrap();
    assert_eq!(first.map(|frame| frame.len()), Some(64 << 10));
}
