//! Does a table on disk fit its collection? Said by name, before anything is changed.

use storex_core::{Collection, Error, Name, Result};

use crate::schema::ddl::declared_type;
use crate::schema::inspect::{Kind, LiveColumn, LiveTable};

/// Refuses a table that does not fit.
pub(super) fn check(collection: &Collection, live: &LiveTable) -> Result<()> {
    match live.kind {
        Kind::Table => {}
        Kind::View => {
            return Err(mismatch(collection, format!("`{}` is a view, not a table", live.name)));
        }
        Kind::Virtual | Kind::Shadow => {
            return Err(mismatch(
                collection,
                format!("`{}` is (part of) a virtual table", live.name),
            ));
        }
    }
    check_columns(collection, live)?;
    check_key(collection, live)?;
    check_strangers(collection, live)
}

pub(super) fn mismatch(collection: &Collection, reason: impl Into<String>) -> Error {
    Error::SchemaMismatch { collection: Name::clone(collection.name()), reason: reason.into() }
}

fn check_columns(collection: &Collection, live: &LiveTable) -> Result<()> {
    for (at, field) in collection.fields().iter().enumerate() {
        let Some(column) = live.column(&field.column) else {
            return Err(mismatch(
                collection,
                format!("table `{}` has no column `{}`", live.name, field.column),
            ));
        };
        if let Some(kind) = column.generated {
            return Err(mismatch(
                collection,
                format!("column `{}` is generated ({kind}) and cannot be written", column.name),
            ));
        }
        if field.nullable && live.never_null(column) {
            return Err(mismatch(
                collection,
                format!("field `{}` may be null, column `{}` may not", field.name, column.name),
            ));
        }
        if collection.is_adopted() {
            continue;
        }
        let declared = declared_type(&field.field_type);
        if !column.declared.eq_ignore_ascii_case(declared) {
            return Err(mismatch(
                collection,
                format!(
                    "column `{}` is declared {} where {declared} is wanted",
                    column.name, column.declared
                ),
            ));
        }
        if !field.nullable && !collection.is_key(at) && !live.never_null(column) {
            return Err(mismatch(
                collection,
                format!("field `{}` is required, column `{}` may be null", field.name, column.name),
            ));
        }
    }
    Ok(())
}

/// Creates name their key in `ON CONFLICT(..)`, so SQLite must hold it unique.
fn check_key(collection: &Collection, live: &LiveTable) -> Result<()> {
    let key: Vec<&str> =
        collection.primary_key().iter().map(|at| &*collection.fields()[*at].column).collect();
    let same = |columns: &[&str]| {
        columns.len() == key.len()
            && key.iter().all(|own| columns.iter().any(|column| column.eq_ignore_ascii_case(own)))
    };
    let primary: Vec<&str> = live.primary_key().iter().map(|column| column.name.as_str()).collect();
    let by_index = || {
        live.indices.iter().filter(|index| index.unique && !index.partial).any(|index| {
            let columns: Option<Vec<&str>> = index.columns.iter().map(Option::as_deref).collect();
            columns.is_some_and(|columns| same(&columns))
        })
    };
    if same(&primary) || (collection.is_adopted() && by_index()) {
        return Ok(());
    }
    let found = if primary.is_empty() { "none".to_owned() } else { primary.join(", ") };
    Err(mismatch(
        collection,
        format!(
            "table `{}` has another primary key: ({}) is wanted, found: {found}",
            live.name,
            key.join(", ")
        ),
    ))
}

/// A column that the registry does not know and that must be given would make every create fail.
fn check_strangers(collection: &Collection, live: &LiveTable) -> Result<()> {
    let known = |column: &LiveColumn| {
        collection.fields().iter().any(|field| field.column.eq_ignore_ascii_case(&column.name))
    };
    let stranger = live.columns.iter().find(|column| !known(column) && live.must_be_given(column));
    stranger.map_or(Ok(()), |column| {
        Err(mismatch(
            collection,
            format!(
                "column `{}` must be given, and the collection has no field for it",
                column.name
            ),
        ))
    })
}
