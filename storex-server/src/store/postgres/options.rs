//! [`PostgresOptions`]: where the database is, and how it is used.

use std::str::FromStr;
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::SslMode;
use tokio_rustls::rustls::RootCertStore;

use super::address::Address;
use super::failure::Failure;
use super::tls::{self, Tls};
use crate::error::Result;

const READING: &str = "reading the address of the database";

const NO_ADDRESS: &str = "it is not of the form `postgresql://user:password@host:port/name?option=value` or `host=.. user=.. password=.. dbname=..`, or has an option that is not known";

/// Where a PostgreSQL database is, and how much of it one server takes.
///
/// ```
/// use std::time::Duration;
/// use storex_server::PostgresOptions;
///
/// let options = PostgresOptions::new("host=db.example.org user=storex dbname=storex sslmode=verify-full")?
///     .connections(32)
///     .longest_wait(Duration::from_secs(2));
/// # Ok::<(), storex_server::ServerError>(())
/// ```
#[derive(Debug, Clone)]
pub struct PostgresOptions {
    pub(super) database: Config,
    /// `None`: those of the system.
    roots: Option<RootCertStore>,
    pub(super) connections: usize,
    pub(super) longest_wait: Duration,
    pub(super) longest_statement: Duration,
}

impl PostgresOptions {
    /// With the address in one of the forms that PostgreSQL's own programs take: `host=… user=… password=… dbname=…`, or
    /// `postgresql://user:password@host/dbname`. Several hosts may be given, of which the first that answers is taken.
    ///
    /// With `sslmode=verify-full` (or `require`, or `verify-ca`, which mean the same here) the connection is encrypted, or fails: by TLS 1.2 or
    /// 1.3, with a certificate that has the name of the host and is of an authority that is trusted. These are the operating system's, or those
    /// in the file that `sslrootcert` names, or [`root_certificates`](Self::root_certificates). Without `sslmode`, and with `disable` or `prefer`,
    /// it is not encrypted.
    ///
    /// # Errors
    /// [`ServerError::Store`](crate::ServerError::Store) when this is no such address, or no certificate can be read from the file.
    pub fn new(address: &str) -> Result<Self> {
        let wrong = |reason: String| Failure::lasting(READING, reason);
        let Address { driver, is_encrypted, root_certificates } =
            Address::parse(address).map_err(wrong)?;
        let mut database =
            // What the driver says may repeat a part of the password.
            Config::from_str(&driver).map_err(|_| wrong(NO_ADDRESS.to_owned()))?;
        database.ssl_mode(if is_encrypted { SslMode::Require } else { SslMode::Disable });
        let roots = match root_certificates.as_deref() {
            None | Some("system") => None,
            Some(file) => {
                let pem = std::fs::read(file).map_err(|error| error.to_string());
                let roots = pem.and_then(|pem| tls::roots_of_pem(&pem));
                Some(roots.map_err(|reason| wrong(format!("sslrootcert {file}: {reason}")))?)
            }
        };
        Ok(Self {
            database,
            roots,
            connections: 16,
            longest_wait: Duration::from_secs(5),
            longest_statement: Duration::from_secs(30),
        })
    }

    /// Trusts these certificates and authorities only, in PEM, as `sslrootcert` does.
    ///
    /// # Errors
    /// [`ServerError::Store`](crate::ServerError::Store) when no certificate is in it or one that cannot be read, and when the connection is not
    /// to be encrypted.
    pub fn root_certificates(mut self, pem: &[u8]) -> Result<Self> {
        let during = "reading the certificates for the database";
        if !self.is_encrypted() {
            let reason = "the address does not ask for encryption; add sslmode=verify-full";
            return Err(Failure::lasting(during, reason).into());
        }
        let roots = tls::roots_of_pem(pem);
        self.roots = Some(roots.map_err(|reason| Failure::lasting(during, reason))?);
        Ok(self)
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

    fn is_encrypted(&self) -> bool {
        self.database.get_ssl_mode() == SslMode::Require
    }

    /// How a connection is encrypted, if it is to be.
    pub(super) fn tls(&self) -> std::result::Result<Tls, Failure> {
        let roots = match (&self.roots, self.is_encrypted()) {
            (Some(roots), _) => Ok(roots.clone()),
            (None, true) => tls::roots_of_system(),
            // Nobody asks for them.
            (None, false) => Ok(RootCertStore::empty()),
        };
        let tls = roots.and_then(Tls::trusting);
        tls.map_err(|reason| Failure::lasting("preparing TLS to the database", reason))
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
