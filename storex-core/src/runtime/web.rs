//! [`WebRuntime`]: the clock, timers, tasks and randomness of a browser.

use std::time::Duration;

use js_sys::{Date, Function, Reflect};
use tokio::sync::oneshot;
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};

use super::Runtime;
use crate::maybe::BoxFuture;
use crate::value::Timestamp;

/// The [`Runtime`] of wasm: in a page, in a worker of any kind, and in Node.
///
/// `sleep` is `setTimeout`: it begins with the call, is never shorter than asked for, and is longer where the browser
/// slows the timers of pages that nobody looks at. Where there is no `setTimeout` (a worklet), it never ends, and an
/// error is logged.
///
/// ```
/// # #[cfg(all(target_family = "wasm", feature = "web-runtime"))] async fn example() {
/// use std::time::Duration;
/// use storex_core::{Runtime, WebRuntime};
///
/// WebRuntime.sleep(Duration::from_millis(20)).await;
/// WebRuntime.spawn(Box::pin(async { /* beside the caller */ }));
/// # }
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct WebRuntime;

#[allow(clippy::disallowed_methods)] // this is the runtime that everything else is told to ask
impl Runtime for WebRuntime {
    #[allow(clippy::cast_possible_truncation)] // whole milliseconds, within 2^53
    fn now(&self) -> Timestamp {
        Timestamp(Date::now() as i64)
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let mut left = Milliseconds::at_least(duration);
        let first = Timer::start(left.next_part());
        Box::pin(async move {
            first.end().await;
            while left.0 > 0 {
                Timer::start(left.next_part()).end().await;
            }
        })
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        wasm_bindgen_futures::spawn_local(task);
    }

    fn fill_random(&self, buffer: &mut [u8]) {
        if let Err(error) = getrandom::fill(buffer) {
            // Every browser has `crypto.getRandomValues`; identifiers must not be made up without randomness.
            tracing::error!(%error, "there is no randomness here");
            std::process::abort();
        }
    }
}

/// What is left of a sleep.
struct Milliseconds(u128);

impl Milliseconds {
    /// The longest time that `setTimeout` knows: with more it fires at once.
    const LONGEST: i32 = i32::MAX;

    fn at_least(duration: Duration) -> Self {
        Self(duration.as_nanos().div_ceil(1_000_000))
    }

    fn next_part(&mut self) -> i32 {
        let part = i32::try_from(self.0).unwrap_or(Self::LONGEST);
        self.0 = self.0.saturating_sub(u128::from(part.unsigned_abs()));
        part
    }
}

/// A timer of the global object; dropping it clears it.
struct Timer {
    handle: JsValue,
    fired: oneshot::Receiver<()>,
    /// What the browser calls.
    _fire: Closure<dyn FnMut()>,
}

impl Timer {
    fn start(milliseconds: i32) -> Self {
        let (fire, fired) = oneshot::channel();
        let mut fire = Some(fire);
        let fire = Closure::new(move || {
            // An error means that nobody waits any more.
            let _ = fire.take().map(|fire| fire.send(()));
        });
        let function: &JsValue = fire.as_ref();
        let started = call_global("setTimeout", function, &milliseconds.into());
        let handle = started.unwrap_or_else(|error| {
            tracing::error!(?error, "no timer can be set here");
            JsValue::UNDEFINED
        });
        Self { handle, fired, _fire: fire }
    }

    /// Completes when it has fired.
    async fn end(mut self) {
        let _ = (&mut self.fired).await;
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        // One that has fired is cleared without effect.
        if let Err(error) = call_global("clearTimeout", &self.handle, &JsValue::UNDEFINED) {
            tracing::debug!(?error, "a timer could not be cleared");
        }
    }
}

/// Calls a function of the global object, which is a window, a worker or Node's.
fn call_global(name: &str, first: &JsValue, second: &JsValue) -> Result<JsValue, JsValue> {
    let global = js_sys::global();
    let function: Function = Reflect::get(&global, &name.into())?.dyn_into()?;
    function.call2(&global, first, second)
}
