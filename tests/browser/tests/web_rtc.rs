//! [`RtcChannel`] between two peer connections of one page: the suite of all channels, how it is connected, and how it ends.
#![cfg(target_family = "wasm")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::arc_with_non_send_sync, missing_docs)] // these are tests, in one thread

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use storex_conformance::channel::{ChannelHarness, Ends};
use storex_conformance::channel_conformance;
use storex_core::{Runtime, WebRuntime};
use storex_sync::{Channel, MemoryChannel, Result, RtcChannel, RtcConfig, SyncError};
use wasm_bindgen_test::wasm_bindgen_test;

/// So that a busy machine is not what fails a test.
fn patient() -> RtcConfig {
    RtcConfig::new().deadline(Duration::from_secs(60))
}

fn runtime() -> Arc<dyn Runtime> {
    Arc::new(WebRuntime)
}

async fn connected() -> (RtcChannel, RtcChannel) {
    let (mut here, mut there) = MemoryChannel::pair();
    let (config, other) = (patient(), patient());
    let (here, there) = tokio::join!(
        RtcChannel::offer(&mut here, &config, runtime()),
        RtcChannel::answer(&mut there, &other, runtime())
    );
    (here.unwrap(), there.unwrap())
}

fn web_rtc() -> ChannelHarness {
    ChannelHarness::new(|| {
        Box::pin(async {
            let (here, there) = connected().await;
            let ends: Ends = (Box::new(here), Box::new(there));
            ends
        })
    })
}

channel_conformance!(web_rtc);

/// Signalling that loses what matters: no end learns where the other is.
#[derive(Debug)]
struct WithoutAddresses(MemoryChannel);

#[async_trait(?Send)]
impl Channel for WithoutAddresses {
    async fn send(&mut self, frame: Vec<u8>) -> Result<()> {
        if frame[1] == 2 { Ok(()) } else { self.0.send(frame).await }
    }

    async fn recv(&mut self) -> Result<Option<Vec<u8>>> {
        self.0.recv().await
    }

    async fn close(&mut self) -> Result<()> {
        self.0.close().await
    }
}

/// Both ends can go on over the channel.
async fn is_as_before(here: &mut dyn Channel, there: &mut dyn Channel) {
    here.send(b"from here".to_vec()).await.unwrap();
    there.send(b"from there".to_vec()).await.unwrap();
    assert_eq!(there.recv().await.unwrap(), Some(b"from here".to_vec()));
    assert_eq!(here.recv().await.unwrap(), Some(b"from there".to_vec()));
}

#[wasm_bindgen_test]
async fn where_there_is_no_way_both_learn_it_and_go_on_over_the_signalling() {
    let (here, there) = MemoryChannel::pair();
    let (mut here, mut there) = (WithoutAddresses(here), WithoutAddresses(there));
    // However unequal their patience is.
    let quick = RtcConfig::new().deadline(Duration::from_millis(300));
    let slow = RtcConfig::new().deadline(Duration::from_secs(60));
    let (one, other) = tokio::join!(
        RtcChannel::offer(&mut here, &quick, runtime()),
        RtcChannel::answer(&mut there, &slow, runtime())
    );
    for error in [one.unwrap_err(), other.unwrap_err()] {
        assert!(matches!(error, SyncError::NotDirect { .. }), "{error}");
        assert!(error.to_string().contains("0.3 s"), "{error}");
    }
    is_as_before(&mut here.0, &mut there.0).await;
}

#[wasm_bindgen_test]
async fn connected_the_signalling_is_left_as_it_was() {
    let (mut here, mut there) = MemoryChannel::pair();
    let (config, other) = (patient(), patient());
    let (one, two) = tokio::join!(
        RtcChannel::offer(&mut here, &config, runtime()),
        RtcChannel::answer(&mut there, &other, runtime())
    );
    is_as_before(&mut one.unwrap(), &mut two.unwrap()).await;
    is_as_before(&mut here, &mut there).await;
}

#[wasm_bindgen_test]
async fn an_end_that_gives_up_is_believed() {
    let (mut here, mut there) = MemoryChannel::pair();
    there.send(b"\x01\x04there is no RTCPeerConnection here".to_vec()).await.unwrap();
    let error = RtcChannel::answer(&mut here, &patient(), runtime()).await.unwrap_err();
    assert!(matches!(&error, SyncError::NotDirect { .. }), "{error}");
    assert!(error.to_string().contains("no RTCPeerConnection"), "{error}");
}

#[wasm_bindgen_test]
async fn an_offer_that_browsers_do_not_understand_is_no_way() {
    let (mut here, mut there) = MemoryChannel::pair();
    there.send(b"\x01\x00rubbish".to_vec()).await.unwrap();
    there.send(b"\x01\x04because".to_vec()).await.unwrap();
    let error = RtcChannel::answer(&mut here, &patient(), runtime()).await.unwrap_err();
    assert!(matches!(&error, SyncError::NotDirect { .. }), "{error}");
    assert_eq!(there.recv().await.unwrap().unwrap()[..2], [1, 4]);
}

