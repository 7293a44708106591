//! [`NativeTransport`]: HTTP/1.1 and WebSockets over TCP, with TLS where the address says so.

mod connector;
mod socket;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{HeaderValue, SEC_WEBSOCKET_PROTOCOL};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tower_service::Service as _;

use self::connector::Connector;
use super::transport::{HttpTransport, Request, Response, Socket};
use crate::error::{Result, SyncError, describe};

/// A connection that rests so long is closed: shorter than what servers and what is between allow.
const RESTS: Duration = Duration::from_secs(50);
/// Connections that rest, at most.
const CONNECTIONS: usize = 4;
/// The most bytes of a message of a WebSocket.
const MESSAGE: usize = 64 << 20;

/// A [`HttpTransport`] of native programs: HTTP/1.1 and WebSockets over TCP; TLS 1.2 and 1.3 by rustls for `https://` and `wss://`.
/// Connections are kept for the next request.
///
/// It must be used within a tokio runtime that has its I/O and its timers enabled. It knows no proxies.
pub struct NativeTransport {
    client: Client<Connector, Full<Bytes>>,
    connector: Connector,
}

impl fmt::Debug for NativeTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NativeTransport")
    }
}

impl NativeTransport {
    /// One that trusts the certificate authorities that the operating system trusts. On Android and iOS these cannot be read: give it a
    /// configuration there ([`with_tls`](Self::with_tls)).
    ///
    /// # Errors
    /// [`SyncError::Transport`] when TLS cannot be prepared.
    pub fn new() -> Result<Self> {
        let mut roots = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        let (trusted, unreadable) = roots.add_parsable_certificates(found.certs);
        tracing::debug!(trusted, unreadable, "certificate authorities of the system");
        Self::trusting(roots)
    }

    /// One that trusts these certificates and authorities only, in PEM: those of a server that has made its certificate itself, say.
    ///
    /// # Errors
    /// [`SyncError::Transport`] when no certificate is in it, or one that cannot be read.
    pub fn trusting_pem(pem: &[u8]) -> Result<Self> {
        let unreadable = |error: &dyn std::error::Error| unprepared(describe(error));
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|error| unreadable(&error))?;
            roots.add(certificate).map_err(|error| unreadable(&error))?;
        }
        match roots.is_empty() {
            true => Err(unprepared("there is no certificate in it".to_owned())),
            false => Self::trusting(roots),
        }
    }

    /// One with a configuration of TLS of your own ([`rustls`](super::rustls)).
    #[must_use]
    pub fn with_tls(config: Arc<ClientConfig>) -> Self {
        let connector = Connector::new(config);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(RESTS)
            .pool_max_idle_per_host(CONNECTIONS)
            .build(connector.clone());
        Self { client, connector }
    }

    fn trusting(roots: RootCertStore) -> Result<Self> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| unprepared(describe(&error)))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self::with_tls(Arc::new(config)))
    }
}

fn unprepared(reason: String) -> SyncError {
    SyncError::Transport { during: "preparing TLS", reason }
}

fn failed(error: &dyn std::error::Error) -> SyncError {
    SyncError::Transport { during: "making a request", reason: describe(error) }
}

#[async_trait]
impl HttpTransport for NativeTransport {
    async fn request(&self, request: Request) -> Result<Response> {
        let Request { method, url, headers, body, most_bytes } = request;
        let mut asked = hyper::Request::builder().method(method.as_str()).uri(url);
        for (name, value) in headers {
            asked = asked.header(name, value);
        }
        let asked = asked.body(Full::from(body)).map_err(|error| failed(&error))?;
        let answer = self.client.request(asked).await.map_err(|error| failed(&error))?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, most_bytes).collect().await;
        let body = body.map_err(|error| failed(&*error))?.to_bytes();
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let headers = head.headers.iter().map(|(name, value)| (name.to_string(), text(value)));
        let (status, headers) = (head.status.as_u16(), headers.collect());
        Ok(Response { status, headers, body: body.into() })
    }

    async fn connect(&self, url: &str, protocols: &[&str]) -> Result<Socket> {
        // `ws` becomes `http`, and `wss` becomes `https`.
        let address = format!("http{}", url.trim_start_matches("ws"));
        let address = address.parse().map_err(|error: hyper::http::uri::InvalidUri| failed(&error));
        let stream =
            self.connector.clone().call(address?).await.map_err(|error| failed(&*error))?;
        let mut asked = url.into_client_request().map_err(|error| failed(&error))?;
        if !protocols.is_empty() {
            let list = HeaderValue::try_from(protocols.join(", "));
            let list = list.map_err(|error| failed(&error))?;
            asked.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, list);
        }
        let config = WebSocketConfig::default()
            .max_message_size(Some(MESSAGE))
            .max_frame_size(Some(MESSAGE));
        let stream = stream.into_inner();
        let made = tokio_tungstenite::client_async_with_config(asked, stream, Some(config)).await;
        made.map(|(socket, _)| socket::halves(socket)).map_err(|error| socket::refused(&error))
    }
}
