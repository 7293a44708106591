//! [`Failure`]: an error of ours on its way out of a batch.

use std::sync::{Arc, Mutex, PoisonError};

use storex_core::Error;

use crate::error::{During, Result, SyncError, abort};

/// Takes an error of ours out of a continuation, through which only the storage's errors travel.
#[derive(Debug, Clone, Default)]
pub(crate) struct Failure(Arc<Mutex<Option<SyncError>>>);

impl Failure {
    /// In the continuation: an error gives the batch up, and is kept.
    pub(crate) fn keep<T>(&self, result: Result<T>) -> storex_core::Result<T> {
        result.map_err(|error| {
            let refusal = abort(&error);
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            refusal
        })
    }

    /// Behind the batch: the error that was kept, where it was given up by it.
    pub(crate) fn or<T>(
        &self,
        executed: storex_core::Result<T>,
        during: &'static str,
    ) -> Result<T> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        match (executed, kept) {
            (Err(Error::Aborted { .. }), Some(error)) => Err(error),
            (executed, _) => executed.during(during),
        }
    }
}
