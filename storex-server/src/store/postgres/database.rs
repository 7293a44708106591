//! [`Database`]: connections, and what is asked of them.

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, RecyclingMethod};
use futures_util::FutureExt;
use futures_util::future::{Either, select};
use storex_core::Runtime;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Row, Statement};

use super::accounts::Accounts;
use super::failure::Failure;
use super::options::PostgresOptions;
use super::tls::Tls;

/// The result of what is asked of the database.
pub(super) type Result<T, E = Failure> = std::result::Result<T, E>;

/// The connections of a server to its database.
pub(super) struct Database {
    pool: Pool,
    longest_wait: Duration,
    pub(super) runtime: Arc<dyn Runtime>,
    pub(super) accounts: Accounts,
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database").field("connections", &self.pool.status()).finish()
    }
}

impl Database {
    /// Nothing is connected before it is asked for.
    pub(super) fn new(
        options: &PostgresOptions,
        tls: Tls,
        runtime: Arc<dyn Runtime>,
    ) -> Result<Self> {
        // A connection is known to be closed without a look at the database, and what it does next would fail anyway.
        let config = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_config(options.config(), tls, config);
        let during = "preparing the connections to the database";
        let pool = Pool::builder(manager).max_size(options.connections).build();
        let pool = pool.map_err(|error| Failure::lasting(during, error.to_string()))?;
        let longest_wait = options.longest_wait;
        Ok(Self { pool, longest_wait, runtime, accounts: Accounts::default() })
    }

    /// A connection, for what is said here.
    pub(super) async fn session(&self, during: &'static str) -> Result<Session<'_>> {
        let connection = self.within(self.longest_wait, self.pool.get()).await;
        let seconds = self.longest_wait.as_secs_f64();
        let busy = || Failure::passing(during, format!("no connection within {seconds} s"));
        let connection = connection.ok_or_else(busy)?;
        let connection = connection.map_err(|error| Failure::of_pool(during, &error))?;
        Ok(Session { database: self, connection, during })
    }

    /// `None` when it takes longer.
    async fn within<T>(&self, longest: Duration, work: impl Future<Output = T>) -> Option<T> {
        match select(pin!(work), self.runtime.sleep(longest)).await {
            Either::Left((done, _)) => Some(done),
            Either::Right(_) => None,
        }
    }
}

/// A connection that is used by one request.
///
/// What is begun before the answers to earlier statements are awaited goes out at once, in the order in which it is polled first, and
/// is executed in that order: several statements are one round trip then.
pub(super) struct Session<'a> {
    database: &'a Database,
    connection: Object,
    during: &'static str,
}

impl Session<'_> {
    /// Statements, which the connection has prepared once. They come first: preparing one would break the order of a round trip.
    pub(super) async fn prepare<const N: usize>(
        &self,
        statements: [&'static str; N],
    ) -> Result<[Statement; N]> {
        let mut prepared = Vec::with_capacity(N);
        for statement in statements {
            let done = self.connection.prepare_cached(statement).await;
            prepared.push(done.map_err(|error| self.failure(&error))?);
        }
        prepared.try_into().map_err(|_| self.wrong())
    }

    pub(super) async fn query(
        &self,
        statement: &Statement,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>> {
        let rows = self.connection.query(statement, values).await;
        rows.map_err(|error| self.failure(&error))
    }

    /// Prepares it and asks it.
    pub(super) async fn ask(
        &self,
        statement: &'static str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>> {
        let [statement] = self.prepare([statement]).await?;
        self.query(&statement, values).await
    }

    /// Statements without values.
    pub(super) async fn execute(&self, statements: &str) -> Result<()> {
        let done = self.connection.batch_execute(statements).await;
        done.map_err(|error| self.failure(&error))
    }

    /// Begins a transaction. Before that, [`Session::guard`] is called.
    pub(super) async fn begin(&self) -> Result<()> {
        self.execute("BEGIN ISOLATION LEVEL READ COMMITTED").await
    }

    /// Guards a transaction: what is not committed when it is dropped is rolled back.
    pub(super) fn guard(&self) -> Guard<'_> {
        Guard { session: self, is_open: true }
    }

    pub(super) fn failure(&self, error: &tokio_postgres::Error) -> Failure {
        Failure::new(self.during, error)
    }

    /// A row that is not as we write it.
    pub(super) fn wrong(&self) -> Failure {
        Failure::lasting(self.during, "a row in the database is not as it was written")
    }

    /// The user's row is not there, which was: the database was put back to an older state, and the numbers of its users have to be
    /// looked up again.
    pub(super) fn gone(&self) -> Failure {
        self.database.accounts.forget();
        Failure::passing(self.during, "the database does not know this user any more")
    }
}

/// See [`Session::guard`].
pub(super) struct Guard<'a> {
    session: &'a Session<'a>,
    is_open: bool,
}

impl Guard<'_> {
    /// Commits it.
    pub(super) async fn commit(mut self) -> Result<()> {
        self.session.execute("COMMIT").await?;
        self.is_open = false;
        Ok(())
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if self.is_open {
            // The first poll sends it, in front of whatever this connection is asked next; nobody needs the answer.
            let _ = self.session.connection.batch_execute("ROLLBACK").now_or_never();
        }
    }
}
