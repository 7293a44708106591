//! `storex serve`: its arguments, what it shows, how it ends.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{ArgGroup, Args};
use storex_cli::serve::{self, Access, Database, JwtKeys, Listening, Options};
use storex_cli::{CliError, describe};
use storex_server::{Config, JwtRules};

use crate::console::fail;

const AFTER_HELP: &str = "\
To begin: write a line `TOKEN USER` into a file (TOKEN: 16 or more characters that nobody can guess, from `openssl rand -hex 24` say), and run

    storex serve --tokens tokens.txt

Then devices with that token reach http://127.0.0.1:8080. Tokens must not cross a network in the clear: beyond this machine, give --tls-cert \
and --tls-key, or put a proxy that speaks TLS in front. /health/ready says whether it works, /openapi.json what it answers.

A line in the log is one request; STOREX_LOG=warn makes it quiet, STOREX_LOG=debug talkative.
Exits with 0 after Ctrl-C or SIGTERM, 1 when it cannot begin, 2 when its arguments are wrong.";

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
#[command(group = ArgGroup::new("access").args(["tokens", "jwks", "jwt_secret"]))]
pub(crate) struct Serve {
    /// Where devices reach it
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080")]
    listen: String,
    /// The SQLite file with everybody's logs; made if it is not there. One server has it at a time
    #[arg(long, value_name = "FILE.db", default_value = "storex-server.db")]
    database: PathBuf,
    /// A PostgreSQL database instead, which several servers may share: postgresql://USER:PASSWORD@HOST/NAME
    #[cfg(feature = "postgres")]
    #[arg(
        long,
        value_name = "URL",
        env = "STOREX_POSTGRES",
        hide_env_values = true,
        conflicts_with = "database"
    )]
    postgres: Option<String>,
    /// Keep blobs and the pages of snapshots, which are the largest things in the database, in an object store instead: a folder, or (in a program
    /// that was built for it) s3://BUCKET/PREFIX, gs://.. or az://.., with credentials from the environment. All servers of a database need
    /// the same
    #[arg(long, value_name = "FOLDER|URL")]
    objects: Option<String>,
    /// Who may come: lines `TOKEN USER [DEVICE]`. Read again when it changes
    #[arg(long, value_name = "FILE")]
    tokens: Option<PathBuf>,
    /// Who may come: whoever has a JSON Web Token signed by a key of this JSON Web Key Set (RS256, ES256, EdDSA, HS256), in a file or at an
    /// address. Read again hourly, and when a token names a new key
    #[arg(long, value_name = "FILE.json|https://..")]
    jwks: Option<String>,
    /// Who may come: whoever has a JSON Web Token signed with this file's secret (HS256; 32 bytes or more)
    #[arg(long, value_name = "FILE")]
    jwt_secret: Option<PathBuf>,
    /// Who must have issued JSON Web Tokens (`iss`)
    #[arg(long, value_name = "NAME", conflicts_with = "tokens")]
    jwt_issuer: Option<String>,
    /// Whom JSON Web Tokens must be for (`aud`)
    #[arg(long, value_name = "NAME", conflicts_with = "tokens")]
    jwt_audience: Option<String>,
    /// The claim of JSON Web Tokens that names the user
    #[arg(long, value_name = "CLAIM", default_value = "sub")]
    jwt_user: String,
    /// The certificates for TLS, in PEM, the server's own first. Read again when they change
    #[arg(long, value_name = "FILE.pem", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The key of the certificate, in PEM
    #[arg(long, value_name = "FILE.pem", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Give /metrics here, without TLS, and not beside everything else
    #[arg(long, value_name = "ADDRESS:PORT")]
    metrics_listen: Option<String>,
    /// A proxy in front that is believed when it says whom a request comes from (`x-forwarded-for`), by the address from which it
    /// connects; may be given several times
    #[arg(long, value_name = "ADDRESS")]
    trusted_proxy: Vec<std::net::IpAddr>,
    /// Limits, time-outs, relay and retention, in JSON; what is left out is as --print-config shows
    #[arg(long, value_name = "FILE.json")]
    config: Option<PathBuf>,
    /// Print the configuration that would be in force, and end
    #[arg(long)]
    print_config: bool,
}

