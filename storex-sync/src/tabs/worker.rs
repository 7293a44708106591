//! [`Worker`]: a worker of the browser's, and the way to it.

use tokio::sync::watch;
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{
    ErrorEvent, Event, EventTarget, MessageChannel, MessagePort, WorkerOptions, WorkerType,
};

use super::serve::CONNECT;

/// A worker of the browser's. A dedicated one is ended when this is dropped; a shared one lives for as long as a tab does that has come
/// to it.
pub(super) struct Worker {
    url: String,
    options: WorkerOptions,
    kind: Kind,
    /// What went wrong with it.
    error: watch::Receiver<Option<String>>,
    /// What the browser calls.
    on_error: Closure<dyn FnMut(Event)>,
}

enum Kind {
    Shared,
    Dedicated(web_sys::Worker),
}

impl Worker {
    pub(super) fn shared(url: &str, name: &str) -> Self {
        let (error, on_error) = listener();
        Self { url: url.to_owned(), options: options(name), kind: Kind::Shared, error, on_error }
    }

    pub(super) fn dedicated(url: &str, name: &str) -> Result<Self, JsValue> {
        let (error, on_error) = listener();
        let options = options(name);
        let worker = web_sys::Worker::new_with_options(url, &options)?;
        listen(&worker, &on_error)?;
        Ok(Self { url: url.to_owned(), options, kind: Kind::Dedicated(worker), error, on_error })
    }

    /// A new port to it. One that it was not told of, as its script was not there yet, is never answered.
    pub(super) fn port(&self) -> Result<MessagePort, JsValue> {
        match &self.kind {
            Kind::Shared => {
                let worker =
                    web_sys::SharedWorker::new_with_worker_options(&self.url, &self.options)?;
                listen(&worker, &self.on_error)?;
                Ok(worker.port())
            }
            Kind::Dedicated(worker) => {
                let ports = MessageChannel::new()?;
                let there = js_sys::Array::of1(&ports.port2());
                worker.post_message_with_transfer(&CONNECT.into(), &there)?;
                Ok(ports.port1())
            }
        }
    }

    /// What the browser says is wrong with it. Cancel-safe.
    pub(super) async fn failed(&self) -> String {
        let mut error = self.error.clone();
        let failed = error.wait_for(Option::is_some).await;
        let reason = failed.ok().and_then(|error| error.clone());
        match reason {
            Some(reason) => reason,
            // The sender is in the closure, which this value holds.
            None => std::future::pending().await,
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if let Kind::Dedicated(worker) = &self.kind {
            worker.terminate();
        }
    }
}

fn options(name: &str) -> WorkerOptions {
    let options = WorkerOptions::new();
    options.set_name(name);
    options.set_type(WorkerType::Module);
    options
}

fn listener() -> (watch::Receiver<Option<String>>, Closure<dyn FnMut(Event)>) {
    let (tell, error) = watch::channel(None);
    let on_error = Closure::new(move |event: Event| {
        let message = event.dyn_ref::<ErrorEvent>().map(ErrorEvent::message);
        let message = message.filter(|message| !message.is_empty());
        let reason = message.unwrap_or_else(|| "its script cannot be loaded".to_owned());
        tell.send_replace(Some(reason));
    });
    (error, on_error)
}

fn listen(worker: &EventTarget, on_error: &Closure<dyn FnMut(Event)>) -> Result<(), JsValue> {
    worker.add_event_listener_with_callback("error", on_error.as_ref().unchecked_ref())
}
