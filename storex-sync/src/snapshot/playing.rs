//! [`Playing`]: a channel from a snapshot.

use async_trait::async_trait;

use super::{CHECKSUM, MAGIC, VERSION, WHAT, page_checksum};
use crate::bytes::Reader;
use crate::channel::Channel;
use crate::error::{Result, SyncError};
use crate::initial::frame::Frame;
use crate::place::Place;
use crate::shared_log::{LogId, Snapshot};
use crate::sync::Sync;

/// Gives the frames of a snapshot, as an initial sync sends them.
#[derive(Debug)]
pub(crate) struct Playing {
    sync: Sync,
    snapshot: Snapshot,
    /// The log that it is in. It may have got another identity since the snapshot was made.
    log: LogId,
    /// The page that comes next.
    next: u64,
    /// What was read, and how much of it was given.
    read: Vec<u8>,
    given: usize,
    /// Whether the beginning of the stream was read.
    begun: bool,
    /// Why the snapshot is of no use.
    lost: Option<String>,
}

impl Playing {
    pub(crate) fn new(sync: Sync, snapshot: Snapshot, log: LogId) -> Self {
        let (next, given, begun) = (0, 0, false);
        Self { sync, snapshot, log, next, read: Vec::new(), given, begun, lost: None }
    }

    /// Why the snapshot is of no use, if that is what went wrong.
    pub(crate) fn lost(self) -> Option<String> {
        self.lost
    }

    /// Reads one page more.
    async fn read_page(&mut self) -> Result<()> {
        let (id, page) = (self.snapshot.id, self.next);
        if page == self.snapshot.pages {
            return Err(self.lose("it ends too early".to_owned()));
        }
        let during = "reading a snapshot of the shared log";
        let read = self.sync.in_time(during, self.sync.snapshots()?.page(id, page)).await?;
        let Some(read) = read else {
            return Err(self.lose(format!("its page {page} is gone")));
        };
        match read.split_first_chunk::<CHECKSUM>() {
            Some((checksum, contents)) if *checksum == page_checksum(id, page, contents) => {
                self.read.drain(..self.given);
                self.given = 0;
                self.read.extend_from_slice(contents);
                self.next += 1;
                Ok(())
            }
            _ => Err(self.lose(format!("its page {page} is damaged, or has not arrived whole"))),
        }
    }

    fn lose(&mut self, reason: String) -> SyncError {
        self.lost = Some(reason.clone());
        SyncError::corrupt(WHAT, reason)
    }

    /// Takes so many bytes from the stream.
    async fn take(&mut self, count: usize) -> Result<Vec<u8>> {
        while self.read.len() - self.given < count {
            self.read_page().await?;
        }
        let taken = self.read.iter().skip(self.given).take(count).copied().collect();
        self.given += count;
        Ok(taken)
    }

    async fn begin(&mut self) -> Result<()> {
        let head = self.take(MAGIC.len() + 1).await?;
        match head.split_last() {
            Some((&VERSION, magic)) if magic == MAGIC => Ok(()),
            Some((other, magic)) if magic == MAGIC => {
                let reason = format!(
                    "it has version {other}, of which this program knows nothing; update it"
                );
                Err(SyncError::corrupt(WHAT, reason))
            }
            _ => Err(SyncError::corrupt(WHAT, "it is something else")),
        }
    }

    async fn frame(&mut self) -> Result<Vec<u8>> {
        let mut length = Vec::new();
        loop {
            length.extend(self.take(1).await?);
            if length.last().is_none_or(|last| last & 0x80 == 0) {
                break;
            }
        }
        self.take(Reader::new(&length, WHAT).varint_usize()?).await
    }
}

#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
impl Channel for Playing {
    /// Nobody is there to hear it.
    async fn send(&mut self, _: Vec<u8>) -> Result<()> {
        Ok(())
    }

    async fn recv(&mut self) -> Result<Option<Vec<u8>>> {
        if self.begun {
            return Ok(Some(self.frame().await?));
        }
        self.begin().await?;
        self.begun = true;
        let mut first = Frame::decode(&self.frame().await?)?;
        if let Frame::Hello(hello) = &mut first {
            let farthest = self.sync.replica.farthest();
            let mut ahead =
                hello.devices.iter().filter(|it| farthest.is_some_and(|last| it.hlc > last));
            if let Some(known) = ahead.next() {
                // Nobody has chosen this sender, and whoever takes such stamps stamps everything later than them.
                let reason = format!("the clock of device {} was far ahead", known.device);
                return Err(self.lose(reason));
            }
            hello.place = Some(Place { log: self.log, cursor: self.snapshot.place.clone() });
        }
        Ok(Some(first.encode()))
    }

    async fn close(&mut self) -> Result<()> {
        Ok(())
    }
}
