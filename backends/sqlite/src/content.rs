//! Filters on what a field holds inside: elements of JSON, parts of texts, words.

use std::borrow::Cow;

use storex_core::{Affinity, FieldType, Filter};

use crate::functions::encode;
use crate::sql::{Sql, TooLarge, binary};
use crate::table::Table;
use crate::value::Param;

impl<'a> Sql<'a> {
    /// By core's own rules, cell by cell.
    pub(crate) fn content(
        &mut self,
        table: &Table,
        field: &str,
        filter: &Filter,
    ) -> Result<(), TooLarge> {
        let Some(at) = table.collection.position(field) else {
            self.push("0");
            return Ok(());
        };
        self.push("storex_matches(");
        self.text(encode(filter).ok_or(TooLarge)?.into());
        self.push(", ");
        self.push(&table.column(at).name);
        self.push(")");
        Ok(())
    }

    /// A range, of which SQLite uses an index.
    pub(crate) fn starts_with(
        &mut self,
        table: &Table,
        field: &str,
        prefix: &'a str,
        filter: &Filter,
    ) -> Result<(), TooLarge> {
        let Some(at) = table.collection.position(field) else {
            self.push("0");
            return Ok(());
        };
        // A column of numbers would turn a prefix of digits into one.
        let takes_numbers = match table.collection.fields()[at].field_type {
            FieldType::Dynamic(affinity) => !matches!(affinity, Affinity::Text | Affinity::Blob),
            _ => false,
        };
        if takes_numbers || table.is_utf16 {
            return self.content(table, field, filter);
        }
        let column = binary(table, at);
        self.push("(");
        self.push(&column);
        self.push(" >= ");
        self.text(prefix.into());
        self.push(" AND ");
        self.push(&column);
        self.push(" < ");
        match successor(prefix) {
            Some(end) => self.text(end.into()),
            // No text is greater than all with the prefix; bytes are greater than any text.
            None => self.push("x''"),
        }
        self.push(")");
        Ok(())
    }

    /// By the search index where the field has one, else text by text.
    pub(crate) fn search(
        &mut self,
        table: &Table,
        field: &str,
        words: &str,
        filter: &Filter,
    ) -> Result<(), TooLarge> {
        let index = table.search.as_ref().and_then(|index| index.field(field));
        let question = index.as_ref().and_then(|index| index.question(words));
        let (Some(index), Some(question)) = (index, question) else {
            return self.content(table, field, filter);
        };
        self.push(index.is_indexed);
        self.text(question.into());
        self.push(index.or_is_dirty);
        self.text(encode(filter).ok_or(TooLarge)?.into());
        self.push(&index.matches);
        Ok(())
    }

    pub(crate) fn text(&mut self, text: Cow<'a, str>) {
        self.push("?");
        self.params.push(Param::Text(text));
    }
}

/// The least text that is greater than all that begin with the prefix.
fn successor(prefix: &str) -> Option<String> {
    let mut end: Vec<char> = prefix.chars().collect();
    while let Some(last) = end.pop() {
        let next = match last {
            // Behind it come the surrogates, which are no characters.
            '\u{d7ff}' => Some('\u{e000}'),
            last => char::from_u32(u32::from(last) + 1),
        };
        if let Some(next) = next {
            end.push(next);
            return Some(end.into_iter().collect());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_before_its_successor() {
        assert_eq!(successor("ab").as_deref(), Some("ac"));
        assert_eq!(successor("a\u{7f}").as_deref(), Some("a\u{80}"));
        assert_eq!(successor("a\u{d7ff}").as_deref(), Some("a\u{e000}"));
        assert_eq!(successor("a\u{10ffff}\u{10ffff}").as_deref(), Some("b"));
        assert_eq!(successor("\u{10ffff}"), None);
        assert_eq!(successor(""), None);
    }
}
