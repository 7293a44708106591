//! The transfer of one blob, chunk by chunk: what has come through is not sent or received again.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use storex_core::ErrorKind;

use super::Inner;
use super::flights::Ended;
use super::reference::BlobRef;
use super::rows::{BlobRow, State};
use crate::deadline::in_time;
use crate::error::{Result, SyncError, describe};

impl Inner {
    /// One attempt; a failure that is the blob's is noted with it.
    pub(super) async fn attempt(&self, blob: &BlobRef) -> Ended {
        // It is never closed.
        let _permit = self.permits.acquire().await;
        let before = self.furthest(blob);
        let mut transfer = pin!(self.transfer(blob));
        let result = poll_fn(|cx| {
            let polled = catch_unwind(AssertUnwindSafe(|| transfer.as_mut().poll(cx)));
            polled.unwrap_or_else(|_| Poll::Ready(Err(panicked())))
        })
        .await;
        self.rest(blob);
        let ended = match result {
            Ok(()) => {
                self.arrived(blob);
                Ended::Done
            }
            Err(error) => {
                let came_further = self.furthest(blob) > before;
                self.failed(blob, error, came_further).await
            }
        };
        self.count().await;
        ended
    }

    async fn transfer(&self, blob: &BlobRef) -> Result<()> {
        // What is being sent may be forgotten or written anew meanwhile: then what is to be done is decided anew.
        loop {
            match self.local.row(blob).await? {
                Some(row) if row.state.sends() => {
                    if self.send(row).await? {
                        return Ok(());
                    }
                }
                Some(row) if row.state != State::Kept => return self.receive(blob).await,
                _ => return Ok(()),
            }
        }
    }

    /// `false`: these are not the contents that are to be sent any more.
    async fn send(&self, row: BlobRow) -> Result<bool> {
        let (blob, store) = (row.blob, &self.store);
        if !self.is_in_store(&blob).await? {
            // Before the first chunk goes: nobody is to find under a good name what has gone bad here.
            if !self.local.is(row.contents, &blob).await? {
                return self.damaged(&row).await;
            }
            let first = self.in_time("looking for a blob", store.sent(&blob)).await?;
            for number in first..blob.chunks() {
                self.progress(&blob, true, blob.chunk_range(number).start);
                let Some(bytes) = self.local.chunk(row.contents, number).await? else {
                    return self.damaged(&row).await;
                };
                // Each time: what was removed is not to come back.
                if !self.is_to_send(&row).await? {
                    return Ok(false);
                }
                let during = "sending a chunk of a blob";
                self.in_time(during, store.put_chunk(&blob, number, bytes)).await?;
                self.reached(&blob, number + 1);
            }
            if !self.is_to_send(&row).await? {
                return Ok(false);
            }
            self.in_time("finishing a blob", store.finish(&blob)).await?;
            // Another device may have removed it meanwhile.
            if !self.is_in_store(&blob).await? {
                return Err(SyncError::BlobMissing { blob });
            }
        }
        let contents = row.contents;
        let sent = move |row: Option<BlobRow>| {
            let row = row.filter(|row| row.whole && row.contents == contents);
            row.map(|row| row.kept().write()).into_iter().collect()
        };
        self.local.change(&blob, sent).await?;
        Ok(true)
    }

    /// Whether the store has the blob, with all its chunks: a mark that it is whole may have outlived them.
    pub(super) async fn is_in_store(&self, blob: &BlobRef) -> Result<bool> {
        let (during, store) = ("looking for a blob", &self.store);
        Ok(self.in_time(during, store.has(blob)).await?
            && self.in_time(during, store.sent(blob)).await? == blob.chunks())
    }

    /// Whether it is still these contents that are to be sent.
    async fn is_to_send(&self, row: &BlobRow) -> Result<bool> {
        let now = self.local.row(&row.blob).await?;
        Ok(now.is_some_and(|now| now.state.sends() && now.contents == row.contents))
    }

    /// The contents are not what the name says: they were given up meanwhile, or the database is damaged.
    async fn damaged(&self, row: &BlobRow) -> Result<bool> {
        if self.is_to_send(row).await? {
            let reason = "its contents in the database are not those of its name";
            return Err(SyncError::corrupt("a blob", reason));
        }
        Ok(false)
    }

    async fn receive(&self, blob: &BlobRef) -> Result<()> {
        // Looked at before each chunk: another program may receive it too, or it may be forgotten or written meanwhile.
        while let Some(row) = self.local.row(blob).await?.filter(|row| !row.whole) {
            let number = row.here;
            if number == blob.chunks() {
                return self.check(row).await;
            }
            self.progress(blob, false, blob.chunk_range(number).start);
            let during = "receiving a chunk of a blob";
            let bytes = self.in_time(during, self.store.chunk(blob, number)).await?;
            let (found, expected) = (bytes.len() as u64, blob.chunk_length(number));
            if found != expected {
                let reason = format!("chunk {number} has {found} bytes and not {expected}");
                return Err(SyncError::corrupt("a blob in the store", reason));
            }
            self.local.receive_chunk(blob, row.contents, number, bytes).await?;
            self.reached(blob, number + 1);
        }
        Ok(())
    }

