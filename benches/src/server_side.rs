//! A server in a process of its own, so that what it takes is not what those who ask it take.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use storex_core::TokioRuntime;
use storex_server::{
    Config, Identity, Limits, PostgresOptions, PostgresStore, Server, SqliteStore, Store, TlsFiles,
    Tokens, User,
};
use tokio::net::TcpListener;

use crate::measure::{memory_of, processor_of};
use crate::server_hand::{self, Place};

/// Which server it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Ours, on a SQLite file.
    Sqlite,
    /// The same with TLS: beside the file lie `cert.pem` and `key.pem`.
    SqliteTls,
    /// Ours, on PostgreSQL.
    Postgres,
    /// The hand-written one on a SQLite file.
    HandSqlite,
    /// The hand-written one on PostgreSQL.
    HandPostgres,
}

const NAMES: [(Kind, &str); 5] = [
    (Kind::Sqlite, "sqlite"),
    (Kind::SqliteTls, "sqlite-tls"),
    (Kind::Postgres, "postgres"),
    (Kind::HandSqlite, "hand-sqlite"),
    (Kind::HandPostgres, "hand-postgres"),
];

/// The name of a user.
pub(crate) fn user(number: usize) -> String {
    format!("user-{number:06}@example.org")
}

/// The token of a user.
#[must_use]
pub fn token(number: usize) -> String {
    format!("token-of-user-{number:06}-0123456789abcdef")
}

/// A server that is running.
#[derive(Debug)]
pub struct Side {
    child: Child,
    /// Where it answers.
    pub address: SocketAddr,
}

impl Side {
    /// Starts it, with rows in this file or at this address, for so many users.
    #[must_use]
    pub fn start(kind: Kind, place: &str, users: usize) -> Self {
        let (_, name) = NAMES.iter().find(|(it, _)| *it == kind).unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--server-side", name, place, &users.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { child, address: line.trim().parse().unwrap() }
    }

    /// The memory that it has, in MiB.
    #[must_use]
    pub fn memory(&self) -> f64 {
        memory_of(&self.child.id().to_string(), "VmRSS:")
    }

    /// The processor time that it has used, in seconds.
    #[must_use]
    pub fn processor(&self) -> f64 {
        processor_of(&self.child.id().to_string())
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        // Then it stops.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// Is a server, with as many threads as the machine has processors, until standard input ends.
pub fn run(arguments: &[String]) {
    let [name, place, users] = arguments else { panic!("three arguments") };
    let (kind, _) = NAMES.iter().find(|(_, it)| it == name).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.spawn(serve(*kind, place.clone(), users.parse().unwrap()));
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    runtime.shutdown_background();
}

async fn serve(kind: Kind, place: String, users: usize) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let runtime = Arc::new(TokioRuntime);
    let store: Arc<dyn Store> = match kind {
        Kind::Sqlite | Kind::SqliteTls => {
            Arc::new(SqliteStore::open(&place, runtime).await.unwrap())
        }
        Kind::Postgres => {
            let options = PostgresOptions::new(&place).unwrap();
            Arc::new(PostgresStore::open(&options, runtime).await.unwrap())
        }
        Kind::HandSqlite => {
            say(address);
            return server_hand::serve(listener, Place::Sqlite(place), users).await;
        }
        Kind::HandPostgres => {
            say(address);
            return server_hand::serve(listener, Place::Postgres(place), users).await;
        }
    };
    // Those who ask here ask more often than people do.
    let often = 1_000_000;
    let limits = Limits { requests_per_second: often, burst: often, ..Limits::default() };
    let mut server =
        Server::new(store, Arc::new(tokens(users))).config(Config { limits, ..Config::default() });
    if kind == Kind::SqliteTls {
        let beside = std::path::Path::new(&place).parent().unwrap();
        let files = TlsFiles::open(beside.join("cert.pem"), beside.join("key.pem"));
        server = server.tls(files.unwrap());
    }
    say(address);
    server.serve(listener, std::future::pending()).await.unwrap();
}

#[allow(clippy::print_stdout)] // whoever has started it waits for this
fn say(address: SocketAddr) {
    println!("{address}");
}

fn tokens(users: usize) -> Tokens {
    (0..users).fold(Tokens::new(), |tokens, number| {
        let identity = Identity::of(User::new(user(number)).unwrap());
        tokens.with(&token(number), identity).unwrap()
    })
}
