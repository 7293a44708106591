//! [`HttpSharedLog`]: the shared log of a server.

use async_trait::async_trait;

use super::client::{Call, HttpClient, expect_type};
use super::messages::{
    Dismiss, DismissAnswer, ListedMember, LogAnswer, Register, Reidentify, TrimAnswer, WatchPlace,
};
use super::transport::Method;
use super::watch::Watch;
use super::wire::{PAGE_TYPE, REQUEST_TYPE, decode_page, encode_request};
use crate::error::{Result, SyncError, at_most};
use crate::shared_log::{
    Cursor, LogId, LogRequest, Member, Page, SealedKeys, SealedTransaction, SharedSyncLog,
    Snapshots, Trimmed,
};
use crate::stamp::Device;

/// The [`SharedSyncLog`] of a server (`storex serve`), over HTTP.
///
/// Each method is one request; an exchange is one, whatever it carries. News come over a WebSocket that is kept open between the calls
/// of [`changed`](SharedSyncLog::changed), within a moment of being appended; where WebSockets cannot be had, by requests that wait. The
/// WebSocket is closed half a minute after nobody listens any more.
///
/// What is on the way is told apart: [`SyncError::Transport`] and [`SyncError::Timeout`] for failures that pass, [`SyncError::RateLimited`] where
/// the server wants to be left alone, [`SyncError::Unauthorized`] when somebody has to log in or the device was revoked,
/// [`SyncError::Protocol`] for a server of another version; the errors of the log itself as they are in the server. What does not come from a server of
/// storex (the log-in page of a network, say) is never looked into.
///
/// A request that is larger than the server, or something in front of it, takes is sent in parts; a single transaction that is larger is
/// [`SyncError::Rejected`].
#[derive(Debug)]
pub struct HttpSharedLog {
    pub(super) client: HttpClient,
    watch: Watch,
    name: Option<String>,
}

impl HttpSharedLog {
    /// The log of the user whom the client's credentials belong to.
    #[must_use]
    pub fn new(client: HttpClient) -> Self {
        Self { watch: Watch::new(client.clone()), client, name: None }
    }

    /// What people call this device, in the list of devices.
    #[must_use]
    pub fn device_name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The client with which the server is asked.
    #[must_use]
    pub fn client(&self) -> &HttpClient {
        &self.client
    }

    async fn exchange_once(&self, request: &LogRequest, limit: usize) -> Result<Option<Page>> {
        let during = during(request);
        let call = Call::new(Method::Post, format!("/v1/log/exchange?limit={limit}"), during)
            .body(REQUEST_TYPE, encode_request(request)?)
            .accept(PAGE_TYPE);
        let answer = self.client.call(&call).await?;
        if answer.status == 204 {
            return Ok(None);
        }
        expect_type(&answer, PAGE_TYPE, during)?;
        let damaged = |error| match error {
            SyncError::Corrupt { reason, .. } => {
                let reason = format!("the page was damaged on its way: {reason}");
                SyncError::Transport { during, reason }
            }
            error => error,
        };
        decode_page(&answer.body).map(Some).map_err(damaged)
    }

    /// In parts of at most so many transactions, fewer where that is still too large.
    async fn in_parts(
        &self,
        request: &LogRequest,
        mut most: usize,
        limit: usize,
    ) -> Result<Option<Page>> {
        let mut acknowledge = request.acknowledge.clone();
        let mut rest = request.append.as_slice();
        loop {
            let (part, later) = rest.split_at(most.clamp(1, rest.len()));
            let read = request.read.clone().filter(|_| later.is_empty());
            let (device, append) = (request.device, part.to_vec());
            let asked = LogRequest { device, acknowledge: acknowledge.clone(), append, read };
            match self.exchange_once(&asked, limit).await {
                Err(SyncError::BodyTooLarge { .. }) if part.len() > 1 => most = part.len() / 2,
                Err(error) => return Err(refused(part, error)),
                Ok(page) if later.is_empty() => return Ok(page),
                Ok(_) => (rest, acknowledge) = (later, None),
            }
        }
    }
}

