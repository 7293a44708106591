//! One table's definition.

use rusqlite::Connection;
use storex_core::{Affinity, Definition, FieldOption, FieldType, KeyFormat, Value};

use super::default::{Meaning, meaning};
use super::{Adoption, ForeignKey, ForeignKeyAction};
use crate::schema::inspect::{LiveColumn, LiveIndex, LiveTable, quote};

/// The definition, or the reason why there is none.
pub(super) fn definition(
    adoption: &mut Adoption,
    conn: &Connection,
    table: &LiveTable,
) -> rusqlite::Result<Result<Definition, String>> {
    if table.name.is_empty() {
        return Ok(Err("its name is empty".to_owned()));
    }
    let key = match key_of(table) {
        Ok(key) => key,
        Err(reason) => return Ok(Err(reason)),
    };
    if let Some(reason) = unusable(conn, table).or(null_keys(conn, table, &key)?) {
        return Ok(Err(reason));
    }
    let mut definition = Definition::new(table.name.as_str()).adopted(table.name.as_str());
    for column in &table.columns {
        match column.generated {
            Some(kind) => {
                let text = format!(
                    "is generated ({kind}) and left out: SQLite computes it on each device"
                );
                adoption.note(Some(&table.name), Some(&column.name), text);
            }
            None => definition = add_field(adoption, conn, table, column, &key, definition)?,
        }
    }
    let names: Vec<String> = key.iter().map(|column| field_name(&column.name)).collect();
    definition = definition.primary_key(names);
    definition = add_indices(adoption, table, &key, definition);
    note_collations(adoption, table);
    note_triggers(adoption, conn, table)?;
    let foreign_keys = foreign_keys(conn, table)?;
    adoption.foreign_keys.extend(foreign_keys);
    Ok(Ok(definition))
}

/// The primary key, or the smallest unique index that can stand for one.
fn key_of(table: &LiveTable) -> Result<Vec<&LiveColumn>, String> {
    let declared = table.primary_key();
    if !declared.is_empty() {
        return Ok(declared);
    }
    let candidate = |index: &LiveIndex| -> Option<Vec<&LiveColumn>> {
        let columns: Vec<&LiveColumn> = index
            .columns
            .iter()
            .map(|name| name.as_ref().and_then(|name| table.column(name)))
            .collect::<Option<_>>()?;
        let fit =
            columns.iter().all(|column| table.never_null(column) && column.generated.is_none());
        (index.unique && !index.partial && fit).then_some(columns)
    };
    table.indices.iter().filter_map(candidate).min_by_key(Vec::len).ok_or_else(|| {
        "has neither a primary key nor a UNIQUE index over NOT NULL columns, so its rows cannot be told apart on \
         another device; give it a primary key"
            .to_owned()
    })
}

/// A table may depend on functions, collations or tables that are not there: SQLite says so when a statement is prepared
/// (triggers, CHECKs and indices on expressions included).
fn unusable(conn: &Connection, table: &LiveTable) -> Option<String> {
    let name = quote(&table.name);
    let columns: Vec<String> = table
        .columns
        .iter()
        .filter(|column| column.generated.is_none())
        .map(|column| quote(&column.name))
        .collect();
    let all = columns.join(", ");
    let marks = vec!["?"; columns.len()].join(", ");
    let set: Vec<String> = columns.iter().map(|column| format!("{column} = ?")).collect();
    let statements = [
        format!("SELECT {all} FROM {name} ORDER BY {all}"),
        format!("INSERT INTO {name}({all}) VALUES ({marks})"),
        format!("UPDATE {name} SET {}", set.join(", ")),
        format!("DELETE FROM {name}"),
    ];
    let error = statements.iter().find_map(|sql| conn.prepare(sql).err())?;
    let said = match &error {
        rusqlite::Error::SqliteFailure(_, Some(message)) => message.clone(),
        rusqlite::Error::SqlInputError { msg, .. } => msg.clone(),
        other => other.to_string(),
    };
    Some(format!("cannot be used here: {said}"))
}

/// SQLite lets a primary key be null, except where it is the rowid or the table is STRICT or WITHOUT ROWID.
fn null_keys(
    conn: &Connection,
    table: &LiveTable,
    key: &[&LiveColumn],
) -> rusqlite::Result<Option<String>> {
    let may_be_null: Vec<String> = key
        .iter()
        .filter(|column| !table.never_null(column))
        .map(|column| format!("{} IS NULL", quote(&column.name)))
        .collect();
    if may_be_null.is_empty() {
        return Ok(None);
    }
    let sql =
        format!("SELECT count(*) FROM {} WHERE {}", quote(&table.name), may_be_null.join(" OR "));
    let rows: i64 = conn.query_row(&sql, [], |row| row.get(0))?;
    Ok((rows > 0).then(|| {
        let (rows, have) =
            if rows == 1 { ("1 row".to_owned(), "has") } else { (format!("{rows} rows"), "have") };
        format!(
            "{rows} {have} a null in the primary key; give {} one first",
            if rows == "1 row" { "it" } else { "them" }
        )
    }))
}

