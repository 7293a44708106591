//! [`ContinuousSync`](storex_sync::ContinuousSync) under a clock that stands still until everybody waits.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::disallowed_methods)] // the tests own the time

#[path = "../support/mod.rs"]
mod support;

mod rounds;

use std::time::Duration;

const INTERVAL: Duration = Duration::from_secs(10);

/// Lets everything run that can run now.
async fn let_run() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}
