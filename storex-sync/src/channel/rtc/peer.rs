//! [`Peer`]: a peer connection of the browser with its one data channel, and what it tells.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use js_sys::{ArrayBuffer, Promise, Reflect, Uint8Array};
use storex_core::Runtime;
use tokio::sync::{mpsc, oneshot};
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    Event, MessageEvent, RtcDataChannel, RtcDataChannelInit, RtcDataChannelState,
    RtcDataChannelType, RtcIceCandidateInit, RtcPeerConnection, RtcPeerConnectionIceEvent,
    RtcPeerConnectionState, RtcSdpType, RtcSessionDescriptionInit,
};

use super::config::RtcConfig;
use super::flow::Flow;
use crate::channel::inbox::Ended;
use crate::js;

/// How long what was sent before a channel was dropped has to get through.
const LINGER: Duration = Duration::from_secs(10);

/// What the browser tells while it connects.
#[derive(Debug)]
pub(super) enum Told {
    /// An address at which this end may be reached.
    Candidate(String),
    /// The data channel is open.
    Open,
    /// There is no way to the other side.
    Failed,
}

/// Dropped, it closes its connection, and listens to nothing any more.
pub(super) struct Peer {
    connection: RtcPeerConnection,
    data: RtcDataChannel,
    shared: Rc<Shared>,
    runtime: Arc<dyn Runtime>,
    _on_event: Closure<dyn FnMut(Event)>,
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer").field("state", &self.data.ready_state()).finish_non_exhaustive()
    }
}

/// What the browser's events and the channel share.
struct Shared {
    tell: mpsc::UnboundedSender<Told>,
    flow: RefCell<Flow>,
    ended: RefCell<Option<Ended>>,
    /// Whoever waits for any of it. One task reads and writes.
    waiting: RefCell<Option<Waker>>,
}

impl Peer {
    /// Nothing is sent anywhere yet.
    ///
    /// # Errors
    /// Why there can be no connection.
    pub(super) fn new(
        config: &RtcConfig,
        runtime: Arc<dyn Runtime>,
    ) -> Result<(Self, mpsc::UnboundedReceiver<Told>), String> {
        if !Reflect::has(&js_sys::global(), &"RTCPeerConnection".into()).unwrap_or(false) {
            return Err(
                "there is no RTCPeerConnection here: browsers have it in pages, and not in workers"
                    .to_owned(),
            );
        }
        let made = RtcPeerConnection::new_with_configuration(&config.to_js());
        let connection = made.map_err(|error| js::said(&error))?;
        let init = RtcDataChannelInit::new();
        // Both ends make it, under this number: nobody has to be told of it.
        init.set_negotiated(true);
        init.set_id(0);
        let data = connection.create_data_channel_with_data_channel_dict("storex", &init);
        data.set_binary_type(RtcDataChannelType::Arraybuffer);

        let (tell, told) = mpsc::unbounded_channel();
        let (ended, waiting) = Default::default();
        let shared = Rc::new(Shared { tell, flow: RefCell::new(Flow::new()), ended, waiting });
        let events = Rc::clone(&shared);
        let on_event = Closure::new(move |event| events.event(&event));
        let peer = Self { connection, data, shared, runtime, _on_event: on_event };
        peer.listen(Some(peer._on_event.as_ref().unchecked_ref()));
        Ok((peer, told))
    }

    fn listen(&self, listener: Option<&js_sys::Function>) {
        self.connection.set_onicecandidate(listener);
        self.connection.set_onconnectionstatechange(listener);
        self.data.set_onopen(listener);
        self.data.set_onmessage(listener);
        self.data.set_onbufferedamountlow(listener);
        self.data.set_onclose(listener);
    }

    /// What this end offers.
    pub(super) async fn offer(&self) -> Result<String, String> {
        self.describe(RtcSdpType::Offer, self.connection.create_offer()).await
    }

    /// What this end answers to an offer.
    pub(super) async fn answer(&self, offer: &str) -> Result<String, String> {
        self.accept(RtcSdpType::Offer, offer).await?;
        self.describe(RtcSdpType::Answer, self.connection.create_answer()).await
    }

    async fn describe(&self, kind: RtcSdpType, making: Promise) -> Result<String, String> {
        let made: RtcSessionDescriptionInit = done(making).await?.unchecked_into();
        let text = made.get_sdp().unwrap_or_default();
        let description = RtcSessionDescriptionInit::new(kind);
        description.set_sdp(&text);
        done(self.connection.set_local_description(&description)).await?;
        Ok(text)
    }

    /// Takes what the other end has offered or answered.
    pub(super) async fn accept(&self, kind: RtcSdpType, text: &str) -> Result<(), String> {
        let description = RtcSessionDescriptionInit::new(kind);
        description.set_sdp(text);
        done(self.connection.set_remote_description(&description)).await.map(drop)
    }

    /// Tries an address of the other end.
    pub(super) async fn candidate(&self, text: &str) -> Result<(), String> {
        let candidate = RtcIceCandidateInit::new(text);
        // The only one there is: that of the data channel.
        candidate.set_sdp_m_line_index(Some(0));
        let adding =
            self.connection.add_ice_candidate_with_opt_rtc_ice_candidate_init(Some(&candidate));
        done(adding).await.map(drop)
    }

