//! Relative updates over devices: increments all count, in whatever way and order they come together.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod edges;
mod histories;
mod older;
#[path = "../support/mod.rs"]
mod support;
mod together;
