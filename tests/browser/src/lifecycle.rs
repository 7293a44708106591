//! A [`Device`] whose database several tabs have open, each with the engine in itself: one of them syncs.

use std::sync::Arc;
use std::time::Duration;

use storex_core::WebRuntime;
use storex_sync::engine::Triggers;
use storex_sync::http::HttpSharedLog;
use storex_sync::{ContinuousSync, Exclusive, LeaseTimes, Sync, page_awake};
use wasm_bindgen::prelude::wasm_bindgen;

use crate::device::Device;
use crate::error::{Result, ToJs};
use crate::server::AtServer;

/// Renewed so seldom that hardly ever a page is frozen in the middle of it: its transaction would hold up all others for a minute.
const LEASE: LeaseTimes =
    LeaseTimes { lasts: Duration::from_secs(6), renewed: Duration::from_secs(3) };

#[wasm_bindgen]
impl Device {
    /// Joins the log of the server and keeps in step with it, if no other tab does: every so many seconds, and because of writes and
    /// events. `news`: it listens to the server, too.
    ///
    /// # Errors
    /// The storage's.
    pub async fn connect_in_tab(&self, lock: String, seconds: u32, news: bool) -> Result<()> {
        let runtime: Arc<dyn storex_core::Runtime> = Arc::new(WebRuntime);
        let AtServer { client, online, .. } = self.at_server()?;
        let exclusive = Exclusive::tabs(&self.storage, lock, LEASE).await.to_js()?;
        let log = Arc::new(HttpSharedLog::new(client));
        let sync = Sync::open(&self.storage, log).await.to_js()?.exclusive(exclusive);
        let triggers = Triggers { remote_news: news, ..Triggers::ALL };
        let every = Duration::from_secs(seconds.into());
        let builder = ContinuousSync::builder(sync.clone()).intervals(every, every);
        let continuous =
            builder.triggers(triggers).online(online).awake(page_awake(&runtime)).start();
        *self.sync.borrow_mut() = Some(sync);
        *self.continuous.borrow_mut() = Some(Arc::new(continuous));
        Ok(())
    }
}
