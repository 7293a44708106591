//! What several of these tests need.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::panic)] // each test file uses a part of it

pub(crate) mod js;
pub(crate) mod runtime;
pub(crate) mod shim;
pub(crate) mod touched;

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use storex_core::{Backend, Definition, Record, Registry, Value};
use storex_indexeddb::IndexedDbBackend;

thread_local! {
    static NEXT: Cell<u32> = const { Cell::new(0) };
}

/// The name of a database that nobody has used before.
pub(crate) fn fresh_name() -> String {
    let own = NEXT.with(|next| next.replace(next.get() + 1));
    let run = js_sys::Math::random().to_bits();
    format!("test-{run:x}-{own}")
}

pub(crate) fn registry(definitions: impl IntoIterator<Item = Definition>) -> Arc<Registry> {
    Arc::new(Registry::builder().collections(definitions).build().unwrap())
}

pub(crate) fn record(values: impl IntoIterator<Item = Value>) -> Record {
    Record::new(values.into_iter().collect())
}

/// A backend on this database, with these collections.
pub(crate) async fn opened(
    name: &str,
    definitions: impl IntoIterator<Item = Definition>,
) -> IndexedDbBackend {
    let backend = IndexedDbBackend::open(name).unwrap();
    backend.open(registry(definitions)).await.unwrap();
    backend
}

/// Whether this is Node with fake-indexeddb, where some things are not as in a browser; whoever asks says which.
pub(crate) fn is_fake() -> bool {
    let process = js_sys::Reflect::get(&js_sys::global(), &"process".into()).unwrap();
    !process.is_undefined()
}

/// Polls a future so often and drops it then; `None` is its answer if it was not done by then.
pub(crate) async fn dropped_after<F: Future>(polls: u32, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        let polled = future.as_mut().poll(context).map(Some);
        // The drop comes at once after the last poll, not when it is woken once more.
        if polled.is_pending() && left == 0 { Poll::Ready(None) } else { polled }
    })
    .await
}
