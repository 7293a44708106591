//! What of an unknown database can be edited without breaking its rules: chosen by the registry and the foreign keys.
//!
//! CHECKs, triggers and partial indices are not known to the registry. So a choice is a proposal, and when the database
//! refuses it the next one is tried.

use std::sync::Arc;

use storex_core::{
    Affinity, Collection, Field, FieldType, KeyFormat, Name, Record, Runtime, Value,
};
use storex_sqlite::ForeignKey;

use super::report::Sides;

/// One of the two devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    A,
    B,
}

impl Side {
    pub(crate) fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::B => "B",
        }
    }
}

impl<T> Sides<T> {
    pub(crate) fn of(&self, side: Side) -> &T {
        match side {
            Side::A => &self.a,
            Side::B => &self.b,
        }
    }

    pub(crate) fn of_mut(&mut self, side: Side) -> &mut T {
        match side {
            Side::A => &mut self.a,
            Side::B => &mut self.b,
        }
    }
}

/// A collection, what points where, and its first rows.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) collection: Arc<Collection>,
    /// The first rows, by key.
    pub(crate) rows: Vec<Record>,
    /// Which of them the script has used.
    used: Vec<bool>,
    /// Positions of fields that may be changed freely, the best first.
    pub(crate) editable: Vec<usize>,
    /// Positions of fields that point to other tables.
    pointing: Vec<usize>,
    /// Foreign keys that point here.
    pub(crate) referrers: Vec<ForeignKey>,
    /// For a table whose key only points to others: values of each of the key's fields.
    pub(crate) linked: Vec<Vec<Value>>,
}

fn same_name(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b)
}

/// The positions of columns; those that are no fields (generated ones, say) are left out.
fn positions(collection: &Collection, columns: &[String]) -> Vec<usize> {
    let position = |column: &String| {
        collection.fields().iter().position(|field| same_name(&field.column, column))
    };
    columns.iter().filter_map(position).collect()
}

impl Table {
    pub(crate) fn new(
        collection: &Arc<Collection>,
        rows: Vec<Record>,
        foreign_keys: &[ForeignKey],
    ) -> Self {
        let name = collection.table();
        let pointing: Vec<usize> = foreign_keys
            .iter()
            .filter(|key| same_name(&key.table, name))
            .flat_map(|key| positions(collection, &key.columns))
            .collect();
        let referrers: Vec<ForeignKey> =
            foreign_keys.iter().filter(|key| same_name(&key.target, name)).cloned().collect();
        let pointed_to = |at: usize| {
            referrers.iter().any(|key| positions(collection, &key.target_columns).contains(&at))
        };
        let unique =
            |at: usize| collection.indices().iter().any(|it| it.unique && it.fields.contains(&at));
        let mut editable: Vec<usize> = (0..collection.fields().len())
            .filter(|at| {
                !collection.is_key(*at)
                    && !unique(*at)
                    && !pointing.contains(at)
                    && !pointed_to(*at)
            })
            .collect();
        editable.sort_by_key(|at| !is_text(&collection.fields()[*at]));
        let used = vec![false; rows.len()];
        let (collection, linked) = (Arc::clone(collection), Vec::new());
        Self { collection, rows, used, editable, pointing, referrers, linked }
    }

    pub(crate) fn name(&self) -> &Name {
        self.collection.name()
    }

    pub(crate) fn field(&self, at: usize) -> &Field {
        &self.collection.fields()[at]
    }

    /// The rows that the script has not used yet.
    pub(crate) fn unused(&self) -> Vec<usize> {
        (0..self.rows.len()).filter(|n| !self.used[*n]).collect()
    }

    /// Whether the key has several fields, which all point to other tables.
    pub(crate) fn is_link(&self) -> bool {
        let key = self.collection.primary_key();
        key.len() > 1 && key.iter().all(|at| self.pointing.contains(at))
    }

    pub(crate) fn take(&mut self, row: usize) {
        self.used[row] = true;
    }

    /// The columns by which a foreign key finds the rows of this table, by position here.
    pub(crate) fn targets(&self, key: &ForeignKey) -> Vec<usize> {
        match key.target_columns.as_slice() {
            [] => self.collection.primary_key().to_vec(),
            columns => positions(&self.collection, columns),
        }
    }

    /// Another value for a field, of the same kind, which differs by side. `None`: nothing sensible comes to mind.
    pub(crate) fn edited(&self, row: &Record, at: usize, side: Side) -> Option<Value> {
        let field = self.field(at);
        let (n, remark) = match side {
            Side::A => (1, "edited on A"),
            Side::B => (2, "edited on B"),
        };
        let mut value = match row.get(at) {
            Value::Null => match field.field_type {
                FieldType::Dynamic(Affinity::Integer | Affinity::Numeric | Affinity::Real)
                | FieldType::Int => Value::Int(n),
                FieldType::Float => Value::from(0.25 * n as f64),
                FieldType::Binary => Value::Bytes(remark.as_bytes().to_vec()),
                _ => Value::Text(remark.to_owned()),
            },
            Value::Text(text) if text.is_empty() => Value::Text(remark.to_owned()),
            // Still a date, in the same month.
            Value::Text(text) if is_date(text) => {
                Value::Text(format!("{}1{n}{}", &text[..8], &text[10..]))
            }
            Value::Text(text) => Value::Text(format!("{text} ({remark})")),
            Value::Int(int) => Value::Int(int.checked_add(n)?),
            Value::Float(float) => Value::from(float + 0.25 * n as f64),
            Value::Bytes(bytes) => {
                let end = side.name().as_bytes();
                Value::Bytes(bytes.iter().chain(end).copied().collect())
            }
            _ => return None,
        };
        // As it will be stored, so that it can be compared afterwards.
        self.collection.check_value(field, &mut value).ok()?;
        (value != *row.get(at)).then_some(value)
    }