/// The error of a part of a request: a single transaction that the server does not take, however it is sent, is refused.
fn refused(part: &[SealedTransaction], error: SyncError) -> SyncError {
    match (part, error) {
        (
            [SealedTransaction { device, sequence, .. }],
            SyncError::BodyTooLarge { bytes, limit },
        ) => {
            let most = at_most(limit);
            let reason =
                format!("it needs {bytes} bytes, which is more than the server takes{most}");
            let (device, sequence) = (*device, *sequence);
            SyncError::Rejected { device, sequence, reason, is_too_large: true }
        }
        (_, error) => error,
    }
}

fn during(request: &LogRequest) -> &'static str {
    match (request.append.is_empty(), &request.read) {
        (false, _) => "sending to the server",
        (true, Some(_)) => "reading the log of the server",
        (true, None) => "acknowledging to the server",
    }
}

#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
impl SharedSyncLog for HttpSharedLog {
    async fn register(&self, device: Device) -> Result<LogId> {
        let body = Register { device, name: self.name.clone() };
        let call = Call::new(Method::Post, "/v1/devices", "registering").json(&body);
        let LogAnswer { log } = self.client.json(&call).await?;
        Ok(log)
    }

    async fn append(&self, transactions: &[SealedTransaction]) -> Result<()> {
        let Some(SealedTransaction { device, .. }) = transactions.first() else { return Ok(()) };
        let (device, append) = (*device, transactions.to_vec());
        let request = LogRequest { device, append, ..LogRequest::default() };
        self.exchange(&request, 0).await?;
        Ok(())
    }

    async fn read(&self, reader: Device, after: &Cursor, limit: usize) -> Result<Page> {
        let read = Some(after.clone());
        let request = LogRequest { device: reader, read, ..LogRequest::default() };
        self.exchange(&request, limit).await?.ok_or_else(|| SyncError::Protocol {
            during: during(&request),
            reason: "it gives no page, although one was asked for".to_owned(),
        })
    }

    async fn acknowledge(&self, reader: Device, cursor: &Cursor) -> Result<()> {
        let acknowledge = Some(cursor.clone());
        let request = LogRequest { device: reader, acknowledge, ..LogRequest::default() };
        self.exchange(&request, 0).await?;
        Ok(())
    }

    async fn exchange(&self, request: &LogRequest, limit: usize) -> Result<Option<Page>> {
        match self.exchange_once(request, limit).await {
            Err(SyncError::BodyTooLarge { .. }) if request.append.len() > 1 => {
                self.in_parts(request, request.append.len() / 2, limit).await
            }
            answer => answer.map_err(|error| refused(&request.append, error)),
        }
    }

    async fn changed(&self, reader: Device, after: &Cursor) -> Result<()> {
        self.watch.changed(WatchPlace { device: reader, after: after.clone() }).await
    }

    async fn members(&self) -> Result<Vec<Member>> {
        let call = Call::new(Method::Get, "/v1/log/members", "asking for the members");
        let listed: Vec<ListedMember> = self.client.json(&call).await?;
        Ok(listed.into_iter().map(Member::from).collect())
    }

    async fn dismiss(&self, device: Device) -> Result<bool> {
        let call = Call::new(Method::Post, "/v1/log/dismiss", "dismissing a member");
        let DismissAnswer { dismissed } = self.client.json(&call.json(&Dismiss { device })).await?;
        Ok(dismissed)
    }

    async fn reidentify(&self, known: LogId) -> Result<LogId> {
        let during = "giving the log another identity";
        let call = Call::new(Method::Post, "/v1/log/reidentify", during);
        let LogAnswer { log } = self.client.json(&call.json(&Reidentify { known })).await?;
        Ok(log)
    }

    async fn trim(&self) -> Result<Trimmed> {
        let call = Call::new(Method::Post, "/v1/log/trim", "trimming the log");
        let answer: TrimAnswer = self.client.json(&call).await?;
        Ok(answer.into())
    }

    fn snapshots(&self) -> Option<&dyn Snapshots> {
        Some(self)
    }

    fn keys(&self) -> Option<&dyn SealedKeys> {
        Some(self)
    }
}
