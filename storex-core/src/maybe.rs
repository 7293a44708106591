//! The one place that knows that a browser has one thread.
//!
//! On native targets everything that storex hands to an executor is `Send`; on wasm nothing has to be, because the
//! handles of the browser are not. [`MaybeSend`] and [`MaybeSync`] say "as the target needs it".

use std::future::Future;
use std::pin::Pin;

/// `Send` on native targets, nothing on wasm.
#[cfg(not(target_family = "wasm"))]
pub trait MaybeSend: Send {}
#[cfg(not(target_family = "wasm"))]
impl<T: Send + ?Sized> MaybeSend for T {}

/// `Send` on native targets, nothing on wasm.
#[cfg(target_family = "wasm")]
pub trait MaybeSend {}
#[cfg(target_family = "wasm")]
impl<T: ?Sized> MaybeSend for T {}

/// `Sync` on native targets, nothing on wasm.
#[cfg(not(target_family = "wasm"))]
pub trait MaybeSync: Sync {}
#[cfg(not(target_family = "wasm"))]
impl<T: Sync + ?Sized> MaybeSync for T {}

/// `Sync` on native targets, nothing on wasm.
#[cfg(target_family = "wasm")]
pub trait MaybeSync {}
#[cfg(target_family = "wasm")]
impl<T: ?Sized> MaybeSync for T {}

/// A boxed future: `Send` where the target has threads.
#[cfg(not(target_family = "wasm"))]
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A boxed future: `Send` where the target has threads.
#[cfg(target_family = "wasm")]
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// A value of any type that a storage keeps for a library: shared between threads where the target has threads.
#[cfg(not(target_family = "wasm"))]
pub(crate) type Kept = std::sync::Arc<dyn std::any::Any + Send + Sync>;

/// A value of any type that a storage keeps for a library: shared between threads where the target has threads.
#[cfg(target_family = "wasm")]
pub(crate) type Kept = std::sync::Arc<dyn std::any::Any>;
