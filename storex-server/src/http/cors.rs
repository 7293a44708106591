//! Pages of every origin may ask: who asks is told by the token, which no browser sends by itself.

use axum::extract::Request;
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN,
};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// Says so in every answer to a page, and answers the question that browsers ask beforehand.
pub(crate) async fn cross_origin(request: Request, next: Next) -> Response {
    let from_page = request.headers().contains_key(ORIGIN);
    let beforehand = from_page
        && request.method() == Method::OPTIONS
        && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    let mut response =
        if beforehand { StatusCode::NO_CONTENT.into_response() } else { next.run(request).await };
    let headers = response.headers_mut();
    let mut say = |name, value| drop(headers.insert(name, HeaderValue::from_static(value)));
    if from_page {
        say(ACCESS_CONTROL_ALLOW_ORIGIN, "*");
        say(ACCESS_CONTROL_EXPOSE_HEADERS, "retry-after, www-authenticate, x-request-id");
    }
    if beforehand {
        say(ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD, POST, PUT, DELETE");
        say(
            ACCESS_CONTROL_ALLOW_HEADERS,
            "authorization, content-type, content-encoding, x-request-id",
        );
        say(ACCESS_CONTROL_MAX_AGE, "86400");
    }
    response
}
