//! One field of the struct: what it is in the collection, and what is wrong with it.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::ext::IdentExt;
use syn::{Ident, LitStr, Path, Type};

use crate::attributes::{Default, FieldAttributes, RelationAttribute, Target};
use crate::case::{constant_case, rename_all};
use crate::errors::Errors;
use crate::serde_attributes::{SerdeContainer, SerdeField};
use crate::types::{FieldType, RustType, option};

/// A field of the struct that is a field of the collection.
pub(crate) struct Field<'a> {
    source: &'a syn::Field,
    /// The name in Rust.
    pub(crate) ident: Ident,
    /// The name in the collection, which is serde's.
    pub(crate) name: String,
    /// The name of the constant.
    pub(crate) constant: Ident,
    /// The Rust type, without its `Option`.
    ty: &'a Type,
    optional: bool,
    pub(crate) attributes: FieldAttributes,
}

/// What a field has to do with the primary key.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Role {
    /// It is the key.
    Key,
    /// It is one of several fields of the key.
    KeyPart,
    /// Nothing.
    Other,
}

/// How a field is stored.
enum Storage<'a> {
    /// The key, which AutoPk makes.
    AutoKey(&'static str),
    /// A field of a type.
    Typed(FieldType),
    /// The key of a parent.
    Relation(&'a RelationAttribute),
}

impl Storage<'_> {
    /// The field's type; a relation has that of its parent's key.
    fn field_type(&self) -> Option<FieldType> {
        match self {
            Self::AutoKey(format) => Some(FieldType::AutoPk(format)),
            Self::Typed(field_type) => Some(*field_type),
            Self::Relation(_) => None,
        }
    }
}

const UNKNOWN: &str = "storex does not know how this type is stored: write `#[storex(json)]` to keep it as JSON, or \
                       `#[storex(type = \"String\")]` (or another field type) where serde makes a text of it";
const UNKNOWN_KEY: &str = "storex does not know this type: say what serde makes of it, `#[storex(key(text))]`, \
                           `key(bytes)` or `key(int)`";
const TOO_BIG: &str = "a field holds integers from -2^63 to 2^63 - 1, so values of this type may not fit: take `i64`, or \
                       write `#[storex(type = \"Int\")]` and have values that do not fit refused when they are written";

impl<'a> Field<'a> {
    /// Reads a field. `None`: serde leaves it out, so the collection does not have it.
    pub(crate) fn parse(
        source: &'a syn::Field,
        container: &SerdeContainer,
    ) -> syn::Result<Option<Self>> {
        let serde = SerdeField::parse(&source.attrs)?;
        let attributes = FieldAttributes::parse(&source.attrs)?;
        let Some(ident) = source.ident.clone() else { return Ok(None) };
        if serde.skip {
            return Ok(None);
        }
        let own = ident.unraw().to_string();
        let by_rule = || rename_all(&container.rename_all.as_ref()?.value(), &own);
        let name = serde.rename.as_ref().map(LitStr::value).or_else(by_rule);
        Ok(Some(Self {
            source,
            name: name.unwrap_or_else(|| own.clone()),
            constant: Ident::new(&constant_case(&own), ident.span()),
            ident,
            ty: option(&source.ty).unwrap_or(&source.ty),
            optional: option(&source.ty).is_some(),
            attributes,
        }))
    }

