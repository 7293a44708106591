//! What goes through the channel when nobody disturbs it, and how it ends.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use serde_json::json;
use storex_sync::{Channel, InitialSync, SyncError};

use super::support::{Device, assert_in_step};
use super::{channel, rest};

#[tokio::test(start_paused = true)]
async fn an_end_and_a_cut_are_told_apart() {
    let (mut here, mut there) = channel().await;
    here.send(vec![1]).await.unwrap();
    here.close().await.unwrap();
    assert!(matches!(rest(&mut there).await, (frames, None) if frames == [vec![1]]));
    there.send(vec![2]).await.unwrap();
    there.close().await.unwrap();
    assert!(matches!(rest(&mut here).await, (frames, None) if frames == [vec![2]]));

    let (mut here, mut there) = channel().await;
    here.send(vec![1]).await.unwrap();
    drop(here);
    let (frames, error) = rest(&mut there).await;
    assert_eq!(frames, [vec![1]]);
    assert!(matches!(error, Some(SyncError::Closed { .. })), "{error:?}");
    there.close().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_frame_above_the_limit_is_refused_where_it_is_sent_and_where_it_arrives() {
    let (here, there) = channel().await;
    let (mut here, mut there) = (here.limit(100_000), there.limit(99_999));
    let refused = here.send(vec![0; 100_001]).await;
    assert!(
        matches!(refused, Err(SyncError::FrameTooLarge { bytes: 100_001, limit: 100_000 })),
        "{refused:?}"
    );
    here.send(vec![7; 99_999]).await.unwrap();
    assert_eq!(there.recv().await.unwrap(), Some(vec![7; 99_999]), "the channel goes on");
    here.send(vec![7; 100_000]).await.unwrap();
    let refused = there.recv().await;
    assert!(matches!(refused, Err(SyncError::Protocol { .. })), "{refused:?}");
    assert!(there.recv().await.is_err(), "and nothing comes behind it");
    assert!(there.send(vec![1]).await.is_err());
}

/// Sends without anybody who reads, as far as that goes, and gives it up.
async fn give_up_sending(channel: &mut impl Channel, frame: Vec<u8>) {
    let mut sending = pin!(channel.send(frame));
    let sent = poll_fn(|cx| Poll::Ready(sending.as_mut().poll(cx).is_ready()));
    assert!(!sent.await, "nobody reads");
}

#[tokio::test(start_paused = true)]
async fn a_send_that_is_given_up_is_sent_whole_or_not_at_all() {
    let (mut here, mut there) = channel().await;
    // In one message, and in two.
    for size in [1, 100_000] {
        for n in 0..8 {
            here.send(vec![n; size]).await.unwrap();
        }
        give_up_sending(&mut here, vec![8; size]).await;
        give_up_sending(&mut here, vec![9; size]).await;
        assert_eq!(there.recv().await.unwrap(), Some(vec![0; size]));
        here.send(vec![10; size]).await.unwrap();
        for n in [1, 2, 3, 4, 5, 6, 7, 10] {
            assert_eq!(there.recv().await.unwrap(), Some(vec![n; size]));
        }
    }
    // A close can be given up and called again.
    for n in 0..8 {
        here.send(vec![n]).await.unwrap();
    }
    {
        let mut closing = pin!(here.close());
        let closed = poll_fn(|cx| Poll::Ready(closing.as_mut().poll(cx).is_ready()));
        assert!(!closed.await);
    }
    assert!(matches!(here.send(vec![1]).await, Err(SyncError::Closed { .. })));
    let (closed, (frames, error)) = tokio::join!(here.close(), rest(&mut there));
    closed.unwrap();
    assert_eq!(frames.len(), 8);
    assert!(error.is_none(), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_receive_that_is_given_up_loses_nothing() {
    let (mut here, mut there) = channel().await;
    let frame: Vec<u8> = (0..1_000_000u32).map(|n| (n % 251) as u8).collect();
    let sending = async { here.send(frame.clone()).await.unwrap() };
    let receiving = async {
        loop {
            {
                let mut receiving = pin!(there.recv());
                let polled = poll_fn(|cx| Poll::Ready(receiving.as_mut().poll(cx)));
                if let Poll::Ready(received) = polled.await {
                    return received.unwrap().unwrap();
                }
            }
            tokio::task::yield_now().await;
        }
    };
    let ((), received) = tokio::join!(sending, receiving);
    assert_eq!(received, frame);
}

#[tokio::test(start_paused = true)]
async fn an_initial_sync_goes_through_it() {
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    for n in 0..300 {
        a.note(&format!("n{n}"), &"title ".repeat(n)).await;
    }
    a.delete("note", json!({"id": "n7"})).await;
    let (mut here, mut there) = channel().await;
    let sender = InitialSync::open(&a.storage).await.unwrap();
    let receiver = InitialSync::open(&b.storage).await.unwrap();
    let (sent, received) = tokio::join!(sender.send(&mut here), receiver.receive(&mut there));
    assert_eq!((sent.unwrap().total(), received.unwrap().total()), (299, 299));
    assert_in_step(&[&a, &b]).await;
    here.close().await.unwrap();
    assert!(there.recv().await.unwrap().is_none());
    there.close().await.unwrap();
}
