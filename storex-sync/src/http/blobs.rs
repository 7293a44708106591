//! [`HttpBlobStore`]: the blobs of a server.

use async_trait::async_trait;

use super::client::{Call, HttpClient, OCTETS, expect_type};
use super::messages::BlobAnswer;
use super::problem::Code;
use super::refusal::Refusal;
use super::text::device_text;
use super::transport::{Method, Response};
use crate::blobs::{BlobRef, BlobStore};
use crate::error::{Result, SyncError};
use crate::stamp::Device;

/// The [`BlobStore`] of a server (`storex serve`), over HTTP: that of the user whom the client's credentials belong to.
///
/// It takes the client of the [`HttpSharedLog`](super::HttpSharedLog), so both share connections and tokens. Each method is one request, for which the
/// client's deadline counts. The server has a limit of its own for blobs, so whoever sends too many of them is not held up in the log. Failures are those of the log: [`SyncError::Transport`] and [`SyncError::Timeout`] pass, [`SyncError::RateLimited`] says for how long
/// the server wants to be left alone, [`SyncError::Unauthorized`] that somebody has to log in or that the device was revoked.
///
/// ```
/// # #[cfg(all(feature = "http-native", not(target_family = "wasm")))]
/// # async fn example(storage: storex_core::Storage, client: storex_sync::http::HttpClient) -> storex_sync::Result<()> {
/// use std::sync::Arc;
/// use storex_sync::http::{HttpBlobStore, HttpSharedLog};
/// use storex_sync::{Blobs, Sync};
///
/// let sync = Sync::open(&storage, Arc::new(HttpSharedLog::new(client.clone()))).await?;
/// let store = HttpBlobStore::new(client, sync.device().await?);
/// let blobs = Blobs::open(&storage, Arc::new(store)).await?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct HttpBlobStore {
    client: HttpClient,
    device: Device,
}

impl HttpBlobStore {
    /// The blobs of the user whom the client's credentials belong to, for this device ([`Sync::device`](crate::Sync::device)), which the server refuses
    /// when it was revoked.
    #[must_use]
    pub fn new(client: HttpClient, device: Device) -> Self {
        Self { client: client.apart(), device }
    }

    fn call(&self, method: Method, blob: &BlobRef, part: &str, during: &'static str) -> Call {
        let device = device_text(self.device);
        Call::new(method, format!("/v1/blobs/{blob}{part}?device={device}"), during)
    }

    fn call_for_chunk(
        &self,
        method: Method,
        blob: &BlobRef,
        number: u64,
        during: &'static str,
    ) -> Call {
        self.call(method, blob, &format!("/chunks/{number}"), during)
    }

    async fn ask(&self, call: &Call, blob: &BlobRef) -> Result<Response> {
        self.client.call(call).await.map_err(|refusal| match refusal {
            Refusal { code: Some(Code::BlobMissing), .. } => SyncError::BlobMissing { blob: *blob },
            refusal => refusal.into(),
        })
    }

    async fn state(&self, blob: &BlobRef) -> Result<BlobAnswer> {
        let call = self.call(Method::Get, blob, "", "looking for a blob");
        self.client.json(&call).await
    }
}

#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
impl BlobStore for HttpBlobStore {
    async fn has(&self, blob: &BlobRef) -> Result<bool> {
        Ok(self.state(blob).await?.whole)
    }

    async fn sent(&self, blob: &BlobRef) -> Result<u64> {
        Ok(self.state(blob).await?.chunks)
    }

    async fn put_chunk(&self, blob: &BlobRef, number: u64, bytes: Vec<u8>) -> Result<()> {
        let call = self.call_for_chunk(Method::Put, blob, number, "sending a chunk of a blob");
        self.ask(&call.body(OCTETS, bytes), blob).await.map(drop)
    }

    async fn finish(&self, blob: &BlobRef) -> Result<()> {
        let call = self.call(Method::Post, blob, "", "finishing a blob");
        self.ask(&call, blob).await.map(drop)
    }

    async fn chunk(&self, blob: &BlobRef, number: u64) -> Result<Vec<u8>> {
        if number >= blob.chunks() {
            return Err(SyncError::BlobMissing { blob: *blob });
        }
        let call = self.call_for_chunk(Method::Get, blob, number, "receiving a chunk of a blob");
        let call = call.accept(OCTETS);
        let answer = self.ask(&call, blob).await?;
        expect_type(&answer, OCTETS, call.during)?;
        Ok(answer.body)
    }

    async fn remove(&self, blob: &BlobRef) -> Result<()> {
        let call = self.call(Method::Delete, blob, "", "deleting a blob");
        self.ask(&call, blob).await.map(drop)
    }
}
