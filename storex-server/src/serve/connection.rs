//! [`Door`]: takes connections, and runs each until it ends or the server stops.

#[cfg(feature = "tls")]
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::OwnedSemaphorePermit;

use super::deadlines::{Deadlines, Patience};
use super::listener::Listener;
use super::timer::RuntimeTimer;
#[cfg(feature = "tls")]
use super::tls::TlsFiles;
use crate::app::App;
use crate::http::Peer;

/// After the system has no more descriptors, say.
const PAUSE: Duration = Duration::from_millis(100);

/// Takes connections.
pub(super) struct Door<L> {
    app: Arc<App>,
    router: Router,
    listener: L,
    #[cfg(feature = "tls")]
    tls: Option<Arc<TlsFiles>>,
}

/// A connection that counts, also when it has become a WebSocket.
#[derive(Debug, Clone)]
pub(crate) struct ConnectionPermit {
    _held: Arc<(OwnedSemaphorePermit, Arc<()>)>,
}

impl<L: Listener> Door<L> {
    pub(super) fn new(app: &Arc<App>, router: Router, listener: L) -> Self {
        Self {
            app: Arc::clone(app),
            router,
            listener,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    #[cfg(feature = "tls")]
    pub(super) fn tls(mut self, files: Option<TlsFiles>) -> Self {
        self.tls = files.map(Arc::new);
        self
    }

    /// Takes connections until the server stops.
    pub(super) async fn run(self) {
        let app = Arc::clone(&self.app);
        tokio::select! {
            () = app.sessions.stopped() => {}
            () = self.accept() => {}
        }
    }

    async fn accept(&self) {
        loop {
            // Without room for it, the next one waits in the system's queue.
            let Ok(permit) = Arc::clone(&self.app.connections).acquire_owned().await else {
                return;
            };
            match self.listener.accept().await {
                Ok((stream, peer)) => self.begin(stream, Peer(peer), permit),
                Err(error) => {
                    tracing::warn!(%error, "a connection was not accepted");
                    self.app.runtime.sleep(PAUSE).await;
                }
            }
        }
    }

    fn begin(&self, stream: L::Stream, peer: Peer, permit: OwnedSemaphorePermit) {
        let app = Arc::clone(&self.app);
        let counted = ConnectionPermit { _held: Arc::new((permit, Arc::clone(&app.open))) };
        let service = Answering { router: self.router.clone(), peer, counted };
        let patience = Patience {
            most: app.config.timeouts.write,
            bytes_per_second: app.config.limits.min_write_rate,
        };
        let stream = Deadlines::new(stream, Arc::clone(&app.runtime), patience);
        #[cfg(feature = "tls")]
        if let Some(tls) = self.tls.clone() {
            let task = async move {
                let accepted = tokio::select! {
                    accepted = tls.accept(stream, app.runtime.now()) => accepted,
                    () = app.runtime.sleep(app.config.timeouts.headers) => Err(io::ErrorKind::TimedOut.into()),
                    () = app.sessions.stopped() => return,
                };
                match accepted {
                    Ok(stream) => run(&app, stream, service).await,
                    Err(error) => tracing::debug!(%error, "no TLS"),
                }
            };
            self.app.runtime.spawn(Box::pin(task));
            return;
        }
        self.app.runtime.spawn(Box::pin(async move { run(&app, stream, service).await }));
    }
}

/// What answers on a connection, and what each request is told of it.
struct Answering {
    router: Router,
    peer: Peer,
    counted: ConnectionPermit,
}

async fn run<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
    app: &App,
    stream: S,
    Answering { router, peer, counted }: Answering,
) {
    let mut builder = http1::Builder::new();
    builder
        .timer(RuntimeTimer::new(Arc::clone(&app.runtime)))
        .header_read_timeout(app.config.timeouts.headers)
        .max_header_size(app.config.limits.header_bytes)
        .half_close(false);
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(peer);
        request.extensions_mut().insert(counted.clone());
        router.call(request)
    });
    let connection = builder.serve_connection(TokioIo::new(stream), service).with_upgrades();
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = app.sessions.stopped() => {
            // What is under way is answered, and nothing is read after it.
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection failed");
    }
}
