//! The two halves of a browser's WebSocket.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use js_sys::{Array, ArrayBuffer, Uint8Array};
use storex_core::Runtime;
use tokio::sync::{mpsc, oneshot};
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{BinaryType, CloseEvent, Event, MessageEvent, WebSocket};

use super::super::transport::{Socket, SocketMessage, SocketReceiver, SocketSender};
use super::failed;
use crate::error::{Result, SyncError};

/// So many bytes may wait to be sent. A browser takes any number, and does not tell when they have gone.
const BUFFERED: u32 = 1 << 20;
/// How often somebody who waits to send looks again.
const LOOK: Duration = Duration::from_millis(10);
/// Close codes that a page may give: done, and those of applications (RFC 6455).
const DONE: u16 = 1000;
const OF_APPLICATIONS: std::ops::RangeInclusive<u16> = 3000..=4999;

type Heard = Closure<dyn FnMut(MessageEvent)>;

/// What both halves hold.
struct Shared {
    socket: WebSocket,
    _on_open: Closure<dyn FnMut(Event)>,
    _on_message: Heard,
    _on_close: Closure<dyn FnMut(CloseEvent)>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.socket.set_onopen(None);
        self.socket.set_onmessage(None);
        self.socket.set_onclose(None);
        if let Err(error) = self.socket.close() {
            tracing::debug!(?error, "a WebSocket cannot be closed");
        }
    }
}

/// Opens a WebSocket. Dropped while it waits, the WebSocket is closed.
pub(super) async fn open(
    url: &str,
    protocols: &Array,
    runtime: Arc<dyn Runtime>,
) -> Result<Socket> {
    let socket = WebSocket::new_with_str_sequence(url, protocols).map_err(failed)?;
    socket.set_binary_type(BinaryType::Arraybuffer);
    let (tell, told) = mpsc::unbounded_channel();
    let (opened, is_open) = oneshot::channel();
    let opened = Rc::new(RefCell::new(Some(opened)));
    let on_open = {
        let opened = Rc::clone(&opened);
        Closure::new(move |_: Event| {
            if let Some(opened) = opened.borrow_mut().take() {
                let _ = opened.send(());
            }
        })
    };
    let on_message = {
        let tell = tell.clone();
        // Nobody listening any more is fine.
        Closure::new(move |event: MessageEvent| drop(tell.send(message(&event.data()))))
    };
    let on_close = Closure::new(move |event: CloseEvent| {
        // Whoever waits for the opening waits in vain.
        opened.borrow_mut().take();
        drop(tell.send(SocketMessage::Closed { code: event.code(), reason: event.reason() }));
    });
    socket.set_onopen(Some(on_open.as_ref().unchecked_ref()));
    socket.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
    socket.set_onclose(Some(on_close.as_ref().unchecked_ref()));
    let shared =
        Rc::new(Shared { socket, _on_open: on_open, _on_message: on_message, _on_close: on_close });
    is_open.await.map_err(|_| SyncError::Transport {
        during: "opening a WebSocket",
        reason: "the browser could not open it, and does not tell why".to_owned(),
    })?;
    let sender = Box::new(Sender { shared: Rc::clone(&shared), runtime });
    Ok(Socket { sender, receiver: Box::new(Receiver { told, ended: None, _shared: shared }) })
}

fn message(data: &JsValue) -> SocketMessage {
    match (data.dyn_ref::<ArrayBuffer>(), data.as_string()) {
        (Some(buffer), _) => SocketMessage::Binary(Uint8Array::new(buffer).to_vec()),
        (None, text) => SocketMessage::Text(text.unwrap_or_default()),
    }
}

struct Sender {
    shared: Rc<Shared>,
    runtime: Arc<dyn Runtime>,
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sender")
    }
}

#[async_trait(?Send)]
impl SocketSender for Sender {
    async fn send(&mut self, message: SocketMessage) -> Result<()> {
        let socket = &self.shared.socket;
        let is_open = || socket.ready_state() == WebSocket::OPEN;
        while is_open() && socket.buffered_amount() > BUFFERED {
            self.runtime.sleep(LOOK).await;
        }
        if !is_open() {
            return Err(SyncError::Closed { during: "sending a message" });
        }
        match message {
            SocketMessage::Text(text) => socket.send_with_str(&text),
            SocketMessage::Binary(bytes) => {
                socket.send_with_array_buffer(&Uint8Array::from(bytes.as_slice()).buffer())
            }
            SocketMessage::Closed { code, reason } => {
                let code = Some(code).filter(|code| OF_APPLICATIONS.contains(code));
                socket.close_with_code_and_reason(code.unwrap_or(DONE), &reason)
            }
        }
        .map_err(failed)
    }
}

struct Receiver {
    told: mpsc::UnboundedReceiver<SocketMessage>,
    /// How it ended.
    ended: Option<SocketMessage>,
    _shared: Rc<Shared>,
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("ended", &self.ended).finish_non_exhaustive()
    }
}

#[async_trait(?Send)]
impl SocketReceiver for Receiver {
    async fn recv(&mut self) -> Result<SocketMessage> {
        if let Some(ended) = &self.ended {
            return Ok(ended.clone());
        }
        let cut = || SocketMessage::Closed { code: 1006, reason: String::new() };
        let message = self.told.recv().await.unwrap_or_else(cut);
        if let SocketMessage::Closed { .. } = &message {
            self.ended = Some(message.clone());
        }
        Ok(message)
    }
}
