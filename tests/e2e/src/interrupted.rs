//! [`Interrupted`]: an object store in which something else happens in the middle of something.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, once};
use storex_sync::object_store::memory::InMemory;
use storex_sync::object_store::path::Path;
use storex_sync::object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

/// A store in memory, in which something else happens before a request that is chosen beforehand.
#[derive(Clone, Default)]
pub struct Interrupted {
    inner: Arc<InMemory>,
    next: Arc<Mutex<Option<Interruption>>>,
}

struct Interruption {
    /// So many requests go through before it.
    left: usize,
    happens: BoxFuture<'static, ()>,
}

impl fmt::Debug for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Interrupted")
    }
}

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Interrupted")
    }
}

impl Interrupted {
    /// This happens once so many requests went through, and before the next one.
    pub fn after(&self, requests: usize, happens: impl Future<Output = ()> + Send + 'static) {
        let interruption = Interruption { left: requests, happens: Box::pin(happens) };
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = Some(interruption);
    }

    /// Whether it has not happened; then it does not any more.
    pub fn forget(&self) -> bool {
        self.next.lock().unwrap_or_else(PoisonError::into_inner).take().is_some()
    }

    fn take(&self) -> Option<BoxFuture<'static, ()>> {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        match next.as_mut() {
            Some(Interruption { left: 0, .. }) => next.take().map(|it| it.happens),
            Some(it) => {
                it.left -= 1;
                None
            }
            None => None,
        }
    }

    async fn pass(&self) {
        if let Some(happens) = self.take() {
            happens.await;
        }
    }
}

#[async_trait]
impl ObjectStore for Interrupted {
    async fn put_opts(&self, at: &Path, bytes: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.pass().await;
        self.inner.put_opts(at, bytes, opts).await
    }

    async fn put_multipart_opts(
        &self,
        at: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(at, opts).await
    }

    async fn get_opts(&self, at: &Path, options: GetOptions) -> Result<GetResult> {
        self.pass().await;
        self.inner.get_opts(at, options).await
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let this = self.clone();
        let deleted = once(async move {
            this.pass().await;
            this.inner.delete_stream(paths)
        });
        deleted.flatten().boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (this, prefix) = (self.clone(), prefix.cloned());
        let listed = once(async move {
            this.pass().await;
            this.inner.list(prefix.as_ref())
        });
        listed.flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
