//! [`HttpClient`]: which server is asked, and how.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use storex_core::{Runtime, Timestamp};

use super::compress::{ACCEPTED, pack, unpack};
use super::credentials::{Credentials, Token};
use super::messages::ListedDevice;
use super::problem::Code;
use super::refusal::Refusal;
use super::text::id_text;
use super::transport::{HttpTransport, Method, Request, Response, Socket};
use crate::deadline;
use crate::error::{Result, SyncError};

/// How long a request may take, unless told otherwise.
const DEADLINE: Duration = Duration::from_secs(30);

/// The most bytes that an answer may have, compressed or not.
const MOST_BYTES: usize = 64 << 20;

pub(super) const JSON: &str = "application/json";
pub(super) const OCTETS: &str = "application/octet-stream";

/// Which server is asked, who asks, and how long an answer may take. Cheap to clone. That the server wants to be left alone
/// ([`SyncError::RateLimited`]) holds for all clones that ask in the same name: what they ask meanwhile is refused without a request.
///
/// ```
/// # #[cfg(all(feature = "http-native", not(target_family = "wasm")))]
/// # fn example(runtime: std::sync::Arc<dyn storex_core::Runtime>) -> storex_sync::Result<()> {
/// use std::sync::Arc;
/// use storex_sync::http::{HttpClient, HttpSharedLog, NativeTransport, StaticToken, Token};
///
/// let transport = Arc::new(NativeTransport::new()?);
/// let client = HttpClient::new(transport, "https://sync.example.org", runtime)?
///     .credentials(Arc::new(StaticToken(Token::new("what the server knows you by"))));
/// let log = HttpSharedLog::new(client); // for `Sync::open`
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct HttpClient {
    transport: Arc<dyn HttpTransport>,
    /// Without the slash at its end.
    address: String,
    runtime: Arc<dyn Runtime>,
    credentials: Option<Arc<dyn Credentials>>,
    deadline: Duration,
    /// Since when the server wants to be left alone, and for how long: by exchanges and watches alike, so all clones share it.
    rest: Arc<Mutex<Option<(Timestamp, Duration)>>>,
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpClient").field("address", &self.address).finish_non_exhaustive()
    }
}

/// A request, before it is known who makes it.
pub(super) struct Call {
    pub(super) method: Method,
    /// With the query; it begins with a slash.
    pub(super) path: String,
    pub(super) during: &'static str,
    body: Option<(&'static str, Vec<u8>)>,
    accept: &'static str,
    /// How long the server may wait before it answers.
    waits: Duration,
}

impl Call {
    pub(super) fn new(method: Method, path: impl Into<String>, during: &'static str) -> Self {
        let (path, waits) = (path.into(), Duration::ZERO);
        Self { method, path, during, body: None, accept: JSON, waits }
    }

    pub(super) fn body(mut self, media_type: &'static str, body: Vec<u8>) -> Self {
        self.body = Some((media_type, body));
        self
    }

    pub(super) fn json(self, body: &impl Serialize) -> Self {
        // What is sent has no maps, and no numbers that JSON lacks.
        let text = serde_json::to_vec(body).unwrap_or_default();
        self.body(JSON, text)
    }

    /// How large its body is.
    pub(super) fn bytes(&self) -> u64 {
        self.body.as_ref().map_or(0, |(_, body)| body.len() as u64)
    }

    pub(super) fn accept(mut self, media_type: &'static str) -> Self {
        self.accept = media_type;
        self
    }

