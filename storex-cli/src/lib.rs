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

/// The examples of the chapter on queries are compiled and run with the tests.
#[cfg(doctest)]
#[doc = include_str!("../../docs/guide/queries.md")]
mod guide_queries {}