pub(crate) async fn run(arguments: Serve) -> ExitCode {
    match arguments.run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&describe(&error)),
    }
}

impl Serve {
    async fn run(self) -> Result<(), CliError> {
        let config = self.config()?;
        if self.print_config {
            let text = serde_json::to_string_pretty(&config).unwrap_or_default();
            // Whoever reads the beginning only has closed it.
            let _ = writeln!(std::io::stdout(), "{text}");
            return Ok(());
        }
        let options = self.options(config)?;
        let tls = options.tls.is_some();
        serve::run(options, |at| say(at, tls), stopped()).await
    }

    fn config(&self) -> Result<Config, CliError> {
        let mut config = self.config.as_deref().map_or_else(|| Ok(Config::default()), read)?;
        config.proxies.extend(&self.trusted_proxy);
        Ok(config)
    }

    fn options(self, config: Config) -> Result<Options, CliError> {
        let access = self.access()?;
        let database = Database::File(self.database);
        #[cfg(feature = "postgres")]
        let database = self.postgres.map_or(database, Database::Postgres);
        let (listen, metrics_listen) = (self.listen, self.metrics_listen);
        let (objects, tls) = (self.objects, self.tls_cert.zip(self.tls_key));
        Ok(Options { listen, database, objects, access, tls, metrics_listen, config })
    }

    fn access(&self) -> Result<Access, CliError> {
        let keys = match (&self.tokens, &self.jwks, &self.jwt_secret) {
            (Some(tokens), ..) => return Ok(Access::Tokens(tokens.clone())),
            (None, Some(at), _) if at.starts_with("https://") => JwtKeys::Url(at.clone()),
            // Whoever is on the way could put keys of its own in.
            (None, Some(at), _) if at.starts_with("http://") => {
                return Err(CliError::Asked {
                    reason: format!("{at}: keys are fetched over https only"),
                });
            }
            (None, Some(file), _) => JwtKeys::File(file.into()),
            (None, None, Some(file)) => JwtKeys::Secret(file.clone()),
            (None, None, None) => {
                let reason = "nobody may come: give --tokens FILE (or --jwks, or --jwt-secret)";
                return Err(CliError::Asked { reason: reason.to_owned() });
            }
        };
        let rules = JwtRules {
            issuer: self.jwt_issuer.clone(),
            audience: self.jwt_audience.clone(),
            user: self.jwt_user.clone(),
            ..JwtRules::default()
        };
        Ok(Access::Jwt { keys, rules })
    }
}

fn read(path: &Path) -> Result<Config, CliError> {
    let input = |reason| CliError::Input { path: path.to_owned(), reason };
    let text = std::fs::read_to_string(path).map_err(|error| input(error.to_string()))?;
    let config: Config = serde_json::from_str(&text).map_err(|error| input(error.to_string()))?;
    config.check().map_err(|error| input(error.to_string()))?;
    Ok(config)
}

fn say(Listening { devices, metrics }: Listening, tls: bool) {
    let scheme = if tls { "https" } else { "http" };
    eprintln!("storex: serving at {scheme}://{devices}");
    if let Some(metrics) = metrics {
        eprintln!("storex: numbers at http://{metrics}/metrics");
    }
    if !tls && !devices.ip().is_loopback() {
        eprintln!(
            "storex: without TLS, tokens cross the network in the clear: a proxy has to stand in front"
        );
    }
}

/// Completes when the server is asked to stop, from this call on.
#[cfg(unix)]
fn stopped() -> impl Future<Output = ()> {
    use tokio::signal::unix::{SignalKind, signal};
    let asked = [SignalKind::terminate(), SignalKind::interrupt()].map(signal);
    async move {
        match asked {
            [Ok(mut terminate), Ok(mut interrupt)] => tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            },
            // It cannot be asked that way.
            _ => std::future::pending().await,
        }
    }
}

/// Completes when the server is asked to stop.
#[cfg(not(unix))]
async fn stopped() {
    // An error means that it cannot be asked that way.
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