fn add_field(
    adoption: &mut Adoption,
    conn: &Connection,
    table: &LiveTable,
    column: &LiveColumn,
    key: &[&LiveColumn],
    definition: Definition,
) -> rusqlite::Result<Definition> {
    let is_key = key.iter().any(|key| key.name == column.name);
    let field_type = field_type(table, column, is_key && key.len() == 1);
    let nullable = !is_key && !table.never_null(column);
    let mut options = Vec::new();
    let name = field_name(&column.name);
    if name != column.name {
        adoption.note(Some(&table.name), Some(&column.name), format!("is field `{name}`"));
        options.push(FieldOption::Column(column.name.as_str().into()));
    }
    let default = default(adoption, conn, table, column, &field_type)?;
    match (default, nullable) {
        (Some(default), true) => options.extend([FieldOption::Nullable, default]),
        (Some(default), false) => options.push(default),
        // Nothing is given where SQLite would evaluate an expression: the application has to say what it wants.
        (None, true) if column.default.as_deref().is_some_and(|text| !is_null(text)) => {
            options.push(FieldOption::Nullable);
        }
        (None, true) => options.push(FieldOption::Optional),
        (None, false) => {}
    }
    Ok(definition.field_with(name, field_type, options))
}

fn is_null(default: &str) -> bool {
    default.trim_matches(['(', ')', ' ']).eq_ignore_ascii_case("NULL")
}

fn default(
    adoption: &mut Adoption,
    conn: &Connection,
    table: &LiveTable,
    column: &LiveColumn,
    field_type: &FieldType,
) -> rusqlite::Result<Option<FieldOption>> {
    let Some(text) = &column.default else { return Ok(None) };
    let option = match meaning(conn, text)? {
        Meaning::Value(Value::Null) => return Ok(None),
        Meaning::Value(value) => as_stored(value, field_type).map(FieldOption::Default),
        Meaning::Now => Some(FieldOption::DefaultNow),
        Meaning::Expression => None,
    };
    if option.is_none() {
        let text = format!(
            "has the default {text}, which only SQLite can evaluate: the field must be given"
        );
        adoption.note(Some(&table.name), Some(&column.name), text);
    }
    Ok(option)
}

/// A default in the form that a typed field takes (SQLite converts it where a STRICT column allows it).
fn as_stored(value: Value, field_type: &FieldType) -> Option<Value> {
    #[allow(clippy::cast_precision_loss)]
    Some(match (field_type, value) {
        (FieldType::Dynamic(_), value)
        | (FieldType::Int | FieldType::AutoPk(KeyFormat::Int), value @ Value::Int(_))
        | (FieldType::Float, value @ Value::Float(_))
        | (FieldType::String, value @ Value::Text(_))
        | (FieldType::Binary, value @ Value::Bytes(_)) => value,
        (FieldType::Float, Value::Int(int)) => Value::from(int as f64),
        (FieldType::String, Value::Int(int)) => Value::Text(int.to_string()),
        _ => return None,
    })
}

fn field_type(table: &LiveTable, column: &LiveColumn, single_key: bool) -> FieldType {
    let declared = column.declared.to_ascii_uppercase();
    if !table.strict {
        return FieldType::Dynamic(affinity(&declared));
    }
    match declared.as_str() {
        // The rowid by another name, which SQLite gives when none is given: so does AutoPk.
        "INT" | "INTEGER" if single_key && table.has_rowid_key() => {
            FieldType::AutoPk(KeyFormat::Int)
        }
        "INT" | "INTEGER" => FieldType::Int,
        "REAL" => FieldType::Float,
        "TEXT" => FieldType::String,
        "BLOB" => FieldType::Binary,
        // ANY keeps every value as it is.
        _ => FieldType::Dynamic(Affinity::Blob),
    }
}

/// <https://sqlite.org/datatype3.html>, section 3.1, in its order.
fn affinity(declared: &str) -> Affinity {
    let has = |words: &[&str]| words.iter().any(|word| declared.contains(word));
    if has(&["INT"]) {
        Affinity::Integer
    } else if has(&["CHAR", "CLOB", "TEXT"]) {
        Affinity::Text
    } else if declared.is_empty() || has(&["BLOB"]) {
        Affinity::Blob
    } else if has(&["REAL", "FLOA", "DOUB"]) {
        Affinity::Real
    } else {
        Affinity::Numeric
    }
}

