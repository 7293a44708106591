//! The suite of all stores. Each store that a case opens is another server of the same database.

use super::support::{empty_database, store_at};
use std::sync::Arc;
use storex_conformance::store::StoreHarness;
use storex_conformance::store_conformance;
use storex_server::Store;
use tokio::sync::OnceCell;

fn postgres() -> StoreHarness {
    let database = Arc::new(OnceCell::new());
    let harness = StoreHarness::new(move || {
        let database = Arc::clone(&database);
        Box::pin(async move {
            let address = database.get_or_init(empty_database).await;
            Arc::new(store_at(address).await) as Arc<dyn Store>
        })
    });
    harness.shared()
}

store_conformance!(postgres);