    /// Makes what was received a whole blob if it is what the name says, else drops it.
    async fn check(&self, row: BlobRow) -> Result<()> {
        let (blob, contents) = (row.blob, row.contents);
        let is_whole = self.local.is(contents, &blob).await?;
        let unchanged = move |row: &BlobRow| row.contents == contents && !row.whole;
        if !self.local.row(&blob).await?.is_some_and(|row| unchanged(&row)) {
            return Ok(());
        }
        let fresh = self.local.new_contents();
        let checked = move |row: Option<BlobRow>| match row.filter(unchanged) {
            Some(row) if is_whole => vec![BlobRow { whole: true, ..row.kept() }.write()],
            Some(row) => vec![row.loosen(), BlobRow { contents: fresh, here: 0, ..row }.write()],
            None => Vec::new(),
        };
        self.local.change(&blob, checked).await?;
        if is_whole {
            return Ok(());
        }
        self.local.clear().await?;
        let reason = format!("its contents are not those of {blob}");
        Err(SyncError::corrupt("a blob in the store", reason))
    }

    /// A request that is not answered is given up.
    async fn in_time<T>(
        &self,
        during: &'static str,
        request: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        in_time(&**self.local.runtime(), self.settings.deadline, during, request).await
    }

    async fn failed(&self, blob: &BlobRef, error: SyncError, came_further: bool) -> Ended {
        if !self.is_of_blob(&error).await {
            return Ended::Halted(Arc::new(error));
        }
        tracing::debug!(%blob, error = %describe(&error), "a blob was not transferred");
        match self.note_failure(blob, &error, came_further).await {
            Ok(()) => Ended::Failed(Arc::new(error)),
            Err(error) => Ended::Halted(Arc::new(error)),
        }
    }

    /// Whether an error is the blob's, and not one that every blob would meet now.
    async fn is_of_blob(&self, error: &SyncError) -> bool {
        match error.cause() {
            SyncError::BlobMissing { .. } => true,
            // There is no room here: that will be so for others too, and is not the blob's fault.
            SyncError::Storage { .. } => false,
            error if error.kind() == ErrorKind::Full => false,
            SyncError::Offline
            | SyncError::Paused
            | SyncError::RateLimited { .. }
            | SyncError::Unauthorized { .. }
            // Nothing is encrypted before it is settled with which key.
            | SyncError::RivalKeys
            | SyncError::UnknownKey { .. } => false,
            // Where the store cannot be reached, that says nothing of the blob.
            error if error.is_retryable() => {
                let harmless = BlobRef::of(b"");
                self.in_time("looking for a blob", self.store.has(&harmless)).await.is_ok()
            }
            _ => true,
        }
    }

    async fn note_failure(
        &self,
        blob: &BlobRef,
        error: &SyncError,
        came_further: bool,
    ) -> Result<()> {
        let settings = self.settings;
        let (reason, now) = (describe(error), self.local.now());
        // The device that has it may be off for days, and asking does no harm: that is not counted, but measured.
        let is_missing = matches!(error, SyncError::BlobMissing { .. });
        let mut random = [0; 8];
        self.local.runtime().fill_random(&mut random);
        let random = u64::from_le_bytes(random);
        let noted = move |row: Option<BlobRow>| {
            let Some(row) = row.filter(|row| row.state != State::Kept) else { return Vec::new() };
            let waited = u64::try_from(now.0.saturating_sub(row.since.0)).unwrap_or(0);
            let waited = Duration::from_millis(waited);
            let (failures, is_dead, delay) = if is_missing && !row.state.sends() {
                let delay = waited.max(settings.backoff.first).min(settings.backoff.cap);
                (0, waited >= settings.patience, delay)
            } else {
                // A large one on a bad connection gets through in the end.
                let before = if came_further { 0 } else { row.failures };
                let failures = before.saturating_add(1);
                let delay = settings.backoff.delay(failures, random);
                (failures, failures >= settings.attempts, delay)
            };
            let state = if is_dead { row.state.given_up() } else { row.state };
            let delay = i64::try_from(delay.as_millis()).unwrap_or(i64::MAX);
            let due = storex_core::Timestamp(now.0.saturating_add(delay.max(1)));
            vec![BlobRow { state, failures, due, reason: reason.clone(), ..row }.write()]
        };
        self.local.change(blob, noted).await
    }
}

/// Else it would be the first one each time, and nothing would be transferred any more.
fn panicked() -> SyncError {
    let reason = "the blob store has panicked".to_owned();
    SyncError::Protocol { during: "transferring a blob", reason }
}
