//! [`Worker`]: a worker of the browser's, and the way to it.

use std::cell::{Cell, RefCell};

use js_sys::{Function, Reflect};
use tokio::sync::{OnceCell, watch};
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{Event, EventTarget, MessageChannel, MessagePort, WorkerOptions, WorkerType};

use super::frame::Frame;
use super::serve::CONNECT;

/// A worker of the browser's. A dedicated one is ended when this is dropped, or before; a shared one when all tabs have dropped theirs.
pub(super) struct Worker {
    url: String,
    options: WorkerOptions,
    kind: Kind,
    /// What went wrong with it.
    error: watch::Receiver<Option<String>>,
    /// What the browser calls, of each object that stands for the worker.
    on_error: OnError,
    heard: RefCell<Vec<EventTarget>>,
    ended: Cell<bool>,
}

type OnError = Closure<dyn FnMut(Event)>;

enum Kind {
    /// Where this tab comes to it from.
    Shared(OnceCell<Frame>),
    Dedicated(web_sys::Worker),
}

impl Worker {
    pub(super) fn shared(url: &str, name: &str) -> Self {
        let (error, on_error) = listener();
        let (url, options, heard) = (url.to_owned(), options(name), RefCell::default());
        let (kind, ended) = (Kind::Shared(OnceCell::new()), Cell::default());
        Self { url, options, kind, error, on_error, heard, ended }
    }

    pub(super) fn dedicated(url: &str, name: &str) -> Result<Self, JsValue> {
        let (error, on_error) = listener();
        let options = options(name);
        let worker = web_sys::Worker::new_with_options(url, &options)?;
        let (url, heard) = (url.to_owned(), RefCell::default());
        let kind = Kind::Dedicated(worker.clone());
        let ended = Cell::default();
        let made = Self { url, options, kind, error, on_error, heard, ended };
        made.listen(worker.into())?;
        Ok(made)
    }

    /// A new port to it. One that it was not told of, as its script was not there yet, is never answered.
    pub(super) async fn port(&self) -> Result<MessagePort, JsValue> {
        match &self.kind {
            Kind::Shared(frame) => {
                let frame = frame.get_or_try_init(Frame::new).await?;
                let worker = frame.shared_worker(&self.url, &self.options)?;
                let port = worker.port();
                self.listen(worker.into())?;
                Ok(port)
            }
            Kind::Dedicated(worker) => {
                let ports = MessageChannel::new()?;
                let there = js_sys::Array::of1(&ports.port2());
                worker.post_message_with_transfer(&CONNECT.into(), &there)?;
                Ok(ports.port1())
            }
        }
    }

    /// Whether it can be come to, if it is there.
    pub(super) fn is_in_reach(&self) -> bool {
        match &self.kind {
            Kind::Shared(frame) => frame.get().is_some_and(Frame::is_there),
            Kind::Dedicated(_) => !self.ended.get(),
        }
    }

    fn listen(&self, worker: EventTarget) -> Result<(), JsValue> {
        worker.add_event_listener_with_callback("error", self.listener())?;
        self.heard.borrow_mut().push(worker);
        Ok(())
    }

    fn listener(&self) -> &Function {
        self.on_error.as_ref().unchecked_ref()
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

    /// Ends it, if it is a dedicated one, with all that it holds.
    pub(super) fn end(&self) {
        if let Kind::Dedicated(worker) = &self.kind {
            worker.terminate();
            self.ended.set(true);
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        for worker in self.heard.borrow().iter() {
            // What is listened to can be listened to no more.
            let _ = worker.remove_event_listener_with_callback("error", self.listener());
        }
        self.end();
    }
}

fn options(name: &str) -> WorkerOptions {
    let options = WorkerOptions::new();
    options.set_name(name);
    options.set_type(WorkerType::Module);
    options
}

fn listener() -> (watch::Receiver<Option<String>>, OnError) {
    let (tell, error) = watch::channel(None);
    let on_error = Closure::new(move |event: Event| {
        // A frame's event is no instance of the page's class.
        let message = Reflect::get(&event, &"message".into()).ok();
        let message = message.and_then(|it| it.as_string()).filter(|it| !it.is_empty());
        let reason = message.unwrap_or_else(|| "its script cannot be loaded".to_owned());
        tell.send_replace(Some(reason));
    });
    (error, on_error)
}
