//! Who asks a server: connections that are kept, and WebSockets that wait for news.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

use futures_util::{SinkExt as _, StreamExt as _};
use storex_sync::http::messages::{WATCH_PROTOCOL, WatchPlace};
use storex_sync::http::wire;
use storex_sync::{Cursor, Device, LogRequest, SealedTransaction};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use crate::server_side::token;
use crate::workload::Random;

/// The bytes of one transaction: those of a note that is created.
pub const PAYLOAD: usize = 300;

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// To read where there is nothing new.
    Idle,
    /// To append so many transactions, and to read.
    Append(usize),
    /// To acknowledge the place, to append one transaction, and to read.
    AcknowledgeAndAppend,
}

/// A device of a user, with a connection that it keeps.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    received: Vec<u8>,
    token: String,
    device: Device,
    sequence: u64,
    place: Cursor,
    random: Random,
}

impl Client {
    /// Connects.
    pub async fn open(address: SocketAddr, user: usize) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            received: Vec::new(),
            token: token(user),
            device: Device { id: [1; 16], incarnation: 0 },
            sequence: 0,
            place: Cursor::default(),
            random: Random(user as u64),
        }
    }

    /// Exchanges once. Tells how many seconds it took, from the first byte that was sent to the last that came.
    pub async fn exchange(&mut self, work: Work) -> f64 {
        let count = match work {
            Work::Idle => 0,
            Work::Append(count) => count,
            Work::AcknowledgeAndAppend => 1,
        };
        let append = (0..count).map(|_| self.transaction()).collect();
        let acknowledge = (work == Work::AcknowledgeAndAppend).then(|| self.place.clone());
        let read = Some(self.place.clone());
        let request = LogRequest { device: self.device, acknowledge, append, read };
        let body = wire::encode_request(&request).unwrap();
        let mut bytes = format!(
            "POST /v1/log/exchange HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\ncontent-type: {}\r\ncontent-length: {}\r\n\r\n",
            self.token,
            wire::REQUEST_TYPE,
            body.len()
        )
        .into_bytes();
        bytes.extend_from_slice(&body);
        let began = Instant::now();
        let answer = self.ask(&bytes).await;
        let took = began.elapsed().as_secs_f64();
        let page = wire::decode_page(&answer).unwrap();
        assert!(page.transactions.is_empty() && !page.more);
        self.place = page.cursor;
        took
    }

    /// How many transactions it has appended.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.sequence
    }

    fn transaction(&mut self) -> SealedTransaction {
        self.sequence += 1;
        let payload = self.random.text(PAYLOAD).into_bytes();
        SealedTransaction { device: self.device, sequence: self.sequence, payload }
    }

    async fn ask(&mut self, request: &[u8]) -> Vec<u8> {
        self.stream.write_all(request).await.unwrap();
        self.received.clear();
        loop {
            let count = self.stream.read_buf(&mut self.received).await.unwrap();
            assert!(count > 0, "the server has closed the connection");
            if let Some((head, length)) = lengths(&self.received)
                && self.received.len() >= head + length
            {
                return self.received.split_off(head);
            }
        }
    }
}

/// The lengths of an answer's head and body, when the head is there.
fn lengths(received: &[u8]) -> Option<(usize, usize)> {
    let end = received.windows(4).position(|it| it == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&received[..end]).unwrap().to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 200"), "{head}");
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")).unwrap();
    Some((end, length.trim().parse().unwrap()))
}

/// How the WebSockets reach the server.
#[derive(Clone)]
pub enum Over {
    /// As it is.
    Tcp,
    /// By TLS, for this name.
    Tls(TlsConnector, &'static str),
}

impl std::fmt::Debug for Over {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Over")
    }
}

/// Opens a WebSocket that waits for news behind this place, and listens to it until it is aborted. Counts it when the server has said
/// something on it.
pub async fn watch(
    address: SocketAddr,
    over: Over,
    user: usize,
    after: Cursor,
    alive: Arc<AtomicUsize>,
) {
    let stream = TcpStream::connect(address).await.unwrap();
    match over {
        Over::Tcp => listen(stream, user, after, alive).await,
        Over::Tls(connector, name) => {
            let name = ServerName::try_from(name).unwrap();
            listen(connector.connect(name, stream).await.unwrap(), user, after, alive).await;
        }
    }
}

async fn listen(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    user: usize,
    after: Cursor,
    alive: Arc<AtomicUsize>,
) {
    let mut request = "ws://localhost/v1/log/watch".into_client_request().unwrap();
    let headers = request.headers_mut();
    headers.insert("sec-websocket-protocol", WATCH_PROTOCOL.parse().unwrap());
    headers.insert("authorization", format!("Bearer {}", token(user)).parse().unwrap());
    let (mut socket, _) = tokio_tungstenite::client_async(request, stream).await.unwrap();
    let place = WatchPlace { device: Device { id: [1; 16], incarnation: 0 }, after };
    socket.send(Message::text(serde_json::to_string(&place).unwrap())).await.unwrap();
    let mut counted = false;
    while let Some(message) = socket.next().await {
        if let Message::Text(text) = message.unwrap() {
            assert_eq!(text.as_str(), "{}", "there is no news");
            if !std::mem::replace(&mut counted, true) {
                alive.fetch_add(1, Relaxed);
            }
        }
    }
    panic!("the server has closed a WebSocket");
}
