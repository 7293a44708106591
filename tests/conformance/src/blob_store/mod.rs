//! The cases for [`BlobStore`]. A case's name says what it asserts.
#![allow(missing_docs)] // see above

pub mod chunks;

use std::fmt;

use std::sync::Arc;

use storex_core::{BoxFuture, MaybeSend, MaybeSync};
use storex_sync::{BlobRef, BlobStore};

/// A store that was opened.
type Opened = BoxFuture<'static, Arc<dyn BlobStore>>;

/// Opens the blob store of one case, which is empty at first. A case opens it more than once.
pub struct BlobHarness {
    open: Box<dyn OpenStore>,
    encrypts: bool,
}

trait OpenStore: MaybeSend + MaybeSync {
    fn open(&self) -> Opened;
}

impl<F: Fn() -> Opened + MaybeSend + MaybeSync> OpenStore for F {
    fn open(&self) -> Opened {
        self()
    }
}

impl fmt::Debug for BlobHarness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BlobHarness")
    }
}

impl BlobHarness {
    /// A harness over the store that the function opens: the same with each call.
    pub fn new(open: impl Fn() -> Opened + MaybeSend + MaybeSync + 'static) -> Self {
        Self { open: Box::new(open), encrypts: false }
    }

    /// Says that the store encrypts: it refuses chunks that are as large as encryption makes them.
    #[must_use]
    pub fn encrypts(mut self) -> Self {
        self.encrypts = true;
        self
    }

    /// The store; opened once more when it is open.
    pub async fn store(&self) -> Arc<dyn BlobStore> {
        self.open.open().await
    }
}

/// Contents of this length, and their name.
pub(crate) fn contents(length: usize) -> (BlobRef, Vec<u8>) {
    let contents: Vec<u8> = (0..length).map(|n| (n % 251) as u8).collect();
    (BlobRef::of(&contents), contents)
}

/// The bytes of a chunk.
pub(crate) fn part(blob: &BlobRef, contents: &[u8], number: u64) -> Vec<u8> {
    let range = blob.chunk_range(number);
    let at = |place: u64| usize::try_from(place).expect("contents in memory");
    contents[at(range.start)..at(range.end)].to_vec()
}

/// Puts the chunks from one to another.
pub(crate) async fn put(
    store: &dyn BlobStore,
    blob: &BlobRef,
    contents: &[u8],
    chunks: std::ops::Range<u64>,
) {
    for number in chunks {
        store.put_chunk(blob, number, part(blob, contents, number)).await.expect("a chunk");
    }
}

/// Every case of the suite as a test on the blob store that the function gives.
///
/// ```
/// use std::sync::Arc;
/// use storex_conformance::{blob_store::BlobHarness, blob_store_conformance};
/// use storex_sync::{BlobStore, MemoryBlobStore};
///
/// fn memory() -> BlobHarness {
///     let store = Arc::new(MemoryBlobStore::new());
///     BlobHarness::new(move || {
///         let store: Arc<dyn BlobStore> = store.clone();
///         Box::pin(async move { store })
///     })
/// }
///
/// blob_store_conformance!(memory);
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! blob_store_conformance {
    ($make:expr) => {
        $crate::__storex_suite! { $make => $crate::blob_store::BlobHarness; by_case; blob_store:
            chunks {
                there_are_none_at_first
                they_are_read_as_they_were_put
                they_are_as_large_as_encryption_makes_them
                they_make_no_blob_before_it_is_finished
                what_was_put_is_told_and_gone_on_with
                a_missing_one_keeps_a_blob_from_being_finished
                twice_is_once
                two_at_once_put_the_same
                of_an_empty_blob_there_are_none
                of_one_blob_are_not_those_of_another
                they_outlive_the_value_of_the_store
                what_is_removed_is_gone_and_may_come_back
                putting_one_may_be_given_up_and_repeated
            }
        }
    };
}
