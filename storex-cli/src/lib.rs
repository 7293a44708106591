//! What the `storex` command does, as functions: the command itself only reads arguments and prints.

pub mod demo;
mod error;

pub use error::{DemoError, Result, describe};

/// The examples of the README are compiled and run with the tests.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
mod readme {}

/// The examples of the guide are compiled and run with the tests.
#[cfg(doctest)]
#[doc = include_str!("../../docs/guide.md")]
mod guide {}

#[cfg(doctest)]
#[doc = include_str!("../../docs/guide/migrations.md")]
mod guide_migrations {}
