//! [`TlsFiles`]: TLS by rustls, with certificates that may change while the server runs.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use storex_core::Timestamp;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::server::TlsStream;

use crate::error::{Result, ServerError};
use crate::reread::Reread;

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// A certificate and its key, in PEM files that are read again when they were changed (whoever renews certificates writes them anew).
#[derive(Debug)]
pub struct TlsFiles {
    acceptor: Reread<TlsAcceptor, 2>,
}

impl TlsFiles {
    /// Reads the files: the certificates, the server's own first, and its key.
    ///
    /// # Errors
    /// [`ServerError::Config`] when they cannot be read, or do not go together.
    pub fn open(certificates: impl AsRef<Path>, key: impl AsRef<Path>) -> Result<Self> {
        let files = [certificates.as_ref().to_owned(), key.as_ref().to_owned()];
        // Nobody has said yet what time it is.
        let long_ago = Timestamp(i64::MIN);
        Ok(Self { acceptor: Reread::open(files, LOOK_EVERY, long_ago, read)? })
    }

    pub(super) async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        now: Timestamp,
    ) -> io::Result<TlsStream<S>> {
        self.acceptor.current(now).accept(stream).await
    }
}

fn read([certificates, key]: &[PathBuf; 2]) -> Result<TlsAcceptor> {
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
