//! What a value must be like beyond its type: `min_length`, `max`, `one_of(..)`, `check(..)` and their like.

use proc_macro2::TokenStream;
use quote::quote;
use syn::meta::ParseNestedMeta;
use syn::punctuated::Punctuated;
use syn::{Expr, Ident, LitInt, LitStr, Path, Token, parenthesized};

use crate::types::FieldType;

/// A check of a field, as it is written.
pub(crate) struct CheckAttribute {
    pub(crate) at: Ident,
    rule: Rule,
}

enum Rule {
    MinLength(LitInt),
    MaxLength(LitInt),
    Min(Expr),
    Max(Expr),
    OneOf(Vec<Expr>),
    Custom(CustomCheck),
}

/// `check(is_email, "an address with an @")`, of a field or of the struct.
pub(crate) struct CustomCheck {
    pub(crate) holds: Path,
    pub(crate) rule: LitStr,
}

impl CheckAttribute {
    /// The check of this name. `None`: the name is no check's.
    pub(crate) fn parse(name: &Ident, meta: &ParseNestedMeta<'_>) -> syn::Result<Option<Self>> {
        let rule = match name.to_string().as_str() {
            "min_length" => Rule::MinLength(length(meta)?),
            "max_length" => Rule::MaxLength(length(meta)?),
            "min" => Rule::Min(meta.value()?.parse()?),
            "max" => Rule::Max(meta.value()?.parse()?),
            "one_of" => Rule::OneOf(values(meta)?),
            "check" => Rule::Custom(CustomCheck::parse(meta)?),
            _ => return Ok(None),
        };
        Ok(Some(Self { at: name.clone(), rule }))
    }

    /// Whether a field may have only one such check, and has it already.
    pub(crate) fn repeats(&self, others: &[Self]) -> bool {
        !matches!(self.rule, Rule::Custom(_)) && others.iter().any(|other| other.at == self.at)
    }

    /// What is wrong with this check on a field of this type, or (without a type) on a relation.
    pub(crate) fn misplaced(&self, field_type: Option<FieldType>) -> Option<&'static str> {
        let Some(field_type) = field_type else {
            return Some(
                "a relation holds its parent's key and has no checks of its own; a rule that looks at it stands on the \
                 struct, as `check(..)`",
            );
        };
        match self.rule {
            Rule::MinLength(_) | Rule::MaxLength(_) if !field_type.has_length() => Some(
                "a length is that of a text, of bytes or of a JSON array, which this field does not hold",
            ),
            Rule::Min(_) | Rule::Max(_) if !field_type.has_order() => Some(
                "bounds are for numbers, moments, texts and bytes, which this field does not hold",
            ),
            _ => None,
        }
    }

    /// The `Check`. `value` makes a value of the field from an expression.
    pub(crate) fn tokens(
        &self,
        storex: &Path,
        value: impl Fn(&Expr) -> TokenStream,
    ) -> TokenStream {
        let check = quote!(#storex::Check);
        match &self.rule {
            Rule::MinLength(length) => quote!(#check::MinLength(#length)),
            Rule::MaxLength(length) => quote!(#check::MaxLength(#length)),
            Rule::Min(least) => {
                let least = value(least);
                quote!(#check::Min(#least))
            }
            Rule::Max(most) => {
                let most = value(most);
                quote!(#check::Max(#most))
            }
            Rule::OneOf(values) => {
                let values = values.iter().map(value);
                quote!(#check::OneOf(::std::vec![#(#values),*]))
            }
            Rule::Custom(CustomCheck { holds, rule }) => quote!(#check::custom(#rule, #holds)),
        }
    }
}

impl CustomCheck {
    pub(crate) fn parse(meta: &ParseNestedMeta<'_>) -> syn::Result<Self> {
        let content;
        parenthesized!(content in meta.input);
        let parts = || {
            let holds = content.call(Path::parse_mod_style)?;
            content.parse::<Token![,]>()?;
            let rule = content.parse()?;
            content.parse::<Option<Token![,]>>()?;
            Ok(Self { holds, rule })
        };
        parts().map_err(|error: syn::Error| {
            let message = "`check` names a function and says its rule in words: `check(path::to::function, \"rule\")`";
            syn::Error::new(error.span(), message)
        })
    }
}

fn length(meta: &ParseNestedMeta<'_>) -> syn::Result<LitInt> {
    let length: LitInt = meta.value()?.parse()?;
    match length.base10_parse::<usize>() {
        Ok(_) => Ok(length),
        Err(_) => Err(syn::Error::new_spanned(length, "a length is an integer from 0 on")),
    }
}

fn values(meta: &ParseNestedMeta<'_>) -> syn::Result<Vec<Expr>> {
    let content;
    parenthesized!(content in meta.input);
    let values = Punctuated::<Expr, Token![,]>::parse_terminated(&content)?;
    if values.is_empty() {
        return Err(meta.error("`one_of` names at least one value"));
    }
    Ok(values.into_iter().collect())
}
