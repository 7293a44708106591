//! The search index: which objects have which words, kept by FTS5.
//!
//! ```text
//!   anybody writes ──▶ note ──triggers──▶ ..:dirty        the keys whose words may have changed
//!                        │                  │
//!                        └──── drain ◀──────┘  (at the end of each batch of ours, and at open)
//!                                │
//!                                ├──▶ ..:keys   (docid, key)
//!                                └──▶ ..:words  (FTS5: which docids have a word)
//! ```
//!
//! The triggers are plain SQL, so a program that knows nothing of storex may write to the table, and what it writes is
//! found at once: a search takes the clean objects from the index and looks at the dirty ones itself. Nothing else has to
//! happen for a result to be right; a missed trigger (`INSERT OR REPLACE` deletes without one) leaves words behind that
//! lead to no object.
//!
//! The index refers to objects by a number of its own: VACUUM may give the rows of a table new rowids. It is given core's
//! words with spaces between them, and its ASCII tokenizer takes them apart at the spaces and nowhere else. Adopted tables
//! get no index: there is nothing to be seen of storex in them.
//!
//! Programs that want different indices of one table take turns: whoever opens the database makes the index its own. One
//! that has it open still notices ([`SchemaWatch`](crate::overtaken::SchemaWatch)) and is like one that knows nothing of the
//! index from then on: the triggers note what it writes, and its searches look at the texts.

mod make;

use rusqlite::types::{Value as SqlValue, ValueRef};
use rusqlite::{CachedStatement, Connection, OptionalExtension, params_from_iter};
use storex_core::{Collection, FieldType, Index, Name, Words, words_of};

use crate::schema::inspect::quote;

pub(crate) use make::{catch_up, prepare, usable};

/// FTS5 cuts words off at 32,768 bytes.
const LONGEST_WORD: usize = 32_000;

/// A search for more words than this is made without the index.
const MOST_WORDS: usize = 100;

/// The search index of one table.
#[derive(Debug)]
pub(crate) struct SearchIndex {
    /// Name and column of each field that is indexed.
    fields: Vec<(Name, Name)>,
    /// How many fields the key has.
    key_width: usize,
    /// What is made for it: kind, name and SQL, as `sqlite_schema` has it.
    made: Vec<(&'static str, String, String)>,
    fill: String,
    /// Parts of a filter.
    is_indexed: String,
    or_is_dirty: String,
    dirty: String,
    document: String,
    docid: String,
    new_docid: String,
    index: String,
    forget_words: String,
    forget_key: String,
    clean: String,
}

/// A field of a search index, with the parts of a filter on it.
pub(crate) struct SearchField<'a> {
    pub(crate) is_indexed: &'a str,
    pub(crate) or_is_dirty: &'a str,
    pub(crate) matches: String,
    column: &'a str,
}

impl SearchIndex {
    /// `None`: the collection has none.
    pub(crate) fn of(collection: &Collection) -> Option<Self> {
        if collection.is_adopted() {
            return None;
        }
        let fields: Vec<usize> =
            collection.indices().iter().filter_map(|index| indexed(collection, index)).collect();
        (!fields.is_empty()).then(|| Self::new(collection, &fields))
    }

