//! The collections of the scenarios.

use storex_core::{Definition, FieldType, Registry, Result};

/// The collections; `newer`: one more, as the next version of an application would have it.
pub(crate) fn registry(newer: bool) -> Result<Registry> {
    let member = Definition::new("member")
        .field("team", FieldType::Int)
        .field("size", FieldType::Int)
        .field("title", FieldType::String)
        .field("stars", FieldType::Int)
        .optional("body", FieldType::Text)
        .index(["team"]);
    let account = Definition::new("account")
        .field("name", FieldType::String)
        .field("balance", FieldType::Int)
        .primary_key(["name"]);
    let batch = Definition::new("batch")
        .field("number", FieldType::Int)
        .field("kind", FieldType::String)
        .primary_key(["number"]);
    let builder = Registry::builder().collection(member).collection(account).collection(batch);
    let later = Definition::new("later").field("note", FieldType::String);
    if newer { builder.collection(later) } else { builder }.build()
}
