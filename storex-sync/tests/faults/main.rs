//! The faults of the system that this one succeeds, each as a test named after its row: `l…` of the list of data losses,
//! `r…` of the runs with two devices that reproduced them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../support/mod.rs"]
mod support;

mod delivery;
mod initial;
mod logging;
mod merging;
mod values;
