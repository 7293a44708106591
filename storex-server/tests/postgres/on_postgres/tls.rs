//! TLS to the database: encrypted with whom is trusted, or not at all.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use storex_postgres_cluster::Durability;
use storex_server::{PostgresOptions, PostgresStore, ServerError, Store as _};

use super::support::{RealTime, address, device, log, own_cluster, run, soon, transaction, user};

/// Of 127.0.0.1, by itself.
const CERTIFICATE: &str = include_str!("../../client/data/loopback.pem");
const KEY: &str = include_str!("../../client/data/loopback.key.pem");

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)
}

async fn open(options: Result<PostgresOptions, ServerError>) -> Result<PostgresStore, ServerError> {
    PostgresStore::open(&options?.connections(2), Arc::new(RealTime)).await
}

/// Why it is not opened, and that it makes no sense to try again.
async fn refused(address: &str) -> String {
    let error = open(PostgresOptions::new(address)).await.unwrap_err();
    assert!(!error.is_retryable(), "{error:?}");
    error.to_string()
}

#[test]
fn a_database_whose_certificate_is_trusted_is_reached_encrypted_and_no_other() {
    let cluster = own_cluster(Durability::ProcessOnly).with_tls(CERTIFICATE, KEY).unwrap();
    let address = cluster.address();
    run(soon(async {
        let trusted = data("client/data/loopback.pem");
        let trusted = trusted.display();
        // The database lets nobody in who is not encrypted: neither those who ask, nor those who listen.
        let words = format!("{address} sslmode=verify-full sslrootcert='{trusted}'");
        let port = address.split_once("port=").unwrap().1.split(' ').next().unwrap();
        let url = format!(
            "postgresql://storex@127.0.0.1:{port}/postgres?sslrootcert={trusted}&sslmode=require"
        );
        let direct = PostgresOptions::new(&format!("{address} sslmode=require"));
        let direct = direct.and_then(|it| it.root_certificates(CERTIFICATE.as_bytes()));
        let (one, two, three) = tokio::join!(
            open(PostgresOptions::new(&words)),
            open(PostgresOptions::new(&url)),
            open(direct)
        );
        let (one, two, three) = (one.unwrap(), two.unwrap(), three.unwrap());
        three.ready().await.unwrap();
        let user = user();
        let (here, there) = (log(&one, &user).await, log(&two, &user).await);
        let place = there.register(device(2)).await.map(|_| Default::default()).unwrap();
        let news = there.changed(device(2), &place);
        let written = async {
            here.register(device(1)).await.unwrap();
            here.append(&[transaction(device(1), 1)]).await.unwrap();
        };
        let (heard, ()) = tokio::join!(news, written);
        heard.unwrap();

        let stranger = data("server/data/authority.pem");
        let stranger =
            format!("{address} sslmode=verify-full sslrootcert='{}'", stranger.display());
        assert!(refused(&stranger).await.contains("certificate"));
        let system = refused(&format!("{address} sslmode=require")).await;
        assert!(system.contains("certificate"), "{system}");
        // It is a name that the certificate does not have.
        let other = format!("{words} host=localhost hostaddr=127.0.0.1");
        let other = refused(&other.replacen("host=127.0.0.1 ", "", 1)).await;
        assert!(other.contains("localhost"), "{other}");
        for plain in [address.to_owned(), format!("{address} sslmode=prefer")] {
            let plain = refused(&plain).await;
            assert!(plain.contains("no encryption"), "{plain}");
        }
    }));
}

#[test]
fn a_database_without_tls_is_refused_where_it_is_asked_for() {
    run(soon(async {
        let trusted = data("client/data/loopback.pem");
        for mode in ["require", "verify-ca", "verify-full"] {
            let address =
                format!("{} sslmode={mode} sslrootcert='{}'", address(), trusted.display());
            let reason = refused(&address).await;
            assert!(reason.contains("does not support TLS"), "{reason}");
        }
    }));
}

#[test]
fn certificates_that_cannot_be_read_are_refused_before_anything_is_asked() {
    let wrong = |address: String| PostgresOptions::new(&address).unwrap_err().to_string();
    let encrypted = "host=db.example sslmode=verify-full";
    let key = data("client/data/loopback.key.pem");
    let missing = wrong(format!("{encrypted} sslrootcert=/no/such/file.pem"));
    assert!(missing.contains("/no/such/file.pem"), "{missing}");
    let none = wrong(format!("{encrypted} sslrootcert='{}'", key.display()));
    assert!(none.contains("no certificate"), "{none}");
    let mode = wrong("host=db.example sslmode=allow".to_owned());
    assert!(mode.contains("sslmode is `allow`"), "{mode}");
    let plain = PostgresOptions::new("host=db.example").unwrap();
    let plain = plain.root_certificates(CERTIFICATE.as_bytes()).unwrap_err().to_string();
    assert!(plain.contains("sslmode=verify-full"), "{plain}");
}
