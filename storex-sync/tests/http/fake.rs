//! [`FakeServer`]: a server that is reached without a network, and does what a script says.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use storex_core::Runtime;
use storex_memory::TestRuntime;
use storex_sync::http::messages::{
    ChangedAnswer, Dismiss, DismissAnswer, LogAnswer, Register, UsageAnswer, WatchNews, WatchPlace,
    WatchToken,
};
use storex_sync::http::{
    Code, Credentials, HttpClient, HttpSharedLog, HttpTransport, Method, Problem, Request,
    Response, Socket, SocketMessage, SocketReceiver, SocketSender, device_of_text, wire,
};
use storex_sync::{Cursor, MemorySharedLog, Result, SharedSyncLog, SyncError};
use tokio::sync::{broadcast, mpsc};

/// What happens to a request.
#[derive(Debug, Clone)]
pub enum Fault {
    /// No connection.
    Fail,
    /// It is never answered.
    Hang,
    /// This is the answer, and nothing was done.
    Answer(Response),
}

/// What happens to WebSockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sockets {
    #[default]
    Served,
    /// Something between does not know them.
    Refused,
    /// Nothing is ever said.
    Silent,
    /// Closed as soon as they are open.
    Closed(u16),
}

#[derive(Debug, Default)]
struct State {
    script: VecDeque<Fault>,
    requests: Vec<Request>,
    /// The only token that is accepted.
    token: Option<String>,
    /// But for that of another account, whose log it is.
    other: Option<(String, Arc<MemorySharedLog>)>,
    most_bytes: Option<usize>,
    sockets: Sockets,
    connects: usize,
    open: usize,
    given_up: usize,
    /// The seat of the second one who comes to a room.
    seat: Option<Socket>,
}

/// A server with one log, and one room.
#[derive(Debug)]
pub struct FakeServer {
    pub log: Arc<MemorySharedLog>,
    state: Mutex<State>,
    closing: broadcast::Sender<u16>,
}

impl FakeServer {
    pub fn new(log: &Arc<MemorySharedLog>) -> Arc<Self> {
        let (log, closing) = (Arc::clone(log), broadcast::channel(8).0);
        Arc::new(Self { log, state: Mutex::default(), closing })
    }

    pub fn client(self: &Arc<Self>) -> HttpClient {
        let (transport, runtime) = self.parts();
        HttpClient::new(transport, "https://example.org/sync/", runtime).unwrap()
    }

    /// What a client is made of.
    pub fn parts(self: &Arc<Self>) -> (Arc<dyn HttpTransport>, Arc<dyn Runtime>) {
        (Arc::new(Network(Arc::clone(self))), Arc::new(TestRuntime::new(9)))
    }

    pub fn shared_log(self: &Arc<Self>) -> Arc<HttpSharedLog> {
        Arc::new(HttpSharedLog::new(self.client()))
    }

    pub fn log_of(self: &Arc<Self>, credentials: Arc<dyn Credentials>) -> Arc<HttpSharedLog> {
        Arc::new(HttpSharedLog::new(self.client().credentials(credentials)))
    }

    /// What happens to the next requests; then they are answered.
    pub fn script(&self, faults: impl IntoIterator<Item = Fault>) {
        self.lock().script.extend(faults);
    }

    /// The next request is answered so.
    pub fn answers(&self, status: u16, headers: &[(&str, &str)], body: &str) {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let headers = headers.iter().map(own).collect();
        self.script([Fault::Answer(Response { status, headers, body: body.into() })]);
    }

    pub fn accept(&self, token: &str) {
        self.lock().token = Some(token.to_owned());
    }

    /// A token of another account.
    pub fn accept_for(&self, token: &str, log: &Arc<MemorySharedLog>) {
        self.lock().other = Some((token.to_owned(), Arc::clone(log)));
    }

    pub fn take_at_most(&self, bytes: usize) {
        self.lock().most_bytes = Some(bytes);
    }

    pub fn sockets(&self, sockets: Sockets) {
        self.lock().sockets = sockets;
    }

    /// Closes all WebSockets with this code.
    pub fn close_sockets(&self, code: u16) {
        let _ = self.closing.send(code);
    }

    pub fn requests(&self) -> Vec<Request> {
        self.lock().requests.clone()
    }

    pub fn forget(&self) {
        self.lock().requests.clear();
    }

    /// How often a WebSocket was asked for, and how many are open.
    pub fn connects(&self) -> (usize, usize) {
        let state = self.lock();
        (state.connects, state.open)
    }

