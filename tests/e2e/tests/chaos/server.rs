//! The server: that of `storex serve`, in a process of its own.

use std::future::pending;

use storex_cli::serve::{Access, Database, Listening, Options, run};
use storex_e2e::process::Process;
use storex_server::{Config, Retention};

use super::child;

const SERVING: &str = "serving at ";

/// Starts one, and tells where it listens.
pub(crate) fn start(kind: &str, at: &str, tokens: &str) -> (Process, std::net::SocketAddr) {
    let mut server = child::start("server::the_server_that_is_killed", &[kind, at, tokens]);
    loop {
        let line = server.line().expect("the server starts");
        if let Some(address) = line.strip_prefix(SERVING) {
            return (server, address.parse().expect("an address"));
        }
    }
}

#[test]
#[ignore = "it is a process of the other tests"]
fn the_server_that_is_killed() {
    let Some(arguments) = child::arguments() else { return };
    let [kind, at, tokens] = arguments.as_slice() else { panic!("{arguments:?}") };
    let database = match kind.as_str() {
        "postgres" => Database::Postgres(at.clone()),
        _ => Database::File(at.into()),
    };
    // Whoever compares the log with what it has become needs all of it.
    let retention = Retention { trim_every: None, ..Retention::default() };
    let options = Options {
        listen: "127.0.0.1:0".to_owned(),
        database,
        objects: None,
        access: Access::Tokens(tokens.into()),
        tls: None,
        metrics_listen: None,
        config: Config { retention, ..Config::default() },
    };
    let listening = |at: Listening| println!("{SERVING}{}", at.devices);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(run(options, listening, pending())).unwrap();
}
