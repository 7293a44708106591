//! Opening a database as it is, whatever its version.

use std::cell::Cell;
use std::rc::Rc;

use futures_channel::oneshot;
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::spawn_local;
use web_sys::{IdbDatabase, IdbOpenDbRequest};

use super::factory::factory;
use super::{Connection, DomError, Request};

/// Opens a database at the version that it has; `None` when there is none. Nothing is made or changed.
///
/// Goes under `indexed_db_futures`, which cannot abort the making of a database without the fault of its asynchronous
/// upgrades.
///
/// # Errors
/// What the browser says.
pub(crate) async fn open_existing(name: &str) -> Result<Option<Connection>, DomError> {
    let request = factory()?.open(name).map_err(DomError::from)?;
    let absent = Rc::new(Cell::new(false));
    // It comes only for a database that is not there.
    let on_upgrade = Closure::once_into_js({
        let (request, absent) = (request.clone(), Rc::clone(&absent));
        move |_: JsValue| {
            absent.set(true);
            abort(&request);
        }
    });
    request.set_onupgradeneeded(Some(on_upgrade.unchecked_ref()));
    let answer = Request::of(Ok(request))?;
    let (sender, opened) = oneshot::channel();
    // In a task of its own: when nobody waits any more the connection is dropped, and so closed. The browser would keep it
    // open, with nobody to close it for an upgrade.
    spawn_local(async move {
        let opened = match answer.await {
            Ok(database) => Ok(Some(Connection::new(database.unchecked_into::<IdbDatabase>()))),
            Err(_) if absent.get() => Ok(None),
            Err(error) => Err(error),
        };
        let _ = sender.send(opened);
    });
    opened.await.unwrap_or_else(|_| Err(DomError::null("opening was given up")))
}

fn abort(request: &IdbOpenDbRequest) {
    if let Some(transaction) = request.transaction() {
        // Cannot fail: the transaction has just begun.
        let _ = transaction.abort();
    }
}
