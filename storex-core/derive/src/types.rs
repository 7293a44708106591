//! Field types, by the Rust type or by their name.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{GenericArgument, Ident, Path, PathArguments, PathSegment, Type};

/// A `FieldType` of storex, by the names of its variants.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum FieldType {
    Plain(&'static str),
    AutoPk(&'static str),
    ForeignKey(&'static str),
    Dynamic(&'static str),
}

impl FieldType {
    pub(crate) const TEXT: Self = Self::Plain("Text");
    pub(crate) const JSON: Self = Self::Plain("Json");

    const PLAIN: [&'static str; 13] = [
        "Text",
        "String",
        "Json",
        "DateTime",
        "Timestamp",
        "Boolean",
        "Float",
        "Int",
        "Blob",
        "Binary",
        "RandomKey",
        "Url",
        "Media",
    ];
    const AFFINITIES: [&'static str; 5] = ["Text", "Numeric", "Integer", "Real", "Blob"];

    /// By its name as in `type = "Dynamic(Integer)"`.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let Some((variant, argument)) = name.strip_suffix(')').and_then(|it| it.split_once('('))
        else {
            return one_of(&Self::PLAIN, name).map(Self::Plain);
        };
        match variant {
            "AutoPk" => one_of(&KEY_FORMATS, argument).map(Self::AutoPk),
            "ForeignKey" => one_of(&KEY_FORMATS, argument).map(Self::ForeignKey),
            "Dynamic" => one_of(&Self::AFFINITIES, argument).map(Self::Dynamic),
            _ => None,
        }
    }

    /// All names, for a message.
    pub(crate) fn names() -> String {
        format!(
            "{}, AutoPk({formats}), ForeignKey({formats}), Dynamic({})",
            Self::PLAIN.join(", "),
            Self::AFFINITIES.join(" | "),
            formats = KEY_FORMATS.join(" | "),
        )
    }

    /// The form of a key that AutoPk makes for a field of this type.
    pub(crate) fn key_format(self) -> Option<&'static str> {
        match self {
            Self::Plain("String") => Some("Text"),
            Self::Plain("Binary") => Some("Bytes"),
            Self::Plain("Int") => Some("Int"),
            _ => None,
        }
    }

    /// Whether its values have a length.
    pub(crate) fn has_length(self) -> bool {
        !matches!(
            self,
            Self::Plain("DateTime" | "Timestamp" | "Boolean" | "Float" | "Int")
                | Self::AutoPk("Int")
                | Self::ForeignKey("Int")
        )
    }

    /// Whether one of its values is less than another in a way that means something.
    pub(crate) fn has_order(self) -> bool {
        !matches!(self, Self::Plain("Json" | "Boolean"))
    }

    /// The expression.
    pub(crate) fn tokens(self, storex: &Path) -> TokenStream {
        let with = |variant: &str, of: &str, argument: &str| {
            let (variant, of) = (format_ident!("{variant}"), format_ident!("{of}"));
            let argument = format_ident!("{argument}");
            quote!(#storex::FieldType::#variant(#storex::#of::#argument))
        };
        match self {
            Self::Plain(name) => {
                let name = format_ident!("{name}");
                quote!(#storex::FieldType::#name)
            }
            Self::AutoPk(format) => with("AutoPk", "KeyFormat", format),
            Self::ForeignKey(format) => with("ForeignKey", "KeyFormat", format),
            Self::Dynamic(affinity) => with("Dynamic", "Affinity", affinity),
        }
    }
}

/// The forms of keys.
const KEY_FORMATS: [&str; 3] = ["Text", "Bytes", "Int"];

fn one_of(names: &[&'static str], name: &str) -> Option<&'static str> {
    names.iter().copied().find(|known| *known == name)
}

/// What is known of a Rust type by its name.
pub(crate) enum RustType {
    /// It is stored so.
    Stored(FieldType),
    /// It holds integers that have no place in a field.
    TooBig,
    /// Nothing.
    Unknown,
}

impl RustType {
    /// What is known of a type that is no `Option`.
    pub(crate) fn of(ty: &Type, storex: &Path) -> Self {
        let ty = bare(ty);
        if let Type::Array(array) = ty {
            return if is_u8(&array.elem) {
                Self::Stored(FieldType::Plain("Binary"))
            } else {
                Self::Unknown
            };
        }
        let Some((path, last)) = type_path(ty) else { return Self::Unknown };
        let name = last.ident.to_string();
        let plain = matches!(last.arguments, PathArguments::None);
        let field_type = match name.as_str() {
            "u64" | "usize" | "u128" | "i128" | "isize" if plain => return Self::TooBig,
            "String" if plain => "String",
            "bool" if plain => "Boolean",
            "i8" | "i16" | "i32" | "i64" | "u8" | "u16" | "u32" if plain => "Int",
            "f32" | "f64" if plain => "Float",
            "Timestamp" if plain && is_of(path, |of| is_storex(of, storex)) => "Timestamp",
            "Value" if plain && is_of(path, |of| of == "serde_json") => "Json",
            "Vec" if argument(last).is_some_and(is_u8) => "Binary",
            _ => return Self::Unknown,
        };
        Self::Stored(FieldType::Plain(field_type))
    }
}

/// The `T` of an `Option<T>`.
pub(crate) fn option(ty: &Type) -> Option<&Type> {
    let (_, last) = type_path(bare(ty))?;
    if last.ident == "Option" { argument(last) } else { None }
}

/// Without the parentheses that a macro or a person has put around it.
fn bare(ty: &Type) -> &Type {
    match ty {
        Type::Group(group) => bare(&group.elem),
        Type::Paren(paren) => bare(&paren.elem),
        ty => ty,
    }
}

fn type_path(ty: &Type) -> Option<(&Path, &PathSegment)> {
    match ty {
        Type::Path(ty) if ty.qself.is_none() => Some((&ty.path, ty.path.segments.last()?)),
        _ => None,
    }
}

/// The only type between the angle brackets.
fn argument(segment: &PathSegment) -> Option<&Type> {
    let PathArguments::AngleBracketed(arguments) = &segment.arguments else { return None };
    match (arguments.args.first(), arguments.args.len()) {
        (Some(GenericArgument::Type(ty)), 1) => Some(ty),
        _ => None,
    }
}

fn is_u8(ty: &Type) -> bool {
    matches!(type_path(bare(ty)), Some((path, _)) if path.is_ident("u8"))
}

/// Whether the name before the last is this one. What stands alone was imported and is taken for what it is called.
fn is_of(path: &Path, is_known: impl Fn(&Ident) -> bool) -> bool {
    path.segments.iter().nth_back(1).is_none_or(|qualifier| is_known(&qualifier.ident))
}

fn is_storex(name: &Ident, storex: &Path) -> bool {
    name == "storex_core" || storex.segments.last().is_some_and(|last| last.ident == *name)
}
