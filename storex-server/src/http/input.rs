//! What stands in the path and the query of a request.

use axum::extract::{FromRequestParts, Path, Query};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::failure::{Failure, Outcome, malformed};

/// The parts of the path.
#[derive(Debug)]
pub(crate) struct InPath<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for InPath<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let path = Path::from_request_parts(parts, state).await;
        path.map(|Path(path)| Self(path)).map_err(|_| malformed("the path cannot be read"))
    }
}

/// A number of the path. There is one text of each: neither "+1" nor "01".
pub(crate) fn decimal(text: &str) -> Outcome<u64> {
    let number = text.parse().map_err(|_| malformed("a number is not in decimal digits"))?;
    if u64::to_string(&number) == text {
        Ok(number)
    } else {
        Err(malformed("a number is not in decimal digits"))
    }
}

/// The query.
#[derive(Debug)]
pub(crate) struct InQuery<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for InQuery<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let query = Query::from_request_parts(parts, state).await;
        query
            .map(|Query(query)| Self(query))
            .map_err(|_| malformed("the query lacks something, or cannot be read"))
    }
}
