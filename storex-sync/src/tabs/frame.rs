//! [`Frame`]: from where a tab comes to a shared worker.
//!
//! A browser ends a shared worker when all documents that have come to it are gone, and that is the only way to end one. So a tab comes to it from an
//! empty frame, which it takes away when it has done with the worker. One that hangs ends so while its tabs are open, and with it what it holds:
//! locks, a core, a transaction of IndexedDB that others wait for.

use js_sys::{Array, Function, Promise, Reflect};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{AddEventListenerOptions, HtmlIFrameElement, SharedWorker, WorkerOptions};

/// An empty document in the page; gone when this is dropped.
pub(super) struct Frame(HtmlIFrameElement);

impl Frame {
    /// Cancel-safe.
    pub(super) async fn new() -> Result<Self, JsValue> {
        if !Reflect::get(&js_sys::global(), &"SharedWorker".into())?.is_function() {
            return Err("the browser has no shared workers".into());
        }
        let document = web_sys::window().and_then(|window| window.document());
        let document = document.ok_or("this is no page")?;
        let root = document.document_element().ok_or("the page is empty")?;
        let frame = Self(document.create_element("iframe")?.unchecked_into());
        // A rule of the page's for all frames would count for more than the attribute `hidden`.
        frame.0.style().set_property_with_priority("display", "none", "important")?;
        let once = AddEventListenerOptions::new();
        once.set_once(true);
        let loaded = Promise::new(&mut |loaded, refused| {
            let listening =
                frame.0.add_event_listener_with_callback_and_add_event_listener_options(
                    "load", &loaded, &once,
                );
            if let Err(why) = listening {
                // What rejects is there to be called.
                let _ = refused.call1(&JsValue::UNDEFINED, &why);
            }
        });
        root.append_child(&frame.0)?;
        // Before that, some browsers have another document in it, whose workers go with it.
        JsFuture::from(loaded).await?;
        Ok(frame)
    }

    /// Whether the page has left it where it is.
    pub(super) fn is_there(&self) -> bool {
        self.0.is_connected()
    }

    /// The shared worker of this address and name, made if it is not there.
    pub(super) fn shared_worker(
        &self,
        url: &str,
        options: &WorkerOptions,
    ) -> Result<SharedWorker, JsValue> {
        let window = self.0.content_window().ok_or("the frame was taken away")?;
        let make: Function = Reflect::get(&window, &"SharedWorker".into())?.dyn_into()?;
        let worker = Reflect::construct(&make, &Array::of2(&url.into(), options))?;
        // Of the frame's own kind: no instance of the class that the page has.
        Ok(worker.unchecked_into())
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        self.0.remove();
    }
}
