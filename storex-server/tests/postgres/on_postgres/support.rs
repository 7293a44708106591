//! Stores on a database, users of one's own in it, and a look past the store.

use std::future::Future;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use storex_core::{BoxFuture, Runtime, Timestamp, TokioRuntime};
use storex_postgres_cluster::{Cluster, Durability, Programs, handed_over};
use storex_server::{PostgresOptions, PostgresStore, Store, User};
use storex_sync::{Cursor, Device, SealedTransaction, SharedSyncLog, SyncError};
use tokio_postgres::{Client, NoTls};

pub(crate) const ALL: usize = 1 << 20;

/// How long something may take that takes a few milliseconds.
const SOON: Duration = Duration::from_secs(30);

/// Runs a test on threads and a clock of its own: a database does not live in virtual time.
pub(crate) fn run(test: impl Future<Output = ()>) {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().unwrap().block_on(test);
}

/// What is awaited comes.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, future).await.expect("it takes no longer than that")
}

/// The system's time also where the clock of the test stands still.
#[derive(Debug)]
pub(crate) struct RealTime;

static BACKGROUND: LazyLock<tokio::runtime::Runtime> = LazyLock::new(|| {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(1).enable_all().build().unwrap()
});

impl Runtime for RealTime {
    fn now(&self) -> Timestamp {
        TokioRuntime.now()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let sleeping = BACKGROUND.spawn(async move { TokioRuntime.sleep(duration).await });
        Box::pin(async move { sleeping.await.unwrap() })
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        BACKGROUND.spawn(task);
    }

    fn fill_random(&self, buffer: &mut [u8]) {
        TokioRuntime.fill_random(buffer);
    }
}

/// A name that no other test has.
pub(crate) fn unique() -> String {
    let mut drawn = [0; 8];
    TokioRuntime.fill_random(&mut drawn);
    format!("test_{:016x}", u64::from_be_bytes(drawn))
}

pub(crate) fn user() -> User {
    User::new(unique()).unwrap()
}

/// A PostgreSQL that is this test's alone.
pub(crate) fn own_cluster(durability: Durability) -> Cluster {
    let programs = Programs::find().expect("PostgreSQL is installed (`cargo xtask setup`)");
    Cluster::start(&programs, durability).expect("it starts")
}

/// The address of a PostgreSQL that is shared with other tests.
pub(crate) fn address() -> String {
    static OWN: LazyLock<Cluster> = LazyLock::new(|| own_cluster(Durability::ProcessOnly));
    handed_over().unwrap_or_else(|| OWN.address().to_owned())
}

/// Another server.
pub(crate) async fn store() -> PostgresStore {
    store_at(&address()).await
}

pub(crate) async fn store_at(address: &str) -> PostgresStore {
    open(PostgresOptions::new(address).unwrap().connections(8)).await
}

pub(crate) async fn open(options: PostgresOptions) -> PostgresStore {
    PostgresStore::open(&options, Arc::new(RealTime)).await.expect("the store opens")
}

pub(crate) async fn log(store: &PostgresStore, user: &User) -> Arc<dyn SharedSyncLog> {
    store.log(user).await.expect("the log of a user")
}

/// A connection past the store.
pub(crate) async fn connect(address: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(address, NoTls).await.unwrap();
    BACKGROUND.spawn(async move { connection.await.unwrap_or_default() });
    client
}

pub(crate) fn device(n: u8) -> Device {
    Device { id: [n; 16], incarnation: 0 }
}

pub(crate) fn transaction(device: Device, sequence: u64) -> SealedTransaction {
    SealedTransaction { device, sequence, payload: format!("{device}/{sequence}").into_bytes() }
}

/// Everything of others, and the place behind it.
pub(crate) async fn read_all(
    log: &dyn SharedSyncLog,
    reader: Device,
) -> (Vec<SealedTransaction>, Cursor) {
    let (mut all, mut cursor) = (Vec::new(), Cursor::default());
    loop {
        let page = log.read(reader, &cursor, ALL).await.expect("a page");
        all.extend(page.transactions);
        cursor = page.cursor;
        if !page.more {
            return (all, cursor);
        }
    }
}

/// Does it until it is done; whatever fails meanwhile may be tried again.
pub(crate) async fn until_done<T, F>(mut attempt: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, SyncError>>,
{
    let trying = async {
        loop {
            match attempt().await {
                Ok(done) => return done,
                Err(error) => assert!(error.is_retryable(), "{error:?}"),
            }
            tokio::task::yield_now().await;
        }
    };
    soon(trying).await
}

/// An empty database beside the shared one.
pub(crate) async fn empty_database() -> String {
    let name = unique();
    connect(&address()).await.batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap();
    // The last one counts.
    format!("{} dbname={name}", address())
}
