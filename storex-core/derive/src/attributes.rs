//! `#[storex(..)]`, as it is written.

use syn::meta::ParseNestedMeta;
use syn::punctuated::Punctuated;
use syn::{Attribute, Expr, Ident, LitInt, LitStr, Path, Token, parenthesized};

use crate::checks::{CheckAttribute, CustomCheck};
use crate::types::FieldType;

/// `#[storex(..)]` of the struct.
#[derive(Default)]
pub(crate) struct ContainerAttributes {
    pub(crate) name: Option<LitStr>,
    pub(crate) version: Option<LitInt>,
    pub(crate) adopted: Option<LitStr>,
    pub(crate) storex: Option<Path>,
    pub(crate) indices: Vec<IndexAttribute>,
    pub(crate) checks: Vec<CustomCheck>,
}

/// `index(a, b)` or `unique(a, b)`.
pub(crate) struct IndexAttribute {
    pub(crate) unique: bool,
    pub(crate) fields: Vec<Ident>,
}

/// `#[storex(..)]` of a field.
#[derive(Default)]
pub(crate) struct FieldAttributes {
    pub(crate) key: Option<KeyAttribute>,
    pub(crate) field_type: Option<FieldType>,
    pub(crate) column: Option<LitStr>,
    pub(crate) index: Option<Ident>,
    pub(crate) unique: Option<Ident>,
    pub(crate) multi_entry: Option<Ident>,
    pub(crate) nullable: Option<Ident>,
    pub(crate) default: Option<Default>,
    pub(crate) relation: Option<RelationAttribute>,
    pub(crate) reverse: Option<LitStr>,
    pub(crate) on_delete: Option<OnDelete>,
    pub(crate) checks: Vec<CheckAttribute>,
}

/// `key`, or `key(text)`.
pub(crate) struct KeyAttribute {
    pub(crate) at: Ident,
    pub(crate) format: Option<&'static str>,
}

/// What a field has when it is not given.
pub(crate) enum Default {
    /// `default = 0`
    Value(Box<Expr>),
    /// `default_now`
    Now,
}

/// `child_of = "user"`, or with a struct instead of the name: `child_of(User)`.
pub(crate) struct RelationAttribute {
    pub(crate) at: Ident,
    pub(crate) target: Target,
}

/// The collection that a relation points to.
pub(crate) enum Target {
    Name(LitStr),
    Struct(Path),
}

/// `on_delete = "cascade"`, `"set_null"` or `"restrict"`.
pub(crate) struct OnDelete {
    pub(crate) at: LitStr,
    /// The variant of storex's `OnDelete`.
    pub(crate) rule: &'static str,
}

impl ContainerAttributes {
    const KNOWN: &'static str = "name, version, adopted, index, unique, check and crate";

    pub(crate) fn parse(attributes: &[Attribute]) -> syn::Result<Self> {
        let mut all = Self::default();
        for attribute in storex(attributes) {
            attribute.parse_nested_meta(|meta| all.add(&meta))?;
        }
        Ok(all)
    }

    fn add(&mut self, meta: &ParseNestedMeta<'_>) -> syn::Result<()> {
        let name = meta.path.require_ident()?;
        match name.to_string().as_str() {
            "name" => once(&mut self.name, meta, |meta| meta.value()?.parse()),
            "version" => once(&mut self.version, meta, |meta| {
                let version: LitInt = meta.value()?.parse()?;
                version.base10_parse::<u64>()?;
                Ok(version)
            }),
            "adopted" => once(&mut self.adopted, meta, |meta| meta.value()?.parse()),
            "crate" => once(&mut self.storex, meta, |meta| {
                let path: LitStr = meta.value()?.parse()?;
                path.parse_with(Path::parse_mod_style)
            }),
            index @ ("index" | "unique") => {
                let unique = index == "unique";
                let content;
                parenthesized!(content in meta.input);
                let fields = Punctuated::<Ident, Token![,]>::parse_terminated(&content)?;
                if fields.is_empty() {
                    return Err(meta.error("an index names at least one field"));
                }
                self.indices.push(IndexAttribute { unique, fields: fields.into_iter().collect() });
                Ok(())
            }
            "check" => {
                self.checks.push(CustomCheck::parse(meta)?);
                Ok(())
            }
            _ => Err(unknown(meta, name, "a collection", Self::KNOWN)),
        }
    }
}

impl FieldAttributes {
    const KNOWN: &'static str = "key, text, json, type, column, index, unique, multi_entry, nullable, default, \
                                 default_now, child_of, single_child_of, connects, reverse, on_delete, \
                                 min_length, max_length, min, max, one_of and check";

    pub(crate) fn parse(attributes: &[Attribute]) -> syn::Result<Self> {
        let mut all = Self::default();
        for attribute in storex(attributes) {
            attribute.parse_nested_meta(|meta| all.add(&meta))?;
        }
        Ok(all)
    }

