//! The bodies of requests: bounded in bytes and in time, decompressed.

use std::io::Read;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use bytes::Bytes;
use futures_util::TryStreamExt as _;
use serde::de::DeserializeOwned;
use storex_sync::http::Code;
use tokio::sync::OwnedSemaphorePermit;

use super::failure::{Failure, Outcome, malformed};
use crate::app::App;

/// The most bytes of a body in JSON: they all are names.
const JSON_BYTES: usize = 64 << 10;
/// The greatest window of zstd, 8 MiB, as RFC 8878 advises: a few bytes ask for it.
const WINDOW_LOG_MAX: u32 = 23;

/// The bytes of a body, decompressed. They count as long as this is there.
#[derive(Debug)]
pub(crate) struct Octets {
    pub(crate) bytes: Bytes,
    _budget: Option<OwnedSemaphorePermit>,
}

impl FromRequest<Arc<App>> for Octets {
    type Rejection = Failure;

    async fn from_request(request: Request, app: &Arc<App>) -> Outcome<Self> {
        read(request, app, app.config.limits.body_bytes).await
    }
}

/// The same, for bodies that have a limit of their own.
pub(crate) async fn read_octets(request: Request, app: &Arc<App>, limit: usize) -> Outcome<Octets> {
    read(request, app, limit).await
}

/// A body in JSON.
#[derive(Debug)]
pub(crate) struct JsonBody<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Arc<App>> for JsonBody<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, app: &Arc<App>) -> Outcome<Self> {
        let body = read(request, app, app.config.limits.body_bytes.min(JSON_BYTES)).await?;
        let read = serde_json::from_slice(&body.bytes);
        read.map(Self).map_err(|error| malformed(format!("the body cannot be read: {error}")))
    }
}

async fn read(request: Request, app: &Arc<App>, limit: usize) -> Outcome<Octets> {
    let (parts, body) = request.into_parts();
    let coding = Coding::of(&parts.headers)?;
    let declared = parts.headers.get(CONTENT_LENGTH).and_then(|it| it.to_str().ok()?.parse().ok());
    if declared.is_some_and(|declared: u64| declared > limit as u64) {
        return Err(Failure::too_large(limit));
    }
    let mut budget = Budget { app, taken: None };
    let read = tokio::select! {
        read = collect(body, limit, &mut budget) => read?,
        () = app.runtime.sleep(app.config.timeouts.body) => {
            return Err(Failure::new(Code::Timeout, "the body did not arrive in time"));
        }
    };
    let bytes = match coding {
        None => read,
        Some(coding) => {
            let bytes = coding.decode(&read, limit)?;
            budget.take(bytes.len())?;
            bytes
        }
    };
    app.metrics.request_bytes.add(bytes.len() as u64);
    Ok(Octets { bytes: bytes.into(), _budget: budget.taken })
}

/// What the bodies that are in memory may have together.
struct Budget<'a> {
    app: &'a App,
    taken: Option<OwnedSemaphorePermit>,
}

impl Budget<'_> {
    fn take(&mut self, bytes: usize) -> Outcome<()> {
        let more = u32::try_from(bytes)
            .ok()
            .and_then(|bytes| Arc::clone(&self.app.bodies).try_acquire_many_owned(bytes).ok());
        let busy = || Failure::busy("the server has too many requests in hand");
        let more = more.ok_or_else(busy)?;
        match &mut self.taken {
            Some(taken) => taken.merge(more),
            none => *none = Some(more),
        }
        Ok(())
    }
}

async fn collect(body: Body, limit: usize, budget: &mut Budget<'_>) -> Outcome<Vec<u8>> {
    let mut stream = body.into_data_stream();
    let mut bytes = Vec::new();
    loop {
        let next = stream.try_next().await;
        let Some(chunk) = next.map_err(|_| malformed("the body ends too early, or is none"))?
        else {
            return Ok(bytes);
        };
        if bytes.len() + chunk.len() > limit {
            return Err(Failure::too_large(limit));
        }
        budget.take(chunk.len())?;
        bytes.extend_from_slice(&chunk);
    }
}

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coding {
    Zstd,
    Gzip,
}

impl Coding {
    /// `None`: it is not.
    fn of(headers: &HeaderMap) -> Outcome<Option<Self>> {
        let mut codings = headers.get_all(CONTENT_ENCODING).iter();
        let (first, second) = (codings.next(), codings.next());
        match first.map(|it| it.as_bytes().to_ascii_lowercase()).as_deref() {
            _ if second.is_some() => Err(malformed("the body is compressed more than once")),
            None | Some(b"identity") => Ok(None),
            Some(b"zstd") => Ok(Some(Self::Zstd)),
            Some(b"gzip") => Ok(Some(Self::Gzip)),
            Some(_) => Err(malformed("content-encoding is neither zstd nor gzip")),
        }
    }

    fn decode(self, bytes: &[u8], limit: usize) -> Outcome<Vec<u8>> {
        let damaged = |_| malformed("the body cannot be decompressed");
        match self {
            Self::Zstd => {
                let mut decoder =
                    zstd::stream::read::Decoder::with_buffer(bytes).map_err(damaged)?;
                decoder.window_log_max(WINDOW_LOG_MAX).map_err(damaged)?;
                read_limited(decoder, limit)
            }
            Self::Gzip => read_limited(flate2::bufread::GzDecoder::new(bytes), limit),
        }
    }
}

/// Stops at the limit, whatever the head says of the length.
fn read_limited(reader: impl Read, limit: usize) -> Outcome<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = reader.take(limit as u64 + 1).read_to_end(&mut bytes);
    read.map_err(|_| malformed("the body cannot be decompressed"))?;
    if bytes.len() > limit {
        return Err(Failure::too_large(limit));
    }
    Ok(bytes)
}