    pub(super) fn waits(mut self, waits: Duration) -> Self {
        self.waits = waits;
        self
    }
}

impl HttpClient {
    /// A client of the server at this address, which may have a path in front of the server's own.
    ///
    /// # Errors
    /// [`SyncError::Transport`] for what is no address of a server.
    pub fn new(
        transport: Arc<dyn HttpTransport>,
        address: &str,
        runtime: Arc<dyn Runtime>,
    ) -> Result<Self> {
        let host = ["http://", "https://"].iter().find_map(|it| address.strip_prefix(it));
        let is_one = |host: &str| {
            !host.starts_with(['/', ':'])
                && !host.is_empty()
                && !host.contains(['?', '#', '@', ' '])
                && !host.contains(char::is_control)
        };
        if !host.is_some_and(is_one) {
            let reason = format!("{address:?} is not of the form `https://host/path`");
            let during = "reading the address of the server";
            return Err(SyncError::Transport { during, reason });
        }
        let address = address.trim_end_matches('/').to_owned();
        let (credentials, deadline, rest) = (None, DEADLINE, Arc::default());
        Ok(Self { transport, address, runtime, credentials, deadline, rest })
    }

    /// Who asks. Without it nobody is named.
    #[must_use]
    pub fn credentials(mut self, credentials: Arc<dyn Credentials>) -> Self {
        self.credentials = Some(credentials);
        // What somebody else was told does not count.
        self.rest = Arc::default();
        self
    }

    /// For what the server has a limit of its own for: what that is told does not hold for the rest.
    pub(super) fn apart(mut self) -> Self {
        self.rest = Arc::default();
        self
    }

    /// How long a request may take: 30 seconds unless told otherwise. Then it is given up with [`SyncError::Timeout`].
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// The devices that the server knows of this user.
    ///
    /// # Errors
    /// [`SyncError::Unauthorized`], [`SyncError::Transport`] and the others of a request.
    pub async fn devices(&self) -> Result<Vec<ListedDevice>> {
        let during = "asking for the devices";
        self.json(&Call::new(Method::Get, "/v1/devices", during)).await
    }

    /// Shuts a device out for good: the server takes nothing from it any more, and tells it so. Once more does nothing.
    ///
    /// # Errors
    /// As [`devices`](Self::devices).
    pub async fn revoke(&self, device: [u8; 16]) -> Result<()> {
        let path = format!("/v1/devices/{}", id_text(device));
        self.done(&Call::new(Method::Delete, path, "revoking a device")).await
    }

    pub(super) fn runtime(&self) -> &Arc<dyn Runtime> {
        &self.runtime
    }

    /// The token to ask with, if anybody is to be named.
    pub(super) async fn token(&self) -> Result<Option<Token>> {
        let Some(credentials) = &self.credentials else { return Ok(None) };
        self.in_time("getting the token", Duration::ZERO, credentials.token()).await.map(Some)
    }

    /// Another token in place of one that is not accepted.
    pub(super) async fn refresh(&self, rejected: Option<&Token>) -> Result<Token> {
        let (Some(credentials), Some(rejected)) = (&self.credentials, rejected) else {
            let reason = "the server wants to know who asks".to_owned();
            return Err(SyncError::Unauthorized { reason });
        };
        let during = "renewing the token";
        self.in_time(during, Duration::ZERO, credentials.refresh(rejected)).await
    }

    /// Makes a request, once more with another token if this one is not accepted any more.
    pub(super) async fn call(&self, call: &Call) -> Result<Response, Refusal> {
        self.leave_alone()?;
        let token = self.token().await?;
        let answer = self.request(call, token.as_ref()).await?;
        let (answer, token) = match answer.status {
            401 if token.is_some() => {
                let token = self.refresh(token.as_ref()).await?;
                (self.request(call, Some(&token)).await?, Some(token))
            }
            _ => (answer, token),
        };
        if (200..=299).contains(&answer.status) {
            return Ok(answer);
        }
        let refusal = Refusal::of(&answer, call);
        self.note_rest(&refusal);
        if let (SyncError::Unauthorized { .. }, Some(credentials), Some(token)) =
            (&refusal.error, &self.credentials, &token)
        {
            credentials.refused(token);
        }
        Err(refusal)
    }

    /// Refuses what the server would refuse, as it wants to be left alone.
    fn leave_alone(&self) -> Result<()> {
        let mut rest = self.rest.lock().unwrap_or_else(PoisonError::into_inner);
        let left = self.left_of(*rest);
        if left.is_zero() {
            *rest = None;
            return Ok(());
        }
        Err(SyncError::RateLimited { retry_after: left })
    }

