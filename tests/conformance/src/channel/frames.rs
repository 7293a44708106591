//! Frames.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use futures_util::future::{Either, join, select};
use storex_sync::{Channel, SyncError};

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
    let borders = [125, 65_535, 128 << 10, 256 << 10, 512 << 10, 1 << 20];
    let around = borders.into_iter().flat_map(|border| border - 1..=border + 1);
    for size in [0, 1].into_iter().chain(around).chain([3 << 20]) {
        let frame: Vec<u8> = (0..size).map(|n| u8::try_from(n % 251).unwrap()).collect();
        let (sent, received) = join(here.send(frame.clone()), there.recv()).await;
        sent.unwrap();
        assert_eq!(received.unwrap(), Some(frame));
    }
}

/// Where pieces of 10,000, 65,536 or 262,144 bytes end, one or the other of these texts has a code point.
pub async fn of_text_are_cut_in_no_code_point(harness: ChannelHarness) {
    let (mut here, mut there) = harness.ends().await;
    for shift in 0..4 {
        let text = "x".repeat(shift) + &"\u{1f600}".repeat(150_000);
        let (sent, received) = join(here.send(text.clone().into_bytes()), there.recv()).await;
        sent.unwrap();
        assert!(String::from_utf8(received.unwrap().unwrap()).unwrap() == text);
    }
}

pub async fn that_are_large_cross(harness: ChannelHarness) {
    let (mut here, mut there) = harness.ends().await;
    let one = async {
        for n in 0..8u8 {
            here.send(vec![n; 3 << 20]).await.unwrap();
            assert!(here.recv().await.unwrap() == Some(vec![n + 100; 3 << 20]));
        }
    };
    let other = async {
        for n in 0..8u8 {
            there.send(vec![n + 100; 3 << 20]).await.unwrap();
            assert!(there.recv().await.unwrap() == Some(vec![n; 3 << 20]));
        }
    };
    join(one, other).await;
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

pub async fn sent_before_being_gone_still_arrive(harness: ChannelHarness) {
    let (mut here, mut there) = harness.ends().await;
    here.send(vec![1]).await.unwrap();
    here.send(vec![2]).await.unwrap();
    drop(here);
    assert_eq!(there.recv().await.unwrap(), Some(vec![1]));
    assert_eq!(there.recv().await.unwrap(), Some(vec![2]));
    for _ in 0..2 {
        assert!(!matches!(there.recv().await, Ok(Some(_))), "and there are no more");
    }
}

pub async fn whose_sender_goes_in_the_middle_do_not_arrive_in_part(harness: ChannelHarness) {
    let (mut here, mut there) = harness.ends().await;
    for n in 0..12 {
        if !sent_at_once(&mut *here, vec![n; 3 << 20]).await {
            break;
        }
    }
    drop(here);
    while let Ok(Some(frame)) = there.recv().await {
        assert_eq!(frame.len(), 3 << 20);
    }
}

/// Whether the frame is sent without waiting; or else it is given up.
async fn sent_at_once(channel: &mut dyn Channel, frame: Vec<u8>) -> bool {
    let mut sending = pin!(channel.send(frame));
    poll_fn(|cx| Poll::Ready(sending.as_mut().poll(cx).map(Result::unwrap).is_ready())).await
}

/// A frame of 1 MiB that no compression makes smaller, with its number in each 16th of it.
fn numbered(number: u8) -> Vec<u8> {
    let mut state = 1u64;
    let mut frame = Vec::with_capacity(1 << 20);
    while frame.len() < 1 << 20 {
        // Xorshift (Marsaglia, 2003).
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        frame.extend(state.to_le_bytes());
    }
    frame.iter_mut().step_by(64 << 10).for_each(|byte| *byte = number);
    frame
}

/// A frame whose sending was given up may have been sent all the same.
pub async fn given_up_are_sent_whole_or_not_at_all(harness: ChannelHarness) {
    let (mut here, mut there) = harness.ends().await;
    let mut expected = Vec::new();
    for n in 0..40 {
        if sent_at_once(&mut *here, numbered(n)).await {
            expected.push(n);
        }
    }
    assert!(expected.len() < 40, "some were given up");
    let finishing = async {
        here.send(numbered(200)).await.unwrap();
        here.close().await.unwrap();
    };
    let receiving = async {
        let mut received = Vec::new();
        while let Some(frame) = there.recv().await.unwrap() {
            assert!(frame == numbered(frame[0]), "a frame is whole, and of one piece");
            received.push(frame[0]);
        }
        received
    };
    let ((), received) = join(finishing, receiving).await;
    assert!(
        received.is_sorted_by(|one, next| one < next),
        "in order, and none twice: {received:?}"
    );
    expected.push(200);
    assert!(expected.iter().all(|n| received.contains(n)), "{expected:?} in {received:?}");
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
    // Of what was given up the rest may have to be written by the next call.
    let (first, next) = (pin!(there.recv()), pin!(here.recv()));
    let Either::Left((first, _)) = select(first, next).await else {
        panic!("nothing was sent here")
    };
    assert_eq!(first.unwrap().map(|frame| frame.len()), Some(64 << 10));
}
