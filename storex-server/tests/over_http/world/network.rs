//! [`Network`]: connections in memory, and [`Wire`]: a device's way to the servers, to which things happen.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use storex_server::Listener;
use storex_sync::http::{
    HttpTransport, Method, Request, Response, Socket, SocketMessage, SocketReceiver, SocketSender,
    wire,
};
use storex_sync::{LogRequest, Result, SyncError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::sync::{broadcast, mpsc};
use tokio::time::{Instant, sleep};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

/// What a connection holds that nobody has read yet.
const PIPE: usize = 64 << 10;

/// The servers that can be reached, by the names of their hosts.
#[derive(Debug, Default)]
pub struct Network {
    doors: Mutex<HashMap<String, mpsc::UnboundedSender<DuplexStream>>>,
}

/// What a server listens to.
pub struct Doorway(tokio::sync::Mutex<mpsc::UnboundedReceiver<DuplexStream>>);

impl Listener for Doorway {
    type Stream = DuplexStream;

    async fn accept(&self) -> io::Result<(DuplexStream, IpAddr)> {
        match self.0.lock().await.recv().await {
            Some(stream) => Ok((stream, Ipv4Addr::LOCALHOST.into())),
            None => std::future::pending().await,
        }
    }
}

impl Network {
    /// Where a server of this name listens, from now on.
    pub fn listen(&self, host: &str) -> Doorway {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.doors.lock().unwrap().insert(host.to_owned(), sender);
        Doorway(tokio::sync::Mutex::new(receiver))
    }

    fn connect(&self, host: &str) -> Result<DuplexStream> {
        let (here, there) = tokio::io::duplex(PIPE);
        let doors = self.doors.lock().unwrap();
        match doors.get(host).map(|door| door.send(there)) {
            Some(Ok(())) => Ok(here),
            _ => Err(lost("there is no connection")),
        }
    }
}

fn lost(reason: &str) -> SyncError {
    SyncError::Transport { during: "carrying", reason: reason.to_owned() }
}

/// What happens to a request.
#[derive(Debug, Clone)]
pub enum Fault {
    /// It goes through.
    None,
    /// There is no connection.
    Fail,
    /// It is never answered.
    Hang,
    /// It is carried out, and its answer gets lost.
    LoseAnswer,
    /// It is carried out, and half of its answer arrives.
    CutAnswer,
    /// Something answers so, and nothing was done.
    Answer(u16, Vec<(&'static str, String)>, String),
    /// It is carried out, and this is the answer.
    AnswerInstead(u16, Vec<(&'static str, String)>, String),
    /// It takes so long to get there.
    Delay(Duration),
}

/// What happens to WebSockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sockets {
    #[default]
    Served,
    /// Something between does not know them.
    Refused,
    /// What the server says does not arrive any more, and nobody is told so.
    Silent,
    /// The next thing that the server says gets lost.
    LosesOne,
}

/// A request that was made.
#[derive(Debug, Clone)]
pub struct Asked {
    pub at: Instant,
    pub path: String,
    pub bytes: usize,
    /// What was to be exchanged, if that was it.
    pub exchange: Option<LogRequest>,
}

impl Asked {
    pub fn sends(&self) -> bool {
        self.exchange.as_ref().is_some_and(|it| !it.append.is_empty())
    }
}

#[derive(Debug, Default)]
struct State {
    host: String,
    script: VecDeque<(&'static str, Fault)>,
    down: bool,
    latency: Duration,
    asked: Vec<Asked>,
    sockets: Sockets,
    /// When a WebSocket was asked for.
    connects: Vec<Instant>,
}

/// A device's way to the servers.
#[derive(Debug)]
pub struct Wire {
    network: Arc<Network>,
    state: Mutex<State>,
    /// Messages that a WebSocket is made to say.
    forged: broadcast::Sender<SocketMessage>,
}

impl Wire {
    pub fn to(network: &Arc<Network>, host: &str) -> Arc<Self> {
        let state = Mutex::new(State { host: host.to_owned(), ..State::default() });
        Arc::new(Self { network: Arc::clone(network), state, forged: broadcast::Sender::new(8) })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Whatever host a request names, this one gets it.
    pub fn lead_to(&self, host: &str) {
        self.lock().host = host.to_owned();
    }

    /// What happens to the next requests whose path begins so; then they go through.
    pub fn script(&self, path: &'static str, faults: impl IntoIterator<Item = Fault>) {
        self.lock().script.extend(faults.into_iter().map(|fault| (path, fault)));
    }

    /// There is no connection any more, or again.
    pub fn down(&self, down: bool) {
        self.lock().down = down;
        if down {
            self.close_sockets(1006);
        }
    }

    /// Each request takes so much longer from now on.
    pub fn latency(&self, latency: Duration) {
        self.lock().latency = latency;
    }

    pub fn sockets(&self, sockets: Sockets) {
        self.lock().sockets = sockets;
    }

    pub fn close_sockets(&self, code: u16) {
        self.forge(SocketMessage::Closed { code, reason: "on purpose".to_owned() });
    }

    /// The open WebSockets say this.
    pub fn forge(&self, message: SocketMessage) {
        let _ = self.forged.send(message);
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.lock().asked.clone()
    }

    /// When exchanges were made. What only acknowledges one is none.
    pub fn exchanges(&self) -> Vec<Instant> {
        let does = |it: &LogRequest| it.read.is_some() || !it.append.is_empty();
        let asked = self.asked();
        asked.iter().filter(|it| it.exchange.as_ref().is_some_and(does)).map(|it| it.at).collect()
    }

    /// Requests that were made, but for those for news.
    pub fn rounds(&self) -> usize {
        self.asked().iter().filter(|it| !it.path.starts_with("/v1/log/changed")).count()
    }

    /// When a WebSocket was asked for.
    pub fn connects(&self) -> Vec<Instant> {
        self.lock().connects.clone()
    }

    /// Requests and WebSockets that were tried.
    pub fn attempts(&self) -> usize {
        let state = self.lock();
        state.asked.len() + state.connects.len()
    }

    pub fn forget(&self) {
        let mut state = self.lock();
        state.asked.clear();
        state.connects.clear();
    }
}

/// The path and the query of an address.
fn path_of(url: &str) -> String {
    let (_, rest) = url.split_once("://").unwrap();
    let (_, path) = rest.split_once('/').unwrap();
    format!("/{path}")
}

fn exchange_of(request: &Request) -> LogRequest {
    let body = match request.header("content-encoding") {
        None => request.body.clone(),
        Some("zstd") => zstd::bulk::decompress(&request.body, 1 << 26).unwrap(),
        Some(other) => panic!("compressed with {other}"),
    };
    wire::decode_request(&body, usize::MAX).unwrap()
}

/// Makes a request as bytes, and reads the answer as such.
async fn carry(stream: DuplexStream, path: &str, request: &Request) -> io::Result<Vec<u8>> {
    let mut head = format!("{} {path} HTTP/1.1\r\nhost: test\r\n", request.method.as_str());
    head.push_str("connection: close\r\n");
    for (name, value) in &request.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if !matches!(request.method, Method::Get) {
        head.push_str(&format!("content-length: {}\r\n", request.body.len()));
    }
    head.push_str("\r\n");
    let (mut reads, mut writes) = tokio::io::split(stream);
    let writing = async {
        // The server may have answered before it has read everything.
        let _ = writes.write_all(head.as_bytes()).await;
        let _ = writes.write_all(&request.body).await;
    };
    let mut answer = Vec::new();
    let (read, ()) = tokio::join!(reads.read_to_end(&mut answer), writing);
    read.map(|_| answer)
}

fn response(status: u16, headers: &[(&'static str, String)], body: &str) -> Response {
    let headers = headers.iter().map(|(name, it)| ((*name).to_owned(), it.clone())).collect();
    Response { status, headers, body: body.as_bytes().to_vec() }
}

fn parse(bytes: &[u8]) -> Option<Response> {
    let end = bytes.windows(4).position(|it| it == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).ok()?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let header = |line: &str| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_ascii_lowercase(), value.trim().to_owned()))
    };
    let headers: Vec<_> = lines.filter_map(header).collect();
    let answer = Response { status, headers, body: bytes[end + 4..].to_vec() };
    let length = answer.header("content-length").and_then(|it| it.parse().ok());
    length.is_none_or(|length: usize| length == answer.body.len()).then_some(answer)
}

#[async_trait]
impl HttpTransport for Wire {
    async fn request(&self, request: Request) -> Result<Response> {
        let path = path_of(&request.url);
        let (host, fault, latency) = {
            let mut state = self.lock();
            let exchange = path.starts_with("/v1/log/exchange").then(|| exchange_of(&request));
            let (at, bytes) = (Instant::now(), request.body.len());
            state.asked.push(Asked { at, path: path.clone(), bytes, exchange });
            let next = state.script.iter().position(|(begins, _)| path.starts_with(begins));
            let fault = next.and_then(|at| state.script.remove(at)).map(|(_, fault)| fault);
            let fault = if state.down { Some(Fault::Fail) } else { fault };
            (state.host.clone(), fault.unwrap_or(Fault::None), state.latency)
        };
        sleep(latency).await;
        match &fault {
            Fault::Fail => return Err(lost("there is no connection")),
            Fault::Hang => std::future::pending().await,
            Fault::Delay(delay) => sleep(*delay).await,
            Fault::Answer(status, headers, body) => return Ok(response(*status, headers, body)),
            _ => {}
        }
        let stream = self.network.connect(&host)?;
        let answer = carry(stream, &path, &request).await.map_err(|it| lost(&it.to_string()))?;
        match fault {
            Fault::LoseAnswer => Err(lost("the answer is lost")),
            Fault::CutAnswer => {
                parse(&answer[..answer.len() / 2]).ok_or_else(|| lost("the answer was cut"))
            }
            Fault::AnswerInstead(status, headers, body) => Ok(response(status, &headers, &body)),
            _ => parse(&answer).ok_or_else(|| lost("the connection was cut")),
        }
    }

    async fn connect(&self, url: &str, protocols: &[&str]) -> Result<Socket> {
        let (host, sockets, down) = {
            let mut state = self.lock();
            state.connects.push(Instant::now());
            let sockets = state.sockets;
            if sockets == Sockets::LosesOne {
                state.sockets = Sockets::Served;
            }
            (state.host.clone(), sockets, state.down)
        };
        if down || sockets == Sockets::Refused {
            return Err(lost("there is no WebSocket"));
        }
        let mut asked = format!("ws://test{}", path_of(url)).into_client_request().unwrap();
        asked.headers_mut().insert("sec-websocket-protocol", protocols.join(", ").parse().unwrap());
        let opened = tokio_tungstenite::client_async(asked, self.network.connect(&host)?).await;
        let (socket, _) = opened.map_err(|error| lost(&error.to_string()))?;
        let (sink, stream) = socket.split();
        let receiver = In { stream, sockets, forged: self.forged.subscribe(), ended: None };
        Ok(Socket { sender: Box::new(Out(sink)), receiver: Box::new(receiver) })
    }
}

#[derive(Debug)]
struct Out(SplitSink<WebSocketStream<DuplexStream>, Message>);

#[async_trait]
impl SocketSender for Out {
    async fn send(&mut self, message: SocketMessage) -> Result<()> {
        let SocketMessage::Text(text) = message else { panic!("a watch says texts") };
        self.0.send(Message::text(text)).await.map_err(|error| lost(&error.to_string()))
    }
}

#[derive(Debug)]
struct In {
    stream: SplitStream<WebSocketStream<DuplexStream>>,
    sockets: Sockets,
    forged: broadcast::Receiver<SocketMessage>,
    ended: Option<SocketMessage>,
}

impl In {
    async fn next(&mut self) -> SocketMessage {
        loop {
            let message = tokio::select! {
                Ok(forged) = self.forged.recv() => return forged,
                message = self.stream.next() => message,
            };
            let text = match message {
                Some(Ok(Message::Text(text))) => text,
                Some(Ok(Message::Close(Some(why)))) => {
                    let (code, reason) = (why.code.into(), why.reason.to_string());
                    return SocketMessage::Closed { code, reason };
                }
                Some(Ok(_)) => continue,
                Some(Err(_)) | None => {
                    return SocketMessage::Closed { code: 1006, reason: "cut".to_owned() };
                }
            };
            match self.sockets {
                Sockets::Silent => {}
                // Heartbeats say nothing that could be missed.
                Sockets::LosesOne if text.contains("true") => self.sockets = Sockets::Served,
                _ => return SocketMessage::Text(text.to_string()),
            }
        }
    }
}

#[async_trait]
impl SocketReceiver for In {
    async fn recv(&mut self) -> Result<SocketMessage> {
        if self.ended.is_none() {
            let message = self.next().await;
            if !matches!(message, SocketMessage::Closed { .. }) {
                return Ok(message);
            }
            self.ended = Some(message);
        }
        Ok(self.ended.clone().unwrap())
    }
}
