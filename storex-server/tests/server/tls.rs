//! TLS by the server itself.

use std::sync::Arc;
use std::time::Duration;

use storex_server::{Server, TlsFiles};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::support::{ADA, Answer, ManualRuntime, Site, TestStore, raw, tokens};

async fn get(site: &Site, name: &'static str) -> std::io::Result<Answer> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(include_bytes!("data/authority.pem")).unwrap())
        .unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(site.address).await?;
    let name = ServerName::try_from(name).unwrap();
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    let request = format!(
        "GET /v1/devices HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {ADA}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    // The other side may go without the last word.
    let _ = stream.read_to_end(&mut answer).await;
    Ok(Answer::parse(&answer).unwrap())
}

#[tokio::test]
async fn certificates_are_read_again_when_they_were_renewed() {
    let dir = tempfile::tempdir().unwrap();
    let (certificate, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    let write = |path: &std::path::Path, pem: &[u8], at: u64| {
        std::fs::write(path, pem).unwrap();
        let file = std::fs::File::options().write(true).open(path).unwrap();
        file.set_modified(std::time::UNIX_EPOCH + Duration::from_secs(at)).unwrap();
    };
    assert!(TlsFiles::open(&certificate, &key).is_err());
    write(&certificate, include_bytes!("data/first.pem"), 1);
    write(&key, include_bytes!("data/second.key.pem"), 1);
    assert!(TlsFiles::open(&certificate, &key).is_err(), "they do not go together");
    write(&key, include_bytes!("data/first.key.pem"), 1);
    let files = TlsFiles::open(&certificate, &key).unwrap();
    assert!(!format!("{files:?}").contains("PRIVATE"));

    let (runtime, store) = (Arc::new(ManualRuntime::new()), Arc::new(TestStore::default()));
    let server = Server::new(store.clone(), Arc::new(tokens())).runtime(runtime.clone()).tls(files);
    let site = Site::run(server, runtime, store).await;
    assert_eq!(get(&site, "first.example").await.unwrap().status, 200);
    assert!(get(&site, "second.example").await.is_err());
    // Without TLS there is nothing.
    assert!(raw(site.address, b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n").await.is_none());

    // Half renewed: what was there counts.
    write(&certificate, include_bytes!("data/second.pem"), 2);
    site.runtime.advance(Duration::from_secs(10));
    assert_eq!(get(&site, "first.example").await.unwrap().status, 200);
    write(&key, include_bytes!("data/second.key.pem"), 2);
    site.runtime.advance(Duration::from_secs(10));
    assert_eq!(get(&site, "second.example").await.unwrap().status, 200);
}
