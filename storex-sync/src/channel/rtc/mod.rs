//! [`RtcChannel`]: a channel from browser to browser.

#[cfg(target_family = "wasm")]
mod config;
#[cfg(any(test, target_family = "wasm"))]
mod flow;
#[cfg(target_family = "wasm")]
mod peer;
#[cfg(any(test, target_family = "wasm"))]
mod signal;
#[cfg(target_family = "wasm")]
mod stream;

#[cfg(target_family = "wasm")]
mod channel;

#[cfg(target_family = "wasm")]
pub use channel::RtcChannel;
#[cfg(target_family = "wasm")]
pub use config::RtcConfig;
