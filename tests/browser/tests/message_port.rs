//! [`MessagePortChannel`] over a real `MessageChannel`: the suite of all channels, and what is special about ports.
#![cfg(target_family = "wasm")]
#![allow(clippy::unwrap_used, missing_docs)] // these are tests

use std::time::Duration;

use storex_conformance::channel::{ChannelHarness, Ends};
use storex_conformance::channel_conformance;
use storex_core::{Runtime, WebRuntime};
use storex_sync::{Channel, MessagePortChannel, SyncError};
use wasm_bindgen_test::wasm_bindgen_test;
use web_sys::{MessageChannel, MessagePort};

fn ports() -> (MessagePort, MessagePort) {
    let channel = MessageChannel::new().unwrap();
    (channel.port1(), channel.port2())
}

fn message_port() -> ChannelHarness {
    ChannelHarness::new(|| {
        Box::pin(async {
            let (here, there) = ports();
            let ends: Ends =
                (Box::new(MessagePortChannel::new(here)), Box::new(MessagePortChannel::new(there)));
            ends
        })
    })
}

channel_conformance!(message_port);

/// Lets the browser deliver what was posted.
async fn deliver() {
    WebRuntime.sleep(Duration::from_millis(20)).await;
}

#[wasm_bindgen_test]
async fn rubbish_is_an_error_that_names_it() {
    for (rubbish, named) in [
        ("hello".into(), "string"),
        (7.into(), "number"),
        (js_sys::Object::new().into(), "object"),
        (js_sys::Uint8Array::new_with_length(3).into(), "object"),
        (wasm_bindgen::JsValue::NULL, "object"),
    ] {
        let (here, there) = ports();
        let mut channel = MessagePortChannel::new(here);
        there.post_message(&rubbish).unwrap();
        for error in [channel.recv().await.unwrap_err(), channel.send(vec![1]).await.unwrap_err()] {
            assert!(matches!(&error, SyncError::Protocol { .. }), "{error}");
            assert!(error.to_string().contains(named), "{error}");
        }
    }
}

#[wasm_bindgen_test]
async fn what_arrived_before_rubbish_is_not_lost() {
    let (here, there) = ports();
    let mut channel = MessagePortChannel::new(here);
    there.post_message(&js_sys::ArrayBuffer::new(3)).unwrap();
    there.post_message(&"hello".into()).unwrap();
    deliver().await;
    assert_eq!(channel.recv().await.unwrap(), Some(vec![0; 3]));
    assert!(matches!(channel.recv().await, Err(SyncError::Protocol { .. })));
}

#[wasm_bindgen_test]
async fn a_sender_that_does_not_wait_is_an_error() {
    let (here, there) = ports();
    let mut channel = MessagePortChannel::new(here);
    for _ in 0..100 {
        there.post_message(&js_sys::ArrayBuffer::new(1)).unwrap();
    }
    deliver().await;
    let mut taken = 0;
    let error = loop {
        match channel.recv().await {
            Ok(frame) => taken += frame.unwrap().len(),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, SyncError::Protocol { .. }), "{error}");
    assert_eq!(taken, 8);
}

#[wasm_bindgen_test]
async fn a_receiver_that_takes_what_was_not_sent_is_an_error() {
    let (here, there) = ports();
    let mut channel = MessagePortChannel::new(here);
    there.post_message(&"storex:taken".into()).unwrap();
    assert!(matches!(channel.recv().await, Err(SyncError::Protocol { .. })));
}

#[wasm_bindgen_test]
async fn frames_that_were_sent_before_the_other_end_was_there_arrive() {
    let (here, there) = ports();
    let mut here = MessagePortChannel::new(here);
    here.send(vec![1]).await.unwrap();
    here.send(vec![2]).await.unwrap();
    deliver().await;
    let mut there = MessagePortChannel::new(there);
    assert_eq!(there.recv().await.unwrap(), Some(vec![1]));
    assert_eq!(there.recv().await.unwrap(), Some(vec![2]));
}

#[wasm_bindgen_test]
async fn what_was_sent_before_it_was_dropped_arrives() {
    let (here, there) = ports();
    let mut here = MessagePortChannel::new(here);
    let mut there = MessagePortChannel::new(there);
    for n in 0..3 {
        here.send(vec![n; 1 << 20]).await.unwrap();
    }
    drop(here);
    for n in 0..3 {
        assert_eq!(there.recv().await.unwrap(), Some(vec![n; 1 << 20]));
    }
    assert_eq!(there.recv().await.unwrap(), None);
    assert!(matches!(there.send(vec![1]).await, Err(SyncError::Closed { .. })));
}

#[wasm_bindgen_test]
async fn a_side_that_closed_still_receives() {
    let (here, there) = ports();
    let mut here = MessagePortChannel::new(here);
    let mut there = MessagePortChannel::new(there);
    here.close().await.unwrap();
    assert_eq!(there.recv().await.unwrap(), None);
    for n in 0..100 {
        there.send(vec![n]).await.unwrap();
        assert_eq!(here.recv().await.unwrap(), Some(vec![n]));
    }
}

#[wasm_bindgen_test]
async fn a_send_given_up_sends_nothing() {
    let (here, there) = ports();
    let mut here = MessagePortChannel::new(here);
    let mut there = MessagePortChannel::new(there);
    for n in 0..8 {
        here.send(vec![n]).await.unwrap();
    }
    {
        let mut ninth = here.send(vec![8]);
        let sent =
            std::future::poll_fn(|cx| std::task::Poll::Ready(ninth.as_mut().poll(cx).is_ready()));
        assert!(!sent.await);
    }
    for n in 0..8 {
        assert_eq!(there.recv().await.unwrap(), Some(vec![n]));
    }
    here.send(vec![9]).await.unwrap();
    assert_eq!(there.recv().await.unwrap(), Some(vec![9]));
}
