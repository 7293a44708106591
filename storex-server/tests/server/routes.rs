//! The attacks at every route, on each store that is in this process. On PostgreSQL they are in `tests/postgres`.

use std::sync::Arc;

use storex_core::TokioRuntime;
use storex_memory::MemoryBackend;
use storex_server::{BackendStore, Store};

use crate::support::{Site, attack};

async fn in_memory() -> Arc<dyn Store> {
    Arc::new(BackendStore::open(MemoryBackend::new(), Arc::new(TokioRuntime)).await.unwrap())
}

#[cfg(feature = "sqlite")]
async fn in_a_file() -> (tempfile::TempDir, Arc<dyn Store>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("server.db");
    let store = storex_server::SqliteStore::open(path, Arc::new(TokioRuntime)).await.unwrap();
    (folder, Arc::new(store))
}

macro_rules! attacks {
    ($($name:ident)*) => {
        mod memory {
            $(#[tokio::test] async fn $name() {
                super::attack::$name(&super::Site::over(super::in_memory().await).await).await;
            })*
        }

        #[cfg(feature = "sqlite")]
        mod sqlite {
            $(#[tokio::test] async fn $name() {
                let (_folder, store) = super::in_a_file().await;
                super::attack::$name(&super::Site::over(store).await).await;
            })*
        }
    };
}

attacks! { without_the_right_token sent_again path_tricks header_floods slow_bodies }
