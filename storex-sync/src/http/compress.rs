//! Compressed bodies: with Zstandard where the feature `zstd` is on. A browser decompresses by itself, and nothing is compressed there.

use super::transport::Response;
use crate::error::{Result, SyncError};

/// Value of `accept-encoding`.
pub(super) const ACCEPTED: Option<&str> =
    if cfg!(all(feature = "zstd", not(target_family = "wasm"))) { Some(ZSTD) } else { None };

const ZSTD: &str = "zstd";

/// A body as it is sent, and its `content-encoding`.
#[cfg(all(feature = "zstd", not(target_family = "wasm")))]
pub(super) fn pack(body: &[u8]) -> (Vec<u8>, Option<&'static str>) {
    /// Below that the headers are the most of a request.
    const WORTH_IT: usize = 512;
    if body.len() >= WORTH_IT
        && let Ok(packed) = zstd::bulk::compress(body, zstd::DEFAULT_COMPRESSION_LEVEL)
        && packed.len() < body.len()
    {
        return (packed, Some(ZSTD));
    }
    (body.to_vec(), None)
}

/// A body as it is sent, and its `content-encoding`.
#[cfg(not(all(feature = "zstd", not(target_family = "wasm"))))]
pub(super) fn pack(body: &[u8]) -> (Vec<u8>, Option<&'static str>) {
    (body.to_vec(), None)
}

/// The answer with its body as it was, of at most so many bytes.
pub(super) fn unpack(mut answer: Response, most: usize) -> Result<Response> {
    match answer.header("content-encoding") {
        None | Some("identity") => {}
        // What a browser gives is unpacked already, whatever the header says.
        Some(_) if cfg!(target_family = "wasm") => {}
        Some(ZSTD) => answer.body = decompress(&answer.body, most)?,
        Some(other) => return Err(unreadable(&format!("`{other}` was not asked for"))),
    }
    match answer.body.len() > most {
        true => Err(unreadable("it is too long")),
        false => Ok(answer),
    }
}

/// As far as it is allowed to grow: what the bytes say of their length need not be true.
#[cfg(all(feature = "zstd", not(target_family = "wasm")))]
fn decompress(packed: &[u8], most: usize) -> Result<Vec<u8>> {
    use std::io::Read as _;
    let failed = |error: std::io::Error| unreadable(&error.to_string());
    let mut decoder = zstd::stream::read::Decoder::with_buffer(packed).map_err(failed)?;
    // 8 MiB, which is what RFC 8878 recommends to take.
    decoder.window_log_max(23).map_err(failed)?;
    let mut plain = Vec::new();
    decoder.take(most as u64 + 1).read_to_end(&mut plain).map_err(failed)?;
    Ok(plain)
}

#[cfg(not(all(feature = "zstd", not(target_family = "wasm"))))]
fn decompress(_: &[u8], _: usize) -> Result<Vec<u8>> {
    Err(unreadable("`zstd` was not asked for"))
}

fn unreadable(why: &str) -> SyncError {
    let reason = format!("the body of the answer cannot be read: {why}");
    SyncError::Transport { during: "reading an answer", reason }
}
