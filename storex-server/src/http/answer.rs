//! Answers that are JSON or bytes.

use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Serialize;
use storex_sync::http::Code;

use super::failure::Failure;

/// The media type of bytes that are nothing else.
pub(crate) const OCTETS: &str = "application/octet-stream";

/// An answer in JSON.
#[derive(Debug)]
pub(crate) struct Json<T>(pub(crate) T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(json) => octets("application/json", json),
            Err(error) => {
                tracing::error!(%error, "an answer is no JSON");
                Failure::new(Code::Internal, "the server failed").into_response()
            }
        }
    }
}

/// An answer of bytes. It is for whoever asks, and of this moment, so nobody may keep it on the way.
pub(crate) fn octets(media_type: &'static str, bytes: impl Into<Bytes>) -> Response {
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static(media_type)),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (headers, bytes.into()).into_response()
}
