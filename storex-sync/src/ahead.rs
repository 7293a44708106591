//! [`Ahead`]: the page behind the one that is being applied is read and decoded meanwhile.
//!
//! ```text
//!   Exchange ─▶ page 1 ─▶ Apply ─────────────────▶ Exchange ─▶ page 2 ─▶ Apply ─▶ ..
//!                          └ read, decode page 2 ─────────────────┘
//! ```
//!
//! Reading changes nothing in the log, and what a page holds depends on its cursor alone. So one that was read early is as good as
//! one that is read when its turn comes, and so is an error. One that is not asked for after all is dropped.

use std::fmt;
use std::future::ready;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};

use storex_core::BoxFuture;

use crate::apply::{Decoded, Replica};
use crate::error::Result;
use crate::shared_log::{Cursor, LogRequest, Page};
use crate::stamp::Device;
use crate::sync::Sync;

/// What is known of the page that is to be applied, and of the one behind it.
#[derive(Default)]
pub(crate) struct Ahead(Mutex<State>);

#[derive(Default)]
struct State {
    /// The page that is to be applied, if it was read early.
    decoded: Option<Decoded>,
    /// Who reads, and where, if something follows that page.
    follows: Option<(Device, Cursor)>,
    /// The page that is read early, and where it begins.
    reading: Option<(Cursor, Reading)>,
}

/// Gives the answer of the shared log, and what is in its page.
type Reading = BoxFuture<'static, Result<(Option<Page>, Option<Decoded>)>>;

impl fmt::Debug for Ahead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ahead")
    }
}

impl Ahead {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer to a request, if it was asked for early.
    pub(crate) async fn answer(&self, request: &LogRequest) -> Option<Result<Option<Page>>> {
        let (cursor, reading) = std::mem::take(&mut *self.lock()).reading?;
        let only_reads = request.append.is_empty() && request.acknowledge.is_none();
        if !only_reads || request.read.as_ref() != Some(&cursor) {
            return None;
        }
        let answer = reading.await;
        Some(answer.map(|(page, decoded)| {
            self.lock().decoded = decoded;
            page
        }))
    }

    /// Notes what a request was answered with.
    pub(crate) fn answered(&self, device: Device, page: Option<&Page>) {
        let more = page.filter(|page| page.more);
        self.lock().follows = more.map(|page| (device, page.cursor.clone()));
    }

    /// The page that is to be applied, if it was decoded.
    pub(crate) fn decoded(&self) -> Option<Decoded> {
        self.lock().decoded.take()
    }

    /// Does something, and reads what follows meanwhile. It does not wait for that.
    pub(crate) async fn beside<T>(
        &self,
        sync: &Sync,
        replica: &Replica,
        work: impl Future<Output = T>,
    ) -> T {
        let Some((device, cursor)) = self.lock().follows.take() else { return work.await };
        let mut reading = read(sync.clone(), replica.clone(), device, cursor.clone());
        let mut work = pin!(work);
        let first = tokio::select! {
            biased;
            done = &mut work => Ok(done),
            read = &mut reading => Err(read),
        };
        let (done, reading) = match first {
            Ok(done) => (done, reading),
            Err(read) => (work.await, Box::pin(ready(read)) as Reading),
        };
        self.lock().reading = Some((cursor, reading));
        done
    }
}

fn read(sync: Sync, replica: Replica, device: Device, cursor: Cursor) -> Reading {
    Box::pin(async move {
        let request =
            LogRequest { device, acknowledge: None, append: Vec::new(), read: Some(cursor) };
        let reading = sync.log.exchange(&request, sync.limits.bytes);
        let page = sync.in_time("reading the shared log", reading).await?;
        let decoded = page.as_ref().and_then(|page| replica.decode_ahead(&page.transactions));
        Ok((page, decoded))
    })
}
