//! Opens what a server needs.

use std::path::Path;
use std::sync::Arc;

use storex_core::TokioRuntime;
use storex_server::{JwtVerifier, KeyFile, KeySet, SqliteStore, Store, TokenFile, Verifier};

use super::keys::KeyUrl;
use super::{Access, Database, JwtKeys};
use crate::error::{During as _, Result, With as _};

pub(super) async fn store(database: &Database) -> Result<Arc<dyn Store>> {
    match database {
        Database::File(path) => {
            let store = SqliteStore::open(path, Arc::new(TokioRuntime)).await;
            Ok(Arc::new(store.during("opening the database")?))
        }
        #[cfg(feature = "postgres")]
        Database::Postgres(address) => {
            use storex_server::{PostgresOptions, PostgresStore};
            let options = PostgresOptions::new(address).during("reading the database's address")?;
            let store = PostgresStore::open(&options, Arc::new(TokioRuntime)).await;
            Ok(Arc::new(store.during("opening the database")?))
        }
    }
}

pub(super) async fn verifier(access: &Access) -> Result<Arc<dyn Verifier>> {
    let runtime = Arc::new(TokioRuntime);
    match access {
        Access::Tokens(path) => {
            Ok(Arc::new(TokenFile::open(path, runtime).during("reading the tokens")?))
        }
        Access::Jwt { keys: JwtKeys::File(path), rules } => {
            let fetch = Arc::new(KeyFile::new(path));
            let verifier = JwtVerifier::fetching(fetch, rules.clone(), runtime).await;
            Ok(Arc::new(verifier.during("reading the keys")?))
        }
        Access::Jwt { keys: JwtKeys::Url(url), rules } => {
            let fetch = Arc::new(KeyUrl::new(url).during("fetching the keys")?);
            let verifier = JwtVerifier::fetching(fetch, rules.clone(), runtime).await;
            Ok(Arc::new(verifier.during("fetching the keys")?))
        }
        Access::Jwt { keys: JwtKeys::Secret(path), rules } => {
            let keys = KeySet::secret(&secret(path)?).during("reading the secret")?;
            Ok(Arc::new(JwtVerifier::new(keys, rules.clone(), runtime)))
        }
    }
}

/// The end of the line that an editor has made is not part of it.
fn secret(path: &Path) -> Result<Vec<u8>> {
    let mut secret = std::fs::read(path).with("reading", path)?;
    while secret.last().is_some_and(|it| matches!(it, b'\n' | b'\r')) {
        secret.pop();
    }
    Ok(secret)
}
