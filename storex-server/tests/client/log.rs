//! The suite of shared logs.

use std::sync::Arc;

use storex_conformance::shared_log::LogHarness;
use storex_conformance::shared_log_conformance;
use storex_server::{Config, Limits};
use storex_sync::http::HttpSharedLog;

use crate::support::Site;

/// Each number is a user.
fn http() -> LogHarness {
    // The cases ask more than a device does.
    let limits = Limits { requests_per_second: 100_000, burst: 100_000, ..Limits::default() };
    let site = Site::with(Config { limits, ..Config::default() });
    LogHarness::in_memory(move |n| {
        let log = Arc::new(HttpSharedLog::new(site.client(&format!("user {n}"))));
        Box::pin(async move { log as _ })
    })
}

mod c51_over_http {
    use super::*;

    shared_log_conformance!(http);
}
