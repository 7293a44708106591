//! The database, and the sync that runs on it.

use std::rc::Rc;
use std::sync::Arc;

use notes::{Link, Notes, Result};
use storex_core::WebRuntime;
use storex_indexeddb::IndexedDbBackend;
use storex_sync::http::WebTransport;
use storex_sync::{Exclusive, LeaseTimes, SyncHandle};

/// The database's name, and that of the lock by which one tab syncs it.
const DATABASE: &str = "notes";

/// A device that is in an account: its way to the server, and its sync.
#[derive(Debug, Clone)]
pub(crate) struct Running {
    pub(crate) link: Link,
    pub(crate) sync: Rc<dyn SyncHandle>,
}

/// Opens the notes of this browser.
pub(crate) async fn open_notes() -> Result<Notes> {
    Notes::open(IndexedDbBackend::open(DATABASE)?, Arc::new(WebRuntime)).await
}

/// The way to a server: `fetch` and `WebSocket`.
pub(crate) fn transport() -> Arc<WebTransport> {
    Arc::new(WebTransport::new(Arc::new(WebRuntime)))
}

/// Goes on with the account that this device is in, if it is in one. Nothing is asked of the server for that.
pub(crate) async fn resume(notes: &Notes) -> Result<Option<Running>> {
    if notes.account().await?.is_none() {
        return Ok(None);
    }
    let link = Link::open(notes, transport()).await?;
    run(notes, link).await.map(Some)
}

/// Keeps the notes in step from now on.
pub(crate) async fn run(notes: &Notes, link: Link) -> Result<Running> {
    let exclusive = Exclusive::tabs(notes.storage(), DATABASE, LeaseTimes::default()).await?;
    let sync = link.start(exclusive, Some(transport().online())).await?;
    Ok(Running { link, sync: Rc::new(sync) })
}
