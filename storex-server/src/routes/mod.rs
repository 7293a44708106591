//! The routes: one list, which the router and the OpenAPI document are made of.

mod devices;
mod endpoint;
mod keys;
mod log;
mod operation;
mod rooms;
mod snapshots;
mod watch;

pub(crate) use endpoint::{Access, Endpoint, Form, OCTETS, Parameter};
pub(crate) use operation::metrics_endpoint;

use std::sync::Arc;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};

use crate::app::App;
use crate::http::{Counted, cross_origin, refuse_method, refuse_path, track};

/// Everything that is answered.
pub(crate) fn endpoints() -> Vec<Endpoint> {
    let mut all = Vec::new();
    all.extend(devices::endpoints());
    all.extend(log::endpoints());
    all.extend(watch::endpoints());
    all.extend(snapshots::endpoints());
    all.extend(keys::endpoints());
    all.extend(rooms::endpoints());
    all.extend(operation::endpoints());
    all
}

/// The router of these endpoints.
pub(crate) fn router(app: &Arc<App>, endpoints: Vec<Endpoint>) -> Router {
    let mut router = Router::new();
    let mut counted = Counted::new(&app.metrics);
    for Endpoint { method, path, handler, .. } in endpoints {
        counted.route(&app.metrics, method, path);
        router = router.route(path, handler);
    }
    router
        .fallback(refuse_path)
        .method_not_allowed_fallback(refuse_method)
        .layer(from_fn_with_state((Arc::clone(app), Arc::new(counted)), track))
        .layer(from_fn(cross_origin))
        .with_state(Arc::clone(app))
}