    /// How many requests were given up before they were answered.
    pub fn given_up(&self) -> usize {
        self.lock().given_up
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// The log of whoever asks, if the token is accepted.
    fn log_of_caller(&self, request: &Request) -> Option<Arc<MemorySharedLog>> {
        let state = self.lock();
        let token = request.header("authorization").and_then(|it| it.strip_prefix("Bearer "));
        match (&state.token, &state.other) {
            (_, Some((other, log))) if token == Some(other) => Some(Arc::clone(log)),
            (Some(accepted), _) if token != Some(accepted) => None,
            _ => Some(Arc::clone(&self.log)),
        }
    }

    async fn answer(&self, request: &Request) -> Result<Response, Problem> {
        let expired = || Problem::new(Code::Unauthorized, "the token has expired");
        let log = self.log_of_caller(request).ok_or_else(expired)?;
        if let Some(most) = self.lock().most_bytes.filter(|most| request.body.len() > *most) {
            let limit = Some(most as u64);
            return Err(Problem { limit, ..Problem::new(Code::BodyTooLarge, "too large") });
        }
        let path = request.url.strip_prefix("https://example.org/sync").unwrap();
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let parameter = |name: &str| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.find(|(it, _)| *it == name).unwrap().1.to_owned()
        };
        let failed = |error: SyncError| Problem::of(&error);
        match (request.method, path) {
            (Method::Post, "/v1/devices") => {
                let body: Register = serde_json::from_slice(&plain(request)).unwrap();
                let log = log.register(body.device).await.map_err(failed)?;
                Ok(json(&LogAnswer { log }))
            }
            (Method::Post, "/v1/log/exchange") => {
                let asked = wire::decode_request(&plain(request), 1000).map_err(failed)?;
                let limit = parameter("limit").parse().unwrap();
                let page = log.exchange(&asked, limit).await.map_err(failed)?;
                Ok(match page {
                    Some(page) => typed(wire::PAGE_TYPE, wire::encode_page(&page)),
                    None => Response { status: 204, ..Response::default() },
                })
            }
            (Method::Get, "/v1/log/changed") => {
                let device = device_of_text(&parameter("device")).map_err(failed)?;
                let after = unhex(&parameter("after"));
                let wait = Duration::from_secs(parameter("wait").parse().unwrap());
                let changed = tokio::select! {
                    biased;
                    changed = log.changed(device, &after) => changed.map(|()| true),
                    () = tokio::time::sleep(wait) => Ok(false),
                };
                Ok(json(&ChangedAnswer { changed: changed.map_err(failed)? }))
            }
            (Method::Post, "/v1/log/dismiss") => {
                let body: Dismiss = serde_json::from_slice(&plain(request)).unwrap();
                let dismissed = log.dismiss(body.device).await.map_err(failed)?;
                Ok(json(&DismissAnswer { dismissed }))
            }
            (Method::Get, "/v1/log/usage") => {
                let usage = log.snapshots().unwrap().usage().await.map_err(failed)?;
                Ok(json(&UsageAnswer::from(usage)))
            }
            _ => Err(Problem::new(Code::NotFound, "no such thing")),
        }
    }

    async fn watch(self: Arc<Self>, mut ends: Ends) {
        let mut closing = self.closing.subscribe();
        let token = self.lock().token.clone();
        if let Some(token) = token {
            let said = ends.text().await.map(|text| serde_json::from_str::<WatchToken>(&text));
            if said.is_none_or(|said| said.unwrap().token != token) {
                return ends.close(4401);
            }
        }
        let mut place: Option<WatchPlace> = None;
        loop {
            let news = async {
                match &place {
                    Some(WatchPlace { device, after }) => self.log.changed(*device, after).await,
                    None => std::future::pending().await,
                }
            };
            let heartbeat = tokio::time::sleep(Duration::from_secs(20));
            tokio::select! {
                code = closing.recv() => return ends.close(code.unwrap()),
                said = ends.text() => match said {
                    Some(text) => place = Some(serde_json::from_str(&text).unwrap()),
                    None => return,
                },
                news = news => match news {
                    Ok(()) => {
                        place = None;
                        ends.say(&WatchNews { news: true });
                    }
                    Err(_) => return ends.close(4400),
                },
                () = heartbeat => ends.say(&WatchNews::default()),
            }
        }
    }
}

fn plain(request: &Request) -> Vec<u8> {
    match request.header("content-encoding") {
        None => request.body.clone(),
        #[cfg(feature = "zstd")]
        Some("zstd") => zstd::bulk::decompress(&request.body, 1 << 24).unwrap(),
        Some(other) => panic!("compressed with {other}"),
    }
}

fn unhex(text: &str) -> Cursor {
    let pairs = text.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    Cursor(pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect())
}

