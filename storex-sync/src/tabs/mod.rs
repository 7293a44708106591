//! One sync for all tabs of a browser that have a database open.
//!
//! ```text
//!   TabSync ─▶ Keeper ─▶ Places ──┬─▶ SharedWorker  one for all tabs         serve_tabs ─▶ Hosted ─▶ SyncHost
//!    calls     connects  the best ├─▶ Worker        one per tab, elected     serve_tabs ─▶ Hosted ─▶ SyncHost
//!              again     first    └─▶ the tab       one per tab, elected                   Hosted ─▶ SyncHost
//! ```
//!
//! The calls go over a [`Channel`](crate::Channel) in all three, as those of [`RemoteSync`](crate::RemoteSync) do. What needs no browser is compiled
//! for the tests on native targets too.

#[cfg(target_family = "wasm")]
mod builder;
#[cfg(target_family = "wasm")]
mod ending_channel;
#[cfg(target_family = "wasm")]
mod following;
#[cfg(target_family = "wasm")]
mod frame;
#[cfg(target_family = "wasm")]
mod generation;
mod hosted;
mod keeper;
#[cfg(target_family = "wasm")]
mod link;
#[cfg(target_family = "wasm")]
mod places;
#[cfg(target_family = "wasm")]
mod port;
#[cfg(target_family = "wasm")]
mod radio;
#[cfg(target_family = "wasm")]
mod serve;
mod tab_sync;
#[cfg(test)]
mod tests;
#[cfg(target_family = "wasm")]
mod worker;

mod name;

#[cfg(target_family = "wasm")]
pub use self::builder::TabSyncBuilder;
#[cfg(target_family = "wasm")]
pub use self::serve::serve_tabs;
pub use self::tab_sync::TabSync;

use std::fmt;

/// Where sync runs for a tab.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncPlace {
    /// In the worker that all tabs of the database share.
    SharedWorker,
    /// In a worker of the tab's own. It syncs while no other does.
    Worker,
    /// In the tab. It syncs while no other does.
    Tab,
}

impl fmt::Display for SyncPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SharedWorker => "shared worker",
            Self::Worker => "worker",
            Self::Tab => "tab",
        })
    }
}
