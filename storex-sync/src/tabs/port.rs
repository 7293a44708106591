//! [`Port`]: on which a tab and its worker agree about a channel.
//!
//! Each message is a list of two strings, what is said and what goes with it:
//!
//! ```text
//!    tab ──▶ worker    "storex:hello"                 is somebody there?
//!    tab ◀── worker    "storex:here"                  somebody is
//!    tab ──▶ worker    "storex:attach", LOCK + port   serve me on this port, until nobody holds this Web Lock (if there is one) any more
//!    tab ◀── worker    "storex:attached"              it is served
//!    tab ◀── worker    "storex:failed", REASON        sync could not be started
//! ```

use js_sys::Array;
use tokio::sync::mpsc;
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{MessageEvent, MessagePort};

pub(super) const HELLO: &str = "storex:hello";
pub(super) const HERE: &str = "storex:here";
pub(super) const ATTACH: &str = "storex:attach";
pub(super) const ATTACHED: &str = "storex:attached";
pub(super) const FAILED: &str = "storex:failed";

/// What was said.
pub(super) struct Said {
    pub(super) what: String,
    pub(super) with: String,
    pub(super) port: Option<MessagePort>,
}

/// A port, closed when it is dropped.
pub(super) struct Port {
    port: MessagePort,
    said: mpsc::UnboundedReceiver<Said>,
    /// What the port calls.
    _on_message: Closure<dyn FnMut(MessageEvent)>,
}

/// Says something.
pub(super) fn say(port: &MessagePort, what: &str, with: &str) -> Result<(), JsValue> {
    port.post_message(&Array::of2(&what.into(), &with.into()))
}

/// The port that came with a message.
pub(super) fn port_of(event: &MessageEvent) -> Option<MessagePort> {
    event.ports().get(0).dyn_into().ok()
}

impl Port {
    pub(super) fn new(port: MessagePort) -> Self {
        let (hear, said) = mpsc::unbounded_channel();
        let on_message = Closure::new(move |event: MessageEvent| {
            let data: Array = match event.data().dyn_into() {
                Ok(data) => data,
                Err(_) => return,
            };
            let text = |at| data.get(at).as_string().unwrap_or_default();
            // An error means that nobody listens any more.
            let _ = hear.send(Said { what: text(0), with: text(1), port: port_of(&event) });
        });
        port.set_onmessage(Some(on_message.as_ref().unchecked_ref())); // and so it starts
        Self { port, said, _on_message: on_message }
    }

    pub(super) fn say(&self, what: &str) -> Result<(), JsValue> {
        say(&self.port, what, "")
    }

    /// Says something and hands a port over.
    pub(super) fn hand(&self, what: &str, with: &str, port: &MessagePort) -> Result<(), JsValue> {
        let message = Array::of2(&what.into(), &with.into());
        self.port.post_message_with_transferable(&message, &Array::of1(port))
    }

    /// To say something from elsewhere.
    pub(super) fn speaker(&self) -> MessagePort {
        self.port.clone()
    }

    /// What is said next. Cancel-safe.
    pub(super) async fn hear(&mut self) -> Said {
        match self.said.recv().await {
            Some(said) => said,
            // The sender is in the closure, which this value holds.
            None => std::future::pending().await,
        }
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        self.port.set_onmessage(None);
        self.port.close();
    }
}
