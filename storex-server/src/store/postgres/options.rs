//! [`PostgresOptions`]: where the database is, and how it is used.

use std::str::FromStr;
use std::time::Duration;

use tokio_postgres::Config;

use super::failure::Failure;
use crate::error::Result;

/// Where a PostgreSQL database is, and how much of it one server takes.
///
/// ```
/// use std::time::Duration;
/// use storex_server::PostgresOptions;
///
/// let options = PostgresOptions::new("host=db.example.org user=storex dbname=storex")?
///     .connections(32)
///     .longest_wait(Duration::from_secs(2));
/// # Ok::<(), storex_server::ServerError>(())
/// ```
#[derive(Debug, Clone)]
pub struct PostgresOptions {
    pub(super) database: Config,
    pub(super) connections: usize,
    pub(super) longest_wait: Duration,
    pub(super) longest_statement: Duration,
}

impl PostgresOptions {
    /// With the address in one of the forms that PostgreSQL's own programs take: `host=… user=… password=… dbname=…`, or
    /// `postgresql://user:password@host/dbname`. Several hosts may be given, of which the first that answers is taken.
    ///
    /// The connection is not encrypted: an address that asks for TLS (`sslmode=require`) is refused when it is opened. A
    /// database on another machine is reached through a network that one can trust, or through a tunnel.
    ///
    /// # Errors
    /// [`ServerError::Store`](crate::ServerError::Store) when this is no such address.
    pub fn new(address: &str) -> Result<Self> {
        let during = "reading the address of the database";
        let database = Config::from_str(address).map_err(|error| Failure::new(during, &error))?;
        Ok(Self {
            database,
            connections: 16,
            longest_wait: Duration::from_secs(5),
            longest_statement: Duration::from_secs(30),
        })
    }

    /// How many connections a server keeps at most, besides the one that listens; 16. All servers together need fewer than the
    /// database's `max_connections`.
    #[must_use]
    pub fn connections(mut self, most: usize) -> Self {
        self.connections = most.max(1);
        self
    }

    /// How long a request waits for a connection before it fails as one that may be tried again; 5 s.
    #[must_use]
    pub fn longest_wait(mut self, longest: Duration) -> Self {
        self.longest_wait = longest;
        self
    }

    /// How long the database works at a statement, or waits for a lock, before it gives up; 30 s.
    #[must_use]
    pub fn longest_statement(mut self, longest: Duration) -> Self {
        self.longest_statement = longest;
        self
    }

    /// As it is given to the driver.
    pub(super) fn config(&self) -> Config {
        let mut config = self.database.clone();
        if config.get_application_name().is_none() {
            config.application_name("storex-server");
        }
        let longest = self.longest_statement.as_millis();
        let given = self.database.get_options().unwrap_or_default();
        config.options(format!(
            "{given} -c default_transaction_isolation=read\\ committed -c statement_timeout={longest} -c lock_timeout={longest} -c idle_in_transaction_session_timeout={longest} -c client_min_messages=warning"
        ));
        // So that a database that is gone without a word is noticed.
        config
            .keepalives(true)
            .keepalives_idle(Duration::from_secs(15))
            .keepalives_interval(Duration::from_secs(5))
            .keepalives_retries(3)
            .tcp_user_timeout(Duration::from_secs(30));
        config
    }
}
