//! Answers are compressed where the other side reads it and it is worth it.

use std::io::Write as _;

use axum::body::{Body, to_bytes};
use axum::http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, VARY};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use bytes::Bytes;

/// A body of fewer bytes fits into one packet anyway.
const WORTH_IT: usize = 1 << 10;
/// The quickest levels: most of what passes here is packed already, or sealed.
const ZSTD_LEVEL: i32 = 1;

/// How the other side reads answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reads {
    Plain,
    Gzip,
    Zstd,
}

impl Reads {
    /// Quality values say nothing here but that zero means "not".
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let listed = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|it| it.to_str().ok());
        let (mut gzip, mut zstd) = (false, false);
        for coding in listed.flat_map(|list| list.split(',')) {
            let (name, quality) = coding.split_once(';').unwrap_or((coding, ""));
            let wanted = !matches!(quality.trim(), "q=0" | "q=0.0" | "q=0.00" | "q=0.000");
            match name.trim() {
                name if name.eq_ignore_ascii_case("zstd") => zstd = wanted,
                name if name.eq_ignore_ascii_case("gzip") => gzip = wanted,
                _ => {}
            }
        }
        match (zstd, gzip) {
            (true, _) => Self::Zstd,
            (false, true) => Self::Gzip,
            (false, false) => Self::Plain,
        }
    }
}

/// The response, smaller if it can be. Its body is in memory already.
pub(super) async fn compress(response: Response, reads: Reads) -> Response {
    let (mut parts, body) = response.into_parts();
    let Ok(bytes) = to_bytes(body, usize::MAX).await else {
        return Response::from_parts(parts, Body::empty());
    };
    parts.headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
    let packed = if bytes.len() < WORTH_IT { None } else { pack(&bytes, reads) };
    let Some((coding, packed)) = packed.filter(|(_, packed)| packed.len() < bytes.len()) else {
        return Response::from_parts(parts, Body::from(bytes));
    };
    parts.headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding));
    parts.headers.remove(CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(packed))
}

fn pack(bytes: &Bytes, reads: Reads) -> Option<(&'static str, Vec<u8>)> {
    match reads {
        Reads::Plain => None,
        Reads::Zstd => Some(("zstd", zstd::bulk::compress(bytes, ZSTD_LEVEL).ok()?)),
        Reads::Gzip => {
            let mut encoder =
                flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(bytes).ok()?;
            Some(("gzip", encoder.finish().ok()?))
        }
    }
}
