//! What the `storex` command does, as functions: the command itself only reads arguments and prints.

pub mod demo;
mod error;

pub use error::{DemoError, Result, describe};
