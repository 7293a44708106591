//! [`WebRuntime`] in a browser (and in Node).
#![cfg(target_family = "wasm")]
#![allow(clippy::unwrap_used)] // these are tests

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use storex_core::{Runtime, WebRuntime};
use wasm_bindgen::JsValue;
use wasm_bindgen_test::wasm_bindgen_test;

const MS: Duration = Duration::from_millis(1);

#[wasm_bindgen_test]
fn the_clock_is_that_of_the_system() {
    let year_2026 = 1_767_225_600_000;
    assert!(WebRuntime.now().0 > year_2026);
}

#[wasm_bindgen_test]
async fn sleeps_end_in_the_order_of_their_ends() {
    let ended = Rc::new(RefCell::new(Vec::new()));
    for ms in [60, 20, 40] {
        let ended = Rc::clone(&ended);
        WebRuntime.spawn(Box::pin(async move {
            WebRuntime.sleep(MS * ms).await;
            ended.borrow_mut().push(ms);
        }));
    }
    WebRuntime.sleep(MS * 200).await;
    assert_eq!(*ended.borrow(), [20, 40, 60]);
}

#[wasm_bindgen_test]
async fn a_sleep_is_as_long_as_asked_for_and_begins_with_the_call() {
    let before = WebRuntime.now().0;
    let (first, second) = (WebRuntime.sleep(MS * 50), WebRuntime.sleep(MS * 50));
    first.await;
    second.await;
    let passed = WebRuntime.now().0 - before;
    assert!((49..100).contains(&passed), "{passed} ms");
}

#[wasm_bindgen_test]
async fn a_sleep_of_nothing_ends() {
    WebRuntime.sleep(Duration::ZERO).await;
    WebRuntime.sleep(Duration::from_nanos(1)).await;
}

/// With more than 2^31 - 1 milliseconds, `setTimeout` would fire at once.
#[wasm_bindgen_test]
async fn a_very_long_sleep_does_not_end_at_once() {
    for long in [Duration::from_secs(30 * 24 * 60 * 60), Duration::MAX] {
        let mut long = WebRuntime.sleep(long);
        WebRuntime.sleep(MS * 30).await;
        let ended = poll_fn(|cx| Poll::Ready(long.as_mut().poll(cx).is_ready())).await;
        assert!(!ended);
    }
}

/// Keeps the timers that are set and not cleared in `timers`.
const WATCH_TIMERS: &str = "
    globalThis.timers = [];
    const [set, clear] = [setTimeout, clearTimeout];
    globalThis.setTimeout = (...how) => (timers.push(set(...how)), timers.at(-1));
    globalThis.clearTimeout = timer => {
        globalThis.timers = timers.filter(other => other !== timer);
        clear(timer);
    };
";

/// A timer that was not cleared would call what is gone.
#[wasm_bindgen_test]
async fn a_sleep_that_is_dropped_clears_its_timer() {
    js_sys::Function::new_no_args(WATCH_TIMERS).call0(&JsValue::UNDEFINED).unwrap();
    let timers = || js_sys::eval("timers.length").unwrap();
    let not_polled = WebRuntime.sleep(MS * 10);
    let mut polled = WebRuntime.sleep(MS * 10);
    let ended = poll_fn(|cx| Poll::Ready(polled.as_mut().poll(cx).is_ready())).await;
    assert!(!ended);
    assert_eq!(timers(), 2);
    drop(not_polled);
    drop(polled);
    assert_eq!(timers(), 0);
    WebRuntime.sleep(MS * 30).await;
}

#[wasm_bindgen_test]
async fn a_task_runs_beside_the_caller() {
    let done = Rc::new(RefCell::new(false));
    let task = Rc::clone(&done);
    WebRuntime.spawn(Box::pin(async move { *task.borrow_mut() = true }));
    assert!(!*done.borrow(), "not inside the call");
    WebRuntime.sleep(MS).await;
    assert!(*done.borrow());
}

#[wasm_bindgen_test]
fn random_bytes_are_different_each_time() {
    let (mut one, mut two) = ([0; 16], [0; 16]);
    WebRuntime.fill_random(&mut one);
    WebRuntime.fill_random(&mut two);
    assert_ne!(one, two);
    assert_ne!(one, [0; 16]);
}
