//! [`ToTheEnd`]: work that is not given up with the future that waits for it.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::maybe::BoxFuture;
use crate::runtime::Runtime;

/// Work that has begun, and goes on as a task of the runtime's when nobody waits for it any more.
pub(crate) struct ToTheEnd<'a, T: 'static> {
    /// `None`: it is done.
    work: Option<BoxFuture<'static, T>>,
    runtime: &'a dyn Runtime,
}

impl<'a, T> ToTheEnd<'a, T> {
    pub(crate) fn new(work: BoxFuture<'static, T>, runtime: &'a dyn Runtime) -> Self {
        Self { work: Some(work), runtime }
    }
}

impl<T> Future for ToTheEnd<'_, T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        // Taken out meanwhile: what panics is not polled again.
        let Some(mut work) = self.work.take() else { return Poll::Pending };
        let polled = work.as_mut().poll(cx);
        if polled.is_pending() {
            self.work = Some(work);
        }
        polled
    }
}

impl<T> Drop for ToTheEnd<'_, T> {
    fn drop(&mut self) {
        if let Some(work) = self.work.take() {
            self.runtime.spawn(Box::pin(async move {
                work.await;
            }));
        }
    }
}
