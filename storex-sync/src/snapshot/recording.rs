//! [`Recording`]: a channel to a snapshot.

use std::collections::VecDeque;

use async_trait::async_trait;

use super::{CHECKSUM, MAGIC, VERSION, page_checksum};
use crate::bytes::write_varint;
use crate::channel::Channel;
use crate::error::Result;
use crate::initial::frame::Frame;
use crate::shared_log::SnapshotId;
use crate::sync::Sync;

/// Keeps what an initial sync sends as pages of a snapshot, and answers like a receiver that takes everything.
#[derive(Debug)]
pub(crate) struct Recording {
    sync: Sync,
    id: SnapshotId,
    /// The bytes of a page.
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
        Self { sync, id, limit, filling, pages: 0, answers }
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

    async fn put(&mut self) -> Result<()> {
        let mut page = std::mem::replace(&mut self.filling, vec![0; CHECKSUM]);
        if let Some((checksum, contents)) = page.split_first_chunk_mut::<CHECKSUM>() {
            *checksum = page_checksum(self.id, self.pages, contents);
        }
        let put = self.sync.snapshots()?.put_page(self.id, self.pages, &page);
        self.sync.in_time("writing a snapshot into the shared log", put).await?;
        tracing::trace!(target: "storex::step", step = "snapshot.after_page");
        self.pages += 1;
        Ok(())
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
