//! Filters, orders and page positions as SQL.
//!
//! storex's logic has two values, SQL's has three. A comparison with null gives SQL's "unknown", which WHERE, AND and OR
//! treat as false, so nothing needs to be done about it there; only a negation would turn it into neither. Hence
//! `NOT f` is `(f) IS NOT TRUE`, and `=` stays `=`, which uses indices.
//!
//! Values are compared as bytes or numbers, whatever a column's own collation is: a column that is not BINARY is
//! compared and ordered `COLLATE BINARY`. (Its own collation decides only what its unique indices take for the same.)
//! Adopted columns convert what they are compared with by their affinity; core has converted the values by the same rules
//! already, so that nothing is left to convert.

use std::borrow::Cow;
use std::rc::Rc;

use storex_core::{Comparison, Direction, Filter, Key, Position, TextMatch, Value};

use crate::table::{Table, Tables};
use crate::value::{Param, to_owned};

/// Lists up to this length are written out; longer ones are bound as one parameter (SQLite takes 32,766 parameters, and
/// every length would be a statement of its own).
const SHORT_LIST: usize = 8;

/// SQLite refuses expressions deeper than 1,000; we stay far below and go through the records ourselves beyond.
const DEEPEST: usize = 200;

/// So many parameters in one statement, of the 32,766 that SQLite takes.
const MOST_PARAMS: usize = 30_000;

/// A filter that SQLite cannot take: too deep, or too many parameters. It is evaluated on the records instead.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TooLarge;

/// SQL and its parameters.
#[derive(Debug)]
pub(crate) struct Sql<'a> {
    pub(crate) text: String,
    pub(crate) params: Vec<Param<'a>>,
    /// All tables: a filter on related objects reads others.
    pub(crate) tables: &'a Tables,
}

impl<'a> Sql<'a> {
    pub(crate) fn new(tables: &'a Tables, text: &str) -> Self {
        let mut sql = String::with_capacity(text.len() + 64);
        sql.push_str(text);
        Self { text: sql, params: Vec::new(), tables }
    }

    pub(crate) fn push(&mut self, text: &str) {
        self.text.push_str(text);
    }

    pub(crate) fn value(&mut self, value: &'a Value) {
        self.push("?");
        self.params.push(Param::Value(value));
    }

    pub(crate) fn int(&mut self, int: i64) {
        self.push("?");
        self.params.push(Param::Int(int));
    }

