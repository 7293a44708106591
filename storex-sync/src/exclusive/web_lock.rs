//! A Web Lock, which the browser releases when the page or worker that holds it is gone.

use js_sys::{Array, Function, Object, Promise, Reflect};
use tokio::sync::oneshot;
use wasm_bindgen::closure::Closure;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;

use crate::error::{Result, SyncError};
use crate::js;

#[wasm_bindgen]
extern "C" {
    /// `navigator.locks`, which web-sys has only among what is not stable yet.
    #[derive(Debug, Clone)]
    pub(crate) type LockManager;

    #[wasm_bindgen(method, catch)]
    fn request(
        this: &LockManager,
        name: &str,
        options: &JsValue,
        granted: &JsValue,
    ) -> std::result::Result<Promise, JsValue>;

    #[wasm_bindgen(method, catch)]
    fn query(this: &LockManager) -> std::result::Result<Promise, JsValue>;
}

/// The locks of this origin; `None` where the browser has none (it is too old, or the address is not secure).
pub(crate) fn manager() -> Option<LockManager> {
    let get = |of: &JsValue, name: &str| Reflect::get(of, &name.into()).ok();
    let locks = get(&get(&js_sys::global(), "navigator")?, "locks")?;
    locks.is_object().then(|| locks.unchecked_into())
}

/// A lock that is held until this is dropped.
#[derive(Debug)]
pub(crate) struct WebLock {
    release: Function,
}

impl Drop for WebLock {
    fn drop(&mut self) {
        // Resolving a promise throws nothing.
        let _ = self.release.call0(&JsValue::UNDEFINED);
    }
}

/// What the browser tells of a lock after it was granted.
#[derive(Debug, Clone)]
pub(crate) struct Ended(Promise);

impl Ended {
    /// Completes when the lock is not held any more; `true`: another has stolen it.
    pub(crate) async fn was_stolen(self) -> bool {
        JsFuture::from(self.0).await.is_err()
    }

    /// Whether the lock is not held any more.
    pub(crate) async fn is_over(&self) -> bool {
        let not_yet = JsValue::TRUE;
        // Of those that are settled the first one counts.
        let either = Array::of2(&self.0, &Promise::resolve(&not_yet));
        JsFuture::from(Promise::race(&either)).await != Ok(not_yet)
    }
}

/// How a lock is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    IfFree,
    Waiting,
    Stealing,
}

impl How {
    fn option(self) -> Option<&'static str> {
        match self {
            Self::IfFree => Some("ifAvailable"),
            Self::Waiting => None,
            Self::Stealing => Some("steal"),
        }
    }
}

/// Takes the lock of this name; `None`: somebody else has it.
///
/// Cancel-safe: a lock that is granted to a caller who went away is released at once.
pub(crate) async fn lock(locks: &LockManager, name: &str) -> Result<Option<(WebLock, Ended)>> {
    ask(locks, name, How::IfFree).await
}

/// Takes the lock of this name as soon as nobody has it. Cancel-safe as [`lock`] is.
pub(crate) async fn hold(locks: &LockManager, name: &str) -> Result<Option<(WebLock, Ended)>> {
    ask(locks, name, How::Waiting).await
}

/// Completes when nobody has the lock of this name any more. Cancel-safe.
pub(crate) async fn until_free(locks: &LockManager, name: &str) -> Result<()> {
    hold(locks, name).await.map(drop)
}

/// Takes the lock of this name away from whoever has it, who learns of it. Nobody has it then.
pub(crate) async fn take_away(locks: &LockManager, name: &str) -> Result<()> {
    ask(locks, name, How::Stealing).await.map(drop)
}

/// Who holds locks now: the names of the locks, and to each the browser's name for the page or worker.
pub(crate) async fn holders(locks: &LockManager) -> Result<Vec<(String, String)>> {
    let failed = |error| failed("*", &error);
    let known = JsFuture::from(locks.query().map_err(failed)?).await.map_err(failed)?;
    let held: Array = Reflect::get(&known, &"held".into()).map_err(failed)?.unchecked_into();
    let text = |of: &JsValue, name: &str| Reflect::get(of, &name.into()).ok()?.as_string();
    Ok(held
        .iter()
        .filter_map(|lock| Some((text(&lock, "name")?, text(&lock, "clientId")?)))
        .collect())
}

fn failed(name: &str, error: &JsValue) -> SyncError {
    SyncError::WebLock { name: name.to_owned(), reason: js::said(error) }
}

async fn ask(locks: &LockManager, name: &str, how: How) -> Result<Option<(WebLock, Ended)>> {
    let failed = |error: JsValue| failed(name, &error);
    let (tell, told) = oneshot::channel();
    let granted = Closure::once_into_js(move |lock: JsValue| {
        if lock.is_null() {
            // An error means that nobody waits any more.
            let _ = tell.send(None);
            return JsValue::UNDEFINED;
        }
        let mut lock = None;
        let held = Promise::new(&mut |release, _| lock = Some(WebLock { release }));
        // Nobody waits any more: what comes back is dropped, which releases it.
        let _ = tell.send(lock);
        held.into()
    });
    let options = Object::new();
    if let Some(option) = how.option() {
        Reflect::set(&options, &option.into(), &JsValue::TRUE).map_err(failed)?;
    }
    let ended = locks.request(name, &options, &granted).map_err(failed)?;
    let refused = async {
        match JsFuture::from(ended.clone()).await {
            Ok(_) => std::future::pending().await,
            Err(error) => failed(error),
        }
    };
    tokio::select! {
        biased;
        lock = told => Ok(lock.ok().flatten().map(|lock| (lock, Ended(ended)))),
        error = refused => Err(error),
    }
}
