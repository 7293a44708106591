//! [`Failure`]: a request that is not answered as it wished.

use std::time::Duration;

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use storex_sync::SyncError;
use storex_sync::http::{Code, PROBLEM_TYPE, Problem};

use crate::error::ServerError;

/// What a handler gives.
pub(crate) type Outcome<T> = Result<T, Failure>;

/// For how long whoever finds the server busy leaves it alone.
const BUSY: Duration = Duration::from_secs(2);

/// A request that is not answered as it wished: becomes an `application/problem+json`.
#[derive(Debug)]
pub(crate) struct Failure(Box<Problem>);

impl Failure {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self(Box::new(Problem::new(code, message)))
    }

    pub(crate) fn code(&self) -> Code {
        self.0.code
    }

    /// Too much was asked for; it may come again after a while.
    pub(crate) fn rate_limited(code: Code, message: &str, after: Duration) -> Self {
        let retry_after_ms = Some(u64::try_from(after.as_millis()).unwrap_or(u64::MAX));
        Self(Box::new(Problem { retry_after_ms, ..Problem::new(code, message) }))
    }

    /// The server has too much to do.
    pub(crate) fn busy(message: &str) -> Self {
        Self::rate_limited(Code::Unavailable, message, BUSY)
    }

    pub(crate) fn too_large(limit: usize) -> Self {
        let message = format!("a body of more than {limit} bytes is not taken");
        let problem = Problem::new(Code::BodyTooLarge, message);
        Self(Box::new(Problem { limit: Some(limit as u64), ..problem }))
    }
}

/// A request that is none.
pub(crate) fn malformed(message: impl Into<String>) -> Failure {
    Failure::new(Code::Malformed, message)
}

impl From<SyncError> for Failure {
    fn from(error: SyncError) -> Self {
        let problem = Problem::of(&error);
        if problem.status() >= 500 {
            tracing::error!(%error, cause = cause(&error), "a log failed");
        }
        match problem.code {
            Code::Unavailable => Self::busy(&problem.message),
            _ => Self(Box::new(problem)),
        }
    }
}

impl From<ServerError> for Failure {
    fn from(error: ServerError) -> Self {
        match error {
            ServerError::Log(error) => error.into(),
            ServerError::Unauthorized { reason } => Self::new(Code::Unauthorized, reason),
            error => {
                tracing::error!(%error, cause = cause(&error), "the server failed");
                if error.is_retryable() {
                    return Self::busy("the server cannot answer now");
                }
                Self::new(Code::Internal, "the server failed")
            }
        }
    }
}

fn cause(error: &dyn std::error::Error) -> Option<String> {
    error.source().map(ToString::to_string)
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status());
        // A problem has no maps and no numbers that JSON lacks.
        let body = serde_json::to_vec(&self.0).unwrap_or_default();
        let mut response =
            (status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), body).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_TYPE));
        if self.0.code == Code::Unauthorized {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"storex\""));
        }
        if let Some(after) = self.0.retry_after() {
            headers.insert(
                RETRY_AFTER,
                after
                    .as_millis()
                    .div_ceil(1000)
                    .max(1)
                    .to_string()
                    .parse()
                    .unwrap_or(HeaderValue::from_static("1")),
            );
        }
        response.extensions_mut().insert(self.0.code);
        response
    }
}