    fn storage(&self, role: Role, storex: &Path) -> syn::Result<Storage<'_>> {
        if let Some(relation) = &self.attributes.relation {
            return Ok(Storage::Relation(relation));
        }
        if let Some(format) = self.attributes.key.as_ref().and_then(|key| key.format) {
            return Ok(Storage::AutoKey(format));
        }
        if let Some(field_type) = self.attributes.field_type {
            return Ok(Storage::Typed(field_type));
        }
        let message = match RustType::of(self.ty, storex) {
            RustType::Stored(field_type) => {
                let format = field_type.key_format().filter(|_| role == Role::Key);
                return Ok(format.map_or(Storage::Typed(field_type), Storage::AutoKey));
            }
            RustType::TooBig => TOO_BIG,
            RustType::Unknown if role == Role::Key => UNKNOWN_KEY,
            RustType::Unknown => UNKNOWN,
        };
        Err(syn::Error::new_spanned(&self.source.ty, message))
    }

    /// Says what is wrong, at its place.
    pub(crate) fn check(&self, role: Role, storex: &Path, errors: &mut Errors) {
        let Some(storage) = errors.take(self.storage(role, storex)) else { return };
        if let Storage::Relation(relation) = storage {
            self.check_relation(relation, errors);
        } else {
            self.check_no_relation(errors);
        }
        if role != Role::Other {
            self.check_key(role, &storage, errors);
        }
        let attributes = &self.attributes;
        if let Some(at) = &attributes.nullable
            && (!self.optional || attributes.default.is_some())
        {
            errors.at(at, "`nullable` is for an `Option` without a default, which must then be given, be it as null");
        }
        if let Some(at) = &attributes.multi_entry
            && !self.is_json(storex)
        {
            errors.at(at, "`multi_entry` is an index over the elements of JSON, which this field does not hold");
        }
        let field_type = storage.field_type();
        for check in &attributes.checks {
            if let Some(message) = check.misplaced(field_type) {
                errors.at(&check.at, message);
            }
        }
    }

    fn check_relation(&self, relation: &RelationAttribute, errors: &mut Errors) {
        let attributes = &self.attributes;
        let at = &relation.at;
        if attributes.field_type.is_some()
            || attributes.key.as_ref().is_some_and(|key| key.format.is_some())
        {
            errors.at(at, "the type of a relation is that of its target's key; say no other");
        }
        if attributes.default.is_some() || attributes.nullable.is_some() {
            errors.at(at, "a relation has no default; an `Option` may stand without a parent");
        }
        if let Some(on_delete) = &attributes.on_delete
            && on_delete.rule == "SetNull"
            && !self.optional
        {
            errors.at(&on_delete.at, "only an `Option` can become null");
        }
    }

    fn check_no_relation(&self, errors: &mut Errors) {
        let beside = "stands beside `child_of`, `single_child_of` or `connects`";
        if let Some(reverse) = &self.attributes.reverse {
            errors.at(reverse, format!("a name for the children {beside}"));
        }
        if let Some(on_delete) = &self.attributes.on_delete {
            errors.at(&on_delete.at, format!("what a delete brings with it {beside}"));
        }
    }

    fn check_key(&self, role: Role, storage: &Storage<'_>, errors: &mut Errors) {
        let attributes = &self.attributes;
        match storage {
            Storage::AutoKey(_) => {
                let format = attributes.key.as_ref().filter(|key| key.format.is_some());
                if let Some(key) = format
                    && (role == Role::KeyPart || attributes.field_type.is_some())
                {
                    let message = "a form stands behind `key` where one field is the key and has no `type`; write `key`";
                    errors.at(&key.at, message);
                }
            }
            _ if self.optional
                && (role == Role::KeyPart || matches!(storage, Storage::Relation(_))) =>
            {
                errors.at(&self.source.ty, "a part of the primary key cannot be an `Option`");
            }
            Storage::Typed(FieldType::JSON) => {
                errors.at(&self.source.ty, "JSON cannot be part of a primary key");
            }
            Storage::Typed(_) | Storage::Relation(_) => {}
        }
        if attributes.default.is_some() || attributes.nullable.is_some() {
            errors.at(&self.ident, "a key has no default and is not null");
        }
    }

    fn is_json(&self, storex: &Path) -> bool {
        matches!(self.storage(Role::Other, storex), Ok(Storage::Typed(FieldType::JSON)))
    }

    /// The constant.
    pub(crate) fn property(&self, role: Role, storex: &Path) -> TokenStream {
        let (vis, constant, name, ty) = (&self.source.vis, &self.constant, &self.name, self.ty);
        let mut value = quote!(#ty);
        if self.is_json(storex) {
            value = quote!(#storex::AsJson<#value>);
        }
        // The key of an object that is stored is never null.
        if self.optional && role == Role::Other {
            value = quote!(::core::option::Option<#value>);
        }
        let doc = format!("The field `{name}`.");
        quote! {
            #[doc = #doc]
            #vis const #constant: #storex::Property<Self, #value> = #storex::Property::new(#name);
        }
    }

    /// The calls of `Definition` that define the field.
    pub(crate) fn definition(&self, role: Role, storex: &Path) -> TokenStream {
        let name = &self.name;
        let defined = match self.storage(role, storex) {
            // What a definition without a key has of itself.
            Ok(Storage::AutoKey("Text")) if self.is_plain_id() => quote!(),
            Ok(Storage::AutoKey(format)) if self.is_plain_id() => {
                let format = format_ident!("{format}");
                quote!(.key_format(#storex::KeyFormat::#format))
            }
            Ok(Storage::AutoKey(format)) => self.typed(FieldType::AutoPk(format), role, storex),
            Ok(Storage::Typed(field_type)) => self.typed(field_type, role, storex),
            Ok(Storage::Relation(relation)) => self.relation(relation, storex),
            // `check` has said it.
            Err(_) => quote!(),
        };
        let attributes = &self.attributes;
        let index = attributes.index.as_ref().map(|_| quote!(.index([#name])));
        let unique = attributes.unique.as_ref().map(|_| quote!(.unique([#name])));
        let multi_entry = attributes.multi_entry.as_ref().map(|_| quote!(.multi_entry(#name)));
        quote!(#defined #index #unique #multi_entry)
    }

    fn is_plain_id(&self) -> bool {
        self.name == "id" && self.attributes.column.is_none() && self.attributes.checks.is_empty()
    }

    fn typed(&self, field_type: FieldType, role: Role, storex: &Path) -> TokenStream {
        let option = quote!(#storex::FieldOption);
        let attributes = &self.attributes;
        let null = match (role, self.optional) {
            // A key that is an `Option` is one that AutoPk makes.
            (Role::Key | Role::KeyPart, _) | (_, false) => None,
            _ if attributes.nullable.is_some() => Some(quote!(#option::Nullable)),
            _ => Some(quote!(#option::Optional)),
        };
        let default = attributes.default.as_ref().map(|default| match default {
            Default::Now => quote!(#option::DefaultNow),
            Default::Value(value) => {
                let value = self.value(value, storex);
                quote!(#option::Default(#value))
            }
        });
        let column = attributes.column.as_ref();
        let column = column.map(|column| quote!(#option::Column(#column.into())));
        let checks = attributes.checks.iter().map(|check| {
            let check = check.tokens(storex, |value| self.value(value, storex));
            quote!(#option::Check(#check))
        });
        let options: Vec<TokenStream> =
            [null, default, column].into_iter().flatten().chain(checks).collect();
        let (name, field_type) = (&self.name, field_type.tokens(storex));
        if options.is_empty() {
            quote!(.field(#name, #field_type))
        } else {
            quote!(.field_with(#name, #field_type, [#(#options),*]))
        }
    }

    /// A value of the field: the compiler checks it by the field's type, as far as that is known.
    fn value(&self, value: &syn::Expr, storex: &Path) -> TokenStream {
        let constant = &self.constant;
        if self.is_json(storex) {
            return quote!(#storex::Value::Json(::core::convert::Into::into(#value)));
        }
        match RustType::of(self.ty, storex) {
            RustType::Stored(_) => quote!(Self::#constant.value(#value)),
            RustType::TooBig | RustType::Unknown => quote!(#storex::Value::from(#value)),
        }
    }

    fn relation(&self, relation: &RelationAttribute, storex: &Path) -> TokenStream {
        let (name, kind) = (&self.name, &relation.at);
        let target = match &relation.target {
            Target::Name(target) => quote!(#target),
            Target::Struct(target) => quote!(<#target as #storex::Object>::COLLECTION),
        };
        let attributes = &self.attributes;
        let reverse = attributes.reverse.as_ref().map(|reverse| quote!(.reverse_alias(#reverse)));
        let column = attributes.column.as_ref().map(|column| quote!(.column(#column)));
        let optional = self.optional.then(|| quote!(.optional()));
        let on_delete = attributes.on_delete.as_ref().map(|on_delete| {
            let rule = format_ident!("{}", on_delete.rule);
            quote!(.on_delete(#storex::OnDelete::#rule))
        });
        quote! {
            .relation(
                #storex::RelationDefinition::#kind(#target).alias(#name) #reverse #column #optional #on_delete
            )
        }
    }
}