    /// A new row after the model of another: with a fresh key, fresh unique values, and the same references. `None`: that
    /// cannot be done here.
    pub(crate) fn new_row(
        &self,
        model: &Record,
        side: Side,
        runtime: &dyn Runtime,
    ) -> Option<Record> {
        let mut row = model.clone();
        self.fresh_key(&mut row, side, runtime)?;
        for index in self.collection.indices().iter().filter(|index| index.unique) {
            if index.fields.iter().any(|at| self.collection.is_key(*at)) {
                continue;
            }
            let free = index.fields.iter().copied().filter(|at| !self.pointing.contains(at));
            let changed = free.into_iter().find_map(|at| {
                let value = match row.get(at) {
                    // Nulls are not compared.
                    Value::Null => Value::Null,
                    value => fresh_value(value, side, runtime)
                        .or(self.field(at).nullable.then_some(Value::Null))?,
                };
                Some((at, value))
            });
            let (at, value) = changed?;
            row.set(at, value);
        }
        Some(row)
    }

    fn fresh_key(&self, row: &mut Record, side: Side, runtime: &dyn Runtime) -> Option<()> {
        let key = self.collection.primary_key();
        if let [at] = key {
            if self.pointing.contains(at) {
                return None;
            }
            let value = match (&self.field(*at).field_type, row.get(*at)) {
                // AutoPk fills it in.
                (FieldType::AutoPk(_) | FieldType::Dynamic(Affinity::Integer), Value::Int(_)) => {
                    Value::Null
                }
                (_, Value::Text(text)) if is_uuid(text) => Value::Null,
                (_, value) => fresh_value(value, side, runtime)?,
            };
            row.set(*at, value);
            return Some(());
        }
        let free = key.iter().rev().find(|at| !self.pointing.contains(at));
        match free {
            Some(at) => {
                let value = fresh_value(row.get(*at), side, runtime)?;
                row.set(*at, value);
            }
            // A row that links others: two of them, which are not linked yet, with some luck.
            None => {
                for (n, at) in key.iter().enumerate() {
                    let values = self.linked.get(n)?;
                    row.set(*at, values.get(random(runtime, values.len()))?.clone());
                }
            }
        }
        Some(())
    }
}

fn is_text(field: &Field) -> bool {
    matches!(
        field.field_type,
        FieldType::Dynamic(Affinity::Text) | FieldType::String | FieldType::Text
    )
}

/// A text that begins as SQLite writes dates: `2025-12-31`.
fn is_date(text: &str) -> bool {
    let begin = text.as_bytes().get(..10);
    begin.is_some_and(|begin| {
        begin.iter().enumerate().all(|(n, byte)| match n {
            4 | 7 => *byte == b'-',
            _ => byte.is_ascii_digit(),
        })
    })
}

/// The form of a UUID, as texts keep it.
pub(crate) fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.char_indices().all(|(n, c)| match n {
            8 | 13 | 18 | 23 => c == '-',
            _ => c.is_ascii_hexdigit(),
        })
}

fn random(runtime: &dyn Runtime, end: usize) -> usize {
    let mut bytes = [0; 8];
    runtime.fill_random(&mut bytes);
    usize::try_from(u64::from_be_bytes(bytes) % end.max(1) as u64).unwrap_or(0)
}

/// A value of the model's kind that nobody else has, most likely; never one that the other side makes up.
fn fresh_value(model: &Value, side: Side, runtime: &dyn Runtime) -> Option<Value> {
    let number = 1000 + 2 * random(runtime, 1 << 20) + usize::from(side == Side::B);
    Some(match model {
        Value::Text(text) => Value::Text(format!("{text}-{number}")),
        Value::Int(_) => Value::Int(i64::try_from(number).ok()?),
        Value::Float(_) => Value::from(number as f64),
        Value::Bytes(bytes) => {
            let mut fresh = vec![0; bytes.len().max(8)];
            runtime.fill_random(&mut fresh);
            Value::Bytes(fresh)
        }
        _ => return None,
    })
}

/// Whether [`AutoPk`](storex_core::AutoPk) is to make the collection's keys: they are UUIDs already.
pub(crate) fn wants_uuid(collection: &Collection, key: &Value) -> bool {
    let [at] = collection.primary_key() else { return false };
    match (&collection.fields()[*at].field_type, key) {
        (FieldType::AutoPk(format), _) => *format == KeyFormat::Text,
        (_, Value::Text(text)) => is_uuid(text),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_uuids_are_known_from_other_texts() {
        assert!(is_date("2025-12-31") && is_date("2025-12-31 23:59:59"));
        assert!(!is_date("2025-12-3") && !is_date("a text of ten") && !is_date("2025_12_31"));
        assert!(!is_date("ÄÖÜäöüß"));
        assert!(is_uuid("018f4c7a-0000-7000-8000-000000000001"));
        assert!(!is_uuid("018f4c7a-0000-7000-8000-00000000000g") && !is_uuid("018f4c7a"));
    }
}
