//! [`RtcChannel`] where the browser has no WebRTC: in a worker, and in a page where it is switched off.
#![cfg(target_family = "wasm")]
#![allow(clippy::unwrap_used, clippy::arc_with_non_send_sync, missing_docs)] // these are tests, in one thread

use std::sync::Arc;
use std::time::Duration;

use storex_core::WebRuntime;
use storex_sync::{Channel, MemoryChannel, RtcChannel, RtcConfig, SyncError};
use wasm_bindgen_test::wasm_bindgen_test;

#[wasm_bindgen_test]
async fn a_context_without_it_says_so_and_the_other_end_learns_it() {
    // A worker has none anyway.
    js_sys::Reflect::delete_property(&js_sys::global(), &"RTCPeerConnection".into()).unwrap();
    let (mut here, mut there) = MemoryChannel::pair();
    // Long before the deadline.
    let config = RtcConfig::new().deadline(Duration::from_secs(3600));
    let (one, other) = tokio::join!(
        RtcChannel::offer(&mut here, &config, Arc::new(WebRuntime)),
        RtcChannel::answer(&mut there, &config, Arc::new(WebRuntime))
    );
    for error in [one.unwrap_err(), other.unwrap_err()] {
        assert!(matches!(error, SyncError::NotDirect { .. }), "{error}");
        assert!(error.to_string().contains("not in workers"), "{error}");
    }
    here.send(vec![7]).await.unwrap();
    assert_eq!(there.recv().await.unwrap(), Some(vec![7]));
}
