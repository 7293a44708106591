//! [`BlobRef`]: what a row says of a blob.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest, Sha256};

use crate::error::SyncError;
use crate::hex::{Hex, unhex_array};

/// How many bytes a chunk of a blob has; the last one may have fewer. Part of what is stored, here and in blob stores.
const CHUNK: u64 = 1 << 20;
/// How many bytes a sealed chunk has more: mark, version, the name of the key, nonce, tag.
pub(crate) const SEALED_CHUNK_EXTRA: u64 = 58;
/// No blob has more chunks: 1 TiB.
const MOST_CHUNKS: u64 = 1 << 20;

/// The most bytes of a chunk that a [`BlobStore`](crate::BlobStore) has to take: 1 MiB of contents, and what encryption adds to them.
pub const BLOB_CHUNK_LIMIT: usize = ((1 << 20) + SEALED_CHUNK_EXTRA) as usize;

/// The name of a blob: the SHA-256 of its contents, and their length. The same contents have the same name everywhere, so they
/// are stored and sent once.
///
/// A store may also be given names that begin with `sealed-`: of blobs that were encrypted on the device, whose name says nothing of their
/// contents, and whose chunks are a little longer ([`BLOB_CHUNK_LIMIT`]). No row holds one.
///
/// Its text form (`sha256-<64 hexadecimal digits>-<length>`, by `to_string` and `parse`, and by serde) goes into any field of a
/// row that holds text, and travels with the row.
///
/// ```
/// use storex_sync::BlobRef;
///
/// let blob = BlobRef::of(b"hello");
/// let text = "sha256-2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824-5";
/// assert_eq!(blob.to_string(), text);
/// assert_eq!(text.parse::<BlobRef>()?, blob);
/// # Ok::<(), storex_sync::SyncError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobRef {
    kind: Kind,
    hash: [u8; 32],
    length: u64,
}

/// What a name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Kind {
    /// The hash of the contents.
    Contents,
    /// Nothing, to those who do not have the key.
    Sealed,
}

impl Kind {
    const ALL: [Self; 2] = [Self::Contents, Self::Sealed];

    fn prefix(self) -> &'static str {
        match self {
            Self::Contents => "sha256-",
            Self::Sealed => "sealed-",
        }
    }

    /// How many bytes a chunk has that is not the last one.
    fn full_chunk(self) -> u64 {
        match self {
            Self::Contents => CHUNK,
            Self::Sealed => CHUNK + SEALED_CHUNK_EXTRA,
        }
    }
}

impl BlobRef {
    /// The name of these contents.
    #[must_use]
    pub fn of(contents: &[u8]) -> Self {
        let mut hasher = BlobHasher::default();
        hasher.update(contents);
        hasher.finish()
    }

    /// The name under which a store gets a blob that is encrypted; the length is that of the encrypted chunks.
    #[cfg(feature = "encryption")]
    pub(crate) fn sealed(name: [u8; 32], length: u64) -> Self {
        Self { kind: Kind::Sealed, hash: name, length }
    }

    /// What the name has in front of the length.
    #[cfg(feature = "encryption")]
    pub(crate) fn hash(&self) -> &[u8; 32] {
        &self.hash
    }

    /// How many bytes it has.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    /// How many chunks it has: as many of 1 MiB as fill it, and one more for the rest. An empty one has none.
    #[must_use]
    pub fn chunks(&self) -> u64 {
        self.length.div_ceil(self.kind.full_chunk())
    }

    /// Which bytes are in a chunk; none in one that it does not have.
    ///
    /// ```
    /// use storex_sync::BlobRef;
    ///
    /// let blob = BlobRef::of(&vec![7; (1 << 20) + 3]);
    /// assert_eq!(blob.chunk_range(1), 1_048_576..1_048_579);
    /// ```
    #[must_use]
    pub fn chunk_range(&self, number: u64) -> Range<u64> {
        let full = self.kind.full_chunk();
        let start = number.saturating_mul(full).min(self.length);
        start..start.saturating_add(full).min(self.length)
    }

    /// How many bytes a chunk has.
    pub(crate) fn chunk_length(&self, number: u64) -> u64 {
        let Range { start, end } = self.chunk_range(number);
        end - start
    }
}

/// How many bytes a chunk of contents has that is not the last one.
pub(crate) fn full_chunk() -> usize {
    usize::try_from(CHUNK).unwrap_or(usize::MAX)
}

/// Makes the name of contents that come in parts.
#[derive(Debug, Default)]
pub(super) struct BlobHasher {
    hasher: Sha256,
    length: u64,
}

impl BlobHasher {
    pub(super) fn update(&mut self, part: &[u8]) {
        self.hasher.update(part);
        self.length = self.length.saturating_add(part.len() as u64);
    }

    pub(super) fn finish(self) -> BlobRef {
        let hash = self.hasher.finalize().into();
        BlobRef { kind: Kind::Contents, hash, length: self.length }
    }

    /// Whether no blob is as long as that.
    pub(super) fn is_too_long(&self) -> bool {
        self.length > MOST_CHUNKS * CHUNK
    }
}

impl fmt::Display for BlobRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}-{}", self.kind.prefix(), Hex(&self.hash), self.length)
    }
}

impl FromStr for BlobRef {
    type Err = SyncError;

    fn from_str(text: &str) -> Result<Self, SyncError> {
        let blob = parse(text).filter(|blob| blob.chunks() <= MOST_CHUNKS);
        // Exactly as we write it, so that no blob has two names.
        let blob = blob.filter(|blob| blob.to_string() == text);
        blob.ok_or_else(|| SyncError::corrupt("the name of a blob", "it has another form"))
    }
}

fn parse(text: &str) -> Option<BlobRef> {
    let of_kind = |kind: Kind| Some((kind, text.strip_prefix(kind.prefix())?));
    let (kind, rest) = Kind::ALL.into_iter().find_map(of_kind)?;
    let (hex, length) = rest.split_once('-')?;
    Some(BlobRef { kind, hash: unhex_array(hex)?, length: length.parse().ok()? })
}

impl Serialize for BlobRef {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for BlobRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}
