//! [`in_time`]: waiting with an end.

use std::time::Duration;

use storex_core::Runtime;

use crate::error::{Result, SyncError};

/// What is not done after that long is given up, with [`SyncError::Timeout`].
pub(crate) async fn in_time<T>(
    runtime: &dyn Runtime,
    after: Duration,
    during: &'static str,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    tokio::select! {
        biased;
        done = work => done,
        () = runtime.sleep(after) => Err(SyncError::Timeout { during, after }),
    }
}
