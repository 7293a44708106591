//! JavaScript that wants to be told: callbacks, and their end.

use std::cell::RefCell;

use js_sys::Function;
use tokio::sync::oneshot;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen_futures::spawn_local;

/// What tells a callback until it is stopped, or until there is nothing more to tell.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Subscription {
    stop: RefCell<Option<oneshot::Sender<()>>>,
}

#[wasm_bindgen]
impl Subscription {
    /// From now on the callback is not called any more.
    pub fn stop(&self) {
        // Dropped without a word: that ends it.
        self.stop.borrow_mut().take();
    }
}

/// Calls back with everything that `next` gives, in the order in which it comes, until one of the two ends.
pub(crate) fn tell<S, F>(mut source: S, mut next: F) -> Subscription
where
    S: 'static,
    F: AsyncFnMut(&mut S) -> bool + 'static,
{
    let (stop, mut stopped) = oneshot::channel();
    spawn_local(async move {
        loop {
            tokio::select! {
                biased;
                _ = &mut stopped => return,
                more = next(&mut source) => if !more { return },
            }
        }
    });
    Subscription { stop: RefCell::new(Some(stop)) }
}

/// Calls a function of JavaScript. What it throws is its own affair, and is not lost: the browser reports it.
pub(crate) fn call(function: &Function, value: &JsValue) {
    if let Err(thrown) = function.call1(&JsValue::UNDEFINED, value) {
        report(thrown);
    }
}

/// As an error that nobody has caught: in the console, and in `window.onunhandledrejection`.
fn report(thrown: JsValue) {
    drop(js_sys::Promise::reject(&thrown));
}
