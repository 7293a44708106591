//! The [`Snapshots`] of a [`HttpSharedLog`].

use async_trait::async_trait;

use super::client::{Call, JSON, OCTETS, expect_type};
use super::log::HttpSharedLog;
use super::messages::{PublishAnswer, SnapshotForm, UsageAnswer};
use super::problem::Code;
use super::text::device_text;
use super::transport::Method;
use crate::error::{Result, SyncError};
use crate::shared_log::{Snapshot, SnapshotId, Snapshots, Usage};

fn page_path(id: SnapshotId, page: u64) -> String {
    format!("/v1/snapshots/{}/{}/pages/{page}", device_text(id.maker), id.number)
}

#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
impl Snapshots for HttpSharedLog {
    async fn put_page(&self, id: SnapshotId, page: u64, bytes: &[u8]) -> Result<()> {
        let call = Call::new(Method::Put, page_path(id, page), "sending a page of a snapshot");
        self.client.done(&call.body(OCTETS, bytes.to_vec())).await
    }

    async fn publish(&self, snapshot: &Snapshot) -> Result<bool> {
        let call = Call::new(Method::Post, "/v1/snapshots", "publishing a snapshot");
        let call = call.json(&SnapshotForm::from(snapshot.clone()));
        let PublishAnswer { published } = self.client.json(&call).await?;
        Ok(published)
    }

    async fn published(&self) -> Result<Option<Snapshot>> {
        let call = Call::new(Method::Get, "/v1/snapshots", "asking for the snapshot");
        let answer = match self.client.call(&call).await {
            Err(refusal) if refusal.code == Some(Code::NoSnapshot) => return Ok(None),
            answer => answer?,
        };
        expect_type(&answer, JSON, call.during)?;
        let form: Result<SnapshotForm, _> = serde_json::from_slice(&answer.body);
        let unreadable = |error: serde_json::Error| SyncError::Transport {
            during: call.during,
            reason: format!("the answer cannot be read: {error}"),
        };
        form.map(|form| Some(form.into())).map_err(unreadable)
    }

    async fn page(&self, id: SnapshotId, page: u64) -> Result<Option<Vec<u8>>> {
        let call = Call::new(Method::Get, page_path(id, page), "fetching a page of a snapshot");
        let call = call.accept(OCTETS);
        let answer = match self.client.call(&call).await {
            Err(refusal) if refusal.code == Some(Code::NoSuchPage) => return Ok(None),
            answer => answer?,
        };
        expect_type(&answer, OCTETS, call.during)?;
        Ok(Some(answer.body))
    }

    async fn usage(&self) -> Result<Usage> {
        let during = "asking what the log holds";
        let call = Call::new(Method::Get, "/v1/log/usage", during);
        let answer: UsageAnswer = self.client.json(&call).await?;
        Ok(answer.into())
    }
}
