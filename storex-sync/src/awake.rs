//! [`page_awake`]: whether a page or worker runs.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use js_sys::Reflect;
use storex_core::{Runtime, Timestamp};
use tokio::sync::watch;
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{Event, EventTarget};

/// The events by which a page is told.
const OF_WINDOW: [&str; 2] = ["pagehide", "pageshow"];
const OF_DOCUMENT: [&str; 3] = ["freeze", "resume", "visibilitychange"];

/// How often it is looked whether time has passed in which nothing ran.
const LOOK: Duration = Duration::from_secs(10);

/// From so much on. A browser lets the timers of a page that is not seen run once a minute.
const SLEPT_MILLISECONDS: i64 = 90_000;

/// Whether this page or worker runs, for [`ContinuousSyncBuilder::awake`](crate::ContinuousSyncBuilder::awake), where the engine
/// of sync runs in it. The browser is listened to for as long as somebody receives.
///
/// - `false` when the page is frozen, or left (`freeze`, `pagehide`): there is just time to let go of the lock.
/// - `true` when it runs again (`resume`, `pageshow`), and whenever it may have missed something: it becomes visible, or the
///   computer has slept for more than 90 s, which is noticed within some ten.
///
/// A worker is told of none of the events. Its own sleep it notices; a worker of one page is frozen with it, so make a `watch::channel` there, and
/// send it what the page gets from here. A shared worker is not frozen.
#[must_use]
pub fn page_awake(runtime: &Arc<dyn Runtime>) -> watch::Receiver<bool> {
    let (tell, told) = watch::channel(true);
    let tell = Rc::new(tell);
    let page = Page::listen(Rc::clone(&tell));
    let clock = Arc::clone(runtime);
    runtime.spawn(Box::pin(async move {
        tokio::select! {
            () = tell.closed() => {}
            () = notice_sleep(&*clock, &tell) => {}
        }
        drop(page);
    }));
    told
}

/// Asleep is what says so; all else has been woken.
fn heard(event: &Event) -> Option<bool> {
    match event.type_().as_str() {
        "freeze" | "pagehide" => Some(false),
        "visibilitychange" => {
            let state = event.target().and_then(|target| text(&target, "visibilityState"));
            (state.as_deref() == Some("visible")).then_some(true)
        }
        _ => Some(true),
    }
}

fn text(of: &JsValue, name: &str) -> Option<String> {
    Reflect::get(of, &name.into()).ok()?.as_string()
}

async fn notice_sleep(runtime: &dyn Runtime, tell: &watch::Sender<bool>) {
    loop {
        let Timestamp(before) = runtime.now();
        runtime.sleep(LOOK).await;
        if runtime.now().0.saturating_sub(before) > SLEPT_MILLISECONDS && *tell.borrow() {
            tell.send_replace(true);
        }
    }
}

/// What listens to the browser until it is dropped.
struct Page {
    listened: Vec<(EventTarget, &'static str)>,
    on_event: Closure<dyn FnMut(Event)>,
}

impl Page {
    fn listen(tell: Rc<watch::Sender<bool>>) -> Self {
        let on_event = Closure::new(move |event: Event| {
            if let Some(awake) = heard(&event) {
                tell.send_replace(awake);
            }
        });
        let mut page = Self { listened: Vec::new(), on_event };
        let window = js_sys::global();
        // Of a worker there is none.
        let document = Reflect::get(&window, &"document".into()).unwrap_or_default();
        if let Ok(document) = document.dyn_into::<EventTarget>() {
            OF_DOCUMENT.into_iter().for_each(|event| page.add(&document, event));
            let window: EventTarget = window.unchecked_into();
            OF_WINDOW.into_iter().for_each(|event| page.add(&window, event));
        }
        page
    }

    fn add(&mut self, to: &EventTarget, event: &'static str) {
        let listener = self.on_event.as_ref().unchecked_ref();
        match to.add_event_listener_with_callback(event, listener) {
            Ok(()) => self.listened.push((to.clone(), event)),
            Err(error) => tracing::debug!(?error, event, "the browser does not tell of it"),
        }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        for (from, event) in &self.listened {
            let listener = self.on_event.as_ref().unchecked_ref();
            // What was added can be removed.
            let _ = from.remove_event_listener_with_callback(event, listener);
        }
    }
}
