//! The database, and the sync that runs on it: one for all tabs, in a worker that they share.

use std::rc::Rc;
use std::sync::Arc;

use notes::{Link, Notes, Result};
use storex_core::{Runtime, Source, WebRuntime};
use storex_indexeddb::IndexedDbBackend;
use storex_sync::http::WebTransport;
use storex_sync::{
    ContinuousSync, Exclusive, LeaseTimes, SyncHandle, TabSync, page_awake, serve_tabs,
};

/// The database's name, and that of the lock by which one place syncs it.
const DATABASE: &str = "notes";

/// The script of the worker, beside the page.
const WORKER: &str = "./sync-worker.js";

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
pub(crate) async fn resume(notes: &Notes, version: &str) -> Result<Option<Running>> {
    if notes.account().await?.is_none() {
        return Ok(None);
    }
    let link = Link::open(notes, transport()).await?;
    run(link, version).await.map(Some)
}

/// Keeps the notes in step from now on. `version`: of the application; tabs of different ones share no worker.
pub(crate) async fn run(link: Link, version: &str) -> Result<Running> {
    let builder = TabSync::builder(DATABASE, Arc::new(WebRuntime)).version(version);
    let sync = builder.worker(WORKER).here(start).connect().await?;
    Ok(Running { link, sync: Rc::new(sync) })
}

/// In the worker: serves the tabs.
pub(crate) fn serve() {
    serve_tabs(Arc::new(WebRuntime), start);
}

/// How the sync is started, in the worker, or in a tab where there is none.
async fn start() -> Result<ContinuousSync, Source> {
    let (notes, transport) = (open_notes().await?, transport());
    let online = transport.online();
    let exclusive = Exclusive::tabs(notes.storage(), DATABASE, LeaseTimes::default()).await?;
    let link = Link::open(&notes, transport).await?;
    let runtime: Arc<dyn Runtime> = Arc::new(WebRuntime);
    let awake = page_awake(&runtime);
    Ok(link.start(exclusive, Some(online), Some(awake)).await?)
}
