//! [`KeyUrl`]: the keys of an identity provider, over HTTPS.

use std::time::Duration;

use async_trait::async_trait;
use storex_core::{Runtime as _, TokioRuntime};
use storex_server::{FetchKeys, ServerError};
use storex_sync::SyncError;
use storex_sync::http::{HttpTransport as _, Method, NativeTransport, Request};

/// How long an answer is waited for.
const DEADLINE: Duration = Duration::from_secs(10);
/// The most bytes that a key set may have.
const MOST_BYTES: usize = 1 << 20;
const DURING: &str = "fetching the keys";

/// The keys of an identity provider.
#[derive(Debug)]
pub(super) struct KeyUrl {
    transport: NativeTransport,
    url: String,
}

impl KeyUrl {
    pub(super) fn new(url: &str) -> storex_server::Result<Self> {
        Ok(Self { transport: NativeTransport::new()?, url: url.to_owned() })
    }
}

#[async_trait]
impl FetchKeys for KeyUrl {
    async fn fetch(&self) -> storex_server::Result<String> {
        let request = Request {
            method: Method::Get,
            url: self.url.clone(),
            headers: vec![("accept", "application/json".to_owned())],
            body: Vec::new(),
            most_bytes: MOST_BYTES,
        };
        let answer = tokio::select! {
            answer = self.transport.request(request) => answer?,
            () = TokioRuntime.sleep(DEADLINE) => {
                return Err(SyncError::Timeout { during: DURING, after: DEADLINE }.into());
            }
        };
        let failed =
            |reason: String| ServerError::from(SyncError::Transport { during: DURING, reason });
        if answer.status != 200 {
            return Err(failed(format!("{} answered {}", self.url, answer.status)));
        }
        String::from_utf8(answer.body).map_err(|error| failed(error.to_string()))
    }
}
