//! The [`SealedKeys`] of a [`HttpSharedLog`].

use async_trait::async_trait;

use super::client::{Call, OCTETS, expect_type};
use super::log::HttpSharedLog;
use super::problem::Code;
use super::text::id_of_text;
use super::transport::Method;
use crate::error::{Result, SyncError};
use crate::shared_log::{SealedKeyName, SealedKeys};

fn path_of(name: SealedKeyName) -> String {
    format!("/v1/keys/{name}")
}

#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
impl SealedKeys for HttpSharedLog {
    async fn names(&self) -> Result<Vec<SealedKeyName>> {
        let during = "asking for the names of the sealed keys";
        let call = Call::new(Method::Get, "/v1/keys", during);
        let names: Vec<String> = self.client.json(&call).await?;
        let unreadable = |error: SyncError| SyncError::Transport {
            during,
            reason: format!("the answer cannot be read: {error}"),
        };
        names.iter().map(|it| id_of_text(it).map(SealedKeyName).map_err(unreadable)).collect()
    }

    async fn get(&self, name: SealedKeyName) -> Result<Option<Vec<u8>>> {
        let call = Call::new(Method::Get, path_of(name), "fetching a sealed key").accept(OCTETS);
        let answer = match self.client.call(&call).await {
            Err(refusal) if refusal.code == Some(Code::NotFound) => return Ok(None),
            answer => answer?,
        };
        expect_type(&answer, OCTETS, call.during)?;
        Ok(Some(answer.body))
    }

    async fn put(&self, name: SealedKeyName, bytes: &[u8]) -> Result<()> {
        let call = Call::new(Method::Put, path_of(name), "sending a sealed key");
        match self.client.call(&call.body(OCTETS, bytes.to_vec())).await {
            Err(refusal) if refusal.code == Some(Code::Exists) => {
                Err(SyncError::KeyExists { name })
            }
            Err(refusal) => Err(refusal.into()),
            Ok(_) => Ok(()),
        }
    }
}
