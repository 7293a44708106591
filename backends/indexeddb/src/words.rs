//! The index of the words of a long text: for each word of an object an entry, which is the word, a space, and the key in the
//! digits of [`order_code`]. All objects with a word stand together, in the order of their keys, so that a page of them can
//! begin anywhere.

use std::collections::BTreeSet;

use js_sys::Array;
use storex_core::{Collection, FieldType, Index, words_of};
use wasm_bindgen::JsValue;

use crate::native::{self, Bound, Range};
use crate::order_code;

/// Stands behind the word; no word has it.
const END: char = ' ';
/// Follows [`END`] among the characters.
const AFTER_END: char = '!';

/// An index on one long text is over its words: a copy of whole texts, in order, would help no search.
pub(crate) fn serves(collection: &Collection, index: &Index) -> bool {
    let is_text = |at: &usize| {
        collection.fields().get(*at).is_some_and(|field| field.field_type == FieldType::Text)
    };
    !index.unique && !index.multi_entry && matches!(index.fields.as_slice(), [at] if is_text(at))
}

/// The entries of a text.
pub(crate) fn entries(text: &str, key: &[u8]) -> Array {
    let mut words = BTreeSet::new();
    words.extend(words_of(text));
    let mut suffix = String::from(END);
    order_code::push_digits(&mut suffix, key);
    words.iter().map(|word| JsValue::from_str(&format!("{word}{suffix}"))).collect()
}

/// The entry of a word and a key.
pub(crate) fn entry(word: &str, key: &[u8]) -> JsValue {
    let mut text = format!("{word}{END}");
    order_code::push_digits(&mut text, key);
    JsValue::from_str(&text)
}

/// The entries of a word.
pub(crate) fn range(word: &str) -> Range {
    between(format!("{word}{END}").into(), format!("{word}{AFTER_END}").into())
}

/// The entries of all words that begin so.
pub(crate) fn range_of_beginning(word: &str) -> Range {
    between(word.into(), native::after_prefix(word))
}

fn between(lower: JsValue, upper: JsValue) -> Range {
    Range {
        lower: Some(Bound { key: lower, open: false }),
        upper: Some(Bound { key: upper, open: true }),
    }
}
