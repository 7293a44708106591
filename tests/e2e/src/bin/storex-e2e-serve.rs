//! `storex serve`, in a program of this package so that it is built with the tests: `storex-e2e-serve file|postgres WHERE TOKENS`. Says
//! where it listens.

use std::io::{Error, Write as _};

use storex_cli::serve::{Access, Database, Options, run};
use storex_server::{Config, Retention};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [kind, at, tokens] = args.as_slice() else {
        return Err("which database, which tokens?".into());
    };
    let database = match kind.as_str() {
        "postgres" => Database::Postgres(at.clone()),
        _ => Database::File(at.into()),
    };
    // Whoever compares the log with what it has become needs all of it.
    let retention = Retention { trim_every: None, ..Retention::default() };
    let options = Options {
        listen: "127.0.0.1:0".to_owned(),
        database,
        access: Access::Tokens(tokens.into()),
        tls: None,
        metrics_listen: None,
        config: Config { retention, ..Config::default() },
    };
    let mut told: Result<(), Error> = Ok(());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let listening = |at: storex_cli::serve::Listening| {
        let mut out = std::io::stdout();
        told = writeln!(out, "{}", at.devices).and_then(|()| out.flush());
    };
    runtime.block_on(run(options, listening, std::future::pending()))?;
    Ok(told?)
}
