//! [`Own`]: what only its owner reaches.

use std::sync::{Mutex, PoisonError};

/// Something that is reached by `&mut` only, so that it may be shared although it is not `Sync`: a channel has to be, and streams
/// (an upgraded HTTP connection, say) often are not. Nothing is ever locked.
pub(super) struct Own<T>(Mutex<T>);

impl<T> Own<T> {
    pub(super) fn new(it: T) -> Self {
        Self(Mutex::new(it))
    }

    pub(super) fn get(&mut self) -> &mut T {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}
