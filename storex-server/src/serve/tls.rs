//! [`TlsFiles`]: TLS by rustls, with certificates that may change while the server runs.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use storex_core::Timestamp;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::server::TlsStream;

use crate::error::{Result, ServerError};

/// How often the files are looked at, in milliseconds.
const LOOK_EVERY: u64 = 10_000;

/// A certificate and its key, in PEM files that are read again when they were changed (whoever renews certificates writes them anew).
pub struct TlsFiles {
    certificates: PathBuf,
    key: PathBuf,
    state: Mutex<State>,
}

struct State {
    acceptor: TlsAcceptor,
    changed: [Option<SystemTime>; 2],
    looked: Timestamp,
}

impl fmt::Debug for TlsFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { certificates, key, .. } = self;
        f.debug_struct("TlsFiles")
            .field("certificates", certificates)
            .field("key", key)
            .finish_non_exhaustive()
    }
}

impl TlsFiles {
    /// Reads the files: the certificates, the server's own first, and its key.
    ///
    /// # Errors
    /// [`ServerError::Config`] when they cannot be read, or do not go together.
    pub fn open(certificates: impl AsRef<Path>, key: impl AsRef<Path>) -> Result<Self> {
        let (certificates, key) = (certificates.as_ref().to_owned(), key.as_ref().to_owned());
        let changed = [modified(&certificates), modified(&key)];
        let acceptor = read(&certificates, &key)?;
        let state = State { acceptor, changed, looked: Timestamp(i64::MIN) };
        Ok(Self { certificates, key, state: Mutex::new(state) })
    }

    pub(super) async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        now: Timestamp,
    ) -> io::Result<TlsStream<S>> {
        self.current(now).accept(stream).await
    }

    fn current(&self, now: Timestamp) -> TlsAcceptor {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if now.0.abs_diff(state.looked.0) >= LOOK_EVERY {
            state.looked = now;
            let changed = [modified(&self.certificates), modified(&self.key)];
            if changed != state.changed {
                match read(&self.certificates, &self.key) {
                    Ok(acceptor) => {
                        tracing::info!("the certificates were read again");
                        (state.acceptor, state.changed) = (acceptor, changed);
                    }
                    // One of the two may not have been written yet.
                    Err(error) => tracing::error!(%error, "the certificates stay as they were"),
                }
            }
        }
        state.acceptor.clone()
    }
}

fn modified(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|it| it.modified()).ok()
}

fn read(certificates: &Path, key: &Path) -> Result<TlsAcceptor> {
    let wrong = |path: &Path, error: &dyn fmt::Display| {
        ServerError::config(format!("{}: {error}", path.display()))
    };
    let chain: Vec<_> = CertificateDer::pem_file_iter(certificates)
        .and_then(Iterator::collect)
        .map_err(|error| wrong(certificates, &error))?;
    let own = PrivateKeyDer::from_pem_file(key).map_err(|error| wrong(key, &error))?;
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|config| config.with_no_client_auth().with_single_cert(chain, own));
    let mut config = config.map_err(|error| wrong(certificates, &error))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
