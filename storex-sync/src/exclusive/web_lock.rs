//! A Web Lock, which the browser releases when the page or worker that holds it is gone.

use js_sys::{Function, Object, Promise, Reflect};
use tokio::sync::oneshot;
use wasm_bindgen::closure::Closure;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;

use crate::error::{Result, SyncError};

#[wasm_bindgen]
extern "C" {
    /// `navigator.locks`, which web-sys has only among what is not stable yet.
    #[derive(Debug, Clone)]
    pub(super) type LockManager;

    #[wasm_bindgen(method, catch)]
    fn request(
        this: &LockManager,
        name: &str,
        options: &JsValue,
        granted: &JsValue,
    ) -> std::result::Result<Promise, JsValue>;
}

/// The locks of this origin; `None` where the browser has none (it is too old, or the address is not secure).
pub(super) fn manager() -> Option<LockManager> {
    let get = |of: &JsValue, name: &str| Reflect::get(of, &name.into()).ok();
    let locks = get(&get(&js_sys::global(), "navigator")?, "locks")?;
    locks.is_object().then(|| locks.unchecked_into())
}

/// A lock that is held until this is dropped.
#[derive(Debug)]
pub(super) struct WebLock {
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
pub(super) struct Ended(Promise);

impl Ended {
    /// Completes when the lock is not held any more; `true`: another has stolen it.
    pub(super) async fn was_stolen(self) -> bool {
        JsFuture::from(self.0).await.is_err()
    }
}

/// Takes the lock of this name; `None`: somebody else has it.
///
/// Cancel-safe: a lock that is granted to a caller who went away is released at once.
pub(super) async fn lock(locks: &LockManager, name: &str) -> Result<Option<(WebLock, Ended)>> {
    let failed = |error: JsValue| SyncError::WebLock {
        name: name.to_owned(),
        reason: error.dyn_ref::<js_sys::Error>().map_or_else(
            || format!("{error:?}"),
            |error| format!("{}: {}", String::from(error.name()), String::from(error.message())),
        ),
    };
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
    Reflect::set(&options, &"ifAvailable".into(), &JsValue::TRUE).map_err(failed)?;
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