    /// Gives what has come to `read`, which tells how much it has taken. Ready with 0 when nothing more comes.
    pub(super) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        read: impl FnOnce(&[u8]) -> usize,
    ) -> Poll<Result<usize, Ended>> {
        let mut flow = self.shared.flow.borrow_mut();
        if flow.next().is_empty() {
            return match &*self.shared.ended.borrow() {
                Some(Ended::InOrder | Ended::Cut) => Poll::Ready(Ok(0)),
                Some(ended) => Poll::Ready(Err(ended.clone())),
                None => self.shared.wait(cx),
            };
        }
        let bytes = read(flow.next());
        if let Some(taken) = flow.advance(bytes)
            && let Err(error) = self.data.send_with_str(&taken)
        {
            tracing::debug!(?error, "the other side cannot be told what was taken");
        }
        Poll::Ready(Ok(bytes))
    }

    /// Ready with how many bytes were sent, at least one.
    pub(super) fn poll_write(
        &self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<Result<usize, Ended>> {
        if let Some(ended) = &*self.shared.ended.borrow() {
            return Poll::Ready(Err(ended.clone()));
        }
        let mut flow = self.shared.flow.borrow_mut();
        let bytes = bytes.get(..flow.credit()).unwrap_or(bytes);
        if bytes.is_empty() {
            return self.shared.wait(cx);
        }
        match self.data.send_with_u8_array(bytes) {
            Ok(()) => flow.sent(bytes.len()),
            Err(_) if self.data.ready_state() != RtcDataChannelState::Open => {
                return Poll::Ready(Err(Ended::Cut));
            }
            Err(error) => return Poll::Ready(Err(Ended::Failed(js::said(&error)))),
        }
        Poll::Ready(Ok(bytes.len()))
    }

    /// Ready when the browser has sent everything, or sends nothing any more.
    pub(super) fn poll_sent(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.data.buffered_amount() == 0 || self.shared.ended.borrow().is_some() {
            return Poll::Ready(());
        }
        self.shared.wait(cx)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.listen(None);
        if self.data.ready_state() != RtcDataChannelState::Open {
            return self.connection.close();
        }
        // What was sent goes first, where there is still a way.
        let (tell, closed) = oneshot::channel::<()>();
        let on_close = Closure::once(move |_: Event| drop(tell));
        self.data.set_onclose(Some(on_close.as_ref().unchecked_ref()));
        self.data.close();
        let (connection, data) = (self.connection.clone(), self.data.clone());
        let limit = self.runtime.sleep(LINGER);
        self.runtime.spawn(Box::pin(async move {
            tokio::select! {
                _ = closed => {}
                () = limit => {}
            }
            data.set_onclose(None);
            connection.close();
            drop(on_close);
        }));
    }
}

impl Shared {
    fn event(&self, event: &Event) {
        match event.type_().as_str() {
            "icecandidate" => self.found(event.unchecked_ref()),
            "connectionstatechange" => self.changed(event),
            "open" => self.tell(Told::Open),
            "message" => self.message(&event.unchecked_ref::<MessageEvent>().data()),
            "close" => self.end(Ended::Cut),
            _ => {} // what was to be sent was: whoever waits for it looks
        }
        if let Some(waiting) = self.waiting.borrow_mut().take() {
            waiting.wake();
        }
    }

    /// An empty one only says that there are no more.
    fn found(&self, event: &RtcPeerConnectionIceEvent) {
        let candidate = event.candidate().map(|candidate| candidate.candidate());
        if let Some(candidate) = candidate.filter(|candidate| !candidate.is_empty()) {
            self.tell(Told::Candidate(candidate));
        }
    }

    fn changed(&self, event: &Event) {
        let connection = event.target().and_then(|it| it.dyn_into::<RtcPeerConnection>().ok());
        let state = connection.map(|connection| connection.connection_state());
        if state == Some(RtcPeerConnectionState::Failed) {
            self.tell(Told::Failed);
            self.end(Ended::Failed("the way to the other device is lost".to_owned()));
        }
    }

    fn message(&self, data: &JsValue) {
        let mut flow = self.flow.borrow_mut();
        let taken = match (data.dyn_ref::<ArrayBuffer>(), data.as_string()) {
            _ if self.ended.borrow().is_some() => Ok(()),
            (Some(buffer), _) => flow.arrive(Uint8Array::new(buffer).to_vec()),
            (None, Some(text)) => flow.heard(&text),
            (None, None) => Err("a message that is neither bytes nor text".to_owned()),
        };
        if let Err(reason) = taken {
            self.end(Ended::Rubbish(reason));
        }
    }

    fn tell(&self, told: Told) {
        // Once it stands nobody listens any more.
        let _ = self.tell.send(told);
    }

    fn end(&self, ended: Ended) {
        self.ended.borrow_mut().get_or_insert(ended);
    }

    fn wait<T>(&self, cx: &Context<'_>) -> Poll<T> {
        *self.waiting.borrow_mut() = Some(cx.waker().clone());
        Poll::Pending
    }
}

async fn done(promise: Promise) -> Result<JsValue, String> {
    JsFuture::from(promise).await.map_err(|error| js::said(&error))
}
