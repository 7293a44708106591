//! WebSockets (RFC 6455): the handshake, and the socket behind it.

use axum::extract::FromRequestParts;
use axum::http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use storex_core::Runtime;
use storex_sync::http::messages::WATCH_PROTOCOL;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use super::failure::{Failure, Outcome, malformed};
use crate::serve::ConnectionPermit;

/// A WebSocket, as the server has it.
pub(crate) type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// Buffers for messages of up to so many bytes. The crate's own are 128 KiB for each socket, idle or not.
pub(crate) fn socket_config(message_bytes: usize, buffer: usize) -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(buffer)
        .write_buffer_size(0)
        .max_write_buffer_size(message_bytes.saturating_mul(2).max(64 << 10))
        .max_message_size(Some(message_bytes))
        .max_frame_size(Some(message_bytes))
}

/// A request for a WebSocket.
#[derive(Debug)]
pub(crate) struct Upgrade {
    upgrade: OnUpgrade,
    accept: HeaderValue,
    watch: bool,
    /// The socket is the connection that it came over, and counts as that until it is dropped.
    counted: Option<ConnectionPermit>,
}

impl<S: Send + Sync> FromRequestParts<S> for Upgrade {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Outcome<Self> {
        let headers = &parts.headers;
        let asked = parts.method == Method::GET
            && has_token(headers, &CONNECTION, "upgrade")
            && has_token(headers, &UPGRADE, "websocket");
        if !asked {
            return Err(malformed("only a WebSocket is answered here"));
        }
        if headers.get(SEC_WEBSOCKET_VERSION).map(HeaderValue::as_bytes) != Some(b"13") {
            return Err(malformed("only version 13 of the WebSocket protocol is known"));
        }
        let key = headers.get(SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes);
        let accept = key.map(derive_accept_key).and_then(|it| HeaderValue::from_str(&it).ok());
        let accept = accept.ok_or_else(|| malformed("there is no `sec-websocket-key`"))?;
        let watch = has_token(headers, &SEC_WEBSOCKET_PROTOCOL, WATCH_PROTOCOL);
        let upgrade = parts.extensions.remove::<OnUpgrade>();
        let upgrade = upgrade.ok_or_else(|| malformed("this connection can be no WebSocket"))?;
        let counted = parts.extensions.get::<ConnectionPermit>().cloned();
        Ok(Self { upgrade, accept, watch, counted })
    }
}

fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let lists = headers.get_all(name).iter().filter_map(|it| it.to_str().ok());
    lists.flat_map(|list| list.split(',')).any(|it| it.trim().eq_ignore_ascii_case(token))
}

impl Upgrade {
    /// Agrees, and runs the task on the socket once it is there.
    pub(crate) fn accept<F>(
        self,
        runtime: &dyn Runtime,
        config: WebSocketConfig,
        task: impl FnOnce(Socket) -> F + Send + 'static,
    ) -> Response
    where
        F: Future<Output = ()> + Send,
    {
        let Self { upgrade, accept, watch, counted } = self;
        runtime.spawn(Box::pin(async move {
            let _counted = counted;
            match upgrade.await {
                Ok(upgraded) => {
                    let stream = TokioIo::new(upgraded);
                    let socket =
                        WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await;
                    task(socket).await;
                }
                Err(error) => tracing::debug!(%error, "a WebSocket did not come to be"),
            }
        }));
        let headers = [
            (CONNECTION, HeaderValue::from_static("upgrade")),
            (UPGRADE, HeaderValue::from_static("websocket")),
            (SEC_WEBSOCKET_ACCEPT, accept),
        ];
        let mut response = (StatusCode::SWITCHING_PROTOCOLS, headers).into_response();
        if watch {
            let protocol = HeaderValue::from_static(WATCH_PROTOCOL);
            response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, protocol);
        }
        response
    }
}
