//! The suite of all shared logs. Each log that a case opens is of another server.

use super::support::{log, store, unique};
use storex_conformance::shared_log::LogHarness;
use storex_conformance::shared_log_conformance;
use storex_server::User;

fn postgres() -> LogHarness {
    let name = unique();
    LogHarness::new(move |n| {
        let user = User::new(format!("{name}-{n}")).unwrap();
        Box::pin(async move { log(&store().await, &user).await })
    })
}

shared_log_conformance!(postgres);
