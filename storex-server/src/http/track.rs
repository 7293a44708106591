//! What happens around each request: a name, a deadline, a line in the log, numbers.

use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use storex_core::Runtime;
use storex_sync::http::{Code, id_text};

use super::compress::{Reads, compress};
use super::failure::Failure;
use crate::app::App;
use crate::metrics::{Metrics, RouteMetrics};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The longest name of a request that is taken over from the caller.
const LONGEST_ID: usize = 64;

/// Where the requests of each route are counted.
#[derive(Debug)]
pub(crate) struct Counted {
    routes: Vec<Arc<RouteMetrics>>,
    nowhere: Arc<RouteMetrics>,
}

impl Counted {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        Self { routes: Vec::new(), nowhere: metrics.route("", "") }
    }

    pub(crate) fn route(&mut self, metrics: &Metrics, method: &'static str, path: &'static str) {
        self.routes.push(metrics.route(method, path));
    }

    /// What has no route, or not with this method, is counted together.
    fn find(&self, method: &Method, path: Option<&str>) -> &RouteMetrics {
        let method = match *method {
            Method::GET | Method::HEAD => "get",
            Method::POST => "post",
            Method::PUT => "put",
            Method::DELETE => "delete",
            _ => "",
        };
        let is = |it: &&Arc<RouteMetrics>| it.method == method && Some(it.path) == path;
        self.routes.iter().find(is).unwrap_or(&self.nowhere)
    }
}

/// Runs a request.
pub(crate) async fn track(
    State((app, counted)): State<(Arc<App>, Arc<Counted>)>,
    request: Request,
    next: Next,
) -> Response {
    let matched = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let route = counted.find(request.method(), matched);
    let began = app.runtime.now();
    let id = request_id(request.headers(), &*app.runtime);
    let reads = Reads::of(request.headers());
    let method = request.method().clone();
    let mut response = tokio::select! {
        response = answer(&app, request, next, reads) => response,
        () = app.runtime.sleep(app.config.timeouts.request) => {
            Failure::busy("the request took too long").into_response()
        }
    };
    let status = response.status().as_u16();
    let took = u64::try_from(app.runtime.now().0.saturating_sub(began.0)).unwrap_or(0);
    route.count(status, took);
    let code = response.extensions().get::<Code>();
    tracing::info!(request_id = id.to_str().unwrap_or(""), %method, route = route.path, status, code = ?code, ms = took, "request");
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

/// The answer, as it is sent.
async fn answer(app: &App, request: Request, next: Next, reads: Reads) -> Response {
    let response = next.run(request).await;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return response;
    }
    app.answers.count(compress(response, reads).await).await
}

/// The caller's name for the request, if it is harmless, or a new one.
fn request_id(headers: &HeaderMap, runtime: &dyn Runtime) -> HeaderValue {
    let harmless = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    let given = headers
        .get(&REQUEST_ID)
        .filter(|id| (1..=LONGEST_ID).contains(&id.len()) && id.as_bytes().iter().all(harmless));
    given.cloned().unwrap_or_else(|| {
        let mut drawn = [0; 16];
        runtime.fill_random(&mut drawn);
        HeaderValue::from_str(&id_text(drawn)).unwrap_or(HeaderValue::from_static("0"))
    })
}

/// Answers what no route is for.
#[allow(clippy::unused_async)] // as handlers are
pub(crate) async fn refuse_path() -> Failure {
    Failure::new(Code::NotFound, "there is no such resource")
}

/// Answers a method that a route does not have.
#[allow(clippy::unused_async)] // as handlers are
pub(crate) async fn refuse_method() -> Failure {
    Failure::new(Code::MethodNotAllowed, "the resource does not have this method")
}
