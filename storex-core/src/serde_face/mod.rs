//! Rust structs as records, by serde.

mod de;
mod ser;
mod tree;

pub(crate) use de::{from_record, seen_record};
pub(crate) use ser::{to_given, to_record};
pub(crate) use tree::from_tree;

use std::fmt;

/// What serde tells that goes wrong.
#[derive(Debug)]
pub(crate) struct Message(pub(crate) String);

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Message {}

impl serde::ser::Error for Message {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

impl serde::de::Error for Message {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}
