//! Whether the browser says that there is a connection.

use std::rc::Rc;

use js_sys::Reflect;
use storex_core::Runtime;
use tokio::sync::watch;
use wasm_bindgen::JsCast;
use wasm_bindgen::closure::Closure;
use web_sys::{Event, EventTarget};

/// The events by which a page or a worker is told.
const EVENTS: [&str; 2] = ["online", "offline"];

/// Whether there is one, now and from now on. The browser is listened to for as long as somebody receives.
pub(super) fn online(runtime: &dyn Runtime) -> watch::Receiver<bool> {
    let (tell, told) = watch::channel(is_online());
    let Ok(browser) = js_sys::global().dyn_into::<EventTarget>() else { return told };
    let tell = Rc::new(tell);
    let changed = {
        let tell = Rc::clone(&tell);
        Closure::<dyn FnMut(Event)>::new(move |_| {
            tell.send_replace(is_online());
        })
    };
    for event in EVENTS {
        let added =
            browser.add_event_listener_with_callback(event, changed.as_ref().unchecked_ref());
        if let Err(error) = added {
            tracing::debug!(?error, event, "the browser does not tell of it");
        }
    }
    runtime.spawn(Box::pin(async move {
        tell.closed().await;
        for event in EVENTS {
            // One that was not added need not be removed.
            let _ = browser
                .remove_event_listener_with_callback(event, changed.as_ref().unchecked_ref());
        }
    }));
    told
}

/// Where the browser does not tell, there is one.
fn is_online() -> bool {
    let navigator = Reflect::get(&js_sys::global(), &"navigator".into());
    let online = navigator.and_then(|navigator| Reflect::get(&navigator, &"onLine".into()));
    online.ok().and_then(|online| online.as_bool()).unwrap_or(true)
}
