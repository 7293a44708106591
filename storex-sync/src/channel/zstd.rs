//! [`ZstdChannel`]: a channel whose frames are compressed.
//!
//! The last byte of each frame of the channel inside says how the rest is to be read: docs/wire-format.md, "Compressed frames".

use std::fmt;

use async_trait::async_trait;
use zstd::bulk::Compressor;
use zstd::stream::raw::{DParameter, Decoder, Operation};

use super::own::Own;
use super::{Channel, FRAME_LIMIT, refuse_larger};
use crate::error::{Result, SyncError};

/// The last byte of a frame that is as it was.
const PLAIN: u8 = 0;
/// The last byte behind a frame that is compressed.
const ZSTD: u8 = 1;

/// Frames below this are not worth the work.
const WORTH_IT: usize = 128;

/// The levels whose frames need no more than [`WINDOW`] to be read.
const LEVELS: std::ops::RangeInclusive<i32> = 1..=19;

/// The binary logarithm of the memory that a compressed frame may ask for to be read: 8 MiB.
const WINDOW: u32 = 23;

/// What is unpacked at once.
const PART: usize = 128 << 10;

/// A [`Channel`] around another one, whose frames are compressed with Zstandard, each by itself. Both ends have to be wrapped.
///
/// Rows of text shrink to a third or less, which helps where the connection is slower than some 100 MB/s; on a fast one it costs
/// more time than it saves. Wrap what encrypts in this, and not the other way round: what is encrypted cannot be compressed. And compress
/// nothing that a stranger has a say in together with secrets: lengths tell of contents.
///
/// A frame has at most 64 MiB, or [`limit`](Self::limit), compressed and not. One that grows beyond it while it is unpacked is
/// [`SyncError::Protocol`], with no more memory taken than that.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> storex_sync::Result<()> {
/// use storex_sync::{Channel, MemoryChannel, ZstdChannel};
///
/// let (here, there) = MemoryChannel::pair();
/// let (mut here, mut there) = (ZstdChannel::new(here)?, ZstdChannel::new(there)?);
/// here.send(vec![7; 100_000]).await?; // some 30 bytes on the way
/// assert_eq!(there.recv().await?, Some(vec![7; 100_000]));
/// # Ok(()) }
/// ```
pub struct ZstdChannel<C> {
    inner: C,
    limit: usize,
    compressor: Own<Compressor<'static>>,
    decoder: Own<Decoder<'static>>,
    part: Box<[u8]>,
}

impl<C: fmt::Debug> fmt::Debug for ZstdChannel<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("ZstdChannel");
        debug.field("inner", &self.inner).field("limit", &self.limit).finish_non_exhaustive()
    }
}

impl<C: Channel> ZstdChannel<C> {
    /// Around a channel whose other end is wrapped too.
    ///
    /// # Errors
    /// [`SyncError::Transport`] when there is no memory for it.
    pub fn new(inner: C) -> Result<Self> {
        let mut decoder = Decoder::new().map_err(unprepared)?;
        decoder.set_parameter(DParameter::WindowLogMax(WINDOW)).map_err(unprepared)?;
        let compressor = Compressor::new(zstd::DEFAULT_COMPRESSION_LEVEL).map_err(unprepared)?;
        let (compressor, decoder) = (Own::new(compressor), Own::new(decoder));
        Ok(Self { inner, limit: FRAME_LIMIT, compressor, decoder, part: vec![0; PART].into() })
    }

    /// From 1 (fast) to 19 (small), 3 unless told otherwise; the other end need not have the same.
    ///
    /// # Errors
    /// [`SyncError::Transport`] when there is no memory for it.
    pub fn level(mut self, level: i32) -> Result<Self> {
        let level = level.clamp(*LEVELS.start(), *LEVELS.end());
        self.compressor.get().set_compression_level(level).map_err(unprepared)?;
        Ok(self)
    }

    /// The bytes of a frame, at most; 64 MiB unless told otherwise. The channel inside has a limit of its own.
    #[must_use]
    pub fn limit(mut self, bytes: usize) -> Self {
        self.limit = bytes;
        self
    }

    fn pack(&mut self, mut frame: Vec<u8>) -> Vec<u8> {
        if frame.len() >= WORTH_IT
            && let Ok(mut packed) = self.compressor.get().compress(&frame)
            && packed.len() < frame.len()
        {
            packed.push(ZSTD);
            return packed;
        }
        frame.push(PLAIN);
        frame
    }

    fn unpack(&mut self, mut frame: Vec<u8>) -> Result<Vec<u8>, String> {
        match frame.pop() {
            Some(PLAIN) if frame.len() <= self.limit => Ok(frame),
            Some(PLAIN) => Err(self.too_large()),
            Some(ZSTD) => self.decompress(&frame),
            _ => Err(
                "a frame that does not say whether it is compressed (is the other end wrapped?)"
                    .to_owned(),
            ),
        }
    }

    /// Part by part, as what the frame says of its length need not be true.
    fn decompress(&mut self, mut packed: &[u8]) -> Result<Vec<u8>, String> {
        let decoder = self.decoder.get();
        decoder.reinit().map_err(unreadable)?;
        let mut frame = Vec::new();
        loop {
            let status = decoder.run_on_buffers(packed, &mut self.part).map_err(unreadable)?;
            packed = packed.get(status.bytes_read..).unwrap_or_default();
            let part = self.part.get(..status.bytes_written).unwrap_or_default();
            if frame.len() + part.len() > self.limit {
                return Err(self.too_large());
            }
            frame.extend_from_slice(part);
            match (status.remaining, packed.is_empty()) {
                (0, true) => return Ok(frame),
                (0, false) => return Err("something behind a compressed frame".to_owned()),
                _ if status.bytes_read == 0 && part.is_empty() => {
                    return Err("a compressed frame that ends too early".to_owned());
                }
                _ => {}
            }
        }
    }

    fn too_large(&self) -> String {
        format!("a frame of more than {} bytes, which is the limit", self.limit)
    }
}

fn unprepared(error: std::io::Error) -> SyncError {
    SyncError::Transport { during: "preparing the compression", reason: error.to_string() }
}

fn unreadable(error: std::io::Error) -> String {
    format!("a compressed frame cannot be read: {error}")
}

#[async_trait]
impl<C: Channel> Channel for ZstdChannel<C> {
    async fn send(&mut self, frame: Vec<u8>) -> Result<()> {
        refuse_larger(&frame, self.limit)?;
        let packed = self.pack(frame);
        self.inner.send(packed).await
    }

    async fn recv(&mut self) -> Result<Option<Vec<u8>>> {
        let during = "receiving a frame";
        let Some(packed) = self.inner.recv().await? else { return Ok(None) };
        let frame = self.unpack(packed);
        frame.map(Some).map_err(|reason| SyncError::Protocol { during, reason })
    }

    async fn close(&mut self) -> Result<()> {
        self.inner.close().await
    }
}
