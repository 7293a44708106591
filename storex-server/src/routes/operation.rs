//! For those who run the server: health, numbers, and the document of it all.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use super::{Access, Endpoint, Form};
use crate::app::App;
use crate::http::{Failure, Outcome, octets};
use crate::metrics::TEXT_TYPE;

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        open(Endpoint::get("/health/live", "Whether the server runs", live)).answers(
            204,
            "It does",
            Form::Nothing,
        ),
        open(Endpoint::get("/health/ready", "Whether the server and its store answer", ready))
            .answers(204, "They do", Form::Nothing),
        open(Endpoint::get("/openapi.json", "This document", document)).answers(
            200,
            "The document",
            Form::Json("Document"),
        ),
    ]
}

/// Where the numbers are: beside everything else, or at an address of their own.
pub(crate) fn metrics_endpoint() -> Endpoint {
    open(Endpoint::get("/metrics", "Numbers for Prometheus", metrics)).answers(
        200,
        "The numbers",
        Form::Bytes(TEXT_TYPE),
    )
}

fn open(endpoint: Endpoint) -> Endpoint {
    endpoint.access(Access::Open)
}

#[allow(clippy::unused_async)] // as handlers are
async fn live() -> StatusCode {
    StatusCode::NO_CONTENT
}

async fn ready(State(app): State<Arc<App>>) -> Outcome<StatusCode> {
    if app.sessions.is_stopping() {
        return Err(Failure::busy("the server stops"));
    }
    match app.store.ready().await {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(error) => {
            tracing::warn!(%error, "the store does not answer");
            Err(Failure::busy("the store does not answer"))
        }
    }
}

#[allow(clippy::unused_async)] // as handlers are
async fn metrics(State(app): State<Arc<App>>) -> Response {
    octets(TEXT_TYPE, app.metrics.text(app.gauges()))
}

#[allow(clippy::unused_async)] // as handlers are
async fn document(State(app): State<Arc<App>>) -> Response {
    octets("application/json", app.openapi.clone())
}
