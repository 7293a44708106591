//! [`RemoteSync`] over a real `MessageChannel`, as between a page and its worker.
#![cfg(target_family = "wasm")]
#![allow(clippy::unwrap_used, clippy::arc_with_non_send_sync)] // these are tests, in one thread
#![allow(missing_docs)]

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use serde_json::json;
use storex_core::{Definition, FieldType, Registry, Storage, WebRuntime};
use storex_memory::MemoryBackend;
use storex_sync::{
    ContinuousSync, LogId, MemorySharedLog, MessagePortChannel, Phase, RemoteSync, Sync, SyncError,
    SyncHandle, SyncHost, SyncLog,
};
use wasm_bindgen_test::wasm_bindgen_test;
use web_sys::MessageChannel;

async fn device() -> Storage {
    let note = Definition::new("note").field("title", FieldType::String);
    let registry = Registry::builder().collection(note).build().unwrap();
    let builder = Storage::builder(MemoryBackend::new(), registry, Arc::new(WebRuntime));
    builder.middleware(SyncLog::new()).open().await.unwrap()
}

async fn host(storage: &Storage) -> SyncHost {
    let log = Arc::new(MemorySharedLog::new(LogId([7; 16])));
    let sync = Sync::open(storage, log).await.unwrap();
    SyncHost::new(ContinuousSync::start(sync, Duration::from_secs(60)))
}

async fn client(host: &SyncHost) -> RemoteSync {
    let ports = MessageChannel::new().unwrap();
    host.serve(MessagePortChannel::new(ports.port2()));
    let channel = MessagePortChannel::new(ports.port1());
    RemoteSync::connect(channel, Arc::new(WebRuntime)).await.unwrap()
}

#[wasm_bindgen_test]
async fn a_page_uses_the_sync_of_its_worker() {
    let storage = device().await;
    let host = host(&storage).await;
    let (sync, other) = (client(&host).await, client(&host).await);
    storage.dynamic("note").unwrap().create(json!({"id": "1", "title": "x"})).await.unwrap();
    let write = sync.last_write().await.unwrap().unwrap();
    sync.await_synced(write).await.unwrap();
    let mut status = other.status();
    status.wait_for(|status| status.in_step && status.unsent == 0).await.unwrap();

    sync.pause().await.unwrap();
    status.wait_for(|status| status.phase == Phase::Paused).await.unwrap();
    let error = other.sync_now().await.unwrap().unwrap_err();
    assert!(matches!(error.cause(), SyncError::Paused), "{error}");
    other.resume().await.unwrap();

    // More than the port takes at once.
    let mut calls: Vec<_> = (0..100).map(|_| sync.unsent()).collect();
    poll_fn(|cx| {
        calls.retain_mut(|call| match call.as_mut().poll(cx) {
            Poll::Ready(unsent) => unsent.unwrap() != 0,
            Poll::Pending => true,
        });
        if calls.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    sync.stop().await;
    assert_eq!(sync.status().borrow().phase, Phase::Stopped);
    assert!(other.sync_now().await.unwrap().is_ok());
}

#[wasm_bindgen_test]
async fn when_the_worker_lets_go_of_it_the_page_knows() {
    let storage = device().await;
    let host = host(&storage).await;
    let sync = client(&host).await;
    sync.sync_now().await.unwrap().unwrap();
    drop(host);
    let mut status = sync.status();
    status.wait_for(|status| status.phase == Phase::Disconnected).await.unwrap();
    assert!(!status.borrow().in_step);
    let error = sync.unsent().await.unwrap_err();
    assert!(matches!(error, SyncError::Disconnected { .. }), "{error}");
}
