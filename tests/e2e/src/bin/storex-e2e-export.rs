//! Prints the content of an existing SQLite database, in the form of [`storex_e2e::exported`]:
//!
//! ```text
//! storex-e2e-export FILE
//! ```

use std::error::Error;
use std::io::Write;
use std::sync::Arc;

use storex_core::{Registry, Storage, TokioRuntime};
use storex_e2e::exported::exported;
use storex_sqlite::SqliteBackend;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let file = std::env::args_os().nth(1).ok_or("which database file?")?;
    let adoption = storex_sqlite::adopt(&file)?;
    let registry = Registry::builder().collections(adoption.definitions).build()?;
    let backend = SqliteBackend::open(file)?;
    let storage = Storage::builder(backend, registry, Arc::new(TokioRuntime)).open().await?;
    let content = exported(&storage).await?;
    storage.close().await?;
    Ok(std::io::stdout().write_all(content.to_string().as_bytes())?)
}