    fn add(&mut self, meta: &ParseNestedMeta<'_>) -> syn::Result<()> {
        let name = meta.path.require_ident()?;
        let flag = |_: &ParseNestedMeta<'_>| Ok(name.clone());
        match name.to_string().as_str() {
            "key" => once(&mut self.key, meta, key),
            "text" => once(&mut self.field_type, meta, |_| Ok(FieldType::TEXT)),
            "json" => once(&mut self.field_type, meta, |_| Ok(FieldType::JSON)),
            "type" => once(&mut self.field_type, meta, field_type),
            "column" => once(&mut self.column, meta, |meta| meta.value()?.parse()),
            "index" => once(&mut self.index, meta, flag),
            "unique" => once(&mut self.unique, meta, flag),
            "multi_entry" => once(&mut self.multi_entry, meta, flag),
            "nullable" => once(&mut self.nullable, meta, flag),
            "default" => once(&mut self.default, meta, |meta| {
                Ok(Default::Value(Box::new(meta.value()?.parse()?)))
            }),
            "default_now" => once(&mut self.default, meta, |_| Ok(Default::Now)),
            "child_of" | "single_child_of" | "connects" => {
                once(&mut self.relation, meta, |meta| relation(meta, name))
            }
            "reverse" => once(&mut self.reverse, meta, |meta| meta.value()?.parse()),
            "on_delete" => once(&mut self.on_delete, meta, on_delete),
            _ => self.add_check(meta, name),
        }
    }

    fn add_check(&mut self, meta: &ParseNestedMeta<'_>, name: &Ident) -> syn::Result<()> {
        let Some(check) = CheckAttribute::parse(name, meta)? else {
            return Err(unknown(meta, name, "a field", Self::KNOWN));
        };
        if check.repeats(&self.checks) {
            return Err(syn::Error::new_spanned(name, SAID_BEFORE));
        }
        self.checks.push(check);
        Ok(())
    }
}

fn storex(attributes: &[Attribute]) -> impl Iterator<Item = &Attribute> {
    attributes.iter().filter(|attribute| attribute.path().is_ident("storex"))
}

const SAID_BEFORE: &str = "this was said before, in the same words or in others; keep one of them";

/// Fills a place that nothing may be in yet.
fn once<'a, T>(
    place: &mut Option<T>,
    meta: &ParseNestedMeta<'a>,
    value: impl FnOnce(&ParseNestedMeta<'a>) -> syn::Result<T>,
) -> syn::Result<()> {
    if place.is_some() {
        return Err(meta.error(SAID_BEFORE));
    }
    *place = Some(value(meta)?);
    Ok(())
}

fn unknown(meta: &ParseNestedMeta<'_>, name: &Ident, of: &str, known: &str) -> syn::Error {
    meta.error(format!("`{name}` is not known; {of} has the attributes {known}"))
}

fn key(meta: &ParseNestedMeta<'_>) -> syn::Result<KeyAttribute> {
    let mut format = None;
    if meta.input.peek(syn::token::Paren) {
        meta.parse_nested_meta(|meta| {
            format = Some(match meta.path.require_ident()?.to_string().as_str() {
                "text" => "Text",
                "bytes" => "Bytes",
                "int" => "Int",
                _ => return Err(meta.error("the form of a key is text, bytes or int")),
            });
            Ok(())
        })?;
    }
    Ok(KeyAttribute { at: meta.path.require_ident()?.clone(), format })
}

fn field_type(meta: &ParseNestedMeta<'_>) -> syn::Result<FieldType> {
    let name: LitStr = meta.value()?.parse()?;
    FieldType::named(&name.value()).ok_or_else(|| {
        let message = format!(
            "`{}` is no field type; the field types are {}",
            name.value(),
            FieldType::names()
        );
        syn::Error::new_spanned(&name, message)
    })
}

fn relation(meta: &ParseNestedMeta<'_>, at: &Ident) -> syn::Result<RelationAttribute> {
    let target = if meta.input.peek(syn::token::Paren) {
        let content;
        parenthesized!(content in meta.input);
        Target::Struct(content.call(Path::parse_mod_style)?)
    } else {
        Target::Name(meta.value()?.parse()?)
    };
    Ok(RelationAttribute { at: at.clone(), target })
}

fn on_delete(meta: &ParseNestedMeta<'_>) -> syn::Result<OnDelete> {
    let at: LitStr = meta.value()?.parse()?;
    let rule = match at.value().as_str() {
        "cascade" => "Cascade",
        "set_null" => "SetNull",
        "restrict" => "Restrict",
        _ => {
            let message = "`on_delete` is \"cascade\", \"set_null\" or \"restrict\"";
            return Err(syn::Error::new_spanned(at, message));
        }
    };
    Ok(OnDelete { at, rule })
}