fn typed(media_type: &str, body: Vec<u8>) -> Response {
    let headers = vec![("content-type".to_owned(), media_type.to_owned())];
    Response { status: 200, headers, body }
}

fn json(body: &impl serde::Serialize) -> Response {
    typed("application/json; charset=utf-8", serde_json::to_vec(body).unwrap())
}

/// What is between the clients and the server.
#[derive(Debug)]
struct Network(Arc<FakeServer>);

/// Counts requests that were given up.
struct UnderWay<'a>(&'a FakeServer, bool);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if self.1 {
            self.0.lock().given_up += 1;
        }
    }
}

fn no_way() -> SyncError {
    SyncError::Transport { during: "carrying", reason: "there is no connection".to_owned() }
}

#[async_trait]
impl HttpTransport for Network {
    async fn request(&self, request: Request) -> Result<Response> {
        let fault = {
            let mut state = self.0.lock();
            state.requests.push(request.clone());
            state.script.pop_front()
        };
        let mut under_way = UnderWay(&self.0, true);
        let answer = match fault {
            None => Ok(self.0.answer(&request).await.unwrap_or_else(|problem| {
                let body = serde_json::to_vec(&problem).unwrap();
                Response { status: problem.status(), ..typed("application/problem+json", body) }
            })),
            Some(Fault::Fail) => Err(no_way()),
            Some(Fault::Hang) => std::future::pending().await,
            Some(Fault::Answer(response)) => Ok(response),
        };
        under_way.1 = false;
        answer
    }

    async fn connect(&self, url: &str, protocols: &[&str]) -> Result<Socket> {
        if url.starts_with("wss://example.org/sync/v1/rooms/") {
            let taken = self.0.lock().seat.take();
            return Ok(taken.unwrap_or_else(|| {
                let (first, second) = both_ends();
                self.0.lock().seat = Some(second);
                first
            }));
        }
        assert_eq!((url, protocols), ("wss://example.org/sync/v1/log/watch", &["storex.v1"][..]));
        let sockets = {
            let mut state = self.0.lock();
            state.connects += 1;
            state.sockets
        };
        if sockets == Sockets::Refused {
            return Err(no_way());
        }
        self.0.lock().open += 1;
        let (to_server, from_client) = mpsc::unbounded_channel();
        let (to_client, from_server) = mpsc::unbounded_channel();
        let mut ends = Ends { from_client, to_client };
        let server = Arc::clone(&self.0);
        tokio::spawn(async move {
            match sockets {
                Sockets::Closed(code) => ends.close(code),
                Sockets::Silent => while ends.from_client.recv().await.is_some() {},
                _ => Arc::clone(&server).watch(ends).await,
            }
            server.lock().open -= 1;
        });
        Ok(Socket { sender: Box::new(Out(to_server)), receiver: Box::new(In(from_server)) })
    }
}

/// Two WebSockets, of which each says what the other one is told.
fn both_ends() -> (Socket, Socket) {
    let ((to_second, from_first), (to_first, from_second)) =
        (mpsc::unbounded_channel(), mpsc::unbounded_channel());
    let socket = |out, r#in| Socket { sender: Box::new(Out(out)), receiver: Box::new(In(r#in)) };
    (socket(to_second, from_second), socket(to_first, from_first))
}

/// The server's end of a WebSocket.
struct Ends {
    from_client: mpsc::UnboundedReceiver<SocketMessage>,
    to_client: mpsc::UnboundedSender<SocketMessage>,
}

impl Ends {
    async fn text(&mut self) -> Option<String> {
        match self.from_client.recv().await? {
            SocketMessage::Text(text) => Some(text),
            other => panic!("{other:?}"),
        }
    }

    fn say(&self, message: &impl serde::Serialize) {
        let _ = self.to_client.send(SocketMessage::Text(serde_json::to_string(message).unwrap()));
    }

    fn close(&self, code: u16) {
        let _ = self.to_client.send(SocketMessage::Closed { code, reason: String::new() });
    }
}

#[derive(Debug)]
struct Out(mpsc::UnboundedSender<SocketMessage>);

#[async_trait]
impl SocketSender for Out {
    async fn send(&mut self, message: SocketMessage) -> Result<()> {
        self.0.send(message).map_err(|_| SyncError::Closed { during: "sending" })
    }
}

#[derive(Debug)]
struct In(mpsc::UnboundedReceiver<SocketMessage>);

#[async_trait]
impl SocketReceiver for In {
    async fn recv(&mut self) -> Result<SocketMessage> {
        let cut = SocketMessage::Closed { code: 1006, reason: "cut".to_owned() };
        Ok(self.0.recv().await.unwrap_or(cut))
    }
}
