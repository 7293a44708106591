//! Sync in another place: a program uses the sync that a worker, another process or another thread runs.
//!
//! ```text
//!   a page, a window                          a worker, a process
//!   RemoteSync ══════ Channel ══════╗
//!                                   ╠═══════▶ SyncHost ──▶ ContinuousSync ──▶ SharedSyncLog
//!   RemoteSync ══════ Channel ══════╝
//! ```

mod audience;
mod client;
mod code;
mod data;
mod error;
mod host;
mod message;
mod pump;
mod remote;
#[cfg(test)]
mod tests;

#[cfg(any(test, all(target_family = "wasm", feature = "web")))]
pub(crate) use self::audience::Audience;
pub use self::host::SyncHost;
#[cfg(any(test, all(target_family = "wasm", feature = "web")))]
pub(crate) use self::pump::Pace;
pub use self::remote::RemoteSync;

/// Frames of a client that are under way, not taken in by the host yet. A channel takes at least so many frames that
/// nobody reads, so a client never waits to send, but reads: of a host and a client that both waited to send, neither would
/// go on.
const WINDOW: usize = 4;