    fn new(collection: &Collection, fields: &[usize]) -> Self {
        let column = |at: &usize| quote(&collection.fields()[*at].column);
        let of = |row: &str, columns: &[String]| {
            let columns: Vec<String> = columns.iter().map(|name| format!("{row}{name}")).collect();
            columns.join(", ")
        };
        let key: Vec<String> = collection.primary_key().iter().map(column).collect();
        let own: Vec<String> = (0..key.len()).map(|n| format!("k{n}")).collect();
        let texts: Vec<String> = fields.iter().map(column).collect();
        let (table, keys) = (quote(collection.table()), name(collection, "keys"));
        let (words, dirty) = (name(collection, "words"), name(collection, "dirty"));
        let (keys_q, words_q, dirty_q) = (quote(&keys), quote(&words), quote(&dirty));
        let equal = |a: &str, a_names: &[String], b: &str, b_names: &[String]| {
            let pairs = a_names.iter().zip(b_names);
            let pairs: Vec<String> = pairs.map(|(x, y)| format!("{a}{x} = {b}{y}")).collect();
            pairs.join(" AND ")
        };
        let marks: Vec<String> = (1..=key.len()).map(|n| format!("?{n}")).collect();
        let by_key = equal("", &own, "", &marks);
        let row = |list: String| if key.len() > 1 { format!("({list})") } else { list };
        let word_columns: Vec<String> =
            fields.iter().map(|at| quote(&word_column(&collection.fields()[*at].column))).collect();
        let own_k = own.join(", ");
        Self {
            fields: fields
                .iter()
                .map(|at| &collection.fields()[*at])
                .map(|field| (field.name.clone(), field.column.clone()))
                .collect(),
            key_width: key.len(),
            made: make::definitions(collection, fields),
            fill: format!("INSERT INTO {dirty_q}({own_k}) SELECT {} FROM {table}", key.join(", ")),
            // A key of several fields finds its index only where what follows IN is one SELECT.
            is_indexed: format!(
                "{} IN (SELECT {own_k} FROM (SELECT {} FROM {words_q} CROSS JOIN {keys_q} AS m ON m.docid = {words_q}.rowid WHERE {words_q} MATCH ",
                row(key.join(", ")),
                of("m.", &own)
            ),
            or_is_dirty: format!(
                " AND {} NOT IN (SELECT {own_k} FROM {dirty_q}) UNION ALL SELECT {} FROM {dirty_q} AS d CROSS JOIN {table} AS b ON {} WHERE storex_matches(",
                row(of("m.", &own)),
                of("d.", &own),
                equal("b.", &key, "d.", &own),
            ),
            dirty: format!("SELECT {own_k} FROM {dirty_q} LIMIT ?1"),
            document: format!(
                "SELECT {} FROM {table} WHERE {}",
                texts.join(", "),
                equal("", &key, "", &marks)
            ),
            docid: format!("SELECT docid FROM {keys_q} WHERE {by_key}"),
            new_docid: format!(
                "INSERT INTO {keys_q}({own_k}) VALUES ({}) RETURNING docid",
                marks.join(", ")
            ),
            index: format!(
                "INSERT OR REPLACE INTO {words_q}(rowid, {}) VALUES (?{})",
                word_columns.join(", "),
                ", ?".repeat(fields.len())
            ),
            forget_words: format!("DELETE FROM {words_q} WHERE rowid = ?1"),
            forget_key: format!("DELETE FROM {keys_q} WHERE docid = ?1"),
            clean: format!("DELETE FROM {dirty_q} WHERE {by_key}"),
        }
    }

    /// The index of a field, if it is in it.
    pub(crate) fn field(&self, name: &str) -> Option<SearchField<'_>> {
        let (_, column) = self.fields.iter().find(|(known, _)| **known == *name)?;
        Some(SearchField {
            is_indexed: &self.is_indexed,
            or_is_dirty: &self.or_is_dirty,
            matches: format!(", b.{})))", quote(column)),
            column,
        })
    }

    /// Brings the words of at most `most` dirty objects up to date, in the transaction that is open, and gives their number.
    pub(crate) fn drain(&self, conn: &Connection, most: usize) -> rusqlite::Result<usize> {
        let width = self.key_width;
        let keys: Vec<Vec<SqlValue>> = conn
            .prepare_cached(&self.dirty)?
            .query_map([i64::try_from(most).unwrap_or(i64::MAX)], |row| {
                (0..width).map(|n| row.get(n)).collect()
            })?
            .collect::<rusqlite::Result<_>>()?;
        if keys.is_empty() {
            return Ok(0);
        }
        let mut refresh = Refresh {
            document: conn.prepare_cached(&self.document)?,
            docid: conn.prepare_cached(&self.docid)?,
            new_docid: conn.prepare_cached(&self.new_docid)?,
            index: conn.prepare_cached(&self.index)?,
            forget_words: conn.prepare_cached(&self.forget_words)?,
            forget_key: conn.prepare_cached(&self.forget_key)?,
            clean: conn.prepare_cached(&self.clean)?,
            fields: self.fields.len(),
        };
        keys.iter().try_for_each(|key| refresh.key(key))?;
        Ok(keys.len())
    }
}

