//! [`Server`]: listens, answers, and stops in order.

mod connection;
mod deadlines;
mod listener;
mod retention;
mod revocations;
mod timer;
#[cfg(feature = "tls")]
mod tls;

pub use listener::Listener;
#[cfg(feature = "tls")]
pub use tls::TlsFiles;

use std::fmt;
use std::sync::Arc;

use axum::Router;
use storex_core::{Runtime, TokioRuntime};
use tokio::net::TcpListener;

use crate::app::App;
use crate::config::Config;
use crate::error::Result;
use crate::identity::Verifier;
use crate::routes;
use crate::store::Store;
pub(crate) use connection::ConnectionPermit;
use connection::Door;

/// A server: what it keeps logs in, who may come, and what it allows.
///
/// ```no_run
/// use std::sync::Arc;
/// use storex_server::{Config, Server, Store, Tokens};
///
/// # async fn example(store: Arc<dyn Store>, asked_to_stop: impl Future<Output = ()>) -> Result<(), Box<dyn std::error::Error>> {
/// let tokens = Tokens::parse("3f9c0a72b8d14e65 ada")?;
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
/// let server = Server::new(store, Arc::new(tokens)).config(Config::default());
/// server.serve(listener, asked_to_stop).await?;
/// # Ok(()) }
/// ```
pub struct Server {
    store: Arc<dyn Store>,
    verifier: Arc<dyn Verifier>,
    runtime: Arc<dyn Runtime>,
    config: Config,
    metrics_listener: Option<TcpListener>,
    #[cfg(feature = "tls")]
    tls: Option<TlsFiles>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { store, verifier, config, .. } = self;
        f.debug_struct("Server")
            .field("store", store)
            .field("verifier", verifier)
            .field("config", config)
            .finish_non_exhaustive()
    }
}

impl Server {
    /// A server with this store, for those whom this verifier lets in.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, verifier: Arc<dyn Verifier>) -> Self {
        Self {
            store,
            verifier,
            runtime: Arc::new(TokioRuntime),
            config: Config::default(),
            metrics_listener: None,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    /// Limits, time-outs, relay and retention.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Time, randomness and tasks; without this, those of the system.
    #[must_use]
    pub fn runtime(mut self, runtime: Arc<dyn Runtime>) -> Self {
        self.runtime = runtime;
        self
    }

    /// Speaks TLS. Without this, whoever stands in front of it does.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, files: TlsFiles) -> Self {
        self.tls = Some(files);
        self
    }

    /// Gives `/metrics` here (without TLS), and no longer beside everything else.
    #[must_use]
    pub fn metrics_on(mut self, listener: TcpListener) -> Self {
        self.metrics_listener = Some(listener);
        self
    }

    /// Answers until the future completes. Then nothing new is accepted, WebSockets are closed with 1001 (going away), and what is under
    /// way is waited for, for as long as [`Timeouts::shutdown`](crate::Timeouts::shutdown) says.
    ///
    /// To be called within a tokio runtime. Dropped, it stops without waiting for anything.
    ///
    /// # Errors
    /// [`ServerError::Config`](crate::ServerError::Config) for what [`Config::check`] refuses.
    pub async fn serve(
        self,
        listener: impl Listener,
        until: impl Future<Output = ()>,
    ) -> Result<()> {
        self.config.check()?;
        let app = App::new(self.store, self.verifier, self.runtime, self.config);
        let _stops = StopsWhenDropped(Arc::clone(&app));
        retention::start(&app);
        revocations::start(&app);
        let mut endpoints = routes::endpoints();
        let metrics = routes::metrics_endpoint();
        match self.metrics_listener {
            Some(listener) => {
                let door = Door::new(&app, routes::router(&app, vec![metrics]), listener);
                app.runtime.spawn(Box::pin(door.run()));
            }
            None => endpoints.push(metrics),
        }
        let router: Router = routes::router(&app, endpoints);
        let door = Door::new(&app, router, listener);
        #[cfg(feature = "tls")]
        let door = door.tls(self.tls);
        app.runtime.spawn(Box::pin(door.run()));
        until.await;
        stop(&app).await;
        Ok(())
    }
}

/// Whoever gives up serving leaves nothing behind that goes on.
struct StopsWhenDropped(Arc<App>);

impl Drop for StopsWhenDropped {
    fn drop(&mut self) {
        self.0.sessions.stop();
    }
}

async fn stop(app: &App) {
    tracing::info!("the server stops");
    app.sessions.stop();
    let all = u32::try_from(app.config.limits.connections).unwrap_or(u32::MAX);
    tokio::select! {
        _ = app.connections.acquire_many(all) => tracing::info!("everything under way has ended"),
        () = app.runtime.sleep(app.config.timeouts.shutdown) => {
            let connections = app.gauges().connections;
            tracing::warn!(connections, "what is under way is not waited for any longer");
        }
    }
}