/// storex keeps field names that are empty or begin with `$` for its query language.
fn field_name(column: &str) -> String {
    if column.is_empty() || column.starts_with('$') {
        format!("_{column}")
    } else {
        column.to_owned()
    }
}

fn add_indices(
    adoption: &mut Adoption,
    table: &LiveTable,
    key: &[&LiveColumn],
    mut definition: Definition,
) -> Definition {
    let mut taken: Vec<(Vec<&str>, bool)> = Vec::new();
    for index in table.indices.iter().filter(|index| !index.primary) {
        let columns: Option<Vec<&str>> = index
            .columns
            .iter()
            .map(|name| {
                let column = table.column(name.as_deref()?)?;
                column.generated.is_none().then_some(column.name.as_str())
            })
            .collect();
        match columns.filter(|_| !index.partial) {
            Some(columns) => {
                let is_key = columns.len() == key.len()
                    && columns.iter().all(|column| key.iter().any(|key| key.name == *column));
                if !is_key && !taken.contains(&(columns.clone(), index.unique)) {
                    let fields: Vec<String> = columns.iter().map(|column| field_name(column)).collect();
                    definition =
                        if index.unique { definition.unique(fields) } else { definition.index(fields) };
                    taken.push((columns, index.unique));
                }
            }
            None if index.unique => adoption.note(
                Some(&table.name),
                Some(&index.name),
                "is a unique index on part of the rows, on an expression or on a generated column: SQLite enforces it, \
                 a merge does not know of it",
            ),
            None => {}
        }
    }
    definition
}

fn note_collations(adoption: &mut Adoption, table: &LiveTable) {
    for column in table.columns.iter().filter(|column| column.generated.is_none()) {
        if !column.collation.eq_ignore_ascii_case("BINARY") {
            let text = format!(
                "compares by {}: its unique indices do, while queries compare bytes, and do not use its indices for \
                 ranges and orders",
                column.collation
            );
            adoption.note(Some(&table.name), Some(&column.name), text);
        }
    }
}

fn note_triggers(
    adoption: &mut Adoption,
    conn: &Connection,
    table: &LiveTable,
) -> rusqlite::Result<()> {
    let mut statement = conn.prepare(
        "SELECT name FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = ?1 COLLATE NOCASE \
         AND name NOT LIKE '\\_storex\\_%' ESCAPE '\\' ORDER BY rowid",
    )?;
    for trigger in statement.query_map([&table.name], |row| row.get::<_, String>(0))? {
        let text = "is a trigger: it runs on every device, and what it writes is not logged";
        adoption.note(Some(&table.name), Some(&trigger?), text);
    }
    Ok(())
}

fn foreign_keys(conn: &Connection, table: &LiveTable) -> rusqlite::Result<Vec<ForeignKey>> {
    let mut statement = conn.prepare(
        "SELECT id, \"table\", \"from\", \"to\", on_delete, on_update FROM pragma_foreign_key_list(?1, 'main') \
         ORDER BY id DESC, seq",
    )?;
    let mut rows = statement.query([&table.name])?;
    let mut keys: Vec<(i64, ForeignKey)> = Vec::new();
    while let Some(row) = rows.next()? {
        let id: i64 = row.get(0)?;
        if keys.last().is_none_or(|(last, _)| *last != id) {
            let key = ForeignKey {
                table: table.name.clone(),
                columns: Vec::new(),
                target: row.get(1)?,
                target_columns: Vec::new(),
                on_delete: action(&row.get::<_, String>(4)?),
                on_update: action(&row.get::<_, String>(5)?),
            };
            keys.push((id, key));
        }
        if let Some((_, key)) = keys.last_mut() {
            key.columns.push(row.get(2)?);
            key.target_columns.extend(row.get::<_, Option<String>>(3)?);
        }
    }
    drop(rows);
    keys.into_iter().map(|(_, key)| with_target_key(conn, key)).collect()
}

/// `REFERENCES parent` without columns means its primary key.
fn with_target_key(conn: &Connection, mut key: ForeignKey) -> rusqlite::Result<ForeignKey> {
    if key.target_columns.is_empty()
        && let Some(target) = crate::schema::inspect::table(conn, &key.target)?
    {
        key.target_columns =
            target.primary_key().iter().map(|column| column.name.clone()).collect();
    }
    Ok(key)
}

fn action(name: &str) -> ForeignKeyAction {
    match name {
        "CASCADE" => ForeignKeyAction::Cascade,
        "SET NULL" => ForeignKeyAction::SetNull,
        "SET DEFAULT" => ForeignKeyAction::SetDefault,
        "RESTRICT" => ForeignKeyAction::Restrict,
        _ => ForeignKeyAction::NoAction,
    }
}