impl SearchField<'_> {
    /// The words in FTS5's language; `None`: these are better looked for without the index.
    pub(crate) fn question(&self, search: &str) -> Option<String> {
        let words = Words::new(search);
        if words.iter().count() > MOST_WORDS || words.iter().any(|it| it.text.len() > LONGEST_WORD)
        {
            return None;
        }
        // Words are letters and digits, and have no quotation marks in them.
        let words = words.iter().map(|word| {
            let any_end = if word.is_prefix { " *" } else { "" };
            format!("\"{}\"{any_end}", word.text)
        });
        let words: Vec<String> = words.collect();
        Some(format!("{} : ({})", quote(&word_column(self.column)), words.join(" AND ")))
    }
}

/// The statements that bring one object's words up to date.
struct Refresh<'c> {
    document: CachedStatement<'c>,
    docid: CachedStatement<'c>,
    new_docid: CachedStatement<'c>,
    index: CachedStatement<'c>,
    forget_words: CachedStatement<'c>,
    forget_key: CachedStatement<'c>,
    clean: CachedStatement<'c>,
    fields: usize,
}

impl Refresh<'_> {
    fn key(&mut self, key: &[SqlValue]) -> rusqlite::Result<()> {
        let fields = self.fields;
        let words: Option<Vec<Option<String>>> = self
            .document
            .query_row(params_from_iter(key), |row| {
                (0..fields).map(|n| row.get_ref(n).map(words)).collect()
            })
            .optional()?;
        let known: Option<i64> =
            self.docid.query_row(params_from_iter(key), |row| row.get(0)).optional()?;
        match (words, known) {
            (Some(words), known) => {
                let docid = match known {
                    Some(docid) => docid,
                    None => self.new_docid.query_row(params_from_iter(key), |row| row.get(0))?,
                };
                self.index.raw_bind_parameter(1, docid)?;
                for (n, words) in words.iter().enumerate() {
                    self.index.raw_bind_parameter(n + 2, words)?;
                }
                self.index.raw_execute()?;
            }
            (None, Some(docid)) => {
                self.forget_words.execute([docid])?;
                self.forget_key.execute([docid])?;
            }
            (None, None) => {}
        }
        self.clean.execute(params_from_iter(key)).map(|_| ())
    }
}

/// The words of a cell, with spaces between them.
fn words(cell: ValueRef<'_>) -> Option<String> {
    match cell {
        ValueRef::Text(bytes) => {
            Some(words_of(&String::from_utf8_lossy(bytes)).collect::<Vec<_>>().join(" "))
        }
        _ => None,
    }
}

/// The field of an index on a long text, which is a search index.
fn indexed(collection: &Collection, index: &Index) -> Option<usize> {
    match index.fields.as_slice() {
        [at] if !index.unique && !index.multi_entry => {
            (collection.fields()[*at].field_type == FieldType::Text).then_some(*at)
        }
        _ => None,
    }
}

/// How the names of all parts begin.
const PREFIX: &str = "_storex_search:";

/// The name of a part; no two collections share one.
fn name(collection: &Collection, part: &str) -> String {
    format!("{PREFIX}{}:{part}", collection.table().replace(':', "::"))
}

/// Whether a table or trigger is part of a search index.
pub(crate) fn is_own(name: &str) -> bool {
    name.starts_with(PREFIX)
}

/// The column of the words of a column: its name alone may be one that FTS5 keeps for itself.
fn word_column(column: &str) -> String {
    format!("words of {column}")
}
