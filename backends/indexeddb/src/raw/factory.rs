//! What the browser can do without an open database: say which there are, delete one.

use std::pin::pin;

use futures_channel::oneshot;
use futures_util::future::{Either, pending, select};
use indexed_db_futures::factory::DBFactory;
use js_sys::Reflect;
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::IdbFactory;

use super::{DomError, Request};

/// The browser's `indexedDB`, in a window as in a worker of any kind.
///
/// # Errors
/// `NotSupportedError` where there is none, or what the browser throws instead of it.
pub(crate) fn factory() -> Result<IdbFactory, DomError> {
    let factory = Reflect::get(&js_sys::global(), &"indexedDB".into())?;
    if factory.is_null() || factory.is_undefined() {
        return Err(DomError::new(
            "NotSupportedError",
            "there is no IndexedDB here: it is turned off, or this is no browser",
        ));
    }
    Ok(factory.unchecked_into())
}

/// A database of this origin, whoever made it.
#[derive(Debug, Clone, PartialEq)]
pub struct DatabaseInfo {
    /// Its name.
    pub name: String,
    /// The browser's version number of it, which is not the version of the schema.
    pub version: f64,
}

/// The databases of this origin, in no order.
///
/// # Errors
/// What the browser throws; `TypeError` where it is too old to tell.
pub(crate) async fn databases() -> Result<Vec<DatabaseInfo>, DomError> {
    factory()?;
    let found = DBFactory::new().map_err(refused)?.databases().map_err(refused)?.await;
    found
        .map_err(refused)?
        .map(|database| {
            let database = database.map_err(refused)?;
            Ok(DatabaseInfo { name: database.name().to_owned(), version: database.version() })
        })
        .collect()
}

fn refused(error: impl std::fmt::Display) -> DomError {
    DomError::new("UnknownError", error.to_string())
}

/// Why a database was not deleted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DeleteError {
    /// Somebody does not close it. It will be deleted when they do.
    #[error("somebody holds the database open")]
    Blocked,
    /// The browser failed.
    #[error(transparent)]
    Failed(#[from] DomError),
}

/// Deletes a database; one that does not exist is deleted already.
///
/// When others hold it open and do not close it at their version change, `patience` is awaited and then given up.
///
/// Goes under `indexed_db_futures`, whose deletion cannot say that it is blocked.
///
/// # Errors
/// [`DeleteError`].
pub(crate) async fn delete(name: &str, patience: impl AsyncFnOnce()) -> Result<(), DeleteError> {
    let request = factory()?.delete_database(name).map_err(DomError::from)?;
    let (sender, blocked) = oneshot::channel::<()>();
    let on_blocked = Closure::once_into_js(move |_: JsValue| {
        let _ = sender.send(());
    });
    request.set_onblocked(Some(on_blocked.unchecked_ref()));
    let deleted = Request::of(Ok(request))?;
    let given_up = pin!(async {
        if blocked.await.is_err() {
            pending::<()>().await;
        }
        patience().await;
    });
    match select(deleted, given_up).await {
        Either::Left((Ok(_), _)) => Ok(()),
        Either::Left((Err(error), _)) => Err(DeleteError::Failed(error)),
        Either::Right(_) => Err(DeleteError::Blocked),
    }
}
