//! What serde's attributes say about the names of fields.

use proc_macro2::TokenStream;
use syn::meta::ParseNestedMeta;
use syn::{Attribute, Expr, LitStr, Token, parenthesized};

/// `#[serde(..)]` of a struct.
#[derive(Default)]
pub(crate) struct SerdeContainer {
    /// The rule of `rename_all`.
    pub(crate) rename_all: Option<LitStr>,
}

/// `#[serde(..)]` of a field.
#[derive(Default)]
pub(crate) struct SerdeField {
    /// The name of `rename`.
    pub(crate) rename: Option<LitStr>,
    /// Whether serde leaves the field out both ways.
    pub(crate) skip: bool,
}

impl SerdeContainer {
    pub(crate) fn parse(attributes: &[Attribute]) -> syn::Result<Self> {
        let mut container = Self::default();
        for attribute in serde(attributes) {
            attribute.parse_nested_meta(|meta| {
                let name = meta.path.require_ident()?.to_string();
                match name.as_str() {
                    "rename_all" => container.rename_all = one_name(&meta)?,
                    "transparent" | "tag" | "from" | "try_from" | "into" | "remote" => {
                        return Err(meta.error(format!(
                            "with `{name}` serde does not write this struct field by field, as a collection's object is"
                        )));
                    }
                    _ => skip_value(&meta)?,
                }
                Ok(())
            })?;
        }
        Ok(container)
    }
}

impl SerdeField {
    pub(crate) fn parse(attributes: &[Attribute]) -> syn::Result<Self> {
        let mut field = Self::default();
        let (mut not_written, mut not_read) = (false, false);
        for attribute in serde(attributes) {
            attribute.parse_nested_meta(|meta| {
                match meta.path.require_ident()?.to_string().as_str() {
                    "rename" => field.rename = one_name(&meta)?,
                    "skip" => field.skip = true,
                    "skip_serializing" => not_written = true,
                    "skip_deserializing" => not_read = true,
                    "flatten" => {
                        return Err(meta.error(
                            "the fields of a collection stand in its own struct; write them out, or keep the inner \
                             struct as one field with `#[storex(json)]`",
                        ));
                    }
                    _ => skip_value(&meta)?,
                }
                Ok(())
            })?;
        }
        field.skip |= not_written && not_read;
        Ok(field)
    }
}

fn serde(attributes: &[Attribute]) -> impl Iterator<Item = &Attribute> {
    attributes.iter().filter(|attribute| attribute.path().is_ident("serde"))
}

/// `rename = "a"`, or `rename(serialize = "a", deserialize = "a")`.
fn one_name(meta: &ParseNestedMeta<'_>) -> syn::Result<Option<LitStr>> {
    if meta.input.peek(Token![=]) {
        return Ok(Some(meta.value()?.parse()?));
    }
    let mut names: Vec<LitStr> = Vec::new();
    meta.parse_nested_meta(|part| {
        names.push(part.value()?.parse()?);
        Ok(())
    })?;
    match names.as_slice() {
        [written, read] if written.value() == read.value() => Ok(names.pop()),
        _ => Err(meta.error("a field of a collection is written and read under one name")),
    }
}

/// Passes over the value of an attribute that has nothing to say here.
fn skip_value(meta: &ParseNestedMeta<'_>) -> syn::Result<()> {
    if meta.input.peek(Token![=]) {
        meta.value()?.parse::<Expr>()?;
    } else if meta.input.peek(syn::token::Paren) {
        let content;
        parenthesized!(content in meta.input);
        content.parse::<TokenStream>()?;
    }
    Ok(())
}
