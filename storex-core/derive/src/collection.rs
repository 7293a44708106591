//! The whole struct.

use proc_macro2::TokenStream;
use quote::quote;
use syn::ext::IdentExt;
use syn::{Data, DeriveInput, Fields, Ident, Path, parse_quote};

use crate::attributes::{ContainerAttributes, IndexAttribute};
use crate::case::snake_case;
use crate::checks::CustomCheck;
use crate::errors::Errors;
use crate::field::{Field, Role};
use crate::serde_attributes::SerdeContainer;

/// What the derive writes.
pub(crate) fn expand(input: &DeriveInput) -> syn::Result<TokenStream> {
    let sources = struct_fields(input)?;
    let mut errors = Errors::default();
    let container = errors.take(ContainerAttributes::parse(&input.attrs)).unwrap_or_default();
    let serde = errors.take(SerdeContainer::parse(&input.attrs)).unwrap_or_default();
    let storex = container.storex.clone().unwrap_or_else(|| parse_quote!(::storex_core));
    let read: Vec<Option<Option<Field<'_>>>> =
        sources.map(|source| errors.take(Field::parse(source, &serde))).collect();
    let all_read = read.iter().all(Option::is_some);
    let fields: Vec<Field<'_>> = read.into_iter().flatten().flatten().collect();

    let roles = roles(&fields);
    // A field that could not be read may be the key, or what an index names.
    if all_read {
        check_whole(input, &container, &fields, &roles, &mut errors);
    }
    for (field, role) in fields.iter().zip(&roles) {
        field.check(*role, &storex, &mut errors);
    }
    errors.finish()?;
    Ok(generate(input, &container, &storex, &fields, &roles))
}

fn struct_fields(input: &DeriveInput) -> syn::Result<impl Iterator<Item = &syn::Field>> {
    let message = "a collection's objects are structs with named fields";
    let fields = match &input.data {
        Data::Struct(data) => match &data.fields {
            Fields::Named(fields) => &fields.named,
            _ => return Err(syn::Error::new_spanned(&input.ident, message)),
        },
        _ => return Err(syn::Error::new_spanned(&input.ident, message)),
    };
    if !input.generics.params.is_empty() {
        let message = "a collection is of one struct: without type parameters and lifetimes";
        return Err(syn::Error::new_spanned(&input.generics, message));
    }
    Ok(fields.iter())
}

/// What each field has to do with the key. Where no field says that it is the key, a field named `id` is.
fn roles(fields: &[Field<'_>]) -> Vec<Role> {
    let marked = fields.iter().filter(|field| field.attributes.key.is_some()).count();
    let role = |field: &Field<'_>| match marked {
        0 if field.name == "id" => Role::Key,
        1 if field.attributes.key.is_some() => Role::Key,
        2.. if field.attributes.key.is_some() => Role::KeyPart,
        _ => Role::Other,
    };
    fields.iter().map(role).collect()
}

/// What cannot be seen of one field.
fn check_whole(
    input: &DeriveInput,
    container: &ContainerAttributes,
    fields: &[Field<'_>],
    roles: &[Role],
    errors: &mut Errors,
) {
    if roles.iter().all(|role| *role == Role::Other) {
        let message =
            "no field is the primary key: write `#[storex(key)]` above one, or name it `id`";
        errors.at(&input.ident, message);
    }
    for name in container.indices.iter().flat_map(|index| &index.fields) {
        if find(fields, name).is_none() {
            errors.at(name, format!("the collection has no field `{name}`"));
        }
    }
    for (at, field) in fields.iter().enumerate() {
        for other in &fields[..at] {
            if other.name == field.name {
                let message = format!("the collection has a field `{}` already", field.name);
                errors.at(&field.ident, message);
            } else if other.constant == field.constant {
                let message = format!(
                    "the constant `{}` belongs to field `{}` already; rename one of them in Rust, and keep the name in \
                     the collection with `#[serde(rename = \"{}\")]`",
                    field.constant, other.ident, field.name
                );
                errors.at(&field.ident, message);
            }
        }
    }
}

fn find<'a>(fields: &'a [Field<'a>], name: &Ident) -> Option<&'a Field<'a>> {
    fields.iter().find(|field| field.ident == *name)
}

fn generate(
    input: &DeriveInput,
    container: &ContainerAttributes,
    storex: &Path,
    fields: &[Field<'_>],
    roles: &[Role],
) -> TokenStream {
    let (object, vis) = (&input.ident, &input.vis);
    let own = || snake_case(&object.unraw().to_string());
    let name = container.name.as_ref().map_or_else(own, syn::LitStr::value);
    let both = || fields.iter().zip(roles.iter().copied());
    let properties = both().map(|(field, role)| field.property(role, storex));
    let defined = both().map(|(field, role)| field.definition(role, storex));
    let key = primary_key(fields, roles);
    let indices = container.indices.iter().map(|index| index_call(index, fields));
    let version = container.version.as_ref().map(|version| quote!(.version(#version)));
    let adopted = container.adopted.as_ref().map(|table| quote!(.adopted(#table)));
    let checks =
        container.checks.iter().map(|CustomCheck { holds, rule }| quote!(.check(#rule, #holds)));
    let doc = format!(
        "The definition of the collection `{name}`, as the attributes of this struct say it."
    );
    quote! {
        #[automatically_derived]
        impl #storex::Object for #object {
            const COLLECTION: &'static str = #name;
        }

        #[automatically_derived]
        #[allow(dead_code, clippy::useless_conversion)]
        impl #object {
            #(#properties)*

            #[doc = #doc]
            #[must_use]
            #vis fn definition() -> #storex::Definition {
                #storex::Definition::new(<Self as #storex::Object>::COLLECTION)
                    #version
                    #adopted
                    #(#defined)*
                    #key
                    #(#indices)*
                    #(#checks)*
            }
        }
    }
}

/// The call that names the key, unless it is the one that a definition has of itself.
fn primary_key(fields: &[Field<'_>], roles: &[Role]) -> Option<TokenStream> {
    let key = fields.iter().zip(roles).filter(|(_, role)| **role != Role::Other);
    let names: Vec<&str> = key.map(|(field, _)| field.name.as_str()).collect();
    (names != ["id"]).then(|| quote!(.primary_key([#(#names),*])))
}

fn index_call(index: &IndexAttribute, fields: &[Field<'_>]) -> TokenStream {
    let names = index.fields.iter().filter_map(|name| Some(&find(fields, name)?.name));
    if index.unique { quote!(.unique([#(#names),*])) } else { quote!(.index([#(#names),*])) }
}
