//! One syncer over the tabs of a browser: by a Web Lock, and where that is missing by a lease.
#![cfg(target_family = "wasm")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::arc_with_non_send_sync)] // these are tests, in one thread
#![allow(missing_docs)]

use std::sync::Arc;
use std::time::Duration;

use js_sys::{Function, Promise};
use storex_conformance::exclusive::ExclusiveHarness;
use storex_conformance::exclusive_conformance;
use storex_core::{Definition, FieldType, Registry, Runtime, Storage, WebRuntime};
use storex_indexeddb::IndexedDbBackend;
use storex_sync::{Exclusive, LeaseTimes, SyncLog};
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::JsFuture;
use wasm_bindgen_test::wasm_bindgen_test;

async fn open(name: &str) -> Storage {
    let note = Definition::new("note").field("title", FieldType::String);
    let registry = Registry::builder().collection(note).build().unwrap();
    let backend = IndexedDbBackend::open(name).unwrap();
    let storage = Storage::builder(backend, registry, Arc::new(WebRuntime));
    storage.middleware(SyncLog::new()).open().await.unwrap()
}

/// A name that nobody else has.
fn name() -> String {
    let mut case = [0; 8];
    WebRuntime.fill_random(&mut case);
    format!("exclusive-{:016x}", u64::from_be_bytes(case))
}

/// Instances in a browser that is made so before each of them, and back after it.
fn harness(before: &'static str, after: &'static str) -> ExclusiveHarness {
    let case = name();
    ExclusiveHarness::new(Arc::new(WebRuntime), move |database| {
        let name = format!("{case}-{database}");
        Box::pin(async move {
            let storage = open(&name).await;
            run(before);
            let exclusive = Exclusive::tabs(&storage, name, LeaseTimes::default()).await.unwrap();
            run(after);
            exclusive
        })
    })
}

fn run(script: &str) {
    Function::new_no_args(script).call0(&JsValue::UNDEFINED).unwrap();
}

mod c28_by_a_web_lock {
    fn with_web_locks() -> super::ExclusiveHarness {
        super::harness("", "")
    }

    super::exclusive_conformance!(with_web_locks);
}

mod c28_by_a_lease {
    fn without_web_locks() -> super::ExclusiveHarness {
        super::harness(
            "Object.defineProperty(navigator, 'locks', { value: undefined, configurable: true })",
            "delete navigator.locks",
        )
    }

    super::exclusive_conformance!(without_web_locks);
}

/// What the browser itself says of it.
async fn is_locked(name: &str) -> bool {
    let ask = Function::new_with_args(
        "name",
        "return navigator.locks.query().then(all => all.held.some(lock => lock.name === name))",
    );
    let asked: Promise = ask.call1(&JsValue::UNDEFINED, &name.into()).unwrap().into();
    JsFuture::from(asked).await.unwrap().is_truthy()
}

#[wasm_bindgen_test]
async fn c30_it_is_the_browsers_lock_of_that_name() {
    let name = name();
    let exclusive =
        Exclusive::tabs(&open(&name).await, &*name, LeaseTimes::default()).await.unwrap();
    assert!(!is_locked(&name).await);
    let guard = exclusive.try_acquire().await.unwrap().unwrap();
    assert!(is_locked(&name).await);
    guard.release().await.unwrap();
    // The browser takes its time.
    while is_locked(&name).await {
        WebRuntime.sleep(Duration::from_millis(5)).await;
    }
}

#[wasm_bindgen_test]
async fn c30_whoever_it_is_stolen_from_is_told() {
    let name = name();
    let exclusive =
        Exclusive::tabs(&open(&name).await, &*name, LeaseTimes::default()).await.unwrap();
    let guard = exclusive.try_acquire().await.unwrap().unwrap();
    assert!(!guard.is_lost());
    let steal = Function::new_with_args(
        "name",
        "navigator.locks.request(name, { steal: true }, () => new Promise(done => globalThis.letGo = done))",
    );
    steal.call1(&JsValue::UNDEFINED, &(&*name).into()).unwrap();
    guard.lost().await;
    assert!(guard.is_lost());
    assert!(exclusive.try_acquire().await.unwrap().is_none(), "the thief has it");
    run("letGo()");
    exclusive.acquire(Duration::from_secs(30)).await.unwrap();
}