    /// ` WHERE ..`, or nothing where everything matches.
    pub(crate) fn filter(
        &mut self,
        table: &Table,
        filter: &'a Filter,
        after: Option<(&[(usize, Direction)], &'a Position)>,
    ) -> Result<(), TooLarge> {
        let everything = matches!(filter, Filter::All);
        if !everything || after.is_some() {
            self.push(" WHERE ");
        }
        if !everything {
            self.condition(table, filter, 0)?;
        }
        if let Some((order, position)) = after {
            self.push(if everything { "" } else { " AND " });
            self.after(table, order, position, filter);
        }
        if self.params.len() > MOST_PARAMS { Err(TooLarge) } else { Ok(()) }
    }

    pub(crate) fn condition(
        &mut self,
        table: &Table,
        filter: &'a Filter,
        depth: usize,
    ) -> Result<(), TooLarge> {
        if depth > DEEPEST {
            return Err(TooLarge);
        }
        match filter {
            Filter::All => self.push("1"),
            Filter::Keys(keys) => self.keys(table, keys),
            Filter::Compare { field, op, value } => match table.collection.position(field) {
                Some(at) => self.compare(table, at, *op, value),
                None => self.push("0"),
            },
            Filter::In { field, values } => match table.collection.position(field) {
                Some(at) => self.is_in(table, at, values),
                None => self.push("0"),
            },
            Filter::And(parts) => self.join(table, parts, " AND ", "1", depth)?,
            Filter::Or(parts) => self.join(table, parts, " OR ", "0", depth)?,
            Filter::Not(part) => {
                self.push("(");
                self.condition(table, part, depth + 1)?;
                self.push(") IS NOT TRUE");
            }
            Filter::Contains { field, .. }
            | Filter::Element { field, .. }
            | Filter::Size { field, .. } => self.content(table, field, filter)?,
            Filter::Text { field, how: TextMatch::StartsWith, text } => {
                self.starts_with(table, field, text, filter)?;
            }
            Filter::Text { field, .. } => self.content(table, field, filter)?,
            Filter::Search { field, words } => self.search(table, field, words, filter)?,
            Filter::Related { relation, filter } => {
                self.related(table, relation, filter, depth + 1)?;
            }
            // A kind of filter that is younger than this backend.
            _ => return Err(TooLarge),
        }
        Ok(())
    }

    /// Joins parts as a balanced tree: SQLite reads `a AND b AND c ..` as a tree as deep as there are parts.
    fn join(
        &mut self,
        table: &Table,
        parts: &'a [Filter],
        word: &str,
        neutral: &str,
        depth: usize,
    ) -> Result<(), TooLarge> {
        if depth > DEEPEST {
            return Err(TooLarge);
        }
        match parts {
            [] => self.push(neutral),
            [part] => self.condition(table, part, depth + 1)?,
            parts => {
                let (left, right) = parts.split_at(parts.len() / 2);
                self.push("(");
                self.join(table, left, word, neutral, depth + 1)?;
                self.push(word);
                self.join(table, right, word, neutral, depth + 1)?;
                self.push(")");
            }
        }
        Ok(())
    }

    fn compare(&mut self, table: &Table, at: usize, op: Comparison, value: &'a Value) {
        let column = binary(table, at);
        let (word, null) = match op {
            Comparison::Eq => (" = ", " IS NULL"),
            Comparison::Ne => (" IS NOT ", " IS NOT NULL"),
            Comparison::Lt => (" < ", ""),
            Comparison::Lte => (" <= ", ""),
            Comparison::Gt => (" > ", ""),
            Comparison::Gte => (" >= ", ""),
        };
        if !value.is_null() {
            self.push(&column);
            self.push(word);
            self.value(value);
        } else if null.is_empty() {
            // A range never matches null.
            self.push("0");
        } else {
            self.push(&table.column(at).name);
            self.push(null);
        }
    }

    fn is_in(&mut self, table: &Table, at: usize, values: &'a [Value]) {
        let with_null = values.iter().any(Value::is_null);
        if with_null {
            self.push("(");
            self.push(&table.column(at).name);
            self.push(" IS NULL OR ");
        }
        self.push(&binary(table, at));
        self.push(" IN (");
        if values.len() <= SHORT_LIST {
            for (n, value) in values.iter().filter(|value| !value.is_null()).enumerate() {
                self.push(if n > 0 { ", " } else { "" });
                self.value(value);
            }
        } else {
            let list = values.iter().filter(|value| !value.is_null()).map(to_owned).collect();
            self.push("SELECT value FROM rarray(?)");
            self.params.push(Param::List(Rc::new(list)));
        }
        self.push(if with_null { "))" } else { ")" });
    }

    fn keys(&mut self, table: &Table, keys: &'a [Key]) {
        if keys.is_empty() {
            return self.push("0");
        }
        let key = table.collection.primary_key();
        let columns: Vec<Cow<'_, str>> = key.iter().map(|at| binary(table, *at)).collect();
        let (open, close) = if key.len() > 1 { ("(", ")") } else { ("", "") };
        self.push(open);
        self.push(&columns.join(", "));
        self.push(close);
        self.push(" IN (");
        if keys.len() <= SHORT_LIST {
            // `(a, b) IN (VALUES (?, ?), ..)`; SQLite wants a plain list where the left side is one column.
            self.push(if key.len() > 1 { "VALUES " } else { "" });
            for (n, values) in keys.iter().enumerate() {
                self.push(if n > 0 { ", " } else { "" });
                self.push(open);
                for (n, value) in values.values().iter().enumerate() {
                    self.push(if n > 0 { ", " } else { "" });
                    self.value(value);
                }
                self.push(close);
            }
        } else {
            self.key_list(key.len(), keys);
        }
        self.push(")");
    }

    /// Many keys behind one parameter: the list holds the values of all keys one after the other, and each group of as
    /// many as a key has is put together again.
    fn key_list(&mut self, width: usize, keys: &'a [Key]) {
        if width == 1 {
            self.push("SELECT value FROM rarray(?)");
        } else {
            let columns: Vec<String> = (0..width)
                .map(|n| format!("max(CASE WHEN (rowid - 1) % {width} = {n} THEN value END)"))
                .collect();
            self.push(&format!(
                "SELECT {} FROM rarray(?) GROUP BY (rowid - 1) / {width}",
                columns.join(", ")
            ));
        }
        let list = keys.iter().flat_map(Key::values).map(to_owned).collect();
        self.params.push(Param::List(Rc::new(list)));
    }

    /// Behind a position: greater in the first field of the order, or equal there and greater in the second, ..
    ///
    /// Nulls come first ascending and last descending, as in SQLite's own order.
    fn after(
        &mut self,
        table: &Table,
        order: &[(usize, Direction)],
        position: &'a Position,
        filter: &Filter,
    ) {
        let fields = order.iter().zip(&position.values);
        let fields = fields.map(|((at, direction), value)| (*at, *direction, value));
        // Where the filter says what a field holds, it decides nothing. With `a = 1 AND (a, b) > (1, 2)` SQLite would go through all
        // that `a = 1` gives, with `a = 1 AND b > 2` it finds its place in an index.
        let decides = |(at, _, value): &(usize, Direction, &Value)| {
            given(table, filter, *at).is_none_or(|given| given != *value)
        };
        let fields: Vec<(usize, Direction, &'a Value)> = fields.filter(decides).collect();
        if fields.is_empty() {
            return self.push("0");
        }
        if let Some(word) = row_comparison(table, &fields) {
            return self.after_row(table, &fields, word);
        }
        // Says no more than what follows, but in a form for which SQLite uses an index.
        if let Some((at, direction, value)) = fields.first().filter(|(.., value)| !value.is_null())
        {
            let op = match direction {
                Direction::Ascending => Some(Comparison::Gte),
                Direction::Descending => table.column(*at).never_null.then_some(Comparison::Lte),
            };
            if let Some(op) = op {
                self.compare(table, *at, op, value);
                self.push(" AND ");
            }
        }
        self.push("(");
        for last in 0..fields.len() {
            self.push(if last > 0 { " OR (" } else { "(" });
            for (at, _, value) in &fields[..last] {
                self.compare(table, *at, Comparison::Eq, value);
                self.push(" AND ");
            }
            let (at, direction, value) = fields[last];
            self.behind(table, at, direction, value);
            self.push(")");
        }
        self.push(")");
    }

    /// `(a, b) > (?, ?)`, of which SQLite uses an index on a, b.
    fn after_row(&mut self, table: &Table, fields: &[(usize, Direction, &'a Value)], word: &str) {
        self.push("(");
        for (n, (at, _, _)) in fields.iter().enumerate() {
            self.push(if n > 0 { ", " } else { "" });
            self.push(&binary(table, *at));
        }
        self.push(word);
        for (n, (_, _, value)) in fields.iter().enumerate() {
            self.push(if n > 0 { ", " } else { "" });
            self.value(value);
        }
        self.push(")");
    }

    fn behind(&mut self, table: &Table, at: usize, direction: Direction, value: &'a Value) {
        let column = table.column(at);
        match (direction, value.is_null()) {
            (Direction::Ascending, true) => self.compare(table, at, Comparison::Ne, value),
            (Direction::Ascending, false) => self.compare(table, at, Comparison::Gt, value),
            // Nothing is smaller than null.
            (Direction::Descending, true) => self.push("0"),
            (Direction::Descending, false) if column.never_null => {
                self.compare(table, at, Comparison::Lt, value);
            }
            (Direction::Descending, false) => {
                self.push("(");
                self.compare(table, at, Comparison::Lt, value);
                self.push(" OR ");
                self.push(&column.name);
                self.push(" IS NULL)");
            }
        }
    }

    /// ` ORDER BY ..`
    pub(crate) fn order(&mut self, table: &Table, order: &[(usize, Direction)]) {
        for (n, (at, direction)) in order.iter().enumerate() {
            self.push(if n > 0 { ", " } else { " ORDER BY " });
            self.push(&binary(table, *at));
            if *direction == Direction::Descending {
                self.push(" DESC");
            }
        }
    }

    /// ` LIMIT .. OFFSET ..`
    pub(crate) fn page(&mut self, limit: Option<u64>, offset: u64) {
        if limit.is_none() && offset == 0 {
            return;
        }
        self.push(" LIMIT ");
        self.int(limit.map_or(-1, clamp));
        if offset > 0 {
            self.push(" OFFSET ");
            self.int(clamp(offset));
        }
    }
}

/// A number of rows; there are never as many as an `i64` counts.
fn clamp(rows: u64) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

/// A column, compared byte by byte.
pub(crate) fn binary(table: &Table, at: usize) -> Cow<'_, str> {
    let column = table.column(at);
    if column.binary {
        Cow::Borrowed(&column.name)
    } else {
        Cow::Owned(format!("{} COLLATE BINARY", column.name))
    }
}

/// The value that all objects of a filter have in a field; `None`: it does not say. (Null is not equal to itself in SQL.)
fn given<'f>(table: &Table, filter: &'f Filter, at: usize) -> Option<&'f Value> {
    match filter {
        Filter::Compare { field, op: Comparison::Eq, value } if !value.is_null() => {
            (table.collection.position(field) == Some(at)).then_some(value)
        }
        Filter::And(parts) => parts.iter().find_map(|part| given(table, part, at)),
        _ => None,
    }
}

/// How a position is compared as one row: where all fields go the same way and none can be null.
fn row_comparison(table: &Table, fields: &[(usize, Direction, &Value)]) -> Option<&'static str> {
    let never_null = |(at, _, value): &(usize, Direction, &Value)| {
        table.column(*at).never_null && !value.is_null()
    };
    let (_, direction, _) = fields.first()?;
    (fields.iter().all(never_null) && fields.iter().all(|(_, other, _)| other == direction))
        .then_some(match direction {
            Direction::Ascending => ") > (",
            Direction::Descending => ") < (",
        })
}
