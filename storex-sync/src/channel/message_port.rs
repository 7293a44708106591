//! [`MessagePortChannel`]: a channel between the pages and workers of a browser.
//!
//! ```text
//!   an ArrayBuffer     a frame, handed over and not copied
//!   "storex:taken"     one of your frames was received: you may send one more
//!   "storex:end"       no more frames come from here
//!   "storex:gone"      no more frames come from here, and none are taken
//! ```

use std::cell::RefCell;
use std::rc::Rc;

use async_trait::async_trait;
use js_sys::{Array, ArrayBuffer, Uint8Array};
use tokio::sync::{Semaphore, mpsc};
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{MessageEvent, MessagePort};

use super::Channel;
use crate::error::{Result, SyncError};
use crate::js;

/// Frames that may be under way in each direction: a port takes in whatever it is given, so the sender has to count.
const CAPACITY: usize = 8;

const TAKEN: &str = "storex:taken";
const END: &str = "storex:end";
const GONE: &str = "storex:gone";

/// One end of a `MessageChannel`: a [`Channel`] between two contexts of one browser, say a page and its worker.
///
/// Both ends of the port must be such channels; whatever else arrives on it is [`SyncError::Protocol`]. Dropping it closes
/// the port and tells the other side. Both `send` and `recv` are cancel-safe: a frame is sent or received, or it is not.
///
/// Nothing tells of a worker that was terminated or a tab that is gone (browsers have no event for it, or do not fire it):
/// whoever waits for such a one bounds the wait, with [`Runtime::sleep`](storex_core::Runtime::sleep), and drops the
/// channel.
///
/// ```
/// # #[cfg(all(target_family = "wasm", feature = "web"))]
/// # async fn example(storage: &storex_core::Storage, port: web_sys::MessagePort) -> storex_sync::Result<()> {
/// use storex_sync::{Channel, InitialSync, MessagePortChannel};
///
/// let mut channel = MessagePortChannel::new(port); // one of `new MessageChannel()`, or one that was posted to us
/// InitialSync::open(storage).await?.send(&mut channel).await?;
/// channel.close().await?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct MessagePortChannel {
    port: MessagePort,
    incoming: mpsc::Receiver<Vec<u8>>,
    shared: Rc<Shared>,
    /// Closed by us.
    closed: bool,
    /// What the port calls.
    _on_message: Closure<dyn FnMut(MessageEvent)>,
}

/// What the port's events and the two halves of the channel share.
#[derive(Debug)]
struct Shared {
    /// Frames that the other side still takes; closed when it takes none any more.
    credit: Semaphore,
    /// Where arriving frames go; `None` when no more arrive.
    inbox: RefCell<Option<mpsc::Sender<Vec<u8>>>>,
    /// What the other side sent that is not allowed.
    rubbish: RefCell<Option<String>>,
}

impl MessagePortChannel {
    /// Takes over a port, and starts it. Frames that were sent before are not lost: the port has kept them.
    #[must_use]
    pub fn new(port: MessagePort) -> Self {
        let (outbox, incoming) = mpsc::channel(CAPACITY);
        let shared = Rc::new(Shared {
            credit: Semaphore::new(CAPACITY),
            inbox: RefCell::new(Some(outbox)),
            rubbish: RefCell::new(None),
        });
        let events = Rc::clone(&shared);
        let on_message = Closure::new(move |event: MessageEvent| match event.type_().as_str() {
            "messageerror" => events.refuse("a message that cannot be read here".to_owned()),
            _ => events.message(&event.data()),
        });
        let listener = Some(on_message.as_ref().unchecked_ref());
        port.set_onmessageerror(listener);
        port.set_onmessage(listener); // and so it starts
        Self { port, incoming, shared, closed: false, _on_message: on_message }
    }

    fn post(&self, word: &str) -> Result<()> {
        self.port.post_message(&word.into()).map_err(refused)
    }
}

fn refused(error: JsValue) -> SyncError {
    SyncError::Transport { during: "posting to a MessagePort", reason: js::said(&error) }
}

#[async_trait(?Send)]
impl Channel for MessagePortChannel {
    async fn send(&mut self, frame: Vec<u8>) -> Result<()> {
        let during = "sending a frame";
        if self.closed {
            return Err(SyncError::Closed { during });
        }
        match self.shared.credit.acquire().await {
            Ok(permit) => permit.forget(),
            Err(_) => return Err(self.shared.why(during).unwrap_or(SyncError::Closed { during })),
        }
        let buffer = Uint8Array::from(frame.as_slice()).buffer();
        self.port.post_message_with_transferable(&buffer, &Array::of1(&buffer)).map_err(refused)
    }

    async fn recv(&mut self) -> Result<Option<Vec<u8>>> {
        let Some(frame) = self.incoming.recv().await else {
            return self.shared.why("receiving a frame").map_or(Ok(None), Err);
        };
        self.post(TAKEN)?;
        Ok(Some(frame))
    }

    async fn close(&mut self) -> Result<()> {
        if std::mem::replace(&mut self.closed, true) {
            return Ok(());
        }
        self.post(END)
    }
}

impl Drop for MessagePortChannel {
    fn drop(&mut self) {
        self.port.set_onmessage(None);
        self.port.set_onmessageerror(None);
        if let Err(error) = self.post(GONE) {
            tracing::debug!(%error, "the other side could not be told that this end is gone");
        }
        self.port.close();
    }
}

impl Shared {
    fn message(&self, message: &JsValue) {
        let word = message.as_string();
        let taken = match (message.dyn_ref::<ArrayBuffer>(), word.as_deref()) {
            (Some(buffer), _) => self.frame(buffer),
            (None, Some(TAKEN)) => self.taken(),
            (None, Some(END)) => {
                *self.inbox.borrow_mut() = None;
                Ok(())
            }
            (None, Some(GONE)) => {
                self.end();
                Ok(())
            }
            (None, Some(_)) => Err("a string that means nothing here".to_owned()),
            (None, None) => Err(format!("a message of type {:?}", message.js_typeof())),
        };
        if let Err(reason) = taken {
            self.refuse(reason);
        }
    }

    fn frame(&self, buffer: &ArrayBuffer) -> Result<(), String> {
        let frame = Uint8Array::new(buffer).to_vec();
        match &*self.inbox.borrow() {
            Some(inbox) => inbox.try_send(frame).map_err(|_| "a frame before its turn".to_owned()),
            None => Err("a frame after the end".to_owned()),
        }
    }

    fn taken(&self) -> Result<(), String> {
        if self.credit.available_permits() >= CAPACITY {
            return Err("more frames were taken than sent".to_owned());
        }
        self.credit.add_permits(1);
        Ok(())
    }

    fn refuse(&self, reason: String) {
        self.rubbish.borrow_mut().get_or_insert(reason);
        self.end();
    }

    fn end(&self) {
        *self.inbox.borrow_mut() = None;
        self.credit.close();
    }

    /// Why the channel ended; `None`: in order.
    fn why(&self, during: &'static str) -> Option<SyncError> {
        let rubbish = self.rubbish.borrow().clone();
        rubbish.map(|reason| SyncError::Protocol { during, reason })
    }
}
