//! [`WebTransport`]: `fetch` and `WebSocket` of a browser.

mod online;
mod socket;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use js_sys::{Array, Promise, Reflect, Uint8Array};
use storex_core::Runtime;
use tokio::sync::watch;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    AbortController, Headers, ReadableStreamDefaultReader, RequestCache, RequestCredentials,
    RequestInit, RequestRedirect, ResponseType, Window, WorkerGlobalScope,
};

use super::transport::{HttpTransport, Request, Response, Socket};
use crate::error::{Result, SyncError};
use crate::js;

/// The headers of an answer that are looked at. From another origin a browser shows those only that the server allows.
const HEADERS: [&str; 3] = ["content-type", "retry-after", "location"];

/// A [`HttpTransport`] of a browser: `fetch` and `WebSocket`, in a page or a worker. A request that is given up is aborted.
///
/// A server of another origin has to allow this one (CORS). Cookies are never sent, and nothing is taken from or put into the browser's cache.
pub struct WebTransport {
    runtime: Arc<dyn Runtime>,
}

impl fmt::Debug for WebTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebTransport")
    }
}

impl WebTransport {
    /// The transport of this page or worker.
    #[must_use]
    pub fn new(runtime: Arc<dyn Runtime>) -> Self {
        Self { runtime }
    }

    /// Whether there is a connection, as far as the browser knows; for
    /// [`ContinuousSyncBuilder::online`](crate::ContinuousSyncBuilder::online). While there is none nothing is tried in vain, and as soon as
    /// there is one again everything is exchanged.
    ///
    /// A browser that says there is one may be wrong: a network is not yet a way to the server.
    #[must_use]
    pub fn online(&self) -> watch::Receiver<bool> {
        online::online(&*self.runtime)
    }
}

/// Aborts a request that nobody waits for any more. One that is over does not mind.
struct Abort(AbortController);

impl Drop for Abort {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn failed(error: JsValue) -> SyncError {
    SyncError::Transport { during: "making a request", reason: js::said(&error) }
}

fn unusable(reason: &str) -> SyncError {
    SyncError::Transport { during: "making a request", reason: reason.to_owned() }
}

/// There is no one name for what both pages and workers have.
fn fetch(request: &web_sys::Request) -> Result<Promise> {
    let global = js_sys::global();
    if let Some(page) = global.dyn_ref::<Window>() {
        return Ok(page.fetch_with_request(request).unchecked_into());
    }
    match global.dyn_ref::<WorkerGlobalScope>() {
        Some(worker) => Ok(worker.fetch_with_request(request).unchecked_into()),
        None => Err(unusable("this is no page and no worker of a browser")),
    }
}

fn prepared(request: &Request, abort: &Abort) -> Result<web_sys::Request, JsValue> {
    let headers = Headers::new()?;
    for (name, value) in &request.headers {
        headers.append(name, value)?;
    }
    let init = RequestInit::new();
    init.set_method(request.method.as_str());
    init.set_headers(&headers);
    init.set_signal(Some(&abort.0.signal()));
    init.set_redirect(RequestRedirect::Manual);
    init.set_credentials(RequestCredentials::Omit);
    init.set_cache(RequestCache::NoStore);
    if !request.body.is_empty() {
        init.set_body(&Uint8Array::from(request.body.as_slice()));
    }
    web_sys::Request::new_with_str_and_init(&request.url, &init)
}

/// The body, in the pieces in which it comes: one that is too long, or never ends, is not waited for.
async fn body(answer: &web_sys::Response, most: usize) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    let Some(stream) = answer.body() else { return Ok(body) };
    let reader: ReadableStreamDefaultReader = stream.get_reader().unchecked_into();
    loop {
        let read = JsFuture::from(reader.read().unchecked_into::<Promise>()).await;
        let read = read.map_err(failed)?;
        if Reflect::get(&read, &"done".into()).map_err(failed)?.is_truthy() {
            return Ok(body);
        }
        let piece = Reflect::get(&read, &"value".into()).map_err(failed)?;
        let piece: Uint8Array = piece.dyn_into().map_err(failed)?;
        let (start, len) = (body.len(), piece.length() as usize);
        if len > most - start {
            return Err(unusable("the answer is too long"));
        }
        body.resize(start + len, 0);
        piece.copy_to(&mut body[start..]);
    }
}

#[async_trait(?Send)]
impl HttpTransport for WebTransport {
    async fn request(&self, request: Request) -> Result<Response> {
        let abort = Abort(AbortController::new().map_err(failed)?);
        let asked = prepared(&request, &abort).map_err(failed)?;
        let answer = JsFuture::from(fetch(&asked)?).await.map_err(failed)?;
        let answer: web_sys::Response = answer.dyn_into().map_err(failed)?;
        if answer.type_() == ResponseType::Opaqueredirect {
            // All that a browser tells of it.
            return Ok(Response { status: 302, ..Response::default() });
        }
        let mut headers = Vec::new();
        for name in HEADERS {
            if let Some(value) = answer.headers().get(name).map_err(failed)? {
                headers.push((name.to_owned(), value));
            }
        }
        let body = body(&answer, request.most_bytes).await?;
        Ok(Response { status: answer.status(), headers, body })
    }

    async fn connect(&self, url: &str, protocols: &[&str]) -> Result<Socket> {
        let protocols: Array = protocols.iter().map(|it| JsValue::from_str(it)).collect();
        socket::open(url, &protocols, Arc::clone(&self.runtime)).await
    }
}
