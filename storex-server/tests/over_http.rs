//! The suite for shared logs, on the client of a server that runs.
#![allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]
#![allow(clippy::disallowed_methods)] // what runs beside the server

#[path = "server/support/mod.rs"]
mod support;

use std::sync::Arc;

use storex_conformance::shared_log::LogHarness;
use storex_conformance::shared_log_conformance;
use storex_server::{Config, Limits};
use storex_sync::SharedSyncLog;
use storex_sync::http::{HttpClient, HttpSharedLog, NativeTransport, StaticToken, Token};
use support::{ADA, ManualRuntime, Site};

/// Each log is that of one user of a server of its own; no time passes.
fn over_http() -> LogHarness {
    LogHarness::in_memory(|n| {
        Box::pin(async move {
            let limits = Limits { burst: 1_000_000, ..Limits::default() };
            let site = Site::with(Config { limits, ..Config::default() }).await;
            // The identities of its logs are numbered.
            for other in 0..n {
                site.store.log_of(&format!("other {other}"));
            }
            let transport = Arc::new(NativeTransport::new().unwrap());
            let address = format!("http://{}", site.address);
            let client = HttpClient::new(transport, &address, Arc::new(ManualRuntime::new()));
            let token = Arc::new(StaticToken(Token::new(ADA)));
            let log = HttpSharedLog::new(client.unwrap().credentials(token));
            // It serves until the test's own runtime ends.
            std::mem::forget(site);
            Arc::new(log) as Arc<dyn SharedSyncLog>
        })
    })
    // The server keeps them; its client does not ask for them yet.
    .without_keys()
}

shared_log_conformance!(over_http);
