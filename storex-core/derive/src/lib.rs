//! `#[derive(Collection)]` of storex. An application has it from `storex_core` (feature `derive`, which is on unless it is
//! turned off) under the same name.

mod attributes;
mod case;
mod checks;
mod collection;
mod errors;
mod field;
mod serde_attributes;
mod types;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Makes a struct the objects of a collection: its definition, and a constant for each field.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use storex_core::{Collection, Registry, Timestamp};
///
/// #[derive(Serialize, Deserialize, Collection)]
/// #[storex(version = 2, index(author, created_at))]
/// struct Note {
///     #[storex(key)]
///     id: String,
///     title: String,
///     #[storex(text)]
///     body: Option<String>,
///     #[storex(index, default = 0)]
///     stars: i64,
///     #[storex(json)]
///     tags: Vec<String>,
///     #[storex(child_of = "user", reverse = "notes")]
///     author: String,
///     #[storex(column = "created")]
///     created_at: Timestamp,
/// }
///
/// #[derive(Serialize, Deserialize, Collection)]
/// struct User {
///     id: String,
///     #[storex(unique)]
///     name: String,
/// }
///
/// let registry = Registry::builder().collection(User::definition()).collection(Note::definition()).build()?;
/// assert_eq!(registry.collection("note")?.children().len(), 0);
/// let best = Note::STARS.gte(4).and(Note::TITLE.ne("draft"));
/// let star = Note::STARS.increment(1).and(Note::BODY.set("Worth reading"));
/// # let _ = (best, star);
/// # Ok::<(), storex_core::Error>(())
/// ```
///
/// It writes three things:
///
/// - `impl Object`, so that `storage.collection::<Note>()` works. The struct has to be `Serialize` and `Deserialize`.
/// - `Note::definition()`, which gives the `Definition` for the registry. What the attributes cannot say is added to it by
///   hand.
/// - A constant for each field, named as the field in capitals and as visible as the field: `Note::TITLE` is a
///   `Property<Note, String>`. Filters, changes and orders that are built from it are checked by the compiler.
///
/// # Names
///
/// A field's name in the collection is the one that serde gives it: `#[serde(rename)]` and `#[serde(rename_all)]` count. A
/// field with `#[serde(skip)]` is no field of the collection.
///
/// # Types
///
/// | in Rust | in the collection |
/// |---|---|
/// | `String` | `String` |
/// | `bool` | `Boolean` |
/// | `i8`, `i16`, `i32`, `i64`, `u8`, `u16`, `u32` | `Int` |
/// | `f32`, `f64` | `Float` |
/// | `storex_core::Timestamp` | `Timestamp` |
/// | `Vec<u8>`, `[u8; N]` | `Binary` |
/// | `serde_json::Value` | `Json` |
/// | `Option<T>` | as `T`, and may be null |
/// | anything else | what `json` or `type = ".."` says |
///
/// Types are known by their names. A type under another name needs a `type = ".."`.
///
/// # Attributes of the struct
///
/// | `#[storex(..)]` | |
/// |---|---|
/// | `name = "note"` | the collection's name; without it the struct's, in snake case |
/// | `version = 2` | the schema version from which this definition holds; without it 1 |
/// | `index(author, created_at)` | an index over several fields, by their names in Rust; as often as you like |
/// | `unique(author, slug)` | such an index whose values no two objects share |
/// | `check(path::to::function, "begin before it ends")` | an object for which this `fn(&ObjectView<'_>) -> bool` is true; the rule completes "the object must .."; as often as you like |
/// | `adopted = "tblNotes"` | the table is there already and stays as it is |
/// | `crate = "path"` | where `storex_core` is found, when not under that name |
///
/// # Attributes of a field
///
/// | `#[storex(..)]` | |
/// |---|---|
/// | `key` | the primary key, or, on several fields, their part of it, in the order of the struct; a field `id` needs no `key` |
/// | `key(text)`, `key(bytes)`, `key(int)` | the primary key in this form, whatever the Rust type is |
/// | `text` | long text: `type = "Text"` |
/// | `json` | any JSON: `type = "Json"`; the Rust type is anything that serde knows |
/// | `type = "Url"` | a field type by name: `Text`, `String`, `Json`, `DateTime`, `Timestamp`, `Boolean`, `Float`, `Int`, `Blob`, `Binary`, `RandomKey`, `Url`, `Media`, `AutoPk(Text)`, `ForeignKey(Bytes)`, `Dynamic(Integer)` |
/// | `column = "created"` | the column's name, when it is not the field's |
/// | `index` | an index over this field; beside `text` a full-text index, for `Property::search` |
/// | `unique` | an index whose values no two objects share |
/// | `multi_entry` | an index over the elements of a JSON array |
/// | `default = 0` | what the field has when an object is created without it |
/// | `default_now` | it is then the time of the write |
/// | `nullable` | an `Option` that must be given, be it as null |
/// | `child_of = "user"` | this field holds the key of an object of that collection; a struct can stand there too: `child_of(User)` |
/// | `single_child_of = ..` | so, and a parent has at most one such child |
/// | `connects = ..` | so, for the two sides of a link between two objects |
/// | `reverse = "notes"` | beside these: the name under which a nested create finds the children in the parent |
/// | `on_delete = "cascade"`, `"set_null"`, `"restrict"` | beside these: a parent must be there, and when it is deleted, this object goes too, or this field becomes null, or the delete is refused |
/// | `min_length = 1`, `max_length = 80` | at least, at most so many characters of a text, bytes, or elements of a JSON array |
/// | `min = 0`, `max = 5` | not less, not greater than this: a number, a moment, a text or bytes |
/// | `one_of("draft", "public")` | one of these values |
/// | `check(path::to::function, "an address with an @")` | a value for which this `fn(&Value) -> bool` is true; the rule completes "the value must be .."; as often as you like |
///
/// Checks are for what the application writes. Null is not checked, and a relation has no checks of its own.
///
/// A single key that is a `String`, bytes or an integer is of the type `AutoPk`: the middleware of that name makes it where an
/// object brings none (an empty text, or `None`).
#[proc_macro_derive(Collection, attributes(storex))]
pub fn derive_collection(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    collection::expand(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}
