//! The suite of shared logs, over HTTP at a server with a storex database. (At one with the log in memory, over TCP, it is in
//! `tests/client`.)

use std::sync::Arc;

use storex_conformance::shared_log::LogHarness;
use storex_conformance::shared_log_conformance;
use storex_memory::TestRuntime;
use storex_server::{Config, Limits};
use storex_sync::http::{HttpClient, HttpSharedLog, StaticToken, Token};
use tokio::sync::OnceCell;

use crate::world::{Site, Wire, verifier};

/// Each number is a user.
fn database() -> LogHarness {
    let site = Arc::new(OnceCell::new());
    LogHarness::in_memory(move |n| {
        let site = Arc::clone(&site);
        Box::pin(async move {
            // The cases ask more than a device does.
            let limits =
                Limits { requests_per_second: 100_000, burst: 100_000, ..Limits::default() };
            let config = Config { limits, ..Config::default() };
            let (site, _) = site.get_or_init(async || Site::with(config, verifier()).await).await;
            let wire = Wire::to(&site.network, "one");
            let client = HttpClient::new(wire, "http://test", Arc::new(TestRuntime::new(7)));
            let user = Arc::new(StaticToken(Token::new(format!("user {n}"))));
            Arc::new(HttpSharedLog::new(client.unwrap().credentials(user))) as _
        })
    })
}

mod c51_over_http_at_a_database {
    use super::*;

    shared_log_conformance!(database);
}