    /// How long the server still wants to be left alone.
    fn left_of(&self, rest: Option<(Timestamp, Duration)>) -> Duration {
        let Some((since, wait)) = rest else { return Duration::ZERO };
        // A clock that was set back says nothing of how long that was ago.
        let passed = u64::try_from(self.runtime.now().0.saturating_sub(since.0));
        passed.map_or(Duration::ZERO, |it| wait.saturating_sub(Duration::from_millis(it)))
    }

    fn note_rest(&self, refusal: &Refusal) {
        // That there are too many rooms concerns nothing else.
        if let SyncError::RateLimited { retry_after } = refusal.error
            && refusal.code != Some(Code::TooManyRooms)
        {
            let mut rest = self.rest.lock().unwrap_or_else(PoisonError::into_inner);
            // Another request may have been told to wait for longer.
            if retry_after > self.left_of(*rest) {
                *rest = Some((self.runtime.now(), retry_after));
            }
        }
    }

    /// A request whose answer says nothing.
    pub(super) async fn done(&self, call: &Call) -> Result<()> {
        self.call(call).await?;
        Ok(())
    }

    /// A request that is answered in JSON.
    pub(super) async fn json<T: DeserializeOwned>(&self, call: &Call) -> Result<T> {
        let answer = self.call(call).await?;
        expect_type(&answer, JSON, call.during)?;
        serde_json::from_slice(&answer.body).map_err(|error| {
            let reason = format!("the answer cannot be read: {error}");
            SyncError::Transport { during: call.during, reason }
        })
    }

    /// A WebSocket to this path.
    pub(super) async fn connect(&self, path: &str, protocols: &[&str]) -> Result<Socket> {
        self.leave_alone()?;
        // `http` becomes `ws`, and `https` becomes `wss`.
        let url = format!("ws{}{path}", self.address.trim_start_matches("http"));
        let connecting = self.transport.connect(&url, protocols);
        self.in_time("opening a WebSocket", Duration::ZERO, connecting).await
    }

    pub(super) async fn in_time<T>(
        &self,
        during: &'static str,
        waits: Duration,
        request: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        deadline::in_time(&*self.runtime, self.deadline.saturating_add(waits), during, request)
            .await
    }

    async fn request(&self, call: &Call, token: Option<&Token>) -> Result<Response> {
        let Call { method, during, waits, .. } = *call;
        let mut headers = vec![("accept", call.accept.to_owned())];
        if let Some(accepted) = ACCEPTED {
            headers.push(("accept-encoding", accepted.to_owned()));
        }
        if let Some(token) = token {
            headers.push(("authorization", format!("Bearer {}", token.reveal())));
        }
        let mut body = Vec::new();
        if let Some((media_type, plain)) = &call.body {
            headers.push(("content-type", (*media_type).to_owned()));
            let (packed, encoding) = pack(plain);
            headers.extend(encoding.map(|encoding| ("content-encoding", encoding.to_owned())));
            body = packed;
        }
        let url = format!("{}{}", self.address, call.path);
        let request = Request { method, url, headers, body, most_bytes: MOST_BYTES };
        let answer = self.in_time(during, waits, self.transport.request(request)).await;
        let answer = answer.and_then(|answer| unpack(answer, MOST_BYTES));
        answer.map_err(|error| match error {
            SyncError::Transport { reason, .. } => SyncError::Transport { during, reason },
            error => error,
        })
    }
}

/// What is no answer of ours comes from something between, and is not looked into.
pub(super) fn expect_type(answer: &Response, media_type: &str, during: &'static str) -> Result<()> {
    if answer.is_of_type(media_type) {
        return Ok(());
    }
    let found = answer.header("content-type").unwrap_or("nothing");
    let reason = format!(
        "`{media_type}` was expected and `{found}` came: is this the address of a server of storex, and is nothing between (a proxy, the log-in page of a network)?"
    );
    Err(SyncError::Transport { during, reason })
}
