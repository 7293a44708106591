//! [`Recording`]: a channel to a snapshot.

use std::collections::VecDeque;

use async_trait::async_trait;

use super::{CHECKSUM, MAGIC, VERSION, page_checksum};
use crate::bytes::write_varint;
use crate::channel::Channel;
use crate::error::{Result, SyncError};
use crate::initial::frame::Frame;
use crate::shared_log::SnapshotId;
use crate::sync::Sync;

/// The least bytes of a page: what is smaller is mostly its name.
const LEAST_PAGE: usize = 1 << 10;

/// Keeps what an initial sync sends as pages of a snapshot, and answers like a receiver that takes everything.
#[derive(Debug)]
pub(crate) struct Recording {
    sync: Sync,
    id: SnapshotId,
    /// The most bytes of a page.
    limit: usize,
    /// The page that is being filled; room for its checksum comes first.
    filling: Vec<u8>,
    pages: u64,
    answers: VecDeque<Vec<u8>>,
}

impl Recording {
    pub(crate) fn new(sync: Sync, id: SnapshotId, limit: usize) -> Self {
        let mut filling = vec![0; CHECKSUM];
        filling.extend_from_slice(MAGIC);
        filling.push(VERSION);
        let answers = VecDeque::new();
        Self { sync, id, limit: limit.max(LEAST_PAGE), filling, pages: 0, answers }
    }

    /// Writes what is left; tells how many pages there are.
    pub(crate) async fn finish(mut self) -> Result<u64> {
        self.put().await?;
        Ok(self.pages)
    }

    async fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let room = self.limit.saturating_sub(self.filling.len());
            if room == 0 {
                self.put().await?;
                continue;
            }
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.filling.extend_from_slice(now);
            bytes = later;
        }
        Ok(())
    }

    /// Puts what was gathered, as one page; as smaller ones, from now on, where the log says that it is too large.
    async fn put(&mut self) -> Result<()> {
        let filled = std::mem::replace(&mut self.filling, vec![0; CHECKSUM]);
        let mut rest = filled.get(CHECKSUM..).unwrap_or_default();
        loop {
            let (now, later) = rest.split_at(rest.len().min(self.limit - CHECKSUM));
            let page = [&page_checksum(self.id, self.pages, now)[..], now].concat();
            let put = self.sync.snapshots()?.put_page(self.id, self.pages, &page);
            match self.sync.in_time("writing a snapshot into the shared log", put).await {
                Err(SyncError::BodyTooLarge { .. }) if page.len() > LEAST_PAGE => {
                    self.limit = (page.len() / 2).max(LEAST_PAGE);
                    continue;
                }
                put => put?,
            }
            tracing::trace!(target: "storex::step", step = "snapshot.after_page");
            self.pages += 1;
            if later.is_empty() {
                return Ok(());
            }
            rest = later;
        }
    }
}

#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
impl Channel for Recording {
    async fn send(&mut self, frame: Vec<u8>) -> Result<()> {
        // What has no answer is that the sender gives up.
        let Some(answer) = Frame::answer_to(&frame)? else { return Ok(()) };
        let mut length = Vec::new();
        write_varint(&mut length, frame.len() as u64);
        self.write(&length).await?;
        self.write(&frame).await?;
        self.answers.push_back(answer.encode());
        Ok(())
    }

    async fn recv(&mut self) -> Result<Option<Vec<u8>>> {
        Ok(self.answers.pop_front())
    }

    async fn close(&mut self) -> Result<()> {
        Ok(())
    }
}
