//! `storex serve`: a server with what is given on the command line.

mod keys;
mod objects;
mod open;

use std::path::PathBuf;
use std::sync::Arc;

use storex_server::{Config, Server, Store, TlsFiles};
use tokio::net::TcpListener;

use crate::error::{CliError, During as _, Result};

/// What a server is to be.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where it listens.
    pub listen: String,
    /// Where its logs are.
    pub database: Database,
    /// The object store that blobs and the pages of snapshots are in, if they are not in the database: a folder, or `scheme://bucket/prefix`.
    pub objects: Option<String>,
    /// Who is let in.
    pub access: Access,
    /// The certificates and the key of TLS, if it speaks that.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Where the numbers are, if not beside everything else.
    pub metrics_listen: Option<String>,
    /// Limits and the like.
    pub config: Config,
}

/// Where logs are.
#[derive(Debug, Clone)]
pub enum Database {
    /// In a SQLite file, which is made if it is not there.
    File(PathBuf),
    /// In PostgreSQL.
    #[cfg(feature = "postgres")]
    Postgres(String),
}

/// Who is let in.
#[derive(Debug, Clone)]
pub enum Access {
    /// Whoever has one of the tokens of a file.
    Tokens(PathBuf),
    /// Whoever has a JSON Web Token.
    Jwt {
        /// The keys.
        keys: JwtKeys,
        /// What else the tokens must say.
        rules: storex_server::JwtRules,
    },
}

/// Where the keys of JSON Web Tokens are.
#[derive(Debug, Clone)]
pub enum JwtKeys {
    /// In a file, as a JSON Web Key Set.
    File(PathBuf),
    /// At an address that begins with `https://`.
    Url(String),
    /// In a file that holds nothing but the secret.
    Secret(PathBuf),
}

/// Where a server listens.
#[derive(Debug, Clone, Copy)]
pub struct Listening {
    /// For devices.
    pub devices: std::net::SocketAddr,
    /// For numbers, if that is elsewhere.
    pub metrics: Option<std::net::SocketAddr>,
}

/// Runs a server until the future completes. `listening` is called once it listens.
///
/// # Errors
/// Whatever keeps it from beginning.
pub async fn run(
    options: Options,
    listening: impl FnOnce(Listening),
    until: impl Future<Output = ()>,
) -> Result<()> {
    tokio::pin!(until);
    let Prepared { store, server, listener, at } = tokio::select! {
        biased;
        // What is opened may be away, and is waited for.
        () = &mut until => return Ok(()),
        prepared = prepare(options) => prepared?,
    };
    listening(at);
    let served = server.serve(listener, until).await.during("serving");
    // Else the end of what was written is in a file of its own beside the database.
    let closed = store.close().await.during("closing the database");
    served.and(closed)
}

struct Prepared {
    store: Arc<dyn Store>,
    server: Server,
    listener: TcpListener,
    at: Listening,
}

async fn prepare(options: Options) -> Result<Prepared> {
    let mut store = open::store(&options.database).await?;
    if let Some(address) = &options.objects {
        store = objects::open(address).await?.beside(store);
    }
    let verifier = open::verifier(&options.access).await?;
    let mut server = Server::new(Arc::clone(&store), verifier).config(options.config);
    if let Some((certificates, key)) = &options.tls {
        server = server.tls(TlsFiles::open(certificates, key).during("reading the certificates")?);
    }
    let (listener, devices) = listen(&options.listen).await?;
    let mut metrics = None;
    if let Some(address) = &options.metrics_listen {
        let (listener, address) = listen(address).await?;
        (server, metrics) = (server.metrics_on(listener), Some(address));
    }
    Ok(Prepared { store, server, listener, at: Listening { devices, metrics } })
}

async fn listen(address: &str) -> Result<(TcpListener, std::net::SocketAddr)> {
    let failed = |source| CliError::Network { during: format!("listening on {address}"), source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}