#[wasm_bindgen_test]
async fn what_is_no_signal_is_an_error_that_names_it() {
    for (frame, named) in [
        (&b"\x02\x00"[..], "version 2"),
        (b"\x01\x09", "kind 9"),
        (b"", "empty"),
        (b"\x01\x01x", "both ends answer"),
    ] {
        let (mut here, mut there) = MemoryChannel::pair();
        there.send(frame.to_vec()).await.unwrap();
        let error = RtcChannel::answer(&mut here, &patient(), runtime()).await.unwrap_err();
        assert!(matches!(&error, SyncError::Protocol { .. }), "{error}");
        assert!(error.to_string().contains(named), "{error}");
    }
}

#[wasm_bindgen_test]
async fn a_side_that_says_nothing_is_not_waited_for_without_end() {
    let (mut here, _there) = MemoryChannel::pair();
    let config = RtcConfig::new().deadline(Duration::from_millis(100));
    let error = RtcChannel::offer(&mut here, &config, runtime()).await.unwrap_err();
    assert!(matches!(error, SyncError::Timeout { .. }), "{error}");
}

#[wasm_bindgen_test]
async fn a_side_that_is_gone_is_told() {
    let (mut here, there) = MemoryChannel::pair();
    drop(there);
    let error = RtcChannel::answer(&mut here, &patient(), runtime()).await.unwrap_err();
    assert!(matches!(error, SyncError::Closed { .. }), "{error}");
}

#[wasm_bindgen_test]
async fn a_frame_as_large_as_the_limit_arrives_and_a_larger_one_is_not_sent() {
    let (mut here, mut there) = connected().await;
    let limit = 64 << 20;
    let error = here.send(vec![1; limit + 1]).await.unwrap_err();
    assert!(matches!(error, SyncError::FrameTooLarge { .. }), "{error}");
    let (sent, received) = tokio::join!(here.send(vec![7; limit]), there.recv());
    sent.unwrap();
    let received = received.unwrap().unwrap();
    assert!(received.len() == limit && received.iter().all(|byte| *byte == 7));
}

#[wasm_bindgen_test]
async fn a_connection_that_ends_without_a_word_was_cut() {
    let (mut here, mut there) = connected().await;
    for n in 0..3 {
        here.send(vec![n; 100_000]).await.unwrap();
    }
    drop(here);
    for n in 0..3 {
        assert_eq!(there.recv().await.unwrap(), Some(vec![n; 100_000]));
    }
    for _ in 0..2 {
        let error = there.recv().await.unwrap_err();
        assert!(matches!(error, SyncError::Transport { .. }), "{error}");
    }
    assert!(matches!(there.send(vec![1]).await, Err(SyncError::Closed { .. })));
}

#[wasm_bindgen_test]
async fn a_side_that_closes_after_the_other_has_closed_and_gone_has_closed_in_order() {
    let (mut here, mut there) = connected().await;
    here.send(vec![1]).await.unwrap();
    here.close().await.unwrap();
    drop(here);
    assert_eq!(there.recv().await.unwrap(), Some(vec![1]));
    // The browser tells of the end.
    WebRuntime.sleep(Duration::from_millis(500)).await;
    there.close().await.unwrap();
    assert_eq!(there.recv().await.unwrap(), None);
}

#[wasm_bindgen_test]
async fn a_side_that_closed_still_receives() {
    let (mut here, mut there) = connected().await;
    here.close().await.unwrap();
    assert_eq!(there.recv().await.unwrap(), None);
    for n in 0..100 {
        there.send(vec![n]).await.unwrap();
        assert_eq!(here.recv().await.unwrap(), Some(vec![n]));
    }
    there.close().await.unwrap();
    assert_eq!(here.recv().await.unwrap(), None);
}

/// Keeps the peer connections that are made from now on.
const KEEP: &str = "
    const real = RTCPeerConnection;
    globalThis.RTCPeerConnection = function (...args) {
        const made = new real(...args);
        (globalThis.kept ??= []).push(made);
        return made;
    };
    RTCPeerConnection.prototype = real.prototype;
    globalThis.keepNoMore = () => { globalThis.RTCPeerConnection = real; };
";

/// How many were kept, if all of them are closed and nobody listens to them.
const CLOSED: &str = "
    const rests = it => it.connectionState === 'closed' && !it.onicecandidate && !it.onconnectionstatechange;
    return kept.every(rests) ? kept.length : 0;
";

fn javascript(code: &str) -> wasm_bindgen::JsValue {
    js_sys::Function::new_no_args(code).call0(&wasm_bindgen::JsValue::UNDEFINED).unwrap()
}

#[wasm_bindgen_test]
async fn what_is_dropped_is_closed_and_listens_no_more() {
    javascript(KEEP);
    let (mut here, mut there) = connected().await;
    is_as_before(&mut here, &mut there).await;
    drop((here, there));
    let (mut end, _other) = MemoryChannel::pair();
    let config = patient();
    {
        let mut offer = Box::pin(RtcChannel::offer(&mut end, &config, runtime()));
        let polled =
            std::future::poll_fn(|cx| std::task::Poll::Ready(offer.as_mut().poll(cx).is_ready()));
        assert!(!polled.await, "it is given up in the middle");
    }
    let (mut end, mut other) = MemoryChannel::pair();
    other.send(b"\x01\x04because".to_vec()).await.unwrap();
    RtcChannel::offer(&mut end, &config, runtime()).await.unwrap_err();
    for _ in 0..500 {
        if javascript(CLOSED) == 4 {
            javascript("keepNoMore()");
            return;
        }
        WebRuntime.sleep(Duration::from_millis(20)).await;
    }
    panic!("not closed after 10 s");
}
